"""Records of earlier runs that are damaged: made again, or named in one line by who reads them."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from .case import Case
from .files import BINARY, exchanged

# The record that each run writes, of the first image, and who reads it: rerun, or only read.
WHOLE = {
    "nothing": b"",
    "half": None,
    "an empty object": b"{}",
    "a list": b"[]",
    "null": b"null",
    "a number": b"5",
    "text": b'"zz"',
    "brackets": b"[" * 100_000,
    "bytes": b"\xff\xfe\0\1",
    "zeros": bytes(3000),
    "digits": b"9" * 100_000,
}
FIELDS = {
    "sag.json": (
        ["format", "image", "image_sha256", "size", "model", "category", "probability", "baseline"]
        + ["grid", "threshold", "saliency", "search", "roots", "diverse_roots", "dnf", "sag"]
        + ["scores", "evaluations", "seconds", "settings", "versions", "curves", "files"]
    ),
    "deviation.json": (
        ["format", "image", "model", "category", "predicted", "regions", "settings", "labels"]
        + ["probability", "baseline", "image_sha256"]
    ),
    "insecurities.json": (
        ["format", "image", "model", "predicted", "insecurities", "settings", "difficulty", "size"]
        + ["probabilities", "image_sha256"]
    ),
    "explain.json": ["results", "settings", "images", "model", "concepts", "classes"],
    "compare.json": ["results", "settings", "classes", "images", "confounded"],
    "improve.json": ["results", "settings", "before", "runs", "model", "need"],
}
WRONG = {
    "missing": None,
    "a word": "zz",
    "NaN": float("nan"),
    "a huge number": 10**40,
    "below 0": -5,
    "null": "null",
    "a list of lists": [[[]]],
}
PLACES = {  # file: (path, run that makes it again, its options)
    "sag.json": ("done/a/sag.json", "main", ("--results", "done", "--pictures", "graph")),
    "deviation.json": (
        "done_deviation/a/deviation.json",
        "deviation",
        ("--results", "done_deviation"),
    ),
    "insecurities.json": (
        "done_deliberative/a/insecurities.json",
        "deliberative",
        ("--results", "done_deliberative"),
    ),
    "explain.json": (
        "debug/explain.json",
        "explain",
        ("--images", "pool", "--regions", "pool_masks", "--results", "debug"),
    ),
    "compare.json": ("debug/compare.json", "compare", ()),
    "improve.json": ("debug/improve.json", "improve", ("--results", "debug")),
}
READERS = {  # who only reads it, and is to name it
    "sag.json": {"draw": (), "ask": ()},
    "explain.json": {"compare": ()},
    "compare.json": {"improve": ("--results", "debug", "--regions", "pool_masks")},
}


def cases() -> Iterator[Case]:
    """Yield the rows."""
    for file, (path, run, options) in PLACES.items():
        for what, change in damages(file):
            yield again(file, path, run, options, what, change)
            for reader, more in READERS.get(file, {}).items():
                yield read(file, path, reader, more, what, change)
    yield from tables()
    yield from measurements()
    yield from benchmarks()
    yield from pictures()
    yield from attacks()


def damages(file: str) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Yield what may be wrong with a file, and what makes it so."""
    for what, data in WHOLE.items():
        yield what, lambda path, d=data: rewritten(path, d)
    for what in ("a pipe", "a folder", "a link to /dev/zero", "a dangling link"):
        yield what, lambda path, m=BINARY[what]: exchanged(path, m)
    for field in FIELDS[file]:
        kinds = (
            list(WRONG)
            if field in ("model", "roots", "saliency", "results")
            else ["missing", "a word"]
        )
        for kind in kinds:
            yield f"{field} is {kind}", lambda path, f=field, k=kind: with_field(path, f, k)


def rewritten(path: Path, data: bytes | None) -> None:
    """Write other content into a file; None: the first half of its own."""
    if data is None:
        data = path.read_bytes()
        data = data[: len(data) // 2]
    path.write_bytes(data)


def with_field(path: Path, field: str, kind: str) -> None:
    """Take a field out of a JSON file, or put something wrong into it."""
    content = json.loads(path.read_bytes())
    if kind == "missing":
        content.pop(field, None)
    else:
        content[field] = None if kind == "null" else WRONG[kind]
    path.write_text(json.dumps(content))


def again(
    file: str,
    path: str,
    run: str,
    options: tuple[str, ...],
    what: str,
    change: Callable[[Path], None],
) -> Case:
    """Return the row of the command that makes the record, over a damaged one."""
    folder = path.split("/")[0]
    return Case(
        f"{run} again: {file}: {what}",
        run,
        options,
        change=lambda w: change(w / path),
        status=(1, 2) if what == "a folder" else (0,),
        writes=folder,
        says="a folder|sag.json|.json" if what == "a folder" else "",
        keeps=() if what in ("a folder",) else (path,),
    )


def read(
    file: str,
    path: str,
    run: str,
    options: tuple[str, ...],
    what: str,
    change: Callable[[Path], None],
) -> Case:
    """Return the row of a command that only reads the record."""
    kind = what.rsplit(" is ", 1)[-1]
    is_whole = " is " not in what
    # A field that the command does not need may be wrong.
    status = ((1,) if run == "draw" else (1, 2)) if is_whole else (0, 1, 2)
    return Case(
        f"{run}: {file}: {what}",
        run,
        options,
        change=lambda w: change(w / path),
        status=status if kind != "null" or is_whole else (0, 1, 2),
        says=f"{file}|{path.rsplit('/', 1)[0]}" if is_whole else "",
    )


CSV = {
    "nothing": b"",
    "text": b"zz\n",
    "other columns": b"x,y\n1,2\n",
    "zeros": bytes(100),
    "Latin-1": b"image,folder\n\xe9,\xe9\n",
    "an open quote": b'image,folder\n"a,b\n',
    "a megabyte": b"image,folder\n" + b"x" * 10**6 + b",y\n",
}
SUMMARIES = {
    "main": "done/summary.csv",
    "deviation": "done_deviation/summary.csv",
    "deliberative": "done_deliberative/summary.csv",
}


def tables() -> Iterator[Case]:
    """Yield summaries and notes of earlier runs that are damaged, or something else."""
    for run, path in SUMMARIES.items():
        folder = path.split("/")[0]
        for what, data in CSV.items():
            yield Case(
                f"{run} again: summary.csv: {what}",
                run,
                ("--results", folder),
                change=lambda w, p=path, d=data: (w / p).write_bytes(d),
                status=(0, 1, 2) if run == "deliberative" else (0, 1),
                writes=folder,
            )
        for what in ("a pipe", "a folder", "a link to /dev/zero", "a dangling link"):
            yield Case(
                f"{run} again: summary.csv is {what}",
                run,
                ("--results", folder),
                change=lambda w, p=path, m=BINARY[what]: replaced(w / p, m),
                status=(0, 1, 2),
                writes=folder,
            )
    for what, data in {**CSV, **{k: v for k, v in WHOLE.items() if v is not None}}.items():
        for name in ("finished.jsonl", "index.html"):
            yield Case(
                f"main again: {name}: {what}",
                "main",
                ("--results", "done", "--pictures", "graph"),
                change=lambda w, n=name, d=data: (w / "done" / n).write_bytes(d),
                # A page or notes of another kind are left as they are.
                status=(0, 1) if name == "index.html" else (0,),
                writes="done",
                keeps=("done/a/sag.json",),
            )


def replaced(path: Path, make: Callable[[Path], None]) -> None:
    """Put something else in the place of a file that may not be there."""
    path.unlink(missing_ok=True)
    make(path)


def measurements() -> Iterator[Case]:
    """Yield measurements of the paper's experiments that are damaged."""

    def first(world: Path) -> Path:
        return sorted((world / "done_paper/measurements").rglob("*.json"))[0]

    kinds = {k: (lambda p, d=d: rewritten(p, d)) for k, d in WHOLE.items()}
    kinds |= {
        k: (lambda p, m=BINARY[k]: exchanged(p, m)) for k in ("a pipe", "a link to /dev/zero")
    }
    for field in ("image", "condition", "roots", "probability", "seconds", "format", "grid"):
        for kind in ("missing", "a word"):
            kinds[f"{field} is {kind}"] = lambda p, f=field, k=kind: with_field(p, f, k)
    for what, change in kinds.items():
        for options in ((), ("--tables-only",)):
            only = "tables only: " if options else ""
            yield Case(
                f"paper again: {only}a measurement: {what}",
                "paper",
                (*options, "--results", "done_paper"),
                change=lambda w, c=change: c(first(w)),
                status=(0, 1, 2) if options else (0,),
                writes="done_paper",
            )


def benchmarks() -> Iterator[Case]:
    """Yield results of an earlier benchmark that are damaged: it measures again.

    Only two, as each measures for a minute of processor time, compiling included.
    """
    contents = {"half": b'{"images": [', "of another kind": b'{"sides": {"zz": []}}'}
    for what, data in contents.items():
        yield Case(
            f"benchmark again: benchmark.json: {what}",
            "benchmark",
            change=lambda w, d=data: put(w / "out/benchmark.json", d),
            status=(0,),
            keeps=("out/benchmark.json", "out/benchmark.png"),
            seconds=120.0,
        )


def put(path: Path, data: bytes) -> None:
    """Write a file and the folder above it."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


def pictures() -> Iterator[Case]:
    """Yield pictures of results that are gone, cut off, or a user's own."""
    for name in ("dnf.txt", "SAG_final_1roots.png", "SAG_1roots.dot", "sag.html"):
        for what in ("gone", "cut off", "empty"):

            def change(world: Path, n: str = name, w: str = what) -> None:
                path = next(iter(sorted((world / "done/a").glob(n.replace("1roots", "*")))), None)
                if path is None:
                    return
                data = path.read_bytes()
                path.unlink()
                if w != "gone":
                    path.write_bytes(data[: len(data) // 2] if w == "cut off" else b"")

            yield Case(
                f"main again: {name} is {what}",
                "main",
                ("--results", "done", "--pictures", "graph"),
                change=change,
                status=(0,),
                writes="done",
                keeps=("done/a/sag.json", "done/a/dnf.txt"),
            )
    for run, folder, record in (
        ("main", "done", "sag.json"),
        ("deviation", "done_deviation", "deviation.json"),
        ("deliberative", "done_deliberative", "insecurities.json"),
    ):
        yield Case(
            f"{run} again: --overwrite keeps a user's file",
            run,
            ("--results", folder, "--overwrite"),
            change=lambda w, f=folder: (
                (
                    (w / f / "a/mine.png").write_bytes(b"mine"),
                    (w / f / "thesis.txt").write_text("mine"),
                )
            ),
            status=(0,),
            writes=folder,
            keeps=(f"{folder}/a/mine.png", f"{folder}/thesis.txt", f"{folder}/a/{record}"),
        )


def attacks() -> Iterator[Case]:
    """Yield records of a stranger: their code must not run, their paths lead nowhere."""

    def edit(world: Path, path: tuple[str, ...], value: object, name: str = "half") -> None:
        record = world / name / "a/sag.json"
        content = json.loads(record.read_bytes())
        place = content
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        record.write_text(json.dumps(content))

    def hostile(world: Path) -> None:
        (world / "evil.py").write_text("open('attacked', 'w')\ndef build(): pass\n")
        edit(world, ("settings", "model"), "evil.py:build")
        edit(world, ("model", "name"), "evil.py:build")

    for model in ((), ("--model", "net.py:build")):
        arguments = ("ask", "half/a", "--only", "0,1,3", "--score", "--device", "cpu", *model)
        yield Case(
            f"score: a record that names code {bool(model)}",
            "score",
            arguments=arguments,
            change=hostile,
            # The user's own network has the record's checksums; the stranger's code is not run.
            status=(0,) if model else (2,),
            says="" if model else "model|evil",
        )
    files = ["../../thesis.txt", "/etc/passwd", "..", "", "a/../../../thesis.txt", "\udcff", "a\0b"]
    for name in files:
        for run, options in (("main", ("--results", "half", "--overwrite")), ("draw", ())):
            where = "half" if run == "main" else "done"
            yield Case(
                f"{run}: a record that lists {ascii(name)}",
                run,
                options,
                change=lambda w, n=name, f=where: edit(w, ("files",), [n], f),
                status=(0, 1),
                writes=where,
                keeps=("thesis.txt",),
            )
    for name in ("../../../thesis.txt", "/dev/zero", "", "\n", "x" * 5000):
        yield Case(
            f"draw: a record whose image is {ascii(name[:20])}",
            "draw",
            change=lambda w, n=name: (
                (
                    edit(w, ("image",), n, "done"),
                    os.unlink(w / "done/a/perturbation_original.png")
                    if (w / "done/a/perturbation_original.png").exists()
                    else None,
                )
            ),
            status=(0, 1),
            keeps=("thesis.txt",),
        )
    for key, value in (
        (("settings", "grid"), 10**6),
        (("settings", "resize"), "zz"),
        (("settings", "baseline"), "../x"),
        (("settings", "images"), "/dev"),
        (("settings", "weights"), "/dev/zero"),
        (("settings", "labels"), "/dev/zero"),
        (("model", "classes"), -1),
        (("model", "weights_sha256"), "0"),
        (("category", "index"), 99),
        (("category", "name"), "\x1b[31m" + "x" * 3000),
        (("size",), [10**6, 10**6]),
        (("size",), [0, 0]),
    ):
        for run, name in (("score", "half"), ("draw", "done")):
            yield Case(
                f"{run}: a record with {'.'.join(key)} = {ascii(str(value)[:12])}",
                run,
                change=lambda w, k=key, v=value, n=name: edit(w, k, v, n),
                status=(0, 1, 2),
            )
