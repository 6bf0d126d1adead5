"""What a search has learned about patches from the sets scored so far.

    known = Known(num_patches=49)
    known.add([(), (11,), (30,)], [0.01, 0.2, 0.3])
    patch_values(known.shown, log_odds(known.scores))      # what each patch adds, in log-odds

The log-odds of the class are fitted as a sum of patch values, by ridge regression towards what each
patch says alone.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from scoring.patch_sets import PatchSet
from scoring.questions import Asks

T = TypeVar("T")
RIDGE = 2.0  # how many sets must contradict what a patch says alone before it is believed
LEAST_VALUE = 0.05  # log-odds; every patch is assumed to add at least this much
LACK_WEIGHT = 10.0  # how much a patch that a set still lacks counts against one that it has
PROBABILITY_MARGIN = 1e-6  # probabilities are kept this far from 0 and 1


class Known:
    """Every set scored so far.

    Attributes:
        sets: the sets, in the order in which they were scored.
        scores: their probabilities.
        shown: the sets as rows of 0 and 1, (sets, patches) float32.
    """

    def __init__(self, num_patches: int):
        self.sets: list[PatchSet] = []
        self.scores: list[float] = []
        self.row: dict[PatchSet, int] = {}
        self.shown = np.zeros((0, num_patches), np.float32)

    def score_of(self, patches: PatchSet) -> float:
        """Return the score of a set that has been scored."""
        return self.scores[self.row[patches]]

    def learn(self, search: Asks[T]) -> Asks[T]:
        """Pass on what a search asks, and remember the answers. A TimeoutError reaches it too."""
        try:
            question = next(search)
            while True:
                try:
                    answers = yield question
                except TimeoutError as late:
                    question = search.throw(late)
                    continue
                self.add(question.sets, answers)
                question = search.send(answers)
        except StopIteration as end:
            return end.value

    def add(self, sets: Sequence[PatchSet], scores: Sequence[float]) -> None:
        """Remember the scores of sets."""
        new = {s: score for s, score in zip(sets, scores) if s not in self.row}
        rows = np.zeros((len(new), self.shown.shape[1]), np.float32)
        for row, (patches, score) in zip(rows, new.items()):
            row[list(patches)] = 1
            self.row[patches] = len(self.sets)
            self.sets.append(patches)
            self.scores.append(score)
        self.shown = np.concatenate([self.shown, rows])


class Outlook:
    """What may still become of each known set, now that these MSEs are found.

    A set is open while it is insufficient, contains no MSE and overlaps none too much. Its lack is
    how many more patches it should need to become sufficient, the best allowed ones first, if patch
    values added up.
    """

    def __init__(
        self,
        known: Known,
        order: list[int],
        found: Sequence[PatchSet],
        overlap: int,
        threshold: float,
    ):
        roots = np.zeros((len(found), len(order)), np.float32)
        for row, patches in zip(roots, found):
            row[list(patches)] = 1
        shared = known.shown @ roots.T  # (sets, roots)
        scores = np.array(known.scores)  # (sets,)
        odds = log_odds(scores)
        values = patch_values(known.shown, odds)
        # What contains a whole MSE is not minimal.
        most_shared = np.minimum(overlap, roots.sum(1) - 1)
        used_up = (shared == most_shared).astype(np.float32) @ roots  # (sets, patches)
        self.known = known
        self.open = (shared <= most_shared).all(1) & (scores <= threshold)  # (sets,)
        self.allowed = (known.shown == 0) & (used_up == 0)  # (sets, patches)
        gains = np.where(self.allowed, np.maximum(values, LEAST_VALUE), 0)
        self.lack = patches_needed(gains, log_odds(threshold) - odds)
        self.values = values  # (patches,), log-odds
        # sorted() is stable: ties by saliency.
        self.ranked = sorted(order, key=lambda patch: -values[patch])

    def is_open(self, patches: PatchSet) -> bool:
        """Return whether a set is open."""
        return bool(self.open[self.known.row[patches]])

    def size(self, patches: PatchSet) -> float:
        """Return the number of patches at which a set should become sufficient."""
        return len(patches) + float(self.lack[self.known.row[patches]])

    def most_promising(self) -> list[PatchSet]:
        """Return all open sets, those that lack least first, ties to the smaller."""
        cost = self.known.shown.sum(1) + (1 + LACK_WEIGHT) * self.lack
        return [self.known.sets[i] for i in np.argsort(cost, kind="stable") if self.open[i]]

    def successors(self, patches: PatchSet) -> list[PatchSet]:
        """Return a set with one more allowed patch, the most valuable first."""
        allowed = self.allowed[self.known.row[patches]]
        return [tuple(sorted((*patches, patch))) for patch in self.ranked if allowed[patch]]


def patch_values(shown: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """Return what each patch adds to the class's log-odds, fitted to all sets scored.

    Ridge regression towards the log-odds of each single patch over those of the weakest, which is
    optimistic: networks answer to patches together.

    Args:
        shown: (sets, patches), 0 or 1, with every single patch among them.
        odds: (sets,), log-odds of each set.

    Returns:
        Array of shape (patches,).
    """
    is_single = shown.sum(1) == 1
    alone = np.zeros(shown.shape[1])
    alone[shown[is_single].argmax(1)] = odds[is_single]
    prior = alone - alone.min()
    centred = shown - shown.mean(0)
    residual = odds - shown @ prior
    gram = centred.T @ centred + RIDGE * np.eye(len(prior))
    return prior + np.linalg.solve(gram, centred.T @ (residual - residual.mean()))


def log_odds(probability: npt.ArrayLike) -> np.ndarray:
    """Return log p / (1 - p), with p kept 1e-6 away from 0 and 1."""
    return logit(np.clip(probability, PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN))


def patches_needed(gains: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """Return how many of a row's gains, largest first, sum to what is needed; fractions count.

    For example, gains of 3, 1 and 2 reach 4 with 1.5 patches: all of the 3, and half of the 2.
    Where all gains together are not enough, it is one more than there are patches.

    Args:
        gains: (sets, patches), not negative.
        needed: (sets,).

    Returns:
        Array of shape (sets,).
    """
    num_patches = gains.shape[1]
    rows = np.arange(len(gains))
    largest_first = np.sort(gains, 1)[:, ::-1]
    sums = np.cumsum(largest_first, 1)
    whole = (sums < needed[:, None]).sum(1)  # number of gains that are used up
    sum_of_whole = np.where(whole > 0, sums[rows, np.maximum(whole - 1, 0)], 0)
    next_gain = largest_first[rows, np.minimum(whole, num_patches - 1)]
    fraction = (needed - sum_of_whole) / np.maximum(next_gain, 1e-9)
    return np.where(whole < num_patches, whole + fraction, num_patches + 1)
