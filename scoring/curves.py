"""Insertion and deletion curves: how good an order of the patches is, in two numbers.

Insertion shows the patches one after the other, starting from the baseline; deletion hides them one
after the other, starting from the full image. An order that begins with what the class depends on
rises early in the first (a large area under the curve) and falls early in the second (a small
area).

    orders = {"igos": saliency_order(saliency), "roots": roots_order(roots, saliency)}
    curves = insertion_deletion(scorer, orders, full_probability)
    curves["igos"].insertion_area, curves["igos"].deletion_area

Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC
2018; here with the patches of the grid in place of pixels, and with confidences relative to the
full image.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.integrate import trapezoid

from scoring.patch_sets import PatchSet

MOST_POINTS = 50  # of a curve: every patch of a 7 x 7 grid, evenly spaced ones of a finer grid


@dataclass(frozen=True)
class Curve:
    """Insertion and deletion of one order; confidences are relative to the full image."""

    patches: list[int]  # number of patches shown or hidden at each point, from 0 to all
    insertion: list[float]
    deletion: list[float]

    @property
    def insertion_area(self) -> float:
        """Mean height of the insertion curve, by trapezoids."""
        return area(self.patches, self.insertion)

    @property
    def deletion_area(self) -> float:
        """Mean height of the deletion curve, by trapezoids."""
        return area(self.patches, self.deletion)


def insertion_deletion(
    scorer: Callable[[Sequence[PatchSet]], Iterable[float]],
    orders: Mapping[str, Sequence[int]],
    full_probability: float,
) -> dict[str, Curve]:
    """Return the curves of several orders; all their sets are scored in one call.

    Args:
        scorer: patch sets to probabilities.
        orders: name of each order -> patches, the most important first.
        full_probability: of the full image, above 0.
    """
    total = max((len(order) for order in orders.values()), default=0)
    counts = points(total)
    shown = {name: [_set(order[:k]) for k in counts] for name, order in orders.items()}
    hidden = {name: [_set(order[k:]) for k in counts] for name, order in orders.items()}
    lists = [*shown.values(), *hidden.values()]
    wanted = list(dict.fromkeys(patches for sets in lists for patches in sets))
    scores = scorer(wanted) if wanted else []
    relative = {s: float(p) / full_probability for s, p in zip(wanted, scores)}
    return {
        name: Curve(
            patches=counts,
            insertion=[relative[s] for s in shown[name]],
            deletion=[relative[s] for s in hidden[name]],
        )
        for name in orders
    }


def points(total: int) -> list[int]:
    """Return the numbers of patches at which a curve over `total` patches is sampled."""
    spaced = np.linspace(0, total, min(total + 1, MOST_POINTS))
    return np.unique(spaced.round().astype(int)).tolist()


def area(counts: Sequence[int], heights: Sequence[float]) -> float:
    """Return the mean height of a curve with these heights at these counts, by trapezoids."""
    return float(trapezoid(heights, counts) / (counts[-1] - counts[0]))


def _set(patches: Sequence[int]) -> PatchSet:
    return tuple(sorted(patches))


# ---------------------------------------------------------------- orders


def saliency_order(saliency: npt.ArrayLike) -> list[int]:
    """Return patches by the I-GOS mask, the most salient (lowest) first; ties by number.

    Args:
        saliency: one number per patch, of any shape; lower values are more salient.
    """
    return np.argsort(np.asarray(saliency, dtype=float).ravel(), kind="stable").tolist()


def map_order(saliency_map: np.ndarray, basis: np.ndarray, size: tuple[int, int]) -> list[int]:
    """Return patches by a saliency map of any resolution, such as Grad-CAM's, the highest first.

    A patch has the mean of the map under its tent, or in its region.

    Args:
        saliency_map: (h, w); higher values are more important.
        basis: (patches, H * W), the weight of every patch at every pixel.
        size: height and width of the image in pixels.
    """
    height, width = size
    values = np.asarray(saliency_map, np.float32)
    pixels = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR).ravel()
    return np.argsort(-(basis @ pixels) / basis.sum(1), kind="stable").tolist()


def roots_order(roots: Sequence[tuple[PatchSet, float]], saliency: npt.ArrayLike) -> list[int]:
    """Return patches by the summed confidence of all roots that contain them.

    Ties, and patches in no root, are ordered by saliency.

    Args:
        roots: (patches, probability) of each.
        saliency: one number per patch; lower values are more salient.
    """
    order = saliency_order(saliency)
    weight = np.zeros(len(order))
    for patches, probability in roots:
        weight[list(patches)] += probability
    return sorted(order, key=lambda patch: -weight[patch])  # sorted() keeps the order of equals


def explanation_orders(
    saliency: npt.ArrayLike,
    saliency_map: np.ndarray | None,
    roots: Sequence[tuple[PatchSet, float]],
    *,
    basis: np.ndarray,
    size: tuple[int, int],
) -> dict[str, list[int]]:
    """Return the order of the patches by each explanation that exists: igos, gradcam, roots.

    Args:
        saliency: the I-GOS mask, one number per patch.
        saliency_map: Grad-CAM's map (h, w), or None.
        roots: (patches, probability) of each.
        basis: (patches, H * W), the weight of every patch at every pixel.
        size: height and width of the image in pixels.
    """
    orders = {"igos": saliency_order(saliency)}
    if saliency_map is not None:
        orders["gradcam"] = map_order(saliency_map, basis, size)
    if roots:
        orders["roots"] = roots_order(roots, saliency)
    return orders
