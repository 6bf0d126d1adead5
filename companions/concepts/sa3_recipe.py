"""SA3's recipe of training: the values that its README passes to MAE's fine-tuning program.

Values that the README does not pass are that program's own defaults.
"""

import re
from dataclasses import dataclass
from typing import Literal

from utils import UserError

ACCUMULATE = 4  # forward passes of a process per step
PROCESSES = 4  # the published number
PER_EFFECTIVE_BATCH = 256  # images of a step, for which base_lr is the learning rate
NO_AUGMENT = "none"
# What timm reads in a name of RandAugment. It passes over the rest, so that a slip is not seen.
RAND_AUGMENT = re.compile(r"rand(-(mstd|mmax|inc|m|n|p|w)\d+(\.\d+)?)*")

MixupMode = Literal["batch", "pair", "elem"]
EraseMode = Literal["pixel", "rand", "const"]


@dataclass(frozen=True)
class Sa3Recipe:
    """How to train.

    Attributes:
        epochs: number of epochs.
        batch: images per forward pass; even, because mixing pairs them.
        passes: forward passes per step, of all processes together; the published 4 on each of 4.
        base_lr: learning rate of an effective batch of 256 images.
        lr: highest learning rate; None: base_lr times the effective batch / 256.
        min_lr: learning rate at the end.
        warmup_epochs: epochs in which the learning rate rises from 0.
        layer_decay: learning rate of a layer, as a share of the next one's.
        weight_decay: of AdamW.
        drop_path: share of the residual branches that are dropped, in the last block.
        clip_grad: largest norm of the gradient; None: any.
        smoothing: of the labels.
        mixup: alpha of mixup; 0: none.
        cutmix: alpha of CutMix; 0: none.
        mixup_prob: share of the batches that are mixed; of the images, in mode elem or pair.
        mixup_switch_prob: share of these that take CutMix, where the recipe has both.
        mixup_mode: what a mixture's weight is drawn for: a batch, a pair of images, or an image.
        erase: share of the images with erased rectangles.
        remode: what an erased rectangle gets: noise for each pixel, one random colour, or the mean.
        recount: most rectangles of an image; their areas are divided by their number.
        resplit: erase nothing in the first half of each forward pass.
        augment: RandAugment as timm writes it; none: only crops and mirroring.
        color_jitter: largest change of brightness, contrast and saturation, as a share; None: none.
        seed: of everything that is random.
    """

    epochs: int = 100
    batch: int = 64
    passes: int = ACCUMULATE * PROCESSES
    base_lr: float = 5e-4
    lr: float | None = None
    min_lr: float = 1e-6
    warmup_epochs: int = 5
    layer_decay: float = 0.65
    weight_decay: float = 0.05
    drop_path: float = 0.1
    clip_grad: float | None = None
    smoothing: float = 0.1
    mixup: float = 0.8
    cutmix: float = 1.0
    mixup_prob: float = 1.0
    mixup_switch_prob: float = 0.5
    mixup_mode: MixupMode = "batch"
    erase: float = 0.25
    remode: EraseMode = "pixel"
    recount: int = 1
    resplit: bool = False
    augment: str = "rand-m9-mstd0.5-inc1"
    color_jitter: float | None = None
    seed: int = 0

    @property
    def effective_batch(self) -> int:
        """Images per step."""
        return self.batch * self.passes

    @property
    def peak_lr(self) -> float:
        """Highest learning rate."""
        if self.lr is not None:
            return self.lr
        return self.base_lr * self.effective_batch / PER_EFFECTIVE_BATCH


def check_recipe(recipe: Sa3Recipe, *, world: int) -> None:
    """Refuse a recipe that cannot be followed.

    Args:
        recipe: how to train.
        world: number of processes.

    Raises:
        UserError: an option is unknown, or two do not fit to each other.
    """
    if recipe.augment != NO_AUGMENT and not RAND_AUGMENT.fullmatch(recipe.augment):
        raise UserError(
            f"--augment {recipe.augment}: neither {NO_AUGMENT} nor such as {Sa3Recipe.augment}"
        )
    if recipe.color_jitter is not None and recipe.augment != NO_AUGMENT:
        raise UserError(
            f"--color-jitter {recipe.color_jitter}: only with --augment {NO_AUGMENT}; timm leaves "
            "it out beside RandAugment"
        )
    if recipe.batch % 2 and (recipe.mixup or recipe.cutmix):
        raise UserError(f"--train-batch {recipe.batch}: odd; mixup and CutMix mix images in pairs")
    if recipe.warmup_epochs >= recipe.epochs:
        raise UserError(
            f"--warmup-epochs {recipe.warmup_epochs}: not fewer than --epochs {recipe.epochs}"
        )
    assert recipe.passes % world == 0, (recipe.passes, world)


def check_count(images: int, recipe: Sa3Recipe) -> None:
    """Refuse images that are too few for a step.

    Raises:
        ValueError: the message says how many a step takes.
    """
    if images < recipe.effective_batch:
        raise ValueError(
            f"{images} images, but a step takes {recipe.effective_batch}: --train-batch times "
            "--accumulate times the processes; make one of them smaller"
        )
