"""Minimal sufficient explanations (MSEs): beam, combinatorial and exhaustive search.

A patch set N is *sufficient* when it alone keeps the class: f(N) > prob_thresh * f(all patches). It
is *minimal* when no proper subset of it is sufficient. A network is not monotone (showing more can
lower its confidence), so "no single patch can go" does not prove that; minimise() asks about every
subset, for sets of up to 10 patches.

    found = answer(beam_search(saliency, beam_width=3), scorer)
    found.mses[0].patches, found.mses[0].probability, found.mses[0].minimal
                                                    # (11, 30), 0.9676, "subset"
    found.stopped_by                                # "max_num_roots"

A search is a generator that asks (scoring/questions.py); answer() runs it on any callable from a
list of patch sets to their probabilities. A TimeoutError ends it: what is proven by then is
returned, with complete False.

Shitole et al., NeurIPS 2021, section 4 (beam and combinatorial search).
"""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, combinations, islice
from math import comb
from typing import Literal

import numpy as np
import numpy.typing as npt

from scoring.curves import saliency_order
from scoring.patch_sets import PatchSet, canonical
from scoring.questions import Asks, Progress, Question, Scorer, answer

__all__ = ["Scorer", "answer"]  # so that one import serves a script
PROVEN_UP_TO = 10  # patches; a set of n has 2^n subsets to ask about
EXHAUSTED_REDUCED = "exhausted_in_reduced_precision"
LARGEST_CHUNK = 16  # patches that a shrinking set may lose at once
MOST_LACKING = 3  # patches; of a larger set, subsets that lack up to so many are enumerated
LEAST_DRAWN = 59  # subsets; if none is sufficient, less than 5 % are, at 95 % confidence
CONFIDENCE = 0.95
CHUNK = 1024  # sets of a large enumeration asked for at a time, so that a time limit loses few


@dataclass(frozen=True)
class Checked:
    """How far the minimality of a set of more than 10 patches was checked.

    Attributes:
        lacking: no subset that lacks so many patches or fewer is sufficient.
        drawn: nor is any of so many that were drawn at random, with replacement, from the others.
    """

    lacking: int
    drawn: int

    @property
    def at_most(self) -> float:
        """The share of the other subsets that may be sufficient at most, at 95 % confidence."""
        return 1 - (1 - CONFIDENCE) ** (1 / self.drawn) if self.drawn else 1.0


@dataclass(frozen=True)
class MSE:
    """One minimal sufficient explanation.

    minimal is "subset" (proven against every subset) or "single" (no single patch can go). checked
    says what more is known of a large one. found_by names the search that added it, where that is
    not the one that was asked for.
    """

    patches: PatchSet
    probability: float
    minimal: Literal["subset", "single"]
    found_by: Literal["diverse"] | None = None
    checked: Checked | None = None


Found = dict[PatchSet, MSE]


@dataclass(frozen=True)
class SearchResult:
    """What a search found, the smallest sets first, and why it ended.

    stopped_by is "max_num_roots", "max_root_size", "exhausted" (nothing left to try; in a lower
    precision than float32 "exhausted_in_reduced_precision"), "time_limit", "baseline_sufficient"
    (the class is kept with every patch hidden: nothing to explain) or "zero_probability" (the
    network gives the class none to keep). The diverse search has two more of its own.
    """

    mses: tuple[MSE, ...]
    stopped_by: str

    @property
    def complete(self) -> bool:
        """Whether the search ran to its own end.

        Where that is that nothing is left to try, float32 has decided it.
        """
        return self.stopped_by not in ("time_limit", EXHAUSTED_REDUCED)

    @classmethod
    def of(cls, mses: Iterable[MSE], stopped_by: str) -> "SearchResult":
        """Return the result with the MSEs in order, less those that others refute."""
        return cls(tuple(in_order(without_refuted(mses))), stopped_by)


def in_order(mses: Iterable[MSE]) -> list[MSE]:
    """Return MSEs with the smallest first, then the most confident, then in patch order."""
    return sorted(mses, key=lambda mse: (len(mse.patches), -mse.probability, mse.patches))


def without_refuted(mses: Iterable[MSE]) -> list[MSE]:
    """Return MSEs less each "single" one that contains another and so is not minimal after all."""
    mses = list(mses)
    sets = [set(mse.patches) for mse in mses]
    return [
        mse
        for mse, patches in zip(mses, sets)
        if mse.minimal != "single" or not any(other < patches for other in sets)
    ]


# ---------------------------------------------------------------- the searches


def beam_search(
    saliency: npt.ArrayLike,
    *,
    prob_thresh: float = 0.9,
    beam_width: int = 3,
    num_successors: int = 15,
    max_num_roots: int = 10,
    max_root_size: int = 49,
) -> Asks[SearchResult]:
    """Search by growing sets patch by patch (BeamS-w); a level's successors are one question.

    Args:
        saliency: one number per patch; lower values are more salient.
        prob_thresh: sufficient is above this share of the full image's probability.
        beam_width: number of the most confident insufficient sets kept at each size.
        num_successors: number of the most salient missing patches that each set may add.
        max_num_roots: stop at this many MSEs.
        max_root_size: stop at sets of this many patches.
    """
    order = saliency_order(saliency)
    levels = min(max_root_size, len(order))

    def search(threshold: float, found: Found) -> Asks[str]:
        """Grow the beam, size by size."""
        beam: list[PatchSet] = [()]
        for size in range(1, levels + 1):
            level = successors(beam, order, num_successors)
            most_left = (levels - size + 1) * beam_width * num_successors
            scores = yield from _score_level(level, found, most_left)
            sufficient = [s for s, p in scores.items() if p > threshold]
            yield from minimise(sufficient, threshold, found, most=max_num_roots)
            _drop_refuted(found)
            if len(found) >= max_num_roots:
                return "max_num_roots"
            # The most confident come first, so that the cut keeps these.
            insufficient = [s for s, p in scores.items() if p <= threshold]
            beam = [s for s in insufficient if not _contains_one_of(s, found)][:beam_width]
            if not beam:
                return "exhausted"
        return "exhausted" if max_root_size >= len(order) else "max_root_size"

    return _run(search, num_patches=len(order), prob_thresh=prob_thresh)


def successors(
    beam: Sequence[PatchSet], order: Sequence[int], num_successors: int
) -> list[PatchSet]:
    """Return each set of the beam with one of its most salient missing patches added, once each."""
    grown = set()
    for state in beam:
        missing = [patch for patch in order if patch not in state]
        grown |= {tuple(sorted((*state, patch))) for patch in missing[:num_successors]}
    return sorted(grown)


def _score_level(
    level: Sequence[PatchSet], found: Found, most_left: int
) -> Asks[dict[PatchSet, float]]:
    """Return the scores of a level's sets, the most confident first.

    Whatever contains a known MSE is left out, since it cannot be minimal.
    """
    candidates = [s for s in level if not _contains_one_of(s, found)]
    progress = Progress(len(found), size=max(map(len, candidates), default=0), most_left=most_left)
    answers = yield Question(candidates, progress=progress)
    scores = dict(zip(candidates, answers))
    return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))


def _drop_refuted(found: Found) -> None:
    """Remove refuted MSEs: one must not take up room among the most that are wanted."""
    kept = without_refuted(found.values())
    found.clear()
    found.update({mse.patches: mse for mse in kept})


def combinatorial_search(
    saliency: npt.ArrayLike,
    *,
    prob_thresh: float = 0.9,
    comb_top: int = 20,
    comb_size: int = 4,
) -> Asks[SearchResult]:
    """Search all comb_size-subsets of the comb_top most salient patches (CombS).

    Args:
        saliency: one number per patch; lower values are more salient.
        prob_thresh: sufficient is above this share of the full image's probability.
        comb_top: number of patches to choose from.
        comb_size: number of patches in each set; sufficient sets are minimised.
    """
    order = saliency_order(saliency)

    def search(threshold: float, found: Found) -> Asks[str]:
        """Ask about all sets, a chunk at a time."""
        most_left = comb(min(comb_top, len(order)), comb_size)
        for sets in _chunks(combinations(sorted(order[:comb_top]), comb_size)):
            progress = Progress(len(found), size=comb_size, most_left=most_left)
            scores = yield Question(sets, progress=progress)
            most_left -= len(sets)
            sufficient = [s for s, p in zip(sets, scores) if p > threshold]
            yield from minimise(sufficient, threshold, found)
        return "exhausted"

    return _run(search, num_patches=len(order), prob_thresh=prob_thresh)


def exhaustive_search(
    num_patches: int, *, prob_thresh: float = 0.9, max_size: int = 3
) -> Asks[SearchResult]:
    """Find every MSE of at most max_size patches.

    Every set that contains no smaller MSE is asked about. Of each size those sets come first whose
    patches made the most confident sets before, so that a search that time ends has most of what
    there is. Nothing is left out: a network need not be monotone.

    Args:
        num_patches: number of patches.
        prob_thresh: sufficient is above this share of the full image's probability.
        max_size: largest number of patches in a set.
    """
    sizes = range(1, min(max_size, num_patches) + 1)

    def search(threshold: float, found: Found) -> Asks[str]:
        """Ask about all sets, the small ones first."""
        most_left = sum(comb(num_patches, size) for size in sizes)
        best = dict.fromkeys(range(num_patches), 0.0)  # by patch: the highest score of its sets
        for size in sizes:
            order = sorted(best, key=lambda patch: (-best[patch], patch))
            sets_of_size = map(canonical, combinations(order, size))
            candidates = (s for s in sets_of_size if not _contains_one_of(s, found))
            for sets in _chunks(candidates):
                progress = Progress(len(found), size=size, most_left=most_left)
                scores = yield Question(sets, progress=progress)
                most_left -= len(sets)
                for patches, probability in zip(sets, scores):
                    best.update((p, probability) for p in patches if probability > best[p])
                    if probability > threshold:
                        found[patches] = MSE(patches, probability, "subset")
        return "exhausted"

    return _run(search, num_patches=num_patches, prob_thresh=prob_thresh)


def greedy_search(saliency: npt.ArrayLike, *, prob_thresh: float = 0.9) -> Asks[SearchResult]:
    """Find one MSE from above, for few evaluations: the least salient patches go first.

    Args:
        saliency: one number per patch; lower values are more salient.
        prob_thresh: sufficient is above this share of the full image's probability.
    """
    order = saliency_order(saliency)

    def search(threshold: float, found: Found) -> Asks[str]:
        """Shrink the set of all patches, and minimise it."""
        shrinking = Shrinking(tuple(range(len(order))))
        while sets := shrinking.smaller(order[::-1]):
            scores = yield Question(sets, progress=Progress(roots=0, size=len(shrinking.kept)))
            shrinking.take(sets, scores, threshold)
        yield from minimise([shrinking.kept], threshold, found, most=1)
        return "max_num_roots"

    return _run(search, num_patches=len(order), prob_thresh=prob_thresh)


def _run(
    search: Callable[[float, Found], Asks[str]], *, num_patches: int, prob_thresh: float
) -> Asks[SearchResult]:
    """Run a search, and keep what it found when time is up.

    Args:
        search: takes the threshold and the MSEs found, adds to these, and returns stopped_by.
        num_patches: number of patches.
        prob_thresh: sufficient is above this share of the full image's probability.
    """
    opened = yield from opening(num_patches, prob_thresh)
    if opened.stopped_by:
        return SearchResult((), opened.stopped_by)
    found: Found = {}
    try:
        stopped_by = yield from search(opened.threshold, found)
    except TimeoutError:
        stopped_by = "time_limit"
    return SearchResult.of(found.values(), stopped_by)


# ---------------------------------------------------------------- minimality


def minimise(
    sufficient: Sequence[PatchSet],
    threshold: float,
    found: Found,
    *,
    most: int = sys.maxsize,
) -> Asks[None]:
    """Find MSEs inside sufficient sets, at least one in each, and add them to those found.

    All sets advance in lock-step, so that every round is one question. First each loses, one at a
    time, the patch it misses least, until no single one can go. Then the sets of up to 10 patches
    that remain are proven, small ones first, as few at a time as there is still room for.

    Args:
        sufficient: sets above the threshold.
        threshold: the probability above which a set is sufficient.
        found: the MSEs found; what is proven before a TimeoutError is in it.
        most: number of MSEs found at which to stop.
    """
    shrunk = yield from drop_singles(sufficient, threshold)
    candidates = sorted((s for s in dict.fromkeys(shrunk) if s not in found), key=len)
    while candidates and len(found) < most:
        room = most - len(found)
        yield from prove(candidates[:room], threshold, found, most=most)
        candidates = candidates[room:]


def drop_singles(sets: Sequence[PatchSet], threshold: float) -> Asks[list[PatchSet]]:
    """Return each sufficient set shrunk, least missed patch first, until no single one can go."""
    shrunk = list(sets)
    open_places = [place for place, patches in enumerate(shrunk) if patches]
    while open_places:
        children = {i: list(combinations(shrunk[i], len(shrunk[i]) - 1)) for i in open_places}
        wanted = sorted(set(chain.from_iterable(children.values())))
        answers = yield Question(wanted, is_proof=True)
        scores = dict(zip(wanted, answers))
        still_open = []
        for place, sets_inside in children.items():
            best = min(sets_inside, key=lambda s: (-scores[s], s))
            if scores[best] > threshold:
                shrunk[place] = best
                if best:
                    still_open.append(place)
        open_places = still_open
    return shrunk


@dataclass
class Shrinking:
    """A sufficient set that loses patches in chunks for as long as it stays sufficient.

    Chunks grow while patches go and shrink where one cannot, in the manner of QuickXplain (Junker,
    AAAI 2004).

        while sets := shrinking.smaller(order):
            shrinking.take(sets, scores_of(sets), threshold)

    Attributes:
        kept: the set as it is now; sufficient.
        needed: patches of it that could not go when they were tried. Where others have gone since,
            they are tried again; at the end, no single patch can go.
        chunk: largest number of patches to try at once.
        has_lost: whether a patch has gone since all were tried.
    """

    kept: PatchSet
    needed: set[int] = field(default_factory=set)
    chunk: int = LARGEST_CHUNK
    has_lost: bool = False

    def smaller(self, order: Sequence[int]) -> list[PatchSet]:
        """Return the set less the first 1, 2, 4, .. patches of an order that may go; or nothing."""
        if self.has_lost and self.needed.issuperset(self.kept):
            self.needed = set()
            self.has_lost = False
        may_go = [patch for patch in order if patch in self.kept and patch not in self.needed]
        counts = [1]
        while 2 * counts[-1] <= min(self.chunk, len(may_go)):
            counts.append(2 * counts[-1])
        return [_less(self.kept, may_go[:count]) for count in counts] if may_go else []

    def take(self, sets: Sequence[PatchSet], scores: Sequence[float], threshold: float) -> None:
        """Become the smallest sufficient one of the sets that smaller() gave."""
        sufficient = [s for s, score in zip(sets, scores) if score > threshold]
        if not sufficient:
            self.needed |= set(self.kept).difference(sets[0])
            self.chunk = max(1, self.chunk // 4)
            return
        smallest = min(sufficient, key=len)
        lost = len(self.kept) - len(smallest)
        self.kept = smallest
        self.has_lost = True
        self.chunk = min(LARGEST_CHUNK, 2 * lost)


def _less(patches: PatchSet, removed: Collection[int]) -> PatchSet:
    return tuple(patch for patch in patches if patch not in removed)


def prove(
    sets: Sequence[PatchSet], threshold: float, found: Found, *, most: int = sys.maxsize
) -> Asks[None]:
    """Add the smallest sufficient subsets of each sufficient set: itself, unless less will do.

    Subsets are asked about by size, smallest first, all sets in lock-step. The first size at which
    one is sufficient ends it for that set: everything smaller has failed, so these are minimal.
    Sets of more than 10 patches are added as they are, marked "single", and so are those that a
    TimeoutError leaves unproven.

    Args:
        sets: sets above the threshold; of none can a single patch go.
        threshold: the probability above which a set is sufficient.
        found: the MSEs found; what is proven before a TimeoutError is in it.
        most: no further MSE is added to so many.
    """
    scores = yield Question(sets, is_proof=True)
    singly = [MSE(patches, probability, "single") for patches, probability in zip(sets, scores)]
    for mse in singly:
        if len(mse.patches) > PROVEN_UP_TO:
            _add(mse, found, most)
    unproven = [mse for mse in singly if len(mse.patches) <= PROVEN_UP_TO]
    size = 0
    while unproven:
        subsets = (combinations(mse.patches, size) for mse in unproven)
        wanted = sorted(set(chain.from_iterable(subsets)))
        try:
            scores = yield Question(wanted, is_proof=True)
        except TimeoutError:
            for mse in unproven:
                _add(mse, found, most)
            raise
        passed = {s: p for s, p in zip(wanted, scores) if p > threshold}
        for patches, probability in passed.items():
            _add(MSE(patches, probability, "subset"), found, most)
        larger = [mse for mse in unproven if len(mse.patches) > size]
        unproven = [m for m in larger if passed.keys().isdisjoint(combinations(m.patches, size))]
        size += 1


def _add(mse: MSE, found: Found, most: int) -> None:
    if mse.patches not in found and len(found) < most:
        found[mse.patches] = mse


def check_further(mse: MSE, threshold: float, *, most: int) -> Asks[Checked | PatchSet]:
    """Ask about subsets of a set that is too large to ask about all.

    First about all that lack two patches, then three, where there are few enough, then about some
    drawn at random from the others, each with the same probability. The draws depend on the set
    alone.

    Args:
        mse: of it, no single patch can go.
        threshold: the probability above which a set is sufficient.
        most: number of subsets to ask about; 59 of them or more are drawn.

    Returns:
        What was checked, or a sufficient subset.
    """
    size = len(mse.patches)
    left = most
    lacking = 1
    for lack in range(2, MOST_LACKING + 1):
        if comb(size, lack) > left - LEAST_DRAWN:
            break
        sets = list(combinations(mse.patches, size - lack))
        sufficient = yield from _sufficient_ones(sets, threshold)
        if sufficient:
            return sufficient[0]
        left -= len(sets)
        lacking = lack
    drawn = _drawn_subsets(mse.patches, lacking=lacking, count=max(0, left))
    sufficient = yield from _sufficient_ones(drawn, threshold)
    if sufficient:
        return min(sufficient, key=len)
    return Checked(lacking, len(drawn))


def _sufficient_ones(sets: Sequence[PatchSet], threshold: float) -> Asks[list[PatchSet]]:
    """Ask about sets and return those that are sufficient."""
    scores = yield Question(sets, is_proof=True)
    return [s for s, score in zip(sets, scores) if score > threshold]


def _drawn_subsets(patches: PatchSet, *, lacking: int, count: int) -> list[PatchSet]:
    """Return subsets drawn with replacement from those that lack more than `lacking` patches."""
    rng = np.random.default_rng(patches)
    subsets: list[PatchSet] = []
    while len(subsets) < count:
        kept = rng.random(len(patches)) < 0.5
        if len(patches) - kept.sum() > lacking:
            subsets.append(tuple(patch for patch, is_kept in zip(patches, kept) if is_kept))
    return subsets


# ---------------------------------------------------------------- in full precision


def certify(result: SearchResult, threshold: float, *, anew: bool) -> Asks[SearchResult]:
    """Return a search's MSEs scored again; one that is not above the threshold goes.

    It must be answered in float32.

    Args:
        result: what the search found.
        threshold: the probability above which a set is sufficient.
        anew: whether the search used a lower precision, so that minimality is proven again as well.
            Of a small set that time left unproven, only that no single patch can go.

    Returns:
        The certified MSEs. stopped_by is "time_limit" where that ended it early. A search in a
        lower precision that found nothing left to try says "exhausted_in_reduced_precision".
    """
    stopped_by = result.stopped_by
    if anew and stopped_by == "exhausted":
        stopped_by = EXHAUSTED_REDUCED
    certified: Found = {}
    try:
        scores = yield Question([mse.patches for mse in result.mses], is_proof=True)
        scored = [replace(mse, probability=p) for mse, p in zip(result.mses, scores)]
        sufficient = [mse for mse in scored if mse.probability > threshold]
        if anew:
            unproven = [mse.patches for mse in sufficient if _is_left_unproven(mse)]
            others = [mse.patches for mse in sufficient if not _is_left_unproven(mse)]
            yield from minimise(others, threshold, certified)
            yield from _keep_as_single(unproven, threshold, certified)
        else:
            certified = {mse.patches: mse for mse in sufficient}
    except TimeoutError:
        stopped_by = "time_limit"
    mses = [replace(mse, found_by=_origin(mse, result)) for mse in certified.values()]
    return SearchResult.of(mses, stopped_by)


def _origin(mse: MSE, result: SearchResult) -> Literal["diverse"] | None:
    """Return what found an MSE, or every set that shrank to it, beside the search itself."""
    larger = [other for other in result.mses if set(mse.patches) <= set(other.patches)]
    return "diverse" if larger and all(m.found_by == "diverse" for m in larger) else None


def _is_left_unproven(mse: MSE) -> bool:
    return mse.minimal == "single" and len(mse.patches) <= PROVEN_UP_TO


def _keep_as_single(sets: Sequence[PatchSet], threshold: float, found: Found) -> Asks[None]:
    """Shrink sets until no single patch can go, and add them to those found."""
    shrunk = yield from drop_singles(sets, threshold)
    scores = yield Question(shrunk, is_proof=True)
    for patches, probability in zip(shrunk, scores):
        _add(MSE(patches, probability, "single"), found, sys.maxsize)


# ---------------------------------------------------------------- small things


@dataclass(frozen=True)
class Opening:
    """What is known before a search begins."""

    threshold: float  # the probability above which a set is sufficient
    stopped_by: str | None  # why there is nothing to search for, or None


def opening(num_patches: int, prob_thresh: float) -> Asks[Opening]:
    """Ask about the full image and the baseline, and see whether there is anything to search."""
    everything = tuple(range(num_patches))
    try:
        full, baseline = yield Question([everything, ()], is_proof=True)
    except TimeoutError:
        return Opening(float("inf"), "time_limit")
    if full <= 0:
        return Opening(float("inf"), "zero_probability")
    threshold = prob_thresh * full
    return Opening(threshold, "baseline_sufficient" if baseline > threshold else None)


def _chunks(sets: Iterable[PatchSet]) -> Iterator[list[PatchSet]]:
    remaining = iter(sets)
    while chunk := list(islice(remaining, CHUNK)):
        yield chunk


def _contains_one_of(patches: PatchSet, found: Collection[PatchSet]) -> bool:
    """Return whether a set contains one of those found, by the cheaper of two ways."""
    if 2 ** len(patches) < len(found):
        sizes = range(len(patches) + 1)
        subsets = chain.from_iterable(combinations(patches, size) for size in sizes)
        return any(subset in found for subset in subsets)
    inside = set(patches)
    return any(inside.issuperset(other) for other in found)
