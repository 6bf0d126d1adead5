"""The results folder: names, what exists already, the record, the summary.

Each image has a folder named after its path. sag.json in it is written last, so that its presence
means that the folder is complete. An image whose complete record has the same image, model and
settings is skipped.

Reading every record to find that out would take hours where there are many: they have megabytes. So
finished.jsonl notes of each finished image what its files looked like (size and time of change, as
make and git do) and its rows of the summary. Where a file looks different, or the note is missing
or damaged, the record itself is read. Deleting finished.jsonl has all of them read, and loses
nothing.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from drawing.figures import Look, draw_all
from drawing.record import Sag
from drawing.styles import Pictures
from running.kept_scores import remove_scores
from running.record_files import RECORD, read_record, write_record
from running.result_files import (
    are_whole,
    clear,
    count_files,
    drawn_beside,
    exchange,
    files_below,
    remove_leftovers,
)
from running.result_folders import NamedImage, require_below, result_folders
from running.summary import SUMMARY
from utils import UserError, printable, read_bytes

# These settings change no result, or what they gave is in the record by itself.
NOT_SETTINGS = (
    "images",
    "results",
    "overwrite",
    "device",
    "backend",
    "output",
    "batch_size",
    "open",
    "ray",
    "regions",
    "region_names",
    "segments",
    "segmentation_weights",
    "run",
    "pictures",
    "images_at_once",
    "threads",
)
# What commands put into a results folder beside the images' own.
OWN_FOLDERS = (
    "answers",
    "classes",
    "figures",
    "generated",
    "improved",
    "live",
    "measurements",
    "sheets",
    "tables",
)
LEAST_FREE = 20_000_000  # bytes on the disk of the results; an image's are about 1 MB
FINISHED = "finished.jsonl"
UNDRAWN = ".sag.json.undrawn"
PICTURES: tuple[Pictures, ...] = ("none", "graph", "all")  # each writes what those before it write


class Job(NamedTuple):
    """An image to process."""

    path: Path
    name: str  # below --images, as text that can be written
    folder: Path  # of its results


@dataclass(frozen=True)
class FileStamp:
    """What a file looks like without being read."""

    size: int
    changed_ns: int

    def as_list(self) -> list[int]:
        """Return the stamp as it stands in finished.jsonl."""
        return [self.size, self.changed_ns]


def make_writable(folder: Path, option: str = "--results") -> None:
    """Make the results folder.

    Args:
        folder: to make.
        option: that names it, for messages.

    Raises:
        UserError: it cannot be written, or one of the program's folders in it leads out of it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in OWN_FOLDERS:
            if (folder / name).is_symlink():
                require_below(folder / name, folder)
        (folder / ".writable").touch()  # where a kill leaves it, the next run removes it
        (folder / ".writable").unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise UserError(f"{option} {folder}: {error.strerror}") from error
    if free < LEAST_FREE:
        raise UserError(f"{option} {folder}: {free / 1e6:.0f} MB are free on its disk; too few")


# ---------------------------------------------------------------- names


def make_jobs(images: Sequence[Path], *, root: Path, results: Path) -> list[Job]:
    """Return a job for each image; see running/result_folders.py for the folders."""
    named = [NamedImage(path, printable(path.relative_to(root))) for path in images]
    folders = result_folders(named, results)
    return [Job(image.path, image.name, folder) for image, folder in zip(named, folders)]


def category_folder(folder: Path, place: int, category: int) -> Path:
    """Return the image's folder for the most probable class, one inside it for each further class.

    Args:
        folder: of the image.
        place: 0 for the most probable class.
        category: class index.
    """
    return folder if place == 0 else folder / f"category_{category}"


# ---------------------------------------------------------------- what exists already


def is_whole(sag: Sag) -> bool:
    """Return whether the time limit cut nothing short: search, graph or curves."""
    if "time_limit" in (sag.search.stopped_by, sag.sag.stopped_by):
        return False
    return sag.curves is not None or sag.probability <= 0


@dataclass(frozen=True)
class Earlier:
    """The records that an earlier run has left of an image.

    Attributes:
        sags: the records, the most probable class first; none where something differs.
        are_drawn: whether all the pictures that are wanted were drawn.
    """

    sags: Sequence[Sag] = ()
    are_drawn: bool = False


def done_before(
    folder: Path, fingerprint: dict[str, Any], categories: int, pictures: Pictures = "all"
) -> Earlier:
    """Return the whole records of an earlier run with the same fingerprint.

    Args:
        folder: of the image.
        fingerprint: as fingerprint_of returns it.
        categories: number of classes that the run explains.
        pictures: that the run draws.
    """
    folders = [folder, *sorted(folder.glob("category_*"))]
    drawn = [read_record(path / RECORD) for path in folders]
    undrawn = [read_record(path / UNDRAWN) for path in folders]

    def fits(sag: Sag | None) -> bool:
        return sag is not None and is_whole(sag) and fingerprint_of(sag) == fingerprint

    for path, record in zip(folders, drawn):
        if fits(record):  # it is written last: a run was killed before it removed the other
            (path / UNDRAWN).unlink(missing_ok=True)
            remove_leftovers(path)
    newest = [record if fits(record) else waiting for record, waiting in zip(drawn, undrawn)]
    same = [sag for sag in newest if sag is not None and fits(sag)]
    if newest[0] not in same or len(same) < categories:
        return Earlier()
    is_drawn = [
        sag is record and are_enough(pictures_of(sag), pictures) and are_whole(path, sag)
        for path, record, sag in zip(folders, drawn, newest)
        if sag is not None and fits(sag)
    ]
    return Earlier(same, are_drawn=all(is_drawn))


def fingerprint_of(sag: Sag) -> dict[str, Any]:
    """Return what must agree for a record to stand: image, model, settings that change results."""
    return fingerprint(
        image=sag.image,
        sha256=sag.image_sha256,
        model=msgspec.to_builtins(sag.model),
        settings=sag.settings,
        regions=sag.regions.source if sag.regions else None,
    )


def fingerprint(
    *,
    image: str,
    sha256: str,
    model: Mapping[str, Any],
    settings: Mapping[str, Any],
    regions: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the fingerprint of a result that may or may not exist yet; see fingerprint_of."""
    return {
        "image": image,
        "sha256": sha256,
        "model": model,
        "settings": result_settings(settings),
        "regions": regions,
    }


def result_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that change results.

    Earlier records have a category's number as a number; it is compared as text.
    """
    kept = {name: value for name, value in settings.items() if name not in NOT_SETTINGS}
    if isinstance(kept.get("category"), int):
        kept["category"] = str(kept["category"])
    return kept


def stamp(path: Path) -> FileStamp | None:
    """Return what a file looks like; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return FileStamp(status.st_size, status.st_mtime_ns)


def run_key(model: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Return one word for all that a note in finished.jsonl and a run must agree in.

    These are the model, the settings that change results, and the columns of the summary.
    """
    same = {"model": model, "settings": result_settings(settings), "columns": SUMMARY}
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()


def note_of(
    job: Job, image_stamp: FileStamp | None, sags: Sequence[Sag], rows: list[dict]
) -> dict[str, Any] | None:
    """Return an image's note for finished.jsonl.

    Args:
        job: the image.
        image_stamp: taken before the image was read.
        sags: its records.
        rows: its rows of the summary.

    Returns:
        None where time cut something short, or for regions: these depend on more files.
    """
    if sags[0].regions or not all(is_whole(sag) for sag in sags):
        return None
    stamps = {}
    for place, sag in enumerate(sags):
        name = (category_folder(Path(), place, sag.category.index) / RECORD).as_posix()
        stamps[name] = _stamp_list(job.folder / name)
    return {
        "image": job.name,
        "key": run_key(msgspec.to_builtins(sags[0].model), sags[0].settings),
        "pictures": pictures_of(sags[0]),
        "seen": image_stamp.as_list() if image_stamp else [],
        "records": stamps,
        "files": count_files(job.folder),
        "rows": rows,
    }


def _stamp_list(path: Path) -> list[int]:
    found = stamp(path)
    return found.as_list() if found else []


def note_finished(results: Path, note: dict[str, Any]) -> None:
    """Append a note to finished.jsonl.

    The line break comes first: what a kill cut off then spoils no later note. Where the file cannot
    be written, the record is read next time.
    """
    path = results / FINISHED
    if path.is_symlink() or (path.exists() and not path.is_file()):
        return  # a link may lead out of the results
    with suppress(OSError), open(path, "a", encoding="utf-8") as file:
        file.write("\n" + json.dumps(note, ensure_ascii=False))


def pictures_of(sag: Sag) -> Pictures:
    """Return which pictures of a record were drawn; older records have all."""
    return sag.settings.get("pictures", "all")


def are_enough(drawn: Pictures, wanted: Pictures) -> bool:
    """Return whether the pictures that were drawn include those that are wanted."""
    return PICTURES.index(drawn) >= PICTURES.index(wanted)


def finished_before(
    results: Path, jobs: Sequence[Job], key: str, pictures: Pictures = "all"
) -> dict[str, list[dict]]:
    """Return the summary rows of the images that finished with this key and look as they did then.

    Args:
        results: the results folder.
        jobs: the images of the run.
        key: as run_key returns it.
        pictures: that the run draws.

    Returns:
        Rows by the image's name.
    """
    notes = _read_notes(results / FINISHED)
    found = {}
    for job in jobs:
        note = notes.get(job.name)
        if not note or note.key != key or not _still_looks_so(job, note):
            continue
        if are_enough(note.pictures, pictures):
            found[job.name] = note.rows
    return found


class _Note(msgspec.Struct, kw_only=True):
    """A note as finished.jsonl has it; see note_of."""

    image: str
    key: str
    pictures: Pictures = "all"
    seen: list[int]
    records: dict[str, list[int]]
    files: list[int] = []
    rows: list[dict[str, str | int | float | bool | None]]


def _read_notes(path: Path) -> dict[str, _Note]:
    """Return the last note of each image; a line that is none is passed over."""
    try:
        lines = read_bytes(path).split(b"\n")
    except (OSError, ValueError):
        return {}
    decoder = msgspec.json.Decoder(_Note)
    notes = {}
    for line in lines:
        with suppress(msgspec.MsgspecError, ValueError, RecursionError):  # a kill cut it off
            note = decoder.decode(line)
            if all(set(row) == set(SUMMARY) for row in note.rows):
                notes[note.image] = note
    return notes


def _still_looks_so(job: Job, note: _Note) -> bool:
    if not note.seen or note.seen != _stamp_list(job.path):
        return False
    has_records = all(
        noted and noted == _stamp_list(job.folder / name) for name, noted in note.records.items()
    )
    return has_records and note.files == count_files(job.folder)


# ---------------------------------------------------------------- writing


def keep_all(sags: Sequence[Sag], folder: Path) -> None:
    """Write an image's records to .sag.json.undrawn, beside earlier results.

    The most probable class comes last: its record says that all are there.

    Args:
        sags: the records, the most probable class first.
        folder: of the image.
    """
    for place, sag in reversed(list(enumerate(sags))):
        keep(sag, category_folder(folder, place, sag.category.index))
    remove_scores(folder)


def keep(sag: Sag, folder: Path) -> None:
    """Write a record to .sag.json.undrawn; an earlier result stays until this one is drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder / UNDRAWN, sag)


def save_all(
    sags: Sequence[Sag], image: np.ndarray, folder: Path, pictures: Pictures = "all"
) -> None:
    """Draw and write an image's records.

    The most probable class comes last: its record completes the folder.

    Args:
        sags: the records, the most probable class first.
        image: (H, W, 3) uint8 RGB, as the network saw it.
        folder: of the image.
        pictures: which pictures are drawn.
    """
    keep_all(sags, folder)
    draw_kept(sags, image, folder, pictures)


def draw_kept(
    sags: Sequence[Sag], image: np.ndarray, folder: Path, pictures: Pictures = "all"
) -> None:
    """Draw records that were kept aside, and put them into their place; see save_all."""
    folders = []
    for place, sag in reversed(list(enumerate(sags))):
        folders.append(category_folder(folder, place, sag.category.index))
        _draw(sag, image, folders[-1], pictures)
    for stale in folder.glob("category_*"):
        if stale not in folders:
            _clear_category(stale, sags[0].image)


def _clear_category(folder: Path, image: str) -> None:
    """Remove what an earlier run left of a further class of this image."""
    records = [read_record(folder / name) for name in (RECORD, UNDRAWN)]
    if any(sag is not None and sag.image == image for sag in records):
        (folder / UNDRAWN).unlink(missing_ok=True)
        clear(folder)


def save(sag: Sag, image: np.ndarray, folder: Path) -> None:
    """Draw everything of one record and write it."""
    keep(sag, folder)
    _draw(sag, image, folder, "all")


def _draw(sag: Sag, image: np.ndarray, folder: Path, pictures: Pictures) -> None:
    """Draw beside what is there, note the time that took, and exchange the files at the end."""
    start = time.monotonic()
    with drawn_beside(folder) as new:
        draw_all(sag, image, new, Look(pictures=pictures))
        if sag.settings:
            sag.settings["pictures"] = pictures
        seconds = sag.seconds
        seconds.draw = time.monotonic() - start
        searched = seconds.search + seconds.tree + seconds.needed + seconds.what_if
        seconds.total = seconds.mask + searched + seconds.curves + seconds.draw
        sag.files = files_below(new)
        write_record(new / RECORD, sag)
        exchange(new, folder)
    (folder / UNDRAWN).unlink(missing_ok=True)
