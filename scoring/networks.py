"""Networks: by name, from a file of the user's, or any module; weights, devices, probabilities.

    network = load_network("resnet50", weights=Path("resnet50.pth"))
    network = load_network("my_net.py:build")
    network = wrap_module(module, labels=["cat", "dog"])
    probabilities = class_probabilities(network.module(network.prepare(image)[None]))

Weights are read without running code in them, and loaded strictly.
"""

import difflib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torchvision
from PIL import Image

from scoring import hf_networks, timm_networks
from scoring.fitting import Fit, Resize
from scoring.labels import read_labels
from scoring.loaded import Loaded
from scoring.outputs import Output, Reading, read_outputs
from scoring.preprocessing import (
    Preprocessing,
    preprocessing_of,
    probe,
)
from scoring.user_code import code_checksums
from scoring.user_files import call_function
from scoring.weights import (
    load_strictly,
    read_weights,
    state_sha256,
    weights_only,
    with_torchvision_names,
    without_prefixes,
)
from utils import PROJECT, UserError, file_sha256, one_line

BUNDLED = "birds"  # name of the bundled network
BUNDLED_ARCHITECTURE = "shufflenet_v2_x1_0"
BUNDLED_WEIGHTS = PROJECT / "birds/birds.safetensors"
BUNDLED_LABELS = PROJECT / "birds/birds_labels.txt"


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
    output: Literal["logits", "probabilities"] = "logits"  # that its own module returns
    is_doubtful: bool = False  # whether these logits may as well be probabilities
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
        main = _main_file(self.name)
        modules = {name: sha256 for name, sha256 in self.code.items() if name != main}
        labels = "\n".join(self.labels).encode()
        return {
            "name": self.name,
            "weights_sha256": self.weights_sha256,
            "classes": self.classes,
            "code_sha256": self.code.get(main),
            "modules": modules or None,
            "mean": list(self.mean),
            "std": list(self.std),
            "labels_sha256": hashlib.sha256(labels).hexdigest(),
            "resize": self.fit.description(),
            "output": self.output,
        }

    def reading(self) -> str:
        """Return how its outputs are read, for the log."""
        if not self.is_doubtful:
            return self.output
        return "its outputs lie in 0 to 1 and are taken as logits; else pass --output probabilities"

    @property
    def channels(self) -> int:
        """Number of channels of its input: 3, or 1 for images in grey."""
        return len(self.mean)

    def prepare(self, image: np.ndarray) -> torch.Tensor:
        """Return an image as the network takes it, normalised, on the device.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            Tensor (channels, H, W), float32.
        """
        if self.channels == 1:
            image = np.array(Image.fromarray(image).convert("L"))[..., None]
        x = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float() / 255
        mean = torch.tensor(self.mean).view(-1, 1, 1)
        std = torch.tensor(self.std).view(-1, 1, 1)
        return ((x - mean) / std).to(self.device)


def class_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Return probabilities (B, C), float32, for logits (B, C) or for a single logit (B, 1).

    A single logit is a sigmoid of two classes.
    """
    if logits.shape[1] == 1:
        # 1 - sigmoid would round small probabilities to 0.
        return torch.cat([-logits, logits], dim=1).float().sigmoid()
    return logits.float().softmax(dim=1)


def confidences(
    logits: torch.Tensor, categories: torch.Tensor, against: torch.Tensor
) -> torch.Tensor:
    """Return each row's confidence in its classes, (B, K) float32.

    Args:
        logits: (B, C), or (B, 1) for a single logit.
        categories: class indices, (B, K).
        against: the classes against which they are measured, (B, K): then it is the sigmoid of the
            margin between the two logits. The same class as in categories: against all, the
            softmax's probability.
    """
    among_all = class_probabilities(logits).gather(1, categories)
    each = two_logits(logits).float()
    margins = each.gather(1, categories) - each.gather(1, against)
    return torch.where(categories == against, among_all, margins.sigmoid())


def confidence(logits: torch.Tensor, category: int, against: int | None = None) -> torch.Tensor:
    """Return the confidence in one class, (B,) float32; see confidences().

    Args:
        logits: (B, C), or (B, 1) for a single logit.
        category: class index.
        against: the class against which it is measured; None: all others.
    """
    if against is None:
        return class_probabilities(logits)[:, category]
    each = two_logits(logits).float()
    return (each[:, category] - each[:, against]).sigmoid()


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
    output: Output = "auto",
) -> Network:
    """Build a network and load its weights.

    Args:
        name: "birds" (bundled), a torchvision classifier, timm/NAME, hf/NAME, hf/FOLDER, or
            FILE.py:function. The function returns a module, see preprocessing_of.
        weights: a state_dict (.pth, .safetensors); None: the bundled or the library's own.
        labels: file of class names, one per line; None: by model.
        device: None: the CPU.
        resize: how images come to its input size; see scoring/fitting.py.
        output: what it returns; "auto": logits, or what four images say of a network of your own.

    Raises:
        UserError: something cannot be used; the message names it.
    """
    device = device or torch.device("cpu")
    if name == BUNDLED:
        weights = weights or BUNDLED_WEIGHTS
        labels = labels or BUNDLED_LABELS
    code = code_of(name)  # before it runs
    loaded = _load(name, weights)
    module = _ready(loaded, device)
    if not runs_code(name) and output == "auto":
        output = "logits"  # as a library's classifiers
    what = f"--model {name}"
    reading = read_outputs(module, what, loaded.preprocessing, device=device, output=output)
    source = weights or loaded.weights
    return _network(
        loaded,
        reading,
        fit=loaded.preprocessing.fit(resize),
        device=device,
        name=name,
        weights_sha256=file_sha256(source) if source else state_sha256(module),
        labels=_names_of(loaded, labels, reading.classes),
        code=code,
    )


def _ready(loaded: Loaded, device: torch.device) -> torch.nn.Module:
    """Return a loaded module in eval mode, frozen, on a device."""
    module = loaded.module.eval().requires_grad_(False).to(device)
    if not loaded.may_be_channels_last:
        return module
    # A quarter faster. A user's module may view() its maps, which this layout forbids.
    return module.to(memory_format=torch.channels_last)


def _network(
    loaded: Loaded,
    reading: Reading,
    *,
    fit: Fit,
    device: torch.device,
    name: str,
    weights_sha256: str,
    labels: list[str],
    code: dict[str, str] | None = None,
) -> Network:
    """Return a network of what was found out about a module."""
    return Network(
        reading.module,
        name,
        weights_sha256=weights_sha256,
        labels=labels,
        fit=fit,
        mean=loaded.preprocessing.mean,
        std=loaded.preprocessing.std,
        device=device,
        unwrapped=loaded.unwrapped,
        code=code or {},
        output=reading.output,
        is_doubtful=reading.is_doubtful,
    )


def _names_of(loaded: Loaded, labels: Path | None, classes: int) -> list[str]:
    """Return the names of a network's classes: those of a file, its own, or the usual ones."""
    if labels is None and loaded.labels and len(loaded.labels) == classes:
        return loaded.labels
    return read_labels(labels, classes)


def code_of(name: str) -> dict[str, str]:
    """Return the checksums of what says what a network computes; none where a library does.

    These are FILE.py of FILE.py:function and what it imports from its folder, or the config.json of
    a transformers folder.

    Raises:
        UserError: the file cannot be read.
    """
    if name.startswith(hf_networks.PREFIX):
        config = Path(name.removeprefix(hf_networks.PREFIX)) / hf_networks.CONFIG
        return {config.name: file_sha256(config)} if config.is_file() else {}
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


def _main_file(name: str) -> str:
    """Return the name of the file that a network's name leads to, if any."""
    if name.startswith(hf_networks.PREFIX):
        return hf_networks.CONFIG
    return Path(name.rpartition(":")[0]).name


def _load(name: str, weights: Path | None) -> Loaded:
    """Return a network's module with its weights."""
    if ".py:" in name:
        return _load_user_module(name, weights)
    if name.startswith(timm_networks.PREFIX):
        return timm_networks.load_timm(name.removeprefix(timm_networks.PREFIX), weights)
    if name.startswith(hf_networks.PREFIX):
        return hf_networks.load_hf(name.removeprefix(hf_networks.PREFIX), weights)
    return _load_torchvision(name, weights)


def _load_user_module(name: str, weights: Path | None) -> Loaded:
    module = call_function(name)
    size, mean, std = preprocessing_of(module, f"--model {name}")
    loaded = Loaded(module, Preprocessing(size, mean, std))
    if weights:
        read = without_prefixes(read_weights(weights), module.state_dict())
        load_strictly(module, read.state, weights)
        loaded.unwrapped = read.unwrapped
    return loaded


def _load_torchvision(name: str, weights: Path | None) -> Loaded:
    read = None
    if weights:
        read = with_torchvision_names(without_prefixes(read_weights(weights)))
    architecture = BUNDLED_ARCHITECTURE if name == BUNDLED else name
    entry = _torchvision_weights(architecture)
    preset = entry.transforms()
    side = preset.crop_size[0]
    module = _torchvision_module(
        architecture, side, state=read.state if read else None, entry=entry
    )
    if read and weights:
        load_strictly(module, read.state, weights)
    return Loaded(
        module,
        Preprocessing(
            size=(side, side),
            mean=tuple(preset.mean),
            std=tuple(preset.std),
            short_side=preset.resize_size[0],
            filter=preset.interpolation.value,
        ),
        weights=Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name,
        unwrapped=read.unwrapped if read else "",
        may_be_channels_last=True,
    )


def wrap_module(
    module: torch.nn.Module,
    *,
    labels: Sequence[str] | None = None,
    transform: Callable[[Image.Image], torch.Tensor] | None = None,
    name: str | None = None,
    resize: Resize = "squash",
    output: Output = "auto",
) -> Network:
    """Make a Network of any module in eval mode, on the device of its parameters.

    Args:
        module: images (B, 3, H, W) to logits (B, classes), (B, 1) or (B,), or to an object that has
            these as its logits.
        labels: class names; None: ImageNet's for 1000 classes, else "class 0", ...
        transform: the preprocessing, from a PIL image to a normalised tensor (3, H, W); size, mean
            and standard deviation are taken from what it makes of a black and a white image.
            None: the module's input_size, mean and std attributes, else 224 and ImageNet's.
        name: for the record; None: the name of the class.
        resize: how images come to its input size, without a transform.
        output: what it returns; "auto": guessed from four images.

    Raises:
        UserError: the module is not in eval mode, fails, or has another number of classes.
    """
    if module.training:
        raise UserError("model: in training mode; call model.eval() first")
    first = next(iter([*module.parameters(), *module.buffers()]), None)
    device = torch.device("cpu") if first is None else first.device
    values = preprocessing_of(module) if transform is None else probe(transform)
    loaded = Loaded(module, Preprocessing(*values))
    name = name or type(module).__name__
    reading = read_outputs(
        module, f"model {name}", loaded.preprocessing, device=device, output=output
    )
    return _network(
        loaded,
        reading,
        fit=loaded.preprocessing.fit(resize),
        device=device,
        name=name,
        weights_sha256=state_sha256(module),
        labels=_given_names(labels, reading.classes),
    )


def _given_names(labels: Sequence[str] | None, classes: int) -> list[str]:
    """Return the names of classes that were passed in Python, or the usual ones."""
    if labels is None:
        return read_labels(None, classes)
    if len(labels) != classes:
        raise UserError(f"labels: {len(labels)} names, but the model has {classes} classes")
    return list(labels)


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
    if name.startswith((timm_networks.PREFIX, hf_networks.PREFIX)):
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
        with weights_only():
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
