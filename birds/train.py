"""Train the bundled model: a ShuffleNetV2 x1.0 on drawn birds, from nothing, on two CPU cores.

    python -m birds.train           # birds/birds.safetensors, birds_labels.txt, train.log; 45 min
    python -m birds.train --scenes 64 --epochs 1 --test-scenes 24 --set-scenes 1 --out Results/trial

The network has to know masked images, so that "only these patches are visible" is an ordinary
question to it. Two thirds of what it sees is hidden in part: patches covered by one of the
program's baselines, or parts left out of the drawing. Its target is then what can be known: the
classes that agree with every part in sight, equally likely (birds.painter.consistent_classes).
Where a part is half visible, or a baseline hides little (median, mixed), the target is the class of
the scene, and the network learns from frequencies how much that sight is worth.

Most epochs run at 112 x 112, the last ones at 224 x 224 (Touvron et al., NeurIPS 2019: a network
adapts to a resolution in few epochs): the same accuracy in half the time.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from running.command_line import (
    Between,
    Count,
    CountOrZero,
    Seed,
    exit_status,
    parse,
    settings_dict,
)

PROG = "python -m birds.train"
HERE = Path(__file__).resolve().parent
LearningRate = Annotated[float, Between(0, 10, "a learning rate above 0", open_low=True)]


@dataclass(frozen=True)
class Settings:
    """Settings of the training."""

    scenes: Count = 16000  # scenes to train on
    epochs: CountOrZero = 11  # epochs at 112 x 112
    final_epochs: CountOrZero = 3  # epochs at 224 x 224
    batch: Count = 64  # images per step
    lr: LearningRate = 4e-3  # highest learning rate
    workers: Count = 2  # processes that draw
    seed: Seed = 0  # of the weights and the masks
    test_scenes: Count = 2000  # fresh scenes that the accuracy is measured on
    set_scenes: Count = 10  # fresh scenes of each class and set of parts
    out: Path = HERE  # folder to write to


if (
    __name__ == "__main__"
):  # before PyTorch is imported, so that --help and a bad option answer at once
    parse(Settings, prog=PROG, doc=__doc__)

import time
from itertools import combinations
from multiprocessing import get_context

import cv2
import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save
from tqdm import tqdm

from birds.painter import CLASSES, PARTS, consistent_classes, draw_scene, minimal_sufficient_parts
from get_perturbation_mask import make_baseline
from scoring.patches import tents
from scoring.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from utils import UserError, write_atomically

GRID = 7
SIZE = 224
SMALL_SIZE = 112
SEEN = 0.5  # a part counts as seen above this share of its area ..
UNSEEN = 0.06  # .. and as not seen below this one
BASELINE_ODDS = {"black": 0.5, "mean": 0.15, "blur": 0.15, "median": 0.1, "mixed": 0.1}
FAINT_BASELINES = ("median", "mixed")  # what they cover can still be recognised
WHOLE_ODDS = 0.65  # probability that all parts are drawn
UNMASKED_ODDS = 0.35  # probability that no patch is covered
TRAIN_SEED = 0  # scenes to train on ..
FRESH_SEED = 10**6  # .. and scenes that the network has not seen
PART_BITS = 2 ** np.arange(len(PARTS))
CLASS_TARGET = -1  # in place of the bits of seen parts: the target is the scene's class

Log = Callable[[str], None]


# ---------------------------------------------------------------- scenes and targets


@dataclass(frozen=True)
class TrainingScene:
    """A scene to train on.

    Attributes:
        image: (224, 224, 3) uint8.
        category: index of its class.
        drawn: (5,) bool, whether each part is drawn.
        share: (49, 5) float32, of each part's area, by patch.
    """

    image: np.ndarray
    category: int
    drawn: np.ndarray
    share: np.ndarray


def training_scene(seed: int) -> TrainingScene:
    """Draw a scene of a random class, in a third of them without some of the parts."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, 3])
    category = int(rng.integers(len(CLASSES)))
    drawn = np.ones(len(PARTS), bool)
    if rng.random() < 1 - WHOLE_ODDS:
        drawn = rng.random(len(PARTS)) < rng.uniform(0.2, 0.9)
    parts = [part for part, is_drawn in zip(PARTS, drawn, strict=True) if is_drawn]
    scene = draw_scene(CLASSES[category][1], [seed, 5], parts=parts)
    basis = tents((GRID, GRID), (SIZE, SIZE)).numpy()  # (49, H * W)
    share = np.zeros((GRID * GRID, len(PARTS)), np.float32)
    for part in parts:
        mask = scene.masks[part].reshape(-1)
        share[:, PARTS.index(part)] = basis[:, mask].sum(1) / mask.sum()
    return TrainingScene(scene.image, category, drawn=drawn, share=share)


def knowable_targets() -> torch.Tensor:
    """Return the target for each class and set of seen parts: equal odds on what agrees.

    Returns:
        (12 classes, 32 sets of seen parts as bits, 12) float32.
    """
    table = torch.zeros(len(CLASSES), 2 ** len(PARTS), len(CLASSES))
    for category, (_, variants) in enumerate(CLASSES):
        for bits in range(2 ** len(PARTS)):
            seen = {part: variants[i] for i, part in enumerate(PARTS) if bits >> i & 1}
            agreeing = consistent_classes(seen)
            table[category, bits, agreeing] = 1 / len(agreeing)
    return table


def random_mask(share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a mask of the patches, (49,) in [0, 1], 1 for visible.

    It shows random patches, or those of some of the parts, or is smooth as I-GOS's masks are.

    Args:
        share: (49, 5), of each part's area, by patch.
        rng: what it is drawn from.
    """
    kind = rng.random()
    if kind >= 0.9:
        strength = rng.uniform(0, 1)
        noise = rng.random(GRID * GRID).astype(np.float32)
        return strength * noise ** rng.uniform(0.1, 2)
    patches = np.zeros(GRID * GRID, np.float32)
    if kind < 0.4:
        patches[rng.permutation(GRID * GRID)[: rng.integers(0, 15)]] = 1
        return patches
    chosen = rng.random(len(PARTS)) < rng.uniform(0.15, 0.7)
    patches[(share * chosen).max(1) > rng.uniform(0.04, 0.3)] = 1
    patches[rng.permutation(GRID * GRID)[: rng.integers(0, 4)]] = 1
    return patches


def hide(
    scene: TrainingScene, basis: np.ndarray, *, side: int, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Return one training image, most often hidden in part, and what can be seen in it.

    Args:
        scene: what to show.
        basis: (49, H * W), the pixels of each patch.
        side: of the image returned.
        rng: what the mask and the baseline are drawn from.

    Returns:
        (side, side, 3) float32 in 0..255, and the seen parts as bits, or CLASS_TARGET.
    """
    if rng.random() < UNMASKED_ODDS:
        return _resized(scene.image, side).astype(np.float32), int((scene.drawn * PART_BITS).sum())
    name = rng.choice(list(BASELINE_ODDS), p=list(BASELINE_ODDS.values()))
    patches = random_mask(scene.share, rng)
    visible = patches @ scene.share
    weight = (patches @ basis).reshape(SIZE, SIZE, 1)
    baseline = make_baseline(scene.image, name).astype(np.float32)
    image = _resized(baseline + weight * (scene.image - baseline), side)
    half_seen = ((visible > UNSEEN) & (visible < SEEN)).any()
    if name in FAINT_BASELINES or half_seen:
        return image, CLASS_TARGET
    return image, int(((visible >= SEEN) * PART_BITS).sum())


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    if side == SIZE:
        return image
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


def normalised(images: np.ndarray) -> torch.Tensor:
    """Return images (B, H, W, 3) in 0..255 as the network gets them, (B, 3, H, W)."""
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float() / 255
    x = (x - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(3, 1, 1)
    return x.contiguous(memory_format=torch.channels_last)


class Batches:
    """Makes batches of partly hidden scenes and their targets."""

    def __init__(self, scenes: Sequence[TrainingScene], rng: np.random.Generator):
        self.scenes = scenes
        self.rng = rng
        self.targets = knowable_targets()
        self.basis = tents((GRID, GRID), (SIZE, SIZE)).numpy()

    def batch(self, rows: Sequence[int], side: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images (B, 3, side, side) and targets (B, 12) of some of the scenes."""
        chosen = [self.scenes[i] for i in rows]
        hidden = [hide(scene, self.basis, side=side, rng=self.rng) for scene in chosen]
        category = torch.tensor([scene.category for scene in chosen])
        bits = torch.tensor([seen for _, seen in hidden])
        knowable = self.targets[category, bits.clamp(min=0)]
        one_hot = F.one_hot(category, len(CLASSES)).float()
        target = torch.where((bits == CLASS_TARGET)[:, None], one_hot, knowable)
        return normalised(np.stack([image for image, _ in hidden])), target


# ---------------------------------------------------------------- training


def train(settings: Settings, log: Log) -> torch.nn.Module:
    """Train on drawn scenes and return the network, in eval mode."""
    scenes = _drawn_scenes(settings.scenes, settings.workers)
    rng = np.random.default_rng(settings.seed)
    batches = Batches(scenes, rng)
    torch.manual_seed(settings.seed)
    model = torchvision.models.shufflenet_v2_x1_0(num_classes=len(CLASSES))
    model = model.to(memory_format=torch.channels_last)
    sides = [SMALL_SIZE] * settings.epochs + [SIZE] * settings.final_epochs
    steps = settings.scenes // settings.batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=0.03)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.lr, total_steps=steps * len(sides), pct_start=0.1
    )
    for epoch, side in enumerate(sides, 1):
        model.train()
        start = time.time()
        order = rng.permutation(settings.scenes)
        losses = []
        title = f"epoch {epoch}/{len(sides)} at {side}"
        for step in tqdm(range(steps), desc=title, leave=False, disable=None):
            rows = order[step * settings.batch : (step + 1) * settings.batch]
            images, target = batches.batch(rows, side)
            loss = F.cross_entropy(model(images), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        mean = np.mean(losses)
        seconds = time.time() - start
        log(f"epoch {epoch}/{len(sides)}  side {side}  loss {mean:.4f}  {seconds:.0f} s")
    return model.eval()


def _drawn_scenes(number: int, workers: int) -> list[TrainingScene]:
    seeds = range(TRAIN_SEED, TRAIN_SEED + number)
    # Not by fork, which copies locks that OpenCV's or PyTorch's threads may hold.
    with get_context("spawn").Pool(workers) as pool:
        scenes = pool.imap(training_scene, seeds, chunksize=64)
        return list(tqdm(scenes, total=number, desc="drawing", disable=None))


# ---------------------------------------------------------------- the final measurement


@torch.inference_mode()
def probabilities(model: torch.nn.Module, images: np.ndarray) -> torch.Tensor:
    """Return (N, 12) for images (N, 224, 224, 3) uint8."""
    batches = [images[i : i + 50] for i in range(0, len(images), 50)]
    return torch.cat([model(normalised(batch)).softmax(1) for batch in batches])


def measure(model: torch.nn.Module, log: Log, *, scenes: int, set_scenes: int) -> None:
    """Measure the accuracy on fresh scenes, and the confidence on sufficient part sets.

    Args:
        model: the trained network.
        log: gets one line per measurement.
        scenes: fresh scenes that the accuracy is measured on.
        set_scenes: fresh scenes of each class and set of parts.
    """
    target = np.arange(scenes) % len(CLASSES)
    fresh = [
        draw_scene(CLASSES[category][1], [FRESH_SEED + i, 5]).image
        for i, category in enumerate(tqdm(target, desc="fresh scenes", disable=None))
    ]
    full = probabilities(model, np.stack(fresh))
    accuracy = (full.argmax(1).numpy() == target).mean()
    confidence = full[range(scenes), target].mean()
    log(
        f"accuracy on {scenes} fresh scenes: {accuracy:.4f}, "
        f"mean confidence in the true class {confidence:.4f}"
    )
    sufficient, insufficient = _confidence_of_part_sets(model, set_scenes)
    for words, p in (("a sufficient", sufficient), ("an insufficient", insufficient)):
        share = (p > 0.9).float().mean()
        log(
            f"drawn with {words} set of its parts only: "
            f"confidence above 0.9 in {share:.4f} of {len(p)} scenes"
        )


def _confidence_of_part_sets(
    model: torch.nn.Module, scenes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the confidence in the scene's class where sufficient, and insufficient, parts are."""
    sufficient = []
    insufficient = []
    for category, (_, variants) in enumerate(CLASSES):
        minimal = [set(parts) for parts in minimal_sufficient_parts(category)]
        for parts in _proper_part_sets():
            images = [
                draw_scene(variants, [FRESH_SEED + i, 6], parts=parts).image for i in range(scenes)
            ]
            p = probabilities(model, np.stack(images))[:, category]
            if any(needed <= set(parts) for needed in minimal):
                sufficient.append(p)
            else:
                insufficient.append(p)
    return torch.cat(sufficient), torch.cat(insufficient)


def _proper_part_sets() -> list[tuple[str, ...]]:
    return [parts for size in range(len(PARTS)) for parts in combinations(PARTS, size)]


# ---------------------------------------------------------------- command


def run(settings: Settings) -> int:
    """Train, measure, and write the weights, the labels and the log."""
    if settings.scenes < settings.batch or not settings.epochs + settings.final_epochs:
        raise UserError("--scenes, --batch, --epochs: no step of training in them")
    settings.out.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []

    def log(line: str) -> None:
        tqdm.write(line)
        lines.append(line)
        write_atomically(settings.out / "train.log", "\n".join(lines) + "\n")

    start = time.time()
    values = settings_dict(settings)
    del values["out"]
    described = ", ".join(f"{name} {value}" for name, value in values.items())
    log(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {described}")
    model = train(settings, log)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    write_atomically(settings.out / "birds.safetensors", save(state))
    labels = "".join(f"{name}\n" for name, _ in CLASSES)
    write_atomically(settings.out / "birds_labels.txt", labels)
    log(f"trained in {(time.time() - start) / 60:.1f} min")
    measure(model, log, scenes=settings.test_scenes, set_scenes=settings.set_scenes)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return exit_status(PROG, lambda: run(parse(Settings, argv, prog=PROG, doc=__doc__)))


if __name__ == "__main__":
    sys.exit(main())
