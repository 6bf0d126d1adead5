"""The record of one image and class: what sag.json holds, typed.

    sag = decode_sag(Path("Results/peacock/sag.json").read_bytes())
    sag.roots[0].patches, sag.roots[0].probability
    sag.sag.nodes[3].relative
    scores_of(sag)[(11, 30)]                # the float32 confidence of a set that was scored

Figures and pages are drawn from a record alone. A file is validated here, when it is read: types,
ranges and every index. Code that holds a Sag need not check it again.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from scoring.fitting import Filter, Fit, Resize
from scoring.patch_sets import PatchSet

Index = Annotated[int, Meta(ge=0)]
Probability = Annotated[float, Meta(ge=0, le=1)]
NonNegative = Annotated[float, Meta(ge=0)]
# A probability that float32 arithmetic may have put just above 1.
Confidence = Annotated[float, Meta(ge=0, le=1.0001)]
# Patch sets as hexadecimal numbers separated by spaces; see Scores.
PackedSets = Annotated[str, Meta(pattern=r"^([0-9a-f]+( [0-9a-f]+)*)?$")]

MOST_PIXELS = 10_000  # along a side of an image as the network saw it


class Resizing(Struct):
    """How images came to the network's input size: the fields of scoring.fitting.Fit."""

    method: Resize = "squash"
    short_side: int | None = None
    filter: Filter = "bilinear"


class Model(Struct, kw_only=True):
    """The network, by everything that changes its answers."""

    name: str
    weights_sha256: str
    classes: int
    code_sha256: str | None = None  # of FILE.py or of a folder's config.json
    modules: dict[str, str] | None = None  # checksums of what it imports from its folder
    mean: list[float] = []
    std: list[float] = []
    labels_sha256: str = ""
    resize: Resizing = msgspec.field(default_factory=Resizing)
    output: Literal["logits", "probabilities"] = "logits"  # that its module returns

    def fit(self, size: tuple[int, int]) -> Fit:
        """Return how images came to this height and width."""
        return Fit(size, **msgspec.structs.asdict(self.resize))


class Category(Struct):
    """A class: index and name."""

    index: Index
    name: str


class Baseline(Struct):
    """What hides a patch, and the class's probability when every patch is hidden.

    others: the same of other baselines, where this one keeps the class.
    """

    name: str
    probability: Confidence
    others: dict[str, Confidence] | UnsetType = UNSET


class Search(Struct):
    """How the search ran and why it ended."""

    method: str
    complete: bool
    stopped_by: str


class Node(Struct):
    """One patch set of the graph."""

    patches: PatchSet
    probability: Confidence
    relative: NonNegative  # probability / probability of the full image


class Check(Struct):
    """How far a large set's minimality was checked.

    No subset that lacks up to `lacking` patches counts, nor any of `drawn` others; so at most the
    share at_most of the others does, at 95 % confidence.
    """

    lacking: int
    drawn: int
    at_most: Probability


class Root(Node):
    """One minimal sufficient explanation (MSE)."""

    minimal: Literal["subset", "single"]  # proven against every subset, or against single removals
    found_by: Literal["diverse"] | UnsetType = UNSET  # the search that added it to another's
    checked: Check | UnsetType = UNSET  # of a drawn one of more than 10 patches


class Edge(Struct, array_like=True):
    """One deletion: parent and child are indices into the nodes; patch is what was removed."""

    parent: Index
    child: Index
    patch: Index


class Graph(Struct, kw_only=True):
    """The Structured Attention Graph."""

    nodes: list[Node]
    edges: list[Edge]
    complete: bool = True
    stopped_by: str | None = None


class Needed(Struct, kw_only=True):
    """What the class cannot do without: minimal breaking sets, and their graph.

    patches of a root or node are those that are hidden; its probability is that of the rest.
    disjoint: number of pairs of an MSE and a breaking set without a common patch. A monotone
    network has none.
    """

    search: Search
    roots: list[Root]
    diverse_roots: list[Index]
    diverse_set: list[Index]
    diverse_set_proven: bool = False
    explanation_map: list[NonNegative] = []  # of all breaking sets, likewise
    cnf: str  # what must show: P11 & (P24 | P25)
    sag: Graph
    disjoint: int = 0


class Curve(Struct, omit_defaults=True):
    """Insertion and deletion curve of one order of the patches, with their areas.

    insertion_patches, deletion_patches: at each point, how many patches are shown or hidden.
    """

    insertion: list[float]
    deletion: list[float]
    insertion_area: float
    deletion_area: float
    insertion_patches: list[Index] = []
    deletion_patches: list[Index] = []


class Curves(Struct, omit_defaults=True):
    """The curves of the explanations that exist.

    patches: in older records, the counts of all curves. Each curve is given them when it is read.
    """

    patches: list[Index] | None = None
    igos: Curve | None = None
    gradcam: Curve | None = None
    roots: Curve | None = None
    explanations: Curve | None = None  # by the map of all explanations

    def __post_init__(self) -> None:
        """Give the curves of an older record their counts, and check the counts of all."""
        for curve in self.by_name().values():
            curve.insertion_patches = curve.insertion_patches or list(self.patches or [])
            curve.deletion_patches = curve.deletion_patches or list(self.patches or [])
            _require_points(curve.insertion_patches, curve.insertion)
            _require_points(curve.deletion_patches, curve.deletion)
        self.patches = None

    def by_name(self) -> dict[str, Curve]:
        """Return the curves that exist, by the name of their order of the patches."""
        named = {
            "igos": self.igos,
            "gradcam": self.gradcam,
            "roots": self.roots,
            "explanations": self.explanations,
        }
        return {name: curve for name, curve in named.items() if curve is not None}


class Scores(Struct):
    """Every set whose float32 confidence is known.

    sets: hexadecimal numbers separated by spaces; bit p is set where patch p is visible.
    """

    sets: PackedSets = ""
    probabilities: list[Confidence] = []


class WhatIf(Struct, kw_only=True):
    """What was scored so that the table can answer a reader's questions.

    drawn: sets drawn at random, as Scores has its sets; their confidences are in scores.
    """

    drawn: PackedSets = ""


class Evaluations(Struct, kw_only=True):
    """How many sets were asked for and scored."""

    asked: int
    scored: int
    scored_again: int = 0
    scored_for_curves: int = 0
    precision: str = "float32"
    backend: str = "torch"  # what ran the search's passes in it; all others are PyTorch's
    doubted: int = 0
    disagreed: int = 0
    shared: int | UnsetType = UNSET  # answers that another class's passes brought, if any
    passes: dict[str, dict[str, int]] = {}  # by step, then by precision or "gradient"


class Seconds(Struct, kw_only=True):
    """Duration of each step, in seconds."""

    mask: float = 0.0
    search: float = 0.0
    tree: float = 0.0
    needed: float = 0.0
    what_if: float = 0.0
    curves: float = 0.0
    draw: float = 0.0
    total: float = 0.0


class RegionMap(Struct, kw_only=True, rename={"source": "from"}):
    """Named regions in place of the grid.

    map: the index map as a base64 PNG in which region i has grey level i.
    """

    names: list[str]
    labels: list[int]
    areas: list[Probability]
    map: str
    source: dict[str, Any] = {}  # what must agree for the regions to be the same


class Sag(Struct, kw_only=True, dict=True, tag_field="format", tag=1):
    """The record of one image and class; docs/record.md describes every field."""

    image: str
    image_sha256: str
    pixels_sha256: str | None = None  # of the image as the network saw it
    size: tuple[int, int]  # height and width of the network's input
    model: Model
    regions: RegionMap | UnsetType = UNSET  # false where the image is cut by the grid
    category: Category
    against: Category | UnsetType = UNSET  # confidences are the sigmoid of the margin to this class
    probability: Confidence
    baseline: Baseline
    grid: tuple[int, int]  # rows and columns; 1 and the number of regions for named regions
    threshold: Probability  # share of the full image's confidence above which a set is sufficient
    node_threshold: Probability | UnsetType = UNSET  # of nodes that are expanded
    saliency: list[float]
    gradcam: list[list[float]] | None = None
    explanation_map: list[NonNegative] = []  # of all MSEs, a weight per patch; see scoring/
    search: Search
    roots: list[Root]
    diverse_roots: list[Index]
    diverse_set: list[Index]
    diverse_set_proven: bool = False
    dnf: str
    sag: Graph
    needed: Needed | UnsetType = UNSET  # where --explain asks for it
    curves: Curves | None = None
    scores: Scores = msgspec.field(default_factory=Scores)
    what_if: WhatIf | UnsetType = UNSET  # where sets were scored for readers' questions
    evaluations: Evaluations
    seconds: Seconds
    settings: dict[str, Any]
    versions: dict[str, str | None]
    files: list[str] = []  # drawn with it, as paths below its folder

    def __post_init__(self) -> None:
        """Check what types cannot say: every index points at something that exists."""
        _require(min(self.grid) >= 1, "grid: less than one row or column")
        _require(min(self.size) >= 1, "size: less than one pixel")
        _require(max(self.size) <= MOST_PIXELS, f"size: more than {MOST_PIXELS} pixels")
        _require(self.category.index < self.model.classes, "category: the model has no such class")
        if self.against:
            _require(self.against.index < self.model.classes, "against: there is no such class")
        _require(len(self.saliency) == self.num_patches, "saliency: not one number per patch")
        _require_indices(self, self.num_patches)
        if self.needed:
            _require_indices(self.needed, self.num_patches)
        curves = self.curves.by_name() if self.curves else {}
        for curve in curves.values():
            largest = max(curve.insertion_patches[-1], curve.deletion_patches[-1])
            _require(largest <= self.num_patches, "curves: more patches than there are")
        sets = len(self.scores.sets.split())
        _require(sets == len(self.scores.probabilities), "scores: not one probability per set")
        if self.regions:
            _require(
                len(self.regions.names) == self.num_patches, "regions: not one name per region"
            )

    @property
    def title(self) -> str:
        """What is explained: the class, or why it rather than another."""
        if self.against:
            return f"{self.category.name} rather than {self.against.name}"
        return self.category.name

    @property
    def num_patches(self) -> int:
        """Number of patches of the grid, or of regions."""
        return self.grid[0] * self.grid[1]

    @property
    def region_names(self) -> list[str] | None:
        """Names of the regions; None where the image is cut by the grid."""
        return self.regions.names if self.regions else None


def _require_indices(side: Sag | Needed, num_patches: int) -> None:
    """Check that the indices of roots, nodes and patches point at something that exists."""
    for index in (*side.diverse_roots, *side.diverse_set):
        _require(index < len(side.roots), f"diverse_roots, diverse_set: no root {index}")
    for edge in side.sag.edges:
        last = max(edge.parent, edge.child)
        _require(last < len(side.sag.nodes), f"sag.edges: no node {last}")
        _require(edge.patch < num_patches, f"sag.edges: no patch {edge.patch}")
    patch_sets: list[Node] = [*side.roots, *side.sag.nodes]
    for patch_set in patch_sets:
        largest = max(patch_set.patches, default=0)
        smallest = min(patch_set.patches, default=0)
        _require(smallest >= 0 and largest < num_patches, f"no patch {largest}")


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def _require_points(counts: list[int], heights: list[float]) -> None:
    _require(len(counts) == len(heights) > 0, "curves: not one count of patches per point")
    _require(counts == sorted(set(counts)), "curves: counts of patches do not ascend")


# ---------------------------------------------------------------- to and from JSON


class _NoFormat(Struct, tag_field="format", tag=0):
    """Format 0, which no record has: only where there are two does msgspec require the field."""


def decode_sag(content: bytes) -> Sag:
    """Return the record in the bytes of a sag.json.

    Raises:
        ValueError: not JSON, or not a record of this format; the message is one line.
    """
    try:
        sag: Sag | _NoFormat = msgspec.json.decode(content, type=Sag | _NoFormat)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    if isinstance(sag, _NoFormat):
        raise ValueError("no record has the format 0")
    return sag


def encode_sag(sag: Sag) -> bytes:
    """Return a record as the bytes of a sag.json.

    Raises:
        ValueError: the record would not be valid when read, for example because of a NaN.
    """
    content = msgspec.json.encode(sag)
    decode_sag(content)
    return msgspec.json.format(content, indent=1) + b"\n"


# ---------------------------------------------------------------- the table of scored sets


def pack_scores(table: Mapping[PatchSet, float]) -> Scores:
    """Return a table from patch sets to probabilities as the record stores it.

    Smaller sets come first; probabilities are rounded to the seven digits of float32.
    """
    rows = sorted(table.items(), key=lambda row: (len(row[0]), row[0]))
    return Scores(
        sets=packed(patches for patches, _ in rows),
        probabilities=[float(f"{probability:.7g}") for _, probability in rows],
    )


def scores_of(sag: Sag) -> dict[PatchSet, float]:
    """Return every set whose float32 confidence the record knows.

    These are the sets listed as scored, the roots and nodes, the full image and the baseline.
    """
    table = dict(zip(sets_of(sag.scores.sets), sag.scores.probabilities))
    entries: list[Node] = [*sag.roots, *sag.sag.nodes]
    for entry in entries:
        table[entry.patches] = entry.probability
    table[tuple(range(sag.num_patches))] = sag.probability
    table[()] = sag.baseline.probability
    return table


def packed(sets: Iterable[PatchSet]) -> str:
    """Return sets as hexadecimal numbers separated by spaces; see Scores."""
    numbers = (sum(1 << patch for patch in patches) for patches in sets)
    return " ".join(f"{number:x}" for number in numbers)


def sets_of(text: str) -> list[PatchSet]:
    """Return the sets that a text of hexadecimal numbers stands for; see Scores."""
    return [patches_of_bits(int(number, 16)) for number in text.split()]


def patches_of_bits(number: int) -> PatchSet:
    """Return the positions of the bits that are set, in ascending order."""
    return tuple(bit for bit in range(number.bit_length()) if number >> bit & 1)
