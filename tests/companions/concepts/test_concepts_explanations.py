"""The concepts of one image, as a function."""

import numpy as np
import pytest
from concept_networks import TwoHalves, network_of

from companions.concepts.explanations import explain_concepts
from scoring.regions import Regions

IMAGE = np.full((28, 28, 3), 255, np.uint8)
REGIONS = Regions.of(np.repeat([[1] * 14 + [2] * 14], 28, 0), {1: "bird", 2: "dusk"})


@pytest.fixture
def found():
    """The explanation of a network that needs the left half only."""
    network = network_of(TwoHalves(left_only=True), size=28)
    return explain_concepts(network, IMAGE, REGIONS, baseline="black")


def test_the_most_probable_class_is_explained(found):
    assert found.category == found.predicted == 1
    assert found.probability == pytest.approx(0.96)


def test_concepts_are_ordered_by_their_deviation(found):
    assert [concept.concept for concept in found.concepts] == ["bird", "dusk"]
    deviations = [concept.deviation for concept in found.concepts]
    assert deviations == pytest.approx([0.93, 0], abs=1e-6)


def test_only_what_supports_the_class_is_relevant(found):
    assert [concept.relevant for concept in found.concepts] == [True, False]


def test_the_graph_has_the_relevant_concepts(found):
    graph = found.graph((28, 28))
    assert [region.phrase for region in graph.values()] == ["a class 1 with a bird"]


def test_another_class_can_be_explained():
    network = network_of(TwoHalves(left_only=True), size=28)
    found = explain_concepts(network, IMAGE, REGIONS, category=0, baseline="black")
    assert found.class_name == "class 0"
    assert found.concepts[-1].deviation == pytest.approx(-0.93, abs=1e-6)
