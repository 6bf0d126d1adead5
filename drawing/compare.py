"""Two records of the same image: which explanations both have, and which only one of them.

    comparison = compare(before, after)
    comparison.shared, comparison.only_a, comparison.only_b     # of MSEs
    comparison.differences                                      # baseline: black, blur

An MSE that only one record lists may still be enough in the other: its search may not have come by.
So each has the confidence that the other record knows of it, from its table of scored sets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drawing.record import Sag, scores_of
from drawing.words import conjunction, counted, percent
from scoring.patch_sets import PatchSet
from utils import UserError

# Settings that say nothing about a result, or that are compared in another way.
NOT_COMPARED = {
    # where it ran, and what was drawn
    *("images", "results", "run", "overwrite", "pictures", "open", "device", "backend"),
    *("batch_size", "threads", "images_at_once", "ray", "precision"),
    # what the record itself has, where the settings may leave it open
    *("model", "weights", "labels", "output", "category", "against", "num_categories"),
    *("baseline", "prob_thresh", "node_prob_thresh", "grid"),
    *("regions", "region_names", "segmentation_weights"),
}
MOST_DIGITS = 8  # of a checksum


@dataclass(frozen=True)
class Difference:
    """Something in which two records differ, and what it is in each."""

    name: str
    a: str
    b: str


@dataclass(frozen=True)
class ComparedMse:
    """A minimal sufficient explanation of either record.

    Attributes:
        patches: its patches.
        a: its confidence in the first record, relative to the full image; None: not scored there.
        b: likewise, in the second.
    """

    patches: PatchSet
    a: float | None
    b: float | None


@dataclass(frozen=True)
class Comparison:
    """What two records have in common, and what not; see the module's docstring.

    Attributes:
        differences: what differs in how they were made.
        shared: MSEs of both.
        only_a: MSEs of the first alone: those that are lost.
        only_b: MSEs of the second alone: those that are new.
    """

    differences: Sequence[Difference]
    shared: Sequence[ComparedMse]
    only_a: Sequence[ComparedMse]
    only_b: Sequence[ComparedMse]


def compare(a: Sag, b: Sag) -> Comparison:
    """Compare two records.

    Raises:
        UserError: they are of different images, or cut them differently.
    """
    require_comparable(a, b)
    tables = [relative_scores(sag) for sag in (a, b)]
    of_a = [root.patches for root in a.roots]
    of_b = [root.patches for root in b.roots]

    def compared(sets: Sequence[PatchSet]) -> list[ComparedMse]:
        return [ComparedMse(s, *(table.get(s) for table in tables)) for s in sets]

    return Comparison(
        differences(a, b),
        shared=compared([patches for patches in of_a if patches in of_b]),
        only_a=compared([patches for patches in of_a if patches not in of_b]),
        only_b=compared([patches for patches in of_b if patches not in of_a]),
    )


def require_comparable(a: Sag, b: Sag) -> None:
    """Refuse records whose patch sets do not mean the same.

    Raises:
        UserError: in one line, what differs.
    """
    same_file = a.image_sha256 == b.image_sha256
    same_pixels = a.pixels_sha256 is not None and a.pixels_sha256 == b.pixels_sha256
    if not same_file and not same_pixels:
        raise UserError(f"{a.image} and {b.image}: different images; only one image is compared")
    if bool(a.regions) != bool(b.regions):
        raise UserError(f"{a.image}: one record has a grid of patches, the other named regions")
    if (
        a.regions
        and b.regions
        and (a.regions.names, a.regions.map)
        != (
            b.regions.names,
            b.regions.map,
        )
    ):
        raise UserError(f"{a.image}: the two records have different regions")
    if a.grid != b.grid:
        grids = " and ".join(f"{rows} x {columns}" for rows, columns in (a.grid, b.grid))
        raise UserError(f"{a.image}: different grids, {grids} patches; their sets do not compare")
    if (a.baseline.name == "drop") != (b.baseline.name == "drop"):
        raise UserError(f"{a.image}: patches of one record are tents, of the other dropped tokens")


def relative_scores(sag: Sag) -> dict[PatchSet, float]:
    """Return the confidence of every set that a record knows, relative to the full image."""
    full = sag.probability or 1.0
    return {patches: probability / full for patches, probability in scores_of(sag).items()}


def differences(a: Sag, b: Sag) -> list[Difference]:
    """Return what differs in how two records were made: network and class first, then settings."""
    described = [description(sag) for sag in (a, b)]
    names = list(dict.fromkeys([*described[0], *described[1]]))
    found = [Difference(n, described[0].get(n, ""), described[1].get(n, "")) for n in names]
    return [difference for difference in found if difference.a != difference.b]


def description(sag: Sag) -> dict[str, str]:
    """Return how a record was made, by name."""
    settings = {name: said(value) for name, value in sag.settings.items()}
    return {
        "network": sag.model.name,
        "weights": weights_of(sag),
        "class": sag.title,
        "baseline": sag.baseline.name,
        "threshold": f"{sag.threshold:g}",
        **{
            name.replace("_", " "): text
            for name, text in settings.items()
            if name not in NOT_COMPARED
        },
    }


def weights_of(sag: Sag) -> str:
    """Return a name for a record's weights that differs where the weights do."""
    given: Mapping[str, Any] = sag.settings
    file = given.get("weights")
    digits = sag.model.weights_sha256[:MOST_DIGITS]
    return f"{Path(file).name} ({digits})" if isinstance(file, str) else digits


def said(value: Any) -> str:
    """Return a setting's value as text."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


# ---------------------------------------------------------------- in words


def summary(comparison: Comparison) -> str:
    """Return in one sentence how many MSEs both records have, and each alone."""
    lost = len(comparison.only_a)
    new = len(comparison.only_b)
    return f"{counted(len(comparison.shared), 'MSE')} in both, {lost} only in A, {new} only in B."


def made_with(comparison: Comparison, side: str) -> str:
    """Return the first two things that set a record, "A" or "B", apart: baseline black."""
    found = comparison.differences[:2]
    return ", ".join(f"{d.name} {(d.a if side == 'A' else d.b) or 'none'}" for d in found)


def what_differs(comparison: Comparison) -> str:
    """Return in one sentence what differs in how the records were made."""
    if not comparison.differences:
        return "Both were made in the same way."
    parts = [f"{d.name} {d.a or 'none'} | {d.b or 'none'}" for d in comparison.differences]
    return f"A | B: {'; '.join(parts)}."


def confidences(mse: ComparedMse) -> str:
    """Return an MSE's confidence in both records: A 97 %, B not scored."""
    sides = [("A", mse.a), ("B", mse.b)]
    return ", ".join(f"{side} {'not scored' if c is None else percent(c)}" for side, c in sides)


def report(comparison: Comparison, names: Sequence[str] | None) -> list[str]:
    """Return a comparison as lines of text; names: of the regions, or None."""
    lines = [what_differs(comparison), summary(comparison)]
    groups = {
        "in both": comparison.shared,
        "only in A": comparison.only_a,
        "only in B": comparison.only_b,
    }
    for title, mses in groups.items():
        lines += [f"  {title}: {conjunction(m.patches, names)} ({confidences(m)})" for m in mses]
    return lines
