"""Networks."""

import difflib
import hashlib
import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchvision
from safetensors.torch import load_file

from utils import PROJECT, UserError, file_sha256, one_line

BUNDLED = "birds"  # the bundled model's name; the architecture and files behind it:
BUNDLED_ARCHITECTURE = "shufflenet_v2_x1_0"
BUNDLED_WEIGHTS, BUNDLED_LABELS = (
    PROJECT / "birds/birds.safetensors",
    PROJECT / "birds/birds_labels.txt",
)
IMAGENET_LABELS = PROJECT / "GroundTruth1000.txt"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def choose_device(name: str) -> torch.device:
    """ "auto" takes CUDA, then Apple's MPS, then the CPU. Raises UserError where the named one is not there."""
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, usable in there.items() if usable)
    if not there[name]:
        raise UserError(f"--device {name}: PyTorch finds no such device here")
    # TensorFloat-32 keeps 10 bits of mantissa: results would depend on the batch they fall into.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    return torch.device(name)


@dataclass
class Network:
    """A classifier ready to be asked: in eval mode, frozen, on its device."""

    module: torch.nn.Module
    name: str
    weights_sha256: str
    labels: list[str]
    size: tuple[int, int]  # H, W of its input
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: torch.device

    @property
    def classes(self) -> int:
        return len(self.labels)

    def description(self) -> dict:
        """What makes this network give other results than another, for the record."""
        code, _, _ = self.name.rpartition(":")
        return {
            "name": self.name,
            "weights_sha256": self.weights_sha256,
            "classes": self.classes,
            "code_sha256": file_sha256(Path(code)) if code else None,
            "mean": list(self.mean),
            "std": list(self.std),
            "labels_sha256": hashlib.sha256("\n".join(self.labels).encode()).hexdigest(),
        }

    def prepare(self, image: np.ndarray) -> torch.Tensor:
        """(H, W, 3) uint8 RGB -> (3, H, W) float32, normalised, on the device."""
        x = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float() / 255
        return (
            (x - torch.tensor(self.mean).view(3, 1, 1)) / torch.tensor(self.std).view(3, 1, 1)
        ).to(self.device)


def class_probabilities(output: torch.Tensor) -> torch.Tensor:
    """Logits (B, C) -> probabilities (B, C), float32; a single logit (B, 1) is a sigmoid of two classes."""
    if output.shape[1] == 1:
        return (
            torch.cat([-output, output], dim=1).float().sigmoid()
        )  # 1 - sigmoid would round small ones to 0
    return output.float().softmax(dim=1)


def load_network(
    name: str,
    weights: Path | None,
    labels: Path | None,
    device: torch.device,
    labels_option: str = "--labels",
) -> Network:
    """Build a network and load its weights.

    name: the bundled "birds", a torchvision classifier, or FILE.py:function, a function without
    arguments that returns a module; such a module may have input_size, mean and std attributes.
    weights: a state_dict (.pth, .safetensors), loaded strictly; None: the bundled or torchvision's own. labels_option: what the
    option for the labels is called, where an error names it.
    Raises UserError.
    """
    size, mean, std, module, pretrained = 224, IMAGENET_MEAN, IMAGENET_STD, None, None
    architecture = BUNDLED_ARCHITECTURE if name == BUNDLED else name
    if name == BUNDLED:
        weights, labels = weights or BUNDLED_WEIGHTS, labels or BUNDLED_LABELS
    state = read_weights(weights) if weights else None
    if ".py:" in architecture:
        module = _user_module(architecture)
        size, mean, std = (
            getattr(module, a, d) for a, d in (("input_size", size), ("mean", mean), ("std", std))
        )
    else:
        pretrained = _torchvision_weights(architecture)
        preset = pretrained.transforms()
        size, mean, std = preset.crop_size[0], tuple(preset.mean), tuple(preset.std)
        module = (
            _torchvision_module(architecture, size, state)
            if state
            else download(architecture, pretrained)
        )
    if state:
        load_strictly(module, state, weights)
    module = module.eval().requires_grad_(False).to(device)
    if (
        pretrained
    ):  # a quarter faster; a user's module may view() its maps, which this layout forbids
        module = module.to(memory_format=torch.channels_last)
    source = weights or (
        Path(torch.hub.get_dir()) / "checkpoints" / Path(pretrained.url).name
        if pretrained
        else None
    )
    sha256 = file_sha256(source) if source else _state_sha256(module)
    classes = _count_classes(module, name, size, device)
    return Network(
        module,
        name,
        sha256,
        read_labels(labels, classes, labels_option),
        (size, size),
        mean,
        std,
        device,
    )


def _user_module(reference: str) -> torch.nn.Module:
    path, _, function = reference.rpartition(":")
    if not Path(path).is_file():
        raise UserError(f"--model {reference}: no such file: {path}")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    sys.path.append(str(Path(path).resolve().parent))  # for what it imports from beside it
    try:
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        module = getattr(loaded, function)()
    except Exception as error:  # the user's code may fail in any way; it is named, not traced
        raise UserError(
            f"--model {reference}: {type(error).__name__}: {one_line(error)}"
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise UserError(
            f"--model {reference}: {function}() returned a {type(module).__name__}, not a torch.nn.Module"
        )
    return module


def _torchvision_weights(name: str):
    """The entry of torchvision's weights to use: the paper's first edition where there is one.

    The second editions are trained with label smoothing and mixing, and are sure of little.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        near = difflib.get_close_matches(name.lower(), known + [BUNDLED], n=1, cutoff=0)[0]
        raise UserError(f"--model {name}: not a torchvision classifier; the nearest name is {near}")
    entries = torchvision.models.get_model_weights(name)
    return getattr(entries, "IMAGENET1K_V1", entries.DEFAULT)


def _torchvision_module(name: str, size: int, state: dict) -> torch.nn.Module:
    """An untrained torchvision network; with as many classes as the state_dict's last layer, if that tells."""
    options = {"image_size": size} if name.startswith("vit_") else {}
    if name in ("inception_v3", "googlenet"):  # as torchvision builds them for its own weights
        options = {"init_weights": False, "transform_input": True}
    module = torchvision.models.get_model(name, weights=None, **options)
    last, value = list(module.state_dict().items())[-1]
    if last in state and state[last].dim() == value.dim() and len(state[last]) != len(value):
        module = torchvision.models.get_model(
            name, weights=None, num_classes=len(state[last]), **options
        )
    return module


def download(
    name: str, entry, option: str = "--model", weights_option: str = "--weights"
) -> torch.nn.Module:
    """A torchvision network with its own weights. Raises UserError, which names the file and where it belongs."""
    try:
        return torchvision.models.get_model(name, weights=entry)
    except (
        Exception
    ) as error:  # no network, a full disk, or a damaged file in the cache: each is named
        folder, file = Path(torch.hub.get_dir()) / "checkpoints", Path(entry.url).name
        problem = "cannot load" if (folder / file).exists() else "cannot download"
        raise UserError(
            f"{option} {name}: {problem} {file} ({one_line(getattr(error, 'reason', error))}); put that file into "
            f"{folder}, or pass a state_dict with {weights_option} FILE"
        ) from error


def read_weights(path: Path, option: str = "--weights") -> dict[str, torch.Tensor]:
    """The state_dict in a .pth or .safetensors file; code in it is not run. Raises UserError."""
    if not path.is_file():
        raise UserError(f"{option} {path}: no such file")
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # a damaged file fails in many ways, each of them "cannot read"
        raise UserError(
            f"{option} {path}: not a readable state_dict ({type(error).__name__})"
        ) from error
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(v, torch.Tensor) for v in state.values())
    ):
        raise UserError(f"{option} {path}: not a state_dict, that is names and tensors alone")
    return state


def load_strictly(
    module: torch.nn.Module, state: dict, path: Path, option: str = "--weights"
) -> None:
    """Load a state_dict of which nothing may be missing, left over or of another shape. Raises UserError."""
    # Two dialects of old files that PyTorch and torchvision read as well: DenseNet's "norm.1", no batch counts.
    for key in [k for k in state if ".denselayer" in k]:
        state[re.sub(r"(norm|relu|conv)\.([12])", r"\1\2", key)] = state.pop(key)
    wanted = module.state_dict()
    state |= {
        k: v for k, v in wanted.items() if k.endswith("num_batches_tracked") and k not in state
    }
    for key, value in wanted.items():
        if key not in state:
            raise UserError(f"{option} {path}: of another architecture: {key} is missing")
        if state[key].shape != value.shape:
            raise UserError(
                f"{option} {path}: of another architecture: {key} is {tuple(state[key].shape)}, "
                f"the model's is {tuple(value.shape)}"
            )
    extra = next((key for key in state if key not in wanted), None)
    if extra:
        raise UserError(f"{option} {path}: of another architecture: the model has no {extra}")
    module.load_state_dict(state)


def _state_sha256(module: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for key, value in module.state_dict().items():
        digest.update(key.encode())
        digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()  # not inference_mode: a module may keep tensors of its first call
def _count_classes(module: torch.nn.Module, name: str, size: int, device: torch.device) -> int:
    try:
        output = module(torch.zeros(1, 3, size, size, device=device))
    except Exception as error:  # the user's module again
        raise UserError(
            f"--model {name}: fails on a 1 x 3 x {size} x {size} input: {one_line(error)[:200]}"
        ) from error
    if not isinstance(output, torch.Tensor) or output.dim() != 2:
        raise UserError(f"--model {name}: its output is not a (batch, classes) tensor")
    return max(2, output.shape[1])


def read_labels(path: Path | None, classes: int, option: str = "--labels") -> list[str]:
    """Class names, one a line; without a file ImageNet's for 1000 classes, else "class 0", "class 1", ..."""
    if path is None and classes != 1000:
        return [f"class {i}" for i in range(classes)]
    path = path or IMAGENET_LABELS
    try:
        names = path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{option} {path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}"
        ) from None
    if len(names) != classes:
        raise UserError(f"{option} {path}: {len(names)} names, but the model has {classes} classes")
    return [name.strip() for name in names]
