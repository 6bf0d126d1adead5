"""Every picture, drawn from the record and the image; the network is not asked.

    python draw_sag.py Results                                  # draw all of a run's results again
    python draw_sag.py Results/copper_jay --style paper         # white, for a column of a paper: SAG_final_3roots_paper.pdf, ..
    python draw_sag.py Results/copper_jay --hidden outline --max-nodes 20 --formats pdf
    python draw_sag.py ask Results/copper_jay --without 11,30   # would it still say so? from the record's scores
    python draw_sag.py ask Results/copper_jay --only 10,30 --score

The pictures are what the model was shown: baseline and image mixed by the tents of the visible patches. The graph
is drawn in draw_graph.py, the page sag.html in sag_page.py; questions are answered in ask_sag.py.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


from running import ask as ask_sag
from drawing import page as sag_page
from drawing.figures import Look, draw_all
from drawing.graph_figure import FORMATS
from drawing.pictures import HIDDEN
from drawing.graph_layout import DARK, paper, with_limits
from running.command_line import formats, inches, OneLineParser, exit_status, whole
from utils import UserError
from running.record_files import load_result


# ---------------------------------------------------------------- heat maps, grid


# ---------------------------------------------------------------- original, heat maps and roots side by side


# ---------------------------------------------------------------- roots


# ---------------------------------------------------------------- insertion and deletion


# ---------------------------------------------------------------- the command line


def parser() -> argparse.ArgumentParser:
    """Options of drawing again."""
    p = OneLineParser(
        prog="draw_sag.py",
        description="Draw results again with other options; `draw_sag.py ask -h` for questions.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    p.add_argument(
        "results",
        type=Path,
        nargs="+",
        metavar="RESULT",
        help="a result folder, or a folder of them",
    )
    p.add_argument(
        "--style", choices=("dark", "paper"), default="dark", help="dark, or white for print"
    )
    p.add_argument(
        "--width", type=inches, default=3.3, metavar="INCHES", help="of figures in the paper style"
    )
    p.add_argument(
        "--hidden",
        choices=HIDDEN,
        default=Look.hidden,
        help="how the part that the network did not see shows in the graph",
    )
    p.add_argument(
        "--max-nodes",
        type=whole(1),
        metavar="N",
        help="sets in the graph; else 40, or as many as fit the width",
    )
    p.add_argument(
        "--formats",
        type=formats,
        default=",".join(FORMATS),
        metavar="LIST",
        help="of figures, with commas between them",
    )
    p.add_argument(
        "--images",
        type=Path,
        metavar="PATH",
        help="the run's images, where a folder has lost its perturbation_original.png",
    )
    return p


def results_below(path: Path) -> list[Path]:
    """Folders at or below path that hold a record. Raises UserError where there is none."""
    if not path.is_dir():
        raise UserError(f"{path}: no such folder")
    folders = sorted(file.parent for file in path.rglob("sag.json"))
    if not folders:
        raise UserError(f"{path}: no sag.json in it")
    return folders


def redraw(argv: Sequence[str]) -> None:
    """`draw_sag.py RESULT..`: draw every result named, and the gallery of a whole results folder."""
    args = parser().parse_args(argv)
    style = paper(args.width) if args.style == "paper" else DARK
    look = Look(with_limits(style, args.max_nodes), args.hidden, args.formats, args.formats)
    for path in args.results:
        for folder in results_below(path):
            draw_all(*load_result(folder, args.images), folder, look)
            print(folder)
        if (path / "summary.csv").is_file():
            sag_page.write_gallery(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done; 2 something that cannot be used, named in one line."""
    argv = sys.argv[1:] if argv is None else list(argv)

    def run() -> int:
        if argv[:1] == ["ask"]:
            print(ask_sag.ask(argv[1:]))
        else:
            redraw(argv)
        return 0

    return exit_status("draw_sag.py", run)


if __name__ == "__main__":
    sys.exit(main())
