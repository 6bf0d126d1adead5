"""The images of a run: each one's record made, drawn and written, or found from an earlier run.

    explainer = Explainer(network=network, split=split_network(network), settings={"share": 0.05})
    jobs = make_jobs(images, root=root, results=Path("Results"))
    outcome = explain_all(explainer, jobs, Path("Results"))
    outcome.records[0].insecurities

A record stands where the image, the network, the difficulty and the settings that change a result
are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from companions.deliberative.annotations import Marks, no_marks, pair_of
from companions.deliberative.explanation import find_insecurities
from companions.deliberative.figures import draw_insecurities
from companions.deliberative.insecurities import Method
from companions.deliberative.record import (
    FILE,
    DeliberationRecord,
    DifficultySource,
    Question,
    new_record,
    read_insecurities,
    write_insecurities,
)
from companions.deliberative.split import Split
from drawing.record import Model
from drawing.styles import DARK, Style
from running.each_image import RunOutcome, explain_each
from running.record_files import versions
from running.result_folders import require_below
from running.results import Job
from scoring.fitting import load_fitted
from scoring.networks import Network
from utils import file_sha256


@dataclass(frozen=True, kw_only=True)
class Explainer:
    """What every image of a run is explained with.

    Attributes:
        network: the network to explain.
        split: the same, as features and head.
        method: how insecurities are found.
        difficulty: which difficulty the method attributes, for the record.
        style: of the figure.
        formats: of the figure.
        overwrite: whether images are explained again whose record exists.
        settings: all settings of the run, for the record.
        marks: the annotated parts of an image, for the figures.
    """

    network: Network
    split: Split
    method: Method = field(default_factory=Method)
    difficulty: DifficultySource = field(
        default_factory=lambda: DifficultySource("certainty", sha256=None)
    )
    style: Style = DARK
    formats: Sequence[str] = ("png",)
    overwrite: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    marks: Marks = no_marks

    def explain(self, job: Job) -> tuple[DeliberationRecord, bool]:
        """Return the record of an image, and whether it is new.

        Raises:
            ValueError: the image cannot be read.
            FloatingPointError: the network returns NaN.
        """
        question = self.question(job)
        old = read_insecurities(job.folder / FILE)
        if old and not self.overwrite and old.question.agrees_with(question):
            return old, False
        image = load_fitted(job.path, self.network.fit)
        found = find_insecurities(self.network, image, self.method, split=self.split)
        record = new_record(question, found, versions=versions())
        job.folder.mkdir(parents=True, exist_ok=True)
        # The record is written last: its presence means that the folder is complete.
        (job.folder / FILE).unlink(missing_ok=True)
        pairs = [pair_of(insecurity) for insecurity in record.insecurities]
        marks = [self.marks(job.path, self.network.fit, pair) for pair in pairs]
        for kind in self.formats:
            path = job.folder / f"insecurities.{kind}"
            draw_insecurities(record, image, path, style=self.style, marks=marks)
        write_insecurities(job.folder / FILE, record)
        return record, True

    def question(self, job: Job) -> Question:
        """Return what a record of this image has to agree with."""
        return Question(
            image=job.name,
            image_sha256=file_sha256(job.path),
            size=self.network.size,
            model=msgspec.convert(self.network.description(), Model),
            difficulty=self.difficulty,
            settings=self.settings,
        )


def explain_all(
    explainer: Explainer, jobs: Sequence[Job], results: Path
) -> RunOutcome[Job, DeliberationRecord]:
    """Explain each image, until the user interrupts.

    Errors are recorded among the failures; the run continues.

    Args:
        explainer: what to explain them with.
        jobs: the images.
        results: the folder that all results lie in.
    """

    def explain(job: Job) -> tuple[DeliberationRecord, bool]:
        require_below(job.folder, results)
        return explainer.explain(job)

    return explain_each(explain, jobs, log_line=log_line)


def log_line(record: DeliberationRecord) -> str:
    """Return an image's line in the log: its difficulty and its first insecurity."""
    if not record.insecurities:
        return (
            f"{record.classes[0].name}: s {record.difficulty_value:.4f}, no place with evidence "
            "for two of the most probable classes"
        )
    first = record.insecurities[0]
    names = " or ".join(category.name for category in first.classes)
    return (
        f"s {record.difficulty_value:.4f}; {names}, strength {first.strength:.2g}; "
        f"without its region s {first.without.difficulty:.4f}"
    )
