"""A diverse subset of the MSEs: as many as possible, no two sharing more than a few patches.

    maximise the number of roots chosen, such that |A & B| <= overlap for any two of them

Two roots share more than t patches exactly when both contain some set T of t + 1 patches. So the
choice is a set packing: for every T, at most one root that contains T. This integer program is
solved to proven optimality (HiGHS, through scipy.optimize.milp), three times over: first the number
of roots, then, with that number kept, their total confidence, then the least sum of their places in
patch order.

    subset = diverse_subset([(1, 2), (2, 3), (7, 8)], [0.95, 0.97, 0.92], overlap=0)
    subset.chosen, subset.proven                        # [1, 2], True

It is also a maximum clique of the compatibility graph (Shitole et al., NeurIPS 2021, section 4.2),
but a clique search takes exponential time where hundreds of roots hardly overlap; the packing is
easy there. Both problems are NP-hard, so time is bounded, and the answer says whether its size is
proven.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import csr_array

from scoring.explanation_map import explanation_map

MOST_SHARED_SETS = 200_000
SIZE_SHARE = 0.5  # of the time limit, for the number of roots
TIE_SHARE = 0.25  # for each of the two ties


@dataclass(frozen=True)
class DiverseSubset:
    """Indices of the chosen roots, most confident first, and whether none larger exists."""

    chosen: list[int]
    proven: bool


def diverse_subset(
    roots: Sequence[tuple[int, ...]],
    confidences: Sequence[float],
    overlap: int = 1,
    *,
    time_limit: float = 20.0,
) -> DiverseSubset:
    """Return a largest subset of roots that pairwise share at most `overlap` patches.

    Of the largest subsets, that of the highest total confidence, then the first in patch order.

    Args:
        roots: patch sets.
        confidences: of the roots.
        overlap: number of patches that two of them may share.
        time_limit: seconds; when it is over, the best subset known stands.
    """
    if not roots:
        return DiverseSubset([], True)
    in_patch_order = sorted(range(len(roots)), key=lambda i: roots[i])
    place = np.argsort(in_patch_order)  # of each root in patch order
    program = _Packing(roots, overlap)
    proven = program.maximise(np.ones(len(roots)), slack=0.5, seconds=SIZE_SHARE * time_limit)
    program.maximise(np.asarray(confidences, float), slack=1e-9, seconds=TIE_SHARE * time_limit)
    program.maximise(-1.0 * place, slack=0.5, seconds=TIE_SHARE * time_limit)
    chosen = program.chosen.tolist()
    if not proven:  # time was up, perhaps before the solver had any good answer
        chosen = max(chosen, _greedy_choice(roots, confidences, overlap), key=len)
    return DiverseSubset(sorted(chosen, key=lambda i: (-confidences[i], place[i])), proven)


def by_coverage(
    roots: Sequence[tuple[int, ...]], confidences: Sequence[float], chosen: Sequence[int]
) -> list[int]:
    """Order chosen roots so that the first few show most of what all roots are about.

    A patch weighs as much as it occurs in the roots, those of n patches counting 1/n. The next root
    is always the one whose patches that no earlier one has weigh most, on average over its patches;
    of equal ones the most confident, then the first in patch order.

    Args:
        roots: patch sets.
        confidences: of the roots.
        chosen: places of the roots to order.
    """
    highest = max((patch for root in roots for patch in root), default=0)
    weights = explanation_map(roots, highest + 1)
    left = sorted(chosen, key=lambda i: (-confidences[i], roots[i]))
    ordered: list[int] = []
    while left:
        shown = {patch for i in ordered for patch in roots[i]}
        best = max(left, key=lambda i: round(_new_weight(roots[i], shown, weights), 9))
        ordered.append(best)
        left.remove(best)
    return ordered


def _new_weight(root: tuple[int, ...], shown: set[int], weights: np.ndarray) -> float:
    """Return the weight of a root's patches that are not shown yet, over the number of all."""
    return float(sum(weights[patch] for patch in root if patch not in shown)) / len(root)


class _Packing:
    """The integer program; each goal that was maximised becomes a constraint of the next."""

    def __init__(self, roots: Sequence[tuple[int, ...]], overlap: int):
        self.size = len(roots)
        self.constraints = [LinearConstraint(_packing_matrix(roots, overlap), -np.inf, 1)]
        self.chosen = np.array([], dtype=int)

    def maximise(self, gain: np.ndarray, *, slack: float, seconds: float) -> bool:
        """Choose roots for the largest sum of gains; return whether it is proven largest.

        Args:
            gain: one number per root.
            slack: by how much later goals may lower the sum, below any real difference.
            seconds: time limit; when it is over, the best choice known stands.
        """
        result = milp(
            -gain,
            integrality=np.ones(self.size),
            bounds=(0, 1),
            constraints=self.constraints,
            options={"mip_rel_gap": 0, "time_limit": seconds},
        )
        if result.x is not None:
            self.chosen = np.flatnonzero(result.x > 0.5)
        reached = gain[self.chosen].sum()
        self.constraints.append(LinearConstraint(gain[None], reached - slack, np.inf))
        return result.status == 0


def _greedy_choice(
    roots: Sequence[tuple[int, ...]], confidences: Sequence[float], overlap: int
) -> list[int]:
    """Return a subset for lack of a better one: small roots first, then confident ones."""
    chosen: list[int] = []
    for i in sorted(range(len(roots)), key=lambda i: (len(roots[i]), -confidences[i], roots[i])):
        if all(len(set(roots[i]) & set(roots[j])) <= overlap for j in chosen):
            chosen.append(i)
    return chosen


def _packing_matrix(roots: Sequence[tuple[int, ...]], overlap: int) -> csr_array:
    """Return (groups, roots), 0 or 1: groups of roots of which at most one may be chosen.

    A group is all roots that contain the same overlap + 1 patches. Where large roots have too many
    such sets to list, it is two roots that share that many: the same choices, but looser for the
    solver.
    """
    shared_sets = sum(comb(len(root), overlap + 1) for root in roots)
    groups: Sequence[tuple[int, ...]]
    if shared_sets > MOST_SHARED_SETS:
        groups = _overlapping_pairs(roots, overlap)
    else:
        groups = _groups_by_shared_set(roots, overlap)
    entries = [(row, i) for row, group in enumerate(groups) for i in group]
    # Older SciPy solves no int64 indices.
    row, column = np.array(entries, dtype=np.int32).reshape(-1, 2).T
    shape = (max(1, len(groups)), len(roots))
    return csr_array((np.ones(len(entries)), (row, column)), shape=shape)


def _overlapping_pairs(roots: Sequence[tuple[int, ...]], overlap: int) -> list[tuple[int, ...]]:
    sets = [set(root) for root in roots]
    pairs = combinations(range(len(roots)), 2)
    return [(i, j) for i, j in pairs if len(sets[i] & sets[j]) > overlap]


def _groups_by_shared_set(roots: Sequence[tuple[int, ...]], overlap: int) -> list[tuple[int, ...]]:
    members: dict[tuple[int, ...], list[int]] = {}
    for i, root in enumerate(roots):
        for shared in combinations(sorted(root), overlap + 1):
            members.setdefault(shared, []).append(i)
    return sorted({tuple(group) for group in members.values() if len(group) > 1})
