"""The half-way scenes as two annotated data sets, in the folders of CUB-200-2011 and of ADE20K.

    python -m birds.annotated_sets Results/annotated --scenes 10

FOLDER/CUB_200_2011 says where the parts of each bird are, and how each class looks, by attributes:
two birds share a part where it has the same variant. FOLDER/ADEChallengeData2016 has label maps
whose objects are the variants of parts. In both, the scenes half-way between two birds are what is
explained, and one whole bird of each class is the training set.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from running.command_line import Count, Positional, exit_status, parse

PROG = "python -m birds.annotated_sets"


@dataclass(frozen=True)
class Settings:
    """Settings of the command."""

    folder: Annotated[Path, Positional("FOLDER")]  # where the two sets are written
    scenes: Count = 10  # number of half-way scenes


if __name__ == "__main__":  # before PyTorch is imported, so that --help answers at once
    parse(Settings, prog=PROG, doc=__doc__)

from birds.between import halfway
from birds.painter import CLASSES, PARTS, VARIANTS, Scene, draw_scene
from drawing.png import save_scene
from scoring.networks import BUNDLED, choose_device, load_network
from scoring.regions import Regions
from utils import write_atomically

TRAINING_SEED = 12  # first number of the seeds of the whole birds
NAMES = sorted(name for name, _ in CLASSES)  # the order in which both sets number the classes
# CUB-200-2011 has no crest and no feet; each part has the attributes of one of its parts.
CUB_PARTS = {
    "beak": "beak",
    "crest": "crown",
    "wing": "left wing",
    "tail": "tail",
    "feet": "left leg",
}
CUB_NAMES = (
    *("back", "beak", "belly", "breast", "crown", "forehead", "left eye", "left leg"),
    *("left wing", "nape", "right eye", "right leg", "right wing", "tail", "throat"),
)
# The group of attributes that stands for each part, and those of parts that no bird here has.
GROUPS = {
    "beak": "bill_shape",
    "crest": "crown_color",
    "wing": "wing_shape",
    "tail": "tail_shape",
    "feet": "leg_color",
}
UNUSED = (
    *("back_color", "belly_color", "breast_color", "eye_color", "forehead_color"),
    *("nape_color", "throat_color"),
)
OBJECTS = [f"{part} {n}" for part in PARTS for n in range(len(VARIANTS[part]))]


@dataclass(frozen=True)
class Shown:
    """A scene of a set.

    Attributes:
        name: of its file, without the ending.
        category: index into NAMES.
        scene: the scene.
        is_training: whether it belongs to the training images.
    """

    name: str
    category: int
    scene: Scene
    is_training: bool


def shown_scenes(scenes: int) -> list[Shown]:
    """Return a whole bird of each class, then the half-way scenes."""
    found = []
    for number, (name, variants) in enumerate(CLASSES):
        scene = draw_scene(variants, [TRAINING_SEED, number])
        found.append(Shown(f"train_{number:08}", NAMES.index(name), scene, is_training=True))
    network = load_network(BUNDLED, device=choose_device("cpu"))
    for number, (a, _, scene) in enumerate(halfway(network, scenes)):
        category = NAMES.index(CLASSES[a][0])
        found.append(Shown(f"val_{number:08}", category, scene, is_training=False))
    return found


def class_words() -> list[str]:
    """Return the names of the classes as one word each."""
    return [name.replace(" ", "_") for name in NAMES]


def middles(scene: Scene) -> dict[str, tuple[int, int]]:
    """Return x and y of a pixel well inside each visible part."""
    found = {}
    for part, mask in scene.masks.items():
        if mask.any():
            found[part] = Regions.of(mask.astype(np.int32)).middles()[-1]
    return found


# ---------------------------------------------------------------- CUB-200-2011


def write_cub(folder: Path, shown: Sequence[Shown]) -> None:
    """Write scenes as CUB-200-2011 has its images."""
    folders = [f"{number:03}.{word}" for number, word in enumerate(class_words(), 1)]
    rows: dict[str, list[str]] = {
        "images.txt": [],
        "image_class_labels.txt": [],
        "train_test_split.txt": [],
        "parts/part_locs.txt": [],
    }
    for number, one in enumerate(shown, 1):
        name = f"{folders[one.category]}/{one.name}.png"
        save_scene(one.scene.image, folder / "images" / name)
        rows["images.txt"].append(f"{number} {name}")
        rows["image_class_labels.txt"].append(f"{number} {one.category + 1}")
        rows["train_test_split.txt"].append(f"{number} {int(one.is_training)}")
        places = {CUB_PARTS[part]: place for part, place in middles(one.scene).items()}
        for part, part_name in enumerate(CUB_NAMES, 1):
            x, y = places.get(part_name, (0, 0))
            line = f"{number} {part} {x:.1f} {y:.1f} {int(part_name in places)}"
            rows["parts/part_locs.txt"].append(line)
    rows["classes.txt"] = [f"{number} {name}" for number, name in enumerate(folders, 1)]
    rows["parts/parts.txt"] = [f"{number} {name}" for number, name in enumerate(CUB_NAMES, 1)]
    names, table = attributes()
    rows["attributes/attributes.txt"] = [f"{n} {name}" for n, name in enumerate(names, 1)]
    rows["attributes/class_attribute_labels_continuous.txt"] = [
        " ".join(f"{value:g}" for value in row) for row in table
    ]
    for name, lines in rows.items():
        _write_lines(lines, folder / name)


def attributes() -> tuple[list[str], np.ndarray]:
    """Return the names of the attributes, and how often each class has them, in percent.

    A class has its variant of each part always; of the parts that no bird here has, all classes
    have the same attribute.
    """
    names = [
        f"has_{group}::{value}"
        for part, group in GROUPS.items()
        for value in range(len(VARIANTS[part]))
    ]
    unused = [f"has_{group}::any" for group in UNUSED]
    table = np.zeros((len(NAMES), len(names) + len(unused)))
    table[:, len(names) :] = 100
    variants = dict(CLASSES)
    for category, name in enumerate(NAMES):
        for part, variant in zip(PARTS, variants[name], strict=True):
            table[category, names.index(f"has_{GROUPS[part]}::{variant}")] = 100
    return names + unused, table


# ---------------------------------------------------------------- ADE20K


def write_ade20k(folder: Path, shown: Sequence[Shown]) -> None:
    """Write scenes as ADE20K's scene parsing has its images."""
    for one in shown:
        part_of_set = "training" if one.is_training else "validation"
        name = f"{part_of_set}/ADE_{one.name}.png"
        save_scene(one.scene.image, folder / "images" / name)
        save_scene(objects_of(one.scene), folder / "annotations" / name)
    words = class_words()
    lines = [f"ADE_{one.name} {words[one.category]}" for one in shown]
    _write_lines(lines, folder / "sceneCategories.txt")
    header = "Idx,Ratio,Train,Val,Stuff,Name"
    rows = [f"{number},0,0,0,0,{name}" for number, name in enumerate(OBJECTS, 1)]
    _write_lines([header, *rows], folder / "objectInfo150.csv")


def objects_of(scene: Scene) -> np.ndarray:
    """Return a scene's label map: 1 + the index into OBJECTS, 0 where there is no part."""
    labels = np.zeros(scene.labels.shape, np.uint8)
    for number, part in enumerate(PARTS):
        variant = OBJECTS.index(f"{part} {scene.variants[number]}")
        labels[scene.labels == number + 1] = 1 + variant
    return labels


def _write_lines(lines: Sequence[str], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, "\n".join(lines) + "\n")


def run(settings: Settings) -> int:
    """Write both sets."""
    shown = shown_scenes(settings.scenes)
    write_cub(settings.folder / "CUB_200_2011", shown)
    write_ade20k(settings.folder / "ADEChallengeData2016", shown)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return exit_status(PROG, lambda: run(parse(Settings, argv, prog=PROG, doc=__doc__)))


if __name__ == "__main__":
    sys.exit(main())
