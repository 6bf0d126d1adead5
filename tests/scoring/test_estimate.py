"""Estimates of sets that were not scored, on networks whose answers are known."""

from itertools import combinations

import numpy as np
import pytest

from scoring.estimate import (
    LEAST_SETS,
    MOST_SUPPORT,
    as_rows,
    chosen_support,
    expit,
    fit_estimate,
)
from scoring.explanation_map import explanation_map, maps_of_patches, on_grid
from scoring.patches import tents

PATCHES = 16
RNG = np.random.default_rng(0)
EFFECTS = RNG.normal(0, 1.2, PATCHES)


def additive(patches):
    """Return the probability of a network whose log-odds are a sum over patches."""
    return float(expit(-1 + EFFECTS[list(patches)].sum()))


def two_of(patches):
    """Return the probability of a network that needs patches 3 and 9 together."""
    return 0.97 if {3, 9} <= set(patches) else 0.02


def drawn_sets(number, seed):
    """Return so many random sets of every size."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, PATCHES + 1, number)
    return [tuple(sorted(rng.permutation(PATCHES)[:size].tolist())) for size in sizes]


def fitted(network, number, *, drawn=40, maps=()):
    """Return an estimate from random sets, of which the first so many count as drawn."""
    sets = drawn_sets(number, seed=1)
    table = {patches: network(patches) for patches in sets}
    return fit_estimate(table, PATCHES, maps=maps, drawn=sets[:drawn])


def coverage(estimate, network):
    """Return the share of fresh sets within their interval, in whole percents as shown."""
    inside = []
    for patches in drawn_sets(300, seed=2):
        guess = estimate(patches)
        truth = round(100 * network(patches))
        inside.append(round(100 * guess.low) <= truth <= round(100 * guess.high))
    return np.mean(inside)


def test_an_additive_network_is_estimated_to_a_few_points():
    estimate = fitted(additive, 150)
    errors = [abs(estimate(s).probability - additive(s)) for s in drawn_sets(200, seed=2)]
    assert np.mean(errors) < 0.04


@pytest.mark.parametrize("network", [additive, two_of])
def test_four_of_five_fresh_sets_lie_in_the_interval(network):
    assert 0.7 <= coverage(fitted(network, 150), network) <= 0.95


def test_an_interaction_that_was_seen_is_estimated():
    estimate = fitted(two_of, 200)
    wrong = [
        (estimate(patches).probability > 0.5) != (two_of(patches) > 0.5)
        for patches in drawn_sets(200, seed=2)
    ]
    assert np.mean(wrong) < 0.08


def test_a_wrong_estimate_has_a_wide_interval():
    """An answer that nothing in the sets foretells: the sum of the patches is odd."""

    def odd(patches):
        return 0.95 if sum(patches) % 2 else 0.05

    estimate = fitted(odd, 120)
    widths = [estimate(s).high - estimate(s).low for s in drawn_sets(100, seed=2)]
    assert np.mean(widths) > 0.6


def test_few_sets_are_no_estimate():
    sets = drawn_sets(40, seed=1)[: LEAST_SETS - 1]
    assert fit_estimate(dict.fromkeys(sets, 0.5), PATCHES) is None


def test_a_table_without_differences_is_estimated_as_it_is():
    table = dict.fromkeys(drawn_sets(30, seed=1), 0.7)
    guess = fit_estimate(table, PATCHES)((0, 1))
    assert guess.probability == pytest.approx(0.7, abs=0.01)
    assert guess.low <= guess.probability <= guess.high


def test_of_a_large_table_a_part_is_kept_and_the_drawn_sets_are_in_it():
    sets = [tuple(s) for k in (1, 2, 3) for s in combinations(range(PATCHES), k)]
    kept = sets[-3:]
    chosen = chosen_support(sets, PATCHES, kept=kept)
    assert len(chosen) == len(set(chosen)) == MOST_SUPPORT
    assert chosen[:3] == kept


def test_the_formula_of_the_estimate_is_that_of_the_process():
    """At a scored set, the fitted numbers give what the kernel gives."""
    sets = list(dict.fromkeys(drawn_sets(60, seed=1)))
    table = {patches: additive(patches) for patches in sets}
    weights = np.abs(EFFECTS)
    estimate = fit_estimate(table, PATCHES, maps=[weights])
    rows = as_rows(sets, PATCHES)
    guesses = expit(estimate.log_odds(rows))
    assert np.abs(guesses - list(table.values())).mean() < 0.03


# ---------------------------------------------------------------- maps


def test_the_map_of_explanations_shares_a_weight_of_one_among_patches():
    weights = explanation_map([(1, 2), (2, 3, 4), ()], 6)
    np.testing.assert_allclose(weights, [0, 1 / 2, 1 / 2 + 1 / 3, 1 / 3, 1 / 3, 0])


def test_without_explanations_the_map_is_empty():
    assert not explanation_map([], 4).any()


def test_a_map_at_the_patches_is_what_their_tents_show():
    """A smooth map of the grid's size, as Grad-CAM's, agrees with the sum over pixels."""
    smooth = np.add.outer(np.arange(1.0, 6), np.arange(1.0, 6))
    shown = on_grid(smooth, (5, 5))
    ramp = np.add.outer(np.linspace(1, 5, 101), np.linspace(1, 5, 101))
    exact = tents((5, 5), (101, 101)).numpy() @ ramp.ravel()
    np.testing.assert_allclose(shown / shown.sum(), exact / exact.sum(), atol=0.004)


def test_without_gradcam_there_is_one_map():
    assert len(maps_of_patches([(0,)], (2, 2), gradcam=None)) == 1
