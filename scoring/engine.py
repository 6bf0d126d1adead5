"""How the network runs while searches ask it: reduced precision, compiled, several images at once.

    engine = Engine(network, precision="auto")
    engine.exact                # float32: everything that is written into a record
    engine.reduced              # bfloat16, or None: what a search may use to choose its next sets

Both are callables from images (B, 3, H, W) to logits (B, classes), like the module itself.
Compiled and shared ones agree with it to 1e-5 in the probabilities, bfloat16 ones to about 1e-2,
which is why nothing that they say is recorded before it is scored again in float32.
"""

import copy
import threading
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch

from scoring.networks import Network, class_probabilities, use_ieee_float32
from scoring.scorer import auto_batch_size
from scoring.shared_batches import Forward, SharedBatches
from utils import UserError, one_line

BFLOAT16_TOLERANCE = 0.05  # by which compiled bfloat16 probabilities may differ from eager ones


class Engine:
    """The network of one run, and how it is asked.

    Attributes:
        network: the network.
        exact: images to logits in float32.
        reduced: the same in bfloat16; None where the search runs in float32.
        batch_size: images per forward pass.
        alone: lock held by code that calls the module itself or puts hooks on it, where several
            images advance at once.
        compiled: whether compile() was called.
        worth_compiling: whether compiling pays here; measured on a CPU only.

    Args:
        network: a network on its device.
        precision: "auto", "float32" or "bfloat16", of the searches.
        batch_size: images per forward pass, or "auto".
        images_at_once: number of images whose searches share batches.
    """

    def __init__(
        self,
        network: Network,
        *,
        precision: str = "auto",
        batch_size: int | str = "auto",
        images_at_once: int = 1,
    ):
        use_ieee_float32()
        self.network = network
        self.compiled = False
        self.worth_compiling = network.device.type == "cpu"
        self.alone = threading.Lock()
        self._example = network.prepare(np.zeros((*network.size, 3), np.uint8))[None]
        automatic = auto_batch_size(self._example[0])
        self.batch_size = automatic if batch_size == "auto" else int(batch_size)
        self.exact: Forward = network.module
        self.reduced: Forward | None = None
        if choose_precision(precision, network.device) == torch.bfloat16:
            self.reduced = in_bfloat16(network.module, self._example)
        self._shared: SharedBatches | None = None
        if images_at_once > 1:
            self._share()

    def _share(self) -> None:
        self._shared = SharedBatches(self.batch_size)
        self.exact = self._shared.through(self.exact)
        if self.reduced:
            self.reduced = self._shared.through(self.reduced)

    def most_probable(self, image: np.ndarray, number: int) -> list[int]:
        """Return the indices of the most probable classes of an image (H, W, 3) uint8.

        Raises:
            FloatingPointError: the network returns NaN.
        """
        network = self.network
        with torch.inference_mode(), self.alone:
            logits = network.module(network.prepare(image)[None])
        probabilities = class_probabilities(logits)[0]
        if not probabilities.isfinite().all():
            raise FloatingPointError("the model returns NaN")
        return probabilities.topk(number).indices.tolist()

    def part(self) -> AbstractContextManager[None]:
        """Return a context in which one image takes part in the shared batches, if any."""
        return self._shared.part() if self._shared else nullcontext()

    def close(self) -> None:
        """End what waits for shared batches."""
        if self._shared:
            self._shared.close()

    def compile(self) -> None:
        """Compile the passes.

        Raises:
            CannotCompile: the engine goes on as before and does not try again.
        """
        self.compiled = True
        example = self._example.repeat(self.batch_size, 1, 1, 1)
        exact = compile_forward(self.network.module, example)
        if self.reduced:
            self.reduced = compile_forward(self.reduced, example, tolerance=BFLOAT16_TOLERANCE)
        self.exact = exact


# ---------------------------------------------------------------- precision


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the type to compute in; "auto" is bfloat16 where the processor has it."""
    if name == "auto":
        name = "bfloat16" if has_bfloat16(device) else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


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


class _InBfloat16(torch.nn.Module):
    """A copy of a network that computes in bfloat16 whatever images it is given."""

    def __init__(self, module: torch.nn.Module):
        super().__init__()
        self.module = copy.deepcopy(module).to(torch.bfloat16)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.module(images.to(torch.bfloat16))


def in_bfloat16(module: torch.nn.Module, example: torch.Tensor) -> torch.nn.Module:
    """Return a copy of the network that computes in bfloat16.

    Args:
        module: the network.
        example: images (B, 3, H, W) to try it on.

    Raises:
        UserError: it cannot, for example because float32 is written into its code.
    """
    reduced = _InBfloat16(module).eval().requires_grad_(False)
    try:
        with torch.inference_mode():
            reduced(example)
    except Exception as error:  # the user's code may fail in any way
        reason = one_line(error)[:200]
        raise UserError(
            f"--precision bfloat16: the model cannot compute in it: {reason}"
        ) from error
    return reduced


# ---------------------------------------------------------------- compilation


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
