"""What people pass to explain() in Python, as the steps need it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps

from running.command_line import options_of, settings_from_values
from running.make_record import Cut
from running.record_files import pixels_sha256
from scoring.engine import Engine
from scoring.fitting import Resize
from scoring.image_files import as_rgb
from scoring.networks import Network, wrap_module
from scoring.outputs import Output
from scoring.regions import Regions
from utils import UserError

T = TypeVar("T")
# Settings of a run over a folder, which explain() does not take.
FOLDER_SETTINGS = (
    "images",
    "results",
    "run",
    "num_categories",
    "overwrite",
    "open",
    "pictures",
    "images_at_once",
    "threads",
    "model",
    "weights",
    "labels",
    "device",
    "ray",
    "regions",
    "region_names",
    "segments",
    "segmentation_weights",
)


def settings_by_name(settings: type[T], values: Mapping[str, Any]) -> T:
    """Return settings given by name, checked as those of a command line are.

    Args:
        settings: the dataclass.
        values: field name -> value; a category may be a number.

    Raises:
        UserError: there is no such setting, or its value is out of range.
    """
    known = {option.name for option in options_of(settings)}
    for name in values:
        if name not in known:
            raise UserError(f"explain() has no setting {name}")
        if name in FOLDER_SETTINGS:
            raise UserError(f"{name}: a setting of a run over a folder, not of explain()")
    return settings_from_values(settings, values)


def as_engine(
    model: torch.nn.Module | Network | Engine,
    *,
    labels: Sequence[str] | None,
    transform: Callable[[Image.Image], torch.Tensor] | None,
    resize: Resize,
    output: Output,
    precision: str,
    batch_size: int | str,
    backend: str,
) -> Engine:
    """Return the engine that runs a model; an Engine is returned as it is.

    Raises:
        UserError: the module cannot be used.
    """
    if isinstance(model, Engine):
        return model
    if isinstance(model, Network):
        network = model
    elif isinstance(model, torch.nn.Module):
        network = wrap_module(
            model, labels=labels, transform=transform, resize=resize, output=output
        )
    else:
        kind = type(model).__name__
        raise UserError(f"model: a torch.nn.Module in eval mode is needed, not a {kind}")
    return Engine(network, precision=precision, batch_size=batch_size, backend=backend)


def as_cut(regions: Regions, network: Network) -> Cut:
    """Return regions that were passed in Python as the record names them.

    Raises:
        UserError: they are not of the network's input size.
    """
    if regions.index.shape != network.size:
        found = " x ".join(map(str, regions.index.shape))
        wanted = " x ".join(map(str, network.size))
        raise UserError(f"regions: {found} pixels, the network's input has {wanted}")
    return Cut(regions, {"source": "regions", "sha256": pixels_sha256(regions.index)})


def as_pixels(
    image: Any,
    network: Network,
    transform: Callable[[Image.Image], torch.Tensor] | None = None,
) -> np.ndarray:
    """Return an image as the network sees it, (H, W, 3) uint8 RGB.

    Args:
        image: a PIL image, an array (H, W, 3) uint8, or a tensor (3, H, W), uint8 or floating point
            from 0 to 1.
        network: whose input size is wanted.
        transform: the preprocessing; None: the image is resized as the network says.

    Raises:
        UserError: the image is none of these.
    """
    opened = _as_pil(image)
    if transform is None:
        return network.fit.image(opened)
    normalised = transform(as_rgb(opened)).cpu()
    mean = torch.tensor(network.mean).view(-1, 1, 1)
    std = torch.tensor(network.std).view(-1, 1, 1)
    pixels = (255 * (normalised * std + mean)).round().clamp(0, 255).expand(3, -1, -1)
    return np.ascontiguousarray(pixels.numpy().transpose(1, 2, 0).astype(np.uint8))


def _as_pil(image: Any) -> Image.Image:
    if isinstance(image, Image.Image):
        return ImageOps.exif_transpose(image)
    if isinstance(image, torch.Tensor):
        image = _tensor_to_array(image)
    if not isinstance(image, np.ndarray):
        kind = type(image).__name__
        raise UserError(f"image: a PIL image, an array or a tensor is needed, not a {kind}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} of shape {image.shape}"
        raise UserError(f"image: an array must be uint8 of shape (H, W, 3), not {found}")
    return Image.fromarray(image)


def _tensor_to_array(image: torch.Tensor) -> np.ndarray:
    if image.dim() != 3 or len(image) != 3:
        shape = tuple(image.shape)
        raise UserError(f"image: a tensor must have the shape (3, H, W), not {shape}")
    image = image.detach().cpu()
    if image.is_floating_point():
        low = float(image.min())
        high = float(image.max())
        if low < 0 or high > 1:
            raise UserError(
                f"image: a floating-point tensor must lie between 0 and 1, not {low:.2f} to "
                f"{high:.2f}; pass the image before normalisation"
            )
        image = (255 * image).round()
    return image.to(torch.uint8).permute(1, 2, 0).numpy()
