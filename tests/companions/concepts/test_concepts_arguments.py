"""Arguments that cannot be used: one line that names the value, and exit status 2."""

import subprocess
import sys

import pytest
from PIL import Image

from utils import PROJECT

IMPROVE = [
    (("--concept", "dusk"), "only with --regions"),
    (("--category", "painted crake"), "only with --regions"),
    (("--regions", "slic"), "compare.json"),
    (("--regions", "slic", "--category", "owl", "--concept", "dusk"), "--category owl"),
    (("--regions", "slic", "--category", "painted crake", "--concept", "dusk"), "--concept dusk"),
    (("--regions", "slic", "--category", "1", "--concept", "dusk"), "--concept dusk"),
    (("--weight-decay", -1), "--weight-decay: -1 is"),
    (("--erase", 1.1), "--erase: 1.1 is"),
    (("--lr", 0), "--lr: 0 is not a learning rate above 0"),
    (("--train-batch", 1), "--train-batch: 1 is"),
    (("--baseline", "drop"), "--baseline: drop is none of"),
]


@pytest.mark.parametrize("options, expected", IMPROVE)
def test_improve_refuses(pool, run, only_line, options, expected):
    selection = pool.csv("s", "harbour_kite/a.png,harbour kite")
    assert run(*pool.improve(*options, selection=[selection])) == 2
    assert expected in only_line()


def test_improve_needs_test_images(pool, run, only_line, tmp_path):
    selection = pool.csv("s", "harbour_kite/a.png,harbour kite")
    words = ("improve", "--images", pool.images, "--selection", selection)
    assert run(*words, "--test", tmp_path / "no", *pool.model) == 2
    assert "--test" in only_line()


def test_compare_needs_annotations(pool, run, only_line, tmp_path):
    assert run("compare", "--human", tmp_path / "no") == 2
    assert "no such folder" in only_line()
    assert run("compare", "--human", pool.images) == 2
    assert "no .json" in only_line()


def test_select_refuses_no_image_of_a_class(pool, run, only_line):
    assert run("select", "--images", pool.images, "--per-class", "0", *pool.model) == 2
    assert "--per-class" in only_line()


@pytest.mark.parametrize("step", [("select",), ("explain", "--regions", "masks")])
def test_the_images_are_no_folder_for_results(pool, run, only_line, step):
    words = (*step, "--images", pool.images, *pool.model)
    assert run(*words, "--results", pool.images) == 2
    assert "the folder of the images themselves" in only_line()


@pytest.mark.parametrize("regions", [(), ("--regions", "slic")])
def test_explain_needs_regions_with_names(pool, run, only_line, regions):
    assert run("explain", "--images", pool.images, *regions, *pool.model) == 2
    assert "(slic) have no names" in only_line()


@pytest.mark.parametrize("words, expected", [(("explain",), "--images"), (("dance",), "dance")])
def test_unusable_words(run, only_line, words, expected):
    assert run(*words) == 2
    assert expected in only_line()


@pytest.mark.parametrize("step", ["select", "improve"])
def test_a_network_that_returns_nan_is_one_line(tmp_path, run, only_line, step):
    images = tmp_path / "in"
    (images / "class 0").mkdir(parents=True)
    Image.new("RGB", (56, 56), "white").save(images / "class 0/a.png")
    (tmp_path / "s.csv").write_text("image,class\nclass 0/a.png,class 0\n")
    model = f"{PROJECT}/tests/planted.py:answers_nan"
    words = [step, "--images", images, "--model", model]
    words += ["--results", tmp_path / "out", "--device", "cpu"]
    if step == "improve":
        words += ["--selection", tmp_path / "s.csv", "--test", images]
    assert run(*words) == 2
    assert "answers_nan: the model returns NaN" in only_line()


@pytest.mark.parametrize("words", [["--help"], ["improve", "--help"], ["explain", "--nonsense"]])
def test_help_and_errors_answer_before_pytorch(words):
    command = [sys.executable, "-X", "importtime", "concept_debug.py", *words]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode in (0, 2)
    assert " torch" not in done.stderr
