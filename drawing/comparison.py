"""The original, saliency maps and the roots in a row: comparison.png and comparison.gif.

The maps are Grad-CAM, I-GOS, that of all explanations, and that of all breaking sets, where there
are such.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from drawing.canvas import Canvas
from drawing.masked_images import MaskedImages
from drawing.record import Root, Sag
from drawing.roots import captioned, root_cards, save_animation, side_by_side
from drawing.saliency_maps import all_explanations_map, gradcam_map, igos_map, overlaid
from drawing.styles import Style
from drawing.text import shrunk
from drawing.words import conjunction, percent

MAX_ROOTS = 12
MAX_TITLE = 26  # characters; a longer conjunction is replaced by the number of its patches
MIN_TEXT = 6  # points
PANEL_SIDE = 144  # points, in figures as wide as their panels
MIN_PANEL_SIDE = 72  # points, in figures of a given width
GAP = 6  # points


@dataclass(frozen=True)
class Panel:
    """An image, (H, W, 3) uint8, with a title of two lines above it."""

    title: tuple[str, str]
    image: np.ndarray


def draw_comparison(
    sag: Sag, masked: MaskedImages, folder: Path, *, style: Style, formats: Sequence[str]
) -> None:
    """Write comparison.<format> with the roots that the graph draws.

    In the dark style comparison.gif is written as well: the same row, with all roots in turn.
    """
    panels = saliency_panels(sag, masked)
    number_of_maps = len(panels)
    for i in sag.diverse_roots[:MAX_ROOTS]:
        root = sag.roots[i]
        panels.append(Panel(root_title(root, sag.region_names), masked(root.patches)))
    canvas = in_rows(panels, style)
    for kind in formats:
        canvas.save(folder / f"comparison{style.ending}.{kind}")
    if not style.is_paper:
        animate(panels[:number_of_maps], root_cards(sag, masked), folder / "comparison.gif")


def saliency_panels(sag: Sag, masked: MaskedImages) -> list[Panel]:
    """Return the panels of the original, and of each map that there is."""
    image = masked.image
    size = image.shape[:2]
    panels = [Panel((sag.title, f"{sag.probability:.3f}"), image)]
    if sag.gradcam:
        panels.append(Panel(("Grad-CAM", ""), overlaid(image, gradcam_map(sag.gradcam, size))))
    if sag.settings.get("saliency") != "gradcam":
        panels.append(Panel(("I-GOS", ""), overlaid(image, igos_map(sag.saliency, masked))))
    if sag.roots:
        panels.append(map_panel("what is enough", sag.roots, masked))
    if sag.needed and sag.needed.roots:
        panels.append(map_panel("what is needed", sag.needed.roots, masked))
    return panels


def map_panel(title: str, roots: Sequence[Root], masked: MaskedImages) -> Panel:
    """Return the panel of the map of all MSEs, or of all breaking sets."""
    weights = all_explanations_map([root.patches for root in roots], masked)
    number = f"all {len(roots)}" if len(roots) > 1 else "the only one"
    return Panel((title, number), overlaid(masked.image, weights))


def root_title(root: Root, names: Sequence[str] | None) -> tuple[str, str]:
    """Return a root's patches, or their number where they are many, and its confidence."""
    patches = conjunction(root.patches, names)
    if len(patches) >= MAX_TITLE:
        patches = f"{len(root.patches)} patches"
    return patches, percent(root.relative)


def in_rows(panels: Sequence[Panel], style: Style) -> Canvas:
    """Draw titled panels in a row, or, in a figure of a given width, in as many rows as needed."""
    columns = len(panels)
    side: float = PANEL_SIDE
    text = 1.15 * style.small
    if style.width is not None:
        columns = max(1, min(len(panels), int(style.width // MIN_PANEL_SIDE)))
        side = (style.width - GAP) / columns - GAP
        text = style.small
    height, width = panels[0].image.shape[:2]
    tall = side * height / width
    row_height = tall + 2.9 * text + GAP
    rows = -(-len(panels) // columns)
    canvas = Canvas(columns * (side + GAP) + GAP, rows * row_height + GAP, style)
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        left = GAP + column * (side + GAP)
        top = (rows - row) * row_height
        bottom = top - 2.9 * text - tall
        _write_title(canvas, panel, number, left=left, top=top, side=side, text=text)
        canvas.image(
            panel.image, left, bottom=bottom, width=side, height=tall, gid=f"panel-{number}"
        )
    return canvas


def _write_title(
    canvas: Canvas,
    panel: Panel,
    number: int,
    *,
    left: float,
    top: float,
    side: float,
    text: float,
) -> None:
    """Write a panel's title; a line that is too long shrinks, to 6 points at the least."""
    for n, line in enumerate(panel.title):
        canvas.text(
            left + side / 2,
            top - 1.3 * text * n,
            text=line,
            size=max(MIN_TEXT, shrunk(line, text, side)),
            colour=canvas.style.ink,
            ha="center",
            va="top",
            gid=f"title-{number}-{n}",
        )


def animate(panels: Sequence[Panel], cards: Sequence[Image.Image], path: Path) -> None:
    """Write panels in a row as an animated GIF, the cards of the roots in turn at their right.

    All frames have one palette, so that the file has the panels, which do not change, only once.
    """
    still = [captioned(panel.image, "  ".join(panel.title).strip()) for panel in panels]
    palette = side_by_side([*still, *cards]).quantize(method=Image.Quantize.FASTOCTREE)
    frames = []
    for card in cards:
        row = side_by_side([*still, card])
        frames.append(row.quantize(palette=palette, dither=Image.Dither.NONE))
    save_animation(frames, path)
