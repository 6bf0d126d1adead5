"""Which settings decide whether a record stands."""

import pytest

from running.results import result_settings


def test_a_category_recorded_as_a_number_is_the_same():
    assert result_settings({"category": 4}) == result_settings({"category": "4"})


def test_no_category_is_another_setting_than_the_first_class():
    assert result_settings({"category": None}) != result_settings({"category": "0"})


@pytest.mark.parametrize("name", ["images", "results", "device", "batch_size", "ray", "open"])
def test_a_setting_that_changes_no_result_does_not_count(name):
    assert result_settings({name: "one"}) == result_settings({name: "another"})
