"""The second order, in three ways: in closed form, by Hessian products, by finite differences."""

import pytest
import torch

from companions.deliberative.attribution import (
    curvature,
    difficulty_map,
    gradient,
    hessian_products,
    pooled_linear_weight,
)
from companions.deliberative.difficulty import certainty, entropy


def by_finite_differences(split, image, difficulty, step=1e-3):
    """Return f_ij^T H_ij f_ij: how the difficulty bends as one location's features grow."""
    features, _ = split.features_and_logits(image[None])
    features = features.detach()

    def value(row, column, growth):
        changed = features.clone()
        changed[..., row, column] *= 1 + growth
        leaf, logits = split.features_and_logits(image[None], changed)
        return float(difficulty(leaf, logits).detach()[0])

    height, width = features.shape[2:]
    found = torch.zeros(height, width, dtype=torch.float64)
    for row in range(height):
        for column in range(width):
            middle = value(row, column, 0)
            sides = value(row, column, step) + value(row, column, -step)
            found[row, column] = (sides - 2 * middle) / step**2
    return found


@pytest.fixture(params=["certainty", "entropy", "hardness"])
def difficulty(request, predictor):
    """Each difficulty in turn."""
    return {"certainty": certainty, "entropy": entropy, "hardness": predictor}[request.param]


def products_of(split, image, difficulty):
    """Return the second order by Hessian products."""
    features, logits = split.features_and_logits(image[None])
    return hessian_products(difficulty(features, logits)[0], features)


def test_hessian_products_equal_finite_differences(small_split, noise, difficulty):
    products = products_of(small_split, noise, difficulty)
    numeric = by_finite_differences(small_split, noise, difficulty)
    assert products.shape == (4, 4)
    assert float(numeric.abs().max()) > 1e-5
    assert torch.allclose(products, numeric, rtol=1e-4, atol=1e-9)


def test_the_closed_form_equals_hessian_products(small_split, noise, difficulty):
    features, logits = small_split.features_and_logits(noise[None])
    chosen = curvature(small_split, noise, features=features, logits=logits, difficulty=difficulty)
    products = products_of(small_split, noise, difficulty)
    assert torch.allclose(chosen, products, rtol=1e-9, atol=1e-13)


def test_only_a_pooled_linear_head_has_a_closed_form(small_split, noise, head):
    assert (pooled_linear_weight(small_split, noise) is not None) == (head == "pooled")


def test_products_one_by_one_equal_all_at_once(deep_split, noise):
    features, logits = deep_split.features_and_logits(noise[None])
    value = entropy(features, logits)[0]
    alone = hessian_products(value, features, at_once=1)
    together = hessian_products(value, features, at_once=16)
    assert torch.allclose(alone, together, rtol=1e-12, atol=0)


def test_a_linear_value_has_no_curvature(deep_split, noise):
    features, logits = deep_split.features_and_logits(noise[None])
    assert (hessian_products(logits[0, 0] * 0 + features.sum(), features) == 0).all()


@pytest.mark.parametrize("variant", ["cub", "ade20k"])
def test_the_variants_differ_in_where_signs_are_cut(small_split, noise, difficulty, variant):
    features, logits = small_split.features_and_logits(noise[None])
    slope = gradient(difficulty(features, logits)[0], features)[0]
    bend = products_of(small_split, noise, difficulty)
    if variant == "cub":
        wanted = (slope.clamp(min=0) * features[0]).sum(0) + bend.abs() / 2
    else:
        wanted = ((slope * features[0]).sum(0) + bend / 2).clamp(min=0)
    found = difficulty_map(small_split, noise, noise, difficulty=difficulty, variant=variant)
    assert torch.allclose(found, wanted.detach(), rtol=1e-9, atol=1e-13)
