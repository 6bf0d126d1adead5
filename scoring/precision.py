"""Computing in less than float32: which types a processor has, and a network that uses them.

    reduced = in_precision(module, torch.bfloat16, example)

Probabilities in bfloat16 differ from float32's by some hundredths, those in float16 by some
thousandths. Nothing that they say is recorded before it is scored again in float32.
"""

import copy

import torch

from scoring.networks import class_probabilities
from utils import UserError, one_line

PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def has_bfloat16(device: torch.device) -> bool:
    """Return whether this processor multiplies in bfloat16 itself.

    CUDA devices do from Ampere on, CPUs with AMX or AVX512-bf16. Emulated, it is slower than
    float32.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):  # PyTorch of 2026 on
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16"))


class _InPrecision(torch.nn.Module):
    """A copy of a network that computes in one type whatever images it is given."""

    def __init__(self, module: torch.nn.Module, dtype: torch.dtype):
        super().__init__()
        self.module = copy.deepcopy(module).to(dtype)
        self.dtype = dtype

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.module(images.to(self.dtype))


def in_precision(
    module: torch.nn.Module, dtype: torch.dtype, example: torch.Tensor
) -> torch.nn.Module:
    """Return a copy of the network that computes in another type.

    Args:
        module: the network.
        dtype: torch.bfloat16 or torch.float16.
        example: images (B, 3, H, W) to try it on.

    Raises:
        UserError: it cannot, for example because float32 is written into its code, or its
            probabilities are not finite.
    """
    name = str(dtype).removeprefix("torch.")
    reduced = _InPrecision(module, dtype).eval().requires_grad_(False)
    try:
        with torch.no_grad():
            probabilities = class_probabilities(reduced(example))
    except Exception as error:  # the user's code may fail in any way
        reason = one_line(error)[:200]
        raise UserError(f"--precision {name}: the model cannot compute in it: {reason}") from error
    if not probabilities.isfinite().all():
        raise UserError(f"--precision {name}: the model's probabilities are not finite in it")
    return reduced
