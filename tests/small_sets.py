"""Published folder trees in miniature, with the names and the oddities of the real ones."""

import numpy as np
from PIL import Image

from companions.deliberative.cub import PART_GROUPS

BIRDS = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross")
# CUB-200-2011's groups of attributes in their order, with the number of values: 312 in all.
ATTRIBUTES = {
    "bill_shape": 9,
    "wing_color": 15,
    "upperparts_color": 15,
    "underparts_color": 15,
    "breast_pattern": 4,
    "back_color": 15,
    "tail_shape": 6,
    "upper_tail_color": 15,
    "head_pattern": 11,
    "breast_color": 15,
    "throat_color": 15,
    "eye_color": 14,
    "bill_length": 3,
    "forehead_color": 15,
    "under_tail_color": 15,
    "nape_color": 15,
    "belly_color": 15,
    "wing_shape": 5,
    "size": 5,
    "shape": 14,
    "back_pattern": 4,
    "tail_pattern": 4,
    "belly_pattern": 4,
    "primary_color": 15,
    "leg_color": 15,
    "bill_color": 15,
    "crown_color": 15,
    "wing_pattern": 4,
}
COLOURS = ((200, 60, 60), (60, 200, 60), (60, 60, 200))  # of the birds of each class


def write(path, text):
    """Write a text file, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def cub_tree(path, images_per_class=2, side=64, seed=0):
    """Write CUB_200_2011 with three classes below a folder; return it.

    As in the published archive, attributes.txt lies beside the folder. Every second image is a
    training image. A bird is a disc of its class's colour on a noisy ground; its beak is at the
    upper left of the disc, its tail at the lower right; no other part is visible.
    """
    rng = np.random.default_rng(seed)
    folder = path / "CUB_200_2011"
    names = [f"{n} has_{group}::{v}" for n, (group, v) in enumerate(_attributes(), 1)]
    write(path / "attributes.txt", "\n".join(names) + "\n")
    write(folder / "README", "Caltech-UCSD Birds-200-2011 in miniature\n")
    write(folder / "classes.txt", _numbered(BIRDS))
    write(folder / "parts/parts.txt", _numbered(PART_GROUPS))
    write(folder / "attributes/class_attribute_labels_continuous.txt", _percentages(rng))
    lines = {"images": [], "image_class_labels": [], "train_test_split": [], "parts/part_locs": []}
    for number in range(1, 1 + images_per_class * len(BIRDS)):
        category = (number - 1) % len(BIRDS)
        name = f"{BIRDS[category]}/{BIRDS[category][4:]}_{number:04}_{1000 + number}.jpg"
        image, parts = _bird(category, side, rng)
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / "images" / name, quality=95)
        is_training = (number - 1) // len(BIRDS) % 2
        lines["images"].append(f"{number} {name}")
        lines["image_class_labels"].append(f"{number} {category + 1}")
        lines["train_test_split"].append(f"{number} {is_training}")
        for part, part_name in enumerate(PART_GROUPS, 1):
            x, y = parts.get(part_name, (0, 0))
            visible = int(part_name in parts)
            lines["parts/part_locs"].append(f"{number} {part} {x:.1f} {y:.1f} {visible}")
    for name, rows in lines.items():
        write(folder / f"{name}.txt", "\n".join(rows) + "\n")
    return folder


def published_lists(folder):
    """Write CUB200_gt_tr.txt and CUB200_gt_te.txt as the authors' programs do; return both."""
    names = [line.split()[1] for line in (folder / "images.txt").read_text().splitlines()]
    labels = [
        line.split()[1] for line in (folder / "image_class_labels.txt").read_text().split("\n")[:-1]
    ]
    splits = [
        line.split()[1] for line in (folder / "train_test_split.txt").read_text().splitlines()
    ]
    paths = []
    for kind, wanted in (("tr", "1"), ("te", "0")):
        rows = [row for row in zip(names, labels, splits) if row[2] == wanted]
        lines = [
            f"/data6/datasets/CUB_200_2011/images/{name} {int(label) - 1} {number}"
            for number, (name, label, _) in enumerate(rows)
        ]
        paths.append(folder / f"CUB200_gt_{kind}.txt")
        write(paths[-1], "\n".join(lines) + "\n")
    return paths


def _attributes():
    return [(group, value) for group, count in ATTRIBUTES.items() for value in range(count)]


def _numbered(names):
    return "".join(f"{number} {name}\n" for number, name in enumerate(names, 1))


def _percentages(rng):
    """Return the table of attributes; beak and tail are alike in all classes, other parts not."""
    rows = rng.uniform(0, 100, (len(BIRDS), sum(ATTRIBUTES.values())))
    alike = {*PART_GROUPS["beak"], *PART_GROUPS["tail"]}
    rows[:, [group in alike for group, _ in _attributes()]] = 50
    return "".join(" ".join(f"{value:.4f}" for value in row) + "\n" for row in rows)


def _bird(category, side, rng):
    """Return an image and the places of its visible parts, x and y."""
    image = rng.integers(90, 166, (side, side, 3)).astype(np.uint8)
    x, y = rng.integers(side // 3, 2 * side // 3, 2)
    radius = side // 4
    rows, columns = np.mgrid[:side, :side]
    disc = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    image[disc] = COLOURS[category]
    shift = radius // 2
    return image, {"beak": (x - shift, y - shift), "tail": (x + shift, y + shift)}
