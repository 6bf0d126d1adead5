"""summary.csv and summary.parquet: a row per image and class."""

import csv
import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drawing.record import Sag
from utils import write_atomically

SUMMARY = (
    "image",
    "category",
    "name",
    "probability",
    "roots",
    "smallest_root",
    "diverse",
    "nodes",
    "stopped_by",
    "complete",
    "asked",
    "scored",
    "seconds",
    "folder",
    "error",
)
# Types of the columns of summary.parquet, with empty cells as null; all other columns are text.
TYPES = {
    "category": "Int64",
    "probability": "Float64",
    "roots": "Int64",
    "smallest_root": "Int64",
    "diverse": "Int64",
    "nodes": "Int64",
    "complete": "boolean",
    "asked": "Int64",
    "scored": "Int64",
    "seconds": "Float64",
}
Row = dict[str, Any]


def summary_row(sag: Sag, folder: Path, results: Path) -> Row:
    """Return a record's row.

    Args:
        sag: the record.
        folder: where it is.
        results: the results folder.
    """
    sizes = [len(root.patches) for root in sag.roots]
    return {
        "image": sag.image,
        "category": sag.category.index,
        "name": sag.title,
        "probability": f"{sag.probability:.6f}",
        "roots": len(sag.roots),
        "smallest_root": min(sizes, default=""),
        "diverse": len(sag.diverse_set),
        "nodes": len(sag.sag.nodes),
        "stopped_by": sag.search.stopped_by,
        "complete": sag.search.complete,
        "asked": sag.evaluations.asked,
        "scored": sag.evaluations.scored,
        "seconds": f"{sag.seconds.total:.2f}",
        "error": "",
        "folder": folder.relative_to(results).as_posix(),
    }


def failed_row(name: str, reason: str) -> Row:
    """Return the row of an image that failed."""
    return {**dict.fromkeys(SUMMARY, ""), "image": name, "error": reason}


def write_summary(results: Path, rows: Sequence[Row]) -> None:
    """Write summary.csv and summary.parquet; rows of other images that were there stay."""
    merged = merge_rows(results / "summary.csv", rows, SUMMARY)
    write_parquet(results / "summary.parquet", merged)


def merge_rows(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    """Write a CSV file of these rows and of those that it had of other images.

    Args:
        path: the file.
        rows: the new rows; the column "image" says which image they are about.
        columns: of the file, in order.

    Returns:
        All rows, by image.
    """
    new_images = {row["image"] for row in rows}
    merged = list(rows)
    if path.exists():
        with open(path, newline="", encoding="utf-8") as file:
            others = [row for row in csv.DictReader(file) if row.get("image") not in new_images]
        merged += [{column: row.get(column, "") for column in columns} for row in others]
    merged.sort(key=lambda row: row["image"])  # stable: an image's classes keep their order
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(merged)
    write_atomically(path, text.getvalue())
    return merged


def write_parquet(path: Path, rows: Sequence[Row]) -> None:
    """Write the summary in typed columns, with empty cells as null, where pyarrow is installed.

    Elsewhere an older file, which would not agree with the CSV, is removed.
    """
    if importlib.util.find_spec("pyarrow") is None:
        path.unlink(missing_ok=True)
        return
    import pandas  # takes half a second, and only here

    frame = pandas.DataFrame(rows, columns=list(SUMMARY)).astype(object)
    frame = frame.where(frame != "", None)
    # Rows that were read from the CSV are text.
    frame["complete"] = frame["complete"].map(
        {True: True, False: False, "True": True, "False": False}
    )
    for column in SUMMARY:
        kind = TYPES.get(column, "string")
        values = frame[column]
        if kind in ("Int64", "Float64"):
            values = pandas.to_numeric(values)
        frame[column] = values.astype(kind)
    write_atomically(path, frame.to_parquet(index=False))
