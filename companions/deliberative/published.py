"""The authors' programs to the letter: pairs of classes, regions, shared parts and objects, scores.

    pairs = published_pairs(maps)                           # maps: (5, h, w), cut off at CLAMP
    region = published_region(fine, 0.05)                   # fine: M (H, W)
    shared = published_shared_parts(groups_of_parts)        # (classes, classes, parts) bool
    published_part_curves(maps_of_pairs, places, shared_of_pairs)

They are kept as they are, so that their figures can be computed again. Where this project does
otherwise by default, it is because:

- negative class maps become 1e-7 here, so that at a place with evidence for fewer than three
  classes, pairs are made of classes without evidence;
- values of M of 1 or more that are not in the region stay in the mask as they are;
- parts are squashed to 224 x 224 though the image is cropped; label maps are resized by repeating
  their rows of numbers;
- percentages of attributes become distributions by a softmax, and the threshold of what is alike
  counts a class's divergence of 0 from itself;
- the IoU of a pair that shares no object counts as 0.

After Wang and Vasconcelos, NeurIPS 2019, and the programs that they released.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import cv2
import numpy as np
from scipy.special import softmax
from tqdm import tqdm

CLAMP = 1e-7  # what negative values of a class map become
AT_ONE_PLACE = 3  # classes that take part at each location: those with the largest values
ALIKE = 0.2  # of all (class, class, part), the share with the lowest divergence
PRESENT = 0.3  # objects in fewer images of a scene count as absent
RARE = 0.99  # of all (class, class, object), the share with too low a frequency

Place = tuple[int, int]  # row, column


# ---------------------------------------------------------------- pairs and regions


def published_pairs(maps: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs among the classes with the three largest values at some location.

    Args:
        maps: (classes, h, w), negative values replaced by CLAMP.
    """
    top = np.sort(np.argsort(maps, axis=0)[-AT_ONE_PLACE:], axis=0)  # (3, h, w)
    places = top.reshape(len(top), -1).T
    return sorted({pair for row in places.tolist() for pair in combinations(row, 2)})


def published_fine(product: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return M (h, w) at the image's size (H, W), by OpenCV's bilinear filter."""
    height, width = size
    return cv2.resize(product.astype(np.float64), (width, height))


def published_region(fine: np.ndarray, share: float) -> np.ndarray:
    """Return the mask (H, W) of the top share of the pixels, float64; not all of it is 0 or 1."""
    return _masked(fine, _threshold(np.sort(fine.flatten()), share))


def _threshold(ascending: np.ndarray, share: float) -> float:
    """Return the value at a region's size, of M's values in ascending order."""
    return ascending[int(-share * len(ascending))]


def _masked(values: np.ndarray, threshold: float) -> np.ndarray:
    """Return 1 above the threshold; else 0, but values from 1 up to the threshold as they are."""
    return np.where(values > threshold, 1.0, np.where(values < 1, 0.0, values))


# ---------------------------------------------------------------- parts, CUB-200-2011


def published_divergence(percentages: np.ndarray) -> np.ndarray:
    """Return twice the Jensen-Shannon divergence, in nats, of each two rows, (classes, classes).

    Args:
        percentages: (classes, values), 0 to 100; made a distribution by a softmax.
    """
    p = softmax(percentages, axis=1)
    middle = p[:, None] + p[None]
    terms = p[:, None] * np.log(2 * p[:, None] / middle)
    half = terms.sum(-1)
    return half + half.T


def published_shared_parts(parts: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Return which parts each two classes share, (classes, classes, parts) bool.

    Args:
        parts: per part, its groups' percentages, each (classes, values).
    """
    divergences = np.stack(
        [np.mean([published_divergence(group) for group in groups], 0) for groups in parts], -1
    )
    threshold = np.sort(divergences.flatten())[int(ALIKE * divergences.size)]
    return divergences <= threshold


def published_places(
    points: Mapping[str, tuple[float, float]],
    *,
    image_size: tuple[int, int],
    size: tuple[int, int],
) -> dict[str, Place]:
    """Return where parts are said to be in the network's input: squashed, also where it is cropped.

    Args:
        points: x and y in the file, of the visible parts.
        image_size: width and height of the file.
        size: height and width of the network's input.
    """
    height, width = size
    places = {}
    for name, (x, y) in points.items():
        row = int(np.round(height * round(y) / image_size[1]))
        column = int(np.round(width * round(x) / image_size[0]))
        places[name] = (min(row, height - 1), min(column, width - 1))
    return places


def published_part_curves(
    fine: Sequence[np.ndarray],
    shared: Sequence[set[str]],
    places: Mapping[str, Place],
    *,
    shares: Sequence[float],
) -> dict[str, np.ndarray]:
    """Return an image's precision and recall at each size of region, NaN where undefined.

    Args:
        fine: M of each pair, (H, W).
        shared: the parts that its classes share.
        places: the image's visible parts.
        shares: sizes of regions.
    """
    at_all = sorted(set(places.values()) - {(0, 0)})
    total = np.zeros(len(shares))
    found: list[np.ndarray] = []  # precision of each pair
    counted = 0
    for product, names in zip(fine, shared, strict=True):
        at_shared = {places[name] for name in names & set(places)} - {(0, 0)}
        if names and not at_shared:
            continue
        counted += 1  # also a pair that shares no part, whose recall is 0
        if not names:
            continue
        is_shared = np.array([place in at_shared for place in at_all])
        ascending = np.sort(product.flatten())
        values = np.array([product[place] for place in at_all])
        masks = np.stack([_masked(values, _threshold(ascending, share)) for share in shares])
        common = masks[:, is_shared].sum(1)
        inside = masks.sum(1)
        total += common / len(at_shared)
        found.append(np.divide(common, inside, out=np.full(len(shares), np.nan), where=inside > 0))
    recall = total / counted if counted else np.full(len(shares), np.nan)
    return {"precision": mean_of_known(found, len(shares)), "recall": recall}


def mean_of_known(rows: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Return the mean over rows (N, length) of what is not NaN; NaN where all of a column is."""
    if not rows:
        return np.full(length, np.nan)
    values = np.array(rows, float)
    known = ~np.isnan(values)
    counts = np.where(known.any(0), known.sum(0), np.nan)
    return np.where(known, values, 0).sum(0) / counts


# ---------------------------------------------------------------- objects, ADE20K


def published_shared_objects(frequencies: np.ndarray) -> np.ndarray:
    """Return which objects each two scenes share, (classes, classes, objects) bool.

    The frequency of an object in two scenes is the mean of both, where both have it in at least
    PRESENT of their images; shared are the top 1 - RARE of all.

    Args:
        frequencies: share of each scene's images with each object, (classes, objects).
    """
    kept = np.where(frequencies < PRESENT, 0, frequencies)
    classes, objects = kept.shape
    tables = (
        _pair_frequencies(column)
        for column in tqdm(kept.T, desc="objects", leave=False, disable=None)
    )
    known = np.sort(np.concatenate([table[table > 0] for table in tables]))
    zeros = classes * classes * objects - len(known)
    place = int(RARE * classes * classes * objects)
    threshold = known[place - zeros] if place >= zeros else 0.0
    shared = np.zeros((classes, classes, objects), bool)
    for number, column in enumerate(kept.T):  # all tables at once would take gigabytes
        shared[:, :, number] = _pair_frequencies(column) >= threshold
    return shared


def _pair_frequencies(column: np.ndarray) -> np.ndarray:
    """Return the mean frequency of one object in each two scenes, 0 where one is without it."""
    both = (column[:, None] > 0) & (column[None] > 0)
    return np.where(both, (column[:, None] + column[None]) / 2, 0) * ~np.eye(
        len(column), dtype=bool
    )


def published_label_map(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a label map (h, w) at another size (H, W): its numbers in a row, cut or repeated."""
    return np.resize(labels, size)


def published_object_curve(
    fine: Sequence[np.ndarray],
    shared: Sequence[set[int]],
    labels: np.ndarray,
    *,
    shares: Sequence[float],
) -> dict[str, np.ndarray]:
    """Return an image's IoU with the objects that the two scenes share, at each size of region.

    Args:
        fine: M of each pair, (H, W).
        shared: the objects that its classes share; a pair without any counts as an IoU of 0.
        labels: label map, (H, W).
        shares: sizes of regions.
    """
    total = np.zeros(len(shares))
    for product, numbers in zip(fine, shared, strict=True):
        if not numbers:
            continue
        common = np.isin(labels, sorted(numbers)).astype(float)
        ascending = np.sort(product.flatten())
        for place, share in enumerate(shares):
            mask = _masked(product, _threshold(ascending, share))
            both = mask * common
            total[place] += both.sum() / (mask + common - both).sum()
    return {"iou": total / len(fine) if fine else np.full(len(shares), np.nan)}
