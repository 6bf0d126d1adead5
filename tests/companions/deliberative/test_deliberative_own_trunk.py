"""A predictor with a trunk of its own as a difficulty, and the layer to split at."""

import pytest
import torch
from torch import nn

from companions.deliberative.attribution import curvature, difficulty_map, hessian_products
from companions.deliberative.insecurities import Method, strongest_insecurities, without_regions
from companions.deliberative.own_trunk import HardnessHead, HardnessPredictor, PredictorNetwork
from companions.deliberative.split import Split
from utils import UserError


def trunk(activation):
    """Return a trunk of two convolutions that returns five numbers, in double precision."""
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(24, 7), activation, nn.Linear(7, 5))


def predictor_network(noise, activation):
    """Return a predictor that has seen a few numbers, so that its batch norm does something."""
    torch.manual_seed(4)
    module = HardnessPredictor(trunk(activation), HardnessHead(5)).double().train()
    for _ in range(20):
        module(torch.randn(16, 3, 8, 8, dtype=torch.float64))
    return PredictorNetwork(Split(module.eval().requires_grad_(False), noise))


@pytest.fixture
def own(noise):
    """A predictor of ReLU, so piecewise linear before its sigmoid."""
    return predictor_network(noise, nn.ReLU())


def value_and_features(predictor, noise):
    """Return what an attribution begins with."""
    features, logits = predictor.split.features_and_logits(noise[None])
    return features, logits, predictor(features, logits)[0]


def test_its_value_is_the_sigmoid_of_the_module(own, noise):
    _, _, value = value_and_features(own, noise)
    wanted = float(own.split.model(noise[None]).sigmoid())
    assert float(value.detach()) == pytest.approx(wanted)


def test_the_second_order_in_closed_form_is_that_of_hessian_products(own, noise):
    features, logits, value = value_and_features(own, noise)
    closed = own.curvature(features, logits)
    assert closed is not None
    assert float(closed.abs().max()) > 1e-8
    assert torch.allclose(closed, hessian_products(value, features), rtol=1e-9, atol=1e-15)


def test_another_activation_has_no_closed_form(noise):
    smooth = predictor_network(noise, nn.Softplus())
    features, logits, value = value_and_features(smooth, noise)
    assert smooth.curvature(features, logits) is None
    found = curvature(smooth.split, noise, features=features, logits=logits, difficulty=smooth)
    assert torch.equal(found, hessian_products(value, features))


def test_its_attributions_are_of_its_own_features(own, deep_split, noise):
    maps = [
        difficulty_map(split, noise, 0 * noise, difficulty=own) for split in (deep_split, own.split)
    ]
    assert torch.equal(*maps)
    assert float(maps[0].abs().max()) > 0


def test_what_removal_does_is_its_own_answer(own, pooled_split, noise):
    regions = torch.zeros(2, 8, 8, dtype=torch.bool)
    regions[1, :4] = True
    image = noise.float()
    float_split = Split(pooled_split.model.float(), image)
    own.split.model.float()
    _, found = without_regions(float_split, image, 0 * image, regions, difficulty=own)
    cut = image.clone()
    cut[:, :4] = 0
    wanted = own.split.model(torch.stack([image, cut]))[:, 0].sigmoid()
    assert found.tolist() == pytest.approx(wanted.tolist(), rel=1e-5)


def test_a_trunk_with_other_maps_is_resized(own, noise):
    wide = nn.Sequential(
        *(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)),
    )
    split = Split(wide.double().eval().requires_grad_(False), noise)
    method = Method(difficulty=own, rank="strength", published=True)
    found = strongest_insecurities(split, noise, 0 * noise, method)
    assert found[0].map.shape == (8, 8)


# ---------------------------------------------------------------- the layer to split at


def test_a_network_is_split_at_a_layer_by_name(deep_split, noise):
    split = Split(deep_split.model, noise, "1")
    features, logits = split.features_and_logits(noise[None])
    assert features.shape == (1, 4, 6, 6)
    assert torch.equal(features, deep_split.model[:2](noise[None]))
    assert torch.allclose(logits, deep_split.model(noise[None]))


def test_the_last_convolutions_block_is_the_default(deep_split, noise):
    named = Split(deep_split.model, noise, "3")
    assert (named.layer, named.call) == (deep_split.layer, deep_split.call)


@pytest.mark.parametrize("name", ["6", "nowhere"])
def test_a_layer_without_a_map_is_refused(deep_split, noise, name):
    with pytest.raises(UserError, match=f"--split {name}: makes no map; those that do: 0, 1, 2"):
        Split(deep_split.model, noise, name)
