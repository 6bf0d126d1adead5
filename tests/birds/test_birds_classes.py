"""The bundled world's classes: which sets of parts single one out."""

from itertools import combinations

import pytest

from birds.painter import (
    CLASSES,
    PARTS,
    VARIANTS,
    consistent_classes,
    is_sufficient,
    minimal_sufficient_parts,
)

CODES = [variants for _, variants in CLASSES]


def sufficient_by_hand(category, places):
    """Return whether no other class has the same variants at these places."""
    code = CODES[category]
    return sum(all(other[p] == code[p] for p in places) for other in CODES) == 1


def test_classes_are_distinct():
    assert len(set(CODES)) == len(CODES) >= 10


@pytest.mark.parametrize("part", PARTS)
def test_every_variant_is_some_classs(part):
    used = {code[PARTS.index(part)] for code in CODES}
    assert used == set(range(len(VARIANTS[part])))


@pytest.mark.parametrize("category", range(len(CLASSES)))
def test_minimal_sufficient_parts_by_brute_force(category):
    subsets = [set(places) for size in range(6) for places in combinations(range(5), size)]
    sufficient = [places for places in subsets if sufficient_by_hand(category, places)]
    minimal = {
        frozenset(places) for places in sufficient if not any(less < places for less in sufficient)
    }
    found = minimal_sufficient_parts(category)
    assert {frozenset(PARTS.index(part) for part in parts) for parts in found} == minimal
    assert len(found) == len(minimal) >= 2


def test_minimal_sufficient_sets_have_one_to_three_parts():
    sets = [
        parts for category in range(len(CLASSES)) for parts in minimal_sufficient_parts(category)
    ]
    assert {len(parts) for parts in sets} == {1, 2, 3}


def test_sufficiency_by_hand():
    assert is_sufficient(0, ("crest",))
    assert not is_sufficient(0, ("beak",))
    assert not is_sufficient(0, ())


def test_consistent_classes_by_hand():
    assert consistent_classes({}) == list(range(len(CLASSES)))
    assert consistent_classes({"beak": 0, "crest": 0}) == []
