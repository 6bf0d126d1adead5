"""Minimality: proven against every subset up to ten patches, marked as unproven beyond."""

from itertools import combinations

import pytest
from planted import dnf_scorer, table_scorer

from scoring.questions import answer
from search import MSE, SearchResult, certify, minimise, prove

# {0,1,2,3} loses its confidence without any single patch, but {0,1} alone has it again.
DECEPTIVE = {(0, 1, 2, 3): 0.95, (0, 1): 0.96, tuple(range(9)): 1.0}
TEN = tuple(range(10))
ELEVEN = tuple(range(11))
EVERYTHING = tuple(range(20))


def sets_of(mses):
    return {mse.patches for mse in mses}


def minimised(scorer, sets, threshold, found=(), **options):
    """Return the MSEs that minimise() adds to those found."""
    known = dict.fromkeys(found)
    answer(minimise(sets, threshold, known, **options), scorer)
    return [mse for patches, mse in known.items() if patches not in found]


def proven(scorer, sets, threshold, **options):
    """Return the MSEs that prove() adds to none."""
    found = {}
    answer(prove(sets, threshold, found, **options), scorer)
    return list(found.values())


def test_no_single_patch_can_go_from_the_deceptive_set():
    smaller = list(combinations((0, 1, 2, 3), 3))
    assert max(table_scorer(DECEPTIVE)(smaller)) <= 0.9


def test_a_smaller_set_inside_a_one_minimal_set_is_found():
    assert sets_of(minimised(table_scorer(DECEPTIVE), [(0, 1, 2, 3)], 0.9)) == {(0, 1)}


def test_the_proof_finds_every_smallest_sufficient_subset():
    scores = {(0, 1, 2, 3): 0.95, (0, 1): 0.96, (2, 3): 0.97, (0, 1, 2): 0.99}
    assert sets_of(proven(table_scorer(scores), [(0, 1, 2, 3)], 0.9)) == {(0, 1), (2, 3)}


def test_sets_of_ten_patches_are_proven():
    (mse,) = minimised(dnf_scorer([TEN]), [EVERYTHING], 0.5)
    assert (mse.patches, mse.minimal) == (TEN, "subset")


def test_larger_sets_are_marked_as_one_minimal():
    (mse,) = minimised(dnf_scorer([ELEVEN]), [EVERYTHING], 0.5)
    assert (mse.patches, mse.minimal) == (ELEVEN, "single")


def test_known_mses_are_not_found_again():
    scorer = dnf_scorer([(0,), (1,)])
    assert sets_of(minimised(scorer, [(0, 2), (1, 2)], 0.5, found=[(0,)])) == {(1,)}


def test_known_mses_stay():
    known = MSE((0,), 0.99, "subset")
    found = {(0,): known}
    answer(minimise([(0, 2), (1, 2)], 0.5, found), dnf_scorer([(0,), (1,)]))
    assert found[(0,)] is known


def test_no_more_mses_than_the_limit():
    scorer = dnf_scorer([(0,), (1,), (2,)])
    assert len(minimised(scorer, [(0,), (1,), (2,)], 0.5, most=2)) == 2


def test_no_more_mses_are_proven_than_the_limit():
    scorer = dnf_scorer([(0,), (1,), (2,)])
    assert len(proven(scorer, [(0, 1, 2)], 0.5, most=2)) == 2


@pytest.mark.parametrize("ask", [minimise, prove])
def test_what_is_claimed_to_be_minimal_is_asked_as_a_proof(ask):
    questions = []
    search = noting(ask([(0, 1, 2, 3), ELEVEN], 0.9, {}), questions)
    answer(search, dnf_scorer([(0, 1), ELEVEN]))
    assert questions and all(question.is_proof for question in questions)


def noting(search, questions):
    """Run a search and note its questions."""
    scores = None
    while True:
        try:
            question = search.send(scores)
        except StopIteration as end:
            return end.value
        questions.append(question)
        scores = yield question


def test_what_is_proven_before_time_is_up_is_in_what_is_found():
    inner = dnf_scorer([(0,), (1, 2)])

    def scorer(sets):
        if list(sets) == [(1, 2)]:  # the last step of its proof
            raise TimeoutError
        return inner(sets)

    found = {}
    with pytest.raises(TimeoutError):
        answer(prove([(0,), (1, 2)], 0.9, found), scorer)
    assert {s: mse.minimal for s, mse in found.items()} == {(0,): "subset", (1, 2): "single"}


# ---------------------------------------------------------------- the result of a search

LARGE = MSE(ELEVEN, 0.95, "single")
SMALL = MSE((0, 1), 0.95, "subset")


def test_a_large_set_that_contains_another_mse_goes():
    assert SearchResult.of([LARGE, SMALL], "exhausted").mses == (SMALL,)


def test_a_large_set_alone_stays():
    assert SearchResult.of([LARGE], "exhausted").mses == (LARGE,)


def test_the_smallest_mses_come_first_then_the_most_confident():
    pair = MSE((0, 1), 0.99, "subset")
    weak = MSE((2,), 0.91, "subset")
    strong = MSE((3,), 0.92, "subset")
    assert SearchResult.of([pair, weak, strong], "exhausted").mses == (strong, weak, pair)


# ---------------------------------------------------------------- the certificate

FOUND = SearchResult((MSE((0,), 0.95, "subset"), MSE((1, 2), 0.93, "subset")), "exhausted")


def test_certified_mses_have_their_float32_probabilities():
    exact = table_scorer({(0,): 0.94, (1, 2): 0.92})
    certified = answer(certify(FOUND, 0.9, anew=False), exact)
    assert certified.mses == (
        MSE((0,), float(exact([(0,)])[0]), "subset"),
        MSE((1, 2), float(exact([(1, 2)])[0]), "subset"),
    )


def test_a_set_that_float32_finds_insufficient_goes():
    exact = table_scorer({(0,): 0.94, (1, 2): 0.89})
    assert sets_of(answer(certify(FOUND, 0.9, anew=False), exact).mses) == {(0,)}


def test_a_set_that_float32_finds_not_minimal_gives_way():
    exact = table_scorer({(0,): 0.94, (1, 2): 0.92, (2,): 0.93})
    assert sets_of(answer(certify(FOUND, 0.9, anew=True), exact).mses) == {(0,), (2,)}


@pytest.mark.parametrize("other, origin", [((3, 4), "diverse"), ((2, 3), None)])
def test_a_set_that_shrinks_keeps_what_found_it(other, origin):
    added = MSE((1, 2), 0.93, "subset", found_by="diverse")
    found = SearchResult((MSE(other, 0.95, "subset"), added), "exhausted")
    exact = table_scorer({other: 0.94, (1, 2): 0.92, (2,): 0.93})
    certified = answer(certify(found, 0.9, anew=True), exact)
    assert {mse.patches: mse.found_by for mse in certified.mses}[(2,)] == origin


def test_what_is_certified_before_time_is_up_stays():
    inner = dnf_scorer([(0,), (1, 2)])

    def scorer(sets):
        if list(sets) == [(1, 2)]:  # the last step of its proof; (0,) is proven by then
            raise TimeoutError
        return inner(sets)

    certified = answer(certify(FOUND, 0.9, anew=True), scorer)
    assert {mse.patches: mse.minimal for mse in certified.mses} == {
        (0,): "subset",
        (1, 2): "single",
    }


def test_all_that_a_certificate_asks_is_a_proof():
    questions = []
    answer(noting(certify(FOUND, 0.9, anew=True), questions), dnf_scorer([(0,), (1, 2)]))
    assert questions and all(question.is_proof for question in questions)


@pytest.mark.parametrize(
    "anew, stopped_by, complete",
    [(False, "exhausted", True), (True, "exhausted_in_reduced_precision", False)],
)
def test_only_float32_exhausts_a_search(anew, stopped_by, complete):
    certified = answer(certify(FOUND, 0.9, anew=anew), dnf_scorer([(0,), (1, 2)]))
    assert (certified.stopped_by, certified.complete) == (stopped_by, complete)


def test_a_search_that_ended_otherwise_still_did_in_reduced_precision():
    found = SearchResult(FOUND.mses, "max_num_roots")
    certified = answer(certify(found, 0.9, anew=True), dnf_scorer([(0,), (1, 2)]))
    assert (certified.stopped_by, certified.complete) == ("max_num_roots", True)


def test_a_certificate_cut_short_says_so():
    def late(sets):
        raise TimeoutError

    assert answer(certify(FOUND, 0.9, anew=True), late).stopped_by == "time_limit"
