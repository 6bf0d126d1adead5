"""The nodes and edges of a graph on a canvas, each part with an id of its own in SVG files."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drawing.canvas import Canvas
from drawing.graph_layout import DrawnEdge, Layout, drop_along, edge_lines, label_size, root_nodes
from drawing.record import Edge, Sag
from drawing.words import percent

FULL_NODE = 116  # points; side of a node's image at which lines have their full thickness


# ---------------------------------------------------------------- edges


def draw_edges(canvas: Canvas, sag: Sag, *, layout: Layout, origin: np.ndarray) -> None:
    """Draw every edge with its patch and its cost; the more it cost, the thicker.

    Args:
        canvas: The figure.
        sag: The record.
        layout: Which edges, and where.
        origin: Lower left corner of the graph on the canvas, (2,).
    """
    for drawn in layout.edges:
        drop = drop_along(sag, drawn.edge)
        change = -drop if canvas.style.sign == "+" else drop
        _draw_arrow(canvas, drawn, change=change, origin=origin)
        _draw_label(canvas, drawn, lines=edge_lines(sag, drawn.edge, canvas.style), origin=origin)


def _name(edge: Edge) -> str:
    return f"{edge.parent}-{edge.child}-{edge.patch}"


def _draw_arrow(canvas: Canvas, drawn: DrawnEdge, *, change: float, origin: np.ndarray) -> None:
    """Draw a line with a triangle at its end."""
    style = canvas.style
    start = drawn.start + origin
    tip = drawn.tip + origin
    thick = style.node / FULL_NODE * (1 + 3.5 * min(max(change, 0), 1))
    along = (tip - start) / np.hypot(*(tip - start))
    neck = tip - along * (0.05 * style.node + thick)
    across = np.array([-along[1], along[0]]) * (0.02 * style.node + 0.8 * thick)
    canvas.line(
        start,
        neck,
        gid=f"edge-{_name(drawn.edge)}",
        color=style.edge,
        linewidth=thick,
        solid_capstyle="butt",
        zorder=2,
    )
    triangle = np.array([neck + across, neck - across, tip])
    canvas.polygon(triangle, facecolor=style.edge, edgecolor="none", zorder=2)


def _draw_label(
    canvas: Canvas, drawn: DrawnEdge, *, lines: Sequence[str], origin: np.ndarray
) -> None:
    """Write the patch and its cost on a box that hides the edges behind it."""
    style = canvas.style
    x, y = drawn.label + origin
    width, height = label_size(lines, style)
    canvas.box(
        x - width / 2,
        y - height / 2,
        width=width,
        height=height,
        gid=f"behind-{_name(drawn.edge)}",
        facecolor=style.background,
        edgecolor="none",
        zorder=2.5,
    )
    for number, (line, colour) in enumerate(zip(lines, (style.removed, style.ink))):
        canvas.text(
            x,
            y + (0.58 - 1.16 * number) * style.small,
            text=line,
            size=style.small,
            colour=colour,
            ha="center",
            va="center",
            gid=f"label-{_name(drawn.edge)}-{number}",
        )


# ---------------------------------------------------------------- nodes


def draw_nodes(
    canvas: Canvas,
    sag: Sag,
    *,
    layout: Layout,
    images: dict[int, np.ndarray],
    origin: np.ndarray,
) -> None:
    """Draw every node: its image, a bar, its percentage and its patches.

    Args:
        canvas: The figure.
        sag: The record.
        layout: Which nodes, where, and the text of each.
        images: Each node's image, (H, W, 3) uint8.
        origin: Lower left corner of the graph on the canvas, (2,).
    """
    roots = root_nodes(sag)
    for i, place in layout.nodes.items():
        x, top = place + origin
        side = layout.style.node
        box = ImageBox(i, is_root=i in roots, left=x - side / 2, bottom=top - side, side=side)
        canvas.image(
            images[i], box.left, bottom=box.bottom, width=side, height=side, gid=f"node-{i}"
        )
        _draw_frame(canvas, box)
        _draw_bar(canvas, box, relative=sag.sag.nodes[i].relative, threshold=sag.threshold)
        _write_node(canvas, box, relative=sag.sag.nodes[i].relative, lines=layout.lines[i])


@dataclass(frozen=True)
class ImageBox:
    """Where the image of the i-th node is, in points; bar and text hang below it."""

    i: int
    is_root: bool
    left: float
    bottom: float
    side: float


def _bar_bottom(canvas: Canvas, box: ImageBox) -> float:
    return box.bottom - 0.55 * canvas.style.text


def _draw_frame(canvas: Canvas, box: ImageBox) -> None:
    """Draw the line around an image, thick and coloured for a root."""
    style = canvas.style
    thick = max(0.5, box.side / 40) if box.is_root else max(0.4, box.side / 120)
    canvas.box(
        box.left,
        box.bottom,
        width=box.side,
        height=box.side,
        gid=f"root-{box.i}" if box.is_root else f"frame-{box.i}",
        fill=False,
        linewidth=thick,
        edgecolor=(style.frame or style.root) if box.is_root else style.track,
        zorder=4,
    )


def _draw_bar(canvas: Canvas, box: ImageBox, *, relative: float, threshold: float) -> None:
    """Draw the confidence as a bar, with a tick at the threshold of what is sufficient."""
    style = canvas.style
    bottom = _bar_bottom(canvas, box)
    height = 0.3 * style.text
    canvas.box(
        box.left,
        bottom,
        width=box.side,
        height=height,
        gid=f"track-{box.i}",
        facecolor=style.track,
        edgecolor="none",
        zorder=3,
    )
    canvas.box(
        box.left,
        bottom,
        width=box.side * min(relative, 1),
        height=height,
        gid=f"bar-{box.i}",
        facecolor=style.root if relative > threshold else style.bar,
        edgecolor="none",
        zorder=4,
    )
    canvas.box(
        box.left + box.side * threshold - 0.3,
        bottom - 0.06 * style.text,
        width=0.6,
        height=height + 0.12 * style.text,
        gid=f"tick-{box.i}",
        facecolor=style.ink,
        edgecolor="none",
        zorder=5,
    )


def _write_node(canvas: Canvas, box: ImageBox, *, relative: float, lines: Sequence[str]) -> None:
    """Write the percentage and the lines of text below the bar."""
    style = canvas.style
    middle = box.left + box.side / 2
    y = _bar_bottom(canvas, box) - 0.2 * style.text
    canvas.text(
        middle,
        y,
        text=percent(relative),
        size=style.text,
        colour=style.ink,
        ha="center",
        va="top",
        gid=f"percent-{box.i}",
        bold=box.is_root,
    )
    y -= 1.3 * style.text
    for number, line in enumerate(lines):
        canvas.text(
            middle,
            y - 1.25 * style.small * number,
            text=line,
            size=style.small,
            colour=style.muted,
            ha="center",
            va="top",
            gid=f"patches-{box.i}-{number}",
        )
