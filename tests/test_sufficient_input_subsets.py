"""Sufficient input subsets on scorers whose subsets are known."""

import pytest
import torch

from planted import dnf_scorer, table_scorer
from experiments.sufficient_input_subsets import backward_selection, sufficient_input_subsets


def test_disjoint_subsets_are_found_one_after_the_other_and_cost_what_they_should():
    calls = []
    found = sufficient_input_subsets(dnf_scorer([(5,), (2, 6)], calls=calls), 8)
    assert [r.patches for r in found] == [(5,), (2, 6)] and found.stopped_by == "exhausted"
    assert {r.minimal for r in found} == {
        "subset"
    }  # one or two patches: their subsets were all asked about
    asked = sum(map(len, calls))
    first, second = 8 * 9 // 2, 7 * 8 // 2  # a selection over d patches: d (d + 1) / 2 sets
    assert (
        asked == 2 + (1 + 1 + first) + (1 + 1 + second) + 1
    )  # opening; for each "is the rest enough", its start; and the last "no"


def test_of_overlapping_explanations_only_one_is_found():
    assert len(sufficient_input_subsets(dnf_scorer([(1, 2), (2, 3)]), 6)) == 1


def test_backward_selection_keeps_the_most_valuable_patch_to_the_last():
    worth = {0: 0.1, 1: 0.4, 2: 0.2}
    path = backward_selection(
        lambda sets: torch.tensor([sum(worth[p] for p in s) for s in sets]), range(3)
    )
    assert [s for s, _ in path] == [(), (1,), (1, 2), (0, 1, 2)]
    assert [p for _, p in path] == pytest.approx([0, 0.4, 0.6, 0.7])


def test_a_subset_need_not_be_minimal():
    """No patch of (0, 1, 2) can go alone; the path goes by (0, 1), the surest pair, and misses that (2,) would do."""
    scores = {
        (0, 1, 2): 1.0,
        (0, 1): 0.6,
        (0, 2): 0.5,
        (1, 2): 0.5,
        (0,): 0.5,
        (1,): 0.5,
        (2,): 0.95,
    }
    (found,) = sufficient_input_subsets(table_scorer(scores), 3)
    assert found.patches == (0, 1, 2) and found.minimal == "single"


def test_nothing_to_explain_and_no_time():
    assert sufficient_input_subsets(dnf_scorer([()]), 4).stopped_by == "baseline_sufficient"
    plain, calls = dnf_scorer([(0,), (3,)]), []

    def slow(sets):
        calls.append(sets)
        if len(calls) > 9:
            raise TimeoutError
        return plain(sets)

    found = sufficient_input_subsets(slow, 4)
    assert [r.patches for r in found] == [(3,)] and not found.complete
