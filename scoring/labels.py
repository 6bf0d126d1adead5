"""Names of classes: reading them, and finding a class by name or index."""

import re
from collections.abc import Sequence
from pathlib import Path

from scoring.text_files import why_unreadable
from utils import PROJECT, UserError, shown

PLACES365_LINE = re.compile(r"/[a-z]/(\S+) \d+")  # "/a/apartment_building/outdoor 8"
IMAGENET_LABELS = PROJECT / "GroundTruth1000.txt"


def read_labels(path: Path | None, classes: int) -> list[str]:
    """Read class names, one per line; Places365's categories_places365.txt is such a file too.

    Args:
        path: a UTF-8 text file; None: ImageNet's names for 1000 classes, else "class 0", ...
        classes: number of classes of the network.

    Raises:
        UserError: the file cannot be read, or has another number of names.
    """
    if path is None and classes != 1000:
        return [f"class {index}" for index in range(classes)]
    path = path or IMAGENET_LABELS
    names = label_lines(path)
    if len(names) != classes:
        raise UserError(f"--labels {path}: {len(names)} names, but the model has {classes} classes")
    return names


def label_lines(path: Path) -> list[str]:
    """Return the class names in a file, however many.

    Raises:
        UserError: the file cannot be read.
    """
    if not path.is_file():  # a device or a pipe might never end
        raise UserError(f"--labels {path}: no such file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--labels {path}: {why_unreadable(error)}") from None
    if "\0" in text:
        raise UserError(f"--labels {path}: not a text file")
    names = plain_lines(text.rstrip("\n").split("\n"))
    return [shown(name.strip()) for name in names]  # they go to terminals, figures and pages


def plain_lines(lines: list[str]) -> list[str]:
    """Return lines as names; those of categories_places365.txt without initial and number.

    "/a/apartment_building/outdoor 8" names the class apartment_building-outdoor.
    """
    found = [PLACES365_LINE.fullmatch(line.strip()) for line in lines]
    if not all(found):
        return lines
    return [match[1].replace("/", "-") for match in found if match]


def plain_name(name: str) -> str:
    """Return a name as names are compared: lower case, "_" as a space, single spaces."""
    return " ".join(name.lower().replace("_", " ").split())


def class_index(text: str, labels: Sequence[str]) -> int:
    """Return the index of a class given by its index or its name.

    A label spelled exactly so comes first, then one that differs in case or spacing, then an index,
    then one of the synonyms of a label "a, b".

    Args:
        text: index or name.
        labels: class names.

    Raises:
        ValueError: no class has this name or index, or several have this name.
    """
    if list(labels).count(text) == 1:
        return list(labels).index(text)
    name = plain_name(text)
    exact = [index for index, label in enumerate(labels) if plain_name(label) == name]
    if len(exact) == 1:
        return exact[0]
    if text.strip().isdecimal():
        return category_index(text, labels)
    synonyms = [
        index
        for index, label in enumerate(labels)
        if name in (plain_name(part) for part in label.split(","))
    ]
    found = exact or synonyms
    if len(found) > 1:
        raise ValueError(f"{text} is the name of classes {', '.join(map(str, found))}")
    if not found:
        raise ValueError(f"{text or '(empty)'} is none of the model's {len(labels)} classes")
    return found[0]


def category_index(text: str, labels: Sequence[str]) -> int:
    """Return the index of the class that the option --category names.

    A number is an index, also where a class has a number as its name; see class_index.

    Raises:
        ValueError: no class has this index or name, or several have this name.
    """
    if not text.strip().isdecimal():
        return class_index(text, labels)
    index = int(text)
    if index >= len(labels):
        raise ValueError(f"the model has {len(labels)} classes, 0 to {len(labels) - 1}")
    return index
