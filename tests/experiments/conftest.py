"""What the tests of the experiments share: labelled images, runs of the command, rows."""

import csv
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

import reproduce_paper
from experiments.rows import MainJobRow, SearchRow

PLANTED_FILE = Path(__file__).resolve().parent.parent / "planted.py"
CLASS_NAMES = ["zero, nought", "one", "two"]


@dataclass
class PaperRun:
    """Runs of reproduce_paper.py on three white images, for a planted network.

    Two images are labelled rightly, in the folder "one"; one wrongly, in the folder "two".
    """

    images: Path
    out: Path
    labels: Path

    def __call__(self, *more, results: Path | None = None) -> int:
        """Run the command with further options and return its exit status."""
        options = {
            "--images": self.images,
            "--results": results or self.out,
            "--model": f"{PLANTED_FILE}:network",
            "--labels": self.labels,
            "--grid": 4,
            "--device": "cpu",
            "--sample": 2,
            "--combs": 3,
            "--exhaustive": 2,
        }
        given = [text for option in options.items() for text in option]
        return run_paper(*given, *more)

    def table(self, name: str, results: Path | None = None) -> list[dict[str, str]]:
        """Return the rows of a table's CSV."""
        path = (results or self.out) / f"tables/{name}.csv"
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def by_search(self, name: str) -> dict[str, dict[str, str]]:
        """Return a table's rows by their first column."""
        rows = self.table(name)
        first = next(iter(rows[0]))
        return {row[first]: row for row in rows}


def run_paper(*options) -> int:
    """Run reproduce_paper.py in this process and return its exit status."""
    try:
        return reproduce_paper.main([str(option) for option in options])
    except SystemExit as end:
        return end.code


def make_paper_run(folder: Path) -> PaperRun:
    """Make the images and the file of class names."""
    images = folder / "in"
    for name in ("one/a.png", "one/b.png", "two/c.png"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (56, 56), "white").save(images / name)
    labels = folder / "names.txt"
    labels.write_text("\n".join(CLASS_NAMES) + "\n")
    return PaperRun(images, folder / "out", labels)


@pytest.fixture
def paper(tmp_path):
    """Return runs of the command in a folder of their own."""
    return make_paper_run(tmp_path)


@pytest.fixture
def run():
    """Return a run of the command with nothing but the given options."""
    return run_paper


@pytest.fixture(scope="session")
def finished_paper(tmp_path_factory):
    """Return a finished run of all conditions."""
    paper = make_paper_run(tmp_path_factory.mktemp("paper"))
    assert paper() == 0
    return paper


@pytest.fixture
def class_names():
    """Return the class names of the planted network."""
    return CLASS_NAMES


# ---------------------------------------------------------------- rows


def row_fields(image, sizes, diverse, changes):
    """Return the fields of a row of one image whose MSEs have these sizes."""
    fields = {
        "image": image,
        "category": 1,
        "label": 1,
        "sizes": sizes,
        "small": set(),
        "patches": [],
        "proven": len(sizes),
        "diverse": dict(enumerate(diverse)),
        "diverse_proven": True,
        "asked": 20,
        "scored": 10,
        "seconds": 2.0,
        "ground_truth": None,
    }
    return fields | changes


@pytest.fixture
def search_row():
    """Return a maker of rows of one search."""

    def make(image, sizes, diverse=(1, 2, 3), **changes):
        return SearchRow(**row_fields(image, sizes, diverse, changes))

    return make


@pytest.fixture
def main_job_row():
    """Return a maker of rows of the main job."""

    def make(image, sizes, diverse=(1, 2, 3), **changes):
        fields = {
            "probability": 0.5,
            "curves": None,
            "questions": 4 if changes.get("accuracy") else 0,
            "accuracy": {},
            "groups": {},
        }
        return MainJobRow(**row_fields(image, sizes, diverse, fields | changes))

    return make
