"""Saliency maps, roots and curves: rows of images, animations, and numbers in figures."""

import numpy as np
import pytest
from drawn import all_text, ids, read_image, read_sag
from PIL import Image, ImageSequence

from drawing.curves import draw_curves
from drawing.figures import dnf_text
from drawing.masked_images import MaskedImages
from drawing.saliency_maps import coloured, gradcam_map, igos_map
from drawing.styles import DARK

SIDE = 56  # pixels of the image
GAP = 4


@pytest.fixture(scope="module")
def curves_svg(planted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("curves")
    draw_curves(read_sag(planted), folder, style=DARK, formats=("svg",))
    return folder / "curves.svg"


def test_the_animation_of_roots_shows_each_of_them(planted):
    assert Image.open(planted / "dnf_gif.gif").n_frames == 3


def test_the_animated_comparison_shows_each_root(planted):
    assert Image.open(planted / "comparison.gif").n_frames == 3


def test_the_animated_comparison_has_four_panels(planted):
    # the original, I-GOS, the map of all MSEs and a root: without a convolution, no Grad-CAM
    assert Image.open(planted / "comparison.gif").width == 4 * SIDE + 3 * GAP


def test_the_panels_of_the_animated_comparison_stand_still(planted):
    with Image.open(planted / "comparison.gif") as animation:
        frames = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(animation)]
    panels = [frame[:, : 2 * (SIDE + GAP)] for frame in frames]
    assert all(np.array_equal(panel, panels[0]) for panel in panels)


def test_the_strip_of_roots_shows_them_beside_each_other(planted):
    assert Image.open(planted / "roots.png").width == 3 * SIDE + 2 * GAP


def test_the_strip_shows_the_roots_as_the_network_saw_them(planted):
    strip = np.asarray(Image.open(planted / "roots.png"))
    second = strip[:SIDE, SIDE + GAP : 2 * SIDE + GAP]
    assert np.array_equal(second, np.asarray(Image.open(planted / "roots/2_6-10.png")))


def test_the_comparison_has_its_six_panels_in_a_row(planted):
    drawn = Image.open(planted / "comparison.png")
    assert drawn.width > 3.5 * drawn.height


def test_the_image_is_kept_as_the_network_got_it(planted):
    assert read_image(planted).shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize("name", ["igos", "roots", "explanations"])
@pytest.mark.parametrize("side", ["insertion", "deletion"])
def test_every_curve_is_drawn(curves_svg, name, side):
    assert f"{side}-{name}" in ids(curves_svg)


@pytest.mark.parametrize("name, title", [("igos", "I-GOS"), ("roots", "roots")])
@pytest.mark.parametrize("side", ["insertion", "deletion"])
def test_every_curve_is_told_its_area(curves_svg, planted, name, title, side):
    area = getattr(getattr(read_sag(planted).curves, name), f"{side}_area")
    assert f"{title}, area {area:.2f}" in all_text(curves_svg)


@pytest.mark.parametrize("name", ["igos", "roots"])
@pytest.mark.parametrize("side", ["insertion", "deletion"])
def test_curves_go_from_no_patch_to_all(planted, name, side):
    counts = getattr(getattr(read_sag(planted).curves, name), f"{side}_patches")
    assert (counts[0], counts[-1]) == (0, 16)


def test_roots_first_gives_confidence_early(planted):
    assert read_sag(planted).curves.roots.insertion_area > 0.5


def test_a_record_without_curves_has_no_figure_of_them(planted, tmp_path):
    sag = read_sag(planted)
    sag.curves = None
    draw_curves(sag, tmp_path, style=DARK, formats=("svg",))
    assert not list(tmp_path.iterdir())


def test_the_formula_file_lists_every_root(planted):
    lines = dnf_text(read_sag(planted)).splitlines()
    assert lines[-3:] == [" 100 %  P5", " 100 %  P6 & P10", " 100 %  P1 & P8 & P14"]


@pytest.fixture
def four_patches():
    """A black image of 2 x 2 patches, each with one corner as its centre."""
    return MaskedImages(np.zeros((3, 3, 3), np.uint8), grid=(2, 2), baseline="black")


def test_the_most_salient_patch_has_saliency_one(four_patches):
    assert igos_map([1.0, 0.4, 0.7, 1.0], four_patches).max() == 1


def test_a_patch_that_is_kept_has_no_saliency(four_patches):
    assert igos_map([1.0, 0.4, 0.7, 1.0], four_patches)[0, 0] == 0


def test_gradcam_has_the_size_of_the_image():
    assert gradcam_map([[0.0, 1.0]], (5, 8)).shape == (5, 8)


def test_low_saliency_is_blue_and_high_is_red():
    low, high = coloured(np.array([[0.1, 0.9]]))[0]
    assert low[2] > low[0] and high[0] > high[2]
