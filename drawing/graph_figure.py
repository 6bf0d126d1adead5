"""The picture of a Structured Attention Graph: PNG, SVG and PDF from one drawing.

    draw_graph(record, pictures, folder, style=DARK)                # SAG_dag_<n>roots.*, SAG_final_<n>roots.*
    draw_graph(record, pictures, folder, style=paper(width=3.3))    # for a column of a two-column page

sag_layout.py says where things go; matplotlib draws them, so that text is text, pictures keep their full resolution, an SVG is
one file and a PDF brings its fonts.
"""

import html
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pygraphviz
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from PIL import Image

from drawing.pictures import (
    Pictures,
    conjunction,
    joined,
    names_of,
    patch_name,
    percent,
    why_no_root,
)
from drawing.graph_layout import (
    DARK,
    Layout,
    Style,
    edge_lines,
    fitted,
    label_size,
    root_nodes,
    wrapped,
)

FONT = "DejaVu Sans"  # ships with matplotlib
FAMILY = [FONT, "sans-serif"]  # for those who view an SVG without it
MAX_SIDE = 12000  # pixels; larger graphs are drawn at a lower resolution
FORMATS = ("png", "svg", "pdf")
SHOWN_AS = {
    "dim": "dimmed here",
    "black": "black here",
    "outline": "visible here, outside the white line",
}
HIDDEN_BY = {"black": "black", "drop": "left out"}
ENDED_BY = {"max_nodes": "it would have too many sets", "time_limit": "the time limit came first"}


def caption(record: dict, drawn: Sequence[int], hidden: str) -> list[str]:
    """What the figure shows and what it leaves out, in sentences."""
    if not record["roots"]:
        return [f"No MSE: {why_no_root(record)}."]
    sag, baseline, what = (
        record["sag"],
        record["baseline"]["name"],
        "regions" if record.get("regions") else "patches",
    )
    sentences = ["Confidence in % of that on the full image; framed: minimal sufficient (root)."]
    if any(record["roots"][i]["minimal"] == "single" for i in record["diverse_roots"]):
        sentences.append(
            f"Of a root of more than 10 {what} it is only known that no single one can go."
        )
    if hidden in ("baseline", baseline):
        sentences.append(f"Hidden {what} are shown as the network saw them ({baseline}).")
    else:
        sentences.append(
            f"Hidden {what} were {HIDDEN_BY.get(baseline, f'replaced ({baseline})')} for the network and are {SHOWN_AS[hidden]}."
        )
    if left_out := len(sag["nodes"]) - len(drawn):
        roots = root_nodes(record) - set(drawn)
        also = f", {len(roots)} of them root{'s' * (len(roots) > 1)}" if roots else ""
        sentences.append(
            f"{len(drawn)} of {len(sag['nodes'])} sets are drawn, the most confident ones; "
            f"{left_out} are left out{also} (+n more: below that set)."
        )
    if sag.get("stopped_by"):
        sentences.append(f"The record's graph ends early: {ENDED_BY[sag['stopped_by']]}.")
    return sentences


def summary_lines(record: dict) -> list[tuple[str, float]]:
    """What stands beside the original: (line, size relative to the style's text)."""
    roots, lines = (
        record["roots"],
        [(record["category"]["name"], 1.35), (f"probability {record['probability']:.3f}", 1.0)],
    )
    if roots:
        proven = sum(r["minimal"] == "subset" for r in roots)
        lines += [
            (f"{len(roots)} MSE{'s' * (len(roots) > 1)}, {proven} proven minimal", 1.0),
            (f"{len(record['diverse_set'])} diverse, {len(record['diverse_roots'])} drawn", 1.0),
        ]
    if not record["search"]["complete"]:
        lines.append(("stopped by the time limit", 1.0))
    return lines


# ---------------------------------------------------------------- for any Graphviz


def write_dot(
    record: dict, drawn: Sequence[int], shown: dict[int, np.ndarray], folder: Path
) -> None:
    """SAG_<n>roots.dot, and in nodes/ the pictures that it refers to: the graph for those who lay it out themselves."""
    nodes, roots, chosen = record["sag"]["nodes"], root_nodes(record), set(drawn)
    graph = pygraphviz.AGraph(
        directed=True,
        bgcolor="black",
        nodesep="0.14",
        ranksep="0.42",
        pad="0.15",
        fontname=FONT,
        fontcolor="white",
        label=" ".join(caption(record, drawn, "baseline")),
    )
    # The label is Graphviz's own default, said aloud: else it stands in the file only where a process drew another graph before.
    graph.node_attr.update(shape="plain", fontname=FONT, fontcolor="white", label="\\N")
    graph.edge_attr.update(
        color="white", fontname=FONT, fontsize="11", fontcolor="#ff6666", arrowsize="0.7"
    )
    (folder / "nodes").mkdir(exist_ok=True)
    for i in drawn:
        picture = Path("nodes") / f"{joined(nodes[i]['patches'])}.png"
        Image.fromarray(shown[i]).save(folder / picture)
        graph.add_node(i, label=_dot_label(nodes[i], picture, i in roots, names_of(record)))
    for parent, child, patch in record["sag"]["edges"]:
        if parent in chosen and child in chosen:
            drop = nodes[parent]["relative"] - nodes[child]["relative"]
            graph.add_edge(
                parent,
                child,
                label=f" −{patch_name(patch, names_of(record))}",
                penwidth=f"{1 + 4 * min(max(drop, 0), 1):.2f}",
            )
    graph.write(str(folder / f"SAG_{len(record['diverse_roots'])}roots.dot"))


def _dot_label(node: dict, picture: Path, is_root: bool, names=None) -> str:
    frame = 'BORDER="2" COLOR="white"' if is_root else 'BORDER="1" COLOR="#666666"'
    patches = (
        conjunction(node["patches"], names)
        if len(node["patches"]) <= 4
        else f"{len(node['patches'])} patches"
    )
    return (
        f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="1" CELLPADDING="0">'
        f'<TR><TD {frame} FIXEDSIZE="TRUE" WIDTH="116" HEIGHT="116"><IMG SRC="{html.escape(picture.as_posix())}" SCALE="TRUE"/></TD></TR>'
        f'<TR><TD><FONT POINT-SIZE="15">{percent(node["relative"])}</FONT></TD></TR>'
        f'<TR><TD><FONT POINT-SIZE="8.5" COLOR="#bbbbbb">{html.escape(patches)}</FONT></TD></TR></TABLE>>'
    )


# ---------------------------------------------------------------- figures


def save_figure(figure: Figure, path: Path, style: Style) -> None:
    """Write a figure by its ending: png, svg (text as text, pictures inside) or pdf (fonts inside)."""
    dpi = min(style.dpi, MAX_SIDE / max(figure.get_size_inches()))
    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "sag",
        "pdf.fonttype": 42,
        "image.composite_image": False,
    }
    options = {
        "svg": {"metadata": {"Date": None}},
        "pdf": {"metadata": {"CreationDate": None}},
        "png": {"pil_kwargs": {"compress_level": 4}},
    }
    with matplotlib.rc_context(settings):
        figure.savefig(path, dpi=dpi, facecolor=figure.get_facecolor(), **options[path.suffix[1:]])


class Canvas:
    """A figure in points, with the things that are put on it: pictures, boxes, text."""

    def __init__(self, width: float, height: float, style: Style, vector: bool):
        self.style, self.vector = style, vector
        self.figure = Figure(figsize=(width / 72, height / 72), facecolor=style.background)
        self.axes = self.figure.add_axes(
            (0, 0, 1, 1), xlim=(0, width), ylim=(0, height), autoscale_on=False
        )
        self.axes.set_axis_off()

    def picture(
        self, pixels: np.ndarray, left: float, bottom: float, width: float, height: float, gid: str
    ) -> None:
        """A picture; in vector files with all its pixels, as they are."""
        limits = self.axes.axis()
        self.axes.imshow(
            pixels,
            extent=(left, left + width, bottom, bottom + height),
            aspect="auto",
            gid=gid,
            zorder=3,
            interpolation="none" if self.vector else "hanning",
        )
        self.axes.axis(limits)

    def box(
        self, left: float, bottom: float, width: float, height: float, gid: str, **look
    ) -> None:
        """A rectangle; look: as of matplotlib's."""
        self.axes.add_patch(Rectangle((left, bottom), width, height, gid=gid, **look))

    def text(self, x: float, y: float, text: str, size: float, colour: str, **look) -> None:
        """A line of text, in which "$" means itself; look: as of matplotlib's."""
        self.axes.text(
            x,
            y,
            text,
            fontsize=size,
            color=colour,
            fontfamily=FAMILY,
            parse_math=False,
            zorder=5,
            **look,
        )

    def save(self, path: Path) -> None:
        """Write the figure in the format that path ends in."""
        save_figure(self.figure, path, self.style)


# ---------------------------------------------------------------- drawing


def draw_graph(
    record: dict,
    pictures: Pictures,
    folder: Path,
    style: Style = DARK,
    hidden: str = "dim",
    formats: Sequence[str] = FORMATS,
    alone: Sequence[str] = ("png",),
) -> None:
    """SAG_final_<n>roots, in these formats, and SAG_dag_<n>roots, the graph alone without the original; n = roots drawn.

    In the dark style SAG_<n>roots.dot as well; in the paper style the names end in _paper.

    hidden: how the part of the image shows that was hidden from the network (pictures.HIDDEN).
    """
    drawn, layout, style = fitted(record, style)
    shown = node_pictures(record, pictures, drawn, layout, hidden)
    ending = f"{len(record['diverse_roots'])}roots{'_paper' * (style.name == 'paper')}"
    for name, original, kinds in (("dag", None, alone), ("final", pictures.image, formats)):
        for kind in kinds:
            canvas = compose(
                record, drawn, layout, shown, style, hidden, original, vector=kind != "png"
            )
            canvas.save(folder / f"SAG_{name}_{ending}.{kind}")
    if style.name == "dark":
        write_dot(record, drawn, shown, folder)


def node_pictures(
    record: dict, pictures: Pictures, drawn: Sequence[int], layout: Layout, hidden: str
) -> dict[int, np.ndarray]:
    """Node -> its picture, with the patches that the drawn edges took away outlined in red."""
    nodes, removed = record["sag"]["nodes"], {i: [] for i in drawn}
    for edge in layout.edges:
        removed[edge.child].append(
            (edge.patch, nodes[edge.parent]["relative"] - nodes[edge.child]["relative"])
        )
    return {i: pictures.outlined(nodes[i]["patches"], removed[i], hidden) for i in drawn}


def compose(
    record: dict,
    drawn: Sequence[int],
    layout: Layout,
    shown: dict[int, np.ndarray],
    style: Style,
    hidden: str,
    original: np.ndarray | None,
    vector: bool,
) -> Canvas:
    """The whole figure: header (the original and what was found), graph, caption."""
    pad = 4 if style.width else 12
    header = header_size(record, style, layout) if original is not None else (0.0, 0.0)
    beside = style.width is None  # dark: the header is at the left, paper: above
    text = caption(record, drawn, hidden)
    graph_width = max(layout.width, 220 if beside else 0)
    width = style.width or graph_width + header[0] + 2 * pad
    size = style.text * 0.85 if beside else style.small
    lines = wrapped(" ".join(text), size, graph_width if beside else width - 2 * pad)
    below = 1.35 * size * len(lines) + pad
    height = (
        max(header[1], layout.height + below) + 2 * pad
        if beside
        else header[1] + layout.height + below + 2 * pad
    )
    canvas = Canvas(width, height, style, vector)
    if original is not None:
        middle = (
            pad + max(0, height - 2 * pad - header[1]) / 2 if beside else height - pad - header[1]
        )
        draw_header(canvas, record, original, pad, middle, header)
    x = pad + header[0] + (graph_width - layout.width) / 2 if beside else (width - layout.width) / 2
    y = (height - layout.height - below) / 2 + below if beside else pad + below
    draw_nodes_and_edges(canvas, record, layout, shown, np.array([x, y]))
    for i, line in enumerate(lines):
        canvas.text(
            pad + header[0] if beside else pad,
            y - pad - 1.35 * size * i,
            line,
            size,
            style.muted,
            va="top",
            gid=f"caption-{i}",
        )
    return canvas


def draw_nodes_and_edges(
    canvas: Canvas, record: dict, layout: Layout, shown: dict[int, np.ndarray], origin: np.ndarray
) -> None:
    """Every node with its bar, percentage and patches; every edge with its patch and its cost, thicker the more it cost."""
    style, nodes, roots = canvas.style, record["sag"]["nodes"], root_nodes(record)
    for edge in layout.edges:
        drop = nodes[edge.parent]["relative"] - nodes[edge.child]["relative"]
        name, lines = (
            f"{edge.parent}-{edge.child}-{edge.patch}",
            edge_lines(record, edge.parent, edge.child, edge.patch),
        )
        draw_edge(canvas, edge.start + origin, edge.tip + origin, drop, f"edge-{name}")
        (x, y), (width, height) = edge.place + origin, label_size(lines, style)
        canvas.box(
            x - width / 2,
            y - height / 2,
            width,
            height,
            f"behind-{name}",
            facecolor=style.background,
            edgecolor="none",
            zorder=2.5,
        )
        for n, line in enumerate(lines):
            canvas.text(
                x,
                y + (0.58 - 1.16 * n) * style.small,
                line,
                style.small,
                (style.removed, style.ink)[n],
                ha="center",
                va="center",
                gid=f"label-{name}-{n}",
            )
    for i, place in layout.nodes.items():
        draw_node(
            canvas,
            nodes[i],
            shown[i],
            place + origin - (style.node / 2, 0),
            i,
            i in roots,
            layout.lines[i],
            record["threshold"],
        )


def draw_edge(canvas: Canvas, start: np.ndarray, tip: np.ndarray, drop: float, gid: str) -> None:
    """A line and a triangle at its end."""
    style = canvas.style
    thick = style.node / 116 * (1 + 3.5 * min(max(drop, 0), 1))
    along = (tip - start) / np.hypot(*(tip - start))
    neck, across = (
        tip - along * (0.05 * style.node + thick),
        np.array([-along[1], along[0]]) * (0.02 * style.node + 0.8 * thick),
    )
    canvas.axes.plot(
        *zip(start, neck),
        color=style.edge,
        linewidth=thick,
        solid_capstyle="butt",
        gid=gid,
        zorder=2,
        scalex=False,
        scaley=False,
    )
    canvas.axes.add_patch(
        Polygon(
            [neck + across, neck - across, tip], facecolor=style.edge, edgecolor="none", zorder=2
        )
    )


def draw_node(
    canvas: Canvas,
    node: dict,
    picture: np.ndarray,
    corner: np.ndarray,
    i: int,
    is_root: bool,
    lines: list[str],
    threshold: float,
) -> None:
    """The picture with its upper left at corner, a bar with a tick at what counts as sufficient, the percentage, the text."""
    style, side, (left, top) = canvas.style, canvas.style.node, corner
    canvas.picture(picture, left, top - side, side, side, f"node-{i}")
    frame = max(0.5, side / 40) if is_root else max(0.4, side / 120)
    canvas.box(
        left,
        top - side,
        side,
        side,
        f"{'root' if is_root else 'frame'}-{i}",
        fill=False,
        linewidth=frame,
        edgecolor=style.root if is_root else style.track,
        zorder=4,
    )
    high, share = 0.3 * style.text, min(node["relative"], 1)
    base = top - side - 0.55 * style.text
    canvas.box(
        left, base, side, high, f"track-{i}", facecolor=style.track, edgecolor="none", zorder=3
    )
    canvas.box(
        left,
        base,
        side * share,
        high,
        f"bar-{i}",
        facecolor=style.root if node["relative"] > threshold else style.bar,
        edgecolor="none",
        zorder=4,
    )
    canvas.box(
        left + side * threshold - 0.3,
        base - 0.06 * style.text,
        0.6,
        high + 0.12 * style.text,
        f"tick-{i}",
        facecolor=style.ink,
        edgecolor="none",
        zorder=5,
    )
    y = base - 0.2 * style.text
    canvas.text(
        left + side / 2,
        y,
        percent(node["relative"]),
        style.text,
        style.ink,
        ha="center",
        va="top",
        gid=f"percent-{i}",
        weight="bold" if is_root else "normal",
    )
    y -= 1.3 * style.text
    for n, line in enumerate(lines):
        canvas.text(
            left + side / 2,
            y - 1.25 * style.small * n,
            line,
            style.small,
            style.muted,
            ha="center",
            va="top",
            gid=f"patches-{i}-{n}",
        )


# ---------------------------------------------------------------- the original beside or above the graph


def header_size(record: dict, style: Style, layout: Layout) -> tuple[float, float]:
    """(width, height) of the header: a column at the left, or, in a figure of a given width, a strip at the top."""
    if style.width:
        return style.width - 8, 64.0
    side = min(max(layout.height * 0.4, 240), 460)
    return side + 36, side + sum(
        1.6 * size * len(lines) for lines, size in header_lines(record, style, side)
    ) + 12


def header_lines(record: dict, style: Style, width: float) -> list[tuple[list[str], float]]:
    """summary_lines, each wrapped to the width; at most two lines of each, with their size in points (a dark column's grows with it)."""
    text = style.text if style.width else style.text * max(1, width / 290)
    return [
        (wrapped(line, text * size, width)[:2], text * size) for line, size in summary_lines(record)
    ]


def draw_header(
    canvas: Canvas,
    record: dict,
    original: np.ndarray,
    left: float,
    bottom: float,
    size: tuple[float, float],
) -> None:
    """The original, and below it (dark) or at its right (paper) what was found."""
    style = canvas.style
    side = size[1] - 8 if style.width else size[0] - 36
    x, y = (
        (left + side + 6, bottom + size[1]) if style.width else (left, bottom + size[1] - side - 8)
    )
    canvas.picture(original, left, bottom + size[1] - side, side, side, "original")
    for lines, text in header_lines(record, style, size[0] - side - 6 if style.width else side):
        for line in lines:
            canvas.text(x, y, line, text, style.ink, va="top", gid="summary")
            y -= (1.45 if style.width else 1.6) * text
