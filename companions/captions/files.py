"""Files of the captioner, in the formats that ASG2Caption and SA3 publish.

    data/region_anno_dir/<image>.json         graphs, see companions/concepts/graphs.py; the folder
                                              may be called regionfiles, as SA3's is
    data/public_split/trn_names.npy           (image, region) pairs; so for val, val_sub, ..
    data/int2word.npy, data/word2int.json     the vocabulary
    data/global_features/trn_ft.npy           (n, D) in the split's order
    data/region_features.hdf5                 <image>.jpg: a row per box, attrs["boxes"]

Region features may be a folder instead, with a file <image>.jpg.hdf5 per image, as published.
Global features may have a row per pair of the split, or a row per image of it, in the order in
which it first names them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from companions.captions.scene_graph import Box
from companions.concepts.graphs import Graph, Region, read_graph
from companions.concepts.published_files import Pair, read_split
from companions.training.packages import sa3_library
from utils import UserError, one_line, read_bytes, written_beside

ENDING = ".jpg"  # of an image's key in the region features
ANNOTATIONS = ("region_anno_dir", "regionfiles")  # ASG2Caption's name of the folder, and SA3's


@dataclass(frozen=True)
class Places:
    """Where the files of a data set lie.

    Attributes:
        data: the folder.
        explanations: folder of the graphs that guide; None: the annotations themselves.
        global_features: folder; None: the one in data.
        region_features: file or folder; None: the file in data.
    """

    data: Path
    explanations: Path | None = None
    global_features: Path | None = None
    region_features: Path | None = None

    @property
    def annotations(self) -> Path:
        """Folder of the annotated graphs."""
        folders = [self.data / name for name in ANNOTATIONS]
        return next((folder for folder in folders if folder.is_dir()), folders[0])

    @property
    def regions(self) -> Path:
        """File of the region features, or a folder of a file per image."""
        return self.region_features or self.data / "region_features.hdf5"

    def split(self, name: str) -> Path:
        """Return the file of a split."""
        return self.data / "public_split" / f"{name}_names.npy"

    def splits(self) -> list[str]:
        """Return the names of all splits, sorted.

        Raises:
            UserError: there is none.
        """
        folder = self.data / "public_split"
        names = sorted(path.name.removesuffix("_names.npy") for path in folder.glob("*_names.npy"))
        if not names:
            raise UserError(f"{folder}: no split in it (<name>_names.npy)")
        return names

    def image_features(self, name: str) -> Path:
        """Return the file of a split's global features."""
        return (self.global_features or self.data / "global_features") / f"{name}_ft.npy"

    def graph(self, image: str) -> Graph:
        """Return an image's annotation.

        Raises:
            UserError: it is missing or damaged.
        """
        return _graph(self.annotations / f"{image}.json")

    def explanation(self, image: str) -> Graph:
        """Return the graph that guides on an image; {} where it has none.

        Raises:
            UserError: it is damaged.
        """
        if self.explanations is None:
            return self.graph(image)
        path = self.explanations / f"{image}.json"
        return _graph(path) if path.exists() else {}

    def pairs(self, split: str) -> list[Pair]:
        """Return the (image, region) pairs of a split.

        Raises:
            UserError: there is no such split.
        """
        path = self.split(split)
        if not path.exists():
            raise UserError(f"{path}: no such split; there are {', '.join(self.splits())}")
        pairs = read_split(path)
        if not pairs:
            raise UserError(f"{path}: no row in it")
        return pairs

    def captioned(self, split: str) -> list[tuple[Pair, Region]]:
        """Return the (image, region) pairs of a split, and the annotated regions.

        Raises:
            UserError: a file is missing or damaged, or lacks a region.
        """
        found = []
        for image, number in tqdm(
            self.pairs(split), desc=f"read {split}", unit="region", disable=None
        ):
            graph = self.graph(image)
            if number not in graph or not graph[number].objects:
                raise UserError(
                    f"{self.annotations / image}.json: no region {number} with an object, which "
                    f"the split {split} names"
                )
            found.append(((image, number), graph[number]))
        return found


def _graph(path: Path) -> Graph:
    try:
        return read_graph(path)
    except ValueError as error:
        raise UserError(one_line(error)) from None


def images_of(pairs: Sequence[Pair]) -> list[str]:
    """Return the images of a split, each once, in its order."""
    return list(dict.fromkeys(image for image, _ in pairs))


# ---------------------------------------------------------------- global features


def read_global_features(path: Path, pairs: Sequence[Pair]) -> np.ndarray:
    """Return the global feature of each pair, (pairs, D) float32.

    Raises:
        UserError: the file cannot be read, or has another number of rows than the split.
    """
    try:
        read_bytes(path)
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or one_line(error)}") from None
    images = images_of(pairs)
    if rows.ndim != 2 or rows.dtype.kind != "f":
        raise UserError(f"{path}: an array of {rows.dtype} {rows.shape}; floats (n, D) are wanted")
    if not np.isfinite(rows).all():
        raise UserError(f"{path}: a feature is NaN or infinite")
    if len(rows) == len(pairs):
        return rows.astype(np.float32)
    if len(rows) == len(images):
        place = {image: row for row, image in enumerate(images)}
        return rows[[place[image] for image, _ in pairs]].astype(np.float32)
    raise UserError(
        f"{path}: {len(rows)} rows; its split has {len(pairs)} regions of {len(images)} images"
    )


def write_global_features(path: Path, rows: np.ndarray) -> None:
    """Write global features, atomically; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path) as new, open(new, "wb") as file:
        np.save(file, rows.astype(np.float32), allow_pickle=False)


# ---------------------------------------------------------------- region features


class RegionFeatures:
    """Features of boxes, by image.

    Args:
        path: of the file or folder.
        open_file: returns a context manager of the open .hdf5 file that has an image's key.
    """

    def __init__(self, path: Path, open_file: Callable[[str], AbstractContextManager[Any]]):
        self.path = path
        self.open_file = open_file

    def rows(self, image: str, boxes: Sequence[Box]) -> np.ndarray:
        """Return the features of boxes of an image, (boxes, D) float32.

        Raises:
            UserError: the image is not there, or one of the boxes.
        """
        key = image + ENDING
        with self.open_file(key) as file:
            if key not in file:
                raise UserError(f"{self.path}: no image {key}")
            entry = file[key]
            known = entry.attrs.get("boxes")
            if known is None or entry.ndim != 2 or len(known) != len(entry):
                raise UserError(f"{self.path}: {key}: not a row of features for each of its boxes")
            features = np.asarray(entry[...], np.float32)
        place = {tuple(int(round(v)) for v in box): row for row, box in enumerate(known)}
        missing = next((box for box in boxes if tuple(box) not in place), None)
        if missing is not None:
            raise UserError(f"{self.path}: {key}: no feature of the box {list(missing)}")
        return features[[place[tuple(box)] for box in boxes]]


@contextmanager
def region_features(path: Path) -> Iterator[RegionFeatures]:
    """Open region features for reading.

    Args:
        path: a .hdf5 file of all images, or a folder with a file <image>.jpg.hdf5 for each.

    Raises:
        UserError: the file cannot be read.
    """
    if path.is_dir():
        yield RegionFeatures(path, lambda key: _open(path / f"{key.replace('/', '_')}.hdf5"))
        return
    with _open(path) as file:
        yield RegionFeatures(path, lambda _: nullcontext(file))


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    h5py = sa3_library("h5py", option=str(path))
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        reason = "not a whole .hdf5 file" if path.exists() else "no such file"
        raise UserError(f"{path}: {reason}") from error
    with file:
        yield file


def add_region_features(file: Any, image: str, features: np.ndarray, boxes: Sequence[Box]) -> Any:
    """Add an image's features, (boxes, D), to an open .hdf5 file; return the data set."""
    entry = file.create_dataset(image + ENDING, data=features.astype(np.float32))
    entry.attrs["boxes"] = np.array(boxes, np.float32).reshape(-1, 4)
    return entry
