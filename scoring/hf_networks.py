"""Image classifiers of transformers: hf/FOLDER or hf/NAME.

    loaded = load_hf("google/vit-base-patch16-224", None)   # downloaded by the library
    loaded = load_hf("my_folder", None)                     # config.json and model.safetensors
    loaded = load_hf("my_folder", Path("epoch_3.pth"))      # config.json is enough

No code of a folder or of the Hugging Face Hub is run (trust_remote_code stays off), and weights are
read as tensors only.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from scoring.fitting import Filter
from scoring.loaded import Loaded, brief, library, quietly
from scoring.preprocessing import Preprocessing, probe
from scoring.weights import read_weights, weights_only, without_prefixes
from utils import UserError

PREFIX = "hf/"
CONFIG = "config.json"
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
MADE_UP_NAME = re.compile(r"LABEL_\d+")  # of a class that the library numbered
DIGITS = 6  # of mean and standard deviation, which are measured
PROBED = (640, 640)  # a square: what keeps the aspect ratio then makes a square of it
SQUASHED_FROM = 384  # pixels; a processor with crop_pct cuts nothing off from this size on


@dataclass(frozen=True)
class _Source:
    """Where a network is from.

    Attributes:
        name: a folder, or a name on the Hub.
        option: --model and its value, for errors.
        offline: whether nothing may be downloaded.
    """

    name: str
    option: str
    offline: bool

    @property
    def arguments(self) -> dict[str, Any]:
        """What every from_pretrained of the library is passed."""
        return {"trust_remote_code": False, "local_files_only": self.offline}


def load_hf(name: str, weights: Path | None) -> Loaded:
    """Return an image classifier of transformers.

    Args:
        name: a folder with a config.json, or a name on the Hugging Face Hub.
        weights: a file; None: those of the folder, or those that the library downloads.

    Raises:
        UserError: transformers is not installed, or there is no image classifier of this name,
            or its weights cannot be loaded.
    """
    option = f"--model {PREFIX}{name}"
    library("transformers", option=option)
    is_folder = Path(name).is_dir()
    source = _Source(name, option, offline=weights is not None or is_folder)
    with quietly("transformers", "huggingface_hub"), no_bars(), weights_only():
        config = _config(source)
        if weights is None:
            module = _pretrained(source, config)
            unwrapped = ""
        else:
            module, unwrapped = _with_weights(source, config, weights)
        preprocessing = _preset(source, config)
    return Loaded(
        module.float(),
        preprocessing,
        unwrapped=unwrapped,
        labels=class_names(getattr(config, "id2label", None) or {}),
    )


def class_names(names: Mapping[int, str]) -> list[str] | None:
    """Return the names of classes 0, 1, ..; None where the library made them up.

    Args:
        names: by the index of the class, as a configuration has them.
    """
    is_whole = set(names) == set(range(len(names)))
    if not is_whole or all(MADE_UP_NAME.fullmatch(name) for name in names.values()):
        return None
    return [" ".join(str(names[index]).split()) for index in range(len(names))]


@contextmanager
def no_bars() -> Iterator[None]:
    """Have transformers show no progress while it reads; that of downloads stays."""
    from transformers.utils import logging

    had_bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if had_bars:
            logging.enable_progress_bar()


def _config(source: _Source) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(source.name, **source.arguments)
    except Exception as error:  # no such folder, no network, not JSON, an unknown kind of network
        where = "" if Path(source.name).is_dir() else "no such folder, and "
        raise UserError(
            f"{source.option}: {where}cannot load its {CONFIG} ({brief(error)})"
        ) from error


def _pretrained(source: _Source, config: Any) -> torch.nn.Module:
    """Return a network with its own weights."""
    from transformers import AutoModelForImageClassification

    try:
        module, report = AutoModelForImageClassification.from_pretrained(
            source.name, config=config, output_loading_info=True, **source.arguments
        )
    except Exception as error:  # no network, no such weights, a damaged file, no classifier
        raise UserError(
            f"{source.option}: cannot load its weights ({brief(error)}); "
            "with --weights FILE nothing is downloaded"
        ) from error
    # The library would fill what is missing with random numbers.
    missing = sorted(report["missing_keys"])
    if missing:
        raise UserError(
            f"{source.option}: its weights are not those of an image classifier: "
            f"{missing[0]} is missing"
        )
    return module


def _with_weights(source: _Source, config: Any, path: Path) -> tuple[torch.nn.Module, str]:
    """Return a network with the weights of a file, and what they were taken out of.

    The library itself loads them: it knows the names that older editions of it gave to weights.
    """
    from transformers import AutoModelForImageClassification

    read = read_weights(path)
    try:
        untrained = AutoModelForImageClassification.from_config(config, trust_remote_code=False)
    except Exception as error:  # not an image classifier, or code of its own
        raise UserError(f"{source.option}: {brief(error)}") from error
    read = without_prefixes(read, untrained.state_dict())
    problem = f"--weights {path}: of another architecture"
    try:
        module, report = type(untrained).from_pretrained(
            None,
            config=config,
            state_dict=dict(read.state),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except Exception as error:
        raise UserError(f"{problem}: {brief(error)}") from error
    _check_report(report, problem)
    return module, read.unwrapped


def _check_report(report: Mapping[str, Any], problem: str) -> None:
    """Refuse weights of which some are missing, left over, or of another shape."""
    for key, found, wanted in sorted(report["mismatched_keys"]):
        raise UserError(f"{problem}: {key} is {tuple(found)}, the model's is {tuple(wanted)}")
    for key in sorted(report["missing_keys"]):
        raise UserError(f"{problem}: {key} is missing")
    for key in sorted(report["unexpected_keys"]):
        raise UserError(f"{problem}: the model has no {key}")


# ---------------------------------------------------------------- preprocessing


def _preset(source: _Source, config: Any) -> Preprocessing:
    """Return the preprocessing of a network's image processor."""
    from transformers import AutoImageProcessor

    folder = Path(source.name)
    has_file = any((folder / name).is_file() for name in PROCESSOR_FILES)
    try:
        processor = AutoImageProcessor.from_pretrained(source.name, **source.arguments)
        return preprocessing_of_processor(processor, config)
    except Exception as error:  # there is none, or it takes other images
        if has_file or not source.offline:
            raise UserError(
                f"{source.option}: cannot use its image processor ({brief(error)})"
            ) from error
    return _usual_preset(source, config)


def _usual_preset(source: _Source, config: Any) -> Preprocessing:
    """Return the preprocessing that networks of this kind have, at the configuration's size."""
    from transformers import AutoImageProcessor

    try:
        with tempfile.TemporaryDirectory() as folder:
            config.save_pretrained(folder)
            (Path(folder) / PROCESSOR_FILES[0]).write_text("{}")
            processor = AutoImageProcessor.from_pretrained(folder, **source.arguments)
        preprocessing = preprocessing_of_processor(processor, config)
    except Exception as error:
        raise UserError(
            f"{source.option}: no {PROCESSOR_FILES[0]}, and no usual one ({brief(error)})"
        ) from error
    size = getattr(config, "image_size", None)
    if size is None:
        return preprocessing
    height, width = (size, size) if isinstance(size, int) else size
    return replace(preprocessing, size=(height, width), short_side=None)


def preprocessing_of_processor(processor: Any, config: Any) -> Preprocessing:
    """Return the preprocessing that an image processor of transformers does.

    Input size, mean and standard deviation are measured: what a processor makes of a black and a
    white square. Whether it cuts off a border, and its filter, are what its attributes say.

    Args:
        processor: of transformers.
        config: of the network.
    """
    mode = "L" if getattr(config, "num_channels", 3) == 1 else "RGB"

    def transform(image: Image.Image) -> torch.Tensor:
        prepared = processor(image.convert(mode), return_tensors="pt")["pixel_values"][0]
        return torch.as_tensor(prepared)

    size, mean, std = probe(transform, PROBED)
    kind = filter_of(getattr(processor, "resample", None))
    return Preprocessing(
        size=size,
        mean=tuple(round(value, DIGITS) for value in mean),
        std=tuple(round(value, DIGITS) for value in std),
        short_side=_short_side(processor, size),
        filter=kind,
        squash_filter=kind,
    )


def _short_side(processor: Any, size: tuple[int, int]) -> int:
    """Return the pixels of the short side before the middle is cut out.

    A processor that cuts nothing off leaves as much as the input needs.
    """
    wanted = getattr(processor, "size", None)
    sides = dict(wanted) if wanted else {}
    shortest = sides.get("shortest_edge")
    share = getattr(processor, "crop_pct", None)
    if shortest and share and shortest < SQUASHED_FROM:
        return int(shortest / share)
    given = [sides.get(name) for name in ("shortest_edge", "height", "width")]
    return max(min(size), min((side for side in given if side), default=0))


def filter_of(resample: Any) -> Filter:
    """Return the name of a filter that a processor has by Pillow's number; None: bilinear."""
    if resample is None:
        return "bilinear"
    name: Any = Image.Resampling(int(resample)).name.lower()
    return name
