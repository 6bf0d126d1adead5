"""Regions instead of patches: label maps, their names, superpixels.

A label map says for every pixel of a picture what is there: an image file (PNG) with one number per pixel, and a list
of names. The rule for numbers and names is ADE20K's: 0 is "unlabelled", n is the n-th name. Every number present is a
region, 0 too, so that all regions together are the whole picture and every pixel is in exactly one.

    labels = load_label_map(Path("kitchen.png"), size=(224, 224), image=Path("kitchen.jpg"))   # (224, 224) int32
    regions = Regions.of(labels, read_names(Path("names.txt")))
    regions.names, regions.basis()                  # ["wall", "floor", ..], (regions, H * W): for MaskScorer(basis=..)
    regions = superpixels(image, count=40)          # where no label map is at hand

Superpixels are SLIC's (Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods", PAMI 2012),
by scikit-image.
"""

import base64
import csv
import io
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from scoring.patches import region_basis
from utils import UserError, one_line

UNLABELLED = "unlabelled"  # the name of label 0
ORIENTATION = 0x0112  # the EXIF tag; from 5 on height and width are exchanged
COMPACTNESS = 10.0  # of superpixels: colour against place, SLIC's usual value


@dataclass(frozen=True)
class Regions:
    """A picture cut into named regions. Region i is where index == i, has the label numbers[i] and the name names[i]."""

    index: np.ndarray  # (H, W) int32, 0 .. len(names) - 1
    numbers: list[int]
    names: list[str]

    @classmethod
    def of(cls, labels: np.ndarray, names: Mapping[int, str] | None = None) -> "Regions":
        """The regions of a label map (H, W), ascending by number. names None: "label 7". Raises ValueError for a label without a name."""
        numbers, index = np.unique(labels, return_inverse=True)
        index = index.reshape(labels.shape).astype(np.int32)
        numbers = numbers.tolist()
        if names is None:
            names = {n: f"label {n}" if n else UNLABELLED for n in numbers}
        missing = [n for n in numbers if not names.get(n)]
        if missing:
            raise ValueError(
                f"no name for label {missing[0]} in the label map; the names go up to {max(names, default=0)}"
            )
        return cls(index, numbers, [names[n] for n in numbers])

    def basis(self) -> torch.Tensor:
        """The pixels of each region, 0 or 1, (regions, H * W) float32."""
        return region_basis(torch.from_numpy(self.index), len(self.names))

    def areas(self) -> list[float]:
        """The share of the picture that each region has; they sum to 1."""
        return (
            np.bincount(self.index.ravel(), minlength=len(self.names)) / self.index.size
        ).tolist()

    def middles(self) -> list[tuple[int, int]]:
        """A pixel (x, y) well inside each region, for its name: the one farthest from the region's border."""
        found = []
        for i in range(len(self.names)):
            inside = cv2.copyMakeBorder(
                (self.index == i).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT
            )
            y, x = np.unravel_index(
                cv2.distanceTransform(inside, cv2.DIST_L2, 3).argmax(), inside.shape
            )
            found.append((int(x) - 1, int(y) - 1))
        return found

    def borders(self) -> np.ndarray:
        """Where another region begins, (H, W) bool."""
        edge = np.zeros(self.index.shape, bool)
        edge[1:] |= self.index[1:] != self.index[:-1]
        edge[:, 1:] |= self.index[:, 1:] != self.index[:, :-1]
        return edge

    def record(self) -> dict:
        """As a record has it: names, label numbers, areas, and the map itself as a PNG (base64), region i as grey level i."""
        file = io.BytesIO()
        kind = np.uint8 if len(self.names) <= 256 else np.uint16
        Image.fromarray(self.index.astype(kind)).save(file, "PNG")
        return {
            "names": self.names,
            "labels": self.numbers,
            "areas": self.areas(),
            "map": base64.b64encode(file.getvalue()).decode(),
        }

    @classmethod
    def from_record(cls, entry: Mapping) -> "Regions":
        """What record() made."""
        with Image.open(io.BytesIO(base64.b64decode(entry["map"]))) as file:
            return cls(
                np.asarray(file).astype(np.int32), list(entry["labels"]), list(entry["names"])
            )


# ---------------------------------------------------------------- label maps


def load_label_map(
    path: Path,
    size: tuple[int, int] | None = None,
    image: Path | None = None,
    channel: int | None = None,
) -> np.ndarray:
    """A label map file as (H, W) int32: palette indices, or grey levels of 1, 8 or 16 bits.

    size: resized straight to (H, W), each pixel to its nearest, as utils.load_image resizes the image. image: the
    picture it belongs to, whose height and width (upright) it must have. channel: of a coloured map, the one that holds
    the labels counted from 0, so that 1 is added. Raises ValueError, one line: missing, damaged, of another size, a
    JPEG (which blurs labels), or coloured.
    """
    try:
        with Image.open(path) as file:
            file.load()
            kind, picture = file.format, file
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = (
            "not an image" if isinstance(error, Image.UnidentifiedImageError) else one_line(error)
        )
        raise ValueError(f"label map {path}: cannot read it: {reason}") from None
    if kind == "JPEG":
        raise ValueError(
            f"label map {path}: a JPEG, whose blurred pixels are no labels; PNG is for label maps"
        )
    if image is not None and picture.size != upright_size(image):
        raise ValueError(
            f"label map {path}: {picture.size[0]} x {picture.size[1]} pixels, the image {image.name} has "
            "{} x {}".format(*upright_size(image))
        )
    labels = np.asarray(picture).astype(np.int32)
    if channel is not None and labels.ndim == 3:
        labels = labels[..., channel] + 1
    if labels.ndim == 3:  # grey saved as colour is still grey
        if not (labels[..., :3] == labels[..., :1]).all():
            raise ValueError(
                f"label map {path}: a colour picture; a label map has one number per pixel (palette or grey)"
            )
        labels = labels[..., 0]
    return labels if size is None else resize_labels(labels, size)


def resize_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) -> (H, W) int32, each pixel the label of the nearest one; no label is invented."""
    return np.asarray(
        Image.fromarray(labels.astype(np.int32)).resize(size[::-1], Image.Resampling.NEAREST)
    )


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file when it is turned upright by its EXIF tag. Raises ValueError where it is no image."""
    try:
        with Image.open(path) as file:
            turned = file.getexif().get(ORIENTATION, 1) >= 5
            return file.size[::-1] if turned else file.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot read it: {one_line(error)}") from None


def read_names(path: Path) -> dict[int, str]:
    """Label number -> name, 0 being "unlabelled".

    A text file has a name a line, the first for label 1. A table with columns Idx and Name, with commas or tabs between
    them, is read as ADE20K's objectInfo150: of synonyms ("building;edifice") the first is taken, with the second where
    two labels share the first. Raises UserError.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
        if {"Idx", "Name"} <= set(
            re.split("[,\t]", lines[0].strip())
        ) or path.suffix.lower() == ".csv":
            table = csv.DictReader(lines, delimiter="\t" if "\t" in lines[0] else ",")
            rows = {
                int(row["Idx"]): [word.strip() for word in re.split(";|, ", row["Name"])]
                for row in table
            }
        else:
            rows = {n: [line.strip()] for n, line in enumerate(lines, 1)}
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    except (KeyError, ValueError, TypeError):
        raise UserError(
            f"{path}: not a table of names, with columns Idx (a number) and Name"
        ) from None
    often = Counter(words[0] for words in rows.values())
    return {0: UNLABELLED} | {
        n: f"{words[0]} ({words[1]})" if often[words[0]] > 1 and len(words) > 1 else words[0]
        for n, words in rows.items()
    }


# ---------------------------------------------------------------- superpixels


def superpixels(image: np.ndarray, count: int) -> Regions:
    """About count SLIC superpixels of an image (H, W, 3) uint8, named S0, S1, .. The same image gives the same ones."""
    from skimage.segmentation import slic  # here: it takes a second to import, and few runs need it

    labels = slic(image, n_segments=count, compactness=COMPACTNESS, start_label=0, channel_axis=-1)
    return Regions.of(labels, {int(n): f"S{n}" for n in np.unique(labels)})
