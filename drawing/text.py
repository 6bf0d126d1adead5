"""Measuring and wrapping text of figures, in the font that matplotlib ships."""

import functools
import unicodedata
from bisect import bisect_right
from pathlib import Path

import matplotlib
from PIL import ImageFont

FONT = "DejaVu Sans"  # ships with matplotlib
FAMILY = [FONT, "sans-serif"]  # the second for viewers of an SVG who do not have the first

MARK = "\ufffd"  # for a character that cannot be shown


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
    start = 0
    while start < len(word):
        length = _longest(word, start, size=size, width=width)
        pieces.append(word[start : start + length])
        start += length
    return pieces or [word]


def _longest(word: str, start: int, *, size: float, width: float) -> int:
    """Return how many characters of a word from here fit the width, 1 at least.

    Only about as many are measured as fit, so that a long word takes no longer than a long text.
    """
    left = len(word) - start
    most = 2
    while most < left and text_width(word[start : start + most], size) <= width:
        most *= 2
    counts = range(1, min(most, left) + 1)
    fitting = bisect_right(
        counts, width, key=lambda count: text_width(word[start : start + count], size)
    )
    return max(1, fitting)


def visible(text: str) -> str:
    """Return text with what no line of a figure can have, as a line break, shown as a mark."""
    if text.isprintable():
        return text
    return "".join(
        MARK if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") else character
        for character in text
    )
