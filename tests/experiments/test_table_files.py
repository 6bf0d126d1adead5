"""A table as CSV, Markdown and LaTeX."""

import csv
import io

import pytest

from experiments.estimates import Estimate, estimate
from experiments.table_files import Table, escape_latex, write_tables

LATEX = r"""\begin{table}
\centering
\caption{A \& B. A note.}
\label{tab:t}
\begin{tabular}{lrr}
\hline
who & share\_\% & n \\
\hline
x $\le$ 3 & 0.26 (0.10 to 0.40) & 7 \\
y &  & 0 \\
z & 1.00 & 1 \\
\hline
\end{tabular}
\end{table}
"""
MARKDOWN = """**A & B**

| who | share_% | n |
| --- | --- | --- |
| x <= 3 | 0.26 (0.10 to 0.40) | 7 |
| y |  | 0 |
| z | 1.00 | 1 |

A note.
"""


@pytest.fixture
def table():
    return Table(
        "t",
        "A & B",
        ["who", "share_%", "n"],
        rows=[
            ["x <= 3", Estimate(0.256, 0.1, 0.4), 7],
            ["y", None, 0],
            ["z", Estimate(1.0, None, None), 1],
        ],
        note="A note.",
    )


def test_csv_has_estimates_unrounded_in_four_columns(table):
    assert list(csv.reader(io.StringIO(table.csv()))) == [
        ["who", "share_%", "share_%, low", "share_%, high", "share_%, images", "n"],
        ["x <= 3", "0.256", "0.1", "0.4", "", "7"],
        ["y", "", "", "", "", "0"],
        ["z", "1.0", "", "", "", "1"],
    ]


def test_csv_quotes_what_needs_it():
    table = Table("t", "T", ["a, b"], rows=[['say "x"']])
    assert table.csv() == '"a, b"\n"say ""x"""\n'


def test_markdown_is_rounded(table):
    assert table.markdown() == MARKDOWN


def test_latex_needs_no_package(table):
    assert table.latex() == LATEX


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b & 5 % {x} #1 $", r"a\_b \& 5 \% \{x\} \#1 \$"),
        ("~ ^ \\", r"\textasciitilde{} \textasciicircum{} \textbackslash{}"),
        ("k <= 3", r"k $\le$ 3"),
    ],
)
def test_latex_is_escaped(text, escaped):
    assert escape_latex(text) == escaped


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_an_estimate_over_fewer_images_than_its_row_says_so(form):
    columns = ["search", "images", "precision"]
    fewer = Table("t", "T", columns, rows=[["BeamS-3", 2, estimate([1.0, None])]])
    all_of_them = Table("t", "T", columns, rows=[["SIS", 2, estimate([1.0, 0.0])]])
    assert "1.00, n = 1" in getattr(fewer, form)()
    assert "n = 2" not in getattr(all_of_them, form)()


def test_tables_with_a_row_per_patch_are_not_for_reading(table, tmp_path):
    every = Table("t_every_k", "Every k", ["k"], rows=[[1]])
    write_tables([table, every], "A network", tmp_path)
    text = (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert text.startswith("# A network\n")
    assert MARKDOWN in text
    assert "Every k" not in text
    assert (tmp_path / "tables/t_every_k.csv").exists()
