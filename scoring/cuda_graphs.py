"""Batches as captured CUDA graphs, one per batch shape and kind of request.

    graphed = GraphedBatches(basis, forwards, example, slots=64)
    logits = graphed.run("reduced", masks, slots, shape=512)

A graph launches a whole pass, composition included, with a single call. Its inputs lie at fixed
places: the masks, and the number of each mask's image. The images themselves lie in a bank on the
device. One thread captures and replays. After an out-of-memory, drop() frees all graphs, and they
are captured again as they are needed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from scoring.compilation import Forward
from scoring.patches import Basis
from scoring.requests import Kind, Slot

WARM_UP_PASSES = 3  # before a capture, so that libraries have chosen their kernels


class SlotBank:
    """Images on the device, by number.

    Args:
        example: a slot; all have its size and device.
        most: number of images that fit; then the one that was used longest ago makes room.
    """

    def __init__(self, example: Slot, most: int):
        image = example.image
        self.baselines = image.new_zeros(most, *image.shape)
        self.differences = torch.zeros_like(self.baselines)
        self.numbers: dict[Slot, int] = {}  # the one that was used longest ago comes first
        self.most = most

    def numbers_of(self, slots: Sequence[Slot]) -> list[int]:
        """Return the number of each slot; new ones are copied to the bank.

        Raises:
            ValueError: more different slots than the bank has room for.
        """
        wanted = dict.fromkeys(slots)
        if len(wanted) > self.most:
            raise ValueError(f"{len(wanted)} images in a bank for {self.most}")
        for slot in wanted:
            if slot in self.numbers:
                self.numbers[slot] = self.numbers.pop(slot)  # used last
        for slot in wanted:
            if slot not in self.numbers:
                self._put(slot)
        return [self.numbers[slot] for slot in slots]

    def _put(self, slot: Slot) -> None:
        number = len(self.numbers)
        if number == self.most:
            number = self.numbers.pop(next(iter(self.numbers)))
        self.baselines[number] = slot.baseline
        self.differences[number] = slot.image - slot.baseline
        self.numbers[slot] = number


@dataclass(frozen=True)
class Graph:
    """A captured pass: copy the inputs, replay, read the outputs."""

    masks: torch.Tensor  # (shape, patches)
    numbers: torch.Tensor  # (shape,)
    replay: Callable[[], None]
    logits: torch.Tensor  # (shape, classes)


class GraphedBatches:
    """Runs masks of a grid as graphs; see the module's docstring.

    Args:
        basis: the tents of the grid, on the device.
        forwards: by kind, images to logits.
        example: a slot; all have its size.
        slots: number of images in the bank.
    """

    def __init__(
        self, basis: Basis, forwards: Mapping[Kind, Forward], example: Slot, *, slots: int = 64
    ):
        self.basis = basis
        self.forwards = forwards
        self.bank = SlotBank(example, slots)
        self.graphs: dict[tuple[Kind, int], Graph] = {}
        self._pool: Any = None  # of memory; all graphs share it, for only one replays at a time

    def can_run(self, slots: Sequence[Slot]) -> bool:
        """Return whether these images are cut like the bank's, and fit into it."""
        distinct = set(slots)
        if len(distinct) > self.bank.most:
            return False
        return all(slot.basis is self.basis and slot.dropped is None for slot in distinct)

    def run(
        self, kind: Kind, masks: torch.Tensor, slots: Sequence[Slot], *, shape: int
    ) -> torch.Tensor:
        """Return the logits of masks (rows, patches); the next run overwrites them.

        Args:
            kind: of the request.
            masks: on the CPU, pinned.
            slots: the image of each mask.
            shape: of the batch, at least as many rows.
        """
        graph = self.graphs.get((kind, shape))
        if graph is None:
            graph = self.capture(kind, shape)
            self.graphs[kind, shape] = graph
        numbers = torch.tensor(self.bank.numbers_of(slots))
        if numbers.device != graph.numbers.device:
            numbers = numbers.pin_memory()
        graph.masks[: len(masks)].copy_(masks, non_blocking=True)
        graph.numbers[: len(masks)].copy_(numbers, non_blocking=True)
        graph.replay()
        return graph.logits

    def drop(self) -> None:
        """Free all graphs."""
        self.graphs.clear()
        self._pool = None

    @torch.no_grad()
    def capture(self, kind: Kind, shape: int) -> Graph:
        """Capture a pass of one shape."""
        device = self.bank.baselines.device
        masks = torch.zeros(shape, self.basis.num_patches, device=device)
        numbers = torch.zeros(shape, dtype=torch.long, device=device)
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP_PASSES):
                self.compute(kind, masks, numbers)
        torch.cuda.current_stream().wait_stream(beside)
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            logits = self.compute(kind, masks, numbers)
        return Graph(masks, numbers, graph.replay, logits)

    @torch.no_grad()
    def compute(self, kind: Kind, masks: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """Return the logits of masks of the images with these numbers, (rows, classes)."""
        weights = self.basis.weights(masks)[:, None]
        baselines = self.bank.baselines[numbers]
        images = torch.addcmul(baselines, weights, self.bank.differences[numbers])
        return self.forwards[kind](images)
