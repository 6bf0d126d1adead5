"""The pictures of concept_debug.py: regions with their numbers, tables and bars of concepts, chosen images, before and after."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke

from companions.score_deviation.figures import colours
from drawing.canvas import save_figure
from scoring.regions import Regions
from drawing.styles import DARK
from drawing.text import FAMILY, text_width

KINDS = {"valid": DARK.bar, "confounded": DARK.removed, "missed": DARK.track}
MOST_ROWS, MOST_COLUMNS, MOST_BARS = (
    20,
    16,
    9,
)  # in the tables and bars; the rest is in the CSV files
MOST_NUMBERS = 30  # regions in a numbered picture
SHEET = 12  # images of a class on a sheet
TEXT = 9.0


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), facecolor=DARK.background)


def _words(
    axes, x: float, y: float, text: str, size: float = TEXT, colour: str = DARK.ink, **look
) -> None:
    axes.text(x, y, text, fontsize=size, color=colour, fontfamily=FAMILY, parse_math=False, **look)


def _plain(axes) -> None:
    axes.set_facecolor(DARK.background)
    axes.tick_params(colors=DARK.ink, labelsize=TEXT, length=0)
    axes.spines[:].set_visible(False)
    for label in axes.get_xticklabels() + axes.get_yticklabels():
        label.set(fontfamily=FAMILY, parse_math=False)


# ---------------------------------------------------------------- explain


def draw_numbered(
    image: np.ndarray,
    regions: Regions,
    deviations: Sequence[float],
    order: Sequence[int],
    concepts: int,
    title: str,
    path: Path,
) -> None:
    """The picture (H, W, 3), as large as one likes, with its regions outlined and numbered, and their names and score deviations.

    order: the regions' indices, number 1 first; the first `concepts` of them are in the network's graph, the others are grey.
    """
    (rows, columns), order, wide = regions.index.shape, order[:MOST_NUMBERS], 3.3
    side, tall = 4.0 * image.shape[1] / image.shape[0], max(4.2, 0.2 * len(order) + 0.8)
    figure = _figure(side + wide + 0.4, tall)
    axes = figure.add_axes(
        (0.1 / (side + wide + 0.4), 1 - 4.1 / tall, side / (side + wide + 0.4), 4.0 / tall)
    )
    axes.imshow(image, extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), aspect="auto")
    axes.set_axis_off()
    for number, i in enumerate(order, 1):
        inside = cv2.copyMakeBorder(
            (regions.index == i).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT
        )
        axes.contour(
            np.arange(-1, columns + 1),
            np.arange(-1, rows + 1),
            inside,
            [0.5],
            colors="white",
            linewidths=0.9 if number <= concepts else 0.4,
        )
        deep = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
        y, x = np.unravel_index(deep.argmax(), deep.shape)
        axes.text(
            x,
            y,
            str(number),
            ha="center",
            va="center",
            fontsize=11,
            weight="bold",
            color="white" if number <= concepts else DARK.muted,
            path_effects=[withStroke(linewidth=2.5, foreground="black")],
        )
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    table = figure.add_axes(
        ((side + 0.3) / (side + wide + 0.4), 0, wide / (side + wide + 0.4), 1),
        xlim=(0, wide),
        ylim=(tall, 0),
    )
    table.set_axis_off()
    _words(
        table,
        0,
        0.2,
        title,
        1.15 * TEXT * min(1, wide * 72 / max(1, text_width(title, TEXT * 1.15))),
        va="center",
    )
    _words(
        table,
        0,
        0.45,
        "score deviation; grey: not a concept of the network",
        TEXT * 0.9,
        DARK.muted,
        va="center",
    )
    for number, i in enumerate(order, 1):
        y, ink, d = (
            0.55 + 0.2 * number,
            DARK.ink if number <= concepts else DARK.muted,
            float(deviations[i]),
        )
        name = regions.names[i]
        _words(table, 0.22, y, str(number), colour=ink, va="center", ha="right")
        _words(
            table, 0.32, y, name if len(name) <= 18 else name[:17] + "…", colour=ink, va="center"
        )
        table.barh(y, 0.75 * d, 0.13, left=1.9, color=colours(d))
        _words(table, wide, y, signed(d), colour=ink, va="center", ha="right")
    save_figure(figure, path, DARK)


def signed(d: float) -> str:
    """A deviation in words: +0.123, −0.045."""
    return f"{d:+.3f}".replace("-", "−")


def draw_table(means: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Mean score deviations, a row per class and a column per concept, in the colours of the score deviation maps."""
    rows = list(means)[:MOST_ROWS]
    strength: dict[str, float] = {}
    for row in rows:
        for concept, value in means[row].items():
            strength[concept] = max(strength.get(concept, 0), abs(value))
    columns = sorted(strength, key=lambda c: (-strength[c], c))[:MOST_COLUMNS]
    left = 0.2 + max((text_width(row, TEXT) for row in rows), default=0) / 72
    up = 0.3 + max((text_width(c, TEXT) for c in columns), default=0) / 72 * 0.72
    width, height = left + 0.58 * max(1, len(columns)) + 0.5, up + 0.34 * max(1, len(rows)) + 0.5
    figure = _figure(width, height)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    for c, concept in enumerate(columns):
        _words(
            axes,
            left + 0.58 * (c + 0.4),
            up - 0.06,
            concept,
            rotation=45,
            ha="left",
            va="bottom",
            rotation_mode="anchor",
        )
    for r, row in enumerate(rows):
        _words(axes, left - 0.1, up + 0.34 * (r + 0.5), row, ha="right", va="center")
        for c, concept in enumerate(columns):
            value = means[row].get(concept)
            x, y = left + 0.58 * c, up + 0.34 * r
            axes.add_patch(
                Rectangle((x, y), 0.56, 0.32, color="#1c1c1c" if value is None else colours(value))
            )
            if value is not None:
                words = f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")
                _words(
                    axes,
                    x + 0.28,
                    y + 0.165,
                    words,
                    TEXT * 0.9,
                    "black" if abs(value) < 0.35 else "white",
                    ha="center",
                    va="center",
                )
    _words(
        axes,
        0.1,
        height - 0.2,
        "mean score deviation where the concept is present; dark: in no image of the class",
        TEXT * 0.9,
        DARK.muted,
        va="center",
    )
    save_figure(figure, path, DARK)


# ---------------------------------------------------------------- compare


def draw_comparison(
    classes: Mapping[str, Mapping[str, Mapping[str, int]]], images: Mapping[str, int], path: Path
) -> None:
    """For each class its concepts, as bars: in what share of its images valid, confounded and missed.

    classes: class -> kind -> concept -> number of images.
    """
    shown = list(classes)[:MOST_ROWS]
    abreast = min(2, max(1, len(shown)))
    lines = -(-max(1, len(shown)) // abreast)
    figure = _figure(4.6 * abreast, 2.5 * lines + 0.4)
    for n, name in enumerate(shown):
        axes = figure.add_subplot(lines, abreast, n + 1)
        total = {}
        for kind in KINDS:
            for concept, count in classes[name][kind].items():
                total[concept] = total.get(concept, 0) + count
        concepts = sorted(
            total,
            key=lambda c: (-sum(classes[name][k].get(c, 0) for k in ("valid", "confounded")), c),
        )[:MOST_BARS]
        start = np.zeros(len(concepts))
        for kind, colour in KINDS.items():
            part = np.array([100 * classes[name][kind].get(c, 0) / images[name] for c in concepts])
            axes.barh(range(len(concepts)), part, 0.7, left=start, color=colour)
            start += part
        axes.set_yticks(range(len(concepts)), concepts)
        axes.set(xlim=(0, 100), xticks=(0, 50, 100), xticklabels=("0", "50", "100 %"))
        axes.invert_yaxis()
        _plain(axes)
        axes.set_title(
            f"{name}  ({images[name]} images)",
            fontsize=TEXT * 1.1,
            color=DARK.ink,
            fontfamily=FAMILY,
            parse_math=False,
        )
    figure.legend(
        [Patch(color=c) for c in KINDS.values()],
        ["valid: network and person", "confounded: network only", "missed: person only"],
        loc="lower center",
        ncols=3,
        frameon=False,
        labelcolor=DARK.ink,
        prop={"family": FAMILY, "size": TEXT},
    )
    figure.tight_layout(rect=(0, 0.35 / figure.get_size_inches()[1], 1, 1))
    save_figure(figure, path, DARK)


# ---------------------------------------------------------------- select


def draw_sheet(rows: Sequence[tuple[str, Sequence[tuple[np.ndarray, str]]]], path: Path) -> None:
    """A row of pictures per class: (class, [(picture, caption)])."""
    rows = rows[:MOST_ROWS]
    left = 0.2 + max((text_width(name, TEXT) for name, _ in rows), default=0) / 72
    width, height = left + 0.95 * SHEET, 1.12 * max(1, len(rows)) + 0.1
    figure = _figure(width, height)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for r, (name, pictures) in enumerate(rows):
        top = 0.08 + 1.12 * r
        _words(axes, left - 0.1, top + 0.45, name, ha="right", va="center")
        for c, (picture, caption) in enumerate(pictures[:SHEET]):
            x = left + 0.95 * c
            axes.imshow(picture, extent=(x, x + 0.9, top + 0.9, top), aspect="auto")
            size = TEXT * 0.8 * min(1, 0.9 * 72 / max(1, text_width(caption, TEXT * 0.8)))
            _words(axes, x + 0.45, top + 0.99, caption, size, DARK.muted, ha="center", va="center")
    axes.set(xlim=(0, width), ylim=(height, 0))
    save_figure(figure, path, DARK)


# ---------------------------------------------------------------- improve


def draw_improvement(
    panels: Sequence[tuple[str, Sequence[float | None], bool]], rows: Sequence[str], path: Path
) -> None:
    """A panel per measure, in it a bar per network: before, and after each selection. panels: (title, a value up to 1 per row, whether a share)."""
    figure = _figure(2.35 * len(panels) + 1.2, 0.42 * len(rows) + 1.0)
    for n, (axes, (title, values, is_share)) in enumerate(
        zip(np.atleast_1d(figure.subplots(1, len(panels), sharey=True)), panels)
    ):
        axes.barh(
            range(len(rows)),
            [v or 0 for v in values],
            0.66,
            color=[DARK.bar if row != "before" else DARK.muted for row in rows],
        )
        for y, value in enumerate(values):
            inside = (value or 0) > 0.7
            words = (
                "none" if value is None else f"{100 * value:.1f} %" if is_share else signed(value)
            )
            _words(
                axes,
                max(value or 0, 0) + (-0.02 if inside else 0.02),
                y,
                words,
                colour="black" if inside else DARK.ink,
                ha="right" if inside else "left",
                va="center",
            )
        axes.set(
            xlim=(min(0, *[v or 0 for v in values]), 1),
            xticks=(0, 0.5, 1),
            xticklabels=("0", "50", "100 %") if is_share else ("0", "0.5", "1"),
        )
        axes.set_title(title, fontsize=TEXT, color=DARK.ink, fontfamily=FAMILY, parse_math=False)
        axes.set_yticks(range(len(rows)), rows)
        _plain(axes)
        if n == 0:
            axes.invert_yaxis()
    figure.tight_layout()
    save_figure(figure, path, DARK)
