"""What hides a patch: baseline images. No PyTorch, so that figures can be drawn without it."""

import cv2
import numpy as np

BASELINES = ("black", "blur", "mean", "median", "mixed", "drop")
IMAGENET_MEAN_COLOUR = (124, 116, 104)


def make_baseline(image: np.ndarray, name: str) -> np.ndarray:
    """Return the image that is seen where patches are hidden.

    Args:
        image: (H, W, 3) uint8 RGB.
        name: black: 0 before normalisation. drop: black as well (a transformer's hidden tokens are
            left out; this is what its saliency and its figures show). mean: ImageNet's mean colour.
            blur: Gaussian of 51 pixels, sigma 50. median: of 11 x 11 pixels (hides little). mixed:
            the mean of blur and median.

    Returns:
        Array of the image's shape, uint8.

    Raises:
        ValueError: there is no baseline of this name.
    """
    if name in ("black", "drop"):
        return np.zeros_like(image)
    if name == "mean":
        return np.full_like(image, IMAGENET_MEAN_COLOUR)
    if name == "blur":
        return cv2.GaussianBlur(image, (51, 51), 50)
    if name == "median":
        return cv2.medianBlur(image, 11)
    if name == "mixed":
        blurred = make_baseline(image, "blur")
        return cv2.addWeighted(blurred, 0.5, make_baseline(image, "median"), 0.5, 0)
    raise ValueError(f"no baseline named {name}; there are {', '.join(BASELINES)}")
