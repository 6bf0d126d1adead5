"""Drawing the records that the network has finished: in this process, or in processes of their own.

with drawer_of(plan) as drawer:
yield from drawer.take(finished)        # the outcomes that are ready
yield from drawer.rest()                # and the others
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drawing.styles import Pictures
from running.drawing_pool import DrawingPool, Drawn
from running.failures import why
from running.outcomes import Explained, Outcome, failed, outcome_of
from running.result_folders import require_below
from running.results import Job, keep_all, save_all
from scoring.batching import Finished
from utils import UserError


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


def drawer_of(plan: RunPlan) -> "DrawHere | DrawElsewhere":
    """Return what draws a run's images."""
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
                require_below(job.folder, self.plan.results)
                save_all(explained.sags, explained.image, job.folder, self.plan.pictures)
            yield outcome_of(job, explained, self.plan.results)
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
            yield outcome_of(job, explained, self.plan.results)
        else:
            try:
                require_below(job.folder, self.plan.results)
                keep_all(explained.sags, job.folder)
            except (OSError, ValueError, UserError) as error:  # a full disk, or a NaN
                yield failed(job, why(error))
            else:
                self.explained[job] = explained
                self.pool.submit(job, explained.sags, explained.image, job.folder)
        yield from map(self._of, self.pool.finished())

    def rest(self) -> Iterator[Outcome]:
        """Wait for the images that are still to be drawn."""
        yield from map(self._of, self.pool.finished(all_of_them=True))

    def _of(self, drawn: Drawn) -> Outcome:
        job: Any = drawn.key
        explained = self.explained.pop(job)
        if drawn.answer.error is not None:
            return failed(job, drawn.answer.error)
        for sag, seconds in zip(explained.sags, drawn.answer.seconds):
            sag.seconds = seconds
            sag.settings["pictures"] = self.plan.pictures
        return outcome_of(job, explained, self.plan.results)
