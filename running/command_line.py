"""Options that several scripts have, and the kinds of values they take."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from scoring.networks import BUNDLED
from drawing.graph_figure import FORMATS
from utils import UserError, one_line


def above_zero(high: float, what: str, or_zero: bool = False):
    """An argparse type: a number above 0 (or 0 itself) and at most high; what: the words for it."""

    def convert(text: str) -> float:
        try:
            if 0 < float(text) <= high or or_zero and float(text) == 0:
                return float(text)
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"{text} is not {what}")

    return convert


share = above_zero(1, "a number above 0 and at most 1")
share_or_none = above_zero(1, "a number from 0 to 1", or_zero=True)
seconds = above_zero(1e9, "a number of seconds above 0")


def batch_size(text: str) -> str | int:
    """An argparse type: "auto", or a whole number of 1 or more."""
    return text if text == "auto" else whole(1)(text)


def add_model_options(
    p: argparse.ArgumentParser,
    model: str = BUNDLED,
    weights=None,
    labels=None,
    device: str = "auto",
    batch: str | int = "auto",
    class_names: str = "--labels",
) -> None:
    """Which network, on what. class_names: the option for the file of class names, where --labels is something else."""
    add = p.add_argument
    add(
        "--model",
        default=model,
        metavar="NAME",
        help="birds (bundled), a torchvision classifier, or FILE.py:function",
    )
    add(
        "--weights",
        type=Path,
        default=weights,
        metavar="FILE",
        help="a state_dict, .pth or .safetensors; else the model's own",
    )
    add(
        class_names,
        type=Path,
        default=labels,
        metavar="FILE",
        help="class names, one a line; else by model",
    )
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default=device, help="what to run on")
    add(
        "--batch-size",
        type=batch_size,
        default=batch,
        metavar="N",
        help="pictures per forward pass, or auto",
    )


def add_segmentation_options(
    p: argparse.ArgumentParser, source: str, names: list[str], default: str | None = None
) -> None:
    """What cuts a picture into regions. source, names: what the options are called."""
    add = p.add_argument
    add(
        source,
        default=default,
        metavar="WHAT",
        help="a label map (PNG), a folder of them named as the images, slic, or a torchvision segmentation network",
    )
    add(
        *names,
        type=Path,
        metavar="FILE",
        help="names of the labels 1, 2, .., one a line; or ADE20K's objectInfo150.csv",
    )
    add("--segments", type=whole(2, 1000), default=40, metavar="N", help="slic: superpixels, about")
    add(
        "--segmentation-weights",
        type=Path,
        metavar="FILE",
        help="a state_dict for the segmentation network; else torchvision's own",
    )


def checked_defaults(p: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The parser, its defaults checked as what a user passes: argparse takes them as they are."""
    for action in p._actions:
        if action.default not in (None, False, argparse.SUPPRESS):
            action.default = p._get_value(action, str(action.default))
            p._check_value(action, action.default)
    return p


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage, and exits with 2."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: error: {message}\n")


def whole(low: int, high: float = float("inf")):
    """An argparse type: a whole number from low to high."""

    def convert(text: str) -> int:
        if not (text.lstrip("-").isdecimal() and low <= int(text) <= high):
            span = f"from {low} to {high}" if high < float("inf") else f"of {low} or more"
            raise argparse.ArgumentTypeError(f"{text} is not a whole number {span}")
        return int(text)

    return convert


def exit_status(program: str, run: Callable[[], int]) -> int:
    """What run() returns; 2, with one line on stderr, for what cannot be used; 130 when interrupted."""
    try:
        return run()
    except (UserError, OSError, argparse.ArgumentError) as error:
        print(f"{program}: error: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130


def inches(text: str) -> float:
    """An argparse type: a width that figures can have."""
    try:
        if 1.5 <= float(text) <= 40:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text} is not a number of inches from 1.5 to 40")


def formats(text: str) -> list[str]:
    """An argparse type: some of png, svg, pdf."""
    names = text.lower().split(",")
    for name in names:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(f"{name!r} in {text} is none of {', '.join(FORMATS)}")
    return names
