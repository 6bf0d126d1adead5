"""A matplotlib figure measured in points, and how figures are written to PNG, SVG and PDF.

Text stays text, images keep their full resolution, an SVG is one file and a PDF embeds its fonts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle

from drawing.png import save_png
from drawing.styles import POINTS_PER_INCH, Style
from drawing.text import FAMILY, visible
from utils import written_beside

MAX_SIDE = 12000  # pixels; larger figures are written at a lower resolution
RC_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sag",
    "pdf.fonttype": 42,
    "image.composite_image": False,
}
NO_DATES: dict[str, dict[str, Any]] = {  # so that the same figure has the same bytes
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}


def save_figure(figure: Figure, path: Path, style: Style) -> None:
    """Write a figure in the format that its path ends in: png, svg or pdf."""
    dpi = resolution_of(figure, style)
    if path.suffix == ".png":
        save_png(pixels_of(figure, dpi), path, dpi)
        return
    with matplotlib.rc_context(RC_SETTINGS), written_beside(path) as new:
        figure.savefig(
            new, dpi=dpi, facecolor=figure.get_facecolor(), metadata=NO_DATES[path.suffix]
        )


def resolution_of(figure: Figure, style: Style) -> float:
    """Return the style's pixels per inch, or fewer for a figure that would get too large."""
    return min(style.dpi, MAX_SIDE / max(figure.get_size_inches()))


def pixels_of(figure: Figure, dpi: float) -> np.ndarray:
    """Return a figure drawn at a resolution, (H, W, 4) uint8."""
    before = figure.dpi
    figure.dpi = dpi
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    figure.dpi = before
    return np.asarray(canvas.buffer_rgba())


@dataclass(frozen=True)
class Part:
    """A part of a figure that becomes a file of its own.

    Attributes:
        left, bottom, width, height: Where it is in the figure, in points.
        without: Ids of what the figure has beside it.
    """

    left: float
    bottom: float
    width: float
    height: float
    without: frozenset[str]

    def cut(self, pixels: np.ndarray, dpi: float) -> np.ndarray:
        """Return the part's pixels out of those of the figure, (H, W, 4)."""
        scale = dpi / POINTS_PER_INCH
        width = int(scale * self.width)
        height = int(scale * self.height)
        left = min(round(scale * self.left), pixels.shape[1] - width)
        top = max(pixels.shape[0] - round(scale * self.bottom) - height, 0)
        return pixels[top : top + height, left : left + width]


@cache
def _font(size: float, bold: bool) -> FontProperties:
    """Return the font for matplotlib, which takes longer to describe than to draw with."""
    return FontProperties(family=FAMILY, size=size, weight="bold" if bold else "normal")


class Canvas:
    """A figure on which images, boxes and text are placed in points, from the lower left corner.

    Args:
        width: Width of the figure in points.
        height: Height of the figure in points.
        style: Colours, and the resolution of a PNG.
    """

    def __init__(self, width: float, height: float, style: Style):
        self.style = style
        self.width = width
        self.height = height
        self.figure = Figure(
            figsize=(width / POINTS_PER_INCH, height / POINTS_PER_INCH), facecolor=style.background
        )
        self.axes = self.figure.add_axes(
            (0, 0, 1, 1), xlim=(0, width), ylim=(0, height), autoscale_on=False
        )
        self.axes.set_axis_off()

    # Artists are added as such. axes.plot, .imshow and .add_patch measure them for limits that do
    # not change here, which takes longer than to draw them.

    def image(
        self, pixels: np.ndarray, left: float, bottom: float, width: float, height: float, gid: str
    ) -> None:
        """Place an image, (H, W, 3) uint8, in a box."""
        extent = (left, left + width, bottom, bottom + height)
        image = AxesImage(self.axes, extent=extent, gid=gid, zorder=3)
        image.set_data(pixels)
        image.set_clip_path(self.axes.patch)
        self.axes.add_image(image)

    def box(
        self, left: float, bottom: float, width: float, height: float, gid: str, **look: Any
    ) -> None:
        """Place a rectangle; look: properties of matplotlib's Rectangle."""
        self.axes.add_artist(Rectangle((left, bottom), width, height, gid=gid, **look))

    def polygon(self, corners: np.ndarray, **look: Any) -> None:
        """Place a polygon with corners (n, 2); look: properties of matplotlib's Polygon."""
        self.axes.add_artist(Polygon(corners, **look))

    def line(self, start: np.ndarray, end: np.ndarray, gid: str, **look: Any) -> None:
        """Place a straight line between two points; look: properties of matplotlib's Line2D."""
        x, y = zip(start, end)
        self.axes.add_artist(Line2D(x, y, gid=gid, **look))

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: str,
        *,
        bold: bool = False,
        **look: Any,
    ) -> None:
        """Place a line of text, "$" meaning itself; look: properties of matplotlib's Text."""
        self.axes.text(
            x,
            y,
            visible(text),
            fontproperties=_font(size, bold),
            color=colour,
            parse_math=False,
            zorder=5,
            **look,
        )

    def save(self, path: Path, parts: dict[Path, Part] | None = None) -> None:
        """Write the figure, and parts of it as files of their own, in the format of the path.

        Args:
            path: A PNG, SVG or PDF.
            parts: File of the same format -> what it shows. PNGs are cut from one drawing.
        """
        parts = parts or {}
        for image in self.axes.images:  # a vector file has the pixels as they are
            image.set_interpolation("hanning" if path.suffix == ".png" else "none")
        if path.suffix == ".png":
            dpi = resolution_of(self.figure, self.style)
            pixels = pixels_of(self.figure, dpi)
            save_png(pixels, path, dpi)
            for file, part in parts.items():
                save_png(part.cut(pixels, dpi), file, dpi)
            return
        save_figure(self.figure, path, self.style)
        for file, part in parts.items():
            with self._showing(part):
                save_figure(self.figure, file, self.style)

    @contextmanager
    def _showing(self, part: Part) -> Iterator[None]:
        """Make the figure as large as a part, and show nothing else."""
        others = [artist for artist in self.axes.get_children() if artist.get_gid() in part.without]
        for artist in others:
            artist.set_visible(False)
        self._frame(part.left, part.bottom, width=part.width, height=part.height)
        yield
        self._frame(0, 0, width=self.width, height=self.height)
        for artist in others:
            artist.set_visible(True)

    def _frame(self, left: float, bottom: float, *, width: float, height: float) -> None:
        self.figure.set_size_inches(width / POINTS_PER_INCH, height / POINTS_PER_INCH)
        self.axes.set(xlim=(left, left + width), ylim=(bottom, bottom + height))
