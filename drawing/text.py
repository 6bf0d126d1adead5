"""Measuring and wrapping text of figures, in the font that matplotlib ships."""

import functools
from pathlib import Path

import matplotlib
from PIL import ImageFont

FONT = "DejaVu Sans"  # ships with matplotlib
FAMILY = [FONT, "sans-serif"]  # the second for viewers of an SVG who do not have the first


@functools.cache
def font(size: float, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the font for Pillow; size in pixels, at least 6."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(matplotlib.get_data_path()) / "fonts/ttf" / name
    return ImageFont.truetype(str(path), max(6, size))


def text_width(text: str, size: float) -> float:
    """Return the width of a line of text, in the unit of its size."""
    return font(100).getlength(text) * size / 100


def shrunk(text: str, size: float, width: float) -> float:
    """Return the largest size, up to the given one, at which a line fits the width."""
    return size * min(1, width / max(1, text_width(text, size)))


def wrapped(text: str, size: float, width: float) -> list[str]:
    """Break text into lines that are no wider than width; a word that is longer is cut."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        *cut, rest = _pieces(word, size, width)
        longer = f"{line} {rest}".strip()
        if cut or (line and text_width(longer, size) > width):
            lines += [line, *cut]
            line = rest
        else:
            line = longer
    lines.append(line)
    return [line for line in lines if line] or [""]


def _pieces(word: str, size: float, width: float) -> list[str]:
    """Cut a word into pieces that fit the width, of one character at least."""
    pieces = []
    while len(word) > 1 and text_width(word, size) > width:
        end = len(word) - 1
        while end > 1 and text_width(word[:end], size) > width:
            end -= 1
        pieces.append(word[:end])
        word = word[end:]
    return [*pieces, word]
