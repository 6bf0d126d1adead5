import torch
def tents(grid: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    def axis(cells: int, pixels: int) -> torch.Tensor:          # (cells, pixels)
        centres = torch.linspace(0, pixels - 1, cells, dtype=torch.float64) if cells > 1 else torch.zeros(1).double()
        spacing = (pixels - 1) / (cells - 1) if cells > 1 else float("inf")
        return (1 - (torch.arange(pixels) - centres[:, None]).abs() / spacing).clamp(min=0)

    rows, columns = axis(grid[0], size[0]), axis(grid[1], size[1])
    return torch.einsum("rh,cw->rchw", rows, columns).reshape(grid[0] * grid[1], -1).float()
