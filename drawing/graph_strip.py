"""The other roots, as a strip of small images below a graph, each with its confidence.

    strip = strip_of(sag, style, width=600, called="MSE")
    draw_strip(canvas, sag, strip, images=images, left=12, top=90)

A graph shows three roots at most. The strip shows that there are more, and what they look like.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from drawing.canvas import Canvas
from drawing.record import Sag
from drawing.styles import Style
from drawing.words import percent

TILE = 0.5  # side of an image, of a node's
GAP = 0.12  # between images, of their side
MOST_ROWS = 2
LEADING = 1.35  # of the line above the images, and of the percentages below them


@dataclass(frozen=True)
class Strip:
    """The roots of a strip, by their places in the record, and its measures in points."""

    title: str
    roots: list[int]
    side: float
    text: float  # size of the text
    columns: int

    @property
    def height(self) -> float:
        """Height of the strip; 0 where there is none."""
        if not self.roots:
            return 0.0
        rows = -(-len(self.roots) // self.columns)
        return LEADING * self.text + rows * self.row_height

    @property
    def row_height(self) -> float:
        """Height of an image with its percentage and the gap below."""
        return self.side + LEADING * self.text + GAP * self.side


def strip_of(sag: Sag, style: Style, *, width: float, called: str) -> Strip:
    """Return the strip of the roots that the graph does not show: the diverse ones first.

    Args:
        sag: The record.
        style: Of the figure.
        width: That there is, in points.
        called: What a root is called in its title.
    """
    others = other_roots(sag)
    side = TILE * (style.node if style.width is None else width / 6)
    columns = max(1, int((width + GAP * side) // (side * (1 + GAP))))
    shown = others[: columns * MOST_ROWS]
    return Strip(
        title=_title(len(others), len(shown), called),
        roots=shown,
        side=side,
        text=style.small,
        columns=columns,
    )


def other_roots(sag: Sag) -> list[int]:
    """Return the places of the roots that the graph does not show, the diverse ones first."""
    in_order = dict.fromkeys([*sag.diverse_set, *range(len(sag.roots))])
    return [i for i in in_order if i not in sag.diverse_roots]


def _title(others: int, shown: int, called: str) -> str:
    """Return what stands above the images."""
    plural = "" if others == 1 else "s"
    if shown < others:
        return f"{shown} of the {others} other {called}s"
    return f"The other {called}" if others == 1 else f"The {others} other {called}{plural}"


def draw_strip(
    canvas: Canvas,
    sag: Sag,
    strip: Strip,
    *,
    images: Mapping[int, np.ndarray],
    left: float,
    top: float,
) -> None:
    """Draw a strip.

    Args:
        canvas: The figure.
        sag: The record.
        strip: Which roots, and how large.
        images: Of the roots, squares, (H, W, 3) uint8.
        left: In points.
        top: Of the title, in points.
    """
    if not strip.roots:
        return
    style = canvas.style
    canvas.text(
        left, top, text=strip.title, size=strip.text, colour=style.muted, va="top", gid="others"
    )
    for place, i in enumerate(strip.roots):
        row, column = divmod(place, strip.columns)
        x = left + column * strip.side * (1 + GAP)
        bottom = top - LEADING * strip.text - row * strip.row_height - strip.side
        canvas.image(
            images[i], x, bottom=bottom, width=strip.side, height=strip.side, gid=f"other-{i}"
        )
        _draw_frame(canvas, i, left=x, bottom=bottom, side=strip.side)
        canvas.text(
            x + strip.side / 2,
            bottom - 0.2 * strip.text,
            text=percent(sag.roots[i].relative),
            size=strip.text,
            colour=style.ink,
            ha="center",
            va="top",
            gid=f"other-percent-{i}",
        )


def _draw_frame(canvas: Canvas, i: int, *, left: float, bottom: float, side: float) -> None:
    """Draw the line around the image of the i-th root."""
    style = canvas.style
    canvas.box(
        left,
        bottom,
        width=side,
        height=side,
        gid=f"other-frame-{i}",
        fill=False,
        linewidth=max(0.4, side / 60),
        edgecolor=style.frame or style.root,
        zorder=4,
    )
