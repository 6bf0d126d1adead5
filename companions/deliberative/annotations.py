"""What the annotated data sets share: their type, regions of many sizes, and text tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from companions.deliberative.insecurities import Insecurity, upsampled
from companions.deliberative.published import published_fine
from companions.deliberative.record import DeliberationRecord, MeasuredInsecurity
from scoring.fitting import Fit
from scoring.text_files import why_unreadable
from utils import UserError, read_text

SHARES = tuple(percent / 100 for percent in range(1, 100))  # of the image: sizes of regions
Curves = dict[str, np.ndarray]  # measure -> its value at each of SHARES, NaN where undefined
Pair = tuple[int, int]  # indices of two classes, ascending


@dataclass(frozen=True)
class Mark:
    """An annotated part of an image, as figures show it.

    Attributes:
        pixel: row and column in the network's input.
        is_shared: whether an insecurity's two classes share the part.
    """

    pixel: tuple[int, int]
    is_shared: bool


Marks = Callable[[Path, Fit, Pair], list[Mark]]  # of an image's parts, for a pair of classes


def no_marks(*_: object) -> list[Mark]:
    """Return no part: the image has none that are annotated."""
    return []


@dataclass(frozen=True)
class DataSet:
    """Annotated images.

    Attributes:
        name: name of the data set.
        root: folder that the images' names are relative to.
        images: the images to explain.
        measures: what an insecurity is measured by.
        check: raises UserError where a network's class names do not fit the data set.
        measure: returns, for an image and its record, the curves of each insecurity that counts, or
            as published those of all together; raises ValueError or OSError where the image's
            annotations cannot be used.
        marks: the annotated parts of an image.
    """

    name: str
    root: Path
    images: list[Path]
    measures: tuple[str, ...]
    check: Callable[[Sequence[str]], None]
    measure: Callable[[Path, DeliberationRecord], list[Curves]]
    marks: Marks = no_marks


def pair_of(insecurity: MeasuredInsecurity) -> Pair:
    """Return the indices of an insecurity's classes, ascending."""
    a, b = sorted(category.index for category in insecurity.classes)
    return a, b


def fine_map(insecurity: MeasuredInsecurity | Insecurity, size: tuple[int, int]) -> torch.Tensor:
    """Return M at the image's size, (H, W)."""
    return upsampled(torch.as_tensor(insecurity.map)[None], size)[0]


def strength_curve(insecurity: MeasuredInsecurity, size: tuple[int, int]) -> np.ndarray:
    """Return the mean of M over the region of each of SHARES."""
    descending = fine_map(insecurity, size).double().flatten().sort(descending=True).values
    sizes = pixels_at(size)
    return descending.cumsum(0).numpy()[sizes - 1] / sizes


def ranks_of(insecurity: MeasuredInsecurity | Insecurity, size: tuple[int, int]) -> np.ndarray:
    """Return the place of each pixel in the order of M, the largest 0, (H, W).

    Of equal values, the upper left ones come first; also those count where M is not positive, or
    a region of 99 % would often be much less.
    """
    fine = fine_map(insecurity, size)
    ranks = torch.empty(fine.numel(), dtype=torch.long)
    order = fine.flatten().sort(descending=True, stable=True).indices
    ranks[order] = torch.arange(fine.numel())
    return ranks.view(fine.shape).numpy()


def pixels_at(size: tuple[int, int]) -> np.ndarray:
    """Return the number of pixels of a region of each of SHARES."""
    return np.array([max(1, round(share * size[0] * size[1])) for share in SHARES])


def published_maps(record: DeliberationRecord) -> list[np.ndarray]:
    """Return M of each insecurity at the image's size, as the authors' programs do."""
    return [published_fine(np.array(i.map), record.size) for i in record.insecurities]


def read_words(folder: Path, name: str, columns: int) -> list[list[str]]:
    """Return the words of each line of a text file.

    Args:
        folder: folder of the data set.
        name: path of the file below it.
        columns: number of words that a line has at least.

    Raises:
        UserError: the file is missing, or a line is shorter.
    """
    try:
        lines = read_text(folder / name).splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"--evaluate {folder}: {name}: {why_unreadable(error)}") from None
    rows = [line.split() for line in lines if line.strip()]
    for number, row in enumerate(rows, 1):
        if len(row) < columns:
            raise UserError(
                f"--evaluate {folder}: {name}: line {number} has fewer than {columns} words"
            )
    return rows


def read_numbers(words: Sequence[str], folder: Path, name: str, *, line: int) -> list[float]:
    """Return the numbers of a line.

    Raises:
        UserError: a word is not a finite number.
    """
    numbers = []
    for word in words:
        try:
            number = float(word)
        except ValueError:
            number = np.nan
        if not np.isfinite(number):
            raise UserError(f"--evaluate {folder}: {name}: line {line}: {word} is not a number")
        numbers.append(number)
    return numbers
