"""Minimal sufficient explanations (MSEs): beam, combinatorial and exhaustive search.

A patch set N is *sufficient* when it alone keeps the class: f(N) > prob_thresh * f(all patches). It
is *minimal* when no proper subset of it is sufficient. A network is not monotone (showing more can
lower its confidence), so "no single patch can go" does not prove that; minimise() asks about every
subset, for sets of up to 10 patches.

    found = beam_search(scorer, saliency, beam_width=3)
    found.mses[0].patches, found.mses[0].probability, found.mses[0].minimal
                                                    # (11, 30), 0.9676, "subset"
    found.stopped_by                                # "max_num_roots"

A scorer is any callable from a list of patch sets to their probabilities. One that raises
TimeoutError ends the search: what is proven by then is returned, with complete False.

Shitole et al., NeurIPS 2021, section 4 (beam and combinatorial search).
"""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations, islice
from typing import Literal

import numpy.typing as npt

from scoring.curves import saliency_order
from scoring.patch_sets import PatchSet

Scorer = Callable[[Sequence[PatchSet]], Iterable[float]]
PROVEN_UP_TO = 10  # patches; a set of n has 2^n subsets to ask about
CHUNK = 1024  # sets of a large enumeration asked for at a time, so that a time limit loses few


@dataclass(frozen=True)
class MSE:
    """One minimal sufficient explanation.

    minimal is "subset" (proven against every subset) or "single" (no single patch can go).
    """

    patches: PatchSet
    probability: float
    minimal: Literal["subset", "single"]


Found = dict[PatchSet, MSE]


@dataclass(frozen=True)
class SearchResult:
    """What a search found, the smallest sets first, and why it ended.

    stopped_by is "max_num_roots", "max_root_size", "exhausted" (nothing left to try), "time_limit",
    "baseline_sufficient" (the class is kept with every patch hidden: nothing to explain) or
    "zero_probability" (the network gives the class none to keep). The diverse search has two more
    of its own.
    """

    mses: tuple[MSE, ...]
    stopped_by: str

    @property
    def complete(self) -> bool:
        """Whether the search ran to its own end."""
        return self.stopped_by != "time_limit"

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
    scorer: Scorer,
    saliency: npt.ArrayLike,
    *,
    prob_thresh: float = 0.9,
    beam_width: int = 3,
    num_successors: int = 15,
    max_num_roots: int = 10,
    max_root_size: int = 49,
) -> SearchResult:
    """Search by growing sets patch by patch (BeamS-w); a level's successors are scored in one call.

    Args:
        scorer: patch sets to probabilities.
        saliency: one number per patch; lower values are more salient.
        prob_thresh: sufficient is above this share of the full image's probability.
        beam_width: number of the most confident insufficient sets kept at each size.
        num_successors: number of the most salient missing patches that each set may add.
        max_num_roots: stop at this many MSEs.
        max_root_size: stop at sets of this many patches.
    """
    order = saliency_order(saliency)

    def search(threshold: float, found: Found) -> str:
        beam: list[PatchSet] = [()]
        for _ in range(min(max_root_size, len(order))):
            level = successors(beam, order, num_successors)
            scores = _score_level(scorer, level, found)
            sufficient = [s for s, p in scores.items() if p > threshold]
            _add_mses(scorer, sufficient, found, threshold=threshold, most=max_num_roots)
            if len(found) >= max_num_roots:
                return "max_num_roots"
            # The most confident come first, so that the cut keeps these.
            insufficient = [s for s, p in scores.items() if p <= threshold]
            beam = [s for s in insufficient if not _contains_one_of(s, found)][:beam_width]
            if not beam:
                return "exhausted"
        return "exhausted" if max_root_size >= len(order) else "max_root_size"

    return _run(search, scorer, num_patches=len(order), prob_thresh=prob_thresh)


def successors(
    beam: Sequence[PatchSet], order: Sequence[int], num_successors: int
) -> list[PatchSet]:
    """Return each set of the beam with one of its most salient missing patches added, once each."""
    grown = set()
    for state in beam:
        missing = [patch for patch in order if patch not in state]
        grown |= {tuple(sorted((*state, patch))) for patch in missing[:num_successors]}
    return sorted(grown)


def _score_level(scorer: Scorer, level: Sequence[PatchSet], found: Found) -> dict[PatchSet, float]:
    """Return the scores of a level's sets, the most confident first.

    Whatever contains a known MSE is left out, since it cannot be minimal.
    """
    candidates = [s for s in level if not _contains_one_of(s, found)]
    scores = dict(zip(candidates, _floats(scorer(candidates))))
    return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))


def _add_mses(
    scorer: Scorer, sufficient: Sequence[PatchSet], found: Found, *, threshold: float, most: int
) -> None:
    """Minimise sufficient sets and add their MSEs to those found, up to `most` in all."""
    for mse in minimise(scorer, sufficient, threshold, limit=most - len(found), known=found):
        found[mse.patches] = mse
    # A refuted MSE must not take up room among `most`.
    kept = without_refuted(found.values())
    found.clear()
    found.update({mse.patches: mse for mse in kept})


def combinatorial_search(
    scorer: Scorer,
    saliency: npt.ArrayLike,
    *,
    prob_thresh: float = 0.9,
    comb_top: int = 20,
    comb_size: int = 4,
) -> SearchResult:
    """Search all comb_size-subsets of the comb_top most salient patches (CombS).

    Args:
        scorer: patch sets to probabilities.
        saliency: one number per patch; lower values are more salient.
        prob_thresh: sufficient is above this share of the full image's probability.
        comb_top: number of patches to choose from.
        comb_size: number of patches in each set; sufficient sets are minimised.
    """
    order = saliency_order(saliency)

    def search(threshold: float, found: Found) -> str:
        for sets in _chunks(combinations(sorted(order[:comb_top]), comb_size)):
            sufficient = [s for s, p in zip(sets, _floats(scorer(sets))) if p > threshold]
            for mse in minimise(scorer, sufficient, threshold, known=found):
                found[mse.patches] = mse
        return "exhausted"

    return _run(search, scorer, num_patches=len(order), prob_thresh=prob_thresh)


def exhaustive_search(
    scorer: Scorer, num_patches: int, *, prob_thresh: float = 0.9, max_size: int = 3
) -> SearchResult:
    """Find every MSE of at most max_size patches.

    Every set that contains no smaller MSE is asked about.

    Args:
        scorer: patch sets to probabilities.
        num_patches: number of patches.
        prob_thresh: sufficient is above this share of the full image's probability.
        max_size: largest number of patches in a set.
    """

    def search(threshold: float, found: Found) -> str:
        for size in range(1, min(max_size, num_patches) + 1):
            sets_of_size = combinations(range(num_patches), size)
            candidates = (s for s in sets_of_size if not _contains_one_of(s, found))
            for sets in _chunks(candidates):
                for patches, probability in zip(sets, _floats(scorer(sets))):
                    if probability > threshold:
                        found[patches] = MSE(patches, probability, "subset")
        return "exhausted"

    return _run(search, scorer, num_patches=num_patches, prob_thresh=prob_thresh)


def _run(
    search: Callable[[float, Found], str], scorer: Scorer, *, num_patches: int, prob_thresh: float
) -> SearchResult:
    """Run a search, and keep what it found when the scorer's time is up.

    Args:
        search: takes the threshold and the MSEs found, adds to these, and returns stopped_by.
        scorer: patch sets to probabilities.
        num_patches: number of patches.
        prob_thresh: sufficient is above this share of the full image's probability.
    """
    opened = opening(scorer, num_patches, prob_thresh)
    if opened.stopped_by:
        return SearchResult((), opened.stopped_by)
    found: Found = {}
    try:
        stopped_by = search(opened.threshold, found)
    except TimeoutError:
        stopped_by = "time_limit"
    return SearchResult.of(found.values(), stopped_by)


# ---------------------------------------------------------------- minimality


def minimise(
    scorer: Scorer,
    sufficient: Sequence[PatchSet],
    threshold: float,
    *,
    limit: int | None = None,
    known: Collection[PatchSet] = (),
) -> Iterator[MSE]:
    """Yield MSEs inside sufficient sets: at least one in each, none of those known.

    All sets advance in lock-step, so that every round is one call. First each loses, one at a time,
    the patch it misses least, until no single one can go. Then the sets of up to 10 patches that
    remain are proven, small ones first, as few at a time as the limit still has room for.

    Args:
        scorer: patch sets to probabilities.
        sufficient: sets above the threshold.
        threshold: the probability above which a set is sufficient.
        limit: largest number of MSEs to yield; None: all.
        known: MSEs not to yield again.

    Raises:
        TimeoutError: the scorer raised it; what was proven has been yielded before.
    """
    seen = set(known)
    left = sys.maxsize if limit is None else limit
    shrunk = dict.fromkeys(drop_singles(scorer, sufficient, threshold))
    candidates = sorted((s for s in shrunk if s not in seen), key=len)
    while candidates and left > 0:
        batch = candidates[:left]
        candidates = candidates[left:]
        for mse in prove(scorer, batch, threshold):
            if mse.patches not in seen and left > 0:
                seen.add(mse.patches)
                left -= 1
                yield mse


def drop_singles(scorer: Scorer, sets: Sequence[PatchSet], threshold: float) -> list[PatchSet]:
    """Return each sufficient set shrunk, least missed patch first, until no single one can go."""
    shrunk = list(sets)
    open_places = [place for place, patches in enumerate(shrunk) if patches]
    while open_places:
        children = {i: list(combinations(shrunk[i], len(shrunk[i]) - 1)) for i in open_places}
        wanted = sorted(set(chain.from_iterable(children.values())))
        scores = dict(zip(wanted, _floats(scorer(wanted))))
        still_open = []
        for place, sets_inside in children.items():
            best = min(sets_inside, key=lambda s: (-scores[s], s))
            if scores[best] > threshold:
                shrunk[place] = best
                if best:
                    still_open.append(place)
        open_places = still_open
    return shrunk


def prove(scorer: Scorer, sets: Sequence[PatchSet], threshold: float) -> Iterator[MSE]:
    """Yield the smallest sufficient subsets of each sufficient set: itself, unless less will do.

    Subsets are asked about by size, smallest first, all sets in lock-step. The first size at which
    one is sufficient ends it for that set: everything smaller has failed, so these are minimal.
    Sets of more than 10 patches are yielded as they are, marked "single".
    """
    large = [s for s in sets if len(s) > PROVEN_UP_TO]
    if large:
        for patches, probability in zip(large, _floats(scorer(large))):
            yield MSE(patches, probability, "single")
    unproven = [s for s in sets if len(s) <= PROVEN_UP_TO]
    size = 0
    while unproven:
        subsets = (combinations(s, size) for s in unproven)
        wanted = sorted(set(chain.from_iterable(subsets)))
        passed = set()
        for patches, probability in zip(wanted, _floats(scorer(wanted))):
            if probability > threshold:
                passed.add(patches)
                yield MSE(patches, probability, "subset")
        unproven = [s for s in unproven if passed.isdisjoint(combinations(s, size))]
        unproven = [s for s in unproven if len(s) > size]
        size += 1


# ---------------------------------------------------------------- in full precision


def certify(result: SearchResult, scorer: Scorer, threshold: float, *, anew: bool) -> SearchResult:
    """Return a search's MSEs scored again; one that is not above the threshold goes.

    Args:
        result: what the search found.
        scorer: patch sets to probabilities, in float32.
        threshold: the probability above which a set is sufficient.
        anew: whether the search used a lower precision, so that minimality is proven again as well.

    Returns:
        The certified MSEs; stopped_by is "time_limit" where the scorer raised TimeoutError.
    """
    certified: list[MSE] = []
    stopped_by = result.stopped_by
    try:
        for mse in _scored_again(result.mses, scorer, threshold, anew=anew):
            certified.append(mse)  # noqa: PERF402  what comes before a TimeoutError is kept
    except TimeoutError:
        stopped_by = "time_limit"
    return SearchResult.of(certified, stopped_by)


def _scored_again(
    mses: Sequence[MSE], scorer: Scorer, threshold: float, *, anew: bool
) -> Iterator[MSE]:
    scores = _floats(scorer([mse.patches for mse in mses]))
    scored = [replace(mse, probability=p) for mse, p in zip(mses, scores)]
    sufficient = [mse for mse in scored if mse.probability > threshold]
    if anew:
        yield from minimise(scorer, [mse.patches for mse in sufficient], threshold)
    else:
        yield from sufficient


def disagreements(
    searched: Mapping[PatchSet, float], exact: Mapping[PatchSet, float], threshold: float
) -> int:
    """Return how many sets a search put on the other side of the threshold than float32 does.

    Args:
        searched: the probabilities that the search used.
        exact: probabilities in float32.
        threshold: the probability above which a set is sufficient.
    """
    return sum(
        (probability > threshold) != (searched[patches] > threshold)
        for patches, probability in exact.items()
        if patches in searched
    )


# ---------------------------------------------------------------- small things


@dataclass(frozen=True)
class Opening:
    """What is known before a search begins."""

    threshold: float  # the probability above which a set is sufficient
    stopped_by: str | None  # why there is nothing to search for, or None


def opening(scorer: Scorer, num_patches: int, prob_thresh: float) -> Opening:
    """Score the full image and the baseline, and see whether there is anything to search for."""
    everything = tuple(range(num_patches))
    try:
        full, baseline = _floats(scorer([everything, ()]))
    except TimeoutError:
        return Opening(float("inf"), "time_limit")
    if full <= 0:
        return Opening(float("inf"), "zero_probability")
    threshold = prob_thresh * full
    return Opening(threshold, "baseline_sufficient" if baseline > threshold else None)


def _floats(scores: Iterable[float]) -> list[float]:
    return [float(score) for score in scores]


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
