"""The Structured Attention Graph: how confidence falls as patches go.

A directed acyclic graph of patch sets. Its roots are a few diverse MSEs; a child is its parent less
one patch, down to the empty set, the baseline alone. A node is expanded while its relative
confidence, f(N) / f(all patches), is above 40 %. There is one node per patch set, however many
parents it has; every single deletion is a child.

    graph = build_sag(scorer, [(11, 30), (17, 30, 37)], full_probability=0.9999)
    graph.nodes[(11, 30)]                   # {"probability": 0.9676, "relative": 0.9677}
    graph.edges[(11, 30), (30,)]            # {"removed": 11}

Shitole et al., NeurIPS 2021, section 4.3.
"""

from collections.abc import Sequence

import networkx as nx

from scoring.patches import PatchSet
from search import Scorer

# A root of 20 patches could have 2^20 descendants; beyond this no further level is begun.
MAX_NODES = 2000


def build_sag(
    scorer: Scorer,
    roots: Sequence[PatchSet],
    full_probability: float,
    *,
    node_prob_thresh: float = 0.4,
    max_nodes: int = MAX_NODES,
) -> nx.DiGraph:
    """Build the SAG of these roots, a level at a time; a level's new sets are scored in one call.

    Args:
        scorer: patch sets to probabilities.
        roots: patch sets.
        full_probability: of the full image.
        node_prob_thresh: a node above this share of the full image's confidence is expanded.
        max_nodes: no level is begun that would exceed this number of nodes.

    Returns:
        Graph whose nodes carry "probability" and "relative" and whose edges carry "removed", the
        patch that went. graph.graph["stopped_by"] is None, or "max_nodes" or "time_limit" (the
        scorer raised TimeoutError) where that ended the expansion early.
    """
    graph = nx.DiGraph(stopped_by=None)
    try:
        level = list(dict.fromkeys(tuple(sorted(root)) for root in roots))
        _add_nodes(graph, level, scorer=scorer, full_probability=full_probability)
        while level:
            parents = [n for n in level if n and graph.nodes[n]["relative"] > node_prob_thresh]
            deletions = [(n, patch, _less(n, patch)) for n in parents for patch in n]
            children = dict.fromkeys(child for _, _, child in deletions)
            level = [child for child in children if child not in graph]
            if len(graph) + len(level) > max_nodes:
                graph.graph["stopped_by"] = "max_nodes"
                break
            _add_nodes(graph, level, scorer=scorer, full_probability=full_probability)
            for parent, patch, child in deletions:
                graph.add_edge(parent, child, removed=patch)
    except TimeoutError:
        graph.graph["stopped_by"] = "time_limit"
    return graph


def _add_nodes(
    graph: nx.DiGraph, patch_sets: Sequence[PatchSet], *, scorer: Scorer, full_probability: float
) -> None:
    scores = scorer(patch_sets) if patch_sets else []
    for patches, score in zip(patch_sets, scores):
        probability = float(score)
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
