"""What was measured on one image under one condition: a typed file, from which all tables are made.

    measurement = decode_measurement(path.read_bytes(), condition="beam15")
    measurement.finding.roots[0].patches, measurement.finding.evaluations.scored

The finding's type depends on the condition: MainJobFinding for beam3, the choices by name for
choices, Held for the searches that are held to a number of sets, EstimatesFinding for estimates,
SearchFinding for all others.
"""

from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct

from drawing.record import Baseline, Category, Curves, Evaluations, Graph, Sag, Scores
from scoring.patch_sets import PatchSet

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels, the last row and column included


class FoundRoot(Struct, frozen=True):
    """One MSE that a search found."""

    patches: PatchSet
    probability: float
    minimal: Literal["subset", "single"]


class FoundRoots(Struct, kw_only=True):
    """The MSEs of one search, and the largest diverse subsets among them."""

    roots: list[FoundRoot]
    stopped_by: str
    diverse: dict[int, int]  # by overlap: the number of MSEs in the diverse subset
    diverse_proven: dict[int, bool]  # by overlap: whether no larger subset exists


class Cost(Struct):
    """How many sets a search asked for, and how many the network scored."""

    asked: int
    scored: int


class Scored(Struct):
    """How many different sets a search asked for; other searches may have scored them before."""

    scored: int


class SearchSeconds(Struct):
    """Duration of saliency mask and search."""

    mask: float
    search: float


class SearchFinding(FoundRoots, kw_only=True):
    """What one search found, starting with an empty memo."""

    evaluations: Cost
    seconds: SearchSeconds


class ChoiceFinding(FoundRoots, kw_only=True):
    """What BeamS-3 found with one choice changed."""

    evaluations: Scored


Choices = dict[str, ChoiceFinding]  # by what was changed; "as it is" is the reference


class HeldFinding(Struct, kw_only=True):
    """What a search found within a number of sets."""

    roots: list[FoundRoot]
    stopped_by: str
    scored: int  # different sets that it asked about
    diverse: int  # MSEs no two of which share more than one patch
    diverse_proven: int  # the same among those that are proven against every subset


Held = dict[str, HeldFinding]  # by what was changed


class Question(Struct, frozen=True):
    """One question of the simulated study: two patch sets, and the answer."""

    a: PatchSet
    b: PatchSet
    relative: tuple[float, float]  # confidences of a and b, relative to the full image


class MainJobSeconds(Struct, kw_only=True):
    """Duration of each step of the main job, and of drawing and scoring the questions."""

    mask: float
    search: float
    tree: float
    curves: float
    questions: float


class MainJobFinding(FoundRoots, kw_only=True):
    """What the main job found (fields as in sag.json), and questions for the simulated study."""

    category: Category
    probability: float
    baseline: Baseline
    grid: tuple[int, int]
    saliency: list[float]
    gradcam: list[list[float]] | None
    diverse_roots: list[int]
    diverse_set: list[int]
    sag: Graph
    curves: Curves | None
    evaluations: Evaluations
    questions: list[Question]
    seconds: MainJobSeconds


class Fresh(Struct, frozen=True):
    """A set that no record has, and its confidence relative to the full image."""

    patches: PatchSet
    relative: float
    is_near: bool  # the whole image less a few patches


class AskedAhead(Struct, frozen=True):
    """The sets that were asked ahead with one budget."""

    drawn: list[PatchSet]  # at random
    scores: Scores


class EstimatesFinding(Struct, kw_only=True):
    """Records of one image, and questions about sets that they do not have."""

    records: dict[str, Sag]  # by search
    pairs: list[Question]
    near_pairs: list[Question]
    fresh: list[Fresh]
    asked: dict[str, dict[int, AskedAhead]]  # by search, then by budget


class Key(Struct, kw_only=True):
    """What must agree for a measurement to be kept: image, model, settings of its condition."""

    identity: str  # of the image
    model: dict[str, Any]
    condition: str
    settings: dict[str, Any]
    choices: dict[str, Any] | None  # what the condition tries beyond the settings


Finding = TypeVar("Finding")


class Measurement(Struct, Generic[Finding], kw_only=True, tag_field="format", tag=1):
    """The file of one image and condition."""

    image: str
    condition: str
    category: int  # index of the class that was explained: the most probable
    label: int | None  # index of the class that the image shows, where it is known
    boxes: dict[str, Box] | None  # of the parts of a drawn scene
    size: tuple[int, int]  # height and width of the network's input
    grid: tuple[int, int]  # rows and columns of patches
    seed: int
    finding: Finding
    key: Key
    versions: dict[str, str | None]


MainJobMeasurement = Measurement[MainJobFinding]
SearchMeasurement = Measurement[SearchFinding]
ChoicesMeasurement = Measurement[Choices]
HeldMeasurement = Measurement[Held]
EstimatesMeasurement = Measurement[EstimatesFinding]
HELD = ("orders", "budgets", "first")  # conditions whose finding is Held


def decode_measurement(content: bytes, condition: str) -> Measurement:
    """Return the measurement in a file's bytes.

    Raises:
        ValueError: not a measurement of this condition; the message is one line.
    """
    kinds: dict[str, Any] = {
        "beam3": MainJobMeasurement,
        "choices": ChoicesMeasurement,
        "estimates": EstimatesMeasurement,
    }
    kinds |= dict.fromkeys(HELD, HeldMeasurement)
    kind = kinds.get(condition, SearchMeasurement)
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from None


def encode_measurement(measurement: Measurement) -> bytes:
    """Return a measurement as the bytes of its file.

    Raises:
        ValueError: it could not be read again, for example because of a NaN.
    """
    content = msgspec.json.encode(measurement)
    decode_measurement(content, measurement.condition)
    return content + b"\n"
