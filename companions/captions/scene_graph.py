"""The scene graph of a region, as the captioner sees it: nodes with roles, edges, and flow.

Nodes stand in this order, at most 10: each object (role 0) followed by its attributes (role 1,
numbered 1, 2, .. per object), then the relationships (role 2). Edges have six types: object to
attribute 0 and back 1, subject to relationship 2 and back 3, relationship to object 4 and back 5.
Attention flows between an object and its attributes, and from subject over relationship to object.

    graph = scene_graph(region)
    graph.names, graph.roles            # ["crest", "red", ..], [0, 1, ..]

After ASG2Caption (Chen et al., "Say As You Wish", CVPR 2020).
"""

from dataclasses import dataclass, field

import numpy as np

from companions.concepts.graphs import Object, Region

MOST_NODES = 10
OBJECT = 0
ATTRIBUTE = 1
RELATIONSHIP = 2
ROLES = ("object", "attribute", "relationship")
EDGE_TYPES = 6

Box = tuple[int, int, int, int]  # x0, y0, x1, y1; the last row and column belong to it


@dataclass
class SceneGraph:
    """Nodes and edges of a region.

    Attributes:
        names: of the nodes; the decoder never sees them.
        roles: OBJECT, ATTRIBUTE or RELATIONSHIP, per node.
        orders: number of an attribute among its object's, from 1; 0 for other nodes.
        boxes: of the nodes.
        edges: (from, to, type).
        flow: (from, to).
        cut: how many nodes beyond the first MOST_NODES were left out.
    """

    names: list[str] = field(default_factory=list)
    roles: list[int] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    edges: list[tuple[int, int, int]] = field(default_factory=list)
    flow: list[tuple[int, int]] = field(default_factory=list)
    cut: int = 0

    def __len__(self) -> int:
        return len(self.names)

    def add(self, name: str, role: int, *, box: Box, order: int = 0) -> int | None:
        """Add a node and return its index; None, and one more cut, where there is no room."""
        if len(self) == MOST_NODES:
            self.cut += 1
            return None
        self.names.append(name)
        self.roles.append(role)
        self.orders.append(order)
        self.boxes.append(box)
        return len(self) - 1

    def flow_matrix(self) -> np.ndarray:
        """Return how attention moves along the flow edges, (N, N) float32: new = matrix @ old.

        A node's attention is shared equally by the nodes that it flows to; where there is none,
        it stays.
        """
        matrix = np.zeros((len(self), len(self)), np.float32)
        for source, target in self.flow:
            matrix[target, source] = 1
        for node in np.flatnonzero(matrix.sum(0) == 0):
            matrix[node, node] = 1
        return matrix / matrix.sum(0)


def scene_graph(region: Region) -> SceneGraph:
    """Return the nodes and edges of an annotated region."""
    graph = SceneGraph()
    places: dict[int | str, int] = {}
    for entry in region.objects:
        place = graph.add(entry.name, OBJECT, box=box_of(entry))
        if place is not None:
            places[entry.object_id] = place
        for order, attribute in enumerate(entry.attributes, 1):
            node = graph.add(str(attribute), ATTRIBUTE, box=box_of(entry), order=order)
            if node is not None and place is not None:
                graph.edges += [(place, node, 0), (node, place, 1)]
                graph.flow += [(place, node), (node, place)]
    for relationship in region.relationships:
        _add_relationship(graph, relationship, places)
    return graph


def _add_relationship(graph: SceneGraph, relationship, places: dict[int | str, int]) -> None:
    subject = places.get(relationship.subject_id)
    target = places.get(relationship.object_id)
    if subject is None or target is None:  # one of them was cut
        graph.cut += 1
        return
    box = union(graph.boxes[subject], graph.boxes[target])
    node = graph.add(relationship.name, RELATIONSHIP, box=box)
    if node is not None:
        graph.edges += [(subject, node, 2), (node, subject, 3), (node, target, 4)]
        graph.edges.append((target, node, 5))
        graph.flow += [(subject, node), (node, target)]


def box_of(entry: Object) -> Box:
    """Return the box of an annotated object: its first and last columns and rows."""
    x0 = round(entry.x)
    y0 = round(entry.y)
    return x0, y0, x0 + round(entry.w) - 1, y0 + round(entry.h) - 1


def union(a: Box, b: Box) -> Box:
    """Return the smallest box around two boxes."""
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def overlap(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes, in pixels; 0..1."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    shared = max(0, width) * max(0, height)
    return shared / (_area(a) + _area(b) - shared)


def _area(box: Box) -> int:
    return (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
