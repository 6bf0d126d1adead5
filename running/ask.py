"""Is a set of patches sufficient? Answers from a record's scores, or from the network.

    python draw_sag.py ask Results/copper_jay --without 11,30       # all patches but these
    python draw_sag.py ask Results/copper_jay --only 10,30          # these patches alone
    python draw_sag.py ask Results/copper_jay --only 10,30 --score  # run the record's network

A set that was scored has an exact answer. Any other set has an estimate with an interval
(scoring/estimate.py), said to be one, and the most similar scored sets are listed beside it, larger
and smaller ones.

PyTorch is imported only where the network is run, so that answers from the record are immediate.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from drawing.estimates import estimate_of
from drawing.record import Sag, scores_of
from drawing.words import conjunction, estimate_in_words, percent
from running.record_files import load_record
from scoring.estimate import Estimate
from scoring.labels import plain_name
from scoring.patch_sets import PatchSet, canonical
from utils import UserError

MAX_NEAREST = 3  # larger and smaller sets listed for one that was not scored
MAX_PATCHES_NAMED = 12  # patches named in a line of that list; of more, only the first
PATCHES_NAMED_OF_MORE = 10  # are named
MOST_DIGITS = 9  # of a patch's number
MOST_SHOWN = 40  # characters of a word in an error


def answer(
    folder: Path,
    *,
    only: str | None = None,
    without: str | None = None,
    score: bool = False,
    images: Path | None = None,
    device: str = "auto",
    model: str | None = None,
) -> str:
    """Return the confidence of a patch set, in words.

    Args:
        folder: Folder of the result, which contains sag.json.
        only: Patches that are visible, as "11,30" or, where there are regions, "head, wing".
        without: In place of only, the patches that are hidden.
        score: Whether to run the record's network on a set that was not scored.
        images: With score, the run's images, if they have moved.
        device: With score, the device to run on: "auto", "cpu", "cuda" or "mps".
        model: With score, the network, where its code is the user's own.

    Returns:
        One line where the set was scored, else an estimate, and a line for each of the most similar
        scored sets.

    Raises:
        UserError: There is no record, no such patch, or the network is not the record's.
    """
    sag = load_record(folder)
    question = make_question(sag, only=only, without=without)
    table = scores_of(sag)
    if question.visible in table:
        confidence = describe_confidence(sag, table[question.visible])
        return f"{question.text}: {confidence} (scored)"
    if not score:
        return "\n".join(describe_nearest(sag, table, question))
    from running.score_set import score_set  # here, because it imports PyTorch

    probability = score_set(folder, question.visible, images=images, device=device, model=model)
    confidence = describe_confidence(sag, probability)
    return f"{question.text}: {confidence} (scored now, by the network)"


# ---------------------------------------------------------------- from text to patches


@dataclass(frozen=True)
class Question:
    """A patch set that is asked about: what is visible, and how the answer begins."""

    visible: PatchSet
    text: str


def make_question(sag: Sag, *, only: str | None, without: str | None) -> Question:
    """Return the question about the patches that a text names, or about all others.

    Raises:
        UserError: Not exactly one of only and without is given, or there is no such patch.
    """
    if only is not None and without is None:
        visible = parse_patches(only, sag)
        text = f"{sag.title}, only {conjunction(visible, sag.region_names)}"
        return Question(visible, text)
    if without is not None and only is None:
        hidden = parse_patches(without, sag)
        text = f"{sag.title}, without {conjunction(hidden, sag.region_names)}"
        return Question(complement(hidden, sag.num_patches), text)
    raise UserError("say which patches with either --only or --without")


def parse_patches(text: str, sag: Sag) -> PatchSet:
    """Return the patches that a text such as "11,30" or "head, wing" names.

    Raises:
        UserError: A word is neither a patch nor, where the record has regions, a region.
    """
    names = sag.region_names
    words = [word.strip() for word in text.split(",") if word.strip()]
    if names:
        return canonical(parse_region(word, names) for word in with_commas(words, names))
    return canonical(parse_patch(word, sag.num_patches) for word in words)


def with_commas(words: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """Yield words, of which those that a region's name has been cut into are joined again."""
    known = {_comparable(name) for name in names}
    start = 0
    while start < len(words):
        ends = range(len(words), start + 1, -1)  # the longest name first
        joined = (end for end in ends if _comparable(", ".join(words[start:end])) in known)
        end = next(joined, start + 1)
        yield ", ".join(words[start:end])
        start = end


def parse_patch(word: str, num_patches: int) -> int:
    """Return the patch that a word such as "11" or "P11" names."""
    number = word[1:] if word[:1] in ("P", "p") else word
    is_short = len(number) <= MOST_DIGITS
    if is_short and number.isascii() and number.isdecimal() and int(number) < num_patches:
        return int(number)
    shown = word if len(word) <= MOST_SHOWN else f"{word[:MOST_SHOWN]}.."
    raise UserError(
        f"{shown} is not a patch; there are 0 to {num_patches - 1}, with commas between them"
    )


def parse_region(word: str, names: Sequence[str]) -> int:
    """Return the region that a word names, by its name or its number.

    "P2" is always a number.

    Raises:
        UserError: There is no such region, or the word may mean several.
    """
    wanted = _comparable(word)
    meant = {index for index, name in enumerate(names) if _comparable(name) == wanted}
    if word.isdecimal() and len(word) <= MOST_DIGITS and int(word) < len(names):
        meant.add(int(word))
    if len(meant) == 1:
        return meant.pop()
    if meant:
        numbers = " or ".join(f"P{index}" for index in sorted(meant))
        raise UserError(f"{word} may be any of {len(meant)} regions; say {numbers}")
    if word.isdecimal() or (word[:1] in ("P", "p") and word[1:].isdecimal()):
        return parse_patch(word, len(names))
    raise UserError(f"{word} is not a region; there are {', '.join(names)}")


def _comparable(name: str) -> str:
    """Return a region's name as names are compared, whatever the spaces beside its commas."""
    return plain_name(", ".join(part.strip() for part in name.split(",")))


def complement(patches: PatchSet, num_patches: int) -> PatchSet:
    """Return all other patches, in ascending order."""
    return tuple(patch for patch in range(num_patches) if patch not in patches)


# ---------------------------------------------------------------- from probabilities to words


def describe_confidence(sag: Sag, probability: float) -> str:
    """Return a probability in words: relative, absolute, and whether it is sufficient."""
    is_sufficient = probability > sag.threshold * sag.probability
    verdict = "sufficient" if is_sufficient else "not sufficient"
    absolute = f"probability {probability:.4f}, {verdict}"
    if sag.probability == 0:
        return absolute
    relative = percent(probability / sag.probability)
    return f"{relative} of the full image's confidence, {absolute}"


def nearest(
    table: Mapping[PatchSet, float], visible: PatchSet, most: int = MAX_NEAREST
) -> tuple[list[PatchSet], list[PatchSet]]:
    """Return the most similar scored sets that contain a set, and those that it contains.

    Args:
        table: Probability of every scored set.
        visible: The set, not in the table.
        most: Largest number of sets of each kind.

    Returns:
        Larger and smaller sets, the most similar in size first, then the most confident.
    """
    wanted = set(visible)
    larger = [patches for patches in table if wanted < set(patches)]
    smaller = [patches for patches in table if wanted > set(patches)]

    def rank(patches: PatchSet) -> tuple[int, float, PatchSet]:
        return abs(len(patches) - len(visible)), -table[patches], patches

    return sorted(larger, key=rank)[:most], sorted(smaller, key=rank)[:most]


def describe_nearest(
    sag: Sag, table: Mapping[PatchSet, float], question: Question
) -> Iterator[str]:
    """Yield the answer's lines for a set that was not scored.

    The first has the estimate. Then there is a line for each of the nearest scored sets: how it
    differs, and its confidence.
    """
    visible = set(question.visible)
    larger, smaller = nearest(table, question.visible)
    estimate = estimate_of(sag)
    yield f"{question.text}: not scored{estimate_clause(sag, estimate, question.visible)}."
    yield "The nearest sets that were scored:"
    for patches in larger:
        added = name_patches(canonical(set(patches) - visible), sag.region_names)
        yield f"  showing also {added}: {describe_confidence(sag, table[patches])}"
    for patches in smaller:
        removed = name_patches(canonical(visible - set(patches)), sag.region_names)
        yield f"  hiding also {removed}: {describe_confidence(sag, table[patches])}"
    yield "--score runs the network on the set itself."


def estimate_clause(sag: Sag, estimate: Estimate | None, visible: PatchSet) -> str:
    """Return what is added to "not scored": the estimate, or nothing where there is none."""
    if estimate is None:
        return ""
    words = estimate_in_words(estimate(visible), sag.probability)
    return f"; {words} of the full image's confidence" if sag.probability > 0 else f"; {words}"


def name_patches(patches: PatchSet, names: Sequence[str] | None) -> str:
    """Return a list of patches, cut where it is long."""
    if len(patches) <= MAX_PATCHES_NAMED:
        return conjunction(patches, names)
    first = conjunction(patches[:PATCHES_NAMED_OF_MORE], names)
    return f"{first} and {len(patches) - PATCHES_NAMED_OF_MORE} more"
