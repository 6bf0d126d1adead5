"""What the score deviations of many images say about a class: its relevant and distracting labels.

Images are grouped by true class, of which the correctly classified ones count, and by predicted
class, of which all count. For each class, over its N images that count, with d = 0 where a label is
absent:

    mean d > 0.01       relevant (box plots); labels with mean d > 0 enter the word cloud
    |mean d| <= 0.01    irrelevant
    mean d < -0.01      opposing: the class is recognised in spite of it

Over the misclassified images of a true class, a label is *distracting* where the network predicts
the true class once the label is removed. The released program counts differently, and both counts
are kept: the largest probability in the (labels x classes) matrix of an image, with the untouched
image's row for absent labels, lies in the true class's column.

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
from typing import Any, Literal, get_args

import msgspec
import numpy as np
import pandas as pd
from msgspec import Struct

from companions.score_deviation.accuracy import evaluate
from companions.score_deviation.record import ImageDeviations, LabelDeviation
from running.record_files import write_indented
from utils import write_atomically, written_beside

RELEVANT = 0.01
ALL_CLASSES = "all classes"
TOP = ("top_1", "top_2", "top_5")
QUARTILES = (25, 50, 75)
Kind = Literal["relevant", "irrelevant", "opposing"]
Grouping = Literal["true", "predicted"]
TRUE: Grouping = get_args(Grouping)[0]
PREDICTED: Grouping = get_args(Grouping)[1]


class LabelStatistics(Struct, kw_only=True):
    """One label over the images of a class; means are None where no image counts."""

    label: str
    kind: Kind | None
    images: int  # that count: correctly classified, or predicted as the class
    present: int  # of these, with the label
    mean: float | None  # deviation over all images that count
    mean_present: float | None  # and over those with the label
    lower_quartile: float | None  # of values
    median: float | None
    upper_quartile: float | None
    mean_area: float | None
    share: float  # of the pixels of all images of the class
    misclassified: int  # images
    distracting: int  # in so many misclassified images
    distracting_by_largest: int  # by the released program's rule
    values: list[float]  # the deviation in each image that counts and has the label; with
    #   absent_as_zero in each that counts


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
    absent_as_zero: bool  # whether boxes and quartiles are over all images
    classes: dict[str, ClassStatistics]  # by true class
    predicted: dict[str, ClassStatistics]  # by predicted class; empty: no true class is known


# ---------------------------------------------------------------- one image


def class_of(record: ImageDeviations, by: Grouping = TRUE) -> str:
    """Return the name of the class that an image counts for.

    By true class, it is the explained one where the true one is unknown.
    """
    if by == PREDICTED:
        return record.predicted.name
    return (record.true or record.category).name


def is_correct(record: ImageDeviations) -> bool:
    """Return whether the network predicts the true class; True where that is unknown."""
    return record.true is None or record.true.index == record.predicted.index


def knows_predicted(record: ImageDeviations) -> bool:
    """Return whether a record has the deviations of the predicted class.

    One of an earlier version does not where it explains another class.
    """
    is_explained = record.category.index == record.predicted.index
    return is_explained or record.labels[0].predicted_deviation is not None


def deviation_of(record: ImageDeviations, label: LabelDeviation, by: Grouping = TRUE) -> float:
    """Return a label's deviation for the class that the image counts for."""
    if by == PREDICTED:
        is_explained = record.category.index == record.predicted.index
        return label.deviation if is_explained else label.predicted_deviation
    return label.deviation if record.true is None else label.true_deviation


def distracting(record: ImageDeviations) -> set[str]:
    """Return the labels of a misclassified image without which the true class is predicted."""
    return {label.name for label in record.labels if label.top.index == record.true.index}


def distracting_by_largest(record: ImageDeviations) -> set[str]:
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


def statistics(
    records: Sequence[ImageDeviations], relevant: float = RELEVANT, *, absent_as_zero: bool = False
) -> Statistics:
    """Return the statistics of a set of images: accuracies, and a table per class and of all.

    Args:
        records: the images' records.
        relevant: a label is relevant to a class above this mean deviation.
        absent_as_zero: whether quartiles are over all images that count, and not over those with
            the label.
    """
    found = evaluate(records)
    tables = {
        by: _tables(records, relevant, by=by, absent_as_zero=absent_as_zero)
        for by in (TRUE, PREDICTED)
    }
    return Statistics(
        images=len(records),
        with_true_class=found.images if found else 0,
        relevant_above=relevant,
        accuracy={name: getattr(found, name) for name in TOP} if found else None,
        mean_class_accuracy=found.mean_class_accuracy if found else None,
        mean_loss=found.mean_loss if found else None,
        absent_as_zero=absent_as_zero,
        classes=tables[TRUE],
        predicted=tables[PREDICTED] if found else {},
    )


def _tables(
    records: Sequence[ImageDeviations], relevant: float, *, by: Grouping, absent_as_zero: bool
) -> dict[str, ClassStatistics]:
    """Return the table of each class by its name, and first that of all where there are several."""
    groups: dict[str, list[ImageDeviations]] = {}
    for record in records:
        groups.setdefault(class_of(record, by), []).append(record)
    named = [(name, groups[name]) for name in sorted(groups)]
    if len(groups) > 1:
        named.insert(0, (ALL_CLASSES, list(records)))
    return {
        name: class_statistics(group, relevant, by=by, absent_as_zero=absent_as_zero)
        for name, group in named
    }


def class_statistics(
    records: Sequence[ImageDeviations],
    relevant: float = RELEVANT,
    *,
    by: Grouping = TRUE,
    absent_as_zero: bool = False,
) -> ClassStatistics:
    """Return the statistics of the images of one class, or of all; see statistics()."""
    correct = [record for record in records if is_correct(record)]
    wrong = [record for record in records if not is_correct(record)] if by == TRUE else []
    counted = correct if by == TRUE else [r for r in records if knows_predicted(r)]
    present: dict[str, list[tuple[float, float]]] = {
        label.name: [] for record in records for label in record.labels
    }
    for record in counted:
        for label in record.labels:
            present[label.name].append((deviation_of(record, label, by), label.area))
    shares = shares_of(records)
    ours = Counter(name for record in wrong for name in distracting(record))
    published = Counter(name for record in wrong for name in distracting_by_largest(record))
    labels = [
        _label_statistics(
            name,
            values,
            images=len(counted),
            relevant=relevant,
            absent_as_zero=absent_as_zero,
            share=shares[name],
            misclassified=len(wrong),
            distracting=ours[name],
            distracting_by_largest=published[name],
        )
        for name, values in present.items()
    ]
    labels.sort(key=lambda row: (-(row.mean or 0), row.label))
    return ClassStatistics(len(records), len(correct), labels)


def shares_of(records: Sequence[ImageDeviations]) -> dict[str, float]:
    """Return each label's share of the pixels of all images, which are of one size."""
    sums: Counter[str] = Counter()
    for record in records:
        for label in record.labels:
            sums[label.name] += label.area
    return {name: total / len(records) for name, total in sums.items()}


def _label_statistics(
    name: str,
    present: Sequence[tuple[float, float]],
    *,
    images: int,
    relevant: float,
    absent_as_zero: bool,
    **further: Any,
) -> LabelStatistics:
    """Return a label's row; present: (deviation, area) in each image that counts and has it."""
    deviations = [deviation for deviation, _ in present]
    mean = float(np.sum(deviations)) / images if images else None
    absent = [0.0] * (images - len(present)) if absent_as_zero else []
    values = deviations + absent
    quartiles = np.percentile(values, QUARTILES).tolist() if values else [None] * 3
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
        values=values,
        **further,
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


def write_statistics(found: Statistics, records: Sequence[ImageDeviations], folder: Path) -> None:
    """Write statistics.json, labels.csv (a row per class and label) and deviations.npz."""
    write_indented(folder / "statistics.json", found)
    table = labels_table(found).drop(columns="values")
    write_atomically(folder / "labels.csv", table.to_csv(index=False, float_format="%.6f"))
    _write_arrays(folder / "deviations.npz", records)


def labels_table(found: Statistics) -> pd.DataFrame:
    """Return a row per class and label, with the fields of LabelStatistics as columns.

    The last column, grouped_by, is "true" or "predicted".
    """
    rows = [
        {"class": name, **msgspec.structs.asdict(row), "grouped_by": by}
        for by, tables in ((TRUE, found.classes), (PREDICTED, found.predicted))
        for name, table in tables.items()
        for row in table.labels
    ]
    return pd.DataFrame(rows)


def _write_arrays(path: Path, records: Sequence[ImageDeviations]) -> None:
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
