"""Figures of a class's labels over many images: box plots, counts of distracting labels, words.

    found = statistics(records)
    draw_statistics("kitchen", found.classes["kitchen"], Path("kitchen_labels.png"), DARK)
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
from companions.score_deviation.statistics import ClassStatistics, LabelStatistics, Statistics
from drawing.canvas import Canvas, save_figure
from drawing.styles import Style
from drawing.text import FAMILY, text_width, visible

MOST_BOXES = 16  # labels in a box plot
MOST_WORDS = 40
LARGEST_WORD = 54  # points
SMALLEST_WORD = 7
WORDS_WIDTH = 460
WORD_GAP = 0.4  # between words, by the size of the letters
FAINTEST = 0.15  # words are coloured at least as strongly as this deviation
LONGEST_STEM = 200  # bytes of the first part of a file's name
GOLDEN = 0.618  # spreads the dots of a box plot without a pattern


def draw_classes(found: Statistics, folder: Path, style: Style) -> None:
    """Draw <class>_labels.png and <class>_words.png for each class that has something to show.

    Args:
        found: the statistics of a set of images.
        folder: where the figures go; it is made.
        style: dark, or white for print.
    """
    folder.mkdir(exist_ok=True)
    stems = file_stems(list(found.classes))
    for name, table in tqdm(found.classes.items(), desc="classes", unit="class"):
        stem = stems[name]
        draw_statistics(name, table, folder / f"{stem}_labels.png", style=style)
        draw_words(name, table, folder / f"{stem}_words.png", style=style)


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


def draw_statistics(name: str, table: ClassStatistics, path: Path, *, style: Style) -> bool:
    """Draw box plots of the relevant and opposing labels, and how often labels distract.

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
        figsize=(5.6 * len(panels), 1.5 + 0.34 * rows),
        facecolor=style.background,
        layout="constrained",
    )
    for axes, (labels, draw) in zip(np.ravel(figure.subplots(1, len(panels))), panels):
        draw(axes, labels, style)
        remove_frame(axes, style, 10)
    figure.suptitle(
        f"{visible(name)}: {table.correct} of {table.images} images classified correctly",
        fontsize=12,
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
    """Draw each label's deviations over the correct images that have it, and the mean over all.

    Box: quartiles; line: median; a dot per image; diamond: mean over all correct images.
    """
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
        label="mean over all correct images",
    )
    names = [f"{row.label} (in {row.present}, {percent_of_area(row.mean_area)})" for row in rows]
    axes.set_yticks(range(len(rows)), names, parse_math=False)
    axes.axvline(0, color=style.muted, lw=0.7)
    finish_panel(axes, "score deviation where present", rows=len(rows), style=style)


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
    title = f"distracting, in so many of {rows[0].misclassified} misclassified images"
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
    canvas.text(
        width / 2 + 10, top + 12, text=name, size=11, colour=style.muted, ha="center", va="center"
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
