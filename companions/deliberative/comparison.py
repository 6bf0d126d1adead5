"""The comparison of the paper: difficulties, attributions and architectures on annotated data sets.

    cells = cells_of(networks, difficulties=("certainty", "hardness"), attributions=("gradient",))
    table = Comparison(cells, evaluations)
    table.as_markdown()
    table.sections(base)["difficulties"]            # name -> its runs, for a figure

A cell is a data set, a network, a difficulty and an attribution; networks of one architecture that
were trained with different seeds are its runs, over which the mean and the standard deviation
(divided by N) are taken. A section varies one of the three and keeps the others as the base says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from companions.deliberative.curve_figures import numbers
from companions.deliberative.evaluation import Evaluation
from utils import UserError

SETS = ("cub", "ade20k")
HARDNESS = "hardness"  # the difficulty that the network's own checkpoint predicts
SIZES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of regions: the authors' columns of IoU
CURVE_SIZES = (0.1, 0.3, 0.5)  # of precision and recall
SECTIONS = {
    "difficulties": "difficulty",
    "attributions": "attribution",
    "architectures": "architecture",
}


@dataclass(frozen=True)
class NamedNetwork:
    """A trained network of the comparison.

    Attributes:
        data: cub or ade20k.
        arch: its architecture.
        file: its checkpoint.
        run: number among the networks of this data set, architecture and layer, from 1.
        layer: where it is split; None: the last convolution's block.
    """

    data: str
    arch: str
    file: Path
    run: int
    layer: str | None = None

    @property
    def architecture(self) -> str:
        """The architecture and the layer, as the table names them."""
        name = Path(self.arch).name
        return f"{name} {self.layer}" if self.layer else name


@dataclass(frozen=True)
class Way:
    """A way to explain: what a row of the table is about."""

    data: str
    architecture: str
    difficulty: str
    attribution: str


@dataclass(frozen=True)
class Cell:
    """A way to explain, with one network."""

    way: Way
    network: NamedNetwork

    @property
    def name(self) -> str:
        """Its folder below that of the results."""
        architecture = self.way.architecture.replace(":", "_").replace(" ", "_")
        run = f"{architecture}_{self.network.run}"
        return "/".join((self.way.data, run, self.way.difficulty, self.way.attribution))


def named_networks(texts: Sequence[str]) -> list[NamedNetwork]:
    """Return the networks that an option names, each as SET=ARCH=FILE or SET=ARCH=FILE=LAYER.

    Raises:
        UserError: one is not of that form, or its file is not there.
    """
    found: list[NamedNetwork] = []
    for text in texts:
        words = text.split("=")
        if len(words) not in (3, 4) or words[0] not in SETS or not all(words):
            raise UserError(
                f"--networks {text}: not SET=ARCH=FILE or SET=ARCH=FILE=LAYER, where SET is cub or "
                "ade20k"
            )
        data, arch, file, *layer = words
        if not Path(file).is_file():
            raise UserError(f"--networks {text}: no such file: {file}")
        if text in texts[: len(found)]:
            raise UserError(f"--networks {text}: named twice; runs are networks of different seeds")
        kind = (data, arch, *layer)
        alike = [n for n in found if (n.data, n.arch, *filter(None, [n.layer])) == kind]
        found.append(
            NamedNetwork(
                data, arch, Path(file), run=1 + len(alike), layer=layer[0] if layer else None
            )
        )
    return found


def cells_of(
    networks: Sequence[NamedNetwork], *, difficulties: Sequence[str], attributions: Sequence[str]
) -> list[Cell]:
    """Return every cell."""
    return [
        Cell(Way(network.data, network.architecture, difficulty, attribution), network)
        for network in networks
        for difficulty in difficulties
        for attribution in attributions
    ]


@dataclass(frozen=True)
class Comparison:
    """Evaluations of cells.

    Attributes:
        runs: the evaluations of each way, one per network.
    """

    runs: Mapping[Way, Sequence[Evaluation]]

    def as_markdown(self) -> str:
        """Return a table per data set: a row for each way, means and deviations in percent."""
        parts = []
        for data in SETS:
            ways = [way for way in self.runs if way.data == data]
            if ways:
                parts.append(self._table(data, ways))
        return "\n\n".join(parts) + "\n"

    def _table(self, data: str, ways: Sequence[Way]) -> str:
        first = self.runs[ways[0]][0]
        lines = [
            f"{first.data}: {first.images} images, means over runs ± their deviation, in percent",
            "",
            "| architecture | difficulty | attribution | "
            + " | ".join(name for name, _ in columns_of(data))
            + " |",
            "|---|---|---|" + "---|" * len(columns_of(data)),
        ]
        for way in ways:
            cells = [self._cell(way, key) for _, key in columns_of(data)]
            names = (way.architecture, way.difficulty, way.attribution)
            lines.append("| " + " | ".join((*names, *cells)) + " |")
        return "\n".join(lines)

    def _cell(self, way: Way, key: tuple[str, tuple[float, ...]]) -> str:
        measure, sizes = key
        values = [100 * value_at(run, measure, sizes) for run in self.runs[way]]
        if not np.isfinite(values).all():
            return "-"
        spread = f" ± {np.std(values):.1f}" if len(values) > 1 else ""
        return f"{np.mean(values):.1f}{spread}"

    def sections(self, base: Way) -> dict[str, dict[str, Sequence[Evaluation]]]:
        """Return the runs of each section's ways: section -> what is varied -> runs.

        Args:
            base: the data set, and what is kept where it is not varied.
        """
        found: dict[str, dict[str, Sequence[Evaluation]]] = {}
        for section, field in SECTIONS.items():
            ways = [
                way for way in self.runs if replace(way, **{field: getattr(base, field)}) == base
            ]
            if len(ways) > 1:
                found[section] = {getattr(way, field): self.runs[way] for way in ways}
        return found


def columns_of(data: str) -> list[tuple[str, tuple[str, tuple[float, ...]]]]:
    """Return the columns of a data set's table: name, measure and sizes of regions."""
    if data == "ade20k":
        sizes = [(f"IoU {100 * size:.0f} %", ("iou", (size,))) for size in SIZES]
        return [*sizes, ("mean", ("iou", SIZES))]
    return [
        (f"{measure} {100 * size:.0f} %", (measure, (size,)))
        for measure in ("precision", "recall")
        for size in CURVE_SIZES
    ]


def value_at(run: Evaluation, measure: str, sizes: Sequence[float]) -> float:
    """Return the mean of a measure at these sizes of region; NaN where one is unknown."""
    values = numbers(run.measures[measure])
    return float(np.mean([values[run.shares.index(size)] for size in sizes]))
