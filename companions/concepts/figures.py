"""The figures of concept_debug.py: numbered regions, tables, bars, sheets of images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke

from companions.concepts.graphs import RankedRegions
from companions.concepts.records import ComparedClass, ExplainedClass
from companions.score_deviation.palettes import colours
from drawing.canvas import save_figure
from drawing.styles import DARK, POINTS_PER_INCH
from drawing.text import FAMILY, shrunk, text_width
from scoring.regions import Regions

KINDS = {"valid": DARK.bar, "confounded": DARK.removed, "missed": DARK.track}
# In the tables and bars; the rest is in the CSV files.
MOST_ROWS = 20
MOST_COLUMNS = 16
MOST_BARS = 9
MOST_NUMBERS = 30  # regions in a numbered figure
LONGEST_NAME = 18  # characters in a numbered figure
SHEET = 12  # images of a class on a sheet
TEXT = 9.0  # points
IMAGE_SIDE = 4.0  # inches, height of a numbered image
LIST_WIDTH = 3.3  # inches, of the list beside it
LINE = 0.2  # inches, of the list
CELL_WIDTH = 0.58  # inches, of a table
CELL_HEIGHT = 0.34
ABSENT = "#1c1c1c"  # of a concept that no image of the class shows


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), facecolor=DARK.background)


def _whole_axes(figure: Figure) -> Axes:
    """Return axes over a whole figure, in inches from its upper left corner."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return axes


def _words(
    axes: Axes, place: tuple[float, float], text: str, *, size: float = TEXT, **look
) -> None:
    look.setdefault("color", DARK.ink)
    look.setdefault("va", "center")
    axes.text(*place, text, fontsize=size, fontfamily=FAMILY, parse_math=False, **look)


def _title(axes: Axes, text: str, size: float) -> None:
    axes.set_title(text, fontsize=size, color=DARK.ink, fontfamily=FAMILY, parse_math=False)


def _plain(axes: Axes) -> None:
    axes.set_facecolor(DARK.background)
    axes.tick_params(colors=DARK.ink, labelsize=TEXT, length=0)
    axes.spines[:].set_visible(False)
    for label in axes.get_xticklabels() + axes.get_yticklabels():
        label.set(fontfamily=FAMILY, parse_math=False)


def _widest(names: Sequence[str]) -> float:
    """Return the width of the longest of some names, in inches."""
    return max((text_width(name, TEXT) for name in names), default=0) / POINTS_PER_INCH


# ---------------------------------------------------------------- explain


def draw_numbered(
    image: np.ndarray, regions: Regions, ranked: RankedRegions, *, title: str, path: Path
) -> None:
    """Draw an image with its regions numbered, and a list of their names and deviations.

    Args:
        image: (H, W, 3) uint8, of any size.
        regions: of the image.
        ranked: the same in the order of their numbers; what is no concept is grey.
        title: class and probability.
        path: the file to write.
    """
    order = ranked.order[:MOST_NUMBERS]
    side = IMAGE_SIDE * image.shape[1] / image.shape[0]
    width = side + LIST_WIDTH + 0.4
    height = max(IMAGE_SIDE + 0.2, LINE * len(order) + 0.8)
    figure = _figure(width, height)
    axes = figure.add_axes(
        (0.1 / width, 1 - (IMAGE_SIDE + 0.1) / height, side / width, IMAGE_SIDE / height)
    )
    rows, columns = regions.index.shape
    axes.imshow(image, extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), aspect="auto")
    axes.set_axis_off()
    for number, i in enumerate(order, 1):
        _number_region(axes, regions.index == i, number, is_concept=ranked.is_concept(number))
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    table = figure.add_axes(
        ((side + 0.3) / width, 0, LIST_WIDTH / width, 1), xlim=(0, LIST_WIDTH), ylim=(height, 0)
    )
    table.set_axis_off()
    size = shrunk(title, 1.15 * TEXT, LIST_WIDTH * POINTS_PER_INCH)
    _words(table, (0, 0.2), title, size=size)
    note = "score deviation; grey: not a concept of the network"
    _words(table, (0, 0.45), note, size=TEXT * 0.9, color=DARK.muted)
    for number, i in enumerate(order, 1):
        ink = DARK.ink if ranked.is_concept(number) else DARK.muted
        deviation = float(ranked.deviations[i])
        _list_line(table, number, regions.names[i], deviation=deviation, ink=ink)
    save_figure(figure, path, DARK)


def _number_region(axes: Axes, mask: np.ndarray, number: int, *, is_concept: bool) -> None:
    """Outline a region and write its number where it is widest."""
    rows, columns = mask.shape
    border = {"top": 1, "bottom": 1, "left": 1, "right": 1, "borderType": cv2.BORDER_CONSTANT}
    inside = cv2.copyMakeBorder(mask.astype(np.uint8), **border)
    axes.contour(
        np.arange(-1, columns + 1),
        np.arange(-1, rows + 1),
        inside,
        levels=[0.5],
        colors="white",
        linewidths=0.9 if is_concept else 0.4,
    )
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(distance.argmax(), distance.shape)
    axes.text(
        x,
        y,
        str(number),
        ha="center",
        va="center",
        fontsize=11,
        weight="bold",
        color="white" if is_concept else DARK.muted,
        path_effects=[withStroke(linewidth=2.5, foreground="black")],
    )


def _list_line(axes: Axes, number: int, name: str, *, deviation: float, ink: str) -> None:
    """Draw a region's number, name, bar and deviation."""
    y = 0.55 + LINE * number
    shown = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
    _words(axes, (0.22, y), str(number), color=ink, ha="right")
    _words(axes, (0.32, y), shown, color=ink)
    axes.barh(y, 0.75 * deviation, 0.13, left=1.9, color=colours(deviation))
    _words(axes, (LIST_WIDTH, y), signed(deviation), color=ink, ha="right")


def signed(deviation: float, digits: int = 3) -> str:
    """Return a deviation as text: +0.123, −0.045."""
    return f"{deviation:+.{digits}f}".replace("-", "−")


def draw_table(classes: Mapping[str, ExplainedClass], path: Path) -> None:
    """Draw mean score deviations, a row per class and a column per concept.

    Args:
        classes: the concepts of each class.
        path: the file to write.
    """
    rows = list(classes)[:MOST_ROWS]
    means = {
        row: {name: mean.deviation for name, mean in classes[row].concepts.items()} for row in rows
    }
    columns = _strongest(means)
    left = 0.2 + _widest(rows)
    top = 0.3 + _widest(columns) * 0.72
    width = left + CELL_WIDTH * max(1, len(columns)) + 0.5
    height = top + CELL_HEIGHT * max(1, len(rows)) + 0.5
    figure = _figure(width, height)
    axes = _whole_axes(figure)
    for c, concept in enumerate(columns):
        place = (left + CELL_WIDTH * (c + 0.4), top - 0.06)
        _words(axes, place, concept, rotation=45, ha="left", va="bottom", rotation_mode="anchor")
    for r, row in enumerate(rows):
        _words(axes, (left - 0.1, top + CELL_HEIGHT * (r + 0.5)), row, ha="right")
        for c, concept in enumerate(columns):
            corner = (left + CELL_WIDTH * c, top + CELL_HEIGHT * r)
            _draw_cell(axes, corner, means[row].get(concept))
    note = "mean score deviation where the concept is present; dark: in no image of the class"
    _words(axes, (0.1, height - 0.2), note, size=TEXT * 0.9, color=DARK.muted)
    save_figure(figure, path, DARK)


def _strongest(means: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the concepts of the largest deviation in some class, the largest first."""
    strength: dict[str, float] = {}
    for row in means.values():
        for concept, value in row.items():
            strength[concept] = max(strength.get(concept, 0), abs(value))
    return sorted(strength, key=lambda concept: (-strength[concept], concept))[:MOST_COLUMNS]


def _draw_cell(axes: Axes, corner: tuple[float, float], value: float | None) -> None:
    colour = ABSENT if value is None else colours(value)
    axes.add_patch(Rectangle(corner, CELL_WIDTH - 0.02, CELL_HEIGHT - 0.02, color=colour))
    if value is None:
        return
    x, y = corner
    text = f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")
    ink = "black" if abs(value) < 0.35 else "white"
    _words(axes, (x + 0.28, y + 0.165), text, size=TEXT * 0.9, color=ink, ha="center")


# ---------------------------------------------------------------- compare


def draw_comparison(classes: Mapping[str, ComparedClass], path: Path) -> None:
    """Draw for each class in what share of its images concepts are valid, confounded, missed."""
    shown = list(classes)[:MOST_ROWS]
    columns = min(2, max(1, len(shown)))
    rows = -(-max(1, len(shown)) // columns)
    figure = _figure(4.6 * columns, 2.5 * rows + 0.4)
    for n, name in enumerate(shown):
        axes = figure.add_subplot(rows, columns, n + 1)
        _draw_kinds(axes, classes[name])
        _title(axes, f"{name}  ({classes[name].images} images)", TEXT * 1.1)
    figure.legend(
        [Patch(color=colour) for colour in KINDS.values()],
        ["valid: network and person", "confounded: network only", "missed: person only"],
        loc="lower center",
        ncols=3,
        frameon=False,
        labelcolor=DARK.ink,
        prop={"family": FAMILY, "size": TEXT},
    )
    figure.tight_layout(rect=(0, 0.35 / figure.get_size_inches()[1], 1, 1))
    save_figure(figure, path, DARK)


def _draw_kinds(axes: Axes, entry: ComparedClass) -> None:
    """Draw the concepts of a class as stacked bars, those that the network names most first."""
    concepts = sorted(
        {*entry.valid, *entry.confounded, *entry.missed},
        key=lambda c: (-entry.valid.get(c, 0) - entry.confounded.get(c, 0), c),
    )[:MOST_BARS]
    start = np.zeros(len(concepts))
    for kind, colour in KINDS.items():
        counts = getattr(entry, kind)
        part = np.array([100 * counts.get(concept, 0) / entry.images for concept in concepts])
        axes.barh(range(len(concepts)), part, 0.7, left=start, color=colour)
        start += part
    axes.set_yticks(range(len(concepts)), concepts)
    axes.set(xlim=(0, 100), xticks=(0, 50, 100), xticklabels=("0", "50", "100 %"))
    axes.invert_yaxis()
    _plain(axes)


# ---------------------------------------------------------------- select


@dataclass(frozen=True)
class Tile:
    """An image (H, W, 3) on a sheet, and what is written below it."""

    image: np.ndarray
    caption: str


def draw_sheet(rows: Mapping[str, Sequence[Tile]], path: Path) -> None:
    """Draw a row of images per class.

    Args:
        rows: class name -> its images.
        path: the file to write.
    """
    names = list(rows)[:MOST_ROWS]
    left = 0.2 + _widest(names)
    width = left + 0.95 * SHEET
    height = 1.12 * max(1, len(names)) + 0.1
    figure = _figure(width, height)
    axes = _whole_axes(figure)
    for r, name in enumerate(names):
        top = 0.08 + 1.12 * r
        _words(axes, (left - 0.1, top + 0.45), name, ha="right")
        for c, tile in enumerate(rows[name][:SHEET]):
            x = left + 0.95 * c
            axes.imshow(tile.image, extent=(x, x + 0.9, top + 0.9, top), aspect="auto")
            size = shrunk(tile.caption, TEXT * 0.8, 0.9 * POINTS_PER_INCH)
            place = (x + 0.45, top + 0.99)
            _words(axes, place, tile.caption, size=size, color=DARK.muted, ha="center")
    axes.set(xlim=(0, width), ylim=(height, 0))
    save_figure(figure, path, DARK)


# ---------------------------------------------------------------- improve


@dataclass(frozen=True)
class Panel:
    """One measure of several networks.

    Attributes:
        title: of the panel.
        values: one per network, at most 1; None: not measured.
        is_share: whether they are shares, shown in percent.
        sds: standard deviations over seeds, one per network; none: of one seed.
    """

    title: str
    values: Sequence[float | None]
    is_share: bool
    sds: Sequence[float | None] = ()

    def text_of(self, i: int) -> str:
        """Return what is written beside the bar of network i."""
        value = self.values[i]
        sd = self.sds[i] if self.sds else None
        if value is None:
            return "none"
        if self.is_share:
            return f"{100 * value:.1f} %" if sd is None else f"{100 * value:.1f} ± {100 * sd:.1f} %"
        return signed(value) if sd is None else f"{signed(value, 2)} ± {sd:.2f}"


def draw_improvement(panels: Sequence[Panel], networks: Sequence[str], path: Path) -> None:
    """Draw a panel per measure, in it a bar per network: before, and after each selection.

    Args:
        panels: the measures.
        networks: names of the networks.
        path: the file to write.
    """
    figure = _figure(2.35 * len(panels) + 1.2, 0.42 * len(networks) + 1.0)
    all_axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    for axes, panel in zip(all_axes, panels, strict=True):
        _draw_panel(axes, panel, networks)
    all_axes[0].invert_yaxis()
    figure.tight_layout()
    save_figure(figure, path, DARK)


def _draw_panel(axes: Axes, panel: Panel, networks: Sequence[str]) -> None:
    lengths = [value or 0 for value in panel.values]
    bar_colours = [DARK.muted if name == "before" else DARK.bar for name in networks]
    axes.barh(range(len(networks)), lengths, 0.66, color=bar_colours)
    for y, value in enumerate(panel.values):
        length = max(value or 0, 0)
        text = panel.text_of(y)
        if length > 0.7:
            _words(axes, (length - 0.02, y), text, color="black", ha="right")
        else:
            _words(axes, (length + 0.02, y), text, ha="left")
    axes.set(
        xlim=(min(0, *lengths), 1),
        xticks=(0, 0.5, 1),
        xticklabels=("0", "50", "100 %") if panel.is_share else ("0", "0.5", "1"),
    )
    _title(axes, panel.title, TEXT)
    axes.set_yticks(range(len(networks)), networks)
    _plain(axes)
