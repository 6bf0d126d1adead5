"""Scenes between two birds, on which a network has to hesitate.

    python -m birds.between scenes --scenes 600        # to train a predictor of hardness on
    python -m birds.between halfway --halfway 10       # between two classes of the bundled network

A scene mixes the parts in which two birds differ (birds.painter.draw_between). In the first kind
the share of the second bird is random, and the class is the bird with the larger share; scenes are
written in a folder per class. In the second kind, of two birds that differ in two or three parts,
the share is found by bisection where the network cannot tell which it is; both classes have more
than 0.35 then, and the file is named after both.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, count, islice
from pathlib import Path
from typing import Annotated

from running.command_line import CountOrZero, Positional, exit_status, parse

PROG = "python -m birds.between"


@dataclass(frozen=True)
class Settings:
    """Settings of the command."""

    folder: Annotated[Path, Positional("FOLDER")]  # where the scenes are written
    scenes: CountOrZero = 0  # number of scenes with a random share of the second bird
    halfway: CountOrZero = 0  # number of scenes where the bundled network is undecided


if (
    __name__ == "__main__"
):  # before PyTorch is imported, so that --help and a bad option answer at once
    parse(Settings, prog=PROG, doc=__doc__)

import numpy as np
import torch
from tqdm import tqdm

from birds.painter import CLASSES, PARTS, Scene, draw_between
from drawing.png import save_scene
from scoring.networks import BUNDLED, Network, choose_device, class_probabilities, load_network

RANDOM_SEED = 11  # first numbers of the seeds of the two kinds
HALFWAY_SEED = 9
BISECTIONS = 7
LEAST_PROBABILITY = 0.35  # of each of the two classes, in a half-way scene
MOST_DIFFERENCES = 3  # parts in which the two birds of a half-way scene differ


def differing(a: int, b: int) -> list[str]:
    """Return the parts in which two classes differ."""
    rows = zip(PARTS, CLASSES[a][1], CLASSES[b][1], strict=True)
    return [part for part, first, second in rows if first != second]


def halfway(network: Network, scenes: int) -> Iterator[tuple[int, int, Scene]]:
    """Yield (class, other class, scene) of scenes on which the network is undecided.

    The same network gives the same scenes each time.
    """
    return islice(_undecided_scenes(network), scenes)


def _undecided_scenes(network: Network) -> Iterator[tuple[int, int, Scene]]:
    pairs = [
        (a, b)
        for a, b in combinations(range(len(CLASSES)), 2)
        if len(differing(a, b)) <= MOST_DIFFERENCES
    ]
    for n in count():
        a, b = pairs[n % len(pairs)]
        scene, probabilities = undecided(network, a, b, seed=(HALFWAY_SEED, n))
        if min(probabilities[a], probabilities[b]) > LEAST_PROBABILITY:
            yield a, b, scene


@torch.no_grad()
def undecided(network: Network, a: int, b: int, *, seed) -> tuple[Scene, torch.Tensor]:
    """Return the scene between two classes where the network changes its mind.

    Args:
        network: a network of the bundled classes.
        a: index of the first class.
        b: index of the second class.
        seed: as of draw_scene.

    Returns:
        The scene and the network's probabilities, (classes,).
    """
    low = 0.0
    high = 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        scene = draw_between(CLASSES[a][1], CLASSES[b][1], seed=seed, weight=middle)
        logits = network.module(network.prepare(scene.image)[None])
        probabilities = class_probabilities(logits)[0]
        if probabilities[a] > probabilities[b]:
            low = middle
        else:
            high = middle
    return scene, probabilities


def random_scene(n: int) -> tuple[int, Scene]:
    """Return the class that has the larger share of scene number n, and the scene."""
    rng = np.random.default_rng((RANDOM_SEED, n, 1))
    a, b = rng.choice(len(CLASSES), 2, replace=False)
    weight = rng.uniform(0, 1)
    scene = draw_between(CLASSES[a][1], CLASSES[b][1], seed=(RANDOM_SEED, n), weight=weight)
    return int(a if weight < 0.5 else b), scene


def run(settings: Settings) -> int:
    """Draw scenes into a folder."""
    for n in tqdm(range(settings.scenes), desc="scenes", disable=None):
        category, scene = random_scene(n)
        save_scene(scene.image, settings.folder / CLASSES[category][0] / f"{n:05}.png")
    if settings.halfway:
        network = load_network(BUNDLED, device=choose_device("cpu"))
        scenes = halfway(network, settings.halfway)
        for n, (a, b, scene) in enumerate(
            tqdm(scenes, desc="half-way", total=settings.halfway, disable=None)
        ):
            name = f"{n:03}_{CLASSES[a][0]}_{CLASSES[b][0]}.png".replace(" ", "_")
            save_scene(scene.image, settings.folder / name)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return exit_status(PROG, lambda: run(parse(Settings, argv, prog=PROG, doc=__doc__)))


if __name__ == "__main__":
    sys.exit(main())
