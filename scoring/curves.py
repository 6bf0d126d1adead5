"""Insertion and deletion curves: how good an order of the patches is, in two numbers.

Insertion shows the patches one after the other, starting from the baseline; deletion hides them one
after the other, starting from the full image. An order that begins with what the class depends on
rises early in the first (a large area under the curve) and falls early in the second (a small
area).

    orders = {"igos": saliency_order(saliency), "roots": roots_order(roots, saliency)}
    curves = answer(insertion_deletion(orders, full_probability), scorer)
    curves["igos"].insertion_area, curves["igos"].deletion_area

Curves are sampled where they bend: first at nine evenly spaced counts of patches, then halfway
between neighbours where the confidence changes much and not along a straight line. Every point of a
curve was scored; none is interpolated.

Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC
2018; here with the patches of the grid in place of pixels, and with confidences relative to the
full image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt
import torch
from scipy.integrate import trapezoid

from scoring.explanation_map import explanation_map
from scoring.patch_sets import PatchSet
from scoring.patches import Basis
from scoring.questions import Asks, Question

MOST_POINTS = 50  # of a curve: every patch of a 7 x 7 grid, evenly spaced ones of a finer grid
FIRST_POINTS = 9  # evenly spaced, before any interval is halved
# An interval is halved where change x width and bend x width are above this share of the axes. On
# 40 photos (ResNet-18): 14.5 points a curve, areas within 0.003 by median and 0.016 for 95 %.
HALVED_ABOVE = 0.012


@dataclass(frozen=True)
class Curve:
    """Insertion and deletion of one order.

    Attributes:
        insertion_patches: numbers of patches shown at each point of insertion, from 0 to all.
        insertion: confidence at each of them, relative to the full image.
        deletion_patches: numbers of patches hidden at each point of deletion, from 0 to all.
        deletion: confidence at each of them, relative to the full image.
    """

    insertion_patches: list[int]
    insertion: list[float]
    deletion_patches: list[int]
    deletion: list[float]

    @property
    def insertion_area(self) -> float:
        """Mean height of the insertion curve, by trapezoids."""
        return area(self.insertion_patches, self.insertion)

    @property
    def deletion_area(self) -> float:
        """Mean height of the deletion curve, by trapezoids."""
        return area(self.deletion_patches, self.deletion)


def insertion_deletion(
    orders: Mapping[str, Sequence[int]], full_probability: float, *, all_counts: bool = False
) -> Asks[dict[str, Curve]]:
    """Return the curves of several orders; each round asks once, for the sets of all curves.

    Args:
        orders: name of each order -> patches, the most important first.
        full_probability: of the full image, above 0.
        all_counts: whether to sample every one of points() and not only where a curve bends.

    Raises:
        TimeoutError: time is up before the first round. Later the curves are as far as they got.
    """
    insertions = {name: _Samples(order) for name, order in orders.items()}
    deletions = {name: _Samples(order, hides=True) for name, order in orders.items()}
    sides = [*insertions.values(), *deletions.values()]
    first = MOST_POINTS if all_counts else FIRST_POINTS
    counts = [points(len(side.order), first) for side in sides]
    relative: dict[PatchSet, float] = {}
    while any(counts):
        wanted = dict.fromkeys(side.set_at(k) for side, ks in zip(sides, counts) for k in ks)
        new = [patches for patches in wanted if patches not in relative]
        try:
            scores = (yield Question(new, is_proof=True)) if new else []
        except TimeoutError:
            if not relative:
                raise
            break
        relative |= {patches: p / full_probability for patches, p in zip(new, scores)}
        for side, ks in zip(sides, counts):
            side.heights |= {k: relative[side.set_at(k)] for k in ks}
        counts = [[] if all_counts else side.next_counts() for side in sides]
    return {
        name: Curve(*insertions[name].in_order(), *deletions[name].in_order()) for name in orders
    }


@dataclass
class _Samples:
    """What is known of one curve while it is sampled.

    Attributes:
        order: patches, the most important first.
        hides: whether the first patches of the order are hidden, or shown.
        heights: number of patches shown or hidden -> relative confidence.
    """

    order: Sequence[int]
    hides: bool = False
    heights: dict[int, float] = field(default_factory=dict)

    def set_at(self, count: int) -> PatchSet:
        """Return the patches that are visible at a count."""
        visible = self.order[count:] if self.hides else self.order[:count]
        return tuple(sorted(visible))

    def in_order(self) -> tuple[list[int], list[float]]:
        """Return the counts sampled so far, in ascending order, and the confidences at them."""
        counts = sorted(self.heights)
        return counts, [self.heights[count] for count in counts]

    def next_counts(self) -> list[int]:
        """Return the middles of the intervals that are worth halving, at most MOST_POINTS in all.

        An interval is worth it where both its change of confidence and its bend, multiplied by its
        width, are large. The bend is the difference to the change that it would have with the slope
        of an interval beside it. Where not all fit, those with the largest products are halved.
        """
        counts, heights = self.in_order()
        widths = np.diff(counts) / len(self.order)
        slopes = np.diff(heights) / widths
        beside = np.pad(slopes, 1, mode="edge")
        bends = np.maximum(np.abs(slopes - beside[:-2]), np.abs(slopes - beside[2:]))
        products = np.minimum(np.abs(slopes), bends) * widths**2
        middles = {
            (left + right) // 2: product
            for (left, right), product in zip(pairwise(counts), products)
            if right - left > 1 and product > HALVED_ABOVE
        }
        largest_first = sorted(middles, key=lambda middle: -middles[middle])
        return largest_first[: max(0, MOST_POINTS - len(counts))]


def points(total: int, most: int = MOST_POINTS) -> list[int]:
    """Return at most `most` evenly spaced numbers from 0 to `total`, both included."""
    spaced = np.linspace(0, total, min(total + 1, most))
    return np.unique(spaced.round().astype(int)).tolist()


def area(counts: Sequence[int], heights: Sequence[float]) -> float:
    """Return the mean height of a curve with these heights at these counts, by trapezoids."""
    return float(trapezoid(heights, counts) / (counts[-1] - counts[0]))


# ---------------------------------------------------------------- orders


def saliency_order(saliency: npt.ArrayLike) -> list[int]:
    """Return patches by the I-GOS mask, the most salient (lowest) first; ties by number.

    Args:
        saliency: one number per patch, of any shape; lower values are more salient.
    """
    return np.argsort(np.asarray(saliency, dtype=float).ravel(), kind="stable").tolist()


def map_order(saliency_map: np.ndarray, basis: Basis, size: tuple[int, int]) -> list[int]:
    """Return patches by a saliency map of any resolution, such as Grad-CAM's, the highest first.

    A patch has the mean of the map under its tent, or in its region.

    Args:
        saliency_map: (h, w); higher values are more important.
        basis: how strongly each patch shows each pixel, on the CPU.
        size: height and width of the image in pixels.
    """
    return np.argsort(-patch_means(saliency_map, basis, size), kind="stable").tolist()


def patch_means(saliency_map: np.ndarray, basis: Basis, size: tuple[int, int]) -> np.ndarray:
    """Return the mean of a saliency map under each patch, (patches,); see map_order."""
    height, width = size
    values = np.asarray(saliency_map, np.float32)
    pixels = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
    return basis.means(torch.from_numpy(pixels)).numpy()


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
    basis: Basis,
    size: tuple[int, int],
) -> dict[str, list[int]]:
    """Return the order of the patches by each explanation that exists.

    These are igos, gradcam, roots, and explanations: the map of all of them.

    Args:
        saliency: the I-GOS mask, one number per patch.
        saliency_map: Grad-CAM's map (h, w), or None.
        roots: (patches, probability) of each.
        basis: how strongly each patch shows each pixel, on the CPU.
        size: height and width of the image in pixels.
    """
    orders = {"igos": saliency_order(saliency)}
    if saliency_map is not None:
        orders["gradcam"] = map_order(saliency_map, basis, size)
    if roots:
        orders["roots"] = roots_order(roots, saliency)
        weights = explanation_map([patches for patches, _ in roots], len(orders["igos"]))
        orders["explanations"] = sorted(orders["igos"], key=lambda patch: -weights[patch])
    return orders
