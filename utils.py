"""Small helpers that every folder needs and no method is about: errors, the log, files.

Input that cannot be used raises UserError, whose text is one line that names the value.
"""

import hashlib
import json
import os
import sys
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

PROJECT = Path(__file__).resolve().parent
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class UserError(Exception):
    """Input from the user that cannot be used; str() is one line that names the value."""

    def __init__(self, message: str = ""):
        super().__init__(" ".join(message.splitlines()))


def log(line: str) -> None:
    """Write one line to stderr without breaking the progress bars, if anybody takes it."""
    with suppress(OSError, ValueError):
        tqdm.write(line, file=sys.stderr)


def one_line(error: BaseException) -> str:
    """Return an exception's message on one line, or its class name if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def printable(path: Path) -> str:
    r"""Return a path as one line of UTF-8 text with forward slashes.

    Bytes that are not UTF-8 and control characters become \xff, so that different paths stay so.
    """
    text = path.as_posix()
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
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


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    require_regular(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that readers see either the old content or all of the new content."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # as of a full disk
            error.filename = str(path)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write plain data as indented UTF-8 JSON, atomically; NaN raises ValueError."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text + "\n")
