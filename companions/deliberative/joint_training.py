"""Training a classifier, or a classifier and a hardness predictor together.

    training = Training(modules, batches, validation, recipe=CLASSIFIER, device=device)
    training.resume(folder)
    training.run(folder)                # <stage>_last.pth, <stage>_best.pth, <stage>_log.csv

Two stages, as in the authors' programs. `classifier`: SGD on the cross entropy. `hardness`: from
the classifier's best weights, which the predictor's trunk begins with too; the classifier by SGD on
the cross entropy weighted by hardness, the predictor by Adam on its own loss.

After every epoch the state is written whole, so that a training that was killed goes on where the
last epoch ended and ends with the same weights. Best is the classifier with the highest accuracy;
with a predictor, the pair with the highest mean accuracy as the hardest 1 %, 2 % .. 99 % of the
validation images are left out.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from companions.deliberative.checkpoints import (
    CLASSIFIER,
    HEAD,
    PREPROCESSING,
    TRUNK,
    Preprocessing,
)
from companions.deliberative.hardness import rank_correlation
from companions.deliberative.hardness_losses import (
    classifier_loss,
    predictor_loss,
    released_loss,
)
from companions.deliberative.own_trunk import HardnessPredictor
from companions.deliberative.training_batches import TrainingBatches
from companions.training.checkpoint import load_checkpoint, on_cpu, write_checkpoint
from companions.training.processes import Place
from companions.training.seeds import mixed
from scoring.weights import state_sha256
from utils import UserError, log, written_beside

Stage = Literal["classifier", "hardness"]
HardnessLoss = Literal["paper", "released"]
CLASSIFIER_DECAY = 0.1  # of the learning rate ..
CLASSIFIER_DECAYS_AFTER = 40 / 60  # .. after this share of the epochs
HARDNESS_DECAY = 0.95  # of the learning rate after each epoch
DROPOUT_STREAM = 3  # first number of the seeds of dropout
STATE = "state"  # what a training goes on with: the entry of a checkpoint
REMOVED = np.arange(1, 100) / 100  # shares of the images, the hardest, that are left out


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are the authors'.

    Attributes:
        stage: classifier or hardness.
        epochs: number of epochs.
        batch: images per step.
        lr: learning rate of the classifier's SGD.
        momentum: of SGD.
        weight_decay: of SGD.
        predictor_lr: learning rate of the predictor's Adam.
        predictor_weight_decay: of Adam.
        loss: of the predictor: towards 1 - p as in the paper, or as released.
        press: of the released loss.
        seed: of order, crops, dropout and new layers.
    """

    stage: Stage = "classifier"
    epochs: int = 60
    batch: int = 64
    lr: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 1e-4
    predictor_lr: float = 1e-5
    predictor_weight_decay: float = 1e-3
    loss: HardnessLoss = "paper"
    press: float = 1.0
    seed: int = 0

    def rate(self, epoch: int) -> float:
        """Return the classifier's learning rate in an epoch, from 0."""
        if self.stage == "hardness":
            return self.lr * HARDNESS_DECAY**epoch
        falls = epoch >= round(CLASSIFIER_DECAYS_AFTER * self.epochs)
        return self.lr * (CLASSIFIER_DECAY if falls else 1)


@dataclass(frozen=True)
class Epoch:
    """What an epoch's line in the log says."""

    epoch: int  # from 1
    lr: float
    loss: float  # mean over the epoch's images
    top1: float  # of the validation images, from 0 to 1
    top5: float
    seconds: float
    predictor_loss: float | None = None
    rank_correlation: float | None = None  # of hardness and 1 - p, on the validation images
    kept_accuracy: float | None = None  # mean, as the hardest are left out

    @property
    def worth(self) -> float:
        """What the best weights are chosen by."""
        return self.top1 if self.kept_accuracy is None else self.kept_accuracy

    def __str__(self) -> str:
        values = {name: value for name, value in asdict(self).items() if value is not None}
        return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in values.items())


class Training:
    """A classifier, and a predictor in the stage hardness, in training.

    Args:
        classifier: from images (B, 3, H, W) to logits (B, C).
        predictor: None in the stage classifier.
        train: batches to train on.
        validation: batches to measure on.
        recipe: how to train.
        place: where.
        about: what the checkpoints say beside weights: arch, and preprocessing.
    """

    def __init__(
        self,
        classifier: nn.Module,
        predictor: HardnessPredictor | None,
        *,
        train: TrainingBatches,
        validation: TrainingBatches,
        recipe: Recipe,
        place: Place,
        about: dict[str, Any],
    ):
        first_weights = state_sha256(classifier)
        self.classifier = classifier.requires_grad_(True).to(place.device)
        self.predictor = predictor.requires_grad_(True).to(place.device) if predictor else None
        self.train = train
        self.validation = validation
        self.recipe = recipe
        self.place = place
        self.about = about
        self.optimizers = self._optimizers()
        self.scaler = torch.amp.GradScaler(
            place.device.type, enabled=place.precision == torch.float16
        )
        self.identity = {
            **asdict(recipe),
            **about,
            "training images": train.images.sha256(),
            "validation images": validation.images.sha256(),
            "first weights": first_weights,
        }
        self.best = -1.0
        self.done: list[Epoch] = []

    def run(self, folder: Path, on_epoch: Callable[[Epoch], None] = lambda epoch: None) -> None:
        """Train to the end, from where resume() found it; files go into the folder.

        Args:
            folder: where the checkpoints and the log go.
            on_epoch: called after each epoch's checkpoint is written.

        Raises:
            FloatingPointError: the loss is NaN or infinite.
        """
        step = self._parallel()
        for number in range(len(self.done), self.recipe.epochs):
            epoch = self._epoch(number, step)
            self.done.append(epoch)
            if self.place.rank == 0:
                log(str(epoch))
                self._write(folder, is_best=epoch.worth > self.best)
                on_epoch(epoch)
            self.best = max(self.best, epoch.worth)

    # ---------------------------------------------------------------- an epoch

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        recipe = self.recipe
        found: list[torch.optim.Optimizer] = [
            torch.optim.SGD(
                self.classifier.parameters(),
                lr=recipe.lr,
                momentum=recipe.momentum,
                weight_decay=recipe.weight_decay,
            )
        ]
        if self.predictor is not None:
            found.append(
                torch.optim.Adam(
                    self.predictor.parameters(),
                    lr=recipe.predictor_lr,
                    weight_decay=recipe.predictor_weight_decay,
                )
            )
        return found

    def _parallel(self) -> "Forward":
        """Return the modules' forward pass, which shares gradients with the other processes."""
        forward = Forward(self.classifier, self.predictor)
        if self.place.world == 1:
            return forward
        devices = [self.place.device] if self.place.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(forward, device_ids=devices)  # type: ignore

    def _epoch(self, number: int, forward: "Forward") -> Epoch:
        start = time.monotonic()
        rate = self.recipe.rate(number)
        for group in self.optimizers[0].param_groups:
            group["lr"] = rate
        torch.manual_seed(mixed(DROPOUT_STREAM, self.recipe.seed, number, self.place.rank))
        losses = self._train(number, forward)
        found = measure(self.classifier, self.predictor, self.validation, self.place)
        return Epoch(
            epoch=number + 1,
            lr=rate,
            loss=losses[0],
            predictor_loss=losses[1] if self.predictor is not None else None,
            seconds=time.monotonic() - start,
            **found,
        )

    def _train(self, number: int, forward: "Forward") -> list[float]:
        """Take an epoch's steps; return the mean losses of classifier and predictor."""
        forward.train()
        totals = [0.0, 0.0]
        count = 0
        batches = self.train.epoch(number, rank=self.place.rank, world=self.place.world)
        label = f"{self.recipe.stage}, epoch {number + 1} of {self.recipe.epochs}"
        hidden = True if self.place.rank else None  # None: where stderr is no terminal
        for images, targets in tqdm(batches, desc=label, leave=False, disable=hidden):
            losses = self._step(forward, images.to(self.place.device), targets)
            for place, loss in enumerate(losses):
                totals[place] += loss * len(images)
            count += len(images)
        return [total / max(1, count) for total in totals]

    def _step(
        self, forward: "Forward", images: torch.Tensor, targets: torch.Tensor
    ) -> tuple[float, float]:
        """Take one step; return the losses of classifier and predictor."""
        targets = targets.to(self.place.device)
        with self.place.autocast():
            logits, z = forward(images)
        mine, other = losses_of(logits.float(), z, targets, self.recipe)
        if not torch.isfinite(mine + other):
            raise FloatingPointError("the loss is NaN or infinite; a lower --lr may help")
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        # Neither loss reaches the other's weights: one backward pass serves both.
        self.scaler.scale(mine + other).backward()
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        return float(mine.detach()), float(other.detach())

    # ---------------------------------------------------------------- files

    def resume(self, folder: Path) -> None:
        """Go on from the last checkpoint in a folder, where there is one.

        Raises:
            UserError: it is damaged, or another training's.
        """
        path = folder / f"{self.recipe.stage}_last.pth"
        if not path.is_file():
            return
        content = load_checkpoint(path, (STATE, CLASSIFIER))
        if content is None:
            raise UserError(f"{path}: not a checkpoint to go on from; remove it")
        state = content[STATE]
        identity = state["identity"]
        others = [key for key, own in self.identity.items() if identity.get(key) != own]
        if others:
            raise UserError(
                f"{path}: of another training (other {', '.join(others)}); pass --overwrite or "
                "another --results"
            )
        self.classifier.load_state_dict(content[CLASSIFIER])
        if self.predictor is not None:
            self.predictor.trunk.load_state_dict(content[TRUNK])
            self.predictor.head.load_state_dict(content[HEAD])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.scaler.load_state_dict(state["scaler"])
        self.best = state["best"]
        self.done = [Epoch(**epoch) for epoch in state["epochs"]]
        if self.place.rank == 0:
            log(f"{path}: goes on after epoch {len(self.done)}")

    def _write(self, folder: Path, *, is_best: bool) -> None:
        """Write the last checkpoint, the best where it is that, and the log; the last one last."""
        stage = self.recipe.stage
        epochs = [asdict(epoch) for epoch in self.done]
        content = self.content()
        if is_best:
            write_checkpoint(content, folder / f"{stage}_best.pth")
        names = list(epochs[0])
        rows = [",".join("" if e[n] is None else f"{e[n]:.6g}" for n in names) for e in epochs]
        with written_beside(folder / f"{stage}_log.csv") as new:
            new.write_text("\n".join([",".join(names), *rows, ""]))
        state = {
            "identity": self.identity,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "scaler": self.scaler.state_dict(),
            "best": max(self.best, self.done[-1].worth),
            "epochs": epochs,
        }
        write_checkpoint({**content, STATE: state}, folder / f"{stage}_last.pth")

    def content(self) -> dict[str, Any]:
        """Return the weights as checkpoints have them."""
        content = {**self.about, "epoch": len(self.done), CLASSIFIER: on_cpu(self.classifier)}
        if self.predictor is not None:
            content[TRUNK] = on_cpu(self.predictor.trunk)
            content[HEAD] = on_cpu(self.predictor.head)
        return content


class Forward(nn.Module):
    """Both modules in one forward pass, as distributed training wants it."""

    def __init__(self, classifier: nn.Module, predictor: nn.Module | None):
        super().__init__()
        self.classifier = classifier
        self.predictor = predictor

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return logits (B, C), and those of the hardness (B,) where there is a predictor."""
        logits = self.classifier(images)
        return logits, None if self.predictor is None else self.predictor(images)[:, 0]


def losses_of(
    logits: torch.Tensor, z: torch.Tensor | None, targets: torch.Tensor, recipe: Recipe
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the losses of classifier and predictor; the predictor's is 0 where there is none."""
    if z is None:
        return F.cross_entropy(logits, targets), logits.new_zeros(())
    if recipe.loss == "released":
        other = released_loss(logits, targets, z, press=recipe.press)
    else:
        other = predictor_loss(logits, targets, z)
    return classifier_loss(logits, targets, z.float()), other


# ---------------------------------------------------------------- measuring


@torch.no_grad()
def measure(
    classifier: nn.Module,
    predictor: nn.Module | None,
    validation: TrainingBatches,
    place: Place,
) -> dict[str, float]:
    """Return top1, top5 and, with a predictor, rank_correlation and kept_accuracy."""
    classifier.eval()
    logits = []
    hardness = []
    targets = []
    if predictor is not None:
        predictor.eval()
    for images, classes in validation.in_order():
        with place.autocast():
            logits.append(classifier(images.to(place.device)).float().cpu())
            if predictor is not None:
                hardness.append(predictor(images.to(place.device))[:, 0].float().cpu())
        targets.append(classes)
    answers = torch.cat(logits)
    wanted = torch.cat(targets)
    found = accuracies(answers, wanted)
    if predictor is not None:
        predicted = torch.cat(hardness)
        hard = 1 - answers.softmax(1).gather(1, wanted[:, None])[:, 0]
        found["rank_correlation"] = rank_correlation(predicted, hard)
        found["kept_accuracy"] = kept_accuracy(answers.argmax(1) == wanted, predicted)
    return found


def accuracies(logits: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
    """Return the shares of images whose class is the most probable, and among the first five."""
    order = logits.topk(min(5, logits.shape[1])).indices
    hits = order == targets[:, None]
    return {"top1": float(hits[:, 0].float().mean()), "top5": float(hits.any(1).float().mean())}


def kept_accuracy(is_right: torch.Tensor, hardness: torch.Tensor) -> float:
    """Return the mean accuracy of what is left as the hardest 1 %, 2 % .. 99 % are left out.

    Args:
        is_right: (N,) bool.
        hardness: (N,).
    """
    right = is_right[hardness.argsort(stable=True)].float().cumsum(0)
    kept = len(right) - (REMOVED * len(right)).astype(int)
    return float(np.mean([float(right[count - 1]) / count for count in kept if count > 0]))


def preprocessing(side: int, mean: tuple[float, ...], std: tuple[float, ...], labels: list[str]):
    """Return what a checkpoint says of how images come to the network, and of its classes."""
    said = Preprocessing(size=side, mean=mean, std=std, labels=labels)
    return {PREPROCESSING: msgspec.to_builtins(said)}
