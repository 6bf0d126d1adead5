"""Records on disk."""

import json
import platform
import subprocess
from pathlib import Path

import numpy as np
import torch
import torchvision

from utils import PROJECT, UserError, file_sha256, load_image


def read_record(path: Path) -> dict | None:
    """A sag.json, or None where it is absent, damaged or of another format."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        parts = [
            record["settings"],
            record["model"],
            record["search"],
            record["sag"],
            record["evaluations"],
            record["seconds"],
        ]
        whole = (
            record["format"] == 1
            and all(isinstance(p, dict) for p in parts)
            and isinstance(record["diverse_set"], list)
        )
        return record if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load_record(folder: Path) -> dict:
    """A result folder's record. Raises UserError where there is none, or a damaged one."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    record = read_record(folder / "sag.json")
    if record is None:
        raise UserError(f"{folder}: no sag.json in it, or a damaged one")
    return record


def load_result(folder: Path, images: Path | None = None) -> tuple[dict, np.ndarray]:
    """A result folder's record, and its image as the network got it, (H, W, 3) uint8.

    images: where the run's images are; else the folder's perturbation_original.png is taken, else what the record
    says. Raises UserError where there is no record, or no image of its checksum.
    """
    record, kept = load_record(folder), folder / "perturbation_original.png"
    base = images or Path(record["settings"].get("images") or ".")
    places = [base, base / record["image"]]
    found = [kept] * (images is None and kept.is_file()) or [
        p for p in places if p.is_file() and file_sha256(p) == record["image_sha256"]
    ]
    if not found:
        raise UserError(
            f"{images or folder}: the image {record['image']} of the record is not there; say where it is with --images"
        )
    try:
        return record, load_image(found[0], tuple(record["size"]))
    except ValueError as error:
        raise UserError(f"{found[0]}: {error}") from None


def versions() -> dict[str, str | None]:
    """Of Python, PyTorch, torchvision, CUDA and this project (its git commit), None where there is none."""
    try:
        git = subprocess.run(
            ["git", "-C", str(PROJECT), "rev-parse", "HEAD"], capture_output=True, text=True
        )
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
