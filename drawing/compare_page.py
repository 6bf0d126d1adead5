"""The page of two records of one image: compare.html, one file that loads nothing."""

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from drawing.canvas import Canvas, pixels_of
from drawing.compare import ComparedMse, Comparison, confidences, summary
from drawing.compare_figure import NAME, Side, maps_of, put_graph
from drawing.graph_layout import fitted
from drawing.page import data_uri, filled
from drawing.styles import DARK
from drawing.words import conjunction, counted, why_no_root
from utils import write_atomically

GRAPH_DPI = 96
MOST_CARDS = 60  # MSEs shown of a group
PAD = 10  # points around a graph


def write_compared(a: Side, b: Side, comparison: Comparison, folder: Path) -> Path:
    """Write compare.html; return its path.

    Raises:
        OSError: it cannot be written.
    """
    sag = a.sag
    values = {
        "TITLE": html.escape(f"{sag.category.name}, compared – {sag.image}"),
        "HEADING": html.escape(f"{sag.category.name}: {sag.image}, compared"),
        "SUMMARY": html.escape(summary(comparison)),
        "DIFFERENCES": differences_table(comparison),
        "MAPS": "".join(maps_section(side) for side in (a, b)),
        "SHARED": cards(a, comparison.shared),
        "LOST": cards(a, comparison.only_a),
        "NEW": cards(b, comparison.only_b),
        "GRAPHS": "".join(graph_section(side) for side in (a, b)),
    }
    path = folder / f"{NAME}.html"
    write_atomically(path, filled("compare.html", values))
    return path


def differences_table(comparison: Comparison) -> str:
    """Return the HTML of a table of what differs in how the records were made."""
    if not comparison.differences:
        return "<p>Both were made in the same way.</p>"
    rows = [
        f'<tr><th scope="row">{html.escape(d.name)}</th>'
        f"<td>{html.escape(d.a or 'none')}</td><td>{html.escape(d.b or 'none')}</td></tr>"
        for d in comparison.differences
    ]
    head = '<tr><td></td><th scope="col">A</th><th scope="col">B</th></tr>'
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def maps_section(side: Side) -> str:
    """Return the HTML of a record's maps."""
    items = [item(image, [title], f"{side.name}: {title}") for title, image in maps_of(side)]
    return f'<section>{heading(side)}<ul class="cards maps">{"".join(items)}</ul></section>'


def heading(side: Side) -> str:
    """Return the HTML of a record's heading."""
    sag = side.sag
    words = f"{side.name}: {sag.title} {sag.probability:.3f}, {counted(len(sag.roots), 'MSE')}"
    return f"<h3>{html.escape(words)}</h3>"


def cards(side: Side, mses: Sequence[ComparedMse]) -> str:
    """Return the HTML of MSEs: an image of each, its patches, and its confidence in both."""
    if not mses:
        return "<p>None.</p>"
    names = side.sag.region_names
    items = []
    for mse in mses[:MOST_CARDS]:
        lines = [conjunction(mse.patches, names), *confidences(mse).split(", ")]
        items.append(item(side.masked(mse.patches, "dim"), lines, lines[0]))
    more = len(mses) - len(items)
    rest = f'<p class="note">And {more} more.</p>' if more else ""
    return f'<ul class="cards">{"".join(items)}</ul>{rest}'


def item(image: np.ndarray, lines: Sequence[str], name: str) -> str:
    """Return the HTML of an image with lines below it; name: for who does not see it."""
    spans = "".join(f"<span>{html.escape(line)}</span>" for line in lines)
    return f'<li><img src="{data_uri(image)}" alt="{html.escape(name)}">{spans}</li>'


def graph_section(side: Side) -> str:
    """Return the HTML of a record's graph, as an image."""
    layout = fitted(side.sag, DARK)
    if not layout.nodes:
        reason = f"No MSE: {why_no_root(side.sag)}."
        return f"<section>{heading(side)}<p>{html.escape(reason)}</p></section>"
    canvas = Canvas(layout.width + 2 * PAD, layout.height + 2 * PAD, DARK)
    put_graph(canvas, side, layout, hidden="dim", left=PAD, top=PAD)
    image = data_uri(pixels_of(canvas.figure, GRAPH_DPI))
    words = f"{side.name}: the graph of {len(layout.nodes)} sets"
    return (
        f'<section>{heading(side)}<div class="scroll" tabindex="0" role="region" '
        f'aria-label="{words}"><img src="{image}" alt="{words}"></div></section>'
    )
