"""The code of a user's network: FILE.py and what it imports from its own folder, by checksums.

    checksums = code_checksums(Path("net.py"))      # {"net.py": "3f..", "parts/head.py": "9a.."}

The files are read, not run: import statements are followed wherever they stand. A module that is
imported by a computed name is not found.
"""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

from utils import read_bytes


def code_checksums(file: Path) -> dict[str, str]:
    """Return the SHA-256 of a file and of each module below its folder that it brings in.

    Args:
        file: Python source.

    Returns:
        Path below the file's folder, with forward slashes -> SHA-256 in hexadecimal, sorted.

    Raises:
        OSError: the file cannot be read.
    """
    folder = file.parent
    found = {file.name: _sha256(read_bytes(file))}
    waiting = [file]
    while waiting:
        source = waiting.pop()
        for module in _imported(source, folder):
            name = module.relative_to(folder).as_posix()
            if name not in found:
                found[name] = _sha256(read_bytes(module))
                waiting.append(module)
    return dict(sorted(found.items()))


def _imported(source: Path, folder: Path) -> Iterator[Path]:
    """Yield the files below a folder that a source file imports."""
    try:
        tree = ast.parse(read_bytes(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # Python itself says what is wrong with it
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files(folder, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            start = source.parents[node.level - 1] if node.level else folder
            if start != folder and folder not in start.parents:
                continue  # above the folder
            parts = node.module.split(".") if node.module else []
            yield from _files(start, parts)
            for alias in node.names:
                yield from _files(start, [*parts, alias.name])


def _files(start: Path, parts: list[str]) -> Iterator[Path]:
    """Yield the files of a module and of the packages that it lies in, where they exist."""
    place = start
    for part in parts:
        package = place / part / "__init__.py"
        module = place / f"{part}.py"
        if package.is_file():
            yield package
        elif module.is_file():
            yield module
        place = place / part


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
