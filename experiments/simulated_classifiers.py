"""Classifiers whose searches a simulation replays: planted ones, or the tables of finished records.

    cases = recorded_cases(Path("Results")) or planted_cases(200, seed=0)
    cases[0].classifier.confidences(masks)

A planted classifier is monotone: a logistic function of the visible patches' weights, with pairs of
patches that count only together. A recorded one answers what the record's table knows from there,
and everything else by a logistic function that is fitted to the table.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from drawing.record import Sag, scores_of
from experiments.simulated_device import Classifier
from running.record_files import RECORD, read_record
from scoring.patch_sets import PatchSet

GRID = (7, 7)
HIDDEN_LOGIT = -4.0  # of a planted classifier when all patches are hidden
# The sum of all weights, lowest and highest: how many times over an image shows its class.
REDUNDANCY = (12.0, 60.0)
PAIRS = 30
PAIR_SHARE = 0.3  # of the weight that counts in pairs only
WIDTH = (1.0, 2.5)  # of an object, in patches
CLUTTER = 1.2  # standard deviation of the logarithm of a patch's weight
LEAST_ODDS = 1e-6  # probabilities are kept so far from 0 and 1 when a classifier is fitted
RIDGE = 1e-2


@dataclass(frozen=True)
class Logistic:
    """sigmoid(bias + weights . mask + sum over pairs of pair_weight * mask_i * mask_j).

    Attributes:
        bias: of the logit.
        weights: (patches,).
        pairs: (K, 2), patches that count together.
        pair_weights: (K,).
    """

    bias: float
    weights: np.ndarray
    pairs: np.ndarray
    pair_weights: np.ndarray

    def confidences(self, masks: np.ndarray) -> np.ndarray:
        """Return the confidences of masks (N, patches), (N,)."""
        together = masks[:, self.pairs[:, 0]] * masks[:, self.pairs[:, 1]]
        logits = self.bias + masks @ self.weights + together @ self.pair_weights
        return 1 / (1 + np.exp(-logits))

    def gradients(self, masks: np.ndarray) -> np.ndarray:
        """Return their gradients with respect to the masks, (N, patches)."""
        first, second = self.pairs.T
        slopes = np.tile(self.weights, (len(masks), 1))
        for i, j, weight in zip(first, second, self.pair_weights):
            slopes[:, i] += weight * masks[:, j]
            slopes[:, j] += weight * masks[:, i]
        p = self.confidences(masks)
        return (slopes * (p * (1 - p))[:, None]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Recorded:
    """A record's table of scores, and a fitted function for the sets that it lacks.

    Attributes:
        table: patch sets that were scored, as bytes of a row of bool -> confidence.
        fitted: answers all others.
        answered: number of sets that the table answered, and that it did not.
    """

    table: Mapping[bytes, float]
    fitted: Logistic
    answered: Counter[bool] = field(default_factory=Counter)

    def confidences(self, masks: np.ndarray) -> np.ndarray:
        """Return the confidences of masks (N, patches), (N,)."""
        answers = self.fitted.confidences(masks)
        is_set = ((masks == 0) | (masks == 1)).all(1)
        for row in np.flatnonzero(is_set):
            known = self.table.get(masks[row].astype(bool).tobytes())
            self.answered[known is not None] += 1
            if known is not None:
                answers[row] = known
        return answers

    def gradients(self, masks: np.ndarray) -> np.ndarray:
        """Return the fitted function's gradients, (N, patches)."""
        return self.fitted.gradients(masks)


@dataclass(frozen=True)
class SimulatedCase:
    """An image of a simulation.

    Attributes:
        name: of the image.
        classifier: answers its masks.
        grid: rows and columns of patches.
        saliency: the record's, (patches,), which the search follows; None: I-GOS's own.
        gradcam: the record's, (h, w), whose order a curve follows; None: the stand-in's own.
    """

    name: str
    classifier: Classifier
    grid: tuple[int, int] = GRID
    saliency: np.ndarray | None = None
    gradcam: np.ndarray | None = None


# ---------------------------------------------------------------- planted


def planted_cases(number: int, *, seed: int) -> list[SimulatedCase]:
    """Return images with planted classifiers; the same seed plants the same."""
    generator = np.random.default_rng(seed)
    return [SimulatedCase(f"planted {i}", planted(generator)) for i in range(number)]


def planted(generator: np.random.Generator) -> Logistic:
    """Return a monotone classifier that looks at an object of random place, width and redundancy.

    Patches near the object's centre weigh most, and some pairs of patches count only together.
    """
    rows, columns = np.indices(GRID)
    centre = generator.uniform(1, np.array(GRID) - 2)
    width = generator.uniform(*WIDTH)
    distance = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2
    weights = np.exp(-distance / (2 * width**2)).ravel()
    weights *= generator.lognormal(0, CLUTTER, weights.size)
    total = np.exp(generator.uniform(*np.log(REDUNDANCY)))
    likely = weights / weights.sum()
    pairs = np.stack(
        [generator.choice(weights.size, 2, replace=False, p=likely) for _ in range(PAIRS)]
    )
    pair_weights = generator.exponential(size=PAIRS)
    return Logistic(
        bias=HIDDEN_LOGIT,
        weights=(1 - PAIR_SHARE) * total * likely,
        pairs=pairs,
        pair_weights=PAIR_SHARE * total * pair_weights / pair_weights.sum(),
    )


# ---------------------------------------------------------------- from records


def recorded_cases(folder: Path, most: int) -> list[SimulatedCase]:
    """Return the images whose records lie in a folder or below; named regions are left out."""
    if not folder.is_dir():
        return []
    records = map(read_record, sorted(folder.rglob(RECORD)))
    usable = [sag for sag in records if sag is not None and not sag.regions]
    return [recorded_case(sag) for sag in usable[:most]]


def repeated(cases: Sequence[SimulatedCase], number: int) -> list[SimulatedCase]:
    """Return so many images, in turn: few of them would not keep a device busy up to the end."""
    return list(islice(cycle(cases), number))


def recorded_case(sag: Sag) -> SimulatedCase:
    """Return the image of a record."""
    table = scores_of(sag)
    rows = np.zeros((len(table), sag.num_patches), bool)
    for row, patches in enumerate(table):
        rows[row, list(patches)] = True
    return SimulatedCase(
        sag.image,
        Recorded({row.tobytes(): p for row, p in zip(rows, table.values())}, fit(table, rows)),
        grid=sag.grid,
        saliency=np.asarray(sag.saliency),
        gradcam=None if sag.gradcam is None else np.asarray(sag.gradcam),
    )


def fit(table: Mapping[PatchSet, float], rows: np.ndarray) -> Logistic:
    """Return a logistic function near a table's confidences, by ridge regression on their logits.

    Args:
        table: patch sets to confidences.
        rows: (sets, patches), which patches each set has.
    """
    p = np.clip(list(table.values()), LEAST_ODDS, 1 - LEAST_ODDS)
    logits = np.log(p / (1 - p))
    known = np.column_stack([np.ones(len(rows)), rows])
    penalty = RIDGE * len(rows) * np.eye(known.shape[1])
    penalty[0, 0] = 0
    solution = np.linalg.solve(known.T @ known + penalty, known.T @ logits)
    return Logistic(
        bias=float(solution[0]),
        weights=solution[1:],
        pairs=np.zeros((0, 2), int),
        pair_weights=np.zeros(0),
    )
