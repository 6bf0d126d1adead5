"""Networks of timm: timm/NAME.

    loaded = load_timm("convnext_tiny.fb_in1k", None)

The preprocessing is the one that timm's configuration names for the weights. timm reads weights
without running code in them.
"""

import difflib
from pathlib import Path
from typing import Any, get_args

import torch

from scoring.fitting import Filter
from scoring.loaded import Loaded, brief, library, quietly
from scoring.preprocessing import Preprocessing
from scoring.weights import Weights, load_strictly, read_weights, weights_only, without_prefixes
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
    classes = _classes_of(module, read)
    if classes not in (None, module.num_classes):
        module = _untrained(timm, name, option, num_classes=classes)
    load_strictly(module, read.state, path)
    return module, read.unwrapped


def _untrained(timm: Any, name: str, option: str, **arguments: Any) -> torch.nn.Module:
    try:
        return timm.create_model(name, pretrained=False, **arguments)
    except Exception as error:  # no weights of that name, or no such number of classes
        raise UserError(f"{option}: {brief(error)}") from error


def _classes_of(module: Any, weights: Weights) -> int | None:
    """Return how many classes weights have; None where they do not say."""
    classifier = module.pretrained_cfg.get("classifier")
    if isinstance(classifier, list | tuple):  # of the class token, of the distillation token
        classifier = classifier[0]
    last = weights.state.get(f"{classifier}.weight")
    return None if last is None else len(last)


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
