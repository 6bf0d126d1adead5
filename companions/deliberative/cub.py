"""CUB-200-2011: does an insecurity's region have the parts that its two birds share?

    data = cub(Path("CUB_200_2011"))                        # the test images
    data.measure(image, record)[0]["precision"]             # at each size of region

A part is shared by two classes when its attributes are distributed alike in both: the
Jensen-Shannon divergence of the two classes' attribute percentages, averaged over the part's groups
of attributes, is among the lowest fifth of all parts of all pairs of classes.

With the visible parts of the image, an insecurity's precision is the share of the parts in its
region that its classes share, its recall the share of the shared parts that are in its region.

The folder is the published one: images.txt, image_class_labels.txt, classes.txt,
train_test_split.txt, parts/ and attributes/. C. Wah et al., "The Caltech-UCSD Birds-200-2011
Dataset", 2011.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.distance import jensenshannon

from companions.deliberative.annotations import (
    SHARES,
    Curves,
    DataSet,
    Mark,
    Pair,
    pair_of,
    pixels_at,
    published_maps,
    ranks_of,
    read_numbers,
    read_words,
    strength_curve,
)
from companions.deliberative.published import (
    published_part_curves,
    published_places,
    published_shared_parts,
)
from companions.deliberative.record import DeliberationRecord, MeasuredInsecurity
from scoring.fitting import Fit
from scoring.labels import plain_name
from utils import UserError

ALIKE = 0.2  # of all (pair of classes, part), the share with the lowest divergence
SMOOTHING = 1e-6  # added to every percentage, so that no attribute is impossible
PERCENTAGES = "attributes/class_attribute_labels_continuous.txt"
LOCATIONS = "parts/part_locs.txt"
PART_GROUPS = {  # the groups of attributes that describe a part
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

Point = tuple[float, float]  # x, y in pixels of the file
Pixel = tuple[int, int]  # row, column of the network's input


def cub(path: Path, *, published: bool = False) -> DataSet:
    """Return the test images of the published folder.

    Args:
        path: the folder.
        published: whether parts are shared, placed and counted as in the authors' programs.

    Raises:
        UserError: another folder, or a file in it is missing or damaged.
    """
    images = visible_parts(path)
    classes = [row[1] for row in read_words(path, "classes.txt", 2)]
    alike = (published_parts if published else shared_parts)(path, len(classes))
    numbers = dict(enumerate(range(len(classes))))  # of the set's classes, by the network's index

    def check(labels: Sequence[str]) -> None:
        if len(labels) != len(classes):
            raise UserError(
                f"--evaluate: the data set has {len(classes)} classes, the model {len(labels)}"
            )
        numbers.update(class_numbers(labels, classes))

    def shared(pair: Pair) -> set[str]:
        a, b = sorted(numbers[category] for category in pair)
        return alike[a, b]

    def measure(image: Path, record: DeliberationRecord) -> list[Curves]:
        wanted = [shared(pair_of(insecurity)) for insecurity in record.insecurities]
        kind = published_curves if published else part_curves
        return kind(image, images[image], record, wanted=wanted)

    def marks(image: Path, fit: Fit, pair: Pair) -> list[Mark]:
        found = in_network(images[image], image, fit)
        return [Mark(pixel, part in shared(pair)) for part, pixel in found.items()]

    return DataSet(
        name="CUB-200-2011",
        root=path / "images",
        images=sorted(images),
        measures=("precision", "recall"),
        check=check,
        measure=measure,
        marks=marks,
    )


def part_curves(
    image: Path,
    places: Mapping[str, Point],
    record: DeliberationRecord,
    *,
    wanted: Sequence[set[str]],
) -> list[Curves]:
    """Return the curves of the insecurities whose classes share a visible part.

    Args:
        image: the file.
        places: its visible parts, in the file.
        record: its insecurities.
        wanted: the parts that the classes of each share.
    """
    visible = in_network(places, image, record.model.fit(record.size))
    curves = []
    for insecurity, parts in zip(record.insecurities, wanted, strict=True):
        in_sight = parts & set(visible)
        if in_sight:
            curves.append(precision_recall(insecurity, visible, in_sight, size=record.size))
    return curves


def published_curves(
    image: Path,
    places: Mapping[str, Point],
    record: DeliberationRecord,
    *,
    wanted: Sequence[set[str]],
) -> list[Curves]:
    """Return one curve of all insecurities, as in the authors' programs; see part_curves()."""
    with Image.open(image) as file:
        image_size = file.size
    found = published_places(places, image_size=image_size, size=record.size)
    return [published_part_curves(published_maps(record), wanted, found, shares=SHARES)]


def class_numbers(labels: Sequence[str], classes: Sequence[str]) -> dict[int, int]:
    """Return the number of the set's class for each of a network's, both from 0.

    By name, "001.Black_footed_Albatross" being "black footed albatross", where all names agree;
    else in the same order.

    Args:
        labels: the network's classes.
        classes: the set's, as many.
    """
    known = {plain_name(name.partition(".")[2] or name): n for n, name in enumerate(classes)}
    found = [known.get(plain_name(label)) for label in labels]
    if len({n for n in found if n is not None}) < len(classes):
        return dict(enumerate(range(len(classes))))
    return {index: n for index, n in enumerate(found) if n is not None}


def precision_recall(
    insecurity: MeasuredInsecurity,
    visible: Mapping[str, Pixel],
    wanted: set[str],
    *,
    size: tuple[int, int],
) -> Curves:
    """Return precision, recall and strength at SHARES; a region without parts has no precision.

    Args:
        insecurity: the insecurity.
        visible: the image's visible parts.
        wanted: those that the two classes share, at least one.
        size: height and width of the network's input.
    """
    ranks = ranks_of(insecurity, size)
    sizes = pixels_at(size)[:, None]
    places = {part: ranks[pixel] for part, pixel in visible.items()}
    inside = (np.array(list(places.values())) < sizes).sum(1)
    hits = (np.array([places[part] for part in sorted(wanted)]) < sizes).sum(1)
    unknown = np.full(len(sizes), np.nan)
    precision = np.divide(hits, inside, out=unknown, where=inside > 0)
    return {
        "precision": precision,
        "recall": hits / len(wanted),
        "strength": strength_curve(insecurity, size),
    }


# ---------------------------------------------------------------- where parts are


def visible_parts(path: Path) -> dict[Path, dict[str, Point]]:
    """Return the visible parts of each test image.

    Raises:
        UserError: an image is missing, or there is none.
    """
    names = read_words(path, "images.txt", 2)
    splits = read_words(path, "train_test_split.txt", 2)
    test = {row[0] for row in splits if row[1] == "0"}
    places = part_places(path)
    images = {}
    for row in names:
        if row[0] in test:
            images[path / "images" / row[1]] = places.get(row[0], {})
    if not images:
        raise UserError(f"--evaluate cub {path}: no test image")
    for image in images:
        if not image.is_file():
            raise UserError(f"--evaluate cub {path}: {image.relative_to(path)} is missing")
    return images


def part_places(path: Path) -> dict[str, dict[str, Point]]:
    """Return the visible parts of each image, by the image's number in images.txt."""
    names = {row[0]: " ".join(row[1:]) for row in read_words(path, "parts/parts.txt", 2)}
    for name in names.values():
        if name not in PART_GROUPS:
            raise UserError(
                f"--evaluate cub {path}: parts/parts.txt: no attributes are known of {name}"
            )
    places: dict[str, dict[str, Point]] = {}
    for line, row in enumerate(read_words(path, LOCATIONS, 5), 1):
        image, part, x, y, visible = row[:5]
        if part not in names:
            raise UserError(
                f"--evaluate cub {path}: {LOCATIONS}: line {line}: no part {part} in "
                "parts/parts.txt"
            )
        if visible == "1":
            point = read_numbers((x, y), path, LOCATIONS, line=line)
            places.setdefault(image, {})[names[part]] = (point[0], point[1])
    return places


def in_network(places: Mapping[str, Point], image: Path, fit: Fit) -> dict[str, Pixel]:
    """Return the pixels of parts in the resized image, less those that are cut off.

    Args:
        places: in the file.
        image: the file.
        fit: how the image comes to the network's input size.
    """
    with Image.open(image) as file:
        size = file.size
    found = {part: fit.pixel(x, y, size=size) for part, (x, y) in places.items()}
    return {part: pixel for part, pixel in found.items() if pixel is not None}


# ---------------------------------------------------------------- which parts are shared


def shared_parts(path: Path, classes: int) -> dict[Pair, set[str]]:
    """Return the parts that each pair of classes (a < b) shares."""
    groups = attribute_groups(path)
    percentages = class_percentages(path, classes, attributes=len(groups))
    divergences = np.stack(
        [part_divergence(percentages, groups, names) for names in PART_GROUPS.values()]
    )  # (parts, classes, classes)
    pairs = list(combinations(range(classes), 2))
    limit = np.quantile([divergences[:, a, b] for a, b in pairs], ALIKE)
    shared = {}
    for a, b in pairs:
        alike = divergences[:, a, b] <= limit
        shared[a, b] = {part for part, is_alike in zip(PART_GROUPS, alike) if is_alike}
    return shared


def published_parts(path: Path, classes: int) -> dict[Pair, set[str]]:
    """Return the parts that each pair of classes (a < b) shares, as in the authors' programs."""
    groups = attribute_groups(path)
    percentages = class_percentages(path, classes, attributes=len(groups))
    parts = []
    for names in PART_GROUPS.values():
        columns = [np.array([group == name for group in groups]) for name in names]
        parts.append([percentages[:, column] for column in columns if column.any()])
    alike = published_shared_parts(parts)
    pairs = combinations(range(classes), 2)
    return {
        (a, b): {part for part, is_alike in zip(PART_GROUPS, alike[a, b]) if is_alike}
        for a, b in pairs
    }


def attribute_groups(path: Path) -> list[str]:
    """Return the group of each attribute, "has_bill_shape::hooked" being of bill_shape.

    attributes.txt lies in attributes/, in the folder itself, or beside it.
    """
    places = (path / "attributes", path, path.parent)
    folder = next((place for place in places if (place / "attributes.txt").is_file()), None)
    if folder is None:
        raise UserError(
            f"--evaluate cub {path}: no attributes.txt in it, in attributes/ or beside it"
        )
    rows = read_words(folder, "attributes.txt", 2)
    groups = [row[1].partition("::")[0].removeprefix("has_") for row in rows]
    for part, names in PART_GROUPS.items():
        if not set(names) & set(groups):
            listed = folder / "attributes.txt"
            raise UserError(f"--evaluate cub {path}: {listed}: no attribute of the {part} in it")
    return groups


def class_percentages(path: Path, classes: int, *, attributes: int) -> np.ndarray:
    """Return how often each class has each attribute, (classes, attributes) percentages."""
    table = read_words(path, PERCENTAGES, attributes)
    longest = max(map(len, table), default=0)
    if len(table) != classes or longest != attributes:
        raise UserError(
            f"--evaluate cub {path}: {PERCENTAGES} has {len(table)} rows of up to {longest} "
            f"numbers for {classes} classes and {attributes} attributes"
        )
    rows = [read_numbers(row, path, PERCENTAGES, line=line) for line, row in enumerate(table, 1)]
    return np.array(rows)


def part_divergence(
    percentages: np.ndarray, groups: Sequence[str], names: Sequence[str]
) -> np.ndarray:
    """Return how differently a part looks in each two classes, (classes, classes).

    Args:
        percentages: (classes, attributes).
        groups: the group of each attribute.
        names: the groups that describe the part; groups without an attribute are left out.
    """
    divergences = []
    for name in names:
        columns = [group == name for group in groups]
        if any(columns):
            divergences.append(group_divergence(percentages[:, columns]))
    return np.mean(divergences, 0)


def group_divergence(percentages: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon divergence, in nats, of each two rows, (classes, classes).

    Args:
        percentages: (classes, values); each row is made to sum to 1.
    """
    p = percentages + SMOOTHING
    distance = jensenshannon(p[:, None], p[None], axis=-1)  # its square root
    # Of rows that are nearly equal, rounding may put the divergence below 0.
    return np.nan_to_num(distance) ** 2
