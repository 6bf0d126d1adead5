"""Options that cannot be: each is refused in one line that names the value, and nothing is done."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .case import Case, nothing

LONG = "9" * 5000
VALUES_OF_AN_OPTION = 3
WORDS = "pelican"
# Values that no option of a kind can have.
BAD = {
    "count": ("0", "-1", "1.5", "zz", "", "nan"),
    "count or 0": ("-1", "1.5", "zz", "", "0x10"),
    "auto count": ("0", "-1", "zz", "", "Auto"),
    "share": ("-0.1", "1.5", "nan", "inf", "zz", ""),
    "positive": ("-1", "nan", "zz", "", "1,5"),
    "seed": ("zz", "1.5", "", LONG),
    "choice": ("zz", "", "None"),
    "class": (WORDS, "3", "-1", "", LONG, "1.0"),
    "file": ("nowhere.txt", "empty", "", "net.py/below", "n" * 300, "no\nsuch \x1b[31m\u2029"),
    "folder": ("nowhere", "", "net.py/below", "n" * 300, "no\nsuch \x1b[31m\u2029"),
    "list": ("zz", "", ",", "zz,zz"),
    "regions": ("nowhere", "", "empty", "deeplab", "thesis.txt", "n" * 300),
    "model": ("nowhere", "", "net.py", "net.py:", ":build", "net.py:nobody", "nowhere.py:build"),
    "grid": ("0", "-1", "29", "2.5", "zz", "", "1e1", LONG),
    "segments": ("0", "1", "1001", "zz", ""),
    "name": ("", ".", "..", "../out", "/tmp/x", "a/b", "n" * 300),
    "swapped": ("nowhere", "empty", "thesis.txt"),
    "address": ("nowhere:zz", "", "nowhere"),
}
NETWORK = {
    "model": "model",
    "weights": "file",
    "labels": "file",
    "resize": "choice",
    "output": "choice",
    "device": "choice",
}
REGIONS = {
    "regions": "regions",
    "region-names": "file",
    "segments": "segments",
    "baseline": "choice",
}
OPTIONS = {
    "main": {
        **NETWORK,
        **REGIONS,
        "images": "folder",
        "run": "name",
        "explain": "choice",
        "category": "class",
        "against": "class",
        "num-categories": "count",
        "pictures": "choice",
        "batch-size": "auto count",
        "precision": "choice",
        "backend": "choice",
        "threads": "count",
        "images-at-once": "auto count",
        "seed": "seed",
        "saliency": "choice",
        "search": "choice",
        "beam-width": "count",
        "num-successors": "count",
        "max-num-roots": "count",
        "max-root-size": "count",
        "comb-top": "count",
        "comb-size": "count",
        "exhaustive-size": "count",
        "proof-sets": "count or 0",
        "time-limit": "positive",
        "measure": "choice",
        "prob-thresh": "share",
        "node-prob-thresh": "share",
        "overlap-thresh": "count or 0",
        "num-roots-sag": "count",
        "grid": "grid",
    },
    "draw": {
        "style": "choice",
        "width": "positive",
        "hidden": "choice",
        "max-nodes": "count",
        "formats": "list",
    },
    "score": {"model": "model", "device": "choice", "images": "folder"},
    "benchmark": {
        **NETWORK,
        "images": "folder",
        "most-images": "count",
        "precision": "choice",
        "backend": "choice",
        "search": "choice",
    },
    "paper": {
        **NETWORK,
        "images": "folder",
        "labels-csv": "file",
        "scenes": "count",
        "most-images": "count",
        "conditions": "list",
        "sample": "count or 0",
        "combs": "count or 0",
        "exhaustive": "count or 0",
        "grid": "grid",
        "seed": "seed",
    },
    "deviation": {
        **NETWORK,
        **REGIONS,
        "images": "folder",
        "manifest": "file",
        "ade20k": "folder",
        "places365": "folder",
        "category": "class",
        "batch-size": "auto count",
        "seed": "seed",
        "relevant": "share",
        "style": "choice",
        "width": "positive",
        "formats": "list",
    },
    "deliberative": {
        **NETWORK,
        "images": "folder",
        "difficulty": "file",
        "attribution": "choice",
        "top": "count",
        "share": "share",
        "rank": "choice",
        "baseline": "choice",
        "moved": "count or 0",
        "seed": "seed",
        "batch-size": "auto count",
        "style": "choice",
        "formats": "list",
        "evaluate": "choice",
    },
    "explain": {
        **NETWORK,
        **REGIONS,
        "images": "folder",
        "relevant": "share",
        "batch-size": "auto count",
    },
    "compare": {"human": "folder", "hard": "share"},
    "select": {
        **NETWORK,
        "images": "folder",
        "strategies": "list",
        "per-class": "count",
        "seed": "seed",
        "batch-size": "auto count",
    },
    "improve": {
        **NETWORK,
        **REGIONS,
        "images": "folder",
        "selection": "file",
        "test": "folder",
        "swapped": "swapped",
        "category": "class",
        "scenes": "count",
        "steps": "count",
        "train-batch": "count",
        "lr": "positive",
        "weight-decay": "positive",
        "erase": "share",
        "hide": "share",
        "mixup": "positive",
        "cutmix": "positive",
        "seed": "seed",
        "batch-size": "auto count",
    },
    "demo": {"size": "count"},
}
# What the options of a run would be refused for before the value is looked at.
WITH = {
    ("paper", "scenes"): None,
    ("improve", "category"): ("--regions", "pool_masks", "--region-names", "names.txt"),
    ("improve", "baseline"): (),
}


def cases() -> Iterator[Case]:
    """Yield the rows."""
    tried: Counter[str] = Counter()
    for run, options in OPTIONS.items():
        for option, kind in options.items():
            # Options of a kind share their reader: each is tried with a few of the values.
            for _ in range(min(VALUES_OF_AN_OPTION, len(BAD[kind]))):
                yield bad_value(run, option, BAD[kind][tried[kind] % len(BAD[kind])])
                tried[kind] += 1
    yield from unusable_together()
    yield from questions()
    yield from unknown_arguments()
    yield from folders()


def bad_value(run: str, option: str, value: str) -> Case:
    """Return the row of an option's value that cannot be."""
    first_line = value.split("\n")[0]
    says = first_line.split(",")[0][:20] if value else option
    status: tuple[int, ...] = (2,)
    if option in ("manifest", "ade20k", "places365"):  # beside the images of the run
        says = ""
    if option == "regions":  # the first image may name it; none is the grid
        status = (1, 2) if value else (0, 1, 2)
        says = ""
    given = WITH.get((run, option)) or ()
    return Case(
        f"{run}: --{option} {shown(value)}",
        run,
        (*given, f"--{option}={value}"),
        says=says,
        status=status,
    )


def shown(value: str) -> str:
    """Return a value as the name of a row shows it."""
    return ascii(value[:12]) + ("" if len(value) < 13 else f"... of {len(value)}")


TOGETHER = {
    "main": {
        "a category and two of them": ("--category red --num-categories 2", "category"),
        "four categories of three": ("--num-categories 4", "4"),
        "against the class itself": ("--category red --against red", "against"),
        "dropped tokens of a network without": ("--baseline drop", "drop"),
        "names without regions": ("--region-names names.txt", "region-names"),
        "a larger set than patches": ("--search combinatorial --comb-size 5 --comb-top 4", "5"),
        "more than chosen among": ("--search combinatorial --comb-size 3 --comb-top 2", "3"),
        "too many sets": ("--grid 28 --search exhaustive --exhaustive-size 9", "sets|9"),
        "mps that is not there": ("--device mps", "mps"),
        "cuda that is not there": ("--device cuda", "cuda"),
        "grid and regions": ("--grid 3 --regions masks --region-names net.pth", "net.pth"),
        "weights of segmentation without": ("--segmentation-weights net.pth", "segmentation"),
        "run as a path": ("--run a/../b", "a/../b"),
    },
    "draw": {
        "nothing at all": (None, "RESULT"),
        "a width of a poster": ("--style paper --width 1e9", "1e9|1000000000"),
        "a width of a hair": ("--style paper --width 1e-9", "1e-9|1e-09"),
    },
    "ask": {"both questions": ("--without 1", "without"), "neither": (None, "only")},
    "benchmark": {
        "two kinds of test": ("--self-test --simulate", "simulate|self-test"),
        "cuda that is not there": ("--device cuda", "cuda"),
    },
    "paper": {
        "a billion scenes": ("--scenes 1000000000000", "1000000000000|scenes"),
        "cuda that is not there": ("--device cuda", "cuda"),
    },
    "deviation": {
        "manifest and images": ("--manifest images.csv", "manifest"),
        "manifest and ade20k": ("--manifest images.csv --ade20k in", "ade20k|manifest"),
        "names without regions": (None, "regions|names"),
        "cuda that is not there": ("--device cuda", "cuda"),
    },
    "deliberative": {
        "train into a folder": ("--train-hardness empty", "empty"),
        "train over another file": ("--images pool --train-hardness thesis.txt", "thesis.txt"),
        "train below a file": ("--images pool --train-hardness net.py/x", "net.py"),
        "train without classes": ("--train-hardness out/h.safetensors", "in"),
        "train and evaluate": ("--train-hardness out/h --evaluate cub", "evaluate|train"),
        "evaluate on other folders": ("--evaluate cub", "in"),
        "evaluate ade20k on others": ("--evaluate ade20k", "in"),
        "a predictor of another network": ("--difficulty net.safetensors", "net.safetensors"),
        "a predictor that is text": ("--difficulty thesis.txt", "thesis.txt"),
        "cuda that is not there": ("--device cuda", "cuda"),
    },
    "explain": {
        "superpixels": ("--regions slic", "slic"),
        "cuda that is not there": ("--device cuda", "cuda"),
    },
    "compare": {
        "another folder": ("--results empty", "empty"),
        "a file": ("--results thesis.txt", "thesis.txt"),
        "an empty folder": ("--human empty", "empty"),
    },
    "select": {
        "images without classes": ("--images in", "in"),
        "classes of another network": ("--images masks", "masks"),
    },
    "improve": {
        "a test without classes": ("--test in", "in"),
        "a concept without its class": ("--concept left --regions pool_masks", "concept|category"),
        "a concept that is none": (
            "--concept zz --category red --regions pool_masks --region-names names.txt",
            "zz",
        ),
        "a concept without regions": ("--concept left --category red", "regions|concept"),
    },
}
BARE = {
    ("draw", "nothing at all"): (),
    ("ask", "neither"): ("ask", "done/a"),
    ("deviation", "names without regions"): ("--images", "in", "--region-names", "names.txt"),
}


def unusable_together() -> Iterator[Case]:
    """Yield the rows of options that cannot be together, or not with this network."""
    for run, rows in TOGETHER.items():
        for what, (text, says) in rows.items():
            bare = BARE.get((run, what))
            yield Case(
                f"{run}: {what}", run, tuple((text or "").split()), says=says, arguments=bare
            )


REFUSED_QUESTIONS = [
    "4",
    "-1",
    "zz",
    "zz,0",
    "1.0",
    "P",
    "P4",
    "0 1",
    "0;1",
    LONG,
    "\u0663",
    "\u00b2",
] + ["4,0,1,2,3", "p0p", "0-1", "nan", "None", "0\n1", "\x1b[31m", "%s", "{0}", "*"]


def questions() -> Iterator[Case]:
    """Yield questions about sets of patches that are none."""
    for option in ("only", "without"):
        for value in REFUSED_QUESTIONS:
            says = value.split("\n")[0].split(",")[0][:5].strip("\x1b")
            arguments = ("done/a", f"--{option}={value}")
            name = f"ask: --{option} {shown(value)}"
            yield Case(name, "ask", says=says, arguments=("ask", *arguments))
    for result in ("nowhere", "thesis.txt", "in", "empty", "", "done", "done/a/sag.json"):
        yield Case(
            f"ask: of {result!r}", "ask", arguments=("ask", result, "--only", "0"), says=result
        )
        if result not in ("done", "done/a/sag.json"):
            yield Case(f"draw: of {result!r}", "draw", arguments=(result,), says=result)


def unknown_arguments() -> Iterator[Case]:
    """Yield options and arguments that no command has."""
    for run in OPTIONS:
        yield Case(f"{run}: --gird 3", run, ("--gird", "3"), says="gird")
        yield Case(f"{run}: -x", run, ("-x",), says="-x")
        if run not in ("draw", "deviation", "deliberative", "improve"):
            yield Case(f"{run}: one argument more", run, ("surplus",), says="surplus")
        last = list(OPTIONS[run])[-1]
        yield Case(f"{run}: --{last} without a value", run, (f"--{last}",), says=last)
        yield Case(f"{run}: bytes that are no text", run, ("--\udcff",), says="xff|\\udcff|udcff")
    for word in ("", "Explain", "explai", "train"):
        yield Case(f"concept: step {word!r}", "compare", arguments=(word,), says=word)


def long_path(world: Path) -> None:
    """Make folders so deep that a path to them is too long for the system."""
    here = os.getcwd()
    os.chdir(world / "empty")
    for _ in range(30):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    os.chdir(here)


FOLDERS = {
    "only text": lambda w: (w / "empty/a.txt").write_text("a"),
    "nothing": nothing,
    "an empty folder": lambda w: (w / "empty/below").mkdir(),
    "a link to itself": lambda w: (w / "empty/a").symlink_to("."),
    "a dangling link": lambda w: (w / "empty/a.png").symlink_to("nowhere.png"),
    "links in a circle": lambda w: [
        (w / "empty/a.png").symlink_to("b.png"),
        (w / "empty/b.png").symlink_to("a.png"),
    ],
    "a folder called a.png": lambda w: (w / "empty/a.png").mkdir(),
    "folders too deep": long_path,
}
IMAGES_OF = {
    "main": "images",
    "benchmark": "images",
    "paper": "images",
    "deviation": "images",
    "deliberative": "images",
    "explain": "images",
    "select": "images",
    "improve": "test",
}


def folders() -> Iterator[Case]:
    """Yield folders of images without a usable image."""
    for run, option in IMAGES_OF.items():
        for what, change in FOLDERS.items():
            yield Case(
                f"{run}: a folder with {what}",
                run,
                (f"--{option}", "empty"),
                change=change,
                status=(1, 2),
                says="empty|a.png|b.png",
            )
