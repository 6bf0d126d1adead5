"""The Structured Attention Graph: how confidence falls as patches go.

A directed acyclic graph of patch sets. Its roots are a few diverse MSEs; a child is its parent less
one patch, down to the empty set, the baseline alone. A node is expanded while its relative
confidence, f(N) / f(all patches), is above 40 %. There is one node per patch set, however many
parents it has; every single deletion is a child.

    graph = answer(build_sag([(11, 30), (17, 30, 37)], full_probability=0.9999), scorer)
    graph.nodes[(11, 30)]                   # {"probability": 0.9676, "relative": 0.9677}
    graph.edges[(11, 30), (30,)]            # {"removed": 11}

diverse_sag() takes the MSEs of a search, chooses the roots among them, and lets a large root that
its own graph refutes give way to a smaller one.

Shitole et al., NeurIPS 2021, section 4.3.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import networkx as nx

from diverse_subset_selection import DiverseSubset, by_coverage, diverse_subset
from scoring.patch_sets import PatchSet
from scoring.questions import Asks, Question
from search import MSE, PROVEN_UP_TO, Checked, SearchResult, check_further, minimise

# A root of 20 patches could have 2^20 descendants; beyond this no further level is begun.
MAX_NODES = 2000
# Seconds for the diverse subset, within the time that is left.
LEAST_SUBSET_SECONDS = 1.0
MOST_SUBSET_SECONDS = 20.0


def build_sag(
    roots: Sequence[PatchSet],
    full_probability: float,
    *,
    node_prob_thresh: float = 0.4,
    max_nodes: int = MAX_NODES,
) -> Asks[nx.DiGraph]:
    """Build the SAG of these roots, a level at a time; a level's new sets are one question.

    Args:
        roots: patch sets.
        full_probability: of the full image.
        node_prob_thresh: a node above this share of the full image's confidence is expanded.
        max_nodes: no level is begun that would exceed this number of nodes.

    Returns:
        Graph whose nodes carry "probability" and "relative" and whose edges carry "removed", the
        patch that went. graph.graph["stopped_by"] is None, or "max_nodes" or "time_limit" (a
        TimeoutError) where that ended the expansion early.
    """
    graph = nx.DiGraph(stopped_by=None)
    try:
        level = list(dict.fromkeys(tuple(sorted(root)) for root in roots))
        yield from _add_nodes(graph, level, full_probability)
        while level:
            parents = [n for n in level if n and graph.nodes[n]["relative"] > node_prob_thresh]
            deletions = [(n, patch, _less(n, patch)) for n in parents for patch in n]
            children = dict.fromkeys(child for _, _, child in deletions)
            level = [child for child in children if child not in graph]
            if len(graph) + len(level) > max_nodes:
                graph.graph["stopped_by"] = "max_nodes"
                break
            yield from _add_nodes(graph, level, full_probability)
            for parent, patch, child in deletions:
                graph.add_edge(parent, child, removed=patch)
    except TimeoutError:
        graph.graph["stopped_by"] = "time_limit"
    return graph


def _add_nodes(
    graph: nx.DiGraph, patch_sets: Sequence[PatchSet], full_probability: float
) -> Asks[None]:
    scores = yield Question(patch_sets, is_proof=True)
    for patches, probability in zip(patch_sets, scores):
        graph.add_node(patches, probability=probability, relative=probability / full_probability)


def _less(patches: PatchSet, removed: int) -> PatchSet:
    return tuple(patch for patch in patches if patch != removed)


def refuted_by(graph: nx.DiGraph, root: PatchSet, threshold: float) -> PatchSet | None:
    """Return the smallest node inside a root that is sufficient; None where the root is minimal.

    Only roots of more than 10 patches, whose subsets were not all asked about before, can have one.

    Args:
        graph: a SAG.
        root: one of its roots.
        threshold: the probability above which a set is sufficient.
    """
    sufficient = [n for n, p in graph.nodes(data="probability") if p > threshold]
    inside = [n for n in sufficient if set(n) < set(root)]
    return min(inside, key=lambda n: (len(n), -graph.nodes[n]["probability"], n), default=None)


def _refuted(result: SearchResult, graph: nx.DiGraph, threshold: float) -> dict[MSE, PatchSet]:
    """Return the MSEs that nodes of a graph refute, each with the smallest such node."""
    refuted = {mse: refuted_by(graph, mse.patches, threshold) for mse in result.mses}
    return {mse: inside for mse, inside in refuted.items() if inside is not None}


# ---------------------------------------------------------------- from MSEs to their graph


@dataclass(frozen=True)
class DiverseSag:
    """The graph of a search's MSEs.

    Attributes:
        result: the MSEs, less those that the graph refuted, and why the search ended.
        subset: a largest diverse subset of them, by their places in result.mses.
        graph: the SAG of the first of that subset.
    """

    result: SearchResult
    subset: DiverseSubset
    graph: nx.DiGraph


def diverse_sag(
    result: SearchResult,
    full_probability: float,
    *,
    prob_thresh: float = 0.9,
    node_prob_thresh: float = 0.4,
    overlap: int = 1,
    num_roots: int = 3,
    proof_sets: int = 0,
    deadline: float = float("inf"),
) -> Asks[DiverseSag]:
    """Choose diverse roots among the MSEs and build their graph, until it refutes none of them.

    The drawn roots of more than 10 patches are then checked further. It must be answered in
    float32.

    Args:
        result: what a search found.
        full_probability: of the full image.
        prob_thresh: sufficient is above this share of it.
        node_prob_thresh: a node above this share of it is expanded.
        overlap: number of patches that two roots may share.
        num_roots: largest number of roots.
        proof_sets: number of subsets by which a root of more than 10 patches is checked further.
        deadline: a time.monotonic() by which the diverse subset should be chosen.
    """
    threshold = prob_thresh * full_probability
    while True:
        subset = _chosen(result, overlap, deadline)
        drawn = subset.chosen[:num_roots]
        roots = [result.mses[i].patches for i in drawn]
        graph = yield from build_sag(roots, full_probability, node_prob_thresh=node_prob_thresh)
        smaller = _refuted(result, graph, threshold)
        if not smaller:
            further = yield from _checked_further(result, drawn, threshold, most=proof_sets)
            result = further.result
            smaller = further.smaller
        if not smaller:
            return DiverseSag(result, subset, graph)
        replaced = yield from _replaced(result, smaller, threshold)
        if replaced.mses == result.mses:  # out of time
            return DiverseSag(replaced, subset, graph)
        result = replaced


def _chosen(result: SearchResult, overlap: int, deadline: float) -> DiverseSubset:
    """Return a largest diverse subset of the MSEs, those first that show most of all MSEs.

    There is as much time for it as is left.
    """
    seconds = min(MOST_SUBSET_SECONDS, max(LEAST_SUBSET_SECONDS, deadline - time.monotonic()))
    sets = [mse.patches for mse in result.mses]
    confidences = [mse.probability for mse in result.mses]
    subset = diverse_subset(sets, confidences, overlap, time_limit=seconds)
    return replace(subset, chosen=by_coverage(sets, confidences, subset.chosen))


@dataclass(frozen=True)
class _Further:
    """What further checks said of roots.

    Attributes:
        result: the MSEs, with what was checked.
        smaller: roots that do not stand, with a sufficient subset.
    """

    result: SearchResult
    smaller: dict[MSE, PatchSet]


def _checked_further(
    result: SearchResult, drawn: Sequence[int], threshold: float, *, most: int
) -> Asks[_Further]:
    """Check the large ones among drawn roots by as many subsets each, until time is up."""
    mses = list(result.mses)
    smaller: dict[MSE, PatchSet] = {}
    roots = drawn if most else ()
    try:
        for i in roots:
            mse = mses[i]
            if len(mse.patches) <= PROVEN_UP_TO or mse.checked:
                continue
            found = yield from check_further(mse, threshold, most=most)
            if isinstance(found, Checked):
                mses[i] = replace(mse, checked=found)
            else:
                smaller[mse] = found
    except TimeoutError:
        pass  # the roots claim no more than before
    return _Further(replace(result, mses=tuple(mses)), smaller)


def _replaced(
    result: SearchResult, smaller: dict[MSE, PatchSet], threshold: float
) -> Asks[SearchResult]:
    """Return a result in which refuted MSEs give way to an MSE inside the set that refuted them.

    Those for which time is up stay: no single patch of them can go, which is all that they claim.
    """
    mses = set(result.mses)
    stopped_by = result.stopped_by
    try:
        for mse, inside in smaller.items():
            found: dict[PatchSet, MSE] = {}
            yield from minimise([inside], threshold, found, most=1)
            mses.remove(mse)
            known = {other.patches for other in mses}
            new = [replace(one, found_by=mse.found_by) for one in found.values()]
            mses.update(one for one in new if one.patches not in known)
    except TimeoutError:
        stopped_by = "time_limit"
    return SearchResult.of(mses, stopped_by)
