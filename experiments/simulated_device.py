"""A simulated device: batches cost simulated time, and planted classifiers answer their masks.

    device = SimulatedDevice(H100, classifiers)
    for finished in Batching(device, at_once=32).run(tasks): ...
    device.clock.elapsed, device.share, device.fill

Nothing sleeps. A batch costs max(launch, rows / rate); batches run one after the other, beside the
host as long as it does not wait for them. Only what the host computes between the device's calls is
measured in real time, and put onto the same clock where the device is asked to count it.

A slot's category is the number of the classifier that answers it. It gives the same answer in both
precisions, so that a search in the reduced one takes the way that its record took in float32.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from scoring.batching import Part, rows_of
from scoring.engine import BatchCounts
from scoring.memory import BatchLimit
from scoring.requests import KINDS, Kind

GRADIENT_ROWS = 3  # a backward pass costs two forward passes


@dataclass(frozen=True)
class DeviceModel:
    """How fast a device is.

    Attributes:
        name: of the device.
        reduced: images per second in the reduced precision.
        float32: images per second in float32.
        launch: seconds that the smallest batch takes.
        depth: number of batches in flight.
        shapes: batch shapes; none: a batch has any shape up to the largest.
        largest: number of rows of the largest batch.
        at_once: number of images in flight.
    """

    name: str
    reduced: float
    float32: float
    launch: float
    depth: int
    shapes: tuple[int, ...]
    largest: int
    at_once: int

    def row_seconds(self, kind: Kind) -> float:
        """Return what a row costs at the ceiling; a gradient runs in the reduced precision."""
        if kind == "float32":
            return 1 / self.float32
        return (GRADIENT_ROWS if kind == "gradient" else 1) / self.reduced


H100 = DeviceModel(
    "H100",
    reduced=12_000,
    float32=3_500,
    launch=0.003,
    depth=2,
    shapes=(16, 32, 64, 128, 256, 512),
    largest=512,
    at_once=32,
)
LAPTOP = DeviceModel(
    "laptop GPU",
    reduced=1_500,
    float32=700,
    launch=0.004,
    depth=2,
    shapes=(16, 32, 64, 128),
    largest=128,
    at_once=32,
)
CPU = DeviceModel(
    "CPU", reduced=100, float32=55, launch=0.0, depth=1, shapes=(), largest=8, at_once=1
)
DEVICES = (H100, LAPTOP, CPU)


class Classifier(Protocol):
    """A function of masks, as a network and an image are."""

    def confidences(self, masks: np.ndarray) -> np.ndarray:
        """Return the confidences of masks (N, patches), (N,)."""

    def gradients(self, masks: np.ndarray) -> np.ndarray:
        """Return their gradients with respect to the masks, (N, patches)."""


@dataclass
class Clock:
    """Simulated time.

    Attributes:
        counts_host: whether what the host computes takes simulated time.
        now: of the host, in seconds.
        device_free: when the device has finished everything that was launched.
        host_seconds: real seconds that the host computed.
    """

    counts_host: bool = False
    now: float = 0.0
    device_free: float = 0.0
    host_seconds: float = 0.0
    _left: float | None = None  # when the host was last given control, in its own time

    @property
    def elapsed(self) -> float:
        """Simulated seconds until everything was finished."""
        return max(self.now, self.device_free)

    def start(self) -> None:
        """Begin to measure the host."""
        self._left = time.thread_time()

    def take_control(self) -> None:
        """Count what the host has computed; until give_control() nothing is counted."""
        if self._left is None:
            return
        spent = time.thread_time() - self._left
        self.host_seconds += spent
        if self.counts_host:
            self.now += spent

    def give_control(self) -> None:
        """Let the host go on."""
        if self._left is not None:
            self._left = time.thread_time()

    def launch(self, seconds: float) -> float:
        """Start something on the device and return when it will be finished."""
        self.device_free = max(self.device_free, self.now) + seconds
        return self.device_free

    def wait_until(self, moment: float) -> None:
        """Have the host wait."""
        self.now = max(self.now, moment)


@dataclass(frozen=True)
class Handle:
    """A batch in flight: its answers, and when they are there."""

    answers: list[Any]
    finished: float


@dataclass
class SimulatedDevice:
    """A Device for scoring.batching.Batching; see the module's docstring.

    Attributes:
        model: how fast it is.
        classifiers: by number.
        clock: simulated time.
        counts: of the batches, by kind.
        ceiling_seconds: what all rows that were asked for would take at the device's best rate.
        lone_passes: number of forward passes outside of batches.
    """

    model: DeviceModel
    classifiers: Sequence[Classifier]
    clock: Clock = field(default_factory=Clock)
    counts: dict[Kind, BatchCounts] = field(
        default_factory=lambda: {kind: BatchCounts() for kind in KINDS}
    )
    ceiling_seconds: float = 0.0
    lone_passes: int = 0

    def __post_init__(self) -> None:
        """Set what Batching looks at."""
        largest = self.model.largest
        self.depth = self.model.depth
        self.limits = {kind: BatchLimit(largest) for kind in KINDS}
        if self.model.shapes:  # as scoring.engine has it: the layers' outputs are kept
            self.limits["gradient"] = BatchLimit(largest // 2)

    def shapes(self, kind: Kind) -> Sequence[int]:
        """Return the batch shapes that there are."""
        return self.model.shapes

    def launch(self, kind: Kind, parts: Sequence[Part]) -> Handle:
        """Start a batch."""
        self.clock.take_control()
        masks = sum(map(len, parts))
        rows = masks if kind == "gradient" else rows_of(self, kind, masks)
        counts = self.counts[kind]
        counts.batches += 1
        counts.masks += masks
        counts.rows += rows
        row_seconds = self.model.row_seconds(kind)
        self.ceiling_seconds += masks * row_seconds
        finished = self.clock.launch(max(self.model.launch, rows * row_seconds))
        answers = [answer for part in parts for answer in self._answers(kind, part)]
        self.clock.give_control()
        return Handle(answers, finished)

    def wait(self, handle: Handle) -> list[Any]:
        """Wait for a batch and return its answers."""
        self.clock.take_control()
        self.clock.wait_until(handle.finished)
        self.clock.give_control()
        return handle.answers

    def run_alone(self, rows: int) -> None:
        """Run a forward pass that shares no batch, in float32, and wait for it."""
        self.clock.take_control()
        seconds = rows * self.model.row_seconds("float32")
        self.ceiling_seconds += seconds
        self.lone_passes += 1
        self.clock.wait_until(self.clock.launch(max(self.model.launch, seconds)))
        self.clock.give_control()

    def _answers(self, kind: Kind, part: Part) -> list[Any]:
        classifier = self.classifiers[part.request.slot.category]
        masks = part.request.masks[part.start : part.stop].numpy()
        if kind == "gradient":
            return list(torch.from_numpy(classifier.gradients(masks)))
        return classifier.confidences(masks).astype(float).tolist()

    @property
    def share(self) -> float:
        """Share of the ceiling that was reached."""
        return self.ceiling_seconds / self.clock.elapsed if self.clock.elapsed else 1.0

    @property
    def batches(self) -> int:
        """Number of batches of all kinds."""
        return sum(counts.batches for counts in self.counts.values())

    @property
    def masks(self) -> int:
        """Number of masks that were asked for."""
        return sum(counts.masks for counts in self.counts.values())

    @property
    def fill(self) -> float:
        """Share of the rows that ran which were asked for."""
        rows = sum(counts.rows for counts in self.counts.values())
        return self.masks / rows if rows else 1.0

    @property
    def synchronisations(self) -> float:
        """Number of times that the host waited for the device, per batch."""
        return (self.batches + self.lone_passes) / self.batches if self.batches else 0.0
