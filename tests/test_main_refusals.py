"""What the main job cannot use: one line that names the value, exit status 2, nothing written."""

import pytest
import torch
from main_job import NETWORKS, only_line, run, run_planted

HUGE = 10**30
BAD_OPTIONS = [
    (["--grid", 0], "0"),
    (["--grid", 29], "29"),
    (["--grid", "x"], "x"),
    (["--prob-thresh", 0], "0"),
    (["--prob-thresh", 1.5], "1.5"),
    (["--prob-thresh", "nan"], "nan"),
    (["--node-prob-thresh", -1], "-1"),
    (["--beam-width", 0], "0"),
    (["--batch-size", 0], "0"),
    (["--time-limit", 0], "0"),
    (["--overlap-thresh", -1], "-1"),
    (["--seed", HUGE], str(HUGE)),
    (["--baseline", "pink"], "pink"),
    (["--search", "luck"], "luck"),
    (["--wings", 2], "wings"),
    (["--category", 3], "3"),
    (["--category", -1], "-1"),
    (["--category", "wings"], "wings"),
    (["--num-categories", 4], "4"),
    (["--category", 1, "--num-categories", 2], "num-categories"),
    (["--search", "exhaustive", "--exhaustive-size", 9], "9"),
    (["--search", "combinatorial", "--comb-size", 21], "21"),
    (["--search", "combinatorial", "--comb-top", 49, "--comb-size", 8], "450,978,066"),
    (["--model", "resnet51"], "resnet50"),
    (["--model", f"{NETWORKS}:broken"], "str"),
    (["--weights", "no.pth"], "no.pth"),
    (["--labels", "no.txt"], "no.txt"),
    (["--region-names", "no.txt"], "only together with --regions"),
    (["--images", "x" * 5000], "x" * 50),
]


def joined(options):
    return " ".join(str(option)[:20] for option in options)


@pytest.mark.parametrize("options, words", BAD_OPTIONS, ids=[joined(o) for o, _ in BAD_OPTIONS])
def test_a_bad_option_is_named_in_one_line(options, words, white_images, out, capsys):
    model = ("--model", f"{NETWORKS}:network")
    assert run("--images", white_images, "--results", out, *model, *options) == 2
    assert words in only_line(capsys)


def test_a_path_that_is_not_there_is_named(tmp_path, out, capsys):
    assert run_planted(tmp_path / "nowhere", out) == 2
    assert "nowhere" in only_line(capsys)


def test_a_folder_without_images_is_named(tmp_path, out, capsys):
    (tmp_path / "empty").mkdir()
    assert run_planted(tmp_path / "empty", out) == 2
    assert "empty" in only_line(capsys)


def test_results_below_a_file_are_refused(white_images, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run_planted(white_images, tmp_path / "file/out") == 2
    assert "file/out" in only_line(capsys)


def test_results_that_cannot_be_written_are_refused(white_images, capsys):
    assert run_planted(white_images, "/proc/nothing") == 2
    assert "/proc/nothing" in only_line(capsys)


def test_results_among_the_images_are_refused(white_images, capsys):
    assert run_planted(white_images, white_images) == 2
    assert "images themselves" in only_line(capsys)


def test_labels_of_another_number_of_classes_are_refused(white_images, out, tmp_path, capsys):
    (tmp_path / "four.txt").write_text("a\nb\nc\nd\n")
    assert run_planted(white_images, out, "--labels", tmp_path / "four.txt") == 2
    assert "4 names, but the model has 3 classes" in only_line(capsys)


@pytest.fixture
def foreign_weights(tmp_path):
    """Options for a ResNet-18 with weights of something else."""
    torch.save({"conv1.weight": torch.zeros(2)}, tmp_path / "w.pth")
    return ("--model", "resnet18", "--weights", tmp_path / "w.pth")


def test_weights_of_another_network_are_refused(white_images, out, foreign_weights, capsys):
    assert run("--images", white_images, "--results", out, *foreign_weights) == 2
    assert "conv1.weight is (2,)" in only_line(capsys)


def test_a_refused_run_writes_nothing(white_images, out, foreign_weights):
    run("--images", white_images, "--results", out, *foreign_weights)
    assert not list(out.rglob("*.*"))
