"""How right each reader of a record and each estimate is about sets that the record does not have.

    row = estimates_row(measurement)
    row.readers["diverse"]["Grad-CAM"]      # shares of right answers, in percent
    row.budgets["diverse"][60]              # the same of the estimate, and of its intervals

A model or heat map reads a record (experiments/estimate_models.py) and is asked about the fresh
sets (experiments/estimate_samples.py).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from drawing.estimates import maps_of
from drawing.record import Sag, Scores, scores_of, sets_of
from experiments.estimate_models import best_cut, figure_reader, fitted_models, heat_maps
from experiments.findings import (
    AskedAhead,
    EstimatesFinding,
    EstimatesMeasurement,
    Fresh,
    Question,
)
from experiments.simulated_reader import Reader, is_tie, sag_reader, without_known
from scoring.estimate import Estimate, as_rows, expit, fit_estimate
from scoring.patch_sets import PatchSet

RowReader = Callable[[np.ndarray], np.ndarray]  # rows (sets, patches) to a number for each set
NOTHING_ASKED = AskedAhead([], Scores())


@dataclass(frozen=True)
class EstimatesRow:
    """One image of the study; all cells in percent, or None where nothing could be asked.

    Attributes:
        image: its name.
        readers: by search and reader: right pairs, right pairs near the whole, right about random
            sets and about sets near the whole.
        budgets: by search and sets asked ahead (None: nothing): the cells of estimate_cells().
    """

    image: str
    readers: dict[str, dict[str, list[float | None]]]
    budgets: dict[str, dict[int | None, list[float | None] | None]]


def estimates_row(measurement: EstimatesMeasurement) -> EstimatesRow:
    """Return the row of one image."""
    finding = measurement.finding
    return EstimatesRow(
        image=measurement.image,
        readers={
            search: reader_cells(finding, record) for search, record in finding.records.items()
        },
        budgets={
            search: {
                None: estimate_cells(finding, record, NOTHING_ASKED),
                **{
                    budget: estimate_cells(finding, record, asked)
                    for budget, asked in finding.asked[search].items()
                },
            }
            for search, record in finding.records.items()
        },
    )


def reader_cells(finding: EstimatesFinding, record: Sag) -> dict[str, list[float | None]]:
    """Return how right each model and heat map is, without anything asked ahead, in percent."""
    rivals = rivals_of(record, scores_of(record))
    return {
        name: in_percent(
            [
                right_pairs(finding.pairs, rival.read, record.num_patches),
                right_pairs(finding.near_pairs, rival.read, record.num_patches),
                *right_keeps(finding.fresh, rival, record),
            ]
        )
        for name, rival in rivals.items()
    }


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


def estimate_cells(
    finding: EstimatesFinding, record: Sag, asked: AskedAhead
) -> list[float | None] | None:
    """Return how good the estimate is after sets were asked ahead; None where there is none.

    Returns:
        Right pairs, right pairs near the whole, right about random sets and about sets near the
        whole; mean error, sets and random sets within the interval, its width. In percent and
        points.
    """
    ahead = dict(zip(sets_of(asked.scores.sets), asked.scores.probabilities))
    fitted = fit_estimate(
        {**scores_of(record), **ahead},
        record.num_patches,
        maps=maps_of(record),
        drawn=asked.drawn,
    )
    fresh = [one for one in finding.fresh if one.patches not in ahead]
    if fitted is None or not fresh:
        return None
    threshold = record.threshold * record.probability
    rival = Rival(fitted.log_odds, float(np.log(threshold / (1 - threshold))))
    shares = [
        right_pairs(without_known(pairs, ahead), rival.read, record.num_patches)
        for pairs in (finding.pairs, finding.near_pairs)
    ]
    shares += right_keeps(fresh, rival, record)
    return [*in_percent(shares), *interval_cells(fitted, fresh, record)]


def interval_cells(fitted: Estimate, fresh: Sequence[Fresh], record: Sag) -> list[float | None]:
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
        float(100 * inside[is_random].mean()) if is_random.any() else None,
        float((high - low).mean()),
    ]
