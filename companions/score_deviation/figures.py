"""Pictures of score deviations, drawn from the record and the image: the map with its bars, statistics, word clouds.

One colour scale for all: red supports, blue distracts, from -1 to 1. It runs with the square root of |d|, because most labels
are worth a few hundredths, and is the same in every picture, so that pictures can be compared.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import FuncNorm
from matplotlib.figure import Figure

from drawing.graph_figure import FAMILY, Canvas, save_figure
from scoring.regions import Regions
from drawing.graph_layout import Style, text_width

MOST_BARS = 14  # labels beside a map
MOST_BOXES = 16  # labels in a box plot
MOST_WORDS = 40
TICKS = (-1, -0.5, -0.1, 0, 0.1, 0.5, 1)
SCALE = FuncNorm(
    (lambda d: np.sign(d) * np.sqrt(np.abs(d)), lambda s: np.sign(s) * s**2), vmin=-1, vmax=1
)


def colours(d) -> np.ndarray:
    """Deviations (..) -> colours (.., 3) in 0..1: red above 0, blue below, white at 0."""
    return np.asarray(matplotlib.colormaps["RdBu_r"](np.asarray(SCALE(np.asarray(d, float)))))[
        ..., :3
    ]


def deviation_map(record: dict, image: np.ndarray) -> np.ndarray:
    """Each pixel in the colour of its label's d over the grey image, borders between regions dark; (H, W, 3) uint8."""
    regions = Regions.from_record(record["regions"])
    d = np.zeros(len(regions.names))
    for label in record["labels"]:
        d[regions.numbers.index(label["label"])] = label["deviation"]
    grey = image.mean(2, keepdims=True).repeat(3, 2)
    picture = 0.72 * 255 * colours(d)[regions.index] + 0.28 * grey
    picture[regions.borders()] *= 0.45
    return np.round(picture).astype(np.uint8)


def draw_map(
    record: dict, image: np.ndarray, folder: Path, style: Style, formats: Sequence[str] = ("png",)
) -> None:
    """deviation.*: the image, its score deviation map with the colour scale, and a bar per label with its area."""
    labels = sorted(record["labels"], key=lambda label: -abs(label["deviation"]))[:MOST_BARS]
    labels.sort(key=lambda label: -label["deviation"])
    text = 6.8 if style.width else 10
    width, height, places = layout_of(labels, image.shape[0] / image.shape[1], style, text)
    for file in map_files(folder, style, formats):
        figure = Figure(figsize=(width, height), facecolor=style.background)
        axes = [
            figure.add_axes((x / width, y / height, w / width, h / height)) for x, y, w, h in places
        ]
        for a, picture, title in (
            (axes[0], image, f"{record['category']['name']} {record['probability']:.3f}"),
            (axes[1], deviation_map(record, image), "score deviation"),
        ):
            a.imshow(
                picture, aspect="auto", interpolation="none" if file.suffix != ".png" else "hanning"
            )
            a.set_axis_off()
            a.set_title(
                title,
                fontsize=min(text * 1.1, 72 * places[0][2] / text_width(title, 1)),
                color=style.ink,
                fontfamily=FAMILY,
                parse_math=False,
            )
        draw_scale(figure, axes[2], style, text)
        draw_bars(axes[3], labels, len(record["labels"]), style, text)
        save_figure(figure, file, style)


def map_files(folder: Path, style: Style, formats: Sequence[str]) -> list[Path]:
    """The files that draw_map() writes."""
    return [
        folder / f"deviation{'_paper' if style.name == 'paper' else ''}.{kind}" for kind in formats
    ]


def layout_of(
    labels: Sequence[dict], shape: float, style: Style, text: float
) -> tuple[float, float, list[tuple[float, float, float, float]]]:
    """Width and height of the figure, and (left, bottom, width, height) of image, map, scale and bars, in inches.

    shape: height of the image by its width. Dark: the bars at the right; in a figure of a given width: below.
    """
    pad, title, names = (
        text / 72,
        1.9 * text / 72,
        max(text_width(bar_name(label), 0.9 * text) for label in labels) / 72,
    )
    bars = max(4, len(labels)) * 1.9 * text / 72
    if style.width:
        width = style.width / 72
        side = (width - 2.5 * pad - 0.09 - 0.28) / 2
        tall, low = side * shape, 2 * pad
        up = low + bars + 2 * title
        picture = [(pad * 0.5, up), (pad + side, up)]
        scale, below = (
            (1.3 * pad + 2 * side, up, 0.07, tall),
            (1.2 * pad + names, low, width - names - 2 * pad, bars),
        )
        height = up + tall + title
    else:
        side = 2.9
        tall = side * shape
        height = max(tall, bars + 2 * pad) + 2 * title + pad
        y = (height - title - tall) / 2
        picture = [(pad, y), (2 * pad + side, y)]
        scale = (2.6 * pad + 2 * side, y, 0.1, tall)
        left = scale[0] + 0.75 + names
        below, width = (left, (height - title - bars) / 2 + pad, 3.2, bars), left + 3.2 + pad
    return width, height, [*((x, y, side, tall) for x, y in picture), scale, below]


def draw_scale(figure: Figure, axes, style: Style, text: float) -> None:
    """The colour scale, the same in every picture."""
    bar = figure.colorbar(ScalarMappable(SCALE, "RdBu_r"), cax=axes, ticks=TICKS)
    bar.ax.set_yticklabels(
        [f"{t:+g}".replace("-", "−") if t else "0" for t in TICKS], fontfamily=FAMILY
    )
    bar.ax.tick_params(colors=style.ink, labelsize=text * 0.9, length=2, pad=2)
    bar.outline.set_edgecolor(style.muted)


def draw_bars(axes, labels: Sequence[dict], total: int, style: Style, text: float) -> None:
    """A bar per label: its d, and the share of the image that it covers."""
    d = [label["deviation"] for label in labels]
    room = max([0.02, *map(abs, d)])
    axes.barh(range(len(d)), d, color=colours(d), edgecolor=style.muted, linewidth=0.5)
    for i, label in enumerate(labels):
        axes.annotate(
            f"{d[i]:+.3f}".replace("-", "−"),
            (max(d[i], 0), i),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=text * 0.95,
            color=style.ink,
            fontfamily=FAMILY,
        )
    axes.set_yticks(
        range(len(d)), [bar_name(label) for label in labels], fontfamily=FAMILY, parse_math=False
    )
    axes.set(
        ylim=(max(4, len(d)) - 0.4, -0.6),
        xlim=(min(0, *d, 0) - 0.06 * room, max(0, *d, 0) + 0.32 * room),
    )
    axes.axvline(0, color=style.muted, lw=0.7)
    plain(axes, style, text)
    left_out = f" (the {len(labels)} largest of {total})" if total > len(labels) else ""
    axes.set_title(
        f"probability lost without it{left_out}",
        fontsize=text * 1.1,
        color=style.ink,
        fontfamily=FAMILY,
    )


def bar_name(label: dict) -> str:
    """A label and the share of the image that it covers."""
    return f"{label['name']}, {percent_of_area(label['area'])}"


def plain(axes, style: Style, text: float) -> None:
    """Axes without a frame, in the style's colours."""
    axes.set_facecolor(style.background)
    axes.tick_params(colors=style.ink, labelsize=text * 0.9, labelfontfamily=FAMILY[0])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(style.muted)
    axes.tick_params(axis="y", length=0)


def percent_of_area(area: float) -> str:
    """3 %; 0.4 %; < 0.1 %."""
    return (
        "< 0.1 %"
        if area < 0.001
        else f"{100 * area:.1f} %"
        if area < 0.01
        else f"{100 * area:.0f} %"
    )


# ---------------------------------------------------------------- statistics of a class


def draw_statistics(name: str, table: dict, path: Path, style: Style) -> bool:
    """Box plots of the relevant (and opposing) labels, and how often labels distract. -> whether there was anything to draw."""
    boxes = [
        row for row in table["labels"] if row["kind"] in ("relevant", "opposing") and row["present"]
    ]
    boxes = sorted(
        sorted(boxes, key=lambda row: -abs(row["mean"]))[:MOST_BOXES], key=lambda row: -row["mean"]
    )
    against = sorted(
        (row for row in table["labels"] if row["distracting"] or row["distracting_by_largest"]),
        key=lambda row: -row["distracting"],
    )[:MOST_BOXES]
    panels = [p for p in ((boxes, draw_boxes), (against, draw_distracting)) if p[0]]
    if not panels:
        return False
    rows = max(len(p[0]) for p in panels)
    figure = Figure(
        figsize=(5.6 * len(panels), 1.5 + 0.34 * rows),
        facecolor=style.background,
        layout="constrained",
    )
    for axes, (labels, draw) in zip(np.ravel(figure.subplots(1, len(panels))), panels):
        draw(axes, labels, table, style)
        plain(axes, style, 10)
    figure.suptitle(
        f"{name}: {table['correct']} of {table['images']} images classified correctly",
        fontsize=12,
        color=style.ink,
        fontfamily=FAMILY,
        parse_math=False,
    )
    save_figure(figure, path, style)
    return True


def draw_boxes(axes, rows: Sequence[dict], table: dict, style: Style) -> None:
    """d of each label in the correct images that have it (box: quartiles; line: median; a dot per image), and its mean over all."""
    for i, row in enumerate(rows):
        low, high = row["lower_quartile"], row["upper_quartile"]
        axes.barh(
            i,
            high - low,
            0.6,
            low,
            color=colours(row["mean_present"]),
            edgecolor=style.muted,
            linewidth=0.8,
        )
        axes.plot([row["median"]] * 2, [i - 0.3, i + 0.3], color=style.bar, lw=2)
        axes.plot(
            row["values"],
            i + 0.5 * (np.arange(len(row["values"])) * 0.618 % 1 - 0.5),
            ls="",
            marker=".",
            ms=4,
            color=style.muted,
            zorder=3,
        )
    axes.plot(
        [row["mean"] for row in rows],
        range(len(rows)),
        ls="",
        marker="D",
        zorder=4,
        ms=5,
        mfc=style.root,
        mec=style.background,
        label="mean over all correct images",
    )
    axes.set_yticks(
        range(len(rows)),
        [
            f"{row['label']} (in {row['present']}, {percent_of_area(row['mean_area'])})"
            for row in rows
        ],
        parse_math=False,
    )
    axes.axvline(0, color=style.muted, lw=0.7)
    axes.invert_yaxis()
    axes.set_title(
        "score deviation where present", fontsize=10.5, color=style.ink, fontfamily=FAMILY
    )
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.25 / max(1, len(rows)) - 0.08),
        frameon=False,
        labelcolor=style.ink,
        prop={"family": FAMILY, "size": 9},
    )


def draw_distracting(axes, rows: Sequence[dict], table: dict, style: Style) -> None:
    """In how many misclassified images a label distracts, by either rule."""
    places, wrong = np.arange(len(rows)), table["images"] - table["correct"]
    axes.barh(
        places - 0.19,
        [row["distracting"] for row in rows],
        0.36,
        color=style.removed,
        label="without it the true class wins",
    )
    axes.barh(
        places + 0.19,
        [row["distracting_by_largest"] for row in rows],
        0.36,
        color=style.bar,
        label="published rule: largest of the whole matrix",
    )
    axes.set_yticks(places, [row["label"] for row in rows], parse_math=False)
    axes.set_xlim(
        0,
        max(
            1,
            *(row["distracting"] for row in rows),
            *(row["distracting_by_largest"] for row in rows),
        )
        * 1.05,
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.invert_yaxis()
    axes.set_title(
        f"distracting, in so many of {wrong} misclassified images",
        fontsize=10.5,
        color=style.ink,
        fontfamily=FAMILY,
    )
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.25 / max(1, len(rows)) - 0.08),
        frameon=False,
        labelcolor=style.ink,
        prop={"family": FAMILY, "size": 9},
    )


def draw_words(name: str, table: dict, path: Path, style: Style, width: float = 460) -> bool:
    """The labels with a mean d above 0 as words, the area of the letters by the mean. -> whether there was any."""
    rows = [row for row in table["labels"] if row["mean"] and row["mean"] > 0][:MOST_WORDS]
    if not rows:
        return False
    sizes = [max(8.0, 54 * (row["mean"] / rows[0]["mean"]) ** 0.5) for row in rows]
    shrink = min(
        1.0, *((width - 10) / text_width(row["label"], size) for row, size in zip(rows, sizes))
    )
    lines: list[list[tuple[str, float, float]]] = [[]]
    for row, size in zip(rows, sizes):
        size = max(7.0, size * shrink)
        word = (row["label"], size, row["mean_present"])
        if lines[-1] and sum(text_width(w, s) + 0.4 * s for w, s, _ in [*lines[-1], word]) > width:
            lines.append([])
        lines[-1].append(word)
    lines = lines[1::2][::-1] + lines[::2]  # the largest words in the middle
    heights = [1.25 * max(size for _, size, _ in line) for line in lines]
    canvas = Canvas(width + 20, sum(heights) + 34, style, vector=False)
    canvas.text(width / 2 + 10, sum(heights) + 20, name, 11, style.muted, ha="center", va="center")
    y = sum(heights) + 8
    for line, height in zip(lines, heights):
        x = 10 + (width - sum(text_width(w, s) + 0.4 * s for w, s, _ in line)) / 2
        for word, size, d in line:
            canvas.text(
                x + 0.2 * size, y - height / 2, word, size, word_colour(d, style), va="center"
            )
            x += text_width(word, size) + 0.4 * size
        y -= height
    canvas.save(path)
    return True


def word_colour(d: float, style: Style):
    """The colour of a word, kept apart from the background: at least as strong as d = 0.15."""
    tone = colours(max(d, 0.15) if d > 0 else min(d, -0.15))
    return tuple(0.35 + 0.65 * tone) if style.name == "dark" else tuple(0.85 * tone)
