"""Words that figures, pages and answers share: percentages, conjunctions, names of patches.

    conjunction((11, 30))                         # "P11 & P30"
    conjunction((0, 2), ["head", "wing", "tail"]) # "head & tail"

Light on purpose: the commands import it before PyTorch and matplotlib.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drawing.record import Root, Sag, Search
    from scoring.estimate import Guess

MOST_NAMED = 6  # patches of a set in a sentence; of a larger one their number
MAX_NAME = 150  # characters of a file's name made from a patch set
KEPT_OF_NAME = 130  # of a longer one; a checksum tells the rest apart
NO_ROOT_REASONS = {  # by search.stopped_by, for an image without an MSE
    "baseline_sufficient": (
        "the class keeps its confidence with every patch hidden, so there is nothing to explain"
    ),
    "zero_probability": "the model gives this class no probability at all",
    "max_root_size": "no set up to the largest allowed size was sufficient",
    "exhausted": "no set that the search tried was sufficient",
    "exhausted_in_reduced_precision": "no set that the search tried was sufficient",
    "max_evaluations": "no set among as many as the search scores was sufficient",
    "time_limit": "the time limit came first",
    "not_asked_for": "only what the class cannot do without was asked for",
}

NEEDS_NOTHING_REASONS = {  # by search.stopped_by, for an image without a breaking set
    **NO_ROOT_REASONS,
    "baseline_sufficient": "the class keeps its confidence with every patch hidden",
    "max_root_size": "hiding no set up to the largest allowed size took the class away",
    "exhausted": "hiding no set that the search tried took the class away",
    "exhausted_in_reduced_precision": "hiding no set that the search tried took the class away",
    "max_evaluations": "hiding no set among as many as the search scores took the class away",
}


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number of things: 1 MSE, 2 MSEs; many: the plural, where it is not one with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def percent(relative: float) -> str:
    """Return a confidence relative to the full image as a rounded percentage: 92 %."""
    return f"{100 * relative:.0f} %"


def estimate_in_words(guess: Guess, full: float) -> str:
    """Return an estimate, never as a score: estimated 81 %, likely 70 to 90 %.

    Args:
        guess: the estimated probability and its interval.
        full: probability of the full image; where it is 0, the probabilities themselves are given.
    """
    if full == 0:
        likely = f"{guess.low:.4f} to {guess.high:.4f}"
        return f"estimated probability {guess.probability:.4f}, likely {likely}"
    middle = percent(guess.probability / full)
    low = percent(guess.low / full).removesuffix(" %")
    return f"estimated {middle}, likely {low} to {percent(guess.high / full)}"


def cost(drop: float) -> str:
    """Return the change in confidence that removing a patch caused, in percentage points.

    −42 points, or +3 points where it rose.

    Args:
        drop: Relative confidence before the removal minus that after it.
    """
    points = round(-100 * drop)
    unit = "point" if abs(points) == 1 else "points"
    sign = "+" if points > 0 else "−" if points < 0 else ""
    return f"{sign}{abs(points)} {unit}"


def patch_name(patch: int, names: Sequence[str] | None = None) -> str:
    """Return "P11", or the region's name where the record has regions.

    Args:
        patch: Index of the patch or region.
        names: Names of all regions (`Sag.region_names`); None for a grid.
    """
    return names[patch] if names else f"P{patch}"


def conjunction(patches: Iterable[int], names: Sequence[str] | None = None) -> str:
    """Return a patch set as the paper writes it: P11 & P30; with names of regions: head & wing."""
    text = " & ".join(patch_name(patch, names) for patch in patches)
    if text:
        return text
    return "no region" if names else "no patch"


def clause(patches: Iterable[int], names: Sequence[str] | None = None) -> str:
    """Return a breaking set as a clause, one of whose patches must show: (P24 | P25), or P11."""
    words = [patch_name(patch, names) for patch in patches]
    return words[0] if len(words) == 1 else f"({' | '.join(words)})"


def in_words(patches: Sequence[int], names: Sequence[str] | None = None) -> str:
    """Return a patch set as a sentence has it: P11; P24 and P25 together; 11 patches together."""
    words = [patch_name(patch, names) for patch in patches]
    if len(words) == 1:
        return words[0]
    if len(words) > MOST_NAMED:
        return f"{len(words)} {'regions' if names else 'patches'} together"
    return f"{', '.join(words[:-1])} and {words[-1]} together"


def proof_in_words(root: Root) -> str:
    """Return what is known of a root's minimality: "proven minimal", or how far it was checked."""
    if root.minimal == "subset":
        return "proven minimal"
    if not root.checked:
        return "no single patch can go"
    lacking = root.checked.lacking
    words = "no single patch can go" if lacking == 1 else f"no {lacking} patches or fewer can go"
    if not root.checked.drawn:
        return words
    share = f"{100 * root.checked.at_most:.2g} %"
    return (
        f"{words}; none of {root.checked.drawn} other parts drawn at random will do: "
        f"less than {share} would, at 95 % confidence"
    )


def needed_in_words(sag: Sag) -> str:
    """Return what the class cannot do without, as a sentence: the drawn breaking sets."""
    if not sag.needed:
        return ""
    sets = [sag.needed.roots[i].patches for i in sag.needed.diverse_roots]
    if not sets:
        return f"Nothing is known to be needed: {why_nothing_needed(sag.needed.search)}."
    named = ", nor without ".join(in_words(patches, sag.region_names) for patches in sets)
    return f"Cannot do without {named}."


def why_nothing_needed(search: Search) -> str:
    """Return the reason why a search found no breaking set."""
    return NEEDS_NOTHING_REASONS.get(search.stopped_by, search.stopped_by)


def joined(patches: Iterable[int]) -> str:
    """Return a patch set as part of a file's name: 11-30.

    A name of more than 150 characters is cut; a checksum of the whole keeps it unique.
    """
    name = "-".join(str(patch) for patch in patches) or "none"
    if len(name) <= MAX_NAME:
        return name
    return f"{name[:KEPT_OF_NAME]}-and-more-{zlib.crc32(name.encode()):08x}"


def why_no_root(sag: Sag) -> str:
    """Return the reason why a record has no MSE, and which baselines would leave some."""
    reason = NO_ROOT_REASONS.get(sag.search.stopped_by, sag.search.stopped_by)
    if not sag.baseline.others:
        return reason
    values = f"{sag.probability:.3f} on the image, {sag.baseline.probability:.3f} on the baseline"
    enough = sag.threshold * sag.probability
    better = {name: p for name, p in sag.baseline.others.items() if p <= enough}
    named = ", ".join(f"{name} ({p:.3f})" for name, p in sorted(better.items(), key=_by_value))
    advice = f"other baselines take it away: {named}" if named else "so it does on all baselines"
    return f"{reason} ({values}); {advice}"


def _by_value(item: tuple[str, float]) -> float:
    return item[1]
