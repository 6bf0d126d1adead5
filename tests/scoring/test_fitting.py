"""How images and their label maps come to a network's input size."""

import cv2
import numpy as np
import pytest
import torchvision.transforms.functional as F
from PIL import Image
from torchvision.transforms import InterpolationMode

from scoring.fitting import Fit
from scoring.networks import load_network

METHODS = ("squash", "crop", "opencv")
SIZES = [(333, 250), (250, 333), (224, 224), (301, 500), (97, 60)]  # width and height
SIDE = 224
FILTERS = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}


def noise(size, seed=0):
    """Return an image of this width and height."""
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", FILTERS)
def test_a_crop_is_torchvisions(size, kind):
    image = noise(size)
    larger = F.resize(image, 256, interpolation=FILTERS[kind], antialias=True)
    expected = np.asarray(F.center_crop(larger, [SIDE, SIDE]))
    fit = Fit((SIDE, SIDE), method="crop", short_side=256, filter=kind)
    assert np.array_equal(fit.image(image), expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", [(64, 128), (128, 64), (60, 61)])
def test_a_crop_to_no_square_is_all_image(size, shape):
    """A white image stays white: no border is added, and the shares that are cut off are equal."""
    white = Image.new("RGB", size, "white")
    fit = Fit(shape, method="crop", short_side=80)
    assert fit.image(white).min() == 255
    box = fit._box(size)
    covered = min(box.height / shape[0], box.width / shape[1])
    assert covered == pytest.approx(80 / min(shape), rel=0.02)


@pytest.mark.parametrize("size", SIZES)
def test_opencv_is_opencvs_bilinear_filter(size):
    image = noise(size)
    expected = cv2.resize(np.asarray(image), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(Fit((SIDE, SIDE), method="opencv").image(image), expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", METHODS)
def test_a_label_map_follows_its_image(method, size):
    """A label map painted as an image comes to the same places, but for blended borders."""
    width, height = size
    labels = np.zeros((height, width), np.int32)
    labels[height // 3 :, : width // 2] = 1
    painted = Image.fromarray(np.uint8(255 * labels)).convert("RGB")
    fit = Fit((SIDE, SIDE), method=method)
    shown = fit.image(painted)[..., 0]
    found = fit.labels(labels)
    is_plain = (shown == 0) | (shown == 255)
    assert is_plain.mean() > 0.9
    assert np.array_equal(found[is_plain] == 1, shown[is_plain] == 255)


@pytest.mark.parametrize("method", METHODS)
def test_labels_stay_labels(method):
    labels = np.random.default_rng(0).choice([0, 7, 150], (90, 120)).astype(np.int32)
    found = Fit((30, 20), method=method).labels(labels)
    assert (found.shape, found.dtype, set(np.unique(found))) == ((30, 20), np.int32, {0, 7, 150})


@pytest.mark.parametrize("method", METHODS)
def test_a_point_comes_to_where_its_pixel_comes(method):
    pixels = np.zeros((250, 333, 3), np.uint8)
    pixels[120:124, 200:204] = 255
    fit = Fit((SIDE, SIDE), method=method)
    shown = fit.image(Image.fromarray(pixels))[..., 0]
    brightest = np.unravel_index(shown.argmax(), shown.shape)
    found = fit.pixel(202, 122, size=(333, 250))
    assert np.abs(np.subtract(found, brightest)).max() <= 2


def test_a_point_that_is_cut_off_has_no_pixel():
    assert Fit((SIDE, SIDE), method="crop").pixel(1, 100, size=(400, 200)) is None


def test_a_point_on_the_far_border_is_inside():
    assert Fit((10, 20)).pixel(333, 250, size=(333, 250)) == (9, 19)


@pytest.mark.parametrize(
    "short_side, edges",
    [
        (120, (156, 16, 324, 184)),  # the middle 100 x 100 of 288 x 120
        (50, (40, 0, 440, 200)),  # of 120 x 50, with black above and below
    ],
)
def test_the_edges_of_a_crop_by_hand(short_side, edges):
    fit = Fit((100, 100), method="crop", short_side=short_side)
    assert fit.in_image((0, 0, 100, 100), size=(480, 200)) == edges


@pytest.mark.parametrize("method", METHODS)
def test_a_larger_fit_shows_the_same_part(method):
    image = Image.fromarray(np.uint8(np.mgrid[:200, :300].sum(0) // 2)).convert("RGB")
    fit = Fit((50, 50), method=method)
    larger = Image.fromarray(fit.scaled(4).image(image))
    again = np.asarray(larger.resize((50, 50), Image.Resampling.BOX)).astype(int)
    assert np.abs(again - fit.image(image))[2:-2, 2:-2].max() <= 4


def test_the_crop_of_a_torchvision_network_is_its_weights_preset(tmp_path):
    fit = load_network("birds", resize="crop").fit
    assert (fit.size, fit.short_side, fit.filter) == ((224, 224), 256, "bilinear")


def test_a_network_squashes_unless_it_is_told_otherwise():
    assert load_network("birds").fit == Fit((224, 224))
