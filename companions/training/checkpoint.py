"""Checkpoints of trainings, written whole."""

import os
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
