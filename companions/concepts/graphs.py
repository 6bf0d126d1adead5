"""Concept graphs: what a network, or a person, names as the reasons for a class.

A graph is a JSON object of regions, in the format that SA3's annotations are published in (Visual
Genome's region graphs):

    {"1": {"objects": [{"object_id": 1, "name": "wing", "attributes": [], "x": 40, "y": 61,
                        "w": 70, "h": 44}],
           "relationships": [{"relationship_id": 1, "subject_id": 1, "object_id": 2, "name": "on"}],
           "phrase": "a jay with a wing"}}

x, y, w, h are pixels of the image, from its upper left corner. The concepts of a graph are the
names of its objects. Its statements are these, their attributes and their relationships.

    ranked = rank_regions(regions, deviations)
    graph = model_graph(regions, ranked, category="jay", size=(224, 224))
    human = read_graph(Path("annotations/jay.json"))    # ValueError with the place of the damage

After "SA3: Semantic-aware Attribution Analysis" (EGDD + EGA).
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct

from companions.concepts.files import read_json
from companions.concepts.region_facts import Relation
from scoring.fitting import Fit
from scoring.labels import plain_name
from scoring.regions import UNLABELLED, Regions

RELEVANT = 0.01  # a score deviation above this makes a region a concept of the network

Identity = int | str
Name = Annotated[str, Meta(pattern=r"\S")]


class Object(Struct, kw_only=True):
    """A named thing of a region, and its bounding box in pixels."""

    object_id: Identity
    name: Name
    attributes: list[str]
    x: float
    y: float
    w: float
    h: float

    def __post_init__(self) -> None:
        for side in ("x", "y", "w", "h"):
            value = getattr(self, side)
            if not math.isfinite(value):
                raise ValueError(f"{side} is {value}, not a number")


class Relationship(Struct, kw_only=True):
    """How two objects of a region relate."""

    relationship_id: Identity
    subject_id: Identity
    object_id: Identity
    name: Name


class Region(Struct, kw_only=True):
    """A region of a graph: its objects, their relationships, and a phrase."""

    objects: list[Object]
    relationships: list[Relationship]
    phrase: str

    def __post_init__(self) -> None:
        known = {entry.object_id for entry in self.objects}
        for number, relationship in enumerate(self.relationships):
            for end in ("subject_id", "object_id"):
                identity = getattr(relationship, end)
                if identity not in known:
                    raise ValueError(
                        f"relationships {number}: {end} {identity!r} is no object of this region"
                    )


Graph = dict[str, Region]


# ---------------------------------------------------------------- of a network


@dataclass(frozen=True)
class RankedRegions:
    """The regions of an image by score deviation.

    Attributes:
        order: indices of all regions: the network's concepts, then the others, each part with the
            most supporting region first.
        concepts: how many of them are concepts of the network.
        deviations: (regions,) float32, by region index.
    """

    order: list[int]
    concepts: int
    deviations: np.ndarray

    def is_concept(self, number: int) -> bool:
        """Return whether the region of this number, from 1, is a concept of the network."""
        return number <= self.concepts


def rank_regions(
    regions: Regions, deviations: Sequence[float] | np.ndarray, relevant: float = RELEVANT
) -> RankedRegions:
    """Return the regions ranked by their score deviation for a class.

    What is unlabelled has no name that a person could agree with, so it is no concept.

    Args:
        regions: of the image.
        deviations: (regions,), the score deviation of each.
        relevant: a concept has a score deviation above this.
    """
    deviations = np.asarray(deviations)
    by_deviation = np.argsort(-deviations, kind="stable").tolist()
    concepts = [
        i for i in by_deviation if deviations[i] > relevant and regions.names[i] != UNLABELLED
    ]
    others = [i for i in by_deviation if i not in concepts]
    return RankedRegions(concepts + others, len(concepts), deviations=deviations)


def model_graph(
    regions: Regions,
    ranked: RankedRegions,
    *,
    category: str,
    size: tuple[int, int],
    fit: Fit | None = None,
    attributes: Mapping[int, list[str]] | None = None,
    relations: Sequence[Relation] = (),
) -> Graph:
    """Return the concepts of the network as a graph, most supporting first.

    Each concept is a region of one object. Each relation is one more region, of two objects.

    Args:
        regions: of the image.
        ranked: the same, ranked.
        category: name of the class.
        size: height and width of the image that boxes are given in.
        fit: how it came to the regions' index map; None: straight.
        attributes: of the region of each index; see region_facts.py.
        relations: between concepts; see region_facts.py.
    """
    boxes = bounding_boxes(regions, size, fit)
    objects = {}
    for number, i in enumerate(ranked.order[: ranked.concepts], 1):
        x, y, w, h = boxes[i]
        own = list((attributes or {}).get(i, []))
        objects[i] = Object(
            object_id=number, name=regions.names[i], attributes=own, x=x, y=y, w=w, h=h
        )
    graph = {
        str(one.object_id): Region(
            objects=[one], relationships=[], phrase=phrase(category, one.name)
        )
        for one in objects.values()
    }
    for number, relation in enumerate(relations, 1):
        subject = objects[relation.subject]
        other = objects[relation.object]
        graph[str(len(objects) + number)] = _relation_region(number, subject, relation.name, other)
    return graph


def _relation_region(number: int, subject: Object, name: str, other: Object) -> Region:
    relationship = Relationship(
        relationship_id=number,
        subject_id=subject.object_id,
        object_id=other.object_id,
        name=name,
    )
    words = f"{with_article(subject.name)} {name} {with_article(other.name)}"
    return Region(objects=[subject, other], relationships=[relationship], phrase=words)


def phrase(category: str, concept: str) -> str:
    """Return a phrase such as "a copper jay with an eye"."""
    return f"{with_article(category)} with {with_article(concept)}"


def with_article(words: str) -> str:
    """Return words after "a" or "an", as their first letter asks."""
    article = "an" if words[:1].lower() in "aeiou" else "a"
    return f"{article} {words}"


def bounding_boxes(
    regions: Regions, size: tuple[int, int], fit: Fit | None = None
) -> list[tuple[int, int, int, int]]:
    """Return x, y, w, h of each region, in pixels of the image, rounded outwards.

    Args:
        regions: of the image.
        size: its height and width.
        fit: how it came to the regions' index map; None: straight.
    """
    height, width = size
    fit = fit or Fit(regions.index.shape)
    boxes = []
    for i in range(len(regions.names)):
        ys, xs = np.nonzero(regions.index == i)
        edges = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
        left, top, right, bottom = fit.in_image(edges, size=(width, height))
        boxes.append((left, top, right - left, bottom - top))
    return boxes


# ---------------------------------------------------------------- reading


def read_graph(path: Path) -> Graph:
    """Return a graph from its file.

    Raises:
        ValueError: one line that says what is wrong where in the file.
    """
    return graph_of_json(read_json(path), path)


def graph_of_json(regions: Any, path: Path) -> Graph:
    """Return a graph from the content of its file.

    Args:
        regions: the content.
        path: the file, for messages.

    Raises:
        ValueError: one line that says what is wrong where.
    """
    if not isinstance(regions, dict):
        raise ValueError(f"{path}: not an object of regions")
    graph = {}
    for number, region in regions.items():
        try:
            graph[number] = msgspec.convert(region, Region)
        except msgspec.ValidationError as error:
            raise ValueError(f"{path}: region {number}{_place_and_problem(error)}") from None
    return graph


def _place_and_problem(error: msgspec.ValidationError) -> str:
    """Return msgspec's "problem - at `$.objects[0].x`" as ", objects 0, x: problem"."""
    problem, _, path = str(error).partition(" - at `$")
    place = re.sub(r"\[(\d+)\]", r" \1", path.rstrip("`")).replace(".", ", ")
    return f"{place}: {problem}"


def concepts_of(graph: Graph) -> list[str]:
    """Return the names of a graph's objects, normalised, each once, in their order."""
    names = [plain_name(entry.name) for region in graph.values() for entry in region.objects]
    return list(dict.fromkeys(names))


# ---------------------------------------------------------------- statements

# How relations are compared: these say the same as that one, or as that one turned around.
SAME = {
    "over": "above",
    "under": "below",
    "beneath": "below",
    "underneath": "below",
    "to the left of": "left of",
    "to the right of": "right of",
    "in": "inside",
    "within": "inside",
}
TURNED = {"below": "above", "right of": "left of", "contains": "inside"}


def attributes_of(graph: Graph) -> list[str]:
    """Return "(wing, red)" for each attribute, normalised, each once, in their order."""
    pairs = [
        f"({plain_name(entry.name)}, {plain_name(attribute)})"
        for region in graph.values()
        for entry in region.objects
        for attribute in entry.attributes
        if plain_name(attribute)
    ]
    return list(dict.fromkeys(pairs))


def relationships_of(graph: Graph) -> list[str]:
    """Return "(crest, above, beak)" for each relationship, normalised, each once, in their order.

    "b below a" is "a above b", so that the direction in which it was written does not matter; see
    SAME and TURNED.
    """
    triples = []
    for region in graph.values():
        names = {entry.object_id: plain_name(entry.name) for entry in region.objects}
        for one in region.relationships:
            subject = names[one.subject_id]
            other = names[one.object_id]
            relation = plain_name(one.name)
            relation = SAME.get(relation, relation)
            if relation in TURNED:
                triples.append(f"({other}, {TURNED[relation]}, {subject})")
            else:
                triples.append(f"({subject}, {relation}, {other})")
    return list(dict.fromkeys(triples))
