"""Insecurities measured against annotations of published data sets.

    data = DATA_SETS["cub"](Path("CUB_200_2011"))           # data.images, data.root
    data.check(network.labels)
    table, failures = evaluate(data, records)               # records: image path -> its record
    print(table.as_text())

cub.py measures whether a region has the parts that the two birds share, ade20k.py whether it is the
objects that the two scenes share. A pair of classes without a shared part or object in sight is not
counted. Means are over an image's insecurities, then over images, at regions of 1 % to 99 % of the
image: that share of its pixels where M is largest, also where M is not positive (figures show, and
removal removes, only where it is).

After Wang and Vasconcelos, NeurIPS 2019, whose released evaluation makes distributions of
percentages by a softmax, counts a class's divergence from itself, keeps only the 1 % most frequent
shared objects, and divides by pairs that share nothing.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType
from tqdm import tqdm

from companions.deliberative.ade20k import ade20k
from companions.deliberative.annotations import SHARES, Curves, DataSet
from companions.deliberative.cub import cub
from companions.deliberative.record import DeliberationRecord
from utils import one_line, write_atomically

DATA_SETS: dict[str, Callable[[Path], DataSet]] = {"cub": cub, "ade20k": ade20k}
Means = list[float | None]  # at each of SHARES; None where there is nothing to count


class Evaluation(Struct, kw_only=True):
    """What evaluation.json holds; the measures are those of the data set."""

    data: str
    images: int
    images_counted: int  # with an insecurity that counts
    insecurities: int
    shares: list[float]
    precision: Means | UnsetType = UNSET
    recall: Means | UnsetType = UNSET
    iou: Means | UnsetType = UNSET

    @property
    def measures(self) -> dict[str, Means]:
        """The measures that the data set has, by name."""
        names = ("precision", "recall", "iou")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not UNSET}

    def as_text(self) -> str:
        """Return the table for the terminal."""
        lines = [
            f"{self.data}: {self.insecurities} insecurities with something shared, in "
            f"{self.images_counted} of {self.images} images",
            "region     " + "".join(f"{100 * share:>7.0f} %" for share in self.shares),
        ]
        for name, values in self.measures.items():
            cells = ["-" if value is None else f"{value:.3f}" for value in values]
            lines.append(f"{name:<11}" + "".join(f"{cell:>9}" for cell in cells))
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """Write the evaluation as JSON."""
        write_atomically(path, msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def evaluate(
    data: DataSet, records: Mapping[Path, DeliberationRecord]
) -> tuple[Evaluation, list[tuple[str, str]]]:
    """Return the means over each image's insecurities, then over images.

    Args:
        data: the annotated images.
        records: the record of each image.

    Returns:
        The evaluation, and (name, reason) of images whose annotations cannot be used; these are
        left out.
    """
    per_image: list[Curves] = []
    failures: list[tuple[str, str]] = []
    counted = 0
    for path, record in tqdm(records.items(), desc="evaluation", unit="image"):
        try:
            curves = data.measure(path, record)
        except (ValueError, OSError) as error:
            failures.append((record.image, one_line(error)))
            continue
        counted += len(curves)
        if curves:
            per_image.append(_mean_curves(curves, data.measures))
    means = _mean_curves(per_image, data.measures)
    evaluation = Evaluation(
        data=data.name,
        images=len(records) - len(failures),
        images_counted=len(per_image),
        insecurities=counted,
        shares=list(SHARES),
        **{name: _json_numbers(values) for name, values in means.items()},
    )
    return evaluation, failures


def _mean_curves(curves: list[Curves], measures: tuple[str, ...]) -> Curves:
    return {name: mean_where_known([curve[name] for curve in curves]) for name in measures}


def mean_where_known(rows: list[np.ndarray]) -> np.ndarray:
    """Return the mean over rows (N, shares) of what is not NaN; NaN where all of a column is."""
    if not rows:
        return np.full(len(SHARES), np.nan)
    values = np.array(rows, float)
    known = ~np.isnan(values)
    counts = np.where(known.any(0), known.sum(0), np.nan)
    return np.where(known, values, 0).sum(0) / counts


def _json_numbers(values: np.ndarray) -> Means:
    return [None if np.isnan(value) else float(value) for value in values]
