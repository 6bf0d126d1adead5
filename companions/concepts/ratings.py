"""People's ratings of highlighted areas, from ScaleAI's tasks.json: which images are hard.

    ratings = read_ratings(Path("tasks.json"))
    ratings.values["COCO_val2014_000000415408"]     # 0.8667: (4 + 5 + 4) / (5 * 3)
    ratings.left_out[0].why                         # 'Relevance Rating "" is no number'

A task shows the area that a model looks at for one word of a caption. A person writes what kind of
word it is (object, attribute, relationship), what the area shows, and how well the two agree, from
1 to 5. The value of an image is the sum of its n ratings over 5 n, so from 0.2 to 1; low = hard.

Tasks without a usable rating are left out. Ratings whose kind or content is odd count. Both are
listed by task with the reason. After SA3's published tasks; how odd ones are treated is this
project's own.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from companions.concepts.files import read_json, write_csv
from companions.concepts.records import (
    KindOfContent,
    OddTask,
    RatedImage,
    RatingsReport,
    write_typed,
)
from scoring.labels import plain_name
from utils import UserError, one_line, shown

HIGHEST = 5  # of the ratings; the lowest is 1
KINDS = ("object", "attribute", "relationship")
UNKNOWN = "unknown"  # kind of what is none of these
TYPE_FIELD = "Content Type Identification"
CONTENT_FIELD = "Content Description"
RATING_FIELD = "Relevance Rating"
# "p1_COCO_val2014_000000353409__caption_8_attr_result.jpg": image, number of the word
FILE_NAME = re.compile(r"(?:p\d+_)?(?P<image>.+?)__caption_\d+_\w+")
PARTS = {"object": 1, "attribute": 2, "relationship": 3}  # of a content
# Parts of a relationship that cannot be a thing.
NO_THING = frozenset(
    ("a", "an", "the", "of", "on", "in", "at", "by", "to", "with", "under", "over", "above")
)
ARTICLES = frozenset(("a", "an", "the"))
MOST_REASONS = 6  # in the log


@dataclass
class Ratings:
    """The ratings of a tasks.json.

    Attributes:
        by_image: ratings of each image, from 1 to 5.
        by_kind: ratings of each kind of content.
        left_out: tasks that count nothing, and why.
        odd: tasks that count, though something about them is odd.
    """

    by_image: dict[str, list[float]] = field(default_factory=dict)
    by_kind: dict[str, list[float]] = field(default_factory=dict)
    left_out: list[OddTask] = field(default_factory=list)
    odd: list[OddTask] = field(default_factory=list)

    @property
    def values(self) -> dict[str, float]:
        """The value of each image, from 0.2 to 1; low = hard."""
        return {
            image: sum(ratings) / (HIGHEST * len(ratings))
            for image, ratings in self.by_image.items()
        }

    def report(self, hard: float) -> RatingsReport:
        """Return all images, the hardest first; those with a value below `hard` are hard."""
        images = [
            RatedImage(image=name, ratings=len(self.by_image[name]), value=v, hard=v < hard)
            for name, v in sorted(self.values.items(), key=lambda entry: (entry[1], entry[0]))
        ]
        kinds = {
            kind: KindOfContent(ratings=len(own), mean=sum(own) / len(own))
            for kind, own in sorted(self.by_kind.items())
        }
        return RatingsReport(
            images=images, kinds=kinds, hard_below=hard, left_out=self.left_out, odd=self.odd
        )

    def write(self, results: Path, *, hard: float) -> RatingsReport:
        """Write ratings.csv and ratings.json; return the report."""
        report = self.report(hard)
        write_typed(results / "ratings.json", report)
        write_csv(results / "ratings.csv", report.images, RatedImage)
        return report


def read_ratings(path: Path) -> Ratings:
    """Return the ratings of ScaleAI's tasks.json.

    Raises:
        UserError: the file cannot be read, is no list of tasks, or has no usable rating.
    """
    try:
        tasks = read_json(path)
    except ValueError as error:
        raise UserError(one_line(error)) from None
    if not isinstance(tasks, list):
        raise UserError(f"{path}: not a list of tasks")
    ratings = Ratings()
    seen: set[str] = set()
    for number, task in enumerate(tasks):
        identity = str(_field(task, "task_id") or f"task {number}")
        try:
            if identity in seen:
                raise ValueError("the same task_id again")
            seen.add(identity)
            _add(ratings, task, identity)
        except ValueError as error:
            ratings.left_out.append(OddTask(identity, one_line(error)))
    if not ratings.by_image:
        reason = ratings.left_out[0].why if ratings.left_out else "no task in it"
        raise UserError(f"{path}: no rating can be used; the first task: {reason}")
    return ratings


def _field(value: Any, *names: str) -> Any:
    """Return a field of objects in objects; None where one is missing or no object."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _add(ratings: Ratings, task: Any, identity: str) -> None:
    """Add the rating of a task.

    Raises:
        ValueError: it has none that can be used.
    """
    if not isinstance(task, dict):
        raise ValueError("no object")
    status = task.get("status")
    if status != "completed":
        raise ValueError(f"status {status!r}, not completed")
    image = _image_of(task)
    answers = _field(task, "response", "annotations")
    if not isinstance(answers, dict):
        raise ValueError("no response.annotations")
    rating = _rating_of(answers)
    kind = plain_name(str(answers.get(TYPE_FIELD) or ""))
    reasons = _oddities(kind, answers.get(CONTENT_FIELD), rating=rating)
    ratings.by_image.setdefault(image, []).append(rating)
    ratings.by_kind.setdefault(kind if kind in KINDS else UNKNOWN, []).append(rating)
    ratings.odd += [OddTask(identity, reason) for reason in reasons]


def _image_of(task: dict) -> str:
    """Return the name of a task's image, without the ending.

    Raises:
        ValueError: it names none.
    """
    name = _field(task, "metadata", "filename")
    if not isinstance(name, str) or not name.strip():
        raise ValueError("no metadata.filename")
    stem = PurePosixPath(name.strip()).stem
    match = FILE_NAME.fullmatch(stem)
    return match["image"] if match else stem


def _rating_of(answers: dict) -> float:
    """Return a rating from 1 to 5.

    Raises:
        ValueError: there is none.
    """
    given = answers.get(RATING_FIELD)
    if given is None:
        raise ValueError(f"no {RATING_FIELD}")
    try:
        rating = float(given)
    except (TypeError, ValueError):
        raise ValueError(f"{RATING_FIELD} {given!r} is no number") from None
    if not (math.isfinite(rating) and 1 <= rating <= HIGHEST):
        raise ValueError(f"{RATING_FIELD} {given!r} is not from 1 to {HIGHEST}")
    return rating


def _oddities(kind: str, content: Any, *, rating: float) -> list[str]:
    """Return what is odd about a task whose rating counts."""
    reasons = []
    if rating != int(rating):
        reasons.append(f"{RATING_FIELD}: not a whole number")
    if kind not in KINDS:
        reasons.append(f"{TYPE_FIELD}: {f'unknown ({shown(kind)})' if kind else 'empty'}")
    if not isinstance(content, str) or not content.strip():
        reasons.append(f"{CONTENT_FIELD}: empty")
    elif kind in KINDS and not _has_form(kind, content):
        reasons.append(f"{CONTENT_FIELD}: not the form of kind {kind}")
    return reasons


def _has_form(kind: str, content: str) -> bool:
    """Return whether a content is a name, (name, attribute) or (name, relationship, name)."""
    parts = [plain_name(part) for part in content.strip().strip("()").split(",")]
    if len(parts) != PARTS[kind] or not all(parts):
        return False
    if kind != "relationship":
        return True
    return not NO_THING.intersection((parts[0], parts[2])) and parts[1] not in ARTICLES


def reason_lines(tasks: Sequence[OddTask], what: str) -> list[str]:
    """Return for the log how many tasks there are for each reason, and one of them.

    Args:
        tasks: with reasons.
        what: becomes of them, such as "left out".
    """
    counts = Counter(task.why for task in tasks)
    first = {task.why: task.task for task in reversed(tasks)}
    lines = [
        f"{what}: {count} x {reason} (such as {first[reason]})"
        for reason, count in counts.most_common(MOST_REASONS)
    ]
    if len(counts) > MOST_REASONS:
        lines.append(f"{what}: {len(counts) - MOST_REASONS} further reasons, see ratings.json")
    return lines
