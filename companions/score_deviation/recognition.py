"""How a network recognises images, without explaining them: one pass each.

found = recognise(network, scenes.items)
found.known[0].rank, found.failures
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from companions.score_deviation.deviations import true_class
from companions.score_deviation.record import TrueClass
from companions.score_deviation.scene_sets import Item, target_of
from running.each_image import explain_each
from scoring.fitting import load_fitted
from scoring.networks import Network, class_probabilities


@dataclass(frozen=True)
class Recognised:
    """The true classes of images, as the network sees them, and what failed."""

    known: list[TrueClass]
    failures: list[tuple[str, str]]  # (name, reason)
    interrupted: bool


def recognise(network: Network, items: Sequence[Item]) -> Recognised:
    """Return the probability and rank of each image's true class; others are left out."""
    targets = [item for item in items if item.target is not None]
    found = explain_each(lambda item: (true_class_of(network, item), True), targets)
    return Recognised(found.records, found.failures, found.interrupted)


@torch.inference_mode()
def true_class_of(network: Network, item: Item) -> TrueClass:
    """Return the probability and rank of an image's true class.

    Raises:
        ValueError: the image cannot be read, or the network has no such class.
    """
    index = target_of(item.target, network.labels)
    image = network.prepare(load_fitted(item.image, network.fit))
    probabilities = class_probabilities(network.module(image[None]))[0].cpu().numpy()
    return true_class(probabilities, network.labels, index)
