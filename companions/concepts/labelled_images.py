"""Folders of labelled images: a folder per class, named as the network names its classes.

    images = labelled_folder(Path("pool"), network.labels)
    images.items[0].name, images.targets[0]
    accuracy(network, images, failures=[]).all

Images that cannot be read are named in the failures; the others count.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from companions.concepts.network_outputs import network_outputs
from companions.concepts.records import Accuracy
from companions.score_deviation.class_figures import file_stems
from companions.score_deviation.scene_sets import Item, folder
from running.images import not_the_images
from running.results import stamp
from scoring.fitting import Fit, load_fitted
from scoring.labels import class_index
from scoring.networks import Network
from utils import UserError, resolved

MOST_KEPT = 4096  # images kept in memory once read, at most ..
MOST_BYTES = 2**30  # .. and so many bytes


@dataclass(frozen=True)
class Labelled:
    """Images of known classes.

    Attributes:
        path: the folder.
        items: the images.
        targets: (N,) class indices.
        empty: classes whose folder has no image.
    """

    path: Path
    items: list[Item]
    targets: np.ndarray
    empty: list[str]

    def __len__(self) -> int:
        return len(self.items)

    def take(self, indices: Sequence[int]) -> "Labelled":
        """Return some of the images, in this order."""
        items = [self.items[i] for i in indices]
        return replace(self, items=items, targets=self.targets[list(indices)])

    def identity(self) -> str:
        """Return one word for which images these are, in this order.

        It is made of names, sizes and times of change: reading all images would take long.
        """
        looks = [(item.name, stamp(item.image)) for item in self.items]
        return hashlib.sha256(repr(looks).encode()).hexdigest()


def class_of(name: str, labels: Sequence[str]) -> int | None:
    """Return the class that the first folder of an image's name is called after.

    A folder that `generate` has made is found too: in its name, some characters are replaced.

    Returns:
        The index of the class; None where the image lies in no folder.

    Raises:
        ValueError: the network has no such class.
    """
    first, slash, _ = name.partition("/")
    if not slash:
        return None
    try:
        return class_index(first, labels)
    except ValueError:
        stems = list(file_stems(labels).values())
        if len(stems) != len(labels) or first not in stems:  # fewer where names are the same
            raise
        return stems.index(first)


def labelled_folder(
    path: Path, labels: Sequence[str], option: str = "--images", results: Path | None = None
) -> Labelled:
    """Return the images below path/<class>/, but none of those in the folder of results.

    Args:
        path: the folder.
        labels: class names of the network.
        option: what the folder is called in errors.
        results: a folder to leave out.

    Raises:
        UserError: a folder is no class, an image lies outside of them, or the results are to lie
            right among the classes.
    """
    if not path.is_dir():
        raise UserError(f"{option} {path}: no such folder")
    if results:
        not_the_images(results, path)
    try:
        items = folder(path, results)
    except UserError:
        raise UserError(f"{option} {path}: no image in it") from None
    targets = [_target(item, labels, where=f"{option} {path}") for item in items]
    with_images = {item.name.partition("/")[0] for item in items}
    empty = [name for name in _class_folders(path, leave_out=results) if name not in with_images]
    return Labelled(path, items, targets=np.array(targets), empty=empty)


def _target(item: Item, labels: Sequence[str], where: str) -> int:
    try:
        target = class_of(item.name, labels)
    except ValueError as error:
        first = item.name.partition("/")[0]
        raise UserError(f"{where}: folder {first}: {error}") from None
    if target is None:
        raise UserError(f"{where}: {item.name} lies in no class's folder")
    return target


def _class_folders(path: Path, leave_out: Path | None) -> list[str]:
    """Return the names of the visible folders in a folder, sorted."""
    skipped = resolved(leave_out) if leave_out else None
    return sorted(
        entry.name
        for entry in path.iterdir()
        if entry.is_dir() and not entry.name.startswith(".") and resolved(entry) != skipped
    )


def loader(items: Sequence[Item], fit: Fit) -> Callable[[int], np.ndarray]:
    """Return a function from i to image i, (H, W, 3) uint8, read once while memory lasts.

    The function raises ValueError where a file is no image.
    """
    height, width = fit.size
    kept = min(MOST_KEPT, MOST_BYTES // (3 * height * width))
    return lru_cache(kept)(lambda i: load_fitted(items[i].image, fit))


def readable(
    items: Sequence[Item], fit: Fit, failures: list[tuple[str, str]]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (i, image i) of the images that can be read.

    Args:
        items: the images.
        fit: how they come to the network's input size.
        failures: (name, reason) of the others is added to it.
    """
    for i, item in enumerate(items):
        try:
            image = load_fitted(item.image, fit)
        except ValueError as error:
            failures.append((item.name, str(error)))
            continue
        yield i, image


def accuracy(
    network: Network,
    images: Labelled,
    *,
    failures: list[tuple[str, str]],
    batch_size: int | str = "auto",
    on_batch: Callable[[int], None] = lambda count: None,
) -> Accuracy:
    """Return the accuracy on all images and on each class.

    Args:
        network: a classifier.
        images: with their classes.
        failures: (name, reason) of images that cannot be read is added to it.
        batch_size: images per forward pass, or "auto".
        on_batch: called with the number of images after each forward pass.
    """
    kept, outputs = network_outputs(
        network,
        readable(images.items, network.fit, failures=failures),
        batch_size=batch_size,
        on_batch=on_batch,
    )
    targets = images.targets[kept]
    right = outputs.predicted == targets
    classes = {}
    for category in np.unique(targets):
        classes[network.labels[category]] = float(right[targets == category].mean())
    overall = float(right.mean()) if len(right) else None
    return Accuracy(all=overall, images=len(kept), classes=classes)
