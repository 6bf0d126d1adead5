"""Insertion and deletion curves against scorers whose answers are known."""

import numpy as np
import pytest
import torch
from planted import dnf_scorer

from scoring.curves import (
    FIRST_POINTS,
    MOST_POINTS,
    Curve,
    area,
    explanation_orders,
    insertion_deletion,
    map_order,
    points,
    roots_order,
    saliency_order,
)
from scoring.patches import Matrix, Tents
from scoring.questions import answer

GOOD = [2, 3, 0, 1]  # the two patches that the class depends on come first
BAD = [0, 1, 2, 3]
COARSE = list(range(49))  # the patches of a 7 x 7 grid
FINE = list(range(784))  # of a 28 x 28 grid


def scorer_of(heights, calls=None):
    """Return a scorer by the number of visible patches, which keeps the sets of each call."""

    def score(sets):
        if calls is not None:
            calls.append(list(sets))
        return [heights[len(patches)] for patches in sets]

    return score


def step(at, total=49):
    """Return the confidences of a scorer that needs the first `at` patches."""
    return [float(count >= at) for count in range(total + 1)]


def curve_of(heights, calls=None, **options):
    """Return the curve of one order of as many patches as the heights tell."""
    order = list(range(len(heights) - 1))
    asks = insertion_deletion({"only": order}, 1.0, **options)
    return answer(asks, scorer_of(heights, calls=calls))["only"]


@pytest.fixture
def calls():
    """The sets of each call of the scorer."""
    return []


@pytest.fixture
def curves(calls):
    """The curves of a good and a bad order of four patches."""
    scorer = dnf_scorer([(2, 3)], high=0.8, low=0.0, calls=calls)
    return answer(insertion_deletion({"good": GOOD, "bad": BAD}, 0.8), scorer)


@pytest.fixture
def fine_curves(calls):
    """The curves of an order of 784 patches, and of its reverse."""
    scorer = dnf_scorer([(0,)], calls=calls)
    orders = {"first": FINE, "last": FINE[::-1]}
    return answer(insertion_deletion(orders, 0.95), scorer)


# ---------------------------------------------------------------- curves


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


@pytest.mark.parametrize("name", ["good", "bad"])
def test_a_coarse_curve_has_a_point_for_each_patch(curves, name):
    curve = curves[name]
    assert curve.insertion_patches == curve.deletion_patches == [0, 1, 2, 3, 4]


def test_an_area_weighs_a_point_by_its_distance_to_the_next():
    curve = Curve([0, 1, 4], [0.0, 1.0, 1.0], deletion_patches=[0, 3, 4], deletion=[1.0, 0.0, 0.0])
    assert (curve.insertion_area, curve.deletion_area) == (3.5 / 4, 1.5 / 4)


def test_without_orders_nothing_is_scored(calls):
    assert answer(insertion_deletion({}, 0.9), scorer_of([], calls=calls)) == {}
    assert calls == []


# ---------------------------------------------------------------- where curves are sampled


def test_the_first_round_has_nine_counts_of_each_side(calls):
    curve_of(step(5), calls=calls)
    from_insertion = {len(patches) for patches in calls[0] if 0 in patches}
    from_deletion = {len(patches) for patches in calls[0] if 48 in patches}
    evenly = set(points(49, FIRST_POINTS))
    assert from_insertion == evenly - {0}
    assert from_deletion == {49 - count for count in evenly} - {0}


@pytest.mark.parametrize("at", range(1, 50))
def test_a_step_is_found_to_the_patch(at):
    curve = curve_of(step(at))
    assert {at - 1, at} <= set(curve.insertion_patches)
    assert {49 - at, 49 - at + 1} <= set(curve.deletion_patches)


@pytest.mark.parametrize("at", [1, 5, 17, 25, 49])
def test_a_step_costs_three_points_beyond_the_nine(at):
    assert len(curve_of(step(at)).insertion_patches) <= FIRST_POINTS + 3


@pytest.mark.parametrize("total", [16, 49, 64, 784])
def test_nine_points_suffice_for_a_straight_line(total, calls):
    line = curve_of(np.linspace(0, 1, total + 1).tolist(), calls=calls)
    assert len(calls) == 1
    assert len(line.insertion_patches) == len(line.deletion_patches) == FIRST_POINTS


def test_only_beside_the_bend_of_two_lines_are_intervals_halved():
    heights = np.interp(range(785), [0, 392, 784], [0, 0, 1]).tolist()
    counts = curve_of(heights).insertion_patches
    assert set(counts) - set(points(784, FIRST_POINTS)) == {441}  # between 392 and 490


def test_a_flat_curve_is_asked_about_once(calls):
    curve_of([0.5] * 50, calls=calls)
    assert len(calls) == 1


def test_each_side_has_its_own_counts():
    heights = [0.0] * 10 + [1.0] * 40
    curve = curve_of(heights)
    assert curve.insertion_patches != curve.deletion_patches


def test_each_order_has_its_own_counts(fine_curves):
    assert fine_curves["first"].insertion_patches != fine_curves["last"].insertion_patches


def test_each_round_asks_for_all_curves_at_once(calls):
    orders = {"one": COARSE, "reverse": COARSE[::-1], "other": COARSE[7:] + COARSE[:7]}
    answer(insertion_deletion(orders, 1.0), scorer_of(step(20), calls=calls))
    assert len(calls) == 4  # nine points, then an interval of 6 patches is halved three times


def test_no_set_is_asked_for_twice(fine_curves, calls):
    asked = [patches for sets in calls for patches in sets]
    assert len(asked) == len(set(asked))


def test_curves_share_what_they_have_in_common(calls):
    answer(insertion_deletion({"one": COARSE, "same": COARSE}, 1.0), scorer_of(step(9), calls))
    both = sum(len(sets) for sets in calls)
    calls.clear()
    answer(insertion_deletion({"one": COARSE}, 1.0), scorer_of(step(9), calls))
    assert both == sum(len(sets) for sets in calls)


def test_every_stored_value_was_scored(calls):
    heights = np.sort(np.random.default_rng(0).random(50)).tolist()
    curve = curve_of(heights, calls=calls)
    asked = {tuple(patches) for sets in calls for patches in sets}
    assert {tuple(range(count)) for count in curve.insertion_patches} <= asked
    assert curve.insertion == [heights[count] for count in curve.insertion_patches]


def test_curves_are_worth_full_precision():
    assert next(insertion_deletion({"one": COARSE}, 1.0)).is_proof


def test_no_curve_has_more_than_the_most_points():
    jumping = np.random.default_rng(0).random(785).tolist()
    assert len(curve_of([9 * height for height in jumping]).insertion_patches) == MOST_POINTS


def test_where_not_all_fit_the_largest_bends_are_halved():
    random = np.random.default_rng(0)
    small = 3 * random.random(392)
    large = 9 * random.random(393)
    counts = np.array(curve_of([*small, *large]).insertion_patches)
    assert (counts >= 392).sum() > (counts < 392).sum()


# ---------------------------------------------------------------- all counts


def test_all_counts_are_every_patch_of_a_coarse_grid():
    curve = curve_of(step(20), all_counts=True)
    assert curve.insertion_patches == curve.deletion_patches == list(range(50))


def test_all_counts_have_every_confidence():
    heights = np.random.default_rng(1).random(50).tolist()
    curve = curve_of(heights, all_counts=True)
    assert (curve.insertion, curve.deletion) == (heights, heights[::-1])


def test_all_counts_of_a_fine_grid_are_evenly_spaced():
    curve = curve_of(step(300, total=784), all_counts=True)
    assert curve.insertion_patches == curve.deletion_patches == points(784)


def test_all_counts_are_asked_for_in_one_call(calls):
    curve_of(step(20), calls=calls, all_counts=True)
    assert len(calls) == 1


# ---------------------------------------------------------------- how good the area is


def area_error(heights):
    """Return how far the sampled curve's area is from that of all counts."""
    return abs(curve_of(heights).insertion_area - area(range(len(heights)), heights))


def monotone(seed, steps):
    """Return 50 confidences from 0 to 1 that rise by jumps at random places."""
    random = np.random.default_rng(seed)
    rises = np.zeros(49)
    np.add.at(rises, random.integers(0, 49, steps), random.random(steps))
    return np.concatenate([[0], np.cumsum(rises) / rises.sum()]).tolist()


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 10, 30, 200])
@pytest.mark.parametrize("seed", range(20))
def test_monotone_curves_have_their_area(seed, steps):
    assert area_error(monotone(seed, steps)) < 0.02


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 10, 30, 200])
def test_the_median_error_of_areas_is_small(steps):
    assert np.median([area_error(monotone(seed, steps)) for seed in range(40)]) < 0.005


@pytest.mark.parametrize("seed", range(20))
def test_what_is_not_halved_bounds_the_error(seed):
    heights = monotone(seed, 4)
    curve = curve_of(heights)
    widths = np.diff(curve.insertion_patches)
    products = np.diff(curve.insertion)[widths > 1] * widths[widths > 1] / 49
    assert area_error(heights) <= products.sum() / 2 + 1e-12


# ---------------------------------------------------------------- out of time


def scorer_out_of_time(calls_left):
    """Return a scorer of a step that raises TimeoutError after some calls."""
    left = iter(range(calls_left))
    known = scorer_of(step(20))

    def score(sets):
        if next(left, None) is None:
            raise TimeoutError
        return known(sets)

    return score


def test_without_time_there_are_no_curves():
    with pytest.raises(TimeoutError):
        answer(insertion_deletion({"only": COARSE}, 1.0), scorer_out_of_time(0))


def test_out_of_time_curves_are_as_far_as_they_got():
    curves = answer(insertion_deletion({"only": COARSE}, 1.0), scorer_out_of_time(1))
    assert curves["only"].insertion_patches == points(49, FIRST_POINTS)


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
    order = map_order(values, Tents((7, 7), (224, 224)), (224, 224))
    assert order[:2] == [37, 38]


def test_a_map_coarser_than_the_grid_is_enlarged():
    in_two_corners = np.eye(2)[::-1]
    first, *_ = map_order(in_two_corners, Tents((4, 4), (56, 56)), (56, 56))
    assert first in (3, 12)


def test_a_region_has_the_mean_of_the_map():
    small_and_large = Matrix(torch.tensor([[[1.0, 0, 0, 0]], [[0, 1, 1, 1]]]))
    order = map_order(np.array([[0.6, 0.5, 0.5, 0.5]]), small_and_large, (1, 4))
    assert order == [0, 1]


def orders_for(saliency_map, roots):
    """Return the orders of four patches that these explanations give."""
    basis = Matrix(torch.eye(4).view(4, 2, 2))
    return explanation_orders([0.3, 0.1, 0.2, 0.4], saliency_map, roots, basis=basis, size=(2, 2))


def test_each_explanation_has_an_order():
    saliency_map = np.array([[0, 1], [2, 3]])
    assert orders_for(saliency_map, [((3,), 0.9)]) == {
        "igos": [1, 2, 0, 3],
        "gradcam": [3, 2, 1, 0],
        "roots": [3, 1, 2, 0],
        "explanations": [3, 1, 2, 0],
    }


def test_the_map_of_explanations_puts_small_ones_first():
    """Two large roots have more patches in common, a small one more of its weight in each."""
    roots = [((0, 1, 2), 0.99), ((0, 1, 3), 0.99), ((2,), 0.9)]
    orders = orders_for(None, roots)
    assert orders["roots"] == [1, 0, 2, 3]
    assert orders["explanations"] == [2, 1, 0, 3]


def test_an_explanation_that_does_not_exist_has_no_order():
    assert orders_for(None, []) == {"igos": [1, 2, 0, 3]}
