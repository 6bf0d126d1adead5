"""Networks of timm: timm/NAME.

    loaded = load_timm("convnext_tiny.fb_in1k", None)

The preprocessing is the one that timm's configuration names for the weights. timm reads weights
without running code in them. Weights also say how a network differs from timm's own of that name:
in the number of classes, in the size of its input (by a ViT's position embeddings), and in whether
a ViT averages its tokens (then it has an fc_norm), as MAE's fine-tuning does.
"""

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import torch

from scoring.fitting import Filter
from scoring.loaded import Loaded, brief, library, quietly
from scoring.preprocessing import Preprocessing
from scoring.weights import load_strictly, read_weights, weights_only, without_prefixes
from utils import UserError

PREFIX = "timm/"


def load_timm(name: str, weights: Path | None) -> Loaded:
    """Return a network of timm.

    Args:
        name: as timm has it, such as resnet50 or resnet50.a1_in1k.
        weights: a file; None: the weights that timm downloads.

    Raises:
        UserError: timm is not installed, has no such classifier, or its weights cannot be loaded.
    """
    option = f"--model {PREFIX}{name}"
    timm = library("timm", option=option)
    _check_name(timm, name, option)
    if weights is None:
        module = _pretrained(timm, name, option)
        unwrapped = ""
    else:
        module, unwrapped = _with_weights(timm, name, weights)
    if not getattr(module, "num_classes", 1):
        raise UserError(f"{option}: has no classes; it returns features, for other networks to use")
    return Loaded(
        module,
        _preset(timm, module),
        unwrapped=unwrapped,
        may_be_channels_last=True,
    )


def _check_name(timm: Any, name: str, option: str) -> None:
    architecture = name.partition(".")[0]
    if timm.is_model(architecture):
        return
    near = difflib.get_close_matches(architecture.lower(), timm.list_models(), n=1, cutoff=0)[0]
    raise UserError(f"{option}: not a classifier of timm; the nearest name is {PREFIX}{near}")


def _pretrained(timm: Any, name: str, option: str) -> torch.nn.Module:
    try:
        with quietly("timm", "huggingface_hub"), weights_only():
            return timm.create_model(name, pretrained=True)
    except Exception as error:  # no network, no such weights, a damaged file in the cache
        raise UserError(
            f"{option}: cannot load its weights ({brief(error)}); "
            "with --weights FILE nothing is downloaded"
        ) from error


def _with_weights(timm: Any, name: str, path: Path) -> tuple[torch.nn.Module, str]:
    """Return a network with the weights of a file, and what they were taken out of."""
    option = f"--model {PREFIX}{name}"
    read = read_weights(path)
    module = _untrained(timm, name, option)
    read = without_prefixes(read, module.state_dict())
    arguments = _arguments_for(module, read.state)
    if arguments:
        module = _untrained(timm, name, option, **arguments)
    load_strictly(module, read.state, path)
    return module, read.unwrapped


def untrained_timm(name: str, state: Mapping[str, torch.Tensor], **arguments: Any) -> Any:
    """Return a network of timm that weights fit, with random weights.

    Args:
        name: as timm has it.
        state: the weights.
        arguments: further ones of timm.create_model; they win over what the weights say.

    Raises:
        UserError: timm is not installed, or has no such network.
    """
    option = f"--model {PREFIX}{name}"
    timm = library("timm", option=option)
    _check_name(timm, name, option)
    fitting = _arguments_for(_untrained(timm, name, option), state)
    return _untrained(timm, name, option, **{**fitting, **arguments})


def pretrained_timm(name: str) -> Any:
    """Return a network of timm with the weights that timm downloads.

    Raises:
        UserError: timm is not installed, has no such network, or the weights cannot be loaded.
    """
    option = f"--model {PREFIX}{name}"
    timm = library("timm", option=option)
    _check_name(timm, name, option)
    return _pretrained(timm, name, option)


def _untrained(timm: Any, name: str, option: str, **arguments: Any) -> torch.nn.Module:
    try:
        return timm.create_model(name, pretrained=False, **arguments)
    except Exception as error:  # no weights of that name, or no such number of classes
        raise UserError(f"{option}: {brief(error)}") from error


def _arguments_for(module: Any, state: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Return what timm.create_model needs beside the name for weights to fit; often nothing."""
    arguments: dict[str, Any] = {}
    classes = classes_of(module, state)
    if classes not in (None, module.num_classes):
        arguments["num_classes"] = classes
    if "fc_norm.weight" in state and "fc_norm.weight" not in module.state_dict():
        arguments["global_pool"] = "avg"
    side = _side_of(module, state)
    if side:
        arguments |= of_side(side)
    return arguments


def of_side(side: int) -> dict[str, Any]:
    """Return the argument of timm.create_model for a square input of so many pixels."""
    return {"pretrained_cfg_overlay": {"input_size": (3, side, side)}}


def classifier_of(module: Any) -> str:
    """Return the name of a network's last layer."""
    classifier = module.pretrained_cfg.get("classifier")
    if isinstance(classifier, list | tuple):  # of the class token, of the distillation token
        return classifier[0]
    return classifier


def classes_of(module: Any, state: Mapping[str, torch.Tensor]) -> int | None:
    """Return how many classes weights have; None where they do not say."""
    last = state.get(f"{classifier_of(module)}.weight")
    return None if last is None else len(last)


def _side_of(module: Any, state: Mapping[str, torch.Tensor]) -> int | None:
    """Return the side of the square input that position embeddings are for, where it is another."""
    positions = state.get("pos_embed")
    own = getattr(module, "pos_embed", None)
    if positions is None or own is None or positions.dim() != 3 or positions.shape == own.shape:
        return None
    tokens = positions.shape[1] - getattr(module, "num_prefix_tokens", 0)
    grid = math.isqrt(max(0, tokens))
    if grid == 0 or grid**2 != tokens:
        return None
    return grid * module.patch_embed.patch_size[0]


def _preset(timm: Any, module: torch.nn.Module) -> Preprocessing:
    """Return the preprocessing of a network's configuration."""
    config = timm.data.resolve_model_data_config(module)
    _, height, width = config["input_size"]
    kind: Filter = config["interpolation"]
    if kind not in get_args(Filter):
        kind = "bicubic"  # timm's own choice where weights name none
    return Preprocessing(
        size=(height, width),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        short_side=int(min(height, width) / config["crop_pct"]),
        filter=kind,
        squash_filter=kind,
    )
