"""ADE20K (scene parsing): is an insecurity's region the objects that its two scenes share?

    data = ade20k(Path("ADEChallengeData2016"))     # the validation images, where there are any
    data.check(network.labels)
    data.measure(image, record)[0]["iou"]           # at each size of region

An object is shared by two scenes when it is in at least 30 % of the annotated training images of
each. An insecurity's score is the IoU of its region with all pixels of shared objects.

B. Zhou et al., "Scene Parsing through ADE20K Dataset", CVPR 2017.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from companions.deliberative.annotations import (
    SHARES,
    Curves,
    DataSet,
    Pair,
    pair_of,
    pixels_at,
    published_maps,
    ranks_of,
)
from companions.deliberative.published import (
    published_label_map,
    published_object_curve,
    published_shared_objects,
)
from companions.deliberative.record import DeliberationRecord
from companions.score_deviation import scene_sets
from companions.score_deviation.scene_sets import Item, target_of
from scoring.regions import load_label_map
from utils import UserError

PRESENT = 0.3  # an object of a scene is in this share of its images
OBJECTS = 150  # with a name
OPTION = "--evaluate ade20k"


def ade20k(path: Path, *, published: bool = False) -> DataSet:
    """Return the images of the published folder, with sceneCategories.txt.

    Args:
        path: the folder.
        published: whether objects are shared and counted as in the authors' programs.

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
    frequencies = object_frequencies(train)
    masks = {item.image: item.mask for item in tested}
    shared = SharedObjects(frequencies, published)

    def check(labels: Sequence[str]) -> None:
        shared.find(labels)
        if len(shared.classes) < 2:
            raise UserError(
                f"{OPTION} {path}: the network has fewer than two of the set's {len(frequencies)} "
                "scenes; --labels names its classes"
            )

    def measure(image: Path, record: DeliberationRecord) -> list[Curves]:
        kind = published_curves if published else object_curves
        return kind(image, masks[image], record, shared=shared)

    return DataSet(
        name="ADE20K",
        root=path / "images",
        images=sorted(masks),
        measures=("iou",),
        check=check,
        measure=measure,
    )


def object_curves(
    image: Path, mask: Path | None, record: DeliberationRecord, *, shared: "SharedObjects"
) -> list[Curves]:
    """Return the curves of an image's insecurities over the objects both classes share.

    Args:
        image: the file.
        mask: its label map.
        record: its insecurities.
        shared: the objects that classes share.
    """
    labels = load_label_map(existing(mask), fit=record.model.fit(record.size), image=image)
    curves = []
    for insecurity in record.insecurities:
        common = np.isin(labels, sorted(shared.of(pair_of(insecurity))))
        if common.any():
            curves.append({"iou": iou_curve(common, ranks_of(insecurity, record.size))})
    return curves


def published_curves(
    image: Path, mask: Path | None, record: DeliberationRecord, *, shared: "SharedObjects"
) -> list[Curves]:
    """Return one curve of all insecurities, as in the authors' programs; see object_curves()."""
    labels = published_label_map(load_label_map(existing(mask), image=image), record.size)
    wanted = [shared.of(pair_of(insecurity)) for insecurity in record.insecurities]
    return [published_object_curve(published_maps(record), wanted, labels, shares=SHARES)]


def existing(mask: Path | None) -> Path:
    """Return the path of a label map.

    Raises:
        ValueError: the image has none.
    """
    if mask is None:
        raise ValueError("no label map")
    return mask


def iou_curve(common: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return the IoU of a mask (H, W), not empty, with the region of each of SHARES.

    Args:
        common: the mask.
        ranks: place of each pixel in the order of M, (H, W).
    """
    within = np.zeros(ranks.size, bool)
    within[ranks.ravel()] = common.ravel()
    sizes = pixels_at(ranks.shape)
    both = within.cumsum()[sizes - 1]
    return both / (sizes + common.sum() - both)


# ---------------------------------------------------------------- objects that scenes share


class SharedObjects:
    """The objects that each two of a network's classes share.

    Attributes:
        classes: name of the scene of each class that the set knows, by the class's index.

    Args:
        frequencies: share of each scene's images that have each label.
        published: whether objects are shared as in the authors' programs.
    """

    def __init__(self, frequencies: Mapping[str, Mapping[int, float]], published: bool):
        self.frequencies = frequencies
        self.published = published
        self.classes: dict[int, str] = {}
        self._alike: np.ndarray | None = None

    def find(self, labels: Sequence[str]) -> None:
        """Find the scenes among a network's classes; those that it does not know are left out."""
        self.classes = {}
        for scene in self.frequencies:
            try:
                self.classes[target_of(scene, labels)] = scene
            except ValueError:
                continue
        if self.published:
            self._alike = published_shared_objects(self._table(len(labels)))

    def of(self, pair: Pair) -> set[int]:
        """Return the labels of the objects that two classes share."""
        if self._alike is not None:
            return set((1 + self._alike[pair].nonzero()[0]).tolist())
        return self._present(pair[0]) & self._present(pair[1])

    def _present(self, category: int) -> set[int]:
        known = self.frequencies.get(self.classes.get(category, ""), {})
        return {label for label, share in known.items() if share >= PRESENT}

    def _table(self, classes: int) -> np.ndarray:
        """Return the frequencies as an array (classes, labels), label 1 first."""
        most = max((max(known, default=0) for known in self.frequencies.values()), default=0)
        table = np.zeros((classes, max(most, OBJECTS)))
        for category, scene in self.classes.items():
            for label, share in self.frequencies[scene].items():
                table[category, label - 1] = share
        return table


def object_frequencies(items: Sequence[Item]) -> dict[str, dict[int, float]]:
    """Return the share of each scene's images that have each label, 0 left out.

    Raises:
        UserError: a label map cannot be read.
    """
    counts: dict[str, Counter[int]] = {}
    images: Counter[str] = Counter()
    for item in tqdm(items, desc="label maps", unit="image", disable=None):
        if isinstance(item.target, str) and item.mask is not None:
            try:
                labels = np.unique(load_label_map(item.mask)).tolist()
            except ValueError as error:
                raise UserError(f"{OPTION}: {error}") from None
            images[item.target] += 1
            counts.setdefault(item.target, Counter()).update(set(labels) - {0})
    return {
        scene: {label: number / images[scene] for label, number in found.items()}
        for scene, found in counts.items()
    }
