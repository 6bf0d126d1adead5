"""What becomes of an image: its records, and its line in the log and rows in the summary."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from drawing.record import Sag
from drawing.words import why_no_root
from running.progress import Follower
from running.results import FileStamp, Job, category_folder, note_of
from running.summary import Row, failed_row, summary_row
from scoring.requests import Steps


@dataclass(frozen=True)
class Explained:
    """The records of one image.

    Attributes:
        stamp: of the image's file, taken before it was read.
        sags: its records, the most probable class first.
        image: (H, W, 3) uint8, as the network saw it; None where everything was there already.
        is_new: whether this run made the records, rather than an earlier one.
    """

    stamp: FileStamp | None
    sags: Sequence[Sag]
    image: np.ndarray | None
    is_new: bool = True


Loaded = TypeVar("Loaded")
# The steps of an image, from a function that waits until it is loaded.
Explain = Callable[[Job, Callable[[], Loaded], Follower], Steps[Explained]]


@dataclass(frozen=True)
class Outcome:
    """What became of an image.

    Attributes:
        name: of the image.
        rows: of the summary; one with an error where it failed.
        line: for the log.
        note: for finished.jsonl.
    """

    name: str
    rows: list[Row]
    line: str
    note: dict[str, Any] | None = None


Outcomes = Generator[Outcome, None, None]


def outcome_of(job: Job, explained: Explained, results: Path) -> Outcome:
    """Return the outcome of an image whose records are in its folder.

    Args:
        job: the image.
        explained: its records.
        results: the results folder.
    """
    sags = explained.sags
    if explained.is_new:
        line = "; ".join(log_line(sag) for sag in sags)
    else:
        line = "there already" if explained.image is None else "drawn from its record"
    rows = [
        summary_row(sag, category_folder(job.folder, place, sag.category.index), results)
        for place, sag in enumerate(sags)
    ]
    return Outcome(
        name=job.name,
        rows=rows,
        line=line,
        note=note_of(job, explained.stamp, sags=sags, rows=rows),
    )


def failed(job: Job, reason: str) -> Outcome:
    """Return the outcome of an image that cannot be explained."""
    reason = " ".join(reason.split())
    return Outcome(job.name, [failed_row(job.name, reason)], f"failed: {reason}")


def log_line(sag: Sag) -> str:
    """Return one line about a record."""
    sizes = sorted(len(root.patches) for root in sag.roots)
    span = f" of {sizes[0]} to {sizes[-1]} patches" if sizes else ""
    if sag.search.stopped_by == "baseline_sufficient":
        return f"{sag.title} {sag.probability:.3f}: no MSE, {why_no_root(sag)}"
    return (
        f"{sag.title} {sag.probability:.3f}: {len(sizes)} MSEs{span}, "
        f"{len(sag.diverse_set)} diverse ({sag.search.stopped_by}), "
        f"{sag.evaluations.asked} asked, {sag.evaluations.scored} scored, "
        f"{sag.seconds.total:.1f} s"
    )
