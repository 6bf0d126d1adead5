"""Images that are none, or odd, and names that no file should have, in every command."""

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from .case import Case, share
from .world import label_map, picture


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return an image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of_size(width: int, height: int) -> bytes:
    """Return a PNG that says it is so large, and is empty."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


RED = picture("red")
PNG = encoded(RED)
JPEG = encoded(RED, "JPEG")
# Content of a file called bad.png; whether it is an image.
UNREADABLE = {
    "nothing": b"",
    "text": b"not an image\n",
    "half a PNG": PNG[: len(PNG) // 2],
    "half a JPEG": JPEG[: len(JPEG) // 2],
    "a header alone": PNG[:33],
    "a bomb": png_of_size(100_000, 100_000),
    "no width": png_of_size(0, 32),
    "a page": b"<!DOCTYPE html><html><body>404</body></html>",
    "zeros": bytes(5000),
    "a flipped byte": PNG[:60] + bytes([PNG[60] ^ 255]) + PNG[61:],
    "half a WebP": encoded(RED, "WEBP")[:60],
    "half a BMP": encoded(RED, "BMP")[:400],
    "a PDF": b"%PDF-1.4\n%%EOF",
    "an LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
}
ON_ITS_SIDE = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06" + bytes(6)
READABLE = {
    "a JPEG": JPEG,
    "a GIF": encoded(RED, "GIF"),
    "one pixel": encoded(RED.resize((1, 1))),
    "a line": encoded(RED.resize((2000, 1))),
    "grey": encoded(RED.convert("L")),
    "one bit": encoded(RED.convert("1")),
    "a palette": encoded(RED.convert("P")),
    "transparent": encoded(Image.new("RGBA", (32, 32), (0, 0, 0, 0))),
    "grey and transparent": encoded(RED.convert("LA")),
    "16 bits": encoded(Image.fromarray(np.full((32, 32), 40000, np.uint16))),
    "CMYK": encoded(RED.convert("CMYK"), "JPEG"),
    "black": encoded(Image.new("RGB", (32, 32))),
    "white": encoded(Image.new("RGB", (32, 32), "white")),
    "bytes after the end": PNG + b"more",
    "an odd profile": encoded(RED, icc_profile=b"junk"),
    "an odd EXIF": encoded(RED, "JPEG", exif=b"Exif\0\0junk"),
    "on its side": encoded(
        RED, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    ),
}


def bind(path: Path) -> None:
    """Make a socket."""
    here = os.getcwd()
    os.chdir(path.parent)
    socket.socket(socket.AF_UNIX).bind(path.name)
    os.chdir(here)


def many_zeros(path: Path) -> None:
    """Make a file of 300 MB that takes no room on the disk."""
    path.touch()
    os.truncate(path, 3 * 10**8)


KINDS: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a socket": bind,
    "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a dangling link": lambda path: path.symlink_to("nowhere.png"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to a folder": lambda path: path.symlink_to("/etc"),
    "300 MB of zeros": many_zeros,
}
WHERE = {"main": "in", "deviation": "in", "deliberative": "in", "explain": "in"}
# A run over a folder per class, with a file in one of these.
CLASSES = {"paper": "pool/red", "select": "pool/red", "improve": "pool/red"}
RECORDS = {
    "main": "sag.json",
    "deviation": "deviation.json",
    "deliberative": "insecurities.json",
}
NAMES = (
    ["...png", "..png", " .png", "-a.png", "--help.png", "sag.json.png", "summary.csv.png"]
    + ["index.html.png", "finished.jsonl.png", "roots.png", "nodes.png", "classes.png"]
    + ["graphs.png", "numbered.png", "a\nb.png", "\x1b[31m.png", "bad\udcff.png", "\u2029.png"]
    + ['"><script>alert(1)<script>.png', "n" * 250 + ".png", "%s%n.png", "{0}{}.png", "a,b.png"]
    + ["=1+1.png", "$(touch thesis).png", "~.png", "a.PNG", "A.png", "a.png.png", "a.jpeg"]
    + ["con.png", "a b  c.png", "\u00e9.png", "e\u0301.png", "\u202egnp.png", "'.png", "\\.png"]
    + ["measurements.png", "deviation.json.png", "labels.csv.png", "category_0.png", "1.png"]
)


def cases() -> Iterator[Case]:
    """Yield the rows."""
    for number, (run, folder) in enumerate({**WHERE, **CLASSES}.items()):
        for what, content in share(UNREADABLE.items(), number, every=2):
            yield with_file(run, folder, what, content, status=failing(run), says="bad.png")
        for what, make in share(KINDS.items(), number, every=2):
            says = "bad.png"
            yield Case(
                f"{run}: bad.png is {what}",
                run,
                ("--most-images", "9") if run == "paper" else (),
                change=lambda w, f=folder, m=make: m(w / f / "bad.png"),
                status=(0,) if what == "a link to a folder" else failing(run),
                says=says,
                keeps=done_by(run),
            )
        for what, content in share(READABLE.items(), number, every=3):
            yield with_file(run, folder, what, content, status=(0,))
    for number, (run, folder) in enumerate(WHERE.items()):
        for name in share(NAMES, number, every=2):
            yield named(run, folder, name)
    yield from single_images()
    yield from draw_again()


def failing(run: str) -> tuple[int, ...]:
    """Return the exit status of a run over a folder with a file that is no image."""
    return (1,) if run in WHERE or run == "select" else (1, 2)


def done_by(run: str) -> tuple[str, ...]:
    """Return records of the other images, which must be there."""
    return (f"out/a/{RECORDS[run]}", f"out/b/{RECORDS[run]}") if run in RECORDS else ()


def with_file(
    run: str, folder: str, what: str, content: bytes, *, status: tuple[int, ...], says: str = ""
) -> Case:
    """Return the row of a run over a folder with a file of this content."""

    def change(world: Path) -> None:
        (world / folder / "bad.png").write_bytes(content)
        masks = world / folder.replace("in", "masks") / "bad.png"
        if run in ("deviation", "explain"):
            masks.write_bytes(encoded(label_map()))

    if run in ("deviation", "explain") and status == (0,):
        status = (0, 1)  # the label map may be of another size
    return Case(
        f"{run}: bad.png is {what}",
        run,
        ("--most-images", "9") if run == "paper" else (),
        change=change,
        status=status,
        says=says,
        keeps=done_by(run),
    )


def named(run: str, folder: str, name: str) -> Case:
    """Return the row of an image with this name beside the others."""

    def change(world: Path) -> None:
        (world / folder / name).write_bytes(encoded(picture("blue")))
        (world / "masks" / Path(name).with_suffix(".png").name).write_bytes(encoded(label_map()))

    # Of two images whose names differ in the ending alone, the label map is that of both.
    return Case(
        f"{run}: an image named {ascii(name[:30])}",
        run,
        change=change,
        status=(0,) if run in ("main", "deliberative") else (0, 1),
        keeps=done_by(run) if name not in ("a.PNG", "a.jpeg", "A.png") else (),
    )


def single_images() -> Iterator[Case]:
    """Yield the rows of a command that is given the bad file itself."""
    for number, run in enumerate(("main", "deviation", "deliberative")):
        for what, content in share(UNREADABLE.items(), number, every=2):
            yield Case(
                f"{run}: {what} alone",
                run,
                ("--images", "bad.png"),
                change=lambda w, c=content: (w / "bad.png").write_bytes(c),
                status=(1, 2),
                says="bad.png",
            )


def draw_again() -> Iterator[Case]:
    """Yield results whose kept image, or whose image among the run's, was exchanged."""
    for what, content in {**UNREADABLE, "another image": encoded(picture("blue"))}.items():
        for run in ("draw", "score"):
            folder = "done/a" if run == "draw" else "half/a"
            yield Case(
                f"{run}: the kept image is {what}",
                run,
                ("--images", "empty") if run == "draw" else (),
                change=lambda w, f=folder, c=content: (
                    w / f / "perturbation_original.png"
                ).write_bytes(c),
                status=(1, 2) if run == "draw" else (2,),
                says="perturbation_original|empty|done/a",
            )
    for what, content in UNREADABLE.items():
        yield Case(
            f"draw: the run's image is {what}",
            "draw",
            change=lambda w, c=content: (
                (
                    (w / "done/a/perturbation_original.png").unlink(missing_ok=True),
                    (w / "in/a.png").write_bytes(c),
                )
            ),
            status=(1,),
            says="a.png|done/a",
        )
