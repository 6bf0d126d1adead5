"""A matplotlib figure measured in points, and how figures are written to PNG, SVG and PDF.

Text stays text, images keep their full resolution, an SVG is one file and a PDF embeds its fonts.
"""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from drawing.styles import POINTS_PER_INCH, Style
from drawing.text import FAMILY

MAX_SIDE = 12000  # pixels; larger figures are written at a lower resolution
RC_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sag",
    "pdf.fonttype": 42,
    "image.composite_image": False,
}
SAVE_OPTIONS: dict[str, dict[str, Any]] = {  # no dates: the same figure has the same bytes
    ".svg": {"metadata": {"Date": None}},
    ".pdf": {"metadata": {"CreationDate": None}},
    ".png": {"pil_kwargs": {"compress_level": 4}},
}


def save_figure(figure: Figure, path: Path, style: Style) -> None:
    """Write a figure in the format that its path ends in: png, svg or pdf."""
    dpi = min(style.dpi, MAX_SIDE / max(figure.get_size_inches()))
    with matplotlib.rc_context(RC_SETTINGS):
        figure.savefig(path, dpi=dpi, facecolor=figure.get_facecolor(), **SAVE_OPTIONS[path.suffix])


class Canvas:
    """A figure on which images, boxes and text are placed in points, from the lower left corner.

    Args:
        width: Width of the figure in points.
        height: Height of the figure in points.
        style: Colours, and the resolution of a PNG.
        vector: Whether it is saved as SVG or PDF, where images keep their pixels as they are.
    """

    def __init__(self, width: float, height: float, style: Style, vector: bool):
        self.style = style
        self.vector = vector
        self.figure = Figure(
            figsize=(width / POINTS_PER_INCH, height / POINTS_PER_INCH), facecolor=style.background
        )
        self.axes = self.figure.add_axes(
            (0, 0, 1, 1), xlim=(0, width), ylim=(0, height), autoscale_on=False
        )
        self.axes.set_axis_off()

    def image(
        self, pixels: np.ndarray, left: float, bottom: float, width: float, height: float, gid: str
    ) -> None:
        """Place an image, (H, W, 3) uint8, in a box."""
        limits = self.axes.axis()
        self.axes.imshow(
            pixels,
            extent=(left, left + width, bottom, bottom + height),
            aspect="auto",
            gid=gid,
            zorder=3,
            interpolation="none" if self.vector else "hanning",
        )
        self.axes.axis(limits)

    def box(
        self, left: float, bottom: float, width: float, height: float, gid: str, **look: Any
    ) -> None:
        """Place a rectangle; look: properties of matplotlib's Rectangle."""
        self.axes.add_patch(Rectangle((left, bottom), width, height, gid=gid, **look))

    def text(self, x: float, y: float, text: str, size: float, colour: str, **look: Any) -> None:
        """Place a line of text, "$" meaning itself; look: properties of matplotlib's Text."""
        self.axes.text(
            x,
            y,
            text,
            fontsize=size,
            color=colour,
            fontfamily=FAMILY,
            parse_math=False,
            zorder=5,
            **look,
        )

    def save(self, path: Path) -> None:
        """Write the figure in the format that its path ends in."""
        save_figure(self.figure, path, self.style)
