"""summary.parquet, written where pyarrow is installed, against summary.csv."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import main_generate_sag
from utils import PROJECT

ROUNDED = ("probability", "seconds")  # columns with fewer digits in the CSV


def run_planted(images, results):
    """Run the main job on the planted network; return its exit status."""
    model = PROJECT / "tests/planted.py:network"
    options = ("--images", images, "--results", results, "--model", model, "--grid", 4)
    more = ("--category", 1, "--device", "cpu", "--max-num-roots", 1)
    return main_generate_sag.main([str(option) for option in (*options, *more)])


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two images and a file that is none."""
    folder = tmp_path_factory.mktemp("parquet")
    noise = np.random.default_rng(0).integers(190, 256, (2, 56, 56, 3), dtype=np.uint8)
    for name, pixels in zip("ab", noise, strict=True):
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "bad.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def summary(images, tmp_path_factory):
    """The rows of both files of a run in which one image of three failed."""
    parquet = pytest.importorskip(
        "pyarrow.parquet",
        reason="pyarrow is not installed: pip install -r requirements_distributed.txt",
    )
    results = tmp_path_factory.mktemp("results")
    status = run_planted(images, results)
    with open(results / "summary.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table = parquet.read_table(results / "summary.parquet")
    return SimpleNamespace(
        results=results, status=status, csv=rows, table=table, parquet=table.to_pylist()
    )


def text(value):
    """Return a value as the CSV file writes it."""
    return "" if value is None else str(value)


def test_every_image_has_a_row(summary):
    assert summary.status == 1
    assert len(summary.parquet) == len(summary.csv) == 3


def test_parquet_says_what_the_csv_says(summary):
    for typed, row in zip(summary.parquet, summary.csv, strict=True):
        assert {name: text(value) for name, value in typed.items() if name not in ROUNDED} == {
            name: value for name, value in row.items() if name not in ROUNDED
        }


def test_parquet_has_the_probabilities_as_numbers(summary):
    expected = [float(row["probability"]) if row["probability"] else None for row in summary.csv]
    assert [row["probability"] for row in summary.parquet] == expected


@pytest.mark.parametrize("column", ["roots", "asked", "category"])
def test_parquet_has_whole_numbers_as_integers(summary, column):
    assert str(summary.table.schema.field(column).type) == "int64"


def test_without_pyarrow_no_old_parquet_is_left(images, summary, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run_planted(images, summary.results) == 1
    assert not (summary.results / "summary.parquet").exists()
