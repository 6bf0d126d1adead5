"""Reading and writing sag.json, and the versions that a record names.

    sag = load_record(Path("Results/peacock"))
    result = load_result(Path("Results/peacock"))       # result.sag and result.image
    write_record(Path("Results/peacock/sag.json"), sag)

What a record holds is defined in drawing/record.py. PyTorch is not imported, so that questions to a
record are answered at once.
"""

import hashlib
import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

from drawing.record import Sag, decode_sag, encode_sag
from scoring.fitting import Fit, load_fitted
from utils import PROJECT, UserError, file_sha256, read_bytes, write_atomically

RECORD = "sag.json"
KEPT_IMAGE = "perturbation_original.png"  # the image as the network saw it


@dataclass(frozen=True)
class Result:
    """A record and the image that it is about, (H, W, 3) uint8 RGB, as the network saw it."""

    sag: Sag
    image: np.ndarray


def write_record(path: Path, sag: Sag) -> None:
    """Write a record atomically.

    Raises:
        ValueError: the record is not valid, for example because of a NaN.
    """
    write_atomically(path, encode_sag(sag))


def write_indented(path: Path, content: msgspec.Struct) -> None:
    """Write any typed content as indented JSON, atomically."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")


def read_record(path: Path) -> Sag | None:
    """Return the record in a file; None where the file is absent, damaged or of another format."""
    try:
        return decode_sag(read_bytes(path))
    except (OSError, ValueError):
        return None


def load_record(folder: Path) -> Sag:
    """Return the record of a result folder.

    Raises:
        UserError: there is none, or it is damaged; the message says where.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    path = folder / RECORD
    try:
        return decode_sag(read_bytes(path))
    except FileNotFoundError:
        raise UserError(f"{folder}: no {RECORD} in it") from None
    except ValueError as error:
        raise UserError(f"{path}: a damaged record: {error}") from None


def load_result(folder: Path, images: Path | None = None) -> Result:
    """Return the record of a result folder and its image.

    Args:
        folder: an image's folder below the results.
        images: the run's images; None: the image kept in the folder, else where the record says.

    Raises:
        UserError: there is no record, or no image of its checksum.
    """
    sag = load_record(folder)
    path = _find_image(sag, folder, images)
    if path is None:
        raise UserError(
            f"{images or folder}: the image {sag.image} of the record is not there; "
            "say where it is with --images"
        )
    # The kept image is what the network saw; nothing of it is cut off again.
    is_kept = path == folder / KEPT_IMAGE
    fit = Fit(sag.size) if is_kept else sag.model.fit(sag.size)
    try:
        image = load_fitted(path, fit)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    if is_kept and sag.pixels_sha256 not in (None, pixels_sha256(image)):
        raise UserError(f"{path}: not the image of the record; say where that is with --images")
    return Result(sag, image)


def pixels_sha256(image: np.ndarray) -> str:
    """Return the SHA-256 of an image's values in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


def _find_image(sag: Sag, folder: Path, images: Path | None) -> Path | None:
    """Return the file of a record's image, or None."""
    kept = folder / KEPT_IMAGE
    if images is None and kept.is_file():
        return kept
    recorded = sag.settings.get("images")
    base = images or Path(recorded if isinstance(recorded, str) else ".")
    for path in (base, base / sag.image):
        if path.is_file() and file_sha256(path) == sag.image_sha256:
            return path
    return None


@cache
def versions() -> dict[str, str | None]:
    """Return the versions of Python, PyTorch, torchvision, CUDA, and this project's git commit."""
    import torch
    import torchvision

    command = ["git", "-C", str(PROJECT), "rev-parse", "HEAD"]
    try:
        git = subprocess.run(command, capture_output=True, text=True)
        commit = git.stdout.strip() or None
    except OSError:  # no git on this machine
        commit = None
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": str(torchvision.__version__),
        "cuda": torch.version.cuda,
        "commit": commit,
    }
