"""The table of scored sets, as a record stores it."""

import pytest
from drawn import make_sag

from drawing.record import Baseline, pack_scores, scores_of

TABLE = {(): 0.1, (0,): 0.123456789, (3, 48): 1e-7, (0, 700, 783): 0.5}


@pytest.fixture(scope="module")
def packed():
    return pack_scores(TABLE)


def test_scores_survive_packing(packed):
    sag = make_sag(
        grid=(28, 28),
        saliency=[1.0] * 784,
        baseline=Baseline(name="black", probability=0.1),
        scores=packed,
    )
    exact = {patches: pytest.approx(p, rel=1e-6) for patches, p in TABLE.items()}
    assert scores_of(sag) == {**exact, tuple(range(784)): 0.9}


def test_sets_are_hexadecimal_numbers_with_a_bit_per_patch(packed):
    assert packed.sets.split()[:3] == ["0", "1", f"{(1 << 3) + (1 << 48):x}"]
