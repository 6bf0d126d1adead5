"""All images of a run: what is logged and noted of each, on a Ray cluster, and the end of the run.

The images are explained in this process (this_process.py), or on the workers of a Ray cluster
(engine_thread.py). Errors are recorded in the image's summary row; the run continues.
"""

import csv
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from drawing.page import write_gallery
from drawing.words import counted
from running.each_image import log_interrupted
from running.failures import report_failures
from running.gallery import open_gallery
from running.outcomes import Outcomes, failed
from running.results import Job, note_finished
from running.summary import Row, write_summary
from utils import log, one_line

TITLE = b"Structured Attention Graphs"  # of a gallery
PAGE_START = 4096  # bytes of a page in which it stands


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
        require_own_page(results / "index.html")
        write_gallery(results)
        if show_gallery:
            open_gallery(results / "index.html")
    except (OSError, ValueError, csv.Error) as error:
        failures.append((f"{results}: summary.csv or index.html", one_line(error)))
    status = report_failures(failures)
    if was_interrupted:
        log_interrupted(results)
        return 130
    log(f"{counted(records, 'record')} in {results}, {len(failures)} failed")
    return status


def require_own_page(path: Path) -> None:
    """Refuse to replace a page that is not this program's.

    Raises:
        ValueError: it is another's; it stays as it is.
    """
    if path.is_file():
        with open(path, "rb") as file:
            start = file.read(PAGE_START)
        if start and TITLE not in start:
            raise ValueError(f"{path}: no gallery of this program; it is left as it is")
