"""Explanations against ground truth: the part sets that are sufficient in the bundled world.

A class of the bundled world is a combination of five parts, and minimal_sufficient_parts lists
every minimal set of parts that singles it out. An MSE is a set of patches, so three rules connect
the two:

1. An MSE *shows* a part when its patches' tents together let at least SHOWN of the part's bounding
   box through (mean weight over the box; 1 is the whole box as in the image).
2. It is *right* when the parts that it shows contain a minimal sufficient part set, and would not
   without any one of its patches: minimal in the world, as it is for the network.
3. A minimal sufficient part set is *found* when a right MSE shows it. An MSE stands for one part
   set at most.

Precision is the share of an image's MSEs that are right, recall the share of all minimal sufficient
part sets of the class that are found. The same rules applied to random sets of the same sizes tell
how easily they are met.

SHOWN is a quarter because of the grid: midway between four patches each of them lets a quarter
through, so that one patch can show any part no larger than a patch, wherever it lies. The lenient
rule lets an MSE show more than it needs and stand for several part sets: an upper bound, which
large sets reach by size alone.

    shares = box_shares(scene.boxes, grid=(7, 7), size=(224, 224))           # (49, 5)
    parts_shown((11, 30), shares)                                            # ("crest", "tail")
    precision_and_recall([(11, 30), (17,)], shares, category=3).precision    # 1.0
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from birds.painter import PARTS, minimal_sufficient_parts
from scoring.patch_sets import PatchSet
from scoring.patches import tents

SHOWN = 0.25  # share of a part's box from which it counts as shown


class PrecisionRecall(NamedTuple):
    """Agreement of one image's MSEs with the ground truth; precision is None without any MSE."""

    precision: float | None
    recall: float


def box_shares(
    boxes: Mapping[str, Sequence[int]], grid: tuple[int, int], size: tuple[int, int]
) -> np.ndarray:
    """Return how much of each part's box each patch lets through: its mean weight over the box.

    Args:
        boxes: By part, x0, y0, x1, y1 in pixels; the last row and column belong to the box.
        grid: Rows and columns of patches.
        size: Height and width of the image.

    Returns:
        Array of shape (num_patches, num_parts) in [0, 1], parts in the order of PARTS; zeros for a
        part without a box.
    """
    basis = tents(grid, size).numpy().reshape(grid[0] * grid[1], *size)
    shares = np.zeros((len(basis), len(PARTS)))
    for part, (x0, y0, x1, y1) in boxes.items():
        in_box = basis[:, y0 : y1 + 1, x0 : x1 + 1]
        shares[:, PARTS.index(part)] = in_box.mean((1, 2))
    return shares


def parts_shown(
    patches: Iterable[int], shares: np.ndarray, shown: float = SHOWN
) -> tuple[str, ...]:
    """Return the parts that a patch set shows (rule 1), in the order of PARTS."""
    totals = shares[list(patches)].sum(0)
    return tuple(part for part, total in zip(PARTS, totals) if total >= shown)


def precision_and_recall(
    mses: Sequence[PatchSet],
    shares: np.ndarray,
    category: int,
    *,
    shown: float = SHOWN,
    lenient: bool = False,
) -> PrecisionRecall:
    """Return precision and recall of one image's MSEs (rules 2 and 3).

    Args:
        mses: The MSEs of the image.
        shares: What `box_shares` returns for it.
        category: Index of the class in the bundled world.
        shown: Share of a part's box from which it counts as shown.
        lenient: Apply the lenient rule (see the module's docstring).
    """
    part_sets = sufficient_part_sets(category)
    contains = np.zeros((len(mses), len(part_sets)), bool)  # which part sets each MSE shows
    for i, mse in enumerate(mses):
        contains[i] = part_sets_shown(mse, shares, category=category, shown=shown)
    right = np.asarray(contains.any(1))
    if lenient:
        found = int(contains[right].any(0).sum())
    else:
        for i, mse in enumerate(mses):
            fewer = [[p for p in mse if p != patch] for patch in mse]
            right[i] &= not any(
                part_sets_shown(rest, shares, category=category, shown=shown).any()
                for rest in fewer
            )
        found = max_pairs(contains[right])
    precision = float(right.mean()) if len(mses) else None
    return PrecisionRecall(precision, found / len(part_sets))


def part_sets_shown(
    patches: Iterable[int], shares: np.ndarray, category: int, shown: float
) -> np.ndarray:
    """Return which of the class's minimal sufficient part sets the patches show, (part sets,)."""
    seen = set(parts_shown(patches, shares, shown=shown))
    return np.array([seen.issuperset(parts) for parts in sufficient_part_sets(category)], bool)


@cache
def sufficient_part_sets(category: int) -> list[tuple[str, ...]]:
    """Return minimal_sufficient_parts(category), computed once per class: the tables ask often.

    Cached here and not in birds/painter.py, whose checksum is part of every scene's identity.
    """
    return minimal_sufficient_parts(category)


def max_pairs(fits: np.ndarray) -> int:
    """Return how many rows can each be given a column of their own that fits.

    Args:
        fits: Bool array of shape (rows, columns).
    """
    columns = maximum_bipartite_matching(csr_array(fits), perm_type="column")
    return int((columns >= 0).sum())


def random_sets_like(
    mses: Iterable[PatchSet], num_patches: int, seed: int | Sequence[int]
) -> list[PatchSet]:
    """Return a random patch set of the size of each MSE.

    Args:
        mses: The sets whose sizes to take.
        num_patches: Number of patches to choose from.
        seed: Of numpy.random.default_rng.
    """
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(num_patches, len(mse), replace=False) for mse in mses]
    return [tuple(sorted(patches.tolist())) for patches in chosen]
