"""Set-up functions for the workers of a Ray cluster; what a job does follows from its name.

quick..    answers at once
slow..     takes eight seconds
fails..    raises an error
sick..     kills its worker at the first attempt
deadly..   kills every worker
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SLOW_SECONDS = 8
MEETING_SECONDS = 20


def set_up(device: str, folder: str) -> Callable[[str, int], tuple[str, str]]:
    """Return a function that does a job and adds a byte to folder/JOB.attempts each time."""

    def do(job: str, jobs_left: int) -> tuple[str, str]:
        attempts = Path(folder) / f"{job}.attempts"
        with open(attempts, "a") as file:
            file.write(".")
        is_first_attempt = attempts.stat().st_size == 1
        if job.startswith("deadly") or (job.startswith("sick") and is_first_attempt):
            os.kill(os.getpid(), signal.SIGKILL)
        if job.startswith("fails"):
            raise ValueError(f"{job}\nfailed")
        if job.startswith("meets"):
            wait_for_another(Path(folder))
        time.sleep(SLOW_SECONDS if job.startswith("slow") else 0.05)
        return job, device

    return do


def wait_for_another(folder: Path) -> None:
    """Return as soon as two jobs "meets.." have begun; raise TimeoutError where none else does."""
    end = time.monotonic() + MEETING_SECONDS
    while len(list(folder.glob("meets*"))) < 2:
        if time.monotonic() > end:
            raise TimeoutError("alone")
        time.sleep(0.05)


@dataclass(frozen=True)
class Words:
    """An argument of a type of this project, which a worker must import to read it."""

    greeting: str


def set_up_with_words(device: str, words: Words) -> Callable[[str, int], str]:
    """Return a function that greets a job."""
    return lambda job, jobs_left: f"{words.greeting} {job}"


def set_up_fails(device: str) -> None:
    """Raise an error, as a set-up function does that cannot load the user's model."""
    raise ValueError("no such model")
