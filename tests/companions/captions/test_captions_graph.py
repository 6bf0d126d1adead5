"""The scene graph of a region, and where explanations put the words of its caption."""

import math

import msgspec
import numpy as np
import pytest
import torch
from caption_regions import bird_region

from companions.captions.guidance import guidance_loss, named_places, targets
from companions.captions.scene_graph import box_of, overlap, scene_graph, union
from companions.concepts.graphs import Region

BIRD = (0, 0, 39, 39)
WING = (4, 4, 11, 11)


def test_nodes_are_objects_with_attributes_then_relations(graph_of):
    graph = graph_of(bird_region(colours=["red", "long"]))
    assert graph.names == ["jay", "wing", "red", "long", "with"]
    assert graph.roles == [0, 0, 1, 1, 2]
    assert graph.orders == [0, 0, 1, 2, 0]
    assert graph.boxes == [BIRD, WING, WING, WING, BIRD]


def test_edges_have_the_published_types(graph_of):
    graph = graph_of(bird_region())
    expected = {(1, 2, 0), (2, 1, 1), (0, 3, 2), (3, 0, 3), (3, 1, 4), (1, 3, 5)}
    assert set(graph.edges) == expected
    assert len(graph.edges) == 6
    assert set(graph.flow) == {(1, 2), (2, 1), (0, 3), (3, 1)}


def test_flow_shares_attention_and_keeps_what_has_no_way_out(graph_of):
    matrix = graph_of(bird_region(colours=["red", "long"])).flow_matrix()
    assert matrix.sum(0) == pytest.approx(np.ones(5))
    assert matrix[:, 1].tolist() == [0, 0, 0.5, 0.5, 0]  # the wing's attributes
    lonely = graph_of({**bird_region(), "relationships": []})
    assert lonely.flow_matrix()[:, 0].tolist() == [1, 0, 0]


def test_a_graph_has_at_most_ten_nodes(graph_of):
    graph = graph_of(bird_region(colours=[f"colour{i}" for i in range(12)]))
    assert len(graph) == 10
    assert graph.cut == 5  # four attributes and the relationship
    assert max(max(edge[:2]) for edge in graph.edges) < 10


def test_boxes_end_at_their_last_pixel():
    entry = msgspec.convert(bird_region(), Region).objects[1]
    assert box_of(entry) == WING
    assert union(WING, (0, 6, 5, 20)) == (0, 4, 11, 20)
    assert overlap(WING, WING) == 1
    assert overlap((0, 0, 1, 0), (1, 0, 2, 0)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (5, 5, 6, 6)) == 0


def test_words_lie_on_the_nodes_that_they_name():
    region = msgspec.convert(bird_region(), Region)
    words = ["a", "jay", "with", "a", "red", "wing"]
    found = targets(words, scene_graph(region), named_places({"1": region}))
    assert found.tolist() == [
        [0, 0, 0, 0],
        [1, 0, 0, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 0],
        [0, 0, 1, 0],
        [0, 1, 0, 0],
    ]


def test_an_explanation_elsewhere_gives_no_target():
    region = msgspec.convert(bird_region(), Region)
    words = ["wing"]
    near = [("wing", 0, (4, 4, 12, 12))]
    far = [("wing", 0, (20, 20, 30, 30))]
    assert targets(words, scene_graph(region), near).tolist() == [[0, 1, 0, 0]]
    assert not targets(words, scene_graph(region), far).any()


def test_guidance_is_zero_where_attention_is_the_explanation():
    target = torch.tensor([[[0.5, 0.5, 0], [0, 1, 0], [0, 0, 0]]])
    assert guidance_loss(target, target).item() == 0
    assert guidance_loss(target.roll(1, 2), target).item() > 1


def test_guidance_is_the_mean_divergence_of_words_with_a_target():
    target = torch.tensor([[1.0, 0], [0, 1], [0, 0]])
    attention = torch.tensor([[0.5, 0.5], [0.75, 0.25], [0.1, 0.9]])
    expected = (math.log(2) + math.log(4)) / 2
    assert guidance_loss(attention, target).item() == pytest.approx(expected)
    assert guidance_loss(attention, torch.zeros(3, 2)).item() == 0
