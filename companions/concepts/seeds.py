"""The demo over several seeds: each has a world and a network of its own.

    run_seeds(Demo(), Path("Results/debug"), seeds=5, command=main)
    demo.csv, demo.png                  # mean and spread of each measure over the seeds

Seed 0 lies in the results themselves, the others in seed_1, seed_2, .. below, so that a run with
more seeds goes on with what is there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from time import monotonic

from msgspec import Struct

from companions.concepts.demo import Demo, Steps, run_demo
from companions.concepts.figures import Panel, draw_improvement
from companions.concepts.files import write_csv
from companions.concepts.improve import (
    MEASURES,
    ImproveRow,
    Measure,
    shown_name,
    table_row,
)
from companions.concepts.records import ImproveReport, read_typed
from utils import UserError, log

MINUTE = 60  # seconds


class SpreadRow(Struct, kw_only=True):
    """A row of demo.csv: a measure of a network over seeds; None where no seed has it."""

    network: str
    measure: str
    seeds: int  # that have it
    mean: float | None
    sd: float | None  # of the sample; None below two seeds
    least: float | None
    most: float | None


def run_seeds(
    demo: Demo, results: Path, *, seeds: int, command: Callable[[Sequence[str]], int]
) -> int:
    """Run the demo with seeds 0, 1, .., and write the figures over them.

    Args:
        demo: what to do with each seed.
        results: folder of everything.
        seeds: how many.
        command: runs one command line and returns its exit status.

    Returns:
        The exit status of the first command that fails, else 0.
    """
    folders = [folder_of(results, seed) for seed in range(seeds)]
    seconds: list[float] = []
    steps = Steps(total=seeds * demo.steps())
    for seed, folder in enumerate(folders):
        is_new = not (folder / "world").exists()
        start = monotonic()
        status = run_demo(replace(demo, seed=seed), folder, command=command, steps=steps)
        if status:
            return status
        if is_new:  # what an earlier run left says nothing about the pace
            seconds.append(monotonic() - start)
        if seconds and seed + 1 < seeds:
            log(pace(seconds, done=seed + 1, seeds=seeds))
    if seeds > 1:
        write_spread(folders, demo, results)
    return 0


def folder_of(results: Path, seed: int) -> Path:
    """Return the results folder of a seed."""
    return results / f"seed_{seed}" if seed else results


def pace(seconds: Sequence[float], *, done: int, seeds: int) -> str:
    """Return a line that says how long the rest takes, by the fastest and slowest seed so far.

    Args:
        seconds: that each seed of this run took.
        done: seeds that are done, with those of earlier runs.
        seeds: of the whole run.
    """
    left = seeds - done
    low = left * min(seconds) / MINUTE
    high = left * max(seconds) / MINUTE
    return f"{done} of {seeds} seeds are done; at this pace {low:.0f} to {high:.0f} min are left"


# ---------------------------------------------------------------- mean and spread


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


def spread_of(rows: Sequence[ImproveRow], measure: Measure) -> Spread:
    """Return a measure of one network over seeds."""
    values = [getattr(row, measure.field) for row in rows]
    return Spread([value for value in values if value is not None])


def write_spread(folders: Sequence[Path], demo: Demo, results: Path) -> None:
    """Write demo.csv and draw demo.png: mean and spread of each measure of each network.

    Args:
        folders: results of each seed.
        demo: what was done with each.
        results: folder of the two files.

    Raises:
        UserError: a seed's improve.json has gone.
    """
    reports = [_report(folder) for folder in folders]
    by_network = _rows_by_network(reports, demo.networks)
    table = [
        _spread_row(name, measure, spread_of(rows, measure))
        for name, rows in by_network.items()
        for measure in MEASURES
    ]
    write_csv(results / "demo.csv", table, SpreadRow)
    panels = [_panel(measure, by_network, concept=str(reports[0].concept)) for measure in MEASURES]
    names = [shown_name(name) for name in by_network]
    draw_improvement(panels, names, results / "demo.png")
    for i, name in enumerate(names):
        measured = (f"{panel.title} {panel.text_of(i)}" for panel in panels)
        log(f"{name}, {len(folders)} seeds: {', '.join(measured)}")


def _report(folder: Path) -> ImproveReport:
    path = folder / "improve.json"
    report = read_typed(path, ImproveReport)
    if report is None:
        raise UserError(f"{path}: has gone, or is damaged")
    return report


def _rows_by_network(
    reports: Sequence[ImproveReport], networks: Sequence[str]
) -> dict[str, list[ImproveRow]]:
    """Return the rows of each network, one per seed."""
    rows: dict[str, list[ImproveRow]] = {name: [] for name in networks}
    for report in reports:
        for row in report.rows:
            if row.network in rows:
                rows[row.network].append(table_row(row))
    return rows


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


def _panel(measure: Measure, by_network: dict[str, list[ImproveRow]], *, concept: str) -> Panel:
    spreads = [spread_of(rows, measure) for rows in by_network.values()]
    return Panel(
        measure.title.format(concept),
        [spread.mean for spread in spreads],
        measure.is_share,
        [spread.sd for spread in spreads],
    )
