"""Figures of a class's labels over many images: boxes, distracting labels, words, distribution.

    found = statistics(records)
    draw_statistics("kitchen", found.classes["kitchen"], Path("kitchen_labels.png"), DARK)
    draw_distribution("kitchen", found.classes["kitchen"], Path("all.png"), DARK, above=0.01)
    draw_words("kitchen", found.classes["kitchen"], Path("kitchen_words.png"), DARK)

Labels that are irrelevant to the class are left out.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

from companions.score_deviation.figures import percent_of_area, remove_frame
from companions.score_deviation.palettes import colours
from companions.score_deviation.statistics import (
    ALL_CLASSES,
    PREDICTED,
    TRUE,
    ClassStatistics,
    Grouping,
    LabelStatistics,
    Statistics,
)
from drawing.canvas import Canvas, save_figure
from drawing.styles import POINTS_PER_INCH, Style
from drawing.text import FAMILY, shrunk, text_width, visible

MOST_BOXES = 16  # labels in a box plot
MOST_WORDS = 40
MOST_SHARES = 30  # labels in a distribution
PANEL_WIDTH = 5.6  # inches
LARGEST_WORD = 54  # points
SMALLEST_WORD = 7
WORDS_WIDTH = 460
WORD_GAP = 0.4  # between words, by the size of the letters
FAINTEST = 0.15  # words are coloured at least as strongly as this deviation
LONGEST_STEM = 200  # bytes of the first part of a file's name
GOLDEN = 0.618  # spreads the dots of a box plot without a pattern


def draw_classes(found: Statistics, folder: Path, style: Style) -> None:
    """Draw the figures of each class that has something to show.

    <class>_labels.png, <class>_words.png and <class>_distribution.png: of true classes in the
    folder, of predicted ones in its sub-folder predicted/.

    Args:
        found: the statistics of a set of images.
        folder: where the figures go; it is made.
        style: dark, or white for print.
    """
    stems = class_stems(found)
    groups: list[tuple[Grouping, Path, dict[str, ClassStatistics]]] = [
        (TRUE, folder, found.classes),
        (PREDICTED, folder / PREDICTED, found.predicted),
    ]
    total = len(found.classes) + len(found.predicted)
    with tqdm(total=total, desc="classes", unit="class", disable=None) as progress:
        for by, place, tables in groups:
            for name, table in tables.items():
                place.mkdir(exist_ok=True)
                heading = heading_of(name, table, by, known=found.with_true_class > 0)
                stem = place / stems[name]
                draw_statistics(heading, table, stem.with_name(f"{stem.name}_labels.png"), style)
                draw_words(name, table, stem.with_name(f"{stem.name}_words.png"), style=style)
                draw_distribution(
                    name,
                    table,
                    stem.with_name(f"{stem.name}_distribution.png"),
                    style,
                    above=found.relevant_above,
                )
                progress.update()


def class_stems(found: Statistics) -> dict[str, str]:
    """Return what the files of each class begin with, whether it is true or predicted."""
    return file_stems(list(dict.fromkeys([*found.classes, *found.predicted])))


def heading_of(name: str, table: ClassStatistics, by: Grouping, *, known: bool) -> str:
    """Return what stands above a class's box plots; known: whether true classes are."""
    if not known:
        return f"{name}: {table.images} images"
    if by == TRUE:
        return f"{name}: {table.correct} of {table.images} images classified correctly"
    if name == ALL_CLASSES:
        return f"{name}: {table.images} images, each for the class predicted"
    return f"{name}: {table.images} images predicted as it, {table.correct} of them correctly"


def file_stems(names: Sequence[str]) -> dict[str, str]:
    """Return what the files of each name begin with: another for each.

    Letters, digits, "-" and "_" stay, all else becomes "_"; where that makes names the same, in
    whatever case, or too long, digits are added.
    """
    plain = {name: "".join(c if c.isalnum() or c in "-_" else "_" for c in name) for name in names}
    often = Counter(stem.lower() for stem in plain.values())
    stems = {}
    for name, stem in plain.items():
        stems[name] = stem
        if often[stem.lower()] > 1 or len(stem.encode()) > LONGEST_STEM:
            digits = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
            stems[name] = f"{stem[: LONGEST_STEM // 4]}-{digits}"
    return stems


# ---------------------------------------------------------------- box plots


def draw_statistics(heading: str, table: ClassStatistics, path: Path, style: Style) -> bool:
    """Draw box plots of the relevant and opposing labels, and how often labels distract.

    Args:
        heading: of the figure.
        table: the class's statistics.
        path: of the PNG.
        style: dark, or white for print.

    Returns:
        Whether there was anything to draw; if not, no file is written.
    """
    panels: list[tuple[Sequence[LabelStatistics], Callable]] = []
    if boxes := labels_with_boxes(table):
        panels.append((boxes, draw_boxes))
    if against := distracting_labels(table):
        panels.append((against, draw_distracting))
    if not panels:
        return False
    rows = max(len(labels) for labels, _ in panels)
    figure = Figure(
        figsize=(PANEL_WIDTH * len(panels), 1.5 + 0.34 * rows),
        facecolor=style.background,
        layout="constrained",
    )
    for axes, (labels, draw) in zip(np.ravel(figure.subplots(1, len(panels))), panels):
        draw(axes, labels, style)
        remove_frame(axes, style, 10)
    heading = visible(heading)
    figure.suptitle(
        heading,
        fontsize=shrunk(heading, 12, POINTS_PER_INCH * (PANEL_WIDTH * len(panels) - 0.3)),
        color=style.ink,
        fontfamily=FAMILY,
        parse_math=False,
    )
    save_figure(figure, path, style)
    return True


def labels_with_boxes(table: ClassStatistics) -> list[LabelStatistics]:
    """Return the labels that matter most on average, the largest mean first."""
    rows = [row for row in table.labels if row.kind in ("relevant", "opposing") and row.present]
    rows = sorted(rows, key=lambda row: -abs(row.mean))[:MOST_BOXES]
    return sorted(rows, key=lambda row: -row.mean)


def distracting_labels(table: ClassStatistics) -> list[LabelStatistics]:
    """Return the labels that distract in some image, by either rule, the most frequent first."""
    rows = [row for row in table.labels if row.distracting or row.distracting_by_largest]
    return sorted(rows, key=lambda row: -row.distracting)[:MOST_BOXES]


def draw_boxes(axes: Axes, rows: Sequence[LabelStatistics], style: Style) -> None:
    """Draw the deviations of each label, and its mean over all images that count.

    Box: quartiles; line: median; a dot per image; diamond: mean over all images that count.
    """
    axes.use_sticky_edges = False  # a box at the edge leaves room for the dots there
    for place, row in enumerate(rows):
        draw_box(axes, row, place=place, style=style)
    axes.plot(
        [row.mean for row in rows],
        range(len(rows)),
        ls="",
        marker="D",
        zorder=4,
        ms=5,
        mfc=style.root,
        mec=style.background,
        label=f"mean over all {rows[0].images} images",
    )
    names = [f"{row.label} (in {row.present}, {percent_of_area(row.mean_area)})" for row in rows]
    axes.set_yticks(range(len(rows)), names, parse_math=False)
    axes.axvline(0, color=style.muted, lw=0.7)
    # With absent_as_zero there is a value per image that counts.
    is_of_all = any(len(row.values) > row.present for row in rows)
    title = "score deviation, 0 where absent" if is_of_all else "score deviation where present"
    finish_panel(axes, title, rows=len(rows), style=style)


def draw_box(axes: Axes, row: LabelStatistics, *, place: int, style: Style) -> None:
    """Draw one label's box, median and dots at this place of the vertical axis."""
    axes.barh(
        place,
        row.upper_quartile - row.lower_quartile,
        0.6,
        row.lower_quartile,
        color=colours(row.mean_present),
        edgecolor=style.muted,
        linewidth=0.8,
    )
    axes.plot([row.median] * 2, [place - 0.3, place + 0.3], color=style.bar, lw=2)
    spread = 0.5 * (np.arange(len(row.values)) * GOLDEN % 1 - 0.5)
    axes.plot(row.values, place + spread, ls="", marker=".", ms=4, color=style.muted, zorder=3)


def draw_distracting(axes: Axes, rows: Sequence[LabelStatistics], style: Style) -> None:
    """Draw in how many misclassified images a label distracts, by either rule."""
    places = np.arange(len(rows))
    ours = [row.distracting for row in rows]
    published = [row.distracting_by_largest for row in rows]
    axes.barh(
        places - 0.19, ours, 0.36, color=style.removed, label="without it the true class wins"
    )
    axes.barh(
        places + 0.19,
        published,
        0.36,
        color=style.bar,
        label="published rule: largest of the whole matrix",
    )
    axes.set_yticks(places, [row.label for row in rows], parse_math=False)
    axes.set_xlim(0, max(1, *ours, *published) * 1.05)
    axes.xaxis.get_major_locator().set_params(integer=True)
    title = f"distracting, in so many of {rows[0].misclassified} misclassified"
    finish_panel(axes, title, rows=len(rows), style=style)


def finish_panel(axes: Axes, title: str, *, rows: int, style: Style) -> None:
    """Put the first label on top, and add the title and a legend below."""
    axes.invert_yaxis()
    axes.set_title(title, fontsize=10.5, color=style.ink, fontfamily=FAMILY)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.25 / max(1, rows) - 0.08),
        frameon=False,
        labelcolor=style.ink,
        prop={"family": FAMILY, "size": 9},
    )


# ---------------------------------------------------------------- distribution


def draw_distribution(
    name: str, table: ClassStatistics, path: Path, style: Style, *, above: float
) -> bool:
    """Draw the labels' shares of the pixels of a class's images, the largest first.

    Args:
        name: of the class.
        table: its statistics.
        path: of the PNG.
        style: dark, or white for print.
        above: labels with smaller shares are left out.

    Returns:
        Whether there was anything to draw; if not, no file is written.
    """
    rows = sorted(table.labels, key=lambda row: -row.share)[:MOST_SHARES]
    rows = [row for row in rows if row.share > above]
    if not rows:
        return False
    height = 1.0 + 0.26 * len(rows)
    figure = Figure(figsize=(PANEL_WIDTH, height), facecolor=style.background, layout="constrained")
    axes = figure.subplots()
    shares = [100 * row.share for row in rows]
    axes.barh(range(len(rows)), shares, 0.7, color=style.bar)
    for place, row in enumerate(rows):
        axes.annotate(
            percent_of_area(row.share),
            (100 * row.share, place),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=style.ink,
            fontfamily=FAMILY,
        )
    axes.set_yticks(range(len(rows)), [row.label for row in rows], parse_math=False)
    axes.set(xlim=(0, 1.15 * max(shares)), ylim=(len(rows) - 0.4, -0.6))
    remove_frame(axes, style, 10)
    heading = visible(f"{name}: % of the pixels of {table.images} images")
    size = shrunk(heading, 12, POINTS_PER_INCH * (PANEL_WIDTH - 0.3))
    figure.suptitle(heading, fontsize=size, color=style.ink, fontfamily=FAMILY, parse_math=False)
    save_figure(figure, path, style)
    return True


# ---------------------------------------------------------------- words


class Word(NamedTuple):
    """A label in the word cloud."""

    text: str
    size: float  # of the letters, points
    deviation: float  # where the label is present

    @property
    def width(self) -> float:
        """Width with the gap to the next word, in points."""
        return text_width(self.text, self.size) + WORD_GAP * self.size


def draw_words(
    name: str, table: ClassStatistics, path: Path, *, style: Style, width: float = WORDS_WIDTH
) -> bool:
    """Draw the labels with a mean above 0 as words, the area of their letters by the mean.

    Returns:
        Whether there was any such label; if not, no file is written.
    """
    lines = lines_of_words(words_of(table, width), width)
    if not lines:
        return False
    heights = [1.25 * max(word.size for word in line) for line in lines]
    canvas = Canvas(width + 20, sum(heights) + 34, style)
    top = sum(heights) + 8
    size = shrunk(name, 11, width)
    canvas.text(
        width / 2 + 10, top + 12, text=name, size=size, colour=style.muted, ha="center", va="center"
    )
    for line, height in zip(lines, heights):
        left = 10 + (width - sum(word.width for word in line)) / 2
        for word in line:
            colour = word_colour(word.deviation, style)
            middle = top - height / 2
            start = left + WORD_GAP / 2 * word.size
            canvas.text(start, middle, text=word.text, size=word.size, colour=colour, va="center")
            left += word.width
        top -= height
    canvas.save(path)
    return True


def words_of(table: ClassStatistics, width: float) -> list[Word]:
    """Return the words, largest first, none of them wider than the figure."""
    rows = [row for row in table.labels if row.mean and row.mean > 0][:MOST_WORDS]
    if not rows:
        return []
    sizes = [max(8.0, LARGEST_WORD * (row.mean / rows[0].mean) ** 0.5) for row in rows]
    widths = [text_width(row.label, size) for row, size in zip(rows, sizes)]
    shrink = min(1.0, (width - 10) / max(widths))
    return [
        Word(row.label, max(SMALLEST_WORD, size * shrink), row.mean_present)
        for row, size in zip(rows, sizes)
    ]


def lines_of_words(words: Sequence[Word], width: float) -> list[list[Word]]:
    """Break words into lines of at most this width, the largest words in the middle lines."""
    lines: list[list[Word]] = []
    for word in words:
        if lines and sum(other.width for other in lines[-1]) + word.width <= width:
            lines[-1].append(word)
        else:
            lines.append([word])
    return lines[1::2][::-1] + lines[::2]


def word_colour(deviation: float, style: Style) -> tuple[float, ...]:
    """Return a word's colour, strong enough to stand apart from the background."""
    strong = max(deviation, FAINTEST) if deviation > 0 else min(deviation, -FAINTEST)
    tone = colours(strong)
    return tuple(0.85 * tone) if style.is_paper else tuple(0.35 + 0.65 * tone)
