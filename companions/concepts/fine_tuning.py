"""Training a network a little further on chosen images.

    tuned = fine_tune(network, load, targets, Recipe(steps=200))    # a new network

AdamW on cross entropy; the learning rate rises linearly over the first tenth of the steps and falls
as a cosine. Images are mirrored at random; in a share of them a rectangle is replaced by the mean
colour (Zhong et al., "Random Erasing", AAAI 2020), or cells of a grid are (Singh and Lee,
"Hide-and-Seek", ICCV 2017: hidden regions are then ordinary to the network, and explanations by
hiding are fair). Mixup and CutMix exist for recipes that want them. Every step draws from a
generator of its own, so a run that was interrupted and continues from its checkpoint gives the same
weights as one that was not.
"""

import copy
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR
from torchvision.transforms import v2

from companions.training.checkpoint import load_checkpoint, write_checkpoint
from companions.training.seeds import seeded
from scoring.baselines import IMAGENET_MEAN_COLOUR
from scoring.networks import Network, two_logits

WARM_UP = 0.1  # share of the steps in which the learning rate rises
CHECKPOINTS = 10  # in a run
GRID = 7  # of the cells that are hidden
# Of an erased rectangle: share of the image, and height by width.
ERASED_AREA = (0.04, 0.36)
ERASED_RATIO = (1 / 3, 3.0)
HIDDEN_CELLS = (0.1, 0.8)  # share of the cells that Hide-and-Seek hides

# First numbers of the generators' seeds.
STEP_STREAM = 1
ORDER_STREAM = 2


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        steps: of training.
        batch: images per step.
        lr: highest learning rate.
        weight_decay: of AdamW.
        erase: share of the images with a rectangle replaced.
        hide: share of the images with cells of a grid replaced.
        mixup: alpha of mixup; 0: none.
        cutmix: alpha of CutMix; 0: none.
        seed: of everything that is random.
    """

    steps: int = 200
    batch: int = 16
    lr: float = 1e-4
    weight_decay: float = 0.05
    erase: float = 0.25
    hide: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    seed: int = 0


DEFAULT_RECIPE = Recipe()


# ---------------------------------------------------------------- training


def fine_tune(
    network: Network,
    load: Callable[[int], np.ndarray],
    targets: Sequence[int] | np.ndarray,
    recipe: Recipe = DEFAULT_RECIPE,
    *,
    checkpoint: Path | None = None,
    on_step: Callable[[float], None] = lambda loss: None,
    identity: str = "",
) -> Network:
    """Train a network on images 0 .. len(targets) - 1.

    Args:
        network: where to begin; it is not changed.
        load: i to image i, (H, W, 3) uint8 at the network's size.
        targets: class indices of the images.
        recipe: how to train.
        checkpoint: a file that the state is kept in after every tenth of the steps, and that the
            training continues from where it is of this same run; it is removed at the end.
        on_step: called with the loss of each step; NaN for steps that a checkpoint has.
        identity: what tells these images from others (Labelled.identity), so that a checkpoint of
            other images is not used.

    Returns:
        A new network, frozen and in eval mode.

    Raises:
        ValueError: there is no image.
        FloatingPointError: the loss is NaN or infinite.
    """
    if not len(targets):
        raise ValueError("no image to train on")
    training = _Training(network, load, targets=targets, recipe=recipe)
    run = run_name(network, identity, targets=targets, recipe=recipe)
    done = training.resume(checkpoint, run) if checkpoint else 0
    for _ in range(done):
        on_step(float("nan"))
    for step in range(done, recipe.steps):
        on_step(training.take(step))
        if checkpoint and (step + 1) % max(1, recipe.steps // CHECKPOINTS) == 0:
            training.keep(checkpoint, run, step=step + 1)
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    return replace(network, module=training.module.eval().requires_grad_(False))


class _Training:
    """A network in training: its weights, the optimizer and the schedule."""

    def __init__(
        self,
        network: Network,
        load: Callable[[int], np.ndarray],
        *,
        targets: Sequence[int] | np.ndarray,
        recipe: Recipe,
    ):
        self.network = network
        self.load = load
        self.targets = targets
        self.recipe = recipe
        self.module = copy.deepcopy(network.module).requires_grad_(True)
        self.optimizer = torch.optim.AdamW(
            self.module.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
        )
        self.schedule = learning_rates(self.optimizer, recipe.steps)

    def take(self, step: int) -> float:
        """Take one step of training; return its loss."""
        images, target = batch_of(
            self.network, self.load, targets=self.targets, recipe=self.recipe, step=step
        )
        with seeded(self.recipe.seed + step, self.network.device):  # for dropout
            loss = F.cross_entropy(training_logits(self.module.train()(images)), target)
        if not loss.isfinite():
            raise FloatingPointError(
                f"the loss is {loss.item()} at step {step + 1}: a lower learning rate may help"
            )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.item()

    def keep(self, path: Path, run: str, step: int) -> None:
        """Write a checkpoint, atomically."""
        state = {
            "run": run,
            "step": step,
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        write_checkpoint(state, path)

    def resume(self, path: Path, run: str) -> int:
        """Load a checkpoint where it is whole and of this run; return the steps that it has."""
        state = load_checkpoint(path, ("run", "step", "module", "optimizer", "schedule"))
        if state is None or state["run"] != run:
            return 0
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        return state["step"]


def training_logits(output) -> torch.Tensor:
    """Return logits (B, classes) of what a module returns in training.

    GoogLeNet and Inception return a tuple then; a single logit of a sigmoid becomes the two whose
    softmax it is.
    """
    return two_logits(getattr(output, "logits", output))


def learning_rates(optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler:
    """Return the schedule: a linear rise to the optimizer's learning rate, then half a cosine."""
    warm = max(1, round(WARM_UP * steps))
    falling = CosineAnnealingLR(optimizer, T_max=steps - warm + 1)
    if warm == 1:
        return falling
    rising = LinearLR(optimizer, start_factor=1 / warm, total_iters=warm - 1)
    return SequentialLR(optimizer, [rising, falling], milestones=[warm - 1])


# ---------------------------------------------------------------- the images of a step


def batch_of(
    network: Network,
    load: Callable[[int], np.ndarray],
    *,
    targets: Sequence[int] | np.ndarray,
    recipe: Recipe,
    step: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images (B, 3, H, W) and targets (B, classes) of a step."""
    chosen = image_numbers(len(targets), recipe, step=step)
    seed = np.random.default_rng([recipe.seed, STEP_STREAM, step]).integers(2**63)
    with seeded(int(seed)):
        augment = augmentation(recipe)
        images = []
        for i in chosen:
            pixels = augment(torch.tensor(load(i)).permute(2, 0, 1))
            images.append(network.prepare(pixels.permute(1, 2, 0).numpy()))
        target = torch.tensor([int(targets[i]) for i in chosen], device=network.device)
        return mixed(torch.stack(images), target, recipe=recipe, classes=network.classes)


def image_numbers(count: int, recipe: Recipe, step: int) -> list[int]:
    """Return which images are shown in one step: every image once before any comes again."""
    places = range(step * recipe.batch, (step + 1) * recipe.batch)
    orders = {}
    for n in {place // count for place in places}:
        orders[n] = np.random.default_rng([recipe.seed, ORDER_STREAM, n]).permutation(count)
    return [int(orders[place // count][place % count]) for place in places]


def augmentation(recipe: Recipe) -> v2.Transform:
    """Return what varies an image, a uint8 tensor (3, H, W)."""
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomErasing(
                p=recipe.erase,
                scale=ERASED_AREA,
                ratio=ERASED_RATIO,
                value=list(IMAGENET_MEAN_COLOUR),
            ),
            v2.RandomApply([v2.Lambda(hide_cells)], p=recipe.hide),
        ]
    )


def hide_cells(image: torch.Tensor) -> torch.Tensor:
    """Replace random cells of a grid by the mean colour, in an image (3, H, W)."""
    _, height, width = image.shape
    share = torch.empty(()).uniform_(*HIDDEN_CELLS)
    hidden = torch.rand(GRID, GRID) < share
    rows = torch.arange(height) * GRID // height
    columns = torch.arange(width) * GRID // width
    colour = torch.tensor(IMAGENET_MEAN_COLOUR, dtype=image.dtype).view(3, 1, 1)
    return torch.where(hidden[rows][:, columns], colour, image)


def mixed(
    images: torch.Tensor, target: torch.Tensor, recipe: Recipe, *, classes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix a batch by mixup or CutMix, where the recipe has them.

    Args:
        images: (B, 3, H, W).
        target: (B,) class indices.
        recipe: how to train.
        classes: number of classes.

    Returns:
        Images of the same shape, and targets (B, classes).
    """
    mixing = []
    if recipe.mixup:
        mixing.append(v2.MixUp(alpha=recipe.mixup, num_classes=classes))
    if recipe.cutmix:
        mixing.append(v2.CutMix(alpha=recipe.cutmix, num_classes=classes))
    if not mixing:
        return images, F.one_hot(target, classes).float()
    return v2.RandomChoice(mixing)(images, target)


# ---------------------------------------------------------------- which run it is


def run_name(
    network: Network, identity: str, *, targets: Sequence[int] | np.ndarray, recipe: Recipe
) -> str:
    """Return one word for what must agree for a checkpoint to be of the same run."""
    description = {
        "model": network.description(),
        "images": identity,
        "targets": [int(target) for target in targets],
        "recipe": asdict(recipe),
    }
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()
