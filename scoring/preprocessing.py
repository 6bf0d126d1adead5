"""How images are prepared for a network: input size, mean and standard deviation.

    size, mean, std = preprocessing_of(module)      # from its attributes
    size, mean, std = probe(transform)              # from what a preprocessing does

A network with one mean, not three, sees images in grey. A network of a library brings the preset of
its weights, which also says how accuracies were measured: with which filter, and how much of the
image was cut off.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from scoring.fitting import Filter, Fit, Resize
from utils import UserError

MOST_PIXELS = 10_000  # of a side of the input
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
INPUT_SIZE = 224  # of a module that does not say otherwise
CHANNELS = (3, 1)  # that an input may have: red, green and blue, or grey
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


def preprocessing_of(module: torch.nn.Module, about: str = "model") -> Values:
    """Return (size, mean, std) from a module's attributes, or 224 and ImageNet's.

    Args:
        module: the network.
        about: what an error calls it.

    Raises:
        UserError: input_size, mean or std cannot be used.
    """
    size = getattr(module, "input_size", INPUT_SIZE)
    is_number = isinstance(size, int) and not isinstance(size, bool)
    sides: Any = (size, size) if is_number else size
    if not _are_sides(sides):
        raise UserError(
            f"{about}: input_size must be a whole number of pixels, or (height, width), of up to "
            f"{MOST_PIXELS:,}, not {size!r:.60}"
        )
    mean = _by_channel(about, "mean", getattr(module, "mean", IMAGENET_MEAN))
    std = _by_channel(about, "std", getattr(module, "std", IMAGENET_STD))
    if min(std, default=1) <= 0:
        raise UserError(f"{about}: std must be above 0, not {std}")
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in CHANNELS or len(values) != len(mean):
            raise UserError(
                f"{about}: {name} must have a value for each of 3 channels, or 1, not "
                f"{len(values)} (mean has {len(mean)})"
            )
    height, width = sides
    return (height, width), mean, std


def _by_channel(about: str, name: str, value: Any) -> tuple[float, ...]:
    """Return the values of an attribute, one for each channel; a bare number is that of all three.

    Raises:
        UserError: they are no finite numbers.
    """
    try:
        tensor = torch.as_tensor(value, dtype=torch.float64, device="cpu")
    except Exception:
        raise UserError(f"{about}: {name} must be three numbers, not {value!r:.60}") from None
    values = (tensor.expand(3) if tensor.dim() == 0 else tensor.flatten()).tolist()
    if not tensor.isfinite().all():
        raise UserError(f"{about}: {name} must be three finite numbers, not {values!r:.60}")
    return tuple(values)


def _are_sides(sides: Any) -> bool:
    """Return whether these are a height and a width."""
    if not isinstance(sides, tuple | list) or len(sides) != 2:
        return False
    return all(isinstance(side, int) and 0 < side <= MOST_PIXELS for side in sides)


def probe(
    transform: Callable[[Image.Image], torch.Tensor], shown: tuple[int, int] = PROBED
) -> Values:
    """Return (size, mean, std) of a preprocessing, from what it makes of black and white.

    Args:
        transform: from a PIL image to a normalised tensor (3, H, W), or (1, H, W) in grey.
        shown: width and height of the images that it is tried on.

    Raises:
        UserError: it does not return such a tensor of floating-point numbers, or white is not
            brighter than black.
    """
    black = transform(Image.new("RGB", shown, "black"))
    white = transform(Image.new("RGB", shown, "white"))
    is_float = isinstance(black, torch.Tensor) and black.is_floating_point()
    if not is_float or black.dim() != 3 or len(black) not in CHANNELS:
        raise UserError(
            "transform: must return a floating-point tensor of shape (3, height, width), "
            "or (1, height, width) in grey"
        )
    std = 1 / (white - black).mean((1, 2))
    if not (std.isfinite() & (std > 0)).all():
        raise UserError("transform: must map white above black in every channel")
    mean = -black.mean((1, 2)) * std
    return (black.shape[1], black.shape[2]), tuple(mean.tolist()), tuple(std.tolist())
