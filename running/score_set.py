"""The confidence of one more patch set, from the network that a record was made with."""

from pathlib import Path

import torch

from drawing.record import Sag
from running.image_case import ImageCase
from running.record_files import load_result
from scoring.networks import Network, choose_device, is_loadable, load_network
from scoring.patch_sets import PatchSet
from scoring.regions import Regions
from utils import UserError


def score_set(folder: Path, visible: PatchSet, *, images: Path | None, device: str) -> float:
    """Return the probability of a patch set, scored as the record's sets were.

    Args:
        folder: Folder of the result, which contains sag.json.
        visible: Patches that are visible, in ascending order.
        images: The run's images, if they have moved.
        device: "auto", "cpu", "cuda" or "mps".

    Raises:
        UserError: The network or the image cannot be loaded, or its weights have changed.
    """
    result = load_result(folder, images)
    sag = result.sag
    network = load_record_network(sag, choose_device(device))
    case = ImageCase.of(
        network,
        result.image,
        category=sag.category.index,
        baseline=sag.baseline.name,
        grid=sag.grid,
        regions=record_regions(sag),
        against=sag.against.index if sag.against else None,
    )
    scorer = case.scorer(network.module, batch_size=1)
    return float(scorer([visible])[0])


def load_record_network(sag: Sag, device: torch.device) -> Network:
    """Return the network that a record was made with.

    Raises:
        UserError: The network cannot be loaded, or its weights have changed.
    """
    name = sag.settings.get("model") or sag.model.name
    if not is_loadable(name):
        raise UserError(
            f"{name}: a module that was passed in Python; only sag.confidence() there can score it"
        )
    weights = path_setting(sag, "weights")
    labels = path_setting(sag, "labels")
    network = load_network(
        name,
        weights,
        labels=labels,
        device=device,
        resize=sag.model.resize.method,
        output=sag.model.output,
    )
    if network.weights_sha256 != sag.model.weights_sha256:
        raise UserError(f"{weights or name}: other weights than those of the record")
    return network


def path_setting(sag: Sag, name: str) -> Path | None:
    """Return a setting that is a path, or None where it was not given."""
    value = sag.settings.get(name)
    return Path(value) if value else None


def record_regions(sag: Sag) -> Regions | None:
    """Return the regions of a record, or None where the image is cut by the grid."""
    if not sag.regions:
        return None
    stored = sag.regions
    return Regions.from_png(stored.map, numbers=stored.labels, names=stored.names)
