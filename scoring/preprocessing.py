"""How images are prepared for a network: input size, mean and standard deviation.

    size, mean, std = preprocessing_of(module)      # from its attributes
    size, mean, std = probe(transform)              # from what a preprocessing does

A network of a library brings the preset of its weights, which also says how accuracies were
measured: with which filter, and how much of the image was cut off.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image

from scoring.fitting import Filter, Fit, Resize
from utils import UserError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
INPUT_SIZE = 224  # of a module that does not say otherwise
PROBED = (640, 480)  # width and height of the images that a transform is tried on

Values = tuple[tuple[int, int], tuple[float, ...], tuple[float, ...]]  # size, mean, std


@dataclass(frozen=True)
class Preprocessing:
    """The preset of a network.

    Attributes:
        size: height and width of its input.
        mean: by channel, for pixels from 0 to 1.
        std: likewise.
        short_side: of a crop; see Fit.
        filter: of a crop.
        squash_filter: of an image that is resized straight.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    short_side: int | None = None
    filter: Filter = "bilinear"
    squash_filter: Filter = "bilinear"

    def fit(self, resize: Resize) -> Fit:
        """Return how images come to the input size."""
        if resize == "opencv":
            return Fit(self.size, resize)
        if resize == "squash":
            return Fit(self.size, resize, filter=self.squash_filter)
        return Fit(self.size, resize, short_side=self.short_side, filter=self.filter)


def preprocessing_of(module: torch.nn.Module) -> Values:
    """Return (size, mean, std) from a module's attributes, or 224 and ImageNet's.

    Raises:
        UserError: input_size is not a whole number.
    """
    size = getattr(module, "input_size", INPUT_SIZE)
    if not isinstance(size, int):
        raise UserError(f"model: input_size must be a whole number of pixels, not {size!r}")
    mean = tuple(float(value) for value in getattr(module, "mean", IMAGENET_MEAN))
    std = tuple(float(value) for value in getattr(module, "std", IMAGENET_STD))
    return (size, size), mean, std


def probe(
    transform: Callable[[Image.Image], torch.Tensor], shown: tuple[int, int] = PROBED
) -> Values:
    """Return (size, mean, std) of a preprocessing, from what it makes of black and white.

    Args:
        transform: from a PIL image to a normalised tensor (3, H, W).
        shown: width and height of the images that it is tried on.

    Raises:
        UserError: it does not return a floating-point tensor (3, H, W), or white is not brighter
            than black.
    """
    black = transform(Image.new("RGB", shown, "black"))
    white = transform(Image.new("RGB", shown, "white"))
    is_float = isinstance(black, torch.Tensor) and black.is_floating_point()
    if not is_float or black.dim() != 3 or len(black) != 3:
        raise UserError(
            "transform: must return a floating-point tensor of shape (3, height, width)"
        )
    std = 1 / (white - black).mean((1, 2))
    if not (std.isfinite() & (std > 0)).all():
        raise UserError("transform: must map white above black in every channel")
    mean = -black.mean((1, 2)) * std
    return (black.shape[1], black.shape[2]), tuple(mean.tolist()), tuple(std.tolist())
