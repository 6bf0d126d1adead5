"""The results folder: names, what is there already, the record, the summary.

A folder per image, named after its path; sag.json in it is written last, so that its presence means that the
folder is complete. An image whose complete record has the same image, model and settings is not done again.
"""

import csv
import io
import json
import time
from pathlib import Path

import numpy as np

import draw_sag
from utils import IMAGE_ENDINGS, UserError, read_record, write_atomically

NOT_SETTINGS = ("images", "results", "overwrite", "device", "batch_size", "open",      # these change no result, and
                "regions", "region_names", "segments", "segmentation_weights")          # what these gave stands in the record by itself
SUMMARY = ("image", "category", "name", "probability", "roots", "smallest_root", "diverse", "nodes", "stopped_by",
           "complete", "asked", "scored", "seconds", "folder", "error")


def printable(path: Path) -> str:
    """A path as text that can be written, with forward slashes; bytes in it that are no UTF-8 become question marks."""
    return path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "replace")


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
    """Results/<path below --images, without its ending> for each image; with it where two differ in nothing else.

    Siblings that are not asked for now count too, so that an image's folder does not depend on the run.
    """
    taken, asked = {}, set(images)          # by name in lower case: some disks do not tell them apart
    for folder in sorted({image.parent for image in images}):
        for image in sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_ENDINGS or p in asked):
            taken.setdefault(str(image.with_suffix("")).lower(), image)
    own = {image: taken.get(str(image.with_suffix("")).lower()) == image for image in images}
    return {i: results / printable((i.with_suffix("") if own[i] else i).relative_to(root)) for i in images}


def category_folder(folder: Path, place: int, category: int) -> Path:
    """The image's folder for the most probable class (place 0), one inside it for each further class."""
    return folder if place == 0 else folder / f"category_{category}"


def done_before(folder: Path, fingerprint: dict, categories: int) -> list[dict]:
    """The records of an earlier run with the same image, model and settings, none cut short by time; else []."""
    records = [read_record(path) for path in (folder / "sag.json", *sorted(folder.glob("category_*/sag.json")))]
    same = [r for r in records if r and fingerprint_of(r) == fingerprint
            and r["search"]["complete"] and r["sag"].get("stopped_by") != "time_limit"]
    return same if records[0] in same and len(same) >= categories else []


def fingerprint_of(record: dict) -> dict:
    """What must agree for a record to stand: the image, the model, and every setting that changes a result."""
    settings = {k: v for k, v in record["settings"].items() if k not in NOT_SETTINGS}
    return {"image": record["image"], "sha256": record["image_sha256"], "model": record["model"], "settings": settings,
            "regions": record.get("regions", {}).get("from")}


def clear(folder: Path) -> None:
    """Remove an earlier run's files, the record first, and nothing that this program did not write."""
    (folder / "sag.json").unlink(missing_ok=True)
    for pattern in ("SAG_*roots*.*", "roots/*.png", "roots.png", "nodes/*.png", "perturbation_*.png", "gridimage.png", "comparison*.*",
                    "curves*.*", "dnf.txt", "dnf_gif.gif", "sag.html", ".sag.json.*", ".sag.html.*"):
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
    if (folder / "sag.json").exists() or (folder / "perturbation_original.png").exists():       # whole, or begun
        clear(folder)
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    draw_sag.draw_all(record, image, folder)
    times = record["seconds"]
    times["draw"] = time.monotonic() - start
    times["total"] = sum(times.values())
    write_atomically(folder / "sag.json", json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


# ---------------------------------------------------------------- all images

def summary_rows(records: list[dict], folder: Path, results: Path) -> list[dict]:
    """A row of summary.csv per record."""
    return [{
        "image": r["image"], "category": r["category"]["index"], "name": r["category"]["name"],
        "probability": f"{r['probability']:.6f}", "roots": len(r["roots"]), "smallest_root": min((len(x["patches"]) for x in r["roots"]), default=""),
        "diverse": len(r["diverse_set"]), "nodes": len(r["sag"]["nodes"]), "stopped_by": r["search"]["stopped_by"],
        "complete": r["search"]["complete"], "asked": r["evaluations"]["asked"], "scored": r["evaluations"]["scored"],
        "seconds": f"{r['seconds']['total']:.2f}", "error": "",
        "folder": category_folder(folder, i, r["category"]["index"]).relative_to(results).as_posix(),
    } for i, r in enumerate(records)]


def write_summary(results: Path, rows: list[dict]) -> None:
    """summary.csv: these rows, and what it said before of other images."""
    path, new = results / "summary.csv", {row["image"] for row in rows}
    if path.exists():
        with open(path, newline="", encoding="utf-8") as file:
            rows = rows + [{k: row.get(k, "") for k in SUMMARY} for row in csv.DictReader(file) if row.get("image") not in new]
    text = io.StringIO()
    writer = csv.DictWriter(text, SUMMARY, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: row["image"]))        # stable: an image's classes keep their order
    write_atomically(path, text.getvalue())
