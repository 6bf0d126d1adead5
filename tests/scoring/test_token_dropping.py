"""Dropped tokens: a vision transformer that is not shown the hidden patches at all."""

import pytest
import torch
from planted import PlantedNetwork, small_vit

from running.check_record import masked_attention
from scoring.networks import class_probabilities
from scoring.patches import masks_of
from scoring.token_dropping import TokenDropping, why_not

EVERYTHING = tuple(range(49))


@pytest.fixture(scope="module")
def vit():
    """An untrained transformer with 14 x 14 tokens of 4 x 4 pixels."""
    return small_vit()


@pytest.fixture
def vit_image():
    return torch.randn(3, 56, 56, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def sets(patch_sets):
    """No patch, every patch, and random sets of various sizes."""
    return [(), EVERYTHING, *(tuple(sorted(patches)) for patches in patch_sets[:20])]


@pytest.fixture
def logits(vit, vit_image, sets):
    with torch.inference_mode():
        return TokenDropping(vit, vit_image)(masks_of(sets, 49))


def test_dropping_tokens_equals_masking_attention(logits, vit, vit_image, sets):
    wanted = masked_attention(vit, vit_image, (7, 7), sets)
    assert torch.allclose(class_probabilities(logits), wanted, atol=1e-5)


def test_with_every_token_it_is_the_network_itself(logits, vit, vit_image, sets):
    (full,) = vit(vit_image[None])
    assert torch.allclose(logits[sets.index(EVERYTHING)], full, atol=1e-4)


def test_the_transformer_tells_the_sets_apart(logits):
    assert logits.softmax(1).std(0).max() > 0.05


@pytest.mark.parametrize("grid", [(7, 7), (14, 14), (2, 7)])
def test_a_grid_that_aligns_with_the_tokens_is_possible(vit, grid):
    assert why_not(vit, grid) is None


def test_a_grid_that_does_not_align_is_named(vit):
    assert "does not align with 14 x 14 tokens" in why_not(vit, (5, 5))


def test_a_network_without_tokens_is_named():
    assert "a PlantedNetwork has no tokens to drop" in why_not(PlantedNetwork([(1,)]), (7, 7))


def test_tokens_are_not_dropped_where_it_is_not_possible(vit, vit_image):
    with pytest.raises(ValueError, match="align"):
        TokenDropping(vit, vit_image, (4, 4))
