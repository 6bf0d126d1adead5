"""What the steps of concept_debug.py write as JSON and read again, typed.

    record = read_typed(Path("Results/debug/deviations/jay/a.json"), ImageRecord)
    record.concepts[0].deviation
    write_typed(path, record)

A file is validated here, when it is read. For the step that makes it, one that is absent, damaged
or of another kind is None, and what it held is made again. Where it is only read, the line says
which field is wrong.
"""

from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from companions.concepts.sa3_recipe import Sa3Recipe
from companions.score_deviation.record import MapSource
from drawing.record import Model
from utils import UserError, one_line, read_bytes, write_json

T = TypeVar("T")
Versions = dict[str, str | None]


def read_typed(path: Path, kind: type[T]) -> T | None:
    """Return the record in a JSON file; None where it is absent, damaged or of another kind."""
    try:
        return msgspec.json.decode(read_bytes(path), type=kind)
    except (OSError, ValueError, RecursionError):
        return None


def require_typed(path: Path, kind: type[T]) -> T | None:
    """Return the record in a JSON file; None where there is no file.

    Raises:
        UserError: it is damaged or of another kind. The line names the file and the field.
    """
    try:
        return msgspec.json.decode(read_bytes(path), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read: {one_line(error)}") from error


def present_typed(path: Path, kind: type[T]) -> T:
    """Return the record in a JSON file that an earlier step has written.

    Raises:
        UserError: it has gone, is damaged, or of another kind.
    """
    record = require_typed(path, kind)
    if record is None:
        raise UserError(f"{path}: has gone")
    return record


def write_typed(path: Path, record: Struct) -> None:
    """Write a record as JSON, atomically; its folder is made."""
    write_json(path, msgspec.to_builtins(record))


class Failed(Struct):
    """An image or file that failed, and why."""

    image: str
    why: str


# ---------------------------------------------------------------- explain


class Fingerprint(Struct, rename={"baseline": "fill"}):
    """What must agree for the record of an image to stand."""

    image: str  # SHA-256 of the file
    model: Model
    segmentation: MapSource
    baseline: str
    relevant: float
    attributes: bool = False  # of the graph; older graphs have none
    relations: bool = False
    in_image: bool = False  # of a crop's boxes; older graphs have them in the crop's own pixels


class Concept(Struct):
    """One region of an image, and whether it is a concept of the network."""

    region: int  # its number in the figure, from 1
    concept: str  # its name
    deviation: float  # score deviation for the explained class
    area: float  # share of the image
    relevant: bool


class ImageRecord(Struct, kw_only=True, rename={"category": "class"}, tag_field="format", tag=1):
    """deviations/<name>.json: the concepts of one image, the most supporting first."""

    image: str
    category: str  # name of the explained class
    predicted: str
    correct: bool
    probability: float  # of the explained class
    concepts: list[Concept]
    fingerprint: Fingerprint


class ConceptMean(Struct):
    """One concept over the images of a class."""

    present: int  # images that show it
    relevant: int  # images in which it supports the class
    deviation: float  # mean over the images that show it


class ExplainedClass(Struct):
    """The concepts of a class, the most supporting first."""

    images: int
    correct: int  # of the images
    concepts: dict[str, ConceptMean]


class ExplainReport(Struct, kw_only=True, rename={"baseline": "fill"}, tag_field="format", tag=1):
    """explain.json: all images of a run."""

    model: Model
    baseline: str
    relevant: float
    classes: dict[str, ExplainedClass]
    graphs: list[str]  # names of the images whose graphs were made
    failed: list[Failed]
    versions: Versions


class MadeGraphs(Struct):
    """The part of explain.json that compare reads."""

    graphs: list[str]


# ---------------------------------------------------------------- compare


class Measures(Struct):
    """How one kind of statement agrees over a class or all images.

    Counts are sums over images. Means are over the images that have the measure. Images whose
    annotation has no statement of the kind are left out.
    """

    images: int
    valid: int
    confounded: int
    missed: int
    precision: float | None
    recall: float | None
    f1: float | None


class ComparedClass(Struct):
    """Images of a class by concept, and means over those that have the measure."""

    images: int
    valid: dict[str, int]  # concept -> number of images
    confounded: dict[str, int]
    missed: dict[str, int]
    precision: float | None
    recall: float | None
    f1: float | None
    kinds: dict[str, Measures] = {}  # "objects", "attributes", "relationships"


class Confounded(Struct, rename={"category": "class"}):
    """A concept of the network that no person named."""

    category: str
    concept: str
    images: int  # in which it is confounded ..
    of: int  # .. of so many of the class
    deviation: float | None  # mean over all images of the class; None: not known


class CompareReport(Struct, kw_only=True, tag_field="format", tag=1):
    """compare.json: the network's concepts against a person's."""

    classes: dict[str, ComparedClass]
    confounded: list[Confounded]  # the one that costs its class most probability first
    hard_below: float
    hard: list[str]
    failed: list[Failed]
    kinds: dict[str, Measures] = {}  # over all images
    hard_rating_below: float | None = None  # None: people's ratings were not given
    hard_by_rating: list[str] = []


# ---------------------------------------------------------------- ratings


class OddTask(Struct):
    """A task of tasks.json, and what is odd about it."""

    task: str
    why: str


class RatedImage(Struct, kw_only=True):
    """An image, and what its ratings say; also a row of ratings.csv."""

    image: str
    ratings: int
    value: float  # sum of the ratings over 5 n; low = hard
    hard: bool


class KindOfContent(Struct):
    """The ratings of one kind of content."""

    ratings: int
    mean: float  # from 1 to 5


class RatingsReport(Struct, kw_only=True, tag_field="format", tag=1):
    """ratings.json: people's ratings, per image and kind of content."""

    images: list[RatedImage]  # the hardest first
    kinds: dict[str, KindOfContent]
    hard_below: float
    left_out: list[OddTask]
    odd: list[OddTask]


# ---------------------------------------------------------------- improve


class Accuracy(Struct):
    """Shares of images that are classified correctly; None where there is no image."""

    all: float | None
    images: int
    classes: dict[str, float]


class NeedShares(Struct):
    """How many MSEs and SAGs need a concept; shares are None where there is nothing to count."""

    images: int  # with an MSE
    mses: int
    mses_needing: float | None
    sags_needing: float | None  # every one of its MSEs needs it
    sags_with_one: float | None  # some of its MSEs needs it


class NeedSummary(Struct):
    """How much a class needs a concept, over images."""

    images: int
    deviation: float | None  # mean
    relevant: float | None  # share of the images in which it supports the class
    named: NeedShares  # MSEs on named regions
    patches: NeedShares  # MSEs on patches


class BenchKey(Struct, rename={"baseline": "fill"}):
    """What must be the same for a measurement to stand."""

    test: str
    swapped: str | None
    category: int | None
    concept: str | None
    baseline: str
    scenes: list[tuple[str, MapSource]]


class RecipeKey(Struct):
    """How a network was trained; see fine_tuning.Recipe."""

    steps: int
    batch: int
    lr: float
    weight_decay: float
    erase: float
    hide: float
    mixup: float
    cutmix: float
    seed: int


class RowKey(Struct, omit_defaults=True):
    """What must be the same for a row to stand; the last ones are of a selection."""

    model: Model
    bench: BenchKey
    selection: str | None = None  # SHA-256 of the file
    images: str | None = None
    recipe: RecipeKey | None = None
    sa3: Sa3Recipe | None = None


class NetworkRow(Struct, kw_only=True):
    """A network's measurements: as it was given ("before"), or after training on a selection."""

    network: str
    images: int  # trained on
    test: Accuracy
    swapped: Accuracy | None
    need: NeedSummary | None
    failed: list[tuple[str, str]]  # images that could not be read, and why
    weights_sha256: str | None
    seconds: float
    key: RowKey


class ImproveReport(Struct, kw_only=True, rename={"category": "class"}, tag_field="format", tag=1):
    """improve.json: every network, before and after."""

    category: str | None
    concept: str | None
    rows: list[NetworkRow]
    versions: Versions


# ---------------------------------------------------------------- select and demo


class DrawnSplit(Struct):
    """How many scenes of a split of the demo's world are drawn."""

    scenes: int


class PlantedKey(Struct):
    """What the network of the demo's world was trained on, and how."""

    images: str
    recipe: RecipeKey
