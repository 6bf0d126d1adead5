"""Where a training runs: a device, and this process among those that torchrun started.

    place = place_of("auto", "auto")
    total, count = summed([loss, images], place)        # over all processes
    is_done = from_first(is_done)                       # what the first process says

Without torchrun there is one process, and all of this does nothing.
"""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

from scoring.networks import choose_device

T = TypeVar("T")
LONGEST_WAIT = timedelta(days=1)  # for a process that measures while the others wait


@dataclass(frozen=True)
class Place:
    """Where a training runs: a device, and this process among others.

    Attributes:
        device: of the modules.
        precision: of the forward passes.
        rank: number of this process; 0 writes files.
        world: number of processes.
    """

    device: torch.device
    precision: torch.dtype = torch.float32
    rank: int = 0
    world: int = 1

    def autocast(self) -> AbstractContextManager:
        """Return the context of a forward pass."""
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.precision)


def processes() -> int:
    """Return how many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def place_of(device: str, precision: str) -> Place:
    """Return where this process trains; of those that torchrun started, its own device.

    Args:
        device: auto, cpu, cuda or mps.
        precision: auto, float32, bfloat16 or float16; auto: half precision on CUDA.

    Raises:
        UserError: there is no such device.
    """
    world = processes()
    chosen = choose_device(device)
    if world > 1:
        rank = int(os.environ.get("LOCAL_RANK", "0"))
        if chosen.type == "cuda":
            chosen = torch.device("cuda", rank)
            torch.cuda.set_device(chosen)
        if not distributed.is_initialized():
            kind = "nccl" if chosen.type == "cuda" else "gloo"
            distributed.init_process_group(kind, timeout=LONGEST_WAIT)
    kinds = {
        "float32": torch.float32,
        "bfloat16": torch.bfloat16,
        "float16": torch.float16,
        "auto": torch.float32,
    }
    if precision == "auto" and chosen.type == "cuda":
        has_bfloat16 = torch.cuda.is_bf16_supported()
        kinds["auto"] = torch.bfloat16 if has_bfloat16 else torch.float16
    own_rank = distributed.get_rank() if world > 1 else 0
    return Place(chosen, kinds[precision], rank=own_rank, world=world)


def wait() -> None:
    """Wait until all processes are here."""
    if distributed.is_initialized():
        distributed.barrier()


def from_first(value: T) -> T:
    """Return what the first process passes; all call it."""
    if not distributed.is_initialized():
        return value
    values = [value]
    distributed.broadcast_object_list(values)
    return values[0]


def summed(values: Sequence[float], place: Place) -> list[float]:
    """Return the sums of these numbers over all processes; all call it."""
    if not distributed.is_initialized():
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64, device=place.device)
    distributed.all_reduce(sums)
    return sums.tolist()
