"""Sufficient Input Subsets (SIS): disjoint sufficient sets by backward selection, for comparison.

Backward selection starts from all patches allowed and removes, one at a time, the patch whose loss
leaves the class the most confident, until none is left. The patches that went last matter most: the
shortest run of them, counted from the last, that is sufficient is one subset. It is taken out, and
the same is done with the rest, until the rest is no longer sufficient.

    found = answer(sufficient_input_subsets(num_patches=49), scorer)
    found.mses[0].patches, found.mses[0].probability

A subset is sufficient, and disjoint from the others. None of its patches can go alone: what was
best to remove from it is the next set of the run, which is insufficient. A smaller set inside it
may suffice all the same. One selection over d patches asks about d (d + 1) / 2 sets, each removal
in one call.

Carter, Mueller, Jain and Gifford, "What made you do this? Understanding black-box decisions with
sufficient input subsets", AISTATS 2019.
"""

from collections.abc import Sequence

from scoring.patch_sets import PatchSet
from scoring.questions import Asks, Question
from search import MSE, SearchResult, opening

PROVEN_SIZE = 2  # up to which a subset is minimal: its own subsets are single patches and none


def sufficient_input_subsets(num_patches: int, *, prob_thresh: float = 0.9) -> Asks[SearchResult]:
    """Return the disjoint sufficient subsets, found one after the other.

    Their `minimal` is "single", or "subset" up to two patches. A TimeoutError ends the search with
    stopped_by "time_limit" and what is found by then.

    Args:
        num_patches: Number of patches.
        prob_thresh: Sufficient is above this share of the full image's probability.
    """
    opened = yield from opening(num_patches, prob_thresh=prob_thresh)
    if opened.stopped_by:
        return SearchResult((), opened.stopped_by)
    found: list[MSE] = []
    rest = tuple(range(num_patches))
    try:
        while rest:
            probability = yield from probability_of(rest)
            if probability <= opened.threshold:
                break
            path = yield from backward_selection(rest)
            mse = first_sufficient(path, opened.threshold)
            found.append(mse)
            rest = tuple(patch for patch in rest if patch not in mse.patches)
    except TimeoutError:
        return SearchResult.of(found, "time_limit")
    return SearchResult.of(found, "exhausted")


def probability_of(patches: PatchSet) -> Asks[float]:
    """Ask for the probability of one patch set."""
    (probability,) = yield Question([patches])
    return probability


def first_sufficient(path: Sequence[tuple[PatchSet, float]], threshold: float) -> MSE:
    """Return the first set of a path, smallest first, whose probability is above the threshold."""
    patches, probability = next((s, p) for s, p in path if p > threshold)
    return MSE(patches, probability, minimal="subset" if len(patches) <= PROVEN_SIZE else "single")


def backward_selection(patches: Sequence[int]) -> Asks[list[tuple[PatchSet, float]]]:
    """Return the sets left after each removal, and their probabilities.

    The smallest set (no patch) comes first, all patches last. Ties go against the patch with the
    lowest number, so that the order does not depend on chance.
    """
    left = tuple(sorted(patches))
    probability = yield from probability_of(left)
    path = [(left, probability)]
    while left:
        children = [tuple(p for p in left if p != removed) for removed in left]
        scores = yield Question(children)
        best = max(range(len(children)), key=lambda i: (scores[i], -i))
        left = children[best]
        path.append((left, scores[best]))
    return path[::-1]
