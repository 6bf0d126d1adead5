"""Explanations against true part sets, by hand."""

import numpy as np
import pytest

from birds.painter import CLASSES, PARTS, draw_scene, minimal_sufficient_parts
from experiments.part_truth import (
    box_shares,
    pairs,
    parts_shown,
    precision_and_recall,
    random_alike,
)

SHARES = np.zeros(
    (16, len(PARTS))
)  # patch p shows 0.3 of part p, for the first five; patch 5 shows beak and feet
SHARES[range(5), range(5)] = 0.3
SHARES[5, [0, 4]] = 0.26
SHARES[6, 1] = SHARES[7, 1] = 0.15  # two patches that show the crest only together


def test_shares_of_boxes_by_hand():
    """A grid of 3 x 3 on 5 x 5 pixels: tents of half-width 2 pixels."""
    shares = box_shares(
        {"beak": (2, 2, 2, 2), "wing": (0, 0, 4, 4), "tail": (0, 2, 1, 2)}, (3, 3), (5, 5)
    )
    assert shares[4, PARTS.index("beak")] == 1 and shares[:, PARTS.index("beak")].sum() == 1
    assert shares[4, PARTS.index("wing")] == pytest.approx((2 / 5) ** 2) and shares[
        0, PARTS.index("wing")
    ] == pytest.approx((1.5 / 5) ** 2)
    assert shares[3, PARTS.index("tail")] == pytest.approx(0.75) and shares[
        4, PARTS.index("tail")
    ] == pytest.approx(0.25)
    assert not shares[:, PARTS.index("crest")].any()  # not drawn


def test_the_whole_image_shows_every_part_of_a_scene_and_no_patch_none():
    scene = draw_scene(CLASSES[3][1], 11)
    shares = box_shares(scene.boxes, (7, 7), (224, 224))
    assert shares.sum(0) == pytest.approx(np.ones(len(PARTS)), abs=1e-5)
    assert parts_shown(tuple(range(49)), shares) == PARTS and parts_shown((), shares) == ()


def test_parts_shown_add_up_over_patches():
    assert parts_shown((0, 3), SHARES) == ("beak", "tail") and parts_shown((5,), SHARES) == (
        "beak",
        "feet",
    )
    assert parts_shown((6,), SHARES) == () and parts_shown((6, 7), SHARES) == ("crest",)
    assert parts_shown((5,), SHARES, shown=0.27) == ()


def test_precision_and_recall_by_hand():
    """The copper jay: crest | beak & feet | tail & feet | beak & wing & tail."""
    assert minimal_sufficient_parts(0) == [
        ("crest",),
        ("beak", "feet"),
        ("tail", "feet"),
        ("beak", "wing", "tail"),
    ]
    assert precision_and_recall([(1,)], SHARES, 0) == (1.0, 0.25)
    assert precision_and_recall([(5,)], SHARES, 0) == (1.0, 0.25)  # one patch, two parts
    assert precision_and_recall([(1,), (0,), (2, 9)], SHARES, 0) == (pytest.approx(1 / 3), 0.25)
    assert precision_and_recall([(0,), (4,)], SHARES, 0) == (
        0.0,
        0.0,
    )  # beak and feet, but never together
    assert precision_and_recall([(6, 7)], SHARES, 0) == (
        1.0,
        0.25,
    )  # neither patch alone shows the crest
    assert precision_and_recall([], SHARES, 0) == (None, 0.0)


def test_an_mse_that_shows_more_than_it_needs_is_right_only_leniently():
    assert precision_and_recall([(3, 5)], SHARES, 0) == (0.0, 0.0)  # (5,) alone shows beak and feet
    assert precision_and_recall([(3, 5)], SHARES, 0, lenient=True) == (
        1.0,
        0.5,
    )  # beak & feet, tail & feet
    everything = [tuple(range(16))]
    assert precision_and_recall(everything, SHARES, 0) == (0.0, 0.0)
    assert precision_and_recall(everything, SHARES, 0, lenient=True) == (1.0, 1.0)


def test_an_mse_stands_for_one_part_set_at_most():
    assert (
        pairs(np.array([[True, True], [True, False]])) == 2
        and pairs(np.array([[True, True]])) == 1
        and pairs(np.zeros((0, 4), bool)) == 0
    )
    assert precision_and_recall([(1,), (0, 4), (0, 4)], SHARES, 0) == (1.0, 0.5)


def test_random_sets_are_of_the_same_sizes_and_seeded():
    alike = random_alike([(1,), (2, 3, 4)], 49, [0, 2])
    assert (
        list(map(len, alike)) == [1, 3]
        and alike == random_alike([(1,), (2, 3, 4)], 49, [0, 2])
        and alike[1] == tuple(sorted(set(alike[1])))
    )
