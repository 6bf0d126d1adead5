"""Search, minimality, diversity and the graph, against planted truth and brute force."""

import argparse
from itertools import chain, combinations

import networkx as nx
import numpy as np
import pytest
import torch

from diverse_subset_selection import diverse_subset
from main_generate_sag import graph_of
from patch_deletion_tree import build_sag
from planted import dnf_scorer, table_scorer
from search import (
    Root,
    Roots,
    beam_search,
    combinatorial_search,
    exhaustive_search,
    minimise,
    prove,
    salient_order,
)

NINE = list(range(9))


def random_antichain(rng, patches, count, largest):
    sets = {
        tuple(sorted(rng.choice(patches, rng.integers(1, largest + 1), replace=False).tolist()))
        for _ in range(count)
    }
    return {s for s in sets if not any(set(o) < set(s) for o in sets)}


def powerset(items):
    return chain.from_iterable(combinations(items, k) for k in range(len(items) + 1))


def true_mses(scorer, patches, threshold):
    """By the definition, over every subset."""
    sufficient = {s for s in powerset(range(patches)) if float(scorer([s])[0]) > threshold}
    return {s for s in sufficient if not any(set(t) < set(s) for t in sufficient)}


@pytest.mark.parametrize("seed", range(8))
def test_exhaustive_search_returns_exactly_the_planted_mses(seed):
    planted = random_antichain(np.random.default_rng(seed), 12, 7, 3)
    roots = exhaustive_search(dnf_scorer(planted), 12, max_size=3)
    assert {r.patches for r in roots} == planted
    assert (
        all(r.minimal == "subset" for r in roots)
        and roots.stopped_by == "exhausted"
        and roots.complete
    )


@pytest.mark.parametrize("seed", range(12))
def test_beam_and_combinatorial_search_return_only_true_mses(seed):
    rng = np.random.default_rng(seed)
    planted = random_antichain(rng, 16, 9, 4)
    saliency = rng.random(16)
    for roots in (
        beam_search(dnf_scorer(planted), saliency, beam_width=4),
        combinatorial_search(dnf_scorer(planted), saliency, comb_top=12),
    ):
        assert {r.patches for r in roots} <= planted and len({r.patches for r in roots}) == len(
            roots
        )
    inside = {p for p in planted if set(p) <= set(salient_order(saliency)[:12])}
    assert not inside or roots  # combinatorial search sees every set of the 12


@pytest.mark.parametrize("seed", range(6))
def test_searches_are_true_on_networks_that_are_not_monotone(seed):
    rng = np.random.default_rng(seed)
    scores = {
        s: float(rng.choice([0.1, 0.5, 0.95], p=[0.6, 0.25, 0.15])) for s in powerset(range(8))
    } | {(): 0.1, tuple(range(8)): 0.95}
    scorer = table_scorer(scores)
    truth = true_mses(scorer, 8, 0.9 * 0.95)
    assert {r.patches for r in exhaustive_search(scorer, 8, max_size=8)} == truth
    for roots in (
        beam_search(scorer, np.arange(8.0), max_num_roots=50),
        combinatorial_search(scorer, np.arange(8.0), comb_top=8),
    ):
        assert {r.patches for r in roots} <= truth and roots


def test_a_one_minimal_answer_would_be_wrong():
    # {0,1,2,3} loses its confidence without any single patch, but {0,1} alone has it again.
    scores = {(0, 1, 2, 3): 0.95, (0, 1): 0.96, tuple(range(9)): 1.0}
    assert [r.patches for r in minimise(table_scorer(scores), [(0, 1, 2, 3)], 0.9)] == [(0, 1)]
    assert all(
        table_scorer(scores)([s])[0] <= 0.9 for s in combinations((0, 1, 2, 3), 3)
    )  # so greedy removal stops at once


def test_the_proof_finds_every_smallest_sufficient_subset():
    scores = {(0, 1, 2, 3): 0.95, (0, 1): 0.96, (2, 3): 0.97, (0, 1, 2): 0.99}
    assert {r.patches for r in prove(table_scorer(scores), [(0, 1, 2, 3)], 0.9)} == {(0, 1), (2, 3)}


def test_sets_of_more_than_ten_patches_are_marked_as_one_minimal():
    ten, eleven = tuple(range(10)), tuple(range(11))
    everything = tuple(range(20))
    assert [(r.patches, r.minimal) for r in minimise(dnf_scorer([ten]), [everything], 0.5)] == [
        (ten, "subset")
    ]
    assert [(r.patches, r.minimal) for r in minimise(dnf_scorer([eleven]), [everything], 0.5)] == [
        (eleven, "single")
    ]


def test_a_large_set_that_contains_another_root_is_no_root():
    eleven, inner = Root(tuple(range(11)), 0.95, "single"), Root((0, 1), 0.95, "subset")
    assert Roots([eleven, inner]) == [inner] and Roots([eleven]) == [eleven]


def test_a_level_of_the_beam_is_one_call_and_no_more_states_than_the_width():
    calls = []
    rng = np.random.default_rng(0)
    noise = {}

    def scorer(sets):
        calls.append(list(sets))
        return [
            noise.setdefault(s, rng.uniform(0, 0.3)) if len(s) < 4 or len(s) < 20 and s[0] else 0.99
            for s in sets
        ]

    beam_search(scorer, np.arange(20.0), beam_width=2, num_successors=5, max_root_size=3)
    levels = [c for c in calls if c and len(c[0]) in (1, 2, 3) and len({len(s) for s in c}) == 1]
    assert [len(c[0]) for c in levels] == [1, 2, 3]
    for smaller, larger in zip(levels, levels[1:]):
        assert len(set(larger)) == len(larger)  # reached twice, asked once
        kept = sorted(smaller, key=lambda s: -noise[s])[:2]
        expected = {
            tuple(sorted((*s, p))) for s in kept for p in [q for q in range(20) if q not in s][:5]
        }
        assert set(larger) == expected


def test_ties_in_saliency_are_broken_by_patch_number():
    assert salient_order([1, 0, 1, 0, 1]) == [1, 3, 0, 2, 4]


def test_the_number_of_roots_is_capped_exactly():
    planted = [(i,) for i in range(9)]
    for cap in (1, 4, 9):
        roots = beam_search(dnf_scorer(planted), np.arange(12.0), max_num_roots=cap)
        assert len(roots) == cap and roots.stopped_by == "max_num_roots"


def test_supersets_of_known_mses_leave_the_beam():
    calls = []
    beam_search(dnf_scorer([(0,)], calls=calls), np.arange(9.0), max_root_size=4)
    assert not any(set(s) > {0} and len(s) < 9 for call in calls for s in call)


@pytest.mark.parametrize(
    "search",
    [
        lambda s: beam_search(s, np.arange(9.0)),
        lambda s: combinatorial_search(s, np.arange(9.0)),
        lambda s: exhaustive_search(s, 9),
    ],
)
def test_nothing_to_find_is_a_result_that_says_why(search):
    sufficient = search(lambda sets: [0.5] * len(sets))
    assert not sufficient and sufficient.stopped_by == "baseline_sufficient" and sufficient.complete
    assert search(lambda sets: [0.0] * len(sets)).stopped_by == "zero_probability"

    def late(sets):
        raise TimeoutError

    timed_out = search(late)
    assert timed_out.stopped_by == "time_limit" and not timed_out.complete


def test_a_time_limit_keeps_what_is_proven():
    inner, asked = dnf_scorer([(2,), (3, 4), (5, 6, 7)]), []

    def scorer(sets):
        asked.extend(sets)
        if max(map(len, sets)) == 3:
            raise TimeoutError
        return inner(sets)

    roots = beam_search(scorer, np.arange(9.0), beam_width=9)
    assert {r.patches for r in roots} == {(2,), (3, 4)} and roots.stopped_by == "time_limit"


@pytest.mark.parametrize(
    "search",
    [
        lambda s: combinatorial_search(s, np.arange(30.0), comb_top=30, comb_size=3),
        lambda s: exhaustive_search(s, 30),
    ],
)
def test_a_time_limit_in_a_large_enumeration_keeps_what_came_before(search):
    inner, scored = dnf_scorer([(0, 1, 2), (27, 28, 29)]), []

    def scorer(sets):
        if len(scored) > 2000:
            raise TimeoutError
        scored.extend(sets)
        return inner(sets)

    roots = search(scorer)
    assert [r.patches for r in roots] == [(0, 1, 2)] and not roots.complete


def test_no_root_below_the_allowed_size():
    roots = beam_search(dnf_scorer([(1, 2, 3)]), np.arange(9.0), max_root_size=2)
    assert not roots and roots.stopped_by == "max_root_size"
    assert exhaustive_search(dnf_scorer([(1, 2, 3)]), 9, max_size=2).stopped_by == "exhausted"


# ---------------------------------------------------------------- diverse subset


def brute_force_diverse(roots, confidences, overlap):
    place = sorted(range(len(roots)), key=lambda i: roots[i])
    best = max(
        (
            s
            for s in powerset(range(len(roots)))
            if all(len(set(roots[a]) & set(roots[b])) <= overlap for a, b in combinations(s, 2))
        ),
        key=lambda s: (
            len(s),
            round(sum(confidences[i] for i in s), 9),
            -sum(place.index(i) for i in s),
        ),
    )
    return len(best), sum(confidences[i] for i in best), sum(place.index(i) for i in best)


@pytest.mark.parametrize("seed", range(30))
def test_diverse_subset_agrees_with_brute_force(seed):
    rng = np.random.default_rng(seed)
    roots = sorted(
        {
            tuple(sorted(rng.choice(9, rng.integers(1, 5), replace=False).tolist()))
            for _ in range(11)
        },
        key=lambda r: rng.random(),
    )
    confidences = (
        rng.choice([0.91, 0.95, 1.0], len(roots)).tolist()
        if seed % 2
        else rng.uniform(0.9, 1.1, len(roots)).tolist()
    )
    for overlap in (0, 1, 2):
        chosen, proven = diverse_subset(roots, confidences, overlap)
        assert proven and all(
            len(set(roots[a]) & set(roots[b])) <= overlap for a, b in combinations(chosen, 2)
        )
        place = sorted(range(len(roots)), key=lambda i: roots[i])
        size, total, places = brute_force_diverse(roots, confidences, overlap)
        assert len(chosen) == size and sum(confidences[i] for i in chosen) == pytest.approx(
            total, abs=1e-8
        )
        assert sum(place.index(i) for i in chosen) == places
        assert [confidences[i] for i in chosen] == sorted(
            (confidences[i] for i in chosen), reverse=True
        )


def test_diverse_subset_of_nothing_and_of_disjoint_roots():
    assert diverse_subset([], []) == ([], True)
    assert diverse_subset([(1,), (2,), (3,)], [0.9, 1.0, 0.9], 0) == ([1, 0, 2], True)


def test_diverse_subset_of_huge_roots():
    huge = [tuple(range(i, i + 40)) for i in range(0, 9)]
    assert diverse_subset(huge, [0.95] * 9, 33) == (
        [0, 7],
        True,
    )  # any two seven apart share 33; the first such
    assert diverse_subset(huge, [0.95] * 9, 5)[0] == [0]


def test_diverse_subset_of_five_hundred_roots_ends():
    rng = np.random.default_rng(0)
    roots = sorted({tuple(sorted(rng.choice(49, 3, replace=False).tolist())) for _ in range(520)})[
        :500
    ]
    chosen, proven = diverse_subset(roots, rng.uniform(0.9, 1, 500).tolist(), 1)
    assert proven and len(chosen) > 100
    hard = sorted({tuple(sorted(rng.choice(20, 4, replace=False).tolist())) for _ in range(600)})[
        :500
    ]
    chosen, proven = diverse_subset(hard, rng.uniform(0.9, 1, 500).tolist(), 1, time_limit=4)
    assert len(chosen) >= 15 and all(
        len(set(hard[a]) & set(hard[b])) <= 1 for a, b in combinations(chosen, 2)
    )


# ---------------------------------------------------------------- the graph


def brute_force_sag(scores, roots, full, threshold):
    nodes, edges, stack = set(), set(), list(roots)
    while stack:
        node = stack.pop()
        nodes.add(node)
        if scores[node] / full > threshold:
            for patch in node:
                child = tuple(q for q in node if q != patch)
                edges.add((node, child, patch))
                if child not in nodes:
                    stack.append(child)
    return nodes, edges


@pytest.mark.parametrize("seed", range(10))
def test_the_graph_equals_brute_force_enumeration(seed):
    rng = np.random.default_rng(seed)
    scores = {s: float(rng.random()) for s in powerset(range(7))}
    roots = [(0, 1, 2, 3), (2, 3, 4, 5), (6,)]
    scores |= dict.fromkeys(roots, 0.9)
    calls = []

    def scorer(sets):
        calls.append(list(sets))
        return [scores[s] for s in sets]

    graph = build_sag(scorer, roots, 0.8, 0.4)
    nodes, edges = brute_force_sag(scores, roots, 0.8, 0.4)
    assert set(graph) == nodes and set(graph.edges(data="removed")) == edges
    assert nx.is_directed_acyclic_graph(graph) and graph.graph["stopped_by"] is None
    assert sum(map(len, calls)) == len(nodes)  # each set asked about once
    assert all(
        graph.nodes[n] == {"probability": scores[n], "relative": scores[n] / 0.8} for n in nodes
    )


def test_the_graph_of_a_huge_root_is_bounded():
    graph = build_sag(lambda sets: torch.ones(len(sets)), [tuple(range(30))], 1.0, max_nodes=500)
    assert 1 < len(graph) <= 500 and graph.graph["stopped_by"] == "max_nodes"
    assert len(build_sag(lambda sets: torch.ones(len(sets)), [], 1.0)) == 0


def test_a_large_root_that_its_own_graph_refutes_gives_way():
    """Twelve patches are enough, no eleven of them are, but eight are: only the graph gets to ask about those."""
    large, small = tuple(range(12)), tuple(range(2, 10))

    def scorer(sets):
        return torch.tensor(
            [
                0.95 if s in (large, small, (20,)) else 0.6 if set(small) < set(s) else 0.1
                for s in sets
            ]
        )

    scorer.deadline = float("inf")
    args = argparse.Namespace(
        prob_thresh=0.9, overlap_thresh=1, num_roots_sag=3, node_prob_thresh=0.4
    )
    roots, diverse, proven, sag = graph_of(
        Roots([Root(large, 0.95, "single"), Root((20,), 0.95, "subset")], "exhausted"),
        scorer,
        1.0,
        args,
    )
    assert (
        [(r.patches, r.minimal) for r in roots] == [((20,), "subset"), (small, "subset")]
        and diverse == [0, 1]
        and proven
    )
    assert large not in sag and {small, (20,), ()} < set(sag) and roots.stopped_by == "exhausted"
