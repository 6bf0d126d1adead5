"""The geometry of patches: tents, rectangles, and the images composed of them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scoring.patch_sets import canonical
from scoring.patches import cells, compose, region_basis, tents
from scoring.regions import Regions

GRIDS = [
    ((7, 7), (224, 224)),
    ((4, 9), (96, 50)),
    ((1, 1), (32, 32)),
    ((1, 3), (20, 20)),
    ((28, 28), (224, 224)),
]
# Share of a 224 x 224 image that a patch of a 7 x 7 grid shows.
SHARES = {"centre": (24, 0.0275), "side": (3, 0.0141), "corner": (0, 0.0073)}


@pytest.mark.parametrize("grid, size", GRIDS)
def test_tents_are_bilinear_with_aligned_corners(grid, size):
    rows, columns = grid
    masks = torch.rand(5, rows * columns)
    upsampled = F.interpolate(
        masks.view(5, 1, rows, columns), size, mode="bilinear", align_corners=True
    )
    assert torch.allclose(masks @ tents(grid, size), upsampled.flatten(1), atol=1e-5)


@pytest.mark.parametrize("grid, size", GRIDS)
def test_tents_sum_to_one_at_every_pixel(grid, size):
    sums = tents(grid, size).sum(0)
    assert torch.allclose(sums, torch.ones_like(sums), atol=1e-5)


@pytest.mark.parametrize("place", SHARES)
def test_the_share_of_the_image_that_a_patch_shows(place):
    patch, share = SHARES[place]
    assert tents((7, 7), (224, 224)).mean(1)[patch] == pytest.approx(share, abs=1e-4)


def test_all_patches_together_are_the_image(image, baseline):
    composed = compose(torch.ones(1, 49), tents((7, 7), (64, 64)), image, baseline)
    assert torch.allclose(composed, image[None], atol=1e-5)


def test_no_patch_is_the_baseline_exactly(image, baseline):
    composed = compose(torch.zeros(1, 49), tents((7, 7), (64, 64)), image, baseline)
    assert torch.equal(composed, baseline[None])


def test_each_row_of_masks_is_composed_alone(image, baseline, masks):
    basis = tents((7, 7), (64, 64))
    alone = torch.cat([compose(mask[None], basis, image, baseline) for mask in masks])
    assert torch.allclose(compose(masks, basis, image, baseline), alone, atol=1e-5)


def test_cells_are_regions_of_equal_rectangles():
    numbers = np.kron(np.arange(6).reshape(2, 3), np.ones((2, 2), int))
    assert torch.equal(cells((2, 3), (4, 6)), Regions.of(numbers).basis())


def test_a_region_without_pixels_shows_nothing():
    assert region_basis(torch.tensor([[0, 2]]), 3).tolist() == [[1, 0], [0, 0], [0, 1]]


@pytest.mark.parametrize("patches", [(3, 4), (4, 3), [4, 3, 3], {3, 4}, torch.tensor([4, 3])])
def test_a_patch_set_has_one_spelling(patches):
    assert canonical(patches) == (3, 4)


def test_a_patch_set_holds_plain_integers():
    assert {type(patch) for patch in canonical(np.array([4, 3]))} == {int}
