"""Draw the figures of results again, from their records; or ask what a record's scores say.

    python draw_sag.py Results                                  # draw all of a run's results again
    python draw_sag.py Results/copper_jay --style paper         # white, for a column of a paper
    python draw_sag.py Results/copper_jay --hidden outline --max-nodes 20 --formats pdf
    python draw_sag.py ask Results/copper_jay --without 11,30   # is the rest still sufficient?
    python draw_sag.py ask Results/copper_jay --only 10,30 --score
    python draw_sag.py serve Results                            # in the browser, with the network
    python draw_sag.py compare Results/a/jay Results/b/jay      # two records of one image

The network is not run, except by `ask --score` and `serve` for sets that were not scored. Figures
are drawn in drawing/, questions are answered in running/ask.py, pages served by running/serve.py.
"""

import csv
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from drawing.styles import DARK, FORMATS, Hidden, Style, paper, with_limits
from running.command_line import (
    Between,
    Count,
    Device,
    FigureFormat,
    Inches,
    Positional,
    Several,
    exit_status,
    parse,
)
from running.start import start
from utils import UserError

PROG = "draw_sag.py"


@dataclass(frozen=True)
class Draw:
    """Draw results again."""

    # What to draw
    results: Annotated[tuple[Path, ...], Positional("RESULT"), Several("RESULT")]  # result folders,
    #  or folders of them
    images: Path | None = None  # the run's images, if a folder has lost perturbation_original.png
    # How it looks
    style: Literal["auto", "dark", "paper"] = (
        "auto"  # dark, or white for print; auto: white for PDF
    )
    width: Inches = 3.3  # of figures in the paper style, in inches
    hidden: Hidden = "dim"  # how the graph shows what was hidden from the network
    max_nodes: Count | None = None  # sets in the graph; else 40, or as many as fit the width
    formats: tuple[FigureFormat, ...] = FORMATS  # of figures


@dataclass(frozen=True)
class Ask:
    """Ask for the confidence of a set of patches."""

    result: Annotated[Path, Positional("RESULT")]  # a result folder: Results/copper_jay
    # Which patches, as numbers or names of regions with commas between them
    only: str | None = None  # show these patches and hide the others
    without: str | None = None  # hide these patches and show the others
    # Where the set was not scored
    score: bool = False  # load the network that the record was made with, and run it
    model: str | None = None  # with --score: the network once more, where it is FILE.py:function
    images: Path | None = None  # with --score: the run's images, if they have moved
    device: Device = "auto"  # with --score: what to run on


@dataclass(frozen=True)
class Serve:
    """Show results in the browser, with the network behind them, on this machine only."""

    results: Annotated[Path, Positional("RESULTS")]  # a results folder, or one image's
    port: Annotated[int, Between(0, 65535)] = 0  # 0: a free one
    model: str | None = None  # the network once more, where it is FILE.py:function
    images: Path | None = None  # the run's images, if they have moved
    device: Device = "auto"  # what the network runs on
    browser: bool = True  # open the page where there is a display


@dataclass(frozen=True)
class Compare:
    """Draw two records of the same image side by side: which explanations both have."""

    a: Annotated[Path, Positional("A")]  # a result folder: Results/copper_jay
    b: Annotated[Path, Positional("B")]  # another of the same image
    out: Path | None = None  # folder to write compare.* into; else beside A, named after both
    images: Path | None = None  # the runs' images, if they have moved
    # How it looks
    style: Literal["dark", "paper"] = "dark"  # dark, or white for print
    width: Inches = 6.9  # of the figure in the paper style, in inches
    hidden: Hidden = "dim"  # how the graphs show what was hidden from the network
    formats: tuple[FigureFormat, ...] = FORMATS  # of the figure


def draw(settings: Draw) -> int:
    """Draw every result named, and the gallery of a whole results folder.

    A result that cannot be drawn is named; the others are drawn.

    Returns:
        The exit status: 1 where some of several failed.

    Raises:
        UserError: the only result cannot be drawn.
    """
    # Imported here, because matplotlib and PyTorch take seconds that `ask` does not need.
    from drawing.figures import Look, draw_all
    from drawing.page import write_gallery
    from running.failures import report_failures, why
    from running.record_files import load_result

    looks = [
        Look(style=with_limits(style, settings.max_nodes), hidden=settings.hidden, formats=formats)
        for style, formats in styles_of(settings)
    ]
    by_path = {path: results_below(path) for path in settings.results}
    is_one = sum(map(len, by_path.values())) == 1
    failures = []
    for path, folders in by_path.items():
        for folder in folders:
            try:
                result = load_result(folder, settings.images)
                for look in looks:
                    draw_all(result.sag, result.image, folder=folder, look=look)
                print(folder)
            except Exception as error:  # whatever a damaged record leads to
                if is_one:
                    raise UserError(why(error)) from error
                failures.append((str(folder), why(error)))
        if (path / "summary.csv").is_file():
            try:
                write_gallery(path)
            except (ValueError, KeyError, TypeError, csv.Error) as error:
                failures.append((f"{path / 'summary.csv'}", f"damaged: {why(error)}"))
    return report_failures(failures)


def styles_of(settings: Draw) -> list[tuple[Style, tuple[FigureFormat, ...]]]:
    """Return the styles to draw in, and the formats of each."""
    if settings.style == "dark":
        return [(DARK, settings.formats)]
    if settings.style == "paper":
        return [(paper(settings.width), settings.formats)]
    on_screen = tuple(kind for kind in settings.formats if kind != "pdf")
    styles: list[tuple[Style, tuple[FigureFormat, ...]]] = []
    if on_screen:
        styles.append((DARK, on_screen))
    if "pdf" in settings.formats:
        styles.append((paper(settings.width), ("pdf",)))
    return styles


def results_below(path: Path) -> list[Path]:
    """Return the folders at or below a path that contain a record.

    Raises:
        UserError: there is none.
    """
    if not path.is_dir():
        raise UserError(f"{path}: no such folder")
    # A folder of this name, or a link that leads nowhere, counts: it is named when it is drawn.
    places = os.walk(path)
    folders = sorted(Path(at) for at, inside, names in places if "sag.json" in (*inside, *names))
    if not folders:
        raise UserError(f"{path}: no sag.json in it")
    return folders


def ask(settings: Ask) -> None:
    """Print the answer to a question about one result."""
    # Before NumPy is imported: threads that wait for each other make a small fit take seconds.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from running.ask import answer

    print(
        answer(
            settings.result,
            only=settings.only,
            without=settings.without,
            score=settings.score,
            images=settings.images,
            device=settings.device,
            model=settings.model,
        )
    )


def compare(settings: Compare) -> None:
    """Write the figure and the page of two records, and print what they have in common."""
    from running.compare import CompareOptions, compare_results

    options = CompareOptions(
        out=settings.out,
        images=settings.images,
        style=paper(settings.width) if settings.style == "paper" else DARK,
        hidden=settings.hidden,
        formats=settings.formats,
    )
    for line in compare_results(settings.a, settings.b, options):
        print(line)


def serve(settings: Serve) -> None:
    """Serve results until the user interrupts."""
    from running.serve import ServeOptions, serve

    options = ServeOptions(
        port=settings.port,
        model=settings.model,
        images=settings.images,
        device=settings.device,
        open_browser=settings.browser,
    )
    serve(settings.results, options)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done; 1 some of several results failed; 2 unusable input, in one line.

    130 where the user interrupted, which is how `serve` ends.
    """
    if argv is None:  # of this process
        start()
        argv = sys.argv[1:]
    argv = list(argv)

    def run() -> int:
        """Run the command that the first word names."""
        if argv[:1] == ["ask"]:
            ask(parse(Ask, argv[1:], prog=f"{PROG} ask", doc=Ask.__doc__))
        elif argv[:1] == ["compare"]:
            compare(parse(Compare, argv[1:], prog=f"{PROG} compare", doc=Compare.__doc__))
        elif argv[:1] == ["serve"]:
            serve(parse(Serve, argv[1:], prog=f"{PROG} serve", doc=Serve.__doc__))
        else:
            return draw(parse(Draw, argv, prog=PROG, doc=__doc__))
        return 0

    return exit_status(PROG, run)


if __name__ == "__main__":
    sys.exit(main())
