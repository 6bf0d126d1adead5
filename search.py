"""Minimal sufficient explanations (MSEs): beam, combinatorial and exhaustive search.

A patch set N is *sufficient* when it alone keeps the class: f(N) > prob_thresh * f(all patches).
It is *minimal* when no proper subset of it is sufficient. A network is not monotone (showing more can
lower its confidence), so "no single patch can go" does not prove that; minimise() asks about every
subset, for sets of up to 10 patches.

    roots = beam_search(scorer, saliency, beam_width=3)
    roots[0].patches, roots[0].probability, roots[0].minimal       # (11, 30), 0.9676, "subset"
    roots.stopped_by                                               # "max_num_roots"

A scorer is any callable from a list of patch sets to their probabilities. One that raises
TimeoutError ends the search: what is proven by then is returned, with complete False.

Shitole et al., NeurIPS 2021, section 4 (beam and combinatorial search).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, islice

import numpy as np

PatchSet = tuple[int, ...]
Scorer = Callable[[Sequence[PatchSet]], Sequence[float]]
PROVEN_UP_TO = 10  # patches; a set of n has 2^n subsets to ask about
CHUNK = 1024  # sets of a large enumeration asked for at a time, so that a time limit loses few


@dataclass(frozen=True)
class Root:
    """One MSE. minimal is "subset" (proven against every subset) or "single" (no single patch can go)."""

    patches: PatchSet
    probability: float
    minimal: str


class Roots(list):
    """A list of Root, smallest sets first, that knows how its search ended.

    A "single" root that contains another root is not minimal after all, and is left out.

    complete: the search ran to its own end. stopped_by: "max_num_roots", "max_root_size", "exhausted"
    (nothing left to try), "time_limit", "baseline_sufficient" (the class is kept with every patch hidden: nothing
    to explain) or "zero_probability" (the class has none to keep); diverse search has two more of its own.
    """

    def __init__(self, roots: Iterable[Root] = (), stopped_by: str = "exhausted"):
        roots = sorted(roots, key=lambda r: (len(r.patches), -r.probability, r.patches))
        refuted = {
            r
            for r in roots
            if r.minimal == "single" and any(set(o.patches) < set(r.patches) for o in roots)
        }
        super().__init__(r for r in roots if r not in refuted)
        self.stopped_by = stopped_by

    @property
    def complete(self) -> bool:
        return self.stopped_by != "time_limit"


def salient_order(saliency) -> list[int]:
    """Patch numbers, most salient (lowest mask value) first; ties by number."""
    return np.argsort(np.asarray(saliency, dtype=float).reshape(-1), kind="stable").tolist()


# ---------------------------------------------------------------- the three searches


def beam_search(
    scorer: Scorer,
    saliency,
    prob_thresh: float = 0.9,
    beam_width: int = 3,
    num_successors: int = 15,
    max_num_roots: int = 10,
    max_root_size: int = 49,
) -> Roots:
    """BeamS-w: grow sets patch by patch, keep the beam_width most confident insufficient ones.

    saliency: a number a patch, low = salient. Each state proposes the num_successors most salient
    patches that it lacks; a level's successors are scored in one call. Sufficient ones leave the beam
    and are minimised; whatever contains a known MSE is dropped, since it cannot be minimal.
    """
    order = salient_order(saliency)
    stopped_by, threshold = opening(scorer, len(order), prob_thresh)
    if stopped_by:
        return Roots(stopped_by=stopped_by)
    found: dict[PatchSet, Root] = {}
    beam: list[PatchSet] = [()]
    try:
        for _ in range(min(max_root_size, len(order))):
            level = sorted(
                {
                    tuple(sorted((*state, patch)))
                    for state in beam
                    for patch in _missing(state, order)[:num_successors]
                }
            )
            level = [s for s in level if not _contains_one_of(s, found)]
            scores = dict(zip(level, _floats(scorer(level))))
            level.sort(key=lambda s: (-scores[s], s))
            sufficient = [s for s in level if scores[s] > threshold]
            for root in minimise(scorer, sufficient, threshold, max_num_roots - len(found), found):
                found[root.patches] = root
            found = {
                root.patches: root for root in Roots(found.values())
            }  # less the ones now refuted: they take no room
            if len(found) >= max_num_roots:
                return Roots(found.values(), "max_num_roots")
            beam = [s for s in level if scores[s] <= threshold and not _contains_one_of(s, found)][
                :beam_width
            ]
            if not beam:
                return Roots(found.values(), "exhausted")
    except TimeoutError:
        return Roots(found.values(), "time_limit")
    return Roots(found.values(), "max_root_size" if max_root_size < len(order) else "exhausted")


def combinatorial_search(
    scorer: Scorer, saliency, prob_thresh: float = 0.9, comb_top: int = 20, comb_size: int = 4
) -> Roots:
    """CombS: score every comb_size-subset of the comb_top most salient patches; minimise the sufficient ones."""
    order = salient_order(saliency)
    stopped_by, threshold = opening(scorer, len(order), prob_thresh)
    if stopped_by:
        return Roots(stopped_by=stopped_by)
    found: dict[PatchSet, Root] = {}
    try:
        for sets in _chunks(combinations(sorted(order[:comb_top]), comb_size)):
            sufficient = [s for s, p in zip(sets, _floats(scorer(sets))) if p > threshold]
            for root in minimise(scorer, sufficient, threshold, known=found):
                found[root.patches] = root
    except TimeoutError:
        return Roots(found.values(), "time_limit")
    return Roots(found.values(), "exhausted")


def exhaustive_search(
    scorer: Scorer, num_patches: int, prob_thresh: float = 0.9, max_size: int = 3
) -> Roots:
    """Every MSE of at most max_size patches, by asking about every set that contains no smaller one."""
    stopped_by, threshold = opening(scorer, num_patches, prob_thresh)
    if stopped_by:
        return Roots(stopped_by=stopped_by)
    found: dict[PatchSet, Root] = {}
    try:
        for size in range(1, min(max_size, num_patches) + 1):
            for sets in _chunks(
                s for s in combinations(range(num_patches), size) if not _contains_one_of(s, found)
            ):
                found |= {
                    s: Root(s, p, "subset")
                    for s, p in zip(sets, _floats(scorer(sets)))
                    if p > threshold
                }
    except TimeoutError:
        return Roots(found.values(), "time_limit")
    return Roots(found.values(), "exhausted")


# ---------------------------------------------------------------- minimality


def minimise(
    scorer: Scorer,
    sufficient: Sequence[PatchSet],
    threshold: float,
    limit: int | None = None,
    known: Iterable[PatchSet] = (),
) -> Iterator[Root]:
    """Yield MSEs inside sufficient sets: at least one in each, none of those known, at most limit of them.

    All sets advance in lock-step, so that every round is one call. First each loses, one at a time, the
    patch it misses least, until no single one can go. Then the sets of up to 10 patches that remain are
    proven, small ones first, as few at a time as the limit still has room for. If the scorer raises TimeoutError, so does this,
    after having yielded what was proven.
    """
    seen, left = set(known), float("inf") if limit is None else limit
    candidates = sorted(
        (s for s in dict.fromkeys(drop_singles(scorer, sufficient, threshold)) if s not in seen),
        key=len,
    )
    while candidates and left > 0:
        now = candidates[: int(min(left, len(candidates)))]
        candidates = candidates[len(now) :]
        for root in prove(scorer, now, threshold):
            if root.patches not in seen and left > 0:
                seen.add(root.patches)
                left -= 1
                yield root


def drop_singles(scorer: Scorer, sets: Sequence[PatchSet], threshold: float) -> list[PatchSet]:
    """Each sufficient set shrunk, least missed patch first, until no single patch can go."""
    sets, open_rows = list(sets), list(range(len(sets)))
    while open_rows:
        children = {i: list(combinations(sets[i], len(sets[i]) - 1)) for i in open_rows}
        asked = sorted({c for i in open_rows for c in children[i]})
        scores = dict(zip(asked, _floats(scorer(asked))))
        still_open = []
        for i in open_rows:
            best = min(children[i], key=lambda c: (-scores[c], c))
            if scores[best] > threshold:
                sets[i] = best
                still_open.append(i)
        open_rows = still_open
    return sets


def prove(scorer: Scorer, sets: Sequence[PatchSet], threshold: float) -> Iterator[Root]:
    """Yield the smallest sufficient subsets of each sufficient set: the set itself, unless something inside it will do.

    Subsets are asked about by size, smallest first, all sets in lock-step. The first size at which one is
    sufficient ends it for that set: everything smaller has failed, so these are minimal. Sets of more than
    10 patches are yielded as they are, marked "single".
    """
    large, unproven = (
        [s for s in sets if len(s) > PROVEN_UP_TO],
        [s for s in sets if len(s) <= PROVEN_UP_TO],
    )
    yield from (
        Root(s, p, "single") for s, p in zip(large, _floats(scorer(large)) if large else ())
    )
    for size in range(max(map(len, unproven), default=-1) + 1):
        asked = sorted({subset for s in unproven for subset in combinations(s, size)})
        passed = {
            s: p for s, p in zip(asked, _floats(scorer(asked)) if asked else ()) if p > threshold
        }
        yield from (Root(s, p, "subset") for s, p in passed.items())
        unproven = [s for s in unproven if passed.keys().isdisjoint(combinations(s, size))]


# ---------------------------------------------------------------- small things


def opening(scorer: Scorer, num_patches: int, prob_thresh: float) -> tuple[str | None, float]:
    """Whether there is nothing to search for, and why; and the probability that is enough."""
    try:
        full, baseline = _floats(scorer([tuple(range(num_patches)), ()]))
    except TimeoutError:
        return "time_limit", float("inf")
    if full <= 0:
        return "zero_probability", float("inf")
    return ("baseline_sufficient" if baseline > prob_thresh * full else None), prob_thresh * full


def _floats(scores) -> list[float]:
    return [float(s) for s in scores]


def _missing(state: PatchSet, order: list[int]) -> list[int]:
    return [p for p in order if p not in state]


def _chunks(sets: Iterable[PatchSet]) -> Iterator[list[PatchSet]]:
    sets = iter(sets)
    while chunk := list(islice(sets, CHUNK)):
        yield chunk


def _contains_one_of(patches: PatchSet, found: Collection[PatchSet]) -> bool:
    if 2 ** len(patches) < len(found):
        return any(
            s in found
            for s in chain.from_iterable(combinations(patches, k) for k in range(len(patches) + 1))
        )
    inside = set(patches)
    return any(inside.issuperset(f) for f in found)
