"""Training a predictor of hardness on a folder of images with a folder per class.

    fit, failures = train_predictor(network, split, Path("scenes"), file=Path("hard.safetensors"))
    print(fit)                                              # images 80, cross entropy 0.31, ..

The predictor estimates how likely the network is to be wrong on an image.
"""

from pathlib import Path

import torch
from tqdm import tqdm

from companions.concepts.labelled_images import labelled_folder, readable
from companions.deliberative import hardness
from companions.deliberative.split import Split
from scoring.networks import Network
from utils import UserError


def train_predictor(
    network: Network, split: Split, images: Path, *, file: Path, results: Path | None = None
) -> tuple[hardness.Fit, list[tuple[str, str]]]:
    """Train a predictor and write it to a file.

    Args:
        network: the network whose images are hard or not.
        split: the same, as features and head.
        images: a folder with a folder per class, named as the network names it.
        file: where the predictor goes.
        results: a folder in it that is not searched.

    Returns:
        How good the predictor is, and (name, reason) of images that cannot be read; these are left
        out.

    Raises:
        UserError: a folder is no class, or there are too few images.
    """
    labelled = labelled_folder(images, network.labels, option="IMAGE", results=results)
    failures: list[tuple[str, str]] = []
    pooled = []
    hard = []
    progress = tqdm(labelled.items, desc="features", unit="image", disable=None)
    for number, image in readable(progress, network.fit, failures):
        target = int(labelled.targets[number])
        features, hardness_of_image = hardness.example(
            split, network, image=image, true_class=target
        )
        pooled.append(features)
        hard.append(hardness_of_image)
    if len(hard) < hardness.FEWEST:
        raise UserError(
            f"--train-hardness: {len(hard)} images; a predictor needs {hardness.FEWEST} or more"
        )
    predictor, fit = hardness.fit_and_measure(torch.stack(pooled), torch.stack(hard))
    hardness.save(predictor, file, network.weights_sha256)
    return fit, failures
