"""Scenes of the bundled world with graphs and captions, in the formats of companions/captions.

A scene's graph has the bird, one or two of its parts with their colours, and where it is; its
caption says the same: "a copper jay with a red crest stands on stone". The class, parts and
backgrounds are drawn at random, so that none of these words can be known without the image.

    region = annotated(scene, "copper jay", ["crest"])
    region["phrase"]                         # "a copper jay with a red crest stands on stone"
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from birds.painter import BACKGROUND, PARTS, VARIANTS, Scene
from birds.shapes import SIZE
from companions.concepts.graphs import with_article

RELATION = {  # background -> how the bird stands to it
    "sky": "flies in",
    "foliage": "hides in",
    "sand": "stands on",
    "water": "wades in",
    "stone": "stands on",
    "dusk": "stands at",
    "meadow": "stands in",
}
ARTICLE = {"sky": "the sky", "water": "the water", "meadow": "a meadow"}
PLURAL = "feet"


def annotated(scene: Scene, name: str, parts: Sequence[str]) -> dict[str, Any]:
    """Return a region of the published format: the bird, some of its parts, and its place.

    Args:
        scene: of one bird.
        name: of its class.
        parts: to name, in this order.
    """
    ys, xs = np.nonzero(scene.labels != BACKGROUND)
    bird = (int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max()))
    objects = [_object(1, name, bird)]
    relationships = []
    for part in parts:
        number = len(objects) + 1
        objects.append(_object(number, part, scene.boxes[part], [colour_of(scene, part)]))
        relationships.append(_relationship(number - 1, "with", 1, number))
    number = len(objects) + 1
    objects.append(_object(number, scene.background, (0, 0, SIZE - 1, SIZE - 1)))
    relationships.append(_relationship(number - 1, RELATION[scene.background], 1, number))
    return {
        "objects": objects,
        "relationships": relationships,
        "phrase": caption(scene, name, parts),
    }


def caption(scene: Scene, name: str, parts: Sequence[str]) -> str:
    """Return what a person would say about a scene."""
    coloured = [f"{colour_of(scene, part)} {part}" for part in parts]
    named = [words if words.endswith(PLURAL) else with_article(words) for words in coloured]
    place = ARTICLE.get(scene.background, scene.background)
    relation = RELATION[scene.background]
    return f"{with_article(name)} with {' and '.join(named)} {relation} {place}"


def colour_of(scene: Scene, part: str) -> str:
    """Return the name of a part's main colour."""
    return VARIANTS[part][scene.variants[PARTS.index(part)]][1]


def _object(number: int, name: str, box: Sequence[int], attributes: Sequence[str] = ()) -> dict:
    x0, y0, x1, y1 = box
    return {
        "object_id": number,
        "name": name,
        "attributes": list(attributes),
        "x": x0,
        "y": y0,
        "w": x1 - x0 + 1,
        "h": y1 - y0 + 1,
    }


def _relationship(number: int, name: str, subject: int, target: int) -> dict:
    return {
        "relationship_id": number,
        "subject_id": subject,
        "object_id": target,
        "name": name,
    }
