"""Where the regions of an image come from.

    cut = Segmentation("masks", names=Path("names.txt"))    # masks/<name of the image>.png
    cut = Segmentation("slic", segments=40)
    cut = Segmentation("deeplabv3_resnet50", weights=Path("deeplab.pth"))
    regions = cut(Path("photos/kitchen.jpg"), "kitchen.jpg", image)

The source is a label map, a folder of them, superpixels, or a torchvision segmentation network. The
network sees the image as torchvision's recipe says (the shorter side 520 pixels); its labels are
then resized, each pixel to its nearest, like a label map that was read.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from scoring.fitting import Fit
from scoring.image_files import load_image
from scoring.networks import download
from scoring.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from scoring.regions import (
    UNLABELLED,
    Regions,
    load_label_map,
    read_names,
    superpixels,
    upright_size,
)
from scoring.weights import load_strictly, read_weights, without_prefixes
from utils import UserError, file_sha256

SHORT_SIDE = 520  # of the image that a segmentation network sees
LABEL_MAP = "label map"  # the source of regions in a record
SUPERPIXELS = "slic"
WEIGHTS_OPTION = "--segmentation-weights"


class Segmentation:
    """Cuts each image of a run into named regions.

    Args:
        source: a file, a folder, "slic", or a torchvision segmentation network.
        names: file with the names of the labels; see read_names.
        segments: number of superpixels.
        weights: a state_dict for the segmentation network.
        device: of the segmentation network; None: the CPU.
        own_maps: whether images may bring label maps of their own.
        fit: how images come to the network's input size; None: straight.

    Raises:
        UserError: something cannot be used.
    """

    def __init__(
        self,
        source: str,
        *,
        names: Path | None = None,
        segments: int = 40,
        weights: Path | None = None,
        device: torch.device | None = None,
        own_maps: bool = False,
        fit: Fit | None = None,
    ):
        self.fit = fit
        self.source = source
        self.segments = segments
        self.path = Path(source)
        self.network: SegmentationNetwork | None = None
        if source == SUPERPIXELS and names and not own_maps:
            raise UserError(
                f"{names}: superpixels have no names; names are for the labels of label maps"
            )
        self.names = read_names(names) if names else None
        if source != SUPERPIXELS and not self.path.exists():
            self.network = SegmentationNetwork(source, weights, device or torch.device("cpu"))
            self.names = self.names or self.network.names

    def __call__(
        self,
        path: Path,
        name: str,
        image: np.ndarray,
        *,
        mask: Path | None = None,
        channel: int | None = None,
    ) -> Regions:
        """Return the regions of an image.

        Args:
            path: the file that the image was read from.
            name: its path below the folder of images, which a folder of label maps repeats.
            image: (H, W, 3) uint8 RGB.
            mask: a label map to use, whatever the source.
            channel: of the label map; see load_label_map.

        Raises:
            ValueError: the label map cannot be used (one line).
        """
        height, width = image.shape[:2]
        fit = self.fit or Fit((height, width))
        if mask is None and self.source == SUPERPIXELS:
            return superpixels(image, self.segments)
        if mask is None and self.network:
            return Regions.of(fit.labels(self.network(path)), self.names)
        label_map = self.mask_of(name, mask)
        labels = load_label_map(label_map, fit=fit, image=path, channel=channel)
        return Regions.of(labels, self.names)

    def mask_of(self, name: str, mask: Path | None = None) -> Path:
        """Return the label map of an image: the one given, the source, or its namesake in it."""
        if mask:
            return mask
        if self.path.is_file():
            return self.path
        return (self.path / name).with_suffix(".png")

    def identity(self, name: str, mask: Path | None = None) -> dict[str, Any]:
        """Return what must be the same for the regions of this image to be the same.

        Raises:
            OSError: its label map is missing.
        """
        if mask is None and self.source == SUPERPIXELS:
            return {"source": SUPERPIXELS, "segments": self.segments}
        names = hashlib.sha256(repr(self.names).encode()).hexdigest()
        if mask is None and self.network:
            source = self.source
            sha256 = self.network.sha256
        else:
            source = LABEL_MAP
            sha256 = file_sha256(self.mask_of(name, mask))
        return {"source": source, "sha256": sha256, "names_sha256": names}


class SegmentationNetwork:
    """A torchvision segmentation network, from an image file to its label map.

    Raises:
        UserError: no such network, or weights that do not fit.
    """

    def __init__(self, name: str, weights: Path | None, device: torch.device):
        known = torchvision.models.list_models(module=torchvision.models.segmentation)
        if name not in known:
            raise UserError(
                f"--regions {name}: no such file or folder, nor slic, nor one of torchvision's "
                f"segmentation networks ({', '.join(known)})"
            )
        entry = torchvision.models.get_model_weights(name).DEFAULT
        categories = entry.meta["categories"]
        if weights:
            module, classes = _load_local(name, weights)
            self.sha256 = file_sha256(weights)
        else:
            module = download(name, entry, option="--regions", weights_option=WEIGHTS_OPTION)
            classes = len(categories)
            self.sha256 = entry.url
        self.module = module.eval().requires_grad_(False).to(device)
        self.device = device
        if classes != len(categories):
            categories = ["", *(f"label {n}" for n in range(1, classes))]
        self.names = {n: word.strip("_") or UNLABELLED for n, word in enumerate(categories)}

    @torch.inference_mode()
    def __call__(self, path: Path) -> np.ndarray:
        """Return the most probable label of each pixel, (h, w) int32.

        Raises:
            ValueError: the file is not an image.
        """
        width, height = upright_size(path)
        scale = SHORT_SIDE / min(width, height)
        image = load_image(path, (round(height * scale), round(width * scale)))
        x = torch.tensor(image.transpose(2, 0, 1)).float() / 255
        mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
        std = torch.tensor(IMAGENET_STD).view(3, 1, 1)
        x = ((x - mean) / std)[None].to(self.device)
        return self.module(x)["out"][0].argmax(0).cpu().numpy().astype(np.int32)


def _load_local(name: str, weights: Path) -> tuple[torch.nn.Module, int]:
    """Return a segmentation network with local weights, and its number of labels."""
    state = without_prefixes(read_weights(weights, option=WEIGHTS_OPTION)).state
    labels = _labels_in(state)
    options: dict[str, Any] = {}
    if not name.startswith("lraspp"):
        options = {"aux_loss": any(key.startswith("aux_classifier") for key in state)}
    module = torchvision.models.get_model(
        name, weights=None, weights_backbone=None, num_classes=labels or 21, **options
    )
    load_strictly(module, state, weights, option=WEIGHTS_OPTION)
    return module, labels or 21


def _labels_in(state: dict[str, torch.Tensor]) -> int | None:
    """Return the length of the classifier's last tensor; None where there is none."""
    for key, value in reversed(state.items()):
        if key.startswith("classifier"):
            return len(value)
    return None
