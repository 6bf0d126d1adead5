"""The files of one result: drawn beside the old ones, exchanged at the end, removed by name.

    with drawn_beside(folder) as new:
        draw_all(sag, image, new)
        sag.files = files_below(new)
        write_record(new / RECORD, sag)
        exchange(new, folder)

A record lists its files. Only these, and the same figures in another format or style, are ever
removed: whatever else lies in the folder stays.
"""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from drawing.record import Sag
from running.record_files import RECORD, read_record
from running.result_folders import require_below
from utils import UserError, require_regular

NEW = ".new."  # how the name of the folder begins that is drawn into
FIGURES = ("SAG_", "comparison", "curves")  # draw_sag.py draws these in other formats and styles
FIGURE_ENDINGS = (".png", ".svg", ".pdf", "_paper.png", "_paper.svg", "_paper.pdf")
# What versions wrote whose records do not list their files.
OLDER_FILES = re.compile(
    r"SAG_(dag_|final_)?\d+roots(_paper)?\.(dot|png|svg|pdf)"
    r"|(comparison|curves)(_paper)?\.(png|svg|pdf)|comparison\.gif"
    r"|roots/\d+_[\d-]*\.png|nodes/\d[\d-]*\.png|nodes/none\.png"
    r"|perturbation_(original|heatmap|imposed_heatmap|blurred)\.png"
    r"|roots\.png|gridimage\.png|dnf\.txt|dnf_gif\.gif|sag\.html"
)
# How a whole file of a kind ends.
ENDINGS = {
    ".png": b"IEND\xaeB`\x82",
    ".gif": b";",
    ".pdf": b"%%EOF",
    ".svg": b"</svg>",
    ".html": b"</html>",
    ".dot": b"}",
}


# A record that utils.write_atomically() was writing, and the number of the process.
HALF_WRITTEN = re.compile(r"\.(\d{1,9})\.(?:sag\.json|\.sag\.json\.undrawn|\.scores_\d+\.npz)")


@contextmanager
def drawn_beside(folder: Path) -> Iterator[Path]:
    """Make a new folder inside a result's folder, and remove it at the end.

    It is locked until then: the system ends the lock of a process that is killed.
    """
    remove_leftovers(folder)
    folder.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=NEW, dir=folder))
    with _locked(new):
        try:
            yield new
        finally:
            shutil.rmtree(new, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed have left in a result's folder."""
    for left in folder.glob(f"{NEW}*"):
        with suppress(BlockingIOError, FileNotFoundError), _locked(left):
            shutil.rmtree(left, ignore_errors=True)
    for left in folder.glob(".*"):
        pid = HALF_WRITTEN.fullmatch(left.name)
        if pid and not _is_running(int(pid[1])):
            with suppress(OSError):
                left.unlink()


def _is_running(pid: int) -> bool:
    """Return whether there is a process of this number on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder.

    Raises:
        BlockingIOError: another process holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # a disk without locks
            pass
        yield
    finally:
        os.close(descriptor)


def files_below(folder: Path) -> list[str]:
    """Return the files below a folder, as paths with forward slashes, sorted."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def exchange(new: Path, folder: Path) -> None:
    """Put new files into a result's folder, in place of those of the record that it has.

    The record goes first and comes last, so that its presence means that the folder is complete.

    Args:
        new: the new files, the record among them.
        folder: of the result.

    Raises:
        OSError: a file cannot be put into its place.
        UserError: a link in the folder leads out of it, or a folder is in a file's place.
    """
    names = [name for name in files_below(new) if name != RECORD]
    for place in {(folder / name).parent for name in names} - {folder}:
        require_below(place, folder)
    for name in (*names, RECORD):
        if (folder / name).is_dir():
            raise UserError(f"{folder / name}: a folder where a file is to be written")
    stale = set(files_of(folder)).difference(names)
    (folder / RECORD).unlink(missing_ok=True)
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        os.replace(new / name, folder / name)
    remove(folder, stale)
    os.replace(new / RECORD, folder / RECORD)


def files_of(folder: Path) -> list[str]:
    """Return the files that belong to the record in a folder, and are there.

    These are the files that it lists, and the same figures in another format or style. For a record
    without a list they are found by the names that this program gives.
    """
    if not (folder / RECORD).exists():
        return []
    sag = read_record(folder / RECORD)
    if sag is None or not sag.files:
        shown = [path for path in folder.glob("*") if path.is_file()]
        shown += [path for name in ("roots", "nodes") for path in (folder / name).glob("*")]
        names = [path.relative_to(folder).as_posix() for path in shown]
        return [name for name in names if OLDER_FILES.fullmatch(name)]
    own = [name for name in sag.files if _is_inside(name)]
    figures = {PurePosixPath(name).stem for name in own if name.startswith(FIGURES)}
    own += [f"{stem}{ending}" for stem in sorted(figures) for ending in FIGURE_ENDINGS]
    return [name for name in dict.fromkeys(own) if (folder / name).is_file()]


def _is_inside(name: str) -> bool:
    """Return whether a record may list this name: that of a file in its own folder."""
    parts = PurePosixPath(name).parts
    return 1 <= len(parts) <= 2 and not name.startswith("/") and ".." not in parts


def remove(folder: Path, names: Iterable[str]) -> None:
    """Remove files of a result, and folders in it that are empty then."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
    for name in ("roots", "nodes"):
        with suppress(OSError):  # it is not there, or not empty
            (folder / name).rmdir()


def clear(folder: Path) -> None:
    """Remove a result: its record first, then the record's files; and the folder, if empty."""
    names = files_of(folder)
    (folder / RECORD).unlink(missing_ok=True)
    remove(folder, names)
    with suppress(OSError):
        folder.rmdir()


# ---------------------------------------------------------------- whether all is there


def are_whole(folder: Path, sag: Sag) -> bool:
    """Return whether every file that a record lists is there, and none of them is cut off."""
    return all(_is_whole(folder / name) for name in sag.files if _is_inside(name))


def _is_whole(path: Path) -> bool:
    end = ENDINGS.get(path.suffix, b"")
    try:
        require_regular(path)
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(end) - 2))  # a line break may follow
            return size > 0 and file.read().rstrip().endswith(end)
    except (OSError, ValueError):
        return False


def count_files(folder: Path) -> list[int]:
    """Return how many visible files lie below a folder, and their bytes."""
    number = 0
    size = 0
    for place, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                with suppress(OSError):
                    size += os.lstat(os.path.join(place, name)).st_size
                    number += 1
    return [number, size]
