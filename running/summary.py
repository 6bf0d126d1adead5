"""summary.csv and summary.parquet: a row per image and class."""

import csv
import importlib.util
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drawing.record import Sag
from utils import read_bytes, write_atomically

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
OF_EVERY_SUMMARY = ("image", "folder", "error")  # columns
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
        All rows, by image. Rows of the file that are damaged are left out.

    Raises:
        ValueError: there is another file of this name; it stays as it is.
    """
    new_images = {row["image"] for row in rows}
    merged = list(rows)
    others = [row for row in _rows_there(path, columns) if row["image"] not in new_images]
    merged += others
    merged.sort(key=lambda row: row["image"])  # stable: an image's classes keep their order
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(merged)
    write_atomically(path, text.getvalue())
    return merged


def _rows_there(path: Path, columns: Sequence[str]) -> list[Row]:
    """Return the rows of a summary that can be read as such; none where there is no file.

    Raises:
        ValueError: the file is no summary.
    """
    if not path.exists():
        return []
    text = read_bytes(path).decode("utf-8-sig", "replace").replace("\0", "")
    if not text.strip():
        return []
    table = csv.DictReader(io.StringIO(text, newline=""))
    rows: list[Row] = []
    try:
        if not set(OF_EVERY_SUMMARY).issubset(table.fieldnames or ()):
            raise ValueError(f"{path}: no summary of this program; it is left as it is")
        rows.extend({column: row.get(column) or "" for column in columns} for row in table)
    except csv.Error:  # the rows that follow are of no known length
        pass
    return [row for row in rows if row["image"] and _is_sound(row, columns)]


def _is_sound(row: Row, columns: Sequence[str]) -> bool:
    """Return whether the numbers of a row are numbers."""
    if columns != SUMMARY or row["error"]:
        return True
    for column, kind in TYPES.items():
        text = row[column]
        try:
            is_right = {
                "Int64": lambda text: text.isdecimal() and int(text) < 2**63,
                "Float64": lambda text: math.isfinite(float(text)),
                "boolean": lambda text: text in ("True", "False"),
            }[kind](text)
        except ValueError:
            return False
        if not is_right and not (text == "" and column == "smallest_root"):
            return False
    return True


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
