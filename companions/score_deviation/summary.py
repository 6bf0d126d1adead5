"""One line about each image of a run: for the log, and as a row of summary.csv."""

from typing import Any

from companions.score_deviation.record import DeviationRecord

COLUMNS = (
    "image",
    "category",
    "probability",
    "true",
    "predicted",
    "labels",
    "most_supporting",
    "deviation",
    "most_distracting",
    "lowest_deviation",
    "folder",
    "error",
)
MOST_NAMED = 3  # labels in the line for the log


def summary_row(record: DeviationRecord, folder: str) -> dict[str, Any]:
    """Return the row of an image; folder: of its results, below the run's."""
    lowest = min(record.labels, key=lambda label: label.deviation)
    # Of equal deviations the last label is named, as in sorted order.
    highest = max(reversed(record.labels), key=lambda label: label.deviation)
    return {
        "image": record.image,
        "category": record.category.name,
        "probability": f"{record.probability:.6f}",
        "true": record.true.name if record.true else "",
        "predicted": record.predicted.name,
        "labels": len(record.labels),
        "most_supporting": highest.name,
        "deviation": f"{highest.deviation:.6f}",
        "most_distracting": lowest.name,
        "lowest_deviation": f"{lowest.deviation:.6f}",
        "folder": folder,
        "error": "",
    }


def failed_row(image: str, reason: str) -> dict[str, Any]:
    """Return the row of an image that could not be explained."""
    return {**dict.fromkeys(COLUMNS, ""), "image": image, "error": reason}


def log_line(record: DeviationRecord) -> str:
    """Return an image's line in the log: its class and the labels that matter most."""
    largest = sorted(record.labels, key=lambda label: -abs(label.deviation))[:MOST_NAMED]
    named = ", ".join(f"{label.name} {label.deviation:+.3f}" for label in largest)
    return f"{record.category.name} {record.probability:.3f}: {named} ({len(record.labels)} labels)"
