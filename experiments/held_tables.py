"""Tables of the searches that were held to a number of scored sets, or led by another order.

Each function takes the findings by image.
"""

from collections.abc import Mapping, Sequence

from experiments.estimates import estimate
from experiments.findings import Held, HeldFinding
from experiments.held_searches import (
    ALL_SMALL,
    BUDGETS,
    ENOUGH,
    FIRST,
    SEARCHES,
    SMALL,
    budget_name,
)
from experiments.table_files import Cell, Table
from get_perturbation_mask import step_lengths
from scoring.patch_sets import PatchSet

ByImage = Mapping[str, Held]
POINTS = 20  # of an integrated gradient
ITERATION = POINTS + 1 + len(step_lengths())  # passes of one iteration of I-GOS
PASSES = {  # through the network that an order takes
    "as it is": 2 * ITERATION,
    "I-GOS, 15 iterations": 15 * ITERATION,
    "integrated gradient alone": POINTS,
    "Grad-CAM": 1,
}


def orders_table(found: ByImage, num_patches: int) -> Table:
    """Return what BeamS-3 finds, and for how many sets, when another order leads it."""
    table = Table(
        "orders",
        "Which order of the patches serves BeamS-3 best",
        columns=[
            "order",
            "images",
            "passes for it",
            "scored",
            "proven MSEs",
            "diverse MSEs",
            "scored for a proven MSE",
            "scored for a diverse MSE",
        ],
        note="As it is: I-GOS after 2 iterations. Scored: different sets that the search asked "
        "about; with each patch alone, its passes are among them. The last two columns are totals "
        "over all images, divided. Diverse: proven against every subset, no two share more than "
        "one patch.",
    )
    names = dict.fromkeys(name for held in found.values() for name in held)
    for name in names:
        findings = [held[name] for held in found.values() if name in held]
        extra = num_patches if name not in PASSES else 0
        scored = [finding.scored + extra for finding in findings]
        proven = [len(proven_roots(finding)) for finding in findings]
        diverse = [finding.diverse_proven for finding in findings]
        table.rows.append(
            [
                name,
                len(findings),
                PASSES.get(name, num_patches),
                estimate(scored, digits=0),
                estimate(proven),
                estimate(diverse),
                quotient(scored, proven),
                quotient(scored, diverse),
            ]
        )
    return table


def budgets_table(found: ByImage) -> Table:
    """Return what each search has within each budget."""
    table = Table(
        "budgets",
        "What each search has found within a number of scored sets",
        columns=[
            "search",
            "images",
            "sets",
            "diverse MSEs",
            "times BeamS-3's",
            f"recall of MSEs of up to {SMALL} patches",
        ],
        note="Diverse: proven against every subset, no two share more than one patch; the next "
        "column divides the sum over images by BeamS-3's. No search stops at ten MSEs here. "
        f"Recall: of all MSEs of up to {SMALL} patches, known by exhaustive search, over the "
        "images that have one.",
    )
    for budget in BUDGETS if found else ():
        beam = diverse_within(found, "BeamS-3", budget)
        for search in SEARCHES:
            name = budget_name(search, budget)
            diverse = diverse_within(found, search, budget)
            cells: list[Cell] = [
                search,
                len(found),
                budget,
                estimate(diverse),
                quotient(diverse, beam),
                estimate([recall(held[name], held[ALL_SMALL]) for held in found.values()]),
            ]
            table.rows.append(cells)
    return table


def diverse_within(found: ByImage, search: str, budget: int) -> list[int]:
    """Return each image's number of diverse MSEs that a search has within a budget."""
    return [held[budget_name(search, budget)].diverse_proven for held in found.values()]


def first_table(found: ByImage) -> Table:
    """Return on which images the diverse search has found something after its first sets."""
    table = Table(
        "first",
        f"Diverse search within its first {FIRST} scored sets",
        columns=["images", "with an MSE", f"with {ENOUGH} that are diverse", "where BeamS-15 has"],
        note=f"Last column: share of the images where BeamS-15, at any cost, has {ENOUGH} diverse "
        f"MSEs, or the diverse search had them itself, on which it has {ENOUGH}.",
    )
    if not found:
        return table
    diverse = {image: held["diverse"] for image, held in found.items()}
    possible = [image for image, held in found.items() if can_have_enough(held)]
    table.rows.append(
        [
            len(found),
            estimate([bool(finding.roots) for finding in diverse.values()]),
            estimate([finding.diverse >= ENOUGH for finding in diverse.values()]),
            estimate([diverse[image].diverse >= ENOUGH for image in possible]),
        ]
    )
    return table


def can_have_enough(held: Held) -> bool:
    """Return whether the diverse search or BeamS-15 has enough diverse MSEs."""
    return any(finding.diverse >= ENOUGH for finding in held.values())


def proven_roots(finding: HeldFinding) -> list[PatchSet]:
    """Return the MSEs that are proven against every subset."""
    return [root.patches for root in finding.roots if root.minimal == "subset"]


def recall(finding: HeldFinding, exhaustive: HeldFinding) -> float | None:
    """Return the share of all small MSEs that a search has found; None where there are none."""
    known = {root.patches for root in exhaustive.roots}
    if not known:
        return None
    return len(known & {root.patches for root in finding.roots}) / len(known)


def quotient(above: Sequence[float], below: Sequence[float]) -> str | None:
    """Return the quotient of two sums, as text; None where the second is 0."""
    return f"{sum(above) / sum(below):.1f}" if sum(below) else None
