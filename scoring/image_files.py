"""Image files: read upright, in any mode, and made RGB of 8 bits."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from utils import one_line, require_regular

# What Pillow raises for a file that it cannot read.
UNREADABLE_IMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def load_image(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Read an image file and resize it straight to the given size, ignoring its aspect ratio.

    The image is rotated by its EXIF tag, 16-bit values are scaled to 8 bits, and transparent
    pixels become white.

    Args:
        path: an image file.
        size: height and width in pixels.

    Returns:
        RGB array of shape (H, W, 3), uint8.

    Raises:
        ValueError: the file is missing, not an image, or truncated (one line).
    """
    return resize_image(open_image(path), size)


def open_image(path: Path) -> Image.Image:
    """Read an image file, rotated by its EXIF tag.

    Raises:
        ValueError: it cannot be read (one line).
    """
    require_regular(path)
    try:
        with Image.open(path) as file:
            file.load()
            return ImageOps.exif_transpose(file)
    except UNREADABLE_IMAGE as error:
        reason = one_line(error)
        if isinstance(error, Image.UnidentifiedImageError):
            reason = "not an image"
        raise ValueError(f"cannot read it: {reason}") from None


def resize_image(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """Convert a PIL image of any mode to RGB and resize it to (H, W); see load_image."""
    height, width = size
    return np.asarray(as_rgb(image).resize((width, height), Image.Resampling.BILINEAR))


def as_rgb(image: Image.Image) -> Image.Image:
    """Convert a PIL image of any mode to 8-bit RGB; transparent pixels become white.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("NaN or infinity among its values")
    is_16_bit = image.mode.startswith("I;16") or values.max(initial=0) > 255
    largest = 65535 if is_16_bit else 255
    scaled = values.clip(0, largest) * (255 / largest)
    return Image.fromarray(scaled.round().astype(np.uint8))
