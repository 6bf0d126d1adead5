"""The figure of two records of one image: compare.png, .svg, .pdf.

    draw_compared(Side("A", sag, masked), Side("B", other, masked_other), comparison, folder)

From above: what differs; the maps of both; the MSEs of both, and those of each alone; both graphs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from drawing.canvas import Canvas
from drawing.compare import (
    ComparedMse,
    Comparison,
    confidences,
    made_with,
    summary,
    what_differs,
)
from drawing.graph_figure import node_images, squared
from drawing.graph_layout import Layout, fitted
from drawing.graph_parts import draw_edges, draw_nodes
from drawing.masked_images import MaskedImages
from drawing.record import Sag
from drawing.saliency_maps import gradcam_map, igos_map, overlaid
from drawing.styles import DARK, POINTS_PER_INCH, Hidden, Style, paper
from drawing.text import shrunk, wrapped
from drawing.words import conjunction, counted

NAME = "compare"
PAD = 10  # points around everything, and between the columns
GAP = 6  # between images
PANEL = 150  # points of a map's side, at most
MIN_TEXT = 6  # points
LEADING = 1.4
NOTE = (
    "Confidence in % of that on the full image. Not scored: that record's network was not asked "
    "about the set, so it may be enough there too."
)
MOST_CARDS = 24  # MSEs shown of a group


@dataclass(frozen=True)
class Side:
    """One of the two records, called "A" or "B", and images of its patch sets."""

    name: str
    sag: Sag
    masked: MaskedImages


@dataclass(frozen=True)
class Text:
    """A line of text; its upper left corner (or middle) in points from the figure's upper left."""

    left: float
    top: float
    text: str
    size: float
    is_bold: bool = False
    is_centred: bool = False


@dataclass(frozen=True)
class Shown:
    """An image and its box, in points from the figure's upper left corner."""

    left: float
    top: float
    side: float
    image: np.ndarray
    frame: str | None = None


@dataclass
class Sheet:
    """What a figure has, placed from above; its height is known at the end."""

    style: Style
    texts: list[Text] = field(default_factory=list)
    images: list[Shown] = field(default_factory=list)

    def write(
        self, text: str, left: float, top: float, width: float, *, bold: bool = False
    ) -> float:
        """Write text, wrapped to a width; return where it ends."""
        size = self.style.text if bold else max(MIN_TEXT, self.style.small)
        for line in wrapped(text, size, width):
            self.texts.append(Text(left, top, line, size, is_bold=bold))
            top += LEADING * size
        return top

    def show(
        self,
        image: np.ndarray,
        lines: Sequence[str],
        left: float,
        top: float,
        side: float,
        frame: str | None = None,
    ) -> float:
        """Place an image with lines below it; return where it ends."""
        square = squared(image, self.style.background)
        self.images.append(Shown(left, top, side, image=square, frame=frame))
        top += side + 3
        for line in lines:
            size = max(MIN_TEXT, shrunk(line, self.style.small, side + GAP))
            middle = left + side / 2
            self.texts.append(Text(middle, top, line, size, is_centred=True))
            top += LEADING * self.style.small
        return top


def draw_compared(
    a: Side,
    b: Side,
    comparison: Comparison,
    folder: Path,
    *,
    style: Style = DARK,
    hidden: Hidden = "dim",
    formats: Sequence[str] = ("png",),
) -> None:
    """Write compare.<format>, or compare_paper.<format> in the paper style.

    Args:
        a: The first record.
        b: The second.
        comparison: Of both.
        folder: Where to write.
        style: Colours and measures; a given width is that of the whole figure.
        hidden: How the part of the image shows that was hidden from the network.
        formats: Of the file.
    """
    layouts = [fitted(side.sag, half_of(style)) for side in (a, b)]
    panels = 3 * (PANEL + GAP)
    column = max([layout.width for layout in layouts] + [panels])
    if style.width is not None:
        column = (style.width - 3 * PAD) / 2
    sheet = Sheet(style)
    width = 2 * column + 3 * PAD
    lefts = [PAD, 2 * PAD + column]
    top = place_words(sheet, a, comparison, width - 2 * PAD)
    top = max(
        place_maps(sheet, side, made_with(comparison, side.name), left, top, column)
        for side, left in zip((a, b), lefts)
    )
    top = place_mses(sheet, (a, b), comparison, lefts=lefts, top=top, column=column)
    height = top + max(layout.height for layout in layouts) + PAD
    canvas = Canvas(width, height, style)
    put(sheet, canvas)
    for side, layout, left in zip((a, b), layouts, lefts):
        put_graph(
            canvas, side, layout, hidden=hidden, left=left + (column - layout.width) / 2, top=top
        )
    for kind in formats:
        canvas.save(folder / f"{NAME}{style.ending}.{kind}")


def half_of(style: Style) -> Style:
    """Return the style of one of two graphs beside each other."""
    if style.width is None:
        return style
    return paper((style.width / 2 - PAD) / POINTS_PER_INCH)


def place_words(sheet: Sheet, a: Side, comparison: Comparison, width: float) -> float:
    """Write what is compared, what differs and how many MSEs are shared; return where it ends."""
    sag = a.sag
    top = sheet.write(f"{sag.category.name}, {sag.image}", PAD, PAD, width, bold=True)
    top = sheet.write(summary(comparison), PAD, top, width, bold=True)
    top = sheet.write(what_differs(comparison), PAD, top, width)
    return sheet.write(NOTE, PAD, top, width) + GAP


def place_maps(sheet: Sheet, side: Side, made: str, left: float, top: float, width: float) -> float:
    """Place a record's maps side by side, under its name; return where they end."""
    sag = side.sag
    top = sheet.write(f"{side.name}: {made or 'the same'}", left, top, width, bold=True)
    words = f"{sag.title} {sag.probability:.3f}, {counted(len(sag.roots), 'MSE')}"
    top = sheet.write(words, left, top, width) + 2
    shown = min(PANEL, width / 3 - GAP)
    end = top
    for number, (title, image) in enumerate(maps_of(side)):
        place = left + number * (shown + GAP)
        end = max(end, sheet.show(image, [title], place, top, side=shown))
    return end + GAP


def maps_of(side: Side) -> list[tuple[str, np.ndarray]]:
    """Return the original and a record's saliency maps, each with its title."""
    image = side.masked.image
    found = [("original", image)]
    if side.sag.gradcam:
        heat = gradcam_map(side.sag.gradcam, (image.shape[0], image.shape[1]))
        found.append(("Grad-CAM", overlaid(image, heat)))
    if side.sag.settings.get("saliency") != "gradcam":
        found.append(("I-GOS", overlaid(image, igos_map(side.sag.saliency, side.masked))))
    return found


def place_mses(
    sheet: Sheet,
    sides: tuple[Side, Side],
    comparison: Comparison,
    *,
    lefts: Sequence[float],
    top: float,
    column: float,
) -> float:
    """Place the MSEs of both records, and below them those of each alone; return where they end."""
    a, b = sides
    whole = 2 * column + PAD
    top = place_group(sheet, a, "In both", comparison.shared, left=lefts[0], top=top, width=whole)
    return max(
        place_group(sheet, a, "Only in A", comparison.only_a, left=lefts[0], top=top, width=column),
        place_group(sheet, b, "Only in B", comparison.only_b, left=lefts[1], top=top, width=column),
    )


def place_group(
    sheet: Sheet,
    side: Side,
    title: str,
    mses: Sequence[ComparedMse],
    *,
    left: float,
    top: float,
    width: float,
) -> float:
    """Place MSEs in rows under a title; return where they end."""
    card = max(52.0, 0.8 * sheet.style.node)
    step = card + GAP + 2
    abreast = max(1, int((width + GAP) // step))
    shown = mses[:MOST_CARDS]
    left_out = f", {len(shown)} shown" if len(shown) < len(mses) else ""
    top = sheet.write(
        f"{title}: {counted(len(mses), 'MSE')}{left_out}", left, top, width, bold=True
    )
    end = top
    for number, mse in enumerate(shown):
        if number % abreast == 0:
            top = end
        place = left + number % abreast * step
        image = side.masked(mse.patches, "dim")
        lines = [name_of(mse, side), *confidences(mse).split(", ")]
        bottom = sheet.show(image, lines, place, top, side=card, frame=sheet.style.root)
        end = max(end, bottom + GAP)
    return end + GAP


def name_of(mse: ComparedMse, side: Side) -> str:
    """Return an MSE's patches, or their number where they are many."""
    names = side.sag.region_names
    if len(mse.patches) <= 3:
        return conjunction(mse.patches, names)
    return f"{len(mse.patches)} {'regions' if names else 'patches'}"


def put(sheet: Sheet, canvas: Canvas) -> None:
    """Put what was placed onto a canvas, which is measured from below."""
    style = canvas.style
    for number, shown in enumerate(sheet.images):
        bottom = canvas.height - shown.top - shown.side
        canvas.image(
            shown.image,
            shown.left,
            bottom=bottom,
            width=shown.side,
            height=shown.side,
            gid=f"image-{number}",
        )
        if shown.frame:
            canvas.box(
                shown.left,
                bottom,
                width=shown.side,
                height=shown.side,
                gid=f"frame-{number}",
                facecolor="none",
                edgecolor=shown.frame,
                linewidth=0.02 * shown.side,
                zorder=4,
            )
    for number, text in enumerate(sheet.texts):
        canvas.text(
            text.left,
            canvas.height - text.top,
            text=text.text,
            size=text.size,
            colour=style.ink,
            bold=text.is_bold,
            ha="center" if text.is_centred else "left",
            va="top",
            gid=f"text-{number}",
        )


def put_graph(
    canvas: Canvas, side: Side, layout: Layout, *, hidden: Hidden, left: float, top: float
) -> None:
    """Put a record's graph onto a canvas; left and top in points from its upper left corner."""
    if not layout.nodes:
        return
    colour = canvas.style.background
    images = node_images(side.sag, side.masked, layout=layout, hidden=hidden)
    images = {i: squared(image, colour) for i, image in images.items()}
    origin = np.array([left, canvas.height - top - layout.height])
    draw_edges(canvas, side.sag, layout=layout, origin=origin)
    draw_nodes(canvas, side.sag, layout=layout, images=images, origin=origin)
