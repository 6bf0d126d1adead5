"""Scores of one image for several classes: a pass that is made for one class answers for all.

shared = SharedScores([84, 21, 90])
answerer = Answerer(slot, shared=shared)    # one for each class, one class after the other
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from scoring.patch_sets import PatchSet
from scoring.requests import Kind


class SharedScores:
    """What passes for one class have brought for the others.

    Args:
        categories: indices of the classes that are explained, one after the other.
    """

    def __init__(self, categories: Sequence[int]):
        self.categories = tuple(categories)
        self._tables: defaultdict[tuple[int, Kind], dict[PatchSet, float]] = defaultdict(dict)

    def others_than(self, category: int) -> tuple[int, ...]:
        """Return the classes that come after a class: those whose scores will be of use."""
        return self.categories[self.categories.index(category) + 1 :]

    def known(self, category: int, kind: Kind) -> Mapping[PatchSet, float]:
        """Return a class's probabilities from passes for other classes."""
        return self._tables[category, kind]

    def note(
        self,
        category: int,
        kind: Kind,
        sets: Sequence[PatchSet],
        answers: Sequence[Sequence[float] | None],
    ) -> None:
        """Keep the answers for the other classes.

        Args:
            category: the class that the passes were made for.
            kind: in which way they were answered.
            sets: of patches.
            answers: one per set, the class's own probability and those of others_than() it; None:
                not answered.
        """
        for place, other in enumerate(self.others_than(category), start=1):
            table = self._tables[other, kind]
            for patches, answer in zip(sets, answers):
                if answer is not None:
                    table[patches] = answer[place]
