"""Throughput of the engine, by kind of request and batch size, beside the bare network's.

lines = check_speed(engine, case, seconds=10)
"""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from experiments.self_test_memory import limited, random_masks
from experiments.self_test_table import Line
from running.image_case import ImageCase
from scoring.batching import Batching, Task
from scoring.compilation import Forward
from scoring.engine import Engine
from scoring.memory import BatchLimit
from scoring.networks import class_probabilities
from scoring.requests import Kind, Request, Steps

SMALL_ON_A_CPU = 1
AT_MOST = 1.05  # synchronisations per batch, where one is meant


@dataclass
class Synchronisations:
    """How often the host waited for the device, beside the one wait of each batch."""

    number: int = 0


@contextmanager
def synchronisations(device: torch.device) -> Iterator[Synchronisations]:
    """Count operations that wait for a CUDA device; PyTorch warns of each."""
    counted = Synchronisations()
    if device.type != "cuda":
        yield counted
        return
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield counted
        counted.number = sum("synchroniz" in str(one.message) for one in caught)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def check_speed(engine: Engine, case: ImageCase, *, seconds: float) -> list[Line]:
    """Measure every kind of request at a small, and at the engine's own, batch size.

    Args:
        engine: the network.
        case: an image.
        seconds: for everything.
    """
    kinds: list[Kind] = ["float32", "gradient"]
    if engine.reduced is not None:
        kinds.insert(1, "reduced")
    measured = [(kind, size) for kind in kinds for size in sizes_of(engine, kind)]
    each = seconds / (2 * len(measured))
    return [line for kind, size in measured for line in speed_lines(engine, case, kind, size, each)]


def sizes_of(engine: Engine, kind: Kind) -> list[int]:
    """Return the batch sizes that are measured."""
    largest = engine.limits[kind].size
    shapes = [shape for shape in engine.shapes(kind) if shape <= largest]
    return sorted({SMALL_ON_A_CPU, largest}) if not shapes else sorted({shapes[0], shapes[-1]})


def speed_lines(
    engine: Engine, case: ImageCase, kind: Kind, size: int, seconds: float
) -> list[Line]:
    """Return a line with the speed, and one about synchronisations where there is a GPU."""
    masks = random_masks(size, case.num_patches)
    bare = bare_speed(engine, case, kind, masks, seconds)
    counts = engine.counts[kind]
    batches = counts.batches
    answered = counts.masks
    rows = counts.rows
    with limited(engine, BatchLimit(size), kind), synchronisations(engine.device) as waits:
        start = time.monotonic()
        steps = [Task(i, repeat(case, kind, masks, start + seconds)) for i in range(engine.depth)]
        for finished in Batching(engine, at_once=engine.depth).run(steps):
            if finished.error is not None:
                raise finished.error
        taken = time.monotonic() - start
    speed = (counts.masks - answered) / taken
    fill = (counts.masks - answered) / (counts.rows - rows)
    found = f"{speed:,.1f} images/s, {speed / bare:.0%} of the bare network, filled to {fill:.0%}"
    lines = [Line(f"{kind}, batches of {size}", found)]
    if engine.device.type == "cuda":
        per_batch = 1 + waits.number / (counts.batches - batches)
        found = f"{per_batch:.2f} a batch"
        lines.append(Line("synchronisations", found, passed=per_batch <= AT_MOST))
    return lines


def repeat(case: ImageCase, kind: Kind, masks: torch.Tensor, end: float) -> Steps[None]:
    """Ask about the same masks until a time.monotonic(), at least twice."""
    yield Request(case.slot, masks, kind=kind)
    yield Request(case.slot, masks, kind=kind)
    while time.monotonic() < end:
        yield Request(case.slot, masks, kind=kind)


def bare_speed(
    engine: Engine, case: ImageCase, kind: Kind, masks: torch.Tensor, seconds: float
) -> float:
    """Return images per second of the network alone; for gradients, forward and backward."""
    forward = engine.exact if kind == "float32" else (engine.reduced or engine.exact)
    images = case.slot.image.expand(len(masks), -1, -1, -1).contiguous()
    run_once(forward, images, case.category, kind)
    count = 0
    start = time.monotonic()
    while count == 0 or time.monotonic() < start + seconds:
        run_once(forward, images, case.category, kind)
        count += len(images)
    return count / (time.monotonic() - start)


def run_once(forward: Forward, images: torch.Tensor, category: int, kind: Kind) -> None:
    """Run the network once, and wait until the device has finished."""
    if kind != "gradient":
        with torch.no_grad():
            forward(images).sum().item()
        return
    leaf = images.clone().requires_grad_()
    confidences = class_probabilities(forward(leaf))[:, category]
    torch.autograd.grad(confidences.sum(), leaf)[0].sum().item()
