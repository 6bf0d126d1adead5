"""Figures are drawn in processes of their own, so that the network does not wait for them.

    pool = DrawingPool(workers=1, pictures="all")
    pool.submit(job, sags, image, folder)
    for drawn in pool.finished(all_of_them=True):
        print(drawn.key, drawn.answer.error)
    pool.close()

The records are written aside before their figures are drawn (running/results.py). When a process
dies, the figures of one image are missing, and the next run draws them from its record.

multiprocessing would have every process import the command, and PyTorch with it: a gigabyte and
four seconds each, for processes that only draw. So they are plain ones (drawing_process.py).
"""

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drawing.record import Sag, encode_sag
from drawing.styles import Pictures
from running.drawing_process import Drawing, DrawingAnswer
from running.failures import why
from utils import PROJECT

QUEUE = 4  # images that wait for each process; then the run waits for the figures
MOST_WORKERS = 8
START = (
    "import sys; sys.path.insert(0, {project!r}); from running.drawing_process import main; main()"
)
DIED = "the process that drew its figures died; run again for them"


@dataclass(frozen=True)
class Drawn:
    """An image that was submitted, and what became of it."""

    key: Any
    answer: DrawingAnswer


class DrawingPool:
    """Processes that draw; see the module's docstring.

    Attributes:
        processes: those that were started, by the thread that talks to them.

    Args:
        workers: number of processes.
        pictures: which pictures are drawn.
    """

    def __init__(self, workers: int, pictures: Pictures):
        self.pictures = pictures
        self.most_waiting = workers * (1 + QUEUE)
        self.processes: dict[int, subprocess.Popen] = {}
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="drawing")
        self._keys: dict[Future[DrawingAnswer], Hashable] = {}

    def submit(self, key: Hashable, sags: Sequence[Sag], image: np.ndarray, folder: Path) -> None:
        """Draw an image's records, which are kept aside; wait while too many wait already."""
        records = [encode_sag(sag) for sag in sags]
        drawing = Drawing(records, image, folder.resolve(), self.pictures)
        waiting = self._unfinished()
        while len(waiting) >= self.most_waiting:
            wait(waiting, return_when=FIRST_COMPLETED)
            waiting = self._unfinished()
        self._keys[self._threads.submit(self._draw, drawing)] = key

    def finished(self, *, all_of_them: bool = False) -> Iterator[Drawn]:
        """Yield the images that are drawn; all_of_them: wait for those that are not."""
        while self._keys:
            if all_of_them:
                wait(self._keys, return_when=FIRST_COMPLETED)
            done = [future for future in self._keys if future.done()]
            if not done:
                return
            for future in done:
                yield Drawn(self._keys.pop(future), future.result())

    def close(self) -> None:
        """End the processes, also those that draw; what is not drawn yet, the next run draws."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in list(self.processes.values()):
            process.kill()
        self._threads.shutdown(wait=True)
        for process in self.processes.values():  # one may have been started meanwhile
            process.kill()
            process.wait()

    def _unfinished(self) -> list[Future[DrawingAnswer]]:
        return [future for future in self._keys if not future.done()]

    def _draw(self, drawing: Drawing) -> DrawingAnswer:
        """Have this thread's process draw; a dead one is replaced the next time."""
        try:
            process = self._process()
        except OSError as error:  # no memory for another process, for example
            return DrawingAnswer(error=why(error))
        assert process.stdin and process.stdout
        try:
            pickle.dump(drawing, process.stdin)
            process.stdin.flush()
            return pickle.load(process.stdout)
        except Exception:  # whatever half an answer looks like
            process.kill()
            process.wait()
            return DrawingAnswer(error=DIED)

    def _process(self) -> subprocess.Popen:
        """Return this thread's process, started if there is none."""
        thread = threading.get_ident()
        process = self.processes.get(thread)
        if process is None or process.poll() is not None:
            process = subprocess.Popen(
                [sys.executable, "-c", START.format(project=str(PROJECT))],
                cwd=PROJECT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the process that started the run
            )
            self.processes[thread] = process
        return process


def number_of_workers(device: str) -> int:
    """Return how many processes draw: one beside a CPU's network, else as there are cores."""
    if device == "cpu":
        return 1
    return min(MOST_WORKERS, max(1, (os.cpu_count() or 2) - 1))
