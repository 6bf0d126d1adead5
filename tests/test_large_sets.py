"""Explanations of more than 10 patches: how far they are checked, and the bound on the rest."""

from collections import Counter

import pytest
from planted import dnf_scorer, table_scorer

from patch_deletion_tree import diverse_sag
from scoring.questions import answer
from search import MSE, Checked, SearchResult, _drawn_subsets, check_further

THRESHOLD = 0.9


def checked(conjunctions, *, size=12, most=200):
    """Return what further checks say of a set of so many patches, and the sets asked about."""
    calls = []
    scorer = dnf_scorer([tuple(range(size)), *conjunctions], calls=calls)
    mse = MSE(tuple(range(size)), 0.95, "single")
    found = answer(check_further(mse, THRESHOLD, most=most), scorer)
    return found, [patches for sets in calls for patches in sets]


def test_a_large_set_that_is_minimal_is_checked_within_its_budget():
    found, asked = checked([])
    assert (found.lacking, found.drawn, len(asked)) == (2, 200 - 66, 200)


def test_with_a_larger_budget_more_is_enumerated():
    found, _ = checked([], most=400)
    assert (found.lacking, found.drawn) == (3, 400 - 66 - 220)


def test_with_a_small_budget_sets_are_only_drawn():
    found, _ = checked([], most=60)
    assert (found.lacking, found.drawn) == (1, 60)


@pytest.mark.parametrize("lacking", [2, 3])
def test_a_sufficient_part_that_lacks_few_patches_is_found(lacking):
    whole = tuple(range(12))
    inside = whole[:-lacking]  # alone: this network is not monotone
    scorer = table_scorer({whole: 0.95, inside: 0.95})
    mse = MSE(whole, 0.95, "single")
    assert answer(check_further(mse, THRESHOLD, most=400), scorer) == inside


def test_a_sufficient_part_is_found_by_drawing():
    found, _ = checked([(0, 1)])
    assert {0, 1} <= set(found) < set(range(12))


def test_drawn_sets_lack_more_than_was_enumerated():
    _, asked = checked([])
    assert all(len(patches) <= 12 - 3 for patches in asked[66:])


def test_every_part_is_drawn_equally_often():
    drawn = Counter(_drawn_subsets((0, 1, 2, 3), lacking=1, count=11_000))
    assert len(drawn) == 11  # all but the whole set and those that lack one patch
    assert all(850 < count < 1150 for count in drawn.values())  # 4.7 standard deviations


def test_the_draws_depend_on_the_set_alone():
    assert checked([]) == checked([])


@pytest.mark.parametrize("drawn, at_most", [(0, 1.0), (1, 0.95), (59, 0.0495), (300, 0.00994)])
def test_the_bound_is_what_would_be_missed_in_one_case_of_twenty(drawn, at_most):
    assert Checked(1, drawn).at_most == pytest.approx(at_most, rel=1e-3)


def test_a_root_that_is_refuted_by_a_draw_gives_way():
    whole = tuple(range(12))
    scorer = dnf_scorer([whole, (0, 1)])
    result = SearchResult((MSE(whole, 0.95, "single"),), "max_num_roots")
    sag = answer(diverse_sag(result, 0.95, node_prob_thresh=1.0, proof_sets=200), scorer)
    assert [(mse.patches, mse.minimal) for mse in sag.result.mses] == [((0, 1), "subset")]


def test_what_a_refuted_root_gives_way_to_keeps_what_found_it():
    whole = tuple(range(12))
    added = MSE(whole, 0.95, "single", found_by="diverse")
    result = SearchResult((added, MSE((20,), 0.95, "subset")), "max_num_roots")
    scorer = dnf_scorer([whole, (0, 1), (20,)])
    sag = answer(diverse_sag(result, 0.95, node_prob_thresh=1.0, proof_sets=200), scorer)
    assert {mse.patches: mse.found_by for mse in sag.result.mses} == {
        (20,): None,
        (0, 1): "diverse",
    }


def test_a_root_that_is_refuted_by_one_that_is_known_leaves_it_once():
    whole = tuple(range(12))
    roots = (MSE(whole, 0.95, "single", found_by="diverse"), MSE((0, 1), 0.95, "subset"))
    result = SearchResult(roots, "max_num_roots")
    scorer = dnf_scorer([whole, (0, 1)])
    sag = answer(
        diverse_sag(result, 0.95, node_prob_thresh=1.0, proof_sets=200, overlap=12), scorer
    )
    assert [mse.patches for mse in sag.result.mses] == [(0, 1)]


def test_a_root_that_stands_says_how_far_it_was_checked():
    whole = tuple(range(12))
    result = SearchResult((MSE(whole, 0.95, "single"),), "max_num_roots")
    sag = answer(diverse_sag(result, 0.95, proof_sets=200), dnf_scorer([whole]))
    assert sag.result.mses[0].checked == Checked(2, 134)
