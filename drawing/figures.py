"""All files of a result folder that are drawn from its record.

    draw_all(sag, image, folder)
    draw_all(sag, image, folder, look=Look(style=paper(width=3.3), formats=("pdf",)))

The network is not needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drawing.comparison import draw_comparison
from drawing.curves import draw_curves
from drawing.graph_figure import draw_graph
from drawing.grid_figure import draw_grid
from drawing.masked_images import MaskedImages
from drawing.needed import draw_needed
from drawing.page import write_page
from drawing.record import Root, Sag
from drawing.roots import draw_roots
from drawing.saliency_maps import draw_saliency_maps
from drawing.styles import DARK, Hidden, Pictures, Style
from drawing.words import (
    conjunction,
    needed_in_words,
    percent,
    proof_in_words,
    why_no_root,
)
from utils import write_atomically


@dataclass(frozen=True)
class Look:
    """How the figures of a result are drawn.

    Attributes:
        style: Colours, measures and limits.
        hidden: How the graph shows what was hidden from the network.
        formats: Of the graph, the comparison and the curves; the other files are images.
        pictures: Which files are written. "all"; "graph": the graph beside the original, and
            dnf.txt; "none": dnf.txt.
    """

    style: Style = DARK
    hidden: Hidden = "dim"
    formats: Sequence[str] = ("png",)
    pictures: Pictures = "all"


DEFAULT_LOOK = Look()


def draw_all(sag: Sag, image: np.ndarray, folder: Path, look: Look = DEFAULT_LOOK) -> None:
    """Write every file of a result folder except sag.json, or those that look.pictures names.

    In the paper style only the figures are written, beside the dark ones.

    Args:
        sag: The record.
        image: (H, W, 3) uint8 RGB, as the network got it.
        folder: The result folder, which exists.
        look: Style and formats, and which files.

    Raises:
        OSError: the folder cannot be written.
    """
    style = look.style
    if not style.is_paper:
        write_atomically(folder / "dnf.txt", dnf_text(sag))
    if look.pictures == "none":
        return
    masked = MaskedImages.of(sag, image, paper=style.is_paper)
    if look.pictures == "all":
        _draw_beside_graph(sag, masked, folder, look)
    draw_graph(
        sag,
        masked,
        folder=folder,
        style=style,
        hidden=look.hidden,
        formats=look.formats,
        only_final=look.pictures == "graph",
    )
    draw_needed(
        sag,
        image,
        folder,
        style=style,
        hidden=look.hidden,
        formats=look.formats,
        with_cards=look.pictures == "all" and not style.is_paper,
    )
    if look.pictures == "all" and not style.is_paper:
        write_page(sag, masked, folder / "sag.html")  # it links the figures that are there


def _draw_beside_graph(sag: Sag, masked: MaskedImages, folder: Path, look: Look) -> None:
    """Write everything but the graph and dnf.txt."""
    if not look.style.is_paper:
        draw_saliency_maps(sag, masked, folder)
        draw_grid(masked, folder / "gridimage.png")
        draw_roots(sag, masked, folder)
    draw_comparison(sag, masked, folder, style=look.style, formats=look.formats)
    draw_curves(sag, folder, style=look.style, formats=look.formats)


def dnf_text(sag: Sag) -> str:
    """Return dnf.txt: what the formula is about, the formula, each conjunction's confidence."""
    lines = [
        f"{sag.title}: probability {sag.probability:.4f} on the full image, "
        f"{sag.baseline.probability:.4f} on the {sag.baseline.name} baseline",
        f"search: {sag.search.method}, stopped by {sag.search.stopped_by}",
        "",
    ]
    if sag.roots:
        lines += [sag.dnf, ""]
    else:
        lines.append(f"no MSE: {why_no_root(sag)}")
    for root in sag.roots:
        patches = conjunction(root.patches, sag.region_names)
        lines.append(f"{percent(root.relative):>6}  {patches}{remark_on(root)}")
    lines += needed_lines(sag)
    return "\n".join([*lines, ""])


def remark_on(root: Root) -> str:
    """Return what is known of a root's minimality where it is not proven, in brackets."""
    return "" if root.minimal == "subset" else f"  ({proof_in_words(root)})"


def needed_lines(sag: Sag) -> list[str]:
    """Return what dnf.txt says of the breaking sets: in words, the formula, what each leaves."""
    if not sag.needed:
        return []
    lines = ["", needed_in_words(sag)]
    if sag.needed.roots:
        lines += ["", sag.needed.cnf, ""]
    for root in sag.needed.roots:
        patches = conjunction(root.patches, sag.region_names)
        lines.append(f"{percent(root.relative):>6}  left without {patches}{remark_on(root)}")
    return lines
