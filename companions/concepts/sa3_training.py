"""Training a network of timm on chosen images as SA3 does: MAE's fine-tuning.

    training = Sa3Training(network, images, test=test, recipe=Sa3Recipe(), place=place)
    module = training.run(checkpoint, log_file=Path("active_log.csv"))

The optimizer, its schedule, the variation and mixing of images and the loss are timm's
(sa3_parts.py). A step takes `passes` forward passes of `batch` images. Each of them has its own
images and its own seeds, whichever process runs it, so that two processes give the weights of one
that runs all the passes, up to rounding. After every epoch the state is written whole: a training
that was killed goes on from there, and gives the weights of one that was not.
"""

import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import msgspec
import torch
import torch.nn.functional as F
from msgspec import Struct
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.functional import normalize, to_tensor
from tqdm import tqdm

from companions.concepts.files import write_csv
from companions.concepts.fine_tuning import run_name
from companions.concepts.labelled_images import Labelled, readable
from companions.concepts.sa3_parts import (
    loss_of,
    mixing,
    module_of,
    optimizer_of,
    schedule_of,
    variation,
)
from companions.concepts.sa3_recipe import Sa3Recipe, check_count, check_recipe
from companions.training.checkpoint import load_checkpoint, on_cpu, write_checkpoint
from companions.training.processes import Place, from_first, summed, wait
from companions.training.seeds import mixed, seeded
from scoring.fitting import load_fitted
from scoring.image_files import as_rgb, open_image
from scoring.networks import Network
from utils import UserError, log

MOST_DRAWS = 20  # of the variation of an image
UNREADABLE = -1  # class of a test image that cannot be read: it does not count

# First numbers of the generators' seeds.
ORDER_STREAM = 11
IMAGE_STREAM = 12
MIX_STREAM = 13
DROP_STREAM = 14


class EpochRow(Struct):
    """A row of the log."""

    epoch: int  # from 1
    lr: float  # of the last layer, at the epoch's last step
    train_loss: float  # mean over the epoch's images, of mixed and smoothed labels
    test_loss: float | None  # mean cross entropy; None where there is no image
    test_accuracy: float | None  # share of the test images, from 0 to 1
    seconds: float


# ---------------------------------------------------------------- images


class Draw(NamedTuple):
    """Which image a batch shows, and how."""

    number: int
    epoch: int  # another epoch, another variation
    may_erase: bool


class VariedImages(Dataset):
    """Training images, each varied by a generator of its own."""

    def __init__(self, images: Labelled, network: Network, recipe: Sa3Recipe):
        self.images = images
        self.seed = recipe.seed
        self.vary = {
            True: variation(network, recipe),
            False: variation(network, replace(recipe, erase=0.0)),
        }

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw) -> tuple[torch.Tensor, int]:
        """Return an image (3, H, W) as the network takes it, and its class."""
        item = self.images.items[draw.number]
        try:
            image = as_rgb(open_image(item.image))
        except ValueError as error:  # every process has to end, not only this one
            raise UserError(f"{item.name}: could be read before training: {error}") from error
        return self._varied(image, draw), int(self.images.targets[draw.number])

    def _varied(self, image: Image.Image, draw: Draw) -> torch.Tensor:
        """Return an image varied, (3, H, W).

        In about 1 of 1000 images timm's RandAugment asks for 0 bits of a colour, which new versions
        of Pillow refuse. These are drawn again.
        """
        for attempt in range(MOST_DRAWS):
            with (
                seeded(mixed(IMAGE_STREAM, self.seed, draw.epoch, draw.number, attempt)),
                suppress(ValueError),
            ):
                return self.vary[draw.may_erase](image)
        raise UserError(f"{self.images.items[draw.number].name}: cannot be varied by --augment")


class FittedImages(Dataset):
    """Test images as the network takes them."""

    def __init__(self, images: Labelled, network: Network):
        self.images = images
        self.fit = network.fit
        self.mean = network.mean
        self.std = network.std

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        """Return an image (3, H, W) and its class; grey and UNREADABLE where it cannot be read."""
        try:
            image = load_fitted(self.images.items[number].image, self.fit)
        except ValueError:
            return torch.zeros(3, *self.fit.size), UNREADABLE
        pixels = normalize(to_tensor(image.copy()), list(self.mean), list(self.std))
        return pixels, int(self.images.targets[number])


# ---------------------------------------------------------------- training


class Sa3Training:
    """A network of timm in training.

    Args:
        network: where to begin; it is not changed.
        images: to train on.
        test: images that the accuracy is logged on, after every epoch.
        recipe: how to train.
        place: where.
        workers: processes that read images; 0: this one.

    Raises:
        UserError: the recipe does not fit to the network, or to itself.
        ValueError: there are too few images for a step.
    """

    def __init__(
        self,
        network: Network,
        images: Labelled,
        *,
        test: Labelled,
        recipe: Sa3Recipe,
        place: Place,
        workers: int = 0,
    ):
        check_count(len(images), recipe)
        check_recipe(recipe, world=place.world)
        self.network = network
        self.images = images
        self.recipe = recipe
        self.place = place
        self.workers = workers
        self.varied = VariedImages(images, network, recipe)
        # Every process measures its share, so that no image counts twice.
        self.test = FittedImages(test.take(range(place.rank, len(test), place.world)), network)
        self.module = module_of(network, recipe).to(place.device)
        self.optimizer = optimizer_of(self.module, recipe)
        self.steps = len(images) // recipe.effective_batch  # per epoch
        self.schedule = schedule_of(self.optimizer, recipe, steps=self.steps)
        self.mix = mixing(recipe, network.classes)
        self.loss = loss_of(recipe)
        self.scaler = torch.amp.GradScaler(
            place.device.type, enabled=place.precision == torch.float16
        )
        self.epochs: list[EpochRow] = []

    def run(
        self,
        checkpoint: Path,
        *,
        log_file: Path,
        on_step: Callable[[float], None] = lambda loss: None,
        on_resume: Callable[[int], None] = lambda steps: None,
    ) -> nn.Module:
        """Train to the end; return the trained module.

        Args:
            checkpoint: a file that the state is kept in after every epoch, and that the training
                goes on from where it is of this same run; it is removed at the end.
            log_file: CSV, a row per epoch; TensorBoard's files go into a folder of its name.
            on_step: called with the loss of each step.
            on_resume: called with the number of steps that the checkpoint has.

        Raises:
            FloatingPointError: the loss is NaN or infinite.
        """
        run = run_name(
            self.network, self.images.identity(), targets=self.images.targets, recipe=self.recipe
        )
        self._resume(checkpoint, run)
        on_resume(len(self.epochs) * self.steps)
        wait()  # until every process has read the checkpoint
        board = Board(log_file.with_suffix(""), self.epochs) if self.place.rank == 0 else None
        forward = self._parallel()
        for number in range(len(self.epochs), self.recipe.epochs):
            row = self._epoch(number, forward, on_step=on_step)
            self.epochs.append(row)
            if board:
                board.add(row)
                # The checkpoint comes last: what is killed before it takes the epoch again.
                write_csv(log_file, self.epochs, EpochRow)
                self._keep(checkpoint, run)
        if board:
            board.close()
            checkpoint.unlink(missing_ok=True)
        return self.module.eval().requires_grad_(False)

    # ---------------------------------------------------------------- an epoch

    def _parallel(self) -> nn.Module:
        """Return the module, sharing gradients with the other processes."""
        if self.place.world == 1:
            return self.module
        devices = [self.place.device] if self.place.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(self.module, device_ids=devices)

    def _epoch(self, number: int, forward: nn.Module, on_step: Callable[[float], None]) -> EpochRow:
        """Take an epoch's steps, and measure."""
        start = monotonic()
        forward.train()
        batches = iter(self._loader(self.varied, self.plan(number)))
        losses = []
        for step in range(self.steps):
            self.schedule.step_update(number * self.steps + step)
            losses.append(self._step(number, step, batches=batches, forward=forward))
            on_step(losses[-1])
        test_loss, test_accuracy = self.measure()
        return EpochRow(
            epoch=number + 1,
            lr=max(group["lr"] for group in self.optimizer.param_groups),
            train_loss=math.fsum(losses) / self.steps,
            test_loss=test_loss,
            test_accuracy=test_accuracy,
            seconds=monotonic() - start,
        )

    def plan(self, epoch: int) -> list[list[Draw]]:
        """Return the images of this process's forward passes.

        Pass p of an epoch is process p % world's. Images that make no whole step are left out; each
        epoch others.
        """
        generator = torch.Generator().manual_seed(mixed(ORDER_STREAM, self.recipe.seed, epoch))
        order = torch.randperm(len(self.images), generator=generator).tolist()
        size = self.recipe.batch
        spared = size // 2 if self.recipe.resplit else 0
        own = range(self.place.rank, self.steps * self.recipe.passes, self.place.world)
        passes = [order[p * size : (p + 1) * size] for p in own]
        return [
            [Draw(i, epoch, may_erase=place >= spared) for place, i in enumerate(numbers)]
            for numbers in passes
        ]

    def _step(self, epoch: int, step: int, *, batches: Iterator, forward: nn.Module) -> float:
        """Take one step; return its loss, the mean over all its images."""
        own = range(self.place.rank, self.recipe.passes, self.place.world)
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for place in own:
            images, targets = self._mixed(*next(batches), epoch, step=step, place=place)
            # Gradients are shared once a step, with the last pass.
            is_alone = self.place.world == 1 or place == own[-1]
            seed = mixed(DROP_STREAM, self.recipe.seed, epoch, step, place)
            with nullcontext() if is_alone else forward.no_sync(), seeded(seed, self.place.device):
                total += self._pass(forward, images, targets, own=len(own))
        loss = summed([total], self.place)[0] / self.recipe.passes
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss} in epoch {epoch + 1}: a lower --base-lr may help"
            )
        if self.recipe.clip_grad is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.module.parameters(), self.recipe.clip_grad)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def _mixed(
        self, images: torch.Tensor, targets: torch.Tensor, epoch: int, *, step: int, place: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the batch of a pass on the device, mixed where the recipe says so."""
        images = images.to(self.place.device, non_blocking=True)
        targets = targets.to(self.place.device, non_blocking=True)
        if self.mix is None:
            return images, targets
        with seeded(mixed(MIX_STREAM, self.recipe.seed, epoch, step, place)):
            return self.mix(images, targets)

    def _pass(
        self, forward: nn.Module, images: torch.Tensor, targets: torch.Tensor, *, own: int
    ) -> float:
        """Add the gradient of a batch, one of `own` in this process and step; return its loss."""
        with self.place.autocast():
            logits = forward(images)
        loss = self.loss(logits.float(), targets)
        self.scaler.scale(loss / own).backward()
        return float(loss.detach())

    @torch.no_grad()
    def measure(self) -> tuple[float | None, float | None]:
        """Return loss and accuracy on all test images; None where there is none."""
        self.module.eval()
        size = self.recipe.batch
        starts = range(0, len(self.test), size)
        plan = [list(range(start, min(start + size, len(self.test)))) for start in starts]
        sums = [0.0, 0.0, 0.0]
        for images, targets in self._loader(self.test, plan):
            with self.place.autocast():
                logits = self.module(images.to(self.place.device)).float().cpu()
            is_read = targets != UNREADABLE
            logits = logits[is_read]
            targets = targets[is_read]
            sums[0] += float(F.cross_entropy(logits, targets, reduction="sum"))
            sums[1] += float((logits.argmax(1) == targets).sum())
            sums[2] += len(targets)
        loss, right, count = summed(sums, self.place)
        return (loss / count, right / count) if count else (None, None)

    def _loader(self, images: Dataset, plan: list) -> DataLoader:
        return DataLoader(
            images,
            batch_sampler=plan,
            num_workers=self.workers,
            pin_memory=self.place.device.type == "cuda",
        )

    # ---------------------------------------------------------------- files

    def _keep(self, path: Path, run: str) -> None:
        """Write the checkpoint."""
        state = {
            "run": run,
            "epochs": msgspec.to_builtins(self.epochs),
            "module": on_cpu(self.module),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        write_checkpoint(state, path)

    def _resume(self, path: Path, run: str) -> None:
        """Go on from the checkpoint where it is whole and of this run."""
        state = load_checkpoint(path, ("run", "epochs", "module", "optimizer", "scaler"))
        if state is None or state["run"] != run:
            return
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.epochs = msgspec.convert(state["epochs"], list[EpochRow])
        if self.place.rank == 0:
            log(f"{path}: goes on after epoch {len(self.epochs)} of {self.recipe.epochs}")


@dataclass(frozen=True, kw_only=True)
class Sa3Trainer:
    """Trains networks as SA3 does, in this process among others.

    Attributes:
        recipe: how to train.
        test: images that the accuracy is logged on, after every epoch.
        place: where.
        workers: processes that read images.
    """

    recipe: Sa3Recipe
    test: Labelled
    place: Place
    workers: int = 0

    def key(self) -> dict[str, Any]:
        """Return the field of a RowKey that says how it trains."""
        return {"sa3": self.recipe}

    def train(
        self, network: Network, images: Labelled, *, weights: Path, failures: list[tuple[str, str]]
    ) -> tuple[Network, int]:
        """Train a network; see improve.Trainer. Every process calls it."""
        kept = from_first(self._readable(network, images, failures))
        training = Sa3Training(
            network,
            images.take(kept),
            test=self.test,
            recipe=self.recipe,
            place=self.place,
            workers=self.workers,
        )
        total = training.steps * self.recipe.epochs
        label = f"train {weights.stem}"
        hidden = True if self.place.rank > 0 else None  # None: where stderr is no terminal
        with tqdm(total=total, desc=label, unit="step", disable=hidden) as bar:

            def on_step(loss: float) -> None:
                bar.update()
                bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)

            module = training.run(
                weights.with_suffix(".checkpoint"),
                log_file=weights.with_name(f"{weights.stem}_log.csv"),
                on_step=on_step,
                on_resume=bar.update,
            )
        return replace(network, module=module), len(kept)

    def _readable(
        self, network: Network, images: Labelled, failures: list[tuple[str, str]]
    ) -> list[int]:
        """Return which images can be read; of the other processes, none is asked."""
        if self.place.rank > 0:
            return []
        found = readable(images.items, network.fit, failures=failures)
        bar = tqdm(
            found, total=len(images), desc="read images", unit="image", leave=False, disable=None
        )
        return [number for number, _ in bar]


class Board:
    """TensorBoard's files of a training; nothing where tensorboard is not installed.

    Args:
        folder: of the files; what is there is made again.
        rows: of the epochs that are done.
    """

    def __init__(self, folder: Path, rows: list[EpochRow]):
        self.writer = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        shutil.rmtree(folder, ignore_errors=True)
        self.writer = SummaryWriter(str(folder))
        for row in rows:
            self.add(row)

    def add(self, row: EpochRow) -> None:
        """Add an epoch."""
        if self.writer is None:
            return
        for name in ("lr", "train_loss", "test_loss", "test_accuracy"):
            value = getattr(row, name)
            if value is not None:
                self.writer.add_scalar(name, value, row.epoch)
        self.writer.flush()

    def close(self) -> None:
        """Close the files."""
        if self.writer is not None:
            self.writer.close()
