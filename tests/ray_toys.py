"""Small things for the workers of a Ray cluster to do, some of them fatal."""

import os
import signal
import time
from pathlib import Path


def set_up(device: str, folder: str):
    """Each job leaves a file per attempt; its name says what it does: quick.., slow.., sick.. (dies once), deadly.., fails.."""

    def do(job: str, left: int) -> tuple[str, str]:
        attempts = Path(folder) / f"{job}.attempts"
        with open(attempts, "a") as file:
            file.write(".")
        if job.startswith("deadly") or job.startswith("sick") and attempts.stat().st_size == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if job.startswith("fails"):
            raise ValueError(f"{job}\nfailed")
        time.sleep(8 if job.startswith("slow") else 0.05)
        return job, device

    return do


def unusable(device: str):
    """A set-up that cannot be."""
    raise ValueError("no such model")
