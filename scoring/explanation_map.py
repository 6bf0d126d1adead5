"""One heat map from all explanations: where the patches are that keep the class.

    weights = explanation_map([(3, 10), (10, 30, 31)], num_patches=49)      # of patch 10: 1/2 + 1/3

A patch's weight is the sum of 1/size over the explanations that have it: each explanation gives
away a weight of 1, shared evenly among its patches. The same map of breaking sets says where the
patches are that the class cannot do without.
"""

from collections.abc import Iterable

import numpy as np

from scoring.patch_sets import PatchSet


def explanation_map(sets: Iterable[PatchSet], num_patches: int) -> np.ndarray:
    """Return the weight of each patch, (patches,); all 0 where there is no explanation.

    Args:
        sets: all minimal sufficient explanations, or all breaking sets.
        num_patches: number of patches or regions.
    """
    weights = np.zeros(num_patches)
    for patches in sets:
        weights[list(patches)] += 1 / max(1, len(patches))
    return weights


def maps_of_patches(
    sets: Iterable[PatchSet], grid: tuple[int, int], *, gradcam: np.ndarray | None
) -> list[np.ndarray]:
    """Return the maps that an estimate reads, each (patches,): of all explanations, and Grad-CAM.

    Args:
        sets: all minimal sufficient explanations.
        grid: rows and columns of patches.
        gradcam: (h, w), high is salient; None: there is none, or the image is cut into regions.
    """
    maps = [explanation_map(sets, grid[0] * grid[1])]
    if gradcam is not None:
        maps.append(on_grid(np.asarray(gradcam, dtype=float), grid))
    return maps


def on_grid(saliency_map: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Return how much of a saliency map each patch shows, (patches,).

    The map is read at the centres of the patches; a patch at a border shows half as much.

    Args:
        saliency_map: (h, w).
        grid: rows and columns of patches.
    """
    values = saliency_map
    for axis, number in enumerate(grid):
        places = np.linspace(0, values.shape[axis] - 1, number)
        before = np.floor(places).astype(int)
        after = np.minimum(before + 1, values.shape[axis] - 1)
        share = (places - before).reshape((-1, 1) if axis == 0 else (1, -1))
        first = np.take(values, before, axis=axis)
        values = first + share * (np.take(values, after, axis=axis) - first)
    return np.maximum(values * np.outer(*(shown_of_side(number) for number in grid)), 0).ravel()


def shown_of_side(number: int) -> np.ndarray:
    """Return how much each row or column of patches shows, relative to an inner one, (number,)."""
    shown = np.ones(number)
    if number > 1:
        shown[[0, -1]] = 0.5
    return shown
