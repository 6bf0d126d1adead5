"""Models, labels, images, devices and files: what every script needs and no method is about.

Whatever a user gave that cannot be used raises UserError, whose text is one line that names it.
"""

import argparse
import difflib
import hashlib
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image, ImageOps
from safetensors.torch import load_file
from tqdm import tqdm

PROJECT = Path(__file__).resolve().parent
BUNDLED = "birds"                       # the bundled model's name; the architecture and files behind it:
BUNDLED_ARCHITECTURE = "shufflenet_v2_x1_0"
BUNDLED_WEIGHTS, BUNDLED_LABELS = PROJECT / "Models/birds.safetensors", PROJECT / "Models/birds_labels.txt"
IMAGENET_LABELS = PROJECT / "GroundTruth1000.txt"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
RECORDS = {"sag.json", "deviation.json", "insecurities.json"}       # a folder that holds one is a result, no matter whose


class UserError(Exception):
    """Something the user gave that cannot be used; str() is one line that names it."""


# ---------------------------------------------------------------- command lines

class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage, and exits with 2."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: error: {message}\n")


def whole(low: int, high: float = float("inf")):
    """An argparse type: a whole number from low to high."""
    def convert(text: str) -> int:
        if not (text.lstrip("-").isdecimal() and low <= int(text) <= high):
            span = f"from {low} to {high}" if high < float("inf") else f"of {low} or more"
            raise argparse.ArgumentTypeError(f"{text} is not a whole number {span}")
        return int(text)
    return convert


def exit_status(program: str, run: Callable[[], int]) -> int:
    """What run() returns; 2, with one line on stderr, for what cannot be used; 130 when interrupted."""
    try:
        return run()
    except (UserError, OSError, argparse.ArgumentError) as error:
        print(f"{program}: error: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130


def log(line: str) -> None:
    """A line on stderr that does not tear the progress bars."""
    tqdm.write(line, file=sys.stderr)


# ---------------------------------------------------------------- images

def find_images(path: Path, leave_out: Path | None = None) -> tuple[Path, list[Path]]:
    """The folder that result names are relative to, and the images at or below path, sorted.

    leave_out: a folder not to look into (the results, where they lie among the images); nor is any looked
    into that holds a record. Raises UserError where there is no such path, or no image in it.
    """
    if path.is_file():
        return path.parent, [path]
    if not path.is_dir():
        raise UserError(f"--images {path}: no such file or folder")
    skip = leave_out.resolve() if leave_out else None
    found = []
    for folder, subfolders, files in os.walk(path):
        if RECORDS.intersection(files):
            subfolders.clear()
            continue
        subfolders[:] = [s for s in subfolders if not s.startswith(".") and (Path(folder) / s).resolve() != skip]
        found += [Path(folder) / f for f in files if f.lower().endswith(IMAGE_ENDINGS) and not f.startswith(".")]
    if not found:
        raise UserError(f"--images {path}: no image in it ({' '.join(IMAGE_ENDINGS)})")
    return path, sorted(found)


def load_image(path: Path, size: tuple[int, int]) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB, resized straight to size (H, W) as the reference does.

    Turned upright by its EXIF tag; 16-bit is scaled to 8; transparent pixels become white.
    Raises ValueError, one line, where the file is missing, no image, or cut off.
    """
    try:
        with Image.open(path) as file:
            file.load()
            picture = ImageOps.exif_transpose(file)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:   # Pillow's ways to say no
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else one_line(error)
        raise ValueError(f"cannot read it: {reason}") from None
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture, dtype=np.float64)
        top = 65535 if picture.mode.startswith("I;16") or values.max(initial=0) > 255 else 255
        picture = Image.fromarray((values.clip(0, top) * (255 / top)).round().astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.asarray(picture.convert("RGB").resize(size[::-1], Image.Resampling.BILINEAR))


def one_line(error: BaseException) -> str:
    """What an exception says, in one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---------------------------------------------------------------- device

def choose_device(name: str) -> torch.device:
    """"auto" takes CUDA, then Apple's MPS, then the CPU. Raises UserError where the named one is not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, usable in there.items() if usable)
    if not there[name]:
        raise UserError(f"--device {name}: PyTorch finds no such device here")
    # TensorFloat-32 keeps 10 bits of mantissa: results would depend on the batch they fall into.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    return torch.device(name)


# ---------------------------------------------------------------- models

@dataclass
class Network:
    """A classifier ready to be asked: in eval mode, frozen, on its device."""
    module: torch.nn.Module
    name: str
    weights_sha256: str
    labels: list[str]
    size: tuple[int, int]                   # H, W of its input
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: torch.device

    @property
    def classes(self) -> int:
        return len(self.labels)

    def description(self) -> dict:
        """What makes this network give other results than another, for the record."""
        code, _, _ = self.name.rpartition(":")
        return {"name": self.name, "weights_sha256": self.weights_sha256, "classes": self.classes,
                "code_sha256": file_sha256(Path(code)) if code else None, "mean": list(self.mean), "std": list(self.std),
                "labels_sha256": hashlib.sha256("\n".join(self.labels).encode()).hexdigest()}

    def prepare(self, image: np.ndarray) -> torch.Tensor:
        """(H, W, 3) uint8 RGB -> (3, H, W) float32, normalised, on the device."""
        x = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float() / 255
        return ((x - torch.tensor(self.mean).view(3, 1, 1)) / torch.tensor(self.std).view(3, 1, 1)).to(self.device)


def class_probabilities(output: torch.Tensor) -> torch.Tensor:
    """Logits (B, C) -> probabilities (B, C), float32; a single logit (B, 1) is a sigmoid of two classes."""
    if output.shape[1] == 1:
        return torch.cat([-output, output], dim=1).float().sigmoid()        # 1 - sigmoid would round small ones to 0
    return output.float().softmax(dim=1)


def load_network(name: str, weights: Path | None, labels: Path | None, device: torch.device, labels_option: str = "--labels") -> Network:
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
        size, mean, std = (getattr(module, a, d) for a, d in (("input_size", size), ("mean", mean), ("std", std)))
    else:
        pretrained = _torchvision_weights(architecture)
        preset = pretrained.transforms()
        size, mean, std = preset.crop_size[0], tuple(preset.mean), tuple(preset.std)
        module = _torchvision_module(architecture, size, state) if state else download(architecture, pretrained)
    if state:
        load_strictly(module, state, weights)
    module = module.eval().requires_grad_(False).to(device)
    if pretrained:              # a quarter faster; a user's module may view() its maps, which this layout forbids
        module = module.to(memory_format=torch.channels_last)
    source = weights or (Path(torch.hub.get_dir()) / "checkpoints" / Path(pretrained.url).name if pretrained else None)
    sha256 = file_sha256(source) if source else _state_sha256(module)
    classes = _count_classes(module, name, size, device)
    return Network(module, name, sha256, read_labels(labels, classes, labels_option), (size, size), mean, std, device)


def _user_module(reference: str) -> torch.nn.Module:
    path, _, function = reference.rpartition(":")
    if not Path(path).is_file():
        raise UserError(f"--model {reference}: no such file: {path}")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    sys.path.append(str(Path(path).resolve().parent))       # for what it imports from beside it
    try:
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        module = getattr(loaded, function)()
    except Exception as error:              # the user's code may fail in any way; it is named, not traced
        raise UserError(f"--model {reference}: {type(error).__name__}: {one_line(error)}") from error
    if not isinstance(module, torch.nn.Module):
        raise UserError(f"--model {reference}: {function}() returned a {type(module).__name__}, not a torch.nn.Module")
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
    if name in ("inception_v3", "googlenet"):               # as torchvision builds them for its own weights
        options = {"init_weights": False, "transform_input": True}
    module = torchvision.models.get_model(name, weights=None, **options)
    last, value = list(module.state_dict().items())[-1]
    if last in state and state[last].dim() == value.dim() and len(state[last]) != len(value):
        module = torchvision.models.get_model(name, weights=None, num_classes=len(state[last]), **options)
    return module


def download(name: str, entry, option: str = "--model", weights_option: str = "--weights") -> torch.nn.Module:
    """A torchvision network with its own weights. Raises UserError, which names the file and where it belongs."""
    try:
        return torchvision.models.get_model(name, weights=entry)
    except Exception as error:              # no network, a full disk, or a damaged file in the cache: each is named
        folder, file = Path(torch.hub.get_dir()) / "checkpoints", Path(entry.url).name
        problem = "cannot load" if (folder / file).exists() else "cannot download"
        raise UserError(f"{option} {name}: {problem} {file} ({one_line(getattr(error, 'reason', error))}); put that file into "
                        f"{folder}, or pass a state_dict with {weights_option} FILE") from error


def read_weights(path: Path, option: str = "--weights") -> dict[str, torch.Tensor]:
    """The state_dict in a .pth or .safetensors file; code in it is not run. Raises UserError."""
    if not path.is_file():
        raise UserError(f"{option} {path}: no such file")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:              # a damaged file fails in many ways, each of them "cannot read"
        raise UserError(f"{option} {path}: not a readable state_dict ({type(error).__name__})") from error
    if not isinstance(state, dict) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise UserError(f"{option} {path}: not a state_dict, that is names and tensors alone")
    return state


def load_strictly(module: torch.nn.Module, state: dict, path: Path, option: str = "--weights") -> None:
    """Load a state_dict of which nothing may be missing, left over or of another shape. Raises UserError."""
    # Two dialects of old files that PyTorch and torchvision read as well: DenseNet's "norm.1", no batch counts.
    for key in [k for k in state if ".denselayer" in k]:
        state[re.sub(r"(norm|relu|conv)\.([12])", r"\1\2", key)] = state.pop(key)
    wanted = module.state_dict()
    state |= {k: v for k, v in wanted.items() if k.endswith("num_batches_tracked") and k not in state}
    for key, value in wanted.items():
        if key not in state:
            raise UserError(f"{option} {path}: of another architecture: {key} is missing")
        if state[key].shape != value.shape:
            raise UserError(f"{option} {path}: of another architecture: {key} is {tuple(state[key].shape)}, "
                            f"the model's is {tuple(value.shape)}")
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


@torch.no_grad()                            # not inference_mode: a module may keep tensors of its first call
def _count_classes(module: torch.nn.Module, name: str, size: int, device: torch.device) -> int:
    try:
        output = module(torch.zeros(1, 3, size, size, device=device))
    except Exception as error:              # the user's module again
        raise UserError(f"--model {name}: fails on a 1 x 3 x {size} x {size} input: {one_line(error)[:200]}") from error
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
        raise UserError(f"{option} {path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    if len(names) != classes:
        raise UserError(f"{option} {path}: {len(names)} names, but the model has {classes} classes")
    return [name.strip() for name in names]


# ---------------------------------------------------------------- files

def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file that is, at every moment, the old one whole or the new one whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_record(path: Path) -> dict | None:
    """A sag.json, or None where it is absent, damaged or of another format."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        parts = [record["settings"], record["model"], record["search"], record["sag"], record["evaluations"], record["seconds"]]
        whole = record["format"] == 1 and all(isinstance(p, dict) for p in parts) and isinstance(record["diverse_set"], list)
        return record if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load_record(folder: Path) -> dict:
    """A result folder's record. Raises UserError where there is none, or a damaged one."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    record = read_record(folder / "sag.json")
    if record is None:
        raise UserError(f"{folder}: no sag.json in it, or a damaged one")
    return record


def load_result(folder: Path, images: Path | None = None) -> tuple[dict, np.ndarray]:
    """A result folder's record, and its image as the network got it, (H, W, 3) uint8.

    images: where the run's images are; else the folder's perturbation_original.png is taken, else what the record
    says. Raises UserError where there is no record, or no image of its checksum.
    """
    record, kept = load_record(folder), folder / "perturbation_original.png"
    base = images or Path(record["settings"].get("images") or ".")
    places = [base, base / record["image"]]
    found = [kept] * (images is None and kept.is_file()) or [p for p in places if p.is_file() and file_sha256(p) == record["image_sha256"]]
    if not found:
        raise UserError(f"{images or folder}: the image {record['image']} of the record is not there; say where it is with --images")
    try:
        return record, load_image(found[0], tuple(record["size"]))
    except ValueError as error:
        raise UserError(f"{found[0]}: {error}") from None


def packed_scores(table: Mapping[tuple[int, ...], float]) -> dict:
    """A table from patch sets to probabilities, as the record has it.

    "sets": hexadecimal numbers with a space between them, bit p of each = patch p is visible; "probabilities": one for
    each, float32's seven digits. Smaller sets first.
    """
    rows = sorted(table.items(), key=lambda row: (len(row[0]), row[0]))
    return {"sets": " ".join(f"{sum(1 << p for p in patches):x}" for patches, _ in rows),
            "probabilities": [float(f"{probability:.7g}") for _, probability in rows]}


def scores_of(record: dict) -> dict[tuple[int, ...], float]:
    """Every set whose exact confidence a record knows: what it lists as scored, its nodes and roots, all patches and none.

    An older record has no such list, and still the rest.
    """
    everything = tuple(range(record["grid"][0] * record["grid"][1]))
    packed = record.get("scores") or {"sets": "", "probabilities": []}
    bits = [int(text, 16) for text in packed["sets"].split()]
    table = {tuple(p for p in everything if number >> p & 1): value for number, value in zip(bits, packed["probabilities"])}
    table |= {tuple(s["patches"]): s["probability"] for s in (*record["roots"], *record["sag"]["nodes"])}
    return table | {everything: record["probability"], (): record["baseline"]["probability"]}


def versions() -> dict[str, str | None]:
    """Of Python, PyTorch, torchvision, CUDA and this project (its git commit), None where there is none."""
    try:
        git = subprocess.run(["git", "-C", str(PROJECT), "rev-parse", "HEAD"], capture_output=True, text=True)
        commit = git.stdout.strip() or None
    except OSError:                         # no git on this machine
        commit = None
    return {"python": platform.python_version(), "torch": str(torch.__version__), "torchvision": str(torchvision.__version__),
            "cuda": torch.version.cuda, "commit": commit}
