"""Sets of pictures with label maps: one picture, a folder, a manifest, ADE20K, Places365.

    names, items = ade20k(Path("ADEChallengeData2016"))     # items[0].image, .mask, .truth
    items = manifest(Path("images.csv"))                    # columns image, mask, class; the last two may be left out

An item knows the picture, the label map where the set has one, and the class it should have where that is known: a number, or a name that
truth_of() looks up among the network's.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from utils import printable
from utils import UserError
from running.images import find_images

ADE_NAMES = ("objectInfo150.csv", "objectInfo150.txt")
PLACES_LAST = 2  # the channel of noisy_annotations_RGB with the most probable label


@dataclass(frozen=True)
class Item:
    """One picture of a set. name: its path below the set's folder, with forward slashes."""

    image: Path
    name: str
    mask: Path | None = None
    truth: str | int | None = None
    channel: int | None = None  # of the label map, where it is coloured


def folder(path: Path, leave_out: Path | None = None) -> list[Item]:
    """An image, or all below a folder. Raises UserError."""
    root, images = find_images(path, leave_out)
    return [Item(image, printable(image.relative_to(root))) for image in images]


def manifest(path: Path) -> list[Item]:
    """A CSV file with a row per image: image, mask, class; paths relative to the file. Raises UserError."""
    rows = _lines_of_csv(path)
    if not rows or "image" not in rows[0]:
        raise UserError(
            f"--manifest {path}: " + ("no column named image" if rows else "no row in it")
        )
    items = []
    for number, row in enumerate(rows, 2):
        row = {k: (v or "").strip() for k, v in row.items() if isinstance(v, str | None)}
        if not row["image"]:
            raise UserError(f"--manifest {path}: line {number} names no image")
        mask, truth = row.get("mask"), row.get("class")
        items.append(
            Item(
                path.parent / row["image"],
                _below(row["image"]),
                path.parent / mask if mask else None,
                truth or None,
            )
        )
    return items


def ade20k(path: Path, option: str = "--ade20k") -> tuple[Path, list[Item]]:
    """ADE20K's scene parsing folder: images/[set/]*.jpg, annotations/[set/]*.png, objectInfo150, sceneCategories.txt where there is one.

    -> the file of label names, and the images. Raises UserError where the folder is another one.
    """
    names = next((path / name for name in ADE_NAMES if (path / name).is_file()), None)
    if names is None or not (path / "images").is_dir() or not (path / "annotations").is_dir():
        raise UserError(
            f"{option} {path}: not ADE20K's folder, which has images/, annotations/ and objectInfo150.csv (or .txt)"
        )
    scenes = dict(
        line.split()[:2] for line in _lines(path / "sceneCategories.txt") if len(line.split()) > 1
    )
    return names, [
        Item(
            item.image,
            item.name,
            (path / "annotations" / item.name).with_suffix(".png"),
            scenes.get(item.image.stem),
        )
        for item in folder(path / "images")
    ]


def places365(path: Path) -> list[Item]:
    """The validation set of Places365: val/<class>/*.jpg (with val.txt or without), or val_256/*.jpg with places365_val.txt.

    Classes are numbered by categories_places365.txt. Label maps are taken from noisy_annotations_RGB/val/, if it is there: coloured
    pictures with the three most probable labels, the first in the last channel. Raises UserError.
    """
    classes = {name: n for n, name in enumerate(places365_classes(path))}
    items, masks = [], path / "noisy_annotations_RGB" / "val"
    if (path / "val").is_dir():
        for item in folder(path / "val"):
            name = item.name.rpartition("/")[0].replace("/", "-")
            if name not in classes:
                raise UserError(
                    f"--places365 {path}: val/{item.name} lies in no folder named as a class"
                )
            mask = (masks / item.name).with_suffix(".png")
            items.append(
                Item(
                    item.image,
                    item.name,
                    *(
                        (mask, classes[name], PLACES_LAST)
                        if mask.is_file()
                        else (None, classes[name])
                    ),
                )
            )
        return items
    for line in _lines(path / "places365_val.txt"):
        name, _, number = line.partition(" ")
        if not number.strip().isdecimal() or int(number) >= len(classes):
            raise UserError(
                f"--places365 {path}: places365_val.txt: {line!r} is not an image and the number of a class"
            )
        items.append(Item(path / "val_256" / name, name, None, int(number)))
    if not items:
        raise UserError(
            f"--places365 {path}: neither val/<class>/ in it, nor val_256/ and places365_val.txt"
        )
    return items


def places365_classes(path: Path) -> list[str]:
    """The names of the classes, in the order of their numbers. Raises UserError."""
    names = [_class_name(line.split()[0]) for line in _lines(path / "categories_places365.txt")]
    if not names:
        raise UserError(f"--places365 {path}: no categories_places365.txt in it")
    return names


def truth_of(truth: str | int | None, labels: Sequence[str]) -> int | None:
    """The number of the class that an item should have; None where unknown.

    A text is a name, the first of a name's synonyms, or, where no class is called so, a number; underscores in names are spaces. A
    number (int) is that class's. Raises ValueError where the network has no such class.
    """
    if truth is None:
        return None
    if isinstance(truth, str):
        wanted = [
            n
            for n, label in enumerate(labels)
            if _spaced(truth) in (_spaced(label), _spaced(label.split(",")[0]))
        ]
        if wanted:
            return wanted[0]
    if not str(truth).strip().isdecimal() or int(truth) >= len(labels):
        raise ValueError(f"class {truth}: the network has no such class")
    return int(truth)


def with_known_classes(items: Sequence[Item], labels: Sequence[str]) -> list[Item]:
    """The items with the numbers of their classes, None where the network has no such class: a set's classes need not be the network's."""
    known = []
    for item in items:
        try:
            known.append(replace(item, truth=truth_of(item.truth, labels)))
        except ValueError:
            known.append(replace(item, truth=None))
    return known


def _spaced(name: str) -> str:
    return name.replace("_", " ").strip().lower()


def _class_name(line: str) -> str:
    """/a/airplane_cabin -> airplane_cabin; /a/apartment_building/outdoor -> apartment_building-outdoor."""
    return "-".join(line.strip("/").split("/")[1:])


def _below(name: str) -> str:
    """A path as a name of results: without what leads above or to the root."""
    return "/".join(
        part
        for part in Path(name).parts
        if part not in ("..", ".") and not Path(part).is_absolute()
    )


def _lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty; none where there is no file."""
    try:
        return (
            [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
            if path.is_file()
            else []
        )
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text") from None


def _lines_of_csv(path: Path) -> list[dict]:
    try:
        return list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"--manifest {path}: {getattr(error, 'strerror', None) or 'not a CSV file'}"
        ) from None
