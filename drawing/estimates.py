"""The estimate of sets that were not scored, from a record alone.

    estimate = estimate_of(sag)
    estimate((3, 10, 11)).probability       # see scoring/estimate.py

Beside the table of scored sets it reads the record's maps: the map of all explanations, and, where
the image is cut by the grid, Grad-CAM. Fitting takes some tenths of a second, without PyTorch.
"""

from typing import Any

import numpy as np

from drawing.record import Sag, packed, scores_of, sets_of
from scoring.estimate import Estimate, fit_estimate
from scoring.explanation_map import maps_of_patches


def estimate_of(sag: Sag) -> Estimate | None:
    """Return a record's estimate; None where too few sets were scored."""
    drawn = sets_of(sag.what_if.drawn) if sag.what_if else []
    return fit_estimate(scores_of(sag), sag.num_patches, maps=maps_of(sag), drawn=drawn)


def maps_of(sag: Sag) -> list[np.ndarray]:
    """Return the maps of a record that its estimate reads; see scoring/explanation_map.py."""
    gradcam = None
    if sag.gradcam and not sag.regions:
        gradcam = np.array(sag.gradcam)
    return maps_of_patches([root.patches for root in sag.roots], sag.grid, gradcam=gradcam)


def estimate_values(estimate: Estimate) -> dict[str, Any]:
    """Return an estimate as the JSON values that the page evaluates."""
    sets = [tuple(np.flatnonzero(row).tolist()) for row in estimate.support]
    return {
        "sets": packed(sets),
        "weights": estimate.weights.tolist(),
        "effects": estimate.effects.tolist(),
        "constant": estimate.constant,
        "length": estimate.length,
        "noise": estimate.noise,
        "spread": estimate.spread,
    }
