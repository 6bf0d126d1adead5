"""A network compiled by TorchInductor, for batches of one shape.

forward = compile_forward(module, example)
logits = forward(images)
"""

from collections.abc import Callable

import torch

from scoring.networks import class_probabilities
from utils import one_line

Forward = Callable[[torch.Tensor], torch.Tensor]  # images (B, 3, H, W) -> logits (B, classes)


class CannotCompile(Exception):
    """There is no compiler, or it fails on this network; str() is one line."""


def compile_forward(module: Forward, example: torch.Tensor, *, tolerance: float = 1e-5) -> Forward:
    """Return the network compiled by TorchInductor with frozen weights.

    PyTorch keeps what it compiled between runs (TORCHINDUCTOR_CACHE_DIR).

    Args:
        module: the network.
        example: images (B, 3, H, W); batches of this shape are compiled. Fewer images are padded
            to B, but B / 2 and fewer go to the network as it is.
        tolerance: largest difference of a probability from the network's own.

    Raises:
        CannotCompile: no C++ compiler, a network on which it fails, or other probabilities.
    """
    size = len(example)
    try:
        fast = torch.compile(module, dynamic=False, options={"freezing": True})
        with torch.no_grad():  # tensors of inference_mode would be compiled a second time
            ours = class_probabilities(fast(example))
            difference = (ours - class_probabilities(module(example))).abs().max()
    except Exception as error:  # TorchInductor's errors have no common base class
        raise CannotCompile(one_line(error)[:160]) from error
    if not difference <= tolerance:
        raise CannotCompile(f"compiled, its probabilities differ by {difference:.1e}")

    @torch.no_grad()
    def forward(images: torch.Tensor) -> torch.Tensor:
        outputs = []
        for chunk in images.split(size):
            missing = size - len(chunk)
            if 2 * missing >= size:
                outputs.append(module(chunk))
            else:
                padded = torch.cat([chunk, example[:missing]])
                outputs.append(fast(padded)[: len(chunk)])
        return torch.cat(outputs)

    return forward
