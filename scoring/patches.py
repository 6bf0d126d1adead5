"""What a patch is, and how an image with only some patches visible is composed.

A patch is a tent, not a cell: the grid is upsampled to the image bilinearly with aligned corners,
so that patch (r, c) is brightest at one pixel, fades to nothing at its neighbours' centres, and all
tents sum to 1 (I-GOS: Qi, Khorram and Li, 2019). With N the visible set, b the baseline image and x
the image, the network sees

    x_N = b + sum over p in N of tent_p * (x - b)

Tents are separable: the weights of all pixels are rows^T M columns, with the mask M as a grid.

An image may be cut into regions of any shape instead (scoring/regions.py). The basis says how
strongly each patch or region shows each pixel.

    basis = Tents((7, 7), (224, 224))
    images = compose(basis.weights(masks), image, baseline)
"""

import copy
from collections.abc import Sequence
from functools import cache
from typing import Protocol

import torch

from scoring.patch_sets import PatchSet


class Basis(Protocol):
    """How strongly each patch or region shows each pixel.

    Attributes:
        num_patches: number of patches or regions.
    """

    num_patches: int

    def weights(self, masks: torch.Tensor) -> torch.Tensor:
        """Return how strongly each pixel shows, (B, H, W), for masks (B, patches)."""

    def means(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the mean of (H, W) pixels under each patch, (patches,)."""

    def to(self, device: torch.device) -> "Basis":
        """Return the basis on a device."""


class Tents:
    """The tents of a grid.

    Args:
        grid: rows and columns of patches.
        size: height and width of the image in pixels.
    """

    def __init__(self, grid: tuple[int, int], size: tuple[int, int]):
        self.grid = grid
        self.num_patches = grid[0] * grid[1]
        self.rows = tents_along_axis(grid[0], size[0]).float()  # (rows, H)
        self.columns = tents_along_axis(grid[1], size[1]).float()  # (columns, W)

    def weights(self, masks: torch.Tensor) -> torch.Tensor:
        """Return how strongly each pixel shows, (B, H, W), for masks (B, patches)."""
        return self.rows.T @ (masks.view(-1, *self.grid) @ self.columns)

    def means(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the mean of (H, W) pixels under each tent, (patches,)."""
        sums = self.rows @ pixels @ self.columns.T
        areas = self.rows.sum(1)[:, None] * self.columns.sum(1)
        return (sums / areas).flatten()

    def to(self, device: torch.device) -> "Tents":
        """Return the tents on a device."""
        moved = copy.copy(self)
        moved.rows = self.rows.to(device)
        moved.columns = self.columns.to(device)
        return moved


class Matrix:
    """Patches of any shape.

    Args:
        pixels: (patches, H, W), the weight of every patch at every pixel.
    """

    def __init__(self, pixels: torch.Tensor):
        self.pixels = pixels
        self.num_patches = len(pixels)

    def weights(self, masks: torch.Tensor) -> torch.Tensor:
        """Return how strongly each pixel shows, (B, H, W), for masks (B, patches)."""
        return (masks @ self.pixels.flatten(1)).view(-1, *self.pixels.shape[1:])

    def means(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the mean of (H, W) pixels under each patch, (patches,)."""
        matrix = self.pixels.flatten(1)
        return (matrix @ pixels.flatten()) / matrix.sum(1)

    def to(self, device: torch.device) -> "Matrix":
        """Return the patches on a device."""
        return Matrix(self.pixels.to(device))


def tents(grid: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """Return the weight of every patch at every pixel.

    Args:
        grid: rows and columns of patches.
        size: height and width of the image in pixels.

    Returns:
        Tensor of shape (rows * columns, H * W), float32; each column sums to 1.
    """
    rows = tents_along_axis(grid[0], size[0])
    columns = tents_along_axis(grid[1], size[1])
    return torch.einsum("rh,cw->rchw", rows, columns).reshape(grid[0] * grid[1], -1).float()


def tents_along_axis(patches: int, pixels: int) -> torch.Tensor:
    """Return the weights along one side, (patches, pixels) float64."""
    if patches == 1:
        return torch.ones(1, pixels, dtype=torch.float64)
    centres = torch.linspace(0, pixels - 1, patches, dtype=torch.float64)
    distance = (torch.arange(pixels) - centres[:, None]).abs() * (patches - 1) / (pixels - 1)
    return (1 - distance).clamp(min=0)


def cells(grid: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """Return what each patch shows where patches are rectangles, as a transformer's tokens are.

    Returns:
        Tensor of 0 and 1, of the same shape as that of tents().
    """
    row = torch.arange(size[0]) * grid[0] // size[0]
    column = torch.arange(size[1]) * grid[1] // size[1]
    return region_basis(row[:, None] * grid[1] + column, grid[0] * grid[1])


def region_basis(index: torch.Tensor, regions: int) -> torch.Tensor:
    """Return the pixels of each region, (regions, H * W) float32, 0 or 1.

    Args:
        index: (H, W), the number of the region at each pixel, from 0.
        regions: number of regions.
    """
    return torch.nn.functional.one_hot(index.flatten().long(), regions).T.float()


@cache
def tents_on(grid: tuple[int, int], size: tuple[int, int], device: torch.device) -> Tents:
    """Return the tents of a grid on a device, the same object for the same arguments."""
    return Tents(grid, size).to(device)


def masks_of(patch_sets: Sequence[PatchSet], num_patches: int) -> torch.Tensor:
    """Return patch sets as rows of 0 and 1, (N, num_patches) float32.

    Raises:
        ValueError: a patch does not exist.
    """
    masks = torch.zeros(len(patch_sets), num_patches)
    for row, patches in zip(masks, patch_sets):
        if patches and not 0 <= patches[0] <= patches[-1] < num_patches:
            raise ValueError(f"patch set {patches} has a patch outside 0..{num_patches - 1}")
        row[list(patches)] = 1
    return masks


def compose(weights: torch.Tensor, image: torch.Tensor, baseline: torch.Tensor) -> torch.Tensor:
    """Return images that show an image as strongly as weights say, and the baseline otherwise.

    Args:
        weights: (B, H, W), from 0 (the baseline) to 1 (the image); see Basis.weights.
        image: (3, H, W), normalised.
        baseline: (3, H, W), normalised.

    Returns:
        Tensor of shape (B, 3, H, W).
    """
    return torch.addcmul(baseline, weights[:, None], image - baseline)
