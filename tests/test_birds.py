"""The bundled world: what is true of its classes, and that scenes show it."""

from itertools import combinations

import numpy as np
import pytest

from birds.painter import (
    CLASSES,
    PARTS,
    VARIANTS,
    consistent_classes,
    draw_scene,
    is_sufficient,
    minimal_sufficient_parts,
)


def test_classes_are_distinct_and_use_every_variant():
    codes = [variants for _, variants in CLASSES]
    assert len(set(codes)) == len(codes) >= 10
    for place, part in enumerate(PARTS):
        assert {code[place] for code in codes} == set(range(len(VARIANTS[part])))


def test_minimal_sufficient_parts_against_brute_force():
    sizes = set()
    for category, (_, code) in enumerate(CLASSES):

        def sufficient(places, code=code):
            return sum(all(other[p] == code[p] for p in places) for _, other in CLASSES) == 1

        everything = [set(s) for k in range(6) for s in combinations(range(5), k) if sufficient(s)]
        minimal = {frozenset(s) for s in everything if not any(t < s for t in everything)}
        found = minimal_sufficient_parts(category)
        assert {frozenset(PARTS.index(p) for p in parts) for parts in found} == minimal and len(
            found
        ) == len(minimal) >= 2
        sizes |= {len(parts) for parts in found}
    assert sizes == {1, 2, 3}


def test_sufficiency_and_consistency():
    assert (
        is_sufficient(0, ("crest",))
        and not is_sufficient(0, ("beak",))
        and not is_sufficient(0, ())
    )
    assert (
        consistent_classes({}) == list(range(len(CLASSES)))
        and consistent_classes({"beak": 0, "crest": 0}) == []
    )


def test_a_scene_is_drawn_again_by_its_seed_and_its_boxes_hold_its_parts():
    for seed in range(6):
        code = CLASSES[seed][1]
        scene, again, other = (
            draw_scene(code, seed),
            draw_scene(code, seed),
            draw_scene(code, seed + 100),
        )
        assert np.array_equal(scene.image, again.image) and not np.array_equal(
            scene.image, other.image
        )
        assert (
            scene.image.shape == (224, 224, 3)
            and scene.image.dtype == np.uint8
            and set(scene.boxes) == set(PARTS)
        )
        for part, (x0, y0, x1, y1) in scene.boxes.items():
            mask = scene.masks[part]
            assert (
                mask.sum() > 150
                and mask[y0 : y1 + 1, x0 : x1 + 1].sum() == mask.sum()
                and mask[y0].any()
                and mask[:, x1].any()
            )


@pytest.mark.parametrize("part", PARTS)
def test_a_part_left_out_changes_only_its_surroundings(part):
    code = CLASSES[2][1]
    whole, without = draw_scene(code, 3), draw_scene(code, 3, [p for p in PARTS if p != part])
    assert part not in without.boxes and set(without.masks) == set(PARTS) - {part}
    assert len(np.unique(without.image)) > 50 and not np.array_equal(whole.image, without.image)
