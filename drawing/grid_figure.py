"""The image with the number of every patch, or the name of every region: gridimage.png."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from drawing.masked_images import MaskedImages, centres
from scoring.regions import Regions

SIDE = 6.4  # inches
DPI = 110
MANY_REGIONS = 30  # above so many, names are smaller


@dataclass(frozen=True)
class Label:
    """A number or name at a pixel of the image."""

    text: str
    x: float
    y: float


def draw_grid(masked: MaskedImages, path: Path) -> None:
    """Write the image with every patch's number at its centre, or every region's name in it.

    The centres of the outer patches are on the image's border.
    """
    height, width = masked.image.shape[:2]
    figure = Figure(figsize=(SIDE, SIDE * height / width))
    axes = figure.add_axes((0.05, 0.05, 0.9, 0.9))
    if masked.regions:
        _show_regions(axes, masked.image, masked.regions)
    else:
        _show_patches(axes, masked.image, masked.grid)
    axes.set_axis_off()
    figure.savefig(path, dpi=DPI)


def _show_regions(axes: Axes, image: np.ndarray, regions: Regions) -> None:
    borders = regions.borders()[..., None]
    axes.imshow(np.where(borders, 255, image))
    size = 7 if len(regions.names) > MANY_REGIONS else 12
    for name, (x, y) in zip(regions.names, regions.middles()):
        _write(axes, Label(name, x, y), size)


def _show_patches(axes: Axes, image: np.ndarray, grid: tuple[int, int]) -> None:
    rows, columns = grid
    ys = centres(rows, image.shape[0])
    xs = centres(columns, image.shape[1])
    axes.imshow(image)
    for y in (ys[:-1] + ys[1:]) / 2:
        axes.axhline(y, color="white", lw=0.7, alpha=0.65)
    for x in (xs[:-1] + xs[1:]) / 2:
        axes.axvline(x, color="white", lw=0.7, alpha=0.65)
    size = min(15, 90 / max(rows, columns))
    for patch in range(rows * columns):
        row, column = divmod(patch, columns)
        _write(axes, Label(str(patch), xs[column], ys[row]), size)


def _write(axes: Axes, label: Label, size: float) -> None:
    """Write a label in white with a black edge."""
    axes.text(
        label.x,
        label.y,
        label.text,
        ha="center",
        va="center",
        fontsize=size,
        parse_math=False,
        color="white",
        weight="bold",
        path_effects=[withStroke(linewidth=size / 5, foreground="black")],
    )
