"""Regions instead of patches: label maps, their names, superpixels.

A label map says for every pixel of an image what is there: an image file (PNG) with one number per
pixel, and a list of names. Numbers and names follow ADE20K's rule: 0 is "unlabelled", n is the n-th
name. Every number that occurs is a region, 0 too, so that all regions together are the whole image
and every pixel belongs to exactly one.

    labels = load_label_map(Path("kitchen.png"), fit=network.fit, image=Path("kitchen.jpg"))
    regions = Regions.of(labels, read_names(Path("names.txt")))
    regions.names, regions.basis()      # ["wall", "floor", ..], (regions, H * W)
    regions = superpixels(image, count=40)

Superpixels are SLIC's (Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel
Methods", PAMI 2012), by scikit-image.
"""

import base64
import csv
import io
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from scoring.fitting import Fit
from scoring.image_files import UNREADABLE_IMAGE
from scoring.text_files import why_unreadable
from utils import UserError, one_line, require_regular, shown

if TYPE_CHECKING:
    import torch

UNLABELLED = "unlabelled"  # the name of label 0
ORIENTATION = 0x0112  # the EXIF tag; from 5 on height and width are exchanged
COMPACTNESS = 10.0  # of superpixels: colour against place, SLIC's usual value


@dataclass(frozen=True)
class Regions:
    """An image cut into named regions.

    Region i is where index == i; its label is numbers[i] and its name names[i].
    """

    index: np.ndarray  # (H, W) int32, 0 .. len(names) - 1
    numbers: list[int]
    names: list[str]

    @classmethod
    def of(cls, labels: np.ndarray, names: Mapping[int, str] | None = None) -> "Regions":
        """Return the regions of a label map, in ascending order of their numbers.

        Args:
            labels: (H, W), one number per pixel.
            names: label number -> name; None: "label 7".

        Raises:
            ValueError: a label has no name.
        """
        present, index = np.unique(labels, return_inverse=True)
        index = index.reshape(labels.shape).astype(np.int32)
        numbers = present.tolist()
        if names is None:
            names = {n: f"label {n}" if n else UNLABELLED for n in numbers}
        missing = [n for n in numbers if not names.get(n)]
        if missing:
            last = max(names, default=0)
            raise ValueError(
                f"no name for label {missing[0]} in the label map; the names go up to {last}"
            )
        return cls(index, numbers, [names[n] for n in numbers])

    def basis(self) -> "torch.Tensor":
        """Return the pixels of each region, (regions, H * W) float32, 0 or 1."""
        import torch  # here, so that figures can be drawn without it

        from scoring.patches import region_basis

        return region_basis(torch.from_numpy(self.index), len(self.names))

    def areas(self) -> list[float]:
        """Return the share of the image that each region covers; the shares sum to 1."""
        counts = np.bincount(self.index.ravel(), minlength=len(self.names))
        return (counts / self.index.size).tolist()

    def middles(self) -> list[tuple[int, int]]:
        """Return for each region the pixel (x, y) farthest from its border, for its name."""
        found = []
        for region in range(len(self.names)):
            mask = (self.index == region).astype(np.uint8)
            inside = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
            distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
            y, x = np.unravel_index(distance.argmax(), inside.shape)
            found.append((int(x) - 1, int(y) - 1))
        return found

    def borders(self) -> np.ndarray:
        """Return where another region begins, (H, W) bool."""
        edge = np.zeros(self.index.shape, bool)
        edge[1:] |= self.index[1:] != self.index[:-1]
        edge[:, 1:] |= self.index[:, 1:] != self.index[:, :-1]
        return edge

    def png(self) -> str:
        """Return the index map as a base64 PNG in which region i has grey level i."""
        kind = np.uint8 if len(self.names) <= 256 else np.uint16
        file = io.BytesIO()
        Image.fromarray(self.index.astype(kind)).save(file, "PNG")
        return base64.b64encode(file.getvalue()).decode()

    @classmethod
    def from_png(cls, png: str, *, numbers: list[int], names: list[str]) -> "Regions":
        """Return the regions whose index map png() returned."""
        with Image.open(io.BytesIO(base64.b64decode(png))) as file:
            return cls(np.asarray(file).astype(np.int32), list(numbers), list(names))


# ---------------------------------------------------------------- label maps


def load_label_map(
    path: Path,
    *,
    fit: Fit | None = None,
    image: Path | None = None,
    channel: int | None = None,
) -> np.ndarray:
    """Read a label map file: palette indices, or grey levels of 1, 8 or 16 bits.

    Args:
        path: the file.
        fit: how the image comes to the network's input size; None: the map as it is.
        image: the image that it belongs to, whose height and width (upright) it must have.
        channel: of a colour map, the channel with labels counted from 0, to which 1 is added.

    Returns:
        Array of shape (H, W), int32.

    Raises:
        ValueError: missing, damaged, of another size, a JPEG (which blurs labels), or in colour.
    """
    problem = f"label map {path}"
    label_map = _open_label_map(path)
    if image is not None and label_map.size != upright_size(image):
        width, height = upright_size(image)
        found = f"{label_map.size[0]} x {label_map.size[1]} pixels"
        raise ValueError(f"{problem}: {found}, the image {image.name} has {width} x {height}")
    values = np.asarray(label_map)
    if not np.isfinite(values).all():
        raise ValueError(f"{problem}: NaN or infinity among its values")
    labels = values.astype(np.int32)
    if channel is not None and labels.ndim == 3:
        labels = labels[..., channel] + 1
    if labels.ndim == 3:
        is_grey = (labels[..., :3] == labels[..., :1]).all()  # grey saved as colour
        if not is_grey:
            raise ValueError(
                f"{problem}: a colour image; a label map has one number per pixel (palette or grey)"
            )
        labels = labels[..., 0]
    return labels if fit is None else fit.labels(labels)


def _open_label_map(path: Path) -> Image.Image:
    require_regular(path)
    try:
        with Image.open(path) as file:
            file.load()
            kind = file.format
            label_map: Image.Image = file
    except UNREADABLE_IMAGE as error:
        reason = one_line(error)
        if isinstance(error, Image.UnidentifiedImageError):
            reason = "not an image"
        raise ValueError(f"label map {path}: cannot read it: {reason}") from None
    if kind == "JPEG":
        raise ValueError(
            f"label map {path}: a JPEG, whose blurred pixels are no labels; label maps are PNG"
        )
    return label_map


def upright_size(path: Path) -> tuple[int, int]:
    """Return width and height of an image file once it is rotated by its EXIF tag.

    Raises:
        ValueError: the file is not an image.
    """
    require_regular(path)
    try:
        with Image.open(path) as file:
            width, height = file.size
            is_turned = file.getexif().get(ORIENTATION, 1) >= 5
    except UNREADABLE_IMAGE as error:
        raise ValueError(f"cannot read it: {one_line(error)}") from None
    return (height, width) if is_turned else (width, height)


def read_names(path: Path) -> dict[int, str]:
    """Read the names of labels; label 0 is "unlabelled".

    A text file has one name per line, the first for label 1. A table with the columns Idx and Name,
    separated by commas or tabs, is read as ADE20K's objectInfo150: of the synonyms
    "building;edifice" the first is taken, with the second where two labels share the first.

    Raises:
        UserError: the file cannot be read as either.
    """
    try:
        require_regular(path)
        lines = path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
        header = set(re.split("[,\t]", lines[0].strip()))
        if {"Idx", "Name"} <= header or path.suffix.lower() == ".csv":
            synonyms = _read_table(lines)
        else:
            synonyms = {n: [line.strip()] for n, line in enumerate(lines, 1)}
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {why_unreadable(error)}") from None
    except (KeyError, ValueError, TypeError):
        raise UserError(
            f"{path}: not a table of names, with columns Idx (a number) and Name"
        ) from None
    often = Counter(words[0] for words in synonyms.values())
    names = {0: UNLABELLED}
    for number, words in synonyms.items():
        is_shared = often[words[0]] > 1 and len(words) > 1
        names[number] = shown(f"{words[0]} ({words[1]})" if is_shared else words[0])
    return names


def _read_table(lines: list[str]) -> dict[int, list[str]]:
    """Return label number -> synonyms from the lines of objectInfo150.csv or .txt."""
    table = csv.DictReader(lines, delimiter="\t" if "\t" in lines[0] else ",")
    return {
        int(row["Idx"]): [word.strip() for word in re.split(";|, ", row["Name"])] for row in table
    }


# ---------------------------------------------------------------- superpixels


def superpixels(image: np.ndarray, count: int) -> Regions:
    """Return about `count` SLIC superpixels, named S0, S1, ..; the same image gives the same ones.

    Args:
        image: (H, W, 3) uint8 RGB.
        count: number of superpixels asked for.
    """
    from skimage.segmentation import slic  # takes a second to import, and few runs need it

    labels = slic(image, n_segments=count, compactness=COMPACTNESS, start_label=0, channel_axis=-1)
    return Regions.of(labels, {int(n): f"S{n}" for n in np.unique(labels)})
