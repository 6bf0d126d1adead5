"""Diverse search: small explanations that overlap little, for few evaluations.

A beam that has found one MSE goes on finding its neighbours, and the diverse subset then throws
them away. This search takes no set that shares more than `overlap` patches with an MSE that it has.
A few paths from below grow at once, a patch at a time, each to the best of a few promising
successors. A path from above starts at a largest set that overlaps no MSE too much, and loses
patches in chunks while it stays sufficient: those first that MSEs use most, then the least
valuable. From above there is always a way, however many patches the network needs. A path that
becomes sufficient, or can lose no more, is minimised and proven (search.py), and from then on
blocks its neighbourhood.

What is promising is learned from every set scored so far: the log-odds of the class are fitted as a
sum of patch values (scoring/outlook.py). A set's values give the size at which it should become
sufficient. The set that lacks least starts the next path, and a path that would grow too large
ends.

    found = answer(diverse_search(saliency, overlap=1, max_num_roots=10), scorer)

found.stopped_by may also be "max_evaluations" or, for overlap 0, "rest_insufficient": the patches
outside of all MSEs are insufficient together. "exhausted" means here that no set is left to start
from.

Not in the paper; the constraint is that of its diverse subset (Shitole et al., NeurIPS 2021,
section 4.2).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import numpy.typing as npt

from diverse_subset_selection import diverse_subset
from scoring.curves import saliency_order
from scoring.outlook import Known, Outlook
from scoring.patch_sets import PatchSet
from scoring.questions import Asks, Progress, Question
from search import (
    MSE,
    PROVEN_UP_TO,
    SearchResult,
    Shrinking,
    drop_singles,
    opening,
    prove,
)

WIDEN = 1.5  # factor by which the largest size worth trying grows where no path is left to start
PATIENCE = 150  # sets; while they have led to nothing, the path from above is taken to its end
MOST_CEILINGS = 8  # largest allowed sets that are asked about at a time


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
    found: Collection[MSE] = (),
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
        found: MSEs that are known already; the result has them too.
    """
    order = saliency_order(saliency)
    opened = yield from opening(len(order), prob_thresh)
    if opened.stopped_by:
        return SearchResult((), opened.stopped_by)
    search = _Search(
        Known(len(order)),
        order,
        threshold=opened.threshold,
        overlap=overlap,
        max_num_roots=max_num_roots,
        max_root_size=max_root_size,
        max_evaluations=max_evaluations,
        num_paths=num_paths,
        num_successors=num_successors,
        found={mse.patches: mse for mse in found},
    )
    stopped_by = yield from search.run()
    return SearchResult.of(search.found.values(), stopped_by)


def fill_up(
    result: SearchResult,
    saliency: npt.ArrayLike,
    *,
    num_roots: int = 3,
    overlap: int = 1,
    **options: Any,
) -> Asks[SearchResult]:
    """Add MSEs to a search's until there are enough that overlap little, or no more are found.

    Args:
        result: what a search found.
        saliency: one number per patch; lower values are more salient.
        num_roots: this many are enough.
        overlap: number of patches that two of them may share.
        **options: of diverse_search().

    Returns:
        The result with the MSEs added, each with found_by "diverse".
    """
    sets = [mse.patches for mse in result.mses]
    chosen = diverse_subset(sets, [mse.probability for mse in result.mses], overlap).chosen
    if not result.complete or len(chosen) >= num_roots:
        return result
    known = [result.mses[i] for i in chosen]
    more = yield from diverse_search(
        saliency, overlap=overlap, max_num_roots=num_roots, found=known, **options
    )
    added = [replace(mse, found_by="diverse") for mse in more.mses if mse.patches not in sets]
    stopped_by = more.stopped_by if more.stopped_by == "time_limit" else result.stopped_by
    return SearchResult.of([*result.mses, *added], stopped_by)


@dataclass
class _Search:
    """The state of one search."""

    known: Known
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
    above: Shrinking | None = None  # the path from above
    descended: set[PatchSet] = field(default_factory=set)  # sets at which one has started

    def run(self) -> Asks[str]:
        """Search, adding to found; return why it ended."""
        try:
            return (yield from self._rounds())
        except TimeoutError:
            return "time_limit"

    def _rounds(self) -> Asks[str]:
        """Take the paths further, round by round, until the search ends by itself."""
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
            yield from self._choose_ceiling(outlook)
            if not self.paths and self.above is None and not self._widen():
                return "exhausted"
            self.started.update(self.paths)
            sufficient = yield from self._step(outlook)
            self.started.update(self.paths)

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
            try:
                yield from self.known.learn(prove([candidate], self.threshold, proven))
            finally:  # what a TimeoutError leaves unproven counts as well
                self._keep(proven.values())

    def _keep(self, mses: Iterable[MSE]) -> None:
        """Add MSEs that overlap none found too much, as long as more are wanted."""
        for mse in mses:
            is_full = len(self.found) >= self.max_num_roots
            is_small = len(mse.patches) <= self.max_root_size
            if is_small and not is_full and not overlaps(mse.patches, self.found, self.overlap):
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

    def _choose_paths(self, outlook: Outlook) -> None:
        """Drop the paths that lead nowhere, and start new ones from the most promising sets."""
        self.paths = [path for path in self.paths if self._is_worth_it(path, outlook)]
        for start in outlook.most_promising():
            if len(self.paths) == self.num_paths or outlook.size(start) > self.size_limit:
                break
            is_new = start not in self.started and len(start) < self.max_root_size
            if is_new and not overlaps(start, self.paths, self.overlap):
                self.paths.append(start)

    def _is_worth_it(self, path: PatchSet, outlook: Outlook) -> bool:
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

    def _choose_ceiling(self, outlook: Outlook) -> Asks[None]:
        """Start a path from above at a largest set with room beside the MSEs, if one is sufficient.

        A path under way ends where an MSE found since then leaves it no room.
        """
        if self.above and has_room(self.above.kept, self.found, self.overlap):
            return
        self.above = None
        largest = ceilings(self.found, self.overlap, ranked=outlook.ranked)
        fresh = [patches for patches in largest if patches not in self.descended][:MOST_CEILINGS]
        if not fresh:
            return
        yield from self._score(fresh)
        sufficient = self._sufficient(fresh)
        if sufficient:
            best = max(sufficient, key=self.known.score_of)
            self.descended.add(best)
            self.above = Shrinking(best)

    def _step(self, outlook: Outlook) -> Asks[list[PatchSet]]:
        """Take every path a step further: those from below in one question with the one from above.

        The path from above then goes on alone, until it has asked about as many sets as the others,
        or, where nothing has been found for long, to its end.

        Returns:
            The sufficient sets in which paths have ended.
        """
        successors = {path: outlook.successors(path)[: self.num_successors] for path in self.paths}
        below = sorted({s for sets in successors.values() for s in sets})
        leaving = self._leaving(outlook)
        smaller = self.above.smaller(leaving) if self.above else []
        yield from self._score([*below, *smaller])
        bests = (max(sets, key=self.known.score_of) for sets in successors.values() if sets)
        grown = list(dict.fromkeys(bests))
        self.paths = [s for s in grown if self.known.score_of(s) <= self.threshold]
        ended = self._sufficient(grown)
        is_overdue = not self.found and len(self.known.sets) > PATIENCE
        left = inf if is_overdue else len(below)
        while self.above:
            if not smaller:
                ended.append(self.above.kept)
                self.above = None
                break
            self.above.take(smaller, [self.known.score_of(s) for s in smaller], self.threshold)
            left -= len(smaller)
            smaller = self.above.smaller(leaving)
            if smaller and left <= 0:
                break
            yield from self._score(smaller)
        return ended

    def _leaving(self, outlook: Outlook) -> list[int]:
        """Return the patches, those first that MSEs use most, then the least valuable."""
        uses = [sum(patch in mse for mse in self.found) for patch in range(len(self.order))]
        least_valuable_first = outlook.ranked[::-1]
        return sorted(least_valuable_first, key=lambda patch: -uses[patch])


def has_room(patches: Iterable[int], found: Collection[PatchSet], overlap: int) -> bool:
    """Return whether a set shares little with each MSE found, and contains none."""
    inside = set(patches)
    return all(len(inside.intersection(mse)) <= min(overlap, len(mse) - 1) for mse in found)


def ceilings(found: Collection[PatchSet], overlap: int, *, ranked: Sequence[int]) -> list[PatchSet]:
    """Return largest sets that have room beside the MSEs found.

    They have every patch of no MSE. To these each adds others as long as it has room, the most
    valuable first, beginning with a patch of its own.

    Args:
        found: the MSEs.
        overlap: number of patches that a set may share with an MSE.
        ranked: all patches, the most valuable first.
    """
    used = set().union(*found)
    free = [patch for patch in ranked if patch not in used]
    others = [patch for patch in ranked if patch in used]
    largest = []
    for order in [[first, *others] for first in others] or [[]]:
        chosen = list(free)
        for patch in order:
            if patch not in chosen and has_room([*chosen, patch], found, overlap):
                chosen.append(patch)
        largest.append(tuple(sorted(chosen)))
    return list(dict.fromkeys(largest))


def overlaps(patches: PatchSet, others: Collection[PatchSet], overlap: int) -> bool:
    """Return whether a set shares more than `overlap` patches with one of the others."""
    inside = set(patches)
    return any(len(inside.intersection(other)) > overlap for other in others)
