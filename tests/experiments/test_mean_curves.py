"""The mean of the curves of several images, which were measured at different counts."""

import pytest

from drawing.record import Curve, Curves
from experiments.figures import insertion_deletion, mean_curve

FIRST = Curve(
    insertion=[0.0, 1.0, 1.0],
    deletion=[1.0, 0.0],
    insertion_area=0.0,
    deletion_area=0.0,
    insertion_patches=[0, 2, 4],
    deletion_patches=[0, 4],
)
SECOND = Curve(
    insertion=[0.0, 0.0, 1.0],
    deletion=[0.5, 0.5, 0.0],
    insertion_area=0.0,
    deletion_area=0.0,
    insertion_patches=[0, 3, 4],
    deletion_patches=[0, 2, 4],
)


@pytest.fixture
def rows(main_job_row):
    """Rows of two images with curves and of one without."""
    return [
        main_job_row("a", [1], curves=Curves(igos=FIRST)),
        main_job_row("b", [1], curves=Curves(igos=SECOND)),
        main_job_row("c", []),
    ]


def test_a_mean_curve_has_every_count_of_its_images(rows):
    assert mean_curve(rows, "igos", side="insertion").patches == [0, 2, 3, 4]


def test_each_side_has_the_counts_of_that_side(rows):
    assert mean_curve(rows, "igos", side="deletion").patches == [0, 2, 4]


def test_between_measurements_a_curve_is_straight(rows):
    points = mean_curve(rows, "igos", side="deletion").points
    assert [point.value for point in points] == pytest.approx([0.75, 0.5, 0.0])


def test_images_without_curves_are_left_out(rows):
    points = mean_curve(rows, "igos", side="insertion").points
    assert [point.images for point in points] == [2, 2, 2, 2]


def test_curves_measured_at_the_same_counts_have_their_mean(main_job_row):
    rows = [main_job_row(name, [1], curves=Curves(igos=FIRST)) for name in "ab"]
    points = mean_curve(rows, "igos", side="insertion").points
    assert [point.value for point in points] == FIRST.insertion


def test_only_orders_that_exist_are_drawn(rows):
    axes, *_ = insertion_deletion(rows).axes
    assert [line.get_label() for line in axes.lines] == ["I-GOS (n = 2)"]
