"""Why a search ends: nothing to find, or no time left; what is proven by then is kept."""

import numpy as np
import pytest
from brute_force import found_sets
from planted import dnf_scorer

from diverse_search import diverse_search
from scoring.questions import answer
from search import beam_search, combinatorial_search, exhaustive_search

NINE_BY_NUMBER = np.arange(9.0)
THIRTY_BY_NUMBER = np.arange(30.0)
SEARCHES = {  # on nine patches
    "beam": lambda scorer: answer(beam_search(NINE_BY_NUMBER), scorer),
    "combinatorial": lambda scorer: answer(combinatorial_search(NINE_BY_NUMBER), scorer),
    "exhaustive": lambda scorer: answer(exhaustive_search(9), scorer),
    "diverse": lambda scorer: answer(diverse_search(NINE_BY_NUMBER), scorer),
}
LARGE_SEARCHES = {  # all sets of three of thirty patches
    "combinatorial": lambda scorer: answer(
        combinatorial_search(THIRTY_BY_NUMBER, comb_top=30, comb_size=3), scorer
    ),
    "exhaustive": lambda scorer: answer(exhaustive_search(30), scorer),
}


def always(probability):
    """Return a scorer with the same answer for every set."""
    return lambda sets: [probability] * len(sets)


def late(sets):
    raise TimeoutError


def out_of_time_after(inner, count):
    """Return a scorer that answers as `inner` does until it has been asked about `count` sets."""
    answered = []

    def scorer(sets):
        if len(answered) > count:
            raise TimeoutError
        answered.extend(sets)
        return inner(sets)

    return scorer


@pytest.fixture(params=SEARCHES)
def search(request):
    """One of the searches, of a scorer on nine patches."""
    return SEARCHES[request.param]


def test_a_sufficient_baseline_leaves_nothing_to_find(search):
    result = search(always(0.5))
    assert (result.mses, result.stopped_by) == ((), "baseline_sufficient")


def test_a_search_with_nothing_to_find_is_complete(search):
    assert search(always(0.5)).complete


def test_a_class_without_probability_has_nothing_to_find(search):
    assert search(always(0.0)).stopped_by == "zero_probability"


def test_a_search_without_time_says_so(search):
    assert search(late).stopped_by == "time_limit"


def test_a_search_without_time_is_not_complete(search):
    assert not search(late).complete


# ---------------------------------------------------------------- time is up in the middle


@pytest.fixture
def beam_cut_short():
    """The result of a beam search whose time is up when it comes to sets of three."""
    inner = dnf_scorer([(2,), (3, 4), (5, 6, 7)])

    def scorer(sets):
        if max(map(len, sets)) == 3:
            raise TimeoutError
        return inner(sets)

    return answer(beam_search(NINE_BY_NUMBER, beam_width=9), scorer)


def test_a_beam_search_cut_short_keeps_what_is_proven(beam_cut_short):
    assert found_sets(beam_cut_short) == {(2,), (3, 4)}


def test_a_beam_search_cut_short_says_so(beam_cut_short):
    assert beam_cut_short.stopped_by == "time_limit"


@pytest.fixture(params=LARGE_SEARCHES)
def enumeration_cut_short(request):
    """The result of a search of thousands of sets whose time is up after half of them."""
    scorer = out_of_time_after(dnf_scorer([(0, 1, 2), (27, 28, 29)]), 2000)
    return LARGE_SEARCHES[request.param](scorer)


def test_an_enumeration_cut_short_keeps_what_came_before(enumeration_cut_short):
    assert found_sets(enumeration_cut_short) == {(0, 1, 2)}


def test_an_enumeration_cut_short_is_not_complete(enumeration_cut_short):
    assert not enumeration_cut_short.complete


# ---------------------------------------------------------------- time is up in a proof


NINE_OF_THIRTY = tuple(range(0, 27, 3))


def test_what_time_leaves_unproven_is_kept_by_the_diverse_search():
    asked = set()
    scorer = dnf_scorer([NINE_OF_THIRTY])

    def until_the_proof(sets):
        pairs_inside = [s for s in sets if len(s) == 2 and set(s) < set(NINE_OF_THIRTY)]
        if NINE_OF_THIRTY in asked and pairs_inside:
            raise TimeoutError
        asked.update(sets)
        return scorer(sets)

    found = answer(diverse_search(THIRTY_BY_NUMBER), until_the_proof)
    assert [(mse.patches, mse.minimal) for mse in found.mses] == [(NINE_OF_THIRTY, "single")]
