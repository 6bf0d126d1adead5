"""The command draw_sag.py ask, on results of the main job.

What it answers is specified in tests/running/test_ask.py.
"""

import json
import re

import pytest
from drawn import read_image, read_sag

import draw_sag
from scoring.networks import choose_device, load_network
from scoring.scorer import score_image

UNSCORED = "0,2,3,4,7,15"


@pytest.fixture
def answer(capsys):
    """Return answer(folder, options..), what the command prints."""

    def ask(*options) -> str:
        assert draw_sag.main(["ask", *map(str, options)]) == 0
        return capsys.readouterr().out

    return ask


@pytest.fixture
def error(capsys):
    """Return error(folder, options..), the only line that the command writes on stderr."""

    def ask(*options) -> str:
        try:
            status = draw_sag.main(["ask", *map(str, options)])
        except SystemExit as end:
            status = end.code
        assert status == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
        return line

    return ask


# ---------------------------------------------------------------- what was scored


def test_a_scored_set_has_its_exact_confidence(planted, answer):
    assert (
        "only P6 & P10: 100 % of the full image's confidence, probability 0.9500, "
        "sufficient (scored)"
    ) in answer(planted, "--only", "6,10")


def test_without_nothing_is_the_full_image(planted, answer):
    assert "without no patch: 100 %" in answer(planted, "--without", "")


def test_a_record_without_scores_knows_its_roots(copied, answer):
    record = json.loads((copied / "sag.json").read_text(encoding="utf-8"))
    del record["scores"]
    (copied / "sag.json").write_text(json.dumps(record), encoding="utf-8")
    assert "100 %" in answer(copied, "--only", "5")
    assert "not scored" in answer(copied, "--only", "0,1,2")


# ---------------------------------------------------------------- what was not scored


def test_what_was_not_scored_is_estimated_and_said_to_be(planted, answer):
    first = answer(planted, "--only", UNSCORED).splitlines()[0]
    assert re.search(r"not scored; estimated \d+ %, likely \d+ to \d+ % of", first)


# ---------------------------------------------------------------- --score


def test_score_runs_the_network(results, answer):
    folder = results / "wide/scene"
    removed = (3, 11, 12, 29)
    sag = read_sag(folder)
    model = ("--model", sag.settings["model"])
    said = answer(folder, "--without", "3,11,12,29", "--score", "--device", "cpu", *model)
    image = read_image(folder)
    network = load_network(sag.settings["model"], device=choose_device("cpu"))
    scorer = score_image(
        network.module, network.prepare(image), network.prepare(image * 0), sag.category.index
    )
    visible = tuple(patch for patch in range(49) if patch not in removed)
    probability = float(scorer([visible])[0])
    assert f"probability {probability:.4f}" in said and "scored now" in said


def test_other_weights_than_the_records_are_named(copied, results, error):
    record = json.loads((copied / "sag.json").read_text(encoding="utf-8"))
    record["model"]["weights_sha256"] = "0"
    (copied / "sag.json").write_text(json.dumps(record), encoding="utf-8")
    model = record["settings"]["model"]
    asked = ["--only", UNSCORED, "--score", "--images", results / "in", "--model", model]
    assert "other weights" in error(copied, *asked)


# ---------------------------------------------------------------- bad questions


@pytest.mark.parametrize(
    "options, words",
    [
        (["--only", "16"], "16"),
        (["--only", "1;2"], "1;2"),
        (["--without", "-1"], "-1"),
        ([], "--only"),
        (["--only", "1", "--without", "2"], "--only"),
        (["--only", UNSCORED, "--score", "--images", "/nowhere"], "/nowhere"),
    ],
)
def test_a_bad_question_is_named_in_one_line(options, words, planted, error):
    assert words in error(planted, *options)


def test_a_folder_that_is_not_there_is_named(error):
    assert "nowhere" in error("nowhere", "--only", "1")


def test_a_folder_without_a_record_is_named(results, error):
    assert "sag.json" in error(results / "in", "--only", "1")
