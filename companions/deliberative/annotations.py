"""What the annotated data sets share: their type, regions of many sizes, and text tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from companions.deliberative.insecurities import top_region, upsampled
from companions.deliberative.record import DeliberationRecord, MeasuredInsecurity
from utils import UserError, read_text

SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99)  # of the image: sizes of regions
Curves = dict[str, np.ndarray]  # measure -> its value at each of SHARES, NaN where undefined
Pair = tuple[int, int]  # indices of two classes, ascending


@dataclass(frozen=True)
class DataSet:
    """Annotated images.

    Attributes:
        name: name of the data set.
        root: folder that the images' names are relative to.
        images: the images to explain.
        measures: what an insecurity is measured by.
        check: raises UserError where a network's class names do not fit the data set.
        measure: returns, for an image and its record, the curves of each insecurity that counts;
            raises ValueError or OSError where the image's annotations cannot be used.
    """

    name: str
    root: Path
    images: list[Path]
    measures: tuple[str, ...]
    check: Callable[[Sequence[str]], None]
    measure: Callable[[Path, DeliberationRecord], list[Curves]]


def pair_of(insecurity: MeasuredInsecurity) -> Pair:
    """Return the indices of an insecurity's classes, ascending."""
    a, b = sorted(category.index for category in insecurity.classes)
    return a, b


def regions_of(insecurity: MeasuredInsecurity, size: tuple[int, int]) -> list[np.ndarray]:
    """Return the top share of the pixels for each of SHARES, (H, W) bool.

    Also where M is not positive: else 99 % would often be much less.
    """
    fine = upsampled(torch.tensor(insecurity.map)[None], size)[0]
    return [top_region(fine, share).numpy() for share in SHARES]


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
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"--evaluate {folder}: {name}: {reason}") from None
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
