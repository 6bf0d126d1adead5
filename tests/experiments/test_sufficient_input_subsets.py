"""Sufficient input subsets on scorers whose subsets are known."""

import pytest
import torch
from planted import dnf_scorer, table_scorer

from experiments.sufficient_input_subsets import backward_selection, sufficient_input_subsets
from scoring.questions import answer


def found_by(scorer, num_patches):
    """Return the sufficient input subsets that a scorer has."""
    return answer(sufficient_input_subsets(num_patches), scorer)


def patches_of(found):
    return [mse.patches for mse in found.mses]


def test_disjoint_subsets_are_found_one_after_the_other():
    found = found_by(dnf_scorer([(5,), (2, 6)]), 8)
    assert patches_of(found) == [(5,), (2, 6)]
    assert found.stopped_by == "exhausted"


def test_up_to_two_patches_are_proven():
    """Their own subsets are single patches and none, which were all asked about."""
    found = found_by(dnf_scorer([(5,), (2, 6)]), 8)
    assert {mse.minimal for mse in found.mses} == {"subset"}


def test_the_search_costs_what_it_should():
    calls = []
    found_by(dnf_scorer([(5,), (2, 6)], calls=calls), 8)
    opening = 2
    is_rest_enough = 1
    start = 1
    first = 8 * 9 // 2  # a selection over d patches: d (d + 1) / 2 sets
    second = 7 * 8 // 2
    asked = opening + 2 * (is_rest_enough + start) + first + second + is_rest_enough
    assert sum(map(len, calls)) == asked


def test_of_overlapping_explanations_only_one_is_found():
    assert len(found_by(dnf_scorer([(1, 2), (2, 3)]), 6).mses) == 1


def test_backward_selection_keeps_the_best_patch_to_the_last():
    value = {0: 0.1, 1: 0.4, 2: 0.2}
    path = answer(
        backward_selection(range(3)),
        lambda sets: torch.tensor([sum(value[p] for p in s) for s in sets]),
    )
    assert [s for s, _ in path] == [(), (1,), (1, 2), (0, 1, 2)]
    assert [p for _, p in path] == pytest.approx([0, 0.4, 0.6, 0.7])


def test_a_subset_need_not_be_minimal():
    """No patch of (0, 1, 2) can go alone; the path over (0, 1) misses that (2,) would do."""
    scores = {
        (0, 1, 2): 1.0,
        (0, 1): 0.6,
        (0, 2): 0.5,
        (1, 2): 0.5,
        (0,): 0.5,
        (1,): 0.5,
        (2,): 0.95,
    }
    (found,) = found_by(table_scorer(scores), 3).mses
    assert found.patches == (0, 1, 2)
    assert found.minimal == "single"


def test_a_sufficient_baseline_leaves_nothing_to_explain():
    assert found_by(dnf_scorer([()]), 4).stopped_by == "baseline_sufficient"


def test_what_is_found_when_time_is_up_is_kept():
    scorer = dnf_scorer([(0,), (3,)])
    calls = []

    def slow(sets):
        calls.append(sets)
        if len(calls) > 9:
            raise TimeoutError
        return scorer(sets)

    found = found_by(slow, 4)
    assert patches_of(found) == [(3,)]
    assert not found.complete
