"""The shifted images of a run: what stays of each one's insecurities, measured once and kept.

    outcome = measure_shifts(explainer, jobs, count=2, results=Path("Results"))
    table = mean_robustness([stays for found in outcome.records for stays in found.stays()], ..)

Each image leaves shifts.json in its folder, so that an interrupted run goes on. An image's shifts
follow from the seed and its content, whatever other images there are.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import torch
from msgspec import Meta, Struct

from companions.deliberative.annotations import SHARES
from companions.deliberative.evaluation import json_numbers
from companions.deliberative.explainer import Explainer
from companions.deliberative.record import Question
from companions.deliberative.robustness import Shift, Stays, random_shifts, shifted_image
from companions.training.seeds import mixed
from running.each_image import RunOutcome, explain_each
from running.record_files import write_indented
from running.result_folders import require_below
from running.results import Job
from utils import read_bytes

FILE = "shifts.json"
Shares = Annotated[list[float | None], Meta(min_length=len(SHARES), max_length=len(SHARES))]


class ShiftedImage(Struct):
    """What stays at one shift; see Stays. None for NaN."""

    shift: Shift
    pairs: float | None
    iou: Shares
    parts: Shares


class ImageShifts(Struct, kw_only=True, tag_field="format", tag=1):
    """What shifts.json holds: an image, and what stays of its insecurities at each shift."""

    question: Question
    found: list[ShiftedImage]

    def stays(self) -> list[Stays]:
        """Return what stays at each shift."""
        return [
            Stays(
                pairs=np.nan if one.pairs is None else one.pairs,
                iou=np.array(one.iou, float),
                parts=np.array(one.parts, float),
            )
            for one in self.found
        ]

    def answers(self, question: Question, shifts: Sequence[Shift]) -> bool:
        """Return whether these are the shifts of this image, network and settings."""
        return self.question.agrees_with(question) and [one.shift for one in self.found] == shifts


def measure_shifts(
    explainer: Explainer, jobs: Sequence[Job], *, count: int, seed: int, results: Path
) -> RunOutcome[Job, ImageShifts]:
    """Shift each image, until the user interrupts; what is kept is not measured again.

    Args:
        explainer: what insecurities are found with.
        jobs: the images.
        count: of shifts for each.
        seed: of the shifts.
        results: the folder that all results lie in.
    """

    def measure(job: Job) -> tuple[ImageShifts, bool]:
        """Return what stays of an image's insecurities, and whether it was measured now."""
        require_below(job.folder, results)
        question = explainer.question(job)
        shifts = shifts_of(question, count, seed)
        path = job.folder / FILE
        kept = None if explainer.overwrite else read_shifts(path)
        if kept and kept.answers(question, shifts):
            return kept, False
        found = ImageShifts(
            question=question, found=[_at(shift, explainer, job) for shift in shifts]
        )
        job.folder.mkdir(parents=True, exist_ok=True)
        write_indented(path, found)
        return found, True

    return explain_each(measure, jobs, label="shifts")


def shifts_of(question: Question, count: int, seed: int) -> list[Shift]:
    """Return an image's shifts."""
    content = int(question.image_sha256[:16], 16)
    return random_shifts(count, torch.Generator().manual_seed(mixed(seed, content)))


def _at(shift: Shift, explainer: Explainer, job: Job) -> ShiftedImage:
    found = shifted_image(
        explainer.network,
        explainer.split,
        job.path,
        shift,
        method=explainer.method,
        marks=explainer.marks,
    )
    [pairs] = json_numbers(np.array([found.pairs]))
    return ShiftedImage(shift, pairs, json_numbers(found.iou), json_numbers(found.parts))


def read_shifts(path: Path) -> ImageShifts | None:
    """Return the content of a shifts.json, or None where it is absent or damaged."""
    try:
        return msgspec.json.decode(read_bytes(path), type=ImageShifts)
    except (OSError, ValueError, RecursionError):
        return None
