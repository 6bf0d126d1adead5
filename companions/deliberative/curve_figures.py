"""Curves of evaluations as figures: precision by recall, or IoU by the size of the region.

    draw_curves({"certainty": [one, another]}, Path("curves.png"), style=paper())

A line is the mean over runs (networks trained with different seeds), the band around it one
standard deviation. Runs meet on recall: each one's precision is interpolated there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from companions.deliberative.evaluation import Evaluation
from drawing.canvas import save_figure
from drawing.styles import POINTS_PER_INCH, Style
from drawing.text import FAMILY, visible

COLOURS_ON_DARK = ("#56b4e9", "#ffb347", "#2fd6a3", "#f48fc2", "#d7d45e", "#c9b8ff")
COLOURS_ON_WHITE = ("#0072b2", "#d55e00", "#009e73", "#aa3377", "#8a7a00", "#5b4bb7")
DASHES = ("-", "--", "-.", ":")  # lines often coincide
STEPS = 100  # of recall
BAND = 0.2  # its opacity


@dataclass(frozen=True)
class Line:
    """A mean curve with its spread: x, mean and standard deviation, each (n,)."""

    x: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray


def draw_curves(
    evaluations: Mapping[str, Sequence[Evaluation]], path: Path, *, style: Style
) -> bool:
    """Draw the curves of some ways to explain, each measured in one or more runs.

    Args:
        evaluations: name -> its runs, all of one data set.
        path: a PNG, SVG or PDF.
        style: dark, or white for print.

    Returns:
        Whether there was anything to draw.
    """
    panels = panels_of(evaluations)
    if not panels:
        return False
    width = style.width / POINTS_PER_INCH if style.width else 4.6 * len(panels)
    size = 6.5 if style.width else 10
    figure = Figure(
        figsize=(width, 0.8 * width / len(panels) + 0.3),
        facecolor=style.background,
        layout="constrained",
    )
    axes_of = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, lines) in zip(axes_of, panels.items()):
        _plot(axes, lines, style)
        _finish(axes, title, style=style, size=size)
    legend = axes_of[0].legend(
        fontsize=size, facecolor=style.background, labelcolor=style.ink, framealpha=0.6
    )
    for text in legend.get_texts():
        text.set_fontfamily(FAMILY)
    save_figure(figure, path, style)
    return True


def panels_of(evaluations: Mapping[str, Sequence[Evaluation]]) -> dict[str, dict[str, Line]]:
    """Return the panels that these evaluations have values for: title -> name -> line."""
    panels: dict[str, dict[str, Line]] = {}
    for name, runs in evaluations.items():
        by_recall = precision_by_recall(runs)
        if by_recall is not None:
            panels.setdefault("precision by recall", {})[name] = by_recall
        by_size = iou_by_size(runs)
        if by_size is not None:
            panels.setdefault("IoU by region (% of the image)", {})[name] = by_size
    return panels


def precision_by_recall(runs: Sequence[Evaluation]) -> Line | None:
    """Return the mean precision at each recall that all runs reach; None where there is none."""
    curves = []
    for run in runs:
        if "precision" not in run.measures:
            return None
        recall = numbers(run.measures["recall"])
        precision = numbers(run.measures["precision"])
        known = np.isfinite(recall) & np.isfinite(precision)
        if not known.any():
            return None
        order = np.argsort(recall[known], kind="stable")
        curves.append((recall[known][order], precision[known][order]))
    low = max(recall[0] for recall, _ in curves)
    high = min(recall[-1] for recall, _ in curves)
    x = np.linspace(low, high, STEPS) if high > low else np.array([low])
    return _line(x, np.array([np.interp(x, recall, precision) for recall, precision in curves]))


def iou_by_size(runs: Sequence[Evaluation]) -> Line | None:
    """Return the mean IoU at each size of region, in percent; None where there is none."""
    if any("iou" not in run.measures for run in runs):
        return None
    rows = np.array([numbers(run.measures["iou"]) for run in runs])
    if not np.isfinite(rows).any():
        return None
    return _line(100 * np.array(runs[0].shares), rows)


def numbers(values: Sequence[float | None]) -> np.ndarray:
    """Return the values of a measure, NaN where there is none."""
    return np.array([np.nan if value is None else value for value in values])


def _line(x: np.ndarray, rows: np.ndarray) -> Line:
    """Return the mean and the standard deviation, divided by N as NumPy's and the authors' is."""
    return Line(x, rows.mean(0), rows.std(0))


def _plot(axes: Axes, lines: Mapping[str, Line], style: Style) -> None:
    colours = COLOURS_ON_WHITE if style.is_paper else COLOURS_ON_DARK
    for number, (name, line) in enumerate(lines.items()):
        colour = colours[number % len(colours)]
        dash = DASHES[number % len(DASHES)]
        width = 0.9 if style.width else 1.8
        axes.plot(line.x, line.mean, dash, color=colour, lw=width, label=visible(name))
        low = line.mean - line.deviation
        high = line.mean + line.deviation
        axes.fill_between(line.x, low, high, color=colour, alpha=BAND, lw=0)


def _finish(axes: Axes, title: str, *, style: Style, size: float) -> None:
    """Set the labels, the limits and the colours of a panel."""
    axes.set_facecolor(style.background)
    y, _, x = title.partition(" by ")
    axes.set_xlabel(x, fontsize=size, color=style.ink, fontfamily=FAMILY)
    axes.set_ylabel(y, fontsize=size, color=style.ink, fontfamily=FAMILY)
    axes.set_ylim(bottom=0)
    axes.tick_params(colors=style.muted, labelsize=size)
    for spine in axes.spines.values():
        spine.set_color(style.muted)
