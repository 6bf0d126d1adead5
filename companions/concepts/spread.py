"""Mean and spread of measures over seeds: a table, a figure, and a line per network.

rows = {"before": [..], "ours": [..]}                  # of each network, a row per seed
write_spread_table(rows, MEASURES, Path("Results/debug/demo.csv"))
draw_measures(rows, MEASURES, Path("Results/debug/demo.png"))
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from msgspec import Struct

from companions.concepts.figures import Panel, draw_improvement
from companions.concepts.files import write_csv
from companions.concepts.improve import Measure, shown_name
from utils import log


class SpreadRow(Struct, kw_only=True):
    """A row of the table: a measure of a network over seeds; None where no seed has it."""

    network: str
    measure: str
    seeds: int  # that have it
    mean: float | None
    sd: float | None  # of the sample; None below two seeds
    least: float | None
    most: float | None


@dataclass(frozen=True)
class Spread:
    """The values that a measure has over seeds; those of seeds without it are left out."""

    values: Sequence[float]

    @property
    def mean(self) -> float | None:
        """Their mean."""
        return mean(self.values) if self.values else None

    @property
    def sd(self) -> float | None:
        """Their standard deviation, of the sample; None below two."""
        return stdev(self.values) if len(self.values) > 1 else None


def spread_of(rows: Sequence[Struct], measure: Measure) -> Spread:
    """Return a measure of one network over seeds."""
    values = [getattr(row, measure.field) for row in rows]
    return Spread([value for value in values if value is not None])


def write_spread_table(
    by_network: Mapping[str, Sequence[Struct]], measures: Sequence[Measure], path: Path
) -> None:
    """Write mean and spread of each measure of each network.

    Args:
        by_network: name -> its rows, one per seed, with a field for each measure.
        measures: rows of the table.
        path: the file to write.
    """
    table = [
        _spread_row(name, measure, spread_of(rows, measure))
        for name, rows in by_network.items()
        for measure in measures
    ]
    write_csv(path, table, SpreadRow)


def draw_measures(
    by_network: Mapping[str, Sequence[Struct]],
    measures: Sequence[Measure],
    path: Path,
    *,
    concept: str = "",
) -> None:
    """Draw a panel per measure, with a bar per network, and log a line per network.

    Args:
        by_network: name -> its rows, one per seed, with a field for each measure.
        measures: the panels.
        path: the file to write.
        concept: for the measures' titles.
    """
    panels = [_panel(measure, by_network, concept) for measure in measures]
    names = [shown_name(name) for name in by_network]
    draw_improvement(panels, names, path)
    for i, (name, rows) in enumerate(zip(names, by_network.values(), strict=True)):
        seeds = f", {len(rows)} seeds" if len(rows) > 1 else ""
        measured = (f"{panel.title} {panel.text_of(i)}" for panel in panels)
        log(f"{name}{seeds}: {', '.join(measured)}")


def _spread_row(network: str, measure: Measure, spread: Spread) -> SpreadRow:
    return SpreadRow(
        network=network,
        measure=measure.field,
        seeds=len(spread.values),
        mean=spread.mean,
        sd=spread.sd,
        least=min(spread.values, default=None),
        most=max(spread.values, default=None),
    )


def _panel(measure: Measure, by_network: Mapping[str, Sequence[Struct]], concept: str) -> Panel:
    spreads = [spread_of(rows, measure) for rows in by_network.values()]
    return Panel(
        measure.title.format(concept),
        [spread.mean for spread in spreads],
        measure.is_share,
        [spread.sd for spread in spreads],
    )
