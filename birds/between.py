"""Scenes between two birds, on which a network has to hesitate.

    python -m birds.between scenes --scenes 600        # to train a predictor of hardness on: a folder per class
    python -m birds.between halfway --halfway 10       # where the bundled network gives both classes as much

A scene mixes the parts in which two birds differ (birds.draw_between). In the first kind the share of the second bird is random, and the class is the
bird that has the larger share. In the second kind, of two birds that differ in two or three parts, the share is halved in until the
network cannot tell which it is; both have more than 0.35 then, and the file is named after both.
"""

import argparse
from itertools import combinations, count
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from birds.painter import CLASSES, PARTS, Scene, draw_between
from scoring.networks import BUNDLED, Network, choose_device, class_probabilities, load_network
from running.command_line import whole

RANDOM, HALFWAY = 11, 9  # first numbers of the seeds
STEPS, BOTH = 7, 0.35  # halvings; the least that each class must have
FEW = 3  # parts in which the two birds of a half-way scene differ, at most


def differing(a: int, b: int) -> list[str]:
    """The parts in which two classes differ."""
    return [part for part, x, y in zip(PARTS, CLASSES[a][1], CLASSES[b][1]) if x != y]


def halfway(network: Network, scenes: int):
    """Yields (a, b, scene), so many, between which the network is undecided; the same ones each time."""
    pairs = [pair for pair in combinations(range(len(CLASSES)), 2) if len(differing(*pair)) <= FEW]
    numbers = count()
    while scenes:
        n = next(numbers)
        a, b = pairs[n % len(pairs)]
        scene, p = undecided(network, a, b, (HALFWAY, n))
        if min(p[a], p[b]) > BOTH:
            scenes -= 1
            yield a, b, scene


@torch.no_grad()
def undecided(network: Network, a: int, b: int, seed) -> tuple[Scene, torch.Tensor]:
    """The scene between classes a and b where the network changes its mind, and its probabilities (classes,)."""
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        scene = draw_between(CLASSES[a][1], CLASSES[b][1], seed, middle)
        p = class_probabilities(network.module(network.prepare(scene.image)[None]))[0]
        low, high = (middle, high) if p[a] > p[b] else (low, middle)
    return scene, p


def random_scene(n: int) -> tuple[int, Scene]:
    """Scene number n between two random birds, and the class that has the larger share."""
    rng = np.random.default_rng((RANDOM, n, 1))
    a, b = rng.choice(len(CLASSES), 2, replace=False)
    weight = rng.uniform(0, 1)
    return int(a if weight < 0.5 else b), draw_between(
        CLASSES[a][1], CLASSES[b][1], (RANDOM, n), weight
    )


def main() -> None:
    """Draw scenes into a folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--scenes",
        type=whole(0),
        default=0,
        metavar="N",
        help="with a random share of the second bird",
    )
    parser.add_argument(
        "--halfway",
        type=whole(0),
        default=0,
        metavar="N",
        help="where the bundled network is undecided",
    )
    args = parser.parse_args()
    for n in tqdm(range(args.scenes), desc="scenes"):
        category, scene = random_scene(n)
        _write(scene, args.folder / CLASSES[category][0] / f"{n:05}.png")
    if args.halfway:
        network = load_network(BUNDLED, None, None, choose_device("cpu"))
        for n, (a, b, scene) in enumerate(
            tqdm(halfway(network, args.halfway), desc="half-way", total=args.halfway)
        ):
            _write(
                scene, args.folder / f"{n:03}_{CLASSES[a][0]}_{CLASSES[b][0]}.png".replace(" ", "_")
            )


def _write(scene: Scene, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene.image).save(path)


if __name__ == "__main__":
    main()
