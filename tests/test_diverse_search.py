"""Diverse search: true MSEs that overlap little, for few evaluations."""

from itertools import combinations

import numpy as np
import pytest
from brute_force import HIGH, found_sets, random_antichain, random_scores, true_mses
from planted import dnf_scorer, table_scorer

from diverse_search import diverse_search
from scoring.outlook import log_odds, patch_values, patches_needed
from scoring.questions import answer

FOUR = [(1, 2), (3, 4), (5, 6, 7), (8, 9)]
SIXTEEN = np.zeros(16)
NO_MORE_THAN_ONCE = 0  # overlap: no patch in two explanations


@pytest.fixture(params=[(seed, overlap) for seed in range(12) for overlap in (0, 1, 2)], ids=str)
def searched(request):
    """The planted MSEs, the overlap asked for, and what was found."""
    seed, overlap = request.param
    rng = np.random.default_rng(seed)
    planted = random_antichain(rng, patches=16, count=12, largest=4)
    scorer = dnf_scorer(planted)
    return (
        planted,
        overlap,
        answer(diverse_search(rng.random(16), overlap=overlap, max_num_roots=5), scorer),
    )


def test_it_finds_true_mses(searched):
    planted, _, result = searched
    assert found_sets(result)
    assert found_sets(result) <= planted


def test_it_proves_every_mse(searched):
    _, _, result = searched
    assert {mse.minimal for mse in result.mses} == {"subset"}


def test_its_mses_overlap_little(searched):
    _, overlap, result = searched
    pairs = combinations(found_sets(result), 2)
    assert all(len(set(a) & set(b)) <= overlap for a, b in pairs)


def test_it_stops_at_the_number_asked_for_and_only_then(searched):
    _, _, result = searched
    assert len(result.mses) <= 5
    assert (result.stopped_by == "max_num_roots") == (len(result.mses) == 5)


# ---------------------------------------------------------------- disjoint explanations


@pytest.fixture(params=range(6))
def disjoint(request):
    """Five disjoint explanations among 25 patches, and what was found.

    The more of an explanation is visible, the more confident the network is.
    """
    patches = np.random.default_rng(request.param).permutation(25)
    parts = np.split(patches[:11], [1, 3, 5, 8])
    planted = {tuple(sorted(part.tolist())) for part in parts}

    def confidence(patches):
        shares = [len(set(mse) & set(patches)) / len(mse) for mse in planted]
        return max(0.05 + 0.9 * share**3 for share in shares)

    def scorer(sets):
        return [confidence(patches) for patches in sets]

    return planted, answer(diverse_search(np.zeros(25), overlap=0, max_num_roots=99), scorer)


def test_it_finds_every_one_of_disjoint_explanations(disjoint):
    planted, result = disjoint
    assert found_sets(result) == planted


def test_it_ends_where_the_rest_is_insufficient(disjoint):
    _, result = disjoint
    assert (result.stopped_by, result.complete) == ("rest_insufficient", True)


# ---------------------------------------------------------------- paths


def test_a_path_does_not_end_in_an_mse_that_is_known():
    # (0, 2) is sufficient as well, but tells nothing new.
    result = answer(diverse_search(np.zeros(5)), dnf_scorer([(0,), (1,), (2, 3)]))
    assert found_sets(result) == {(0,), (1,), (2, 3)}


@pytest.fixture
def every_patch_alone():
    """The result where each of twelve patches is sufficient alone, and the sets asked about."""
    calls = []
    scorer = dnf_scorer([(patch,) for patch in range(12)], calls=calls)
    result = answer(diverse_search(SIXTEEN, max_num_roots=12), scorer)
    return result, {patches for call in calls for patches in call}


def test_patches_that_are_sufficient_alone_are_all_found(every_patch_alone):
    result, _ = every_patch_alone
    assert [mse.patches for mse in result.mses] == [(patch,) for patch in range(12)]


def test_patches_that_are_sufficient_alone_stop_it(every_patch_alone):
    result, _ = every_patch_alone
    assert result.stopped_by == "max_num_roots"


def test_patches_that_are_sufficient_alone_cost_one_round(every_patch_alone):
    _, asked = every_patch_alone
    assert len(asked) == 18  # none, each of sixteen, all


@pytest.fixture(scope="module")
def nearly_everything():
    """The result on a network that needs 45 of 49 patches."""

    def confidence(patches):
        return 0.99 if len(patches) >= 45 else 0.01 + 0.001 * (7 in patches)

    return answer(diverse_search(np.zeros(49)), lambda sets: [confidence(s) for s in sets])


def test_a_network_that_needs_almost_everything_is_explained(nearly_everything):
    first = nearly_everything.mses[0]
    assert (len(first.patches), first.minimal) == (45, "single")


def test_no_more_explanations_than_asked_for(nearly_everything):
    assert len(nearly_everything.mses) <= 10


@pytest.mark.parametrize("seed", range(6))
def test_it_is_true_without_monotony(seed):
    scorer = table_scorer(random_scores(seed))
    result = answer(diverse_search(np.arange(8.0), overlap=2, max_num_roots=50), scorer)
    assert found_sets(result) <= true_mses(scorer, 8, 0.9 * HIGH)


# ---------------------------------------------------------------- limits


def test_it_stops_at_the_number_of_evaluations():
    result = answer(diverse_search(SIXTEEN, max_evaluations=20), dnf_scorer(FOUR))
    assert result.stopped_by == "max_evaluations"


def test_it_evaluates_little_more_than_it_may():
    calls = []
    answer(diverse_search(SIXTEEN, max_evaluations=20), dnf_scorer(FOUR, calls=calls))
    assert len({patches for call in calls for patches in call}) < 80


def test_a_limit_on_the_size_leaves_the_smaller_mses():
    result = answer(
        diverse_search(SIXTEEN, max_root_size=2, overlap=NO_MORE_THAN_ONCE, max_num_roots=9),
        dnf_scorer(FOUR),
    )
    assert found_sets(result)
    assert found_sets(result) <= set(FOUR)


def test_the_same_search_finds_the_same():
    assert answer(diverse_search(SIXTEEN), dnf_scorer(FOUR)) == answer(
        diverse_search(SIXTEEN), dnf_scorer(FOUR)
    )


def test_time_that_is_up_in_the_middle_ends_it():
    inner = dnf_scorer(FOUR)
    asked = []

    def scorer(sets):
        asked.extend(sets)
        if len(asked) > 60:
            raise TimeoutError
        return inner(sets)

    result = answer(diverse_search(SIXTEEN), scorer)
    assert (result.stopped_by, result.complete) == ("time_limit", False)


# ---------------------------------------------------------------- patch values


def test_patch_values_are_those_of_an_additive_network():
    rng = np.random.default_rng(0)
    true = rng.normal(size=9)
    true -= true.min()
    shown = np.concatenate([np.zeros((1, 9)), np.eye(9), rng.integers(0, 2, (40, 9))])
    odds = log_odds(1 / (1 + np.exp(3 - shown @ true)))
    assert np.allclose(patch_values(shown, odds), true, atol=1e-6)


def test_log_odds_of_certainty_are_finite():
    assert np.isfinite(log_odds([0.0, 1.0])).all()


@pytest.mark.parametrize("needed, patches", [(3, 1), (4, 1.5), (5, 2), (6, 3), (6.5, 4)])
def test_patches_needed_counts_the_largest_gains_first(needed, patches):
    assert patches_needed(np.array([[3.0, 1, 2]]), np.array([needed])) == pytest.approx(patches)
