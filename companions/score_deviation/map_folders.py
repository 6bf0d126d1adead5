"""The images' maps once more, in a folder per class, as the published program sorts them.

    sort_maps(records, folders, Path("Results/classes/maps"), stems=class_stems(found), files=files)

maps/<class>/correct/    of the images of the class that the network recognises
maps/<class>/predicted/  of all images that the network takes for the class

Both show the deviations of the class predicted. The files are hard links, or copies where the disk
has no links.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from companions.score_deviation.record import DeviationRecord
from companions.score_deviation.statistics import is_correct

CORRECT = "correct"
PREDICTED = "predicted"


def sort_maps(
    records: Sequence[DeviationRecord],
    folders: Mapping[str, Path],
    target: Path,
    *,
    stems: Mapping[str, str],
    files: Callable[[Path], list[Path]],
) -> int:
    """Put the maps of images into folders by class, in place of what was there.

    Args:
        records: the images' records.
        folders: an image's name -> path of its folder below the results.
        target: the folder of all classes; the results are the folder above its parent.
        stems: a class's name -> name of its folder.
        files: the folder of an image -> its maps.

    Returns:
        How many images were left out, because they do not explain the class predicted.
    """
    if target.exists():
        shutil.rmtree(target)
    results = target.parent.parent
    left_out = 0
    for record in records:
        if record.category.index != record.predicted.index:
            left_out += 1
            continue
        folder = folders[record.image]
        place = target / stems[record.predicted.name]
        for path in files(folder):
            name = folder.relative_to(results) / path.name
            _link(path, place / PREDICTED / _flat(name))
            if record.true is not None and is_correct(record):
                _link(path, place / CORRECT / _flat(name))
    return left_out


def _flat(name: Path) -> Path:
    """Return kitchen/a.png for kitchen/a/deviation.png: the folder is the image's name."""
    style = name.stem.removeprefix("deviation")
    return name.parent.with_name(f"{name.parent.name}{style}{name.suffix}")


def _link(path: Path, new: Path) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, new)
    except OSError:
        shutil.copyfile(path, new)
