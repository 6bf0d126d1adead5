"""Saliency maps as images: I-GOS and Grad-CAM, coloured from blue (low) to red (high)."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from drawing.masked_images import MaskedImages
from drawing.png import save_png
from drawing.record import Sag
from scoring.explanation_map import explanation_map
from scoring.patch_sets import PatchSet


def igos_map(saliency: Sequence[float], masked: MaskedImages) -> np.ndarray:
    """Return the I-GOS saliency map at the image's size, (H, W) in [0, 1].

    Args:
        saliency: The I-GOS mask, a value per patch; 1 keeps the patch, low values are salient.
        masked: Images of the record's patch sets.
    """
    hidden = 1 - np.array(saliency, np.float32)
    return masked.spread(hidden) / max(hidden.max(), 1e-6)


def gradcam_map(gradcam: Sequence[Sequence[float]], size: tuple[int, int]) -> np.ndarray:
    """Return the Grad-CAM saliency map at the image's size, (H, W) in [0, 1].

    Args:
        gradcam: The map at the size of the convolution's output, as a record has it.
        size: Height and width of the image.
    """
    height, width = size
    coarse = np.array(gradcam, np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def all_explanations_map(sets: Iterable[PatchSet], masked: MaskedImages) -> np.ndarray:
    """Return the map of all explanations at the image's size, (H, W) in [0, 1].

    Args:
        sets: All MSEs, or all breaking sets; see scoring/explanation_map.py.
        masked: Images of the record's patch sets.
    """
    weights = explanation_map(sets, masked.num_patches).astype(np.float32)
    return masked.spread(weights) / max(weights.max(), 1e-6)


def coloured(saliency_map: np.ndarray) -> np.ndarray:
    """Return a map (H, W) in [0, 1] in colours from blue (low) to red (high), (H, W, 3) uint8."""
    levels = np.round(255 * saliency_map.clip(0, 1)).astype(np.uint8)
    bgr = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)
    return np.ascontiguousarray(bgr[..., ::-1])


def overlaid(image: np.ndarray, saliency_map: np.ndarray) -> np.ndarray:
    """Return a coloured map (H, W) in [0, 1] over its image (H, W, 3), half and half."""
    return cv2.addWeighted(image, 0.5, coloured(saliency_map), 0.5, 0)


def draw_saliency_maps(sag: Sag, masked: MaskedImages, folder: Path) -> None:
    """Write perturbation_{original,heatmap,imposed_heatmap,blurred}.png.

    The heatmap is the I-GOS saliency map; the last file is the baseline image.
    """
    saliency_map = igos_map(sag.saliency, masked)
    images = {
        "original": masked.image,
        "heatmap": coloured(saliency_map),
        "imposed_heatmap": overlaid(masked.image, saliency_map),
        "blurred": masked.baseline,
    }
    for name, pixels in images.items():
        save_png(pixels, folder / f"perturbation_{name}.png")
