"""Insecurities of planted networks, worked out by hand, and of the bundled world."""

from typing import get_args

import numpy as np
import pytest
import torch

from birds.between import differing, halfway
from birds.painter import PARTS
from companions.deliberative.attribution import Attribution
from companions.deliberative.difficulty import Hardness, certainty, entropy
from companions.deliberative.explanation import find_insecurities, split_network
from companions.deliberative.insecurities import (
    HardnessNetwork,
    Method,
    candidates,
    moved_regions,
    region_of,
    strongest_insecurities,
    top_region,
    without_regions,
)
from scoring.networks import load_network


@pytest.fixture(scope="module")
def birds():
    """The bundled network."""
    return load_network("birds")


# ---------------------------------------------------------------- where, and how strongly

CELL = 10 / 49  # what a cell of full colour adds to its class's logit


def value_by_hand(attribution):
    """Return the difficulty's attribution at a yellow cell."""
    # From black to the image: four cells have red, three have green.
    odds = np.exp(np.linspace(0, 1, 51)[:, None] * [4 * CELL, 3 * CELL, 0])
    p = odds / odds.sum(1, keepdims=True)
    slopes = p[:, 0] * p[:, 1] * CELL  # of the certainty with respect to green
    slopes[0] = 0  # in black no class is ahead
    if attribution == "ig":
        return slopes.mean()
    if attribution == "gradient":
        return slopes[-1]
    if attribution == "none":
        return 1
    p = p[-1]
    mean = CELL * (p[0] + p[1])
    variance = CELL**2 * (p[0] + p[1]) - mean**2
    return slopes[-1] + abs(-p[0] * ((CELL - mean) ** 2 - variance)) / 2


@pytest.mark.parametrize("attribution", get_args(Attribution))
def test_the_network_hesitates_where_both_colours_are(colour_split, scene_tensor, attribution):
    black = torch.zeros_like(scene_tensor)
    method = Method(attribution=attribution, share=2 / 49)
    found = strongest_insecurities(colour_split, scene_tensor, black, method)
    assert [set(i.classes) for i in found] == [{0, 1}]  # nothing is blue: no pair with it
    yellow = torch.zeros(7, 7, dtype=torch.bool)
    yellow[3, 3:5] = True
    assert (found[0].map[yellow] > 0).all()
    assert (found[0].map[~yellow] == 0).all()
    assert float(found[0].region[24:32, 24:40].float().mean()) > 0.7
    wanted = CELL**2 * value_by_hand(attribution)
    assert found[0].map[3, 3] == pytest.approx(wanted, rel=1e-4)


def test_rank_by_strength_leaves_probabilities_out(colour_split, scene_tensor):
    black = torch.zeros_like(scene_tensor)
    method = Method(rank="strength")
    [insecurity] = strongest_insecurities(colour_split, scene_tensor, black, method)
    assert insecurity.score == insecurity.strength


def test_pairs_need_positive_evidence_for_both():
    maps = torch.tensor([[[2.0, 0, 0]], [[1.0, 0, 0]], [[0.0, 3, 0]], [[0.5, 0, 0]], [[0.1, 0, 0]]])
    # Zeros tie and make no pair; the fifth class is not among three.
    assert candidates(maps) == [(0, 1), (0, 3), (1, 3)]


def test_without_evidence_there_is_no_pair():
    assert candidates(torch.zeros(5, 7, 7)) == []


# ---------------------------------------------------------------- regions

RAMP = torch.arange(100.0).view(10, 10) - 96  # positive in 3 of 100 pixels


@pytest.mark.parametrize("share, pixels", [(0.05, 5), (0.99, 99)])
def test_a_top_region_has_its_share_of_pixels(share, pixels):
    assert top_region(RAMP, share).sum() == pixels


@pytest.mark.parametrize("shift, pixels", [(0, 3), (200, 5)])
def test_what_is_shown_of_a_region_is_positive(shift, pixels):
    assert region_of(RAMP + shift, (10, 10), 0.05)[1].sum() == pixels


def test_of_equal_values_the_upper_left_come_first():
    region = top_region(torch.ones(10, 10), 0.2)
    assert region.sum() == 20
    assert region[:2].all()


def test_moved_regions_keep_their_size():
    region = torch.zeros(56, 56, dtype=torch.bool)
    region[24:32, 24:40] = True
    elsewhere = moved_regions(region, 5, torch.Generator().manual_seed(0))
    assert elsewhere.flatten(1).sum(1).tolist() == [128] * 5


def test_no_moved_regions_have_no_rows():
    region = torch.zeros(56, 56, dtype=torch.bool)
    assert moved_regions(region, 0, torch.Generator()).shape == (0, 56, 56)


# ---------------------------------------------------------------- removal


@pytest.fixture
def regions():
    """Nothing, the yellow cells, and a red cell."""
    masks = torch.zeros(3, 56, 56, dtype=torch.bool)
    masks[1, 24:32, 24:40] = True
    masks[2, 0:8, 0:8] = True
    return masks


HARD = Hardness(torch.tensor([1.0, 2.0, -1.0]), torch.tensor(-0.2))


@pytest.mark.parametrize("difficulty", [certainty, entropy, HARD])
def test_removal_in_batches_equals_one_by_one(colour_split, scene_tensor, regions, difficulty):
    black = torch.zeros_like(scene_tensor)
    (p, s), (p_together, s_together) = (
        without_regions(
            colour_split, scene_tensor, black, regions, difficulty=difficulty, batch_size=size
        )
        for size in (1, 3)
    )
    assert torch.allclose(p, p_together, atol=1e-6)
    assert torch.allclose(s, s_together, atol=1e-6)


@pytest.mark.parametrize("difficulty", [certainty, entropy, HARD])
def test_removal_is_a_forward_pass_without_pixels(colour_split, scene_tensor, regions, difficulty):
    black = torch.zeros_like(scene_tensor)
    p, s = without_regions(colour_split, scene_tensor, black, regions, difficulty=difficulty)
    for row, region in enumerate(regions):
        features, logits = colour_split.features_and_logits((scene_tensor * ~region)[None])
        wanted = float(difficulty(features, logits).detach())
        assert torch.allclose(p[row], logits.softmax(1)[0], atol=1e-6)
        assert float(s[row]) == pytest.approx(wanted, abs=1e-6)


def test_a_predictor_is_a_network_of_one_logit(colour_split, scene_tensor):
    assert HardnessNetwork(colour_split, HARD)(scene_tensor[None]).shape == (1, 1)


# ---------------------------------------------------------------- from Python


def test_find_insecurities_returns_what_the_record_has(birds):
    _, _, scene = next(iter(halfway(birds, 1)))
    found = find_insecurities(birds, scene.image, Method(top=2, moved=3))
    assert 1 <= len(found.insecurities) <= 2
    first = found.insecurities[0]
    assert first.before.difficulty == found.difficulty_value
    assert {c.index for c in first.classes} <= {c.index for c in found.classes}
    assert first.moved is not None


def test_without_moved_copies_there_is_no_comparison(birds):
    _, _, scene = next(iter(halfway(birds, 1)))
    found = find_insecurities(birds, scene.image, Method(top=1, moved=0))
    assert found.insecurities[0].moved is None


def test_a_split_at_hand_changes_nothing(birds):
    _, _, scene = next(iter(halfway(birds, 1)))
    method = Method(top=1, moved=0)
    alone = find_insecurities(birds, scene.image, method)
    given = find_insecurities(birds, scene.image, method, split=split_network(birds))
    assert given.insecurities == alone.insecurities


# ---------------------------------------------------------------- the bundled world


def test_a_scene_between_two_birds_has_that_pair_first(birds):
    """Its place: both classes' evidence lies on the parts that they share."""
    black = birds.prepare(np.zeros((224, 224, 3), np.uint8))
    split = split_network(birds)
    covered = {"shared": [], "different": []}  # share of the parts that the region has
    area = {"shared": [], "different": []}  # and of the image that the parts have
    method = Method()
    for a, b, scene in halfway(birds, 6):
        image = birds.prepare(scene.image)
        first = strongest_insecurities(split, image, black, method)[0]
        assert set(first.classes) == {a, b}
        other = set(differing(a, b))
        for kind, parts in (("different", other), ("shared", set(PARTS) - other)):
            mask = np.any([scene.masks[part] for part in parts], 0)
            covered[kind].append(mask[first.region.numpy()].mean())
            area[kind].append(mask.mean())
    assert np.mean(covered["shared"]) > 2 * np.mean(area["shared"])
    assert np.mean(covered["different"]) < np.mean(area["different"])
