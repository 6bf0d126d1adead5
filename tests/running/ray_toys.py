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
from pathlib import Path

SLOW_SECONDS = 8


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
        time.sleep(SLOW_SECONDS if job.startswith("slow") else 0.05)
        return job, device

    return do


def set_up_fails(device: str) -> None:
    """Raise an error, as a set-up function does that cannot load the user's model."""
    raise ValueError("no such model")
