"""Difficulty: how hard an image is for a network, a number s in [0, 1].

    certainty   1 - the largest probability
    entropy     the entropy of the probabilities, divided by its largest possible value, log C
    Hardness    the answer of a predictor that was trained to see it in the features

A difficulty is a function of features (B, D, h, w) and logits (B, C) that returns (B,) and can be
differentiated twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log

import torch

Difficulty = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def certainty(_: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Return 1 - the largest probability, exact where that probability is nearly 1."""
    return -torch.expm1(logits.log_softmax(1).amax(1))


def entropy(_: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Return the entropy of the probabilities divided by log C."""
    log_probabilities = logits.log_softmax(1)
    return -(log_probabilities.exp() * log_probabilities).sum(1) / log(logits.shape[1])


@dataclass
class Hardness:
    """A predictor of how hard an image is: sigmoid(weight . mean of F over locations + bias).

    Attributes:
        weight: (D,).
        bias: a single number.
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def __call__(self, features: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        """Return the predicted hardness (B,) of features (B, D, h, w)."""
        return self.logit(features).sigmoid()

    def logit(self, features: torch.Tensor) -> torch.Tensor:
        """Return the prediction before the sigmoid, (B,)."""
        return features.mean((2, 3)) @ self.weight + self.bias


DIFFICULTIES: dict[str, Difficulty] = {"certainty": certainty, "entropy": entropy}
