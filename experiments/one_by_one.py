"""The reference side of the benchmark: the released code's way, one image per forward pass.

    found = explain_one_by_one(network, module, image, category, settings=settings)
    found.seconds, found.evaluations, found.roots

Float32, no memo, w + 1 states in the beam, roots that are minimal only against single removals, and
a tree that scores a node wherever it occurs.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from experiments.measurements import MainJobSettings
from get_perturbation_mask import (
    ARMIJO,
    FIRST_STEP,
    LAST_STEP,
    SHRINK,
    Regularisers,
    make_baseline,
)
from scoring.curves import saliency_order
from scoring.networks import Network, class_probabilities
from scoring.patch_sets import PatchSet
from scoring.patches import compose, tents

IGOS_ITERATIONS = 2
IGOS_POINTS = 20  # of the path of the integrated gradient
IGOS_NOISE = 0.2  # standard deviation
BRANCHING = 3  # patches of a set that the tree removes: the first ones


@dataclass(frozen=True)
class OneByOneFinding:
    """What the reference side found about one image."""

    seconds: float
    evaluations: int  # forward passes
    roots: list[PatchSet]


def explain_one_by_one(
    network: Network,
    module: torch.nn.Module,
    image: np.ndarray,
    category: int,
    *,
    settings: MainJobSettings,
) -> OneByOneFinding:
    """Explain one image: mask, search and tree.

    Args:
        network: The network, for its preprocessing.
        module: The network's module in float32.
        image: (H, W, 3) uint8, at the network's input size.
        category: Index of the class to explain.
        settings: The main job's settings.
    """
    prepared = network.prepare(image)
    baseline = network.prepare(make_baseline(image, settings.baseline))
    start = time.monotonic()
    reference = OneByOne(
        module, prepared, baseline=baseline, category=category, grid=(settings.grid, settings.grid)
    )
    full = reference.confidence(range(settings.num_patches))
    roots = reference.search(
        reference.mask(),
        threshold=settings.prob_thresh * full,
        beam_width=settings.beam_width,
        num_successors=settings.num_successors,
        max_num_roots=settings.max_num_roots,
        max_root_size=settings.max_root_size,
    )
    for root in roots[: settings.num_roots_sag]:
        reference.score_tree(root, threshold=settings.node_prob_thresh * full)
    return OneByOneFinding(time.monotonic() - start, reference.evaluations, roots=roots)


class OneByOne:
    """The reference's steps on one image, as plainly as they can be written.

    Attributes:
        evaluations: Number of forward passes so far.

    Args:
        model: A float32 module from images (B, 3, H, W) to logits.
        image: (3, H, W), normalised.
        baseline: (3, H, W), normalised.
        category: Index of the class.
        grid: Rows and columns of patches.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        image: torch.Tensor,
        baseline: torch.Tensor,
        *,
        category: int,
        grid: tuple[int, int] = (7, 7),
    ):
        self.model = model
        self.image = image
        self.baseline = baseline
        self.category = category
        self.regularisers = Regularisers(grid)
        self.basis = tents(grid, (image.shape[1], image.shape[2])).to(image.device)
        self.evaluations = 0

    def probability(self, mask: torch.Tensor, noise: torch.Tensor | float = 0.0) -> torch.Tensor:
        """Return the class's probability with a mask (num_patches,) applied, with gradients."""
        self.evaluations += 1
        weights = (mask[None] @ self.basis).view(1, *self.image.shape[1:])
        composed = compose(weights, self.image, self.baseline)
        return class_probabilities(self.model(composed + noise))[0, self.category]

    def confidence(self, patches: Iterable[int]) -> float:
        """Return the class's probability with these patches visible."""
        mask = torch.zeros(len(self.basis), device=self.image.device)
        mask[list(patches)] = 1
        return self.probability(mask.requires_grad_()).item()

    # ------------------------------------------------------------ saliency

    def mask(self) -> torch.Tensor:
        """Return the I-GOS mask, (num_patches,): one point of the path per pass, unseeded noise."""
        mask = torch.ones(len(self.basis), device=self.image.device)
        for _ in range(IGOS_ITERATIONS):
            direction = self.regularisers.gradient(mask) + self.integrated_gradient(mask)
            mask = self.line_search(mask, direction, self.objective)
        return mask

    def objective(self, mask: torch.Tensor) -> float:
        """Return what I-GOS minimises."""
        return float(self.probability(mask) + self.regularisers.penalty(mask[None]))

    def integrated_gradient(self, mask: torch.Tensor) -> torch.Tensor:
        """Return the mean gradient along the path to the mask; noise is added twice."""
        total = torch.zeros_like(mask)
        for k in range(1, IGOS_POINTS + 1):
            point = (k / IGOS_POINTS * mask).requires_grad_()
            noise = torch.randn_like(self.image) + torch.randn_like(self.image)
            (gradient,) = torch.autograd.grad(self.probability(point, IGOS_NOISE * noise), point)
            total = total + gradient / IGOS_POINTS
        return total

    @staticmethod
    def line_search(
        mask: torch.Tensor,
        direction: torch.Tensor,
        objective: Callable[[torch.Tensor], float],
    ) -> torch.Tensor:
        """Return the mask after the longest step that lowers the objective enough."""
        start = objective(mask)
        squared_norm = float(direction.square().sum())
        step = FIRST_STEP
        while step * SHRINK >= LAST_STEP:
            candidate = (mask - step * direction).clamp(0, 1)
            if objective(candidate) <= start - ARMIJO * step * squared_norm:
                break
            step *= SHRINK
        return (mask - step * direction).clamp(0, 1)

    # ------------------------------------------------------------ search

    def search(
        self,
        saliency: torch.Tensor,
        *,
        threshold: float,
        beam_width: int = 3,
        num_successors: int = 15,
        max_num_roots: int = 10,
        max_root_size: int = 49,
    ) -> list[PatchSet]:
        """Return the roots of beam search without a memo.

        Repeated sets are scored again, beam_width + 1 states stay, and a level is finished after
        max_num_roots is reached.

        Args:
            saliency: One number per patch; lower values are more salient.
            threshold: A set above this probability is sufficient.
            beam_width: As in the main job; one more state stays.
            num_successors: Most salient patches that each state may add.
            max_num_roots: No further level begins after so many roots.
            max_root_size: Largest number of patches of a set.
        """
        order = saliency_order(saliency.cpu())
        beam: list[PatchSet] = [()]
        roots: list[PatchSet] = []
        for _ in range(max_root_size):
            insufficient = []
            for state in beam:
                for candidate in successors(state, order, number=num_successors):
                    probability = self.confidence(candidate)
                    if probability > threshold:
                        roots.append(self.shrink(candidate, threshold))
                    else:
                        insufficient.append((probability, candidate))
            if len(set(roots)) >= max_num_roots or not insufficient:
                break
            best = sorted(insufficient, reverse=True)[: beam_width + 1]
            beam = [candidate for _, candidate in best]
        return list(dict.fromkeys(roots))

    def shrink(self, patches: PatchSet, threshold: float) -> PatchSet:
        """Remove every patch that can go, in row order; repeat until none can."""
        before = None
        while patches != before:
            before = patches
            for patch in before:
                rest = without(patches, patch)
                if self.confidence(rest) > threshold:
                    patches = rest
        return patches

    # ------------------------------------------------------------ tree

    def score_tree(self, patches: PatchSet, *, threshold: float) -> None:
        """Score a set and, above the threshold, all that is below it, wherever it occurs.

        Only the first three patches of a set are ever removed.
        """
        if self.confidence(patches) > threshold:
            for patch in patches[:BRANCHING]:
                self.score_tree(without(patches, patch), threshold=threshold)


def successors(state: PatchSet, order: list[int], number: int) -> list[PatchSet]:
    """Return a state with each of the `number` most salient patches that it lacks added."""
    lacking = [patch for patch in order if patch not in state]
    return [tuple(sorted((*state, patch))) for patch in lacking[:number]]


def without(patches: PatchSet, removed: int) -> PatchSet:
    """Return a patch set without one patch."""
    return tuple(patch for patch in patches if patch != removed)
