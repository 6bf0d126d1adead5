"""What makes an image of a prompt: a text-to-image pipeline of diffusers, or the birds' painter.

    generator = load_image_generator("birds", PipelineOptions(), device=device)
    generator.images(["a copper jay at dusk"], [7])     # [(224, 224, 3) uint8]

No code of a folder or of the Hugging Face Hub is run, and weights are only read from safetensors.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import nn

from birds.prompts import draw_prompt
from companions.concepts.pretrained import INSTALL, Source
from scoring.hf_networks import no_bars
from scoring.loaded import brief, library, quietly
from scoring.weights import weights_only
from utils import UserError, one_line

BIRDS = "birds"  # the painter
INDEX = "model_index.json"
LIBRARIES = ("diffusers", "transformers", "huggingface_hub")  # whose logs are kept quiet
MOST_NAMED = 3  # weights in an error
UNSAFE = "blacked out by the pipeline's safety checker"

Made = np.ndarray | str  # an image (H, W, 3) uint8, or why there is none


@dataclass(frozen=True)
class ImageOptions:
    """How images are made.

    Attributes:
        size: side in pixels; None: the generator's own.
        steps: of denoising; None: the pipeline's own. The painter has none.
        guidance: towards the prompt; None: the pipeline's own. The painter has none.
        precision: of the pipeline's weights.
    """

    size: int | None = None
    steps: int | None = None
    guidance: float | None = None
    precision: str = "float32"


class ImageGenerator(Protocol):
    """What makes images of prompts."""

    identity: str

    def images(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Made]:
        """Return an image of each prompt, or the reason why there is none."""


@dataclass(frozen=True)
class Painter:
    """The painter of the bundled world."""

    size: int | None = None
    identity: str = BIRDS

    def images(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Made]:
        """Return a scene of each prompt; see birds/prompts.py."""
        return [self._image(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    def _image(self, prompt: str, seed: int) -> Made:
        try:
            image = draw_prompt(prompt, seed).image
        except ValueError as error:
            return one_line(error)
        if self.size is None:
            return image
        return cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class DiffusersPipeline:
    """A text-to-image pipeline of diffusers.

    Attributes:
        pipeline: of diffusers.
        identity: which one it is.
        options: how images are made.
        option: the option that names it, with its value, for errors.
    """

    pipeline: Any
    identity: str
    options: ImageOptions
    option: str

    def images(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Made]:
        """Return an image of each prompt; each has a random stream of its own.

        Raises:
            UserError: the pipeline fails.
        """
        streams = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        given = {
            "num_inference_steps": self.options.steps,
            "guidance_scale": self.options.guidance,
            "height": self.options.size,
            "width": self.options.size,
        }
        chosen = {name: value for name, value in given.items() if value is not None}
        try:
            with torch.inference_mode(), quietly(*LIBRARIES):
                made = self.pipeline(list(prompts), generator=streams, output_type="np", **chosen)
        except Exception as error:  # a size it cannot make, memory, an option it does not have
            raise UserError(f"{self.option}: cannot make an image ({brief(error)})") from error
        flagged = getattr(made, "nsfw_content_detected", None) or [False] * len(prompts)
        pairs = zip(made.images, flagged, strict=True)
        return [_as_bytes(image) if not unsafe else UNSAFE for image, unsafe in pairs]


def _as_bytes(image: np.ndarray) -> Made:
    """Return an image (H, W, 3) of 0..1 as uint8; or why it is none."""
    if not np.isfinite(image).all():
        return "the pipeline returns NaN"
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def load_image_generator(
    name: str, options: ImageOptions, *, device: torch.device
) -> ImageGenerator:
    """Return an image generator.

    Args:
        name: "birds" for the painter; a folder of diffusers, or a name on the Hub.
        options: how images are made.
        device: what a pipeline runs on.

    Raises:
        UserError: diffusers is not installed, there is no such pipeline, or weights are missing.
    """
    if name == BIRDS:
        return Painter(options.size)
    source = Source(name, option=f"--generator {name}")
    diffusers = library("diffusers", option=source.option, install=INSTALL)
    if source.is_folder:
        refuse_own_code(Path(name), source.option)
    diffusers.utils.logging.disable_progress_bar()  # of reading; the images have one
    with quietly(*LIBRARIES), no_bars(), weights_only():
        try:
            pipeline = diffusers.AutoPipelineForText2Image.from_pretrained(
                name, **whole_networks(source), **source.arguments
            )
        except UserError:
            raise
        except Exception as error:  # no such name, no network, no safetensors, another pipeline
            raise UserError(
                f"{source.option}: {source.where}cannot load a text-to-image pipeline "
                f"({brief(error)})"
            ) from error
    pipeline.set_progress_bar_config(disable=True)
    with quietly(*LIBRARIES):
        pipeline.to(device, getattr(torch, options.precision))
    return DiffusersPipeline(
        pipeline,
        source.identity(),
        options=options,
        option=source.option,
    )


def whole_networks(source: Source) -> dict[str, nn.Module]:
    """Return the networks of a pipeline of diffusers by their names in it.

    What a file lacks, diffusers and transformers fill at random. Only a network that is loaded by
    itself says which weights that were: a pipeline passes over its own output_loading_info.

    Args:
        source: of the pipeline.

    Raises:
        UserError: weights are missing.
    """
    diffusers = library("diffusers", option=source.option, install=INSTALL)
    index = diffusers.DiffusionPipeline.load_config(source.name, local_files_only=source.is_folder)
    networks = {}
    for name, entry in index.items():
        kind = network_class(entry, source)
        if kind is None:
            continue
        network, found = kind.from_pretrained(
            source.name, subfolder=name, output_loading_info=True, **source.arguments
        )
        missing = sorted(found["missing_keys"])
        if missing:
            raise UserError(
                f"{source.option}: {name} lacks {len(missing)} of its weights: "
                f"{', '.join(missing[:MOST_NAMED])}{', ..' if missing[MOST_NAMED:] else ''}"
            )
        networks[name] = network
    return networks


def network_class(entry: Any, source: Source) -> Any:
    """Return the class of a pipeline's part; None where it is no network.

    Args:
        entry: of the pipeline's index: [library, class], or another value.
        source: of the pipeline.
    """
    if not isinstance(entry, list | tuple) or len(entry) != 2 or None in entry:
        return None
    diffusers = library("diffusers", option=source.option, install=INSTALL)
    transformers = library("transformers", option=source.option, install=INSTALL)
    places = {"diffusers": diffusers, "transformers": transformers}
    # Other names are of a folder of diffusers: safety checkers, for example.
    place = places.get(entry[0]) or getattr(diffusers.pipelines, entry[0], None)
    kind = getattr(place, entry[1], None)
    return kind if isinstance(kind, type) and issubclass(kind, nn.Module) else None


def refuse_own_code(folder: Path, option: str) -> None:
    """Refuse a pipeline with code of its own; older editions of diffusers run that of a folder.

    Args:
        folder: of the pipeline.
        option: the option that names it, with its value.

    Raises:
        UserError: the index names code in the folder, or is no index.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        entries = dict(index).items()
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{option}: no {INDEX} in it that can be read ({brief(error)})") from None
    for name, entry in entries:
        module = entry[0] if isinstance(entry, list) and entry else None
        places = (folder / f"{module}.py", folder / name / f"{module}.py")
        if module and any(place.exists() for place in places):
            raise UserError(f"{option}: {name} is code of its own ({module}.py), which is not run")
