"""The record of one image's insecurities: what insecurities.json holds, typed.

    record = decode_insecurities(Path("Results/peacock/insecurities.json").read_bytes())
    first = record.insecurities[0]
    first.classes[0].name, first.before.p_a, first.without.p_a

A Deliberation is what the network was asked about one image; a DeliberationRecord says in addition
which image, network and settings it belongs to. A file is validated here, when it is read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from companions.score_deviation.record import ClassProbability
from drawing.record import Category, Confidence, Model, Probability
from utils import read_bytes, write_atomically

FILE = "insecurities.json"
# Settings that change no result.
NOT_IN_QUESTION = frozenset(
    {
        *("images", "list", "hardest", "shifts", "results", "run", "overwrite", "device"),
        "batch_size",
    }
)


class Answer(Struct, rename={"difficulty": "s"}):
    """What the network says of an image: the pair's probabilities, and the difficulty."""

    p_a: Confidence
    p_b: Confidence
    difficulty: float


class MeasuredInsecurity(Struct, kw_only=True):
    """An insecurity, and what the removal of its region does."""

    classes: tuple[Category, Category]  # a and b, the more probable one first
    strength: float  # the mean of M over the region
    score: float  # what it is ranked by
    share: Probability  # of the image's pixels that the region has
    map: Annotated[list[list[float]], Meta(min_length=1)]  # M, h rows of w numbers
    before: Answer
    without: Answer  # without the region
    moved: Answer | None  # mean without as much elsewhere; None where that was not asked


class Deliberation(Struct, kw_only=True, rename={"difficulty_value": "s"}):
    """The insecurities of one image, the first in rank first."""

    classes: Annotated[list[ClassProbability], Meta(min_length=1)]  # the most probable ones
    difficulty_value: float
    insecurities: list[MeasuredInsecurity]
    seconds: float


class DifficultySource(Struct):
    """Which difficulty was attributed."""

    name: str  # certainty, entropy or hardness
    sha256: str | None  # of a predictor's file


class DeliberationRecord(Deliberation, kw_only=True, tag_field="format", tag=1):
    """The insecurities of one image, with what they belong to."""

    image: str  # path below the folder of images
    image_sha256: str
    size: tuple[int, int]  # height and width of the network's input
    model: Model
    difficulty: DifficultySource
    settings: dict[str, Any]
    versions: dict[str, str | None]

    @property
    def question(self) -> "Question":
        """What must agree for this record to stand."""
        return Question(*(getattr(self, name) for name in Question.__struct_fields__))


class Question(Struct, eq=False):
    """The image, the network and the settings that a record belongs to."""

    image: str
    image_sha256: str
    size: tuple[int, int]
    model: Model
    difficulty: DifficultySource
    settings: dict[str, Any]

    def agrees_with(self, other: "Question") -> bool:
        """Return whether a record of the other question answers this one."""
        return self._essence() == other._essence()

    def _essence(self) -> dict[str, Any]:
        essence = msgspec.structs.asdict(self)
        essence["settings"] = settings_that_count(self.settings)
        return essence


def settings_that_count(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that change a result."""
    return {name: value for name, value in settings.items() if name not in NOT_IN_QUESTION}


def new_record(
    question: Question, found: Deliberation, *, versions: dict[str, str | None]
) -> DeliberationRecord:
    """Return the record that answers a question."""
    return DeliberationRecord(
        **msgspec.structs.asdict(question), **msgspec.structs.asdict(found), versions=versions
    )


# ---------------------------------------------------------------- to and from JSON


def decode_insecurities(content: bytes) -> DeliberationRecord:
    """Return the record in the bytes of an insecurities.json.

    Raises:
        ValueError: not JSON, or not a record of this format; the message is one line.
    """
    try:
        return msgspec.json.decode(content, type=DeliberationRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from None


def read_insecurities(path: Path) -> DeliberationRecord | None:
    """Return the record in an insecurities.json, or None where it is absent or damaged."""
    try:
        return decode_insecurities(read_bytes(path))
    except (OSError, ValueError):
        return None


def write_insecurities(path: Path, record: DeliberationRecord) -> None:
    """Write an insecurities.json, at every moment the old file whole or the new one.

    Raises:
        ValueError: the record would not be valid when read, for example because of a NaN.
    """
    content = msgspec.json.encode(record)
    decode_insecurities(content)
    write_atomically(path, content + b"\n")
