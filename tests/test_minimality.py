"""Minimality: proven against every subset up to ten patches, marked as unproven beyond."""

from itertools import combinations

from planted import dnf_scorer, table_scorer

from search import MSE, SearchResult, certify, minimise, prove

# {0,1,2,3} loses its confidence without any single patch, but {0,1} alone has it again.
DECEPTIVE = {(0, 1, 2, 3): 0.95, (0, 1): 0.96, tuple(range(9)): 1.0}
TEN = tuple(range(10))
ELEVEN = tuple(range(11))
EVERYTHING = tuple(range(20))


def sets_of(mses):
    return {mse.patches for mse in mses}


def test_no_single_patch_can_go_from_the_deceptive_set():
    smaller = list(combinations((0, 1, 2, 3), 3))
    assert max(table_scorer(DECEPTIVE)(smaller)) <= 0.9


def test_a_smaller_set_inside_a_one_minimal_set_is_found():
    assert sets_of(minimise(table_scorer(DECEPTIVE), [(0, 1, 2, 3)], 0.9)) == {(0, 1)}


def test_the_proof_finds_every_smallest_sufficient_subset():
    scores = {(0, 1, 2, 3): 0.95, (0, 1): 0.96, (2, 3): 0.97, (0, 1, 2): 0.99}
    assert sets_of(prove(table_scorer(scores), [(0, 1, 2, 3)], 0.9)) == {(0, 1), (2, 3)}


def test_sets_of_ten_patches_are_proven():
    (mse,) = minimise(dnf_scorer([TEN]), [EVERYTHING], 0.5)
    assert (mse.patches, mse.minimal) == (TEN, "subset")


def test_larger_sets_are_marked_as_one_minimal():
    (mse,) = minimise(dnf_scorer([ELEVEN]), [EVERYTHING], 0.5)
    assert (mse.patches, mse.minimal) == (ELEVEN, "single")


def test_known_mses_are_not_yielded_again():
    scorer = dnf_scorer([(0,), (1,)])
    assert sets_of(minimise(scorer, [(0, 2), (1, 2)], 0.5, known=[(0,)])) == {(1,)}


def test_no_more_mses_than_the_limit():
    scorer = dnf_scorer([(0,), (1,), (2,)])
    assert len(list(minimise(scorer, [(0,), (1,), (2,)], 0.5, limit=2))) == 2


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
    certified = certify(FOUND, exact, 0.9, anew=False)
    assert certified.mses == (
        MSE((0,), float(exact([(0,)])[0]), "subset"),
        MSE((1, 2), float(exact([(1, 2)])[0]), "subset"),
    )


def test_a_set_that_float32_finds_insufficient_goes():
    exact = table_scorer({(0,): 0.94, (1, 2): 0.89})
    assert sets_of(certify(FOUND, exact, 0.9, anew=False).mses) == {(0,)}


def test_a_set_that_float32_finds_not_minimal_gives_way():
    exact = table_scorer({(0,): 0.94, (1, 2): 0.92, (2,): 0.93})
    assert sets_of(certify(FOUND, exact, 0.9, anew=True).mses) == {(0,), (2,)}


def test_what_is_certified_before_time_is_up_stays():
    inner = dnf_scorer([(0,), (1, 2)])

    def scorer(sets):
        if list(sets) == [(1, 2)]:  # the last step of its proof; (0,) is proven by then
            raise TimeoutError
        return inner(sets)

    certified = certify(FOUND, scorer, 0.9, anew=True)
    assert sets_of(certified.mses) == {(0,)}


def test_a_certificate_cut_short_says_so():
    def late(sets):
        raise TimeoutError

    assert certify(FOUND, late, 0.9, anew=True).stopped_by == "time_limit"
