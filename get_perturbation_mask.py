"""What hides a patch, and which patches matter: baseline images and saliency on the grid.

I-GOS looks for the smallest mask M on the grid (1 = keep) that takes the class's confidence away:

    minimise  l1 * mean|1 - M| + tv * TV(M) + f_c(x * up(M) + b * (1 - up(M)))

by steps along the gradient of the two regularisers plus the *integrated* gradient of f_c: that of
the mean of f_c at 1/20, 2/20, .. of the mask. The lower a patch's value, the more salient it is.

    mask = igos_mask(model, image, baseline, category=84)           # (7, 7), 1 = keep
    saliency_map = grad_cam(model, image, category=84)              # (h, w), or None

Qi, Khorram and Li, "Visualizing Deep Networks by Optimizing with Integrated Gradients", AAAI 2020;
Selvaraju et al., "Grad-CAM", ICCV 2017.
"""

import math
import weakref
from collections.abc import Generator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from captum.attr import LayerGradCam

from scoring.baselines import BASELINES, make_baseline
from scoring.memory import BatchLimit, in_chunks
from scoring.networks import class_probabilities
from scoring.patches import Basis, compose
from scoring.scorer import basis_of

# The backtracking line search: first step, factor, where it gives up, Armijo's constant.
FIRST_STEP = 200.0
SHRINK = 0.2
LAST_STEP = 1e-5
ARMIJO = 1e-4
TIE = 1e-9  # by which equal values are set apart; float32 has steps of 6e-8 below 1
AT_ONCE = 32  # masks in a forward pass
TV = 20.0  # weight of the total variation

__all__ = ["BASELINES", "make_baseline"]  # they live where no PyTorch is needed


# ---------------------------------------------------------------- I-GOS


@dataclass(frozen=True)
class Regularisers:
    """The two terms that keep the mask near 1 and smooth."""

    grid: tuple[int, int]
    l1: float = 1.0
    tv: float = TV

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


@dataclass(frozen=True)
class SoftMasks:
    """Masks whose confidences, or their gradients, I-GOS asks for.

    Attributes:
        masks: (N, patches), from 0 to 1.
        noise: (N, 3, H, W), added to the images; None: no noise.
        wants_gradient: whether the answer is (N, patches), gradients of the confidence; else (N,).
    """

    masks: torch.Tensor
    noise: torch.Tensor | None = None
    wants_gradient: bool = False


# A generator that yields SoftMasks, is sent their answers on the CPU, and returns a mask.
AsksSoftly = Generator[SoftMasks, torch.Tensor, torch.Tensor]


def igos(
    regularisers: Regularisers,
    size: tuple[int, int],
    *,
    channels: int = 3,
    iterations: int = 2,
    seed: int = 0,
    points: int = 20,
    noise: float = 0.2,
) -> AsksSoftly:
    """Return the I-GOS mask, of the grid's shape, float64 in [0, 1]; low is salient.

    Where the class is so confident that the mask hardly moves, many of its values are equal in
    float32. Such ties are ordered by the integrated gradient, to within 1e-9 of the mask. A
    TimeoutError ends it with the mask of the last iteration.

    Args:
        regularisers: of the objective; they know the grid.
        size: height and width of the image.
        channels: of the image.
        iterations: number of steps.
        seed: of the noise; the global random state is left alone.
        points: of the integrated gradient.
        noise: standard deviation of the Gaussian noise on each input.
    """
    mask = torch.ones(math.prod(regularisers.grid))
    last_gradient = torch.zeros_like(mask)
    first: float | None = None
    try:
        shape = (points, channels, *size)
        for iteration, noises in enumerate(noises_of(noise, shape, seed, iterations)):
            integrated = yield from _integrated_gradient(mask, noises)
            direction = (regularisers.gradient(mask) + integrated).nan_to_num()
            found = yield from _line_search(mask, direction, regularisers)
            mask = found.mask
            last_gradient = integrated
            first = found.confidence if first is None else first
            change = abs(first - found.confidence)
            regularisers = regularisers.relaxed(iteration, iterations, change)
    except TimeoutError:
        pass  # what the iterations so far have found
    return without_ties(mask, last_gradient).reshape(regularisers.grid)


@lru_cache(maxsize=1)
def noises_of(
    deviation: float, shape: tuple[int, ...], seed: int, iterations: int
) -> list[torch.Tensor]:
    """Return the noise of each iteration; it is the same for every image, so it is kept."""
    generator = torch.Generator().manual_seed(seed)
    return [deviation * torch.randn(shape, generator=generator) for _ in range(iterations)]


def without_ties(mask: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Return a mask in float64 whose equal values are ordered by the gradient, the largest first.

    Args:
        mask: (patches,) in [0, 1]; low is salient.
        gradient: of the confidence with respect to it, (patches,).
    """
    finite = gradient.double().nan_to_num()
    spread = (finite.max() - finite).clamp(min=0)
    if not spread.any():
        return mask.double()
    place = spread / spread.max()  # 0 for the largest gradient, 1 for the smallest
    return (mask.double() + TIE * place) / (1 + TIE)


def integrated_gradient(
    model: torch.nn.Module,
    image: torch.Tensor,
    baseline: torch.Tensor,
    category: int,
    *,
    grid: tuple[int, int] = (7, 7),
    seed: int = 0,
    points: int = 20,
    noise: float = 0.2,
) -> torch.Tensor:
    """Return the integrated gradient at the whole image: what I-GOS's first step follows.

    Args:
        model: images to logits.
        image: (3, H, W), normalised.
        baseline: like the image.
        category: class index.
        grid: rows and columns of patches.
        seed: of the noise.
        points: at which the gradient is taken.
        noise: standard deviation of the Gaussian noise on each input.

    Returns:
        Tensor of the grid's shape on the CPU; high is salient.
    """
    network = _Differentiable(model, image, baseline, category, basis_of(image, grid, None))
    noises = noises_of(noise, (points, *image.shape), seed, 1)[0]
    asking = _integrated_gradient(torch.ones(math.prod(grid)), noises)
    return _answered(asking, network).reshape(grid)


def igos_mask(
    model: torch.nn.Module,
    image: torch.Tensor,
    baseline: torch.Tensor,
    category: int,
    *,
    grid: tuple[int, int] = (7, 7),
    basis: torch.Tensor | None = None,
    **options: Any,
) -> torch.Tensor:
    """Return the I-GOS mask of a network's class, float64 in [0, 1] on the CPU; low is salient.

    Args:
        model: images to logits.
        image: (3, H, W), normalised.
        baseline: like the image.
        category: class index.
        grid: rows and columns of patches.
        basis: (regions, H * W) in place of the tents; variation between regions is not penalised.
        **options: of igos().
    """
    network = _Differentiable(model, image, baseline, category, basis_of(image, grid, basis))
    regularisers = Regularisers(grid, tv=TV if basis is None else 0.0)
    channels, height, width = image.shape
    return _answered(igos(regularisers, (height, width), channels=channels, **options), network)


def _answered(asking: AsksSoftly, network: "_Differentiable") -> torch.Tensor:
    """Answer what is asked about soft masks, in batches that fit, and return the result."""
    limit = BatchLimit(AT_ONCE)
    try:
        question = next(asking)
        while True:
            chunks = in_chunks(partial(network.answer, question), len(question.masks), limit)
            question = asking.send(torch.cat(chunks))
    except StopIteration as end:
        return end.value


@dataclass(frozen=True)
class _Differentiable:
    """One class's confidence in one image, as a differentiable function of soft masks."""

    model: torch.nn.Module
    image: torch.Tensor
    baseline: torch.Tensor
    category: int
    basis: Basis

    def answer(self, question: SoftMasks, start: int, stop: int) -> torch.Tensor:
        """Return the answers of some rows of a question, on the CPU."""
        noise = 0.0 if question.noise is None else question.noise[start:stop].to(self.image.device)
        masks = question.masks[start:stop].to(self.image.device)
        if question.wants_gradient:
            leaf = masks.clone().requires_grad_()
            return torch.autograd.grad(self.confidence(leaf, noise).sum(), leaf)[0].cpu()
        with torch.no_grad():
            return self.confidence(masks, noise).cpu()

    def confidence(self, masks: torch.Tensor, noise: torch.Tensor | float) -> torch.Tensor:
        """Return the probabilities of masks, (N,)."""
        images = compose(self.basis.weights(masks), self.image, self.baseline) + noise
        return class_probabilities(self.model(images))[:, self.category]


def _integrated_gradient(mask: torch.Tensor, noises: torch.Tensor) -> AsksSoftly:
    """Return the gradient of the mean confidence at k/points of the mask, k = 1..points.

    It is taken with respect to the mask, so that point k carries the factor k/points.

    Args:
        mask: (patches,).
        noises: (points, 3, H, W), added to the inputs.
    """
    points = len(noises)
    fractions = torch.arange(1, points + 1)[:, None] / points
    gradients = yield SoftMasks(fractions * mask, noise=noises, wants_gradient=True)
    return (fractions * gradients).mean(0)


@dataclass(frozen=True)
class _Step:
    """What a line search found."""

    mask: torch.Tensor  # the new one
    confidence: float  # f_c at the old one


def _line_search(
    mask: torch.Tensor, direction: torch.Tensor, regularisers: Regularisers
) -> Generator[SoftMasks, torch.Tensor, _Step]:
    """Take the longest step that lowers the objective enough (Armijo); all lengths are one batch.

    Where no step will do (a class so confident that hiding a little costs it nothing) the shortest
    is taken: the mask hardly moves, but its order follows the integrated gradient.
    """
    lengths = torch.tensor([0.0, *step_lengths()])[:, None]  # (1 + steps, 1)
    candidates = (mask - lengths * direction).clamp(0, 1)
    confidences = yield SoftMasks(candidates)
    objective = confidences + regularisers.penalty(candidates)
    required = ARMIJO * lengths[:, 0] * direction.square().sum()
    is_enough = objective <= objective[0] - required
    last = len(candidates) - 1
    chosen = next((i for i in range(1, len(candidates)) if is_enough[i]), last)
    return _Step(candidates[chosen].clone(), float(confidences[0]))


def step_lengths() -> list[float]:
    """Return the steps of the line search, the longest first; the last is the first below 1e-5."""
    steps = [FIRST_STEP]
    while steps[-1] >= LAST_STEP:
        steps.append(steps[-1] * SHRINK)
    return steps


# ---------------------------------------------------------------- Grad-CAM


def grad_cam(
    model: torch.nn.Module, image: torch.Tensor, category: int, against: int | None = None
) -> np.ndarray | None:
    """Return Grad-CAM on the last convolution, as coarse as that layer.

    The last convolution is the last one to run whose output is still a map. A network with a single
    one (a vision transformer's patch embedding) has no Grad-CAM worth the name.

    Args:
        model: images to logits.
        image: (3, H, W), normalised.
        category: class index.
        against: the class whose logit is taken off, or None.

    Returns:
        Array (h, w), float32 in [0, 1], high is important; None where there is no such layer.
    """
    if model not in _LAST_CONVOLUTIONS:
        _LAST_CONVOLUTIONS[model] = last_convolution(model, image)
    layer = _LAST_CONVOLUTIONS[model]
    if layer is None:
        return None

    def score(images: torch.Tensor) -> torch.Tensor:
        logits = model(images)
        each = torch.cat([-logits, logits], 1) if logits.shape[1] == 1 else logits
        return each[:, category] - (0 if against is None else each[:, against])

    attribution = LayerGradCam(score, layer)
    coarse = attribution.attribute(image[None].clone().requires_grad_(), relu_attributions=True)
    saliency_map = coarse[0, 0].detach().nan_to_num()
    return (saliency_map / saliency_map.max().clamp(min=1e-12)).cpu().numpy()


# By network: finding it takes a pass.
_LAST_CONVOLUTIONS: weakref.WeakKeyDictionary[torch.nn.Module, torch.nn.Conv2d | None]
_LAST_CONVOLUTIONS = weakref.WeakKeyDictionary()


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
