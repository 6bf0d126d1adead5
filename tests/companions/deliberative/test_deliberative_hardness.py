"""A predictor of hardness: what it learns, how it is measured, and its file."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import binary_cross_entropy_with_logits

from birds.between import halfway
from companions.deliberative import hardness
from companions.deliberative.difficulty import Hardness
from companions.deliberative.explanation import split_network
from scoring.image_files import load_image
from scoring.networks import load_network
from utils import PROJECT, UserError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def examples():
    """Features (400, 3) and hardness (400,), an exact function of them."""
    generator = torch.Generator().manual_seed(0)
    pooled = torch.randn(400, 3, generator=generator) * torch.tensor([1.0, 5.0, 0.1])
    return pooled, (pooled @ torch.tensor([1.0, 0.4, 0.0]) - 0.5).sigmoid()


@pytest.fixture(scope="module")
def fitted(examples):
    """A predictor fitted to the examples, and how good it is."""
    return hardness.fit_and_measure(*examples)


def test_a_predictor_learns_what_is_hard(fitted):
    _, fit = fitted
    assert fit.rank_correlation > 0.99
    assert fit.cross_entropy < fit.cross_entropy_of_the_mean - 0.1


def test_a_fifth_of_the_images_is_for_measuring(fitted):
    assert fitted[1].images == 80


def test_rank_correlation_is_that_of_ranks():
    # The formula that SciPy's spearmanr replaced; the values have no ties.
    generator = torch.Generator().manual_seed(1)
    a = torch.randn(60, generator=generator)
    b = a + torch.randn(60, generator=generator)
    ranks = torch.stack([v.argsort().argsort().float() for v in (a, b)])
    wanted = float(torch.corrcoef(ranks)[0, 1])
    assert hardness.rank_correlation(a, b) == pytest.approx(wanted, abs=1e-5)


def test_a_constant_has_no_rank_correlation():
    assert hardness.rank_correlation(torch.ones(5), torch.arange(5.0)) == 0.0


def test_cross_entropy_of_the_mean_is_that_of_a_constant(examples):
    # The formula that SciPy's entropy replaced.
    pooled, hard = examples
    fit = hardness.measure(Hardness(torch.zeros(3), torch.tensor(0.0)), pooled, hard)
    constant = hard.mean().logit().expand_as(hard)
    wanted = float(binary_cross_entropy_with_logits(constant, hard))
    assert fit.cross_entropy_of_the_mean == pytest.approx(wanted, rel=1e-5)


def test_a_fit_is_one_line_of_numbers():
    fit = hardness.Fit(80, 0.5, cross_entropy_of_the_mean=0.6, rank_correlation=0.9)
    assert str(fit) == (
        "images 80, cross entropy 0.5, cross entropy of the mean 0.6, rank correlation 0.9"
    )


# ---------------------------------------------------------------- files


def test_a_predictor_is_read_back(fitted, tmp_path):
    predictor, _ = fitted
    hardness.save(predictor, tmp_path / "h.safetensors", "abc")
    again = hardness.load(tmp_path / "h.safetensors", "abc", CPU)
    assert torch.equal(again.weight, predictor.weight)
    assert float(again.bias) == float(predictor.bias)


def test_a_predictor_belongs_to_one_network(fitted, tmp_path):
    hardness.save(fitted[0], tmp_path / "h.safetensors", "abc")
    with pytest.raises(UserError, match="other weights"):
        hardness.load(tmp_path / "h.safetensors", "abd", CPU)


@pytest.mark.parametrize("name", ["no.safetensors", "bad.safetensors", "missing"])
def test_a_file_that_is_no_predictor_is_named(tmp_path, name):
    save_file({"weight": torch.zeros(2, 3)}, tmp_path / "no.safetensors")
    (tmp_path / "bad.safetensors").write_text("nothing")
    with pytest.raises(UserError, match=name):
        hardness.load(tmp_path / name, "abc", CPU)


# ---------------------------------------------------------------- the bundled predictor


def test_the_bundled_predictor_tells_easy_from_hard():
    network = load_network("birds")
    path = PROJECT / "birds/birds_hardness.safetensors"
    predictor = hardness.load(path, network.weights_sha256, network.device)
    split = split_network(network)
    easy = [load_image(p, network.size) for p in sorted((PROJECT / "Images").glob("*.png"))[:4]]
    hard = [scene.image for *_, scene in halfway(network, 4)]

    def predicted(image):
        features, logits = split.features_and_logits(network.prepare(image)[None])
        return float(predictor(features, logits).detach())

    assert np.max([predicted(image) for image in easy]) < np.min([predicted(i) for i in hard])
