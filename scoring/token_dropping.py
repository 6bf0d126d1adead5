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
baseline: Jain et al., "Missingness Bias in Model Debugging", ICLR 2022.
"""

import torch
from torchvision.models import VisionTransformer


def why_not(module: torch.nn.Module, grid: tuple[int, int]) -> str | None:
    """Return why this network's tokens cannot be dropped by patches of this grid, or None."""
    if not isinstance(module, VisionTransformer):
        kind = type(module).__name__
        return (
            "needs a vision transformer of torchvision (vit_b_16, ..); "
            f"a {kind} has no tokens to drop"
        )
    side = module.image_size // module.patch_size
    if any(side % cells for cells in grid):
        return (
            f"a grid of {grid[0]} x {grid[1]} patches does not align with {side} x {side} tokens; "
            f"take a divisor of {side}"
        )
    return None


class TokenDropping:
    """The logits of one image with only some of its tokens.

    Args:
        vit: torchvision's VisionTransformer in eval mode.
        image: (3, H, W), normalised, of the network's own size.
        grid: rows and columns of patches.

    Raises:
        ValueError: grid and tokens do not align.
    """

    def __init__(self, vit: VisionTransformer, image: torch.Tensor, grid: tuple[int, int] = (7, 7)):
        problem = why_not(vit, grid)
        if problem:
            raise ValueError(problem)
        self.vit = vit
        side = vit.image_size // vit.patch_size
        with torch.inference_mode():
            tokens = vit._process_input(image[None])[0]  # (tokens, width)
            embedded = torch.cat([vit.class_token[0], tokens])
            self.embedded = embedded + vit.encoder.pos_embedding[0]
        rows, columns = grid
        number = 1 + torch.arange(side * side, device=image.device)
        number = number.view(rows, side // rows, columns, side // columns).permute(0, 2, 1, 3)
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
        class_token = tokens.new_zeros(len(masks), 1)
        tokens = torch.cat([class_token, tokens], 1)
        encoder = self.vit.encoder
        encoded = encoder.ln(encoder.layers(self.embedded[tokens]))
        return self.vit.heads(encoded[:, 0])
