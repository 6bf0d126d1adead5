"""What can be measured of an image's regions: colour, size and place of each, and how two lie.

    attributes_of_region(regions, 3, image)             # ["red", "small", "top", "left"]
    relations_between(regions, [3, 5], (480, 640))      # [Relation(subject=3, name="above", ..)]

The attributes of a region:

- the colour: of the 11 basic colour terms, the one that most of its pixels have; a pixel has the
  term with the nearest shade in CIELAB (COLOURS);
- "small" below 5 % of the image, "large" above 25 %;
- unless it is large, the thirds that its centre of mass is in: "top" or "bottom", "left" or
  "right"; "central" where it is in the middle third both ways.

The relation of a pair, the first of these that holds; a pair has one at most:

- a "inside" b: at least 80 % of the pixels next to a are b's;
- a "on" b: in at least half of the columns of a, the pixel under a's lowest one is b's;
- a "above", "below", "left of" or "right of" b: by the centres of their boxes, along the axis of
  the larger distance in the image, where the boxes overlap along it by at most half of the shorter
  side.

They are this project's own, and are not learnt: the same pixels always give the same words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np

from scoring.regions import Regions

COLOURS = {  # RGB; dark, plain and light ones where CIELAB alone would mistake them
    "black": ((20, 20, 20),),
    "white": ((240, 240, 240),),
    "grey": ((128, 128, 128), (190, 190, 190)),
    "red": ((200, 30, 30), (130, 10, 20)),
    "orange": ((240, 140, 30),),
    "yellow": ((240, 220, 50),),
    "green": ((0, 120, 0), (80, 170, 80), (150, 220, 130)),
    "blue": ((0, 0, 220), (0, 0, 110), (60, 110, 210), (150, 200, 245)),
    "purple": ((110, 40, 150), (170, 90, 200)),
    "pink": ((245, 160, 190),),
    "brown": ((120, 75, 40), (165, 120, 75)),
}
SMALL = 0.05  # share of the image
LARGE = 0.25
ENCLOSED = 0.8  # share of the pixels around
RESTING = 0.5  # share of the columns
OVERLAP = 0.5  # of the shorter side


@dataclass(frozen=True)
class Relation:
    """How two regions lie, by their indices."""

    subject: int
    name: str
    object: int


# ---------------------------------------------------------------- one region


def attributes_of_region(regions: Regions, region: int, image: np.ndarray) -> list[str]:
    """Return the colour, size and place of a region.

    Args:
        regions: of the image.
        region: its index.
        image: (H, W, 3) uint8 RGB, of the size of the regions' index map.
    """
    mask = regions.index == region
    share = float(mask.mean())
    words = [colour_of(image[mask])]
    if share > LARGE:
        return [*words, "large"]
    if share < SMALL:
        words.append("small")
    return words + _place(mask)


def colour_of(pixels: np.ndarray) -> str:
    """Return the basic colour term that most pixels have; of equals, the first in COLOURS.

    Args:
        pixels: (N, 3) RGB, from 0 to 255.
    """
    names = list(COLOURS)
    shades = [shade for own in COLOURS.values() for shade in own]
    name_of_shade = [n for n, own in enumerate(COLOURS.values()) for _ in own]
    nearest = _distances(_lab(pixels), _lab(np.array(shades))).argmin(1)  # (N,)
    counts = np.bincount(np.take(name_of_shade, nearest), minlength=len(names))
    return names[int(counts.argmax())]


def _lab(rgb: np.ndarray) -> np.ndarray:
    """Return (N, 3) colours in CIELAB."""
    return cv2.cvtColor(np.float32(rgb)[None] / 255, cv2.COLOR_RGB2LAB)[0]


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the (N, M) distances of N colours from M others."""
    return np.linalg.norm(a[:, None] - b[None], axis=2)


def _place(mask: np.ndarray) -> list[str]:
    rows, columns = mask.shape
    ys, xs = np.nonzero(mask)
    vertical = _third((ys.mean() + 0.5) / rows, "top", "bottom")
    horizontal = _third((xs.mean() + 0.5) / columns, "left", "right")
    return vertical + horizontal or ["central"]


def _third(place: float, first: str, last: str) -> list[str]:
    if place < 1 / 3:
        return [first]
    return [last] if place > 2 / 3 else []


# ---------------------------------------------------------------- two regions


def relations_between(
    regions: Regions, order: Sequence[int], size: tuple[int, int]
) -> list[Relation]:
    """Return how each pair of some regions lies, where one of the words applies.

    Args:
        regions: of the image.
        order: indices of regions. Where a relation has a converse ("above", "below"), the subject
            is the region that comes first.
        size: height and width of the image as people see it. The index map may be squashed.
    """
    found = [_relation(regions.index, a, b, size=size) for a, b in combinations(order, 2)]
    return [relation for relation in found if relation]


def _relation(index: np.ndarray, a: int, b: int, *, size: tuple[int, int]) -> Relation | None:
    for subject, other in ((a, b), (b, a)):
        if _share_around(index, subject, other) >= ENCLOSED:
            return Relation(subject, "inside", other)
    for subject, other in ((a, b), (b, a)):
        if _share_under(index, subject, other) >= RESTING:
            return Relation(subject, "on", other)
    name = _direction(index == a, index == b, size=size)
    return Relation(a, name, b) if name else None


def _share_around(index: np.ndarray, region: int, other: int) -> float:
    """Return the share of the pixels next to a region that belong to another."""
    mask = (index == region).astype(np.uint8)
    grown = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    around = index[grown > mask]
    return float((around == other).mean()) if around.size else 0.0


def _share_under(index: np.ndarray, region: int, other: int) -> float:
    """Return in what share of a region's columns another begins right under it."""
    mask = index == region
    columns = np.flatnonzero(mask.any(0))
    lowest = len(mask) - 1 - mask[::-1, columns].argmax(0)
    under = lowest + 1
    is_inside = under < len(mask)
    rests = index[under[is_inside], columns[is_inside]] == other
    return float(rests.sum() / len(columns))


def _direction(a: np.ndarray, b: np.ndarray, *, size: tuple[int, int]) -> str | None:
    """Return where region a lies from region b; None where their boxes overlap too much."""
    vertical = _Gap.of(a.any(1), b.any(1), length=size[0])
    horizontal = _Gap.of(a.any(0), b.any(0), length=size[1])
    if abs(vertical.offset) >= abs(horizontal.offset):
        gap = vertical
        words = ("above", "below")
    else:
        gap = horizontal
        words = ("left of", "right of")
    if gap.offset == 0 or gap.overlap > OVERLAP:
        return None
    return words[0] if gap.offset < 0 else words[1]


@dataclass(frozen=True)
class _Gap:
    """Two boxes along one axis: a's centre less b's in pixels, and overlap over shorter side."""

    offset: float
    overlap: float

    @classmethod
    def of(cls, a: np.ndarray, b: np.ndarray, *, length: int) -> "_Gap":
        first = np.flatnonzero(a)
        second = np.flatnonzero(b)
        shared = min(first[-1], second[-1]) - max(first[0], second[0]) + 1
        shorter = min(np.ptp(first), np.ptp(second)) + 1
        offset = (first[0] + first[-1] - second[0] - second[-1]) / 2
        return cls(float(offset * length / len(a)), float(max(0, shared) / shorter))
