"""How much a network needs a region: networks whose need is known."""

import numpy as np
import pytest
from concept_networks import TwoHalves, network_of

from companions.concepts.need import NeedCount, need_of, summarise
from companions.concepts.records import NeedShares
from scoring.regions import Regions

IMAGE = np.full((28, 28, 3), 255, np.uint8)
REGIONS = Regions.of(np.repeat([[1] * 14 + [2] * 14], 28, 0), {1: "bird", 2: "dusk"})


def need_of_dusk(left_only):
    network = network_of(TwoHalves(left_only), size=28)
    return need_of(network, IMAGE, REGIONS, region=1, category=1, baseline="black")


@pytest.fixture(scope="module", params=[True, False], ids=["needed", "not needed"])
def case(request):
    """Whether dusk, the right half, is needed, and what was measured."""
    return request.param, need_of_dusk(left_only=not request.param)


def test_the_deviation_of_a_region_is_known(case):
    needed, need = case
    assert need.deviation == pytest.approx(0.93 if needed else 0, abs=1e-6)
    assert need.probability == pytest.approx(0.96)


def test_the_mses_on_regions_are_known(case):
    needed, need = case
    assert need.named == NeedCount(found=1, needing=int(needed))


def test_the_mses_on_patches_need_what_the_network_needs(case):
    needed, need = case
    assert need.patches.found >= 1
    assert need.patches.needing == (need.patches.found if needed else 0)


def test_the_summary_counts_mses_and_sags(case):
    needed, need = case
    summary = summarise([need, need], 0.01)
    assert summary.named == NeedShares(
        images=2, mses=2, mses_needing=needed, sags_needing=needed, sags_with_one=needed
    )
    assert summary.relevant == needed


def test_the_summary_of_no_image_is_none():
    summary = summarise([], 0.01)
    assert summary.deviation is None
    assert summary.named.mses_needing is None
