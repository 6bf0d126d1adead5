"""Do insecurities stay where they are when the image is shifted by a few pixels?

    stays = shifted_image(network, split, Path("a.jpg"), Shift(3, -5), method=method)
    stays.pairs, stays.iou[4]                       # 0.8, IoU at regions of 5 %
    table = mean_robustness([stays, ..])

The image is read with a margin around what the network sees (as the authors do: 256 x 256 pixels
around 224 x 224), and the window is moved by -5 to 4 rows and columns. Of the pairs of classes that
are found in both windows, the regions are compared where both windows look: their intersection
divided by their union, at each size of region. Where parts are annotated, so are the shared parts
in them; where neither region has one, they agree.

After the authors' response of Wang and Vasconcelos, NeurIPS 2019, whose programs compare the parts
alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct

from companions.deliberative.annotations import SHARES, Mark, Marks, no_marks, pixels_at, ranks_of
from companions.deliberative.evaluation import Means, json_numbers, table_by_size
from companions.deliberative.insecurities import (
    Insecurity,
    Method,
    black_image,
    strongest_insecurities,
)
from companions.deliberative.published import mean_of_known
from companions.deliberative.split import Split
from running.record_files import write_indented
from scoring.fitting import load_fitted
from scoring.networks import Network

MARGIN = 16 / 224  # of the window's side
LEAST = -5  # pixels that a window is moved by, and ..
BEYOND = 5  # .. one more than the most


@dataclass(frozen=True)
class Shift:
    """How far a window is moved, in pixels."""

    rows: int
    columns: int


@dataclass(frozen=True)
class Stays:
    """What stays of an image's insecurities when it is shifted.

    Attributes:
        pairs: pairs of classes that both windows have, as a share of those that either has; NaN
            where neither has one.
        iou: of the regions, at each of SHARES, the mean over the pairs in both; NaN without one.
        parts: likewise of the shared parts in the regions; NaN where none is annotated.
    """

    pairs: float
    iou: np.ndarray
    parts: np.ndarray


class Robustness(Struct, kw_only=True):
    """What robustness.json holds: means over images and shifts."""

    images: int
    shifts: int
    shares: list[float]
    pairs: float | None
    iou: Means
    parts: Means

    def as_text(self) -> str:
        """Return the table for the terminal."""
        pairs = "-" if self.pairs is None else f"{100 * self.pairs:.0f} %"
        first = f"{self.shifts} shifts of {self.images} images; pairs in both windows: {pairs}"
        rows = {"IoU": self.iou, "parts": self.parts}
        return "\n".join([first, *table_by_size(self.shares, rows)])

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        write_indented(path, self)


def random_shifts(count: int, generator: torch.Generator) -> list[Shift]:
    """Return so many random shifts."""
    rows = torch.randint(LEAST, BEYOND, (count, 2), generator=generator).tolist()
    return [Shift(*row) for row in rows]


def shifted_image(
    network: Network,
    split: Split,
    image: Path,
    shift: Shift,
    *,
    method: Method,
    marks: Marks = no_marks,
) -> Stays:
    """Return what stays of an image's insecurities when it is shifted.

    Args:
        network: the network.
        split: the same, as features and head.
        image: the file.
        shift: how far the window is moved.
        method: how insecurities are found.
        marks: the annotated parts of an image.

    Raises:
        ValueError: the image cannot be read.
        FloatingPointError: the network returns NaN.
    """
    first, second = (
        insecurities_of(window, network, split, method=method)
        for window in windows_of(network, image, shift)
    )
    both = sorted(set(first) & set(second))
    either = set(first) | set(second)
    ious = []
    parts = []
    for pair in both:
        ranks = (ranks_of(first[pair], network.size), ranks_of(second[pair], network.size))
        ious.append(region_iou(*ranks, shift))
        shown = [mark for mark in marks(image, network.fit, pair) if mark.is_shared]
        parts.append(parts_iou(*ranks, shift, shown))
    return Stays(
        pairs=len(both) / len(either) if either else np.nan,
        iou=mean_of_known(ious, len(SHARES)),
        parts=mean_of_known(parts, len(SHARES)),
    )


def insecurities_of(
    window: np.ndarray, network: Network, split: Split, *, method: Method
) -> dict[tuple[int, int], Insecurity]:
    """Return the insecurities of what the network sees, by their pair of classes."""
    black = black_image(network, method)
    found = strongest_insecurities(split, network.prepare(window), black, method)
    return {pair_of_classes(insecurity): insecurity for insecurity in found}


def windows_of(network: Network, image: Path, shift: Shift) -> list[np.ndarray]:
    """Return what the network sees of an image, and of the shifted one, each (H, W, 3) uint8."""
    height, width = network.size
    margin = max(-LEAST, round(MARGIN * height))
    side = network.fit.description()["short_side"]
    size = (height + 2 * margin, width + 2 * margin)
    whole = load_fitted(image, replace(network.fit, size=size, short_side=side))
    windows = []
    for move in (Shift(0, 0), shift):
        top = margin + move.rows
        left = margin + move.columns
        windows.append(whole[top : top + height, left : left + width].copy())
    return windows


def pair_of_classes(insecurity: Insecurity) -> tuple[int, int]:
    """Return the indices of an insecurity's classes, ascending."""
    a, b = sorted(insecurity.classes)
    return a, b


def region_iou(first: np.ndarray, second: np.ndarray, shift: Shift) -> np.ndarray:
    """Return the IoU of the regions of both windows where both look, at each of SHARES.

    Args:
        first: place of each pixel in the order of M, (H, W), in the first window.
        second: likewise in the moved window.
        shift: how far it is moved.
    """
    height, width = first.shape
    rows = slice(max(0, shift.rows), height + min(0, shift.rows))
    columns = slice(max(0, shift.columns), width + min(0, shift.columns))
    seen = first[rows, columns]
    moved_rows = slice(rows.start - shift.rows, rows.stop - shift.rows)
    moved_columns = slice(columns.start - shift.columns, columns.stop - shift.columns)
    seen_again = second[moved_rows, moved_columns]
    found = []
    for size in pixels_at(first.shape):
        a = seen < size
        b = seen_again < size
        either = (a | b).sum()
        found.append((a & b).sum() / either if either else np.nan)
    return np.array(found)


def parts_iou(
    first: np.ndarray, second: np.ndarray, shift: Shift, marks: Sequence[Mark]
) -> np.ndarray:
    """Return the IoU of the parts in both windows' regions; see region_iou().

    Args:
        first: place of each pixel in the order of M, (H, W), in the first window.
        second: likewise in the moved window.
        shift: how far it is moved.
        marks: the parts, by their place in the first window; those that leave it are left out.

    Returns:
        (shares,), 1 where neither region has a part; NaN where there is none.
    """
    height, width = first.shape
    places = []
    for mark in marks:
        row = mark.pixel[0] - shift.rows
        column = mark.pixel[1] - shift.columns
        if 0 <= row < height and 0 <= column < width:
            places.append((first[mark.pixel], second[row, column]))
    if not places:
        return np.full(len(SHARES), np.nan)
    sizes = pixels_at(first.shape)[:, None]
    a, b = (np.array(column) < sizes for column in zip(*places))
    either = (a | b).sum(1)
    return np.divide((a & b).sum(1), either, out=np.ones(len(SHARES)), where=either > 0)


def mean_robustness(found: Sequence[Stays], *, images: int) -> Robustness:
    """Return the means over images and shifts."""
    pairs = mean_of_known([np.array([one.pairs]) for one in found], 1)
    return Robustness(
        images=images,
        shifts=len(found),
        shares=list(SHARES),
        pairs=json_numbers(pairs)[0],
        iou=json_numbers(mean_of_known([one.iou for one in found], len(SHARES))),
        parts=json_numbers(mean_of_known([one.parts for one in found], len(SHARES))),
    )
