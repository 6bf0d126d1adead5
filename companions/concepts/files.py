"""Files of concept_debug.py: tables of typed rows, written atomically; CSV and JSON files read."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from scoring.text_files import why_unreadable
from utils import UserError, read_text, write_atomically


def write_csv(path: Path, rows: Sequence[Struct], kind: type[Struct]) -> None:
    """Write rows of one type as CSV, a column per field; None is left empty.

    Args:
        path: the file.
        rows: what to write; floats get seven digits.
        kind: type of the rows, for the header of an empty table.
    """
    names = {field.name: field.encode_name for field in structs.fields(kind)}
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(names.values())
    for row in rows:
        table.writerow([_cell(getattr(row, name)) for name in names])
    write_atomically(path, text.getvalue())


def _cell(value) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.7g}"
    if isinstance(value, list):
        return "; ".join(value)
    return str(value)


def read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV file.

    Args:
        path: the file.
        columns: names of columns in which every row must have a value.

    Raises:
        UserError: the file cannot be read, has no row, or lacks a value.
    """
    try:
        rows = list(csv.DictReader(read_text(path).splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "not a CSV file"
        raise UserError(f"{path}: {reason}") from None
    for number, row in enumerate(rows, 2):
        missing = [column for column in columns if not row.get(column)]
        if missing:
            raise UserError(f"{path}: line {number} has no {missing[0]}")
    if not rows:
        raise UserError(f"{path}: no row in it")
    return rows


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        ValueError: one line that says what is wrong where in the file.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"{path}: {place}: {error.msg}") from None
    except RecursionError:
        raise ValueError(f"{path}: brackets in brackets, too deep to read") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {why_unreadable(error)}") from None
