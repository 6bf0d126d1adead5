"""The paper's figures, from its tables and rows: figures/<name>.png and .pdf.

    draw_figures(all_tables(rows, 49), rows, grid=(7, 7), title="ResNet-50", folder=folder)

White, with embedded fonts. Error bars, bands and the numbers behind ± are 95 % bootstrap intervals
over images, and every figure says how many images it is about.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from drawing.canvas import save_figure
from drawing.styles import Style, paper
from drawing.text import FAMILY
from experiments.estimates import Estimate, estimate
from experiments.explanation_tables import ORDERS, curves_of
from experiments.rows import MainJobRow, Rows, SearchRow
from experiments.search_tables import MAX_SIZES, SIZE_RANGES, named_searches, size_name
from experiments.table_files import Table

COLOURS = (  # that colour-blind readers can tell apart
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
)
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
GREY = "#333333"  # error bars and lines of reference
PALE = "#bbbbbb"  # bars of random sets
WIDTH = 5.2  # inches
TEXT = 8  # points
DPI = 200
FORMATS = ("png", "pdf")


def draw_figures(
    tables: Sequence[Table],
    rows: Rows,
    *,
    grid: tuple[int, int],
    title: str,
    folder: Path,
) -> None:
    """Draw every figure that the tables allow.

    Args:
        tables: All tables.
        rows: The rows that they were made from.
        grid: Rows and columns of patches.
        title: The network's name.
        folder: Where to write figures/.
    """
    (folder / "figures").mkdir(exist_ok=True)
    by_name = {table.name: table for table in tables}
    drawers: dict[str, Callable[[Table], Figure]] = {  # by the table that the figure needs
        "small_explanations_every_k": small_explanations,
        "sizes": sizes,
        "cost": lambda _: cost(named_searches(rows)),
        "positions_every_patch": lambda table: patch_use(table, grid),
        "insertion_deletion": lambda _: insertion_deletion(rows.main_job),
        "simulated_study": study,
        "truth": ground_truth,
    }
    file_names = {
        "small_explanations_every_k": "small_explanations",
        "positions_every_patch": "patch_use",
    }
    for table_name, draw in drawers.items():
        if table_name in by_name:
            figure = draw(by_name[table_name])
            figure.suptitle(title, fontsize=TEXT + 1, fontfamily=FAMILY)
            stem = folder / "figures" / file_names.get(table_name, table_name)
            for kind in FORMATS:
                save_figure(figure, stem.with_suffix(f".{kind}"), paper_style())


def paper_style() -> Style:
    """Return the style of the graph's paper figures, at a resolution for documents."""
    return replace(paper(WIDTH), dpi=DPI)


# ---------------------------------------------------------------- axes


def new_figure(height: float, columns: int = 1, **options) -> tuple[Figure, list[Axes]]:
    """Return a figure of this height in inches, with so many axes side by side."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    row = list(figure.subplots(1, columns, squeeze=False, **options)[0])
    for axes in row:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=TEXT - 1, labelfontfamily=FAMILY[0])
    return figure, row


def label_axes(axes: Axes, x: str = "", y: str = "") -> None:
    """Set the labels of both axes."""
    axes.set_xlabel(x, fontsize=TEXT, fontfamily=FAMILY)
    axes.set_ylabel(y, fontsize=TEXT, fontfamily=FAMILY)


def add_legend_below(figure: Figure, axes: Axes) -> None:
    """Add one legend for all axes, where no curve can run through it."""
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
        prop={"family": FAMILY, "size": TEXT - 1},
    )


def percents(cells: Sequence[Estimate]) -> np.ndarray:
    """Return value, low and high of each estimate in percent, (N, 3).

    An estimate without an interval has one of no width.
    """
    rows = []
    for cell in cells:
        low = cell.value if cell.low is None else cell.low
        high = cell.value if cell.high is None else cell.high
        rows.append((cell.value, low, high))
    return 100 * np.array(rows, float).reshape(-1, 3)


def draw_band(axes: Axes, xs: Sequence[float], cells: Sequence[Estimate], **options) -> None:
    """Shade the intervals of estimates, in percent, where there are any."""
    if cells[0].low is not None:
        _, lows, highs = percents(cells).T
        axes.fill_between(xs, lows, highs, alpha=0.12, lw=0, **options)


def draw_bars(
    axes: Axes, places: Sequence[float], cells: Sequence[Estimate], *, width: float, **options
) -> None:
    """Draw estimates in percent as bars with their intervals."""
    values, lows, highs = percents(cells).T
    spans = np.clip([values - lows, highs - values], 0, None)
    axes.bar(places, values, width * 0.92, **options)
    axes.errorbar(places, values, spans, fmt="none", ecolor=GREY, elinewidth=0.7, capsize=1.5)


# ---------------------------------------------------------------- searches


def small_explanations(table: Table) -> Figure:
    """Draw the share of images with an MSE of at most k patches, one curve per search."""
    figure, (axes,) = new_figure(2.8)
    ks = table.column("k")
    for i, name in enumerate(table.columns[1:]):
        cells = table.column(name)
        values = percents(cells)[:, 0]
        colour = COLOURS[i % len(COLOURS)]
        axes.step(ks, values, where="post", color=colour, ls=DASHES[i % len(DASHES)], label=name)
        draw_band(axes, ks, cells=cells, color=colour, step="post")
    marks = [k for k in MAX_SIZES if k <= ks[-1]]
    axes.set(xscale="log", xlim=(1, ks[-1]), ylim=(0, 102))  # the curves differ at the left
    axes.set_xticks(marks, marks)
    axes.minorticks_off()
    label_axes(axes, "k, patches", y="% of images with an MSE of at most k patches")
    axes.legend(
        frameon=False,
        prop={"family": FAMILY, "size": TEXT - 1},
        handlelength=2.6,
        loc="lower right",
    )
    return figure


def sizes(table: Table) -> Figure:
    """Draw how the sizes of MSEs are distributed, a group of bars per size."""
    figure, (axes,) = new_figure(2.8)
    names = [size_name(low, high) for low, high in SIZE_RANGES]
    first = table.columns.index(names[0])
    width = 0.8 / len(table.rows)
    for i, row in enumerate(table.rows):
        shift = (i - (len(table.rows) - 1) / 2) * width
        draw_bars(
            axes,
            np.arange(len(names)) + shift,
            cells=row[first : first + len(names)],
            width=width,
            color=COLOURS[i % len(COLOURS)],
            label=f"{row[0]} (n = {row[1]})",
        )
    axes.set_xticks(range(len(names)), names)
    label_axes(axes, "patches of an MSE", y="% of an image's MSEs")
    add_legend_below(figure, axes)
    return figure


def cost(searches: Mapping[str, Sequence[SearchRow]]) -> Figure:
    """Draw the sets scored, a dot per image, and their median with its interval."""
    figure, (axes,) = new_figure(0.7 + 0.28 * len(searches))
    for place, rows in enumerate(searches.values()):
        scored = [row.scored for row in rows]
        places = [place] * len(scored)
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(scored, places, "o", ms=3, color=colour, alpha=0.35, mew=0)
        middle = float(np.median(scored))
        axes.plot([middle, middle], [place - 0.3, place + 0.3], color="black", lw=1.2)
        median = estimate(scored, np.median)
        if median:
            axes.plot([median.low, median.high], [place, place], color="black", lw=1.2)
    names = [f"{name} (n = {len(rows)})" for name, rows in searches.items()]
    axes.set_yticks(range(len(names)), names)
    axes.set_xscale("log")
    axes.invert_yaxis()
    label_axes(axes, "sets scored (a dot an image; cross: median and its interval)")
    return figure


def patch_use(table: Table, grid: tuple[int, int]) -> Figure:
    """Draw where MSEs are: a map per search of the share of MSEs that contain each patch.

    Above each map is half the widest interval.
    """
    names = table.columns[1:]
    figure, row = new_figure(1.9, len(names))
    shares = {name: percents(table.column(name)) for name in names}  # (patches, 3)
    largest = max(float(share[:, 0].max()) for share in shares.values())
    for axes, name in zip(row, names):
        values, lows, highs = shares[name].T
        image = axes.imshow(values.reshape(grid), cmap="viridis", vmin=0, vmax=largest)
        title = name.replace(" (", "\n(")
        if table.column(name)[0].low is not None:
            title += f"\n± {(highs - lows).max() / 2:.0f}"
        axes.set_title(title, fontsize=TEXT - 1, fontfamily=FAMILY)
        axes.set(xticks=[], yticks=[])
    bar = figure.colorbar(image, ax=row, shrink=0.8, pad=0.01)
    bar.ax.tick_params(labelsize=TEXT - 1, labelfontfamily=FAMILY[0])
    bar.set_label("% of an image's MSEs", fontsize=TEXT - 1, fontfamily=FAMILY)
    return figure


# ---------------------------------------------------------------- explanations


@dataclass(frozen=True)
class MeanCurve:
    """The mean over images of one curve: an estimate of the relative confidence at each point."""

    patches: list[int]  # shown or hidden at each point
    points: list[Estimate]


def mean_curve(rows: Sequence[MainJobRow], order: str, side: str) -> MeanCurve:
    """Return the mean of one order's "insertion" or "deletion" curves.

    It has a point at every count of patches at which some image was measured. There each other
    image has the value of its own curve, which is straight between its measurements.
    """
    curves = curves_of(rows, order)
    measured = [getattr(curve, f"{side}_patches") for curve in curves]
    counts = sorted({count for counts in measured for count in counts})
    heights = [
        np.interp(counts, at, getattr(curve, side)).tolist() for at, curve in zip(measured, curves)
    ]
    return MeanCurve(counts, [estimate(at_point) for at_point in zip(*heights)])


def insertion_deletion(rows: Sequence[MainJobRow]) -> Figure:
    """Draw mean insertion and deletion curves."""
    figure, row = new_figure(2.5, 2, sharey=True)
    orders = [order for order in ORDERS if curves_of(rows, order)]
    for axes, side in zip(row, ("insertion", "deletion")):
        for i, order in enumerate(orders):
            curve = mean_curve(rows, order, side=side)
            label = f"{ORDERS[order]} (n = {curve.points[0].images})"
            values = percents(curve.points)[:, 0]
            axes.plot(curve.patches, values, color=COLOURS[i], ls=DASHES[i], label=label)
            draw_band(axes, curve.patches, cells=curve.points, color=COLOURS[i])
        axes.set_title(side.capitalize(), fontsize=TEXT, fontfamily=FAMILY)
        axes.set_ylim(bottom=0)
    label_axes(row[0], "patches shown", y="% of full confidence")
    label_axes(row[1], "patches hidden")
    add_legend_below(figure, row[0])
    return figure


def study(table: Table) -> Figure:
    """Draw each reader's share of right answers; the line is chance."""
    rows = [row for row in table.rows if " less " not in row[0]]
    figure, (axes,) = new_figure(0.8 + 0.3 * len(rows))
    for place, row in enumerate(rows):
        value, low, high = percents([row[3]])[0]
        axes.barh(place, value, 0.7, color=COLOURS[place])
        if row[3].low is not None:
            span = [[value - low], [high - value]]
            axes.errorbar(value, place, xerr=span, ecolor=GREY, elinewidth=0.8, capsize=2)
    axes.axvline(50, color=GREY, lw=0.8, ls=":")
    axes.set_yticks(range(len(rows)), [row[0] for row in rows])
    axes.set_xlim(0, 100)
    axes.invert_yaxis()
    questions = f"{rows[0][2]} questions on {rows[0][1]} images"
    label_axes(axes, f"% right answers ({questions}; dotted: chance)")
    return figure


def ground_truth(table: Table) -> Figure:
    """Draw precision and recall of each search, and of random sets of the same sizes."""
    figure, (left, right) = new_figure(2.5, 2, sharey=True)
    _draw_agreement(left, table, name="precision")
    _draw_agreement(right, table, name="recall")
    label_axes(left, "", y="%")
    add_legend_below(figure, left)
    return figure


def _draw_agreement(axes: Axes, table: Table, name: str) -> None:
    bars = (
        (-0.2, name, COLOURS[0], "MSEs"),
        (0.2, f"{name} of random sets", PALE, "random sets of the same sizes"),
    )
    for shift, column, colour, label in bars:
        known = [(i, cell) for i, cell in enumerate(table.column(column)) if cell]
        places = [i + shift for i, _ in known]
        cells = [cell for _, cell in known]
        draw_bars(axes, places, cells=cells, width=0.4, color=colour, label=label)
    names = [f"{row[0]}\nn = {row[1]}" for row in table.rows]
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_title(name.capitalize(), fontsize=TEXT, fontfamily=FAMILY)
    axes.set_ylim(0, 105)
