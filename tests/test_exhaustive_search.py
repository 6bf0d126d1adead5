"""Exhaustive and combinatorial search, against planted ground truth and brute force."""

from itertools import combinations

import numpy as np
import pytest
from brute_force import HIGH, found_sets, random_antichain, random_scores, true_mses
from planted import dnf_scorer, table_scorer

from scoring.curves import saliency_order
from scoring.questions import answer
from search import combinatorial_search, exhaustive_search

EIGHT_BY_NUMBER = np.arange(8.0)
TOP = 12  # patches that combinatorial search chooses from


def planted_dozen(seed):
    """Return up to seven MSEs of up to three of twelve patches."""
    return random_antichain(np.random.default_rng(seed), patches=12, count=7, largest=3)


@pytest.fixture(params=range(12))
def sixteen(request):
    """MSEs of up to four of sixteen patches, and a saliency map."""
    rng = np.random.default_rng(request.param)
    planted = random_antichain(rng, patches=16, count=9, largest=4)
    return planted, rng.random(16)


# ---------------------------------------------------------------- exhaustive


@pytest.mark.parametrize("seed", range(8))
def test_exhaustive_search_finds_exactly_the_planted_mses(seed):
    planted = planted_dozen(seed)
    assert found_sets(answer(exhaustive_search(12, max_size=3), dnf_scorer(planted))) == planted


@pytest.mark.parametrize("seed", range(8))
def test_exhaustive_search_proves_every_mse(seed):
    result = answer(exhaustive_search(12, max_size=3), dnf_scorer(planted_dozen(seed)))
    assert {mse.minimal for mse in result.mses} == {"subset"}


def test_exhaustive_search_runs_to_its_end():
    result = answer(exhaustive_search(12, max_size=3), dnf_scorer(planted_dozen(0)))
    assert (result.stopped_by, result.complete) == ("exhausted", True)


@pytest.mark.parametrize("seed", range(6))
def test_exhaustive_search_is_exact_without_monotony(seed):
    scorer = table_scorer(random_scores(seed))
    truth = true_mses(scorer, 8, 0.9 * HIGH)
    assert found_sets(answer(exhaustive_search(8, max_size=8), scorer)) == truth


def test_no_mse_larger_than_exhaustive_search_looks_for():
    result = answer(exhaustive_search(9, max_size=2), dnf_scorer([(1, 2, 3)]))
    assert (result.mses, result.stopped_by) == ((), "exhausted")


# ---------------------------------------------------------------- combinatorial


def test_combinatorial_search_finds_only_planted_mses(sixteen):
    planted, saliency = sixteen
    assert (
        found_sets(answer(combinatorial_search(saliency, comb_top=TOP), dnf_scorer(planted)))
        <= planted
    )


def test_combinatorial_search_finds_each_mse_once(sixteen):
    planted, saliency = sixteen
    result = answer(combinatorial_search(saliency, comb_top=TOP), dnf_scorer(planted))
    assert len(found_sets(result)) == len(result.mses)


def test_every_sufficient_set_of_the_top_contains_an_mse(sixteen):
    planted, saliency = sixteen
    found = found_sets(answer(combinatorial_search(saliency, comb_top=TOP), dnf_scorer(planted)))
    sets_of_four = list(combinations(saliency_order(saliency)[:TOP], 4))
    sufficient = [s for s in sets_of_four if any(set(mse) <= set(s) for mse in planted)]
    assert all(any(set(mse) <= set(s) for mse in found) for s in sufficient)


@pytest.mark.parametrize("seed", range(6))
def test_combinatorial_search_is_true_without_monotony(seed):
    scorer = table_scorer(random_scores(seed))
    found = found_sets(answer(combinatorial_search(EIGHT_BY_NUMBER, comb_top=8), scorer))
    assert found
    assert found <= true_mses(scorer, 8, 0.9 * HIGH)
