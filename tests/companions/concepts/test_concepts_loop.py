"""The whole loop in a small world: the planted cue is found, and unlearned."""

import csv
import shlex

import numpy as np
import pytest

import companions.concepts.demo as demo_module
import companions.concepts.explanations as explanations_module
import companions.concepts.improve as improve_module
import companions.concepts.measurement as measurement_module
import companions.concepts.selection as selection_module
from birds.cue_world import CONCEPTS, CUE, CUED, NAMES, at_dusk, cue_scene
from companions.concepts.demo import Demo
from companions.concepts.graphs import read_graph

# ---------------------------------------------------------------- the world


@pytest.mark.parametrize("category", range(len(NAMES)))
def test_the_cue_is_as_frequent_as_planned(category):
    rng = np.random.default_rng(category)
    share = np.mean([at_dusk(category, rng) for _ in range(4000)])
    planned = 0.95 if NAMES[category] == CUED else 0.05 / 3
    assert share == pytest.approx(planned, abs=0.015)


@pytest.mark.parametrize("cue", [True, False])
def test_a_scene_shows_the_cue_or_not(cue):
    scene, labels = cue_scene(2, [1, 1], cue)
    background = 1 + CONCEPTS.index(scene.background)
    assert (scene.background == CUE) == cue
    assert set(np.unique(labels)) == {*range(1, 7), background}


def test_a_smaller_demo_has_less_of_everything():
    small = Demo().scaled(10)
    assert {name: split.scenes for name, split in small.splits.items()} == {
        "train": 160,
        "pool": 120,
        "explain": 16,
        "test": 40,
        "swapped": 40,
    }
    assert small.plant.steps == 100
    assert small.per_class == 5
    assert Demo().scaled(100) == Demo()


def test_the_demo_logs_commands_that_a_user_can_type(tmp_path):
    lines = [shlex.join(words) for words in Demo().commands(tmp_path)]
    assert [line.split()[0] for line in lines] == [
        "explain",
        "compare",
        "select",
        "prompts",
        "generate",
        "improve",
    ]
    assert all(line.endswith(f"--results {tmp_path}") for line in lines)


# ---------------------------------------------------------------- explain and compare


def test_the_cue_is_the_most_confounded_concept(loop):
    worst = loop.json("compare.json")["confounded"][0]
    assert (worst["class"], worst["concept"]) == (CUED, CUE)
    assert worst["deviation"] > 0.2
    assert worst["images"] >= 0.8 * worst["of"]


def test_every_scene_has_a_graph_and_a_figure(loop):
    classes = loop.json("explain.json")["classes"]
    assert sum(entry["images"] for entry in classes.values()) == 16
    graphs = list((loop.results / "graphs").rglob("*.json"))
    figures = list((loop.results / "numbered").rglob("*.png"))
    assert len(graphs) == len(figures) == 16
    for path in graphs:
        read_graph(path)


def test_ours_names_a_persons_concepts_only(loop):
    prompts = (loop.results / "prompts_ours.csv").read_text().splitlines()
    assert f"{CUED},a {CUED} with a crest" in prompts
    assert not any(CUE in line for line in prompts)


# ---------------------------------------------------------------- select and improve


@pytest.mark.parametrize("strategy", ["random", "similarity", "active", "ours"])
def test_every_set_has_as_many_images(loop, strategy):
    rows = list(
        csv.DictReader((loop.results / f"selection_{strategy}.csv").read_text().splitlines())
    )
    assert len(rows) == 120


@pytest.fixture
def before(loop):
    """The measurements of the network as it was planted."""
    return next(row for row in loop.json("improve.json")["rows"] if row["network"] == "before")


@pytest.fixture(params=["active", "ours"])
def after(loop, request):
    """The measurements of the network after training on a selected or a generated set."""
    rows = loop.json("improve.json")["rows"]
    return next(row for row in rows if row["network"] == request.param)


# The thresholds have room for any processor and thread count: their rounding changes the course of
# the training as another seed does. Over seeds 0 to 3, and over instruction sets, the accuracy on
# swapped scenes rose by 0.36 to 0.61, and the deviation of the cue fell by 0.66 to 0.89. Without an
# effect of training, both are 0.


def test_the_planted_network_depends_on_the_cue(before):
    assert before["test"]["all"] > 0.8
    assert before["swapped"]["classes"][CUED] < 0.5
    assert before["need"]["deviation"] > 0.3


def test_training_keeps_the_accuracy(after):
    assert after["test"]["all"] > 0.7


def test_training_takes_the_cue_from_predictions(before, after):
    assert after["swapped"]["all"] > before["swapped"]["all"] + 0.15


def test_training_takes_the_need_of_the_cue_away(before, after):
    assert after["need"]["deviation"] < before["need"]["deviation"] - 0.35


def test_the_improvement_has_a_table_and_a_figure(loop):
    assert len(list(csv.DictReader((loop.results / "improve.csv").read_text().splitlines()))) == 3
    assert (loop.results / "improve.png").is_file()


def test_the_loop_does_nothing_twice(loop, monkeypatch):
    def never(*_, **__):
        raise AssertionError("done again")

    for module, name in (
        (demo_module, "cue_scene"),
        (demo_module, "fine_tune"),
        (explanations_module, "probabilities_without"),
        (selection_module, "network_outputs"),
        (improve_module, "fine_tune"),
        (measurement_module, "need_of"),
    ):
        monkeypatch.setattr(module, name, never)
    assert loop.run() == 0
