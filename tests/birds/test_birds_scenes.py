"""Drawn scenes: repeatable, and their masks, boxes and label maps hold what is drawn."""

import hashlib

import numpy as np
import pytest

from birds.between import differing, random_scene
from birds.painter import (
    BACKGROUND,
    BACKGROUNDS,
    BODY,
    CLASSES,
    PARTS,
    VARIANTS,
    bundled_scenes,
    draw_between,
    draw_scene,
)
from birds.part_scenes import scene_of
from birds.shapes import DRAWINGS
from scoring.image_files import load_image
from scoring.regions import load_label_map
from utils import PROJECT

SEEDS = range(6)


def scene_of_seed(seed):
    return draw_scene(CLASSES[seed][1], seed)


def changed(a, b):
    """Return the largest difference of two images at each pixel."""
    return np.abs(a.image.astype(int) - b.image.astype(int)).max(2)


# ---------------------------------------------------------------- the same seed, the same scene


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_draws_the_same_scene_again(seed):
    scene = scene_of_seed(seed)
    assert np.array_equal(scene.image, scene_of_seed(seed).image)
    assert not np.array_equal(scene.image, draw_scene(CLASSES[seed][1], seed + 100).image)


def test_the_bundled_scenes_are_those_in_images():
    scenes = bundled_scenes()
    assert len(scenes) == len(CLASSES)
    for stem, scene in scenes:
        assert np.array_equal(load_image(PROJECT / f"Images/{stem}.png", (224, 224)), scene.image)


def test_the_bundled_label_maps_are_those_in_part_maps():
    for stem, scene in bundled_scenes():
        label_map = load_label_map(PROJECT / f"birds/part_maps/{stem}.png")
        assert np.array_equal(label_map, scene.labels)


# Recorded when the shapes moved to a file of their own: label maps, which are whole numbers.
RECORDED = "575106e2df1ba2587a666443e35d2fa8a2c989e27ebad6ad7cc2f532eec668a1"


def test_label_maps_are_as_recorded():
    digest = hashlib.sha256()
    for category, (_, variants) in enumerate(CLASSES):
        digest.update(draw_scene(variants, [category, 3]).labels.tobytes())
        digest.update(scene_of(category, "few", [1, category]).labels.tobytes())
        digest.update(scene_of(category, "odd", [1, category]).labels.tobytes())
        other = CLASSES[(category + 1) % len(CLASSES)][1]
        digest.update(draw_between(variants, other, [category, 3], 0.3).labels.tobytes())
    assert digest.hexdigest() == RECORDED


# ---------------------------------------------------------------- what a scene says of itself


@pytest.mark.parametrize("seed", SEEDS)
def test_a_scene_is_an_image_of_all_parts(seed):
    scene = scene_of_seed(seed)
    assert scene.image.shape == (224, 224, 3)
    assert scene.image.dtype == np.uint8
    assert set(scene.boxes) == set(scene.masks) == set(PARTS)


@pytest.mark.parametrize("seed", SEEDS)
def test_boxes_hold_their_parts_tightly(seed):
    scene = scene_of_seed(seed)
    for part, (x0, y0, x1, y1) in scene.boxes.items():
        mask = scene.masks[part]
        assert mask.sum() > 150
        assert mask[y0 : y1 + 1, x0 : x1 + 1].sum() == mask.sum()
        assert mask[y0].any()
        assert mask[:, x1].any()


def test_label_maps_number_the_parts():
    scene = scene_of_seed(0)
    for number, part in enumerate(PARTS, 1):
        assert np.array_equal(scene.labels == number, scene.masks[part])
    assert {BODY, BACKGROUND} <= set(np.unique(scene.labels))


@pytest.mark.parametrize("part", PARTS)
def test_a_part_left_out_changes_only_its_surroundings(part):
    code = CLASSES[2][1]
    whole = draw_scene(code, 3)
    without = draw_scene(code, 3, [other for other in PARTS if other != part])
    assert part not in without.boxes
    assert set(without.masks) == set(PARTS) - {part}
    assert len(np.unique(without.image)) > 50
    assert not np.array_equal(whole.image, without.image)


def test_every_variant_has_a_drawing():
    drawn = {(part, shape) for part, variants in VARIANTS.items() for shape, _, _ in variants}
    assert drawn == set(DRAWINGS)


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_a_background_can_be_chosen(background):
    assert draw_scene(CLASSES[0][1], 5, background=background).background == background


# ---------------------------------------------------------------- between two birds


def test_between_two_birds_only_their_parts_change():
    a = 5
    b = 1
    first, second = (draw_between(CLASSES[a][1], CLASSES[b][1], 3, weight) for weight in (0, 1))
    parts = np.any([first.masks[part] for part in differing(a, b)], axis=0)
    assert changed(first, second)[parts].mean() > 10 * changed(first, second)[~parts].mean()


def test_the_class_of_a_random_scene_is_repeatable():
    category, scene = random_scene(4)
    again, same = random_scene(4)
    assert category == again
    assert np.array_equal(scene.image, same.image)
