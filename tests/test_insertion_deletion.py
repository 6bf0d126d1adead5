"""Insertion and deletion curves against hand-made scorers."""

import numpy as np
import pytest

from scoring.curves import (
    MOST_POINTS,
    area,
    heat_order,
    insertion_deletion,
    roots_order,
    saliency_order,
)
from planted import dnf_scorer


def test_a_right_order_has_the_largest_insertion_and_the_smallest_deletion_area():
    calls = []
    scorer = dnf_scorer([(2, 3)], high=0.8, low=0.0, calls=calls)
    curves = insertion_deletion(scorer, {"good": [2, 3, 0, 1], "bad": [0, 1, 2, 3]}, 0.8)
    assert curves["patches"] == [0, 1, 2, 3, 4] and len(calls) == 1
    assert curves["good"]["insertion"] == pytest.approx([0, 0, 1, 1, 1]) and curves["good"][
        "deletion"
    ] == pytest.approx([1, 0, 0, 0, 0])
    assert curves["bad"]["insertion"] == pytest.approx([0, 0, 0, 0, 1]) and curves["bad"][
        "deletion"
    ] == pytest.approx([1, 1, 1, 0, 0])
    assert [
        curves[name][f"{side}_area"]
        for name in ("good", "bad")
        for side in ("insertion", "deletion")
    ] == pytest.approx([0.625, 0.125, 0.125, 0.625])


def test_a_set_is_asked_for_once_and_a_fine_grid_is_sampled():
    calls = []
    order = list(range(784))
    curves = insertion_deletion(
        dnf_scorer([(0,)], calls=calls), {"a": order, "b": order[::-1]}, 0.95
    )
    assert (
        len(curves["patches"]) == MOST_POINTS
        and curves["patches"][0] == 0
        and curves["patches"][-1] == 784
    )
    assert len(calls[0]) == len(set(calls[0])) <= 4 * MOST_POINTS
    assert curves["a"]["insertion"][1] == pytest.approx(1)


def test_areas_are_mean_heights_also_at_uneven_counts():
    assert area([0, 1, 3], [0.0, 1.0, 1.0]) == pytest.approx(2.5 / 3)
    assert area([0, 49], [0.2, 0.4]) == pytest.approx(0.3)


def test_orders():
    assert saliency_order(np.array([[1.0, 0.2], [0.5, 0.2]])) == [1, 3, 2, 0]
    assert roots_order([((0, 2), 0.5), ((2, 3), 0.9)], [1.0, 0.1, 1.0, 0.5]) == [2, 3, 0, 1]
    heat = np.zeros((7, 7))
    heat[5, 2], heat[5, 3] = 1, 0.5
    assert heat_order(heat, (7, 7), (224, 224))[:2] == [37, 38]
    assert heat_order(np.eye(2)[::-1], (4, 4), (56, 56))[0] in (
        3,
        12,
    )  # coarser than the grid: hot in two corners
