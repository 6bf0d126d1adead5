"""The diverse subset of the MSEs, against brute force over every subset."""

from itertools import combinations

import numpy as np
import pytest
from brute_force import powerset

from diverse_subset_selection import DiverseSubset, by_coverage, diverse_subset

HUGE = [tuple(range(first, first + 40)) for first in range(9)]
UNHURRIED = 3600.0  # seconds; on any machine the answer is proven long before


def are_diverse(roots, chosen, overlap):
    """Return whether no two of the chosen roots share more than `overlap` patches."""
    return all(len(set(roots[a]) & set(roots[b])) <= overlap for a, b in combinations(chosen, 2))


@pytest.fixture(params=[(seed, overlap) for seed in range(30) for overlap in (0, 1, 2)], ids=str)
def problem(request):
    """Up to eleven roots, their confidences (every second time with ties), and the overlap."""
    seed, overlap = request.param
    rng = np.random.default_rng(seed)
    sets = set()
    for _ in range(11):
        size = rng.integers(1, 5)
        sets.add(tuple(sorted(rng.choice(9, size, replace=False).tolist())))
    roots = sorted(sets, key=lambda _: rng.random())
    if seed % 2:
        return roots, rng.choice([0.91, 0.95, 1.0], len(roots)).tolist(), overlap
    return roots, rng.uniform(0.9, 1.1, len(roots)).tolist(), overlap


@pytest.fixture
def solved(problem):
    """The problem and its answer."""
    roots, confidences, overlap = problem
    return problem, diverse_subset(roots, confidences, overlap, time_limit=UNHURRIED)


@pytest.fixture
def best(problem):
    """The largest subset by brute force; of several the most confident, then the first."""
    roots, confidences, overlap = problem
    in_patch_order = sorted(range(len(roots)), key=lambda i: roots[i])

    def merit(chosen):
        total = round(sum(confidences[i] for i in chosen), 9)
        return len(chosen), total, -sum(in_patch_order.index(i) for i in chosen)

    subsets = powerset(range(len(roots)))
    return max((s for s in subsets if are_diverse(roots, s, overlap)), key=merit)


def test_chosen_roots_overlap_little(solved):
    (roots, _, overlap), subset = solved
    assert are_diverse(roots, subset.chosen, overlap)


def test_no_larger_subset_exists(solved, best):
    _, subset = solved
    assert (len(subset.chosen), subset.proven) == (len(best), True)


def test_no_subset_of_that_size_is_more_confident(solved, best):
    (_, confidences, _), subset = solved
    total = sum(confidences[i] for i in subset.chosen)
    assert total == pytest.approx(sum(confidences[i] for i in best), abs=1e-8)


def test_of_equal_subsets_the_first_in_patch_order_is_chosen(solved, best):
    (roots, _, _), subset = solved
    in_patch_order = sorted(range(len(roots)), key=lambda i: roots[i])
    places = [in_patch_order.index(i) for i in subset.chosen]
    assert sum(places) == sum(in_patch_order.index(i) for i in best)


def test_the_most_confident_root_comes_first(solved):
    (_, confidences, _), subset = solved
    chosen = [confidences[i] for i in subset.chosen]
    assert chosen == sorted(chosen, reverse=True)


# ---------------------------------------------------------------- special cases


def test_of_nothing_nothing_is_chosen():
    assert diverse_subset([], []) == DiverseSubset([], True)


def test_disjoint_roots_are_all_chosen():
    subset = diverse_subset([(1,), (2,), (3,)], [0.9, 1.0, 0.9], 0)
    assert subset == DiverseSubset([1, 0, 2], True)


def test_huge_roots_are_compared_in_pairs():
    # Any two that are seven apart share 33 patches; these are the first such.
    assert diverse_subset(HUGE, [0.95] * 9, 33) == DiverseSubset([0, 7], True)


def test_of_huge_roots_that_all_overlap_one_is_chosen():
    assert diverse_subset(HUGE, [0.95] * 9, 5).chosen == [0]


# ---------------------------------------------------------------- hundreds of roots


def random_roots(patches, size, number):
    """Return 500 different roots of so many patches."""
    rng = np.random.default_rng(0)
    sets = {tuple(sorted(rng.choice(patches, size, replace=False).tolist())) for _ in range(number)}
    return sorted(sets)[:500], rng.uniform(0.9, 1, 500).tolist()


@pytest.fixture(scope="module")
def easy():
    """Five hundred roots that hardly overlap, and their diverse subset."""
    roots, confidences = random_roots(49, 3, 520)
    return roots, diverse_subset(roots, confidences, 1, time_limit=UNHURRIED)


def test_five_hundred_roots_that_hardly_overlap_are_solved(easy):
    _, subset = easy
    assert subset.proven
    assert len(subset.chosen) > 100


def test_five_hundred_roots_give_a_diverse_subset(easy):
    roots, subset = easy
    assert are_diverse(roots, subset.chosen, 1)


@pytest.fixture(params=["no time", "some time"])
def hard(request):
    """Five hundred roots that overlap much, and what is chosen when time is up."""
    roots, confidences = random_roots(20, 4, 600)
    seconds = {"no time": 1e-6, "some time": 1.0}[request.param]
    return roots, diverse_subset(roots, confidences, 1, time_limit=seconds)


def test_when_time_is_up_a_diverse_subset_is_chosen(hard):
    roots, subset = hard
    assert are_diverse(roots, subset.chosen, 1)


def test_when_time_is_up_many_are_chosen(hard):
    _, subset = hard
    assert len(subset.chosen) >= 15


# ---------------------------------------------------------------- the order in which they are drawn


def test_the_first_roots_show_most_of_what_all_are_about():
    roots = [(1, 2), (1, 3), (1, 4), (7, 8)]  # patch 1 weighs 1.5, each other 0.5
    assert by_coverage(roots, [0.91, 0.92, 0.93, 0.99], chosen=[3, 0, 2]) == [2, 3, 0]


def test_of_equal_roots_the_most_confident_comes_first():
    assert by_coverage([(1,), (2,), (3,)], [0.91, 0.99, 0.95], chosen=[0, 1, 2]) == [1, 2, 0]


def test_a_small_root_comes_before_a_large_one():
    roots = [(1, 2, 3, 4, 5, 6), (7, 8)]
    assert by_coverage(roots, [0.99, 0.91], chosen=[0, 1]) == [1, 0]
