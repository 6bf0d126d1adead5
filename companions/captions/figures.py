"""A figure of a caption: where the captioner looked at each word."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from companions.captions.captioning import CaptionRecord
from utils import written_beside

COLUMNS = 6
INCHES = 1.6  # side of a panel
COLOUR = "#d62728"
DIMMED = 0.35  # brightness of what is not looked at


def draw_caption(image: np.ndarray, record: CaptionRecord, path: Path) -> None:
    """Draw the image once per word: bright where the word's attention is, its best box framed.

    Args:
        image: (H, W, 3) uint8.
        record: of its caption.
        path: a .png file.
    """
    rows = -(-(len(record.words) + 1) // COLUMNS)
    size = (COLUMNS * INCHES, rows * (INCHES + 0.25) + 0.45)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    figure.suptitle(record.caption, fontsize=9)
    for panel in panels:
        panel.set_axis_off()
    panels[0].imshow(image)
    panels[0].set_title("image", fontsize=8, color="grey")
    for panel, word, attention in zip(panels[1:], record.words, record.attention, strict=False):
        best = record.nodes[int(np.argmax(attention))]
        panel.imshow(_lit(image, record, attention))
        x0, y0, x1, y1 = best.box
        panel.add_patch(
            Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=COLOUR, linewidth=1.5)
        )
        panel.set_title(f"{word}\n{best.role[:3]}. {best.name} {max(attention):.0%}", fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path) as new:
        figure.savefig(new)


def _lit(image: np.ndarray, record: CaptionRecord, attention: list[float]) -> np.ndarray:
    """Return the image, as bright at each pixel as the attention on the boxes around it."""
    light = np.zeros(image.shape[:2], np.float32)
    for node, weight in zip(record.nodes, attention, strict=True):
        x0, y0, x1, y1 = node.box
        light[y0 : y1 + 1, x0 : x1 + 1] += weight
    light = DIMMED + (1 - DIMMED) * np.minimum(light, 1)
    return (image * light[..., None]).astype(np.uint8)
