"""Small networks and graphs for the tests of concept debugging."""

import numpy as np
import torch
import torchvision

from companions.concepts.graphs import Object, Region
from scoring.fitting import Fit
from scoring.networks import Network

CPU = torch.device("cpu")


def network_of(module, classes=2, size=8):
    """Return a Network of a module, without normalisation."""
    return Network(
        module=module.eval().requires_grad_(False),
        name="planted",
        weights_sha256="0",
        labels=[f"class {i}" for i in range(classes)],
        fit=Fit((size, size)),
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        device=CPU,
    )


def linear_network(seed=0, classes=2, size=8):
    """Return a network of two linear layers with random weights."""
    torch.manual_seed(seed)
    layers = torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(3 * size * size, 5),
        torch.nn.Tanh(),
        torch.nn.Linear(5, classes),
    )
    return network_of(layers, classes, size)


class TwoHalves(torch.nn.Module):
    """Class 1 where the left half is bright and, unless left_only, the right half as well."""

    def __init__(self, left_only):
        super().__init__()
        self.left_only = left_only

    def forward(self, x):
        """Return the logits (B, 2) of 0.96 or 0.03."""
        left, right = (half.mean((1, 2, 3)) for half in x.chunk(2, 3))
        is_bright = (left > 0.8) & ((right > 0.8) | self.left_only)
        p = (torch.where(is_bright, 0.96, 0.03) + 0 * left)[:, None]
        return torch.cat([1 - p, p], 1).log()


class InTraining(torch.nn.Module):
    """Returns in training what GoogLeNet and Inception do: a tuple, the logits first."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)

    def forward(self, x):
        """Return logits (B, 2), in a tuple in training."""
        logits = self.layer(x.mean((2, 3)))
        if self.training:
            return torchvision.models.GoogLeNetOutputs(logits, None, None)
        return logits


def graph_json(*names):
    """Return a graph with one object of each name, as JSON data."""
    return {
        str(number): {
            "objects": [
                {
                    "object_id": number,
                    "name": name,
                    "attributes": [],
                    "x": 0,
                    "y": 1,
                    "w": 2,
                    "h": 3,
                }
            ],
            "relationships": [],
            "phrase": f"a bird with a {name}",
        }
        for number, name in enumerate(names, 1)
    }


def region_of(number, name, *, box, phrase):
    """Return a region of a graph with one object."""
    x, y, w, h = box
    concept = Object(object_id=number, name=name, attributes=[], x=x, y=y, w=w, h=h)
    return Region(objects=[concept], relationships=[], phrase=phrase)


def noise_images(count, size=8):
    """Return random images (count, size, size, 3) uint8, the same each time."""
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
