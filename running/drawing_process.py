"""A process that draws results: jobs on its standard input, answers on its standard output.

Started by running/drawing_pool.py, which sends a Drawing and is sent a DrawingAnswer, both pickled.
The process ends with its input, that is, with the process that started it, even while it draws: it
must not write beside the next run. It does not import PyTorch.
"""

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drawing.record import Seconds, decode_sag
from drawing.styles import Pictures
from running.failures import why
from running.job_pipe import JobPipe
from running.results import draw_kept


@dataclass(frozen=True)
class Drawing:
    """Records of one image that are to be drawn.

    Attributes:
        records: encoded, the most probable class first; kept aside in the folder.
        image: (H, W, 3) uint8 RGB, as the network saw it.
        folder: of the image.
        pictures: which pictures are drawn.
    """

    records: Sequence[bytes]
    image: np.ndarray
    folder: Path
    pictures: Pictures


@dataclass(frozen=True)
class DrawingAnswer:
    """What became of a drawing.

    Attributes:
        seconds: of each record's steps, with the time for drawing; empty where it failed.
        error: why it failed in one line, or None.
    """

    seconds: Sequence[Seconds] = ()
    error: str | None = None


def draw(drawing: Drawing) -> DrawingAnswer:
    """Draw the records of one image."""
    try:
        sags = [decode_sag(record) for record in drawing.records]
        draw_kept(sags, drawing.image, drawing.folder, drawing.pictures)
    except Exception as error:  # a full disk, for example
        return DrawingAnswer(error=why(error))
    return DrawingAnswer([sag.seconds for sag in sags])


def main() -> None:
    """Draw what comes until the input ends."""
    pipe = JobPipe()
    gc.freeze()  # what was imported is not looked at by every collection
    while True:
        pipe.answer(draw(pipe.next_job()))
