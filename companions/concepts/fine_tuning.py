"""Training a network a little further on chosen images.

    tuned = fine_tune(network, load, truth, Recipe(steps=200))          # the network given is left as it was

AdamW on cross entropy; the learning rate rises over the first tenth of the steps and falls as a cosine. Pictures are mirrored at
random, and in a share of them a rectangle is filled with the mean colour (Zhong et al., "Random Erasing", AAAI 2020), or cells of a grid
(Singh and Lee, "Hide-and-Seek", ICCV 2017: hidden regions are then ordinary to the network, and explanations by hiding fair). Mixup and
CutMix are there for recipes that want them. Every step draws from a generator of its own, so a run that was cut off and goes on
from its checkpoint gives the same weights as one that was not.
"""

import copy
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import cos, pi
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.transforms import v2

from get_perturbation_mask import IMAGENET_MEAN_COLOUR
from scoring.networks import Network

WARM_UP = 0.1  # share of the steps in which the learning rate rises
CHECKPOINTS = 10  # in a run
GRID = 7  # of the cells that are hidden


@dataclass(frozen=True)
class Recipe:
    """How to train. erase, hide: share of the pictures with a rectangle, with cells of a grid filled; mixup, cutmix: their alpha, 0 for none."""

    steps: int = 200
    batch: int = 16
    lr: float = 1e-4
    weight_decay: float = 0.05
    erase: float = 0.25
    hide: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    seed: int = 0


def fine_tune(
    network: Network,
    load: Callable[[int], np.ndarray],
    truth: Sequence[int],
    recipe: Recipe = Recipe(),
    checkpoint: Path | None = None,
    on_step: Callable[[float], None] = lambda loss: None,
    pictures: str = "",
) -> Network:
    """The network trained on images 0 .. len(truth) - 1, as a new one, frozen and in eval mode.

    load(i): (H, W, 3) uint8 at the network's size. checkpoint: a file to go on from, where it is of this same run, and to keep the
    state in every tenth of the steps; it is removed at the end. on_step: called with the loss of each step. pictures: what tells
    these images from others, so that no checkpoint of others is gone on from (Labelled.identity). Raises ValueError without an
    image, FloatingPointError where the loss is no number.
    """
    if not len(truth):
        raise ValueError("no image to train on")
    module = copy.deepcopy(network.module).requires_grad_(True)
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
    )
    run = run_name(network, pictures, truth, recipe)
    done = _go_on(checkpoint, run, module, optimizer)
    for _ in range(done):
        on_step(float("nan"))
    for step in range(done, recipe.steps):
        x, target = _batch(network, load, truth, recipe, step)
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * rate(step, recipe.steps)
        with torch.random.fork_rng(
            devices=[network.device] if network.device.type == "cuda" else []
        ):
            torch.manual_seed(recipe.seed + step)  # for dropout
            loss = F.cross_entropy(two_logits(module.train()(x)), target)
        if not loss.isfinite():
            raise FloatingPointError(
                f"the loss is {loss.item()} at step {step + 1}: a lower learning rate may help"
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        on_step(loss.item())
        if checkpoint and (step + 1) % max(1, recipe.steps // CHECKPOINTS) == 0:
            _keep(
                checkpoint,
                {
                    "run": run,
                    "step": step + 1,
                    "module": module.state_dict(),
                    "optimizer": optimizer.state_dict(),
                },
            )
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    return replace(network, module=module.eval().requires_grad_(False))


def rate(step: int, steps: int) -> float:
    """The learning rate of a step as a share of its highest: up in a straight line, down as a cosine."""
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + cos(pi * (step - warm + 1) / (steps - warm + 1)))


def two_logits(output) -> torch.Tensor:
    """Logits (B, classes), of GoogLeNet's and Inception's tuple in training too; a single logit of a sigmoid as the two whose softmax it is."""
    output = getattr(output, "logits", output)
    return torch.cat([-output, output], 1) / 2 if output.shape[1] == 1 else output


# ---------------------------------------------------------------- a step's pictures


def _batch(
    network: Network, load, truth: Sequence[int], recipe: Recipe, step: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """-> pictures (B, 3, H, W), targets (B, classes). Every image once before any comes again."""
    rng = np.random.default_rng([recipe.seed, 1, step])
    size, rounds = len(truth), {}
    places = range(step * recipe.batch, (step + 1) * recipe.batch)
    for n in {place // size for place in places}:
        rounds[n] = np.random.default_rng([recipe.seed, 2, n]).permutation(size)
    chosen = [int(rounds[place // size][place % size]) for place in places]
    pictures = torch.stack([network.prepare(_varied(load(i), recipe, rng)) for i in chosen])
    target = torch.tensor([int(truth[i]) for i in chosen], device=network.device)
    mixing = [
        kind(alpha=alpha, num_classes=network.classes)
        for kind, alpha in ((v2.MixUp, recipe.mixup), (v2.CutMix, recipe.cutmix))
        if alpha
    ]
    if not mixing:
        return pictures, F.one_hot(target, network.classes).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        return mixing[int(rng.integers(len(mixing)))](pictures, target)


def _varied(image: np.ndarray, recipe: Recipe, rng) -> np.ndarray:
    """The image, mirrored or not, perhaps with a rectangle of a fifth to three fifths of its sides filled, perhaps with cells hidden."""
    image = np.array(image[:, ::-1] if rng.random() < 0.5 else image)
    height, width = image.shape[:2]
    if rng.random() < recipe.erase:
        tall, wide = (rng.uniform(0.2, 0.6, 2) * (height, width)).astype(int)
        top, left = int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1))
        image[top : top + tall, left : left + wide] = IMAGENET_MEAN_COLOUR
    if rng.random() < recipe.hide:
        hidden = rng.random((GRID, GRID)) < rng.uniform(0.1, 0.8)
        image[hidden[np.arange(height) * GRID // height][:, np.arange(width) * GRID // width]] = (
            IMAGENET_MEAN_COLOUR
        )
    return image


# ---------------------------------------------------------------- going on


def run_name(network: Network, pictures: str, truth: Sequence[int], recipe: Recipe) -> str:
    """What must agree for a checkpoint to be of the same run."""
    told = {
        "model": network.description(),
        "pictures": pictures,
        "truth": [int(t) for t in truth],
        "recipe": asdict(recipe),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _go_on(checkpoint: Path | None, run: str, module: torch.nn.Module, optimizer) -> int:
    """Load the checkpoint where it is whole and of this run. -> the steps done."""
    if not checkpoint or not checkpoint.is_file():
        return 0
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        if state["run"] != run:
            return 0
    except Exception:  # a damaged file fails in many ways: then from the beginning
        return 0
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"]


def _keep(path: Path, state: dict) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    torch.save(state, temporary)
    os.replace(temporary, path)
