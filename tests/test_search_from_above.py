"""Paths from above, the greedy search, filling up: where there is an explanation, one is found."""

from itertools import combinations

import numpy as np
import pytest
from brute_force import HIGH, found_sets, random_antichain, random_scores, true_mses
from planted import dnf_scorer, table_scorer

from diverse_search import ceilings, diverse_search, fill_up, has_room
from scoring.questions import answer
from search import MSE, SearchResult, Shrinking, beam_search, greedy_search

PATCHES = 49
FEW = 150  # sets


def large_terms(seed, sizes=(25, 25)):
    """Return disjoint explanations of these sizes, and those of the other patches that are left."""
    order = np.random.default_rng(seed).permutation(PATCHES).tolist()
    ends = np.cumsum(sizes)
    return [tuple(sorted(order[end - size : end])) for size, end in zip(sizes, ends)]


def counting(scorer, asked, most=None):
    """Return the scorer, which notes the sets it is asked about, and ends after so many."""

    def score(sets):
        asked.update(map(tuple, sets))
        if most is not None and len(asked) > most:
            raise TimeoutError
        return scorer(sets)

    return score


# ---------------------------------------------------------------- a set that shrinks


def shrunk(conjunctions, order):
    """Return the set that all patches shrink to, and the number of sets asked about."""
    scorer = dnf_scorer(conjunctions)
    shrinking = Shrinking(tuple(range(PATCHES)))
    asked = 0
    while sets := shrinking.smaller(order):
        shrinking.take(sets, scorer(sets).tolist(), 0.9)
        asked += len(sets)
    return shrinking.kept, asked


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [1, 5, 25, 48])
def test_all_patches_shrink_to_the_only_explanation(seed, size):
    (explanation,) = large_terms(seed, sizes=(size,))
    kept, asked = shrunk([explanation], order=range(PATCHES))
    assert kept == explanation and asked <= FEW


def test_a_good_order_costs_little():
    others = [patch for patch in range(PATCHES) if patch >= 5]
    _, asked = shrunk([(0, 1, 2, 3, 4)], order=[*others, 0, 1, 2, 3, 4])
    assert asked <= 40


def test_a_set_of_which_nothing_can_go_stays():
    shrinking = Shrinking((1, 2))
    while sets := shrinking.smaller([1, 2]):
        shrinking.take(sets, [0.0] * len(sets), 0.9)
    assert shrinking.kept == (1, 2)


# ---------------------------------------------------------------- largest sets with room


@pytest.mark.parametrize("overlap", [0, 1, 2])
@pytest.mark.parametrize("seed", range(6))
def test_ceilings_have_room_and_are_largest(seed, overlap):
    rng = np.random.default_rng(seed)
    found = random_antichain(rng, patches=12, count=4, largest=4)
    for largest in ceilings(found, overlap, ranked=rng.permutation(12).tolist()):
        assert has_room(largest, found, overlap)
        missing = set(range(12)).difference(largest)
        assert not any(has_room([*largest, patch], found, overlap) for patch in missing)


def test_without_mses_the_ceiling_is_everything():
    assert ceilings([], 1, ranked=range(5)) == [(0, 1, 2, 3, 4)]


@pytest.mark.parametrize(
    "patches, overlap, room", [((1,), 0, False), ((1,), 1, True), ((1, 2), 2, False), ((), 0, True)]
)
def test_a_set_has_room_that_shares_little_and_contains_no_mse(patches, overlap, room):
    assert has_room(patches, [(1, 2)], overlap) == room


# ---------------------------------------------------------------- the diverse search


@pytest.fixture(scope="module", params=range(3))
def two_large(request):
    """Two explanations of 20 patches, no sign of them below: planted sets, result, sets asked."""
    planted = large_terms(request.param, sizes=(20, 20))
    asked = set()
    scorer = counting(dnf_scorer(planted), asked)
    result = answer(diverse_search(np.zeros(PATCHES), overlap=0), scorer)
    return set(planted), result, asked


def test_large_explanations_are_found_from_above(two_large):
    planted, result, _ = two_large
    assert found_sets(result) == planted


def test_they_cost_few_sets(two_large):
    _, _, asked = two_large
    assert len(asked) <= 900


def test_a_limit_on_the_size_holds_from_above():
    planted = large_terms(0, sizes=(20,))
    search = diverse_search(np.zeros(PATCHES), max_root_size=10, max_evaluations=500)
    assert found_sets(answer(search, dnf_scorer(planted))) == set()


@pytest.mark.parametrize("seed", range(10))
def test_an_image_with_an_explanation_ends_with_one(seed):
    scorer = table_scorer(random_scores(seed))
    found = found_sets(answer(diverse_search(np.arange(8.0)), scorer))
    assert found and found <= true_mses(scorer, 8, 0.9 * HIGH)


# ---------------------------------------------------------------- little time


@pytest.mark.parametrize("size", [3, 10, 30])
@pytest.mark.parametrize("seed", range(4))
def test_the_greedy_search_finds_an_explanation_within_few_sets(seed, size):
    planted = large_terms(seed, sizes=(size,))
    asked = set()
    late = counting(dnf_scorer(planted), asked, most=FEW + size)
    result = answer(greedy_search(np.arange(PATCHES)), late)
    assert found_sets(result) == set(planted)


def test_without_time_for_its_proof_it_says_that_no_single_patch_can_go():
    planted = large_terms(0, sizes=(10,))
    asked = set()
    late = counting(dnf_scorer(planted), asked, most=FEW + 10)
    (mse,) = answer(greedy_search(np.arange(PATCHES)), late).mses
    assert mse.minimal == "single"


def test_with_time_it_is_proven():
    (mse,) = answer(greedy_search(np.arange(9)), dnf_scorer([(1, 2), (3, 4)])).mses
    assert mse.minimal == "subset"


@pytest.mark.parametrize("seed", range(10))
def test_it_is_true_without_monotony(seed):
    scorer = table_scorer(random_scores(seed))
    found = found_sets(answer(greedy_search(np.arange(8.0)), scorer))
    assert len(found) == 1 and found <= true_mses(scorer, 8, 0.9 * HIGH)


# ---------------------------------------------------------------- filling up

NEIGHBOURS = [(0, 1, 2), (0, 1, 3), (0, 1, 4)]  # what the beam finds
FAR = [(20, 21, 22), (30, 31, 32)]


@pytest.fixture(scope="module")
def filled():
    """The beam's result where the salient explanations overlap, and the same filled up."""
    scorer = dnf_scorer([*NEIGHBOURS, *FAR])
    order = np.arange(PATCHES)
    beam = answer(beam_search(order, max_num_roots=3), scorer)
    assert found_sets(beam) == set(NEIGHBOURS)
    return beam, answer(fill_up(beam, order), scorer)


def test_explanations_that_overlap_little_are_added(filled):
    _, result = filled
    assert found_sets(result) == {*NEIGHBOURS, *FAR}


def test_what_was_added_says_so(filled):
    _, result = filled
    assert {mse.patches for mse in result.mses if mse.found_by == "diverse"} == set(FAR)


def test_the_reason_why_the_beam_ended_stays(filled):
    beam, result = filled
    assert result.stopped_by == beam.stopped_by


def test_enough_explanations_are_left_alone():
    mses = [MSE((i, i + 1), 0.95, "subset") for i in (0, 10, 20)]
    result = SearchResult.of(mses, "max_num_roots")
    assert answer(fill_up(result, np.arange(PATCHES)), forbidden) == result


def test_a_search_that_time_cut_short_is_not_filled_up():
    result = SearchResult((), "time_limit")
    assert answer(fill_up(result, np.arange(PATCHES)), forbidden) == result


def forbidden(sets):
    raise AssertionError("it asked")


@pytest.mark.parametrize("overlap", [0, 1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_additions_overlap_little(seed, overlap):
    rng = np.random.default_rng(seed)
    scorer = dnf_scorer(random_antichain(rng, patches=16, count=12, largest=4))
    beam = answer(beam_search(rng.random(16), max_num_roots=2), scorer)
    result = answer(fill_up(beam, rng.random(16), overlap=overlap), scorer)
    added = [set(mse.patches) for mse in result.mses if mse.found_by]
    assert all(len(a & b) <= overlap for a, b in combinations(added, 2))
