"""Score deviations of planted networks, worked out by hand, and of the bundled scenes."""

import numpy as np
import pytest
from lamps import LABELS, SCENE, lamps, probabilities

from birds import part_scenes
from birds.painter import (
    CLASSES,
    LABEL_NAMES,
    PARTS,
    bundled_scenes,
    consistent_classes,
    draw_scene,
    is_sufficient,
)
from companions.score_deviation.deviations import explain_regions, score_deviations
from scoring.image_files import load_image
from scoring.networks import load_network
from scoring.regions import Regions, load_label_map, read_names
from utils import PROJECT


@pytest.fixture(scope="module")
def birds():
    """The bundled network."""
    return load_network("birds")


# ---------------------------------------------------------------- planted networks


def test_deviations_are_probability_with_minus_without():
    numbers, deviations = score_deviations(lamps(), SCENE, LABELS, baseline="black")
    without = [probabilities(0, 1), probabilities(1, 0), probabilities(1, 1)]
    assert numbers == [1, 2, 5]
    assert deviations.dtype == np.float32
    assert np.allclose(deviations, probabilities(1, 1) - np.stack(without), atol=1e-6)


def test_support_is_positive_and_distraction_negative():
    _, deviations = score_deviations(lamps(), SCENE, LABELS, baseline="black")
    assert deviations[0, 0] > 0.1
    assert deviations[1, 0] < -0.5
    assert deviations[2, 0] == 0


def test_all_pixels_of_a_label_go_at_once():
    scattered = LABELS.copy()
    scattered[8:] = 1
    scattered[0, :4] = 2
    numbers, deviations = score_deviations(lamps(), SCENE, scattered, baseline="black")
    full = probabilities(1, 1)
    # Of the upper lamp's 32 pixels, four are label 2's.
    assert numbers == [1, 2]
    assert np.allclose(deviations[0], full - probabilities(4 / 32, 1), atol=1e-6)
    assert np.allclose(deviations[1], full - probabilities(28 / 32, 0), atol=1e-6)


def test_the_baseline_is_a_colour_before_normalisation():
    _, deviations = score_deviations(lamps(mean=(0.485, 0.456, 0.406)), SCENE, LABELS)
    white = 1 - 0.485
    mean = 124 / 255 - 0.485  # about 0, and not 0.485
    wanted = probabilities(white, white) - probabilities(mean, white)
    assert np.allclose(deviations[0], wanted, atol=1e-6)


def test_batches_change_nothing():
    network = lamps()
    _, together = score_deviations(network, SCENE, LABELS, baseline="blur")
    _, alone = score_deviations(network, SCENE, LABELS, baseline="blur", batch_size=1)
    assert np.allclose(together, alone, atol=1e-6)


def test_one_forward_pass_per_label_and_one_for_the_image():
    network = lamps()
    seen = []
    network.module.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    score_deviations(network, SCENE, LABELS)
    assert sum(seen) == 4


def test_explain_regions_names_what_it_found():
    regions = Regions.of(LABELS, {1: "upper", 2: "middle", 5: "lower"})
    found = explain_regions(lamps(), SCENE, regions, true_class=0, baseline="black")
    assert (found.category.name, found.predicted.name) == ("b", "b")
    assert (found.true.name, found.true.rank) == ("a", 3)
    assert [label.name for label in found.labels] == ["upper", "middle", "lower"]
    assert found.labels[1].top.name == "a"  # without the middle lamp, class a wins
    assert found.labels[1].true_deviation < -0.5


def test_explain_regions_explains_the_class_asked_for():
    found = explain_regions(lamps(), SCENE, Regions.of(LABELS), category=0, baseline="black")
    assert found.category.name == "a"
    assert found.probability == pytest.approx(probabilities(1, 1)[0], abs=1e-6)
    assert found.labels[0].deviation > 0.1


# ---------------------------------------------------------------- the bundled scenes


def needed_parts(category, drawn):
    """Return part -> the best probability without it, of the drawn parts that the class needs."""
    variants = dict(zip(PARTS, CLASSES[category][1]))
    needed = {}
    for part in drawn:
        left = [other for other in drawn if other != part]
        if not is_sufficient(category, left):
            needed[part] = 1 / len(consistent_classes({other: variants[other] for other in left}))
    return needed


@pytest.mark.parametrize(
    "category, drawn",
    [
        (0, ("beak", "feet")),
        (3, ("wing", "tail")),
        (8, ("beak", "crest", "wing")),
        (0, PARTS),
        (6, PARTS),
    ],
)
def test_parts_that_the_class_needs_support_it(birds, category, drawn):
    values = []
    for seed in range(4):
        scene = draw_scene(CLASSES[category][1], [77, seed], drawn)
        numbers, deviations = score_deviations(birds, scene.image, scene.labels)
        of_class = dict(zip(numbers, deviations[:, category]))
        values.append([of_class.get(n, 0.0) for n in range(1, len(LABEL_NAMES) + 1)])
    mean = dict(zip(LABEL_NAMES, np.mean(values, 0)))
    needed = needed_parts(category, drawn)
    assert bool(needed) == (drawn != PARTS)
    for part, probability in needed.items():
        assert mean[part] > 0.5 * (1 - probability), (part, mean)
    for label in set(LABEL_NAMES) - set(needed):
        assert abs(mean[label]) < 0.1, (label, mean)


@pytest.mark.parametrize(
    "category, number, odd", [(1, 5, "crest"), (8, 2, "crest"), (9, 2, "feet"), (11, 2, "tail")]
)
def test_a_part_of_another_class_distracts(birds, category, number, odd):
    scene = part_scenes.scene_of(category, "odd", [5, category, number])
    own = CLASSES[category][1]
    assert [p for p, v, w in zip(PARTS, scene.variants, own) if v != w] == [odd]
    numbers, deviations = score_deviations(birds, scene.image, scene.labels)
    values = dict(zip(numbers, deviations[:, category]))
    label = PARTS.index(odd) + 1
    assert min(values, key=values.get) == label
    assert values[label] < -0.3


def test_bundled_part_maps_are_those_of_the_bundled_scenes():
    for name, scene in bundled_scenes():
        stored = load_label_map(PROJECT / f"birds/part_maps/{name}.png")
        image = load_image(PROJECT / f"Images/{name}.png", (224, 224))
        assert np.array_equal(stored, scene.labels)
        assert np.array_equal(image, scene.image)


def test_bundled_part_names_are_those_of_the_label_maps():
    names = read_names(PROJECT / "birds/part_names.txt")
    assert tuple(names.values())[1:] == LABEL_NAMES
