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
from drawing.page import write_page
from drawing.record import Sag
from drawing.roots import draw_roots
from drawing.saliency_maps import draw_saliency_maps
from drawing.styles import DARK, FORMATS, Hidden, Style
from drawing.words import conjunction, percent, why_no_root


@dataclass(frozen=True)
class Look:
    """How the figures of a result are drawn.

    Attributes:
        style: Colours, measures and limits.
        hidden: How the graph shows what was hidden from the network.
        graph_formats: Of the graph beside the original.
        formats: Of the other figures.
    """

    style: Style = DARK
    hidden: Hidden = "dim"
    graph_formats: Sequence[str] = FORMATS
    formats: Sequence[str] = ("png",)


DEFAULT_LOOK = Look()


def draw_all(sag: Sag, image: np.ndarray, folder: Path, look: Look = DEFAULT_LOOK) -> None:
    """Write every file of a result folder except sag.json.

    In the paper style only the figures are written, beside the dark ones.

    Args:
        sag: The record.
        image: (H, W, 3) uint8 RGB, as the network got it.
        folder: The result folder, which exists.
        look: Style and formats.

    Raises:
        OSError: the folder cannot be written.
    """
    style = look.style
    masked = MaskedImages.of(sag, image, paper=style.is_paper)
    if not style.is_paper:
        draw_saliency_maps(sag, masked, folder)
        draw_grid(masked, folder / "gridimage.png")
        draw_roots(sag, masked, folder)
        (folder / "dnf.txt").write_text(dnf_text(sag), encoding="utf-8")
    draw_comparison(sag, masked, folder, style=style, formats=look.formats)
    draw_curves(sag, folder, style=style, formats=look.formats)
    draw_graph(
        sag,
        masked,
        folder=folder,
        style=style,
        hidden=look.hidden,
        formats=look.graph_formats,
        dag_formats=look.formats,
    )
    if not style.is_paper:
        write_page(sag, masked, folder / "sag.html")


def dnf_text(sag: Sag) -> str:
    """Return dnf.txt: what the formula is about, the formula, each conjunction's confidence."""
    lines = [
        f"{sag.category.name}: probability {sag.probability:.4f} on the full image, "
        f"{sag.baseline.probability:.4f} on the {sag.baseline.name} baseline",
        f"search: {sag.search.method}, stopped by {sag.search.stopped_by}",
        "",
    ]
    if sag.roots:
        lines += [sag.dnf, ""]
    else:
        lines.append(f"no MSE: {why_no_root(sag)}")
    for root in sag.roots:
        remark = "" if root.minimal == "subset" else "  (only 1-minimal)"
        patches = conjunction(root.patches, sag.region_names)
        lines.append(f"{percent(root.relative):>6}  {patches}{remark}")
    return "\n".join([*lines, ""])
