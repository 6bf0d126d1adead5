"""The confidence of one more patch set, from the network that a record was made with."""

from pathlib import Path

import msgspec
import torch

from drawing.record import Model, Sag
from running.image_case import ImageCase
from running.record_files import Result, load_result
from scoring.networks import (
    Network,
    choose_device,
    code_of,
    is_loadable,
    load_network,
    runs_code,
)
from scoring.patch_sets import PatchSet
from scoring.regions import Regions
from utils import UserError


def score_set(
    folder: Path, visible: PatchSet, *, images: Path | None, device: str, model: str | None = None
) -> float:
    """Return the probability of a patch set, scored as the record's sets were.

    Args:
        folder: Folder of the result, which contains sag.json.
        visible: Patches that are visible, in ascending order.
        images: The run's images, if they have moved.
        device: "auto", "cpu", "cuda" or "mps".
        model: The network, as the user names it; needed where its code is the user's own.

    Raises:
        UserError: The network or the image cannot be loaded, or is not the record's.
    """
    result = load_result(folder, images)
    sag = result.sag
    network = load_record_network(sag, choose_device(device), model)
    case = record_case(result, network)
    scorer = case.scorer(network.module, batch_size=1)
    return float(scorer([visible])[0])


def record_case(result: Result, network: Network) -> ImageCase:
    """Return a record's image and class as its sets were scored, ready to be scored again.

    Args:
        result: The record and its image.
        network: The network that it was made with.
    """
    sag = result.sag
    return ImageCase.of(
        network,
        result.image,
        category=sag.category.index,
        baseline=sag.baseline.name,
        grid=sag.grid,
        regions=record_regions(sag),
        against=sag.against.index if sag.against else None,
    )


def load_record_network(sag: Sag, device: torch.device, model: str | None = None) -> Network:
    """Return the network that a record was made with.

    A record may come from anyone. Code that it names runs only where the user names it too, and
    only where it is the code that the record was made with.

    Raises:
        UserError: The network cannot be loaded, or something in it is not the record's.
    """
    recorded = text_setting(sag, "model") or sag.model.name
    if model is None and runs_code(recorded):
        raise UserError(
            f"{recorded}: code of the record's network, which runs only if you name it too: "
            f"--model {recorded}"
        )
    name = model or recorded
    if not is_loadable(name):
        raise UserError(
            f"{name}: a module that was passed in Python; only sag.confidence() there can score it"
        )
    weights = path_setting(sag, "weights")
    if runs_code(name):
        require_same_code(sag, name)
    network = load_network(
        name,
        weights,
        labels=path_setting(sag, "labels"),
        device=device,
        resize=sag.model.resize.method,
        output=sag.model.output,
    )
    require_same_network(sag.model, network, weights=str(weights or name))
    return network


def require_same_code(sag: Sag, name: str) -> None:
    """Refuse code that is not the record's, before any of it runs.

    Args:
        sag: The record; one of an older version knows the checksum of FILE.py alone.
        name: FILE.py:function.

    Raises:
        UserError: The first file that differs.
    """
    file = Path(name.rpartition(":")[0])
    found = code_of(name)
    expected = {file.name: sag.model.code_sha256, **(sag.model.modules or {})}
    if sag.pixels_sha256 is None:  # of an older version
        found = {file.name: found[file.name]}
    for part in sorted({*found, *expected}):
        if found.get(part) != expected.get(part):
            raise UserError(f"{file.parent / part}: other code than that of the record")


def require_same_network(recorded: Model, network: Network, *, weights: str) -> None:
    """Refuse a network that is not the record's.

    Args:
        recorded: What the record says of its network.
        network: The network that was loaded.
        weights: What the weights are called in an error.

    Raises:
        UserError: The first thing that differs.
    """
    found = msgspec.convert(network.description(), Model)
    if found.weights_sha256 != recorded.weights_sha256:
        raise UserError(f"{weights}: other weights than those of the record")
    if found.classes != recorded.classes:
        raise UserError(
            f"{network.name}: {found.classes} classes, the record's network has {recorded.classes}"
        )
    if recorded.labels_sha256 and found.labels_sha256 != recorded.labels_sha256:
        raise UserError("--labels: other class names than those of the record")
    if recorded.mean and (found.mean, found.std) != (recorded.mean, recorded.std):
        raise UserError(f"{network.name}: another mean or std than those of the record")


def text_setting(sag: Sag, name: str) -> str | None:
    """Return a setting that is text, or None where it was not given."""
    value = sag.settings.get(name)
    return value if isinstance(value, str) else None


def path_setting(sag: Sag, name: str) -> Path | None:
    """Return a setting that is a path, or None where it was not given."""
    value = text_setting(sag, name)
    return Path(value) if value else None


def record_regions(sag: Sag) -> Regions | None:
    """Return the regions of a record, or None where the image is cut by the grid."""
    if not sag.regions:
        return None
    stored = sag.regions
    return Regions.from_png(stored.map, numbers=stored.labels, names=stored.names)
