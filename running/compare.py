"""Two result folders of the same image, compared: the figure, the page, and lines of text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drawing.compare import compare, report
from drawing.compare_figure import NAME, Side, draw_compared
from drawing.compare_page import write_compared
from drawing.masked_images import MaskedImages
from drawing.styles import DARK, Hidden, Style
from running.record_files import RECORD, Result, load_result
from utils import UserError


@dataclass(frozen=True)
class CompareOptions:
    """How two results are compared.

    Attributes:
        out: folder to write into; None: beside the first result, named after both.
        images: the runs' images, if they have moved.
        style: of the figure.
        hidden: how the graphs show what was hidden from the network.
        formats: of the figure.
    """

    out: Path | None = None
    images: Path | None = None
    style: Style = DARK
    hidden: Hidden = "dim"
    formats: Sequence[str] = ("png",)


def compare_results(a: Path, b: Path, options: CompareOptions) -> list[str]:
    """Write compare.* of two result folders; return what was found, in lines.

    Raises:
        UserError: a record cannot be read, or they are not of the same image and patches.
        OSError: the folder cannot be written.
    """
    results = [load_result(folder, options.images) for folder in (a, b)]
    comparison = compare(results[0].sag, results[1].sag)
    out = options.out or a.parent / folder_name(a, b)
    if (out / RECORD).exists():
        raise UserError(f"{out}: an image's result folder; say where to write with --out")
    paper = options.style.is_paper
    sides = [side_of(name, result, paper) for name, result in zip("AB", results)]
    out.mkdir(parents=True, exist_ok=True)
    draw_compared(
        sides[0],
        sides[1],
        comparison,
        folder=out,
        style=options.style,
        hidden=options.hidden,
        formats=options.formats,
    )
    lines = [f"A: {a}", f"B: {b}", *report(comparison, results[0].sag.region_names), f"{out}"]
    if not paper:
        write_compared(sides[0], sides[1], comparison, out)
    return lines


def side_of(name: str, result: Result, paper: bool) -> Side:
    """Return a result as one side of a comparison."""
    return Side(name, result.sag, MaskedImages.of(result.sag, result.image, paper=paper))


def folder_name(a: Path, b: Path) -> str:
    """Return a name for the folder of a comparison: compare_jay_finch, or compare_jay_run1_run2.

    Args:
        a: the first result folder.
        b: the second.
    """
    first = a.resolve()
    second = b.resolve()
    if first.name != second.name:
        return f"{NAME}_{first.name}_{second.name}"
    return f"{NAME}_{first.name}_{first.parent.name}_{second.parent.name}"
