"""A device without a network: it answers masks from tables, and notes its batches."""

from collections import deque
from types import SimpleNamespace

import numpy as np
import torch

from diverse_search import diverse_search
from scoring.memory import BatchLimit
from scoring.patches import masks_of
from scoring.requests import KINDS, Request, Slot
from search import beam_search, combinatorial_search, exhaustive_search

NO_IMAGE = torch.empty(0)
EIGHT = np.arange(8.0)  # patches by number, the first the most salient
EIGHT_PATCH_SEARCHES = {  # with limits that stop none of them early
    "beam": lambda: beam_search(EIGHT, max_num_roots=50),
    "combinatorial": lambda: combinatorial_search(EIGHT, comb_top=8),
    "exhaustive": lambda: exhaustive_search(8, max_size=8),
    "diverse": lambda: diverse_search(EIGHT, overlap=2, max_num_roots=50),
}


def planted_slot(num_patches=8, *, dropped=None):
    """Return a slot without pixels: a planted device knows its answers by itself."""
    basis = SimpleNamespace(num_patches=num_patches)
    return Slot(NO_IMAGE, NO_IMAGE, category=0, basis=basis, dropped=dropped)


def ask(slot, sets, kind="float32", **options):
    """Return a request for patch sets."""
    return Request(slot, masks_of(sets, slot.num_patches), kind=kind, **options)


def sets_in(part):
    """Return the patch sets of a part of a request."""
    rows = part.request.masks[part.start : part.stop]
    return [tuple(row.nonzero()[:, 0].tolist()) for row in rows]


class PlantedDevice:
    """Answers as `confidence(slot, kind, patches)` says.

    Attributes:
        depth, limits: see scoring.batching.Device.
        launched: the batches so far, each a kind and the (slot, sets) of its parts.
        in_flight: number of batches that were launched and not waited for.
    """

    def __init__(self, confidence, *, depth=1, limit=8, shapes=()):
        self.confidence = confidence
        self.depth = depth
        self.limits = {kind: BatchLimit(limit) for kind in KINDS}
        self.launched = []
        self._shapes = shapes
        self._handles = deque()

    def shapes(self, kind):
        return self._shapes

    def launch(self, kind, parts):
        assert self.in_flight < self.depth, "more batches in flight than the device takes"
        assert sum(map(len, parts)) <= self.limits[kind].size, "a batch beyond the limit"
        batch = SimpleNamespace(
            kind=kind,
            parts=[(part.request.slot, sets_in(part)) for part in parts],
            answered=False,
        )
        self.launched.append(batch)
        self.fails_at_launch(batch)
        self._handles.append(batch)
        return batch

    def wait(self, handle):
        assert handle is self._handles.popleft(), "answers are read in the order of the batches"
        self.fails(handle)
        handle.answered = True
        return [
            self.confidence(slot, handle.kind, patches)
            for slot, sets in handle.parts
            for patches in sets
        ]

    def fails_at_launch(self, batch):
        """Raise an error where a test wants one when a batch starts."""

    def fails(self, batch):
        """Raise an error where a test wants one when a batch's answers are read."""

    @property
    def in_flight(self):
        return len(self._handles)

    @property
    def sizes(self):
        """Number of masks in each batch."""
        return [sum(len(sets) for _, sets in batch.parts) for batch in self.launched]

    def seen(self, kind=None):
        """Return every (slot, kind, patch set) that was launched, in order."""
        return [
            (slot, batch.kind, patches)
            for batch in self.launched
            for slot, sets in batch.parts
            for patches in sets
            if kind in (None, batch.kind)
        ]
