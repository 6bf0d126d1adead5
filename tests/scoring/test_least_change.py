"""The least change of a set, on scorers whose answers are known."""

from itertools import combinations

import pytest
from planted import dnf_scorer

from scoring.least_change import LeastChange, least_change

EVERYTHING = tuple(range(16))
MSES = [(5,), (6, 10), (1, 8, 14)]


def found(start, *, mses=MSES, wants_more, num_patches=16, budget=200):
    """Return the change found, and how many sets were asked about."""
    calls = []
    search = LeastChange(num_patches, goal=0.5, wants_more=wants_more, budget=budget)
    change = least_change(dnf_scorer(mses, calls=calls), start, search)
    assert sum(map(len, calls)) == search.asked <= budget
    return change, [patches for call in calls for patches in call]


def test_one_patch_is_the_least():
    change, _ = found((), wants_more=True)
    assert (change.added, change.removed) == ((5,), ())
    assert change.is_least and change.is_minimal and change.probability == pytest.approx(0.95)


def test_two_patches_are_the_least_where_no_single_one_does():
    change, _ = found((), mses=[(6, 10), (1, 8, 14)], wants_more=True)
    assert (change.added, change.is_least) == ((6, 10), True)


def test_what_loses_the_class_hits_every_explanation():
    change, asked = found(EVERYTHING, wants_more=False)
    assert len(change.removed) == 3 and not change.added
    assert all(set(mse) & set(change.removed) for mse in MSES)
    assert change.is_minimal and not change.is_least  # not all pairs were asked about
    assert tuple(sorted(set(EVERYTHING) - set(change.removed))) in asked


@pytest.mark.parametrize("budget", [17, 40, 80, 200])
def test_the_budget_holds_and_the_answer_is_true(budget):
    mses = [(p, p + 20) for p in range(12)]
    change, _ = found(tuple(range(49)), mses=mses, wants_more=False, num_patches=49, budget=budget)
    if change is not None:
        rest = set(range(49)) - set(change.removed) | set(change.added)
        assert change.probability < 0.5 and not any(set(mse) <= rest for mse in mses)


def test_nothing_is_found_where_nothing_helps():
    change, _ = found((), mses=[()], wants_more=False)
    assert change is None


def test_a_patch_that_distracts_is_hidden():
    def scorer(sets):
        return [0.1 if 3 in patches else 0.9 for patches in sets]

    change = least_change(scorer, EVERYTHING, LeastChange(16, goal=0.5, wants_more=True))
    assert (change.added, change.removed, change.is_least) == ((), (3,), True)


def test_minimal_means_that_no_part_does():
    change, asked = found((2, 3), wants_more=True, mses=[(1, 8, 14)])
    assert change.is_minimal == (set(change.added) == {1, 8, 14})
    for size in range(1, len(change.added)):
        if change.is_minimal:
            parts = combinations(change.added, size)
            assert not any({1, 8, 14} <= {2, 3, *part} for part in parts)
