"""A split as the captioner reads it: graphs with features, captions as numbers, targets.

examples = load_split(places, "trn", vocabulary)
batch = collate(examples[:8], device)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from companions.captions.decoding import MOST_WORDS
from companions.captions.files import Places, read_global_features, region_features
from companions.captions.guidance import named_places, targets, words_of
from companions.captions.model import GraphBatch
from companions.captions.scene_graph import SceneGraph, scene_graph
from companions.concepts.published_files import BOS, EOS, Vocabulary


@dataclass
class Example:
    """A region to caption.

    Attributes:
        image: its name.
        region: number of the region in the image's annotation.
        graph: of the region.
        caption: words of its phrase.
        target: where the explanation puts each word, (T, N); a row of zeros: nowhere.
        image_feature: (D,).
        nodes: features of the nodes, (N, D).
        words: numbers of the words, (T,).
    """

    image: str
    region: str
    graph: SceneGraph
    caption: list[str]
    target: np.ndarray
    image_feature: np.ndarray
    nodes: np.ndarray
    words: list[int]

    @property
    def name(self) -> str:
        """The region's name in the results."""
        return f"{self.image}/{self.region}"


def load_split(places: Places, split: str, vocabulary: Vocabulary) -> list[Example]:
    """Return the regions of a split.

    Raises:
        UserError: a file is missing or damaged, or lacks what the split names.
    """
    captioned = places.captioned(split)
    pairs = [pair for pair, _ in captioned]
    features = read_global_features(places.image_features(split), pairs)
    examples = []
    with region_features(places.regions) as regions:
        for ((image, number), region), feature in zip(captioned, features, strict=True):
            graph = scene_graph(region)
            caption = words_of(region.phrase)[:MOST_WORDS]
            explained = named_places(places.explanation(image))
            examples.append(
                Example(
                    image=image,
                    region=number,
                    graph=graph,
                    caption=caption,
                    target=targets(caption, graph, explained),
                    image_feature=feature,
                    nodes=regions.rows(image, graph.boxes),
                    words=[vocabulary.number(word) for word in caption],
                )
            )
    return examples


def require_known_words(examples: Sequence[Example], vocabulary: Vocabulary) -> None:
    """Check that the vocabulary has every word of the captions.

    Raises:
        UserError: it lacks one; the line names the word and its region.
    """
    for example in examples:
        for word in example.caption:
            vocabulary.require(word, source=f"region {example.name}")


def collate(examples: Sequence[Example], device: torch.device) -> GraphBatch:
    """Return the graphs of examples as one batch, padded to the largest."""
    most = max(len(example.graph) for example in examples)

    def padded(values) -> torch.Tensor:
        rows = [torch.as_tensor(np.asarray(value)) for value in values]
        return torch.stack([F.pad(row, _padding(row, most)) for row in rows])

    edges = [
        (i * most + source, i * most + target, kind)
        for i, example in enumerate(examples)
        for source, target, kind in example.graph.edges
    ]
    table = torch.tensor(edges, dtype=torch.long).reshape(-1, 3).T
    flow = [example.graph.flow_matrix() for example in examples]
    return GraphBatch(
        image=torch.from_numpy(np.stack([e.image_feature for e in examples])).to(device),
        nodes=padded(e.nodes for e in examples).to(device),
        roles=padded(e.graph.roles for e in examples).to(device),
        orders=padded(e.graph.orders for e in examples).to(device),
        mask=padded(np.ones(len(e.graph), bool) for e in examples).to(device),
        edges=table[:2].to(device),
        types=table[2].to(device),
        flow=torch.stack([F.pad(torch.from_numpy(m), (0, most - len(m)) * 2) for m in flow]).to(
            device
        ),
    )


def _padding(row: torch.Tensor, most: int) -> tuple[int, ...]:
    """Return F.pad's argument that lengthens the first dimension."""
    return (0, 0) * (row.dim() - 1) + (0, most - len(row))


@dataclass(frozen=True)
class Sentences:
    """Captions of a batch for training.

    Attributes:
        read: words that the decoder is given, (B, T + 1), the beginning first.
        expected: words that it is to say, (B, T + 1), the end last; -1: none.
        target: of its attention, (B, T + 1, N).
    """

    read: torch.Tensor
    expected: torch.Tensor
    target: torch.Tensor


def sentences(examples: Sequence[Example], nodes: int, device: torch.device) -> Sentences:
    """Return the captions of examples, padded to the longest; nodes: of the padded graphs."""
    length = max(len(example.words) for example in examples) + 1
    read = torch.full((len(examples), length), EOS)
    expected = torch.full((len(examples), length), -1)
    target = torch.zeros(len(examples), length, nodes)
    for row, example in enumerate(examples):
        words = torch.tensor(example.words, dtype=torch.long)
        read[row, 0] = BOS
        read[row, 1 : len(words) + 1] = words
        expected[row, : len(words)] = words
        expected[row, len(words)] = EOS
        target[row, : len(words), : len(example.graph)] = torch.from_numpy(example.target)
    return Sentences(read.to(device), expected.to(device), target.to(device))
