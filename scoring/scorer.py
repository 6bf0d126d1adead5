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

from scoring.networks import class_probabilities
from scoring.patch_sets import PatchSet, canonical
from scoring.patches import compose, tents

# Masks (B, patches) of 0 and 1 -> probabilities (B,), or (B, classes) for all classes.
Probabilities = Callable[[torch.Tensor], torch.Tensor]
OUT_OF_MEMORY_WORDS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "alloc_failed",
)


class MaskScorer:
    """The probability of a class for any set of visible patches; each set is scored once.

    Attributes:
        table: every set scored so far, with its probability.
        asked: number of sets asked for.
        scored: number of sets that the network saw.
        deadline: a time.monotonic() after which no further batch begins, or None.
        batch_size: sets per forward pass; halved, and the batch repeated, when memory runs out.

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
        self.batch_size = max(1, batch_size)
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
        while unknown:
            batch = unknown[: self.batch_size]
            if self.deadline is not None and time.monotonic() > self.deadline:
                raise TimeoutError
            try:
                self._score(batch)
            except (MemoryError, RuntimeError) as error:
                self._halve_batch_size(len(batch), error)
                continue
            unknown = unknown[len(batch) :]
        return torch.from_numpy(np.array([self.table[s] for s in sets], np.float32))

    def without(self, hidden_sets: Sequence[Iterable[int]]) -> torch.Tensor:
        """Return the probabilities with these patches hidden and all others visible."""
        everything = set(range(self.num_patches))
        return self([everything.difference(hidden) for hidden in hidden_sets])

    @torch.inference_mode()
    def _score(self, batch: list[PatchSet]) -> None:
        """Score a batch and remember its probabilities."""
        scores = self.probabilities(masks_of(batch, self.num_patches)).cpu()
        if not scores.isfinite().all():
            raise FloatingPointError("the model returns NaN")
        rows = scores.tolist() if scores.dim() == 1 else list(scores.numpy())
        self.table.update(zip(batch, rows))
        self.scored += len(batch)
        if self.on_scored:
            self.on_scored(len(batch))

    def _halve_batch_size(self, failed: int, error: BaseException) -> None:
        """Halve the batch size after memory ran out; raise any other error again."""
        if not is_out_of_memory(error):
            raise error
        if failed == 1:
            raise MemoryError("out of memory on a single image") from error
        self.batch_size = failed // 2


def masks_of(patch_sets: Sequence[PatchSet], num_patches: int) -> torch.Tensor:
    """Return patch sets as rows of 0 and 1, (N, num_patches) float32.

    Raises:
        ValueError: a patch does not exist.
    """
    masks = torch.zeros(len(patch_sets), num_patches)
    for row, patches in zip(masks, patch_sets):
        if patches and not 0 <= patches[0] <= patches[-1] < num_patches:
            raise ValueError(f"patch set {patches} has a patch outside 0..{num_patches - 1}")
        row[list(patches)] = 1
    return masks


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
    weights = tents(grid, (image.shape[1], image.shape[2])) if basis is None else basis
    weights = weights.to(image.device)
    wanted = slice(None) if category is None else category

    def probabilities(masks: torch.Tensor) -> torch.Tensor:
        images = compose(masks.to(image.device), weights, image=image, baseline=baseline)
        return class_probabilities(model(images))[:, wanted]

    return probabilities


class CheckedProbabilities:
    """Probabilities in reduced precision, with float32 where they are too close to a threshold.

    Attributes:
        doubted: number of sets that float32 decided.

    Args:
        reduced: masks to probabilities in reduced precision.
        exact: masks to probabilities in float32.
        low: lower end of the band in which the reduced answer is not trusted.
        high: upper end of the band.
    """

    def __init__(self, reduced: Probabilities, exact: Probabilities, *, low: float, high: float):
        self.reduced = reduced
        self.exact = exact
        self.low = low
        self.high = high
        self.doubted = 0

    def __call__(self, masks: torch.Tensor) -> torch.Tensor:
        """Return the probabilities of masks (B, patches), (B,)."""
        scores = self.reduced(masks)
        in_band = (self.low < scores) & (scores < self.high)
        if in_band.any():
            scores[in_band] = self.exact(masks[in_band.cpu()])
            self.doubted += int(in_band.sum())
        return scores


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


# ---------------------------------------------------------------- memory


def auto_batch_size(image: torch.Tensor) -> int:
    """Return how many images (3, H, W) like this one go into a forward pass.

    Enough to keep the device busy, and few enough for its memory, or for a CPU's cache.
    """
    at_224 = {"cuda": 256, "mps": 64}.get(image.device.type, 8)
    return max(1, at_224 * 224 * 224 // (image.shape[1] * image.shape[2]))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether PyTorch ran out of memory; on the CPU only a RuntimeError's text says so."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return any(words in str(error).lower() for words in OUT_OF_MEMORY_WORDS)
