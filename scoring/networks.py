"""Networks: by name, from a file of the user's, or any module; weights, devices, probabilities.

    network = load_network("resnet50", weights=Path("resnet50.pth"))
    network = load_network("my_net.py:build")
    network = wrap_module(module, labels=["cat", "dog"])
    probabilities = class_probabilities(network.module(network.prepare(image)[None]))

Weights are read without running code in them, and loaded strictly.
"""

import difflib
import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torchvision
from PIL import Image

from scoring.fitting import Fit, Resize
from scoring.labels import read_labels
from scoring.user_code import code_checksums
from scoring.weights import load_strictly, read_weights, state_sha256, without_prefixes
from utils import PROJECT, UserError, file_sha256, one_line

BUNDLED = "birds"  # name of the bundled network
BUNDLED_ARCHITECTURE = "shufflenet_v2_x1_0"
BUNDLED_WEIGHTS = PROJECT / "birds/birds.safetensors"
BUNDLED_LABELS = PROJECT / "birds/birds_labels.txt"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"  # read by torch.load
INPUT_SIZE = 224  # of a module that does not say otherwise


@dataclass
class Network:
    """A classifier ready to be used: in eval mode, frozen, on its device."""

    module: torch.nn.Module
    name: str
    weights_sha256: str
    labels: list[str]
    fit: Fit  # how images come to the size of its input
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: torch.device
    unwrapped: str = ""  # what the weights were taken out of, in words
    code: dict[str, str] = field(default_factory=dict)  # checksums of FILE.py and its modules

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its input."""
        return self.fit.size

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.labels)

    def description(self) -> dict[str, Any]:
        """Return everything that makes this network's results differ from another's."""
        file, _, _ = self.name.rpartition(":")
        modules = {name: sha256 for name, sha256 in self.code.items() if name != Path(file).name}
        labels = "\n".join(self.labels).encode()
        return {
            "name": self.name,
            "weights_sha256": self.weights_sha256,
            "classes": self.classes,
            "code_sha256": self.code.get(Path(file).name),
            "modules": modules or None,
            "mean": list(self.mean),
            "std": list(self.std),
            "labels_sha256": hashlib.sha256(labels).hexdigest(),
            "resize": self.fit.description(),
        }

    def prepare(self, image: np.ndarray) -> torch.Tensor:
        """Return an image (H, W, 3) uint8 RGB as (3, H, W) float32, normalised, on the device."""
        x = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float() / 255
        mean = torch.tensor(self.mean).view(3, 1, 1)
        std = torch.tensor(self.std).view(3, 1, 1)
        return ((x - mean) / std).to(self.device)


def class_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Return probabilities (B, C), float32, for logits (B, C) or for a single logit (B, 1).

    A single logit is a sigmoid of two classes.
    """
    if logits.shape[1] == 1:
        # 1 - sigmoid would round small probabilities to 0.
        return torch.cat([-logits, logits], dim=1).float().sigmoid()
    return logits.float().softmax(dim=1)


def two_logits(logits: torch.Tensor) -> torch.Tensor:
    """Return logits (B, C); a single one, of a sigmoid, as the two whose softmax it is."""
    return torch.cat([-logits, logits], 1) / 2 if logits.shape[1] == 1 else logits


def choose_device(name: str) -> torch.device:
    """Return the device of this name; "auto" prefers CUDA, then Apple's MPS, then the CPU.

    Raises:
        UserError: PyTorch finds no such device.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, usable in available.items() if usable)
    if not available[name]:
        raise UserError(f"--device {name}: PyTorch finds no such device here")
    return torch.device(name)


def use_ieee_float32() -> None:
    """Switch TensorFloat-32 off on CUDA, for the whole process.

    It keeps 10 bits of mantissa: results would depend on the batch they are in.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True


# ---------------------------------------------------------------- loading


def load_network(
    name: str,
    weights: Path | None = None,
    *,
    labels: Path | None = None,
    device: torch.device | None = None,
    resize: Resize = "squash",
) -> Network:
    """Build a network and load its weights.

    Args:
        name: "birds" (bundled), a torchvision classifier, or FILE.py:function. The function takes
            no arguments and returns a module, which may have input_size, mean and std attributes.
        weights: a state_dict (.pth, .safetensors); None: the bundled or torchvision's own.
        labels: file of class names, one per line; None: by model.
        device: None: the CPU.
        resize: how images come to its input size; see scoring/fitting.py.

    Raises:
        UserError: something cannot be used; the message names it.
    """
    device = device or torch.device("cpu")
    if name == BUNDLED:
        weights = weights or BUNDLED_WEIGHTS
        labels = labels or BUNDLED_LABELS
    code = code_of(name)  # before it runs
    loaded = _load(name, weights)
    module = loaded.module.eval().requires_grad_(False).to(device)
    if ".py:" not in name:
        # A quarter faster. A user's module may view() its maps, which this layout forbids.
        module = module.to(memory_format=torch.channels_last)
    source = weights or loaded.weights
    option = f"--model {name}"
    return Network(
        module=module,
        name=name,
        weights_sha256=file_sha256(source) if source else state_sha256(module),
        labels=read_labels(labels, _count_classes(module, option, size=loaded.size, device=device)),
        fit=loaded.fit(resize),
        mean=loaded.mean,
        std=loaded.std,
        device=device,
        unwrapped=loaded.unwrapped,
        code=code,
    )


def code_of(name: str) -> dict[str, str]:
    """Return the checksums of the code of FILE.py:function; none for another network's name.

    Raises:
        UserError: the file cannot be read.
    """
    if not runs_code(name):
        return {}
    path = Path(name.rpartition(":")[0])
    if not path.is_file():
        raise UserError(f"--model {name}: no such file: {path}")
    try:
        return code_checksums(path)
    except OSError as error:
        raise UserError(f"--model {name}: {error.filename}: {error.strerror}") from None


def runs_code(name: str) -> bool:
    """Return whether a network's name is FILE.py:function, whose code is the user's own."""
    return ".py:" in name


def _load(name: str, weights: Path | None) -> "_Loaded":
    """Return a network's module with its weights."""
    read = read_weights(weights) if weights else None
    if ".py:" in name:
        loaded = _load_user_module(name)
        read = read and without_prefixes(read, loaded.module.state_dict())
    else:
        read = read and without_prefixes(read)
        loaded = _load_torchvision(name, read.state if read else None)
    if read and weights:
        load_strictly(loaded.module, read.state, weights)
        loaded.unwrapped = read.unwrapped
    return loaded


@dataclass
class _Loaded:
    """A module with its preprocessing, and the file that its weights came from, if any."""

    module: torch.nn.Module
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: Path | None = None
    unwrapped: str = ""  # what the weights were taken out of
    short_side: int | None = None  # of the weights' preset
    filter: Literal["bilinear", "bicubic"] = "bilinear"  # likewise

    def fit(self, resize: Resize) -> Fit:
        """Return how images come to the input size; the preset is that of a crop."""
        if resize != "crop":
            return Fit(self.size, resize)
        return Fit(self.size, resize, short_side=self.short_side, filter=self.filter)


def _load_user_module(name: str) -> _Loaded:
    module = _user_module(name)
    size, mean, std = preprocessing_of(module)
    return _Loaded(module, size=size, mean=mean, std=std)


def _load_torchvision(name: str, state: dict | None) -> _Loaded:
    architecture = BUNDLED_ARCHITECTURE if name == BUNDLED else name
    entry = _torchvision_weights(architecture)
    preset = entry.transforms()
    side = preset.crop_size[0]
    return _Loaded(
        _torchvision_module(architecture, side, state=state, entry=entry),
        size=(side, side),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        weights=Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name,
        short_side=preset.resize_size[0],
        filter=preset.interpolation.value,
    )


def wrap_module(
    module: torch.nn.Module,
    *,
    labels: Sequence[str] | None = None,
    transform: Callable[[Image.Image], torch.Tensor] | None = None,
    name: str | None = None,
    resize: Resize = "squash",
) -> Network:
    """Make a Network of any module in eval mode, on the device of its parameters.

    Args:
        module: images (B, 3, H, W) to logits (B, classes) or (B, 1).
        labels: class names; None: ImageNet's for 1000 classes, else "class 0", ...
        transform: the preprocessing, from a PIL image to a normalised tensor (3, H, W); size, mean
            and standard deviation are taken from what it makes of a black and a white image.
            None: the module's input_size, mean and std attributes, else 224 and ImageNet's.
        name: for the record; None: the name of the class.
        resize: how images come to its input size, without a transform.

    Raises:
        UserError: the module is not in eval mode, fails, or has another number of classes.
    """
    if module.training:
        raise UserError("model: in training mode; call model.eval() first")
    first = next(iter([*module.parameters(), *module.buffers()]), None)
    device = torch.device("cpu") if first is None else first.device
    size, mean, std = preprocessing_of(module) if transform is None else probe(transform)
    name = name or type(module).__name__
    classes = _count_classes(module, f"model {name}", size=size, device=device)
    if labels is None:
        labels = read_labels(None, classes)
    if len(labels) != classes:
        raise UserError(f"labels: {len(labels)} names, but the model has {classes} classes")
    return Network(
        module,
        name,
        weights_sha256=state_sha256(module),
        labels=list(labels),
        fit=Fit(size, resize),
        mean=mean,
        std=std,
        device=device,
    )


def preprocessing_of(
    module: torch.nn.Module,
) -> tuple[tuple[int, int], tuple[float, ...], tuple[float, ...]]:
    """Return (size, mean, std) from a module's attributes, or 224 and ImageNet's.

    Raises:
        UserError: input_size is not a whole number.
    """
    size = getattr(module, "input_size", INPUT_SIZE)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise UserError(f"model: input_size must be a whole number of pixels, not {size!r}")
    mean = _by_channel("mean", getattr(module, "mean", IMAGENET_MEAN))
    std = _by_channel("std", getattr(module, "std", IMAGENET_STD))
    if min(std) <= 0:
        raise UserError(f"model: std must be above 0, not {std}")
    return (size, size), mean, std


def _by_channel(name: str, value: Any) -> tuple[float, ...]:
    """Return one number for each of three channels, from one or three of them in any form.

    Raises:
        UserError: they are neither.
    """
    try:
        tensor = torch.as_tensor(value, dtype=torch.float64, device="cpu").flatten()
    except Exception:
        raise UserError(f"model: {name} must be three numbers, not {value!r:.60}") from None
    if len(tensor) not in (1, 3) or not tensor.isfinite().all():
        raise UserError(f"model: {name} must be three finite numbers, not {tensor.tolist()!r:.60}")
    return tuple(tensor.expand(3).tolist())


def probe(
    transform: Callable[[Image.Image], torch.Tensor],
) -> tuple[tuple[int, int], tuple[float, ...], tuple[float, ...]]:
    """Return (size, mean, std) of a preprocessing, from what it makes of black and white.

    Raises:
        UserError: it does not return a floating-point tensor (3, H, W), or white is not brighter
            than black.
    """
    black = transform(Image.new("RGB", (640, 480), "black"))
    white = transform(Image.new("RGB", (640, 480), "white"))
    is_float = isinstance(black, torch.Tensor) and black.is_floating_point()
    if not is_float or black.dim() != 3 or len(black) != 3:
        raise UserError(
            "transform: must return a floating-point tensor of shape (3, height, width)"
        )
    std = 1 / (white - black).mean((1, 2))
    if not (std.isfinite() & (std > 0)).all():
        raise UserError("transform: must map white above black in every channel")
    mean = -black.mean((1, 2)) * std
    return (black.shape[1], black.shape[2]), tuple(mean.tolist()), tuple(std.tolist())


def _user_module(reference: str) -> torch.nn.Module:
    """Return the module that FILE.py:function returns."""
    path, _, function = reference.rpartition(":")
    if not Path(path).is_file():
        raise UserError(f"--model {reference}: no such file: {path}")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec and spec.loader, path
    # The file may import what lies beside it.
    sys.path.append(str(Path(path).resolve().parent))
    try:
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        module = getattr(loaded, function)()
    except (Exception, SystemExit) as error:  # the user's code may fail in any way
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise UserError(f"--model {reference}: {reason}") from error
    if not isinstance(module, torch.nn.Module):
        kind = type(module).__name__
        raise UserError(
            f"--model {reference}: {function}() returned a {kind}, not a torch.nn.Module"
        )
    for key, value in module.state_dict(keep_vars=True).items():
        if value.is_meta or value.layout != torch.strided:
            kind = "on the meta device" if value.is_meta else "sparse"
            raise UserError(f"--model {reference}: {key} is {kind}; numbers are needed")
    return module


def _torchvision_weights(name: str) -> Any:
    """Return the entry of torchvision's weights to use: the first edition where there is one.

    The second editions are trained with label smoothing and mixing, and are confident of little.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    if name.endswith(".py") or Path(name).exists():
        raise UserError(f"--model {name}: a file; name the function in it: {name}:FUNCTION")
    if name not in known:
        candidates = [*known, BUNDLED]
        near = difflib.get_close_matches(name.lower(), candidates, n=1, cutoff=0)[0]
        raise UserError(f"--model {name}: not a torchvision classifier; the nearest name is {near}")
    entries = torchvision.models.get_model_weights(name)
    return getattr(entries, "IMAGENET1K_V1", entries.DEFAULT)


def _torchvision_module(name: str, size: int, *, state: dict | None, entry: Any) -> torch.nn.Module:
    """Return a torchvision network: pretrained, or untrained and shaped for a state_dict."""
    if not state:
        return download(name, entry)
    options: dict[str, Any] = {}
    if name.startswith("vit_"):
        options = {"image_size": size}
    if name in ("inception_v3", "googlenet"):  # as torchvision builds them for its own weights
        options = {"init_weights": False, "transform_input": True}
    module = torchvision.models.get_model(name, weights=None, **options)
    last, value = list(module.state_dict().items())[-1]
    given = state.get(last)
    if given is not None and given.dim() == value.dim() and len(given) != len(value):
        module = torchvision.models.get_model(name, weights=None, num_classes=len(given), **options)
    return module


def is_loadable(name: str) -> bool:
    """Return whether load_network knows a name, which that of a module passed in Python is not."""
    if name == BUNDLED or ".py:" in name:
        return True
    return name in torchvision.models.list_models(module=torchvision.models)


def download(
    name: str, entry: Any, *, option: str = "--model", weights_option: str = "--weights"
) -> torch.nn.Module:
    """Return a torchvision network with its own weights; code in their file is not run.

    Raises:
        UserError: the weights are out of reach or damaged; the message names the file and the
            folder to put it into.
    """
    try:
        with _weights_only():
            return torchvision.models.get_model(name, weights=entry)
    except Exception as error:  # no network, a full disk, a damaged file in the cache
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        file = Path(entry.url).name
        problem = "cannot load" if (folder / file).exists() else "cannot download"
        reason = one_line(getattr(error, "reason", error))
        raise UserError(
            f"{option} {name}: {problem} {file} ({reason}); put that file into {folder}, "
            f"or pass a state_dict with {weights_option} FILE"
        ) from error


@contextmanager
def _weights_only() -> Iterator[None]:
    """Have torch.load run no code in a file, also where torchvision's hub asks it to."""
    before = os.environ.get(WEIGHTS_ONLY)
    os.environ[WEIGHTS_ONLY] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[WEIGHTS_ONLY]
        else:
            os.environ[WEIGHTS_ONLY] = before


@torch.no_grad()  # not inference_mode: a module may keep tensors of its first call
def _count_classes(
    module: torch.nn.Module, what: str, size: tuple[int, int], device: torch.device
) -> int:
    """Return the number of classes, by running the module on a black image.

    Args:
        module: the network.
        what: what it is called in an error.
        size: height and width of its input.
        device: of the module.
    """
    height, width = size
    try:
        output = module(torch.zeros(1, 3, height, width, device=device))
    except (Exception, SystemExit) as error:  # the user's module may fail in any way
        reason = one_line(error)[:200]
        raise UserError(f"{what}: fails on a 1 x 3 x {height} x {width} input: {reason}") from error
    if not isinstance(output, torch.Tensor) or output.dim() != 2:
        raise UserError(f"{what}: its output is not a (batch, classes) tensor")
    return max(2, output.shape[1])
