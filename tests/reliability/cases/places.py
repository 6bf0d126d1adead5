"""Where results go, and what lies there already."""

import os
from collections.abc import Iterator
from pathlib import Path

from .case import RUNS, Case
from .files import replaced_by

MAKES = ("main", "paper", "deviation", "deliberative", "explain", "select", "improve")
IMPOSSIBLE = {
    "a file": (lambda w: (w / "out").write_text("mine"), "out"),
    "a pipe": (lambda w: os.mkfifo(w / "out"), "out"),
    "a device": (lambda w: (w / "out").symlink_to("/dev/null"), "out"),
    "a link to itself": (lambda w: (w / "out").symlink_to("out"), "out"),
    "below a file": (lambda w: None, "thesis.txt/out"),
    "below a device": (lambda w: None, "/dev/null/out"),
    "in /proc": (lambda w: None, "/proc/out"),
    "no name": (lambda w: None, ""),
    "a name too long": (lambda w: None, "n" * 300),
}
# What lies in the results folder where a file or folder is to be written.
IN_THE_WAY = {
    "main": ("out/a", "out/a/sag.json/", "out/summary.csv/", "out/index.html/", "out/a/dnf.txt/"),
    "paper": ("out/measurements", "out/tables", "out/figures", "out/tables.md/", "out/sheets"),
    "deviation": ("out/a", "out/a/deviation.json/", "out/labels.csv/", "out/classes")
    + ("out/statistics.json/", "out/deviations.npz/", "out/summary.csv/"),
    "deliberative": ("out/a", "out/a/insecurities.json/", "out/summary.csv/")
    + ("out/a/insecurities.png/",),
    "explain": ("out/graphs", "out/numbered", "out/concepts.csv/", "out/explain.json/")
    + ("out/concepts.png/", "out/deviations"),
    "select": ("out/selection_random.csv/", "out/pool.npz/", "out/selection_active.png/"),
    "improve": ("out/improved", "out/improve.json/", "out/improve.csv/", "out/improve.png/"),
    "compare": ("debug/compare.json/", "debug/compare.csv/", "debug/compare.png/"),
    "draw": ("done/a/comparison.svg/", "done/a/SAG_dag_1roots.svg/", "done/a/curves.svg/"),
}
# A link in the results that leads out of them, to a folder or a file of the user's.
LINKS = {
    "main": ("out/a", "out/summary.csv", "out/index.html", "out/finished.jsonl"),
    "paper": ("out/measurements", "out/tables.md", "out/tables"),
    "deviation": ("out/a", "out/labels.csv", "out/classes", "out/summary.csv"),
    "deliberative": ("out/a", "out/summary.csv"),
    "explain": ("out/graphs", "out/concepts.csv", "out/explain.json"),
    "select": ("out/selection_random.csv", "out/pool.npz"),
    "improve": ("out/improved", "out/improve.csv", "out/improve.json"),
    "compare": ("debug/compare.csv",),
    "draw": ("done/a/comparison.svg",),
}


def cases() -> Iterator[Case]:
    """Yield the rows."""
    for run in MAKES:
        for what, (change, path) in IMPOSSIBLE.items():
            yield Case(
                f"{run}: results are {what}",
                run,
                ("--results", path),
                change=lambda w, c=change: c(w),
                says=path[:20] or "results",
                status=(2,),
            )
        yield Case(
            f"{run}: results in a link to a folder",
            run,
            change=lambda w: ((w / "else").mkdir(), (w / "out").symlink_to("else")),
            status=(0,),
            writes="else",
        )
        yield Case(
            f"{run}: results deep below",
            run,
            ("--results", "out/a/b/c d/\u00e9/e"),
            status=(0,),
        )
    for run, paths in IN_THE_WAY.items():
        for path in paths:
            yield in_the_way(run, path)
    for run, paths in LINKS.items():
        for path in paths:
            yield leads_out(run, path)
    for run in ("main", "deviation", "deliberative"):
        yield Case(
            f"{run}: results among the images",
            run,
            ("--results", "in/out"),
            status=(0,),
            writes="in",
        )
        yield Case(
            f"{run}: results are the images", run, ("--results", "in"), status=(0, 2), writes="in"
        )
    for limit in (0, 100, 1000, 5000, 20000):
        for run in RUNS:
            if run not in ("benchmark", "ask", "score", "demo"):
                yield full(run, limit)


def in_the_way(run: str, path: str) -> Case:
    """Return the row of a folder where a file is to be written, or of a file for a folder."""

    def change(world: Path) -> None:
        place = world / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            replaced_by(place, lambda p: p.mkdir())
            (place / "mine.txt").write_text("mine")
        else:
            replaced_by(place, lambda p: p.write_text("mine"))

    name = path.rstrip("/").rsplit("/", 1)[-1]
    kept = path + "mine.txt" if path.endswith("/") else path
    return Case(
        f"{run}: {path} is in the way",
        run,
        change=change,
        status=(0, 1, 2),
        says=name.split(".")[0] if run in ("select", "improve") else "",
        keeps=(kept,),
        writes=path.split("/")[0],
    )


def leads_out(run: str, path: str) -> Case:
    """Return the row of a link in the results that leads out of them."""

    def change(world: Path) -> None:
        place = world / path
        place.parent.mkdir(parents=True, exist_ok=True)
        is_file = "." in place.name
        if is_file:
            (world / "mine").write_text("mine")
        else:
            (world / "mine").mkdir()
        replaced_by(place, lambda p: p.symlink_to(world / "mine"))

    return Case(f"{run}: {path} leads out", run, change=change, status=(0, 1, 2))


def full(run: str, limit: int) -> Case:
    """Return the row of a disk that takes no file above a size."""
    return Case(
        f"{run}: no file above {limit} bytes",
        run,
        ("--overwrite",) if run in ("main", "deviation", "deliberative") else (),
        status=(0, 1, 2),
        around=f"limit {limit}",
    )
