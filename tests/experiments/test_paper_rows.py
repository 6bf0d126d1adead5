"""What the tables need of one measurement."""

import pytest

from experiments.rows import Rule, ground_truth_agreement, jaccard

PARTS = ("beak", "crest", "wing", "tail", "feet")
LENIENT = Rule(shown=0.05, lenient=True)


def agreement_of(image):
    """Return the agreement of two sets with boxes along the diagonal, leniently."""
    boxes = {part: (32 * i, 32 * i, 32 * i + 40, 32 * i + 40) for i, part in enumerate(PARTS)}
    agreements = ground_truth_agreement(
        [(0, 1, 8), (16, 17, 24, 25)],
        boxes,
        image=image,
        category=0,
        grid=(7, 7),
        size=(224, 224),
        seed=0,
    )
    return agreements[LENIENT]


def test_random_sets_differ_between_images():
    assert agreement_of("a").random != agreement_of("b").random


def test_random_sets_of_an_image_are_seeded():
    assert agreement_of("a").random == agreement_of("a").random


@pytest.mark.parametrize(
    ("a", "b", "index"),
    [({1, 2}, {2, 3}, 1 / 3), (set(), set(), 1), ({1}, set(), 0)],
)
def test_jaccard_index(a, b, index):
    assert jaccard(a, b) == pytest.approx(index)
