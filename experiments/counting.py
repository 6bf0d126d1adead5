"""A scorer that counts the different sets that a search asks for."""

from collections.abc import Callable, Sequence

from scoring.patches import PatchSet


class CountingScorer:
    """A scorer that passes every call on and remembers the sets asked for.

    Attributes:
        asked: The different sets asked for.

    Args:
        scorer: A callable from patch sets to probabilities.
    """

    def __init__(self, scorer: Callable):
        self.scorer = scorer
        self.asked: set[PatchSet] = set()

    def __call__(self, patch_sets: Sequence[PatchSet]):
        """Return what the scorer returns for these sets."""
        self.asked.update(patch_sets)
        return self.scorer(patch_sets)
