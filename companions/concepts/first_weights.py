"""What training as SA3 begins with: a classifier as it is, an encoder with a new head, or nothing.

    first = first_weights(Start("timm/vit_base_patch16_224.mae", weights=Path("mae.pth"), ..), file)

MAE's weights have no head, and those of other classes have one that does not fit. Then the head is
new, with as many classes as --labels names. Where there was none, the ViT averages its patch tokens
and normalises after that, as in MAE's fine-tuning. Position embeddings are resampled to another
size. What comes of it is written as a file for --weights, so that every process, and every later
command, reads the same network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from companions.training.seeds import seeded
from scoring.labels import label_lines
from scoring.loaded import library
from scoring.timm_networks import (
    PREFIX,
    classes_of,
    classifier_of,
    of_side,
    pretrained_timm,
    untrained_timm,
)
from scoring.weights import load_strictly, read_weights, without_prefixes
from utils import UserError, log, write_atomically

HEAD_STD = 2e-5  # of a new head's weights on trained ones, as in MAE's program
# What only MAE's pretraining has: the decoder, and the token of a masked patch.
PRETRAINING_ONLY = ("decoder_", "mask_token")


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a training begins with.

    Attributes:
        model: name of the network, timm/NAME.
        weights: of a classifier or an encoder; None: those that timm downloads.
        labels: class names, one per line.
        from_scratch: whether it begins with random weights.
        side: of the input, pixels; None: as the weights have it.
        seed: of new weights.
    """

    model: str
    weights: Path | None = None
    labels: Path | None = None
    from_scratch: bool = False
    side: int | None = None
    seed: int = 0


def first_weights(start: Start, path: Path) -> Path | None:
    """Return the weights that a training begins with; None: those that timm downloads, as they are.

    Args:
        start: what to begin with.
        path: the .safetensors file that is written where something is new.

    Raises:
        UserError: something does not fit; the message names it.
    """
    if start.from_scratch and start.weights:
        raise UserError("only one of --weights and --from-scratch can be given")
    name = start.model.removeprefix(PREFIX)
    found = _found(start, name)
    plain = untrained_timm(name, found)
    classes = _classes(start, classes_of(plain, found))
    head = f"{classifier_of(plain)}."
    keeps_head = classes_of(plain, found) == classes
    module = _module(start, name, found, classes=classes)
    new = [key for key in module.state_dict() if key not in found]
    if keeps_head and not new and _has_size(plain, start.side):
        return start.weights
    if found and not keeps_head:
        with seeded(start.seed):
            library("timm.layers", option=f"--model {start.model}").trunc_normal_(
                module.get_parameter(f"{head}weight"), std=HEAD_STD
            )
    taken = _taken(found, module, head="" if keeps_head else head)
    load_strictly(module, taken, start.weights or Path(name))
    write_atomically(path, save({k: v.contiguous() for k, v in module.state_dict().items()}))
    log(f"{path}: {_in_words(found, keeps_head)}, {classes} classes, {_size_of(module)} pixels")
    return path


def _found(start: Start, name: str) -> dict[str, torch.Tensor]:
    """Return the weights that there are; none from scratch."""
    if start.from_scratch:
        return {}
    if start.weights is None:
        return pretrained_timm(name).state_dict()
    own = untrained_timm(name, {}).state_dict()
    state = without_prefixes(read_weights(start.weights), own).state
    return {key: v for key, v in state.items() if not key.startswith(PRETRAINING_ONLY)}


def _classes(start: Start, found: int | None) -> int:
    """Return the number of classes to train: of the labels, or else of the weights."""
    if start.labels:
        return len(label_lines(start.labels))
    if found is None:
        what = "--from-scratch" if start.from_scratch else f"{start.weights or start.model}"
        raise UserError(f"--labels: needed, for {what} has no classes")
    return found


def _module(start: Start, name: str, found: Mapping[str, torch.Tensor], *, classes: int) -> Any:
    """Return the untrained network of these classes and this size."""
    arguments: dict[str, Any] = {"num_classes": classes}
    if start.side:
        arguments |= of_side(start.side)
    plain = untrained_timm(name, found, num_classes=classes)
    if classes_of(plain, found) is None and hasattr(plain, "fc_norm"):
        arguments["global_pool"] = "avg"
    with seeded(start.seed):
        return untrained_timm(name, found, **arguments)


def _taken(found: Mapping[str, torch.Tensor], module: Any, *, head: str) -> dict[str, torch.Tensor]:
    """Return all weights of a module: those found, and its own where new ones are wanted.

    Args:
        found: weights, of another size perhaps; none: all are the module's own.
        module: untrained.
        head: begins the names of a new head; empty: the head is the one found.
    """
    own = module.state_dict()
    if not found:
        return own
    taken = dict(found)
    if head:
        taken = {key: value for key, value in taken.items() if not key.startswith(head)}
        taken |= {key: value for key, value in own.items() if key.startswith(head)}
    if "fc_norm.weight" in own and "fc_norm.weight" not in found:
        taken |= {key: value for key, value in own.items() if key.startswith("fc_norm.")}
        taken = {key: value for key, value in taken.items() if not key.startswith("norm.")}
    positions = taken.get("pos_embed")
    if positions is not None and "pos_embed" in own and positions.shape != own["pos_embed"].shape:
        resample = library("timm.layers", option="--size").resample_abs_pos_embed
        grid = list(module.patch_embed.grid_size)
        taken["pos_embed"] = resample(positions, grid, num_prefix_tokens=module.num_prefix_tokens)
    return taken


def _size_of(module: Any) -> int:
    return module.pretrained_cfg["input_size"][-1]


def _has_size(module: Any, side: int | None) -> bool:
    return side is None or _size_of(module) == side


def _in_words(found: Mapping[str, torch.Tensor], keeps_head: bool) -> str:
    if not found:
        return "random weights"
    return "trained weights" if keeps_head else "trained weights, a new head"
