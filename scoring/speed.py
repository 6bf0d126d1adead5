"""How fast a network is on this machine, by batch size."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

BATCHES = (1, 2, 4, 8, 16, 32)  # tried on a CPU
MOST_IMAGES = {"cuda": 512, "mps": 64}  # in a batch at 224 x 224 pixels, by kind of device
UNMEASURED = 8  # likewise, on a CPU
SIDE = 224
TIMES = 2  # that each size is timed; the faster one counts
WORTH_IT = 1.05  # a larger batch is taken where it is so much faster


@dataclass(frozen=True)
class Speed:
    """A batch size and its images per second."""

    batch_size: int
    images_per_second: float


@torch.no_grad()
def fastest_batch(
    forward: Callable[[torch.Tensor], torch.Tensor],
    example: torch.Tensor,
    *,
    batches: Sequence[int] = BATCHES,
    seconds: float = 0.5,
) -> Speed:
    """Return the smallest batch size that is about as fast as any.

    Sizes are tried in ascending order, until one is slower than an earlier one or time is up.

    Args:
        forward: images (B, 3, H, W) to logits.
        example: (1, 3, H, W).
        batches: sizes to try, ascending.
        seconds: after which no further size is tried.
    """
    end = time.monotonic() + seconds
    forward(example)  # the first pass sets things up
    best = Speed(batches[0], 0.0)
    for size in batches:
        images = example.expand(size, -1, -1, -1).contiguous()
        rate = size / min(_seconds(forward, images) for _ in range(TIMES))
        if rate > WORTH_IT * best.images_per_second:
            best = Speed(size, rate)
        elif rate < best.images_per_second / WORTH_IT:
            break
        if time.monotonic() > end:
            break
    return best


@torch.no_grad()
def times_as_fast(
    new: Callable[[torch.Tensor], torch.Tensor],
    old: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    *,
    rounds: int = 3,
) -> float:
    """Return how many times as fast one forward pass is as another, both timed in turn.

    Args:
        new: images (B, 3, H, W) to logits.
        old: likewise.
        images: a batch of the size that they will get.
        rounds: that each is timed; the fastest one counts.
    """
    new(images)  # the first pass sets things up
    old(images)
    seconds = [(_seconds(new, images), _seconds(old, images)) for _ in range(rounds)]
    return min(old for _, old in seconds) / min(new for new, _ in seconds)


def _seconds(forward: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> float:
    start = time.monotonic()
    forward(images)
    return time.monotonic() - start


def auto_batch_size(image: torch.Tensor) -> int:
    """Return how many images (3, H, W) like this one go into a forward pass, unmeasured.

    Enough to keep the device busy, and few enough for its memory, or for a CPU's cache.
    """
    at_224 = MOST_IMAGES.get(image.device.type, UNMEASURED)
    return max(1, at_224 * SIDE * SIDE // (image.shape[1] * image.shape[2]))
