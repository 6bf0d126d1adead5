"""What the benchmark prints and draws.

    print(report(result))
    draw(result, Path("benchmark.png"))

Times are medians over the images.
"""

from pathlib import Path
from statistics import mean, median

from matplotlib.figure import Figure

from experiments.benchmark_result import (
    EAGER,
    GRADIENT_PASSES,
    ONE_BY_ONE,
    WHOLE_JOB,
    BenchmarkResult,
    SideRow,
)
from experiments.benchmark_stages import (
    COMPARED,
    batches_line,
    passes_of,
    share_of_ceiling,
    stage_table,
)
from experiments.benchmark_tables import aligned
from experiments.one_by_one import IGOS_ITERATIONS, IGOS_POINTS
from utils import written_beside

COLUMNS = (
    "side",
    "s an image",
    "speed-up",
    "overhead",
    "asked",
    "scored",
    "passes",
    "proven MSEs",
    "diverse",
    "scored per proven MSE",
    "peak GB",
)
COLOURS = ("#999999", "#4477aa", "#228833")  # of the sides
CAPTION = (
    "medians over the images; speed-up over one by one's mask, search and tree: of mask, search, "
    "certificate and graph, and of the whole job, which also reads, measures curves, draws and "
    f"writes all default files; a gradient counts as {GRADIENT_PASSES} passes; overhead: the time "
    "taken over that of the passes at the ceiling"
)


def table(result: BenchmarkResult) -> list[list[str]]:
    """Return the table's rows: one per side, medians over the images, means of MSEs."""
    rows = [list(COLUMNS), *(side_row(name, result) for name in result.sides)]
    if result.whole_job:
        rows.append(whole_job_row(result))
    return rows


def side_row(name: str, result: BenchmarkResult) -> list[str]:
    """Return one side's row of the table."""
    rows = result.sides[name]
    reference = result.sides[ONE_BY_ONE]
    speed_up = median(base.seconds / row.seconds for base, row in zip(reference, rows))
    scored = mean(row.scored for row in rows)
    proven = mean(row.proven for row in rows)
    return [
        name,
        f"{median(row.seconds for row in rows):.2f}",
        f"{speed_up:.1f}",
        overhead(name, result),
        f"{median(row.asked for row in rows):.0f}",
        f"{median(row.scored for row in rows):.0f}",
        f"{median(side_passes(row, name) for row in rows):.0f}",
        f"{proven:.1f}",
        f"{mean(row.diverse for row in rows):.1f}",
        f"{scored / proven:.0f}" if proven else "",
        f"{result.memory.get(name) or 0:.2f}",
    ]


def side_passes(row: SideRow, side: str) -> int:
    """Return the passes of mask, search and graph, in forward passes."""
    if side == ONE_BY_ONE:
        return row.scored + (GRADIENT_PASSES - 1) * IGOS_ITERATIONS * IGOS_POINTS
    return passes_of(row, COMPARED)


def whole_job_row(result: BenchmarkResult) -> list[str]:
    """Return the whole job's row of the table: seconds, speed-up, and blanks."""
    whole = result.whole_job
    assert whole is not None
    seconds = {row.image: whole.seconds_of(row.image) for row in whole.rows}
    reference = [row for row in result.sides[ONE_BY_ONE] if row.image in seconds]
    speed_ups = [row.seconds / seconds[row.image] for row in reference]
    cells = [WHOLE_JOB, f"{median(seconds.values()):.2f}", f"{median(speed_ups):.1f}"]
    return cells + [""] * (len(COLUMNS) - len(cells))


def overhead(side: str, result: BenchmarkResult) -> str:
    """Return the median overhead over the passes at the ceiling; "" for a side without one."""
    if side not in result.ceilings:
        return ""
    shares = [
        share_of_ceiling(row, result, side=side, stages=COMPARED) for row in result.sides[side]
    ]
    return f"{1 / median(shares):.2f}" if all(shares) else ""


def report(result: BenchmarkResult) -> str:
    """Return tables and remarks as text."""
    lines = aligned(table(result))
    lines += [CAPTION, "", *aligned(stage_table(result)), whole_job_line(result), ""]
    for name, by_precision in result.ceilings.items():
        for precision, speeds in by_precision.items():
            listed = ", ".join(f"{size}: {speed:.1f}" for size, speed in speeds.items())
            lines.append(f"ceiling ({name}, {precision}), images/s by batch size: {listed}")
    for name in result.ceilings:
        lines.append(f"batches ({name}): {batches_line(result.sides[name])}")
    lines.append(diverse_line(result))
    shipped = [row for name in result.sides if name != ONE_BY_ONE for row in result.sides[name]]
    disagreed = sum(row.disagreed for row in shipped)
    doubted = sum(row.doubted for row in shipped)
    precisions = ", ".join(sorted({row.precision for row in shipped}))
    lines.append(
        f"precision {result.precision} ({precisions}): {disagreed} sets on another side of the "
        f"threshold in float32, {doubted} decided in float32 at once"
    )
    return "\n".join(lines)


def whole_job_line(result: BenchmarkResult) -> str:
    """Return a line about the whole job, and about the passes of all stages."""
    rows = result.sides[EAGER]
    passes = median(passes_of(row, tuple(row.passes)) for row in rows)
    line = f"passes an image over all stages: {passes:.0f}"
    whole = result.whole_job
    if whole is None:
        return line
    number = len(whole.rows)
    total = sum(row.seconds for row in result.sides[ONE_BY_ONE])
    return (
        f"{line}; whole job: {number} images in {whole.seconds:.1f} s, {whole.images_at_once} at "
        f"once, {whole.seconds / number:.2f} s each, {total / whole.seconds:.1f} times one by "
        "one by the sums"
    )


def diverse_line(result: BenchmarkResult) -> str:
    """Return a line that compares the diverse search with the reference side."""
    reference = result.sides[ONE_BY_ONE]
    reached = [
        (diverse.evaluations_for_as_many, row.scored)
        for diverse, row in zip(result.diverse, reference)
        if diverse.evaluations_for_as_many
    ]
    return (
        "diverse search at one by one's number of evaluations: "
        f"{sum(row.diverse for row in result.diverse)} diverse MSEs against "
        f"{sum(row.diverse for row in reference)}, with "
        f"{sum(row.evaluations for row in result.diverse)} evaluations against "
        f"{sum(row.scored for row in reference)}; for as many it takes "
        f"{sum(diverse for diverse, _ in reached)} against {sum(scored for _, scored in reached)}"
    )


def draw(result: BenchmarkResult, path: Path) -> None:
    """Draw seconds per image, a bar per side and a dot per image, on a logarithmic scale."""
    figure = Figure(figsize=(6.4, 0.6 + 0.6 * len(result.sides)), layout="constrained")
    axes = figure.subplots()
    for place, rows in enumerate(result.sides.values()):
        seconds = [row.seconds for row in rows]
        axes.barh(place, median(seconds), color=COLOURS[place], height=0.6)
        axes.plot(seconds, [place] * len(seconds), "k.", alpha=0.4)
    axes.set_yticks(range(len(result.sides)), list(result.sides))
    axes.set_xscale("log")
    axes.set_xlabel("seconds an image (median; a dot an image)")
    axes.invert_yaxis()
    with written_beside(path) as new:
        figure.savefig(new, dpi=144)
