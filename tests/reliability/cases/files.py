"""Files that a user brings: weights, class names, label maps, names of regions, tables."""

import io
import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .case import Case, share
from .images import UNREADABLE, encoded


class Attack:
    """Pickled, it makes a file where it is loaded as code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch attacked",))


def saved(change: Callable[[dict], Any]) -> Callable[[Path], None]:
    """Return what writes odd.pth: the network's state after a change."""

    def write(path: Path) -> None:
        import torch

        state = torch.load(path.parent / "net.pth", weights_only=True)
        torch.save(change(state), path)

    return write


def content(data: bytes) -> Callable[[Path], None]:
    """Return what writes a file of this content."""
    return lambda path: path.write_bytes(data)


def at_end(path: Path) -> None:
    """Copy net.pth without its last third."""
    data = (path.parent / "net.pth").read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def with_tensor(make: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Return what writes a state whose head is another tensor."""
    return saved(lambda state: {**state, "head.weight": make(state["head.weight"])})


def torch_():  # noqa: D103
    import torch

    return torch


BINARY = {
    "nothing": content(b""),
    "text": content(b"no weights\n"),
    "zeros": content(bytes(4000)),
    "a pipe": os.mkfifo,
    "a folder": lambda path: path.mkdir(),
    "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a dangling link": lambda path: path.symlink_to("nowhere"),
}
WEIGHTS = {
    **BINARY,
    "cut off": at_end,
    "code": saved(lambda _: {"head.weight": Attack()}),
    "a module": saved(lambda _: torch_().nn.Linear(2, 2)),
    "a list": saved(lambda state: list(state.values())),
    "a tensor": saved(lambda state: state["head.weight"]),
    "nothing in it": saved(lambda _: {}),
    "names that are numbers": saved(lambda state: dict(enumerate(state.values()))),
    "values that are numbers": saved(lambda state: dict.fromkeys(state, 1.0)),
    "a name too few": saved(lambda state: {k: v for k, v in state.items() if k != "head.weight"}),
    "a name too many": saved(lambda state: {**state, "tail.weight": state["head.weight"]}),
    "other names": saved(lambda state: {f"x.{k}y": v for k, v in state.items()}),
    "another shape": with_tensor(lambda t: t[:2]),
    "no dimension": with_tensor(lambda t: t[0, 0]),
    "sparse": with_tensor(lambda t: t.to_sparse()),
    "meta": with_tensor(lambda t: t.to("meta")),
    "complex": with_tensor(lambda t: t.to(torch_().complex64)),
    "NaN": with_tensor(lambda t: t * float("nan")),
    "nested 100 times": saved(lambda state: nested(state, 100)),
}
BEYOND = b'{"head.weight":{"dtype":"F32","shape":[3,3],"data_offsets":[0,36]}}'
SAFETENSORS = {
    "a header of 10^18": content(struct.pack("<Q", 10**18) + b"{}"),
    "a header of junk": content(struct.pack("<Q", 5) + b"junk!"),
    "a number as header": content(struct.pack("<Q", 1) + b"5"),
    "brackets": content(struct.pack("<Q", 50_000) + b"[" * 50_000),
    "offsets beyond the end": content(
        struct.pack("<Q", 62)
        + b'{"head.weight":{"dtype":"F32","shape":[9],"data_offsets":[0,999]}}'[:62]
    ),
    "nothing": content(b""),
    "a pipe": os.mkfifo,
    "a folder": lambda path: path.mkdir(),
}


def nested(state: dict, times: int) -> dict:
    """Return a state inside so many dictionaries."""
    for _ in range(times):
        state = {"state_dict": state}
    return state


TEXT = {
    "nothing": b"",
    "empty lines": b"\n\n\n",
    "too few": b"red\ngreen\n",
    "too many": b"red\ngreen\nblue\nblack\n",
    "Latin-1": b"red\ngr\xfcn\nblue\n",
    "UTF-16": "red\ngreen\nblue\n".encode("utf-16"),
    "zeros": b"red\0\ngreen\0\nblue\0\n",
    "an image": encoded(Image.new("RGB", (4, 4))),
}
ODD_TEXT = {
    "a mark of the byte order": b"\xef\xbb\xbfred\ngreen\nblue\n",
    "lines of Windows": b"red\r\ngreen\r\nblue\r\n",
    "no last line": b"red\ngreen\nblue",
    "twice the same": b"red\nred\nred\n",
    "control characters": b"re\x1b[31md\ngr\x07een\nbl\xe2\x80\xa9ue\n",
    "names that are numbers": b"2\n1\n0\n",
    "names of 3,000 characters": b"r" * 3000 + b"\n" + b"g" * 3000 + b"\n" + b"b" * 3000 + b"\n",
    "names that are paths": b"../../red\n/etc/green\nblue/..\n",
    "names of a page": b"<script>\n&amp;\n\"'\n",
    "formulas": b"=1+1\n@x\n+2\n",
}
MAPS = {
    "of floats": encoded(Image.fromarray(np.full((32, 32), np.nan, np.float32)), "TIFF"),
    "in colour": encoded(Image.new("RGB", (32, 32), "red")),
    "of another shape": encoded(Image.new("L", (32, 99), 1)),
    "of 16 bits": encoded(Image.fromarray(np.full((32, 32), 60_000, np.uint16))),
}
TABLES = {
    "nothing": "",
    "a header alone": "{head}\n",
    "no header": "{row}\n",
    "other columns": "x,y,z\n1,2,3\n",
    "a column twice": "{first},{first}\n{path},{path}\n",
    "semicolons": "{head}\n{row}\n",
    "an unknown class": "{head}\n{path},pelican\n",
    "a class out of range": "{head}\n{path},99\n",
    "a class below 0": "{head}\n{path},-1\n",
    "no class": "{head}\n{path},\n",
    "no image": "{head}\n,red\n",
    "the root": "{head}\n/,red\n",
    "a folder above": "{head}\n..,red\n",
    "a file that is not there": "{head}\nnowhere.png,red\n",
    "an address": "{head}\nhttp://localhost/a.png,red\n",
    "a file of another kind": "{head}\n../thesis.txt,red\n",
    "an open quote": '{head}\n"{path},red\n',
    "a line break in a name": '{head}\n"a\nb.png",red\n',
    "zeros": "{head}\n\0{path},red\n",
    "a field of a megabyte": "{head}\n" + "x" * 1_000_000 + ",red\n",
    "control characters": "{head}\n\x1b[31m\u2029.png,red\n",
    "a name of 5,000": "{head}\n" + "x" * 5000 + ".png,red\n",
    "a path of a device": "{head}\n/dev/zero,red\n",
    "a class of 5,000 digits": "{head}\n{path}," + "9" * 5000 + "\n",
}
READS = {  # run: option, columns, an image, the folder it is below
    "deviation": ("--manifest", ("image", "class"), "in/a.png"),
    "paper": ("--labels-csv", ("file", "label"), "red/1.png"),
    "improve": ("--selection", ("image", "class"), "red/1.png"),
}


def cases() -> Iterator[Case]:
    """Yield the rows."""
    yield from weights()
    yield from texts()
    yield from maps()
    yield from tables()
    yield from annotations()


def weights() -> Iterator[Case]:
    """Yield files of weights that cannot be loaded."""
    for number, run in enumerate(("main", "deviation", "select", "paper")):
        for name, kinds in {"odd.pth": WEIGHTS, "odd.safetensors": SAFETENSORS}.items():
            for what, make in share(kinds.items(), number, every=2):
                yield Case(
                    f"{run}: {name} is {what}",
                    run,
                    ("--weights", name),
                    change=lambda w, n=name, m=make: m(w / n),
                    says=name,
                    status=(2,) if what not in ("sparse", "complex") else (0, 2),
                )
    for what, make in {**WEIGHTS, **SAFETENSORS}.items():
        yield Case(
            f"deliberative: the predictor is {what}",
            "deliberative",
            ("--difficulty", "odd.safetensors"),
            change=lambda w, m=make: m(w / "odd.safetensors"),
            says="odd.safetensors",
        )


def texts() -> Iterator[Case]:
    """Yield files of class names and of names of regions."""
    for number, run in enumerate(("main", "deviation", "deliberative", "select")):
        for what, data in share(TEXT.items(), number, every=2):
            yield of_text(run, "labels", what, content(data), (2,))
        for what in ("a pipe", "a folder", "a link to /dev/zero"):
            yield of_text(run, "labels", what, BINARY[what], (2,))
        for what, data in share(ODD_TEXT.items(), number, every=2):
            status = (0, 1, 2) if what == "twice the same" or run == "select" else (0,)
            yield of_text(run, "labels", what, content(data), status)
    for run in ("main", "deviation", "explain"):
        for what in ("a pipe", "a folder", "a link to /dev/zero"):
            yield of_text(run, "region-names", what, BINARY[what], (2,))
        for what in ("nothing", "empty lines", "an image", "Latin-1", "UTF-16"):
            yield of_text(run, "region-names", what, content(TEXT[what]), (0, 1, 2))
        for what, data in ODD_TEXT.items():
            yield of_text(run, "region-names", what, content(data), (0, 2))


def of_text(
    run: str, option: str, what: str, make: Callable[[Path], None], status: tuple[int, ...]
) -> Case:
    """Return the row of a file of names."""
    regions = ("--regions", "masks") if option == "region-names" else ()
    return Case(
        f"{run}: --{option}: {what}",
        run,
        (*regions, f"--{option}", "odd.txt"),
        change=lambda w: make(w / "odd.txt"),
        status=status,
        says="odd.txt" if status == (2,) else "",
    )


def maps() -> Iterator[Case]:
    """Yield label maps that are none, of one image of two."""
    for run in ("main", "deviation", "explain"):
        regions = ("--regions", "masks", "--region-names", "names.txt") if run == "main" else ()
        unreadable = {what: content(data) for what, data in {**UNREADABLE, **MAPS}.items()}
        kinds = {**unreadable, **{k: BINARY[k] for k in ("a pipe", "a folder", "a dangling link")}}
        for what, make in kinds.items():
            usable = what in ("in colour", "of another shape", "of 16 bits")
            yield Case(
                f"{run}: a label map: {what}",
                run,
                regions,
                change=lambda w, m=make: (((w / "masks/a.png").unlink(), m(w / "masks/a.png"))),
                status=(0, 1, 2) if usable else (1, 2),
                says="" if usable else "a.png",
            )
        yield Case(
            f"{run}: a label map that is not there",
            run,
            regions,
            change=lambda w: (w / "masks/a.png").unlink(),
            status=(1, 2),
            says="a.png|masks",
        )


def tables() -> Iterator[Case]:
    """Yield CSV files that name images and classes."""
    for run, (option, columns, path) in READS.items():
        for what, text in TABLES.items():
            between = ";" if what == "semicolons" else ","
            filled = text.replace("{head}", between.join(columns)).replace("{first}", columns[0])
            filled = filled.replace("{row}", f"{path}{between}red").replace("{path}", path)
            yield of_table(run, option, what, content(filled.encode()), (1, 2))
        head = ",".join(columns)
        row = f"{head}\n{path},red\n"
        for what, data in {
            "UTF-16": row.encode("utf-16"),
            "Latin-1": row.encode() + b"\xe9.png,red\n",
            "an image": encoded(Image.new("RGB", (4, 4))),
        }.items():
            yield of_table(run, option, what, content(data), (1, 2))
        for what, data in {
            "a mark of the byte order": b"\xef\xbb\xbf" + row.encode(),
            "lines of Windows": row.replace("\n", "\r\n").encode(),
            "a row twice": (row + f"{path},red\n").encode(),
            "columns more": f"{head},x\n{path},red,1\n".encode(),
        }.items():
            yield of_table(run, option, what, content(data), (0, 1, 2))
        for what in ("a pipe", "a folder", "a link to /dev/zero"):
            yield of_table(run, option, what, BINARY[what], (2,))


def of_table(
    run: str, option: str, what: str, make: Callable[[Path], None], status: tuple[int, ...]
) -> Case:
    """Return the row of a CSV file."""
    arguments = None
    if run == "deviation":
        arguments = ("--manifest", "odd.csv", "--regions", "masks", "--model", "net.py:build")
        arguments += ("--labels", "labels.txt", "--device", "cpu", "--results", "out")
    return Case(
        f"{run}: {option}: {what}",
        run,
        () if run == "deviation" else (option, "odd.csv"),
        change=lambda w: make(w / "odd.csv"),
        status=status,
        arguments=arguments,
        says="odd.csv" if status == (2,) else "",
    )


GRAPHS = {
    "nothing": "",
    "a list": "[]",
    "a number": "5",
    "null": "null",
    "brackets": "[" * 100_000,
    "NaN": '{"1": NaN}',
    "a region that is a number": '{"1": 5}',
    "no objects": '{"1": {}}',
    "objects that are text": '{"1": {"objects": "bird"}}',
    "an object without a name": '{"1": {"objects": [{"object_id": 1}], "relationships": []}}',
    "half": '{"1": {"objects": [',
    "zeros": "\0\0\0",
}


def annotations() -> Iterator[Case]:
    """Yield a person's annotation files that cannot be read."""
    for what, text in GRAPHS.items():
        yield Case(
            f"compare: an annotation file: {what}",
            "compare",
            change=lambda w, t=text: first_json(w / "human").write_text(t),
            status=(1,),
            says=".json",
        )
        yield Case(
            f"compare: a graph: {what}",
            "compare",
            change=lambda w, t=text: first_json(w / "debug/graphs").write_text(t),
            status=(1, 2),
            says=".json",
        )
    for what in ("a pipe", "a folder", "a link to /dev/zero", "a dangling link"):
        yield Case(
            f"compare: an annotation file is {what}",
            "compare",
            change=lambda w, m=BINARY[what]: exchanged(first_json(w / "human"), m),
            status=(0, 1) if what in ("a folder", "a dangling link") else (1,),
        )


def first_json(folder: Path) -> Path:
    """Return the first JSON file below a folder."""
    return sorted(folder.rglob("*.json"))[0]


def exchanged(path: Path, make: Callable[[Path], None]) -> None:
    """Put something else in a file's place."""
    path.unlink()
    make(path)


def as_json(value: object) -> bytes:
    """Return a value as JSON, NaN and all."""
    buffer = io.StringIO()
    json.dump(value, buffer)
    return buffer.getvalue().encode()


def replaced_by(path: Path, make: Callable[[Path], object]) -> None:
    """Put something in the place of whatever is there."""
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.exists() or path.is_symlink():
        path.unlink()
    make(path)
