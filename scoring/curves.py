"""Insertion and deletion curves: how good an order of patches is, in two numbers.

Insertion shows the patches one after the other, starting from the baseline; deletion hides them one after the other,
starting from the whole image. An order that puts first what the class hangs on rises early in the one (a large area
under the curve) and falls early in the other (a small area).

    orders = {"igos": saliency_order(saliency), "roots": roots_order(roots, saliency)}
    curves = insertion_deletion(scorer, orders, full_probability)
    curves["igos"]["insertion_area"], curves["igos"]["deletion_area"]

Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018; here with
the patches of the grid in place of pixels, and confidences relative to the full image.
"""

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np

from scoring.patches import PatchSet, tents

MOST_POINTS = 50  # of a curve: every patch of a 7 x 7 grid, evenly chosen ones of a finer grid


def insertion_deletion(
    scorer: Callable[[Sequence[PatchSet]], Sequence[float]],
    orders: Mapping[str, Sequence[int]],
    full_probability: float,
) -> dict:
    """The curves of each order of the patches, the most important first, all scored in one call.

    -> {"patches": numbers of patches shown or hidden at each point, from 0 to all, and for each order's name
    {"insertion": relative confidences, "deletion": the same, "insertion_area": .., "deletion_area": ..}}.
    An area is the mean height of its curve, by trapezoids.
    """
    total = max((len(order) for order in orders.values()), default=0)
    counts = np.unique(
        np.linspace(0, total, min(total + 1, MOST_POINTS)).round().astype(int)
    ).tolist()
    sets = {
        name: {
            "insertion": [tuple(sorted(order[:k])) for k in counts],
            "deletion": [tuple(sorted(order[k:])) for k in counts],
        }
        for name, order in orders.items()
    }
    asked = list(dict.fromkeys(s for both in sets.values() for side in both.values() for s in side))
    relative = (
        dict(zip(asked, (float(p) / full_probability for p in scorer(asked)))) if asked else {}
    )
    curves: dict = {"patches": counts}
    for name, both in sets.items():
        curves[name] = {side: [relative[s] for s in both[side]] for side in both}
        curves[name] |= {f"{side}_area": area(counts, curves[name][side]) for side in both}
    return curves


def area(counts: Sequence[int], heights: Sequence[float]) -> float:
    """The mean height of a curve with these heights at these counts, by trapezoids."""
    widths, h = np.diff(counts), np.asarray(heights, float)
    return float((widths * (h[1:] + h[:-1]) / 2).sum() / widths.sum())


def saliency_order(saliency) -> list[int]:
    """Patches by the I-GOS mask, the most salient (lowest) first; ties by number. saliency: a number a patch."""
    return np.argsort(np.asarray(saliency, float).ravel(), kind="stable").tolist()


def heat_order(
    heat: np.ndarray, grid: tuple[int, int], size: tuple[int, int], basis: np.ndarray | None = None
) -> list[int]:
    """Patches by a heat map of any resolution (Grad-CAM's), the hottest first.

    heat: (h, w), high = important. size: (H, W) of the image. A patch has the mean of the heat under its tent; basis:
    (regions, H * W) in place of the tents.
    """
    pixels = cv2.resize(
        np.asarray(heat, np.float32), size[::-1], interpolation=cv2.INTER_LINEAR
    ).ravel()
    basis = tents(grid, size).numpy() if basis is None else basis
    return np.argsort(-(basis @ pixels) / basis.sum(1), kind="stable").tolist()


def roots_order(roots: Sequence[tuple[PatchSet, float]], saliency) -> list[int]:
    """Patches by the confidence of all roots that hold them, summed; ties, and patches in no root, by saliency.

    roots: (patches, probability) of each.
    """
    order = saliency_order(saliency)
    weight = np.zeros(len(order))
    for patches, probability in roots:
        weight[list(patches)] += probability
    return sorted(order, key=lambda p: -weight[p])  # sorted() keeps the order of equals
