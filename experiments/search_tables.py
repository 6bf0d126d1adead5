"""Tables of the searches: sizes and numbers of MSEs, cost, searches and choices compared.

Each function takes the rows of the searches to show, by the search's name in the tables.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.estimates import Estimate, estimate, variance
from experiments.rows import MAIN_JOB, SMALL, ChoicesRow, Rows, SearchRow
from experiments.table_files import Cell, Table

NAMES = {  # of searches, by condition
    "beam3": "BeamS-3",
    "beam15": "BeamS-15",
    "combs": "CombS",
    "diverse": "diverse search",
    "sis": "SIS",
    "exhaustive": "exhaustive, size <= 3",
}
MAX_SIZES = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 49)  # k of the short table
NO_LIMIT = 10**6
SIZE_RANGES = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 10), (11, NO_LIMIT))
OVERLAPS = (0, 1, 2)

Searches = Mapping[str, Sequence[SearchRow]]


def named_searches(rows: Rows, leave_out: str | None = None) -> dict[str, list[SearchRow]]:
    """Return the rows of each search that was run, by its name in the tables.

    Args:
        rows: The rows of all measurements.
        leave_out: A condition to leave out.
    """
    return {
        name: rows.searches[condition]
        for condition, name in NAMES.items()
        if rows.searches.get(condition) and condition != leave_out
    }


# ---------------------------------------------------------------- sizes and numbers of MSEs


def share_up_to(rows: Sequence[SearchRow], k: int) -> Estimate | None:
    """Return the share of images that have an MSE of at most k patches."""
    return estimate([row.has_mse_up_to(k) for row in rows])


def small_explanations_table(searches: Searches, num_patches: int) -> Table:
    """Return the share of images with an MSE of at most k patches, for a few k."""
    ks = [k for k in MAX_SIZES if k <= num_patches]
    table = Table(
        "small_explanations",
        "Share of images with an MSE of at most k patches",
        columns=["search", "images", *(f"k = {k}" for k in ks)],
        note="Rows are about as many images as their search was run on, so two rows may differ by "
        "their images; the table of searches on the same images does not.",
    )
    for name, rows in searches.items():
        table.rows.append([name, len(rows), *(share_up_to(rows, k) for k in ks)])
    return table


def every_k_table(searches: Searches, num_patches: int) -> Table:
    """Return the same for every k, one row each: what the figure shows."""
    table = Table(
        "small_explanations_every_k",
        "Share of images with an MSE of at most k patches, every k",
        columns=["k", *(f"{name} (n = {len(rows)})" for name, rows in searches.items())],
    )
    for k in range(1, num_patches + 1):
        table.rows.append([k, *(share_up_to(rows, k) for rows in searches.values())])
    return table


def counts_table(searches: Searches) -> Table:
    """Return the numbers of MSEs and of diverse MSEs: means and variances."""
    columns = ["search", "images", "MSEs", "their variance"]
    for overlap in OVERLAPS:
        columns += [f"overlap {overlap}", f"variance at {overlap}"]
    table = Table(
        "number_of_explanations",
        "Number of MSEs, and of MSEs no two of which share more than 0, 1, 2 patches: mean and "
        "variance over images",
        columns=columns,
        note="BeamS and the diverse search stop at 10 MSEs; the others list all that they find. "
        "BeamS-3 is the main job: a large root in whose graph a smaller one turns up has given way "
        "to it.",
    )
    unproven = {
        name: sum(not row.diverse_proven for row in rows) for name, rows in searches.items()
    }
    listed = ", ".join(f"{name} on {count} images" for name, count in unproven.items() if count)
    if listed:
        table.note += (
            f" Diverse subsets of which a larger one could not be ruled out in 5 s: {listed}."
        )
    for name, rows in searches.items():
        cells: list[Cell] = [name, len(rows)]
        counts = [[len(row.sizes) for row in rows]]
        counts += [[row.diverse[overlap] for row in rows] for overlap in OVERLAPS]
        for values in counts:
            cells += [estimate(values), estimate(values, variance)]
        table.rows.append(cells)
    return table


def sizes_table(searches: Searches) -> Table:
    """Return the sizes of MSEs: mean of an image's smallest, and the share of each size."""
    table = Table(
        "sizes",
        "Sizes of MSEs: the image's smallest, all of them, and the share that each size has among "
        "an image's MSEs",
        columns=[
            "search",
            "images",
            "smallest",
            "mean size",
            *(size_name(low, high) for low, high in SIZE_RANGES),
            "proven minimal",
        ],
        note="Over images with an MSE. Proven: against every subset (BeamS, CombS and the diverse "
        "search: sets of up to 10 patches; SIS, which tries no subsets: of up to 2).",
    )
    for name, rows in searches.items():
        with_mse = [row for row in rows if row.sizes]
        if with_mse:
            table.rows.append([name, len(with_mse), *_size_cells(with_mse)])
    return table


def _size_cells(rows: Sequence[SearchRow]) -> list[Cell]:
    cells: list[Cell] = [
        estimate([row.smallest for row in rows]),
        estimate([float(np.mean(row.sizes)) for row in rows]),
    ]
    for low, high in SIZE_RANGES:
        shares = [float(np.mean([low <= size <= high for size in row.sizes])) for row in rows]
        cells.append(estimate(shares))
    cells.append(estimate([row.proven / len(row.sizes) for row in rows]))
    return cells


def size_name(low: int, high: int) -> str:
    """Return a range of sizes in words."""
    if low == high:
        return str(low)
    return f"{low} or more" if high == NO_LIMIT else f"{low} to {high}"


def positions_table(searches: Searches, num_patches: int) -> Table:
    """Return where MSEs are: the share of an image's MSEs that contain each patch."""
    uses = {}
    for name, rows in searches.items():
        with_mse = [row for row in rows if row.sizes]
        if with_mse:
            counts = [np.bincount(row.patches, minlength=num_patches) for row in with_mse]
            totals = [len(row.sizes) for row in with_mse]
            uses[name] = np.array(counts) / np.array(totals)[:, None]  # (images, patches)
    table = Table(
        "positions_every_patch",
        "Share of an image's MSEs that hold each patch, patches numbered along the rows of the "
        "grid",
        columns=["patch", *(f"{name} (n = {len(use)})" for name, use in uses.items())],
    )
    if uses:
        for patch in range(num_patches):
            table.rows.append([patch, *(estimate(use[:, patch]) for use in uses.values())])
    return table


# ---------------------------------------------------------------- cost, comparisons


def cost_table(searches: Searches) -> Table:
    """Return evaluations and seconds of each search."""
    table = Table(
        "cost",
        "Cost of a search: sets it asked about, sets the network had to score, seconds",
        columns=["search", "images", "asked", "scored", "seconds"],
        note="Without the saliency mask, the graph and the curves; float32.",
    )
    for name, rows in searches.items():
        table.rows.append(
            [
                name,
                len(rows),
                estimate([row.asked for row in rows], digits=0),
                estimate([row.scored for row in rows], digits=0),
                estimate([row.seconds for row in rows], digits=1),
            ]
        )
    return table


def same_images_table(searches: Searches) -> Table:
    """Return each search beside BeamS-3, image by image.

    The other tables are about different images for different searches.
    """
    table = Table(
        "searches_on_the_same_images",
        "Each search less BeamS-3 on the images that both were run on",
        columns=[
            "search",
            "images",
            f"share with an MSE of at most {SMALL}",
            "smallest",
            "diverse",
            "scored",
        ],
        note="Smallest: the size of the smallest MSE, over the images where both have one. "
        "Diverse: no two share more than one patch.",
    )
    reference = {row.image: row for row in searches.get(NAMES[MAIN_JOB], ())}
    for name, rows in searches.items():
        pairs = [(row, reference[row.image]) for row in rows if row.image in reference]
        if pairs and name != NAMES[MAIN_JOB]:
            table.rows.append([name, len(pairs), *_difference_cells(pairs)])
    return table


def _difference_cells(pairs: Sequence[tuple[SearchRow, SearchRow]]) -> list[Cell]:
    small = [int(a.has_mse_up_to(SMALL)) - int(b.has_mse_up_to(SMALL)) for a, b in pairs]
    smallest = [a.sizes[0] - b.sizes[0] for a, b in pairs if a.sizes and b.sizes]
    return [
        estimate(small),
        estimate(smallest),
        estimate([a.diverse[1] - b.diverse[1] for a, b in pairs]),
        estimate([a.scored - b.scored for a, b in pairs], digits=0),
    ]


def choices_table(rows: Sequence[ChoicesRow]) -> Table:
    """Return BeamS-3 with one choice changed at a time."""
    table = Table(
        "choices",
        "What the choices matter: BeamS-3 with one of them changed",
        columns=[
            "changed",
            "images",
            "MSEs",
            "smallest",
            "diverse",
            "scored",
            "agreement of roots",
        ],
        note="As it is: black baseline, threshold 0.9, I-GOS after 2 iterations, seed 0. "
        "Agreement: Jaccard index of an image's MSEs with those as it is (common "
        "ones among all of both), its mean over images. Diverse: no two share more than one patch.",
    )
    names = dict.fromkeys(name for row in rows for name in row.choices)
    for name in names:
        changed = [row.choices[name] for row in rows if name in row.choices]
        table.rows.append(
            [
                name,
                len(changed),
                estimate([one.mses for one in changed], digits=1),
                estimate([one.smallest for one in changed], digits=1),
                estimate([one.diverse for one in changed], digits=1),
                estimate([one.scored for one in changed], digits=0),
                estimate([one.agreement for one in changed]),
            ]
        )
    return table


def recall_table(searches: Searches, exhaustive: Sequence[SearchRow]) -> Table:
    """Return how many of all MSEs of up to three patches each search found."""
    known = {row.image: row.small for row in exhaustive if row.small}
    table = Table(
        "recall_of_small",
        f"Recall of all MSEs of at most {SMALL} patches, complete by exhaustive search",
        columns=["search", "images", "such MSEs an image", "recall"],
        note=f"Exhaustive search was run on {len(exhaustive)} images; {len(known)} of them have "
        "such an MSE.",
    )
    for name, rows in searches.items():
        shared = [row for row in rows if row.image in known]
        if shared:
            totals = [len(known[row.image]) for row in shared]
            found = [len(row.small & known[row.image]) for row in shared]
            recall = estimate([some / total for some, total in zip(found, totals)])
            table.rows.append([name, len(shared), estimate(totals, digits=1), recall])
    return table
