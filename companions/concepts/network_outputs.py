"""What a network makes of many images: penultimate embeddings and class probabilities.

kept, outputs = network_outputs(network, enumerate(images))
outputs.embeddings, outputs.predicted           # (N, D) float32, (N,) class indices
"""

import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from scoring.networks import Network, class_probabilities
from scoring.scorer import auto_batch_size
from utils import require_regular, written_beside


@dataclass(frozen=True)
class Outputs:
    """What a network makes of N images.

    Attributes:
        embeddings: (N, D) float32, the input of the last layer; (0, 0) where there is none.
        probabilities: (N, classes) float32.
    """

    embeddings: np.ndarray
    probabilities: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """Index of the most probable class of each image, (N,)."""
        return self.probabilities.argmax(1)


def network_outputs(
    network: Network,
    images: Iterable[tuple[int, np.ndarray]],
    *,
    batch_size: int | str = "auto",
    on_batch: Callable[[int], None] = lambda count: None,
) -> tuple[list[int], Outputs]:
    """Return the embeddings and probabilities of images.

    Args:
        network: a network without a linear layer or convolution has no embeddings.
        images: (number, (H, W, 3) uint8 at the network's size).
        batch_size: images per forward pass, or "auto".
        on_batch: called with the number of images after each forward pass.

    Returns:
        The images' numbers, and what the network makes of them.

    Raises:
        FloatingPointError: the network returns NaN or an infinity.
    """
    if batch_size == "auto":
        batch_size = auto_batch_size(
            torch.empty(network.channels, *network.size, device=network.device)
        )
    numbers: list[int] = []
    probabilities = [np.zeros((0, network.classes), np.float32)]
    with _embeddings_of(network) as embeddings:
        for batch in _batches(images, int(batch_size)):
            numbers += [number for number, _ in batch]
            probabilities.append(_probabilities(network, [image for _, image in batch]))
            on_batch(len(batch))
    outputs = Outputs(
        embeddings=np.concatenate(embeddings) if embeddings else np.zeros((0, 0), np.float32),
        probabilities=np.concatenate(probabilities),
    )
    if not np.isfinite(outputs.probabilities).all():
        raise FloatingPointError("the model returns NaN")
    return numbers, outputs


@contextmanager
def _embeddings_of(network: Network) -> Iterator[list[np.ndarray]]:
    """Collect the inputs of a network's last layer, (B, D) for each forward pass meanwhile."""
    embeddings: list[np.ndarray] = []

    def keep_input(_module, inputs) -> None:
        x = inputs[0].float()
        pooled = x.mean((2, 3)) if x.dim() == 4 else x.flatten(1)
        embeddings.append(pooled.cpu().numpy())

    last = last_layer(network)
    if last is None:
        yield embeddings
        return
    hook = last.register_forward_pre_hook(keep_input)
    try:
        yield embeddings
    finally:
        hook.remove()


def _batches(
    images: Iterable[tuple[int, np.ndarray]], size: int
) -> Iterator[list[tuple[int, np.ndarray]]]:
    remaining = iter(images)
    while True:
        batch = list(islice(remaining, size))
        if not batch:
            return
        yield batch


@torch.inference_mode()
def _probabilities(network: Network, images: list[np.ndarray]) -> np.ndarray:
    x = torch.stack([network.prepare(image) for image in images])
    return class_probabilities(network.module(x)).cpu().numpy()


@torch.inference_mode()
def last_layer(network: Network) -> torch.nn.Module | None:
    """Return the last linear layer or convolution that runs; None where there is none.

    Its input is the penultimate embedding.
    """
    ran: list[torch.nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda module, *_: ran.append(module))
        for module in network.module.modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
    ]
    try:
        network.module(torch.zeros(1, network.channels, *network.size, device=network.device))
    finally:
        for hook in hooks:
            hook.remove()
    return ran[-1] if ran else None


# ---------------------------------------------------------------- kept for the next run


def read_outputs(path: Path, key: str) -> Outputs | None:
    """Return the outputs that an earlier run kept under this key; None where there are none."""
    try:
        require_regular(path)
        with np.load(path) as kept:
            if str(kept["key"]) == key:
                return Outputs(kept["embeddings"], kept["probabilities"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    return None


def write_outputs(path: Path, key: str, outputs: Outputs) -> None:
    """Keep outputs for the next run."""
    with written_beside(path) as new, open(new, "wb") as file:
        np.savez(file, key=key, embeddings=outputs.embeddings, probabilities=outputs.probabilities)
