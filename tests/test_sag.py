"""The graph of sub-explanations, against brute-force enumeration."""

import networkx as nx
import numpy as np
import pytest
import torch
from brute_force import found_sets, powerset

from patch_deletion_tree import build_sag, diverse_sag
from scoring.questions import answer
from search import MSE, SearchResult

ROOTS = [(0, 1, 2, 3), (2, 3, 4, 5), (6,)]
FULL = 0.8  # probability of the full image
EXPANDED = 0.4  # relative confidence above which a node has children
THIRTY = tuple(range(30))


def certain(sets):
    return torch.ones(len(sets))


def brute_force_sag(scores):
    """Return nodes and edges (parent, child, patch) of the graph, by its definition."""
    nodes = set()
    edges = set()
    stack = list(ROOTS)
    while stack:
        node = stack.pop()
        nodes.add(node)
        if scores[node] / FULL > EXPANDED:
            for patch in node:
                child = tuple(q for q in node if q != patch)
                edges.add((node, child, patch))
                if child not in nodes:
                    stack.append(child)
    return nodes, edges


@pytest.fixture(params=range(10))
def scores(request):
    """A random score for every set of seven patches; the roots are sufficient."""
    rng = np.random.default_rng(request.param)
    return {s: float(rng.random()) for s in powerset(range(7))} | dict.fromkeys(ROOTS, 0.9)


@pytest.fixture
def asked():
    """The sets that a graph's scorer was asked about, in order."""
    return []


@pytest.fixture
def graph(scores, asked):
    """The graph of the three roots."""

    def scorer(sets):
        asked.extend(sets)
        return [scores[s] for s in sets]

    return answer(build_sag(ROOTS, FULL, node_prob_thresh=EXPANDED), scorer)


def test_its_nodes_are_those_of_the_definition(graph, scores):
    nodes, _ = brute_force_sag(scores)
    assert set(graph) == nodes


def test_its_edges_are_all_single_deletions(graph, scores):
    _, edges = brute_force_sag(scores)
    assert set(graph.edges(data="removed")) == edges


def test_it_is_acyclic(graph):
    assert nx.is_directed_acyclic_graph(graph)


def test_it_is_not_cut_short(graph):
    assert graph.graph["stopped_by"] is None


def test_it_asks_about_each_node_once(graph, asked):
    assert sorted(asked) == sorted(graph)


def test_each_node_knows_its_confidence(graph, scores):
    expected = {n: {"probability": scores[n], "relative": scores[n] / FULL} for n in graph}
    assert dict(graph.nodes(data=True)) == expected


# ---------------------------------------------------------------- limits


def test_the_graph_of_a_huge_root_is_bounded():
    assert 1 < len(answer(build_sag([THIRTY], 1.0, max_nodes=500), certain)) <= 500


def test_a_graph_that_is_bounded_says_so():
    graph = answer(build_sag([THIRTY], 1.0, max_nodes=500), certain)
    assert graph.graph["stopped_by"] == "max_nodes"


def test_a_graph_without_roots_is_empty():
    assert len(answer(build_sag([], 1.0), certain)) == 0


@pytest.fixture
def graph_cut_short():
    """The graph of a root of three patches; time is up when it comes to sets of one."""

    def scorer(sets):
        if min(map(len, sets)) == 1:
            raise TimeoutError
        return certain(sets)

    return answer(build_sag([(0, 1, 2)], 1.0), scorer)


def test_a_graph_without_time_keeps_what_was_scored(graph_cut_short):
    assert set(graph_cut_short) == {(0, 1, 2), (0, 1), (0, 2), (1, 2)}


def test_a_graph_without_time_says_so(graph_cut_short):
    assert graph_cut_short.graph["stopped_by"] == "time_limit"


# ---------------------------------------------------------------- a root that its graph refutes

LARGE = tuple(range(12))
SMALL = tuple(range(2, 10))
LONE = (20,)


def deceptive(sets):
    """Twelve patches are sufficient and no eleven of them are, but eight are."""

    def confidence(patches):
        if patches in (LARGE, SMALL, LONE):
            return 0.95
        return 0.6 if set(SMALL) < set(patches) else 0.1

    return torch.tensor([confidence(patches) for patches in sets])


@pytest.fixture(scope="module")
def refuted():
    """The graph of a root of twelve patches that is not minimal, which only the graph can find."""
    mses = (MSE(LARGE, 0.95, "single"), MSE(LONE, 0.95, "subset"))
    return answer(diverse_sag(SearchResult.of(mses, "exhausted"), 1.0), deceptive)


def test_a_refuted_root_gives_way_to_a_smaller_one(refuted):
    assert found_sets(refuted.result) == {LONE, SMALL}


def test_the_smaller_root_is_proven(refuted):
    assert {mse.minimal for mse in refuted.result.mses} == {"subset"}


def test_the_reason_why_the_search_ended_stays(refuted):
    assert refuted.result.stopped_by == "exhausted"


def test_the_diverse_roots_are_those_that_stay(refuted):
    chosen = {refuted.result.mses[i].patches for i in refuted.subset.chosen}
    assert (chosen, refuted.subset.proven) == ({LONE, SMALL}, True)


def out_of_time_inside(sets):
    """The same; time is up when it comes to what the small set has inside."""
    if all(set(patches) < set(SMALL) and patches for patches in sets):
        raise TimeoutError
    return deceptive(sets)


def test_without_time_to_replace_it_a_refuted_root_stays():
    mses = (MSE(LARGE, 0.95, "single"), MSE(LONE, 0.95, "subset"))
    cut_short = answer(diverse_sag(SearchResult.of(mses, "exhausted"), 1.0), out_of_time_inside)
    assert (found_sets(cut_short.result), cut_short.result.stopped_by) == (
        {LARGE, LONE},
        "time_limit",
    )


def test_the_refuted_root_is_not_in_the_graph(refuted):
    assert LARGE not in refuted.graph


def test_the_roots_that_stay_are_in_the_graph(refuted):
    assert {SMALL, LONE, ()} < set(refuted.graph)
