"""The main job on networks with other outputs and inputs than most."""

import pytest
from drawn import read_sag
from main_job import ROOTS, only_line, roots_of, run_planted, wrong_claims
from PIL import Image

from running.score_set import score_set


@pytest.fixture(scope="module")
def white(tmp_path_factory):
    """A folder with a white image, wider than high."""
    folder = tmp_path_factory.mktemp("white")
    Image.new("RGB", (50, 40), "white").save(folder / "a.png")
    return folder


# ---------------------------------------------------------------- probabilities


@pytest.fixture(scope="module")
def of_probabilities(white, tmp_path_factory):
    """The result of a network that returns an object with probabilities."""
    out = tmp_path_factory.mktemp("probabilities")
    assert run_planted(white, out, network="probabilities") == 0
    return out / "a"


def test_probabilities_have_the_explanations_of_their_logits(of_probabilities):
    assert roots_of(of_probabilities) == ROOTS


def test_probabilities_are_recorded_as_they_are(of_probabilities):
    sag = read_sag(of_probabilities)
    assert (sag.model.output, sag.probability) == ("probabilities", pytest.approx(0.95))


def test_the_record_check_confirms_probabilities(of_probabilities, white):
    assert wrong_claims(of_probabilities, white, network="probabilities") == []


def test_a_question_to_a_record_reads_probabilities_too(white, tmp_path):
    options = ("--output", "probabilities")
    assert run_planted(white, tmp_path, *options, network="one_probability") == 0
    found = score_set(tmp_path / "a", (5,), images=white, device="cpu")
    assert found == pytest.approx(0.95)


@pytest.mark.parametrize(
    "network, words",
    [
        ("network", "(3 classes, logits) on cpu"),
        ("probabilities", "(3 classes, probabilities) on cpu"),
        ("one_probability", "taken as logits; else pass --output probabilities) on cpu"),
    ],
)
def test_the_opening_line_says_how_outputs_are_read(white, tmp_path, capsys, network, words):
    run_planted(white, tmp_path, "--pictures", "none", network=network)
    assert words in capsys.readouterr().err.splitlines()[0]


def test_what_a_network_returns_decides_not_how_it_was_found_out(of_probabilities, white):
    before = (of_probabilities / "sag.json").stat().st_mtime_ns
    options = ("--output", "probabilities")
    assert run_planted(white, of_probabilities.parent, *options, network="probabilities") == 0
    assert (of_probabilities / "sag.json").stat().st_mtime_ns == before


def test_logits_are_not_taken_as_probabilities(white, tmp_path, capsys):
    assert run_planted(white, tmp_path, "--output", "probabilities") == 2
    assert "returns values outside of 0 to 1" in only_line(capsys)
