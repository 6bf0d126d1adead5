"""Small helpers that every folder needs and no method is about: errors, the log, images, files.

Input that cannot be used raises UserError, whose text is one line that names the value.
"""

import hashlib
import json
import os
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

PROJECT = Path(__file__).resolve().parent
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
# What Pillow raises for a file that it cannot read.
UNREADABLE_IMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class UserError(Exception):
    """Input from the user that cannot be used; str() is one line that names the value."""


def log(line: str) -> None:
    """Write one line to stderr without breaking the progress bars."""
    tqdm.write(line, file=sys.stderr)


def one_line(error: BaseException) -> str:
    """Return an exception's message on one line, or its class name if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def printable(path: Path) -> str:
    r"""Return a path as one line of UTF-8 text with forward slashes.

    Bytes that are not UTF-8 and control characters become \xff, so that different paths stay so.
    """
    text = path.as_posix()
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    return character


# ---------------------------------------------------------------- images


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
    """Convert a PIL image of any mode to 8-bit RGB; transparent pixels become white."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image, dtype=np.float64)
    is_16_bit = image.mode.startswith("I;16") or values.max(initial=0) > 255
    largest = 65535 if is_16_bit else 255
    scaled = values.clip(0, largest) * (255 / largest)
    return Image.fromarray(scaled.round().astype(np.uint8))


# ---------------------------------------------------------------- files


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that readers see either the old content or all of the new content."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write plain data as indented UTF-8 JSON, atomically; NaN raises ValueError."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text + "\n")
