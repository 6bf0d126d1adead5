"""Where the time goes: seconds, passes and batches of each stage, as medians over the images.

    aligned(stage_table(result))
    batches_line(result.sides[EAGER])
    share_of_ceiling(row, result, side=EAGER, stages=("mask", "search", "tree"))

A gradient is a forward and a backward pass: it counts as three forward passes.
"""

from collections.abc import Sequence
from statistics import median

from experiments.benchmark_result import (
    EAGER,
    GRADIENT,
    GRADIENT_PASSES,
    STAGES,
    STEPS,
    BatchRow,
    BenchmarkResult,
    SideRow,
)

COMPARED = ("mask", "search", "tree")  # what one by one does as well
STAGE_COLUMNS = ("stage", "s alone", "s in the whole job", "passes", "at the ceiling")
NAMES = {"tree": "certificate and graph", "draw": "drawing"}  # of stages, in the table


def passes_of(row: SideRow, stages: Sequence[str]) -> int:
    """Return a row's passes in some stages, in forward passes."""
    return sum(
        number * (GRADIENT_PASSES if precision == GRADIENT else 1)
        for stage in stages
        for precision, number in row.passes.get(stage, {}).items()
    )


def ceiling_seconds(
    row: SideRow, result: BenchmarkResult, *, side: str, stages: Sequence[str]
) -> float:
    """Return what a row's passes in some stages would take at the bare network's best rates.

    Gradients run in the precision of the search.
    """
    seconds = 0.0
    for stage in stages:
        for precision, number in row.passes.get(stage, {}).items():
            if precision == GRADIENT:
                rate = result.best_rate(side, row.precision)
                seconds += GRADIENT_PASSES * number / rate
            else:
                seconds += number / result.best_rate(side, precision)
    return seconds


def share_of_ceiling(
    row: SideRow, result: BenchmarkResult, *, side: str, stages: Sequence[str]
) -> float:
    """Return the time of a row's passes at the ceiling over the time that was taken."""
    taken = sum(row.stages.get(stage, 0.0) for stage in stages)
    if not taken:
        return 1.0
    return ceiling_seconds(row, result, side=side, stages=stages) / taken


def stage_table(result: BenchmarkResult, side: str = EAGER) -> list[list[str]]:
    """Return a table with a row for each stage and one for all, and a column for each precision."""
    rows = result.sides[side]
    precisions = sorted({kind for row in rows for by in row.passes.values() for kind in by})
    head = [*STAGE_COLUMNS[:4], *precisions, STAGE_COLUMNS[4]]
    body = [_stage_row(result, side, [stage], precisions, NAMES.get(stage)) for stage in STAGES]
    return [head, *body, _stage_row(result, side, STAGES, precisions, "all")]


def _stage_row(
    result: BenchmarkResult,
    side: str,
    stages: Sequence[str],
    precisions: Sequence[str],
    name: str | None,
) -> list[str]:
    """Return one row of the table; cells that mean nothing for a stage are empty."""
    rows = result.sides[side]
    whole = result.whole_job.rows if result.whole_job else []
    steps = [stage for stage in stages if stage in STEPS]
    cells = [name or stages[0]]
    cells.append(_median([sum(row.stages.get(s, 0.0) for s in steps) for row in rows], steps))
    in_whole = [sum(row.stages.get(stage, 0.0) for stage in stages) for row in whole]
    cells.append(_median(in_whole, whole))
    cells.append(_median([passes_of(row, steps) for row in rows], steps, "{:.0f}"))
    for precision in precisions:
        numbers = [sum(row.passes.get(s, {}).get(precision, 0) for s in steps) for row in rows]
        cells.append(_median(numbers, steps, "{:.0f}"))
    shares = [share_of_ceiling(row, result, side=side, stages=steps) for row in rows]
    cells.append(_median(shares, steps, "{:.0%}"))
    return cells


def _median(values: Sequence[float], needed: Sequence[object], form: str = "{:.2f}") -> str:
    """Return the median as text; "" where what it needs is missing."""
    return form.format(median(values)) if needed and values else ""


def batches_line(rows: Sequence[SideRow]) -> str:
    """Return how full the batches were, and how often each waited for the device, by kind."""
    parts = []
    for kind in dict.fromkeys(kind for row in rows for kind in row.batches):
        total = sum_of([row.batches.get(kind, BatchRow()) for row in rows])
        if total.batches:
            parts.append(
                f"{kind} {total.batches} batches of {total.masks / total.batches:.1f} masks, "
                f"filled to {total.masks / total.rows:.0%}, "
                f"{total.synchronisations / total.batches:.1f} synchronisations each"
            )
    return "; ".join(parts)


def sum_of(rows: Sequence[BatchRow]) -> BatchRow:
    """Return the sum of some counts."""
    return BatchRow(
        batches=sum(row.batches for row in rows),
        masks=sum(row.masks for row in rows),
        rows=sum(row.rows for row in rows),
        synchronisations=sum(row.synchronisations for row in rows),
    )
