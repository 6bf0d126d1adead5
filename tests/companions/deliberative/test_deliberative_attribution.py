"""First-order attributions and integrated gradients, by hand and against Captum and SciPy."""

from math import log

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from captum.attr import InternalInfluence, LayerIntegratedGradients
from torch import nn

from companions.deliberative.attribution import (
    class_maps,
    difficulty_map,
    feature_change,
    gradient,
    path_gradients,
    signed_class_maps,
)
from companions.deliberative.difficulty import certainty, entropy
from companions.deliberative.split import Split

# ---------------------------------------------------------------- difficulties


LOGITS = torch.tensor([[0.0, 0, 0, 0], [30.0, 0, 0, 0], [3.0, 3, -50, -50]])


def test_certainty_is_exact_where_the_network_is_certain():
    wanted = [0.75, 3 * np.exp(-30), 0.5]
    assert certainty(None, LOGITS).tolist() == pytest.approx(wanted, rel=1e-4)


def test_entropy_is_between_0_and_1():
    wanted = [1, 0, log(2) / log(4)]
    assert entropy(None, LOGITS).tolist() == pytest.approx(wanted, abs=1e-6)


def test_entropy_is_scipys_divided_by_log_c():
    logits = torch.randn(8, 5, generator=torch.Generator().manual_seed(0)).double() * 3
    probabilities = scipy.special.softmax(logits.numpy(), axis=1)
    wanted = scipy.stats.entropy(probabilities, axis=1) / np.log(5)
    assert np.allclose(entropy(None, logits), wanted, rtol=1e-10)


def test_a_predictor_is_a_sigmoid_of_pooled_features(predictor):
    features = torch.randn(2, 6, 3, 3, dtype=torch.float64)
    logits = features.mean((2, 3)) @ predictor.weight + predictor.bias
    wanted = torch.special.expit(logits)
    assert torch.allclose(predictor(features, None), wanted)
    assert np.allclose(scipy.special.logit(predictor(features, None).numpy()), logits)


# ---------------------------------------------------------------- class maps


def test_class_maps_are_gradient_times_features(small_split, noise):
    features, logits = small_split.features_and_logits(noise[None])
    classes = [4, 0, 2]
    wanted = [(gradient(logits[0, c], features) * features)[0].sum(0) for c in classes]
    found = class_maps(small_split, noise, classes)
    assert torch.allclose(found, torch.stack(wanted).detach().clamp(min=0), rtol=1e-10)


def test_class_maps_have_no_negative_values(small_split, noise):
    assert (class_maps(small_split, noise, range(5)) >= 0).all()


def test_class_maps_leave_the_image_as_it_was(small_split, noise):
    class_maps(small_split, noise, [0])
    assert not noise.requires_grad


def test_class_maps_of_layers_that_write_into_their_input():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.ReLU(inplace=True)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)]
    model = nn.Sequential(*layers, *head).eval().requires_grad_(False)
    image = torch.randn(3, 8, 8)
    split = Split(model, image)
    features, logits = split.features_and_logits(image[None])
    wanted = (gradient(logits[0, 1], features) * features)[0].sum(0).detach().clamp(min=0)
    assert torch.allclose(class_maps(split, image, [1])[0], wanted, atol=1e-6)


# ---------------------------------------------------------------- integrated gradients


def test_ig_in_batches_equals_one_by_one(deep_split, noise):
    black = torch.zeros_like(noise)
    alone, some, together = (
        difficulty_map(
            deep_split, noise, black, difficulty=certainty, attribution="ig", batch_size=size
        )
        for size in (1, 7, 64)
    )
    assert float(alone.abs().max()) > 0
    assert torch.allclose(alone, some, rtol=1e-10)
    assert torch.allclose(alone, together, rtol=1e-10)


@pytest.fixture
def line():
    """A network whose features are twice the image minus one, an image and another one.

    F(image) is 5, -1, 7 and F(black) 1, 1, 1; the logits are the features' mean, times 1 and -2.
    """
    model = nn.Sequential(
        nn.Conv2d(3, 3, 1, bias=False),
        nn.Conv2d(3, 1, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(1, 2, bias=False),
    ).requires_grad_(False)
    model[0].weight.data = torch.eye(3).view(3, 3, 1, 1)
    model[1].weight.data = torch.tensor([2.0, 0, 0]).view(1, 3, 1, 1)
    model[1].bias.data = torch.tensor([-1.0])
    model[4].weight.data = torch.tensor([[1.0], [-2.0]])
    image = torch.zeros(3, 1, 3)
    image[0] = torch.tensor([[3.0, 0.0, 4.0]])
    black = torch.zeros(3, 1, 3)
    black[0] = 1.0
    return Split(model, image), image, black


def half_square(features, _):
    """A difficulty whose gradient is the features."""
    return features.square().sum((1, 2, 3)) / 2


def falling(features, _):
    """A difficulty that falls as the features grow."""
    return -features.sum((1, 2, 3))


def test_ig_by_hand_where_features_of_black_are_not_zero(line):
    # The mean gradient is (F(image) + F(black)) / 2: 3, 0 and 4.
    found = difficulty_map(*line, difficulty=half_square, attribution="ig", batch_size=7)
    assert found[0].tolist() == pytest.approx([3 * 4, 0, 4 * 6], abs=1e-5)


@pytest.mark.parametrize("variant, wanted", [("cub", [0, 2, 0]), ("ade20k", [0, 0, 0])])
def test_ig_is_cut_after_the_product(line, variant, wanted):
    # The gradient is -1 everywhere, and the features change by 4, -2 and 6.
    found = difficulty_map(*line, difficulty=falling, attribution="ig", variant=variant)
    assert found[0].tolist() == pytest.approx(wanted, abs=1e-5)


def test_integrated_gradients_of_classes_by_hand(line):
    split, image, black = line
    signed = signed_class_maps(split, image, [1, 0], black=black, batch_size=7)
    change = torch.tensor([4.0, -2, 6]) / 3
    assert torch.allclose(signed[:, 0], torch.stack([-2 * change, change]), atol=1e-5)
    found = class_maps(split, image, [1, 0], black=black)
    assert torch.allclose(found, signed.clamp(min=0))


def test_integrated_gradients_of_a_linear_head_add_up_to_the_logits(pooled_split, noise):
    black = torch.zeros_like(noise)
    maps = signed_class_maps(pooled_split, noise, range(5), black=black)
    with torch.no_grad():
        wanted = pooled_split(noise[None])[0] - pooled_split(black[None])[0]
    assert torch.allclose(maps.sum((1, 2)), wanted, rtol=1e-9)


def test_feature_change_is_from_black(line):
    assert feature_change(*line).flatten().tolist() == [4, -2, 6]


class Answer(nn.Module):
    """A split network whose answer is the difficulty."""

    def __init__(self, split):
        super().__init__()
        self.split = split

    def forward(self, images):
        """Return the certainty (B,)."""
        return certainty(None, self.split(images))


def test_the_path_gradient_is_captums_up_to_its_quadrature(deep_split, noise):
    black = torch.zeros_like(noise)
    found = path_gradients(deep_split, noise, black, answers=[certainty], batch_size=64)
    influence = InternalInfluence(Answer(deep_split), deep_split.features)
    captum = influence.attribute(noise[None], black[None], n_steps=1000, method="riemann_trapezoid")
    scale = float(captum.abs().max())
    assert float((found - captum).abs().max()) < 0.03 * scale


def test_captums_layer_ig_follows_another_path(deep_split, noise):
    # Its path runs straight through the features, ours straight through the image.
    black = torch.zeros_like(noise)
    found = path_gradients(deep_split, noise, black, answers=[certainty], batch_size=64)
    features, _ = deep_split.features_and_logits(noise[None])
    start, _ = deep_split.features_and_logits(black[None])
    ours = (found * (features - start)).detach()
    layer_ig = LayerIntegratedGradients(Answer(deep_split), deep_split.features)
    captum = layer_ig.attribute(noise[None], black[None], n_steps=200).detach()
    assert float((ours - captum).abs().max()) > 1e-3 * float(captum.abs().max())
