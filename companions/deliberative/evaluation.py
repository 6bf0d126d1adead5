"""Insecurities against annotations: parts that two birds share (CUB-200-2011), objects that two scenes share (ADE20K).

    data = DATA_SETS["cub"](Path("CUB_200_2011"))           # data.images, data.root, data.check(labels)
    table, failures = evaluate(data, records)               # records: image path -> insecurities.json
    print(as_text(table))

CUB-200-2011, the test images. A part is *shared* by two classes when its attributes are distributed alike in both: the Jensen-Shannon divergence
of the two classes' attribute percentages, averaged over the part's groups of attributes, is among the lowest fifth of all parts of all
pairs of classes. With the visible parts of the image, an insecurity's precision is the share of the parts in its region that are shared by its classes, its
recall the share of the shared parts that are in its region.

ADE20K (scene parsing), the validation images where there are any. An object is shared by two scenes when it is in at least 30 % of the annotated
training images of each. An insecurity's score is the IoU of its region with all pixels of shared objects.

Means over an image's insecurities, then over images, at regions of 1 % to 99 % of the image: that share of its pixels where M is largest, also where
M is not positive (the picture shows and removes only where it is). A pair of classes without a shared part or object in
sight is not counted. After Wang and Vasconcelos, NeurIPS 2019, whose released evaluation makes distributions of percentages by a softmax, counts a class's
divergence from itself, keeps only the 1 % most frequent shared objects, and divides by pairs that share nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from companions.deliberative.insecurities import top_region, upsampled
from scoring.regions import load_label_map
from companions.score_deviation.scene_sets import ade20k as ade20k_items
from companions.score_deviation.scene_sets import truth_of
from utils import UserError, one_line

SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99)
ALIKE = 0.2  # of all (pair of classes, part), those with the lowest divergence
PERCENTAGES = "attributes/class_attribute_labels_continuous.txt"
PRESENT = 0.3  # of a scene's images: its objects
PART_GROUPS = {  # CUB: the groups of attributes that tell of a part
    "back": ("back_color", "back_pattern"),
    "beak": ("bill_shape", "bill_length", "bill_color"),
    "belly": ("belly_color", "belly_pattern"),
    "breast": ("breast_pattern", "breast_color"),
    "crown": ("head_pattern", "forehead_color", "crown_color"),
    "forehead": ("head_pattern", "forehead_color"),
    "left eye": ("eye_color", "head_pattern"),
    "left leg": ("leg_color",),
    "left wing": ("wing_color", "wing_shape", "wing_pattern"),
    "nape": ("nape_color",),
    "right eye": ("eye_color", "head_pattern"),
    "right leg": ("leg_color",),
    "right wing": ("wing_color", "wing_shape", "wing_pattern"),
    "tail": ("tail_shape", "upper_tail_color", "under_tail_color", "tail_pattern"),
    "throat": ("head_pattern", "throat_color"),
}

Pair = tuple[int, int]


@dataclass(frozen=True)
class DataSet:
    """Annotated images. of_one: (image, its record) -> a row {measure: values at SHARES} of each insecurity that counts."""

    name: str
    root: Path
    images: list[Path]
    measures: tuple[str, ...]
    check: Callable[
        [list[str]], None
    ]  # raises UserError where a network's classes are not the set's
    of_one: Callable[[Path, dict], list[dict]]


def evaluate(data: DataSet, records: Mapping[Path, dict]) -> tuple[dict, list[tuple[str, str]]]:
    """Means over each image's insecurities, then over images.

    -> {"data", "images", "insecurities", "shares", measure: [..]}, None where there is nothing to count; and the images whose annotations
    cannot be used, (name, why), which are left out.
    """
    per_image, counted, failures = {m: [] for m in data.measures}, 0, []
    for path, record in tqdm(records.items(), desc="evaluation", unit="image"):
        try:
            rows = data.of_one(path, record)
        except (ValueError, OSError) as error:
            failures.append((record["image"], one_line(error)))
            continue
        counted += len(rows)
        for m in data.measures:
            if rows:
                per_image[m].append(_mean([row[m] for row in rows]))
    found = {
        m: _mean(rows) if rows else np.full(len(SHARES), np.nan) for m, rows in per_image.items()
    }
    return {
        "data": data.name,
        "images": len(records) - len(failures),
        "images_counted": len(per_image[data.measures[0]]),
        "insecurities": counted,
        "shares": list(SHARES),
        **{m: [None if np.isnan(v) else float(v) for v in values] for m, values in found.items()},
    }, failures


def as_text(table: dict) -> str:
    """The table for the terminal."""
    lines = [
        f"{table['data']}: {table['insecurities']} insecurities with something shared, in {table['images_counted']} of {table['images']} images",
        "region     " + "".join(f"{100 * q:>7.0f} %" for q in table["shares"]),
    ]
    measures = [k for k in ("precision", "recall", "iou") if k in table]
    return "\n".join(
        lines
        + [
            f"{m:<11}" + "".join(f"{'-' if v is None else f'{v:.3f}':>9}" for v in table[m])
            for m in measures
        ]
    )


def _mean(rows: list) -> np.ndarray:
    """The mean over rows (N, shares) of what is not NaN; NaN where all of a column is."""
    values = np.array(rows, float)
    there = ~np.isnan(values)
    return np.where(there, values, 0).sum(0) / np.where(there.any(0), there.sum(0), np.nan)


def _regions(insecurity: dict, size: tuple[int, int]) -> list[np.ndarray]:
    """The top share of the pixels for each of SHARES, (H, W) bool; also where M is not positive, else 99 % would often be much less."""
    fine = upsampled(torch.tensor(insecurity["map"])[None], size)[0]
    return [top_region(fine, q).numpy() for q in SHARES]


# ---------------------------------------------------------------- CUB-200-2011: parts


def cub(path: Path) -> DataSet:
    """The standard folder: images.txt, image_class_labels.txt, classes.txt, train_test_split.txt, parts/, attributes/. Raises UserError."""
    names = _table(path, "images.txt", 2)
    test = {row[0] for row in _table(path, "train_test_split.txt", 2) if row[1] == "0"}
    classes = [row[1] for row in _table(path, "classes.txt", 2)]
    places = part_places(path)
    images = {
        path / "images" / name: places.get(number, {}) for number, name in names if number in test
    }
    missing = next((image for image in images if not image.is_file()), None)
    if missing or not images:
        raise UserError(
            f"--evaluate cub {path}: "
            + (f"{missing.relative_to(path)} is missing" if missing else "no test image")
        )
    shared = shared_parts(path, len(classes))

    def of_one(image: Path, record: dict) -> list[dict]:
        visible = in_network(images[image], image, tuple(record["size"]))
        return [
            row
            for i in record["insecurities"]
            if (row := precision_recall(i, visible, shared[_pair(i)], tuple(record["size"])))
        ]

    return DataSet(
        "CUB-200-2011",
        path / "images",
        sorted(images),
        ("precision", "recall"),
        lambda labels: _same_number(labels, len(classes)),
        of_one,
    )


def part_places(path: Path) -> dict[str, dict[str, tuple[float, float]]]:
    """Image number -> its visible parts -> (x, y) in pixels of the file."""
    names = {row[0]: " ".join(row[1:]) for row in _table(path, "parts/parts.txt", 2)}
    unknown = next((name for name in names.values() if name not in PART_GROUPS), None)
    if unknown:
        raise UserError(
            f"--evaluate cub {path}: parts/parts.txt: no attributes are known of {unknown}"
        )
    places: dict[str, dict[str, tuple[float, float]]] = {}
    for number, (image, part, x, y, visible) in enumerate(
        (row[:5] for row in _table(path, "parts/part_locs.txt", 5)), 1
    ):
        if part not in names:
            raise UserError(
                f"--evaluate cub {path}: parts/part_locs.txt: line {number}: no part {part} in parts/parts.txt"
            )
        if visible == "1":
            x, y = _numbers((x, y), path, "parts/part_locs.txt", number)
            places.setdefault(image, {})[names[part]] = (x, y)
    return places


def in_network(
    places: Mapping[str, tuple[float, float]], image: Path, size: tuple[int, int]
) -> dict[str, tuple[int, int]]:
    """Parts as (row, column) of the resized image (H, W): they go with the image, straight to its size."""
    with Image.open(image) as file:
        width, height = file.size
    return {
        part: (
            min(size[0] - 1, int(y * size[0] / height)),
            min(size[1] - 1, int(x * size[1] / width)),
        )
        for part, (x, y) in places.items()
    }


def precision_recall(
    insecurity: dict,
    visible: Mapping[str, tuple[int, int]],
    shared: set[str],
    size: tuple[int, int],
) -> dict | None:
    """Precision and recall at SHARES; None where no part that the classes share is visible. A region without any part has no precision."""
    wanted = shared & set(visible)
    if not wanted:
        return None
    row: dict = {"precision": [], "recall": []}
    for region in _regions(insecurity, size):
        inside = {part for part, place in visible.items() if region[place]}
        row["precision"].append(len(inside & wanted) / len(inside) if inside else np.nan)
        row["recall"].append(len(inside & wanted) / len(wanted))
    return row


def shared_parts(path: Path, classes: int) -> dict[Pair, set[str]]:
    """The parts that each pair of classes (a < b) shares, by the rule above."""
    listed = next(
        (
            p
            for p in (
                path / "attributes/attributes.txt",
                path / "attributes.txt",
                path.parent / "attributes.txt",
            )
            if p.is_file()
        ),
        None,
    )
    if listed is None:
        raise UserError(
            f"--evaluate cub {path}: no attributes.txt in it, in attributes/ or beside it"
        )
    groups = [
        row[1].partition("::")[0].removeprefix("has_")
        for row in _table(listed.parent, listed.name, 2)
    ]
    unknown = next(
        (part for part, names in PART_GROUPS.items() if not set(names) & set(groups)), None
    )
    if unknown:
        raise UserError(f"--evaluate cub {path}: {listed}: no attribute of the {unknown} in it")
    table = _table(path, PERCENTAGES, len(groups))
    if len(table) != classes or any(len(row) != len(groups) for row in table):
        raise UserError(
            f"--evaluate cub {path}: {PERCENTAGES} has {len(table)} rows of up to {max(map(len, table), default=0)} numbers for {classes} classes and "
            f"{len(groups)} attributes"
        )
    percent = np.array(
        [_numbers(row, path, PERCENTAGES, number) for number, row in enumerate(table, 1)]
    )
    divergence = np.stack(
        [
            np.mean(
                [
                    group_divergence(percent[:, [g == name for g in groups]])
                    for name in names
                    if name in groups
                ],
                0,
            )
            for names in PART_GROUPS.values()
        ]
    )  # (parts, classes, classes)
    pairs = list(combinations(range(classes), 2))
    limit = np.quantile(np.array([divergence[:, a, b] for a, b in pairs]), ALIKE)
    return {
        (a, b): {part for part, d in zip(PART_GROUPS, divergence[:, a, b]) if d <= limit}
        for a, b in pairs
    }


def group_divergence(percent: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence, in nats, of each two rows of percentages (classes, values), made to sum to 1: (classes, classes)."""
    p = (percent + 1e-6) / (percent + 1e-6).sum(1, keepdims=True)
    middle = (p[:, None] + p[None]) / 2
    half = (p[:, None] * np.log(p[:, None] / middle)).sum(-1)
    return (half + half.T) / 2


# ---------------------------------------------------------------- ADE20K: objects


def ade20k(path: Path) -> DataSet:
    """The scene parsing folder, with sceneCategories.txt: read by companions/score_deviation/scene_sets.py. Raises UserError."""
    _, items = ade20k_items(path, "--evaluate ade20k")
    train = [item for item in items if item.name.startswith("training/")] or items
    tested = {item.image: item for item in items if item.name.startswith("validation/")} or {
        item.image: item for item in items
    }
    if not any(item.truth for item in train):
        raise UserError(
            f"--evaluate ade20k {path}: no sceneCategories.txt in it, or none that names its images"
        )
    present = objects_of_scenes(train)
    numbers: dict[int, set[int]] = {}

    def check(labels: list[str]) -> None:
        for scene, objects in present.items():
            try:
                numbers[truth_of(scene, labels)] = objects
            except ValueError:  # a scene that this network does not know is in none of its pairs
                continue
        if len(numbers) < 2:
            raise UserError(
                f"--evaluate ade20k {path}: the network has fewer than two of the set's {len(present)} scenes; --labels names its classes"
            )

    def of_one(image: Path, record: dict) -> list[dict]:
        """The IoU of each insecurity whose scenes share something in sight."""
        size = tuple(record["size"])
        labels, rows = load_label_map(tested[image].mask, size, image), []
        for i in record["insecurities"]:
            a, b = _pair(i)
            there = np.isin(labels, list(numbers.get(a, set()) & numbers.get(b, set())))
            if there.any():
                rows.append(
                    {
                        "iou": [
                            (there & region).sum() / (there | region).sum()
                            for region in _regions(i, size)
                        ]
                    }
                )
        return rows

    return DataSet("ADE20K", path / "images", sorted(tested), ("iou",), check, of_one)


def objects_of_scenes(items: list) -> dict[str, set[int]]:
    """Scene -> the labels, 0 left out, that are in at least PRESENT of its images."""
    counts: dict[str, list[set[int]]] = {}
    for item in tqdm(items, desc="label maps", unit="image"):
        if item.truth:
            try:
                counts.setdefault(item.truth, []).append(
                    set(np.unique(load_label_map(item.mask)).tolist()) - {0}
                )
            except ValueError as error:
                raise UserError(f"--evaluate ade20k: {error}") from None
    return {
        scene: {
            label
            for label in set().union(*found)
            if sum(label in f for f in found) >= PRESENT * len(found)
        }
        for scene, found in counts.items()
    }


# ---------------------------------------------------------------- both


def _pair(insecurity: dict) -> Pair:
    a, b = sorted(c["index"] for c in insecurity["classes"])
    return a, b


def _same_number(labels: list[str], classes: int) -> None:
    if len(labels) != classes:
        raise UserError(f"--evaluate: the data set has {classes} classes, the model {len(labels)}")


def _table(folder: Path, name: str, columns: int) -> list[list[str]]:
    """The words of each line of a text file. Raises UserError where it is missing or a line is short."""
    try:
        rows = [
            line.split()
            for line in (folder / name).read_text(encoding="utf-8").splitlines()
            if line.strip()
        ]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--evaluate {folder}: {name}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}"
        ) from None
    short = next((n for n, row in enumerate(rows, 1) if len(row) < columns), None)
    if short:
        raise UserError(f"--evaluate {folder}: {name}: line {short} has fewer than {columns} words")
    return rows


def _numbers(words: Sequence[str], folder: Path, name: str, line: int) -> list[float]:
    """The numbers that the words of a line are. Raises UserError."""
    found = []
    for word in words:
        try:
            found.append(float(word))
        except ValueError:
            found.append(np.nan)
        if not np.isfinite(found[-1]):
            raise UserError(f"--evaluate {folder}: {name}: line {line}: {word} is not a number")
    return found


DATA_SETS = {"cub": cub, "ade20k": ade20k}
