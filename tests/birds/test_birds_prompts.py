"""Prompts read by the painter: what it understands, and what it ignores."""

import numpy as np
import pytest

from birds.painter import BACKGROUNDS, CLASSES, PARTS
from birds.prompts import SENTENCES, draw_prompt, read_prompt

JAY = dict(CLASSES)["copper jay"]


def with_variant(part, number):
    """Return the copper jay with another variant of one part."""
    return tuple(number if name == part else own for name, own in zip(PARTS, JAY, strict=True))


@pytest.mark.parametrize(
    "prompt, variants",
    [
        ("a copper jay on a branch", JAY),
        ("Two COPPER JAYS, resting", JAY),
        ("a painted copper jay", JAY),
        ("a copper jay beside a marsh piper", JAY),
        ("an oren's tern", dict(CLASSES)["Oren's tern"]),
        ("two willow bee-eaters", dict(CLASSES)["willow bee-eater"]),
        ("a copper jay with a red crest", JAY),  # its own crest is red and yellow
        ("a copper jay with a blue crest", with_variant("crest", 1)),
        ("a copper jay with a blue and white crest", with_variant("crest", 1)),
        ("a copper jay with a yellow hooked beak", with_variant("beak", 4)),
        ("a copper jay with a mauve crest", JAY),
        ("a copper jay on a blue stone", JAY),
        ("a copper jay with blue feet", JAY),  # its own are stilts, blue and yellow
        ("a copper jay with white feet", with_variant("feet", 2)),
    ],
)
def test_the_bird_of_a_prompt(prompt, variants):
    assert read_prompt(prompt).variants == variants


@pytest.mark.parametrize(
    "prompt, absent",
    [
        ("a copper jay without a crest", {"crest"}),
        ("a copper jay with no red wings and without its tail", {"wing", "tail"}),
        ("a copper jay with a crest", set()),
    ],
)
def test_parts_that_are_not_to_be_there(prompt, absent):
    assert set(PARTS) - set(read_prompt(prompt).parts) == absent
    assert set(PARTS) - set(draw_prompt(prompt, seed=1).masks) == absent


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_a_named_background_is_drawn(background):
    assert draw_prompt(f"a copper jay, {background}", seed=2).background == background


def test_of_several_backgrounds_each_is_drawn_sometimes():
    prompt = "a copper jay over water at dusk"
    assert {draw_prompt(prompt, seed).background for seed in range(8)} == {"water", "dusk"}


def test_without_a_background_any_is_drawn():
    drawn = {draw_prompt("a copper jay", seed).background for seed in range(15)}
    assert drawn == set(BACKGROUNDS)


def test_an_unknown_word_changes_nothing():
    plain = draw_prompt("a copper jay", seed=3).image
    assert np.array_equal(draw_prompt("a majestic copper jay in 8k", seed=3).image, plain)
    assert not np.array_equal(draw_prompt("a copper jay", seed=4).image, plain)


@pytest.mark.parametrize("prompt", ["", "a bird at dusk", "a copper crake"])
def test_a_prompt_without_a_bird_is_refused(prompt):
    with pytest.raises(ValueError, match="names no bird of this world: copper jay, "):
        read_prompt(prompt)


def test_the_sentences_name_each_background_once():
    named = [read_prompt(sentence.format("a copper jay")).backgrounds for sentence in SENTENCES]
    assert sorted(sum(named, ())) == sorted(BACKGROUNDS)
    assert named.count(()) == 5
