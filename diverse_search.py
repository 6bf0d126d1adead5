"""Diverse search: small explanations that overlap little, for few evaluations.

A beam that has found one MSE goes on finding its neighbours, and the diverse subset then throws
them away. This search takes no set that shares more than `overlap` patches with an MSE that it has.
A few paths grow at once, a patch at a time, each to the best of a few promising successors. A path
that becomes sufficient is minimised and proven (search.py), and from then on blocks its
neighbourhood.

What is promising is learned from every set scored so far: the log-odds of the class are fitted as a
sum of patch values (ridge regression towards what each patch says alone). A set's values give the
size at which it should become sufficient. The set that lacks least starts the next path, and a path
that would grow too large ends.

    found = answer(diverse_search(saliency, overlap=1, max_num_roots=10), scorer)

found.stopped_by may also be "max_evaluations" or, for overlap 0, "rest_insufficient": the patches
outside of all MSEs are insufficient together. "exhausted" means here that no set is left to start
from.

Not in the paper; the constraint is that of its diverse subset (Shitole et al., NeurIPS 2021,
section 4.2).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from scoring.curves import saliency_order
from scoring.patch_sets import PatchSet
from scoring.questions import Asks, Progress, Question
from search import MSE, PROVEN_UP_TO, SearchResult, drop_singles, opening, prove

T = TypeVar("T")
RIDGE = 2.0  # how many sets must contradict what a patch says alone before it is believed
LEAST_VALUE = 0.05  # log-odds; every patch is assumed to add at least this much
LACK_WEIGHT = 10.0  # how much a patch that a set still lacks counts against one that it has
WIDEN = 1.5  # factor by which the largest size worth trying grows where no path is left to start
PROBABILITY_MARGIN = 1e-6  # probabilities are kept this far from 0 and 1


def diverse_search(
    saliency: npt.ArrayLike,
    *,
    prob_thresh: float = 0.9,
    overlap: int = 1,
    max_num_roots: int = 10,
    max_root_size: int = 49,
    max_evaluations: float = 2000,
    num_paths: int = 4,
    num_successors: int = 5,
) -> Asks[SearchResult]:
    """Find MSEs no two of which share more than `overlap` patches.

    Args:
        saliency: one number per patch; lower values are more salient. Breaks ties.
        prob_thresh: sufficient is above this share of the full image's probability.
        overlap: number of patches that two MSEs may share.
        max_num_roots: stop at this many MSEs.
        max_root_size: paths end at sets of this many patches.
        max_evaluations: stop after this many different sets.
        num_paths: number of sets that grow at once (fuller batches).
        num_successors: number of patches that a path tries at each step.
    """
    order = saliency_order(saliency)
    opened = yield from opening(len(order), prob_thresh)
    if opened.stopped_by:
        return SearchResult((), opened.stopped_by)
    search = _Search(
        known=Known(len(order)),
        order=order,
        threshold=opened.threshold,
        overlap=overlap,
        max_num_roots=max_num_roots,
        max_root_size=max_root_size,
        max_evaluations=max_evaluations,
        num_paths=num_paths,
        num_successors=num_successors,
    )
    try:
        stopped_by = yield from search.run()
    except TimeoutError:
        stopped_by = "time_limit"
    return SearchResult.of(search.found.values(), stopped_by)


@dataclass
class _Search:
    """The state of one search."""

    known: "Known"
    order: list[int]
    threshold: float
    overlap: int
    max_num_roots: int
    max_root_size: int
    max_evaluations: float
    num_paths: int
    num_successors: int
    found: dict[PatchSet, MSE] = field(default_factory=dict)
    paths: list[PatchSet] = field(default_factory=list)
    started: set[PatchSet] = field(default_factory=lambda: {()})  # sets that were on a path
    size_limit: float = PROVEN_UP_TO  # paths that should need more patches are not worth trying

    def run(self) -> Asks[str]:
        """Search, adding to found; return why it ended."""
        singles: list[PatchSet] = [(patch,) for patch in self.order]
        yield from self._score([(), *singles])
        sufficient = self._sufficient(singles)
        while True:
            yield from self._take(sufficient)
            stopped_by = yield from self._stopped_by(sufficient)
            if stopped_by:
                return stopped_by
            outlook = Outlook(
                self.known,
                self.order,
                found=list(self.found),
                overlap=self.overlap,
                threshold=self.threshold,
            )
            self._choose_paths(outlook)
            if not self.paths and not self._widen():
                return "exhausted"
            self.started.update(self.paths)
            grown = yield from self._step(outlook)
            self.started.update(self.paths)
            sufficient = self._sufficient(grown)

    def _score(self, sets: Sequence[PatchSet]) -> Asks[None]:
        """Ask about sets and remember their scores."""
        most_left = None
        if self.max_evaluations < inf:
            most_left = max(0, int(self.max_evaluations) - len(self.known.sets))
        progress = Progress(
            len(self.found), size=max(map(len, sets), default=0), most_left=most_left
        )
        answers = yield Question(sets, progress=progress)
        self.known.add(sets, answers)

    def _sufficient(self, sets: Iterable[PatchSet]) -> list[PatchSet]:
        return [s for s in sets if self.known.score_of(s) > self.threshold]

    def _take(self, sufficient: Sequence[PatchSet]) -> Asks[None]:
        """Minimise and prove sufficient sets, and keep what overlaps no MSE too much."""
        shrunk = yield from self.known.learn(drop_singles(sufficient, self.threshold))
        shrunk.sort(key=lambda s: (len(s), -self.known.score_of(s), s))
        for candidate in shrunk:
            if overlaps(candidate, self.found, self.overlap):
                continue
            proven: dict[PatchSet, MSE] = {}
            yield from self.known.learn(prove([candidate], self.threshold, proven))
            for mse in proven.values():
                is_full = len(self.found) >= self.max_num_roots
                if not is_full and not overlaps(mse.patches, self.found, self.overlap):
                    self.found[mse.patches] = mse

    def _stopped_by(self, sufficient: Sequence[PatchSet]) -> Asks[str | None]:
        """Return why the search ends here, or None."""
        if len(self.found) >= self.max_num_roots:
            return "max_num_roots"
        if sufficient and self.overlap == 0:
            rest_is_sufficient = yield from self._rest_is_sufficient()
            if not rest_is_sufficient:
                return "rest_insufficient"
        if len(self.known.sets) >= self.max_evaluations:
            return "max_evaluations"
        return None

    def _rest_is_sufficient(self) -> Asks[bool]:
        """Ask about the patches that are in no MSE, all together."""
        rest = tuple(sorted(set(self.order).difference(*self.found)))
        (score,) = yield Question([rest], is_proof=True)
        self.known.add([rest], [score])
        return score > self.threshold

    def _choose_paths(self, outlook: "Outlook") -> None:
        """Drop the paths that lead nowhere, and start new ones from the most promising sets."""
        self.paths = [path for path in self.paths if self._is_worth_it(path, outlook)]
        for start in outlook.most_promising():
            if len(self.paths) == self.num_paths or outlook.size(start) > self.size_limit:
                break
            is_new = start not in self.started and len(start) < self.max_root_size
            if is_new and not overlaps(start, self.paths, self.overlap):
                self.paths.append(start)

    def _is_worth_it(self, path: PatchSet, outlook: "Outlook") -> bool:
        if len(path) >= self.max_root_size or not outlook.is_open(path):
            return False
        return outlook.size(path) <= self.size_limit

    def _widen(self) -> bool:
        """Raise the largest size worth trying; return whether the search goes on.

        While nothing is found it does, however little the values promise: all patches together are
        sufficient.
        """
        most = len(self.order)
        if self.size_limit == inf or (self.found and self.size_limit > most):
            return False
        self.size_limit = self.size_limit * WIDEN if self.size_limit <= most else inf
        return True

    def _step(self, outlook: "Outlook") -> Asks[list[PatchSet]]:
        """Grow every path to the best of its promising successors, all in one question.

        Returns:
            The grown sets. Those that are still insufficient stay as paths.
        """
        successors = {path: outlook.successors(path)[: self.num_successors] for path in self.paths}
        yield from self._score(sorted({s for sets in successors.values() for s in sets}))
        bests = (max(sets, key=self.known.score_of) for sets in successors.values() if sets)
        grown = list(dict.fromkeys(bests))
        self.paths = [s for s in grown if self.known.score_of(s) <= self.threshold]
        return grown


def overlaps(patches: PatchSet, others: Collection[PatchSet], overlap: int) -> bool:
    """Return whether a set shares more than `overlap` patches with one of the others."""
    inside = set(patches)
    return any(len(inside.intersection(other)) > overlap for other in others)


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
        """Pass on what a search asks, and remember the answers."""
        try:
            question = next(search)
            while True:
                answers = yield question
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
