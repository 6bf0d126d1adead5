"""Sufficient Input Subsets: disjoint sufficient sets of patches by backward selection, as a baseline to compare with.

Starting from all patches allowed, backward selection takes away, one at a time, the patch whose loss leaves the class
the most confident, until none is left. The patches that went last matter most: the shortest run of them, from the last one back, that is
sufficient is one subset. It is taken out, and the same is done with the rest, until the rest is no longer sufficient.

    subsets = sufficient_input_subsets(scorer, num_patches=49)
    subsets[0].patches, subsets[0].probability

A subset is sufficient, and disjoint from the others. None of its patches can go alone: what was best to remove from it is the next set of the
run, which is insufficient. A smaller set inside it may suffice all the same. One selection over d patches asks about d (d + 1) / 2 sets, each removal in one call.

Carter, Mueller, Jain and Gifford, "What made you do this? Understanding black-box decisions with sufficient input
subsets", AISTATS 2019.
"""

from collections.abc import Sequence

from search import PatchSet, Root, Roots, Scorer, opening


def sufficient_input_subsets(scorer: Scorer, num_patches: int, prob_thresh: float = 0.9) -> Roots:
    """The disjoint sufficient subsets, found one after the other; listed smallest first.

    Their `minimal` is "single"; "subset" up to two patches, whose smaller subsets are the single patches and none. A scorer's TimeoutError ends it
    with stopped_by "time_limit" and what is found by then; else stopped_by is "exhausted", or says why there is nothing.
    """
    stopped_by, threshold = opening(scorer, num_patches, prob_thresh)
    if stopped_by:
        return Roots(stopped_by=stopped_by)
    found, rest = [], tuple(range(num_patches))
    try:
        while rest and float(scorer([rest])[0]) > threshold:
            path = backward_selection(scorer, rest)
            patches, probability = next((s, p) for s, p in path if p > threshold)
            found.append(Root(patches, probability, "subset" if len(patches) <= 2 else "single"))
            rest = tuple(p for p in rest if p not in patches)
    except TimeoutError:
        return Roots(found, "time_limit")
    return Roots(found)


def backward_selection(scorer: Scorer, patches: Sequence[int]) -> list[tuple[PatchSet, float]]:
    """The sets left after each removal and their probabilities, the smallest (no patch) first, all patches last.

    Ties go against the patch with the lowest number, so the order does not depend on chance.
    """
    left = tuple(sorted(patches))
    path = [(left, float(scorer([left])[0]))]
    while left:
        children = [tuple(q for q in left if q != p) for p in left]
        scores = [float(s) for s in scorer(children)]
        best = max(range(len(children)), key=lambda i: (scores[i], -i))
        left = children[best]
        path.append((left, scores[best]))
    return path[::-1]
