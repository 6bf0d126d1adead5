"""Devices that round float32, that are wrong, and that are lost; most of them imitated."""

import gc
import weakref
from operator import attrgetter

import pytest
import torch
import torchvision
from allocator import GB, Device
from torch.utils._python_dispatch import TorchDispatchMode

from scoring.devices import (
    SWITCHES,
    _cpu_copy,
    check_device,
    compare_answers,
    ensure_float32,
    failed_for_good,
    float32_is_exact,
    is_alive,
)
from scoring.networks import class_probabilities, use_ieee_float32
from utils import UserError

CPU = torch.device("cpu")
MPS = torch.device("mps")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
needs_switches = pytest.mark.skipif(
    not hasattr(torch.backends, "fp32_precision"), reason="PyTorch before 2.9"
)


@pytest.fixture(autouse=True)
def switches_as_before():
    """Put PyTorch's switches back after each test."""
    yield
    if hasattr(torch.backends, "fp32_precision"):
        torch.backends.fp32_precision = "none"
        torch.backends.cudnn.fp32_precision = "none"
        for name in SWITCHES:
            attrgetter(name)(torch.backends).fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")
    use_ieee_float32()


@pytest.fixture
def network():
    """An untrained network of 5 classes with a convolution and a matrix product."""
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 3), torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(128, 5)).eval().requires_grad_(False)


@pytest.fixture
def four(images):
    """Four images of noise, (4, 3, 64, 64)."""
    return images[:4]


# ---------------------------------------------------------------- processors that round


def to_tf32(x):
    """Return x with 10 bits of mantissa."""
    return ((x.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def to_bfloat16(x):
    """Return x with 7 bits of mantissa."""
    return x.bfloat16().float()


FORMATS = {"tf32": to_tf32, "bf16": to_bfloat16}
NAMES = {"product": ("mm", "matmul", "linear"), "convolution": ("conv",)}  # of operators


class Processor(TorchDispatchMode):
    """Computes on the CPU and rounds the operands of products or convolutions.

    Args:
        formats: by "product" and "convolution", a function to the format: "tf32", "bf16", another.
    """

    def __init__(self, **formats):
        super().__init__()
        self.formats = formats

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        for part, chosen in self.formats.items():
            rounded = FORMATS.get(chosen())
            if rounded and any(name in str(function) for name in NAMES[part]):
                args = [rounded(x) if isinstance(x, torch.Tensor) else x for x in args]
        return function(*args, **(kwargs or {}))


def simulated_gpu():
    """Return a processor that obeys PyTorch's switches for CUDA."""
    return Processor(
        product=lambda: torch.backends.cuda.matmul.fp32_precision,
        convolution=lambda: torch.backends.cudnn.conv.fp32_precision,
    )


def simulated_cpu():
    """Return a processor that obeys PyTorch's switches for oneDNN, as CPUs with AMX do."""
    return Processor(
        product=lambda: torch.backends.mkldnn.matmul.fp32_precision,
        convolution=lambda: torch.backends.mkldnn.conv.fp32_precision,
    )


def test_this_processor_is_exact():
    assert float32_is_exact(CPU)


@pytest.mark.parametrize("part", ["product", "convolution"])
@pytest.mark.parametrize("format", ["tf32", "bf16"])
def test_the_probe_sees_rounding(part, format):
    with Processor(**{part: lambda: format}):
        assert not float32_is_exact(CPU)


def test_the_probe_sees_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        assert not float32_is_exact(CPU)


@pytest.mark.parametrize("part", ["product", "convolution"])
def test_rounding_that_no_switch_ends_is_said(part):
    with Processor(**{part: lambda: "tf32"}):
        assert not ensure_float32(CPU)


def test_an_exact_device_keeps_its_settings():
    torch.set_float32_matmul_precision("high")
    assert ensure_float32(CPU)
    assert torch.get_float32_matmul_precision() == "high"


def set_switch(name):
    """Return a function that gives a switch of torch.backends a value."""

    def assign(value):
        owner, _, attribute = name.rpartition(".")
        setattr(attrgetter(owner)(torch.backends) if owner else torch.backends, attribute, value)

    return assign


CUDA_SETTINGS = {
    "matmul precision high": lambda: torch.set_float32_matmul_precision("high"),
    "matmul precision medium": lambda: torch.set_float32_matmul_precision("medium"),
    "cuda.matmul.allow_tf32": lambda: set_switch("cuda.matmul.allow_tf32")(True),
    "cudnn.allow_tf32": lambda: set_switch("cudnn.allow_tf32")(True),
    "fp32_precision": lambda: set_switch("fp32_precision")("tf32"),
    "cuda.matmul.fp32_precision": lambda: set_switch("cuda.matmul.fp32_precision")("tf32"),
    "cudnn.fp32_precision": lambda: set_switch("cudnn.fp32_precision")("tf32"),
    "cudnn.conv.fp32_precision": lambda: set_switch("cudnn.conv.fp32_precision")("tf32"),
}
CPU_SETTINGS = {
    "matmul precision high": lambda: torch.set_float32_matmul_precision("high"),
    "matmul precision medium": lambda: torch.set_float32_matmul_precision("medium"),
    "fp32_precision": lambda: set_switch("fp32_precision")("bf16"),
    "mkldnn.fp32_precision": lambda: set_switch("mkldnn.fp32_precision")("bf16"),
    "mkldnn.matmul.fp32_precision": lambda: set_switch("mkldnn.matmul.fp32_precision")("bf16"),
    "mkldnn.conv.fp32_precision": lambda: set_switch("mkldnn.conv.fp32_precision")("tf32"),
}
SETTINGS = [
    *(pytest.param(simulated_gpu, setting, id=f"cuda-{n}") for n, setting in CUDA_SETTINGS.items()),
    *(pytest.param(simulated_cpu, setting, id=f"cpu-{n}") for n, setting in CPU_SETTINGS.items()),
]


@needs_switches
@pytest.mark.parametrize(("processor", "setting"), SETTINGS)
def test_a_setting_that_rounds_is_seen(processor, setting):
    setting()
    with processor():
        assert not float32_is_exact(CPU)


@needs_switches
@pytest.mark.parametrize(("processor", "setting"), SETTINGS)
def test_a_setting_that_rounds_is_switched_off(processor, setting):
    setting()
    with processor():
        assert ensure_float32(CPU)
        assert float32_is_exact(CPU)


@needs_switches
@pytest.mark.parametrize(("processor", "setting"), SETTINGS)
def test_afterwards_pytorch_can_read_its_settings(processor, setting):
    # PyTorch raises where its older and newer switches contradict each other.
    setting()
    with processor():
        ensure_float32(CPU)
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


@needs_switches
@pytest.mark.parametrize("name", CUDA_SETTINGS)
def test_on_cuda_a_setting_is_enough_to_be_inexact(name):
    # The switches are read before anything is computed, so that no GPU is needed here.
    CUDA_SETTINGS[name]()
    assert not float32_is_exact(torch.device("cuda"))


# ---------------------------------------------------------------- networks that set something


class Sets(torch.nn.Module):
    """A network that lets products be rounded before, or only within, its forward pass."""

    def __init__(self, network, *, once=False, puts_back=False):
        super().__init__()
        self.network = network
        self.once = once
        self.puts_back = puts_back
        self.passes = 0

    def forward(self, images):
        self.passes += 1
        if not self.once or self.passes == 1:
            torch.set_float32_matmul_precision("medium")
        logits = self.network(images)
        if self.puts_back:
            torch.set_float32_matmul_precision("highest")
        return logits


@needs_switches
@pytest.mark.parametrize("processor", [simulated_gpu, simulated_cpu])
@pytest.mark.parametrize("puts_back", [False, True])
def test_a_network_that_rounds_is_seen(network, four, processor, puts_back):
    stubborn = Sets(network, puts_back=puts_back)
    with processor():
        assert ensure_float32(CPU)
        assert not ensure_float32(CPU, lambda: stubborn(four))


@needs_switches
@pytest.mark.parametrize("processor", [simulated_gpu, simulated_cpu])
def test_what_a_network_sets_once_is_switched_off(network, four, processor):
    setting_once = Sets(network, once=True)
    with processor():
        assert ensure_float32(CPU, lambda: setting_once(four))


@needs_switches
def test_a_network_that_sets_nothing_is_exact(network, four):
    with simulated_cpu():
        assert ensure_float32(CPU, lambda: network(four))


@pytest.fixture
def medium_rounds():
    """Skip where this processor computes products of float32 exactly whatever is set."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 256, 256, generator=generator)
    torch.set_float32_matmul_precision("medium")
    error = ((a @ b).double() - a.double() @ b.double()).abs().max()
    torch.set_float32_matmul_precision("highest")
    if error < 1e-2:
        pytest.skip("this processor has no bfloat16 products of float32 (on CPUs: AMX)")


@pytest.mark.usefixtures("medium_rounds")
def test_this_processor_rounds_and_can_be_stopped(network, four):
    torch.set_float32_matmul_precision("medium")
    assert not float32_is_exact(CPU)
    assert ensure_float32(CPU)
    assert not ensure_float32(CPU, lambda: Sets(network)(four))


@needs_cuda
def test_cuda_rounds_and_can_be_stopped(network, four):
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    assert not float32_is_exact(torch.device("cuda"))
    assert ensure_float32(torch.device("cuda"))
    network.to("cuda")
    assert ensure_float32(torch.device("cuda"), lambda: network(four.to("cuda")))


# ---------------------------------------------------------------- devices that are wrong


def answers(network, wrong=None, by=0.031):
    """Return a callable to probabilities, with one of them changed for some batches.

    Args:
        network: the network.
        wrong: whether answers to a batch (B, 3, H, W) are wrong; None: never.
        by: how much is added to the first image's first probability.
    """

    def answer(images):
        probabilities = class_probabilities(network(images))
        if wrong and wrong(images):
            probabilities[0, 0] += by
        return probabilities

    return answer


@pytest.fixture
def expected(network, four):
    """The right probabilities, (4, 5)."""
    return class_probabilities(network(four))


def test_a_device_that_agrees_is_accepted(network, four, expected):
    compare_answers(answers(network), four, device=MPS, expected=expected)


def test_a_device_that_is_wrong_in_batches_is_refused(network, four, expected):
    bad = answers(network, wrong=lambda images: len(images) > 1)
    message = (
        "^device mps: gives other probabilities than the CPU \\(by 0.031\\); use --device cpu$"
    )
    with pytest.raises(UserError, match=message):
        compare_answers(bad, four, device=MPS, expected=expected)


def test_a_device_that_is_wrong_alone_is_refused(network, four, expected):
    bad = answers(network, wrong=lambda images: len(images) == 1)
    message = (
        "^device mps: gives other probabilities alone than in a batch \\(by 0.031\\); "
        "use --device cpu$"
    )
    with pytest.raises(UserError, match=message):
        compare_answers(bad, four, device=MPS, expected=expected)


def test_a_device_is_wrong_if_one_of_four_images_is(network, four, expected):
    bad = answers(network, wrong=lambda images: torch.equal(images, four[3:]))
    with pytest.raises(UserError, match="alone than in a batch"):
        compare_answers(bad, four, device=MPS, expected=expected)


@pytest.mark.parametrize(("by", "is_refused"), [(9e-5, False), (2e-4, True), (-2e-4, True)])
def test_a_ten_thousandth_is_allowed(network, four, expected, by, is_refused):
    bad = answers(network, wrong=lambda images: True, by=by)
    if is_refused:
        with pytest.raises(UserError, match="by 0.0002"):
            compare_answers(bad, four, device=MPS, expected=expected)
    else:
        compare_answers(bad, four, device=MPS, expected=expected)


def test_a_device_that_answers_nan_is_refused(network, four, expected):
    bad = answers(network, wrong=lambda images: True, by=torch.nan)
    with pytest.raises(UserError, match="by nan"):
        compare_answers(bad, four, device=MPS, expected=expected)


def test_a_network_that_answers_nan_is_not_the_devices_fault(network, four):
    nan = answers(network, wrong=lambda images: True, by=torch.nan)
    probabilities = nan(four[:1])
    compare_answers(nan, four[:1], device=MPS, expected=probabilities)


def test_the_cpu_passes(network, four):
    assert check_device(network, four, CPU)


class KnowsItsBatch(torch.nn.Module):
    """A network whose answers depend on the batch they are in."""

    def forward(self, images):
        return (images - images.mean(0)).flatten(1)[:, :5]


def test_on_the_cpu_alone_and_together_are_compared(four):
    with pytest.raises(UserError, match="^device cpu: .* alone than in a batch .by [0-9.]+.$"):
        check_device(KnowsItsBatch(), four, CPU)


class OnAnotherDevice(torch.nn.Module):
    """A network that counts as being on a device until it is copied.

    Args:
        network: what it computes.
        error: added to the first logit on the device.
        copies: the copies that have answered, weakly referenced.
    """

    def __init__(self, network, error, copies):
        super().__init__()
        self.network = network
        self.error = error
        self.copies = copies
        self.is_copy = False

    def __deepcopy__(self, memo):
        copied = OnAnotherDevice(self.network, self.error, self.copies)
        copied.is_copy = True
        return copied

    def forward(self, images):
        logits = self.network(images.cpu())
        if self.is_copy:
            self.copies.add(self)
        else:
            logits[:, 0] += self.error
        return logits


@pytest.fixture
def elsewhere(monkeypatch):
    """A device of another name, to which images can be brought on any machine."""
    bring = torch.Tensor.to

    def to(tensor, target, *args, **kwargs):
        return tensor if target == MPS else bring(tensor, target, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", to)
    return MPS


def test_a_device_is_compared_with_the_cpu(network, four, elsewhere):
    with pytest.raises(UserError, match="device mps: gives other probabilities than the CPU"):
        check_device(OnAnotherDevice(network, 0.5, weakref.WeakSet()), four, elsewhere)


def test_a_right_device_passes(network, four, elsewhere):
    assert check_device(OnAnotherDevice(network, 0.0, weakref.WeakSet()), four, elsewhere)


def test_the_copy_on_the_cpu_is_not_kept(network, four, elsewhere):
    copies = weakref.WeakSet()
    seen = []
    copies.add = lambda module: seen.append(weakref.ref(module))
    check_device(OnAnotherDevice(network, 0.0, copies), four, elsewhere)
    gc.collect()
    assert [reference() for reference in seen] == [None]


def test_without_a_copy_on_the_cpu_it_says_so(network, four, elsewhere):
    def fails(module, memo):
        raise TypeError("cannot be copied")

    network.__class__ = type("Uncopied", (torch.nn.Sequential,), {"__deepcopy__": fails})
    assert check_device(network, four, elsewhere) is False


def test_the_copy_takes_no_memory_on_the_device():
    with Device(GB) as device:
        module = device.build(lambda weights: torchvision.models.resnet18(weights=weights))
        module.constant = torch.zeros(7, device="cuda")
        device.limit = device.live
        copied = _cpu_copy(module)
        kinds = {tensor.device.type for tensor in copied.state_dict().values()}
        assert kinds | {copied.constant.device.type} == {"cpu"}
        assert copied.state_dict().keys() == module.state_dict().keys()


def test_the_copy_answers_as_the_network_does(network, four):
    assert torch.equal(_cpu_copy(network)(four), network(four))


# ---------------------------------------------------------------- devices that are lost


class Broken(TorchDispatchMode):
    """A device on which every operator raises an error."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        raise self.error


LOST = [
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: unspecified launch failure"),
    RuntimeError("Unable to determine the device handle: GPU has fallen off the bus"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
]
if hasattr(torch, "AcceleratorError"):  # PyTorch 2.8
    LOST.append(torch.AcceleratorError("whatever the driver says"))
OUT_OF_MEMORY = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.")


def test_the_cpu_is_alive():
    assert is_alive(CPU)


@pytest.mark.parametrize("error", LOST, ids=str)
def test_a_device_that_raises_is_not_alive(error):
    with Broken(error):
        assert not is_alive(CPU)


def test_a_device_whose_memory_is_full_is_alive():
    with Broken(OUT_OF_MEMORY):
        assert is_alive(CPU)


def test_a_device_that_does_not_exist_is_not_alive():
    kind = "cuda" if torch.backends.mps.is_available() else "mps"
    assert not is_alive(torch.device(kind))


@pytest.mark.parametrize("error", LOST, ids=str)
def test_an_error_of_a_lost_device_is_for_good(error):
    with Broken(error):
        assert failed_for_good(error, CPU)


@pytest.mark.parametrize("error", LOST, ids=str)
def test_an_error_after_which_it_computes_is_not_for_good(error):
    assert not failed_for_good(error, CPU)


@pytest.mark.parametrize(
    "error", [OUT_OF_MEMORY, RuntimeError("CUDA error: out of memory")], ids=["cuda", "driver"]
)
def test_out_of_memory_is_never_for_good(error):
    with Broken(RuntimeError("CUDA error: device-side assert triggered")):
        assert not failed_for_good(error, CPU)


def test_an_error_of_the_network_is_not_for_good():
    with Broken(RuntimeError("CUDA error: device-side assert triggered")):
        assert not failed_for_good(ValueError("a shape is wrong"), CPU)
