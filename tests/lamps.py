"""A planted network whose score deviations are worked out by hand.

Lamp 1 speaks for class 0, lamp 2 against it, lamp 3 says nothing. Lamps are bands of four rows,
and shine as brightly as their red is high.
"""

import numpy as np
import torch

from scoring.fitting import Fit
from scoring.networks import Network

ROWS = 12
SCENE = np.full((ROWS, 8, 3), 255, np.uint8)  # all lamps shine
LABELS = np.repeat([1, 2, 5], 4)[:, None].repeat(8, 1)  # the three lamps


class Lamps(torch.nn.Module):
    """Logits of three classes from the mean red of the upper and the middle band."""

    def forward(self, x):
        """Return logits (B, 3)."""
        upper = x[:, 0, :4].mean((1, 2))
        middle = x[:, 0, 4:8].mean((1, 2))
        return torch.stack([2 * upper - 3 * middle, 0 * upper, 0 * middle], 1)


def lamps(mean=(0.0, 0.0, 0.0)):
    """Return the network for images of 12 x 8 pixels."""
    return Network(
        module=Lamps(),
        name="lamps",
        weights_sha256="",
        labels=["a", "b", "c"],
        fit=Fit((ROWS, 8)),
        mean=mean,
        std=(1.0, 1.0, 1.0),
        device=torch.device("cpu"),
    )


class ScaledLamps(Lamps):
    """Lamps whose logits have a scale, the network's only weight."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        """Return logits (B, 3)."""
        return self.scale * super().forward(x)


def build():
    """For --model tests/lamps.py:build; 12 x 12 pixels."""
    return sized(Lamps())


def scaled():
    """For --model tests/lamps.py:scaled; 12 x 12 pixels."""
    return sized(ScaledLamps())


def sized(network):
    """Return the network with what says how images come to it."""
    network.input_size = ROWS
    network.mean = (0.0, 0.0, 0.0)
    network.std = (1.0, 1.0, 1.0)
    return network


def probabilities(upper, middle):
    """Return the probabilities of the three classes at these brightnesses, 0 to 1."""
    odds = np.exp([2 * upper - 3 * middle, 0, 0])
    return odds / odds.sum()
