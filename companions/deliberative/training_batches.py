"""Batches of images for training and validation, the same wherever and however often they are made.

    batches = TrainingBatches(images, Shape(224, mean, std), batch=64, seed=0)
    for inputs, targets in batches.epoch(3, rank=0, world=1): ...

Training images are cropped at random (8 % to 100 % of the image) and mirrored; each draws from a
generator of its own, of the seed, the epoch and its number, so that neither the number of worker
processes nor an interruption changes what a network sees. Validation images come through
Resize(256) and CenterCrop(224), or the same shares of another size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from companions.deliberative.training_sets import Images
from companions.training.seeds import mixed
from scoring.fitting import Fit
from scoring.image_files import as_rgb, open_image

ORDER_STREAM = 1  # first numbers of the generators' seeds
CROP_STREAM = 2


@dataclass(frozen=True)
class Shape:
    """How images come to the network: side in pixels, mean and deviation of the channels."""

    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return an image (3, H, W), 0 to 255, as the network takes it."""
        mean = torch.tensor(self.mean).view(-1, 1, 1)
        std = torch.tensor(self.std).view(-1, 1, 1)
        return (pixels.float() / 255 - mean) / std


Entry = tuple[int, int]  # number of an image, epoch


class CroppedImages(Dataset):
    """Training images by (number, epoch), or validation images by (number, -1)."""

    def __init__(self, images: Images, shape: Shape, seed: int):
        self.images = images
        self.shape = shape
        self.seed = seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, entry: Entry) -> tuple[torch.Tensor, int]:
        """Return an image as the network takes it, and its class."""
        number, epoch = entry
        image = as_rgb(open_image(self.images.paths[number]))
        side = self.shape.side
        if epoch < 0:
            fitted = Fit((side, side), method="crop").image(image)
            pixels = torch.from_numpy(fitted.transpose(2, 0, 1).copy())
        else:
            whole = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(mixed(CROP_STREAM, self.seed, epoch, number))
                pixels = v2.RandomHorizontalFlip()(v2.RandomResizedCrop(side)(whole))
        return self.shape.normalised(pixels), self.images.targets[number]


@dataclass(frozen=True)
class TrainingBatches:
    """The batches of a training, or of a validation.

    Attributes:
        images: the files and classes.
        shape: how they come to the network.
        batch: images per step, on all devices together.
        seed: of order and crops.
        workers: processes that read images; 0: this one.
    """

    images: Images
    shape: Shape
    batch: int
    seed: int = 0
    workers: int = 0

    def epoch(self, epoch: int, *, rank: int = 0, world: int = 1) -> DataLoader:
        """Return the batches of an epoch, (images, classes), this process's share of each.

        Args:
            epoch: its number, from 0.
            rank: of this process.
            world: number of processes; each batch is divided among them.
        """
        return self._loader(self.plan(epoch, rank=rank, world=world))

    def plan(self, epoch: int, *, rank: int = 0, world: int = 1) -> list[list[Entry]]:
        """Return which images are in which batch; a process has two or more, or no such batch."""
        generator = torch.Generator().manual_seed(mixed(ORDER_STREAM, self.seed, epoch))
        order = torch.randperm(len(self.images), generator=generator).tolist()
        steps = [order[start : start + self.batch] for start in range(0, len(order), self.batch)]
        whole = [step[: len(step) // world * world] for step in steps]
        return [
            [(number, epoch) for number in step[rank::world]]
            for step in whole
            if len(step) >= 2 * world  # batch norm needs two
        ]

    def in_order(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield batches of all images as they are validated, in their order."""
        numbers = range(len(self.images))
        starts = range(0, len(self.images), self.batch)
        plan = [[(n, -1) for n in numbers[start : start + self.batch]] for start in starts]
        yield from self._loader(plan)

    def _loader(self, plan: Sequence[Sequence[Entry]]) -> DataLoader:
        dataset = CroppedImages(self.images, self.shape, self.seed)
        return DataLoader(dataset, batch_sampler=plan, num_workers=self.workers)  # type: ignore
