"""What a row of the tables is: a command in a small world, what is done to it, what must come."""

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

MODEL = "--model net.py:build --labels labels.txt --device cpu"
MASKS = "--regions masks --region-names names.txt"
# A short run of every command in the world of world.py. An option that is given again replaces
# the first.
RUNS = {
    "main": f"main_generate_sag.py --images in --results out {MODEL} --pictures none --grid 2",
    "draw": "draw_sag.py done --images in --formats svg",
    "ask": "draw_sag.py ask done/a --only 0",
    "score": "draw_sag.py ask half/a --only 0,1,3 --score --model net.py:build --device cpu",
    "benchmark": "benchmark.py --images in --most-images 1 --quick --results out "
    "--model net.py:quick --labels labels.txt --device cpu",
    "paper": f"reproduce_paper.py --images pool {MODEL} --conditions beam3 --grid 2"
    " --most-images 3 --results out",
    "deviation": f"score_deviation.py --images in {MASKS} {MODEL} --results out",
    "deliberative": f"deliberative_explanation.py --images in {MODEL} --moved 1 --top 1"
    " --results out",
    "explain": f"concept_debug.py explain --images in {MASKS} {MODEL} --results out",
    "compare": "concept_debug.py compare --human human --results debug",
    "select": f"concept_debug.py select --images pool {MODEL} --per-class 1 --results out",
    "improve": f"concept_debug.py improve --images pool --selection debug/selection_random.csv"
    f" --test pool {MODEL} --steps 2 --train-batch 2 --results out",
    "demo": "concept_debug.py demo --size 1 --results out",
}
WRITES = {"draw": "done", "ask": "", "score": "", "compare": "debug"}  # else out


def share(rows: Iterable[T], number: int, *, every: int) -> list[T]:
    """Return the rows that a run tries of a table whose reader it has in common with others.

    Args:
        rows: of the table.
        number: of the run, from 0; the first one tries all.
        every: of the rows the others try every so many, each run others.
    """
    return list(rows) if number == 0 else list(islice(rows, number % every, None, every))


def nothing(world: Path) -> None:
    """Leave the world as it is."""


@dataclass(frozen=True)
class Case:
    """One row: a command, what is wrong, and what must come of it.

    Attributes:
        name: of the row, unique in all tables.
        run: key of RUNS.
        options: after those of the run.
        change: what is done to the world before the command starts.
        status: exit statuses that are right.
        says: words of the one line, any of those that are separated by "|"; "" is any line.
        keeps: files that must be there afterwards.
        writes: the only folder that may change; None: as in WRITES.
        arguments: in place of those of the run.
        stop: (signal, seconds after the start) of a run that is ended from outside.
        seconds: of the processor that the command may take.
        around: how the process is started: "closed stderr", "full stderr", "limit N", "".
    """

    name: str
    run: str
    options: tuple[str, ...] = ()
    change: Callable[[Path], object] = nothing
    status: tuple[int, ...] = (2,)
    says: str = ""
    keeps: tuple[str, ...] = ()
    writes: str | None = None
    arguments: tuple[str, ...] | None = None
    stop: tuple[str, float] | None = None
    seconds: float = 10.0
    around: str = ""

    def command(self) -> list[str]:
        """Return the program and its arguments."""
        program, *rest = shlex.split(RUNS[self.run])
        rest = rest if self.arguments is None else list(self.arguments)
        return [program, *rest, *self.options]

    def place(self) -> str:
        """Return the folder that may change; "": none may."""
        return WRITES.get(self.run, "out") if self.writes is None else self.writes
