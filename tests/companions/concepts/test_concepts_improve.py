"""The improve command: selections, resuming, and what fails."""

import csv
import json
import shutil
from dataclasses import asdict

import pytest
from PIL import Image

import companions.concepts.improve as improve_module
from companions.concepts.fine_tuning import Recipe
from concept_debug import Improve, recipe_of

KITE_A = "harbour_kite/a.png,harbour kite"
KITE_B = "harbour_kite/b.png,harbour kite"
CRAKE = "painted crake/c.png,painted crake"


def networks_in_the_table(pool):
    return [
        row["network"]
        for row in csv.DictReader((pool.results / "improve.csv").read_text().splitlines())
    ]


@pytest.fixture
def trainings(monkeypatch):
    """A list that gets an entry for each training."""
    found = []
    real = improve_module.fine_tune

    def counted(*words, **options):
        found.append(1)
        return real(*words, **options)

    monkeypatch.setattr(improve_module, "fine_tune", counted)
    return found


def test_the_commands_defaults_are_the_recipes(tmp_path):
    settings = Improve(images=tmp_path, selection=(tmp_path,), test=tmp_path)
    assert asdict(recipe_of(settings)) == asdict(Recipe())


# ---------------------------------------------------------------- without label maps


@pytest.fixture
def improved(pool, run):
    """The pool after training on two images, with every way to vary images."""
    options = {"steps": 4, "mixup": 0.8, "cutmix": 1, "erase": 0, "weight-decay": 0, "hide": 0}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    selection = pool.csv("mine", KITE_A, CRAKE)
    assert run(*pool.improve(*words, selection=[selection])) == 0
    return pool


def test_a_selection_is_trained_on_and_measured(improved):
    rows = json.loads((improved.results / "improve.json").read_text())["rows"]
    assert [row["network"] for row in rows] == ["before", "mine"]
    assert rows[1]["images"] == 2
    assert rows[1]["test"]["images"] == 3
    assert rows[1]["need"] is None


def test_the_trained_weights_are_for_the_weights_option(improved, run):
    weights = improved.results / "improved/mine.safetensors"
    words = ("select", "--images", improved.images, "--weights", weights)
    assert run(*words, *improved.model) == 0


# ---------------------------------------------------------------- nothing twice


@pytest.fixture
def words(pool):
    """An improve command with two selections, of two steps each."""
    selections = [pool.csv("a", KITE_A), pool.csv("b", KITE_B)]
    return pool.improve("--steps", 2, selection=selections)


def test_what_is_trained_is_not_trained_again(words, run, trainings):
    for _ in range(2):
        assert run(*words) == 0
    assert len(trainings) == 2


def test_an_interrupted_run_loses_no_earlier_row(words, run, trainings, monkeypatch):
    assert run(*words) == 0

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(improve_module, "fine_tune", interrupt)
        assert run(*words, "--overwrite") == 130  # after the row of the network as it is
    assert run(*words) == 0
    assert len(trainings) == 2


def test_the_table_has_the_rows_of_this_run(pool, words, run, trainings):
    assert run(*words) == 0
    only_b = pool.improve("--steps", 2, selection=[pool.results.parent / "b.csv"])
    assert run(*only_b) == 0
    assert networks_in_the_table(pool) == ["before", "b"]
    assert run(*words) == 0
    assert len(trainings) == 2


def test_other_images_of_the_same_name_are_trained_on(pool, words, run, trainings, tmp_path):
    assert run(*words) == 0
    others = tmp_path / "others"
    shutil.copytree(pool.images, others)
    Image.new("RGB", (64, 64)).save(others / "harbour_kite/b.png")
    place = words.index("--images") + 1
    assert run(*words[:place], others, *words[place + 1 :]) == 0
    assert len(trainings) == 3


# ---------------------------------------------------------------- what fails


def test_a_damaged_image_is_named_by_each_run(pool, run, capsys, monkeypatch):
    (pool.images / "harbour_kite/b.png").write_bytes(b"damaged")
    words = pool.improve("--steps", 2, selection=[pool.csv("s", KITE_A, KITE_B)])
    assert run(*words) == 1
    monkeypatch.setattr(improve_module, "fine_tune", None)  # nothing is trained twice
    capsys.readouterr()
    assert run(*words) == 1
    assert capsys.readouterr().err.count("failed: harbour_kite/b.png: cannot read it") == 1


def test_a_selection_that_fails_leaves_the_others(pool, run, capsys):
    (pool.images / "harbour_kite/b.png").write_bytes(b"damaged")
    selections = [pool.csv("b", KITE_B), pool.csv("a", KITE_A)]
    assert run(*pool.improve("--steps", 2, selection=selections)) == 1
    err = capsys.readouterr().err
    assert "b.csv: none of its 1 images can be read" in err
    assert "Traceback" not in err
    assert networks_in_the_table(pool) == ["before", "a"]
    assert (pool.results / "improve.png").is_file()


@pytest.mark.parametrize(
    "text, problem",
    [
        ("image\na.png\n", "line 2 has no class"),
        ("image,class\nharbour_kite/z.png,harbour kite\n", "line 2: no harbour_kite/z.png"),
        ("image,class\nharbour_kite/a.png,owl\n", "line 2: class owl"),
        ("image,class\n", "no row"),
        (None, "No such file"),
    ],
)
def test_an_unusable_selection_is_one_line(pool, tmp_path, run, only_line, text, problem):
    path = tmp_path / "s.csv"
    if text is not None:
        path.write_text(text)
    assert run(*pool.improve(selection=[path])) == 2
    line = only_line()
    assert "s.csv" in line
    assert problem in line


def test_two_selections_of_one_name_are_one_line(pool, run, only_line):
    pair = [pool.csv("s", KITE_A), pool.csv("selection_s", KITE_A)]
    assert run(*pool.improve(selection=pair)) == 2
    assert "two of them are named s" in only_line()
