"""Images to train a classifier on, and to validate it: CUB-200-2011, ADE20K, a folder, or lists.

    sets = training_sets(Path("CUB_200_2011"))
    sets.kind, sets.labels, sets.train.paths, sets.train.targets

A folder with images.txt and train_test_split.txt is CUB-200-2011, whose test images validate, as in
the authors' programs. One with sceneCategories.txt is ADE20K; its scenes are numbered as the
training images bring them, and validation images of other scenes are left out. Any other folder has
train/ and val/, each with a folder per class, or the classes' folders alone, of which every fifth
image validates.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from companions.concepts.labelled_images import labelled_folder
from companions.deliberative.annotations import read_words
from companions.deliberative.image_lists import read_list
from companions.score_deviation import scene_sets
from running.images import find_images
from utils import UserError

Kind = Literal["cub", "ade20k", "folder"]
HELD_OUT = 5  # of a folder without val/, one image in so many validates


@dataclass(frozen=True)
class Images:
    """Image files and the indices of their classes."""

    paths: list[Path]
    targets: list[int]

    def __len__(self) -> int:
        return len(self.paths)

    def sha256(self) -> str:
        """Return the SHA-256 of their names below the folder that all lie in, and their classes."""
        root = os.path.commonpath([path.parent for path in self.paths])
        rows = [
            [os.path.relpath(path, root), target] for path, target in zip(self.paths, self.targets)
        ]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


@dataclass(frozen=True)
class TrainingSets:
    """What a training is about.

    Attributes:
        kind: of the data set.
        labels: names of the classes.
        train: images to train on.
        validation: images to measure on.
    """

    kind: Kind
    labels: list[str]
    train: Images
    validation: Images


def training_sets(
    data: Path, *, train_list: Path | None = None, validation_list: Path | None = None
) -> TrainingSets:
    """Return the images of a folder.

    Args:
        data: the folder.
        train_list: a list as the authors' of the images to train on; None: as the folder says.
        validation_list: likewise, to validate.

    Raises:
        UserError: it is no such folder, or a file in it is missing or damaged.
    """
    if not data.is_dir():
        raise UserError(f"--data {data}: no such folder")
    if (data / "train_test_split.txt").is_file():
        sets = _cub(data)
    elif (data / "sceneCategories.txt").is_file():
        sets = _ade20k(data)
    else:
        sets = _folder(data)
    train = sets.train
    validation = sets.validation
    if train_list:
        train = _listed(train_list, data, "--train-list", classes=len(sets.labels))
    if validation_list:
        validation = _listed(validation_list, data, "--val-list", classes=len(sets.labels))
    if not len(train) or not len(validation):
        raise UserError(f"--data {data}: no images to train on, or none to validate")
    return TrainingSets(sets.kind, sets.labels, train=train, validation=validation)


def _listed(path: Path, data: Path, option: str, *, classes: int) -> Images:
    images = read_list(path, below=data, option=option)
    for image in images:
        if image.target is None or image.target >= classes:
            raise UserError(f"{option} {path}: {image.path.name} has no class below {classes}")
    targets = [image.target for image in images if image.target is not None]
    return Images([image.path for image in images], targets)


def _cub(data: Path) -> TrainingSets:
    labels = [row[1].partition(".")[2] or row[1] for row in read_words(data, "classes.txt", 2)]
    category = {row[0]: row[1] for row in read_words(data, "image_class_labels.txt", 2)}
    is_train = {row[0]: row[1] == "1" for row in read_words(data, "train_test_split.txt", 2)}
    found: dict[bool, list[tuple[Path, int]]] = {True: [], False: []}
    for number, name in (row[:2] for row in read_words(data, "images.txt", 2)):
        target = category.get(number, "")
        if not target.isdecimal() or not 0 < int(target) <= len(labels):
            raise UserError(f"--data {data}: images.txt: {name} has no class")
        found[is_train.get(number, False)].append((data / "images" / name, int(target) - 1))
    return TrainingSets("cub", labels, train=_images(found[True]), validation=_images(found[False]))


def _ade20k(data: Path) -> TrainingSets:
    items = scene_sets.ade20k(data, "--data").items
    known = [item for item in items if isinstance(item.target, str)]
    train = [item for item in known if item.name.startswith("training/")]
    validation = [item for item in known if item.name.startswith("validation/")]
    labels = list(dict.fromkeys(str(item.target) for item in train))
    number = {label: index for index, label in enumerate(labels)}
    shown = [item for item in validation if item.target in number]
    return TrainingSets(
        "ade20k",
        labels,
        train=_images([(item.image, number[str(item.target)]) for item in train]),
        validation=_images([(item.image, number[str(item.target)]) for item in shown]),
    )


def _folder(data: Path) -> TrainingSets:
    has_both = (data / "train").is_dir() and (data / "val").is_dir()
    root = data / "train" if has_both else data
    names = {image.relative_to(root).parts[0] for image in find_images(root).paths}
    labels = sorted(name for name in names if (root / name).is_dir())
    if len(labels) < 2:
        raise UserError(f"--data {data}: fewer than two folders of classes in it")
    all_images = _labelled(root, labels)
    if has_both:
        return TrainingSets(
            "folder",
            labels,
            train=_images(all_images),
            validation=_images(_labelled(data / "val", labels)),
        )
    train = [row for number, row in enumerate(all_images) if number % HELD_OUT != HELD_OUT - 1]
    validation = [row for number, row in enumerate(all_images) if number % HELD_OUT == HELD_OUT - 1]
    return TrainingSets("folder", labels, train=_images(train), validation=_images(validation))


def _labelled(root: Path, labels: Sequence[str]) -> list[tuple[Path, int]]:
    found = labelled_folder(root, labels, option="--data")
    return [(item.image, int(target)) for item, target in zip(found.items, found.targets)]


def _images(rows: Sequence[tuple[Path, int]]) -> Images:
    return Images([path for path, _ in rows], [target for _, target in rows])
