"""A table, and its CSV, Markdown and LaTeX files.

    table = Table("cost", "Cost of a search", ["search", "images", "scored"])
    table.rows.append(["SIS", 4, estimate(scored)])
    table.csv(), table.markdown(), table.latex()

The CSV has unrounded numbers, an estimate in four columns (value, low, high, images); the other two
are for reading.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from experiments.estimates import Estimate
from utils import write_atomically

Cell = str | int | float | Estimate | None
LATEX_ESCAPES: dict[str, str | int | None] = {
    **{mark: "\\" + mark for mark in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
HEAD = (
    "# {title}\n\nMeans over images, in brackets the 95 % bootstrap interval (of no width where "
    "all images agree, which is not certainty); n where a figure is about fewer images than its "
    "row.\n"
)


@dataclass
class Table:
    """A table of cells: text, numbers, estimates, or None for an empty cell."""

    name: str  # of its files
    title: str
    columns: list[str]
    rows: list[list[Cell]] = field(default_factory=list)
    note: str = ""

    def column(self, name: str) -> list[Cell]:
        """Return the cells of one column."""
        position = self.columns.index(name)
        return [row[position] for row in self.rows]

    def csv(self) -> str:
        """Return the table as CSV text, estimates as four columns, nothing rounded."""
        columns: dict[str, list[Cell]] = {}
        for name in self.columns:
            cells = self.column(name)
            if any(isinstance(cell, Estimate) for cell in cells):
                columns |= _estimate_columns(name, cells)
            else:
                columns[name] = cells
        return pd.DataFrame(columns, dtype=object).to_csv(index=False, lineterminator="\n")

    def markdown(self) -> str:
        """Return title, table and note as Markdown, rounded, intervals in brackets."""
        lines = [self.columns, ["---"] * len(self.columns)]
        lines += [self.texts(row) for row in self.rows]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        text = f"**{self.title}**\n\n{table}\n"
        return f"{text}\n{self.note}\n" if self.note else text

    def latex(self) -> str:
        """Return a LaTeX table that needs no package; rounded as in Markdown."""
        frame = pd.DataFrame([self.texts(row) for row in self.rows], columns=self.columns)
        style = frame.style.hide(axis="index").format(escape_latex)
        style = style.format_index(escape_latex, axis=1).set_table_styles(
            [{"selector": rule, "props": ":hline"} for rule in ("toprule", "midrule", "bottomrule")]
        )
        return style.to_latex(
            column_format="l" + "r" * (len(self.columns) - 1),
            position_float="centering",
            caption=escape_latex(f"{self.title}. {self.note}".strip()),
            label=f"tab:{self.name}",
        )

    def texts(self, row: Sequence[Cell]) -> list[str]:
        """Return a row's cells as text; an estimate over fewer images than its row says so."""
        images = row[self.columns.index("images")] if "images" in self.columns else None
        return [_text(cell, images) for cell in row]


def _text(cell: Cell, images: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Estimate) and images and cell.images != images:
        return f"{cell}, n = {cell.images}"
    return str(cell)


def _estimate_columns(name: str, cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    estimates = [cell if isinstance(cell, Estimate) else None for cell in cells]
    values: list[Cell] = [c.value if isinstance(c, Estimate) else c for c in cells]
    return {
        name: values,
        f"{name}, low": [one.low if one else None for one in estimates],
        f"{name}, high": [one.high if one else None for one in estimates],
        f"{name}, images": [one.images if one else None for one in estimates],
    }


def escape_latex(text: str) -> str:
    """Return text with the characters escaped that LaTeX would interpret."""
    return text.translate(str.maketrans(LATEX_ESCAPES)).replace("<=", r"$\le$")


def write_tables(tables: Sequence[Table], title: str, folder: Path) -> None:
    """Write tables/<name>.csv, .md and .tex, and tables.md with all tables that are for reading."""
    (folder / "tables").mkdir(exist_ok=True)
    for table in tables:
        stem = folder / "tables" / table.name
        write_atomically(stem.with_suffix(".csv"), table.csv())
        write_atomically(stem.with_suffix(".md"), table.markdown())
        write_atomically(stem.with_suffix(".tex"), table.latex())
    # Tables with a row per patch or per k are for the figures.
    readable = [table.markdown() for table in tables if "_every_" not in table.name]
    write_atomically(folder / "tables.md", "\n".join([HEAD.format(title=title), *readable]))
