"""Features of images and of their regions, from any network.

The feature is the penultimate embedding: the input of the network's last layer. A region is cut out
of the image by its box, and fitted to the network's input as a whole image is. An interrupted run
goes on after the last image that it finished; a later one for more splits makes what is missing.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from companions.captions.files import (
    ENDING,
    Places,
    add_region_features,
    images_of,
    write_global_features,
)
from companions.captions.scene_graph import Box, scene_graph
from companions.concepts.network_outputs import network_outputs
from companions.training.packages import sa3_library
from scoring.image_files import as_rgb, open_image
from scoring.networks import Network
from utils import IMAGE_ENDINGS, UserError, file_sha256

PARTIAL = ".part"  # behind the name of region features that are not complete


def make_features(
    network: Network,
    images: Path,
    places: Places,
    splits: Sequence[str],
    *,
    batch_size: int | str = "auto",
) -> tuple[int, int]:
    """Write the region features of all images of the splits, and each split's global features.

    Args:
        network: has a last linear layer or convolution.
        images: folder of the images, named as the splits name them.
        places: of the splits and annotations, and of what is written.
        splits: their names.
        batch_size: crops per forward pass, or "auto".

    Returns:
        The number of images and of boxes.

    Raises:
        UserError: an image or annotation is missing or damaged.
    """
    named = {split: places.pairs(split) for split in splits}
    every = images_of([pair for pairs in named.values() for pair in pairs])
    files = {image: image_file(images, image) for image in every}  # a missing one is said at once
    partial = places.regions.with_name(places.regions.name + PARTIAL)
    if places.regions.exists() and not partial.exists():  # perhaps made for other splits
        shutil.copyfile(places.regions, partial)
    partial.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, np.ndarray] = {}
    count = 0
    with growing_file(partial, network) as file:
        for image in tqdm(every, desc="features", unit="image", disable=None):
            boxes = boxes_of(places, image)
            found[image] = _image_feature(
                file, network, files[image], image=image, boxes=boxes, batch_size=batch_size
            )
            count += len(boxes)
    os.replace(partial, places.regions)
    for split, pairs in named.items():
        write_global_features(
            places.image_features(split), np.stack([found[image] for image in images_of(pairs)])
        )
    return len(every), count


@contextmanager
def growing_file(path: Path, network: Network) -> Iterator[Any]:
    """Open the .hdf5 file that an interrupted run left, or a new one, for an image at a time.

    Args:
        path: the file; begun again where it is damaged or of another network.
        network: that makes the features.
    """
    h5py = sa3_library("h5py", option="features")
    key = json.dumps(network.description(), sort_keys=True, default=str)
    try:
        with h5py.File(path, "r") as file:
            is_ours = file.attrs.get("network") == key
    except OSError:
        is_ours = False
    with h5py.File(path, "a" if is_ours else "w") as file:
        if not is_ours:  # writing it again would change the file, and captions are kept for a file
            file.attrs["network"] = key
        yield file


def _image_feature(
    file: Any,
    network: Network,
    path: Path,
    *,
    image: str,
    boxes: Sequence[Box],
    batch_size: int | str,
) -> np.ndarray:
    """Return an image's feature; its regions' are added to the file, where it lacks them."""
    source = file_sha256(path)
    entry = file.get(image + ENDING)
    if entry is not None:
        known = entry.attrs["boxes"].tolist()
        if entry.attrs.get("source") == source and known == [list(box) for box in boxes]:
            return entry.attrs["image"]
        del file[image + ENDING]
    rows = crop_features(network, path, boxes, batch_size=batch_size)
    entry = add_region_features(file, image, rows[1:], boxes)
    entry.attrs["image"] = rows[0]
    entry.attrs["source"] = source
    file.flush()
    return rows[0]


def image_file(folder: Path, image: str) -> Path:
    """Return the file of an image.

    Raises:
        UserError: there is none.
    """
    for ending in IMAGE_ENDINGS:
        if (folder / f"{image}{ending}").is_file():
            return folder / f"{image}{ending}"
    raise UserError(f"--images {folder}: no image {image}{IMAGE_ENDINGS[0]}, which a split names")


def boxes_of(places: Places, image: str) -> list[Box]:
    """Return every box that a graph of an image has a node for, each once."""
    graphs = [scene_graph(region) for region in places.graph(image).values()]
    return list(dict.fromkeys(box for graph in graphs for box in graph.boxes))


def crop_features(
    network: Network, path: Path, boxes: Sequence[Box], *, batch_size: int | str
) -> np.ndarray:
    """Return the features of an image and of its boxes, (1 + boxes, D) float32.

    Raises:
        UserError: the image cannot be read, a box has no pixel of it, or there is no feature.
    """
    try:
        crops = enumerate(_crops(path, network, boxes))
        _, outputs = network_outputs(network, crops, batch_size=batch_size)
    except (ValueError, FloatingPointError) as error:
        raise UserError(f"{path}: {error}") from None
    if not outputs.embeddings.size:
        raise UserError(
            f"--model {network.name}: has no linear layer or convolution, so no feature"
        )
    return outputs.embeddings


def _crops(path: Path, network: Network, boxes: Sequence[Box]) -> Iterator[np.ndarray]:
    image = as_rgb(open_image(path))
    yield network.fit.image(image)
    for x0, y0, x1, y1 in boxes:
        cut = (max(0, x0), max(0, y0), min(image.width, x1 + 1), min(image.height, y1 + 1))
        if cut[0] >= cut[2] or cut[1] >= cut[3]:
            raise ValueError(f"the box {[x0, y0, x1, y1]} has no pixel of the image")
        yield network.fit.image(image.crop(cut))


def load_rgb(path: Path) -> np.ndarray:
    """Return an image in its own size, (H, W, 3) uint8.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return np.asarray(as_rgb(open_image(path)))
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
