"""gridimage.png: the image with numbers at the centres of patches, or names in regions."""

import numpy as np
import pytest
from PIL import Image

from drawing.grid_figure import draw_grid
from drawing.masked_images import MaskedImages
from scoring.regions import Regions

GREY = 90


def drawn(path, *, size=(224, 224), grid=(7, 7), regions=None) -> np.ndarray:
    """Return gridimage.png of a grey image, (H, W, 3) uint8."""
    image = np.full((*size, 3), GREY, np.uint8)
    draw_grid(MaskedImages(image, grid=grid, baseline="black", regions=regions), path / "grid.png")
    return np.asarray(Image.open(path / "grid.png"))


def has_label(figure: np.ndarray, row: int, column: int) -> bool:
    """Return whether there is white text with a black edge around a pixel of the figure."""
    around = figure[row - 10 : row + 10, column - 10 : column + 10]
    return bool((around == 255).all(-1).any() and (around == 0).all(-1).any())


@pytest.mark.parametrize("size", [(224, 224), (160, 240), (56, 56), (384, 384)])
def test_the_grid_has_the_shape_of_its_image(tmp_path, size):
    height, width = size
    assert drawn(tmp_path, size=size).shape == (704 * height // width, 704, 3)


@pytest.mark.parametrize("patch", [0, 6, 24, 42, 48])
def test_every_patch_has_its_number_at_its_centre(tmp_path, patch):
    row, column = divmod(patch, 7)
    figure = drawn(tmp_path)
    assert has_label(figure, 36 + round(row * 632 / 6), 36 + round(column * 632 / 6))


def test_there_is_no_number_between_the_centres(tmp_path):
    assert not has_label(drawn(tmp_path), 36 + 53, 36 + 53)


def test_a_line_is_drawn_between_neighbouring_patches(tmp_path):
    row = drawn(tmp_path)[60]  # between the numbers of the first and of the second row
    lighter = (row.astype(int) > GREY + 50).all(-1)
    assert lighter[35:669].sum() == 6


def test_a_grid_as_fine_as_pixels_of_tokens_is_drawn(tmp_path):
    assert has_label(drawn(tmp_path, grid=(28, 28)), 352, 352)


def test_every_region_has_its_name(tmp_path):
    halves = np.repeat([0, 1], 112)[None].repeat(224, 0)
    regions = Regions.of(halves, {0: "left", 1: "right"})
    figure = drawn(tmp_path, grid=(1, 2), regions=regions)
    assert sum(has_label(figure, row, 194) for row in range(50, 650)) > 0
    assert sum(has_label(figure, row, 510) for row in range(50, 650)) > 0


def test_the_border_between_regions_is_white(tmp_path):
    halves = np.repeat([0, 1], 112)[None].repeat(224, 0)
    figure = drawn(tmp_path, grid=(1, 2), regions=Regions.of(halves))
    assert (figure[60, 350:358] > 200).all(-1).any()


@pytest.mark.parametrize("side, colours", [(56, 2), (224, 3)])
def test_large_pixels_are_sharp_and_small_ones_smooth(tmp_path, side, colours):
    image = np.zeros((side, side, 3), np.uint8)
    image[:, side // 2 :] = 200
    one = MaskedImages(image, grid=(1, 1), baseline="black")
    draw_grid(one, tmp_path / "grid.png")
    row = np.asarray(Image.open(tmp_path / "grid.png"))[60, 40:660, 0]
    assert min(len(np.unique(row)), 3) == colours
