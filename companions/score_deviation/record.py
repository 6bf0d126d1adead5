"""The record of one image's score deviations: what deviation.json holds, typed.

    record = decode_deviation(Path("Results/score_deviation/kitchen/deviation.json").read_bytes())
    for label in record.labels:
        print(label.name, label.area, label.deviation)

Deviations is what the network was asked about one image; a DeviationRecord says in addition which
image, network and settings it belongs to. A file is validated here, when it is read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from drawing.record import Category, Confidence, Index, Model, Probability, RegionMap
from utils import read_bytes, write_atomically

FILE = "deviation.json"
# A difference of two probabilities, with room for float32 rounding.
Difference = Annotated[float, Meta(ge=-1.0001, le=1.0001)]


class ClassProbability(Struct):
    """A class and its probability."""

    index: Index
    name: str
    probability: Confidence


class TrueClass(ClassProbability):
    """The true class of an image, its probability, and its rank among the classes (from 1)."""

    rank: Annotated[int, Meta(ge=1)]


class LabelMap(RegionMap, omit_defaults=True):
    """The regions of the image as the network saw it."""


class LabelDeviation(Struct, kw_only=True):
    """One label of the image, and what its removal does."""

    label: int  # its number in the label map
    name: str
    area: Probability  # share of the image's pixels
    deviation: Difference  # of the explained class's probability
    probability: Confidence  # of the explained class without the label
    true_deviation: Difference | None  # of the true class's probability, where it is known
    top: ClassProbability  # the most probable class without the label
    predicted_deviation: Difference | None = None  # of the predicted class's probability; None:
    #   the record is of an earlier version


class Deviations(Struct, kw_only=True, rename={"baseline": "fill"}):
    """Score deviations of one image, for the explained class."""

    category: Category  # the explained class
    probability: Confidence  # of the explained class on the full image
    predicted: ClassProbability
    true: TrueClass | None  # where it is known
    baseline: str  # what replaces the pixels of a label
    regions: LabelMap
    labels: Annotated[list[LabelDeviation], Meta(min_length=1)]
    evaluations: int  # forward passes
    seconds: float


class ImageDeviations(Deviations, kw_only=True):
    """Score deviations, and the image that they are of."""

    image: str  # path below the folder of images


class MapSource(Struct, omit_defaults=True):
    """Where the label map comes from: what must agree for the regions to be the same."""

    source: str  # "label map", "slic" or the name of a segmentation network
    segments: int | None = None  # of slic
    sha256: str | None = None  # of the label map's file or the network's weights
    names_sha256: str | None = None  # of the labels' names
    channel: int | None = None  # of a coloured label map


class Asked(Struct, rename={"baseline": "fill"}):
    """The settings that change the result."""

    category: Index | None  # None: the most probable class
    baseline: str
    seed: int
    true: Index | None


class Question(Struct):
    """What must agree for a record to stand: the image, the network and the settings."""

    image: str
    image_sha256: str
    size: tuple[int, int]  # height and width of the network's input
    model: Model
    segmentation: MapSource
    asked: Asked


class DeviationRecord(ImageDeviations, kw_only=True, tag_field="format", tag=1):
    """Score deviations of one image, with what they belong to."""

    image_sha256: str
    size: tuple[int, int]
    model: Model
    segmentation: MapSource
    asked: Asked
    settings: dict[str, Any]
    versions: dict[str, str | None]

    @property
    def question(self) -> Question:
        """What must agree for this record to stand."""
        return Question(*(getattr(self, name) for name in Question.__struct_fields__))


def settings_that_count(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that change a result."""
    return {name: settings.get(name) for name in ("category", "baseline", "seed")}


def new_record(
    question: Question,
    found: Deviations,
    *,
    settings: dict[str, Any],
    versions: dict[str, str | None],
) -> DeviationRecord:
    """Return the record that answers a question."""
    return DeviationRecord(
        **msgspec.structs.asdict(question),
        **msgspec.structs.asdict(found),
        settings=settings,
        versions=versions,
    )


# ---------------------------------------------------------------- to and from JSON


def decode_deviation(content: bytes) -> DeviationRecord:
    """Return the record in the bytes of a deviation.json.

    Raises:
        ValueError: not JSON, or not a record of this format; the message is one line.
    """
    try:
        return msgspec.json.decode(content, type=DeviationRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from None


def read_deviation(path: Path) -> DeviationRecord | None:
    """Return the record in a deviation.json, or None where it is absent or damaged."""
    try:
        return decode_deviation(read_bytes(path))
    except (OSError, ValueError):
        return None


def write_deviation(path: Path, record: DeviationRecord) -> None:
    """Write a deviation.json, at every moment the old file whole or the new one.

    Raises:
        ValueError: the record would not be valid when read, for example because of a NaN.
    """
    content = msgspec.json.encode(record)
    decode_deviation(content)
    write_atomically(path, msgspec.json.format(content, indent=1) + b"\n")
