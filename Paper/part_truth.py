"""Right or wrong, where it is known: explanations of the bundled world against the part sets that are truly sufficient.

A class of the bundled world is a combination of five parts, and minimal_sufficient_parts lists every minimal set of parts
that singles it out. An MSE is a set of patches, so rules connect the two:

1. an MSE *shows* a part when its patches' tents together let at least SHOWN of the part's bounding box through (mean weight over
   the box; 1 = the whole box as in the image);
2. it is *right* when the parts that it shows contain a minimal sufficient part set. (They may be more: one patch often shows
   several parts, and what it shows besides cannot be told from the patch numbers.)
3. a minimal sufficient part set is *found* when some MSE shows all its parts.

Precision: the share of an image's MSEs that are right. Recall: the share of all minimal sufficient part sets of the class that are
found. The same rules applied to random sets of the same sizes say how easily they are met.

SHOWN was measured on 96 other scenes: of the single patches that show a part that alone is sufficient, and no other part, those with a tenth to
a fifth of its box give the class a median confidence of 0.62 to 0.71, those with less at most 0.24; at most a third of either is sufficient.

    shares = box_shares(scene.boxes, grid=(7, 7), size=(224, 224))          # (49, 5)
    parts_shown((11, 30), shares)                                           # ("crest", "tail")
    precision_and_recall([(11, 30), (17,)], shares, category=3)             # 1.0, 0.4
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mask_scorer import PatchSet, tents
from Models.birds import PARTS, minimal_sufficient_parts

SHOWN = 0.1                 # of a part's box


def box_shares(boxes: Mapping[str, Sequence[int]], grid: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """How much of each part's box each patch lets through, (patches, parts): its mean weight over the box.

    boxes: part -> x0, y0, x1, y1, the last row and column belonging to it. A part without a box has zeros.
    """
    basis = tents(grid, size).numpy().reshape(grid[0] * grid[1], *size)
    shares = np.zeros((len(basis), len(PARTS)))
    for part, (x0, y0, x1, y1) in boxes.items():
        shares[:, PARTS.index(part)] = basis[:, y0:y1 + 1, x0:x1 + 1].mean((1, 2))
    return shares


def parts_shown(patches: PatchSet, shares: np.ndarray, shown: float = SHOWN) -> tuple[str, ...]:
    """The parts that a patch set shows (rule 1), in the order of PARTS."""
    return tuple(part for part, share in zip(PARTS, shares[list(patches)].sum(0)) if share >= shown)


def precision_and_recall(mses: Iterable[PatchSet], shares: np.ndarray, category: int,
                         shown: float = SHOWN) -> tuple[float | None, float]:
    """Of one image's MSEs, by rules 2 and 3; precision is None where there is no MSE."""
    seen, truth = [set(parts_shown(patches, shares, shown)) for patches in mses], minimal_sufficient_parts(category)
    right = [any(parts.issuperset(m) for m in truth) for parts in seen]
    found = [any(parts.issuperset(m) for parts in seen) for m in truth]
    return float(np.mean(right)) if seen else None, float(np.mean(found))


def random_alike(mses: Iterable[PatchSet], patches: int, seed) -> list[PatchSet]:
    """A random set of patches for each MSE, of its size: what the rules say of sets that explain nothing."""
    rng = np.random.default_rng(seed)
    return [tuple(sorted(rng.choice(patches, len(mse), replace=False).tolist())) for mse in mses]
