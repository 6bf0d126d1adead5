"""Hiding patches from a vision transformer by leaving their tokens out.

A convolution has to be shown something where a patch is hidden; a transformer need not be shown it at all. The image is
embedded once, (1 + tokens, width); a patch set is the class token and the tokens of its patches, with the
positions that they had, and the encoder runs on these alone: 21 tokens instead of 197 for 5 of 49 patches. Up to
rounding that is the network with its attention to the hidden tokens masked out.

A patch is here a square of tokens, not a tent: grid 7 on the 14 x 14 tokens of vit_b_16 gives 2 x 2 tokens a patch.

    dropped = TokenDropping(vit, image, grid=(7, 7))
    dropped(masks)                      # (B, 49) of 0 and 1 -> logits (B, classes)

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021 (the network); dropping tokens as a baseline: Jain et al.,
"Missingness Bias in Model Debugging", ICLR 2022.
"""

import torch
from torchvision.models import VisionTransformer


def why_not(module: torch.nn.Module, grid: tuple[int, int]) -> str | None:
    """Why this network's tokens cannot be dropped by patches of this grid; None where they can."""
    if not isinstance(module, VisionTransformer):
        return f"needs a vision transformer of torchvision (vit_b_16, ..); a {type(module).__name__} has no tokens to drop"
    side = module.image_size // module.patch_size
    if any(side % cells for cells in grid):
        return f"a grid of {grid[0]} x {grid[1]} patches does not align with {side} x {side} tokens; take a divisor of {side}"
    return None


class TokenDropping:
    """The logits of one image with only some of its tokens.

    vit: torchvision's VisionTransformer in eval mode. image: (3, H, W), normalised, of the network's own size.
    Raises ValueError where grid and tokens do not align.
    """

    def __init__(self, vit: VisionTransformer, image: torch.Tensor, grid: tuple[int, int] = (7, 7)):
        if problem := why_not(vit, grid):
            raise ValueError(problem)
        self.vit, side = vit, vit.image_size // vit.patch_size
        with torch.inference_mode():
            tokens = vit._process_input(image[None])[0]  # (tokens, width)
            self.embedded = torch.cat([vit.class_token[0], tokens]) + vit.encoder.pos_embedding[0]
        number = 1 + torch.arange(side * side, device=image.device).view(
            grid[0], side // grid[0], grid[1], side // grid[1]
        )
        self.tokens_of = number.permute(0, 2, 1, 3).reshape(
            grid[0] * grid[1], -1
        )  # (patches, tokens of each)

    def __call__(self, masks: torch.Tensor) -> torch.Tensor:
        """masks: (B, patches) of 0 and 1, 1 = keep -> (B, classes). Rows with equally many patches run as one batch."""
        sizes, rows = masks.sum(1).long(), torch.arange(len(masks), device=masks.device)
        logits = {}
        for size in sizes.unique().tolist():
            same = rows[sizes == size]
            tokens = self.tokens_of[masks[same].nonzero()[:, 1].view(len(same), size)].flatten(1)
            tokens = torch.cat([tokens.new_zeros(len(same), 1), tokens], 1)  # the class token first
            encoded = self.vit.encoder.ln(self.vit.encoder.layers(self.embedded[tokens]))
            logits.update(zip(same.tolist(), self.vit.heads(encoded[:, 0])))
        return torch.stack([logits[i] for i in range(len(masks))])
