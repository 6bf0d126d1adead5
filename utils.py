"""Small helpers that every folder needs and no method is about: errors, the log, files.

Input that cannot be used raises UserError, whose text is one line that names the value.
"""

import hashlib
import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

PROJECT = Path(__file__).resolve().parent
TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")  # of bidirectional text
LONGEST_WORD = 400  # characters in a line of the log
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class UserError(Exception):
    """Input from the user that cannot be used; str() is one line that names the value."""

    def __init__(self, message: str = ""):
        super().__init__(shown(" ".join(message.splitlines())))


def log(line: str) -> None:
    """Write one line to stderr without breaking the progress bars, if anybody takes it."""
    with suppress(OSError, ValueError):
        tqdm.write(line, file=sys.stderr)


def one_line(error: BaseException) -> str:
    """Return an exception's message on one line, or its class name if it has none."""
    return shown(" ".join(str(error).split())) or type(error).__name__


def printable(path: Path) -> str:
    r"""Return a path as one line of UTF-8 text with forward slashes.

    Bytes that are not UTF-8 and control characters become \xff, so that different paths stay so.
    """
    return shown(path.as_posix())


def shown(text: str) -> str:
    r"""Return text as a terminal can show it: control characters as \x1b, very long words cut."""
    text = re.sub(rf"\S{{{LONGEST_WORD},}}", lambda word: f"{word[0][:100]}..", text)
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    turns_text = unicodedata.bidirectional(character) in TURNING
    if turns_text or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    return character


# ---------------------------------------------------------------- files


def require_regular(path: Path) -> None:
    """Refuse to read what might never end.

    Raises:
        ValueError: the path is, or leads to, a pipe, a socket or a device.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError("cannot read it: a pipe, a socket or a device")


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        ValueError: it might never end.
        OSError: it cannot be read.
    """
    require_regular(path)
    return path.read_bytes()


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8, with or without a mark of the byte order.

    Raises:
        ValueError: it might never end, or is not UTF-8.
        OSError: it cannot be read.
    """
    return read_bytes(path).decode("utf-8-sig")


def resolved(path: Path) -> Path:
    """Return where a path leads; of links in a circle, the path (Path.resolve raises there)."""
    return Path(os.path.realpath(path))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    require_regular(path)
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that readers see either the old content or all of the new content."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    with written_beside(path) as new, open(new, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Give the path of a new file, of the same ending, that takes a file's place at the end.

    Whatever happens meanwhile, the old file stays whole; a link is replaced, not followed.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            error.filename = str(path)  # a full disk names no file
            error.filename2 = None
        raise


def write_json(path: Path, value: Any) -> None:
    """Write plain data as indented UTF-8 JSON, atomically; NaN raises ValueError."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text + "\n")
