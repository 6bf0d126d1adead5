"""A simulated lack of memory: the real engine and batches, on a device that refuses large ones.

    lines = check_memory(engine, case)

The first batches above a number of rows raise PyTorch's error. The batch has to be halved, the
answers have to stay what they were, and the batch has to grow back.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from experiments.self_test_table import Line
from running.image_case import ImageCase
from scoring.batching import Batching, Device, Part, rows_of
from scoring.devices import DEVICE_TOLERANCE
from scoring.engine import Engine
from scoring.memory import GROW_AFTER, BatchLimit
from scoring.requests import Kind, Request, Steps

SMALL = 2  # rows that always fit, where the device has no shapes
REFUSALS = 3  # launches from which on everything fits
KIND: Kind = "float32"


@dataclass
class ScarceMemory:
    """A device on which memory runs out for the first batches above a number of rows.

    Attributes:
        device: runs the batches.
        fits: number of rows that always fit.
        launches: so far.
        failures: launches for which memory ran out.
    """

    device: Device
    fits: int
    launches: int = 0
    failures: int = 0

    def __post_init__(self) -> None:
        """Take over what Batching looks at."""
        self.depth = self.device.depth
        self.limits = self.device.limits

    def shapes(self, kind: Kind) -> Sequence[int]:
        """Return the batch shapes that there are."""
        return self.device.shapes(kind)

    def launch(self, kind: Kind, parts: Sequence[Part]) -> Any:
        """Start a batch, unless it is large and one of the first."""
        self.launches += 1
        rows = rows_of(self.device, kind, sum(map(len, parts)))
        if rows > self.fits and self.launches <= REFUSALS:
            self.failures += 1
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. (simulated)")
        return self.device.launch(kind, parts)

    def wait(self, handle: Any) -> list[Any]:
        """Wait for a batch and return its answers."""
        return self.device.wait(handle)


@contextmanager
def limited(engine: Engine, limit: BatchLimit, kind: Kind = KIND) -> Iterator[None]:
    """Have the engine use another limit for a while."""
    own = engine.limits[kind]
    engine.limits[kind] = limit
    try:
        yield
    finally:
        engine.limits[kind] = own


def check_memory(engine: Engine, case: ImageCase) -> list[Line]:
    """Run masks with and without a lack of memory, and compare."""
    shapes = engine.shapes(KIND)
    small = shapes[0] if shapes else SMALL
    limit = BatchLimit(2 * small)
    masks = random_masks(small * (GROW_AFTER + 4), case.num_patches)
    with limited(engine, limit):
        expected = Batching(engine).run_one(confidences(case, masks))
        scarce = ScarceMemory(engine, fits=small)
        answers = Batching(scarce).run_one(confidences(case, masks))
    difference = float((answers - expected).abs().max())
    grew = "grown back" if limit.size == limit.most else f"still at {limit.size}"
    found = (
        f"refused {scarce.failures} batches above {small}: halved, {grew}, "
        f"answers differ by {difference:.1e}"
    )
    is_right = difference <= DEVICE_TOLERANCE and limit.size == limit.most
    return [Line("lack of memory", found, passed=is_right and scarce.failures > 0)]


def random_masks(number: int, num_patches: int) -> torch.Tensor:
    """Return masks (number, num_patches), each patch hidden or visible at random."""
    visible = np.random.default_rng(0).random((number, num_patches)) < 0.5
    return torch.from_numpy(visible.astype(np.float32))


def confidences(case: ImageCase, masks: torch.Tensor) -> Steps[torch.Tensor]:
    """Ask for the confidences of masks, (N,)."""
    answers = yield Request(case.slot, masks, kind=KIND)
    return torch.tensor(answers)
