"""Concept graphs: made of regions, written and read, and damaged."""

import json

import msgspec
import numpy as np
import pytest
from concept_networks import graph_json, region_of

from birds.cue_world import CONCEPTS, cue_scene, human_graph
from companions.concepts.graphs import (
    bounding_boxes,
    concepts_of,
    model_graph,
    phrase,
    rank_regions,
    read_graph,
)
from scoring.regions import Regions

LABELS = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 3, 3], [3, 3, 0, 0]])
REGIONS = Regions.of(LABELS, {0: "unlabelled", 1: "wing", 2: "eye", 3: "dusk"})


def graph_of(deviations, size=(4, 4)):
    ranked = rank_regions(REGIONS, deviations)
    return model_graph(REGIONS, ranked, category="owl", size=size)


def test_bounding_boxes_by_hand():
    boxes = bounding_boxes(REGIONS, (4, 4))
    assert boxes == [(2, 3, 2, 1), (0, 0, 2, 2), (2, 0, 2, 2), (0, 2, 4, 2)]


def test_a_networks_graph_by_hand():
    made = graph_of([0.0, 0.02, 0.5, 0.01], size=(40, 80))  # 0.01 itself is not above 0.01
    assert made == {
        "1": region_of(1, "eye", box=(40, 0, 40, 20), phrase="an owl with an eye"),
        "2": region_of(2, "wing", box=(0, 0, 40, 20), phrase="an owl with a wing"),
    }


def test_what_is_unlabelled_is_no_concept():
    assert graph_of([0.9, 0, 0, 0]) == {}


def test_nothing_that_supports_the_class_is_an_empty_graph():
    assert graph_of([0, 0, 0, 0]) == {}


def test_regions_are_ranked_concepts_first():
    ranked = rank_regions(REGIONS, [0.9, 0, 0.2, 0.1])
    assert ranked.order == [2, 3, 0, 1]
    assert ranked.concepts == 2


def test_phrases_have_the_right_article():
    assert phrase("jay", "wing") == "a jay with a wing"
    assert phrase("owl", "eye") == "an owl with an eye"


@pytest.fixture
def annotated(tmp_path):
    """A scene's label map, the annotation of it, and the file that it is written to."""
    scene, labels = cue_scene(2, [5, 5], cue=True)
    annotation = human_graph(scene, 2)
    path = tmp_path / "g.json"
    path.write_text(json.dumps(annotation))
    return labels, annotation, path


def test_a_graph_that_is_written_is_read_again(annotated):
    _, annotation, path = annotated
    assert msgspec.to_builtins(read_graph(path)) == annotation


def test_concepts_of_an_annotation(annotated):
    graph = read_graph(annotated[2])
    assert concepts_of(graph) == ["beak", "crest", "wing", "tail", "feet"]
    assert sum(len(region.relationships) for region in graph.values()) == 1


def test_boxes_of_an_annotation_hold_their_parts(annotated):
    labels, _, path = annotated
    for region in read_graph(path).values():
        for concept in region.objects:
            ys, xs = np.nonzero(labels == 1 + CONCEPTS.index(concept.name))
            box = (xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1)
            assert (concept.x, concept.y, concept.w, concept.h) == box


def test_further_fields_of_visual_genome_are_read_over(tmp_path):
    graph = graph_json("wing")
    graph["1"]["objects"][0]["synsets"] = ["wing.n.01"]
    (tmp_path / "g.json").write_text(json.dumps(graph))
    assert concepts_of(read_graph(tmp_path / "g.json")) == ["wing"]


def damaged(change):
    graph = graph_json("wing", "dusk")
    relationship = {"relationship_id": 1, "subject_id": 2, "object_id": 2, "name": "on"}
    graph["2"]["relationships"] = [relationship]
    change(graph)
    return json.dumps(graph)


@pytest.mark.parametrize(
    "text, place, problem",
    [
        ('{"1": {\n "objects": [', "line 2, column 14", ""),
        ("", "line 1, column 1", ""),
        ("[1]", "not an object of regions", ""),
        ('{"1": 5}', "region 1: ", "`object`, got `int`"),
        (damaged(lambda g: g["2"]["objects"][0].pop("x")), "region 2, objects 0: ", "`x`"),
        (
            damaged(lambda g: g["2"]["objects"][0].update(x="left")),
            "region 2, objects 0, x: ",
            "`float`, got `str`",
        ),
        (
            damaged(lambda g: g["1"]["objects"][0].update(h=float("nan"))),
            "region 1, objects 0: ",
            "h is nan",
        ),
        (
            damaged(lambda g: g["1"]["objects"][0].update(name=" ")),
            "region 1, objects 0, name: ",
            "matching",
        ),
        (
            damaged(lambda g: g["1"]["objects"][0].update(attributes=["red", 5])),
            "region 1, objects 0, attributes 1: ",
            "`str`, got `int`",
        ),
        (damaged(lambda g: g["1"].update(objects={})), "region 1, objects: ", "`array`"),
        (damaged(lambda g: g["1"].pop("phrase")), "region 1: ", "`phrase`"),
        (
            damaged(lambda g: g["2"]["objects"][0].update(object_id=True)),
            "region 2, objects 0, object_id: ",
            "got `bool`",
        ),
        (
            damaged(lambda g: g["2"]["relationships"][0].update(subject_id=9)),
            "region 2: relationships 0: ",
            "subject_id 9 is no object of this region",
        ),
    ],
)
def test_a_damaged_annotation_is_named_with_its_place(tmp_path, text, place, problem):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ValueError) as error:
        read_graph(tmp_path / "bad.json")
    assert f"bad.json: {place}" in str(error.value)
    assert problem in str(error.value)
    assert "\n" not in str(error.value)
