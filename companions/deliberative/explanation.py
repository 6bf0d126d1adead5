"""Deliberative explanations: the insecurities of an image, each checked by removing its region.

    network = load_network("resnet50")
    image = load_image(Path("peacock.jpg"), network.size)
    found = find_insecurities(network, image, Method(attribution="gradient", top=3))
    found.difficulty_value
    for insecurity in found.insecurities:
        a, b = insecurity.classes
        print(a.name, b.name, insecurity.strength, insecurity.without.difficulty)

The mathematics is in split.py, difficulty.py, attribution.py and insecurities.py.
"""

import time
from collections.abc import Sequence

import numpy as np
import torch

from companions.deliberative.insecurities import (
    MOST_PROBABLE,
    Insecurity,
    Method,
    black_image,
    moved_regions,
    strongest_insecurities,
    without_regions,
)
from companions.deliberative.record import (
    Answer,
    ClassProbability,
    Deliberation,
    MeasuredInsecurity,
)
from companions.deliberative.split import Split
from drawing.record import Category
from get_perturbation_mask import make_baseline
from scoring.networks import Network


def split_network(network: Network, layer: str | None = None) -> Split:
    """Return a network split into features and head.

    Args:
        network: the network.
        layer: name of the layer whose output is the features; None: the last convolution's block.

    Raises:
        UserError: the network has fewer than two convolutions, or the layer makes no map.
    """
    black = np.zeros((*network.size, 3), np.uint8)
    return Split(network.module, network.prepare(black), layer)


def find_insecurities(
    network: Network,
    image: np.ndarray,
    method: Method | None = None,
    *,
    split: Split | None = None,
) -> Deliberation:
    """Return the strongest insecurities of an image, and what the removal of their regions does.

    Args:
        network: the network to explain.
        image: (H, W, 3) uint8 array, at the network's input size.
        method: None: the defaults.
        split: the network's, where it is at hand.

    Raises:
        UserError: the network has fewer than two convolutions.
        FloatingPointError: the network returns NaN.
    """
    start = time.monotonic()
    method = method or Method()
    split = split or split_network(network)
    prepared = network.prepare(image)
    black = black_image(network, method)
    found = strongest_insecurities(split, prepared, black=black, method=method)
    probabilities, difficulty = without_regions(
        split,
        prepared,
        baseline=network.prepare(make_baseline(image, method.baseline)),
        regions=regions_to_remove(found, image.shape[:2], method),
        difficulty=method.difficulty,
        batch_size=method.batch_size,
    )
    rows = [[0, *_rows_of(number, method)] for number in range(len(found))]
    measured = [
        _measured(insecurity, network, probabilities=probabilities[r], difficulty=difficulty[r])
        for insecurity, r in zip(found, rows)
    ]
    return Deliberation(
        classes=most_probable(network, probabilities[0]),
        difficulty_value=float(difficulty[0]),
        insecurities=measured,
        seconds=time.monotonic() - start,
    )


def most_probable(network: Network, probabilities: torch.Tensor) -> list[ClassProbability]:
    """Return the most probable classes; probabilities: (C,)."""
    top = probabilities.topk(min(MOST_PROBABLE, len(probabilities))).indices.tolist()
    return [ClassProbability(c, network.labels[c], float(probabilities[c])) for c in top]


def regions_to_remove(
    found: Sequence[Insecurity], size: tuple[int, int], method: Method
) -> torch.Tensor:
    """Return nothing to remove, then each insecurity's region, followed by its moved copies.

    Returns:
        Tensor of shape (1 + insecurities * (1 + method.moved), H, W), bool.
    """
    generator = torch.Generator().manual_seed(method.seed)
    regions = [torch.zeros(1, *size, dtype=torch.bool)]
    for insecurity in found:
        regions.append(insecurity.region[None])
        regions.append(moved_regions(insecurity.region, method.moved, generator))
    return torch.cat(regions)


def _rows_of(number: int, method: Method) -> range:
    """Return the rows of regions_to_remove() that belong to one insecurity."""
    count = 1 + method.moved
    return range(1 + number * count, 1 + (number + 1) * count)


def _measured(
    insecurity: Insecurity, network: Network, probabilities: torch.Tensor, difficulty: torch.Tensor
) -> MeasuredInsecurity:
    """Return what the record says of an insecurity.

    Args:
        insecurity: the insecurity.
        network: for the names of the classes.
        probabilities: (2 + moved, C): on the full image, without the region, without its copies.
        difficulty: (2 + moved,), likewise.
    """

    def answer(rows: slice) -> Answer:
        p_a, p_b = probabilities[rows, list(insecurity.classes)].mean(0).tolist()
        return Answer(p_a, p_b, float(difficulty[rows].mean()))

    a, b = insecurity.classes
    return MeasuredInsecurity(
        classes=(Category(a, network.labels[a]), Category(b, network.labels[b])),
        strength=insecurity.strength,
        score=insecurity.score,
        share=float(insecurity.region.float().mean()),
        map=insecurity.map.tolist(),
        before=answer(slice(0, 1)),
        without=answer(slice(1, 2)),
        moved=answer(slice(2, None)) if len(difficulty) > 2 else None,
    )
