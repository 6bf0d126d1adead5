"""The study of estimates on a tiny planted image: samples, readers, tables."""

import numpy as np
import pytest
from drawn import make_sag

from drawing.record import Root, pack_scores
from experiments.estimate_models import best_cut, figure_reader, monotone, ridge, shares
from experiments.estimate_rows import (
    NOTHING_ASKED,
    EstimatesRow,
    estimate_cells,
    reader_cells,
    right_pairs,
)
from experiments.estimate_samples import draw_near_pairs
from experiments.estimate_tables import estimates_tables
from experiments.findings import AskedAhead, EstimatesFinding, Fresh, Question
from experiments.simulated_reader import patch_kinds
from scoring.estimate import as_rows, expit

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
def finding():
    """What is known of an image of an additive network; ten random sets were asked ahead."""
    full = additive(range(16))
    record = make_sag(
        grid=(4, 4),
        saliency=[1.0] * 16,
        probability=full,
        roots=[Root((0, 1, 2), probability=full, relative=1.0, minimal="subset")],
        scores=pack_scores({patches: additive(patches) for patches in random_sets(80, seed=1)}),
    )
    drawn = random_sets(20, seed=2)
    scores = pack_scores({patches: additive(patches) for patches in drawn})
    fresh = random_sets(60, seed=3)
    relative = [additive(patches) / full for patches in fresh]
    pairs = [
        Question(fresh[i], fresh[i + 1], relative=(relative[i], relative[i + 1]))
        for i in range(0, 58, 2)
        if abs(relative[i] - relative[i + 1]) > 0.2
    ]
    return EstimatesFinding(
        records={"beam": record},
        pairs=pairs,
        near_pairs=pairs[:3],
        fresh=[Fresh(s, value, i % 2 == 0) for i, (s, value) in enumerate(zip(fresh, relative))],
        asked={"beam": {30: AskedAhead(drawn, scores)}},
    )


def test_the_estimate_of_an_additive_network_is_right(finding):
    cells = reader_cells(finding, finding.records["beam"])
    assert cells["process on the table alone"][0] >= 90 > cells["I-GOS"][0]


def test_asking_ahead_brings_the_estimate_nearer(finding):
    record = finding.records["beam"]
    before = estimate_cells(finding, record, NOTHING_ASKED)
    after = estimate_cells(finding, record, finding.asked["beam"][30])
    assert after[4] < before[4]  # points that it is off by
    assert all(0 <= cell <= 100 for cell in after)


def test_without_a_fresh_set_there_is_nothing_to_tell(finding):
    known = AskedAhead([], pack_scores({one.patches: one.relative for one in finding.fresh}))
    assert estimate_cells(finding, finding.records["beam"], known) is None


def test_a_table_has_a_row_for_each_reader_and_each_budget():
    rows = [
        EstimatesRow(image, {"beam": {"Grad-CAM": [right] * 4}}, {"beam": {None: None, 30: told}})
        for image, right, told in (("a", 50.0, [1.0] * 8), ("b", 70.0, None))
    ]
    readers, asked = estimates_tables(rows)
    assert [(row[0], row[1], row[2].value) for row in readers.rows] == [("Grad-CAM", 2, 60)]
    assert [row[:2] for row in asked.rows] == [["single removals and 30", 1]]


def test_the_command_reads_records_of_both_searches(finished_paper):
    for search in ("beam", "diverse"):
        told = finished_paper.by_search(f"estimates_asked_{search}")
        assert [row["images"] for row in told.values()] == ["2"] * 5
        assert "I-GOS" in finished_paper.by_search(f"estimates_readers_{search}")
