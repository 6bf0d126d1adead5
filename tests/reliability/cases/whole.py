"""All rows of all tables, and the command that runs them."""

import argparse
import json
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from . import runner, world
from .case import Case


def all_cases() -> list[Case]:
    """Return the rows of every table, each name once."""
    from . import files, images, moments, networks, options, places, records

    tables = (options, images, networks, files, records, places, moments)
    cases = [case for table in tables for case in table.cases()]
    twice = [name for name, n in Counter(case.name for case in cases).items() if n > 1]
    if twice:
        raise ValueError(f"rows of the same name: {twice[:5]}")
    return cases


def sample(cases: list[Case], number: int, seed: int = 0) -> list[Case]:
    """Return some of the rows, in a seeded order."""
    return random.Random(seed).sample(cases, min(number, len(cases)))


def make_world(place: Path) -> Path:
    """Make the world that every row starts from; return its folder."""
    template = place / "template" / "world"
    world.make_inputs(template)
    world.write_weights(template)
    for run, options in world.RESULTS:
        case = Case(f"world: {run}", run, tuple(options.split()), seconds=60)
        ended = runner.run_command(case.command(), template, case)
        if ended.status:
            raise RuntimeError(f"{case.command()}: {ended.status}\n{ended.err}")
    human = template / "human"
    human.mkdir()
    for path in (template / "debug/graphs").rglob("*.json"):
        copied = human / path.relative_to(template / "debug/graphs")
        copied.parent.mkdir(exist_ok=True)
        copied.write_bytes(path.read_bytes())
    case = Case("world: compare", "compare", seconds=60)
    ended = runner.run_command(case.command(), template, case)
    if ended.status:
        raise RuntimeError(ended.err)
    return template


def main(arguments: Sequence[str]) -> int:
    """Run rows; print what is wrong with each and the counts; return 1 where a row failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.cases")
    parser.add_argument("--only", default="", help="a regular expression for the names of rows")
    parser.add_argument("--sample", type=int, help="so many rows, drawn with a seed")
    parser.add_argument("--list", action="store_true", help="print the names, run nothing")
    parser.add_argument("--report", type=Path, help="a JSON file of what each row came to")
    chosen = parser.parse_args(arguments)
    cases = [case for case in all_cases() if re.search(chosen.only, case.name)]
    if chosen.sample is not None:
        cases = sample(cases, chosen.sample)
    if chosen.list:
        print("\n".join(case.name for case in cases))
        return 0
    runner.prepare()
    place = Path(tempfile.mkdtemp(prefix="cases."))  # a TemporaryDirectory would end in every fork
    try:
        return report(cases, make_world(place), place, chosen.report)
    finally:
        runner.clean(place)


def report(cases: list[Case], template: Path, place: Path, path: Path | None) -> int:
    """Run rows, print what is wrong, and the counts by kind."""
    started = time.monotonic()
    verdicts = []
    for number, case in enumerate(cases):
        if number and number % 100 == 0:
            print(f"{number} of {len(cases)}", flush=True)
        verdict = runner.judge(case, template, place)
        verdicts.append(verdict)
        if verdict.wrong:
            print(f"WRONG {case.name}\n      {'; '.join(verdict.wrong[:4])}", flush=True)
            for line in runner.said(verdict.ended.err)[-2:]:
                print(f"      | {line[:200]}", flush=True)
    kinds = Counter(kind_of(line) for v in verdicts for line in v.wrong)
    failed = sum(bool(verdict.wrong) for verdict in verdicts)
    print(f"{len(cases)} cases, {failed} wrong, {time.monotonic() - started:.0f} s")
    for kind, number in kinds.most_common():
        print(f"  {number} {kind}")
    if path:
        rows = [
            {
                "name": v.case.name,
                "command": v.case.command(),
                "status": v.ended.status,
                "seconds": round(v.ended.seconds, 2),
                "wrong": v.wrong,
                "said": runner.said(v.ended.err)[-3:],
            }
            for v in verdicts
        ]
        path.write_text(json.dumps(rows, indent=1, ensure_ascii=True))
    return 1 if failed else 0


def kind_of(line: str) -> str:
    """Return the kind of what is wrong: the words before the particulars."""
    for kind in ("took", "exit status", "does not say", "half a file", "left over", "not there"):
        if line.startswith(kind):
            return kind
    return line.split(":")[0]
