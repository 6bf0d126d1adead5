"""The one hot path: patch sets in, probabilities out.

A patch is a tent, not a cell: the grid is upsampled to the image bilinearly with aligned corners,
so that patch (r, c) is brightest at one pixel, fades to nothing at its neighbours' centres, and all
tents sum to 1. With N the set shown, b the baseline image and x the image, the network sees

    x_N = b + sum over p in N of tent_p * (x - b)

which is linear in N: one matrix product (B, patches) @ (patches, H*W) builds a whole batch.

    scorer = MaskScorer(model, image, baseline, category=84)
    scorer([(11, 30), (10, 30)])        # tensor of 2 probabilities of class 84
    scorer([()])                        # the baseline alone
    scorer.without([(11,)])             # everything but patch 11

A picture may be cut into regions of any shape instead (regions.py): then basis says which pixels each region has.

Shitole et al., NeurIPS 2021, section 3; the tents are those of Qi, Khorram and Li (I-GOS), 2019.
"""

import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from scoring.networks import class_probabilities
from scoring.patches import PatchSet, canonical, compose, tents


class MaskScorer:
    """The probability of one class, or of all, for any set of visible patches, each set scored once.

    model: a module from (B, 3, H, W) to logits (B, classes), or (B, 1) for a sigmoid; already in eval
        mode on the image's device.
    image, baseline: (3, H, W), normalised as the model wants them.
    category: the class; None: all of them, answers are rows (N, classes) then (and fast is not for this).
    basis: the weight of every region at every pixel, (regions, H * W), in place of the tents of a grid.
    fast: the same network in a lower precision (pictures to logits), asked in the model's place. What it puts
        between doubt[0] and doubt[1] is too close to a threshold to be left to it, and the model decides at once.
    logits: masks (B, patches) to logits, where pictures are not to be composed (token_dropping.py).
    batch_size: sets per forward pass, or "auto"; halved, and the batch tried again, whenever memory
        runs out.
    deadline: a time.monotonic() after which no further batch is begun: TimeoutError, with all that
        was scored until then remembered.
    on_scored: called with the number of sets after each batch (for a progress bar).

    `asked` counts the sets asked for, `scored` those that the network saw, `doubted` those that fast could not
    decide. Raises ValueError for a patch
    that the grid does not have, FloatingPointError where the network answers NaN, MemoryError where
    not even one picture fits.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        image: torch.Tensor,
        baseline: torch.Tensor,
        category: int | None,
        grid: tuple[int, int] = (7, 7),
        batch_size: int | str = "auto",
        deadline: float | None = None,
        on_scored: Callable[[int], None] | None = None,
        fast: Callable[[torch.Tensor], torch.Tensor] | None = None,
        doubt: tuple[float, float] = (0.0, 0.0),
        logits: Callable[[torch.Tensor], torch.Tensor] | None = None,
        basis: torch.Tensor | None = None,
    ):
        assert image.shape == baseline.shape and image.dim() == 3, (image.shape, baseline.shape)
        assert category is not None or fast is None, "whole rows are scored in full precision only"
        self.model, self.image, self.baseline, self.category = model, image, baseline, category
        self.fast, self.doubt, self.logits = fast, doubt, logits
        self.basis = (tents(grid, tuple(image.shape[1:])) if basis is None else basis).to(
            image.device
        )  # (patches, H*W)
        self.batch_size = (
            auto_batch_size(image) if batch_size == "auto" else max(1, int(batch_size))
        )
        self.deadline, self.on_scored = deadline, on_scored
        self.table: dict[PatchSet, float | np.ndarray] = {}
        self.asked = self.scored = self.doubted = 0

    def __call__(self, patch_sets: Sequence[Iterable[int]]) -> torch.Tensor:
        """-> (N,) float32 on the CPU, in the order asked; (N, classes) where the category is None."""
        sets = [canonical(s) for s in patch_sets]
        self.asked += len(sets)
        new = list(dict.fromkeys(s for s in sets if s not in self.table))
        while new:
            batch, new = new[: self.batch_size], new[self.batch_size :]
            if self.deadline is not None and time.monotonic() > self.deadline:
                raise TimeoutError
            try:
                scores = self._score(batch)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if len(batch) == 1:
                    raise MemoryError("out of memory on a single picture") from error
                self.batch_size, new = len(batch) // 2, batch + new
                continue
            self.table.update(zip(batch, scores))
            self.scored += len(batch)
            if self.on_scored:
                self.on_scored(len(batch))
        return torch.from_numpy(np.array([self.table[s] for s in sets], np.float32))

    def without(self, hidden_sets: Sequence[Iterable[int]]) -> torch.Tensor:
        """The same with these patches hidden, and all others visible."""
        return self([set(range(len(self.basis))).difference(hidden) for hidden in hidden_sets])

    @torch.inference_mode()
    def _score(self, batch: list[PatchSet]) -> list[float] | list[np.ndarray]:
        masks = torch.zeros(len(batch), len(self.basis))  # (B, patches)
        for row, patches in zip(masks, batch):
            if patches and not 0 <= patches[0] <= patches[-1] < len(row):
                raise ValueError(f"patch set {patches} has a patch outside 0..{len(row) - 1}")
            row[list(patches)] = 1
        scores = self._probabilities(masks.to(self.image.device)).cpu()
        if not scores.isfinite().all():
            raise FloatingPointError("the model answers NaN")
        return list(scores.numpy()) if self.category is None else scores.tolist()

    def _probabilities(self, masks: torch.Tensor) -> torch.Tensor:
        wanted = slice(None) if self.category is None else self.category
        if self.logits:
            return class_probabilities(self.logits(masks))[:, wanted]
        pictures = compose(masks, self.basis, self.image, self.baseline)
        scores = class_probabilities((self.fast or self.model)(pictures))[:, wanted]
        if not self.fast:
            return scores
        unsure = (self.doubt[0] < scores) & (scores < self.doubt[1])
        if unsure.any():
            scores[unsure] = class_probabilities(self.model(pictures[unsure]))[:, wanted]
            self.doubted += int(unsure.sum())
        return scores


def auto_batch_size(image: torch.Tensor) -> int:
    """Pictures per forward pass: enough to keep the device busy, few enough for its memory (a CPU's: its cache)."""
    at_224 = {"cuda": 256, "mps": 64}.get(image.device.type, 8)
    return max(1, at_224 * 224 * 224 // (image.shape[1] * image.shape[2]))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether PyTorch ran out of memory; on the CPU it says so only in the text of a RuntimeError."""
    return isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or any(
        words in str(error).lower()
        for words in ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
    )
