"""Jobs on a process's standard input, answers on its standard output, both pickled.

    pipe = JobPipe()
    while True:
        pipe.answer(work(pipe.next_job()))

The process ends with its input, that is, with the process that started it, even while it works.
"""

import os
import pickle
import queue
import sys
import threading
from typing import Any


class JobPipe:
    """The two ends of a process that works for the one that started it."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # what a library or a network prints must not get among the answers
        self._jobs: queue.Queue[Any] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def next_job(self) -> Any:
        """Wait for a job and return it."""
        return self._jobs.get()

    def answer(self, value: Any) -> None:
        """Send the answer to a job."""
        pickle.dump(value, self._answers)
        self._answers.flush()

    def _read(self) -> None:
        """Queue what comes; end the process with its input."""
        try:
            while True:
                self._jobs.put(pickle.load(sys.stdin.buffer))
        finally:  # also where it ends within a job
            os._exit(0)
