"""The graph as a .dot file with its images, for those who lay it out with Graphviz themselves."""

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pygraphviz

from drawing.captions import caption
from drawing.graph_layout import drop_along, root_nodes
from drawing.png import save_png
from drawing.record import Node, Sag
from drawing.text import FONT
from drawing.words import conjunction, joined, patch_name, percent

MAX_NAMED = 4  # patches named at a node; of more, their number is given


def write_dot(
    sag: Sag, drawn: Sequence[int], *, images: dict[int, np.ndarray], folder: Path
) -> None:
    """Write SAG_<n>roots.dot, and in nodes/ the images that it refers to.

    Args:
        sag: The record.
        drawn: Indices of the nodes to write.
        images: Each node's image, (H, W, 3) uint8.
        folder: Where to write.
    """
    (folder / "nodes").mkdir(exist_ok=True)
    graph = _empty_graph(" ".join(caption(sag, drawn, "baseline")))
    roots = root_nodes(sag)
    for i in drawn:
        node = sag.sag.nodes[i]
        file = Path("nodes") / f"{joined(node.patches)}.png"
        save_png(images[i], folder / file)
        label = _node_label(node, file, is_root=i in roots, names=sag.region_names)
        graph.add_node(i, label=label)
    for edge in sag.sag.edges:
        if edge.parent not in images or edge.child not in images:
            continue
        drop = drop_along(sag, edge)
        graph.add_edge(
            edge.parent,
            edge.child,
            label=f" −{patch_name(edge.patch, sag.region_names)}",
            penwidth=f"{1 + 4 * min(max(drop, 0), 1):.2f}",
        )
    graph.write(str(folder / f"SAG_{len(sag.diverse_roots)}roots.dot"))


def _empty_graph(label: str) -> pygraphviz.AGraph:
    graph = pygraphviz.AGraph(
        directed=True,
        bgcolor="black",
        nodesep="0.14",
        ranksep="0.42",
        pad="0.15",
        fontname=FONT,
        fontcolor="white",
        label=label,
    )
    # "\\N" is Graphviz's own default label. Unless it is set here, the file contains it only where
    # this process has drawn another graph before.
    graph.node_attr.update(shape="plain", fontname=FONT, fontcolor="white", label="\\N")
    graph.edge_attr.update(
        color="white", fontname=FONT, fontsize="11", fontcolor="#ff6666", arrowsize="0.7"
    )
    return graph


def _node_label(node: Node, file: Path, *, is_root: bool, names: Sequence[str] | None) -> str:
    """Return a node's label in Graphviz's HTML: image, percentage and patches below each other."""
    frame = 'BORDER="2" COLOR="white"' if is_root else 'BORDER="1" COLOR="#666666"'
    patches = f"{len(node.patches)} patches"
    if len(node.patches) <= MAX_NAMED:
        patches = conjunction(node.patches, names)
    return (
        f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="1" CELLPADDING="0">'
        f'<TR><TD {frame} FIXEDSIZE="TRUE" WIDTH="116" HEIGHT="116">'
        f'<IMG SRC="{html.escape(file.as_posix())}" SCALE="TRUE"/></TD></TR>'
        f'<TR><TD><FONT POINT-SIZE="15">{percent(node.relative)}</FONT></TD></TR>'
        f'<TR><TD><FONT POINT-SIZE="8.5" COLOR="#bbbbbb">{html.escape(patches)}</FONT></TD></TR>'
        f"</TABLE>>"
    )
