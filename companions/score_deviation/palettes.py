"""The colours of score deviations.

    colours([-0.2, 0, 0.9])                         # of the scale that all figures share
    palette_of("plasma", [0.0, 0.4]).colours(0.4)   # of the published maps

diverging   red supports, blue distracts, from -1 to 1 in every figure, so that figures can be
            compared; it grows with the square root of |d|, since most labels are worth a few
            hundredths
plasma      as the published program draws its maps: matplotlib's plasma, from the smallest to the
            largest deviation of the image, in steps of 1/255
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import matplotlib
import numpy as np
from matplotlib.colors import FuncNorm, Normalize

PaletteName = Literal["diverging", "plasma"]
DIVERGING: PaletteName = get_args(PaletteName)[0]
PLASMA: PaletteName = get_args(PaletteName)[1]
LEVELS = 255  # to which the published program rounds
SMALLEST_RANGE = 1 / LEVELS  # of a scale, where all deviations are the same
TICKS = (-1, -0.5, -0.1, 0, 0.1, 0.5, 1)
SCALE = FuncNorm(
    (lambda d: np.sign(d) * np.sqrt(np.abs(d)), lambda s: np.sign(s) * s**2), vmin=-1, vmax=1
)


@dataclass(frozen=True)
class Palette:
    """How deviations become colours.

    Attributes:
        colour_map: name of matplotlib's.
        scale: from deviations to 0..1.
        opacity: of a map's colours over the grey image.
        ticks: of the colour scale; None: by matplotlib.
        levels: deviations are rounded to 1/levels; None: they are not.
    """

    colour_map: str
    scale: Normalize
    opacity: float
    ticks: Sequence[float] | None = None
    levels: int | None = None

    def colours(self, deviations: Sequence[float] | np.ndarray | float) -> np.ndarray:
        """Return the colours (.., 3), in 0..1, of deviations (..)."""
        values = np.asarray(deviations, float)
        if self.levels is not None:
            values = np.round(values * self.levels) / self.levels
        scaled = np.asarray(self.scale(values))
        return np.asarray(matplotlib.colormaps[self.colour_map](scaled))[..., :3]


SHARED = Palette("RdBu_r", SCALE, opacity=0.72, ticks=TICKS)


def palette_of(name: PaletteName, deviations: Sequence[float]) -> Palette:
    """Return the palette of this name for an image with these deviations."""
    if name == DIVERGING:
        return SHARED
    lowest = round(min(deviations) * LEVELS) / LEVELS
    highest = round(max(deviations) * LEVELS) / LEVELS
    scale = Normalize(lowest, max(highest, lowest + SMALLEST_RANGE))
    return Palette("plasma", scale, opacity=1.0, levels=LEVELS)


def colours(deviations: Sequence[float] | np.ndarray | float) -> np.ndarray:
    """Return the colours (.., 3), in 0..1, of deviations (..): red above 0, blue below, white 0."""
    return SHARED.colours(deviations)
