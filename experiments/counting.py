"""A scorer that counts the different sets that a search asks for."""

from collections.abc import Iterable, Sequence

from scoring.patch_sets import PatchSet
from search import Scorer


class CountingScorer:
    """A scorer that passes every call on and remembers the sets asked for.

    Attributes:
        asked: The different sets asked for.

    Args:
        scorer: A callable from patch sets to probabilities.
    """

    def __init__(self, scorer: Scorer):
        self.scorer = scorer
        self.asked: set[PatchSet] = set()

    def __call__(self, patch_sets: Sequence[PatchSet]) -> Iterable[float]:
        """Return what the scorer returns for these sets."""
        self.asked.update(patch_sets)
        return self.scorer(patch_sets)
