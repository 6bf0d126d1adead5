"""Which sets of a graph are drawn, and where: nodes in rows of one size, edges, and their labels.

    layout = fitted(sag, DARK)              # or paper(width=3.3), for a column of a paper

Graphviz (in this process, through pygraphviz) places the nodes, in points at the figure's final
size. Where a graph is too large or too wide, the most confident sets are kept; drawing.captions
says what is left out.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pygraphviz

from drawing.record import Edge, Sag
from drawing.styles import POINTS_PER_INCH, Style
from drawing.text import text_width, wrapped
from drawing.words import conjunction, cost, patch_name

NODE_SCALES = (1.6, 1.3, 1, 0.85)  # tried in turn, in figures of a given width
LABEL_PLACES = (0.45, 0.6, 0.3, 0.72, 0.24, 0.52, 0.38, 0.66, 0.78)  # along an edge, best first
MARGINS = 8  # points, left and right together


# ---------------------------------------------------------------- which nodes


ROOT = 0  # levels of nodes: what stands further up is drawn first
BELOW_A_ROOT = 1
DEEPER = 2


@dataclass(frozen=True, order=True)
class _Candidate:
    """A node that may be drawn next: roots first, then what their patches cost, then the rest."""

    level: int
    gain: float  # the lower the sooner: what the removal cost, negative; of roots the confidence
    node: int
    steps: int  # below a root


def nodes_to_draw(
    sag: Sag,
    max_nodes: int,
    *,
    max_in_row: float = float("inf"),
    max_steps: float = float("inf"),
    is_wide: bool = False,
) -> list[int]:
    """Choose the nodes to draw: the roots, their children, then the sets below these.

    Where not all can be drawn, those are left out whose removal cost least.

    Args:
        sag: The record.
        max_nodes: Largest number of nodes.
        max_in_row: Largest number of sets of one size.
        max_steps: Largest number of steps below a root.
        is_wide: Whether roots and their children are drawn however many are in a row.

    Returns:
        Indices of the nodes, ascending.
    """
    nodes = sag.sag.nodes
    leaving = edges_from(sag)
    queue = [_Candidate(ROOT, -nodes[i].relative, node=i, steps=0) for i in root_nodes(sag)]
    heapq.heapify(queue)
    drawn: set[int] = set()
    in_row: Counter[int] = Counter()
    while queue and len(drawn) < max_nodes:
        candidate = heapq.heappop(queue)
        size = len(nodes[candidate.node].patches)
        is_free = is_wide and candidate.level != DEEPER
        if candidate.node in drawn or (in_row[size] >= max_in_row and not is_free):
            continue
        drawn.add(candidate.node)
        in_row[size] += 1
        if candidate.steps >= max_steps:
            continue
        level = BELOW_A_ROOT if candidate.level == ROOT else DEEPER
        steps = candidate.steps + 1
        for edge in leaving.get(candidate.node, ()):
            heapq.heappush(queue, _Candidate(level, -drop_along(sag, edge), edge.child, steps))
    return sorted(drawn)


def root_nodes(sag: Sag) -> set[int]:
    """Return the indices of the nodes that no edge leads to."""
    return set(range(len(sag.sag.nodes))) - {edge.child for edge in sag.sag.edges}


def children_of(sag: Sag) -> dict[int, list[int]]:
    """Return, for each node that has any, its children: the nodes with one patch removed."""
    leaving = edges_from(sag)
    return {parent: [edge.child for edge in edges] for parent, edges in leaving.items()}


def edges_from(sag: Sag) -> dict[int, list[Edge]]:
    """Return, for each node that has children, the edges that lead to them."""
    leaving: dict[int, list[Edge]] = {}
    for edge in sag.sag.edges:
        leaving.setdefault(edge.parent, []).append(edge)
    return leaving


def drop_along(sag: Sag, edge: Edge) -> float:
    """Return the relative confidence that an edge's deletion cost."""
    nodes = sag.sag.nodes
    return nodes[edge.parent].relative - nodes[edge.child].relative


# ---------------------------------------------------------------- what is laid out


@dataclass(frozen=True)
class LabelBox:
    """The room of an edge's label: its centre, width and height in points."""

    x: float
    y: float
    width: float
    height: float

    def shared_area(self, other: "LabelBox") -> float:
        """Return the area that two boxes share."""
        across = (self.width + other.width) / 2 - abs(self.x - other.x)
        up = (self.height + other.height) / 2 - abs(self.y - other.y)
        if across <= 0 or up <= 0:
            return 0.0
        return min(across, self.width, other.width) * min(up, self.height, other.height)


@dataclass(frozen=True)
class DrawnEdge:
    """One deletion as it is drawn: from start to tip, its label around a place; (2,) in points."""

    edge: Edge
    start: np.ndarray
    tip: np.ndarray
    label: np.ndarray


@dataclass(frozen=True)
class Layout:
    """Where everything is, in points from the lower left corner of the graph.

    Attributes:
        style: The style, with the size that nodes have here.
        nodes: For each node drawn, the middle of the upper side of its image, (2,).
        lines: For each node drawn, the text below its image.
    """

    style: Style
    width: float = 0.0
    height: float = 0.0
    nodes: dict[int, np.ndarray] = field(default_factory=dict)
    lines: dict[int, list[str]] = field(default_factory=dict)
    edges: list[DrawnEdge] = field(default_factory=list)

    @property
    def drawn(self) -> list[int]:
        """Indices of the nodes drawn, ascending."""
        return list(self.nodes)


def fitted(sag: Sag, style: Style) -> Layout:
    """Lay out as large a graph as fits the style.

    In a figure of a given width the images are as large as fit; where none do, rows get shorter.
    """
    if style.width is None:
        return lay_out(sag, _chosen(sag, style, style.max_in_row), style)
    layout = Layout(style)
    for max_in_row in range(style.max_in_row, 0, -1):
        drawn = _chosen(sag, style, max_in_row)
        for scale in NODE_SCALES:
            layout = lay_out(sag, drawn, replace(style, node=scale * style.node))
            if layout.width <= style.width - MARGINS:
                return layout
    return layout


def _chosen(sag: Sag, style: Style, max_in_row: int) -> list[int]:
    return nodes_to_draw(
        sag,
        style.max_nodes,
        max_in_row=max_in_row,
        max_steps=style.max_steps,
        is_wide=style.width is None,
    )


def lay_out(sag: Sag, drawn: Sequence[int], style: Style) -> Layout:
    """Place these nodes, each a box of image, bar and text; sets of one size are in a row."""
    if not drawn:
        return Layout(style)
    lines = {i: node_lines(sag, i, drawn=set(drawn), style=style) for i in drawn}
    height = max(node_height(text, style) for text in lines.values())
    edges = [edge for edge in sag.sag.edges if edge.parent in lines and edge.child in lines]
    rise = style.rise * crowding(sag, drawn, edges=edges, style=style)
    graph = _graphviz(sag, drawn, edges=edges, style=style, rise=rise, height=height)
    graph.layout(prog="dot")
    left, bottom, right, top = _numbers(graph.graph_attr["bb"])
    layout = Layout(style, width=right - left, height=top - bottom, lines=lines)
    for i in drawn:
        middle = np.array(_numbers(graph.get_node(i).attr["pos"])) - (left, bottom)
        layout.nodes[i] = middle + (0, height / 2)
    layout.edges.extend(route(sag, edges, layout))
    return layout


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def _graphviz(
    sag: Sag,
    drawn: Sequence[int],
    *,
    edges: Sequence[Edge],
    style: Style,
    rise: float,
    height: float,
) -> pygraphviz.AGraph:
    """Return the graph for Graphviz: nodes are empty boxes of the final size."""
    graph = pygraphviz.AGraph(
        directed=True,
        nodesep=f"{style.gap / POINTS_PER_INCH:.3f}",
        ranksep=f"{rise / POINTS_PER_INCH:.3f}",
        margin="0",
        splines="line",
    )
    graph.node_attr.update(
        shape="box",
        fixedsize="true",
        label="",
        width=f"{style.node / POINTS_PER_INCH:.4f}",
        height=f"{height / POINTS_PER_INCH:.4f}",
    )
    sizes = {i: len(sag.sag.nodes[i].patches) for i in drawn}
    graph.add_nodes_from(drawn)
    for size in set(sizes.values()):
        graph.add_subgraph([i for i in drawn if sizes[i] == size], rank="same")
    graph.add_edges_from((edge.parent, edge.child) for edge in edges)
    return graph


def crowding(sag: Sag, drawn: Sequence[int], *, edges: Sequence[Edge], style: Style) -> float:
    """Return how much further apart than usual rows must be for the labels between them, 1 to 2."""
    nodes = sag.sag.nodes
    label_widths: dict[int, float] = defaultdict(float)  # above the row of each size
    for edge in edges:
        width, _ = label_size(edge_lines(sag, edge, style), style)
        label_widths[len(nodes[edge.child].patches)] += width
    longest_row = max(Counter(len(nodes[i].patches) for i in drawn).values())
    row_width = longest_row * (style.node + style.gap)
    return min(2.0, max(1.0, 0.4 + max(label_widths.values(), default=0) / row_width))


# ---------------------------------------------------------------- edges and their labels


def route(sag: Sag, edges: Sequence[Edge], layout: Layout) -> list[DrawnEdge]:
    """Draw straight edges, side by side at their ends.

    Each label stands where it covers as little of the earlier ones as possible.
    """
    x = {i: place[0] for i, place in layout.nodes.items()}
    taken: list[LabelBox] = []
    routed = []
    for edge in sorted(edges, key=lambda edge: (x[edge.parent], x[edge.child])):
        leaving = sorted(x[other.child] for other in edges if other.parent == edge.parent)
        arriving = sorted(x[other.parent] for other in edges if other.child == edge.child)
        start = _lower_end(layout, edge, _spread(leaving.index(x[edge.child]), len(leaving)))
        tip = _upper_end(layout, edge, _spread(arriving.index(x[edge.parent]), len(arriving)))
        width, height = label_size(edge_lines(sag, edge, layout.style), layout.style)
        boxes = []
        for share in LABEL_PLACES:
            x_label, y_label = (start + share * (tip - start)).tolist()
            boxes.append(LabelBox(x_label, y_label, width=1.1 * width, height=1.25 * height))
        box = min(boxes, key=lambda box: sum(box.shared_area(other) for other in taken))
        taken.append(box)
        routed.append(DrawnEdge(edge, start, tip, label=np.array([box.x, box.y])))
    return routed


def _lower_end(layout: Layout, edge: Edge, spread: float) -> np.ndarray:
    """Return where an edge leaves its parent: below the text."""
    side = layout.style.node
    below = node_height(layout.lines[edge.parent], layout.style)
    return layout.nodes[edge.parent] + (spread * side, -below)


def _upper_end(layout: Layout, edge: Edge, spread: float) -> np.ndarray:
    """Return where an edge reaches its child: just above the image."""
    side = layout.style.node
    return layout.nodes[edge.child] + (spread * side, 0.02 * side)


def _spread(index: int, count: int) -> float:
    """Return where the index-th of count ends of edges is along a side, from -0.5 to 0.5."""
    return (index - (count - 1) / 2) * min(0.3, 0.8 / max(count - 1, 1))


def label_size(lines: Sequence[str], style: Style) -> tuple[float, float]:
    """Return the width and height of the lines at an edge."""
    widest = max(text_width(line, style.small) for line in lines)
    return widest + 0.3 * style.small, 1.18 * style.small * len(lines)


def edge_lines(sag: Sag, edge: Edge, style: Style) -> tuple[str, str]:
    """Return the text at an edge: the patch that goes or shows again, and what that changes."""
    name = patch_name(edge.patch, sag.region_names)
    return f"{style.sign}{name}", cost(drop_along(sag, edge))


# ---------------------------------------------------------------- the text of a node


def node_lines(sag: Sag, i: int, *, drawn: set[int], style: Style) -> list[str]:
    """Return the text below a node's image: its patches, and how many children are left out."""
    patches = sag.sag.nodes[i].patches
    names = sag.region_names
    lines = wrapped(conjunction(patches, names), style.small, style.node + style.gap / 2)
    if len(lines) > 2:
        lines = [f"{len(patches)} {'regions' if names else 'patches'}"]
    missing = len(set(children_of(sag).get(i, ())) - drawn)
    if missing:
        lines.append(f"+{missing} more")
    return lines


def node_height(lines: Sequence[str], style: Style) -> float:
    """Return the height of a node: image, bar, percentage and these lines of text."""
    return style.node + 0.6 * style.text + 1.35 * style.text + 1.25 * style.small * len(lines)
