"""Folders of labelled pictures: a folder per class, named as the network names its classes."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from companions.concepts.debug_images import look_at
from companions.score_deviation.scene_sets import Item, folder, truth_of
from running.images import not_the_images
from running.results import seen
from scoring.networks import Network
from utils import UserError, load_image

KEPT = 4096  # pictures kept in memory once read, at most, and bytes:
KEPT_BYTES = 2**30


@dataclass(frozen=True)
class Labelled:
    """Pictures of known classes. truth: (N,) class numbers. empty: classes whose folder has no picture."""

    path: Path
    items: list[Item]
    truth: np.ndarray
    empty: list[str]

    def __len__(self) -> int:
        return len(self.items)

    def take(self, indices: Sequence[int]) -> "Labelled":
        """Some of them, in this order."""
        return replace(
            self, items=[self.items[i] for i in indices], truth=self.truth[list(indices)]
        )

    def identity(self) -> str:
        """One word for which pictures these are, in this order: names, sizes and times of change, for reading them all would take long."""
        looks = [(i.name, *seen(i.image)) for i in self.items]
        return hashlib.sha256(repr(looks).encode()).hexdigest()


def class_of(name: str, labels: Sequence[str]) -> int | None:
    """The class that the first folder of a picture's name is called after; None where it lies in no folder. Raises ValueError."""
    first, slash, _ = name.partition("/")
    return truth_of(first, labels) if slash else None


def labelled_folder(
    path: Path, labels: Sequence[str], option: str = "--images", results: Path | None = None
) -> Labelled:
    """The pictures below path/<class>/, but none of those in the folder of results.

    Raises UserError for a folder that is no class, a picture outside of them, or results that are to lie right among the classes.
    """
    if not path.is_dir():
        raise UserError(f"{option} {path}: no such folder")
    if results:
        not_the_images(results, path)
    try:
        items = folder(path, results)
    except UserError:
        raise UserError(f"{option} {path}: no image in it") from None
    truth = []
    for item in items:
        try:
            truth.append(class_of(item.name, labels))
        except ValueError as error:
            raise UserError(
                f"{option} {path}: folder {item.name.partition('/')[0]}: {error}"
            ) from None
        if truth[-1] is None:
            raise UserError(f"{option} {path}: {item.name} lies in no class's folder")
    full = {item.name.partition("/")[0] for item in items}
    empty = sorted(
        f.name
        for f in path.iterdir()
        if f.is_dir()
        and f.name not in full
        and not f.name.startswith(".")
        and f.resolve() != (results and results.resolve())
    )
    return Labelled(
        path, [replace(i, truth=t) for i, t in zip(items, truth)], np.array(truth), empty
    )


def loader(items: Sequence[Item], size: tuple[int, int]) -> Callable[[int], np.ndarray]:
    """i -> picture i, (H, W, 3) uint8; read once while memory lasts. Raises ValueError where it is no picture."""
    return lru_cache(min(KEPT, KEPT_BYTES // (3 * size[0] * size[1])))(
        lambda i: load_image(items[i].image, size)
    )


def readable(
    items: Sequence[Item], size: tuple[int, int], failures: list[tuple[str, str]]
) -> Iterator[tuple[int, np.ndarray]]:
    """(i, picture i) of those that can be read; the others are added to failures, (name, why)."""
    for i, item in enumerate(items):
        try:
            yield i, load_image(item.image, size)
        except ValueError as error:
            failures.append((item.name, str(error)))


def accuracy(
    network: Network,
    images: Labelled,
    failures: list[tuple[str, str]],
    batch_size: int | str = "auto",
    on_batch: Callable[[int], None] = lambda n: None,
) -> dict:
    """Of all pictures, and of each class: {"all": 0.98, "classes": {name: 0.97}, "images": 400}. What cannot be read is left out and listed."""
    kept, answers = look_at(
        network, readable(images.items, network.size, failures), batch_size, on_batch
    )
    truth = images.truth[kept]
    right = answers.predicted == truth
    return {
        "all": float(right.mean()) if len(right) else None,
        "images": len(kept),
        "classes": {network.labels[c]: float(right[truth == c].mean()) for c in np.unique(truth)},
    }
