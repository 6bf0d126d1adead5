"""ADE20K (scene parsing): is an insecurity's region the objects that its two scenes share?

    data = ade20k(Path("ADEChallengeData2016"))     # the validation images, where there are any
    data.check(network.labels)
    data.measure(image, record)[0]["iou"]           # at each size of region

An object is shared by two scenes when it is in at least 30 % of the annotated training images of
each. An insecurity's score is the IoU of its region with all pixels of shared objects.

B. Zhou et al., "Scene Parsing through ADE20K Dataset", CVPR 2017.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from companions.deliberative.annotations import Curves, DataSet, pair_of, regions_of
from companions.deliberative.record import DeliberationRecord
from companions.score_deviation import scene_sets
from companions.score_deviation.scene_sets import Item, target_of
from scoring.regions import load_label_map
from utils import UserError

PRESENT = 0.3  # an object of a scene is in this share of its images
OPTION = "--evaluate ade20k"


def ade20k(path: Path) -> DataSet:
    """Return the images of the published folder, with sceneCategories.txt.

    Raises:
        UserError: another folder, or a file in it is missing or damaged.
    """
    items = scene_sets.ade20k(path, OPTION).items
    train = [item for item in items if item.name.startswith("training/")] or items
    tested = [item for item in items if item.name.startswith("validation/")] or items
    if not any(item.target for item in train):
        raise UserError(
            f"{OPTION} {path}: no sceneCategories.txt in it, or none that names its images"
        )
    present = objects_of_scenes(train)
    masks = {item.image: item.mask for item in tested}
    objects: dict[int, set[int]] = {}  # of the network's classes, once these are known

    def check(labels: Sequence[str]) -> None:
        objects.update(objects_of_classes(present, labels))
        if len(objects) < 2:
            raise UserError(
                f"{OPTION} {path}: the network has fewer than two of the set's {len(present)} "
                "scenes; --labels names its classes"
            )

    def measure(image: Path, record: DeliberationRecord) -> list[Curves]:
        """Return the curves of an image's insecurities over the objects both classes share."""
        labels = load_label_map(masks[image], fit=record.model.fit(record.size), image=image)
        curves = []
        for insecurity in record.insecurities:
            a, b = pair_of(insecurity)
            shared = np.isin(labels, list(objects.get(a, set()) & objects.get(b, set())))
            if shared.any():
                regions = regions_of(insecurity, record.size)
                curves.append({"iou": np.array([iou(shared, region) for region in regions])})
        return curves

    return DataSet(
        name="ADE20K",
        root=path / "images",
        images=sorted(masks),
        measures=("iou",),
        check=check,
        measure=measure,
    )


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Return the intersection of two masks divided by their union, which is not empty."""
    return float((a & b).sum() / (a | b).sum())


def objects_of_scenes(items: Sequence[Item]) -> dict[str, set[int]]:
    """Return the labels, 0 left out, that are in at least PRESENT of each scene's images.

    Raises:
        UserError: a label map cannot be read.
    """
    found: dict[str, list[set[int]]] = {}
    for item in tqdm(items, desc="label maps", unit="image"):
        if item.target:
            try:
                labels = np.unique(load_label_map(item.mask)).tolist()
            except ValueError as error:
                raise UserError(f"{OPTION}: {error}") from None
            found.setdefault(item.target, []).append(set(labels) - {0})
    return {scene: _frequent(images) for scene, images in found.items()}


def _frequent(images: Sequence[set[int]]) -> set[int]:
    """Return the labels that are in at least PRESENT of the images."""
    every = set().union(*images)
    return {n for n in every if sum(n in labels for labels in images) >= PRESENT * len(images)}


def objects_of_classes(
    present: Mapping[str, set[int]], labels: Sequence[str]
) -> dict[int, set[int]]:
    """Return the objects of the network's classes; scenes that it does not know are left out."""
    objects = {}
    for scene, numbers in present.items():
        try:
            objects[target_of(scene, labels)] = numbers
        except ValueError:
            continue
    return objects
