"""The study of estimates on a tiny planted image: samples, readers, tables."""

import os

import numpy as np
import pytest
from drawn import make_sag
from PIL import Image

from drawing.record import Root, pack_scores
from experiments.estimate_models import best_cut, figure_reader, monotone, ridge, shares
from experiments.estimate_samples import Asked, Fresh, Sample, draw_near_pairs
from experiments.estimate_study import main
from experiments.estimate_tables import all_tables, right_pairs
from experiments.findings import Question
from experiments.simulated_reader import patch_kinds
from scoring.estimate import as_rows, expit
from utils import PROJECT

EFFECTS = np.random.default_rng(0).normal(0.6, 1.0, 16)
SETS = as_rows([(), (0,), (1,), (0, 1), (2,), (0, 2)], 3)


def test_an_additive_table_is_learned_by_the_additive_models():
    log_odds = SETS @ np.array([2.0, 0.0, 1.0]) - 2
    for fit in (ridge, monotone):
        told = fit(SETS, log_odds)(SETS)
        assert np.corrcoef(told, log_odds)[0, 1] > 0.98


def test_a_monotone_model_has_no_effect_below_zero():
    log_odds = SETS @ np.array([2.0, -3.0, 0.0])
    told = monotone(SETS, log_odds)
    assert told(SETS[2:3]) >= told(SETS[0:1])


def test_shares_of_an_explanation_are_cubed():
    assert shares(as_rows([(0,)], 3), as_rows([(0, 1)], 3)) == pytest.approx(1 / 8)


def test_the_cut_of_a_map_is_right_most_often_about_the_table():
    numbers = np.array([0.0, 1.0, 3.0, 4.0])
    assert 1 < best_cut(numbers, np.array([False, False, True, True])) < 3


def test_pairs_are_marked_and_a_tie_counts_half():
    pairs = [Question((0,), (1,), (0.9, 0.1)), Question((1,), (2,), (0.9, 0.1))]
    weights = np.array([2.0, 1.0, 1.0])
    assert right_pairs(pairs, lambda rows: rows @ weights, 3) == 0.75


def test_near_pairs_lack_one_to_six_patches_or_a_root_and_as_many_of_each_kind():
    kinds = patch_kinds((7, 7))
    root = (0, 1, 2, 8, 9, 10, 11, 12)
    pairs = draw_near_pairs(kinds, [root, root], [0])
    assert {49 - len(patches) for pair in pairs for patches in pair} == {1, 2, 3, 4, 5, 6, 8}
    assert [a for a, _ in pairs if len(a) == 41] == [tuple(sorted(set(range(49)) - set(root)))]
    for a, b in pairs:
        assert sorted(kinds[list(a)]) == sorted(kinds[list(b)])


def test_a_figure_tells_by_all_its_roots_and_the_map():
    sag = make_sag(
        grid=(1, 3),
        saliency=[1.0] * 3,
        roots=[
            Root((0,), probability=0.9, relative=1.0, minimal="subset"),
            Root((1,), probability=0.8, relative=0.9, minimal="subset"),
        ],
    )
    read = figure_reader(sag, np.array([0.5, 0.5, 0.0]))
    assert read((0,)) > read((1,)) > read((2,))
    assert read((0, 1)) > read((0, 2)) > 1.4  # a root, and half of the map


def additive(patches):
    """Return the probability of a network whose log-odds are a sum over patches."""
    return float(expit(-3 + EFFECTS[list(patches)].sum()))


def random_sets(number, seed):
    """Return so many random sets of 16 patches."""
    rng = np.random.default_rng(seed)
    return [tuple(np.flatnonzero(row).tolist()) for row in rng.random((number, 16)) < 0.5]


@pytest.fixture(scope="module")
def sample():
    """A sample of an additive network, of which nothing was asked ahead but ten random sets."""
    full = additive(range(16))
    record = make_sag(
        grid=(4, 4),
        saliency=[1.0] * 16,
        probability=full,
        roots=[Root((0, 1, 2), probability=full, relative=1.0, minimal="subset")],
        scores=pack_scores({patches: additive(patches) for patches in random_sets(80, seed=1)}),
    )
    drawn = random_sets(20, seed=2)
    asked = Asked(drawn, pack_scores({patches: additive(patches) for patches in drawn}))
    fresh = random_sets(60, seed=3)
    relative = [additive(patches) / full for patches in fresh]
    pairs = [
        Question(fresh[i], fresh[i + 1], relative=(relative[i], relative[i + 1]))
        for i in range(0, 58, 2)
        if abs(relative[i] - relative[i + 1]) > 0.2
    ]
    return Sample(
        image="scene",
        records={"beam": record},
        pairs=pairs,
        near_pairs=pairs[:3],
        fresh=[Fresh(s, value, i % 2 == 0) for i, (s, value) in enumerate(zip(fresh, relative))],
        asked={"beam": {30: asked}},
    )


def test_the_tables_have_every_reader_and_budget(sample):
    readers, budgets = all_tables([sample], ["beam"], [30])
    right = {row[0]: row[2].value for row in readers.rows}
    assert right["process on the table alone"] >= 90 > right["I-GOS"]
    assert [row[0] for row in budgets.rows] == ["nothing", "single removals and 30"]
    assert all(0 <= cell.value <= 100 for row in budgets.rows for cell in row[2:])


@pytest.mark.skipif("SAG_SLOW" not in os.environ, reason="half a minute, only with SAG_SLOW")
def test_a_study_of_one_image_writes_its_tables_and_keeps_what_it_measured(tmp_path):
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(0).integers(190, 256, (56, 56, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "in/scene.png")
    model = ["--model", f"{PROJECT}/tests/planted.py:resnet", "--device", "cpu"]
    options = [str(tmp_path / "out"), "--images", str(tmp_path / "in"), *model]
    assert main(options) == 0
    text = (tmp_path / "out/tables.md").read_text()
    assert "| process with the record's maps | 1 |" in text
    assert "| single removals and 60 | 1 |" in text
    assert main([*options, "--tables-only"]) == 0
    assert (tmp_path / "out/tables.md").read_text() == text
