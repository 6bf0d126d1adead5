"""Checkpoints of trainings: written whole, and read where they are whole."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from utils import written_beside


def on_cpu(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of a module's state_dict on the CPU."""
    return {key: value.detach().cpu().clone() for key, value in module.state_dict().items()}


def write_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint, atomically."""
    with written_beside(path) as new, open(new, "wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())


def load_checkpoint(path: Path, entries: Iterable[str]) -> dict[str, Any] | None:
    """Return the content of a checkpoint, on the CPU; code in it is not run.

    Args:
        path: the file.
        entries: what the content must have.

    Returns:
        The content; None where there is no such file, or it is damaged or lacks an entry.
    """
    if not path.is_file():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        is_whole = set(entries) <= set(content)
    except Exception:  # a damaged file fails in many ways
        return None
    return content if is_whole else None
