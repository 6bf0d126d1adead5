"""Labelled images: a folder per class, a CSV beside the images, or scenes of the bundled world.

    subjects = from_folder(Path("photos"), Path("photos/labels.csv"), network.labels)
    subjects[0].name, subjects[0].label, subjects[0].load(network.fit)
    subjects = drawn_scenes(500, seed=0)            # with the box of every part

A label is a class by index or name (scoring/labels.py), or a WordNet id (n01440764). ImageNet
numbers its classes in the order of these ids, so they are understood where all classes occur. Input
that cannot be understood raises UserError, one line that names it.
"""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from birds import painter, shapes
from experiments.findings import Box
from running.images import find_images
from scoring.fitting import Fit, load_fitted
from scoring.labels import class_index
from utils import UserError, file_sha256, printable, read_text

FILE_COLUMNS = ("file", "image", "filename", "path", "imageid")
KAGGLE_COLUMN = "predictionstring"  # of LOC_val_solution.csv: a WordNet id, then boxes
LABEL_COLUMNS = (
    "imagenet_index",
    "index",
    "category",
    "label",
    "class",
    "name",
    "wnid",
    KAGGLE_COLUMN,
)
SCENE_SEED = 2  # first number of the seeds of scenes to measure with (1: the bundled ones)
WORDNET_ID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class Subject:
    """One image to measure.

    Attributes:
        name: Its path below the folder, or the scene's name.
        load: Called with a network's fit, returns the image, (H, W, 3) uint8.
        label: Index of the class that it shows, where it is known.
        identity: Returns a text that differs between different images.
        boxes: Returns the boxes of the parts, where they are known.
    """

    name: str
    load: Callable[[Fit], np.ndarray]
    label: int | None
    identity: Callable[[], str]
    boxes: Callable[[], dict[str, Box]] | None = None


# ---------------------------------------------------------------- a folder of images


def from_folder(
    folder: Path,
    labels_csv: Path | None,
    labels: Sequence[str],
    *,
    leave_out: Path | None = None,
) -> list[Subject]:
    """Return the images below a folder, sorted, with their labels.

    Labels come from the CSV, whose images alone are taken; without a CSV from the folders that the
    images lie in. Images in the folder itself then have no label.

    Args:
        folder: Where the images are.
        labels_csv: A CSV with a column of files below the folder and a column of labels.
        labels: The network's class names.
        leave_out: A folder not to search (the results).

    Raises:
        UserError: There is no such folder, file or class.
    """
    if labels_csv:
        root = folder
        by_path: Mapping[Path, int | None] = labels_from_csv(labels_csv, folder, labels=labels)
    else:
        found = find_images(folder, leave_out)
        root = found.root
        by_path = labels_from_folders(root, found.paths, labels=labels)
    return [
        Subject(
            name=printable(path.relative_to(root)),
            load=partial(load_fitted, path),
            label=label,
            identity=partial(file_sha256, path),
        )
        for path, label in sorted(by_path.items())
    ]


def labels_from_folders(
    root: Path, paths: Sequence[Path], labels: Sequence[str]
) -> dict[Path, int | None]:
    """Return the class of each image by the name of its first folder below the root."""
    inside = [path for path in paths if path.parent != root]
    folders = [path.relative_to(root).parts[0] for path in inside]
    indices = class_indices(folders, labels, places=[str(path.parent) for path in inside])
    by_path: dict[Path, int | None] = dict.fromkeys(paths)
    by_path.update(zip(inside, indices))
    return by_path


def class_indices(
    texts: Sequence[str], labels: Sequence[str], *, places: Sequence[str]
) -> list[int]:
    """Return class indices of labels written in any way that the module's docstring lists.

    Args:
        texts: The labels as they were written.
        labels: The network's class names.
        places: Where each text stands, for the error.

    Raises:
        UserError: A text is no class.
    """
    ids = sorted({text for text in texts if WORDNET_ID.fullmatch(text)})
    known: dict[str, int] = {}
    if len(ids) == len(labels):
        known = {wordnet_id: index for index, wordnet_id in enumerate(ids)}
    for text, place in zip(texts, places):
        if text not in known:
            try:
                known[text] = class_index(text, labels)
            except ValueError as error:
                reason = f"{text}: {error}" if text.isdecimal() else str(error)
                if text in ids:
                    reason += f" ({len(ids)} WordNet ids, the model has {len(labels)} classes)"
                raise UserError(f"{place}: {reason}") from None
    return [known[text] for text in texts]


# ---------------------------------------------------------------- a CSV of labels


@dataclass(frozen=True)
class LabelRow:
    """One row of a CSV of labels."""

    line: int
    path: Path
    label: str


def labels_from_csv(path: Path, folder: Path, labels: Sequence[str]) -> dict[Path, int]:
    """Return the class of each image that a CSV lists; see from_folder."""
    rows = read_label_rows(path, folder)
    places = [f"{path}, line {row.line}" for row in rows]
    indices = class_indices([row.label for row in rows], labels, places=places)
    return {row.path: index for row, index in zip(rows, indices)}


def read_label_rows(path: Path, folder: Path) -> list[LabelRow]:
    """Return the rows of a CSV of labels.

    Raises:
        UserError: A row cannot be used; the message names its line.
    """
    table = read_csv(path)
    file_column = _first_column(table.columns, FILE_COLUMNS)
    label_column = _first_column(table.columns, LABEL_COLUMNS, other_than=file_column)
    if file_column is None or label_column is None:
        raise UserError(
            f"--labels-csv {path}: needs a column of files ({', '.join(FILE_COLUMNS)}) and one of "
            f"labels ({', '.join(LABEL_COLUMNS)})"
        )
    rows = []
    seen = set()
    for line, row in table.rows:
        name = (row[file_column] or "").strip()
        place = f"--labels-csv {path}, line {line}"
        image = image_below(folder, name, place=place)
        if image in seen:
            raise UserError(f"{place}: {name} is there twice")
        seen.add(image)
        label = (row[label_column] or "").strip()
        if table.columns.get(KAGGLE_COLUMN) == label_column:
            label = label.partition(" ")[0]
        rows.append(LabelRow(line, image, label=label))
    if not rows:
        raise UserError(f"--labels-csv {path}: no row in it")
    return rows


def image_below(folder: Path, name: str, place: str) -> Path:
    """Return the path of an image named in a CSV, with or without the ending .JPEG.

    Raises:
        UserError: There is no such image, or it does not lie below the folder.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise UserError(f"{place}: {name} does not lie below {folder}")
    for path in (folder / name, folder / f"{name}.JPEG"):
        if name and path.is_file():
            return path
    raise UserError(f"{place}: no such image below {folder}: {name or '(empty)'}")


@dataclass(frozen=True)
class CsvTable:
    """A CSV file: its columns by their lower-case names, and its rows with their lines."""

    columns: dict[str, str]
    rows: list[tuple[int, dict[str, str | None]]]


def read_csv(path: Path) -> CsvTable:
    """Read a CSV file.

    Raises:
        UserError: It cannot be read, or is not CSV in UTF-8.
    """
    try:
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
        columns = {name.strip().lower(): name for name in reader.fieldnames or () if name}
        return CsvTable(columns, [(reader.line_num, row) for row in reader])
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "not a CSV file in UTF-8"
        raise UserError(f"--labels-csv {path}: {reason}") from None


def _first_column(
    columns: Mapping[str, str], wanted: Sequence[str], other_than: str | None = None
) -> str | None:
    """Return the first of the wanted columns that exists."""
    for name in wanted:
        if name in columns and columns[name] != other_than:
            return columns[name]
    return None


# ---------------------------------------------------------------- the bundled world


def drawn_scenes(number: int, seed: int) -> list[Subject]:
    """Return so many scenes of the bundled world, the classes in turn.

    The same seed gives the same scenes.
    """
    code_sha256 = " ".join(file_sha256(Path(str(module.__file__))) for module in (painter, shapes))
    return [scene_subject(i, seed, code_sha256=code_sha256) for i in range(number)]


def scene_subject(number: int, seed: int, code_sha256: str) -> Subject:
    """Return one scene.

    Args:
        number: Of the scene; decides its class.
        seed: Of the run.
        code_sha256: Checksums of the painter's code, part of the scene's identity.
    """
    category = number % len(painter.CLASSES)
    scene_seed = (SCENE_SEED, seed, number)
    return Subject(
        name=f"scene_{number:05d}",
        load=partial(scene_image, category, scene_seed),
        label=category,
        identity=partial("{} {}".format, scene_seed, code_sha256),
        boxes=partial(scene_boxes, category, scene_seed),
    )


def scene_image(category: int, scene_seed: Sequence[int], fit: Fit) -> np.ndarray:
    """Return a scene at its own size, (224, 224, 3) uint8; another fit raises ValueError."""
    if fit.size != (painter.SIZE, painter.SIZE) or fit.method == "crop":
        raise ValueError(f"scenes are drawn at {painter.SIZE} x {painter.SIZE} only, and not cut")
    return painter.draw_scene(painter.CLASSES[category][1], scene_seed).image


def scene_boxes(category: int, scene_seed: Sequence[int]) -> dict[str, Box]:
    """Return the box of each part of a scene."""
    return painter.draw_scene(painter.CLASSES[category][1], scene_seed).boxes
