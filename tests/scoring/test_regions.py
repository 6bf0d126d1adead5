"""Regions: every pixel in exactly one, kept in records, and superpixels."""

import numpy as np
import pytest
import torch

from scoring.regions import Regions, superpixels

LABELS = np.array([[0, 0, 3, 3], [0, 7, 7, 3], [300, 300, 300, 3]])
NUMBERS = [0, 3, 7, 300]


@pytest.fixture
def regions():
    """Four regions of 3 x 4 pixels."""
    return Regions.of(LABELS)


# ---------------------------------------------------------------- names


def test_a_label_without_names_is_named_by_its_number(regions):
    assert regions.names == ["unlabelled", "label 3", "label 7", "label 300"]


def test_a_region_has_the_name_of_its_label():
    names = {0: "unlabelled", 3: "lamp", 7: "wall", 300: "door", 5: "cat"}
    assert Regions.of(LABELS, names).names == ["unlabelled", "lamp", "wall", "door"]


def test_a_label_that_has_no_name_is_named():
    with pytest.raises(ValueError, match="no name for label 7 .* up to 3"):
        Regions.of(LABELS, {0: "unlabelled", 3: "lamp"})


# ---------------------------------------------------------------- pixels


def test_regions_are_in_the_order_of_their_numbers(regions):
    assert regions.numbers == NUMBERS


def test_every_pixel_is_in_one_region(regions):
    assert torch.equal(regions.basis().sum(0), torch.ones(12))


@pytest.mark.parametrize("number", NUMBERS)
def test_a_region_has_the_pixels_of_its_label(regions, number):
    shown = regions.basis()[NUMBERS.index(number)].view(3, 4)
    assert torch.equal(shown.bool(), torch.from_numpy(np.equal(LABELS, number)))


def test_areas_are_shares_of_the_image(regions):
    assert regions.areas() == [3 / 12, 4 / 12, 2 / 12, 3 / 12]


def test_the_middle_of_a_region_is_inside_it():
    ring = np.ones((21, 21), int)
    ring[4:17, 4:17] = 2
    ring[7:14, 7:14] = 3
    regions = Regions.of(ring)
    inside = [regions.index[y, x] for x, y in regions.middles()]
    assert inside == [0, 1, 2]


def test_the_middle_of_a_rectangle_is_its_centre():
    labels = np.zeros((9, 20), int)
    labels[:, 11:] = 1
    _, right = Regions.of(labels).middles()
    assert right == (15, 4)


def test_borders_are_where_another_region_begins():
    borders = Regions.of(np.array([[0, 0, 1], [0, 0, 1], [2, 2, 2]])).borders()
    assert borders.tolist() == [[False, False, True], [False, False, True], [True, True, True]]


# ---------------------------------------------------------------- in a record


@pytest.fixture(params=[4, 400], ids=["8 bits", "16 bits"])
def many(request):
    """Regions that need 8 or 16 bits."""
    return Regions.of(np.arange(400).reshape(20, 20) % request.param)


@pytest.fixture
def read_again(many):
    """The same regions, read from what a record has of them."""
    return Regions.from_png(many.png(), numbers=many.numbers, names=many.names)


def test_a_record_gives_the_same_map_back(many, read_again):
    assert np.array_equal(read_again.index, many.index)


def test_a_record_gives_the_same_names_back(many, read_again):
    assert read_again.names == many.names


def test_a_record_gives_the_same_labels_back(many, read_again):
    assert read_again.numbers == many.numbers


# ---------------------------------------------------------------- superpixels


@pytest.fixture(scope="module")
def two_halves():
    """An image whose left part is dark and whose right part is bright."""
    image = np.full((60, 60, 3), 30, np.uint8)
    image[:, 27:] = 220
    return image


@pytest.fixture(scope="module")
def slic(two_halves):
    return superpixels(two_halves, 16)


def test_there_are_about_as_many_superpixels_as_asked_for(slic):
    assert 8 <= len(slic.names) <= 24


def test_superpixels_are_numbered(slic):
    assert slic.names == [f"S{number}" for number in slic.numbers]


def test_superpixels_follow_the_image(slic, two_halves):
    shades = [np.unique(two_halves[slic.index == region]) for region in range(len(slic.names))]
    assert {len(found) for found in shades} == {1}


def test_superpixels_of_an_image_are_always_the_same(slic, two_halves):
    assert np.array_equal(superpixels(two_halves, 16).index, slic.index)
