"""What the score deviations of many images say about a class: its relevant and distracting labels.

For each class, over its N correctly classified images, with d = 0 where a label is absent:

    mean d > 0.01       relevant (box plots); labels with mean d > 0 enter the word cloud
    |mean d| <= 0.01    irrelevant
    mean d < -0.01      opposing: the class is recognised in spite of it

Over its misclassified images, a label is *distracting* where the network predicts the true class
once the label is removed. The released program counts differently, and both counts are kept: the
largest probability in the (labels x classes) matrix of an image, with the untouched image's row for
absent labels, lies in the true class's column.

Absent labels dilute the mean, so the mean over the images that have the label is kept beside it,
with their number. Where the true class of an image is unknown, the explained class takes its place
and the image counts as correctly classified.

    records = [read_deviation(path) for path in Path("Results").rglob("deviation.json")]
    found = statistics(records)
    found.classes["kitchen"].labels[0].label, found.classes["kitchen"].labels[0].mean
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pandas as pd
from msgspec import Struct

from companions.score_deviation.accuracy import evaluate
from companions.score_deviation.record import DeviationRecord, LabelDeviation
from utils import write_atomically, written_beside

RELEVANT = 0.01
ALL_CLASSES = "all classes"
TOP = ("top_1", "top_2", "top_5")
QUARTILES = (25, 50, 75)
Kind = Literal["relevant", "irrelevant", "opposing"]


class LabelStatistics(Struct, kw_only=True):
    """One label over the images of a class; means are None where no image counts."""

    label: str
    kind: Kind | None
    images: int  # correctly classified ones
    present: int  # of these, with the label
    mean: float | None  # deviation over all correctly classified images
    mean_present: float | None  # and over those with the label
    lower_quartile: float | None
    median: float | None
    upper_quartile: float | None
    mean_area: float | None
    misclassified: int  # images
    distracting: int  # in so many misclassified images
    distracting_by_largest: int  # by the released program's rule
    values: list[float]  # the deviation in each correctly classified image with the label


class ClassStatistics(Struct):
    """The images of one class, or of all; the label with the largest mean comes first."""

    images: int
    correct: int
    labels: list[LabelStatistics]


class Statistics(Struct, kw_only=True):
    """Everything said about a set of images."""

    images: int
    with_true_class: int
    relevant_above: float
    accuracy: dict[str, float] | None  # top_1, top_2, top_5; None: no true class is known
    mean_class_accuracy: float | None
    mean_loss: float | None
    classes: dict[str, ClassStatistics]


# ---------------------------------------------------------------- one image


def class_of(record: DeviationRecord) -> str:
    """Return the name of the class that an image counts for: the true one, where it is known."""
    return (record.true or record.category).name


def is_correct(record: DeviationRecord) -> bool:
    """Return whether the network predicts the true class; True where that is unknown."""
    return record.true is None or record.true.index == record.predicted.index


def deviation_of(record: DeviationRecord, label: LabelDeviation) -> float:
    """Return a label's deviation for the class that the image counts for."""
    return label.deviation if record.true is None else label.true_deviation


def distracting(record: DeviationRecord) -> set[str]:
    """Return the labels of a misclassified image without which the true class is predicted."""
    return {label.name for label in record.labels if label.top.index == record.true.index}


def distracting_by_largest(record: DeviationRecord) -> set[str]:
    """Return the labels of a misclassified image that the released program's rule names.

    Its matrix has a row for each of its 150 labels; those of absent labels are the untouched image.
    """
    tops = [label.top for label in record.labels]
    largest = max(record.predicted.probability, *(top.probability for top in tops))
    at_largest = [label for label in record.labels if label.top.probability == largest]
    if not any(label.top.index == record.true.index for label in at_largest):
        return set()
    return {label.name for label in at_largest}


# ---------------------------------------------------------------- many images


def statistics(records: Sequence[DeviationRecord], relevant: float = RELEVANT) -> Statistics:
    """Return the statistics of a set of images: accuracies, and a table per class and of all.

    Args:
        records: the images' records.
        relevant: a label is relevant to a class above this mean deviation.
    """
    groups: dict[str, list[DeviationRecord]] = {}
    for record in records:
        groups.setdefault(class_of(record), []).append(record)
    tables = {name: class_statistics(groups[name], relevant) for name in sorted(groups)}
    if len(groups) > 1:
        tables = {ALL_CLASSES: class_statistics(records, relevant), **tables}
    found = evaluate(records)
    return Statistics(
        images=len(records),
        with_true_class=found.images if found else 0,
        relevant_above=relevant,
        accuracy={name: getattr(found, name) for name in TOP} if found else None,
        mean_class_accuracy=found.mean_class_accuracy if found else None,
        mean_loss=found.mean_loss if found else None,
        classes=tables,
    )


def class_statistics(
    records: Sequence[DeviationRecord], relevant: float = RELEVANT
) -> ClassStatistics:
    """Return the statistics of the images of one class, or of all."""
    correct = [record for record in records if is_correct(record)]
    wrong = [record for record in records if not is_correct(record)]
    present: dict[str, list[tuple[float, float]]] = {
        label.name: [] for record in records for label in record.labels
    }
    for record in correct:
        for label in record.labels:
            present[label.name].append((deviation_of(record, label), label.area))
    ours = Counter(name for record in wrong for name in distracting(record))
    published = Counter(name for record in wrong for name in distracting_by_largest(record))
    labels = [
        _label_statistics(
            name,
            values,
            images=len(correct),
            misclassified=len(wrong),
            distracting=ours[name],
            distracting_by_largest=published[name],
            relevant=relevant,
        )
        for name, values in present.items()
    ]
    labels.sort(key=lambda row: (-(row.mean or 0), row.label))
    return ClassStatistics(len(records), len(correct), labels)


def _label_statistics(
    name: str,
    present: Sequence[tuple[float, float]],
    *,
    images: int,
    relevant: float,
    **counts: int,
) -> LabelStatistics:
    """Return a label's row; present: (deviation, area) in each correct image that has it."""
    deviations = [deviation for deviation, _ in present]
    mean = float(np.sum(deviations)) / images if images else None
    quartiles = np.percentile(deviations, QUARTILES).tolist() if present else [None] * 3
    return LabelStatistics(
        label=name,
        kind=kind_of(mean, relevant),
        images=images,
        present=len(present),
        mean=mean,
        mean_present=_mean(deviations),
        lower_quartile=quartiles[0],
        median=quartiles[1],
        upper_quartile=quartiles[2],
        mean_area=_mean([area for _, area in present]),
        values=deviations,
        **counts,
    )


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def kind_of(mean: float | None, relevant: float) -> Kind | None:
    """Return what a label of this mean deviation is to the class; None where no image counts."""
    if mean is None:
        return None
    if mean > relevant:
        return "relevant"
    return "irrelevant" if mean >= -relevant else "opposing"


# ---------------------------------------------------------------- files


def write_statistics(found: Statistics, records: Sequence[DeviationRecord], folder: Path) -> None:
    """Write statistics.json, labels.csv (a row per class and label) and deviations.npz."""
    content = msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n"
    write_atomically(folder / "statistics.json", content)
    table = labels_table(found).drop(columns="values")
    write_atomically(folder / "labels.csv", table.to_csv(index=False, float_format="%.6f"))
    _write_arrays(folder / "deviations.npz", records)


def labels_table(found: Statistics) -> pd.DataFrame:
    """Return a row per class and label, with the fields of LabelStatistics as columns."""
    rows = [
        {"class": name, **msgspec.structs.asdict(row)}
        for name, table in found.classes.items()
        for row in table.labels
    ]
    return pd.DataFrame(rows)


def _write_arrays(path: Path, records: Sequence[DeviationRecord]) -> None:
    """Write deviations and areas as arrays, (images, labels); NaN where a label is absent."""
    names = sorted({label.name for record in records for label in record.labels})
    columns = {name: column for column, name in enumerate(names)}
    deviation = np.full((len(records), len(names)), np.nan, np.float32)
    area = np.full_like(deviation, np.nan)
    for row, record in enumerate(records):
        for label in record.labels:
            deviation[row, columns[label.name]] = deviation_of(record, label)
            area[row, columns[label.name]] = label.area
    with written_beside(path) as new:
        np.savez_compressed(
            new,
            images=[record.image for record in records],
            labels=names,
            deviation=deviation,
            area=area,
            correct=[is_correct(record) for record in records],
            classes=[class_of(record) for record in records],
        )
