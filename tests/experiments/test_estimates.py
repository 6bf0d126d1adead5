"""Statistics over images and their intervals."""

import numpy as np
import pytest

from experiments.estimates import Estimate, estimate, variance

VALUES = np.random.default_rng(1).normal(5, 2, 400)


def test_the_value_is_the_statistic():
    assert estimate(VALUES).value == pytest.approx(VALUES.mean())


def test_the_interval_is_near_the_normal_approximation():
    one = estimate(VALUES)
    half = 1.96 * VALUES.std() / np.sqrt(len(VALUES))
    assert one.low == pytest.approx(one.value - half, abs=0.06)
    assert one.high == pytest.approx(one.value + half, abs=0.06)


def test_the_interval_is_seeded():
    assert estimate(VALUES) == estimate(VALUES)


def test_images_without_a_value_do_not_count():
    assert estimate([None, 1, 3]).value == 2.0
    assert estimate([None, 1, 3]).images == 2


def test_equal_values_have_an_interval_of_no_width():
    assert estimate([True, None, True]) == Estimate(1.0, 1.0, 1.0, images=2)


def test_one_value_has_no_interval():
    assert estimate([0.5]) == Estimate(0.5, None, None, images=1)


@pytest.mark.parametrize("values", [[], [None, None]])
def test_no_value_is_no_estimate(values):
    assert estimate(values) is None


def test_a_variance_is_unbiased():
    spread = estimate([1, 2, 6], variance)
    assert spread.value == pytest.approx(7.0)
    assert spread.low <= 7 <= spread.high


def test_one_value_has_no_variance():
    assert estimate([1], variance) is None


def test_an_estimate_is_printed_with_its_interval():
    assert str(Estimate(0.256, 0.1, 0.4)) == "0.26 (0.10 to 0.40)"
    assert str(Estimate(0.256, None, None, digits=1)) == "0.3"
