"""Which images to show a network again: S-Random, S-Similarity and S-Active.

    numbers, seen = look_at(network, enumerate(pictures))   # embeddings and probabilities
    s_similarity(seen.embeddings, truth, seen.predicted, per_class=50)[0].index

Each strategy takes up to per_class images of each class and returns them class by class, best first:
S-Random takes them at random; S-Similarity those nearest, by squared Euclidean distance, to the mean penultimate embedding of
the class's misclassified images; S-Active those of the highest predictive entropy.

After "SA3: Semantic-aware Attribution Analysis" (the selections of its debug-train images).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from scoring.scorer import auto_batch_size
from scoring.networks import Network, class_probabilities

STRATEGIES = ("random", "similarity", "active")


@dataclass(frozen=True)
class Choice:
    """A chosen image. score: what it was ranked by (squared distance, entropy in nats; 0 for a random one)."""

    index: int
    category: int
    rank: int
    score: float


@dataclass(frozen=True)
class Seen:
    """What a network makes of N images."""

    embeddings: np.ndarray  # (N, D) float32, what its last layer gets
    probabilities: np.ndarray  # (N, classes) float32

    @property
    def predicted(self) -> np.ndarray:
        return self.probabilities.argmax(1)


# ---------------------------------------------------------------- what the network makes of them


def look_at(
    network: Network,
    pictures: Iterable[tuple[int, np.ndarray]],
    batch_size: int | str = "auto",
    on_batch: Callable[[int], None] = lambda n: None,
) -> tuple[list[int], Seen]:
    """-> the pictures' numbers, and what the network makes of them.

    pictures: (number, (H, W, 3) uint8 at the network's size). A network without a linear layer or convolution has no embeddings.
    """
    if batch_size == "auto":
        batch_size = auto_batch_size(torch.empty(3, *network.size, device=network.device))
    numbers, probabilities, embeddings = [], [np.zeros((0, network.classes), np.float32)], []

    def keep(_, inputs):
        x = inputs[0].float()
        embeddings.append((x.mean((2, 3)) if x.dim() == 4 else x.flatten(1)).cpu().numpy())

    last, pictures = last_layer(network), iter(pictures)
    hook = last.register_forward_pre_hook(keep) if last else None
    try:
        with torch.inference_mode():
            while batch := list(islice(pictures, batch_size)):
                numbers += [n for n, _ in batch]
                x = torch.stack([network.prepare(picture) for _, picture in batch])
                probabilities.append(class_probabilities(network.module(x)).cpu().numpy())
                on_batch(len(batch))
    finally:
        if hook:
            hook.remove()
    seen = Seen(
        np.concatenate(embeddings) if embeddings else np.zeros((0, 0), np.float32),
        np.concatenate(probabilities),
    )
    if not np.isfinite(seen.probabilities).all():
        raise FloatingPointError("the model answers NaN")
    return numbers, seen


@torch.inference_mode()
def last_layer(network: Network) -> torch.nn.Module | None:
    """The last linear layer or convolution to run, what it gets being the penultimate embedding; None where there is none."""
    ran: list[torch.nn.Module] = []
    hooks = [
        m.register_forward_hook(lambda m, *_: ran.append(m))
        for m in network.module.modules()
        if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)
    ]
    try:
        network.module(torch.zeros(1, 3, *network.size, device=network.device))
    finally:
        for hook in hooks:
            hook.remove()
    return ran[-1] if ran else None


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """(N, classes) -> (N,) in nats."""
    p = np.asarray(probabilities, np.float64)
    return -(p * np.log(np.where(p > 0, p, 1))).sum(1)


# ---------------------------------------------------------------- the three strategies


def s_random(truth: np.ndarray, per_class: int, seed: int = 0) -> list[Choice]:
    """per_class images of each class at random. A class's draw does not depend on the other classes."""
    scores = np.zeros(len(truth))
    return [
        choice
        for c in _classes(truth)
        for choice in _first(
            np.random.default_rng([seed, c]).permutation(np.flatnonzero(truth == c)),
            scores,
            int(c),
            per_class,
        )
    ]


def s_active(probabilities: np.ndarray, truth: np.ndarray, per_class: int) -> list[Choice]:
    """Those of each class that the network is least sure of; ties by place."""
    unsure = entropy(probabilities)
    return [
        choice
        for c in _classes(truth)
        for choice in _ranked(np.flatnonzero(truth == c), -unsure, unsure, int(c), per_class)
    ]


def s_similarity(
    embeddings: np.ndarray, truth: np.ndarray, predicted: np.ndarray, per_class: int
) -> list[Choice]:
    """Those of each class nearest to the mean embedding of its misclassified images; none of a class that has no such image."""
    chosen = []
    for c in _classes(truth):
        own = np.flatnonzero(truth == c)
        wrong = own[predicted[own] != c]
        if len(wrong):
            distance = np.full(len(truth), np.inf)
            distance[own] = np.square(
                embeddings[own].astype(np.float64) - embeddings[wrong].astype(np.float64).mean(0)
            ).sum(1)
            chosen += _ranked(own, distance, distance, int(c), per_class)
    return chosen


def _classes(truth: np.ndarray) -> list[int]:
    return np.unique(truth).tolist()


def _ranked(
    own: np.ndarray, order: np.ndarray, scores: np.ndarray, category: int, per_class: int
) -> list[Choice]:
    return _first(own[np.argsort(order[own], kind="stable")], scores, category, per_class)


def _first(own: np.ndarray, scores: np.ndarray, category: int, per_class: int) -> list[Choice]:
    return [
        Choice(int(i), category, rank, float(scores[i]))
        for rank, i in enumerate(own[:per_class], 1)
    ]
