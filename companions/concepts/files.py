"""Files of the steps of concept_debug.py, each written whole or not at all, and what they say on the way."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from running.failures import report_failures, why  # noqa: F401
from utils import UserError, write_atomically


def write_json(path: Path, value) -> None:
    """A JSON file; its folder is made. No NaN."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict | None:
    """A JSON object that this program wrote; None where it is absent or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def write_csv(path: Path, rows: Sequence[dict], columns: Sequence[str]) -> None:
    """A CSV file; numbers with seven digits, None as nothing."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(
        {k: f"{v:.7g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows
    )
    write_atomically(path, text.getvalue())


def read_csv(path: Path, columns: Sequence[str]) -> list[dict]:
    """The rows of a CSV file that has these columns. Raises UserError."""
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or 'not a CSV file'}") from None
    for number, row in enumerate(rows, 2):
        missing = [c for c in columns if not row.get(c)]
        if missing:
            raise UserError(f"{path}: line {number} has no {missing[0]}")
    if not rows:
        raise UserError(f"{path}: no row in it")
    return rows


told = report_failures  # until deliberative_explanation.py imports running.failures
