"""The hardest images of a set, by the difficulty in use.

values, failures = difficulties(network, split, difficulty=certainty, images=paths)
paths = hardest(values, 100)
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from companions.deliberative.difficulty import Difficulty
from companions.deliberative.insecurities import predictor_module
from companions.deliberative.split import Split
from scoring.fitting import load_fitted
from scoring.networks import Network
from scoring.speed import auto_batch_size
from utils import one_line

Failures = list[tuple[str, str]]  # name and reason


def difficulties(
    network: Network,
    split: Split,
    *,
    difficulty: Difficulty,
    images: Sequence[Path],
    batch_size: int | str = "auto",
) -> tuple[dict[Path, float], Failures]:
    """Return the difficulty of each image, and those that cannot be read with the reason.

    Args:
        network: the network.
        split: the same, as features and head.
        difficulty: certainty, entropy, or a predictor of hardness.
        images: the files.
        batch_size: images per forward pass, or "auto".
    """
    values: dict[Path, float] = {}
    failures: Failures = []
    black = network.prepare(np.zeros((*network.size, 3), np.uint8))
    size = auto_batch_size(black) if batch_size == "auto" else int(batch_size)
    module = predictor_module(split, difficulty)
    starts = range(0, len(images), size)
    for start in tqdm(starts, desc="difficulty", unit="batch", disable=None):
        some = images[start : start + size]
        loaded = _loaded(network, some, failures)
        if not loaded:
            continue
        batch = torch.stack(list(loaded.values()))
        with torch.no_grad():
            if module is None:
                found = difficulty(batch, split(batch))
            else:
                found = module(batch)[:, 0].sigmoid()
        values.update(zip(loaded, found.tolist(), strict=True))
    return values, failures


def _loaded(
    network: Network, images: Iterable[Path], failures: Failures
) -> dict[Path, torch.Tensor]:
    """Return the images as the network takes them, less those that cannot be read."""
    found = {}
    for image in images:
        try:
            found[image] = network.prepare(load_fitted(image, network.fit))
        except ValueError as error:
            failures.append((image.name, one_line(error)))
    return found


def hardest(values: Mapping[Path, float], count: int) -> list[Path]:
    """Return the images with the largest values, the largest last.

    Of equal values, the last ones come last.
    """
    return sorted(values, key=lambda image: values[image])[-count:]
