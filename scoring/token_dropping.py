"""Hiding patches from a vision transformer by leaving their tokens out.

A convolution has to be shown something where a patch is hidden; a transformer need not be shown it
at all. The image is embedded once, (1 + tokens, width). A patch set is the class token and the
tokens of its patches, with the positions that they had, and the encoder runs on these alone: 21
tokens instead of 197 for 5 of 49 patches. Up to rounding this equals the network with attention to
the hidden tokens masked out.

A patch is here a square of tokens, not a tent: grid 7 on the 14 x 14 tokens of vit_b_16 gives 2 x 2
tokens per patch.

    dropped = TokenDropping(vit, image, grid=(7, 7))
    dropped(masks)                      # (B, 49) of 0 and 1 -> logits (B, classes)

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021 (the network); dropping tokens as a
baseline: Jain et al., "Missingness Bias in Model Debugging", ICLR 2022. Which networks can do it:
scoring/vision_transformers.py.
"""

import torch

from scoring.vision_transformers import transformer_of


def why_not(module: torch.nn.Module, grid: tuple[int, int]) -> str | None:
    """Return why this network's tokens cannot be dropped by patches of this grid, or None."""
    transformer = transformer_of(module)
    if isinstance(transformer, str):
        return transformer
    rows, columns = transformer.grid
    if rows % grid[0] or columns % grid[1]:
        divisor = f"of {rows}" if rows == columns else "of both"
        return (
            f"a grid of {grid[0]} x {grid[1]} patches does not align with {rows} x {columns} "
            f"tokens; take a divisor {divisor}"
        )
    return None


class TokenDropping:
    """The logits of one image with only some of its tokens.

    Args:
        module: a vision transformer in eval mode.
        image: (3, H, W), normalised, of the network's own size.
        grid: rows and columns of patches.

    Raises:
        ValueError: the network has no tokens to drop, or grid and tokens do not align.
    """

    def __init__(
        self, module: torch.nn.Module, image: torch.Tensor, grid: tuple[int, int] = (7, 7)
    ):
        problem = why_not(module, grid)
        transformer = transformer_of(module)
        if problem or isinstance(transformer, str):
            raise ValueError(problem)
        self.transformer = transformer
        with torch.inference_mode():
            self.embedded = transformer.embed(image[None])[0]  # (prefix + tokens, width)
        rows, columns = grid
        high = transformer.grid[0] // rows  # tokens of a patch, from its top to its bottom
        wide = transformer.grid[1] // columns
        number = torch.arange(rows * high * columns * wide, device=image.device)
        number = transformer.prefix + number.view(rows, high, columns, wide).permute(0, 2, 1, 3)
        self.tokens_of = number.reshape(rows * columns, -1)  # (patches, tokens of each)

    def __call__(self, masks: torch.Tensor) -> torch.Tensor:
        """Return logits (B, classes) for masks (B, patches); 1 keeps a patch, 0 drops it.

        Rows with equally many patches run as one batch.
        """
        masks = masks.to(self.embedded.device)
        sizes = masks.sum(1).long()
        logits: dict[int, torch.Tensor] = {}
        for size in sizes.unique().tolist():
            rows = (sizes == size).nonzero()[:, 0]
            logits.update(zip(rows.tolist(), self._same_size(masks[rows], size)))
        return torch.stack([logits[row] for row in range(len(masks))])

    def _same_size(self, masks: torch.Tensor, size: int) -> torch.Tensor:
        """Return the logits of masks that keep `size` patches each."""
        kept = masks.nonzero()[:, 1].view(len(masks), size)
        tokens = self.tokens_of[kept].flatten(1)
        prefix = torch.arange(self.transformer.prefix, device=tokens.device)
        tokens = torch.cat([prefix.expand(len(masks), -1), tokens], 1)
        return self.transformer.encode(self.embedded[tokens])
