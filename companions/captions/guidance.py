"""Guidance of a captioner's attention by explanations.

An explanation graph says where the words of a caption are: a word that names an object, attribute
or relationship belongs to that one's box. The captioner's nodes of the same role at that place are
the word's target. The loss is the Kullback-Leibler divergence of the attention from the target,

    loss = mean over words with a target of sum_n t_n (log t_n - log a_n),

which is 0 exactly where the attention a equals the target t. (Ours: SA3's published guidance
filters the training data instead.)
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from companions.captions.scene_graph import (
    ATTRIBUTE,
    OBJECT,
    RELATIONSHIP,
    Box,
    SceneGraph,
    box_of,
    overlap,
    union,
)
from companions.concepts.graphs import Graph, Region

SAME_PLACE = 0.5  # least intersection over union of boxes that show the same thing
LEAST = 1e-12  # of an attention, in its logarithm

Named = tuple[str, int, Box]  # what an explanation names: words, role, place


def words_of(text: str) -> list[str]:
    """Return the words of a phrase, in lower case, without punctuation."""
    return re.findall(r"[\w'-]+", text.lower())


def named_places(graph: Graph) -> list[Named]:
    """Return everything that a graph names, and where."""
    return [named for region in graph.values() for named in _named_in(region)]


def _named_in(region: Region) -> Iterable[Named]:
    boxes = {entry.object_id: box_of(entry) for entry in region.objects}
    for entry in region.objects:
        yield entry.name, OBJECT, boxes[entry.object_id]
        for attribute in entry.attributes:
            yield str(attribute), ATTRIBUTE, boxes[entry.object_id]
    for link in region.relationships:
        yield link.name, RELATIONSHIP, union(boxes[link.subject_id], boxes[link.object_id])


def targets(words: Sequence[str], graph: SceneGraph, explained: Iterable[Named]) -> np.ndarray:
    """Return where the explanation puts each word.

    Args:
        words: of a caption.
        graph: of the captioner.
        explained: what the explanation names, and where.

    Returns:
        (words, nodes) float32; a row sums to 1, or is 0 where the explanation does not have the
        word.
    """
    result = np.zeros((len(words), len(graph)), np.float32)
    for name, role, box in explained:
        nodes = [
            node
            for node, (own_role, own_box) in enumerate(zip(graph.roles, graph.boxes, strict=True))
            if own_role == role and overlap(own_box, box) >= SAME_PLACE
        ]
        parts = set(words_of(name))
        for row, word in enumerate(words):
            if word in parts:
                result[row, nodes] = 1
    return result / np.maximum(result.sum(1, keepdims=True), 1)


def guidance_loss(attention: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean divergence of attention from its target.

    Args:
        attention: (..., N), sums to 1 over the nodes.
        target: of the same shape; rows of zeros do not count.

    Returns:
        A scalar of 0 or more; 0 without any target.
    """
    has_target = target.sum(-1) > 0
    log_ratio = target.clamp_min(LEAST).log() - attention.clamp_min(LEAST).log()
    divergence = (target * log_ratio).sum(-1)
    return (divergence * has_target).sum() / has_target.sum().clamp_min(1)
