"""The figures of what the class cannot do without: minimal breaking sets.

    draw_needed(sag, image, folder)     # SAG_needed_<n>roots.png, needed.png; n = sets drawn

They are the figures of the sufficient sets, drawn of the sets that are hidden: each image shows the
rest, with the hidden patches outlined in red.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from drawing.captions import SummaryLine, about_class, about_drawing, about_large
from drawing.graph_figure import Wording, draw_graph
from drawing.masked_images import MaskedImages, Removal
from drawing.record import Needed, Sag
from drawing.roots import captioned, save_sheet
from drawing.styles import DARK, Hidden, Style
from drawing.words import conjunction, needed_in_words, percent, why_nothing_needed
from scoring.hidden import rest_of

OUTLINE = 0.2  # of a hidden patch, as thick as for a removal that cost so much


class HiddenSets(MaskedImages):
    """Images in which the patches of a set are hidden and all others show."""

    has_contour = False  # the hidden ones are outlined

    def __call__(self, patches: Iterable[int], hidden: Hidden = "baseline") -> np.ndarray:
        """Return the image in which these patches are hidden, (H, W, 3) uint8."""
        return super().__call__(rest_of(set(patches), self.num_patches), hidden)

    def outlined(
        self, patches: Iterable[int], removed: Sequence[Removal], hidden: Hidden = "baseline"
    ) -> np.ndarray:
        """Return the image with these patches hidden and outlined in red."""
        lines = [Removal(patch, OUTLINE) for patch in patches]
        return super().outlined(patches, lines, hidden)


def draw_needed(
    sag: Sag,
    image: np.ndarray,
    folder: Path,
    *,
    style: Style = DARK,
    hidden: Hidden = "dim",
    formats: Sequence[str] = ("png",),
    with_cards: bool = True,
) -> None:
    """Draw the graph of the breaking sets and, beside each other, what each leaves.

    Args:
        sag: A record with breaking sets.
        image: (H, W, 3) uint8 RGB, as the network got it.
        folder: Where to write.
        style: Colours, measures and limits.
        hidden: How the hidden patches show.
        formats: Of the graph.
        with_cards: Whether to write needed.png.
    """
    if not sag.needed:
        return
    masked = HiddenSets.of(sag, image, paper=style.is_paper)
    draw_graph(
        of_hidden_sets(sag, sag.needed),
        masked,
        folder,
        style=replace(style, frame=style.removed, sign="+"),
        hidden=hidden,
        formats=formats,
        only_final=True,
        wording=Wording("SAG_needed", called="breaking set", caption=_caption, summary=_summary),
    )
    if with_cards:
        draw_cards(sag, sag.needed, masked, folder / "needed.png")


def of_hidden_sets(sag: Sag, needed: Needed) -> Sag:
    """Return the record with its breaking sets in the place of the sufficient ones."""
    return msgspec.structs.replace(
        sag,
        search=needed.search,
        roots=needed.roots,
        diverse_roots=needed.diverse_roots,
        diverse_set=needed.diverse_set,
        sag=needed.sag,
    )


def draw_cards(sag: Sag, needed: Needed, masked: HiddenSets, path: Path) -> None:
    """Draw beside each other what each breaking set leaves, as the network saw it."""
    cards: list[Image.Image] = []
    for root in needed.roots:
        caption = f"without {conjunction(root.patches, sag.region_names)}: {percent(root.relative)}"
        cards.append(captioned(masked(root.patches), caption))
    if not cards:
        cards = [captioned(masked(()), "no breaking set")]
    save_sheet(cards, path)


def _caption(sag: Sag, drawn: Sequence[int], hidden: Hidden) -> list[str]:
    """Return what the figure shows and what it leaves out, in sentences."""
    if not sag.roots:
        return [f"No breaking set: {why_nothing_needed(sag.search)}."]
    patches = "regions" if sag.regions else "patches"
    return [
        f"Confidence in % of that on the full image with the outlined {patches} hidden.",
        f"Framed: minimal breaking set, which leaves at most {percent(sag.threshold)}.",
        "Each step down shows one again.",
        *about_large(sag, "breaking set"),
        *about_drawing(sag, drawn, hidden),
    ]


def _summary(sag: Sag) -> list[SummaryLine]:
    """Return the lines beside the original: the class, and what it cannot do without."""
    lines = about_class(sag, "breaking set")
    return [*lines, SummaryLine(needed_in_words(sag))] if sag.roots else lines
