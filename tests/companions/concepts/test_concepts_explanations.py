"""The concepts of one image, as a function; those of a folder, as a command."""

import numpy as np
import pytest
from concept_networks import TwoHalves, network_of
from PIL import Image

from companions.concepts import explanations
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


# ---------------------------------------------------------------- a folder of images


@pytest.fixture
def explain_pool(pool, run):
    """A function: explains the pool by label maps of two halves; returns the exit status."""
    halves = Image.fromarray(np.repeat([[1] * 32 + [2] * 32], 64, 0).astype(np.uint8))
    for path in pool.images.rglob("*.png"):
        mask = pool.results.parent / "masks" / path.relative_to(pool.images)
        mask.parent.mkdir(parents=True, exist_ok=True)
        halves.save(mask)
    names = pool.results.parent / "concepts.txt"
    names.write_text("bird\ndusk\n")

    def explain_images():
        masks = pool.results.parent / "masks"
        regions = ("--regions", masks, "--region-names", names)
        return run("explain", "--images", pool.images, *regions, *pool.model)

    return explain_images


@pytest.fixture
def ctrl_c(monkeypatch):
    """Ctrl-C at the second image."""
    original = explanations.explain_concepts
    done = []

    def interrupt(*arguments, **options):
        if done:
            raise KeyboardInterrupt
        done.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr(explanations, "explain_concepts", interrupt)


def test_a_failed_image_is_named_and_the_others_done(pool, explain_pool, capsys):
    (pool.images / "harbour_kite/a.png").write_bytes(b"no image")
    assert explain_pool() == 1
    assert "failed: harbour_kite/a.png: cannot read it" in capsys.readouterr().err
    assert len(list((pool.results / "deviations").rglob("*.json"))) == 2


def test_ctrl_c_keeps_the_finished_records(pool, explain_pool, ctrl_c, capsys):
    assert explain_pool() == 130
    assert "out, the same command goes on from there" in capsys.readouterr().err
    assert len(list((pool.results / "deviations").rglob("*.json"))) == 1


def test_an_unfinished_run_leaves_nothing_to_compare(pool, explain_pool, ctrl_c):
    explain_pool()
    assert not (pool.results / "explain.json").exists()
