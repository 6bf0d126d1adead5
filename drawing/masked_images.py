"""Images of patch sets: what the network saw of an image, and how readers are shown it.

    masked = MaskedImages.of(sag, image)
    masked((11, 30))                        # the masked image that the network saw, (H, W, 3) uint8
    masked((11, 30), hidden="dim")          # for readers: the rest of the image shows faintly

The baseline and the image are mixed by the tents of the visible patches, as in scoring.patches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import cv2
import numpy as np

from drawing.record import Sag
from drawing.styles import Hidden
from scoring.baselines import make_baseline
from scoring.regions import Regions

DIM = 0.3  # brightness of the hidden part on black
PALE = (115.0, 204.0)  # range of its greys on white: bright and dark patches both stand out
RED = (230, 40, 40)  # of the outline of a removed patch
BLACK = (0, 0, 0)
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Removal:
    """A patch that was removed, and the relative confidence that this cost."""

    patch: int
    drop: float


@dataclass(frozen=True)
class PixelBox:
    """A rectangle of pixels; all four sides are inside it."""

    top: int
    left: int
    bottom: int
    right: int


Images = TypeVar("Images", bound="MaskedImages")


class MaskedImages:
    """Images of one image's patch sets.

    Args:
        image: (H, W, 3) uint8 RGB, at the network's input size.
        grid: Rows and columns of patches.
        baseline: What hides a patch (get_perturbation_mask.BASELINES).
        regions: Named regions in place of the grid.
        paper: Whether hidden parts of "dim" images turn pale instead of dark.

    Attributes:
        baseline: The baseline image, (H, W, 3) uint8.
        squares: Whether patches are rectangles (of tokens) rather than tents.
        has_contour: Whether "dim" images have a line around the visible patches.
    """

    has_contour = True

    def __init__(
        self,
        image: np.ndarray,
        *,
        grid: tuple[int, int],
        baseline: str,
        regions: Regions | None = None,
        paper: bool = False,
    ):
        self.image = image
        self.grid = grid
        self.squares = baseline == "drop"
        self.baseline = make_baseline(image, baseline)
        self.regions = regions
        self.paper = paper
        self._rows = _weights_along(grid[0], image.shape[0], squares=self.squares)
        self._columns = _weights_along(grid[1], image.shape[1], squares=self.squares)

    @classmethod
    def of(cls: type[Images], sag: Sag, image: np.ndarray, paper: bool = False) -> Images:
        """Return the images of a record's patch sets."""
        regions = None
        if sag.regions:
            regions = Regions.from_png(
                sag.regions.map, numbers=sag.regions.labels, names=sag.regions.names
            )
        return cls(image, grid=sag.grid, baseline=sag.baseline.name, regions=regions, paper=paper)

    def spread(self, values: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return at every pixel the sum of the patches' values, each by its patch's weight there.

        The weight of a patch of a grid is the product of a row's and a column's, so that no matrix
        of patches by pixels is needed.

        Args:
            values: A number per patch, (patches,).

        Returns:
            Array (H, W), float32.
        """
        values = np.asarray(values, np.float64)
        if self.regions:
            return values[self.regions.index].astype(np.float32)
        return (self._rows.T @ values.reshape(self.grid) @ self._columns).astype(np.float32)

    @property
    def num_patches(self) -> int:
        """Number of patches or regions."""
        return len(self.regions.names) if self.regions else self.grid[0] * self.grid[1]

    def __call__(self, patches: Iterable[int], hidden: Hidden = "baseline") -> np.ndarray:
        """Return the image in which these patches are visible, (H, W, 3) uint8.

        Args:
            patches: The visible patches.
            hidden: How the rest shows. "baseline": exactly as the network saw it; "dim": faintly;
                "black"; "outline": the whole image, with a line around the visible patches.
        """
        if hidden == "outline":
            return self._with_contour(patches)
        rest = self._rest(hidden)
        visible = np.zeros(self.num_patches)
        visible[list(patches)] = 1
        weight = self.spread(visible)[..., None]
        mixed = rest + weight * (self.image.astype(np.float32) - rest)
        shown = np.clip(np.round(mixed), 0, 255).astype(np.uint8)
        if hidden == "dim" and self.has_contour:  # a patch may be as dark or grey as the rest
            self._draw_contour(shown, patches)
        return shown

    def _rest(self, hidden: Hidden) -> np.ndarray:
        """Return what shows where no patch is visible."""
        if hidden == "baseline":
            return self.baseline
        if hidden == "black":
            return np.zeros_like(self.image)
        return self._faint

    @cached_property
    def _faint(self) -> np.ndarray:
        return faint(self.image, paper=self.paper)

    def own_pixels(self, patch: int) -> np.ndarray:
        """Return a region's pixels, or those nearest to a patch's centre: (H, W) uint8, 0 or 1."""
        if self.regions:
            return (self.regions.index == patch).astype(np.uint8)
        size = self.image.shape[:2]
        box = patch_box(patch, self.grid, size=size, squares=self.squares)
        inside = np.zeros(size, np.uint8)
        inside[box.top : box.bottom + 1, box.left : box.right + 1] = 1
        return inside

    def outlined(
        self, patches: Iterable[int], removed: Sequence[Removal], hidden: Hidden = "baseline"
    ) -> np.ndarray:
        """Return the image of a set with each removed patch outlined in red."""
        shown = self(patches, hidden)
        if not self.regions:
            return outlined(shown, removed, grid=self.grid, squares=self.squares)
        for removal in removed:
            thick = -(-thickness(removal.drop) // 2)  # a region can be thin
            contours = contours_of(self.own_pixels(removal.patch))
            cv2.drawContours(shown, contours, -1, RED, thick, offset=(-1, -1))
        return shown

    def _with_contour(self, patches: Iterable[int]) -> np.ndarray:
        """Return the whole image with a line around these patches."""
        shown = self.image.copy()
        self._draw_contour(shown, patches)
        return shown

    def _draw_contour(self, shown: np.ndarray, patches: Iterable[int]) -> None:
        """Draw a white line, edged in black, around these patches."""
        inside = np.zeros(self.image.shape[:2], np.uint8)
        for patch in patches:
            inside |= self.own_pixels(patch)
        contours = contours_of(inside)
        thick = max(1, self.image.shape[1] // 90)
        cv2.drawContours(shown, contours, -1, BLACK, 2 * thick + 1, offset=(-1, -1))
        cv2.drawContours(shown, contours, -1, WHITE, thick, offset=(-1, -1))


def faint(image: np.ndarray, *, paper: bool) -> np.ndarray:
    """Return an image in grey, nearly black, or of middle greys for paper; float, (H, W, 3)."""
    grey = image.mean(2, keepdims=True).repeat(3, 2)
    if paper:
        return PALE[0] + (PALE[1] - PALE[0]) * grey / 255
    return DIM * grey


def _weights_along(count: int, pixels: int, *, squares: bool) -> np.ndarray:
    """Return how strongly each patch along a side shows each pixel, (count, pixels) float64.

    As scoring.patches.tents() has it, or, for squares, cells(), without PyTorch.
    """
    if squares:
        owner = np.arange(pixels) * count // pixels
        return (owner == np.arange(count)[:, None]).astype(np.float64)
    if count == 1:
        return np.ones((1, pixels))
    distance = np.abs(np.arange(pixels) - centres(count, pixels)[:, None])
    return np.clip(1 - distance * (count - 1) / (pixels - 1), 0, None)


def centres(count: int, pixels: int) -> np.ndarray:
    """Return the centres of the tents along one side, in pixels; the outer ones are on the border.

    Args:
        count: Number of tents along the side.
        pixels: Length of the side.
    """
    if count == 1:
        return np.array([(pixels - 1) / 2])
    return np.linspace(0, pixels - 1, count)


def patch_box(
    patch: int, grid: tuple[int, int], *, size: tuple[int, int], squares: bool = False
) -> PixelBox:
    """Return the pixels that are nearer to this patch's centre than to any other's.

    Args:
        patch: Index of the patch, row by row.
        grid: Rows and columns.
        size: Height and width of the image.
        squares: Whether patches are rectangles side by side rather than tents.
    """
    top, bottom = _span(patch // grid[1], grid[0], pixels=size[0], squares=squares)
    left, right = _span(patch % grid[1], grid[1], pixels=size[1], squares=squares)
    return PixelBox(top=top, left=left, bottom=bottom, right=right)


def _span(index: int, count: int, *, pixels: int, squares: bool) -> tuple[int, int]:
    """Return the first and the last pixel of the index-th of count patches along a side."""
    if squares or count == 1:
        return pixels * index // count, pixels * (index + 1) // count - 1
    step = (pixels - 1) / (count - 1)
    first = round(max((index - 0.5) * step, 0))
    last = round(min((index + 0.5) * step, pixels - 1))
    return first, last


def outlined(
    shown: np.ndarray,
    removed: Sequence[Removal],
    *,
    grid: tuple[int, int],
    squares: bool = False,
) -> np.ndarray:
    """Return a copy of an image with each removed patch outlined in red.

    The more confidence a removal cost, the thicker its outline.
    """
    out = shown.copy()
    for removal in removed:
        box = patch_box(removal.patch, grid, size=shown.shape[:2], squares=squares)
        thick = thickness(removal.drop)
        inset = thick // 2
        upper_left = (box.left + inset, box.top + inset)
        lower_right = (box.right - inset, box.bottom - inset)
        cv2.rectangle(out, upper_left, lower_right, RED, thick)
    return out


def thickness(drop: float) -> int:
    """Return the thickness of an outline in pixels, 1 to 7, for a drop in relative confidence."""
    return 1 + round(6 * min(max(drop, 0), 1))


def contours_of(inside: np.ndarray) -> Sequence[np.ndarray]:
    """Return the outlines of a mask (H, W) uint8, to be drawn with offset (-1, -1).

    They follow the image's border too.
    """
    bordered = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    contours, _ = cv2.findContours(bordered, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return contours
