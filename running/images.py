"""Images of a run."""

import os
from pathlib import Path

from utils import IMAGE_ENDINGS, UserError

RECORDS = {
    "sag.json",
    "deviation.json",
    "insecurities.json",
}  # a folder that holds one is a result, no matter whose


def find_images(path: Path, leave_out: Path | None = None) -> tuple[Path, list[Path]]:
    """The folder that result names are relative to, and the images at or below path, sorted.

    leave_out: a folder not to look into (the results, where they lie among the images); nor is any looked
    into that holds a record. Raises UserError where there is no such path, or no image in it.
    """
    if path.is_file():
        return path.parent, [path]
    if not path.is_dir():
        raise UserError(f"--images {path}: no such file or folder")
    skip = leave_out.resolve() if leave_out else None
    found = []
    for folder, subfolders, files in os.walk(path):
        if RECORDS.intersection(files):
            subfolders.clear()
            continue
        subfolders[:] = [
            s for s in subfolders if not s.startswith(".") and (Path(folder) / s).resolve() != skip
        ]
        found += [
            Path(folder) / f
            for f in files
            if f.lower().endswith(IMAGE_ENDINGS) and not f.startswith(".")
        ]
    if not found:
        raise UserError(f"--images {path}: no image in it ({' '.join(IMAGE_ENDINGS)})")
    return path, sorted(found)


def not_the_images(results: Path, images: Path) -> None:
    """Raise UserError where the results' folder is that of the images: pictures of results would be images of the next run."""
    if images.is_dir() and results.resolve() == images.resolve():
        raise UserError(f"--results {results}: the folder of the images themselves")
