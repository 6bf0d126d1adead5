"""benchmark.py as a user runs it, on a planted network."""

import json
from pathlib import Path

import pytest
from PIL import Image

import benchmark
from experiments import benchmark_sides
from experiments.benchmark_report import COLUMNS

PLANTED_FILE = Path(__file__).resolve().parent.parent / "planted.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of three white images, of which --quick takes two."""
    folder = tmp_path_factory.mktemp("benchmark")
    for name in "abc":
        Image.new("RGB", (56, 56), "white").save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module", autouse=True)
def short_and_repeatable():
    """Measure the bare network for a moment only; let no commit come between two runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark_sides, "CEILING_SECONDS", 0.05)
        patch.setattr(benchmark, "versions", dict)
        yield


def run(folder, model):
    """Run the benchmark and return its exit status."""
    options = ["--images", folder, "--results", folder / "out", "--device", "cpu", "--quick"]
    return benchmark.main([str(option) for option in (*options, "--model", model)])


def result_of(folder):
    """Return benchmark.json."""
    return json.loads((folder / "out/benchmark.json").read_text())


@pytest.fixture(scope="module")
def result(folder):
    """Return the result of a run."""
    assert run(folder, f"{PLANTED_FILE}:network") == 0
    return result_of(folder)


def test_every_side_is_measured_on_every_image(result):
    names = {side: [row["image"] for row in rows] for side, rows in result["sides"].items()}
    assert names == {
        "one by one": ["a.png", "b.png"],
        "as shipped, eager": ["a.png", "b.png"],
    }


def test_proven_and_diverse_roots_are_counted(result):
    for rows in result["sides"].values():
        for row in rows:
            assert 0 < row["proven"] <= 3
            assert row["diverse"] <= row["proven"] <= row["roots"]


def test_the_main_job_scores_less_and_proves_no_less(result):
    for reference, shipped in zip(*result["sides"].values()):
        assert shipped["scored"] < reference["scored"]
        assert shipped["proven"] >= reference["proven"]


def test_the_diverse_search_is_given_as_many_evaluations(result):
    assert [row["image"] for row in result["diverse"]] == ["a.png", "b.png"]
    assert all(row["diverse"] > 0 for row in result["diverse"])


def test_the_result_is_drawn(result, folder):
    assert (folder / "out/benchmark.png").exists()


def test_a_finished_run_measures_nothing_again(result, folder, monkeypatch):
    monkeypatch.setattr(benchmark, "measure_image", None)
    monkeypatch.setattr(benchmark, "measure_whole_job", None)
    assert run(folder, f"{PLANTED_FILE}:network") == 0
    assert result_of(folder)["sides"] == result["sides"]


def test_the_table_is_printed(result, folder, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "measure_image", None)
    monkeypatch.setattr(benchmark, "measure_whole_job", None)
    run(folder, f"{PLANTED_FILE}:network")
    first, reference, shipped = capsys.readouterr().out.splitlines()[:3]
    assert all(column in first for column in COLUMNS)
    assert reference.startswith("one by one ")
    assert shipped.startswith("as shipped, eager ")


def test_an_unknown_model_is_one_line(folder, capsys):
    assert run(folder, "resnet5") == 2
    assert "benchmark.py: error: --model resnet5" in capsys.readouterr().err


def test_the_whole_job_is_measured_over_all_images(result):
    whole = result["whole_job"]
    assert [row["image"] for row in whole["rows"]] == ["a.png", "b.png"]
    assert set(whole["rows"][0]["stages"]) == {"load", "mask", "search", "tree", "curves", "draw"}


def test_passes_and_batches_of_each_stage_are_kept(result):
    for row in result["sides"]["as shipped, eager"]:
        assert row["passes"]["mask"]["gradient"] == 40
        masks = sum(batches["masks"] for batches in row["batches"].values())
        assert masks == sum(sum(by_kind.values()) for by_kind in row["passes"].values())


def test_simulated_devices_are_listed(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(benchmark, "QUICK_SIMULATED_IMAGES", 2)
    options = ["--simulate", "--quick", "--images", tmp_path, "--results", tmp_path / "none"]
    assert benchmark.main([str(option) for option in options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "simulated: 2 images from planted classifiers"
    assert [line.split("  ")[0] for line in lines[2:5]] == ["H100", "laptop GPU", "CPU"]
