"""Labelled images: a folder per class, a CSV beside the images, ImageNet's validation layout, or scenes of the bundled world.

    subjects = from_folder(Path("photos"), Path("photos/labels.csv"), network.labels)
    subjects[0].name, subjects[0].label, subjects[0].load((224, 224))
    subjects = drawn_scenes(500, seed=0)            # with the box of every part

A label is a class number, a class name (case does not matter, "_" is a space, of "a, b" each will do), or a WordNet id (n01440764): in the order of
these ids ImageNet numbers its classes, so they are understood where all classes are there. Whatever cannot be understood raises
UserError, one line that names it.
"""

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from birds import painter as birds
from utils import printable
from utils import UserError, file_sha256, load_image
from running.images import find_images

FILE_COLUMNS = ("file", "image", "filename", "path", "imageid")
LABEL_COLUMNS = (
    "imagenet_index",
    "index",
    "category",
    "label",
    "class",
    "name",
    "wnid",
    "predictionstring",
)
SCENES = 2  # first number of the seeds of scenes to measure with (1: the bundled ones)


@dataclass(frozen=True)
class Subject:
    """One image to measure: its name, how to load it at a size (H, W), what it shows, and what tells that it is the same."""

    name: str
    load: Callable[[tuple[int, int]], np.ndarray]
    label: int | None
    identity: Callable[[], str]
    boxes: Callable[[], dict] | None = None  # gives the boxes of the parts, where these are known


def from_folder(
    folder: Path, labels_csv: Path | None, names: Sequence[str], leave_out: Path | None = None
) -> list[Subject]:
    """The images below a folder, sorted, with their labels: from the CSV, else from the folders that they lie in.

    names: the network's classes. leave_out: a folder not to look into (the results). Images that lie in the folder itself have no label without a CSV; with one, only the images in it are taken.
    """
    if labels_csv:
        rows = read_csv(labels_csv, folder)
        labels = class_numbers(
            [text for _, _, text in rows],
            names,
            [f"{labels_csv}, line {line}" for line, _, _ in rows],
        )
        paths = {path: label for (_, path, _), label in zip(rows, labels)}
        root = folder
    else:
        root, found = find_images(folder, leave_out)
        inside = [path for path in found if path.parent != root]
        labels = class_numbers(
            [path.relative_to(root).parts[0] for path in inside],
            names,
            [str(path.parent) for path in inside],
        )
        paths = dict.fromkeys(found) | dict(zip(inside, labels))
    return [
        Subject(
            printable(path.relative_to(root)),
            partial(load_image, path),
            label,
            partial(file_sha256, path),
        )
        for path, label in sorted(paths.items())
    ]


def read_csv(path: Path, folder: Path) -> list[tuple[int, Path, str]]:
    """(line, image, label as text) of each row. Raises UserError with the line that cannot be used."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = {c.strip().lower(): c for c in reader.fieldnames or () if c}
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"--labels-csv {path}: {getattr(error, 'strerror', None) or 'not a CSV file in UTF-8'}"
        ) from None
    file_column = next((columns[c] for c in FILE_COLUMNS if c in columns), None)
    label_column = next(
        (columns[c] for c in LABEL_COLUMNS if c in columns and columns[c] != file_column), None
    )
    if not file_column or not label_column:
        raise UserError(
            f"--labels-csv {path}: needs a column of files ({', '.join(FILE_COLUMNS)}) and one of labels ({', '.join(LABEL_COLUMNS)})"
        )
    found, seen = [], set()
    for line, row in rows:
        name, label = (row[file_column] or "").strip(), (row[label_column] or "").strip()
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise UserError(f"--labels-csv {path}, line {line}: {name} does not lie below {folder}")
        image = next(
            (p for p in (folder / name, folder / f"{name}.JPEG") if name and p.is_file()), None
        )
        if image is None:
            raise UserError(
                f"--labels-csv {path}, line {line}: no such image below {folder}: {name or '(empty)'}"
            )
        if image in seen:
            raise UserError(f"--labels-csv {path}, line {line}: {name} is there twice")
        seen.add(image)
        found.append(
            (
                line,
                image,
                label.split()[0]
                if label_column.strip().lower() == "predictionstring" and label
                else label,
            )
        )
    if not found:
        raise UserError(f"--labels-csv {path}: no row in it")
    return found


def class_numbers(texts: Sequence[str], names: Sequence[str], places: Sequence[str]) -> list[int]:
    """Class numbers of labels written in any way that the module's docstring lists. places: where each stands, for the error."""
    known = {
        plain(part): i
        for i, name in reversed(list(enumerate(names)))
        for part in (name, *name.split(","))
    }
    ids = sorted({t for t in texts if re.fullmatch(r"n\d{8}", t)})
    if len(ids) == len(names):
        known |= {plain(wordnet): i for i, wordnet in enumerate(ids)}
    numbers = []
    for text, place in zip(texts, places):
        number = (
            int(text) if text.isdecimal() and int(text) < len(names) else known.get(plain(text))
        )
        if number is None:
            hint = (
                f" ({len(ids)} WordNet ids, the model has {len(names)} classes)"
                if text in ids
                else ""
            )
            raise UserError(
                f"{place}: {text or '(empty)'} is none of the model's {len(names)} classes{hint}"
            )
        numbers.append(number)
    return numbers


def plain(name: str) -> str:
    """A class name as it is compared."""
    return " ".join(name.lower().replace("_", " ").split())


# ---------------------------------------------------------------- the bundled world


def drawn_scenes(number: int, seed: int) -> list[Subject]:
    """So many scenes of the bundled world, the classes in turn; the same ones for the same seed."""
    code = file_sha256(Path(birds.__file__))
    return [scene_subject(i, seed, code) for i in range(number)]


def scene_subject(i: int, seed: int, code: str) -> Subject:
    """The i-th scene. code: checksum of the painter, part of the scene's identity."""
    category, key = i % len(birds.CLASSES), (SCENES, seed, i)
    return Subject(
        f"scene_{i:05d}",
        partial(scene_image, category, key),
        category,
        partial("{} {}".format, key, code),
        partial(scene_boxes, category, key),
    )


def scene_image(category: int, key: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """A scene at its own size, (224, 224, 3) uint8; another one raises ValueError."""
    if size != (birds.SIZE, birds.SIZE):
        raise ValueError(f"scenes are drawn at {birds.SIZE} x {birds.SIZE} only")
    return birds.draw_scene(birds.CLASSES[category][1], key).image


def scene_boxes(category: int, key: Sequence[int]) -> dict:
    """The box of each part of a scene: x0, y0, x1, y1."""
    return birds.draw_scene(birds.CLASSES[category][1], key).boxes
