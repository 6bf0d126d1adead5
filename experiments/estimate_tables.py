"""Tables of the study of estimates: how good answers about sets are that no record has."""

from collections.abc import Sequence

from experiments.estimate_rows import EstimatesRow
from experiments.estimates import estimate
from experiments.table_files import Table


def estimates_tables(rows: Sequence[EstimatesRow]) -> list[Table]:
    """Return the tables: readers of the record as it is, and estimates by what was asked ahead."""
    searches = list(dict.fromkeys(search for row in rows for search in row.readers))
    readers = [readers_table(rows, search) for search in searches]
    return [*readers, *(asked_ahead_table(rows, search) for search in searches)]


def readers_table(rows: Sequence[EstimatesRow], search: str) -> Table:
    """Return how often each model and heat map is right, without anything asked ahead."""
    table = Table(
        f"estimates_readers_{search}",
        f"What a record of the {search} search tells of sets that were not scored",
        columns=[
            "read from",
            "images",
            "which is higher",
            "the same, near the whole",
            "kept: random",
            "kept: near the whole",
        ],
        note="Which is higher: the pairs of the simulated study, as many patches of each kind in "
        "both, confidences at least 0.2 apart; near the whole image, where one to six patches or a "
        "drawn root's are missing, 0.1. A tie counts one half. Kept: is this set above the "
        "threshold? A heat map and a SAG say so from the number that is right most often about "
        "the scored sets.",
    )
    by_reader: dict[str, list[list[float | None]]] = {}
    for row in rows:
        for name, cells in row.readers[search].items():
            by_reader.setdefault(name, []).append(cells)
    for name, found in by_reader.items():
        means = [estimate(column, digits=1) for column in zip(*found)]
        table.rows.append([name, len(found), *means])
    return table


def asked_ahead_table(rows: Sequence[EstimatesRow], search: str) -> Table:
    """Return how good the estimate is after so many sets were asked ahead."""
    table = Table(
        f"estimates_asked_{search}",
        f"The estimate of a record of the {search} search, by what was asked ahead",
        columns=[
            "asked ahead",
            "images",
            "which is higher",
            "the same, near the whole",
            "kept: random",
            "kept: near the whole",
            "off by, points",
            "within the interval",
            "of these random",
            "width, points",
        ],
        note="Off by: mean difference between estimate and score, in points of the full image's "
        "confidence. Within the interval: the share of fresh sets whose confidence lies in the "
        "80 % interval, all rounded to whole percents as they are shown.",
    )
    by_budget: dict[int | None, list[list[float | None]]] = {}
    for row in rows:
        for budget, cells in row.budgets[search].items():
            if cells is not None:
                by_budget.setdefault(budget, []).append(cells)
    for budget, found in by_budget.items():
        means = [estimate(column, digits=1) for column in zip(*found)]
        table.rows.append([label_of(budget), len(found), *means])
    return table


def label_of(budget: int | None) -> str:
    """Return what was asked ahead in words."""
    if budget is None:
        return "nothing"
    return f"single removals and {budget}" if budget else "single removals"
