"""Which images a run is about."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils import IMAGE_ENDINGS, UserError, log, printable, resolved

# A folder that holds one of these is a result, whichever command wrote it.
RECORDS = {"sag.json", "deviation.json", "insecurities.json"}


@dataclass(frozen=True)
class FoundImages:
    """Images, and the folder that their names are relative to."""

    root: Path
    paths: list[Path]


def find_images(path: Path, leave_out: Path | None = None) -> FoundImages:
    """Return the images at or below a path, sorted.

    Hidden files and folders, and folders that hold a record, are skipped.

    Args:
        path: a file or a folder.
        leave_out: a folder not to search: the results, where they lie among the images.

    Raises:
        UserError: there is no such path, or no image in it.
    """
    if path.is_file():
        return FoundImages(path.parent, [path])
    if not path.is_dir():
        raise UserError(f"--images {path}: no such file or folder")
    skipped = resolved(leave_out) if leave_out else None
    found: list[Path] = []
    links: list[Path] = []
    unreadable: list[OSError] = []
    for name, subfolders, files in os.walk(path, onerror=unreadable.append):
        folder = Path(name)
        if RECORDS.intersection(files):
            subfolders.clear()
            continue
        visible = [s for s in subfolders if not s.startswith(".")]
        subfolders[:] = [s for s in visible if resolved(folder / s) != skipped]
        links.extend(folder / s for s in subfolders if (folder / s).is_symlink())
        found.extend(folder / file for file in files if is_image(file))
    _say_what_was_passed_over(path, links, unreadable)
    if not found:
        raise UserError(f"--images {path}: no image in it ({' '.join(IMAGE_ENDINGS)})")
    return FoundImages(path, sorted(found))


def _say_what_was_passed_over(
    path: Path, links: Sequence[Path], unreadable: Sequence[OSError]
) -> None:
    """Log each folder that was not searched, and why.

    Raises:
        UserError: it is the folder of images itself.
    """
    for error in unreadable:
        if error.filename == str(path):
            raise UserError(f"--images {path}: {error.strerror}")
        log(f"{printable(Path(error.filename))}: not searched for images: {error.strerror}")
    for link in sorted(links):
        log(f"{printable(link)}: not searched for images: a link to a folder; name it in --images")


def is_image(name: str) -> bool:
    """Return whether a file's name is that of an image, and not hidden."""
    return name.lower().endswith(IMAGE_ENDINGS) and not name.startswith(".")


def not_the_images(results: Path, images: Path) -> None:
    """Refuse the folder of the images as the folder of results.

    Figures in the results would be images of the next run.

    Raises:
        UserError: both are the same folder.
    """
    if images.is_dir() and resolved(results) == resolved(images):
        raise UserError(f"--results {results}: the folder of the images themselves")
