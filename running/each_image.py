"""The loop over a run's images, in this process: what becomes of each, until the user interrupts.

    outcome = explain_each(explainer.explain, jobs, log_line=log_line)
    outcome.records, outcome.failures, outcome.status

The main job, which can also run on many machines, has a loop of its own in all_images.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from tqdm import tqdm

from running.failures import why
from utils import log


class Named(Protocol):
    """An image of a run, as a Job or an Item."""

    @property
    def name(self) -> str:
        """The image's name in the log and in tables."""


Image = TypeVar("Image", bound=Named)
Record = TypeVar("Record")


@dataclass(frozen=True, kw_only=True)
class ImageOutcome(Generic[Image, Record]):
    """What became of an image: a record, or an error.

    Attributes:
        image: as it was given.
        record: what was made of it; None where it failed.
        error: the reason in one line; None where it did not fail.
    """

    image: Image
    record: Record | None = None
    error: str | None = None


@dataclass(kw_only=True)
class RunOutcome(Generic[Image, Record]):
    """What became of the images of a run.

    Attributes:
        images: those that were explained or failed, in the order given.
        interrupted: whether the user interrupted; the images that follow are missing then.
    """

    images: list[ImageOutcome[Image, Record]] = field(default_factory=list)
    interrupted: bool = False

    @property
    def records(self) -> list[Record]:
        """The records of the images that did not fail."""
        return [one.record for one in self.images if one.record is not None]

    @property
    def failures(self) -> list[tuple[str, str]]:
        """Name and reason of each image that failed."""
        return [(one.image.name, one.error) for one in self.images if one.error is not None]

    @property
    def status(self) -> int:
        """The exit status: 130 interrupted, 1 some image failed, 0 all done."""
        if self.interrupted:
            return 130
        return 1 if self.failures else 0


def explain_each(
    explain: Callable[..., tuple[Record, bool]],
    images: Sequence[Image],
    *further: Sequence[Any],
    log_line: Callable[[Record], str] | None = None,
    label: str = "images",
) -> RunOutcome[Image, Record]:
    """Explain each image, until the user interrupts.

    Errors are recorded in the image's outcome; the run continues.

    Args:
        explain: called as in map() with an image and its further arguments; returns a record, and
            whether it is new.
        images: each with a name.
        further: sequences of arguments, each as long as images.
        log_line: makes an image's line in the log from a new record; None: nothing is logged.
        label: of the progress bar.
    """
    outcome: RunOutcome[Image, Record] = RunOutcome()
    with tqdm(total=len(images), desc=label, unit="image", disable=None) as bar:
        try:
            for image, *arguments in zip(images, *further, strict=True):
                outcome.images.append(_outcome_of(explain, image, arguments, log_line=log_line))
                bar.update()
        except KeyboardInterrupt:
            outcome.interrupted = True
    return outcome


def _outcome_of(
    explain: Callable[..., tuple[Record, bool]],
    image: Image,
    arguments: Sequence[Any],
    *,
    log_line: Callable[[Record], str] | None,
) -> ImageOutcome[Image, Record]:
    try:
        record, is_new = explain(image, *arguments)
        if log_line:
            log(f"{image.name}: {log_line(record) if is_new else 'there already'}")
    except Exception as error:  # also whatever a user's network raises
        return ImageOutcome(image=image, error=why(error))
    return ImageOutcome(image=image, record=record)


def log_interrupted(results: Path) -> None:
    """Log that the user interrupted the run; results: its folder."""
    log(f"interrupted; what is finished is in {results}, the same command goes on from there")
