"""Figures of one image's score deviations, drawn from the record and the image.

    draw_map(record, image, Path("Results/kitchen"), DARK)              # deviation.png
    pixels = deviation_map(record, image)                               # (H, W, 3) uint8

The colours are those of palettes.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from companions.score_deviation.palettes import (
    DIVERGING,
    SHARED,
    Palette,
    PaletteName,
    palette_of,
)
from companions.score_deviation.record import Deviations, LabelDeviation
from drawing.canvas import save_figure
from drawing.styles import DARK, FORMATS, POINTS_PER_INCH, Style, paper
from drawing.text import FAMILY, shrunk, text_width, wrapped
from scoring.regions import Regions

MOST_BARS = 14  # labels beside a map
FEWEST_BARS = 4  # as high as so many bars, even for fewer labels
BORDER_BRIGHTNESS = 0.45
SIDE = 2.9  # inches, of the image in the dark style
BARS_WIDTH = 3.2
MOST_OF_WIDTH = 0.96  # that a heading takes; small letters are drawn a little wider than measured
SMALLEST_HEADING = 0.62  # of its size, before it is broken into two lines
MINUS = "−"


def deviation_map(record: Deviations, image: np.ndarray, palette: Palette = SHARED) -> np.ndarray:
    """Return the image in grey, each pixel tinted by its label's deviation, borders dark.

    Args:
        record: the deviations of the image.
        image: (H, W, 3) uint8 array, as the network saw it.
        palette: the colours.

    Returns:
        (H, W, 3) uint8 array.
    """
    regions = regions_of(record)
    deviations = np.zeros(len(regions.names))
    for label in record.labels:
        deviations[regions.numbers.index(label.label)] = label.deviation
    grey = image.mean(2, keepdims=True).repeat(3, 2)
    tint = 255 * palette.colours(deviations)[regions.index]
    tinted = palette.opacity * tint + (1 - palette.opacity) * grey
    tinted[regions.borders()] *= BORDER_BRIGHTNESS
    return np.round(tinted).astype(np.uint8)


def regions_of(record: Deviations) -> Regions:
    """Return the regions that a record holds."""
    stored = record.regions
    return Regions.from_png(stored.map, numbers=stored.labels, names=stored.names)


def map_files(folder: Path, style: Style, formats: Sequence[str]) -> list[Path]:
    """Return the files that draw_map() writes."""
    return [folder / f"deviation{style.ending}.{kind}" for kind in formats]


def remove_maps(folder: Path) -> None:
    """Remove the figures of an earlier record, in every style and format."""
    for style in (DARK, paper()):
        for path in map_files(folder, style, FORMATS):
            path.unlink(missing_ok=True)


def draw_map(
    record: Deviations,
    image: np.ndarray,
    folder: Path,
    style: Style,
    *,
    formats: Sequence[str] = ("png",),
    palette: PaletteName = DIVERGING,
    numbered: bool = False,
) -> None:
    """Draw deviation.*: the image, its map with the colour scale, and a bar per label.

    Args:
        record: the deviations of the image.
        image: (H, W, 3) uint8 array, as the network saw it.
        folder: where the files go; it exists.
        style: dark, or white for print.
        formats: png, svg or pdf.
        palette: the colours.
        numbered: whether the map has the names of the labels with a bar.
    """
    labels = sorted(record.labels, key=lambda label: -abs(label.deviation))[:MOST_BARS]
    labels.sort(key=lambda label: -label.deviation)
    text = 6.8 if style.width else 10
    layout = layout_of(labels, style, shape=image.shape[0] / image.shape[1], text=text)
    own = palette_of(palette, [label.deviation for label in record.labels])
    for path in map_files(folder, style, formats):
        figure = Figure(figsize=(layout.width, layout.height), facecolor=style.background)
        interpolation = "hanning" if path.suffix == ".png" else "none"
        title = f"{record.category.name} {record.probability:.3f}"
        pixels = deviation_map(record, image, own)
        drawing = Drawing(figure, layout, style, text=text)
        drawing.image(image, layout.image, title, interpolation=interpolation)
        axes = drawing.image(pixels, layout.map, "score deviation", interpolation=interpolation)
        if numbered:
            draw_names(axes, record, labels, text=text)
        scale = figure.add_axes(layout.fractions(layout.scale))
        draw_scale(figure, scale, style, text=text, palette=own)
        bars = figure.add_axes(layout.fractions(layout.bars))
        draw_bars(bars, labels, style, text=text, palette=own)
        drawing.bars_title(bars, shown=len(labels), total=len(record.labels))
        save_figure(figure, path, style)


# ---------------------------------------------------------------- layout


class Box(NamedTuple):
    """A rectangle of the figure, in inches from the lower left corner."""

    left: float
    bottom: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the parts of a figure go, in inches."""

    width: float
    height: float
    image: Box
    map: Box
    scale: Box
    bars: Box
    names: float  # width of the names left of the bars

    def fractions(self, box: Box) -> tuple[float, float, float, float]:
        """Return a box in fractions of the figure, as matplotlib places axes."""
        return (
            box.left / self.width,
            box.bottom / self.height,
            box.width / self.width,
            box.height / self.height,
        )


def layout_of(
    labels: Sequence[LabelDeviation], style: Style, *, shape: float, text: float
) -> Layout:
    """Return the layout: bars at the right, or below in a figure of a given width.

    Args:
        labels: the labels with a bar.
        style: dark, or white for print.
        shape: height of the image divided by its width.
        text: size of the text in points.
    """
    longest = max(text_width(bar_name(label), 0.9 * text) for label in labels)
    names = longest / POINTS_PER_INCH
    if style.width:
        width = style.width / POINTS_PER_INCH
        return _bars_below(len(labels), names, width=width, shape=shape, text=text)
    return _bars_beside(len(labels), names, shape=shape, text=text)


def _bars_height(count: int, text: float) -> float:
    return max(FEWEST_BARS, count) * 1.9 * text / POINTS_PER_INCH


def _bars_below(count: int, names: float, *, width: float, shape: float, text: float) -> Layout:
    pad = text / POINTS_PER_INCH
    title = 2.1 * pad
    bars = _bars_height(count, text)
    side = (width - 2.5 * pad - 0.37) / 2  # 0.37: the colour scale and its numbers
    tall = side * shape
    above = 2 * pad + bars + 2 * title
    return Layout(
        width=width,
        height=above + tall + title,
        image=Box(0.5 * pad, above, width=side, height=tall),
        map=Box(pad + side, above, width=side, height=tall),
        scale=Box(1.3 * pad + 2 * side, above, width=0.07, height=tall),
        bars=Box(1.2 * pad + names, 2 * pad, width=width - names - 2 * pad, height=bars),
        names=names,
    )


def _bars_beside(count: int, names: float, *, shape: float, text: float) -> Layout:
    pad = text / POINTS_PER_INCH
    title = 2.1 * pad
    bars = _bars_height(count, text)
    tall = SIDE * shape
    height = max(tall, bars + 2 * pad) + 2 * title + pad
    bottom = (height - title - tall) / 2
    scale = 2.6 * pad + 2 * SIDE
    left = scale + 0.75 + names  # 0.75: the numbers of the colour scale
    return Layout(
        width=left + BARS_WIDTH + pad,
        height=height,
        image=Box(pad, bottom, width=SIDE, height=tall),
        map=Box(2 * pad + SIDE, bottom, width=SIDE, height=tall),
        scale=Box(scale, bottom, width=0.1, height=tall),
        bars=Box(left, (height - title - bars) / 2 + pad, width=BARS_WIDTH, height=bars),
        names=names,
    )


# ---------------------------------------------------------------- parts


def fitted_lines(heading: str, size: float, width: float) -> tuple[list[str], float]:
    """Return a heading in one line or two, and the size at which it fits the width.

    Two lines are no higher than the place of one.
    """
    single = shrunk(heading, size, width)
    if single >= SMALLEST_HEADING * size:
        return [heading], single
    lines = wrapped(heading, 1, 0.6 * text_width(heading, 1))
    return lines, min(shrunk(line, SMALLEST_HEADING * size, width) for line in lines)


@dataclass(frozen=True)
class Drawing:
    """A figure in the making: what its images and titles share."""

    figure: Figure
    layout: Layout
    style: Style
    text: float  # size of the text in points

    def image(self, pixels: np.ndarray, box: Box, heading: str, *, interpolation: str) -> Axes:
        """Draw an image with a heading that is no wider than it; return its axes."""
        axes = self.figure.add_axes(self.layout.fractions(box))
        axes.imshow(pixels, aspect="auto", interpolation=interpolation)
        axes.set_axis_off()
        width = MOST_OF_WIDTH * POINTS_PER_INCH * box.width
        lines, size = fitted_lines(heading, self.text * 1.1, width)
        pad = 0.4 * self.text
        axes.set_title("\n".join(lines), fontsize=size, pad=pad, parse_math=False, **self._ink())
        return axes

    def bars_title(self, axes: Axes, *, shown: int, total: int) -> None:
        """Put the title above the bars and their names, as wide as both at most."""
        left_out = f" (the {shown} largest of {total})" if total > shown else ""
        title = f"probability lost without it{left_out}"
        box = self.layout.bars
        most = MOST_OF_WIDTH * POINTS_PER_INCH * (box.width + self.layout.names)
        size = shrunk(title, self.text * 1.1, most)
        is_wider = text_width(title, size) > POINTS_PER_INCH * box.width
        axes.set_title(title, fontsize=size, loc="right" if is_wider else "center", **self._ink())

    def _ink(self) -> dict[str, Any]:
        return {"color": self.style.ink, "fontfamily": FAMILY}


def draw_names(
    axes: Axes, record: Deviations, labels: Sequence[LabelDeviation], *, text: float
) -> None:
    """Write the names of these labels into their regions of the map."""
    regions = regions_of(record)
    middles = regions.middles()
    for label in labels:
        place = middles[regions.numbers.index(label.label)]
        axes.annotate(
            label.name,
            place,
            ha="center",
            va="center",
            fontsize=0.65 * text,
            color="black",
            fontfamily=FAMILY,
            parse_math=False,
            path_effects=[withStroke(linewidth=0.16 * text, foreground="white")],
        )


def draw_scale(figure: Figure, axes: Axes, style: Style, *, text: float, palette: Palette) -> None:
    """Draw the colour scale."""
    colour_map = ScalarMappable(palette.scale, palette.colour_map)
    bar = figure.colorbar(colour_map, cax=axes, ticks=palette.ticks)
    if palette.ticks is not None:
        names = [f"{tick:+g}".replace("-", MINUS) if tick else "0" for tick in palette.ticks]
        bar.ax.set_yticklabels(names)
    bar.ax.tick_params(
        colors=style.ink, labelsize=text * 0.9, length=2, pad=2, labelfontfamily=FAMILY[0]
    )
    bar.outline.set_edgecolor(style.muted)


def draw_bars(
    axes: Axes, labels: Sequence[LabelDeviation], style: Style, *, text: float, palette: Palette
) -> None:
    """Draw a bar per label: its deviation, and the share of the image that it covers.

    Args:
        axes: where to draw.
        labels: from top to bottom.
        style: dark, or white for print.
        text: size of the text in points.
        palette: the colours.
    """
    values = [label.deviation for label in labels]
    rows = range(len(labels))
    axes.barh(rows, values, color=palette.colours(values), edgecolor=style.muted, linewidth=0.5)
    for row, value in enumerate(values):
        axes.annotate(
            f"{value:+.3f}".replace("-", MINUS),
            (max(value, 0), row),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=text * 0.95,
            color=style.ink,
            fontfamily=FAMILY,
        )
    names = [bar_name(label) for label in labels]
    axes.set_yticks(rows, names, fontfamily=FAMILY, parse_math=False)
    margin = max(0.02, *(abs(value) for value in values))
    left = min(0, *values, 0) - 0.06 * margin
    right = max(0, *values, 0) + 0.32 * margin
    axes.set(ylim=(max(FEWEST_BARS, len(labels)) - 0.4, -0.6), xlim=(left, right))
    axes.axvline(0, color=style.muted, lw=0.7)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    remove_frame(axes, style, text)


def bar_name(label: LabelDeviation) -> str:
    """Return a label's name and the share of the image that it covers."""
    return f"{label.name}, {percent_of_area(label.area)}"


def remove_frame(axes: Axes, style: Style, text: float) -> None:
    """Leave only the lower axis line, in the style's colours."""
    axes.set_facecolor(style.background)
    axes.tick_params(colors=style.ink, labelsize=text * 0.9, labelfontfamily=FAMILY[0])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(style.muted)
    axes.tick_params(axis="y", length=0)


def percent_of_area(area: float) -> str:
    """Return a share of the image as a percentage: 3 %, 0.4 % or < 0.1 %."""
    if area < 0.001:
        return "< 0.1 %"
    return f"{100 * area:.1f} %" if area < 0.01 else f"{100 * area:.0f} %"
