"""What the tables need of each measurement: small, as there may be 50,000 of them.

    rows = Rows()
    rows.add(measurement)
    rows.searches["beam15"][0].sizes        # sizes of the MSEs of one image

Rows are grouped by condition.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import numpy as np

from drawing.record import Curves
from experiments.estimate_rows import EstimatesRow, estimates_row
from experiments.findings import (
    HELD,
    Box,
    ChoicesMeasurement,
    FoundRoots,
    Held,
    MainJobMeasurement,
    Measurement,
    PatchSet,
    SearchMeasurement,
)
from experiments.part_ground_truth import (
    SHOWN,
    PrecisionRecall,
    box_shares,
    precision_and_recall,
    random_sets_like,
)
from experiments.simulated_reader import accuracy, group_questions, readers

MAIN_JOB = "beam3"  # the condition
SMALL = 3  # patches; exhaustive search finds all MSEs up to this size
SHOWN_TRIED = (0.05, 0.1, SHOWN)  # shares of a box from which a part counts as shown
RANDOM_DRAWS = 10  # of random sets, per image
AS_IT_IS = "as it is"  # the choices' reference


class Rule(NamedTuple):
    """When an MSE agrees with the ground truth (see part_ground_truth.py)."""

    shown: float = SHOWN
    lenient: bool = False


RULES = [Rule(shown, lenient) for shown in SHOWN_TRIED for lenient in (False, True)]


@dataclass(frozen=True)
class Agreement:
    """Agreement with the ground truth: of the MSEs, and the mean over random sets like them."""

    mses: PrecisionRecall
    random: PrecisionRecall


@dataclass(frozen=True)
class GroupAnswers:
    """The readers' answers to one group of an image's questions."""

    questions: int
    accuracy: dict[str, float]  # by reader


@dataclass(frozen=True, kw_only=True)
class SearchRow:
    """One search on one image."""

    image: str
    category: int
    label: int | None
    sizes: list[int]  # of the MSEs, ascending
    small: set[PatchSet]  # the MSEs of at most SMALL patches
    patches: list[int]  # of all MSEs, one after the other
    proven: int  # MSEs proven against every subset
    diverse: dict[int, int]  # by overlap: size of the diverse subset
    diverse_proven: bool  # whether no larger diverse subset exists, at any overlap
    asked: int
    scored: int
    seconds: float  # of the search alone
    ground_truth: dict[Rule, Agreement] | None

    @property
    def smallest(self) -> int | None:
        """Size of the smallest MSE; None without any."""
        return self.sizes[0] if self.sizes else None

    def has_mse_up_to(self, size: int) -> bool:
        """Return whether an MSE has at most this many patches."""
        return self.smallest is not None and self.smallest <= size


@dataclass(frozen=True, kw_only=True)
class MainJobRow(SearchRow):
    """The main job on one image."""

    probability: float
    curves: Curves | None
    questions: int
    accuracy: dict[str, float]  # of each reader; empty without questions
    groups: dict[str, GroupAnswers]  # by group of questions, those that have any


@dataclass(frozen=True, kw_only=True)
class ChoiceRow:
    """BeamS-3 on one image with one choice changed."""

    mses: int
    smallest: int | None
    diverse: int  # at overlap 1
    scored: int
    agreement: float  # Jaccard index of its MSEs and those of the reference


@dataclass(frozen=True)
class ChoicesRow:
    """All choices on one image."""

    image: str
    choices: dict[str, ChoiceRow]


@dataclass
class Rows:
    """The rows of all measurements."""

    searches: dict[str, list[SearchRow]] = field(default_factory=dict)  # by condition
    choices: list[ChoicesRow] = field(default_factory=list)
    held: dict[str, dict[str, Held]] = field(default_factory=dict)  # by condition, by image
    estimates: list[EstimatesRow] = field(default_factory=list)

    @property
    def main_job(self) -> list[MainJobRow]:
        """The rows of the main job."""
        return cast(list[MainJobRow], self.searches.get(MAIN_JOB, []))

    def add(self, measurement: Measurement) -> None:
        """Add the row of one measurement."""
        if measurement.condition == "choices":
            self.choices.append(choices_row(measurement))
            return
        if measurement.condition == "estimates":
            self.estimates.append(estimates_row(measurement))
            return
        if measurement.condition in HELD:
            by_image = self.held.setdefault(measurement.condition, {})
            by_image[measurement.image] = measurement.finding
            return
        is_main_job = measurement.condition == MAIN_JOB
        row = main_job_row(measurement) if is_main_job else search_row(measurement)
        self.searches.setdefault(measurement.condition, []).append(row)

    def __len__(self) -> int:
        groups = [self.choices, self.estimates, *self.searches.values(), *self.held.values()]
        return sum(map(len, groups))


# ---------------------------------------------------------------- searches


def search_row(measurement: SearchMeasurement) -> SearchRow:
    """Return the row of one search."""
    return SearchRow(**_search_fields(measurement))


def main_job_row(measurement: MainJobMeasurement) -> MainJobRow:
    """Return the row of the main job, in which the simulated readers answer its questions."""
    finding = measurement.finding
    of_name = readers(finding, finding.grid, size=measurement.size)
    groups = group_questions(finding, of_name["sag"], questions=finding.questions)
    return MainJobRow(
        **_search_fields(measurement),
        probability=finding.probability,
        curves=finding.curves,
        questions=len(finding.questions),
        accuracy=accuracy(of_name, finding.questions),
        groups={
            group: GroupAnswers(len(questions), accuracy(of_name, questions))
            for group, questions in groups.items()
            if questions
        },
    )


def _search_fields(measurement: SearchMeasurement | MainJobMeasurement) -> dict[str, Any]:
    """Return the fields of SearchRow."""
    finding = measurement.finding
    sets = [root.patches for root in finding.roots]
    agreement = None
    if measurement.boxes:
        agreement = ground_truth_agreement(
            sets,
            measurement.boxes,
            image=measurement.image,
            category=measurement.category,
            grid=measurement.grid,
            size=measurement.size,
            seed=measurement.seed,
        )
    return {
        "image": measurement.image,
        "category": measurement.category,
        "label": measurement.label,
        "sizes": sorted(len(patches) for patches in sets),
        "small": {patches for patches in sets if len(patches) <= SMALL},
        "patches": [patch for patches in sets for patch in patches],
        "proven": sum(root.minimal == "subset" for root in finding.roots),
        "diverse": finding.diverse,
        "diverse_proven": all(finding.diverse_proven.values()),
        "asked": finding.evaluations.asked,
        "scored": finding.evaluations.scored,
        "seconds": finding.seconds.search,
        "ground_truth": agreement,
    }


def ground_truth_agreement(
    mses: Sequence[PatchSet],
    boxes: Mapping[str, Box],
    *,
    image: str,
    category: int,
    grid: tuple[int, int],
    size: tuple[int, int],
    seed: int,
) -> dict[Rule, Agreement]:
    """Return how an image's MSEs agree with the ground truth, by each rule.

    Args:
        mses: The MSEs of the image.
        boxes: The box of each part.
        image: The image's name, from which the random sets are drawn.
        category: Index of the class in the bundled world.
        grid: Rows and columns of patches.
        size: Height and width of the image.
        seed: Seed of the run.
    """
    shares = box_shares(boxes, grid, size=size)
    image_seed = zlib.crc32(image.encode())
    random_draws = [
        random_sets_like(mses, grid[0] * grid[1], seed=[seed, image_seed, draw])
        for draw in range(RANDOM_DRAWS)
    ]
    found = {}
    for rule in RULES:
        agreements = [
            precision_and_recall(
                sets, shares, category=category, shown=rule.shown, lenient=rule.lenient
            )
            for sets in (mses, *random_draws)
        ]
        found[rule] = Agreement(mses=agreements[0], random=_mean(agreements[1:]))
    return found


def _mean(values: Sequence[PrecisionRecall]) -> PrecisionRecall:
    """Return mean precision and recall; random sets of one image have a precision, or none has."""
    precisions = [value.precision for value in values if value.precision is not None]
    return PrecisionRecall(
        float(np.mean(precisions)) if precisions else None,
        float(np.mean([value.recall for value in values])),
    )


# ---------------------------------------------------------------- choices


def choices_row(measurement: ChoicesMeasurement) -> ChoicesRow:
    """Return the row of all choices on one image."""
    found = measurement.finding
    reference = root_sets(found[AS_IT_IS])
    choices = {}
    for name, finding in found.items():
        sets = root_sets(finding)
        choices[name] = ChoiceRow(
            mses=len(sets),
            smallest=min((len(patches) for patches in sets), default=None),
            diverse=finding.diverse[1],
            scored=finding.evaluations.scored,
            agreement=jaccard(sets, reference),
        )
    return ChoicesRow(measurement.image, choices)


def root_sets(finding: FoundRoots) -> set[PatchSet]:
    """Return the patch sets of a finding's MSEs."""
    return {root.patches for root in finding.roots}


def jaccard(a: set, b: set) -> float:
    """Return the number of common elements over that of all; two empty sets agree."""
    union = a | b
    return len(a & b) / len(union) if union else 1.0
