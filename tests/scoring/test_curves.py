"""Insertion and deletion curves against scorers whose answers are known."""

import numpy as np
import pytest
from planted import dnf_scorer

from scoring.curves import (
    MOST_POINTS,
    area,
    explanation_orders,
    insertion_deletion,
    map_order,
    points,
    roots_order,
    saliency_order,
)
from scoring.patches import tents

GOOD = [2, 3, 0, 1]  # the two patches that the class depends on come first
BAD = [0, 1, 2, 3]
FINE = list(range(784))  # the patches of a 28 x 28 grid


@pytest.fixture
def calls():
    """The sets of each call of the scorer."""
    return []


@pytest.fixture
def curves(calls):
    """The curves of a good and a bad order of four patches."""
    scorer = dnf_scorer([(2, 3)], high=0.8, low=0.0, calls=calls)
    return insertion_deletion(scorer, {"good": GOOD, "bad": BAD}, 0.8)


@pytest.fixture
def fine_curves(calls):
    """The curves of an order of 784 patches, and of its reverse."""
    scorer = dnf_scorer([(0,)], calls=calls)
    return insertion_deletion(scorer, {"first": FINE, "last": FINE[::-1]}, 0.95)


# ---------------------------------------------------------------- curves


def test_a_curve_has_a_point_for_each_patch(curves):
    assert curves["good"].patches == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name, heights", [("good", [0, 0, 1, 1, 1]), ("bad", [0, 0, 0, 0, 1])])
def test_insertion_shows_one_patch_after_the_other(curves, name, heights):
    assert curves[name].insertion == pytest.approx(heights)


@pytest.mark.parametrize("name, heights", [("good", [1, 0, 0, 0, 0]), ("bad", [1, 1, 1, 0, 0])])
def test_deletion_hides_one_patch_after_the_other(curves, name, heights):
    assert curves[name].deletion == pytest.approx(heights)


@pytest.mark.parametrize("name, height", [("good", 0.625), ("bad", 0.125)])
def test_a_good_order_has_the_larger_insertion_area(curves, name, height):
    assert curves[name].insertion_area == pytest.approx(height)


@pytest.mark.parametrize("name, height", [("good", 0.125), ("bad", 0.625)])
def test_a_good_order_has_the_smaller_deletion_area(curves, name, height):
    assert curves[name].deletion_area == pytest.approx(height)


def test_all_sets_are_scored_in_one_call(curves, calls):
    assert len(calls) == 1


def test_a_set_of_several_curves_is_asked_for_once(fine_curves, calls):
    (sets,) = calls
    assert len(sets) == len(set(sets)) <= 4 * MOST_POINTS


def test_a_fine_grid_is_sampled_at_every_curve_alike(fine_curves):
    assert fine_curves["first"].patches == fine_curves["last"].patches == points(784)


def test_the_first_sample_shows_the_first_patch(fine_curves):
    second = points(784).index(min(count for count in points(784) if count))
    assert fine_curves["first"].insertion[second] == pytest.approx(1)


def test_without_orders_nothing_is_scored(calls):
    insertion_deletion(dnf_scorer([(0,)], calls=calls), {}, 0.9)
    assert calls == []


# ---------------------------------------------------------------- points


@pytest.mark.parametrize("total", [1, 4, 48, 49])
def test_a_coarse_grid_has_every_point(total):
    assert points(total) == list(range(total + 1))


@pytest.mark.parametrize("total", [50, 64, 784])
def test_a_finer_grid_has_the_most_points(total):
    assert len(points(total)) == MOST_POINTS


@pytest.mark.parametrize("total", [1, 49, 50, 784])
def test_points_reach_from_none_to_all(total):
    assert min(points(total)) == 0 and max(points(total)) == total


@pytest.mark.parametrize("total", [49, 50, 81, 784])
def test_points_are_evenly_spaced(total):
    steps = np.diff(points(total))
    assert steps.min() >= 1 and steps.max() - steps.min() <= 1


# ---------------------------------------------------------------- areas


def hand_written_area(counts, heights):
    """Return the mean height by trapezoids, as it was computed before SciPy did it."""
    widths = np.diff(counts)
    heights = np.asarray(heights, float)
    return float((widths * (heights[1:] + heights[:-1]) / 2).sum() / widths.sum())


@pytest.mark.parametrize(
    "counts, heights, mean", [([0, 1, 3], [0.0, 1.0, 1.0], 2.5 / 3), ([0, 49], [0.2, 0.4], 0.3)]
)
def test_an_area_is_the_mean_height(counts, heights, mean):
    assert area(counts, heights) == pytest.approx(mean)


@pytest.mark.parametrize("total", [1, 16, 49, 64, 784])
def test_scipy_gives_the_areas_of_the_formula(total):
    counts = points(total)
    heights = np.random.default_rng(total).random(len(counts)).tolist()
    assert area(counts, heights) == hand_written_area(counts, heights)


# ---------------------------------------------------------------- orders


def test_the_lowest_value_is_the_most_salient():
    assert saliency_order(np.array([[1.0, 0.2], [0.5, 0.3]])) == [1, 3, 2, 0]


def test_equally_salient_patches_are_ordered_by_number():
    assert saliency_order(np.array([[1.0, 0.2], [0.5, 0.2]])) == [1, 3, 2, 0]


def test_roots_order_by_summed_confidence():
    roots = [((0, 2), 0.5), ((2, 3), 0.9)]
    assert roots_order(roots, [1.0, 0.1, 1.0, 0.5]) == [2, 3, 0, 1]


def test_patches_in_no_root_are_ordered_by_saliency():
    assert roots_order([((2,), 0.9)], [1.0, 0.1, 1.0, 0.5]) == [2, 1, 3, 0]


def test_a_map_as_fine_as_the_grid_orders_its_patches():
    values = np.zeros((7, 7))
    values[5, 2] = 1
    values[5, 3] = 0.5
    order = map_order(values, tents((7, 7), (224, 224)).numpy(), (224, 224))
    assert order[:2] == [37, 38]


def test_a_map_coarser_than_the_grid_is_enlarged():
    in_two_corners = np.eye(2)[::-1]
    first, *_ = map_order(in_two_corners, tents((4, 4), (56, 56)).numpy(), (56, 56))
    assert first in (3, 12)


def test_a_region_has_the_mean_of_the_map():
    small_and_large = np.array([[1, 0, 0, 0], [0, 1, 1, 1]], np.float32)
    order = map_order(np.array([[0.6, 0.5, 0.5, 0.5]]), small_and_large, (1, 4))
    assert order == [0, 1]


def orders_for(saliency_map, roots):
    """Return the orders of four patches that these explanations give."""
    basis = np.eye(4, dtype=np.float32)
    return explanation_orders([0.3, 0.1, 0.2, 0.4], saliency_map, roots, basis=basis, size=(2, 2))


def test_each_explanation_has_an_order():
    saliency_map = np.array([[0, 1], [2, 3]])
    assert orders_for(saliency_map, [((3,), 0.9)]) == {
        "igos": [1, 2, 0, 3],
        "gradcam": [3, 2, 1, 0],
        "roots": [3, 1, 2, 0],
    }


def test_an_explanation_that_does_not_exist_has_no_order():
    assert orders_for(None, []) == {"igos": [1, 2, 0, 3]}
