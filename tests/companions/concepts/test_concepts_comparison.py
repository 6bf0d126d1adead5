"""The network's concepts against a person's, by hand and as a command."""

import csv
import json

import msgspec
import pytest
from concept_networks import graph_json
from PIL import Image

from companions.concepts.comparison import (
    ComparedImage,
    compare,
    compare_graphs,
    measures_of_kinds,
    most_confounded,
)
from companions.concepts.graphs import Object, Region, Relationship
from companions.concepts.records import CompareReport, require_typed
from utils import write_json

# ---------------------------------------------------------------- by hand


def test_concepts_are_told_apart_by_name():
    one = compare(["dusk", "Left_Wing", "beak"], ["left wing", "crest", "tail", "beak"])
    assert one.valid == ["left wing", "beak"]
    assert one.confounded == ["dusk"]
    assert one.missed == ["crest", "tail"]


def test_precision_recall_and_f1_by_hand():
    one = compare(["dusk", "Left_Wing", "beak"], ["left wing", "crest", "tail", "beak"])
    assert (one.precision, one.recall, one.f1) == (2 / 3, 0.5, 4 / 7)


def test_measures_that_would_divide_by_nothing_are_none():
    nothing = compare([], [])
    assert (nothing.precision, nothing.recall, nothing.f1) == (None, None, None)
    assert compare([], ["a"]).precision is None
    assert compare(["a"], []).recall is None
    assert compare([], ["a"]).f1 == 0


def compared(category, confounded, **deviations):
    return ComparedImage(category, compare(confounded, ["wing"]), deviations=deviations)


def test_a_confounded_mean_is_over_all_images_of_its_class():
    found = most_confounded(
        [
            compared("jay", ["dusk"], dusk=0.6),
            compared("jay", [], dusk=-0.2),
            compared("jay", ["wing"], wing=0.5),
            compared("kite", [], dusk=0.9),
        ]
    )
    assert [(e.category, e.concept, e.images, e.of) for e in found] == [("jay", "dusk", 1, 3)]
    assert found[0].deviation == pytest.approx((0.6 - 0.2) / 3)


def graph_of(relationships, **attributes):
    """Return a graph of one region: objects by name with their attributes, and how they relate."""
    names = list(attributes)
    objects = [
        Object(object_id=n, name=name, attributes=attributes[name], x=0, y=0, w=1, h=1)
        for n, name in enumerate(names)
    ]
    related = [
        Relationship(
            relationship_id=n,
            subject_id=names.index(subject),
            object_id=names.index(other),
            name=name,
        )
        for n, (subject, name, other) in enumerate(relationships)
    ]
    return {"1": Region(objects=objects, relationships=related, phrase="")}


@pytest.fixture
def kinds(tmp_path):
    """The comparison of two graphs, by kind of statement."""
    model = graph_of(
        [("crest", "above", "beak"), ("dusk", "on", "beak"), ("beak", "left of", "dusk")],
        crest=["red", "small"],
        beak=["yellow"],
        dusk=[],
    )
    human = graph_of(
        [("beak", "Under", "crest"), ("beak", "to the left of", "dusk")],
        beak=["yellow", "Short "],
        crest=["RED", " "],
        dusk=[],
    )
    for name, graph in (("model", model), ("human", human)):
        write_json(tmp_path / f"{name}.json", msgspec.to_builtins(graph))
    return compare_graphs(tmp_path / "model.json", tmp_path / "human.json")


def test_attributes_are_compared_with_their_object(kinds):
    one = kinds["attributes"]
    assert one.valid == ["(crest, red)", "(beak, yellow)"]
    assert one.confounded == ["(crest, small)"]
    assert one.missed == ["(beak, short)"]
    assert one.f1 == pytest.approx(2 / 3)


def test_relationships_are_compared_whichever_way_they_are_written(kinds):
    one = kinds["relationships"]
    assert one.valid == ["(crest, above, beak)", "(beak, left of, dusk)"]
    assert one.confounded == ["(dusk, on, beak)"]
    assert (one.precision, one.recall, one.f1) == (2 / 3, 1, 0.8)


def test_what_a_person_left_out_is_not_compared(tmp_path):
    model = graph_of([("crest", "above", "beak")], crest=["red"], beak=[])
    for name, graph in (("model", model), ("human", graph_of([], crest=[], beak=[]))):
        write_json(tmp_path / f"{name}.json", msgspec.to_builtins(graph))
    kinds = compare_graphs(tmp_path / "model.json", tmp_path / "human.json")
    assert list(kinds) == ["objects"]


def test_measures_of_a_kind_are_means_over_images(kinds):
    none = {kind: compare([], []) for kind in kinds}
    images = [ComparedImage("jay", kinds["objects"], deviations={}, kinds=kinds)]
    images.append(ComparedImage("jay", none["objects"], deviations={}, kinds=none))
    images.append(
        ComparedImage(
            "kite", compare(["a"], []), deviations={}, kinds={"attributes": compare(["a"], ["b"])}
        )
    )
    found = measures_of_kinds(images)["attributes"]
    assert (found.valid, found.confounded, found.missed) == (2, 2, 2)
    assert found.f1 == pytest.approx((2 / 3 + 0) / 2)  # the empty one has none


# ---------------------------------------------------------------- the command


@pytest.fixture
def folders(tmp_path):
    """Results of explain and annotations: three good pairs, and three that cannot be compared."""
    results = tmp_path / "out"
    human = tmp_path / "human"

    def write(folder, name, text):
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    for name, model, person in (
        ("jay/a", ["wing", "dusk"], ["wing"]),
        ("jay/b", ["dusk", "sand"], ["wing", "beak"]),
        ("kite/c", ["crest"], ["crest"]),
        ("jay/old", ["wing"], ["wing"]),  # a graph of an earlier run
    ):
        write(results / "graphs", name, json.dumps(graph_json(*model)))
        write(human, name, json.dumps(graph_json(*person)))
    write(results / "graphs", "jay/bad", json.dumps(graph_json("wing")))
    write(human, "jay/bad", '{"1": ')
    write(human, "jay/unknown", json.dumps(graph_json("wing")))
    made = ["jay/a", "jay/b", "jay/bad", "kite/c"]
    (results / "explain.json").write_text(json.dumps({"graphs": made}))
    return results, human


@pytest.fixture
def outcome(folders, run, capsys):
    """The results after compare, and what it wrote to stderr."""
    results, human = folders
    assert run("compare", "--human", human, "--results", results) == 1
    return results, capsys.readouterr().err


def test_compare_needs_a_finished_explain(folders, run, only_line):
    results, human = folders
    (results / "explain.json").unlink()
    assert run("compare", "--human", human, "--results", results) == 2
    assert "explain.json" in only_line()


def test_a_damaged_explain_json_is_named_with_its_field(folders, run, only_line):
    results, human = folders
    (results / "explain.json").write_text('{"graphs": ["jay/a", 7]}')
    assert run("compare", "--human", human, "--results", results) == 2
    line = only_line()
    assert "explain.json: cannot be read: " in line
    assert "$.graphs[1]" in line


def test_compare_names_what_cannot_be_compared(outcome):
    _, err = outcome
    assert "jay/bad.json: line 1, column 7" in err
    assert "failed: jay/unknown: " in err
    assert "Traceback" not in err


def test_compare_leaves_out_graphs_of_an_earlier_run(outcome):
    _, err = outcome
    assert "failed: jay/old: " in err
    assert "when it last ran" in err


def test_compare_writes_a_row_per_annotation(outcome):
    results, _ = outcome
    rows = {
        row["image"]: row
        for row in csv.DictReader((results / "compare.csv").read_text().splitlines())
    }
    assert len(rows) == 6
    assert rows["jay/bad"]["error"]
    assert float(rows["jay/a"]["f1"]) == pytest.approx(2 / 3)
    assert rows["jay/a"]["confounded"] == "dusk"
    assert rows["jay/b"]["hard"] == "True"


def test_compare_reports_on_classes(outcome):
    report = json.loads((outcome[0] / "compare.json").read_text())
    assert report["format"] == 1
    assert report["hard"] == ["jay/b"]
    assert report["classes"]["jay"]["images"] == 2
    assert report["classes"]["jay"]["precision"] == 0.25


def test_compare_reports_on_each_kind(outcome):
    report = json.loads((outcome[0] / "compare.json").read_text())
    assert report["kinds"]["objects"] == {
        "images": 3,
        "valid": 2,
        "confounded": 3,
        "missed": 2,
        "precision": pytest.approx((0.5 + 0 + 1) / 3),
        "recall": pytest.approx((1 + 0 + 1) / 3),
        "f1": pytest.approx((2 / 3 + 0 + 1) / 3),
    }
    assert report["kinds"]["attributes"]["f1"] is None
    assert report["classes"]["kite"]["kinds"]["objects"]["valid"] == 1


def test_an_older_compare_json_is_read(outcome):
    path = outcome[0] / "compare.json"
    older = json.loads(path.read_text())
    for name in ("kinds", "hard_rating_below", "hard_by_rating"):
        del older[name]
    for entry in older["classes"].values():
        del entry["kinds"]
    path.write_text(json.dumps(older))
    assert require_typed(path, CompareReport).classes["jay"].kinds == {}


def test_ratings_stand_beside_f1(folders, run, tmp_path, capsys):
    results, human = folders
    tasks = [
        {
            "task_id": f"{name}{number}",
            "status": "completed",
            "metadata": {"filename": f"{name}.jpg"},
            "response": {"annotations": {"Relevance Rating": rating}},
        }
        for name, ratings in {"a": "12", "c": "55"}.items()
        for number, rating in enumerate(ratings)
    ]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    words = ("--human", human, "--results", results, "--ratings", tmp_path / "tasks.json")
    assert run("compare", *words) == 1
    report = json.loads((results / "compare.json").read_text())
    assert report["hard_by_rating"] == ["jay/a"]
    assert report["hard"] == ["jay/b"]
    rows = csv.DictReader((results / "compare.csv").read_text().splitlines())
    assert {row["image"]: row["rating"] for row in rows if row["rating"]} == {
        "jay/a": "0.3",
        "kite/c": "1",
    }
    assert "2 of 6 images have ratings" in capsys.readouterr().err


def test_compare_reports_the_confounded_concepts(outcome):
    report = json.loads((outcome[0] / "compare.json").read_text())
    found = [(entry["class"], entry["concept"], entry["images"]) for entry in report["confounded"]]
    assert found == [("jay", "dusk", 2), ("jay", "sand", 1)]


def test_compare_draws_the_classes(outcome):
    assert Image.open(outcome[0] / "compare.png").width > 300
