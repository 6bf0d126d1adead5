"""Patch sets: tuples of patch numbers. No PyTorch, so that records can be read without it."""

from collections.abc import Iterable

PatchSet = tuple[int, ...]  # ascending patch numbers, counted row by row from 0


def canonical(patches: Iterable[int]) -> PatchSet:
    """Return a patch set in its one spelling: ascending, without repeats."""
    return tuple(sorted({int(patch) for patch in patches}))
