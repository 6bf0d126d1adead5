"""Whether a device can be relied on: IEEE float32, the CPU's probabilities, and alive at all.

    ensure_float32(device, lambda: network.module(images))      # TF32 and the like, switched off
    check_device(network.module, images, device)                # refuses a device that is wrong
    failed_for_good(error, device)                              # a worker that ends itself

PyTorch has many switches that let float32 be rounded to TensorFloat-32 (10 bits of mantissa) or
bfloat16 (7 bits) inside of matrix products and convolutions, and a few environment variables that
it does not know. So the device is asked: it multiplies numbers that these formats would round.
"""

import copy
from collections.abc import Callable
from contextlib import suppress
from operator import attrgetter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from scoring.memory import is_out_of_memory
from scoring.networks import class_probabilities, use_ieee_float32
from utils import UserError

PROBE = 1 + 2**-12  # rounded to 1 in TensorFloat-32, float16 and bfloat16
PROBE_TOLERANCE = 2**-14  # IEEE float32 stays below 2**-17, a rounded operand reaches 2**-12
# Multiples of 64 and channels last: shapes for which every library takes its fastest path.
PROBE_CHANNELS = 64
PROBE_IMAGES = {"cpu": (1, 8)}  # number and side of the images that are convolved
PROBE_IMAGES_ELSEWHERE = (8, 32)
ROUNDED = ("tf32", "bf16")  # values of fp32_precision
CUDA_SWITCHES = ("cuda.matmul", "cudnn.conv")  # of torch.backends; each has fp32_precision
SWITCHES = (*CUDA_SWITCHES, "cudnn.rnn", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")
PRODUCTS = ("mm", "conv", "linear", "matmul", "attention")  # within the names of operators

DEVICE_TOLERANCE = 1e-4  # by which a probability may differ between devices
LOST_WORDS = (
    "cuda error",
    "device-side assert",
    "illegal memory access",
    "fallen off the bus",
    "unspecified launch failure",
    "uncorrectable ecc",
    "device is lost",
    "execution_failed",  # what cuBLAS and cuDNN make of it
    "internal_error",
    "not_initialized",
)

Answer = Callable[[torch.Tensor], torch.Tensor]  # images (B, 3, H, W) -> probabilities (B, C)


# ---------------------------------------------------------------- IEEE float32


@torch.inference_mode()
def float32_is_exact(device: torch.device) -> bool:
    """Return whether the device multiplies float32 as IEEE float32, in products and convolutions.

    On CUDA the switches must forbid anything else as well: cuDNN chooses its kernel by the shape,
    so that what the probe's convolution shows need not hold for the network's.
    """
    if device.type == "cuda" and _cuda_may_round():
        return False
    size = PROBE_CHANNELS
    number, side = PROBE_IMAGES.get(device.type, PROBE_IMAGES_ELSEWHERE)
    matrix = torch.full((size, size), PROBE, device=device)
    images = torch.full((number, size, side, side), PROBE, device=device)
    kernels = torch.full((size, size, 3, 3), PROBE, device=device)
    convolved = torch.nn.functional.conv2d(images.to(memory_format=torch.channels_last), kernels)
    # Under autocast they are bfloat16, in which PROBE**2 itself would be rounded.
    in_product = ((matrix @ matrix).float() / size - PROBE**2).abs().max()
    in_convolution = (convolved.float() / (9 * size) - PROBE**2).abs().max()
    return bool(torch.maximum(in_product, in_convolution) < PROBE_TOLERANCE)


def ensure_float32(device: torch.device, forward: Callable[[], Any] | None = None) -> bool:
    """Have the device compute in IEEE float32, and return whether it does.

    Args:
        device: the device.
        forward: a forward pass of the network, whose code may set switches itself. The probe is
            repeated at each of its products and convolutions, so that a switch which is set for a
            part of the pass is seen as well.

    Returns:
        False where it still rounds after all known switches were turned off, be it because of an
        environment variable or of the network's own code.
    """
    if _is_exact_throughout(device, forward):
        return True
    _forbid_rounding()
    return _is_exact_throughout(device, forward)


def _is_exact_throughout(device: torch.device, forward: Callable[[], Any] | None) -> bool:
    """Return whether the device is exact within a forward pass, if any, and after it."""
    if forward is None:
        return float32_is_exact(device)
    with torch.no_grad(), _Witness(device) as witness:
        forward()
    return witness.is_exact and float32_is_exact(device)


class _Witness(TorchDispatchMode):
    """Probes the device before every product and convolution, until one is not exact."""

    def __init__(self, device: torch.device):
        super().__init__()
        self.device = device
        self.is_exact = True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        name = str(func)
        if self.is_exact and any(product in name for product in PRODUCTS):
            self.is_exact = float32_is_exact(self.device)
        return func(*args, **(kwargs or {}))


def _cuda_may_round() -> bool:
    """Return whether a switch lets products or convolutions on CUDA be rounded."""
    try:
        values = [attrgetter(name)(torch.backends).fp32_precision for name in CUDA_SWITCHES]
    except AttributeError:  # PyTorch before 2.9
        return torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32
    return any(value in ROUNDED for value in values)


def _forbid_rounding() -> None:
    """Turn off every switch that lets float32 be rounded, for the whole process."""
    use_ieee_float32()
    torch.set_float32_matmul_precision("highest")
    # The older switches above leave it to torch.backends.fp32_precision for convolutions, and
    # they do not know oneDNN's.
    for name in SWITCHES:
        with suppress(AttributeError):  # PyTorch before 2.9
            attrgetter(name)(torch.backends).fp32_precision = "ieee"


# ---------------------------------------------------------------- against the CPU


def check_device(
    module: torch.nn.Module, example_images: torch.Tensor, device: torch.device
) -> bool:
    """Refuse a device on which the network gives other probabilities than on the CPU.

    Call ensure_float32 first: TensorFloat-32 alone differs by more than is allowed here.

    Args:
        module: the network, in eval mode on the device; not changed.
        example_images: a few images (B, 3, H, W), as the network expects them.
        device: of the network.

    Returns:
        False where the network has no copy that runs on the CPU, for example because a device is
        written into its code. Then only single images are compared with the batch.

    Raises:
        UserError: the probabilities differ by more than 1e-4, between the device and the CPU or
            between an image alone and in a batch.
    """

    def on_device(images: torch.Tensor) -> torch.Tensor:
        return class_probabilities(module(images.to(device))).cpu()

    images = example_images.cpu()
    expected = None if device.type == "cpu" else _on_the_cpu(module, images)
    compare_answers(on_device, images, device=device, expected=expected)
    return device.type == "cpu" or expected is not None


@torch.no_grad()  # not inference_mode: a module may keep tensors of a first call
def compare_answers(
    on_device: Answer,
    images: torch.Tensor,
    *,
    device: torch.device,
    expected: torch.Tensor | None,
) -> None:
    """Refuse a device by its answers, together and alone.

    Args:
        on_device: images on the CPU to the device's probabilities (B, C), on the CPU.
        images: the images (B, 3, H, W).
        device: named in the error.
        expected: the CPU's probabilities (B, C); None: unknown.

    Raises:
        UserError: the probabilities differ by more than 1e-4.
    """
    advice = "" if device.type == "cpu" else "; use --device cpu"
    together = on_device(images)
    if expected is not None:
        difference = _largest_difference(together, expected)
        if not difference <= DEVICE_TOLERANCE:
            raise UserError(
                f"device {device.type}: gives other probabilities than the CPU "
                f"(by {difference:.2g}){advice}"
            )
    alone = torch.cat([on_device(image[None]) for image in images])
    difference = _largest_difference(alone, together)
    if not difference <= DEVICE_TOLERANCE:
        raise UserError(
            f"device {device.type}: gives other probabilities alone than in a batch "
            f"(by {difference:.2g}){advice}"
        )


@torch.inference_mode()
def _on_the_cpu(module: torch.nn.Module, images: torch.Tensor) -> torch.Tensor | None:
    """Return the probabilities (B, C) of a copy on the CPU; None where there is no such copy."""
    try:
        return class_probabilities(_cpu_copy(module)(images))
    except Exception:  # the user's code may fail in any way
        return None


def _cpu_copy(module: torch.nn.Module) -> torch.nn.Module:
    """Return a copy on the CPU, without a second one on the module's own device."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        tensors = [*part._parameters.values(), *part._buffers.values(), *vars(part).values()]
        for tensor in tensors:
            if isinstance(tensor, torch.nn.Parameter):
                memo[id(tensor)] = torch.nn.Parameter(tensor.detach().cpu(), requires_grad=False)
            elif isinstance(tensor, torch.Tensor):
                memo[id(tensor)] = tensor.detach().cpu()
    return copy.deepcopy(module, memo)


def _largest_difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Return the largest difference; NaN where only one of two has one."""
    both_nan = ours.isnan() & theirs.isnan()
    return float((ours - theirs).abs().masked_fill(both_nan, 0).max())


# ---------------------------------------------------------------- lost devices


def is_alive(device: torch.device) -> bool:
    """Return whether the device still computes; one whose memory is full does."""
    try:
        return bool((torch.ones(2, device=device) + 1).sum().item() == 4)
    except Exception as error:  # drivers fail in many ways
        return is_out_of_memory(error)


def failed_for_good(error: BaseException, device: torch.device) -> bool:
    """Return whether a forward pass failed because the device is lost to this process.

    Args:
        error: of the forward pass.
        device: on which it ran; asked whether it is alive where the error sounds like it.
    """
    if is_out_of_memory(error):
        return False
    kinds = tuple(filter(None, [getattr(torch, "AcceleratorError", None)]))
    sounds_lost = any(words in str(error).lower() for words in LOST_WORDS)
    return (isinstance(error, kinds) or sounds_lost) and not is_alive(device)
