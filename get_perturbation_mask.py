"""What hides a patch, and which patches matter: baseline images and saliency on the grid.

I-GOS looks for the smallest mask M on the grid (1 = keep) that takes the class's confidence away:

    minimise  l1 * mean|1 - M| + tv * TV(M) + f_c(x * up(M) + b * (1 - up(M)))

by steps along the gradient of the two regularisers plus the *integrated* gradient of f_c, the mean of
its gradients at 1/20, 2/20, .. of the mask. The lower a patch's value, the more salient it is.

    mask = igos_mask(model, image, baseline, category=84)         # (7, 7), 1 = keep
    heat = grad_cam(model, image, category=84)                    # (h, w), or None without convolutions

Qi, Khorram and Li, "Visualizing Deep Networks by Optimizing with Integrated Gradients", AAAI 2020;
Selvaraju et al., "Grad-CAM", ICCV 2017.
"""

import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
from captum.attr import LayerGradCam

from scoring.patches import compose, tents
from scoring.scorer import is_out_of_memory
from scoring.networks import class_probabilities

BASELINES = ("black", "blur", "mean", "median", "mixed", "drop")
IMAGENET_MEAN_COLOUR = (124, 116, 104)
FIRST_STEP, SHRINK, LAST_STEP, ARMIJO = 200.0, 0.2, 1e-5, 1e-4  # of the backtracking line search


def make_baseline(image: np.ndarray, name: str) -> np.ndarray:
    """The image that is seen where patches are hidden; (H, W, 3) uint8 RGB in and out.

    black: 0 before normalisation; so is drop, where a transformer's hidden tokens are left out (this is what its
    saliency and its pictures show). mean: ImageNet's mean colour. blur: Gaussian, 51 pixels, sigma 50. median: of
    11 x 11 pixels (hides little). mixed: the mean of blur and median.
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
        return cv2.addWeighted(
            make_baseline(image, "blur"), 0.5, make_baseline(image, "median"), 0.5, 0
        )
    raise ValueError(f"no baseline named {name}; there are {', '.join(BASELINES)}")


# ---------------------------------------------------------------- I-GOS


def igos_mask(
    model: torch.nn.Module,
    image: torch.Tensor,
    baseline: torch.Tensor,
    category: int,
    grid: tuple[int, int] = (7, 7),
    iterations: int = 2,
    seed: int = 0,
    l1: float = 1.0,
    tv: float = 20.0,
    points: int = 20,
    noise: float = 0.2,
    deadline: float | None = None,
    basis: torch.Tensor | None = None,
) -> torch.Tensor:
    """The I-GOS mask, (rows, columns) float32 in [0, 1] on the CPU; 1 = keep, low = salient.

    image, baseline: (3, H, W), normalised. noise: standard deviation of the Gaussian noise on each
    perturbed input, drawn from a generator of its own (the global random state is left alone).
    deadline: a time.monotonic() after which no iteration is begun. basis: (regions, H * W) in place of the tents; regions
    lie in no order, so that the variation between neighbours does not count.
    """
    tv = tv if basis is None else 0.0
    basis = (tents(grid, tuple(image.shape[1:])) if basis is None else basis).to(image.device)
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(grid[0] * grid[1], device=image.device)

    def confidence(
        masks: torch.Tensor, noises: torch.Tensor | float = 0.0
    ) -> torch.Tensor:  # (B, patches) -> (B,)
        return class_probabilities(model(compose(masks, basis, image, baseline) + noises))[
            :, category
        ]

    first = None
    for iteration in range(iterations):
        if deadline is not None and time.monotonic() > deadline:
            break
        noises = noise * torch.randn((points, *image.shape), generator=generator).to(image.device)
        direction = _penalty_gradient(mask, grid, l1, tv) + _integrated_gradient(
            confidence, mask, noises
        )
        direction = direction.nan_to_num()
        with torch.inference_mode():
            mask, value = _line_search(
                confidence, mask, direction, lambda m: penalty(m, grid, l1, tv)
            )
        first = value if first is None else first
        if iterations > 3 and iteration == iterations // 2 and abs(first - value) < 0.001:
            l1 /= 10  # the mask shrinks nothing: let it hide more
        if iterations > 3 and iteration == int(0.8 * iterations) and abs(first - value) < 0.01:
            l1 /= 5
    return mask.reshape(grid).cpu().clone()


def penalty(masks: torch.Tensor, grid: tuple[int, int], l1: float, tv: float) -> torch.Tensor:
    """l1 * mean|1 - M| + tv * TV(M) for each row of masks (B, patches) -> (B,)."""
    m = masks.view(-1, *grid)
    down, right = m[:, 1:] - m[:, :-1], m[:, :, 1:] - m[:, :, :-1]
    variation = sum(d.square().flatten(1).mean(1) for d in (down, right) if d.numel())
    return l1 * (1 - m).abs().flatten(1).mean(1) + tv * variation


def _penalty_gradient(mask: torch.Tensor, grid, l1: float, tv: float) -> torch.Tensor:
    leaf = mask.clone().requires_grad_()
    return torch.autograd.grad(penalty(leaf[None], grid, l1, tv).sum(), leaf)[0]


def _integrated_gradient(confidence, mask: torch.Tensor, noises: torch.Tensor) -> torch.Tensor:
    """Mean gradient of the confidence at k/points of the mask, k = 1..points; noises (points, 3, H, W) are added."""
    points = len(noises)
    path = (
        torch.arange(1, points + 1, device=mask.device)[:, None] / points * mask
    )  # (points, patches)

    def gradients(rows: slice) -> torch.Tensor:
        leaf = path[rows].clone().requires_grad_()
        return torch.autograd.grad(confidence(leaf, noises[rows]).sum(), leaf)[0]

    return _in_halves(gradients, 0, points).mean(0)


def _in_halves(function: Callable[[slice], torch.Tensor], start: int, stop: int) -> torch.Tensor:
    """function(rows start to stop) as one batch; where memory runs out, as two halves, and so on."""
    try:
        return function(slice(start, stop))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error) or stop - start == 1:
            raise
    middle = (start + stop) // 2
    return torch.cat([_in_halves(function, start, middle), _in_halves(function, middle, stop)])


def _line_search(
    confidence, mask: torch.Tensor, direction: torch.Tensor, penalties
) -> tuple[torch.Tensor, float]:
    """The longest step that lowers the objective enough (Armijo), all lengths tried as one batch.

    -> the new mask and f_c at the old one. Where no step will do (a class so sure that hiding a little costs it
    nothing) the shortest is taken: the mask hardly moves, but its order follows the integrated gradient.
    """
    steps = []
    while not steps or steps[-1] * SHRINK >= LAST_STEP:
        steps.append(steps[-1] * SHRINK if steps else FIRST_STEP)
    lengths = torch.tensor([0.0, *steps], device=mask.device)[:, None]  # (1 + steps, 1)
    candidates = (mask - lengths * direction).clamp(0, 1)
    confidences = _in_halves(lambda rows: confidence(candidates[rows]), 0, len(candidates))
    objective = confidences + penalties(candidates)
    enough = objective <= objective[0] - ARMIJO * lengths[:, 0] * direction.square().sum()
    chosen = next((i for i in range(1, len(candidates)) if enough[i]), len(candidates) - 1)
    return candidates[chosen].clone(), float(confidences[0])


# ---------------------------------------------------------------- Grad-CAM


def grad_cam(model: torch.nn.Module, image: torch.Tensor, category: int) -> np.ndarray | None:
    """Grad-CAM on the last convolution, (h, w) float32 in [0, 1], as coarse as that layer; None where there is none.

    The last convolution is the last one to run whose output is still a map. A network with a single
    one (a vision transformer's patch embedding) has no Grad-CAM worth the name.
    """
    layer = last_convolution(model, image)
    if layer is None:
        return None

    def score(pictures: torch.Tensor) -> torch.Tensor:
        logits = model(pictures)
        return (
            logits[:, category] if logits.shape[1] > 1 else logits[:, 0] * (1 if category else -1)
        )

    coarse = LayerGradCam(score, layer).attribute(
        image[None].clone().requires_grad_(), relu_attributions=True
    )
    heat = coarse[0, 0].detach().nan_to_num()
    return (heat / heat.max().clamp(min=1e-12)).cpu().numpy()


@torch.inference_mode()
def last_convolution(model: torch.nn.Module, image: torch.Tensor) -> torch.nn.Conv2d | None:
    """The last of the model's several convolutions to run on (3, H, W) whose output is larger than 1 x 1."""
    ran: list[torch.nn.Module] = []

    def note(module, _, output):
        if output.shape[-1] * output.shape[-2] > 1:
            ran.append(module)

    hooks = [
        m.register_forward_hook(note) for m in model.modules() if isinstance(m, torch.nn.Conv2d)
    ]
    try:
        model(image[None])
    finally:
        for hook in hooks:
            hook.remove()
    return ran[-1] if len(ran) > 1 else None
