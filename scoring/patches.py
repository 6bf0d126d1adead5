"""What a patch is, and how an image with only some patches visible is composed.

A patch is a tent, not a cell: the grid is upsampled to the image bilinearly with aligned corners,
so that patch (r, c) is brightest at one pixel, fades to nothing at its neighbours' centres, and all
tents sum to 1 (I-GOS: Qi, Khorram and Li, 2019). With N the visible set, b the baseline image and x
the image, the network sees

    x_N = b + sum over p in N of tent_p * (x - b)

which is linear in N: one matrix product (B, patches) @ (patches, H*W) composes a whole batch.

An image may be cut into regions of any shape instead (scoring/regions.py). The basis says how
strongly each patch or region shows each pixel, as a (patches, H * W) matrix.
"""

import torch


def tents(grid: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """Return the weight of every patch at every pixel.

    Args:
        grid: rows and columns of patches.
        size: height and width of the image in pixels.

    Returns:
        Tensor of shape (rows * columns, H * W), float32; each column sums to 1.
    """
    rows = _tents_along_axis(grid[0], size[0])
    columns = _tents_along_axis(grid[1], size[1])
    return torch.einsum("rh,cw->rchw", rows, columns).reshape(grid[0] * grid[1], -1).float()


def _tents_along_axis(patches: int, pixels: int) -> torch.Tensor:
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


def compose(
    masks: torch.Tensor, basis: torch.Tensor, image: torch.Tensor, baseline: torch.Tensor
) -> torch.Tensor:
    """Return x_N for each row of masks.

    Args:
        masks: (B, patches); 1 shows a patch, 0 hides it.
        basis: (patches, H * W).
        image: (3, H, W), normalised.
        baseline: (3, H, W), normalised.

    Returns:
        Tensor of shape (B, 3, H, W).
    """
    weights = (masks @ basis).view(-1, 1, *image.shape[1:])  # (B, 1, H, W)
    return torch.addcmul(baseline, weights, image - baseline)
