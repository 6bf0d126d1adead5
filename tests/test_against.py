"""Why this class and not that one: confidence as the sigmoid of the margin between two logits."""

import numpy as np
import pytest
import torch
from brute_force import powerset
from drawn import read_sag
from main_job import NETWORKS, only_line, run, run_planted, wrong_claims
from planted import network

from get_perturbation_mask import grad_cam
from main_generate_sag import explain
from running.ask import answer as ask
from scoring.networks import class_probabilities, confidence, confidences
from utils import UserError

WHITE = np.full((48, 48, 3), 255, np.uint8)
WEIGHTS = torch.tensor(  # what each of nine patches adds to the logits of three classes
    [
        [3.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        [3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    ]
)


class Additive(torch.nn.Module):
    """A network over (B, 3, 48, 48) whose logits are sums over the patches of a 3 x 3 grid."""

    input_size = 48
    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)

    def forward(self, images):
        centres = torch.linspace(0, 47, 3).round().long()
        rows = centres.repeat_interleave(3)
        visible = images.mean(1)[:, rows, centres.repeat(3)]
        return visible @ WEIGHTS.to(visible).T


def margin(patches, category, against):
    """Return the confidence in one class against another with these patches visible."""
    logits = WEIGHTS[:, list(patches)].sum(1)
    return torch.sigmoid(logits[category] - logits[against]).item()


@pytest.fixture(scope="module")
def logits():
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


def test_against_a_class_it_is_the_sigmoid_of_the_margin(logits):
    expected = torch.sigmoid(logits[:, 2] - logits[:, 0])
    assert torch.allclose(confidence(logits, 2, against=0), expected)


def test_against_all_it_is_the_softmax(logits):
    assert torch.equal(confidence(logits, 2), class_probabilities(logits)[:, 2])


def test_a_margin_survives_where_both_probabilities_are_0():
    logits = torch.tensor([[-300.0, -301.0, 0.0]])
    assert confidence(logits, 0, against=1).item() == pytest.approx(0.7310586)


@pytest.mark.parametrize("category, against", [(0, 1), (1, 0)])
def test_of_a_single_logit_it_is_the_probability(category, against):
    logits = torch.tensor([[1.5], [-0.5]])
    assert torch.allclose(confidence(logits, category, against), confidence(logits, category))


def test_rows_are_measured_each_against_its_own_class(logits):
    categories = torch.tensor([[0, 2], [1, 3], [2, 1], [3, 3], [0, 0], [1, 0]])
    against = torch.tensor([[0, 0], [3, 3], [2, 1], [0, 2], [1, 0], [1, 1]])
    found = confidences(logits, categories, against)
    for row, classes, rivals, values in zip(logits, categories, against, found):
        for a, b, value in zip(classes.tolist(), rivals.tolist(), values.tolist()):
            expected = confidence(row[None], a, None if a == b else b).item()
            assert value == pytest.approx(expected)


@pytest.mark.parametrize("against", [1, 2])
def test_explanations_against_a_class_are_those_of_the_margin(against, precision):
    sag = explain(
        Additive().eval(),
        WHITE,
        grid=3,
        category="0",
        against=str(against),
        search="exhaustive",
        exhaustive_size=9,
        precision=precision,
    )
    enough = 0.9 * margin(range(9), 0, against)
    sufficient = {s for s in powerset(range(9)) if margin(s, 0, against) > enough}
    minimal = {s for s in sufficient if not any(set(t) < set(s) for t in sufficient)}
    assert {root.patches for root in sag.roots} == minimal


def test_the_record_says_against_which_class():
    sag = explain(Additive().eval(), WHITE, grid=3, category="0", against="2")
    assert (sag.against.index, sag.title) == (2, "class 0 rather than class 2")


def test_grad_cam_takes_the_other_logit_off():
    image = torch.rand(3, 56, 56, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    layers = (torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 3, 3))
    model = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()

    class Difference(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, images):
            logits = self.model(images)
            return torch.stack([logits[:, 0] - logits[:, 1], 0 * logits[:, 0]], 1)

    assert np.allclose(grad_cam(model, image, 0, against=1), grad_cam(Difference(), image, 0))


# ---------------------------------------------------------------- the main job


def test_a_run_against_a_class_is_confirmed(white_images, out):
    image = white_images / "a.png"
    assert run_planted(image, out, "--against", 2, "--explain", "both") == 0
    assert wrong_claims(out, white_images) == []


def test_the_network_can_be_asked_again(white_images, out):
    assert run_planted(white_images / "a.png", out, "--against", 2) == 0
    score = {
        "score": True,
        "images": white_images / "a.png",
        "device": "cpu",
        "model": f"{NETWORKS}:network",
    }
    assert "0.97" in ask(out / "a", only="0,5", **score)


def test_the_file_of_the_formula_names_both_classes(white_images, out):
    assert run_planted(white_images / "a.png", out, "--against", 2) == 0
    assert read_sag(out / "a").title in (out / "a/dnf.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("against", ["seven", "7", "-1"])
def test_a_class_that_does_not_exist_is_refused(against, white_images, out, capsys):
    assert run_planted(white_images / "a.png", out, f"--against={against}") == 2
    assert against in only_line(capsys)


def test_the_class_itself_is_refused(white_images, out, capsys):
    assert run_planted(white_images / "a.png", out, "--against", "1") == 2
    assert "--against 1" in only_line(capsys)


def test_the_most_probable_class_against_itself_is_an_error_of_the_image():
    with pytest.raises(UserError, match="--against 1: class 1 is the class that is explained"):
        explain(network().eval(), np.full((56, 56, 3), 255, np.uint8), grid=4, against="1")


def test_an_image_against_its_own_class_fails_and_the_others_are_done(white_images, out):
    model = f"{NETWORKS}:network"
    options = ("--images", white_images, "--results", out, "--model", model, "--grid", 4)
    assert run(*options, "--device", "cpu", "--against", 1) == 1
