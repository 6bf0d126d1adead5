"""Figures are drawn in processes of their own, so that the network does not wait for them.

    pool = DrawingPool(workers=1, pictures="all")
    pool.submit(job, sags, image, folder)
    for drawn in pool.finished(all_of_them=True):
        print(drawn.key, drawn.error)
    pool.close(at_once=False)

The records are written aside before their figures are drawn (running/results.py). When a process
dies, the figures of one image are missing, and the next run draws them from its record.
"""

import multiprocessing
import os
import signal
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pebble import ProcessExpired, ProcessPool

from drawing.record import Sag, Seconds, decode_sag, encode_sag
from drawing.styles import Pictures
from running.failures import why
from running.results import draw_kept

QUEUE = 4  # images that wait for each process; then the run waits for the figures
MOST_WORKERS = 8


@dataclass(frozen=True)
class Drawn:
    """An image whose figures are drawn.

    Attributes:
        key: as it was submitted.
        seconds: of each record's steps, with the time for drawing; empty where it failed.
        error: why it failed in one line, or None.
    """

    key: Any
    seconds: Sequence[Seconds] = ()
    error: str | None = None


class DrawingPool:
    """Processes that draw; see the module's docstring.

    Args:
        workers: number of processes.
        pictures: "all", "graph" or "none".
    """

    def __init__(self, workers: int, pictures: Pictures):
        self.pictures = pictures
        self.most_waiting = workers * (1 + QUEUE)
        self.pool = ProcessPool(
            max_workers=workers,
            initializer=_ignore_interrupts,
            context=multiprocessing.get_context("spawn"),
        )
        self.keys: dict[Any, Hashable] = {}  # by future

    def close(self, *, at_once: bool) -> None:
        """End the processes; at_once: without waiting for what they draw."""
        if at_once:
            self.pool.stop()
        else:
            self.pool.close()
        self.pool.join()

    def submit(self, key: Hashable, sags: Sequence[Sag], image: np.ndarray, folder: Path) -> None:
        """Draw an image's records, which are kept aside; wait while too many wait already."""
        while len(waiting := [one for one in self.keys if not one.done()]) >= self.most_waiting:
            wait(waiting, return_when=FIRST_COMPLETED)
        records = [encode_sag(sag) for sag in sags]
        arguments = [records, image, folder, self.pictures]
        self.keys[self.pool.schedule(_draw, args=arguments)] = key

    def finished(self, *, all_of_them: bool = False) -> Iterator[Drawn]:
        """Yield the images that are drawn; all_of_them: wait for those that are not."""
        while self.keys:
            if all_of_them:
                wait(self.keys, return_when=FIRST_COMPLETED)
            done = [future for future in self.keys if future.done()]
            if not done:
                return
            for future in done:
                yield self._drawn(self.keys.pop(future), future)

    @staticmethod
    def _drawn(key: Hashable, future: Any) -> Drawn:
        try:
            return Drawn(key, seconds=future.result())
        except ProcessExpired:
            return Drawn(
                key, error="the process that drew its figures died; run again to draw them"
            )
        except Exception as error:  # a full disk, for example
            return Drawn(key, error=why(error))


def number_of_workers(device: str) -> int:
    """Return how many processes draw: one beside a CPU's network, else as there are cores."""
    if device == "cpu":
        return 1
    return min(MOST_WORKERS, max(1, (os.cpu_count() or 2) - 1))


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the process that started the run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _draw(
    records: list[bytes], image: np.ndarray, folder: Path, pictures: Pictures
) -> list[Seconds]:
    """Draw an image's records, in a process of the pool."""
    sags = [decode_sag(record) for record in records]
    draw_kept(sags, image, folder, pictures)
    return [sag.seconds for sag in sags]
