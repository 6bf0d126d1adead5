"""The picture of a deliberative explanation, from its record and the image; the network is not asked.

    draw_insecurities(record, image, folder / "insecurities.png")           # or .svg, .pdf; style=paper() for print

The image with its most probable classes, then each insecurity: its region, the two classes, and how p_a, p_b and the difficulty s change
when the region is removed (bar), from what they were (tick), and when as large a region is removed elsewhere (dot).
"""

from pathlib import Path

import cv2
import numpy as np
import torch

from drawing.canvas import Canvas
from companions.deliberative.insecurities import region_of
from drawing.masked_images import DIM
from drawing.styles import DARK, Style
from drawing.text import text_width

ABREAST = 4  # panels in a row, the image among them; a column of a page has two
SIDE = 172  # of a panel's picture in the dark style, points
GAP = 12


def spotlit(image: np.ndarray, region: np.ndarray, style: Style) -> np.ndarray:
    """The image (H, W, 3) within the region, outlined, and the rest faintly."""
    grey = image.mean(2, keepdims=True)
    faint = 255 - DIM * (255 - grey) if style.name == "paper" else DIM * grey
    out = np.where(region[..., None], image, faint).astype(np.uint8)
    contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(
        out,
        contours,
        -1,
        (0, 0, 0) if style.name == "paper" else (255, 255, 255),
        max(1, image.shape[1] // 150),
    )


def draw_insecurities(record: dict, image: np.ndarray, path: Path, style: Style = DARK) -> None:
    """Draw an image's insecurities. image: (H, W, 3) uint8, as the network got it. Raises OSError where it cannot be written."""
    found, size = record["insecurities"], style.small
    abreast = min(2 if style.width else ABREAST, 1 + max(1, len(found)))
    gap = GAP / 2 if style.width else GAP
    side = (style.width - gap) / abreast - gap if style.width else SIDE
    tall = side * image.shape[0] / image.shape[1]
    row, rows = tall + 11 * size + gap, -(-(1 + len(found)) // abreast)
    note = notes(record)
    canvas = Canvas(
        abreast * (side + gap) + gap,
        rows * row + gap + 1.5 * size * len(note),
        style,
        path.suffix != ".png",
    )
    for n in range(1 + len(found)):
        left, top = (
            gap + n % abreast * (side + gap),
            (rows - n // abreast) * row + 1.5 * size * len(note),
        )
        shown = image
        if n:
            _, region = region_of(
                torch.tensor(found[n - 1]["map"]), image.shape[:2], record["settings"]["share"]
            )
            shown = spotlit(image, region.numpy(), style)
        canvas.image(shown, left, top - tall, side, tall, f"panel-{n}")
        if n:
            lines_of_insecurity(canvas, found[n - 1], n, left, top - tall, side)
        else:
            lines_of_image(canvas, record, left, top - tall, side)
    for n, line in enumerate(note):
        fitting(
            canvas,
            line,
            gap,
            gap / 2 + 1.5 * size * (len(note) - 1 - n),
            abreast * (side + gap) - gap,
            style.muted,
            va="bottom",
        )
    canvas.save(path)


def notes(record: dict) -> list[str]:
    """What the signs mean, and what was taken."""
    if not record["insecurities"]:
        return ["No place has evidence for two of the most probable classes."]
    how = f"difficulty: {record['difficulty']['name']}; attribution: {record['settings']['attribution']}"
    return [
        "Bar: with the region removed; tick: before; dot: as much removed elsewhere",
        f"({record['settings']['baseline']}). s is the {how}.",
    ]


def fitting(
    canvas: Canvas, line: str, x: float, y: float, width: float, colour: str, **look
) -> None:
    """A line of text, shrunk to fit this width."""
    size = canvas.style.small
    canvas.text(x, y, line, size * min(1, width / max(1, text_width(line, size))), colour, **look)


def lines_of_image(canvas: Canvas, record: dict, left: float, top: float, side: float) -> None:
    """The most probable classes, and the difficulty."""
    size, style = canvas.style.small, canvas.style
    for n, c in enumerate(
        [
            *record["classes"],
            {"name": f"s ({record['difficulty']['name']})", "probability": record["s"]},
        ]
    ):
        y = top - 1.5 * size * n - 0.5 * size
        colour = style.removed if n == len(record["classes"]) else style.ink
        canvas.text(left + side, y, f"{c['probability']:.3f}", size, colour, ha="right", va="top")
        fitting(canvas, c["name"], left, y, side - 3.5 * size, colour, va="top")


def lines_of_insecurity(
    canvas: Canvas, insecurity: dict, number: int, left: float, top: float, side: float
) -> None:
    """The two classes, the strength, and three bars: p_a, p_b and s with the region removed."""
    size, style = canvas.style.small, canvas.style
    (a, b), y = insecurity["classes"], top - 0.5 * size
    fitting(canvas, f"{number}   a  {a['name']}", left, y, side, style.root, va="top")
    fitting(canvas, f"{number}   b  {b['name']}", left, y - 1.5 * size, side, style.root, va="top")
    fitting(
        canvas,
        f"strength {insecurity['strength']:.2g}",
        left,
        y - 3 * size,
        side,
        style.muted,
        va="top",
    )
    for n, (key, name) in enumerate((("p_a", "a"), ("p_b", "b"), ("s", "s"))):
        before, after, y = (
            insecurity["before"][key],
            insecurity["without"][key],
            top - (5.9 + 1.6 * n) * size,
        )
        start, long = left + 1.5 * size, side - 10.5 * size
        canvas.text(left, y + 0.35 * size, name, size, style.ink, va="center")
        canvas.box(start, y, long, 0.7 * size, f"track-{number}-{key}", color=style.track, lw=0)
        canvas.box(
            start,
            y,
            long * after,
            0.7 * size,
            f"bar-{number}-{key}",
            color=style.removed if key == "s" else style.bar,
            lw=0,
            zorder=3,
        )
        canvas.axes.plot(
            [start + long * before] * 2,
            [y - 0.2 * size, y + 0.9 * size],
            color=style.ink,
            lw=1.2,
            zorder=4,
        )
        if insecurity["moved"]:
            canvas.axes.plot(
                [start + long * insecurity["moved"][key]],
                [y + 0.35 * size],
                "o",
                color=style.root,
                ms=size / 3,
                zorder=5,
            )
        canvas.text(
            left + side,
            y + 0.35 * size,
            f"{before:.3f} → {after:.3f}",
            size,
            style.ink,
            ha="right",
            va="center",
        )
