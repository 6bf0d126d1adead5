"""Right or wrong, where it is known: explanations of the bundled world against the part sets that are truly sufficient.

A class of the bundled world is a combination of five parts, and minimal_sufficient_parts lists every minimal set of parts
that singles it out. An MSE is a set of patches, so rules connect the two:

1. an MSE *shows* a part when its patches' tents together let at least SHOWN of the part's bounding box through (mean weight over
   the box; 1 = the whole box as in the image);
2. it is *right* when the parts that it shows contain a minimal sufficient part set, and would not without any one of its patches:
   minimal in the world, as it is for the network;
3. a minimal sufficient part set is *found* when a right MSE shows it, an MSE standing for one part set at most.

Precision: the share of an image's MSEs that are right. Recall: the share of all minimal sufficient part sets of the class that are
found. The same rules applied to random sets of the same sizes say how easily they are met.

SHOWN is a quarter because of the grid: midway between four patches each of them lets a quarter through, so that one patch can show any
part that is not larger than a patch, wherever it lies. With `lenient`, an MSE may show more than it needs, and one may stand for
several part sets: an upper bound, which large sets meet by size alone.

    shares = box_shares(scene.boxes, grid=(7, 7), size=(224, 224))          # (49, 5)
    parts_shown((11, 30), shares)                                           # ("crest", "tail")
    precision_and_recall([(11, 30), (17,)], shares, category=3)             # 1.0, 0.4
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from scoring.patches import PatchSet, tents
from birds.painter import PARTS, minimal_sufficient_parts

SHOWN = 0.25  # of a part's box


def box_shares(
    boxes: Mapping[str, Sequence[int]], grid: tuple[int, int], size: tuple[int, int]
) -> np.ndarray:
    """How much of each part's box each patch lets through, (patches, parts): its mean weight over the box.

    boxes: part -> x0, y0, x1, y1, the last row and column belonging to it. A part without a box has zeros.
    """
    basis = tents(grid, size).numpy().reshape(grid[0] * grid[1], *size)
    shares = np.zeros((len(basis), len(PARTS)))
    for part, (x0, y0, x1, y1) in boxes.items():
        shares[:, PARTS.index(part)] = basis[:, y0 : y1 + 1, x0 : x1 + 1].mean((1, 2))
    return shares


def parts_shown(patches: PatchSet, shares: np.ndarray, shown: float = SHOWN) -> tuple[str, ...]:
    """The parts that a patch set shows (rule 1), in the order of PARTS."""
    return tuple(part for part, share in zip(PARTS, shares[list(patches)].sum(0)) if share >= shown)


def precision_and_recall(
    mses: Sequence[PatchSet],
    shares: np.ndarray,
    category: int,
    shown: float = SHOWN,
    lenient: bool = False,
) -> tuple[float | None, float]:
    """Of one image's MSEs, by rules 2 and 3; precision is None where there is no MSE."""
    truth = true_part_sets(category)

    def inside(patches) -> list[bool]:
        """Which of the true part sets these patches show."""
        seen = set(parts_shown(patches, shares, shown))
        return [seen.issuperset(parts) for parts in truth]

    stands_for = np.array([inside(s) for s in mses], bool).reshape(len(mses), len(truth))
    right = stands_for.any(1)
    if not lenient:
        right &= np.array([not any(any(inside(set(s) - {p})) for p in s) for s in mses], bool)
    found = stands_for[right].any(0).sum() if lenient else pairs(stands_for[right])
    return float(right.mean()) if len(mses) else None, float(found / len(truth))


@cache
def true_part_sets(category: int) -> list:
    """minimal_sufficient_parts, found once a class: the tables ask thousands of times.

    Kept here and not in birds/painter.py, as that file's checksum is part of every measured scene's identity.
    """
    return minimal_sufficient_parts(category)


def pairs(fits: np.ndarray) -> int:
    """How many rows can be given a column that fits (rows, columns; bool), each column to one row at most."""
    return int((maximum_bipartite_matching(csr_array(fits), perm_type="column") >= 0).sum())


def random_alike(mses: Iterable[PatchSet], patches: int, seed) -> list[PatchSet]:
    """A random set of patches for each MSE, of its size: what the rules say of sets that explain nothing."""
    rng = np.random.default_rng(seed)
    return [tuple(sorted(rng.choice(patches, len(mse), replace=False).tolist())) for mse in mses]
