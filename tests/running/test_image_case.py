"""One image and class, with what hides a patch: what a scorer of it is made of."""

import numpy as np
import pytest
import torch
from planted import PLANTED, SMALL, PlantedNetwork, small_vit

from get_perturbation_mask import BASELINES, make_baseline
from running.check_record import masked_attention
from running.image_case import ImageCase
from scoring.networks import wrap_module
from scoring.patches import tents
from scoring.regions import Regions
from scoring.scorer import score_image
from scoring.speed import auto_batch_size

EVERYTHING = tuple(range(16))
SETS = [(), (5,), (6,), (6, 10), (1, 8, 14), EVERYTHING]


@pytest.fixture(scope="module")
def network():
    """The planted network of three explanations, for images of 56 x 56 pixels."""
    module = PlantedNetwork(PLANTED, **SMALL)
    module.input_size = SMALL["size"]
    return wrap_module(module.eval())


@pytest.fixture
def white():
    return np.full((56, 56, 3), 255, np.uint8)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (56, 56, 3), dtype=np.uint8)


@pytest.fixture
def stripes():
    """Four regions, each a row of patches high."""
    return Regions.of(np.repeat(np.arange(4), 14)[:, None].repeat(56, axis=1))


def case_of(network, image, **changes):
    """Return the case of class 1 on a 4 x 4 grid, but for the changes."""
    usual = {"category": 1, "baseline": "black", "grid": (4, 4)}
    return ImageCase.of(network, image, **{**usual, **changes})


# ---------------------------------------------------------------- on a grid


@pytest.fixture
def case(network, white):
    """The white image on the grid."""
    return case_of(network, white)


def test_the_image_is_prepared_for_the_network(network, noise):
    assert torch.equal(case_of(network, noise).slot.image, network.prepare(noise))


@pytest.mark.parametrize("name", sorted({*BASELINES} - {"drop"}))
def test_the_baseline_is_prepared_for_the_network(network, noise, name):
    wanted = network.prepare(make_baseline(noise, name))
    assert torch.equal(case_of(network, noise, baseline=name).slot.baseline, wanted)


def test_a_patch_is_a_tent(case):
    shown = case.slot.basis.weights(torch.eye(16)).flatten(1)
    assert torch.allclose(shown, tents((4, 4), (56, 56)), atol=1e-6)


def test_a_grid_has_as_many_patches_as_cells(case):
    assert case.num_patches == 16


def test_everything_is_the_set_of_all_patches(case):
    assert case.everything == EVERYTHING


def test_a_grid_has_no_regions(case):
    assert case.regions is None


def test_a_scorer_of_a_case_gives_the_planted_answers(case, network):
    scores = case.scorer(network.module)(SETS)
    assert scores.tolist() == pytest.approx([0.02, 0.95, 0.02, 0.95, 0.95, 0.95])


def test_a_scorer_of_a_case_is_a_scorer_of_its_image(network, noise):
    case = case_of(network, noise, baseline="blur", category=2)
    wanted = score_image(network.module, case.slot.image, case.slot.baseline, 2, grid=(4, 4))
    assert torch.allclose(case.scorer(network.module)(SETS), wanted(SETS), atol=1e-6)


def test_each_scorer_has_a_memo_of_its_own(case, network):
    case.scorer(network.module)(SETS)
    assert case.scorer(network.module).table == {}


def test_a_scorer_chooses_its_batch_size(case, network):
    assert case.scorer(network.module).batch_size == auto_batch_size(case.slot.image)


def test_a_scorer_takes_a_batch_size(case, network):
    assert case.scorer(network.module, batch_size=3).batch_size == 3


def test_a_scorer_takes_a_deadline(case, network):
    with pytest.raises(TimeoutError):
        case.scorer(network.module, deadline=0.0)(SETS)


def test_a_scorer_reports_its_progress(case, network):
    sizes = []
    case.scorer(network.module, batch_size=4, on_scored=sizes.append)(SETS)
    assert sizes == [4, 2]


# ---------------------------------------------------------------- on regions


@pytest.fixture
def striped(network, white, stripes):
    """The white image on four regions."""
    return case_of(network, white, regions=stripes)


def test_regions_stand_in_a_row(striped):
    assert striped.grid == (1, 4)


def test_a_case_has_as_many_patches_as_regions(striped):
    assert striped.everything == (0, 1, 2, 3)


def test_a_region_is_its_pixels(striped, stripes):
    shown = striped.slot.basis.weights(torch.eye(4)).flatten(1)
    assert torch.equal(shown, stripes.basis())


def test_regions_are_scored_whole(striped, network):
    scores = striped.scorer(network.module)([(), (1,), (0, 2, 3), (3,)])
    assert scores.tolist() == pytest.approx([0.02, 0.95, 0.95, 0.02])


# ---------------------------------------------------------------- with dropped tokens


@pytest.fixture(scope="module")
def transformer():
    """An untrained vision transformer for images of 56 x 56 pixels."""
    return wrap_module(small_vit())


@pytest.fixture
def dropped(transformer, noise):
    """Noise whose hidden tokens are left out, on a 7 x 7 grid."""
    return case_of(transformer, noise, baseline="drop", grid=(7, 7))


def test_hidden_tokens_are_left_out(dropped, transformer):
    sets = [(3, 17, 30), tuple(range(49))]
    wanted = masked_attention(transformer.module, dropped.slot.image, (7, 7), sets)[:, 1]
    assert torch.allclose(dropped.scorer(transformer.module)(sets), wanted, atol=1e-5)


def test_where_tokens_are_dropped_no_image_is_composed(dropped):
    def refuses(images):
        raise AssertionError("asked for an image")

    dropped.scorer(refuses)([(3, 17, 30)])


def test_tokens_are_dropped_for_that_baseline_only(case):
    assert case.slot.dropped is None
