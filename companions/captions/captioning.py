"""Captions of a split: decoded, kept with the attention of each word, and found again.

captions = kept_captions(results, examples, places=places, split="val", beam=5, device=device)
captions.captions[0].words, captions.captions[0].attention
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from msgspec import Struct
from tqdm import tqdm

from companions.captions.data import Example, collate
from companions.captions.decoding import decode
from companions.captions.files import Places
from companions.captions.scene_graph import ROLES, Box
from companions.captions.training import CHECKPOINT, Trained, load_trained
from companions.concepts.records import read_typed, write_typed
from utils import UserError, file_sha256

BATCH = 50  # graphs that are encoded at once


class Node(Struct):
    """A node of the captioned graph."""

    name: str
    role: str
    box: Box


class CaptionRecord(Struct, kw_only=True):
    """A region's caption, and where the captioner looked at each of its words."""

    image: str
    region: str
    caption: str
    reference: str  # of the annotation
    score: float  # mean log probability of a word
    nodes: list[Node]
    words: list[str]
    attention: list[list[float]]  # of each word over the nodes

    @property
    def name(self) -> str:
        """The region's name."""
        return f"{self.image}/{self.region}"


class Key(Struct):
    """What must agree for captions to stand."""

    checkpoint: str  # SHA-256 of the file
    features: list[str]  # the same of global and region features
    beam: int
    regions: str  # SHA-256 of the split, graphs and phrases


class Captions(Struct, tag_field="format", tag=1):
    """captions_<split>.json: the captions of a split, in its order."""

    key: Key
    captions: list[CaptionRecord]


def caption_split(
    trained: Trained,
    examples: Sequence[Example],
    *,
    beam: int,
    key: Key,
    on_batch: Callable[[int], None] = lambda count: None,
) -> Captions:
    """Return the captions of examples.

    Args:
        trained: the captioner.
        examples: regions with their features.
        beam: width of the search; 1: greedy.
        key: goes into the result.
        on_batch: called with the number of captions after each batch.
    """
    device = next(trained.captioner.parameters()).device
    records = []
    for start in range(0, len(examples), BATCH):
        chosen = examples[start : start + BATCH]
        for example, one in zip(
            chosen, decode(trained.captioner, collate(chosen, device), beam=beam), strict=True
        ):
            words = [trained.vocabulary.words[number] for number in one.words]
            attention = one.attention[:, : len(example.graph)].tolist()
            records.append(
                CaptionRecord(
                    image=example.image,
                    region=example.region,
                    caption=" ".join(words),
                    reference=" ".join(example.caption),
                    score=one.score,
                    nodes=list(_nodes(example)),
                    words=words,
                    attention=[[round(value, 6) for value in row] for row in attention],
                )
            )
        on_batch(len(chosen))
    return Captions(key, records)


def _nodes(example: Example) -> Iterator[Node]:
    graph = example.graph
    for name, role, box in zip(graph.names, graph.roles, graph.boxes, strict=True):
        yield Node(name, ROLES[role], box)


# ---------------------------------------------------------------- kept for the next step


def kept_captions(
    results: Path,
    examples: Sequence[Example],
    *,
    places: Places,
    split: str,
    beam: int,
    device: torch.device,
) -> Captions:
    """Return the captions of a split: those in captions_<split>.json where they still hold.

    Args:
        results: folder of the training; captions are written there.
        examples: of the split.
        places: of the files that the examples come from.
        split: its name.
        beam: width of the search.
        device: to decode on.

    Raises:
        UserError: there is no captioner, or it was trained on other features.
    """
    path = results / f"captions_{split}.json"
    trained = load_trained(results, device)
    _check_widths(trained, examples, results)
    sources = [places.image_features(split), places.regions]
    key = Key(
        checkpoint=file_sha256(results / CHECKPOINT),
        features=[file_sha256(source) for source in sources],
        beam=beam,
        regions=_identity(examples),
    )
    kept = read_typed(path, Captions)
    if kept and kept.key == key:
        return kept
    with tqdm(total=len(examples), desc="caption", unit="caption", disable=None) as bar:
        made = caption_split(trained, examples, beam=beam, key=key, on_batch=bar.update)
    write_typed(path, made)
    return made


def _check_widths(trained: Trained, examples: Sequence[Example], results: Path) -> None:
    shape = trained.captioner.shape
    found = (len(examples[0].image_feature), examples[0].nodes.shape[1])
    if found != (shape.global_width, shape.region_width):
        raise UserError(
            f"{results / CHECKPOINT}: trained on features of {shape.global_width} and "
            f"{shape.region_width} numbers (image and region); these have {found[0]} and {found[1]}"
        )


def _identity(examples: Sequence[Example]) -> str:
    digest = hashlib.sha256()
    for example in examples:
        graph = example.graph
        content = (example.name, example.caption, graph.names, graph.roles, graph.boxes)
        digest.update(repr((*content, graph.edges, graph.flow)).encode())
    return digest.hexdigest()
