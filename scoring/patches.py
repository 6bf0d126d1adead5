"""Patches."""

from collections.abc import Iterable

import torch

PatchSet = tuple[int, ...]  # ascending patch numbers, counted row by row from 0


def tents(grid: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """The weight of every patch at every pixel, (rows * columns, H * W) float32; each column sums to 1."""

    def axis(cells: int, pixels: int) -> torch.Tensor:  # (cells, pixels)
        if cells == 1:
            return torch.ones(1, pixels, dtype=torch.float64)
        centres = torch.linspace(0, pixels - 1, cells, dtype=torch.float64)
        distance = (torch.arange(pixels) - centres[:, None]).abs() * (cells - 1) / (pixels - 1)
        return (1 - distance).clamp(min=0)

    rows, columns = axis(grid[0], size[0]), axis(grid[1], size[1])
    return torch.einsum("rh,cw->rchw", rows, columns).reshape(grid[0] * grid[1], -1).float()


def cells(grid: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """What each patch shows where it is not a tent but a rectangle, as a transformer's tokens are; 0 or 1, shaped as tents."""
    row = torch.arange(size[0]) * grid[0] // size[0]
    column = torch.arange(size[1]) * grid[1] // size[1]
    return region_basis(row[:, None] * grid[1] + column, grid[0] * grid[1])


def region_basis(number: torch.Tensor, regions: int) -> torch.Tensor:
    """The pixels of each region, 0 or 1, (regions, H * W) float32. number: (H, W), the region at each pixel, from 0."""
    return torch.nn.functional.one_hot(number.flatten().long(), regions).T.float()


def compose(
    masks: torch.Tensor, basis: torch.Tensor, image: torch.Tensor, baseline: torch.Tensor
) -> torch.Tensor:
    """x_N for each row of masks: (B, patches) x (patches, H*W) -> (B, 3, H, W). 1 shows a patch, 0 hides it."""
    weights = (masks @ basis).view(-1, 1, *image.shape[1:])  # (B, 1, H, W)
    return torch.addcmul(baseline, weights, image - baseline)


def canonical(patches: Iterable[int]) -> PatchSet:
    """The one spelling of a patch set: ascending, without repeats."""
    return tuple(sorted({int(p) for p in patches}))
