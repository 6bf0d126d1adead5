"""The Structured Attention Graph: how confidence falls as patches go.

A directed acyclic graph of patch sets. Its roots are a few diverse MSEs; a child is its parent less one
patch, down to the empty set, the baseline alone. A node is expanded while its relative confidence, f(N) /
f(all patches), is above 40 %. One node per patch set, however many parents it has; every single deletion
is a child.

    graph = build_sag(scorer, [(11, 30), (17, 30, 37)], full_probability=0.9999)
    graph.nodes[(11, 30)]                   # {"probability": 0.9676, "relative": 0.9677}
    graph.edges[(11, 30), (30,)]            # {"removed": 11}

Shitole et al., NeurIPS 2021, section 4.3.
"""

from collections.abc import Callable, Sequence

import networkx as nx

PatchSet = tuple[int, ...]
MAX_NODES = (
    2000  # a root of 20 patches could have 2^20 descendants; beyond this no further level is begun
)


def build_sag(
    scorer: Callable[[Sequence[PatchSet]], Sequence[float]],
    roots: Sequence[PatchSet],
    full_probability: float,
    node_prob_thresh: float = 0.4,
    max_nodes: int = MAX_NODES,
) -> nx.DiGraph:
    """The SAG of these roots, a level at a time, each level's new sets scored in one call.

    Nodes carry probability and relative; edges carry removed, the patch that went. graph.graph["stopped_by"]
    is None, or "max_nodes" or "time_limit" (a scorer's TimeoutError) where that ended the expansion early.
    """
    graph = nx.DiGraph(stopped_by=None)

    def add(patch_sets: Sequence[PatchSet]) -> None:
        for patches, score in zip(patch_sets, scorer(patch_sets) if patch_sets else ()):
            graph.add_node(
                patches, probability=float(score), relative=float(score) / full_probability
            )

    try:
        add(list(dict.fromkeys(tuple(sorted(r)) for r in roots)))
        level = list(graph)
        while level:
            parents = [n for n in level if n and graph.nodes[n]["relative"] > node_prob_thresh]
            children = {(n, p): tuple(q for q in n if q != p) for n in parents for p in n}
            level = [c for c in dict.fromkeys(children.values()) if c not in graph]
            if len(graph) + len(level) > max_nodes:
                graph.graph["stopped_by"] = "max_nodes"
                break
            add(level)
            graph.add_edges_from((n, child, {"removed": p}) for (n, p), child in children.items())
    except TimeoutError:
        graph.graph["stopped_by"] = "time_limit"
    return graph


def refuted_by(graph: nx.DiGraph, root: PatchSet, threshold: float) -> PatchSet | None:
    """The smallest node inside the root whose probability is above the threshold; None where the root stands as minimal.

    Only roots of more than 10 patches, whose subsets were not all asked about before, can have one.
    """
    inside = (n for n, p in graph.nodes(data="probability") if p > threshold and set(n) < set(root))
    return min(inside, key=lambda n: (len(n), -graph.nodes[n]["probability"], n), default=None)


def listed(graph: nx.DiGraph) -> dict:
    """The graph as the record has it: nodes, and edges as [parent, child, patch removed] by node number."""
    number = {patches: i for i, patches in enumerate(graph)}
    return {
        "nodes": [
            {"patches": list(patches), **values} for patches, values in graph.nodes(data=True)
        ],
        "edges": [
            [number[parent], number[child], gone]
            for parent, child, gone in graph.edges(data="removed")
        ],
        "complete": graph.graph["stopped_by"] is None,
        "stopped_by": graph.graph["stopped_by"],
    }
