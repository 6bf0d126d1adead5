"""What the benchmark prints and draws.

    print(report(result))
    draw(result, Path("benchmark.png"))

Times are medians over the images.
"""

from pathlib import Path
from statistics import mean, median

from matplotlib.figure import Figure

from experiments.benchmark_result import ONE_BY_ONE, BenchmarkResult, SideRow

COLUMNS = (
    "side",
    "s an image",
    "speed-up",
    "overhead",
    "asked",
    "scored",
    "proven MSEs",
    "diverse",
    "scored per proven MSE",
    "peak GB",
)
COLOURS = ("#999999", "#4477aa", "#228833")  # of the sides


def table(result: BenchmarkResult) -> list[list[str]]:
    """Return the table's rows: one per side, medians over the images, means of MSEs."""
    return [list(COLUMNS), *(side_row(name, result) for name in result.sides)]


def side_row(name: str, result: BenchmarkResult) -> list[str]:
    """Return one side's row of the table.

    Speed-up is over the reference side; overhead is the time of a scored set, the mask's time left
    out, over that of the bare network at its best batch size.
    """
    rows = result.sides[name]
    reference = result.sides[ONE_BY_ONE]
    speed_up = median(base.seconds / row.seconds for base, row in zip(reference, rows))
    scored = mean(row.scored for row in rows)
    proven = mean(row.proven for row in rows)
    return [
        name,
        f"{median(row.seconds for row in rows):.2f}",
        f"{speed_up:.1f}",
        overhead(rows, result.ceilings.get(name, {})),
        f"{median(row.asked for row in rows):.0f}",
        f"{median(row.scored for row in rows):.0f}",
        f"{proven:.1f}",
        f"{mean(row.diverse for row in rows):.1f}",
        f"{scored / proven:.0f}" if proven else "",
        f"{result.memory.get(name) or 0:.2f}",
    ]


def overhead(rows: list[SideRow], ceiling: dict[str, float]) -> str:
    """Return the median overhead over the bare network; "" for a side without a ceiling."""
    if not ceiling:
        return ""
    fastest = max(ceiling.values())
    return f"{median((row.seconds - row.mask) * fastest / row.scored for row in rows):.2f}"


def report(result: BenchmarkResult) -> str:
    """Return table and remarks as text."""
    lines = aligned(table(result))
    for name, speeds in result.ceilings.items():
        listed = ", ".join(f"{size}: {speed:.1f}" for size, speed in speeds.items())
        lines.append(f"ceiling ({name}), images/s by batch size: {listed}")
    lines.append(diverse_line(result))
    shipped = [row for name in result.sides if name != ONE_BY_ONE for row in result.sides[name]]
    disagreed = sum(row.disagreed for row in shipped)
    doubted = sum(row.doubted for row in shipped)
    lines.append(
        f"precision {result.precision}: {disagreed} sets on another side of the threshold in "
        f"float32, {doubted} decided in float32 at once"
    )
    return "\n".join(lines)


def aligned(rows: list[list[str]]) -> list[str]:
    """Return rows as lines of text, the first column to the left, all others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:])]
        lines.append("  ".join(cells))
    return lines


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
    figure.savefig(path, dpi=144)
