"""Colour, size, place and relations of regions, on label maps drawn by hand."""

import numpy as np
import pytest
import torch
from concept_networks import network_of

from companions.concepts.explanations import explain_concepts
from companions.concepts.graphs import attributes_of, relationships_of
from companions.concepts.region_facts import (
    COLOURS,
    Relation,
    attributes_of_region,
    colour_of,
    relations_between,
)
from scoring.regions import Regions


def regions_of(*boxes, size=(20, 20)):
    """Return regions of a map: 0 the rest, then a box (top, bottom, left, right) each."""
    labels = np.zeros(size, int)
    for number, (top, bottom, left, right) in enumerate(boxes, 1):
        labels[top:bottom, left:right] = number
    return Regions.of(labels, {n: f"part {n}" for n in range(len(boxes) + 1)})


def painted(colour):
    return np.broadcast_to(np.array(COLOURS[colour][0], np.uint8), (20, 20, 3))


@pytest.mark.parametrize(
    "rgb, name",
    [
        ((250, 0, 0), "red"),
        ((0, 0, 0), "black"),
        ((0, 0, 200), "blue"),
        ((20, 30, 90), "blue"),
        ((100, 0, 120), "purple"),
        ((200, 200, 200), "grey"),
        ((90, 60, 30), "brown"),
    ],
)
def test_a_colour_has_the_nearest_name(rgb, name):
    assert colour_of(np.array([rgb])) == name


@pytest.mark.parametrize(
    "box, words",
    [
        ((0, 4, 0, 4), ["small", "top", "left"]),  # 16 of 400 pixels: 4 %
        ((8, 12, 7, 13), ["central"]),  # 6 %
        ((14, 20, 7, 13), ["bottom"]),
        ((0, 11, 0, 11), ["large"]),  # 30 %
    ],
)
def test_size_and_place_by_hand(box, words):
    regions = regions_of(box)
    assert attributes_of_region(regions, 1, painted("red")) == ["red", *words]


def test_a_region_of_two_colours_has_the_commoner_one():
    yellow = COLOURS["yellow"][0]
    blue = COLOURS["blue"][0]
    assert colour_of(np.array([yellow] * 4 + [blue] * 3)) == "yellow"  # their median is neither


def test_few_odd_pixels_do_not_change_a_colour():
    image = painted("green").copy()
    image[8:10, 7:13] = COLOURS["red"][0]
    assert attributes_of_region(regions_of((8, 14, 7, 13)), 1, image)[0] == "green"


@pytest.mark.parametrize(
    "first, second, expected",
    [
        ((2, 5, 8, 12), (9, 12, 8, 12), Relation(1, "above", 2)),
        ((9, 12, 8, 12), (2, 5, 8, 12), Relation(1, "below", 2)),
        ((8, 12, 2, 5), (8, 12, 9, 12), Relation(1, "left of", 2)),
        ((8, 12, 9, 12), (8, 12, 2, 5), Relation(1, "right of", 2)),
        ((2, 6, 8, 12), (6, 18, 6, 14), Relation(1, "on", 2)),
        ((6, 18, 6, 14), (2, 6, 8, 12), Relation(2, "on", 1)),
        ((2, 18, 2, 18), (8, 12, 8, 12), Relation(2, "inside", 1)),
        ((2, 6, 2, 18), (6, 18, 2, 5), Relation(1, "above", 2)),  # on it in 3 of 16 columns
    ],
)
def test_relations_by_hand(first, second, expected):
    assert relations_between(regions_of(first, second), [1, 2], (20, 20)) == [expected]


def test_the_larger_distance_is_that_of_the_image():
    regions = regions_of((2, 5, 2, 5), (10, 13, 9, 12))  # 8 rows and 7 columns apart
    assert relations_between(regions, [1, 2], (20, 20)) == [Relation(1, "above", 2)]
    assert relations_between(regions, [1, 2], (400, 800)) == [Relation(1, "left of", 2)]


def test_boxes_that_overlap_have_no_direction():
    labels = np.zeros((20, 20), int)
    labels[5:15, 5] = 1
    labels[15, 5:15] = 1  # an L ..
    labels[4:13, 7:16] = 2  # .. and what fills it
    regions = Regions.of(labels, {0: "rest", 1: "a", 2: "b"})
    assert relations_between(regions, [1, 2], (20, 20)) == []


# ---------------------------------------------------------------- of a network


@pytest.fixture(scope="module")
def explained():
    """The concepts of a network that counts red pixels, of two red boxes and a grey rest."""

    class Reddish(torch.nn.Module):
        def forward(self, x):
            """Return logits that grow with the red pixels."""
            red = (x[:, 0] - x[:, 1]).mean((1, 2))
            return torch.stack([10 * red, 0 * red], 1)

    image = np.full((20, 20, 3), 128, np.uint8)
    image[2:6, 8:12] = COLOURS["red"][0]
    image[6:18, 6:14] = COLOURS["red"][0]
    regions = regions_of((2, 6, 8, 12), (6, 18, 6, 14))
    return explain_concepts(network_of(Reddish(), size=20), image, regions, category=0)


def test_only_regions_that_the_network_uses_are_described(explained):
    graph = explained.graph((20, 20))
    assert attributes_of(graph) == [
        "(part 2, red)",
        "(part 2, central)",
        "(part 1, red)",
        "(part 1, small)",
        "(part 1, top)",
    ]
    assert relationships_of(graph) == ["(part 1, on, part 2)"]
    assert graph["3"].phrase == "a part 1 on a part 2"


def test_attributes_and_relations_can_be_left_out(explained):
    graph = explained.graph((20, 20), attributes=False, relations=False)
    assert attributes_of(graph) == []
    assert relationships_of(graph) == []
    assert list(graph) == ["1", "2"]
