"""Weights in files: read without running code, unwrapped, and loaded strictly.

    read = read_weights(Path("checkpoint.pth"))
    load_strictly(module, read.state, Path("checkpoint.pth"))
    read.unwrapped                      # "taken from state_dict, without module."

Training programs save a state_dict inside a checkpoint, and DataParallel, torch.compile and wrapper
modules put a prefix before each of its names. MAE's program saves its options too, in an
argparse.Namespace: an object of plain values, which runs nothing.
"""

import argparse
import hashlib
import os
import re
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from utils import UserError, one_line

CHECKPOINT_KEYS = ("state_dict", "model", "state_dict_m", "model_state_dict")
PREFIXES = ("module.", "_orig_mod.", "model.")
# Parts of the ResNets of the score deviation paper's program -> torchvision's names of them.
SCENE_NETWORK_PARTS = {
    "in_block.0": "conv1",
    "in_block.1": "bn1",
    "encoder1": "layer1",
    "encoder2": "layer2",
    "encoder3": "layer3",
    "encoder4": "layer4",
}
WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"  # read by torch.load


@dataclass(frozen=True)
class Weights:
    """A state_dict, and what it was taken out of, in words; empty where it stood alone."""

    state: dict[str, torch.Tensor]
    unwrapped: str = ""


def read_weights(path: Path, *, option: str = "--weights") -> Weights:
    """Return the state_dict in a .pth or .safetensors file; code in the file is not run.

    Args:
        path: the file: a state_dict, or a checkpoint with one under a usual name.
        option: by which an error names the file.

    Raises:
        UserError: the file is missing, damaged, or has no state_dict.
    """
    if not path.is_file():
        raise UserError(f"{option} {path}: no such file")
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            with torch.serialization.safe_globals([argparse.Namespace]):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in many ways
        kind = type(error).__name__
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise UserError(f"{option} {path}: not enough memory to read it") from error
        raise UserError(f"{option} {path}: not a readable state_dict ({kind})") from error
    if is_state(content):
        return Weights(content)
    if isinstance(content, dict):
        for key in CHECKPOINT_KEYS:
            if is_state(content.get(key)):
                return Weights(dict(content[key]), unwrapped=f"taken from {key}")
    raise UserError(
        f"{option} {path}: not a state_dict, that is, names and tensors only, nor a checkpoint "
        f"with one under {', '.join(CHECKPOINT_KEYS)}"
    )


def is_state(content: Any) -> bool:
    """Return whether this is a state_dict: names with tensors, one at least."""
    is_dict = isinstance(content, Mapping) and len(content) > 0
    return is_dict and all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in content.items()
    )


def without_prefixes(weights: Weights, wanted: Container[str] = ()) -> Weights:
    """Return weights less the prefixes that all their names have and no wanted name needs.

    Args:
        weights: as they were read.
        wanted: names of the module's own; where one of them is there, nothing is removed.
    """
    state = weights.state
    removed = ""
    while state and not any(name in wanted for name in state):
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in state)), None)
        if prefix is None:
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
        removed += prefix
    if not removed:
        return weights
    parts = [weights.unwrapped, f"without {removed}"]
    return Weights(state, unwrapped=", ".join(filter(None, parts)))


def with_torchvision_names(weights: Weights) -> Weights:
    """Return weights of the published scene recognition ResNets in torchvision's names.

    That program wraps torchvision's ResNet and calls its stem in_block and its stages encoder1 to
    encoder4; the numbers are the same. Other weights are returned as they are.
    """
    if "in_block.0.weight" not in weights.state:
        return weights
    state = {}
    for name, value in weights.state.items():
        part = next((p for p in SCENE_NETWORK_PARTS if name.startswith(f"{p}.")), None)
        if part is not None:
            name = SCENE_NETWORK_PARTS[part] + name.removeprefix(part)
        state[name] = value
    parts = [weights.unwrapped, "in_block and encoder renamed"]
    return Weights(state, unwrapped=", ".join(filter(None, parts)))


def load_strictly(
    module: torch.nn.Module, state: dict, path: Path, *, option: str = "--weights"
) -> None:
    """Load a state_dict in which nothing is missing, left over, or of another shape.

    Raises:
        UserError: the first key that does not fit.
    """
    problem = f"{option} {path}: of another architecture"
    # Two conventions of old files that PyTorch and torchvision read as well: DenseNet's "norm.1",
    # and batch normalisation without counts.
    for key in [key for key in state if ".denselayer" in key]:
        state[re.sub(r"(norm|relu|conv)\.([12])", r"\1\2", key)] = state.pop(key)
    wanted = module.state_dict()
    for key, value in wanted.items():
        if key.endswith("num_batches_tracked"):
            state.setdefault(key, value)
        if key not in state:
            raise UserError(f"{problem}: {key} is missing")
        if state[key].shape != value.shape:
            found = tuple(state[key].shape)
            raise UserError(f"{problem}: {key} is {found}, the model's is {tuple(value.shape)}")
    extra = next((key for key in state if key not in wanted), None)
    if extra:
        raise UserError(f"{problem}: the model has no {extra}")
    for key in wanted:
        if state[key].is_meta or state[key].layout != torch.strided:
            raise UserError(f"{option} {path}: {key} has no dense numbers")
        if state[key].is_complex():
            raise UserError(f"{option} {path}: {key} has complex numbers")
        if state[key].is_floating_point() and not bool(torch.isfinite(state[key].float()).all()):
            raise UserError(f"{option} {path}: {key} has numbers that are NaN or infinite")
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{option} {path}: cannot be loaded: {one_line(error)[:200]}") from error


def state_sha256(module: torch.nn.Module) -> str:
    """Return the SHA-256 of a module's state_dict: its names and values."""
    digest = hashlib.sha256()
    for key, value in module.state_dict().items():
        digest.update(key.encode())
        data = value.cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(data.numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def weights_only() -> Iterator[None]:
    """Have torch.load run no code in a file, also where a library asks it to."""
    before = os.environ.get(WEIGHTS_ONLY)
    os.environ[WEIGHTS_ONLY] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[WEIGHTS_ONLY]
        else:
            os.environ[WEIGHTS_ONLY] = before
