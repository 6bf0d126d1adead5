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
    from drawing.record import Sag

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
}


def percent(relative: float) -> str:
    """Return a confidence relative to the full image as a rounded percentage: 92 %."""
    return f"{100 * relative:.0f} %"


def cost(drop: float) -> str:
    """Return the change in confidence that removing a patch caused: −42 %, or +3 % where it rose.

    Args:
        drop: Relative confidence before the removal minus that after it.
    """
    points = round(-100 * drop)
    if points == 0:
        return "0 %"
    return f"{points:+d} %".replace("-", "−")


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


def joined(patches: Iterable[int]) -> str:
    """Return a patch set as part of a file's name: 11-30.

    A name of more than 150 characters is cut; a checksum of the whole keeps it unique.
    """
    name = "-".join(str(patch) for patch in patches) or "none"
    if len(name) <= MAX_NAME:
        return name
    return f"{name[:KEPT_OF_NAME]}-and-more-{zlib.crc32(name.encode()):08x}"


def why_no_root(sag: Sag) -> str:
    """Return the reason why a record has no MSE."""
    return NO_ROOT_REASONS.get(sag.search.stopped_by, sag.search.stopped_by)
