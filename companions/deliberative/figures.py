"""The figure of a deliberative explanation, drawn from the record and the image.

    draw_insecurities(record, image, Path("insecurities.png"))          # or .svg, .pdf
    draw_insecurities(record, image, Path("insecurities.pdf"), style=paper(width=3.3))

The image with its most probable classes comes first, then a panel per insecurity: its region, the
two classes, and how p_a, p_b and the difficulty s change when the region is removed. Bar: without
the region; tick: before; dot: when as large a region is removed elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from companions.deliberative.annotations import Mark
from companions.deliberative.insecurities import region_of
from companions.deliberative.record import DeliberationRecord, MeasuredInsecurity
from drawing.canvas import Canvas
from drawing.masked_images import DIM
from drawing.styles import DARK, Style
from drawing.text import shrunk

PANELS_IN_ROW = 4  # the image among them
PANELS_IN_COLUMN = 2  # beside each other, in a figure for a column of a page
SIDE = 172  # of a panel in the dark style, points
GAP = 12
LINE = 1.5  # height of a line of text, by its size
PANEL_TEXT = 11  # height of the text below a panel's image, by its size
SHARED = (225, 40, 40)  # RGB of a part that both classes share
DOT_EDGE = (255, 255, 255)
NO_INSECURITY = "No place has evidence for two of the most probable classes."


def draw_insecurities(
    record: DeliberationRecord,
    image: np.ndarray,
    path: Path,
    *,
    style: Style = DARK,
    marks: Sequence[Sequence[Mark]] = (),
) -> None:
    """Draw an image's insecurities.

    Args:
        record: the record.
        image: (H, W, 3) uint8 array, as the network saw it.
        path: a PNG, SVG or PDF.
        style: dark, or white for print.
        marks: annotated parts, for each insecurity; those in its region are drawn.
    """
    found = record.insecurities
    lines = notes(record, has_marks=any(marks))
    below = LINE * style.small * len(lines)
    layout = layout_of(len(found), image.shape[0] / image.shape[1], style)
    canvas = Canvas(layout.width, layout.height + below, style)
    for number in range(1 + len(found)):
        panel = layout.panel(number, below)
        shown = image
        if number:
            own = marks[number - 1] if marks else ()
            share = record.settings["share"]
            shown = shown_region(image, found[number - 1], share, style=style, marks=own)
        canvas.image(
            shown,
            panel.left,
            bottom=panel.bottom,
            width=panel.side,
            height=layout.tall,
            gid=f"panel-{number}",
        )
        if number:
            write_insecurity(canvas, found[number - 1], number, panel=panel)
        else:
            write_image(canvas, record, panel)
    write_notes(canvas, lines, layout)
    canvas.save(path)


def shown_region(
    image: np.ndarray,
    insecurity: MeasuredInsecurity,
    share: float,
    *,
    style: Style,
    marks: Sequence[Mark],
) -> np.ndarray:
    """Return the image (H, W, 3) with an insecurity's region lit, and the parts in it."""
    _, region = region_of(torch.tensor(insecurity.map), image.shape[:2], share)
    inside = [mark for mark in marks if region[mark.pixel]]
    return marked(spotlit(image, region.numpy(), style), inside)


def spotlit(image: np.ndarray, region: np.ndarray, style: Style) -> np.ndarray:
    """Return the image (H, W, 3) within the region, outlined, and the rest faintly."""
    grey = image.mean(2, keepdims=True)
    faint = 255 - DIM * (255 - grey) if style.is_paper else DIM * grey
    shown = np.where(region[..., None], image, faint).astype(np.uint8)
    contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    colour = (0, 0, 0) if style.is_paper else (255, 255, 255)
    thickness = max(1, image.shape[1] // 150)
    return cv2.drawContours(shown, contours, -1, color=colour, thickness=thickness)


def marked(image: np.ndarray, marks: Sequence[Mark]) -> np.ndarray:
    """Return the image (H, W, 3) with a dot at each part: filled where both classes share it."""
    radius = max(2, image.shape[1] // 45)
    shown = np.ascontiguousarray(image)
    for mark in marks:
        row, column = mark.pixel
        if mark.is_shared:
            cv2.circle(shown, (column, row), radius, SHARED, cv2.FILLED, cv2.LINE_AA)
        cv2.circle(shown, (column, row), radius, DOT_EDGE, max(1, radius // 3), cv2.LINE_AA)
    return shown


# ---------------------------------------------------------------- layout


@dataclass(frozen=True)
class Panel:
    """Where an image of the figure goes, in points; the text is below it."""

    left: float
    bottom: float
    side: float  # width


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The panels of a figure, in rows from the upper left, in points."""

    in_row: int
    rows: int
    side: float  # width of a panel
    tall: float  # height of its image
    row: float  # height of a row
    gap: float

    @property
    def width(self) -> float:
        """Width of the figure."""
        return self.in_row * (self.side + self.gap) + self.gap

    @property
    def height(self) -> float:
        """Height of the figure without the notes."""
        return self.rows * self.row + self.gap

    def panel(self, number: int, below: float) -> Panel:
        """Return the place of a panel; below: height of the notes."""
        left = self.gap + number % self.in_row * (self.side + self.gap)
        top = (self.rows - number // self.in_row) * self.row + below
        return Panel(left, top - self.tall, self.side)


def layout_of(insecurities: int, shape: float, style: Style) -> Layout:
    """Return the layout for so many insecurities; shape: height of the image by its width."""
    limit = PANELS_IN_COLUMN if style.width else PANELS_IN_ROW
    in_row = min(limit, 1 + max(1, insecurities))
    gap = GAP / 2 if style.width else GAP
    side = (style.width - gap) / in_row - gap if style.width else SIDE
    tall = side * shape
    return Layout(
        in_row=in_row,
        rows=-(-(1 + insecurities) // in_row),
        side=side,
        tall=tall,
        row=tall + PANEL_TEXT * style.small + gap,
        gap=gap,
    )


# ---------------------------------------------------------------- text and bars


def notes(record: DeliberationRecord, *, has_marks: bool = False) -> list[str]:
    """Return the lines that explain the signs and name the method.

    Args:
        record: the record.
        has_marks: whether annotated parts are drawn.
    """
    if not record.insecurities:
        return [NO_INSECURITY]
    settings = record.settings
    lines = [
        "Bar: with the region removed; tick: before; dot: as much removed elsewhere",
        f"({settings['baseline']}). s is the difficulty: {record.difficulty.name}; "
        f"attribution: {settings['attribution']}.",
    ]
    if has_marks:
        lines.append(
            "Dots are annotated parts in the region: red, shared by a and b; rings, others."
        )
    return lines


def write_notes(canvas: Canvas, lines: Sequence[str], layout: Layout) -> None:
    """Write the notes below the panels."""
    for number, line in enumerate(reversed(lines)):
        y = layout.gap / 2 + LINE * canvas.style.small * number
        room = Panel(layout.gap, y, layout.width - 2 * layout.gap)
        write_line(canvas, line, room, y=y, colour=canvas.style.muted, va="bottom")


def write_line(
    canvas: Canvas, line: str, panel: Panel, *, y: float, colour: str, va: str = "top"
) -> None:
    """Write a line of text at the panel's left, shrunk to its width."""
    size = shrunk(line, canvas.style.small, panel.side)
    canvas.text(panel.left, y, text=line, size=size, colour=colour, va=va)


def write_image(canvas: Canvas, record: DeliberationRecord, panel: Panel) -> None:
    """Write the most probable classes, and the difficulty, below the image."""
    style = canvas.style
    size = style.small
    rows = [(c.name, c.probability, style.ink) for c in record.classes]
    rows.append((f"s ({record.difficulty.name})", record.difficulty_value, style.removed))
    names = Panel(panel.left, panel.bottom, panel.side - 3.5 * size)
    for number, (name, value, colour) in enumerate(rows):
        y = panel.bottom - LINE * size * number - 0.5 * size
        right = panel.left + panel.side
        canvas.text(right, y, text=f"{value:.3f}", size=size, colour=colour, ha="right", va="top")
        write_line(canvas, name, names, y=y, colour=colour)


def write_insecurity(
    canvas: Canvas, insecurity: MeasuredInsecurity, number: int, *, panel: Panel
) -> None:
    """Write the two classes and the strength, and draw a bar each for p_a, p_b and s."""
    style = canvas.style
    size = style.small
    a, b = insecurity.classes
    lines = (
        (f"{number}   a  {a.name}", style.root),
        (f"{number}   b  {b.name}", style.root),
        (f"strength {insecurity.strength:.2g}", style.muted),
    )
    for row, (line, colour) in enumerate(lines):
        y = panel.bottom - 0.5 * size - LINE * size * row
        write_line(canvas, line, panel, y=y, colour=colour)
    for row, bar in enumerate(bars_of(insecurity, style)):
        bottom = panel.bottom - (5.9 + 1.6 * row) * size
        draw_bar(canvas, bar, Panel(panel.left, bottom, panel.side), gid=f"{number}-{bar.gid}")


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A number in [0, 1] before and after a region is removed."""

    name: str
    gid: str  # its name in an SVG
    colour: str
    before: float
    after: float
    elsewhere: float | None  # mean after the removal of as much elsewhere


def bars_of(insecurity: MeasuredInsecurity, style: Style) -> list[Bar]:
    """Return the bars of p_a, p_b and s."""
    bars = []
    for name, gid, field, colour in (
        ("a", "p_a", "p_a", style.bar),
        ("b", "p_b", "p_b", style.bar),
        ("s", "s", "difficulty", style.removed),
    ):
        moved = insecurity.moved
        bars.append(
            Bar(
                name=name,
                gid=gid,
                colour=colour,
                before=getattr(insecurity.before, field),
                after=getattr(insecurity.without, field),
                elsewhere=getattr(moved, field) if moved else None,
            )
        )
    return bars


def draw_bar(canvas: Canvas, bar: Bar, place: Panel, *, gid: str) -> None:
    """Draw a bar with its name, the tick and dot, and the numbers before and after."""
    style = canvas.style
    size = style.small
    start = place.left + 1.5 * size
    long = place.side - 10.5 * size
    low = place.bottom
    middle = low + 0.35 * size
    canvas.text(place.left, middle, text=bar.name, size=size, colour=style.ink, va="center")
    canvas.box(
        start, low, width=long, height=0.7 * size, gid=f"track-{gid}", color=style.track, lw=0
    )
    canvas.box(
        start,
        low,
        width=long * bar.after,
        height=0.7 * size,
        gid=f"bar-{gid}",
        color=bar.colour,
        lw=0,
        zorder=3,
    )
    tick = [start + long * bar.before] * 2
    ends = [low - 0.2 * size, low + 0.9 * size]
    canvas.axes.plot(tick, ends, color=style.ink, lw=1.2, zorder=4)
    if bar.elsewhere is not None:
        dot = [start + long * bar.elsewhere]
        canvas.axes.plot(dot, [middle], "o", color=style.root, ms=size / 3, zorder=5)
    numbers = f"{bar.before:.3f} → {bar.after:.3f}"
    right = place.left + place.side
    canvas.text(right, middle, text=numbers, size=size, colour=style.ink, ha="right", va="center")
