"""The results folder: names, what is there already, the record, the summary.

A folder per image, named after its path; sag.json in it is written last, so that its presence means that the
folder is complete. An image whose complete record has the same image, model and settings is not done again.

Reading every record to find that out would take hours where there are many: they have megabytes. So finished.jsonl
notes of each finished image what its files looked like (size and time of change, as make and git do) and its rows of
the summary. Where a file looks otherwise, or the note is missing or damaged, the record itself is read; deleting
finished.jsonl has all of them read, and loses nothing.
"""

import csv
import hashlib
import importlib.util
import io
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from drawing.figures import draw_all
from utils import printable, IMAGE_ENDINGS, UserError, write_atomically
from running.record_files import read_record

NOT_SETTINGS = (
    "images",
    "results",
    "overwrite",
    "device",
    "batch_size",
    "open",
    "ray",  # these change no result, and
    "regions",
    "region_names",
    "segments",
    "segmentation_weights",
)  # what these gave stands in the record by itself
SUMMARY = (
    "image",
    "category",
    "name",
    "probability",
    "roots",
    "smallest_root",
    "diverse",
    "nodes",
    "stopped_by",
    "complete",
    "asked",
    "scored",
    "seconds",
    "folder",
    "error",
)
NUMBERS = {
    "category": int,
    "probability": float,
    "roots": int,
    "smallest_root": int,
    "diverse": int,
    "nodes": int,
    "complete": bool,
    "asked": int,
    "scored": int,
    "seconds": float,
}  # types in summary.parquet; all else is text

FINISHED = "finished.jsonl"


class Job(NamedTuple):
    """An image to do."""

    path: Path
    name: str  # below --images, as text that can be written
    folder: Path  # of its results


class Outcome(NamedTuple):
    """What became of an image."""

    name: str
    rows: list[dict]  # of the summary; one with an error where it failed
    line: str  # for the log
    searching: float = 0.0  # seconds of a new search
    note: dict | None = None  # for finished.jsonl


def make_writable(folder: Path) -> None:
    """Make the results folder, or raise UserError with why it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / ".writable", "")
        (folder / ".writable").unlink()
    except OSError as error:
        raise UserError(f"--results {folder}: {error.strerror}") from error


# ---------------------------------------------------------------- one image


def result_folders(images: list[Path], root: Path, results: Path) -> dict[Path, Path]:
    """Results/<path below --images, without its ending> for each image; with it where two differ in nothing else."""
    later = later_namesakes(images)
    return {
        image: results
        / printable((image if image in later else image.with_suffix("")).relative_to(root))
        for image in images
    }


def later_namesakes(images: list[Path]) -> set[Path]:
    """The images that differ from an earlier one of their folder in nothing but the ending.

    Siblings that are not asked for now count too, so that an image's folder does not depend on the run.
    """
    taken, asked = {}, set(images)  # by name in lower case: some disks do not tell them apart
    for folder in sorted({image.parent for image in images if image.parent.is_dir()}):
        for image in (folder / name for name in sorted(os.listdir(folder))):
            if image.suffix.lower() in IMAGE_ENDINGS or image in asked:
                taken.setdefault(str(image.with_suffix("")).lower(), image)
    return {
        image for image in images if taken.get(str(image.with_suffix("")).lower(), image) != image
    }


def category_folder(folder: Path, place: int, category: int) -> Path:
    """The image's folder for the most probable class (place 0), one inside it for each further class."""
    return folder if place == 0 else folder / f"category_{category}"


def done_before(folder: Path, fingerprint: dict, categories: int) -> list[dict]:
    """The records of an earlier run with the same image, model and settings, none cut short by time; else []."""
    records = [
        read_record(path)
        for path in (folder / "sag.json", *sorted(folder.glob("category_*/sag.json")))
    ]
    same = [
        r
        for r in records
        if r
        and fingerprint_of(r) == fingerprint
        and r["search"]["complete"]
        and r["sag"].get("stopped_by") != "time_limit"
    ]
    return same if records[0] in same and len(same) >= categories else []


def fingerprint_of(record: dict) -> dict:
    """What must agree for a record to stand: the image, the model, and every setting that changes a result."""
    settings = {k: v for k, v in record["settings"].items() if k not in NOT_SETTINGS}
    return {
        "image": record["image"],
        "sha256": record["image_sha256"],
        "model": record["model"],
        "settings": settings,
        "regions": record.get("regions", {}).get("from"),
    }


def seen(path: Path) -> list[int]:
    """What a file looks like without being read: its size, and the nanosecond of its last change; [] where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def run_key(model: dict, settings: dict) -> str:
    """One word for all that a note in finished.jsonl must agree in with a run: model, settings, columns of the summary."""
    same = {
        "model": model,
        "settings": {k: v for k, v in settings.items() if k not in NOT_SETTINGS},
        "columns": SUMMARY,
    }
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()


def note_of(job: Job, image_seen: list[int], records: list[dict], rows: list[dict]) -> dict | None:
    """An image's note for finished.jsonl. image_seen: before the image was read. None where time cut the search short, or for regions: they depend on more files."""
    if "regions" in records[0] or not all(
        r["search"]["complete"] and r["sag"].get("stopped_by") != "time_limit" for r in records
    ):
        return None
    folders = [
        category_folder(Path(), place, r["category"]["index"]) for place, r in enumerate(records)
    ]
    looks = {
        (folder / "sag.json").as_posix(): seen(job.folder / folder / "sag.json")
        for folder in folders
    }
    return {
        "image": job.name,
        "key": run_key(records[0]["model"], records[0]["settings"]),
        "seen": image_seen,
        "records": looks,
        "rows": rows,
    }


def note_finished(results: Path, note: dict) -> None:
    """Append a note. The line break comes first: what a kill cut off then spoils no later note."""
    with (
        suppress(OSError),
        open(results / FINISHED, "a", encoding="utf-8") as file,
    ):  # without it the record is read next time
        file.write("\n" + json.dumps(note, ensure_ascii=False))


def finished_before(results: Path, jobs: list[Job], key: str) -> dict[str, list[dict]]:
    """Of each image that is done with this key and whose files look as they did then: the rows of the summary, by name."""
    notes, found = {}, {}
    try:
        lines = (results / FINISHED).read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return {}
    for line in lines:
        try:
            note = json.loads(line)
            notes[note["image"]] = note
        except (ValueError, KeyError, TypeError):  # cut off by a kill
            pass
    for job in jobs:
        note = notes.get(job.name)
        if note and note["key"] == key and note["seen"] and note["seen"] == seen(job.path):
            if all(
                look and look == seen(f"{job.folder}/{name}")
                for name, look in note["records"].items()
            ):
                found[job.name] = note["rows"]
    return found


def clear(folder: Path) -> None:
    """Remove an earlier run's files, the record first, and nothing that this program did not write."""
    (folder / "sag.json").unlink(missing_ok=True)
    for pattern in (
        "SAG_*roots*.*",
        "roots/*.png",
        "roots.png",
        "nodes/*.png",
        "perturbation_*.png",
        "gridimage.png",
        "comparison*.*",
        "curves*.*",
        "dnf.txt",
        "dnf_gif.gif",
        "sag.html",
        ".sag.json.*",
        ".sag.html.*",
    ):
        for file in folder.glob(pattern):
            file.unlink()


def save(records: list[dict], image: np.ndarray, folder: Path) -> None:
    """Draw and write an image's records. The most probable class comes last: its record completes the folder."""
    for stale in folder.glob("category_*/sag.json"):
        clear(stale.parent)
    for place, record in reversed(list(enumerate(records))):
        save_one(record, image, category_folder(folder, place, record["category"]["index"]))


def save_one(record: dict, image: np.ndarray, folder: Path) -> None:
    """Draw everything, note the time, then write sag.json, last and atomically."""
    if (folder / "sag.json").exists() or (
        folder / "perturbation_original.png"
    ).exists():  # whole, or begun
        clear(folder)
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    draw_all(record, image, folder)
    times = record["seconds"]
    times["draw"] = time.monotonic() - start
    times["total"] = sum(times.values())
    write_atomically(
        folder / "sag.json",
        json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
    )


# ---------------------------------------------------------------- all images


def summary_rows(records: list[dict], folder: Path, results: Path) -> list[dict]:
    """A row of summary.csv per record."""
    return [
        {
            "image": r["image"],
            "category": r["category"]["index"],
            "name": r["category"]["name"],
            "probability": f"{r['probability']:.6f}",
            "roots": len(r["roots"]),
            "smallest_root": min((len(x["patches"]) for x in r["roots"]), default=""),
            "diverse": len(r["diverse_set"]),
            "nodes": len(r["sag"]["nodes"]),
            "stopped_by": r["search"]["stopped_by"],
            "complete": r["search"]["complete"],
            "asked": r["evaluations"]["asked"],
            "scored": r["evaluations"]["scored"],
            "seconds": f"{r['seconds']['total']:.2f}",
            "error": "",
            "folder": category_folder(folder, i, r["category"]["index"])
            .relative_to(results)
            .as_posix(),
        }
        for i, r in enumerate(records)
    ]


def write_summary(results: Path, rows: list[dict]) -> None:
    """summary.csv and summary.parquet: these rows, and what the first said before of other images."""
    write_parquet(results / "summary.parquet", merge_rows(results / "summary.csv", rows, SUMMARY))


def merge_rows(path: Path, rows: list[dict], columns: tuple[str, ...]) -> list[dict]:
    """Write a CSV file of these rows and those that it had before of other images (column "image"). -> all of them, by image."""
    new = {row["image"] for row in rows}
    if path.exists():
        with open(path, newline="", encoding="utf-8") as file:
            rows = rows + [
                {k: row.get(k, "") for k in columns}
                for row in csv.DictReader(file)
                if row.get("image") not in new
            ]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    rows = sorted(rows, key=lambda row: row["image"])  # stable: an image's classes keep their order
    writer.writerows(rows)
    write_atomically(path, text.getvalue())
    return rows


def write_parquet(path: Path, rows: list[dict]) -> None:
    """The summary in columns with types, "" as null, where pyarrow is installed; else an older one, which would not agree, goes."""
    if importlib.util.find_spec("pyarrow") is None:
        path.unlink(missing_ok=True)
        return
    import pyarrow  # here: half a second, and only requirements_distributed.txt brings it
    from pyarrow.parquet import write_table

    read = {int: int, float: float, bool: lambda value: str(value) == "True", str: str}
    kinds = {column: NUMBERS.get(column, str) for column in SUMMARY}
    types = {
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        bool: pyarrow.bool_(),
        str: pyarrow.string(),
    }
    file = io.BytesIO()
    write_table(
        pyarrow.table(
            {
                column: pyarrow.array(
                    [None if row[column] == "" else read[kind](row[column]) for row in rows],
                    types[kind],
                )
                for column, kind in kinds.items()
            }
        ),
        file,
    )
    write_atomically(path, file.getvalue())
