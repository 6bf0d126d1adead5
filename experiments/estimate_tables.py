"""Tables of the study of estimates; see experiments/estimate_study.py."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from drawing.estimates import maps_of
from drawing.record import Sag, Scores, scores_of, sets_of
from experiments.estimate_models import best_cut, figure_reader, fitted_models, heat_maps
from experiments.estimate_samples import Asked, Fresh, Sample, without_known
from experiments.estimates import estimate
from experiments.findings import Question
from experiments.simulated_reader import Reader, is_tie, sag_reader
from experiments.table_files import Table
from scoring.estimate import Estimate, as_rows, expit, fit_estimate
from scoring.patch_sets import PatchSet

RowReader = Callable[[np.ndarray], np.ndarray]  # rows (sets, patches) to a number for each set


def all_tables(
    samples: Sequence[Sample], searches: Sequence[str], budgets: Sequence[int]
) -> list[Table]:
    """Return the tables: readers of the record as it is, and estimates by budget."""
    readers = [readers_table(samples, search) for search in searches]
    return [*readers, *(budgets_table(samples, search, budgets) for search in searches)]


# ---------------------------------------------------------------- readers of the record alone


def readers_table(samples: Sequence[Sample], search: str) -> Table:
    """Return how often each model and heat map is right, without anything asked ahead."""
    table = Table(
        f"readers_{search}",
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
    answers: dict[str, list[list[float | None]]] = {}
    for sample in samples:
        record = sample.records[search]
        known = scores_of(record)
        rivals = rivals_of(record, known)
        for name, rival in rivals.items():
            answers.setdefault(name, []).append(
                [
                    right_pairs(sample.pairs, rival.read, record.num_patches),
                    right_pairs(sample.near_pairs, rival.read, record.num_patches),
                    *right_keeps(sample.fresh, rival, record),
                ]
            )
    for name, rows in answers.items():
        cells = [estimate(in_percent(column), digits=1) for column in zip(*rows)]
        table.rows.append([name, len(rows), *cells])
    return table


def in_percent(shares: Sequence[float | None]) -> list[float | None]:
    """Return shares in percent; None where there is none."""
    return [None if share is None else 100 * share for share in shares]


@dataclass(frozen=True)
class Rival:
    """A model or heat map: its number of each set, and from which number on the class is kept."""

    read: RowReader
    cut: float


def rivals_of(record: Sag, table: Mapping[PatchSet, float]) -> dict[str, Rival]:
    """Return all models and heat maps of a record by name."""
    threshold = record.threshold * record.probability
    rows = as_rows(list(table), record.num_patches)
    keeps = np.array(list(table.values())) > threshold
    found = {
        name: Rival(read, best_cut(read(rows), keeps)) for name, read in by_number(record).items()
    }
    log_odds = float(np.log(threshold / (1 - threshold)))
    for name, model in fitted_models(record, table).items():
        cut = 0.5 if "cubed" in name else log_odds
        found[name] = Rival(model, cut)
    return found


def by_number(record: Sag) -> dict[str, RowReader]:
    """Return what gives sets a number that has no scale: heat maps and the SAG, by name."""
    maps = heat_maps(record)
    found: dict[str, RowReader] = {
        name: lambda rows, weights=weights: rows @ weights for name, weights in maps.items()
    }
    nodes = {node.patches: node.relative for node in record.sag.nodes}
    found["SAG, graph alone"] = on_rows(sag_reader(nodes))
    found["SAG: graph, strip and map"] = on_rows(figure_reader(record, maps["map of all MSEs"]))
    return found


def on_rows(read: Reader) -> RowReader:
    """Return a reader of patch sets as one of rows, (sets, patches)."""
    return lambda rows: np.array([read(tuple(np.flatnonzero(row).tolist())) for row in rows])


def right_pairs(pairs: Sequence[Question], read: RowReader, num_patches: int) -> float | None:
    """Return the share of right answers to pairs, a tie counting half; None without pairs."""
    if not pairs:
        return None
    a = read(as_rows([pair.a for pair in pairs], num_patches))
    b = read(as_rows([pair.b for pair in pairs], num_patches))
    marks = [
        0.5 if is_tie(x, y) else float((x > y) == (pair.relative[0] > pair.relative[1]))
        for x, y, pair in zip(a, b, pairs)
    ]
    return float(np.mean(marks))


def right_keeps(fresh: Sequence[Fresh], rival: Rival, record: Sag) -> list[float | None]:
    """Return the share of right answers about random sets, and about sets near the whole."""
    found: list[float | None] = []
    for is_near in (False, True):
        chosen = [one for one in fresh if one.is_near == is_near]
        says = rival.read(as_rows([one.patches for one in chosen], record.num_patches)) > rival.cut
        keeps = np.array([one.relative > record.threshold for one in chosen])
        found.append(float(np.mean(says == keeps)) if chosen else None)
    return found


# ---------------------------------------------------------------- estimates by budget


def budgets_table(samples: Sequence[Sample], search: str, budgets: Sequence[int]) -> Table:
    """Return how good the estimate is after so many sets were asked ahead."""
    table = Table(
        f"budgets_{search}",
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
    for budget in (None, *budgets):
        rows = [budget_row(sample, search, budget) for sample in samples]
        known = [row for row in rows if row is not None]
        cells = [estimate(column, digits=1) for column in zip(*known)]
        table.rows.append([label_of(budget), len(known), *cells])
    return table


def label_of(budget: int | None) -> str:
    """Return what was asked ahead in words."""
    if budget is None:
        return "nothing"
    return f"single removals and {budget}" if budget else "single removals"


def budget_row(sample: Sample, search: str, budget: int | None) -> list[float | None] | None:
    """Return one image's cells after the label and the number of images, in percent."""
    record = sample.records[search]
    asked = Asked([], Scores()) if budget is None else sample.asked[search][budget]
    ahead = dict(zip(sets_of(asked.scores.sets), asked.scores.probabilities))
    fitted = fit_estimate(
        {**scores_of(record), **ahead},
        record.num_patches,
        maps=maps_of(record),
        drawn=asked.drawn,
    )
    if fitted is None:
        return None
    threshold = record.threshold * record.probability
    rival = Rival(fitted.log_odds, float(np.log(threshold / (1 - threshold))))
    fresh = [one for one in sample.fresh if one.patches not in ahead]
    shares = [
        right_pairs(without_known(pairs, ahead), rival.read, record.num_patches)
        for pairs in (sample.pairs, sample.near_pairs)
    ]
    shares += right_keeps(fresh, rival, record)
    return [*in_percent(shares), *interval_cells(fitted, fresh, record)]


def interval_cells(fitted: Estimate, fresh: Sequence[Fresh], record: Sag) -> list[float]:
    """Return mean error, coverage of all and of random sets, and mean width, all in points."""
    rows = as_rows([one.patches for one in fresh], record.num_patches)
    middle = fitted.log_odds(rows)
    half = fitted.half_widths(rows)
    points = 100 / record.probability
    low = np.round(points * expit(middle - half))
    high = np.round(points * expit(middle + half))
    truth = np.array([100 * one.relative for one in fresh])
    inside = (np.round(truth) >= low) & (np.round(truth) <= high)
    is_random = np.array([not one.is_near for one in fresh])
    return [
        float(np.abs(points * expit(middle) - truth).mean()),
        float(100 * inside.mean()),
        float(100 * inside[is_random].mean()),
        float((high - low).mean()),
    ]
