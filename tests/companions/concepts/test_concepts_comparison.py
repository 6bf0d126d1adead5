"""The network's concepts against a person's, by hand and as a command."""

import csv
import json

import pytest
from concept_networks import graph_json
from PIL import Image

from companions.concepts.comparison import ComparedImage, compare, most_confounded
from companions.concepts.selection import write_prompts

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


def test_a_damaged_compare_json_costs_the_prompts_and_says_so(tmp_path, capsys):
    (tmp_path / "compare.json").write_text('{"format": 1, "classes": []}')
    write_prompts(tmp_path)
    assert not (tmp_path / "prompts.txt").exists()
    err = capsys.readouterr().err
    assert "compare.json: cannot be read: " in err
    assert "$.classes" in err


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


def test_compare_reports_the_confounded_concepts(outcome):
    report = json.loads((outcome[0] / "compare.json").read_text())
    found = [(entry["class"], entry["concept"], entry["images"]) for entry in report["confounded"]]
    assert found == [("jay", "dusk", 2), ("jay", "sand", 1)]


def test_compare_draws_the_classes(outcome):
    assert Image.open(outcome[0] / "compare.png").width > 300
