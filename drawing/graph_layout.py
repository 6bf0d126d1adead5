"""Where everything in the picture of a graph goes: which sets are drawn, the rows, the edges, the lines of text.

    drawn, layout, style = fitted(record, DARK)             # or paper(width=3.3), for a column of a two-column page

Graphviz (in-process: pygraphviz 2) places the nodes, in points at the figure's final size; sets of the same size are in a
row. Where a graph is too large or too wide the most confident sets are kept; draw_graph.py says what is left out.
"""

import functools
import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import matplotlib
import numpy as np
import pygraphviz
from PIL import ImageFont

from drawing.pictures import conjunction, cost, names_of, patch_name


@dataclass(frozen=True)
class Style:
    """How a figure looks; lengths and text sizes in points."""

    name: str
    background: str
    ink: str
    muted: str
    root: str  # frame and bar of roots
    bar: str  # bar of other sets
    track: str  # the rest of a bar, and frames of other sets
    removed: str  # names of patches that went
    edge: str
    node: float  # side of a node's picture
    gap: float  # between nodes
    rise: float  # between rows, with the edges' labels
    text: float  # percentages; titles are larger
    small: float  # everything else
    dpi: int  # of PNG
    most: int  # nodes
    abreast: int  # nodes in a row
    rows: int  # below each root
    width: float | None = None  # of the whole figure; None: as wide as the graph


DARK = Style(
    "dark",
    "black",
    "white",
    "#b5b5b5",
    "#ffc247",
    "#7fb2d9",
    "#4a4a4a",
    "#ff6b6b",
    "white",
    node=116,
    gap=12,
    rise=100,
    text=15,
    small=10.5,
    dpi=144,
    most=40,
    abreast=8,
    rows=60,
)


def paper(width: float = 3.3) -> Style:
    """White, for print at this width in inches: no text below 6 points, at most as many nodes as fit."""
    return Style(
        "paper",
        "white",
        "black",
        "#555555",
        "#b35900",
        "#5b7f9c",
        "#c9c9c9",
        "#c01818",
        "#4a4a4a",
        node=42,
        gap=4.8,
        rise=36,
        text=7.5,
        small=6.2,
        dpi=400,
        most=round(8 * width),
        abreast=max(1, int((72 * width - 8 + 4.8) // 46.8)),
        rows=5,
        width=72 * width,
    )


def with_limits(style: Style, most: int | None) -> Style:
    """The style with at most this many nodes; None: its own number."""
    return (
        style
        if most is None
        else replace(
            style,
            most=most,
            abreast=style.abreast if style.width else max(style.abreast, most // 5),
        )
    )


# ---------------------------------------------------------------- which nodes


def nodes_to_draw(
    record: dict, most: int, abreast: float = float("inf"), rows: float = float("inf")
) -> list[int]:
    """Indices of the nodes to draw: the roots, then the surest sets below those already drawn, `most` in all.

    abreast: at most so many sets of one size. rows: at most so many steps below a root.
    """
    nodes, below = record["sag"]["nodes"], children_of(record)
    queue, drawn, in_row = (
        [(-float("inf"), -nodes[i]["relative"], i, 0) for i in sorted(root_nodes(record))],
        set(),
        Counter(),
    )
    heapq.heapify(queue)
    while queue and len(drawn) < most:
        *_, i, depth = heapq.heappop(queue)
        size = len(nodes[i]["patches"])
        if i in drawn or in_row[size] >= abreast:
            continue
        drawn.add(i)
        in_row[size] += 1
        for child in below.get(i, ()) if depth < rows else ():
            heapq.heappush(queue, (-nodes[child]["relative"], 0, child, depth + 1))
    return sorted(drawn)


def root_nodes(record: dict) -> set[int]:
    """Indices of the nodes that no edge leads to."""
    return set(range(len(record["sag"]["nodes"]))) - {
        child for _, child, _ in record["sag"]["edges"]
    }


def children_of(record: dict) -> dict[int, list[int]]:
    """Node -> the nodes one patch smaller that the graph has."""
    below: dict[int, list[int]] = {}
    for parent, child, _ in record["sag"]["edges"]:
        below.setdefault(parent, []).append(child)
    return below


# ---------------------------------------------------------------- where they go


@dataclass
class Edge:
    """One deletion as it is drawn: from start to tip, with its label around place; (2,) arrays, points."""

    parent: int
    child: int
    patch: int
    start: np.ndarray
    tip: np.ndarray
    place: np.ndarray


@dataclass
class Layout:
    """Where everything is, in points, y upwards."""

    width: float = 0.0
    height: float = 0.0
    nodes: dict[int, np.ndarray] = field(
        default_factory=dict
    )  # middle of the upper side of each picture, (2,)
    lines: dict[int, list[str]] = field(default_factory=dict)  # the text below each picture
    edges: list[Edge] = field(default_factory=list)


def lay_out(record: dict, drawn: Sequence[int], style: Style) -> Layout:
    """Graphviz's dot on these nodes, each a box of picture, bar and text; sets of one size in a row."""
    nodes, chosen = record["sag"]["nodes"], set(drawn)
    lines = {i: node_lines(record, i, chosen, style) for i in drawn}
    height = max(node_height(text, style) for text in lines.values())
    edges = [(a, b, p) for a, b, p in record["sag"]["edges"] if a in chosen and b in chosen]
    rise = style.rise * crowding(record, drawn, edges, style)
    graph = pygraphviz.AGraph(
        directed=True,
        nodesep=f"{style.gap / 72:.3f}",
        ranksep=f"{rise / 72:.3f}",
        margin="0",
        splines="line",
    )
    graph.node_attr.update(
        shape="box",
        fixedsize="true",
        label="",
        width=f"{style.node / 72:.4f}",
        height=f"{height / 72:.4f}",
    )
    for i in drawn:
        graph.add_node(i)
    for size in {len(nodes[i]["patches"]) for i in drawn}:
        graph.add_subgraph([i for i in drawn if len(nodes[i]["patches"]) == size], rank="same")
    graph.add_edges_from((a, b) for a, b, _ in edges)
    graph.layout(prog="dot")
    left, bottom, right, top = (float(v) for v in graph.graph_attr["bb"].split(","))
    middles = {
        i: np.array([float(v) for v in graph.get_node(i).attr["pos"].split(",")]) - (left, bottom)
        for i in drawn
    }
    layout = Layout(
        right - left,
        top - bottom,
        {i: middle + (0, height / 2) for i, middle in middles.items()},
        lines,
    )
    layout.edges = route(record, edges, layout, style)
    return layout


def crowding(
    record: dict, drawn: Sequence[int], edges: Sequence[tuple[int, int, int]], style: Style
) -> float:
    """How much further apart than usual the rows must be for the labels between them, 1 to 2."""
    nodes, between = record["sag"]["nodes"], Counter()
    for parent, child, patch in edges:
        between[len(nodes[child]["patches"])] += label_size(
            edge_lines(record, parent, child, patch), style
        )[0]
    widest = max(Counter(len(nodes[i]["patches"]) for i in drawn).values()) * (
        style.node + style.gap
    )
    return min(2.0, max(1.0, 0.4 + max(between.values(), default=0) / widest))


def route(
    record: dict, edges: Sequence[tuple[int, int, int]], layout: Layout, style: Style
) -> list[Edge]:
    """Straight edges, side by side at their ends, and their labels where they cover no other label if there is such a place."""
    x = {i: place[0] for i, place in layout.nodes.items()}
    routed, taken = [], []
    for a, b, patch in sorted(edges, key=lambda edge: (x[edge[0]], x[edge[1]])):
        out = sorted(x[child] for parent, child, _ in edges if parent == a)
        into = sorted(x[parent] for parent, child, _ in edges if child == b)
        start = layout.nodes[a] + (
            _spread(out.index(x[b]), len(out)) * style.node,
            -node_height(layout.lines[a], style),
        )
        tip = layout.nodes[b] + (
            _spread(into.index(x[a]), len(into)) * style.node,
            0.02 * style.node,
        )
        size = label_size(edge_lines(record, a, b, patch), style)
        room = (1.1 * size[0], 1.25 * size[1])
        places = [
            start + share * (tip - start)
            for share in (0.45, 0.6, 0.3, 0.72, 0.24, 0.52, 0.38, 0.66, 0.78)
        ]
        place = min(
            places, key=lambda p: sum(_overlap(p, room, *other) for other in taken)
        )  # the first of equals
        taken.append((place, room))
        routed.append(Edge(a, b, patch, start, tip, place))
    return routed


def _spread(index: int, count: int) -> float:
    """Where the index-th of count ends of edges lies along a side, from -0.5 to 0.5."""
    return (index - (count - 1) / 2) * min(0.3, 0.8 / max(count - 1, 1))


def _overlap(place, size, other_place, other_size) -> float:
    """The area that two boxes share, given their centres and (width, height)."""
    shared = (np.add(size, other_size)) / 2 - np.abs(place - other_place)
    return float(np.prod(np.minimum(np.maximum(shared, 0), np.minimum(size, other_size))))


def label_size(lines: Sequence[str], style: Style) -> tuple[float, float]:
    """(width, height) of the lines at an edge."""
    return max(
        text_width(line, style.small) for line in lines
    ) + 0.3 * style.small, 1.18 * style.small * len(lines)


def edge_lines(record: dict, parent: int, child: int, patch: int) -> tuple[str, str]:
    """What stands at an edge: the patch that goes, and what that cost."""
    nodes = record["sag"]["nodes"]
    return f"−{patch_name(patch, names_of(record))}", cost(
        nodes[parent]["relative"] - nodes[child]["relative"]
    )


def fitted(record: dict, style: Style) -> tuple[list[int], Layout, Style]:
    """The nodes to draw and their layout: as large pictures as fit the style's width; where none do, fewer nodes."""
    for abreast in range(style.abreast, 0, -1):
        drawn = nodes_to_draw(record, style.most, abreast, style.rows)
        for scale in (1.6, 1.3, 1, 0.85) if style.width else (1,):
            scaled = replace(style, node=scale * style.node)
            layout = lay_out(record, drawn, scaled) if drawn else Layout()
            if style.width is None or layout.width <= style.width - 8:
                return drawn, layout, scaled
    return drawn, layout, scaled


def node_lines(record: dict, i: int, drawn: set[int], style: Style) -> list[str]:
    """The text below a node's picture: its patches, and how many of its children are left out."""
    patches = record["sag"]["nodes"][i]["patches"]
    names = names_of(record)
    lines = wrapped(conjunction(patches, names), style.small, style.node + style.gap / 2)
    lines = lines if len(lines) <= 2 else [f"{len(patches)} {'regions' if names else 'patches'}"]
    missing = len(set(children_of(record).get(i, ())) - drawn)
    return lines + [f"+{missing} more"] * bool(missing)


def node_height(lines: Sequence[str], style: Style) -> float:
    """Of a node with this text: picture, bar, percentage and the text."""
    return style.node + 0.6 * style.text + 1.35 * style.text + 1.25 * style.small * len(lines)


# ---------------------------------------------------------------- text


@functools.cache
def font(size: float) -> ImageFont.FreeTypeFont:
    """The bundled font for Pillow; size in pixels."""
    return ImageFont.truetype(
        str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), max(6, size)
    )


def text_width(text: str, size: float) -> float:
    """How wide a line of text is, in the unit of its size."""
    return font(100).getlength(text) * size / 100


def wrapped(text: str, size: float, width: float) -> list[str]:
    """The text in lines that are no wider than width; a longer word is cut."""
    lines = [""]
    for word in text.split():
        while text_width(word, size) > width and len(word) > 1:
            fits = next(
                n
                for n in range(len(word) - 1, 0, -1)
                if n == 1 or text_width(word[:n], size) <= width
            )
            lines, word = [line for line in lines if line] + [word[:fits], ""], word[fits:]
        longer = f"{lines[-1]} {word}".strip()
        lines = (
            [*lines[:-1], longer]
            if text_width(longer, size) <= width or not lines[-1]
            else [*lines, word]
        )
    return [line for line in lines if line] or [""]
