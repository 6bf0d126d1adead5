"""Label maps of the bundled scenes, and a set of further scenes in which parts are missing or wrong.

    python -m birds.part_scenes                        # birds/part_maps/*.png, birds/part_names.txt: the parts of Images/
    python -m birds.part_scenes FOLDER --per-class 6   # images/, masks/, images.csv, names.txt: for score_deviation.py --manifest

In a whole bird no single part is needed, since every class has several sufficient sets of parts. So a third of the set's scenes
show a random minimal sufficient set (each part of it is needed), a third all parts, and in a third one part is another class's:
the true class is then that of the other parts, and the odd part speaks against it.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import trange

from birds.painter import (
    CLASSES,
    LABEL_NAMES,
    PARTS,
    VARIANTS,
    Scene,
    consistent_classes,
    draw_scene,
    minimal_sufficient_parts,
)

HERE = Path(__file__).resolve().parent
KINDS = ("few", "whole", "odd")


def bundled() -> list[tuple[str, Scene]]:
    """The scenes of Images/, with their names."""
    return [
        (name.replace(" ", "_").replace("'", ""), draw_scene(variants, [1, c]))
        for c, (name, variants) in enumerate(CLASSES)
    ]


def scene_of(category: int, kind: str, seed) -> Scene:
    """A scene of the class in which there are few parts, all of them, or one odd part. seed: as of draw_scene."""
    rng, variants = np.random.default_rng(seed), list(CLASSES[category][1])
    if kind == "few":
        sets = [s for s in minimal_sufficient_parts(category) if len(s) > 1]
        return draw_scene(variants, seed, sets[rng.integers(len(sets))])
    if kind == "odd":
        part = int(rng.integers(len(PARTS)))
        others = [
            v
            for v in range(len(VARIANTS[PARTS[part]]))
            if v != variants[part] and consistent_classes({PARTS[part]: v})
        ]
        variants[part] = others[rng.integers(len(others))]
    return draw_scene(variants, seed)


def write_names(path: Path) -> None:
    """The names of labels 1, 2, .., one a line."""
    path.write_text("\n".join(LABEL_NAMES) + "\n", encoding="utf-8")


def write_set(folder: Path, per_class: int, seed: int) -> None:
    """images/, masks/, images.csv and names.txt."""
    rows = []
    for n in trange(per_class * len(CLASSES), unit="scene"):
        category, number = divmod(n, per_class)
        name, kind = CLASSES[category][0], KINDS[number % len(KINDS)]
        scene, file = (
            scene_of(category, kind, [seed, category, number]),
            f"{name.replace(' ', '_')}/{number}_{kind}.png",
        )
        for kept, picture in (("images", scene.image), ("masks", scene.labels)):
            (folder / kept / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / kept / file)
        rows.append({"image": f"images/{file}", "mask": f"masks/{file}", "class": name})
    with open(folder / "images.csv", "w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_names(folder / "names.txt")


def main() -> None:
    """Without a folder the label maps of Images/, else a set of new scenes."""
    p = argparse.ArgumentParser(
        prog="python -m birds.part_scenes", description=__doc__.split("\n")[0]
    )
    p.add_argument("folder", type=Path, nargs="?")
    p.add_argument("--per-class", type=int, default=6, metavar="N")
    p.add_argument("--seed", type=int, default=5)
    args = p.parse_args()
    if args.folder:
        write_set(args.folder, args.per_class, args.seed)
        return
    (HERE / "part_maps").mkdir(exist_ok=True)
    for name, scene in bundled():
        Image.fromarray(scene.labels).save(HERE / "part_maps" / f"{name}.png", optimize=True)
    write_names(HERE / "part_names.txt")


if __name__ == "__main__":
    main()
