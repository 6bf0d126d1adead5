"""What the study of estimates compares: ways to tell a set's confidence, and heat maps.

    models = fitted_models(record, table)       # name -> rows (sets, patches) to log-odds
    maps = heat_maps(record)                    # name -> a weight per patch

All read the same record. The estimate that ships is scoring/estimate.py; the others are here for
comparison alone.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.optimize import nnls

from drawing.estimates import maps_of
from drawing.record import Sag
from experiments.simulated_reader import Reader, patch_weights, sag_reader
from scoring.curves import patch_means
from scoring.estimate import as_rows, clipped_log_odds, fit_estimate
from scoring.explanation_map import explanation_map
from scoring.patch_sets import PatchSet
from scoring.patches import Tents

LogOdds = Callable[[np.ndarray], np.ndarray]  # rows (sets, patches) to log-odds (sets,)
RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0)


def heat_maps(record: Sag) -> dict[str, np.ndarray]:
    """Return each heat map of a record as a weight per patch that sums to 1, by name."""
    area = patch_weights(record.grid, record.size)[1]
    found = {"I-GOS": (1 - np.ravel(record.saliency)) * area}
    sets = [root.patches for root in record.roots]
    found["map of all MSEs"] = explanation_map(sets, record.num_patches)
    if record.gradcam is not None:
        means = patch_means(np.array(record.gradcam), Tents(record.grid, record.size), record.size)
        found["Grad-CAM"] = means * area
    scaled = {name: weights / max(weights.sum(), 1e-9) for name, weights in found.items()}
    if "Grad-CAM" in scaled:
        scaled["both of these"] = scaled["map of all MSEs"] + scaled["Grad-CAM"]
    return scaled


def fitted_models(record: Sag, table: Mapping[PatchSet, float]) -> dict[str, LogOdds]:
    """Return every model fitted to a table of scored sets, by name."""
    num_patches = record.num_patches
    rows = as_rows(list(table), num_patches)
    log_odds = clipped_log_odds(np.array(list(table.values())), max(table.values()))
    mses = as_rows([root.patches for root in record.roots], num_patches)
    alone = fit_estimate(table, num_patches, has_interval=False)
    with_maps = fit_estimate(table, num_patches, maps=maps_of(record), has_interval=False)
    models: dict[str, LogOdds] = {
        "shares of the MSEs, cubed": lambda sets: shares(sets, mses).mean(axis=1),
        "additive, ridge": ridge(rows, log_odds),
        "additive, no effect below 0": monotone(rows, log_odds),
        "shares of the MSEs and additive, ridge": with_shares(rows, log_odds, mses),
    }
    if alone and with_maps:
        models["process on the table alone"] = alone.log_odds
        models["process with the record's maps"] = with_maps.log_odds
    return models


def shares(rows: np.ndarray, mses: np.ndarray) -> np.ndarray:
    """Return (share of each MSE that each set shows) to the third power, (sets, MSEs)."""
    if not len(mses):
        return np.zeros((len(rows), 1))
    return (rows @ mses.T / np.maximum(1, mses.sum(axis=1))) ** 3


def ridge(features: np.ndarray, log_odds: np.ndarray) -> LogOdds:
    """Return a ridge regression, its strength by the error of sets left out one at a time."""
    mean = features.mean(axis=0)
    centred = features - mean
    target = log_odds - log_odds.mean()
    best = min(RIDGES, key=lambda strength: _left_out_error(centred, target, strength))
    effects = _solved(centred, best) @ target
    return lambda rows: log_odds.mean() + (rows - mean) @ effects


def _solved(centred: np.ndarray, strength: float) -> np.ndarray:
    gram = centred.T @ centred + strength * np.eye(centred.shape[1])
    return np.linalg.solve(gram, centred.T)


def _left_out_error(centred: np.ndarray, target: np.ndarray, strength: float) -> float:
    hat = centred @ _solved(centred, strength)
    left = 1 - np.diag(hat) - 1 / len(target)
    return float(np.mean(((target - hat @ target) / np.maximum(left, 1e-6)) ** 2))


def monotone(rows: np.ndarray, log_odds: np.ndarray) -> LogOdds:
    """Return an additive model in which showing a patch never lowers the confidence."""
    lowest = float(log_odds.min())
    shrunk = np.vstack([rows, np.eye(rows.shape[1])])  # a ridge of strength 1
    effects, _ = nnls(shrunk, np.concatenate([log_odds - lowest, np.zeros(rows.shape[1])]))
    return lambda sets: lowest + sets @ effects


def with_shares(rows: np.ndarray, log_odds: np.ndarray, mses: np.ndarray) -> LogOdds:
    """Return a ridge regression on the patches and on the shares of each MSE."""
    fitted = ridge(np.hstack([rows, 3 * shares(rows, mses)]), log_odds)
    return lambda sets: fitted(np.hstack([sets, 3 * shares(sets, mses)]))


def figure_reader(record: Sag, weights: np.ndarray) -> Reader:
    """Return what a SAG figure tells of a set: its graph, its strip of roots, and the map.

    The roots in the strip are looked up as those in the graph are (simulated_reader.sag_reader),
    and the share of the map that the set shows is added.

    Args:
        record: of the image.
        weights: the map of all MSEs, (patches,), of sum 1.
    """
    nodes = {root.patches: root.relative for root in record.roots}
    nodes |= {node.patches: node.relative for node in record.sag.nodes}
    looked_up = sag_reader(nodes)
    return lambda patches: looked_up(patches) + float(weights[list(patches)].sum())


def best_cut(numbers: np.ndarray, keeps: np.ndarray) -> float:
    """Return the number from which on a reader says that a set keeps the class.

    It is the one that is right most often about the scored sets: the same table that models read.

    Args:
        numbers: the reader's, of every scored set, (sets,).
        keeps: whether the set does, (sets,) of bool.
    """
    order = np.argsort(numbers)
    # cutting before place k: right are the lost ones before it and the kept ones from it on
    lost_before = np.concatenate([[0], np.cumsum(~keeps[order])])
    kept_after = keeps.sum() - np.concatenate([[0], np.cumsum(keeps[order])])
    place = int((lost_before + kept_after).argmax())
    ordered: Sequence[float] = [-np.inf, *numbers[order], np.inf]
    return float((ordered[place] + ordered[place + 1]) / 2)
