"""The figure of a Structured Attention Graph: PNG, SVG and PDF from one drawing.

    draw_graph(sag, masked, folder)                             # SAG_final_<n>roots.*, SAG_dag_*
    draw_graph(sag, masked, folder, style=paper(width=3.3))     # for a column of a two-column page

drawing.graph_layout places the nodes and edges; this module composes the figure of the graph, the
original image and the caption. drawing.graph_parts draws nodes and edges.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from drawing.canvas import Canvas, Part
from drawing.captions import SummaryLine, caption, summary_lines
from drawing.graph_dot import write_dot
from drawing.graph_layout import Layout, drop_along, fitted
from drawing.graph_parts import draw_edges, draw_nodes
from drawing.graph_strip import Strip, draw_strip, strip_of
from drawing.grid_figure import numbered_image
from drawing.masked_images import MaskedImages, Removal
from drawing.record import Sag
from drawing.styles import DARK, Hidden, Style
from drawing.text import wrapped

PAD_BESIDE = 12  # points around everything in the dark style
PAD_ABOVE = 4  # and in the paper style
MIN_GRAPH_WIDTH = 220  # points in the dark style, for the caption
HEADER_HEIGHT = 118  # points in the paper style; the numbers in the image are readable there
NUMBER = 6.2  # points; numbers of the patches in it
LEADING = 1.35  # of the caption
LONGEST_LINE = 62  # of the caption on a screen, in sizes of its letters: some 110 letters
ORIGINAL = "original"  # id of the image in the header
SUMMARY = "summary"  # and of its lines
HEADER_IDS = frozenset({ORIGINAL, SUMMARY})


@dataclass(frozen=True)
class Wording:
    """What a figure of a graph is called, and what it says.

    Attributes:
        name: Of the file, before the number of roots.
        called: What a root is called.
        caption: Takes the record, the nodes drawn and how hidden parts show; returns sentences.
        summary: Takes the record; returns the lines beside the original.
    """

    name: str = "SAG_final"
    called: str = "MSE"
    caption: Callable[[Sag, Sequence[int], Hidden], list[str]] = caption
    summary: Callable[[Sag], list[SummaryLine]] = summary_lines


def draw_graph(
    sag: Sag,
    masked: MaskedImages,
    folder: Path,
    *,
    style: Style = DARK,
    hidden: Hidden = "dim",
    formats: Sequence[str] = ("png",),
    only_final: bool = False,
    wording: Wording | None = None,
) -> None:
    """Draw SAG_final_<n>roots, and SAG_dag_<n>roots without the original image; n = roots drawn.

    The graph is laid out and composed once, for all files. In the dark style SAG_<n>roots.dot is
    written as well; in the paper style names end in _paper.

    Args:
        sag: The record.
        masked: Images of the record's patch sets.
        folder: Where to write.
        style: Colours, measures and limits.
        hidden: How the part of the image shows that was hidden from the network.
        formats: Of SAG_final and SAG_dag.
        only_final: Whether to write SAG_final alone.
        wording: What the figure is called and says; None: that of the sufficient sets.
    """
    wording = wording or Wording()
    layout = fitted(sag, style)
    images = node_images(sag, masked, layout=layout, hidden=hidden)
    text = " ".join(wording.caption(sag, layout.drawn, hidden))
    plan = composed(sag, wording, layout, text)
    pictures = Pictures(
        original=numbered(masked, style, side=plan.header.side),
        nodes=images,
        others={i: masked(sag.roots[i].patches, hidden) for i in plan.strip.roots},
    )
    canvas = drawn_graph(sag, layout, plan=plan, pictures=pictures)
    ending = f"{len(sag.diverse_roots)}roots{style.ending}"
    for kind in formats:
        parts = {} if only_final else {folder / f"SAG_dag_{ending}.{kind}": plan.graph_part}
        canvas.save(folder / f"{wording.name}_{ending}.{kind}", parts)
    if not style.is_paper and not only_final:
        write_dot(sag, layout.drawn, images=images, folder=folder)


def node_images(
    sag: Sag, masked: MaskedImages, *, layout: Layout, hidden: Hidden
) -> dict[int, np.ndarray]:
    """Return each drawn node's image, the patches that edges removed outlined in red."""
    removed: dict[int, list[Removal]] = {i: [] for i in layout.drawn}
    for drawn in layout.edges:
        edge = drawn.edge
        removed[edge.child].append(Removal(edge.patch, drop_along(sag, edge)))
    return {i: masked.outlined(sag.sag.nodes[i].patches, removed[i], hidden) for i in removed}


def numbered(masked: MaskedImages, style: Style, side: float) -> np.ndarray:
    """Return the original with the number of each patch, as it stands in the header.

    Args:
        masked: Images of the record's patch sets.
        style: Of the figure.
        side: Of the original in the figure, in points.
    """
    least = NUMBER / side if style.is_paper else 0.0
    return numbered_image(masked, background=style.background, least_text=least)


# ---------------------------------------------------------------- what is where

Summary = Sequence[SummaryLine]


@dataclass(frozen=True)
class HeaderLine:
    """A line of the summary, and its size in points."""

    text: str
    size: float


@dataclass(frozen=True)
class Header:
    """The original image and the summary of what was found; positions in points.

    Attributes:
        side: Of the original, whose lower left corner is at (left, bottom).
        text_left: Left end of the lines.
        text_top: Upper side of the first line.
        leading: From line to line, relative to the size of the text.
    """

    side: float
    left: float
    bottom: float
    text_left: float
    text_top: float
    leading: float
    lines: list[HeaderLine]


@dataclass(frozen=True)
class Caption:
    """Lines of text below the graph; left and top in points."""

    left: float
    top: float
    size: float
    lines: list[str]


@dataclass(frozen=True)
class Composition:
    """The size of a figure and the place of its parts, in points from the lower left corner.

    Attributes:
        graph: Lower left corner of the graph, (2,).
        strip: The roots that the graph does not show, below it; its title's upper left corner is at
            (caption.left, strip_top).
        graph_part: The graph with strip and caption, without the header.
    """

    width: float
    height: float
    graph: np.ndarray
    strip: Strip
    strip_top: float
    caption: Caption
    header: Header
    graph_part: Part


def composed(sag: Sag, wording: Wording, layout: Layout, text: str) -> Composition:
    """Compose the figure as its style wants it; text: the caption."""
    summary = wording.summary(sag)
    style = layout.style
    if style.width is None:
        width = max(layout.width, MIN_GRAPH_WIDTH)
        strip = strip_of(sag, style, width=width, called=wording.called)
        return compose_beside(summary, layout, text, strip)
    strip = strip_of(sag, style, width=style.width - 2 * PAD_ABOVE, called=wording.called)
    return compose_above(summary, layout, text, strip)


def compose_beside(summary: Summary, layout: Layout, text: str, strip: Strip) -> Composition:
    """Compose the dark figure: the header at the left of the graph, as wide as both need."""
    pad = PAD_BESIDE
    style = layout.style
    side = min(max(layout.height * 0.4, 240), 460)
    header_lines = _header_lines(summary, text=style.text * max(1, side / 290), width=side)
    header_width = side + 36
    header_height = side + sum(1.6 * line.size for line in header_lines) + 12
    graph_width = max(layout.width, MIN_GRAPH_WIDTH)
    size = style.text * 0.85
    lines = wrapped(text, size, min(graph_width, LONGEST_LINE * size))
    caption_height = LEADING * size * len(lines) + pad
    below = caption_height + strip.height + (pad if strip.roots else 0)
    graph_height = layout.height + below
    content = max(header_height, graph_height)
    height = content + 2 * pad
    bottom = (height - graph_height) / 2 + below
    top = pad + (content - header_height) / 2 + header_height
    part_width = graph_width + 2 * pad
    return Composition(
        width=header_width + part_width,
        height=height,
        graph=np.array([pad + header_width + (graph_width - layout.width) / 2, bottom]),
        strip=strip,
        strip_top=bottom - pad,
        caption=Caption(pad + header_width, bottom - below + caption_height - pad, size, lines),
        header=_header_below(top, side, header_lines),
        graph_part=Part(
            left=header_width,
            bottom=bottom - below - pad,
            width=part_width,
            height=graph_height + 2 * pad,
            without=HEADER_IDS,
        ),
    )


def _header_below(top: float, side: float, lines: list[HeaderLine]) -> Header:
    """Return the header of the dark figure: the original at the top, its lines below it."""
    return Header(
        side=side,
        left=PAD_BESIDE,
        bottom=top - side,
        text_left=PAD_BESIDE,
        text_top=top - side - 8,
        leading=1.6,
        lines=lines,
    )


def compose_above(summary: Summary, layout: Layout, text: str, strip: Strip) -> Composition:
    """Compose the figure for print: the header above the graph, all as wide as the style says."""
    pad = PAD_ABOVE
    style = layout.style
    width = style.width or layout.width
    size = style.small
    lines = wrapped(text, size, width - 2 * pad)
    caption_height = LEADING * size * len(lines) + pad
    below = caption_height + strip.height + (pad if strip.roots else 0)
    part_height = layout.height + below + 2 * pad
    height = HEADER_HEIGHT + part_height
    side = HEADER_HEIGHT - 8
    header = Header(
        side=side,
        left=pad,
        bottom=height - pad - side,
        text_left=pad + side + 6,
        text_top=height - pad,
        leading=1.45,
        lines=_header_lines(summary, text=style.text, width=width - 8 - side - 6),
    )
    return Composition(
        width=width,
        height=height,
        graph=np.array([(width - layout.width) / 2, pad + below]),
        strip=strip,
        strip_top=below,
        caption=Caption(left=pad, top=caption_height, size=size, lines=lines),
        header=header,
        graph_part=Part(left=0, bottom=0, width=width, height=part_height, without=HEADER_IDS),
    )


def _header_lines(summary: Summary, *, text: float, width: float) -> list[HeaderLine]:
    """Return the summary wrapped to a width, at most two lines of each entry."""
    lines = []
    for entry in summary:
        size = text * entry.scale
        lines += [HeaderLine(line, size) for line in wrapped(entry.text, size, width)[:2]]
    return lines


# ---------------------------------------------------------------- the figure


@dataclass(frozen=True)
class Pictures:
    """The images of a figure, (H, W, 3) uint8.

    Attributes:
        original: With the number of each patch.
        nodes: By node.
        others: Of the roots that the graph does not show, by their places in the record.
    """

    original: np.ndarray
    nodes: dict[int, np.ndarray]
    others: dict[int, np.ndarray]


def drawn_graph(sag: Sag, layout: Layout, *, plan: Composition, pictures: Pictures) -> Canvas:
    """Return the figure of the original image, the graph, the other roots and the caption.

    Args:
        sag: The record.
        layout: Which nodes and edges, and where.
        plan: Where the parts of the figure are.
        pictures: The images.
    """
    colour = layout.style.background
    nodes = {i: squared(image, colour) for i, image in pictures.nodes.items()}
    others = {i: squared(image, colour) for i, image in pictures.others.items()}
    canvas = Canvas(plan.width, plan.height, layout.style)
    draw_header(canvas, plan.header, squared(pictures.original, colour))
    draw_edges(canvas, sag, layout=layout, origin=plan.graph)
    draw_nodes(canvas, sag, layout=layout, images=nodes, origin=plan.graph)
    draw_strip(canvas, sag, plan.strip, images=others, left=plan.caption.left, top=plan.strip_top)
    draw_caption(canvas, plan.caption)
    return canvas


def squared(image: np.ndarray, colour: str) -> np.ndarray:
    """Return an image in the middle of a square, as nodes are; a square stays as it is.

    Args:
        image: (H, W, 3) uint8.
        colour: Of what is added, by its name.
    """
    height, width = image.shape[:2]
    if height == width:
        return image
    side = max(height, width)
    box = Image.new("RGB", (side, side), colour)
    box.paste(Image.fromarray(image), ((side - width) // 2, (side - height) // 2))
    return np.asarray(box)


def draw_header(canvas: Canvas, header: Header, original: np.ndarray) -> None:
    """Draw the original image and the lines of the summary."""
    canvas.image(
        original,
        header.left,
        bottom=header.bottom,
        width=header.side,
        height=header.side,
        gid=ORIGINAL,
    )
    y = header.text_top
    for line in header.lines:
        canvas.text(
            header.text_left,
            y,
            text=line.text,
            size=line.size,
            colour=canvas.style.ink,
            va="top",
            gid=SUMMARY,
        )
        y -= header.leading * line.size


def draw_caption(canvas: Canvas, block: Caption) -> None:
    """Draw the lines below the graph."""
    for number, line in enumerate(block.lines):
        canvas.text(
            block.left,
            block.top - LEADING * block.size * number,
            text=line,
            size=block.size,
            colour=canvas.style.muted,
            va="top",
            gid=f"caption-{number}",
        )
