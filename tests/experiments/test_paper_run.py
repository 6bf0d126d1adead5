"""reproduce_paper.py as a user runs it, on a planted network whose explanations are known."""

import csv
import json

import pytest
from planted import PLANTED

import reproduce_paper
from experiments.part_ground_truth import box_shares, precision_and_recall

PATCHES = 16
FIGURES = (
    "small_explanations",
    "sizes",
    "cost",
    "patch_use",
    "insertion_deletion",
    "simulated_study",
)


def numbers(row, *columns):
    """Return these cells as numbers."""
    return [float(row[column]) for column in columns]


def test_images_are_counted_and_checked_against_labels(finished_paper):
    (row,) = finished_paper.table("images")
    assert numbers(row, "images", "with a label", "with an MSE") == [3, 3, 1]
    assert float(row["named rightly"]) == pytest.approx(2 / 3)
    assert float(row["confidence"]) == pytest.approx(0.95, abs=1e-3)


@pytest.mark.parametrize("search", ["CombS", "SIS"])
def test_all_planted_explanations_are_found(finished_paper, search):
    row = finished_paper.by_search("number_of_explanations")[search]
    columns = ("MSEs", "overlap 0", "overlap 1", "overlap 2")  # they are disjoint
    assert numbers(row, *columns) == [len(PLANTED)] * 4


def test_sizes_are_those_of_the_planted_explanations(finished_paper):
    row = finished_paper.by_search("sizes")["CombS"]
    columns = ("smallest", "mean size", "1", "2", "3", "4")
    assert numbers(row, *columns) == pytest.approx([1, 2, 1 / 3, 1 / 3, 1 / 3, 0])


@pytest.mark.parametrize("search", ["BeamS-3", "BeamS-15", "CombS"])
def test_every_search_finds_the_single_patch(finished_paper, search):
    assert numbers(finished_paper.by_search("small_explanations")[search], "k = 1") == [1]


def test_no_k_is_larger_than_the_grid(finished_paper):
    assert "k = 20" not in finished_paper.by_search("small_explanations")["CombS"]


def test_combs_finds_every_small_explanation(finished_paper):
    row = finished_paper.by_search("recall_of_small")["CombS"]
    assert numbers(row, "images", "such MSEs an image", "recall") == [2, 3, 1]


def test_a_wider_beam_finds_no_fewer(finished_paper):
    recall = finished_paper.by_search("recall_of_small")
    narrow = float(recall["BeamS-3"]["recall"])
    wide = float(recall["BeamS-15"]["recall"])
    assert 1 / 3 <= narrow <= wide <= 1


def test_combs_scores_every_combination(finished_paper):
    assert float(finished_paper.by_search("cost")["CombS"]["scored"]) >= 1820  # 4 of 16


def test_exhaustive_search_scores_every_small_set(finished_paper):
    singles = PATCHES
    pairs = 15 * 14 // 2  # of the patches that are not sufficient alone
    triples = 15 * 14 * 13 // 6 - 13  # less those that contain the planted pair
    full_and_none = 2
    row = finished_paper.by_search("cost")["exhaustive, size <= 3"]
    assert float(row["scored"]) == full_and_none + singles + pairs + triples


def test_choices_are_compared_with_as_it_is(finished_paper):
    choices = finished_paper.by_search("choices")
    assert float(choices["as it is"]["agreement of roots"]) == 1
    assert {row["images"] for row in choices.values()} == {"2"}


def test_without_a_convolution_there_is_no_grad_cam(finished_paper):
    assert "Grad-CAM" not in finished_paper.by_search("choices")


@pytest.mark.parametrize("kind", ["png", "pdf"])
@pytest.mark.parametrize("figure", FIGURES)
def test_figures_are_drawn(finished_paper, figure, kind):
    assert (finished_paper.out / f"figures/{figure}.{kind}").stat().st_size > 3000


def test_without_known_parts_there_is_no_ground_truth(finished_paper):
    assert not (finished_paper.out / "figures/truth.png").exists()
    assert not (finished_paper.out / "tables/truth.csv").exists()


def test_tables_are_written_for_reading_and_for_latex(finished_paper):
    assert "| BeamS-3 | 3 |" in (finished_paper.out / "tables.md").read_text()
    assert r"\begin{tabular}" in (finished_paper.out / "tables/cost.tex").read_text()


# ---------------------------------------------------------------- the bundled world


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Return the results of the main job on one drawn scene."""
    out = tmp_path_factory.mktemp("scene")
    options = ["--scenes", "1", "--conditions", "beam3", "--device", "cpu"]
    assert reproduce_paper.main([*options, "--results", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def scene_measurement(scene):
    """Return the measurement of that scene, as JSON."""
    return json.loads((scene / "measurements/scene_00000/beam3.json").read_text())


def test_a_scene_brings_the_boxes_of_its_parts(scene_measurement):
    assert set(scene_measurement["boxes"]) == {"beak", "crest", "wing", "tail", "feet"}


def test_a_scene_brings_its_label(scene_measurement):
    assert scene_measurement["label"] == scene_measurement["category"] == 0


def test_a_scene_is_compared_with_the_ground_truth(scene, scene_measurement):
    shares = box_shares(scene_measurement["boxes"], (7, 7), (224, 224))
    mses = [tuple(root["patches"]) for root in scene_measurement["finding"]["roots"]]
    right = precision_and_recall(mses, shares, category=0)
    with open(scene / "tables/truth.csv", newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["search"] == "BeamS-3"
    assert numbers(row, "precision", "recall") == pytest.approx(list(right))


def test_the_ground_truth_has_a_figure(scene):
    assert (scene / "figures/truth.png").exists()
