"""Where the regions of a picture come from: a label map, a folder of them, superpixels, or a segmentation network.

    cut = Segmentation("masks", names=Path("names.txt"))            # masks/<name of the image>.png
    cut = Segmentation("slic", segments=40)
    cut = Segmentation("deeplabv3_resnet50", weights=Path("deeplab.pth"))
    regions = cut(Path("photos/kitchen.jpg"), "kitchen.jpg", image)

The network sees the picture as torchvision's recipe says (the shorter side 520 pixels); its labels are then resized, each pixel
to its nearest, like a label map that was read.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
import torchvision

from scoring.regions import (
    UNLABELLED,
    Regions,
    load_label_map,
    read_names,
    resize_labels,
    superpixels,
    upright_size,
)
from scoring.networks import IMAGENET_MEAN, IMAGENET_STD, download, load_strictly, read_weights
from utils import UserError, file_sha256, load_image

SHORT_SIDE = 520  # of the picture that a segmentation network sees


class Segmentation:
    """Cuts each picture of a run into named regions.

    source: a file, a folder, "slic", or a torchvision segmentation network. names: the labels' names (regions.read_names). option: what
    the source is called where an error names it. own_maps: pictures may bring their own label maps. Raises UserError.
    """

    def __init__(
        self,
        source: str,
        names: Path | None = None,
        segments: int = 40,
        weights: Path | None = None,
        device: torch.device = torch.device("cpu"),
        option: str = "--segmentation",
        own_maps: bool = False,
    ):
        self.source, self.segments, self.path, self.network = source, segments, Path(source), None
        if source == "slic" and names and not own_maps:
            raise UserError(
                f"{names}: superpixels have no names; names are for the labels of label maps"
            )
        self.names = read_names(names) if names else None
        if source != "slic" and not self.path.exists():
            self.network = SegmentationNetwork(source, weights, device, option)
            self.names = self.names or self.network.names

    def __call__(
        self,
        path: Path,
        name: str,
        image: np.ndarray,
        mask: Path | None = None,
        channel: int | None = None,
    ) -> Regions:
        """The regions of an image (H, W, 3) uint8 that was read from path.

        name: the path below the folder of images, which a folder of label maps repeats. mask: this label map, whatever the source;
        channel: as of load_label_map. Raises ValueError, one line.
        """
        size = image.shape[:2]
        if mask is None and self.source == "slic":
            return superpixels(image, self.segments)
        if mask is None and self.network:
            return Regions.of(resize_labels(self.network(path), size), self.names)
        return Regions.of(load_label_map(self.mask_of(name, mask), size, path, channel), self.names)

    def mask_of(self, name: str, mask: Path | None = None) -> Path:
        """The label map of the image of this name: the one given, the source itself, or its namesake in the source's folder."""
        return mask or (
            self.path if self.path.is_file() else (self.path / name).with_suffix(".png")
        )

    def identity(self, name: str, mask: Path | None = None) -> dict:
        """What must be the same for the regions of this image to be the same. Raises OSError where its label map is missing."""
        if mask is None and self.source == "slic":
            return {"source": "slic", "segments": self.segments}
        names = hashlib.sha256(repr(self.names).encode()).hexdigest()
        if mask is None and self.network:
            return {"source": self.source, "sha256": self.network.sha256, "names_sha256": names}
        return {
            "source": "label map",
            "sha256": file_sha256(self.mask_of(name, mask)),
            "names_sha256": names,
        }


class SegmentationNetwork:
    """A torchvision segmentation network: an image file to its label map. Raises UserError."""

    def __init__(
        self, name: str, weights: Path | None, device: torch.device, option: str = "--segmentation"
    ):
        known = torchvision.models.list_models(module=torchvision.models.segmentation)
        if name not in known:
            raise UserError(
                f"{option} {name}: no such file or folder, nor slic, nor one of torchvision's segmentation networks ({', '.join(known)})"
            )
        entry = torchvision.models.get_model_weights(name).DEFAULT
        if weights:
            state = read_weights(weights, "--segmentation-weights")
            module = _untrained(name, state)
            load_strictly(module, state, weights, "--segmentation-weights")
            classes = next(len(v) for k, v in reversed(state.items()) if k.startswith("classifier"))
        else:
            module, classes = (
                download(name, entry, option, "--segmentation-weights"),
                len(entry.meta["categories"]),
            )
        self.sha256 = file_sha256(weights) if weights else entry.url
        self.module, self.device = module.eval().requires_grad_(False).to(device), device
        words = (
            entry.meta["categories"]
            if classes == len(entry.meta["categories"])
            else [""] + [f"label {n}" for n in range(1, classes)]
        )
        self.names = {n: word.strip("_") or UNLABELLED for n, word in enumerate(words)}

    @torch.inference_mode()
    def __call__(self, path: Path) -> np.ndarray:
        """-> (h, w) int32, the most probable label of each pixel. Raises ValueError where the file is no image."""
        wide, high = upright_size(path)
        scale = SHORT_SIDE / min(wide, high)
        image = load_image(path, (round(high * scale), round(wide * scale)))
        x = torch.tensor(image.transpose(2, 0, 1)).float() / 255
        x = (x - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(
            3, 1, 1
        )
        return (
            self.module(x[None].to(self.device))["out"][0].argmax(0).cpu().numpy().astype(np.int32)
        )


def _untrained(name: str, state: dict) -> torch.nn.Module:
    """The network with as many labels as the state_dict has, and the auxiliary head if that has one."""
    labels = next((len(v) for k, v in reversed(state.items()) if k.startswith("classifier")), 21)
    auxiliary = (
        {"aux_loss": any(k.startswith("aux_classifier") for k in state)}
        if not name.startswith("lraspp")
        else {}
    )
    return torchvision.models.get_model(
        name, weights=None, weights_backbone=None, num_classes=labels, **auxiliary
    )
