"""What hides a patch, and which patches matter: baseline images and saliency on the grid.

I-GOS looks for the smallest mask M on the grid (1 = keep) that takes the class's confidence away:

    minimise  l1 * mean|1 - M| + tv * TV(M) + f_c(x * up(M) + b * (1 - up(M)))

by steps along the gradient of the two regularisers plus the *integrated* gradient of f_c, the mean
of its gradients at 1/20, 2/20, .. of the mask. The lower a patch's value, the more salient it is.

    mask = igos_mask(model, image, baseline, category=84)           # (7, 7), 1 = keep
    saliency_map = grad_cam(model, image, category=84)              # (h, w), or None

Qi, Khorram and Li, "Visualizing Deep Networks by Optimizing with Integrated Gradients", AAAI 2020;
Selvaraju et al., "Grad-CAM", ICCV 2017.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from captum.attr import LayerGradCam

from scoring.networks import class_probabilities
from scoring.patches import compose, tents
from scoring.scorer import is_out_of_memory

BASELINES = ("black", "blur", "mean", "median", "mixed", "drop")
IMAGENET_MEAN_COLOUR = (124, 116, 104)
# The backtracking line search: first step, factor, last step, Armijo's constant.
FIRST_STEP = 200.0
SHRINK = 0.2
LAST_STEP = 1e-5
ARMIJO = 1e-4

# Masks (B, patches), and noise (B, 3, H, W) or 0, to probabilities (B,).
Confidence = Callable[[torch.Tensor, "torch.Tensor | float"], torch.Tensor]


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


# ---------------------------------------------------------------- I-GOS


@dataclass(frozen=True)
class Regularisers:
    """The two terms that keep the mask near 1 and smooth."""

    grid: tuple[int, int]
    l1: float = 1.0
    tv: float = 20.0

    def penalty(self, masks: torch.Tensor) -> torch.Tensor:
        """Return l1 * mean|1 - M| + tv * TV(M) for each row of masks (B, patches), (B,)."""
        m = masks.view(-1, *self.grid)
        down = m[:, 1:] - m[:, :-1]
        right = m[:, :, 1:] - m[:, :, :-1]
        variation = torch.zeros(len(m), device=m.device)
        for difference in (down, right):
            if difference.numel():
                variation = variation + difference.square().flatten(1).mean(1)
        return self.l1 * (1 - m).abs().flatten(1).mean(1) + self.tv * variation

    def gradient(self, mask: torch.Tensor) -> torch.Tensor:
        """Return the gradient of the penalty at one mask (patches,)."""
        leaf = mask.clone().requires_grad_()
        return torch.autograd.grad(self.penalty(leaf[None]).sum(), leaf)[0]

    def relaxed(self, iteration: int, iterations: int, change: float) -> "Regularisers":
        """Return the regularisers of the next iteration.

        With more than 3 iterations, l1 falls where the mask hides too little to matter: by a factor
        of 10 halfway, and of 5 at 80 %.

        Args:
            iteration: the one that has just run, from 0.
            iterations: number of iterations.
            change: by how much the confidence has moved since the first iteration.
        """
        l1 = self.l1
        if iterations > 3 and iteration == iterations // 2 and change < 0.001:
            l1 /= 10
        if iterations > 3 and iteration == int(0.8 * iterations) and change < 0.01:
            l1 /= 5
        return Regularisers(self.grid, l1, self.tv)


def igos_mask(
    model: torch.nn.Module,
    image: torch.Tensor,
    baseline: torch.Tensor,
    category: int,
    *,
    grid: tuple[int, int] = (7, 7),
    basis: torch.Tensor | None = None,
    iterations: int = 2,
    seed: int = 0,
    points: int = 20,
    noise: float = 0.2,
    deadline: float | None = None,
) -> torch.Tensor:
    """Return the I-GOS mask, of shape grid, float32 in [0, 1] on the CPU; low is salient.

    Args:
        model: images to logits.
        image: (3, H, W), normalised.
        baseline: like the image.
        category: class index.
        grid: rows and columns of patches.
        basis: (regions, H * W) in place of the tents; variation between regions is not penalised.
        iterations: number of steps.
        seed: of the noise; the global random state is left alone.
        points: of the integrated gradient.
        noise: standard deviation of the Gaussian noise on each input.
        deadline: a time.monotonic() after which no iteration begins.
    """
    regularisers = Regularisers(grid, tv=20.0 if basis is None else 0.0)
    confidence = _f_c(model, image, baseline=baseline, category=category, grid=grid, basis=basis)
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(math.prod(grid), device=image.device)
    first: float | None = None
    for iteration in range(iterations):
        if deadline and time.monotonic() > deadline:
            break
        noises = noise * torch.randn((points, *image.shape), generator=generator)
        integrated = _integrated_gradient(confidence, mask, noises.to(image.device))
        direction = (regularisers.gradient(mask) + integrated).nan_to_num()
        with torch.inference_mode():
            mask, value = _line_search(confidence, mask, direction, regularisers=regularisers)
        first = value if first is None else first
        regularisers = regularisers.relaxed(iteration, iterations, abs(first - value))
    return mask.reshape(grid).cpu().clone()


def _f_c(
    model: torch.nn.Module,
    image: torch.Tensor,
    baseline: torch.Tensor,
    category: int,
    *,
    grid: tuple[int, int],
    basis: torch.Tensor | None,
) -> Confidence:
    """Return f_c as a differentiable function of masks, and of noise that is added."""
    weights = tents(grid, (image.shape[1], image.shape[2])) if basis is None else basis
    weights = weights.to(image.device)

    def confidence(masks: torch.Tensor, noises: torch.Tensor | float = 0.0) -> torch.Tensor:
        images = compose(masks, weights, image=image, baseline=baseline) + noises
        return class_probabilities(model(images))[:, category]

    return confidence


def _integrated_gradient(
    confidence: Confidence, mask: torch.Tensor, noises: torch.Tensor
) -> torch.Tensor:
    """Return the mean gradient of the confidence at k/points of the mask, k = 1..points.

    Args:
        confidence: masks and noises to probabilities.
        mask: (patches,).
        noises: (points, 3, H, W), added to the inputs.
    """
    points = len(noises)
    fractions = torch.arange(1, points + 1, device=mask.device)[:, None] / points
    path = fractions * mask  # (points, patches)

    def gradients(rows: slice) -> torch.Tensor:
        leaf = path[rows].clone().requires_grad_()
        return torch.autograd.grad(confidence(leaf, noises[rows]).sum(), leaf)[0]

    return _in_halves(gradients, 0, points).mean(0)


def _in_halves(function: Callable[[slice], torch.Tensor], start: int, stop: int) -> torch.Tensor:
    """Return function(rows start to stop) as one batch; as two halves where memory runs out."""
    try:
        return function(slice(start, stop))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error) or stop - start == 1:
            raise
    middle = (start + stop) // 2
    return torch.cat([_in_halves(function, start, middle), _in_halves(function, middle, stop)])


def _line_search(
    confidence: Confidence,
    mask: torch.Tensor,
    direction: torch.Tensor,
    *,
    regularisers: Regularisers,
) -> tuple[torch.Tensor, float]:
    """Take the longest step that lowers the objective enough (Armijo); all lengths are one batch.

    Where no step will do (a class so confident that hiding a little costs it nothing) the shortest
    is taken: the mask hardly moves, but its order follows the integrated gradient.

    Returns:
        The new mask, and f_c at the old one.
    """
    lengths = torch.tensor([0.0, *step_lengths()], device=mask.device)[:, None]  # (1 + steps, 1)
    candidates = (mask - lengths * direction).clamp(0, 1)
    confidences = _in_halves(lambda rows: confidence(candidates[rows], 0.0), 0, len(candidates))
    objective = confidences + regularisers.penalty(candidates)
    required = ARMIJO * lengths[:, 0] * direction.square().sum()
    is_enough = objective <= objective[0] - required
    last = len(candidates) - 1
    chosen = next((i for i in range(1, len(candidates)) if is_enough[i]), last)
    return candidates[chosen].clone(), float(confidences[0])


def step_lengths() -> list[float]:
    """Return the steps of the line search, the longest first; none is below LAST_STEP."""
    steps = [FIRST_STEP]
    while steps[-1] * SHRINK >= LAST_STEP:
        steps.append(steps[-1] * SHRINK)
    return steps


# ---------------------------------------------------------------- Grad-CAM


def grad_cam(model: torch.nn.Module, image: torch.Tensor, category: int) -> np.ndarray | None:
    """Return Grad-CAM on the last convolution, as coarse as that layer.

    The last convolution is the last one to run whose output is still a map. A network with a single
    one (a vision transformer's patch embedding) has no Grad-CAM worth the name.

    Returns:
        Array (h, w), float32 in [0, 1], high is important; None where there is no such layer.
    """
    layer = last_convolution(model, image)
    if layer is None:
        return None

    def score(images: torch.Tensor) -> torch.Tensor:
        logits = model(images)
        if logits.shape[1] > 1:
            return logits[:, category]
        return logits[:, 0] if category else -logits[:, 0]

    attribution = LayerGradCam(score, layer)
    coarse = attribution.attribute(image[None].clone().requires_grad_(), relu_attributions=True)
    saliency_map = coarse[0, 0].detach().nan_to_num()
    return (saliency_map / saliency_map.max().clamp(min=1e-12)).cpu().numpy()


@torch.inference_mode()
def last_convolution(model: torch.nn.Module, image: torch.Tensor) -> torch.nn.Conv2d | None:
    """Return the last of several convolutions to run on (3, H, W) whose output exceeds 1 x 1."""
    ran: list[torch.nn.Conv2d] = []

    def note(module: torch.nn.Conv2d, _: object, output: torch.Tensor) -> None:
        if output.shape[-1] * output.shape[-2] > 1:
            ran.append(module)

    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    hooks = [convolution.register_forward_hook(note) for convolution in convolutions]
    try:
        model(image[None])
    finally:
        for hook in hooks:
            hook.remove()
    return ran[-1] if len(ran) > 1 else None
