"""Explanations against the part sets that are sufficient in the bundled world, by hand."""

import numpy as np
import pytest

from birds.painter import CLASSES, PARTS, draw_scene, minimal_sufficient_parts
from experiments.part_ground_truth import (
    box_shares,
    max_pairs,
    parts_shown,
    precision_and_recall,
    random_sets_like,
)

JAY = 0  # the copper jay: crest | beak & feet | tail & feet | beak & wing & tail
BEAK, CREST, WING, TAIL, FEET = range(5)  # patches that show one part each
BEAK_AND_FEET = 5  # a patch that shows two
HALF_CREST = (6, 7)  # two patches that show the crest only together


@pytest.fixture
def shares():
    """What each of 16 patches shows of each part."""
    table = np.zeros((16, len(PARTS)))
    table[range(5), range(5)] = 0.3
    table[BEAK_AND_FEET, [BEAK, FEET]] = 0.26
    table[list(HALF_CREST), CREST] = 0.15
    return table


# ---------------------------------------------------------------- rule 1


@pytest.fixture
def shares_by_hand():
    """Shares of boxes on a grid of 3 x 3 on 5 x 5 pixels: tents of half-width 2 pixels."""
    boxes = {"beak": (2, 2, 2, 2), "wing": (0, 0, 4, 4), "tail": (0, 2, 1, 2)}
    return box_shares(boxes, (3, 3), (5, 5))


def test_a_box_at_a_patchs_centre_is_its_own(shares_by_hand):
    assert shares_by_hand[:, PARTS.index("beak")].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]


def test_a_box_of_the_whole_image_is_shared(shares_by_hand):
    wing = shares_by_hand[:, PARTS.index("wing")]
    assert wing[4] == pytest.approx((2 / 5) ** 2)
    assert wing[0] == pytest.approx((1.5 / 5) ** 2)


def test_a_box_between_two_patches_is_shared(shares_by_hand):
    tail = shares_by_hand[:, PARTS.index("tail")]
    assert tail[[3, 4]] == pytest.approx([0.75, 0.25])


def test_a_part_that_is_not_drawn_has_no_share(shares_by_hand):
    assert not shares_by_hand[:, PARTS.index("crest")].any()


def test_all_patches_of_a_scene_show_every_part():
    scene = draw_scene(CLASSES[3][1], 11)
    shares = box_shares(scene.boxes, (7, 7), (224, 224))
    assert shares.sum(0) == pytest.approx(np.ones(len(PARTS)), abs=1e-5)
    assert parts_shown(tuple(range(49)), shares) == PARTS
    assert parts_shown((), shares) == ()


@pytest.mark.parametrize(
    ("patches", "parts"),
    [
        ((BEAK, TAIL), ("beak", "tail")),
        ((BEAK_AND_FEET,), ("beak", "feet")),
        (HALF_CREST[:1], ()),
        (HALF_CREST, ("crest",)),
    ],
)
def test_parts_shown_add_up_over_patches(shares, patches, parts):
    assert parts_shown(patches, shares) == parts


def test_how_much_of_a_part_counts_can_be_set(shares):
    assert parts_shown((BEAK_AND_FEET,), shares, shown=0.27) == ()


# ---------------------------------------------------------------- rules 2 and 3


def test_the_part_sets_of_the_jay():
    assert minimal_sufficient_parts(JAY) == [
        ("crest",),
        ("beak", "feet"),
        ("tail", "feet"),
        ("beak", "wing", "tail"),
    ]


@pytest.mark.parametrize(
    ("mses", "precision", "recall"),
    [
        ([(CREST,)], 1.0, 0.25),
        ([(BEAK_AND_FEET,)], 1.0, 0.25),
        ([(CREST,), (BEAK,), (WING, 9)], 1 / 3, 0.25),
        ([(BEAK,), (FEET,)], 0.0, 0.0),  # never together
        ([HALF_CREST], 1.0, 0.25),  # neither patch alone shows the crest
    ],
)
def test_precision_and_recall_by_hand(shares, mses, precision, recall):
    found = precision_and_recall(mses, shares, JAY)
    assert found == (pytest.approx(precision), recall)


def test_without_an_mse_there_is_no_precision(shares):
    assert precision_and_recall([], shares, JAY) == (None, 0.0)


def test_an_mse_that_shows_more_than_it_needs_is_wrong(shares):
    assert precision_and_recall([(TAIL, BEAK_AND_FEET)], shares, JAY) == (0.0, 0.0)
    assert precision_and_recall([tuple(range(16))], shares, JAY) == (0.0, 0.0)


def test_leniently_it_is_right(shares):
    found = precision_and_recall([(TAIL, BEAK_AND_FEET)], shares, JAY, lenient=True)
    assert found == (1.0, 0.5)  # beak & feet, tail & feet
    found = precision_and_recall([tuple(range(16))], shares, JAY, lenient=True)
    assert found == (1.0, 1.0)


def test_an_mse_stands_for_one_part_set_at_most(shares):
    mses = [(CREST,), (BEAK, FEET), (BEAK, FEET)]
    assert precision_and_recall(mses, shares, JAY) == (1.0, 0.5)


@pytest.mark.parametrize(
    ("fits", "pairs"),
    [([[True, True], [True, False]], 2), ([[True, True]], 1), (np.zeros((0, 4)), 0)],
)
def test_as_many_pairs_as_possible(fits, pairs):
    assert max_pairs(np.array(fits, bool)) == pairs


# ---------------------------------------------------------------- random sets


def test_random_sets_are_of_the_same_sizes():
    alike = random_sets_like([(1,), (2, 3, 4)], 49, seed=[0, 2])
    assert [len(patches) for patches in alike] == [1, 3]
    assert alike[1] == tuple(sorted(set(alike[1])))


def test_random_sets_are_seeded():
    mses = [(1,), (2, 3, 4)]
    assert random_sets_like(mses, 49, seed=[0, 2]) == random_sets_like(mses, 49, seed=[0, 2])
