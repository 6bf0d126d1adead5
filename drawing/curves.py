"""Insertion and deletion curves of I-GOS, Grad-CAM and the roots, with their areas."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from drawing.canvas import save_figure
from drawing.record import Curve, Curves, Sag
from drawing.styles import POINTS_PER_INCH, Style
from drawing.text import FAMILY, FONT

Side = Literal["insertion", "deletion"]
SIDES: tuple[Side, Side] = ("insertion", "deletion")
TITLES = {  # by name in the record
    "igos": "I-GOS",
    "gradcam": "Grad-CAM",
    "roots": "roots",
    "explanations": "map of roots",
}
DASHES = {"igos": "-", "gradcam": "-.", "roots": "--", "explanations": ":"}  # curves often coincide
X_LABELS = {"insertion": "patches shown", "deletion": "patches hidden"}


@dataclass(frozen=True)
class Measures:
    """Sizes and colours of the figure."""

    width: float  # inches
    height: float  # inches
    text: float  # points
    line: float  # points
    marker: float  # points; shows where a curve was measured
    legend: float  # below the axes, relative to their height
    colours: dict[str, str]


def measures_of(style: Style) -> Measures:
    """Return the measures of the figure in a style."""
    if style.width is None:
        colours = {
            "igos": "#56b4e9",
            "gradcam": "#2fd6a3",
            "roots": "#ffb347",
            "explanations": "#f48fc2",
        }
        width = 8.4
        return Measures(
            width=width,
            height=0.55 * width,
            text=10,
            line=1.8,
            marker=4,
            legend=-0.15,
            colours=colours,
        )
    colours = {
        "igos": "#0072b2",
        "gradcam": "#009e73",
        "roots": "#d55e00",
        "explanations": "#aa3377",
    }
    width = style.width / POINTS_PER_INCH
    return Measures(
        width=width,
        height=0.66 * width,
        text=6.5,
        line=0.9,
        marker=2,
        legend=-0.32,
        colours=colours,
    )


def draw_curves(sag: Sag, folder: Path, *, style: Style, formats: Sequence[str]) -> None:
    """Write curves.<format>; nothing where the record has no curves."""
    if not sag.curves or not sag.curves.by_name():
        return
    measures = measures_of(style)
    for kind in formats:
        figure = Figure(
            figsize=(measures.width, measures.height),
            facecolor=style.background,
            layout="constrained",
        )
        for axes, side in zip(figure.subplots(1, 2, sharey=True), SIDES):
            _plot(axes, sag.curves, side, measures=measures)
            _format_axes(axes, sag.num_patches, side, style=style, measures=measures)
        figure.axes[0].set_ylabel(
            "% of full confidence", fontsize=measures.text, color=style.ink, fontfamily=FAMILY
        )
        save_figure(figure, folder / f"curves{style.ending}.{kind}", style)


def _plot(axes: Axes, curves: Curves, side: Side, *, measures: Measures) -> None:
    """Plot the curve of each explanation that the record has, with a dot at each measurement."""
    for name, curve in curves.by_name().items():
        counts, values, area = _points(curve, side)
        axes.plot(
            counts,
            [100 * value for value in values],
            color=measures.colours[name],
            lw=measures.line,
            ls=DASHES[name],
            marker="o",
            ms=measures.marker,
            clip_on=False,  # the dots at the ends are whole
            label=f"{TITLES[name]}, area {area:.2f}",
            gid=f"{side}-{name}",
        )


def _points(curve: Curve, side: Side) -> tuple[list[int], list[float], float]:
    """Return the counts of patches of one side, the confidences there, and the area."""
    if side == "insertion":
        return curve.insertion_patches, curve.insertion, curve.insertion_area
    return curve.deletion_patches, curve.deletion, curve.deletion_area


def _format_axes(
    axes: Axes, num_patches: int, side: Side, *, style: Style, measures: Measures
) -> None:
    """Set titles, limits, colours and the legend."""
    text = measures.text
    axes.set_title(side.capitalize(), fontsize=text * 1.1, color=style.ink, fontfamily=FAMILY)
    axes.set_xlabel(X_LABELS[side], fontsize=text, color=style.ink, fontfamily=FAMILY)
    axes.set_facecolor(style.background)
    axes.set(xlim=(0, num_patches), ylim=(0, axes.get_ylim()[1]))
    axes.tick_params(colors=style.ink, labelsize=text, labelfontfamily=FONT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(style.muted)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, measures.legend),
        frameon=False,
        labelcolor=style.ink,
        handlelength=2.6,
        prop={"family": FAMILY, "size": text},
    )
