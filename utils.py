"""Models, labels, images, devices and files: what every script needs and no method is about.

Whatever a user gave that cannot be used raises UserError, whose text is one line that names it.
"""

import hashlib
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

PROJECT = Path(__file__).resolve().parent
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class UserError(Exception):
    """Something the user gave that cannot be used; str() is one line that names it."""


# ---------------------------------------------------------------- command lines


def log(line: str) -> None:
    """A line on stderr that does not tear the progress bars."""
    tqdm.write(line, file=sys.stderr)


# ---------------------------------------------------------------- images


def load_image(path: Path, size: tuple[int, int]) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB, resized straight to size (H, W) as the reference does.

    Turned upright by its EXIF tag; 16-bit is scaled to 8; transparent pixels become white.
    Raises ValueError, one line, where the file is missing, no image, or cut off.
    """
    try:
        with Image.open(path) as file:
            file.load()
            picture = ImageOps.exif_transpose(file)
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:  # Pillow's ways to say no
        reason = (
            "not an image" if isinstance(error, Image.UnidentifiedImageError) else one_line(error)
        )
        raise ValueError(f"cannot read it: {reason}") from None
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture, dtype=np.float64)
        top = 65535 if picture.mode.startswith("I;16") or values.max(initial=0) > 255 else 255
        picture = Image.fromarray((values.clip(0, top) * (255 / top)).round().astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.asarray(picture.convert("RGB").resize(size[::-1], Image.Resampling.BILINEAR))


def one_line(error: BaseException) -> str:
    """What an exception says, in one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---------------------------------------------------------------- device


# ---------------------------------------------------------------- models


# ---------------------------------------------------------------- files


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file that is, at every moment, the old one whole or the new one whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def printable(path: Path) -> str:
    """A path as text that can be written, with forward slashes; bytes in it that are no UTF-8 become question marks."""
    return path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "replace")
