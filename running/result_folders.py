"""Where results go: a folder of its own for each image, all of them below the results folder.

    named = [NamedImage(Path("photos/birds/a.png"), "birds/a.png")]
    result_folders(named, Path("Results"))      # [Path("Results/birds/a")]
    require_below(Path("Results/birds/a"), Path("Results"))

An image's folder is named after its path without the ending. Where that name is taken, by an image
that differs in nothing but the ending, by a folder of images of that name, or by one of the
program's own files, the image keeps its ending; where that is taken too, a few digits are added.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from running.images import is_image
from utils import UserError, printable, resolved

# What the commands themselves write into a results folder.
OWN_NAMES = frozenset(
    (
        "benchmark.json",
        "benchmark.png",
        "classes",
        "curves.pdf",
        "curves.png",
        "curves.svg",
        "deviation.json",
        "deviations.npz",
        "evaluation.json",
        "finished.jsonl",
        "hardest.csv",
        "index.html",
        "insecurities.json",
        "labels.csv",
        "live",
        "robustness.json",
        "sag.json",
        "statistics.json",
        "summary.csv",
        "summary.parquet",
    )
)
LONGEST_NAME = 200  # bytes of a folder's name; file systems take 255
HASH_DIGITS = 8


class NamedImage(NamedTuple):
    """An image, and its name in a run: a path with forward slashes."""

    path: Path
    name: str


def require_below(path: Path, results: Path) -> None:
    """Refuse to write outside of the results folder, wherever links lead.

    Args:
        path: a file or folder that is to be written, or exists.
        results: the results folder.

    Raises:
        UserError: the path does not lie below it.
    """
    inside = resolved(path)
    if resolved(results) not in inside.parents:
        raise UserError(f"{path}: leads out of {results}, to {inside}; nothing is written there")


def run_folder(results: Path, run: str | None) -> Path:
    """Return the folder of a run: the results folder, or one of its own below it.

    Args:
        results: the results folder.
        run: the run's name; None: it has none.

    Raises:
        UserError: the name is not that of a folder right below, or an image's results are there.
    """
    if run is None:
        return results
    folder = results / run
    if not run or Path(run).name != run or run.startswith(".") or run.lower() in OWN_NAMES:
        raise UserError(f"--run {run}: not a plain name of a folder")
    require_below(folder, results)
    if (folder / "sag.json").exists():
        raise UserError(f"--run {run}: {folder} is an image's folder")
    return folder


def result_folders(images: Sequence[NamedImage], results: Path) -> list[Path]:
    """Return a folder of its own below results for each image; none lies in another's.

    Siblings on the disk that the run does not ask for count too, so that an image's folder does not
    depend on the run.
    """
    places = Places({image.path for image in images})
    wanted = [places.place_of(image) for image in images]
    own = _apart(images, wanted)
    return [results / place for place in own]


def safe_path(name: str) -> PurePosixPath:
    """Return an image's name as a path that lies below whatever it is joined to."""
    parts = [part for part in PurePosixPath(name).parts if part != "/"]
    return PurePosixPath(*(_safe(part, at_top=False) for part in parts))


class Places:
    """Names of the folders of images, by what lies beside them on the disk.

    Args:
        asked: images that count as such, whatever their names.
    """

    def __init__(self, asked: set[Path]):
        self.asked = asked
        self._by_folder: dict[Path, dict[str, str]] = {}

    def place_of(self, image: NamedImage) -> PurePosixPath:
        """Return the place of an image's results, as a path below the results folder."""
        *above, last = PurePosixPath(image.name).parts or ("",)
        folders = [_safe(part, at_top=number == 0) for number, part in enumerate(above)]
        names = self._names_in(image.path.parent)
        name = names.get(image.path.name)
        if name is None:  # a file that is not there
            name = _first_free(last, taken=set())
        if not above and name.lower() in OWN_NAMES:
            name = _first_free(last, taken=set(OWN_NAMES))
        return PurePosixPath(*folders, name)

    def _names_in(self, folder: Path) -> dict[str, str]:
        """Return the result folder's name of each image in a folder."""
        if folder not in self._by_folder:
            images, folders = self._listing(folder)
            # Some disks do not tell upper from lower case.
            taken = {printable(Path(name)).lower() for name in folders}
            names = {}
            for name in images:
                names[name] = _first_free(printable(Path(name)), taken)
                taken.add(names[name].lower())
            self._by_folder[folder] = names
        return self._by_folder[folder]

    def _listing(self, folder: Path) -> tuple[list[str], list[str]]:
        """Return the names of a folder's images and of its sub-folders, sorted."""
        images = []
        folders = []
        for entry in _entries(folder):
            if Path(entry).is_dir():  # False for a link to itself, where entry.is_dir() raises
                folders.append(entry.name)
            elif is_image(entry.name) or folder / entry.name in self.asked:
                images.append(entry.name)
        return sorted(images), sorted(folders)


def _entries(folder: Path) -> Iterator[os.DirEntry]:
    """Yield what lies in a folder; nothing where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except (OSError, ValueError):  # not there, not to be read, or no path at all
        return


def _first_free(name: str, taken: Iterable[str]) -> str:
    """Return an image's name without its ending, else with it, else with digits; none is taken."""
    stem = PurePosixPath(name).stem
    for candidate in (stem, name):
        if _safe(candidate, at_top=False) == candidate and candidate.lower() not in taken:
            return candidate
    return _with_digits(name)


def _safe(part: str, *, at_top: bool) -> str:
    """Return one part of a path as it can stand in the results: as it is, if it can.

    Args:
        part: a name of a file or folder.
        at_top: whether it is to stand right below the results folder.
    """
    is_plain = part not in ("", ".", "..") and "/" not in part and "\0" not in part
    is_short = len(part.encode("utf-8", "replace")) <= LONGEST_NAME
    if is_plain and is_short and not (at_top and part.lower() in OWN_NAMES):
        return part
    return _with_digits(part)


def _with_digits(name: str) -> str:
    """Return a name that hardly any other has."""
    digits = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_DIGITS]
    kept = name.replace("/", "_").replace("\0", "_").strip(".")
    short = kept.encode("utf-8", "replace")[: LONGEST_NAME // 2].decode("utf-8", "ignore")
    return f"{short}-{digits}"


def _apart(images: Sequence[NamedImage], places: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    """Return the places, changed where two are the same or one lies in another."""
    above = {parent for place in places for parent in place.parents}
    used: set[PurePosixPath] = set()
    own = []
    for image, place in zip(images, places):
        if place in above:
            place = place.with_name(_first_free(PurePosixPath(image.name).name, {place.name}))
        if place in above or place in used:
            place = place.with_name(_with_digits(f"{place.name} {image.path}"))
        used.add(place)
        own.append(place)
    return own
