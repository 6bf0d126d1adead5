"""The demo over several seeds: each has a world and networks of its own.

    run_seeds(halves, Path("Results/debug"), seeds=5)

Seed 0 lies in the results themselves, the others in seed_1, seed_2, .. below, so that a run with
more seeds goes on with what is there. A seed runs the halves of the loop one after the other: the
classifier (demo.py) and the captioner (companions/captions/demo.py).
"""

from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Protocol

from companions.concepts.demo import Steps
from utils import log

MINUTE = 60  # seconds
# On a machine shared with other work, a seed took 1.8 times as long as the one before it.
MARGIN = 1.5  # a range from one seed is wider by 1 + this, on both sides; from n, by 1 + this / n


class Half(Protocol):
    """One half of the loop."""

    def steps(self) -> int:
        """Return how many steps a seed has."""

    def is_begun(self, folder: Path) -> bool:
        """Return whether an earlier run has left something in a seed's folder."""

    def is_done(self, folder: Path) -> bool:
        """Return whether a seed's folder has the results."""

    def run(self, seed: int, folder: Path, steps: Steps) -> int:
        """Run a seed; return the exit status of the first command that fails, else 0."""

    def write_spread(self, folders: Sequence[Path], results: Path) -> None:
        """Write mean and spread over the seeds in some folders."""


def run_seeds(halves: Sequence[Half], results: Path, *, seeds: int) -> int:
    """Run the demo with seeds 0, 1, .., and end with before and after of each half.

    Args:
        halves: of the loop, in their order.
        results: folder of everything.
        seeds: how many.

    Returns:
        The exit status of the first command that fails, else 0.
    """
    folders = [folder_of(results, seed) for seed in range(seeds)]
    seconds: list[list[float]] = [[] for _ in halves]
    steps = Steps(total=seeds * sum(half.steps() for half in halves))
    for seed, folder in enumerate(folders):
        for half, taken in zip(halves, seconds, strict=True):
            is_new = not half.is_begun(folder)
            start = monotonic()
            status = half.run(seed, folder, steps)
            if status:
                return status
            if is_new:  # what an earlier run left says nothing about the pace
                taken.append(monotonic() - start)
        rest = folders[seed + 1 :]
        left = [sum(not half.is_done(folder) for folder in rest) for half in halves]
        line = pace(seconds, left, done=f"{seed + 1} of {seeds}")
        if line:
            log(line)
    for half in halves:
        half.write_spread(folders, results)
    return 0


def folder_of(results: Path, seed: int) -> Path:
    """Return the results folder of a seed."""
    return results / f"seed_{seed}" if seed else results


def pace(seconds: Sequence[Sequence[float]], left: Sequence[int], *, done: str) -> str | None:
    """Return a line that says how long the rest takes; None where nothing is left or known.

    Its range is from the fastest to the slowest seed so far, with a margin that shrinks as more
    seeds are known.

    Args:
        seconds: of each half, what each seed of this run took.
        left: of each half, how many seeds are still to be done.
        done: how many seeds are done, in words.
    """
    low = 0.0
    high = 0.0
    for taken, count in zip(seconds, left, strict=True):
        if count and not taken:
            return None
        if count:
            margin = 1 + MARGIN / len(taken)
            low += count * min(taken) / margin
            high += count * max(taken) * margin
    if not high:
        return None
    span = f"{low / MINUTE:.0f} to {high / MINUTE:.0f} min"
    return f"{done} seeds are done; at this pace {span} are left"
