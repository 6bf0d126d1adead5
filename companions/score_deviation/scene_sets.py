"""Sets of images with label maps: a folder, a manifest, ADE20K, Places365.

    scenes = ade20k(Path("ADEChallengeData2016"))   # scenes.items[0].image, .mask, .target
    items = manifest(Path("images.csv"))            # columns image, mask, class
    folders = folders_of(items, Path("Results/score_deviation"))

An item knows its image, its label map where the set has one, and its target, the class that it
should have, where that is known: an index, or a name that target_of() looks up among the network's.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from running.images import find_images
from running.result_folders import NamedImage, result_folders
from scoring.labels import class_index, plain_lines
from utils import UserError, log, printable, read_text

ADE_NAMES = ("objectInfo150.csv", "objectInfo150.txt", "objectInfo 150.txt")
CATEGORIES = "categories_places365.txt"
# The channel of Places365's noisy_annotations_RGB with the most probable label.
PLACES_CHANNEL = 2


@dataclass(frozen=True)
class Item:
    """One image of a set."""

    image: Path
    name: str  # path below the set's folder, with forward slashes
    mask: Path | None = None  # label map
    target: str | int | None = None  # name or index of its class
    channel: int | None = None  # of the label map, where it is coloured


@dataclass(frozen=True)
class SceneSet:
    """The images of a set, and what the set says about their regions and classes."""

    items: list[Item]
    region_names: Path | None = None  # file with the names of the labels
    labels: Path | None = None  # file with the names of the network's classes
    num_classes: int | None = None  # targets are indices among so many classes
    foreign_scenes: bool = False  # targets are scenes that a network need not know

    def say_without_map(self, regions: str | None) -> None:
        """Log how many images are cut into superpixels, where no source of regions is named."""
        without = sum(item.mask is None for item in self.items)
        if without and regions is None:
            log(
                f"{without} of {len(self.items)} images have no label map and are cut into "
                "superpixels; --regions names a PNG, a folder of them or a segmentation network"
            )

    def for_network(self, labels: Sequence[str]) -> "SceneSet":
        """Return the set for a network; scenes that are none of its classes become unknown.

        Args:
            labels: the network's class names.

        Raises:
            UserError: targets are indices, and the network has another number of classes.
        """
        if self.num_classes not in (None, len(labels)):
            raise UserError(
                f"--places365: {self.num_classes} categories, but the model has {len(labels)} "
                "classes"
            )
        if not self.foreign_scenes:
            return self
        known = with_known_targets(self.items, labels)
        pairs = zip(self.items, known)
        unknown = sum(old.target is not None and new.target is None for old, new in pairs)
        if unknown:
            log(
                f"{unknown} of {len(known)} images show a scene that is no class of the network: "
                "their true class counts as unknown"
            )
        return replace(self, items=known)


# ---------------------------------------------------------------- a folder or a manifest


def folder(path: Path, leave_out: Path | None = None) -> list[Item]:
    """Return an image, or all images below a folder.

    Args:
        path: an image or a folder.
        leave_out: a folder that is not searched.

    Raises:
        UserError: there is no such path, or no image in it.
    """
    found = find_images(path, leave_out)
    return [Item(image, printable(image.relative_to(found.root))) for image in found.paths]


def manifest(path: Path) -> list[Item]:
    """Return the images of a CSV file with the columns image, mask and class.

    Paths are relative to the file; mask and class may be left out.

    Raises:
        UserError: not such a file, or a row names no image.
    """
    rows = _csv_rows(path)
    if not rows:
        raise UserError(f"--manifest {path}: no row in it")
    if "image" not in rows[0]:
        raise UserError(f"--manifest {path}: no column named image")
    return [_manifest_item(path, row, line) for line, row in enumerate(rows, 2)]


def _manifest_item(path: Path, row: dict, line: int) -> Item:
    image = (row["image"] or "").strip()
    mask = (row.get("mask") or "").strip()
    target = (row.get("class") or "").strip()
    if "\0" in image + mask:
        raise UserError(f"--manifest {path}: line {line} has a zero byte")
    if not _below(image):
        raise UserError(f"--manifest {path}: line {line} names no image")
    return Item(
        image=path.parent / image,
        name=printable(Path(_below(image))),
        mask=path.parent / mask if mask else None,
        target=target or None,
    )


def _csv_rows(path: Path) -> list[dict]:
    try:
        return list(csv.DictReader(read_text(path).splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        not_text = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "not a CSV file"
        reason = getattr(error, "strerror", None) or not_text
        raise UserError(f"--manifest {path}: {reason}") from None


def _below(name: str) -> str:
    """Return a path as the name of results: without what leads above the folder or to the root."""
    parts = [part for part in Path(name).parts if part not in ("..", ".")]
    return "/".join(part for part in parts if not Path(part).is_absolute())


# ---------------------------------------------------------------- ADE20K


def ade20k(path: Path, option: str = "--ade20k") -> SceneSet:
    """Return the images of ADE20K's scene parsing folder.

    The folder has images/[set/]*.jpg, annotations/[set/]*.png, objectInfo150.csv (or .txt) and,
    where scenes are known, sceneCategories.txt.

    Args:
        path: the folder.
        option: the option that an error names.

    Raises:
        UserError: another folder.
    """
    names = label_names_in(path)
    if names is None or not (path / "images").is_dir() or not (path / "annotations").is_dir():
        raise UserError(
            f"{option} {path}: not ADE20K's folder, which has images/, annotations/ and "
            "objectInfo150.csv (or .txt)"
        )
    words = [line.split() for line in _lines(path / "sceneCategories.txt")]
    scenes = {line[0]: line[1] for line in words if len(line) > 1}
    items = []
    for item in folder(path / "images"):
        mask = (path / "annotations" / item.name).with_suffix(".png")
        items.append(replace(item, mask=mask, target=scenes.get(item.image.stem)))
    return SceneSet(items, region_names=names, foreign_scenes=True)


def label_names_in(path: Path) -> Path | None:
    """Return the file with ADE20K's names of labels in a data set's folder, if there is one."""
    return next((path / name for name in ADE_NAMES if (path / name).is_file()), None)


# ---------------------------------------------------------------- Places365


def places365(path: Path) -> SceneSet:
    """Return the validation set of Places365.

    The folder has val/<class>/*.jpg, with val.txt where only the listed images count, or
    val_256/*.jpg with places365_val.txt; and categories_places365.txt, which numbers and names the
    classes. Label maps are taken from noisy_annotations_RGB/val/ where that exists: its colour
    images hold the three most probable labels, the first of them in the last channel. Their names
    stand in objectInfo150.txt, if it lies there.

    Raises:
        UserError: another folder, or a file in it is damaged.
    """
    names = places365_classes(path)
    items = _places365_items(path, names)
    if not items:
        raise UserError(
            f"--places365 {path}: neither val/<class>/ in it, nor val_256/ and places365_val.txt"
        )
    return SceneSet(
        items,
        region_names=label_names_in(path) if any(item.mask for item in items) else None,
        labels=path / CATEGORIES,
        num_classes=len(names),
    )


def _places365_items(path: Path, names: Sequence[str]) -> list[Item]:
    """Return the images of the validation set, by val.txt or a folder, or by the flat list."""
    classes = {name: number for number, name in enumerate(names)}
    if (path / "val").is_dir():
        listed = _lines(path / "val.txt")
        found = [_listed(path, line) for line in listed] if listed else folder(path / "val")
        return [_places365_item(path, item, classes) for item in found]
    return [_flat_item(path, line, len(names)) for line in _lines(path / "places365_val.txt")]


def _listed(path: Path, line: str) -> Item:
    """Return an image of val.txt, whose lines are val/<class>/<image>."""
    name = line.strip().partition("/")[2]
    if not name or ".." in Path(name).parts or Path(name).is_absolute():
        raise UserError(f"--places365 {path}: val.txt: {line!r} is not val/<class>/<image>")
    return Item(path / "val" / name, name)


def _flat_item(path: Path, line: str, classes: int) -> Item:
    """Return an image of places365_val.txt, whose lines are an image and a number."""
    name, _, number = line.partition(" ")
    if not number.strip().isdecimal() or int(number) >= classes:
        raise UserError(
            f"--places365 {path}: places365_val.txt: {line!r} is not an image and the number of a "
            "class"
        )
    return Item(path / "val_256" / name, name, target=int(number))


def _places365_item(path: Path, item: Item, classes: dict[str, int]) -> Item:
    """Return an image of val/<class>/ with its target, and its label map where there is one."""
    parent = item.name.rpartition("/")[0].replace("/", "-")
    if parent not in classes:
        raise UserError(f"--places365 {path}: val/{item.name} lies in no folder named as a class")
    target = classes[parent]
    mask = (path / "noisy_annotations_RGB" / "val" / item.name).with_suffix(".png")
    if not mask.is_file():
        return replace(item, target=target)
    return replace(item, target=target, mask=mask, channel=PLACES_CHANNEL)


def places365_classes(path: Path) -> list[str]:
    """Return the names of the classes, in the order of their numbers.

    "/a/apartment_building/outdoor 8" names the class apartment_building-outdoor.

    Raises:
        UserError: there is no categories_places365.txt.
    """
    lines = _lines(path / CATEGORIES)
    if not lines:
        raise UserError(f"--places365 {path}: no {CATEGORIES} in it")
    return plain_lines(lines)


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file that are not empty; none where there is no file."""
    if not path.is_file():
        return []
    try:
        lines = read_text(path).splitlines()
    except ValueError:
        raise UserError(f"{path}: not UTF-8 text") from None
    return [line for line in lines if line.strip()]


# ---------------------------------------------------------------- targets and result folders


def target_of(target: str | int | None, labels: Sequence[str]) -> int | None:
    """Return the index of the class that an image should have; None where it is unknown.

    Args:
        target: an index (int), or a name or index as text; see scoring.labels.class_index.
        labels: the network's class names.

    Raises:
        ValueError: the network has no such class.
    """
    if target is None:
        return None
    if isinstance(target, int):
        if target < len(labels):
            return target
        raise ValueError(f"class {target}: the network has {len(labels)} classes")
    try:
        return class_index(target, labels)
    except ValueError as error:
        raise ValueError(f"class {target}: {error}") from None


def with_known_targets(items: Sequence[Item], labels: Sequence[str]) -> list[Item]:
    """Return the items with indices as targets, None where the network has no such class."""
    known = []
    for item in items:
        try:
            target = target_of(item.target, labels)
        except ValueError:
            target = None
        known.append(replace(item, target=target))
    return known


def folders_of(items: Sequence[Item], results: Path) -> list[Path]:
    """Return a result folder per image, named as the main command names them.

    Raises:
        UserError: an image is named twice.
    """
    often = Counter(item.name for item in items)
    for item in items:
        if often[item.name] > 1:
            raise UserError(f"{item.name}: named twice")
    return result_folders([NamedImage(item.image, item.name) for item in items], results)
