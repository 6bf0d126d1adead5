"""All images of a run: one after another, several at once, or on the workers of a Ray cluster.

A command passes the function that explains one image; see Explain. Errors are recorded in the
image's summary row; the run continues.
"""

import csv
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from drawing.page import write_gallery
from drawing.record import Sag
from running.each_image import log_interrupted
from running.failures import report_failures, why
from running.gallery import open_gallery
from running.results import (
    FileStamp,
    Job,
    category_folder,
    note_finished,
    note_of,
    save_all,
)
from running.summary import Row, failed_row, summary_row, write_summary
from scoring.engine import CannotCompile, Engine
from scoring.shared_batches import in_turn
from utils import log, one_line

COMPILE_GAIN = 0.25  # share of a search's time that compiling saves on a CPU
COMPILE_SECONDS = 30  # what compiling costs


@dataclass(frozen=True)
class Explained:
    """The records of one image.

    Attributes:
        stamp: of the image's file, taken before it was read.
        sags: its records, the most probable class first.
        image: (H, W, 3) uint8, as the network saw it; None where the records existed already.
    """

    stamp: FileStamp | None
    sags: Sequence[Sag]
    image: np.ndarray | None


Explain = Callable[[Job, tqdm], Explained]


@dataclass(frozen=True)
class Outcome:
    """What became of an image.

    Attributes:
        name: of the image.
        rows: of the summary; one with an error where it failed.
        line: for the log.
        search_seconds: of a new search.
        note: for finished.jsonl.
    """

    name: str
    rows: list[Row]
    line: str
    search_seconds: float = 0.0
    note: dict[str, Any] | None = None


Outcomes = Generator[Outcome, None, None]


def collect(outcomes: Outcomes, results: Path, rows: list[Row], bar: tqdm) -> bool:
    """Log each image as it finishes, note it, and add its rows to the summary's.

    Returns:
        Whether the user interrupted.
    """
    try:
        for outcome in outcomes:
            log(f"{outcome.name}: {outcome.line}")
            rows.extend(outcome.rows)
            if outcome.note:
                note_finished(results, outcome.note)
            bar.update()
    except KeyboardInterrupt:
        outcomes.close()
        return True
    return False


# ---------------------------------------------------------------- in this process


def in_this_process(
    jobs: Sequence[Job], explain: Explain, *, engine: Engine, results: Path, at_once: int
) -> Outcomes:
    """Explain all images, in order.

    Args:
        jobs: the images.
        explain: explains one of them.
        engine: compiled once enough work is left.
        results: the results folder.
        at_once: number of images worked on at the same time.
    """
    pace = Pace(engine)
    with tqdm(unit=" sets", position=1, leave=False, mininterval=0.3) as progress:

        def explain_together(job: Job) -> Explained:
            with engine.part():
                return explain(job, progress)

        turns = in_turn(explain_together, jobs, at_once)
        try:
            for done, (job, result) in enumerate(turns, 1):
                progress.reset()
                outcome = finish(job, result, results=results, progress=progress)
                yield outcome
                pace.note(outcome)
                pace.compile_if_it_pays(len(jobs) - done)
        finally:
            engine.close()
            turns.close()


class Pace:
    """How long searches take, and whether compiling the network would pay."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.search_seconds: list[float] = []

    def note(self, outcome: Outcome) -> None:
        """Note how long an image's search took."""
        if outcome.search_seconds:
            self.search_seconds.append(outcome.search_seconds)

    def compile_if_it_pays(self, images_left: int) -> None:
        """Compile the network once the searches that are left would take long enough."""
        if self.engine.compiled or not self.engine.worth_compiling or not self.search_seconds:
            return
        mean = sum(self.search_seconds) / len(self.search_seconds)
        if mean * images_left * COMPILE_GAIN < COMPILE_SECONDS:
            return
        start = time.monotonic()
        try:
            self.engine.compile()
        except CannotCompile as error:
            log(f"not compiled, going on without ({error})")
            return
        seconds = time.monotonic() - start
        log(f"compiled the network in {seconds:.0f} s, as {images_left} images are left")


# ---------------------------------------------------------------- on a Ray cluster


def on_ray(
    jobs: Sequence[Job],
    set_up: str,
    arguments: tuple,
    *,
    address: str,
    device: str,
    at_once: int,
) -> Outcomes:
    """Explain all images, in the order in which a Ray cluster's workers finish them.

    Args:
        jobs: the images.
        set_up: MODULE:FUNCTION that prepares a worker; see running/ray_workers.py.
        arguments: for that function.
        address: "local", "auto" or HOST:PORT.
        device: of the workers.
        at_once: number of images that a worker with a GPU works on at the same time.
    """
    if not jobs:
        return
    from running.ray_workers import run_jobs  # so that other runs do not need Ray

    finished_jobs = run_jobs(
        jobs, set_up, arguments, address=address, device=device, at_once=at_once
    )
    for finished in finished_jobs:
        if finished.error is None:
            yield finished.value
        else:
            yield failed(finished.job, finished.error)


def one_by_one(explain: Explain, *, engine: Engine, results: Path) -> Callable[[Job, int], Outcome]:
    """Return what a worker does for each image.

    On a GPU it is called from several threads. Its second argument is the number of further images
    that the worker may expect.
    """
    drawing = threading.Lock()
    pace = Pace(engine)
    silent = tqdm(disable=True)

    def work(job: Job, jobs_left: int) -> Outcome:
        def result() -> Explained:
            with engine.part():
                return explain(job, silent)

        outcome = finish(job, result, results=results, progress=silent, drawing=drawing)
        pace.note(outcome)
        pace.compile_if_it_pays(jobs_left)
        return outcome

    return work


# ---------------------------------------------------------------- one image


def finish(
    job: Job,
    result: Callable[[], Explained],
    *,
    results: Path,
    progress: tqdm,
    drawing: AbstractContextManager | None = None,
) -> Outcome:
    """Wait for an image's records, draw and write them.

    Args:
        job: the image.
        result: waits for its records and returns them, or raises what went wrong.
        results: the results folder.
        progress: shows the step.
        drawing: held while drawing, where several threads come here.
    """
    try:
        explained = result()
        if explained.image is not None:
            progress.set_description_str("drawing")
            with drawing or nullcontext():
                save_all(explained.sags, explained.image, job.folder)
        return _outcome(job, explained, results)
    except Exception as error:  # whatever it was, it is recorded and the run continues
        return failed(job, why(error))


def _outcome(job: Job, explained: Explained, results: Path) -> Outcome:
    sags = explained.sags
    is_new = explained.image is not None
    rows = [
        summary_row(sag, category_folder(job.folder, place, sag.category.index), results)
        for place, sag in enumerate(sags)
    ]
    return Outcome(
        name=job.name,
        rows=rows,
        line="; ".join(log_line(sag) for sag in sags) if is_new else "there already",
        search_seconds=sum(sag.seconds.search for sag in sags) if is_new else 0.0,
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
    return (
        f"{sag.category.name} {sag.probability:.3f}: {len(sizes)} MSEs{span}, "
        f"{len(sag.diverse_set)} diverse ({sag.search.stopped_by}), "
        f"{sag.evaluations.asked} asked, {sag.evaluations.scored} scored, "
        f"{sag.seconds.total:.1f} s"
    )


# ---------------------------------------------------------------- the end of a run


def finish_run(rows: list[Row], results: Path, *, was_interrupted: bool, show_gallery: bool) -> int:
    """Write summary and gallery, log what failed, and return the exit status.

    Args:
        rows: of the summary.
        results: the results folder.
        was_interrupted: whether the user interrupted the run.
        show_gallery: whether to open the gallery in the browser.
    """
    failures = [(row["image"], row["error"]) for row in rows if row["error"]]
    records = len(rows) - len(failures)
    try:
        write_summary(results, rows)
        write_gallery(results)
        if show_gallery:
            open_gallery(results / "index.html")
    except (OSError, ValueError, csv.Error) as error:
        failures.append((f"{results}: summary.csv or index.html", one_line(error)))
    status = report_failures(failures)
    if was_interrupted:
        log_interrupted(results)
        return 130
    log(f"{records} records in {results}, {len(failures)} failed")
    return status
