"""Label maps of the bundled scenes, and sets of scenes in which parts are missing or wrong.

    python -m birds.part_scenes                        # label maps of Images/: birds/part_maps/
    python -m birds.part_scenes FOLDER --per-class 6   # a set for score_deviation.py --manifest

The first also writes birds/part_names.txt; the second writes images/, masks/, images.csv and
names.txt.

In a whole bird no single part is needed, since every class has several sufficient sets of parts. So
a third of the set's scenes show a random minimal sufficient set (each part of it is needed), a
third all parts, and in a third one part is another class's: the target class is then that of the
other parts, and the odd part speaks against it.
"""

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from tqdm import trange

from birds.painter import (
    CLASSES,
    LABEL_NAMES,
    PARTS,
    VARIANTS,
    Scene,
    bundled_scenes,
    consistent_classes,
    draw_scene,
    minimal_sufficient_parts,
)
from drawing.png import save_scene
from running.command_line import Count, Positional, Seed, exit_status, parse
from utils import write_atomically, written_beside

PROG = "python -m birds.part_scenes"
HERE = Path(__file__).resolve().parent
KINDS = ("few", "whole", "odd")


@dataclass(frozen=True)
class Settings:
    """Settings of the command."""

    folder: Annotated[Path | None, Positional("FOLDER")] = None  # where a new set is written;
    #   without it the label maps of Images/ are drawn
    per_class: Count = 6  # scenes of each class in a new set
    seed: Seed = 5  # of a new set


def scene_of(category: int, kind: str, seed) -> Scene:
    """Draw a scene of a class with a given kind of parts.

    Args:
        category: index of the class.
        kind: "few" (a random minimal sufficient set), "whole" (all parts) or "odd" (one part of
            another class).
        seed: as of draw_scene.
    """
    rng = np.random.default_rng(seed)
    variants = list(CLASSES[category][1])
    if kind == "few":
        sets = [parts for parts in minimal_sufficient_parts(category) if len(parts) > 1]
        return draw_scene(variants, seed, parts=sets[rng.integers(len(sets))])
    if kind == "odd":
        part = int(rng.integers(len(PARTS)))
        others = _other_variants(part, variants[part])
        variants[part] = others[rng.integers(len(others))]
    return draw_scene(variants, seed)


def _other_variants(part: int, own: int) -> list[int]:
    """Return the variants of a part that some class has, without this one."""
    name = PARTS[part]
    return [
        variant
        for variant in range(len(VARIANTS[name]))
        if variant != own and consistent_classes({name: variant})
    ]


def write_names(path: Path) -> None:
    """Write the names of labels 1, 2, .., one per line."""
    write_atomically(path, "\n".join(LABEL_NAMES) + "\n")


def write_set(folder: Path, per_class: int, seed: int) -> None:
    """Write a set of scenes: images/, masks/, images.csv and names.txt."""
    rows = []
    for n in trange(per_class * len(CLASSES), unit="scene", disable=None):
        category, number = divmod(n, per_class)
        name = CLASSES[category][0]
        kind = KINDS[number % len(KINDS)]
        file = f"{name.replace(' ', '_')}/{number}_{kind}.png"
        scene = scene_of(category, kind, [seed, category, number])
        save_scene(scene.image, folder / "images" / file)
        save_scene(scene.labels, folder / "masks" / file)
        rows.append({"image": f"images/{file}", "mask": f"masks/{file}", "class": name})
    with (
        written_beside(folder / "images.csv") as new,
        open(new, "w", newline="", encoding="utf-8") as table,
    ):
        writer = csv.DictWriter(table, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_names(folder / "names.txt")


def run(settings: Settings) -> int:
    """Draw the label maps of Images/, or a new set into a folder."""
    if settings.folder:
        write_set(settings.folder, settings.per_class, settings.seed)
        return 0
    for stem, scene in bundled_scenes():
        save_scene(scene.labels, HERE / "part_maps" / f"{stem}.png", optimize=True)
    write_names(HERE / "part_names.txt")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return exit_status(PROG, lambda: run(parse(Settings, argv, prog=PROG, doc=__doc__)))


if __name__ == "__main__":
    sys.exit(main())
