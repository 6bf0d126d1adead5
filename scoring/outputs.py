"""What a module returns, read as logits (B, classes), or (B, 1) for a single one of a sigmoid.

    reading = read_outputs(module, "model Net", preprocessing, output="auto")
    reading.module(images)                          # logits, whatever the module itself returns
    reading.output                                  # "logits" or "probabilities"

A module may return a tensor, or an object with a tensor as its logits, as transformers does. The
tensor is (B, classes), (B, 1) or (B,). It may be of probabilities: then their logarithms are the
logits. Which it is, is guessed from four images: the rows of several probabilities sum to 1. A
single output from 0 to 1 may be either, so that it is taken as a logit and doubted.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch

from scoring.preprocessing import Preprocessing
from utils import UserError, one_line

Output = Literal["auto", "logits", "probabilities"]
SUM_TOLERANCE = 1e-3  # by which a row of probabilities may differ from 1 in sum
SMALLEST = torch.finfo(torch.float32).tiny  # a probability of 0 has no logarithm
LARGEST = 1 - 2.0**-24  # the float32 below 1: nor has the odds of 1


class Logits(torch.nn.Module):
    """A module whose outputs are not logits (B, C) as they are.

    Args:
        module: images to what read_outputs can read.
        are_probabilities: whether it returns probabilities.
    """

    def __init__(self, module: torch.nn.Module, *, are_probabilities: bool = False):
        super().__init__()
        self.module = module
        self.are_probabilities = are_probabilities

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (B, C) of images (B, 3, H, W)."""
        rows = rows_of(self.module(images), len(images))
        return logits_of(rows) if self.are_probabilities else rows


def own_module(module: torch.nn.Module) -> torch.nn.Module:
    """Return the module itself, where its outputs are read by a Logits."""
    return module.module if isinstance(module, Logits) else module


def rows_of(output: Any, images: int) -> torch.Tensor:
    """Return an output as (B, C).

    Args:
        output: a tensor (B, C), or (B,) of single outputs, or an object with such logits.
        images: their number, B.
    """
    tensor = getattr(output, "logits", output)
    # A squeezed batch of one image has lost its first dimension too.
    return tensor.reshape(images, -1) if tensor.dim() < 2 else tensor


def logits_of(probabilities: torch.Tensor) -> torch.Tensor:
    """Return logits for probabilities (B, C); a single one is that of a sigmoid's second class."""
    p = probabilities.float().clamp(SMALLEST, LARGEST)
    return p.log() - (-p).log1p() if p.shape[1] == 1 else p.log()


# ---------------------------------------------------------------- which outputs a module has


@dataclass(frozen=True)
class Reading:
    """A module as one that returns logits.

    Attributes:
        module: images to logits (B, C).
        classes: number of classes, 2 for a single logit.
        output: what the module itself returns.
        is_doubtful: whether its outputs, taken as logits, may as well be probabilities.
    """

    module: torch.nn.Module
    classes: int
    output: Literal["logits", "probabilities"]
    is_doubtful: bool = False


@torch.no_grad()  # not inference_mode: a module may keep tensors of its first call
def read_outputs(
    module: torch.nn.Module,
    what: str,
    preprocessing: Preprocessing,
    *,
    device: torch.device,
    output: Output = "auto",
) -> Reading:
    """Return a module with its outputs as logits, by running it on images that are drawn here.

    Args:
        module: in eval mode.
        what: what it is called in an error.
        preprocessing: of its input.
        device: of the module.
        output: what it returns; "auto": guessed.

    Raises:
        UserError: it fails on an image, or returns something else.
    """
    images = drawn_images(preprocessing).to(device)
    returned = _returned(module, images[:1], what)
    shape = _shape_of(returned, what)
    outputs = None if output == "logits" else _on_each(module, images)
    if output == "probabilities":
        _check_probabilities(outputs, what)
    elif output == "auto":
        output = "probabilities" if are_probabilities(outputs) else "logits"
    is_logits = output == "logits"
    is_plain = isinstance(returned, torch.Tensor) and returned.dim() == 2
    return Reading(
        module if is_logits and is_plain else Logits(module, are_probabilities=not is_logits),
        classes=max(2, shape[1]),
        output="logits" if is_logits else "probabilities",
        is_doubtful=is_logits and shape[1] == 1 and _lie_in_0_to_1(outputs),
    )


def drawn_images(preprocessing: Preprocessing) -> torch.Tensor:
    """Return black, white, noise and a slope from dark to bright, normalised, (4, channels, H, W).

    Args:
        preprocessing: of the network that they are for.
    """
    channels = len(preprocessing.mean)
    height, width = preprocessing.size
    noise = torch.rand(channels, height, width, generator=torch.Generator().manual_seed(0))
    slope = torch.linspace(0, 1, width).expand(channels, height, width)
    images = torch.stack([torch.zeros_like(noise), torch.ones_like(noise), noise, slope])
    mean = torch.tensor(preprocessing.mean).view(-1, 1, 1)
    std = torch.tensor(preprocessing.std).view(-1, 1, 1)
    return (images - mean) / std


def are_probabilities(outputs: torch.Tensor | None) -> bool:
    """Return whether outputs (images, C) are probabilities beyond doubt; a single one never is."""
    if outputs is None or outputs.shape[1] < 2 or not _lie_in_0_to_1(outputs):
        return False
    return bool(((outputs.sum(1) - 1).abs() < SUM_TOLERANCE).all())


def _lie_in_0_to_1(outputs: torch.Tensor | None) -> bool:
    return outputs is not None and bool(((outputs >= 0) & (outputs <= 1)).all())


def _on_each(module: torch.nn.Module, images: torch.Tensor) -> torch.Tensor | None:
    """Return the outputs of images, one by one, (images, C); None where the module fails on one.

    It has not failed on the first: whatever the reason is, it belongs to that image.
    """
    try:
        return torch.cat([rows_of(module(image[None]), 1) for image in images]).float()
    except Exception:
        return None


def _check_probabilities(outputs: torch.Tensor | None, what: str) -> None:
    """Refuse outputs that are no probabilities."""
    if outputs is None:
        raise UserError(f"--output probabilities: {what} fails on an image drawn to check it")
    if not _lie_in_0_to_1(outputs):
        raise UserError(f"--output probabilities: {what} returns values outside of 0 to 1")
    if outputs.shape[1] > 1 and not are_probabilities(outputs):
        raise UserError(
            f"--output probabilities: {what} returns values that do not sum to 1, "
            f"but to {outputs.sum(1)[-1]:.3g}"
        )


def _returned(module: torch.nn.Module, images: torch.Tensor, what: str) -> Any:
    shape = " x ".join(map(str, images.shape))
    try:
        return module(images)
    except (Exception, SystemExit) as error:  # the user's module may fail in any way
        reason = one_line(error)[:200]
        raise UserError(f"{what}: fails on a {shape} input: {reason}") from error


def _shape_of(returned: Any, what: str) -> torch.Size:
    tensor = getattr(returned, "logits", returned)
    if not isinstance(tensor, torch.Tensor) or tensor.dim() > 2:
        raise UserError(f"{what}: its output is not a (batch, classes) tensor")
    if tensor.is_meta or tensor.layout != torch.strided:
        raise UserError(f"{what}: its output is a tensor without values, or a sparse one")
    return rows_of(tensor, 1).shape
