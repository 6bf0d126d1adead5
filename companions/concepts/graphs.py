"""Concept graphs: what a network, or a person, names as the reasons for a class, and how the two differ.

A graph is a JSON object of regions, in the format that SA3's annotations are published in (Visual Genome's region graphs):

    {"1": {"objects": [{"object_id": 1, "name": "wing", "attributes": [], "x": 40, "y": 61, "w": 70, "h": 44}],
           "relationships": [{"relationship_id": 1, "subject_id": 1, "object_id": 2, "name": "on"}],
           "phrase": "a jay with a wing"}}

x, y, w, h are pixels of the picture, from its upper left corner. The concepts of a graph are the names of its objects.

    model = model_graph(regions, deviations, "jay", (224, 224))     # the regions that support the class
    human = read_graph(Path("annotations/jay.json"))        # ValueError with the place where it is damaged
    compare(concepts_of(model), concepts_of(human)).confounded

After "SA3: Semantic-aware Attribution Analysis" (EGDD + EGA); precision, recall and F1 are this project's own.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scoring.regions import UNLABELLED, Regions

RELEVANT = 0.01  # a score deviation above this makes a region a concept of the network


# ---------------------------------------------------------------- writing


def model_graph(
    regions: Regions,
    deviations: Sequence[float],
    category: str,
    size: tuple[int, int],
    relevant: float = RELEVANT,
) -> dict:
    """The regions whose score deviation for the class is above `relevant`, most supporting first, a graph of one object each.

    size: H, W of the picture that boxes are given in. Score deviations say nothing on how regions relate, so there are
    no relationships.
    """
    order, concepts = concept_order(regions, deviations, relevant)
    boxes = bounding_boxes(regions, size)
    return {
        str(n): one_object(n, regions.names[i], boxes[i], category)
        for n, i in enumerate(order[:concepts], 1)
    }


def concept_order(
    regions: Regions, deviations: Sequence[float], relevant: float = RELEVANT
) -> tuple[list[int], int]:
    """-> all regions, the network's concepts first and each part most supporting first; and how many concepts there are.

    What is unlabelled has no name that a person could agree with, so it is none.
    """
    by_deviation = np.argsort(-np.asarray(deviations), kind="stable").tolist()
    concepts = [
        i for i in by_deviation if deviations[i] > relevant and regions.names[i] != UNLABELLED
    ]
    return concepts + [i for i in by_deviation if i not in concepts], len(concepts)


def one_object(number: int, name: str, box: tuple[int, int, int, int], category: str) -> dict:
    """A region of a graph: one object and its phrase. box: x, y, w, h."""
    return {
        "objects": [
            {
                "object_id": number,
                "name": name,
                "attributes": [],
                **dict(zip("xywh", map(int, box))),
            }
        ],
        "relationships": [],
        "phrase": phrase(category, name),
    }


def phrase(category: str, concept: str) -> str:
    """a copper jay with an eye: what a region says, and what a picture is asked for with."""
    return " with ".join(
        f"{'an' if words[:1].lower() in 'aeiou' else 'a'} {words}" for words in (category, concept)
    )


def bounding_boxes(regions: Regions, size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """x, y, w, h of each region, in pixels of a picture of this size (H, W)."""
    (rows, columns), boxes = regions.index.shape, []
    for i in range(len(regions.names)):
        ys, xs = np.nonzero(regions.index == i)
        edges = [
            (int(v.min()) * p // n, -(-(int(v.max()) + 1) * p // n))
            for v, p, n in ((xs, size[1], columns), (ys, size[0], rows))
        ]
        (left, right), (top, bottom) = edges
        boxes.append((left, top, right - left, bottom - top))
    return boxes


# ---------------------------------------------------------------- reading


def read_graph(path: Path) -> dict:
    """A graph from its file. Raises ValueError, one line that says what is wrong where in the file."""
    try:
        graph = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}: line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}"
        ) from None
    try:
        _check(graph)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return graph


def _number(value) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and value == value
        and abs(value) < float("inf")
    )


def _name(value) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _identity(value) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


OBJECT = {
    "object_id": (_identity, "a number or text"),
    "name": (_name, "a name"),
    "attributes": (lambda v: isinstance(v, list), "a list"),
    **{side: (_number, "a number") for side in "xywh"},
}
RELATIONSHIP = {
    "relationship_id": OBJECT["object_id"],
    "subject_id": OBJECT["object_id"],
    "object_id": OBJECT["object_id"],
    "name": OBJECT["name"],
}


def _check(graph) -> None:
    """Raise ValueError with the place where it is not a graph."""
    if not isinstance(graph, dict):
        raise ValueError("not an object of regions")
    for number, region in graph.items():
        where = f"region {number}"
        if not isinstance(region, dict):
            raise ValueError(f"{where}: not an object")
        objects, relationships = (
            _entries(region, kind, fields, where)
            for kind, fields in (("objects", OBJECT), ("relationships", RELATIONSHIP))
        )
        if not isinstance(region.get("phrase"), str):
            raise ValueError(f"{where}: phrase is {_shown(region, 'phrase')}, not text")
        known = {o["object_id"] for o in objects}
        for n, relationship in enumerate(relationships):
            for end in ("subject_id", "object_id"):
                if relationship[end] not in known:
                    raise ValueError(
                        f"{where}, relationships {n}: {end} {relationship[end]!r} is no object of this region"
                    )


def _entries(
    region: dict, kind: str, fields: dict[str, tuple[Callable, str]], where: str
) -> list[dict]:
    entries = region.get(kind)
    if not isinstance(entries, list):
        raise ValueError(f"{where}: {kind} is {_shown(region, kind)}, not a list")
    for n, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise ValueError(f"{where}, {kind} {n}: not an object")
        for field, (good, what) in fields.items():
            if field not in entry or not good(entry[field]):
                raise ValueError(
                    f"{where}, {kind} {n}: {field} is {_shown(entry, field)}, not {what}"
                )
    return entries


def _shown(entry: dict, field: str) -> str:
    return repr(entry[field])[:40] if field in entry else "missing"


# ---------------------------------------------------------------- comparing


def plain(name: str) -> str:
    """A concept's name for comparison: lower case, one space between words, no underscores."""
    return " ".join(name.replace("_", " ").lower().split())


def concepts_of(graph: dict) -> list[str]:
    """The names of a graph's objects, each once, in their order."""
    return list(
        dict.fromkeys(plain(o["name"]) for region in graph.values() for o in region["objects"])
    )


@dataclass(frozen=True)
class Comparison:
    """What a network's and a person's concepts have in common. valid: both; confounded: the network's only; missed: the person's only.

    precision, recall, f1 are None where they would divide by nothing (a graph without a concept).
    """

    valid: list[str]
    confounded: list[str]
    missed: list[str]

    @property
    def precision(self) -> float | None:
        return _ratio(len(self.valid), len(self.valid) + len(self.confounded))

    @property
    def recall(self) -> float | None:
        return _ratio(len(self.valid), len(self.valid) + len(self.missed))

    @property
    def f1(self) -> float | None:
        return _ratio(
            2 * len(self.valid), 2 * len(self.valid) + len(self.confounded) + len(self.missed)
        )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def compare(model: Iterable[str], human: Iterable[str]) -> Comparison:
    """The network's concepts against the person's, by name."""
    model, human = [list(dict.fromkeys(map(plain, names))) for names in (model, human)]
    return Comparison(
        [c for c in model if c in human],
        [c for c in model if c not in human],
        [c for c in human if c not in model],
    )
