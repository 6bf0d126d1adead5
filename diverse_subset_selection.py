"""A diverse subset of the MSEs: as many as possible, no two sharing more than a few patches.

    maximise the number of roots chosen, such that |A & B| <= overlap for any two of them

Two roots share more than t patches exactly when both contain some set T of t + 1 patches. So the choice is
a set packing: for every T, at most one root that contains T. This integer program is solved to proven
optimality (HiGHS, through scipy.optimize.milp), three times over: first the number of roots, then, with that
number kept, their total confidence, then the least sum of their places in patch order.

    diverse_subset([(1, 2), (2, 3), (7, 8)], [0.95, 0.97, 0.92], overlap=0)     # ([1, 2], True)

It is also a maximum clique of the compatibility graph (Shitole et al., NeurIPS 2021, section 4.2), but a
clique search takes exponential time where hundreds of roots hardly overlap; the packing is easy there. Both
problems are NP-hard, so time is bounded, and the answer says whether its size is proven.
"""

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import csr_array

MOST_SHARED_SETS = 200_000


def diverse_subset(
    roots: Sequence[tuple[int, ...]],
    confidences: Sequence[float],
    overlap: int = 1,
    time_limit: float = 20.0,
) -> tuple[list[int], bool]:
    """Indices of a largest subset of roots with pairwise overlaps of at most `overlap` patches; whether that is proven.

    Of the largest ones, that of the highest total confidence, then the first in patch order. The indices
    come most confident first, ties in patch order. time_limit: seconds; half of it for the number of roots,
    after which the best subset known stands, a quarter for each of the two ties.
    """
    place = np.argsort(
        sorted(range(len(roots)), key=lambda i: roots[i])
    )  # of each root in patch order
    everything, chosen, proven = np.ones(len(roots)), np.array([], dtype=int), True
    constraints = [LinearConstraint(_packing(roots, overlap), -np.inf, 1)]
    for gain, slack, share in (
        (everything, 0.5, 0.5),
        (np.asarray(confidences, float), 1e-9, 0.25),
        (-1.0 * place, 0.5, 0.25),
    ):
        if not roots:
            break
        result = milp(
            -gain,
            integrality=everything,
            bounds=(0, 1),
            constraints=constraints,
            options={"mip_rel_gap": 0, "time_limit": share * time_limit},
        )
        if gain is everything:
            proven = result.status == 0
        if result.x is not None:
            chosen = np.flatnonzero(result.x > 0.5)
        constraints.append(
            LinearConstraint(gain[None], gain[chosen].sum() - slack, np.inf)
        )  # the next goal keeps it
    return sorted(chosen.tolist(), key=lambda i: (-confidences[i], place[i])), proven


def _packing(roots: Sequence[tuple[int, ...]], overlap: int) -> csr_array:
    """(groups, roots) 0/1: groups of roots of which at most one may be chosen.

    A group is all roots that contain the same overlap + 1 patches; or, where large roots have too many such
    sets to list, two roots that share that many: the same choices, but looser for the solver.
    """
    if sum(comb(len(root), overlap + 1) for root in roots) > MOST_SHARED_SETS:
        groups = [
            (i, j)
            for i, j in combinations(range(len(roots)), 2)
            if len(set(roots[i]) & set(roots[j])) > overlap
        ]
    else:
        members: dict[tuple[int, ...], list[int]] = {}
        for i, root in enumerate(roots):
            for shared in combinations(sorted(root), overlap + 1):
                members.setdefault(shared, []).append(i)
        groups = sorted({tuple(m) for m in members.values() if len(m) > 1})
    entries = [(row, i) for row, group in enumerate(groups) for i in group]
    row, column = (
        np.array(entries, dtype=np.int32).reshape(-1, 2).T
    )  # older SciPy solves no int64 indices
    return csr_array(
        (np.ones(len(entries)), (row, column)), shape=(max(1, len(groups)), len(roots))
    )
