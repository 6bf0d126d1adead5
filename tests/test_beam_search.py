"""Beam search: what it finds, which sets it asks about, and where it stops."""

import numpy as np
import pytest
from brute_force import HIGH, found_sets, random_antichain, random_scores, true_mses
from planted import dnf_scorer, table_scorer

from scoring.curves import saliency_order
from scoring.questions import answer
from search import beam_search, successors

NINE_BY_NUMBER = np.arange(9.0)


@pytest.fixture(params=range(12))
def sixteen(request):
    """MSEs of up to four of sixteen patches, and a saliency map."""
    rng = np.random.default_rng(request.param)
    planted = random_antichain(rng, patches=16, count=9, largest=4)
    return planted, rng.random(16)


def test_beam_search_finds_only_planted_mses(sixteen):
    planted, saliency = sixteen
    assert found_sets(answer(beam_search(saliency, beam_width=4), dnf_scorer(planted))) <= planted


def test_beam_search_finds_each_mse_once(sixteen):
    planted, saliency = sixteen
    result = answer(beam_search(saliency, beam_width=4), dnf_scorer(planted))
    assert len(found_sets(result)) == len(result.mses)


@pytest.mark.parametrize("seed", range(6))
def test_beam_search_is_true_without_monotony(seed):
    scorer = table_scorer(random_scores(seed))
    found = found_sets(answer(beam_search(np.arange(8.0), max_num_roots=50), scorer))
    assert found
    assert found <= true_mses(scorer, 8, 0.9 * HIGH)


# ---------------------------------------------------------------- which sets are asked about


def test_successors_add_the_most_salient_missing_patches():
    grown = successors([(0, 3), (1,)], [3, 1, 0, 2], 2)
    assert grown == [(0, 1), (0, 1, 3), (0, 2, 3), (1, 3)]


def test_a_set_that_is_reached_twice_is_one_successor():
    assert successors([(0,), (1,)], [0, 1], 1) == [(0, 1)]


@pytest.fixture
def levels():
    """The (set, score) pairs that a beam two wide asked for, a list per level of one call."""
    rng = np.random.default_rng(0)
    noise = {}
    calls = []

    def score(patches):
        is_large = len(patches) >= 20 or (len(patches) >= 4 and not patches[0])
        return 0.99 if is_large else noise.setdefault(patches, rng.uniform(0, 0.3))

    def scorer(sets):
        calls.append([(patches, score(patches)) for patches in sets])
        return [answer for _, answer in calls[-1]]

    answer(beam_search(np.arange(20.0), beam_width=2, num_successors=5, max_root_size=3), scorer)
    return [call for call in calls if {len(s) for s, _ in call} in ({1}, {2}, {3})]


def test_each_level_of_the_beam_is_one_call(levels):
    assert [{len(s) for s, _ in level} for level in levels] == [{1}, {2}, {3}]


def test_a_level_asks_about_each_set_once(levels):
    assert all(len(dict(level)) == len(level) for level in levels)


def test_each_level_grows_the_most_confident_of_the_last(levels):
    for smaller, larger in zip(levels, levels[1:], strict=False):
        scores = dict(smaller)
        best_first = sorted(scores, key=scores.get, reverse=True)
        expected = set()
        for state in best_first[:2]:
            most_salient = [patch for patch in range(20) if patch not in state][:5]
            expected |= {tuple(sorted((*state, patch))) for patch in most_salient}
        assert set(dict(larger)) == expected


def test_supersets_of_known_mses_are_not_asked_about():
    calls = []
    answer(beam_search(NINE_BY_NUMBER, max_root_size=4), dnf_scorer([(0,)], calls=calls))
    asked = [set(s) for call in calls for s in call]
    assert not any({0} < s < set(range(9)) for s in asked)


def test_ties_in_saliency_are_broken_by_patch_number():
    assert saliency_order([1, 0, 1, 0, 1]) == [1, 3, 0, 2, 4]


# ---------------------------------------------------------------- where it stops


@pytest.mark.parametrize("cap", [1, 4, 9])
def test_the_number_of_roots_is_capped_exactly(cap):
    planted = [(patch,) for patch in range(9)]
    result = answer(beam_search(np.arange(12.0), max_num_roots=cap), dnf_scorer(planted))
    assert (len(result.mses), result.stopped_by) == (cap, "max_num_roots")


def test_no_root_above_the_allowed_size():
    result = answer(beam_search(NINE_BY_NUMBER, max_root_size=2), dnf_scorer([(1, 2, 3)]))
    assert (result.mses, result.stopped_by) == ((), "max_root_size")
