"""All images of a run: one after another, several at once, or on the workers of a Ray cluster.

A command passes the function that explains one image; see Explain. Errors are recorded in the
image's summary row; the run continues.
"""

import csv
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from drawing.page import write_gallery
from drawing.record import Sag
from drawing.styles import Pictures
from running.drawing_pool import DrawingPool, Drawn
from running.each_image import log_interrupted
from running.failures import report_failures, why
from running.gallery import open_gallery
from running.progress import Follower, line_of
from running.results import (
    FileStamp,
    Job,
    category_folder,
    keep_all,
    note_finished,
    note_of,
    save_all,
)
from running.summary import Row, failed_row, summary_row, write_summary
from scoring.batching import Batching, Finished, Task
from scoring.compilation import CannotCompile
from scoring.devices import failed_for_good
from scoring.engine import Engine
from scoring.requests import Steps
from utils import UserError, log, one_line

COMPILE_GAIN = 0.25  # share of a search's time that compiling saves on a CPU
COMPILE_SECONDS = 30  # what compiling costs
LOST_DEVICE = 70  # exit status of a worker whose GPU has failed


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


def collect(outcomes: Outcomes, results: Path, rows: list[Row], bar: tqdm) -> bool:
    """Log each image as it finishes, note it, and add its rows to the summary's.

    Where the bar is not shown, each line tells how many images are finished and the time left.

    Returns:
        Whether the user interrupted.
    """
    start = time.monotonic()
    before = bar.n
    finished = 0
    try:
        for outcome in outcomes:
            finished += 1
            pace = (time.monotonic() - start) / finished
            log(f"{outcome.name}: {outcome.line}{_place(bar, before + finished, pace)}")
            rows.extend(outcome.rows)
            if outcome.note:
                note_finished(results, outcome.note)
            bar.update()
    except KeyboardInterrupt:
        outcomes.close()
        return True
    return False


def _place(bar: tqdm, finished: int, seconds: float) -> str:
    """Return how far the run is; nothing where the bar shows it.

    Args:
        bar: of the run.
        finished: number of images.
        seconds: per image.
    """
    if not bar.disable:
        return ""
    left = bar.total - finished
    return f" [{finished}/{bar.total}, {tqdm.format_interval(left * seconds)} left]"


# ---------------------------------------------------------------- in this process


@dataclass(frozen=True)
class RunPlan:
    """How the images of a run are worked on in one process.

    Attributes:
        results: the results folder.
        images_at_once: number of images whose searches share batches.
        drawing_workers: number of processes that draw; 0: this process does.
        pictures: which pictures are drawn.
    """

    results: Path
    images_at_once: int = 1
    drawing_workers: int = 0
    pictures: Pictures = "all"


def in_this_process(
    jobs: Sequence[Job],
    load: Callable[[Job], Loaded],
    explain: Explain[Loaded],
    *,
    engine: Engine,
    plan: RunPlan,
) -> Outcomes:
    """Explain all images and yield each as it is finished.

    Args:
        jobs: the images.
        load: reads an image; called ahead, in another thread.
        explain: the steps of one of them.
        engine: compiled once enough work is left.
        plan: how many at once, and how they are drawn.
    """
    followers: dict[Job, Follower] = {}
    pace = Pace(engine)
    left = len(jobs)
    with (
        tqdm(unit=" sets", position=1, leave=False, disable=None) as bar,
        _drawing(plan) as drawing,
    ):
        batching = Batching(engine, plan.images_at_once, on_batch=BatchBar(bar, followers))
        for finished in batching.run(_tasks(jobs, load, explain, followers, plan)):
            followers.pop(finished.key)
            if finished.error and failed_for_good(finished.error, engine.device):
                raise UserError(f"device {engine.device}: it has failed ({why(finished.error)})")
            yield from drawing.take(finished)
            left -= 1
            pace.note(finished)
            pace.compile_if_it_pays(left)
        yield from drawing.rest()


def _tasks(
    jobs: Sequence[Job],
    load: Callable[[Job], Loaded],
    explain: Explain[Loaded],
    followers: dict[Job, Follower],
    plan: RunPlan,
) -> Iterator[Task]:
    """Yield the images' tasks; so many images as are worked on at once are read ahead."""
    with ThreadPoolExecutor(1) as reader:
        ahead = deque(reader.submit(load, job) for job in jobs[: plan.images_at_once + 1])
        try:
            for place, job in enumerate(jobs):
                loaded = ahead.popleft()
                following = place + plan.images_at_once + 1
                if following < len(jobs):
                    ahead.append(reader.submit(load, jobs[following]))
                followers[job] = Follower()
                yield Task(job, explain(job, loaded.result, followers[job]))
        finally:
            reader.shutdown(cancel_futures=True)


@dataclass
class BatchBar:
    """Shows on a progress bar what the images in flight are at, after each batch."""

    bar: tqdm
    followers: Mapping[Job, Follower]

    def __call__(self, masks: int) -> None:
        """Count the masks of a batch."""
        if self.bar.disable:
            return
        self.bar.set_description_str(line_of(self.followers.values()), refresh=False)
        self.bar.update(masks)


def _drawing(plan: RunPlan) -> "DrawHere | DrawElsewhere":
    if plan.drawing_workers == 0:
        return DrawHere(plan)
    return DrawElsewhere(plan)


class DrawHere:
    """Draws in this process."""

    def __init__(self, plan: RunPlan):
        self.plan = plan

    def __enter__(self) -> "DrawHere":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def take(self, finished: Finished) -> Iterator[Outcome]:
        """Draw and write an image's records, and yield its outcome."""
        job = finished.key
        if finished.error is not None:
            yield failed(job, why(finished.error))
            return
        explained = finished.value
        try:
            if explained.image is not None:
                save_all(explained.sags, explained.image, job.folder, self.plan.pictures)
            yield _outcome(job, explained, self.plan.results)
        except Exception as error:  # whatever it was, it is recorded and the run continues
            yield failed(job, why(error))

    def rest(self) -> Iterator[Outcome]:
        """Yield nothing: all is drawn."""
        yield from ()


class DrawElsewhere:
    """Draws in processes of its own; see running/drawing_pool.py."""

    def __init__(self, plan: RunPlan):
        self.plan = plan
        self.pool = DrawingPool(plan.drawing_workers, plan.pictures)
        self.explained: dict[Job, Explained] = {}

    def __enter__(self) -> "DrawElsewhere":
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.close()

    def take(self, finished: Finished) -> Iterator[Outcome]:
        """Keep an image's records and have them drawn; yield the outcomes of those that are."""
        job = finished.key
        explained = finished.value
        if finished.error is not None:
            yield failed(job, why(finished.error))
        elif explained.image is None:
            yield _outcome(job, explained, self.plan.results)
        else:
            try:
                keep_all(explained.sags, job.folder)
            except (OSError, ValueError) as error:  # a full disk, or a NaN
                yield failed(job, why(error))
            else:
                self.explained[job] = explained
                self.pool.submit(job, explained.sags, explained.image, job.folder)
        yield from map(self._outcome_of, self.pool.finished())

    def rest(self) -> Iterator[Outcome]:
        """Wait for the images that are still to be drawn."""
        yield from map(self._outcome_of, self.pool.finished(all_of_them=True))

    def _outcome_of(self, drawn: Drawn) -> Outcome:
        job: Any = drawn.key
        explained = self.explained.pop(job)
        if drawn.answer.error is not None:
            return failed(job, drawn.answer.error)
        for sag, seconds in zip(explained.sags, drawn.answer.seconds):
            sag.seconds = seconds
        return _outcome(job, explained, self.plan.results)


class Pace:
    """How long searches take, and whether compiling the network would pay."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.search_seconds: list[float] = []

    def note(self, finished: Finished) -> None:
        """Note how long an image's search took."""
        if finished.value is not None and finished.value.is_new:
            seconds = sum(sag.seconds.search for sag in finished.value.sags)
            self.search_seconds.append(seconds)

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


def one_by_one(
    load: Callable[[Job], Loaded], explain: Explain[Loaded], *, engine: Engine, plan: RunPlan
) -> Callable[[Job, int], Outcome]:
    """Return what a worker does for each image; several threads may call it.

    One thread owns the engine. The others hand it their images, which share its batches, and draw
    what comes back. The second argument is the number of further images that the worker may expect.
    """
    owner = EngineThread(engine, plan.images_at_once)
    drawing = threading.Lock()
    here = DrawHere(plan)

    def work(job: Job, jobs_left: int) -> Outcome:
        finished = owner.run(Task(job, explain(job, partial(load, job), Follower())), jobs_left)
        with drawing:
            (outcome,) = here.take(finished)
        return outcome

    return work


class EngineThread:
    """A thread that owns an engine and runs tasks that other threads hand to it.

    Args:
        engine: used by that thread alone from now on.
        at_once: number of tasks in flight.
    """

    def __init__(self, engine: Engine, at_once: int):
        self.engine = engine
        self.at_once = at_once
        self.tasks: queue.Queue[Task] = queue.Queue()
        self.results: dict[Hashable, Future[Finished]] = {}
        self.jobs_left = 0
        threading.Thread(target=self._work, daemon=True, name="engine").start()

    def run(self, task: Task, jobs_left: int) -> Finished:
        """Run a task and wait for its end."""
        self.jobs_left = jobs_left
        result: Future[Finished] = Future()
        self.results[task.key] = result
        self.tasks.put(task)
        return result.result()

    def _work(self) -> None:
        pace = Pace(self.engine)
        batching = Batching(self.engine, self.at_once)
        for finished in batching.run(self._incoming(batching)):
            if finished.error and failed_for_good(finished.error, self.engine.device):
                # The process ends, so that its images go to other workers.
                os._exit(LOST_DEVICE)
            self.results.pop(finished.key).set_result(finished)
            pace.note(finished)
            pace.compile_if_it_pays(self.jobs_left)

    def _incoming(self, batching: Batching) -> Iterator[Task | None]:
        """Yield tasks as they come; None where there is none now but others run."""
        while True:
            try:
                yield self.tasks.get(block=batching.active == 0)
            except queue.Empty:
                yield None


# ---------------------------------------------------------------- one image


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
