"""Insecurities measured against annotations of published data sets.

    data = DATA_SETS["cub"](Path("CUB_200_2011"))           # data.images, data.root
    data.check(network.labels)
    table, failures = evaluate(data, records)               # records: image path -> its record
    print(table.as_text())

cub.py measures whether a region has the parts that the two birds share, ade20k.py whether it is the
objects that the two scenes share. A pair of classes without a shared part or object in sight is not
counted. Means are over an image's insecurities, then over images, at regions of 1 %, 2 % .. 99 % of
the image: that share of its pixels where M is largest, also where M is not positive (figures show,
and removal removes, only where it is).

After Wang and Vasconcelos, NeurIPS 2019. What their programs do otherwise is in published.py, and
DATA_SETS["cub"](path, published=True) does it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType
from tqdm import tqdm

from companions.deliberative.ade20k import ade20k
from companions.deliberative.annotations import SHARES, Curves, DataSet
from companions.deliberative.cub import cub
from companions.deliberative.published import mean_of_known
from companions.deliberative.record import DeliberationRecord
from running.record_files import write_indented
from utils import UserError, one_line

DATA_SETS: dict[str, Callable[..., DataSet]] = {"cub": cub, "ade20k": ade20k}
PRINTED = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99)  # sizes of regions in the table
Means = list[float | None]  # at each of SHARES; None where there is nothing to count


class Evaluation(Struct, kw_only=True):
    """What evaluation.json holds; the measures are those of the data set."""

    data: str
    published: bool = False  # as in the authors' programs
    images: int
    images_counted: int  # with an insecurity that counts
    insecurities: int
    shares: list[float]
    precision: Means | UnsetType = UNSET
    recall: Means | UnsetType = UNSET
    iou: Means | UnsetType = UNSET
    correlation: float | None | UnsetType = UNSET  # of strength and precision, over all regions

    @property
    def measures(self) -> dict[str, Means]:
        """The measures that the data set has, by name."""
        names = ("precision", "recall", "iou")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not UNSET}

    def as_text(self) -> str:
        """Return the table for the terminal."""
        what = f"{self.insecurities} insecurities with something shared, in "
        if self.published:
            what = "as published, "
        lines = [f"{self.data}: {what}{self.images_counted} of {self.images} images"]
        lines += table_by_size(self.shares, self.measures)
        if isinstance(self.correlation, float):
            lines.append(f"correlation of strength and precision: {self.correlation:.3f}")
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """Write the evaluation as JSON."""
        write_indented(path, self)


def table_by_size(shares: Sequence[float], rows: Mapping[str, Means]) -> list[str]:
    """Return lines of a table for the terminal: a row for each measure, columns by region size."""
    columns = [number for number, share in enumerate(shares) if share in PRINTED]
    lines = ["region     " + "".join(f"{100 * shares[n]:>7.0f} %" for n in columns)]
    for name, values in rows.items():
        kept = [values[n] for n in columns]
        cells = ["-" if value is None else f"{value:.3f}" for value in kept]
        lines.append(f"{name:<11}" + "".join(f"{cell:>9}" for cell in cells))
    return lines


def read_evaluation(path: Path) -> Evaluation:
    """Return the evaluation in a file.

    Raises:
        UserError: it is damaged.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Evaluation)
    except (OSError, msgspec.MsgspecError) as error:
        raise UserError(f"{path}: no evaluation ({one_line(error)}); remove it") from None


def evaluate(
    data: DataSet, records: Mapping[Path, DeliberationRecord], *, published: bool = False
) -> tuple[Evaluation, list[tuple[str, str]]]:
    """Return the means over each image's insecurities, then over images.

    Args:
        data: the annotated images.
        records: the record of each image.
        published: whether the data set measures as the authors' programs do.

    Returns:
        The evaluation, and (name, reason) of images whose annotations cannot be used; these are
        left out.
    """
    per_image: list[Curves] = []
    every: list[Curves] = []
    failures: list[tuple[str, str]] = []
    counted = 0
    for path, record in tqdm(records.items(), desc="evaluation", unit="image", disable=None):
        try:
            curves = data.measure(path, record)
        except (ValueError, OSError) as error:
            failures.append((record.image, one_line(error)))
            continue
        counted += len(curves)
        every.extend(curves)
        if curves:
            per_image.append(_mean_curves(curves, data.measures))
    means = _mean_curves(per_image, data.measures)
    evaluation = Evaluation(
        data=data.name,
        published=published,
        images=len(records) - len(failures),
        images_counted=len(per_image),
        insecurities=counted,
        shares=list(SHARES),
        correlation=correlation_of(every),
        **{name: json_numbers(values) for name, values in means.items()},
    )
    return evaluation, failures


def correlation_of(curves: Sequence[Curves]) -> float | None | UnsetType:
    """Return Pearson's correlation of strength and precision over all regions of all insecurities.

    UNSET where these are not measured, None where one is constant or there are too few.
    """
    if not any("strength" in curve for curve in curves):
        return UNSET
    strength = np.concatenate([curve["strength"] for curve in curves])
    precision = np.concatenate([curve["precision"] for curve in curves])
    known = np.isfinite(strength) & np.isfinite(precision)
    if known.sum() < 2 or np.ptp(strength[known]) == 0 or np.ptp(precision[known]) == 0:
        return None
    return float(np.corrcoef(strength[known], precision[known])[0, 1])


def _mean_curves(curves: list[Curves], measures: tuple[str, ...]) -> Curves:
    return {
        name: mean_of_known([curve[name] for curve in curves], len(SHARES)) for name in measures
    }


def json_numbers(values: np.ndarray) -> Means:
    """Return numbers as JSON has them: None for NaN."""
    return [None if np.isnan(value) else float(value) for value in values]
