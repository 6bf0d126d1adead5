"""What is odd about a network's answers: a warning before the first image.

    warning_about(network, [image])     # "gives other answers to the same image each time .."

Four images are shown to it, alone and together. What a network does that is no classifier of one
image at a time would otherwise look like a finding.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from scoring.fitting import load_fitted
from scoring.networks import Network, class_probabilities, runs_code
from utils import UserError, log, one_line

IMAGES = 4  # that the network is shown
TOLERANCE = 1e-3  # between probabilities of the same image


def check_users_network(network: Network, paths: Sequence[Path], *, needs_gradients: bool) -> None:
    """Refuse a user's own network that cannot be used; log what is odd about its answers.

    Args:
        network: the network; one that is not of a user's code is not looked at.
        paths: images of the run; the first few are shown to it.
        needs_gradients: whether its gradients are asked for.

    Raises:
        UserError: it answers another number of rows than it is given, or has no gradients.
    """
    if not runs_code(network.name):
        return
    require_usable(network, needs_gradients=needs_gradients)
    images = []
    for path in paths[:IMAGES]:
        with suppress(ValueError, OSError):  # the run names what cannot be read
            images.append(load_fitted(path, network.fit))
    if warning := warning_about(network, images):
        log(f"warning: --model {network.name} {warning}")


@torch.no_grad()  # not inference_mode: a module may keep tensors of its first call
def warning_about(network: Network, images: Sequence[np.ndarray]) -> str:
    """Return what is odd about a network's answers in words; empty where nothing is.

    Args:
        network: the network.
        images: (H, W, 3) uint8 RGB, of its input size; noise makes up for what is missing.
    """
    shown = [network.prepare(image) for image in _filled_up(images, network.size)]
    try:
        together = network.module(torch.stack(shown))
        again = network.module(torch.stack(shown))
        alone = torch.cat([network.module(image[None]) for image in shown])
        if not together.shape == again.shape == alone.shape:
            return ""
    except Exception:  # whatever it is, the first image of the run names it
        return ""
    if _differ(together, again):
        return (
            "gives other answers to the same image each time (random numbers?): "
            "confidences, and what is minimal, are a matter of chance"
        )
    if _differ(together, alone):
        return (
            "gives an image other answers alone than in a batch (batch statistics?): "
            "confidences depend on which sets are scored together"
        )
    return ""


def require_usable(network: Network, *, needs_gradients: bool) -> None:
    """Refuse a network that the first image would fail on, whichever it is.

    Args:
        network: the network.
        needs_gradients: whether its gradients are asked for.

    Raises:
        UserError: it answers another number of rows than it is given, or has no gradients.
    """
    height, width = network.size
    two = torch.zeros(2, 3, height, width, device=network.device, requires_grad=needs_gradients)
    try:
        with torch.set_grad_enabled(needs_gradients):
            answers = network.module(two)
    except Exception as error:
        reason = one_line(error)[:200]
        raise UserError(f"--model {network.name}: fails on a batch of 2: {reason}") from error
    if not answers.is_floating_point():
        raise UserError(f"--model {network.name}: its output is {answers.dtype}, not real numbers")
    if len(answers) != 2:
        raise UserError(
            f"--model {network.name}: {len(answers)} rows for a batch of 2; one per image is needed"
        )
    if needs_gradients and not answers.requires_grad:
        raise UserError(
            f"--model {network.name}: no gradients (is its forward under torch.no_grad?)"
        )


def _filled_up(images: Sequence[np.ndarray], size: tuple[int, int]) -> list[np.ndarray]:
    shown = list(images[:IMAGES])
    rng = np.random.default_rng(0)
    while len(shown) < IMAGES:
        shown.append(rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    return shown


def _differ(logits: torch.Tensor, others: torch.Tensor) -> bool:
    difference = (class_probabilities(logits) - class_probabilities(others)).abs()
    return bool((difference > TOLERANCE).any())  # NaN is named elsewhere
