"""The geometry of patches: tents, rectangles, and the images composed of them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scoring.patch_sets import canonical
from scoring.patches import Matrix, Tents, cells, compose, masks_of, region_basis, tents
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


@pytest.fixture(params=["tents", "matrix"])
def basis(request):
    """The tents of a 7 x 7 grid on 64 x 64 pixels: separable, and as one matrix."""
    return {
        "tents": Tents((7, 7), (64, 64)),
        "matrix": Matrix(tents((7, 7), (64, 64)).view(49, 64, 64)),
    }[request.param]


def test_a_basis_has_as_many_patches_as_cells(basis):
    assert basis.num_patches == 49


@pytest.mark.parametrize("grid, size", GRIDS)
def test_separable_tents_weigh_pixels_as_the_matrix_does(grid, size):
    masks = torch.rand(5, grid[0] * grid[1])
    wanted = (masks @ tents(grid, size)).view(5, *size)
    assert torch.allclose(Tents(grid, size).weights(masks), wanted, atol=1e-5)


@pytest.mark.parametrize("grid, size", GRIDS)
def test_the_mean_under_a_tent_is_that_of_the_matrix(grid, size):
    pixels = torch.rand(size)
    matrix = Matrix(tents(grid, size).view(-1, *size))
    assert torch.allclose(Tents(grid, size).means(pixels), matrix.means(pixels), atol=1e-5)


def test_the_mean_under_a_patch_by_hand():
    pixels = torch.tensor([[1.0, 3.0], [5.0, 9.0]])
    patches = torch.tensor([[[1.0, 1.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 3.0]]])
    assert Matrix(patches).means(pixels).tolist() == pytest.approx([2, 7.5])


def test_weights_carry_the_gradient_of_masks(basis):
    masks = torch.rand(2, 49, requires_grad=True)
    basis.weights(masks).sum().backward()
    areas = tents((7, 7), (64, 64)).sum(1)
    assert torch.allclose(masks.grad, areas.expand(2, 49), rtol=1e-4)


def test_a_basis_moves_to_a_device_and_leaves_itself(basis):
    moved = basis.to(torch.device("meta"))
    assert moved.weights(torch.zeros(3, 49, device="meta")).device.type == "meta"
    assert basis.weights(torch.zeros(3, 49)).device.type == "cpu"


def test_all_patches_together_are_the_image(basis, image, baseline):
    composed = compose(basis.weights(torch.ones(1, 49)), image, baseline)
    assert torch.allclose(composed, image[None], atol=1e-5)


def test_no_patch_is_the_baseline_exactly(basis, image, baseline):
    composed = compose(basis.weights(torch.zeros(1, 49)), image, baseline)
    assert torch.equal(composed, baseline[None])


def test_each_row_of_masks_is_composed_alone(basis, image, baseline, masks):
    alone = torch.cat([compose(basis.weights(m[None]), image, baseline) for m in masks])
    assert torch.allclose(compose(basis.weights(masks), image, baseline), alone, atol=1e-5)


def test_a_grid_of_28_needs_no_matrix_of_all_pixels():
    separable = Tents((28, 28), (224, 224))
    assert separable.rows.numel() + separable.columns.numel() == 2 * 28 * 224


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


# ---------------------------------------------------------------- masks


def test_a_mask_has_a_one_for_each_visible_patch():
    assert masks_of([(0, 2), ()], 3).tolist() == [[1, 0, 1], [0, 0, 0]]


def test_masks_are_float32():
    assert masks_of([(0,)], 3).dtype == torch.float32


def test_no_patch_sets_make_no_masks():
    assert masks_of([], 3).shape == (0, 3)


@pytest.mark.parametrize("patches", [(3,), (0, 3), (-1,), (-1, 0)])
def test_a_mask_of_a_patch_that_does_not_exist(patches):
    with pytest.raises(ValueError, match=r"outside 0\.\.2"):
        masks_of([(0,), patches], 3)
