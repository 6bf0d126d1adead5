"""How an image, and a label map of it, come to a network's input size.

fit = Fit((224, 224), method="crop", short_side=256)
image = fit.image(open_image(Path("kitchen.jpg")))      # (224, 224, 3) uint8
labels = fit.labels(label_map)                          # (224, 224) int32

squash   straight to that size, by Pillow's antialiased filter; the aspect ratio is lost
crop     the short side to short_side, then the middle: the preset of the network's weights
opencv   straight to that size, by OpenCV's bilinear filter without antialiasing, as the paper's
release does
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from scoring.image_files import as_rgb, open_image

Resize = Literal["squash", "crop", "opencv"]
Filter = Literal["bilinear", "bicubic", "lanczos", "nearest", "box", "hamming"]  # Pillow's
CROP_SHARE = 224 / 256  # of the short side, where no preset says


@dataclass(frozen=True)
class Fit:
    """See the module's docstring.

    Attributes:
        size: height and width.
        method: "squash", "crop" or "opencv".
        short_side: crop: pixels of the short side before the middle is cut out; None: 256 for a
            crop of 224. For an input that is no square: of what covers its shape.
        filter: of squash and crop.
    """

    size: tuple[int, int]
    method: Resize = "squash"
    short_side: int | None = None
    filter: Filter = "bilinear"

    def image(self, image: Image.Image) -> np.ndarray:
        """Return an image of any mode at this size, (H, W, 3) uint8 RGB."""
        rgb = as_rgb(image)
        height, width = self.size
        if self.method == "opencv":
            import cv2  # here, because most that read a record do without it

            return cv2.resize(np.asarray(rgb), (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(self._fitted(rgb, Image.Resampling[self.filter.upper()]))

    def labels(self, labels: np.ndarray) -> np.ndarray:
        """Return a label map (h, w) at this size, (H, W) int32: each pixel its nearest label."""
        label_map = Image.fromarray(labels.astype(np.int32))
        return np.asarray(self._fitted(label_map, Image.Resampling.NEAREST))

    def description(self) -> dict[str, Any]:
        """Return how images come to this size, as it stands in a record."""
        short_side = self._short_side() if self.method == "crop" else None
        return {"method": self.method, "short_side": short_side, "filter": self.filter}

    def scaled(self, factor: float) -> "Fit":
        """Return the fit that shows the same part of an image at so many times the size."""
        height, width = self.size
        short_side = round(factor * self._short_side()) if self.method == "crop" else None
        size = (round(factor * height), round(factor * width))
        return replace(self, size=size, short_side=short_side)

    def pixel(self, x: float, y: float, *, size: tuple[int, int]) -> tuple[int, int] | None:
        """Return the row and column that a point of an image comes to; None where it is cut off.

        Args:
            x: of the point, in pixels from the left.
            y: likewise, from the top.
            size: width and height of the image.
        """
        height, width = self.size
        box = self._box(size)
        column = int(x * box.width / size[0]) - box.left
        row = int(y * box.height / size[1]) - box.top
        is_inside = 0 <= row <= height and 0 <= column <= width
        return (min(row, height - 1), min(column, width - 1)) if is_inside else None

    def in_image(
        self, box: tuple[int, int, int, int], *, size: tuple[int, int]
    ) -> tuple[int, int, int, int]:
        """Return where a box lies in the image that was fitted.

        Args:
            box: left, top, right and bottom edge, in pixels of the fitted image.
            size: width and height of the image.

        Returns:
            The same edges in pixels of the image, rounded outwards, within it.
        """
        inner = self._box(size)
        left, right = _in_image(box[0], box[2], cut=inner.left, resized=inner.width, side=size[0])
        top, bottom = _in_image(box[1], box[3], cut=inner.top, resized=inner.height, side=size[1])
        return left, top, right, bottom

    def _short_side(self) -> int:
        return self.short_side or round(min(self.size) / CROP_SHARE)

    def _fitted(self, image: Image.Image, kind: Image.Resampling) -> Image.Image:
        """Return an image at this size, its pixels taken by a filter of Pillow's."""
        height, width = self.size
        box = self._box(image.size)
        resized = image.resize((box.width, box.height), kind)
        if self.method != "crop":
            return resized
        return resized.crop((box.left, box.top, box.left + width, box.top + height))

    def _box(self, size: tuple[int, int]) -> "_Box":
        """Return what an image of this width and height is resized to, and where it is cut."""
        height, width = self.size
        if self.method != "crop":
            return _Box(width, height)
        # As torchvision's Resize and CenterCrop do, without importing PyTorch. The side that would
        # fall short of an input that is no square decides how large the image becomes.
        is_narrow = size[0] * height <= size[1] * width
        short = size[0] if is_narrow else size[1]
        wanted = self._short_side() * (width if is_narrow else height) // min(self.size)
        larger_width, larger_height = (wanted * side // short for side in size)
        left = round((larger_width - width) / 2)
        top = round((larger_height - height) / 2)
        return _Box(larger_width, larger_height, left=left, top=top)


@dataclass(frozen=True)
class _Box:
    """Width and height of a resized image, and the corner of what is cut out of it."""

    width: int
    height: int
    left: int = 0
    top: int = 0


def _in_image(first: int, last: int, *, cut: int, resized: int, side: int) -> tuple[int, int]:
    """Return two edges along one axis in pixels of the image, rounded outwards, within it.

    Args:
        first: edge in pixels of the fitted image.
        last: likewise, the edge behind it.
        cut: pixels of the resized image before the fitted one.
        resized: pixels of the resized image.
        side: pixels of the image.
    """
    low = (first + cut) * side // resized
    high = -(-(last + cut) * side // resized)
    return max(0, low), min(side, high)


def load_fitted(path: Path, fit: Fit) -> np.ndarray:
    """Read an image file at a network's input size, (H, W, 3) uint8 RGB.

    Raises:
        ValueError: it cannot be read (one line).
    """
    return fit.image(open_image(path))
