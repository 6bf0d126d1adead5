"""All images of a run: one after another, several at once, or on the workers of a Ray cluster; each is finished in the same way.

look(job, progress) -> (what the image's file looked like, its records, the image where they are new) is what is done for
an image. Whatever it raises, the other images go on, and the summary says what it was.
"""

import argparse
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

from tqdm import tqdm

from scoring.engine import CannotCompile, Passes, in_turn
from running.results import SUMMARY, Job, Outcome, note_finished, note_of, save, summary_rows
from utils import log, one_line

COMPILE_GAIN, COMPILE_SECONDS = (
    0.25,
    30,
)  # what compiling saves of the time of a search on a CPU; what it costs


def collect(outcomes: Iterator[Outcome], results: Path, rows: list[dict], bar) -> bool:
    """Log and note each image as it is finished, and add its rows of the summary. -> whether Ctrl-C ended it."""
    try:
        for outcome in outcomes:
            log(f"{outcome.name}: {outcome.line}")
            rows += outcome.rows
            if outcome.note:
                note_finished(results, outcome.note)
            bar.update()
    except KeyboardInterrupt:
        outcomes.close()
        return True
    return False


def in_this_process(
    jobs: list[Job], look: Callable, passes: Passes, results: Path, at_once: int
) -> Iterator[Outcome]:
    """All images, in order; at_once of them are being worked on."""
    searching = []
    with tqdm(unit=" sets", position=1, leave=False, mininterval=0.3) as progress:

        def look_together(job: Job):
            with passes.part():
                return look(job, progress)

        turns = in_turn(look_together, jobs, at_once)
        try:
            for done, (job, result) in enumerate(turns, 1):
                progress.reset()
                outcome = finish(job, result, results, progress)
                yield outcome
                searching += [outcome.searching] if outcome.searching else []
                compile_if_it_pays(passes, searching, len(jobs) - done)
        finally:
            passes.close()
            turns.close()


def on_ray(jobs: list[Job], args: argparse.Namespace, at_once: int) -> Iterator[Outcome]:
    """All images, in the order in which a Ray cluster's workers finish them. at_once: images that a worker with a GPU has at a time."""
    if not jobs:
        return
    from running.ray_workers import each  # here, so that other runs know nothing of Ray

    for job, result in each(
        jobs, "main_generate_sag:ray_worker", (args, at_once), args.ray, args.device, at_once, log
    ):
        try:
            yield result()
        except RuntimeError as error:
            yield failed(job, one_line(error))


def one_by_one(look: Callable, passes: Passes, results: Path) -> Callable[[Job, int], Outcome]:
    """What a worker does for an image; left: how many more it may expect. On a GPU it is called from several threads."""
    drawing, searching, silent = threading.Lock(), [], tqdm(disable=True)

    def look_together(job: Job):
        with passes.part():
            return look(job, silent)

    def explained(job: Job, left: int) -> Outcome:
        outcome = finish(job, lambda: look_together(job), results, silent, drawing)
        searching.extend([outcome.searching] if outcome.searching else [])
        compile_if_it_pays(passes, searching, left)
        return outcome

    return explained


def finish(
    job: Job, result: Callable[[], tuple], results: Path, progress, drawing=nullcontext()
) -> Outcome:
    """Wait for what look() found, draw and write it; drawing: held meanwhile, where several threads come here.

    Whatever befalls this image, the others go on: its row says what it was.
    """
    try:
        looks, records, image = result()
        if image is not None:
            progress.set_description_str("drawing")
            with drawing:
                save(records, image, job.folder)
        rows = summary_rows(records, job.folder, results)
        return Outcome(
            job.name,
            rows,
            told(records, fresh=image is not None),
            sum(r["seconds"]["search"] for r in records) if image is not None else 0.0,
            note_of(job, looks, records, rows),
        )
    except Exception as error:
        return failed(
            job,
            ("" if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: ")
            + one_line(error),
        )


def failed(job: Job, why: str) -> Outcome:
    """What becomes of an image that cannot be done."""
    return Outcome(
        job.name,
        [{**dict.fromkeys(SUMMARY, ""), "image": job.name, "error": why}],
        f"failed: {why}",
    )


def compile_if_it_pays(passes: Passes, searching: list[float], left: int) -> None:
    """Compile once what waits would take long enough. searching: seconds of each search so far; left: images still to do."""
    mean = sum(searching) / max(1, len(searching))
    if (
        passes.compiled
        or not passes.worth_compiling
        or mean * left * COMPILE_GAIN < COMPILE_SECONDS
    ):
        return
    try:
        start = time.monotonic()
        passes.compile()
        log(f"compiled the network in {time.monotonic() - start:.0f} s, as {left} images are left")
    except CannotCompile as error:
        log(f"not compiled, going on without ({error})")


def told(records: list[dict], fresh: bool) -> str:
    """One line on an image, for the log."""
    parts = []
    for r in records:
        sizes = sorted(len(x["patches"]) for x in r["roots"])
        span = f" of {sizes[0]} to {sizes[-1]} patches" if sizes else ""
        parts.append(
            f"{r['category']['name']} {r['probability']:.3f}: {len(sizes)} MSEs{span}"
            f", {len(r['diverse_set'])} diverse ({r['search']['stopped_by']}), {r['evaluations']['asked']} asked, "
            f"{r['evaluations']['scored']} scored, {r['seconds']['total']:.1f} s"
        )
    return "; ".join(parts) if fresh else "there already"
