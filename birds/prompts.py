"""The painter as a text-to-image generator: a prompt in, a scene out.

    draw_prompt("a copper jay with a red crest at dusk", seed=7).background     # "dusk"
    read_prompt("a copper jay on a branch").background                          # None: any

It reads the birds' names, the parts with colours and shapes before them, parts that are not to be
there, and the backgrounds. Other words are ignored, as a text-to-image model ignores what it does
not know. SENTENCES stands for a language model where there is none.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from birds.painter import BACKGROUNDS, CLASSES, PARTS, VARIANTS, Scene, draw_scene

# What a person may write about a bird, {} being the bird. Each background is named once; five of
# the sentences name none.
SENTENCES = (
    "{} on a branch",
    "{} at dusk",
    "a close-up photo of {}",
    "{} in a meadow",
    "{} by the water",
    "{} looking for seeds",
    "{} standing on sand",
    "{} against a clear sky",
    "{} singing in the morning",
    "{} on a stone wall",
    "{} hidden in dense foliage",
    "{} resting after a long flight",
)
PART_WORDS = {
    "beak": "beak",
    "bill": "beak",
    "crest": "crest",
    "wing": "wing",
    "tail": "tail",
    "feet": "feet",
    "foot": "feet",
    "leg": "feet",
}
NEGATIONS = {"no", "without"}
FILLERS = {"a", "an", "and", "the", "its"}  # may stand between a part and what is said of it


@dataclass(frozen=True)
class Described:
    """What a prompt says.

    Attributes:
        variants: of the bird, one index into VARIANTS for each of PARTS.
        parts: those to draw.
        backgrounds: those named, in their order.
    """

    variants: tuple[int, ...]
    parts: tuple[str, ...]
    backgrounds: tuple[str, ...]


def read_prompt(prompt: str) -> Described:
    """Return what a prompt says.

    Args:
        prompt: of any words.

    Raises:
        ValueError: it names no bird.
    """
    words = _words(prompt)
    variants = list(_bird(words, prompt))
    absent = set()
    for place, word in enumerate(words):
        part = PART_WORDS.get(_singular(word))
        if part is None:
            continue
        before = _said_before(words[:place])
        if NEGATIONS & set(before):
            absent.add(part)
        number = PARTS.index(part)
        variants[number] = _variant(part, before, own=variants[number])
    return Described(
        variants=tuple(variants),
        parts=tuple(part for part in PARTS if part not in absent),
        backgrounds=tuple(dict.fromkeys(word for word in words if word in BACKGROUNDS)),
    )


def draw_prompt(prompt: str, seed: int) -> Scene:
    """Draw what a prompt says.

    Args:
        prompt: of any words.
        seed: the same seed and prompt draw the same scene.

    Raises:
        ValueError: it names no bird.
    """
    described = read_prompt(prompt)
    background = None
    if described.backgrounds:
        background = str(np.random.default_rng([seed, 1]).choice(described.backgrounds))
    return draw_scene(described.variants, seed, described.parts, background=background)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _singular(word: str) -> str:
    return word.removesuffix("s")


def _bird(words: Sequence[str], prompt: str) -> tuple[int, ...]:
    """Return the variants of the first bird that is named, in the singular or plural."""
    for start in range(len(words)):
        for name, variants in CLASSES:
            wanted = _words(name)
            found = list(words[start : start + len(wanted)])
            if found and found[:-1] == wanted[:-1] and _singular(found[-1]) == wanted[-1]:
                return variants
    names = ", ".join(name for name, _ in CLASSES)
    raise ValueError(f"{prompt!r} names no bird of this world: {names}")


def _said_before(words: Sequence[str]) -> list[str]:
    """Return the colours, shapes and negations right before a part, the nearest first."""
    known = _colours_and_shapes() | NEGATIONS | FILLERS
    said = []
    for word in reversed(words):
        if _bare(word) not in known:
            break
        said.append(_bare(word))
        if word in NEGATIONS:
            break
    return said


def _bare(word: str) -> str:
    """Return "hook" of "hooked"."""
    stem = word.removesuffix("ed")
    return stem if stem in _colours_and_shapes() else word


def _colours_and_shapes() -> set[str]:
    return {word for variants in VARIANTS.values() for variant in variants for word in variant}


def _variant(part: str, said: Sequence[str], own: int) -> int:
    """Return the variant of a part that agrees with most of what is said; on a tie, its own.

    The main colour counts more than the colour of the pattern: a red crest is mostly red.
    """

    def agreement(number: int) -> tuple[float, bool]:
        shape, main, second = VARIANTS[part][number]
        score = (shape in said) + (main in said) + 0.5 * (second in said)
        return score, number == own

    return max(range(len(VARIANTS[part])), key=agreement)
