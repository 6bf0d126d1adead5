"""The roots (MSEs) of a record as images: one by one, beside each other, and as an animation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from drawing.masked_images import MaskedImages
from drawing.png import save_png
from drawing.record import Sag
from drawing.text import font
from drawing.words import joined, percent
from utils import written_beside

CARDS_IN_ROW = 5  # of roots.png
CAPTION_HEIGHT = 24  # pixels
CAPTION_SIZE = 14  # pixels; long captions shrink
CARD_GAP = 4  # pixels
FRAME_MILLISECONDS = 900


def draw_roots(sag: Sag, masked: MaskedImages, folder: Path) -> None:
    """Write roots/<rank>_<patches>.png, dnf_gif.gif and roots.png.

    The files in roots/ are the images as the network saw them; the animation shows them in turn,
    and roots.png beside each other.
    """
    (folder / "roots").mkdir(exist_ok=True)
    for rank, root in enumerate(sag.roots, 1):
        name = f"{rank}_{joined(root.patches)}.png"
        save_png(masked(root.patches), folder / "roots" / name)
    cards = root_cards(sag, masked)
    save_animation(cards, folder / "dnf_gif.gif")
    save_sheet(cards, folder / "roots.png")


def save_sheet(cards: Sequence[Image.Image], path: Path) -> None:
    """Write cards of one size beside each other, in rows."""
    starts = range(0, len(cards), CARDS_IN_ROW)
    rows = [side_by_side(cards[i : i + CARDS_IN_ROW]) for i in starts]
    save_png(np.asarray(stacked(rows)), path)


def root_cards(sag: Sag, masked: MaskedImages) -> list[Image.Image]:
    """Return each root as the network saw it, captioned with its rank and confidence.

    Where there is no root, one card says so.
    """
    if not sag.roots:
        return [captioned(masked(()), "no MSE")]
    cards = []
    for rank, root in enumerate(sag.roots, 1):
        caption = f"{rank} of {len(sag.roots)}:  {percent(root.relative)}"
        cards.append(captioned(masked(root.patches), caption))
    return cards


def captioned(pixels: np.ndarray, caption: str) -> Image.Image:
    """Return an image with a line of text below it, on black."""
    height, width = pixels.shape[:2]
    card = Image.new("RGB", (width, height + CAPTION_HEIGHT), "black")
    card.paste(Image.fromarray(pixels))
    length = font(CAPTION_SIZE).getlength(caption)
    size = CAPTION_SIZE * min(1, (width - 4) / max(1, length))
    middle = (width / 2, height + CAPTION_HEIGHT / 2)
    ImageDraw.Draw(card).text(middle, caption, fill="white", font=font(size), anchor="mm")
    return card


def side_by_side(cards: Sequence[Image.Image]) -> Image.Image:
    """Return images of one height in a row, on black."""
    width = sum(card.width for card in cards) + CARD_GAP * (len(cards) - 1)
    row = Image.new("RGB", (width, cards[0].height), "black")
    left = 0
    for card in cards:
        row.paste(card, (left, 0))
        left += card.width + CARD_GAP
    return row


def stacked(rows: Sequence[Image.Image]) -> Image.Image:
    """Return images below each other, on black; the first one is the widest."""
    sheet = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "black")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def save_animation(frames: Sequence[Image.Image], path: Path) -> None:
    """Write images as an animated GIF that repeats."""
    with written_beside(path) as new:
        frames[0].save(
            new,
            save_all=True,
            append_images=frames[1:],
            duration=FRAME_MILLISECONDS,
            loop=0,
        )
