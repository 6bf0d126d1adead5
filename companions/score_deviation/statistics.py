"""What the score deviations of many pictures say of a class: relevant, irrelevant and distracting labels.

For each class, over its N correctly classified pictures, with d = 0 where a label is absent:

    mean d > 0.01       relevant (box plots); mean d > 0 enters the word cloud
    |mean d| <= 0.01    irrelevant
    mean d < -0.01      opposing: the class is recognised in spite of it

and over its misclassified pictures a label is *distracting* where the network names the true class once the label is gone.
The published program counts differently, and both counts are kept: of all probabilities of all pictures with one label
gone, (labels x classes), the largest is the true class's.

Absent labels dilute the mean, so the mean where present stands beside it, with the number of those pictures. Where the true
class of a picture is not known the explained class is taken, and the picture counted as correct.
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils import write_atomically

RELEVANT = 0.01
COLUMNS = (
    "class",
    "label",
    "kind",
    "images",
    "present",
    "mean",
    "mean_present",
    "lower_quartile",
    "median",
    "upper_quartile",
    "mean_area",
    "misclassified",
    "distracting",
    "distracting_by_largest",
)
EVERYTHING = "all classes"


def group_of(record: dict) -> str:
    """The class that a picture counts for: the true one, or, where that is not known, the explained one."""
    return (record["true"] or record["category"])["name"]


def is_correct(record: dict) -> bool:
    """Whether the network names the true class; where that is not known, yes."""
    return record["true"] is None or record["true"]["index"] == record["predicted"]["index"]


def deviation_of(record: dict, label: dict) -> float:
    """d of a label for the class that the picture counts for."""
    return label["deviation"] if record["true"] is None else label["true_deviation"]


def distracting(record: dict) -> tuple[set[str], set[str]]:
    """Of a misclassified picture: the labels without which the true class wins, and those that the published rule names."""
    true, labels = record["true"]["index"], record["labels"]
    largest = max((label["top"]["probability"] for label in labels), default=0.0)
    return (
        {label["name"] for label in labels if label["top"]["index"] == true},
        {
            label["name"]
            for label in labels
            if label["top"]["index"] == true and label["top"]["probability"] == largest
        },
    )


def table_of(records: Sequence[dict], relevant: float = RELEVANT) -> dict:
    """The statistics of the pictures of one class (or of all).

    -> {"images", "correct", "labels": a dict per label, the largest mean first}; means are None where no picture is correct.
    """
    correct, wrong = (
        [r for r in records if is_correct(r)],
        [r for r in records if not is_correct(r)],
    )
    present: dict[str, list[tuple[float, float]]] = {
        label["name"]: [] for r in records for label in r["labels"]
    }
    for record in correct:
        for label in record["labels"]:
            present[label["name"]].append((deviation_of(record, label), label["area"]))
    rules = [distracting(record) for record in wrong]
    rows = []
    for name, values in present.items():
        d, area = np.array(values, float).reshape(-1, 2).T
        mean = float(d.sum() / len(correct)) if correct else None
        quartiles = np.percentile(d, (25, 50, 75)).tolist() if len(d) else [None] * 3
        rows.append(
            {
                "label": name,
                "kind": kind(mean, relevant),
                "images": len(correct),
                "present": len(d),
                "mean": mean,
                "mean_present": float(d.mean()) if len(d) else None,
                **dict(zip(("lower_quartile", "median", "upper_quartile"), quartiles)),
                "mean_area": float(area.mean()) if len(d) else None,
                "misclassified": len(wrong),
                "distracting": sum(name in ours for ours, _ in rules),
                "distracting_by_largest": sum(name in theirs for _, theirs in rules),
                "values": d.tolist(),
            }
        )
    rows.sort(key=lambda row: (-(row["mean"] or 0), row["label"]))
    return {"images": len(records), "correct": len(correct), "labels": rows}


def kind(mean: float | None, relevant: float) -> str | None:
    """relevant, irrelevant or opposing; None where there is no correct picture."""
    if mean is None:
        return None
    return "relevant" if mean > relevant else "irrelevant" if mean >= -relevant else "opposing"


def statistics(records: Sequence[dict], relevant: float = RELEVANT) -> dict:
    """Everything said of a set of pictures: accuracies where true classes are known, and a table per class and of all classes."""
    known = [r for r in records if r["true"]]
    groups = {
        name: [r for r in records if group_of(r) == name]
        for name in sorted({group_of(r) for r in records})
    }
    if len(groups) > 1:
        groups = {EVERYTHING: list(records), **groups}
    return {
        "images": len(records),
        "with_true_class": len(known),
        "relevant_above": relevant,
        "accuracy": {
            f"top_{k}": sum(r["true"]["rank"] <= k for r in known) / len(known) for k in (1, 2, 5)
        }
        if known
        else None,
        "classes": {name: table_of(group, relevant) for name, group in groups.items()},
    }


# ---------------------------------------------------------------- files


def write_statistics(found: dict, records: Sequence[dict], folder: Path) -> None:
    """statistics.json, labels.csv (a row per class and label) and deviations.npz (everything as arrays, images x labels)."""
    write_atomically(
        folder / "statistics.json",
        json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
    )
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for name, table in found["classes"].items():
        writer.writerows(
            {
                "class": name,
                **{k: f"{v:.6f}" if isinstance(v, float) else v for k, v in row.items()},
            }
            for row in table["labels"]
        )
    write_atomically(folder / "labels.csv", text.getvalue())
    names = sorted({label["name"] for r in records for label in r["labels"]})
    d, area = np.full((2, len(records), len(names)), np.nan, np.float32)
    for i, record in enumerate(records):
        for label in record["labels"]:
            d[i, names.index(label["name"])], area[i, names.index(label["name"])] = (
                deviation_of(record, label),
                label["area"],
            )
    np.savez_compressed(
        folder / "deviations.npz",
        images=[r["image"] for r in records],
        labels=names,
        deviation=d,
        area=area,
        correct=[is_correct(r) for r in records],
        classes=[group_of(r) for r in records],
    )
