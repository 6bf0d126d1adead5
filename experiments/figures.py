"""The paper's figures, from its tables and from what was measured on each image: figures/<name>.png and .pdf.

    draw_figures(tables(rows, 49), rows, grid=(7, 7), title="ResNet-50", folder=Path("Results/paper"))

White, fonts in the PDF; error bars, bands and what stands behind ± are 95 % bootstrap intervals over images, and every figure says how many
images it is about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from drawing.graph_figure import FAMILY, save_figure
from experiments.tables import (
    AT_MOST,
    EXPLANATIONS,
    NAMES,
    SIZES,
    Table,
    estimate,
    mean_curves,
    size_name,
)
from drawing.graph_layout import paper

COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
)  # told apart by the colour-blind
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
WIDTH, TEXT, DOTS = 5.2, 8, 200  # inches, points, dots per inch


def draw_figures(
    made: Sequence[Table],
    rows: Mapping[str, Sequence[Mapping]],
    grid: tuple[int, int],
    title: str,
    folder: Path,
) -> None:
    """Every figure that the tables allow."""
    (folder / "figures").mkdir(exist_ok=True)
    by_name = {table.name: table for table in made}
    figures = {
        "small_explanations": lambda: small_explanations(by_name["small_explanations_every_k"]),
        "sizes": lambda: sizes(by_name["sizes"]),
        "cost": lambda: cost({NAMES[c]: found for c, found in rows.items() if c in NAMES}),
        "patch_use": lambda: patch_use(by_name["positions_every_patch"], grid),
        "insertion_deletion": lambda: insertion_deletion(rows["beam3"]),
        "simulated_study": lambda: study(by_name["simulated_study"]),
        "truth": lambda: truth(by_name["truth"]),
    }
    needs = {
        "small_explanations": "small_explanations_every_k",
        "cost": "sizes",
        "patch_use": "positions_every_patch",
    }
    for name, draw in figures.items():
        if needs.get(name, name) in by_name:
            figure = draw()
            figure.suptitle(title, fontsize=TEXT + 1, fontfamily=FAMILY)
            for kind in ("png", "pdf"):
                save_figure(figure, folder / "figures" / f"{name}.{kind}", paper_style())


def paper_style():
    """The style of the graph's paper figures, at a resolution for documents."""
    return replace(paper(WIDTH), dpi=DOTS)


def blank(height: float, columns: int = 1, **options) -> tuple[Figure, list]:
    """A figure with so many axes side by side, without a box around them."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, **options)[0]
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=TEXT - 1, labelfontfamily=FAMILY[0])
    return figure, list(axes)


def named(axes, x: str = "", y: str = "") -> None:
    axes.set_xlabel(x, fontsize=TEXT, fontfamily=FAMILY)
    axes.set_ylabel(y, fontsize=TEXT, fontfamily=FAMILY)


def legend(axes, **options) -> None:
    axes.legend(
        frameon=False, prop={"family": FAMILY, "size": TEXT - 1}, handlelength=2.6, **options
    )


def legend_below(figure: Figure, axes) -> None:
    """One legend for all axes, where no curve can run through it."""
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
        prop={"family": FAMILY, "size": TEXT - 1},
    )


# ---------------------------------------------------------------- the figures


def small_explanations(table: Table) -> Figure:
    """Share of images with an MSE of at most k patches, a curve a search."""
    figure, (axes,) = blank(2.8)
    ks = [row[0] for row in table.rows]
    for i, name in enumerate(table.columns[1:]):
        cells = [row[i + 1] for row in table.rows]
        axes.step(
            ks,
            [100 * c.value for c in cells],
            where="post",
            color=COLOURS[i % 6],
            ls=DASHES[i % 6],
            label=name,
        )
        band(axes, ks, cells, COLOURS[i % 6], step="post")
    axes.set(xscale="log", xlim=(1, ks[-1]), ylim=(0, 102))  # what differs is at the left
    axes.set_xticks(marks := [k for k in AT_MOST if k <= ks[-1]], marks)
    axes.minorticks_off()
    named(axes, "k, patches", "% of images with an MSE of at most k patches")
    legend(axes, loc="lower right")
    return figure


def band(axes, xs, cells, colour: str, **options) -> None:
    """The intervals of estimates (in %), where there are any."""
    if cells[0].low is not None:
        axes.fill_between(
            xs,
            [100 * c.low for c in cells],
            [100 * c.high for c in cells],
            color=colour,
            alpha=0.12,
            lw=0,
            **options,
        )


def sizes(table: Table) -> Figure:
    """How the sizes of MSEs are spread, a group of bars a size."""
    figure, (axes,) = blank(2.8)
    first = table.columns.index(size_name(*SIZES[0]))
    width = 0.8 / len(table.rows)
    for i, row in enumerate(table.rows):
        places = np.arange(len(SIZES)) + (i - (len(table.rows) - 1) / 2) * width
        bars(
            axes,
            places,
            row[first : first + len(SIZES)],
            width,
            COLOURS[i % 6],
            f"{row[0]} (n = {row[1]})",
        )
    axes.set_xticks(range(len(SIZES)), [size_name(*s) for s in SIZES])
    named(axes, "patches of an MSE", "% of an image's MSEs")
    legend_below(figure, axes)
    return figure


def bars(axes, places, cells, width: float, colour: str, label: str | None = None) -> None:
    """Bars of estimates (in %), with their intervals."""
    values = np.array([100 * c.value for c in cells])
    spans = [
        [v - 100 * c.low, 100 * c.high - v] if c.low is not None else [0, 0]
        for v, c in zip(values, cells)
    ]
    axes.bar(places, values, width * 0.92, color=colour, label=label)
    axes.errorbar(
        places,
        values,
        np.clip(np.array(spans).T, 0, None),
        fmt="none",
        ecolor="#333333",
        elinewidth=0.7,
        capsize=1.5,
    )


def cost(found: Mapping[str, Sequence[Mapping]]) -> Figure:
    """Sets scored, a dot an image, and their median with its interval."""
    figure, (axes,) = blank(0.7 + 0.28 * len(found))
    for place, (name, rows) in enumerate(found.items()):
        scored = [row["scored"] for row in rows]
        axes.plot(
            scored, [place] * len(scored), "o", ms=3, color=COLOURS[place % 6], alpha=0.35, mew=0
        )
        axes.plot([np.median(scored)] * 2, [place - 0.3, place + 0.3], color="black", lw=1.2)
        if middle := estimate(scored, np.median):
            axes.plot([middle.low, middle.high], [place, place], color="black", lw=1.2)
    axes.set_yticks(
        range(len(found)), [f"{name} (n = {len(rows)})" for name, rows in found.items()]
    )
    axes.set_xscale("log")
    axes.invert_yaxis()
    named(axes, "sets scored (a dot an image; cross: median and its interval)")
    return figure


def patch_use(table: Table, grid: tuple[int, int]) -> Figure:
    """Where MSEs are: the share of an image's MSEs that hold each patch, its mean over images; above each map half the widest interval."""
    columns = {name: [row[i] for row in table.rows] for i, name in enumerate(table.columns) if i}
    figure, axes = blank(1.9, max(1, len(columns)))
    top = max((cell.value for cells in columns.values() for cell in cells), default=1)
    for one, (name, cells) in zip(axes, columns.items()):
        drawn = one.imshow(
            np.reshape([100 * cell.value for cell in cells], grid),
            cmap="viridis",
            vmin=0,
            vmax=100 * top,
        )
        halves = [50 * (cell.high - cell.low) for cell in cells if cell.low is not None]
        one.set_title(
            name.replace(" (", "\n(") + (f"\n± {max(halves):.0f}" if halves else ""),
            fontsize=TEXT - 1,
            fontfamily=FAMILY,
        )
        one.set(xticks=[], yticks=[])
    if columns:
        bar = figure.colorbar(drawn, ax=axes, shrink=0.8, pad=0.01)
        bar.ax.tick_params(labelsize=TEXT - 1, labelfontfamily=FAMILY[0])
        bar.set_label("% of an image's MSEs", fontsize=TEXT - 1, fontfamily=FAMILY)
    return figure


def insertion_deletion(found: Sequence[Mapping]) -> Figure:
    """Mean insertion and deletion curves."""
    figure, axes = blank(2.5, 2, sharey=True)
    means = mean_curves(found)
    for one, side in zip(axes, ("insertion", "deletion")):
        for i, (key, curves) in enumerate(means.items()):
            patches, cells = curves[side]
            one.plot(
                patches,
                [100 * c.value for c in cells],
                color=COLOURS[i],
                ls=DASHES[i],
                label=f"{EXPLANATIONS[key]} (n = {cells[0].images})",
            )
            band(one, patches, cells, COLOURS[i])
        one.set_title(side.capitalize(), fontsize=TEXT, fontfamily=FAMILY)
        named(
            one,
            "patches shown" if side == "insertion" else "patches hidden",
            "% of full confidence" if side == "insertion" else "",
        )
        one.set_ylim(bottom=0)
    legend_below(figure, axes[0])
    return figure


def study(table: Table) -> Figure:
    """Right answers of each reader; the line: chance."""
    readers = [row for row in table.rows if " less " not in row[0]]
    figure, (axes,) = blank(0.8 + 0.3 * len(readers))
    for place, row in enumerate(readers):
        cell = row[3]
        axes.barh(place, 100 * cell.value, 0.7, color=COLOURS[place])
        if cell.low is not None:
            span = [[100 * (cell.value - cell.low)], [100 * (cell.high - cell.value)]]
            axes.errorbar(
                100 * cell.value, place, xerr=span, ecolor="#333333", elinewidth=0.8, capsize=2
            )
    axes.axvline(50, color="#333333", lw=0.8, ls=":")
    axes.set_yticks(range(len(readers)), [row[0] for row in readers])
    axes.set_xlim(0, 100)
    axes.invert_yaxis()
    named(
        axes,
        f"% right answers ({readers[0][2]} questions on {readers[0][1]} images; dotted: chance)",
    )
    return figure


def truth(table: Table) -> Figure:
    """Precision and recall of each search, and of random sets of the same sizes."""
    figure, axes = blank(2.5, 2, sharey=True)
    for one, title, first in zip(axes, ("Precision", "Recall"), (2, 3)):
        for shift, column, colour, label in (
            (-0.2, first, COLOURS[0], "MSEs"),
            (0.2, first + 2, "#bbbbbb", "random sets of the same sizes"),
        ):
            here = [(i, row[column]) for i, row in enumerate(table.rows) if row[column]]
            bars(one, [i + shift for i, _ in here], [cell for _, cell in here], 0.4, colour, label)
        one.set_xticks(
            range(len(table.rows)),
            [f"{row[0]}\nn = {row[1]}" for row in table.rows],
            rotation=40,
            ha="right",
            rotation_mode="anchor",
        )
        one.set_title(title, fontsize=TEXT, fontfamily=FAMILY)
        one.set_ylim(0, 105)
    named(axes[0], "", "%")
    legend_below(figure, axes[0])
    return figure
