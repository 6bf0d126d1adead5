"""Questions to a record: draw_sag.py ask."""

import json

import pytest
from drawn import read_image, read_sag

import draw_sag
from drawing.record import scores_of
from running.ask import nearest
from scoring.networks import choose_device, load_network
from scoring.scorer import score_image

UNSCORED = (0, 2, 3, 4, 7, 15)


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


@pytest.fixture
def table(planted):
    return scores_of(read_sag(planted))


# ---------------------------------------------------------------- what was scored


def test_a_scored_set_has_its_exact_confidence(planted, answer):
    assert (
        "only P6 & P10: 100 % of the full image's confidence, probability 0.9500, "
        "sufficient (scored)"
    ) in answer(planted, "--only", "6,10")


def test_a_set_below_the_threshold_is_not_sufficient(planted, answer):
    assert (
        "2 % of the full image's confidence, probability 0.0200, not sufficient (scored)"
    ) in answer(planted, "--only", "P6")


def test_without_nothing_is_the_full_image(planted, answer):
    assert "without no patch: 100 %" in answer(planted, "--without", "")


def test_a_record_without_scores_knows_its_roots(copied, answer):
    record = json.loads((copied / "sag.json").read_text(encoding="utf-8"))
    del record["scores"]
    (copied / "sag.json").write_text(json.dumps(record), encoding="utf-8")
    assert "100 %" in answer(copied, "--only", "5")
    assert "not scored" in answer(copied, "--only", "0,1,2")


# ---------------------------------------------------------------- what was not scored


@pytest.fixture
def unscored(planted, answer):
    """The answer to a set that was not scored."""
    return answer(planted, "--only", ",".join(map(str, UNSCORED)))


def test_what_was_not_scored_is_not_guessed(unscored):
    first = unscored.splitlines()[0]
    assert "not scored" in first and "%" not in first


def test_three_larger_and_three_smaller_sets_are_listed(unscored):
    assert (unscored.count("showing also"), unscored.count("hiding also")) == (3, 3)


def test_larger_sets_contain_the_set_asked_about(table):
    larger, _ = nearest(table, UNSCORED)
    assert all(set(patches) > set(UNSCORED) for patches in larger)


def test_smaller_sets_are_contained_in_it(table):
    _, smaller = nearest(table, UNSCORED)
    assert all(set(patches) < set(UNSCORED) for patches in smaller)


def test_the_nearest_sets_come_first(table):
    larger, smaller = nearest(table, UNSCORED)
    above = [len(patches) for patches in table if set(patches) > set(UNSCORED)]
    below = [len(patches) for patches in table if set(patches) < set(UNSCORED)]
    assert (len(larger[0]), len(smaller[0])) == (min(above), max(below))


# ---------------------------------------------------------------- --score


def test_score_runs_the_network(results, answer):
    folder = results / "wide/scene"
    removed = (3, 11, 12, 29)
    said = answer(folder, "--without", "3,11,12,29", "--score", "--device", "cpu")
    sag = read_sag(folder)
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
    asked = ["--only", ",".join(map(str, UNSCORED)), "--score", "--images", results / "in"]
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
        (["--only", "0,2,3,4,7,15", "--score", "--images", "/nowhere"], "/nowhere"),
    ],
)
def test_a_bad_question_is_named_in_one_line(options, words, planted, error):
    assert words in error(planted, *options)


def test_a_folder_that_is_not_there_is_named(error):
    assert "nowhere" in error("nowhere", "--only", "1")


def test_a_folder_without_a_record_is_named(results, error):
    assert "sag.json" in error(results / "in", "--only", "1")
