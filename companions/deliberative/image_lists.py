"""Lists of images as the authors' programs read them: a path, a class and a number on each line.

    images = read_list(Path("CUB200_gt_te.txt"), below=Path("CUB_200_2011"))
    images[0].path, images[0].target

The paths are those of another machine (/data6/../CUB_200_2011/images/001.Albatross/x.jpg): the
longest end of each that exists below the folder counts. Class and number may be missing.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scoring.text_files import why_unreadable
from utils import UserError, printable, read_text


@dataclass(frozen=True)
class Listed:
    """An image of a list, and the index of its class; None where the list has none."""

    path: Path
    target: int | None


def read_list(path: Path, below: Path, *, option: str = "--list") -> list[Listed]:
    """Return the images of a list, in its order.

    Args:
        path: the list.
        below: the folder that the images are searched in.
        option: by which an error names the list.

    Raises:
        UserError: it cannot be read, a line is none of a list, or an image does not exist.
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"{option} {path}: {why_unreadable(error)}") from None
    images = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            images.append(_listed(line.split(), below, where=f"{option} {path}: line {number}"))
    if not images:
        raise UserError(f"{option} {path}: no image in it")
    return images


def _listed(words: list[str], below: Path, where: str) -> Listed:
    target = None
    if len(words) > 1:
        if not words[1].isdecimal():
            raise UserError(f"{where}: {words[1]} is not the number of a class")
        target = int(words[1])
    found = _found(words[0], below)
    if found is None:
        raise UserError(f"{where}: no {words[0]} below {printable(below)}")
    return Listed(found, target)


def _found(name: str, below: Path) -> Path | None:
    """Return the file below a folder that the longest end of a path leads to; None: there is none.

    Parts that lead upwards are left out, so that no list leads out of the folder.
    """
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", ".", "..")]
    for start in range(len(parts)):
        path = below.joinpath(*parts[start:])
        if path.is_file():
            return path
    return None
