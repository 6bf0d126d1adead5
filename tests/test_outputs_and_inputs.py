"""The main job on networks with other outputs and inputs than most."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from drawn import read_sag
from main_job import (
    NETWORKS,
    ROOTS,
    only_line,
    roots_of,
    run,
    run_planted,
    search_planted,
    wrong_claims,
)
from PIL import Image

from running.check_record import problems
from running.score_set import score_set
from scoring.networks import load_network


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
    assert search_planted(white, out, network="probabilities") == 0
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
    assert search_planted(white, tmp_path, *options, network="one_probability") == 0
    model = f"{NETWORKS}:one_probability"
    found = score_set(tmp_path / "a", (5,), images=white, device="cpu", model=model)
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
    search_planted(white, tmp_path, network=network)
    assert words in capsys.readouterr().err.splitlines()[0]


def test_what_a_network_returns_decides_not_how_it_was_found_out(of_probabilities, white):
    before = (of_probabilities / "sag.json").stat().st_mtime_ns
    options = ("--output", "probabilities")
    assert search_planted(white, of_probabilities.parent, *options, network="probabilities") == 0
    assert (of_probabilities / "sag.json").stat().st_mtime_ns == before


def test_logits_are_not_taken_as_probabilities(white, tmp_path, capsys):
    assert search_planted(white, tmp_path, "--output", "probabilities") == 2
    assert "returns values outside of 0 to 1" in only_line(capsys)


# ---------------------------------------------------------------- one channel, no square


@pytest.fixture(scope="module")
def strip(white, tmp_path_factory):
    """The result of a network that sees images in grey, 40 x 72 pixels."""
    out = tmp_path_factory.mktemp("strip")
    assert run_planted(white, out, network="grey_strip") == 0
    return out / "a"


def test_a_grey_network_has_its_explanations(strip):
    assert roots_of(strip) == ROOTS


def test_the_record_has_height_and_width(strip):
    assert read_sag(strip).size == (40, 72)


def test_the_record_has_one_mean(strip):
    assert read_sag(strip).model.mean == [0.0]


def test_the_record_check_confirms_a_grey_strip(strip, white):
    assert wrong_claims(strip, white, network="grey_strip") == []


@pytest.mark.parametrize("name", ["perturbation_original.png", "perturbation_blurred.png"])
def test_images_keep_their_shape_and_colours(strip, name):
    with Image.open(strip / name) as image:
        assert (image.size, image.mode) == ((72, 40), "RGB")


def test_a_crop_to_a_strip_adds_no_border(white, tmp_path):
    assert run_planted(white, tmp_path, "--resize", "crop", network="grey_strip") == 0
    with Image.open(tmp_path / "a/perturbation_original.png") as image:
        assert image.getextrema() == ((255, 255),) * 3


@pytest.mark.parametrize("baseline", ["blur", "median", "mixed", "mean"])
def test_every_baseline_works_on_a_grey_strip(white, tmp_path, baseline):
    assert search_planted(white, tmp_path, "--baseline", baseline, network="grey_strip") == 0
    assert wrong_claims(tmp_path, white, network="grey_strip") == []


# ---------------------------------------------------------------- dropped tokens of transformers


@pytest.fixture(scope="module")
def dropped(tmp_path_factory):
    """An image explained with a folder of transformers whose tokens are dropped."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("dropped")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=56,
        patch_size=14,
        id2label={0: "wren", 1: "owl"},
    )
    module = transformers.ViTForImageClassification(config)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    module.save_pretrained(folder / "vit")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    model = f"hf/{folder / 'vit'}"
    options = ("--model", model, "--baseline", "drop", "--grid", 4, "--device", "cpu")
    assert run("--images", folder / "a.png", "--results", folder / "out", *options) == 0
    return SimpleNamespace(model=model, image=folder / "a.png", folder=folder / "out/a")


def test_the_record_check_confirms_dropped_tokens_of_transformers(dropped):
    path = dropped.folder / "sag.json"
    wrong, claims = problems(path, dropped.image, load_network(dropped.model))
    assert wrong == [] and claims > 30


def test_a_record_of_transformers_names_its_class(dropped):
    assert read_sag(dropped.folder).category.name in ("wren", "owl")
