"""Images of patch sets: what is visible, what hides the rest, and outlines."""

import tracemalloc

import numpy as np
import pytest

from drawing.masked_images import RED, MaskedImages, Removal, outlined
from scoring.patches import cells, tents
from scoring.regions import Regions

MIDDLE = (18, 18)  # in patch 5 of 4 x 4, whose centre is at 55 / 3
CORNER = (50, 50)  # far from patch 5


def grey_image(paper: bool = False) -> MaskedImages:
    image = np.full((56, 56, 3), 200, np.uint8)
    return MaskedImages(image, grid=(4, 4), baseline="mean", paper=paper)


def red_pixels(patch: int, drop: float) -> int:
    grey = np.full((224, 224, 3), 90, np.uint8)
    shown = outlined(grey, [Removal(patch, drop)], grid=(7, 7))
    return int((shown == RED).all(-1).sum())


@pytest.mark.parametrize("hidden", ["dim", "black", "outline", "baseline"])
def test_a_visible_patch_shows_the_image(hidden):
    assert abs(int(grey_image()((5,), hidden)[MIDDLE][0]) - 200) < 12


@pytest.mark.parametrize(
    "hidden, colour",
    [
        ("dim", (60, 60, 60)),
        ("black", (0, 0, 0)),
        ("outline", (200, 200, 200)),
        ("baseline", (124, 116, 104)),
    ],
)
def test_what_is_hidden_can_be_shown_in_four_ways(hidden, colour):
    assert tuple(grey_image()((5,), hidden)[CORNER]) == colour


def test_dim_is_a_middle_grey_on_paper():
    grey = round(115 + 89 * 200 / 255)
    assert tuple(grey_image(paper=True)((5,), "dim")[CORNER]) == (grey, grey, grey)


def test_dim_has_a_line_around_what_is_visible():
    assert (grey_image()((5,), "dim") == 255).all(-1).any()


def test_outline_draws_a_white_line():
    assert (grey_image()((5,), "outline") == 255).all(-1).any()


@pytest.mark.parametrize("patch", [0, 24])
def test_outlines_are_thicker_where_more_was_lost(patch):
    assert red_pixels(patch, 0.05) < red_pixels(patch, 0.5) < red_pixels(patch, 1.0)


def test_outlines_leave_the_middle_of_a_patch_as_it_is():
    grey = np.full((224, 224, 3), 90, np.uint8)
    shown = outlined(grey, [Removal(24, 0.3)], grid=(7, 7))
    assert (shown[111, 111] == 90).all()


def test_outlines_are_drawn_on_a_copy():
    grey = np.full((224, 224, 3), 90, np.uint8)
    outlined(grey, [Removal(24, 0.3)], grid=(7, 7))
    assert (grey == 90).all()


# ---------------------------------------------------------------- weights of patches


@pytest.mark.parametrize("grid", [(1, 1), (1, 5), (4, 4), (7, 3)])
@pytest.mark.parametrize("baseline, weights", [("mean", tents), ("drop", cells)])
def test_values_are_spread_by_the_weights_of_the_patches(grid, baseline, weights):
    size = (30, 41)
    values = np.random.default_rng(0).random(grid[0] * grid[1], np.float32)
    masked = MaskedImages(np.zeros((*size, 3), np.uint8), grid=grid, baseline=baseline)
    expected = values @ weights(grid, size).numpy()
    assert masked.spread(values) == pytest.approx(expected.reshape(size), abs=1e-5)


def test_values_are_spread_over_the_pixels_of_regions():
    regions = Regions.of(np.array([[4, 4, 9], [2, 9, 9]]))
    image = np.zeros((2, 3, 3), np.uint8)
    masked = MaskedImages(image, grid=(1, 3), baseline="black", regions=regions)
    assert masked.spread([0.5, 1.0, 2.0]).tolist() == [[1.0, 1.0, 2.0], [0.5, 2.0, 2.0]]


def test_a_fine_grid_needs_no_matrix_of_patches_by_pixels():
    image = np.zeros((224, 224, 3), np.uint8)
    tracemalloc.start()
    MaskedImages(image, grid=(28, 28), baseline="black")((3, 400))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 28 * 28 * 224 * 224  # a byte of each of the matrix's elements
