"""The memo: patch sets in, probabilities out, each set scored once.

    scorer = score_image(model, image, baseline, category=84)
    scorer([(11, 30), (10, 30)])        # tensor of 2 probabilities of class 84
    scorer([()])                        # the baseline alone
    scorer.without([(11,)])             # everything but patch 11

A MaskScorer asks one callable, from masks to probabilities. image_probabilities() makes it for a
network and an image; any other callable will do.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch

from scoring.memory import BatchLimit, in_chunks
from scoring.networks import class_probabilities
from scoring.patch_sets import PatchSet, canonical
from scoring.patches import Basis, Matrix, Tents, compose, masks_of
from scoring.speed import auto_batch_size

# Masks (B, patches) of 0 and 1 -> probabilities (B,), or (B, classes) for all classes.
Probabilities = Callable[[torch.Tensor], torch.Tensor]


class MaskScorer:
    """The probability of a class for any set of visible patches; each set is scored once.

    Attributes:
        table: every set scored so far, with its probability.
        asked: number of sets asked for.
        scored: number of sets that the network saw.
        deadline: a time.monotonic() after which no further batch begins, or None.
        limit: sets per forward pass; see BatchLimit.

    Args:
        probabilities: callable from masks (B, patches), float32 on the CPU, to probabilities (B,)
            or (B, classes).
        num_patches: number of patches or regions.
        batch_size: sets per forward pass.
        deadline: see the attribute.
        on_scored: called with the number of sets after each batch, for a progress bar.
    """

    def __init__(
        self,
        probabilities: Probabilities,
        num_patches: int,
        *,
        batch_size: int = 8,
        deadline: float | None = None,
        on_scored: Callable[[int], None] | None = None,
    ):
        self.probabilities = probabilities
        self.num_patches = num_patches
        self.limit = BatchLimit(batch_size)
        self.deadline = deadline
        self.on_scored = on_scored
        self.table: dict[PatchSet, Any] = {}  # float, or (classes,) float32
        self.asked = 0
        self.scored = 0

    def __call__(self, patch_sets: Sequence[Iterable[int]]) -> torch.Tensor:
        """Return the probabilities of these sets.

        Returns:
            Tensor (N,) or (N, classes), float32 on the CPU, in the order asked.

        Raises:
            ValueError: a patch does not exist.
            FloatingPointError: the network returns NaN or an infinity.
            MemoryError: not even one image fits into memory.
            TimeoutError: the deadline has passed; what was scored until then is remembered.
        """
        sets = [canonical(patches) for patches in patch_sets]
        self.asked += len(sets)
        unknown = [s for s in dict.fromkeys(sets) if s not in self.table]
        in_chunks(lambda start, stop: self._score(unknown[start:stop]), len(unknown), self.limit)
        return torch.from_numpy(np.array([self.table[s] for s in sets], np.float32))

    def without(self, hidden_sets: Sequence[Iterable[int]]) -> torch.Tensor:
        """Return the probabilities with these patches hidden and all others visible."""
        everything = set(range(self.num_patches))
        return self([everything.difference(hidden) for hidden in hidden_sets])

    @torch.inference_mode()
    def _score(self, batch: list[PatchSet]) -> None:
        """Score a batch and remember its probabilities."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise TimeoutError
        scores = self.probabilities(masks_of(batch, self.num_patches)).cpu()
        if not scores.isfinite().all():
            raise FloatingPointError("the model returns NaN")
        rows = scores.tolist() if scores.dim() == 1 else list(scores.numpy())
        self.table.update(zip(batch, rows))
        self.scored += len(batch)
        if self.on_scored:
            self.on_scored(len(batch))

    @property
    def batch_size(self) -> int:
        """Sets per forward pass."""
        return self.limit.size


# ---------------------------------------------------------------- from masks to probabilities


def image_probabilities(
    model: Callable[[torch.Tensor], torch.Tensor],
    image: torch.Tensor,
    baseline: torch.Tensor,
    category: int | None,
    *,
    grid: tuple[int, int] = (7, 7),
    basis: torch.Tensor | None = None,
) -> Probabilities:
    """Return a callable from masks to the network's probabilities on the composed images.

    Args:
        model: images (B, 3, H, W) to logits (B, classes), or (B, 1) for a sigmoid.
        image: (3, H, W), normalised as the model expects, on the model's device.
        baseline: (3, H, W), likewise.
        category: class index; None: all classes.
        grid: rows and columns of patches.
        basis: (patches, H * W), the weight of every region at every pixel, in place of the tents.

    Returns:
        Callable from masks (B, patches) to (B,), or to (B, classes) where category is None.
    """
    assert image.shape == baseline.shape and image.dim() == 3, (image.shape, baseline.shape)
    shown = basis_of(image, grid, basis)
    wanted = slice(None) if category is None else category

    def probabilities(masks: torch.Tensor) -> torch.Tensor:
        images = compose(shown.weights(masks.to(image.device)), image, baseline)
        return class_probabilities(model(images))[:, wanted]

    return probabilities


def basis_of(image: torch.Tensor, grid: tuple[int, int], basis: torch.Tensor | None) -> Basis:
    """Return the tents of a grid, or the given weights, on the image's device.

    Args:
        image: (3, H, W).
        grid: rows and columns of patches.
        basis: (patches, H * W), the weight of every region at every pixel, or None.
    """
    size = (image.shape[1], image.shape[2])
    shown = Tents(grid, size) if basis is None else Matrix(basis.view(-1, *size))
    return shown.to(image.device)


def score_image(
    model: Callable[[torch.Tensor], torch.Tensor],
    image: torch.Tensor,
    baseline: torch.Tensor,
    category: int | None,
    *,
    grid: tuple[int, int] = (7, 7),
    basis: torch.Tensor | None = None,
    batch_size: int | str = "auto",
    deadline: float | None = None,
    on_scored: Callable[[int], None] | None = None,
) -> MaskScorer:
    """Return a scorer of one image; see image_probabilities and MaskScorer for the arguments."""
    return MaskScorer(
        image_probabilities(
            model, image, baseline=baseline, category=category, grid=grid, basis=basis
        ),
        grid[0] * grid[1] if basis is None else len(basis),
        batch_size=auto_batch_size(image) if batch_size == "auto" else int(batch_size),
        deadline=deadline,
        on_scored=on_scored,
    )
