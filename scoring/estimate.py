"""What a network would say of a set that it was never shown, from the sets that it was.

    estimate = fit_estimate(table, num_patches=49)      # patch sets -> probabilities, all scored
    guess = estimate((3, 10, 11, 30))
    guess.probability, guess.low, guess.high            # 0.81, and an 80 % interval

The estimate is a Gaussian process on the log-odds. Two sets have log-odds alike where they differ
in few patches (d), where they share patches, and where saliency maps give both the same weight:

    k(s, t) = exp(-d / length) + common <s, t> + mapped <maps s, maps t>

The sums of patches are linear, so that a fitted estimate is a constant, a number for each patch and
a number for each of a few hundred scored sets: small enough for the page, which evaluates the same
formula (drawing/templates/sag.js).

The interval is as wide as the estimate was wrong, for this image, about sets that were left out. It
grows with the number of patches in which the nearest scored set differs.

NumPy alone, so that a question to a record is answered at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from scoring.patch_sets import PatchSet

MOST_SUPPORT = 400  # scored sets that an estimate keeps
MOST_CHOSEN_FROM = 4000  # of a larger table, so many sets, evenly spaced, are looked at
LEAST_SETS = 8  # with fewer scored sets nothing is estimated
SHARE = 0.8  # of sets whose confidence lies within the interval
HALF_PERCENT = 0.005  # of the full image's confidence: by so much a shown percentage is rounded
LOWEST = 0.005  # confidences are clipped to these before their log-odds are taken; the lowest is
HIGHEST = 0.995  # a share of the most confident set's
USUAL_PATCHES = 49  # of the grid for which the kernel's numbers are written
LENGTHS = (4.0, 8.0, 16.0)  # in patches of that grid
COMMON = (0.003, 0.03, 0.1)
MAPPED = (0.1, 1.0)
NOISE = (0.03, 0.15)
MOST_DRAWN = 64  # sets drawn at random that are kept in any case
LEAST_DRAWN = 15  # sets drawn at random, from which on they alone calibrate the interval
NEIGHBOURHOOD = 4  # without these, a set is left out with all sets that differ in fewer patches
LEFT_OUT = 60  # sets that are left out so


@dataclass(frozen=True)
class Guess:
    """An estimated probability and its interval."""

    probability: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Estimate:
    """A fitted estimate of one image and class.

    Attributes:
        support: scored sets that it keeps, (sets, patches) of 0 and 1.
        weights: of the support, (sets,), in log-odds.
        effects: of each patch that is shown, (patches,), in log-odds.
        constant: log-odds of no patch, before the support's part.
        length: patches over which the support's part fades by a factor of e.
        noise: variance of a scored set's log-odds, relative to the kernel's first part.
        spread: half the interval's width at a set far from all scored ones, in log-odds.
    """

    support: np.ndarray
    weights: np.ndarray
    effects: np.ndarray
    constant: float
    length: float
    noise: float
    spread: float

    def __call__(self, patches: PatchSet) -> Guess:
        """Return the estimated probability of a set with its interval."""
        rows = as_rows([patches], len(self.effects))
        middle = float(self.log_odds(rows)[0])
        half = float(self.half_widths(rows)[0])
        return Guess(*(float(expit(value)) for value in (middle, middle - half, middle + half)))

    def log_odds(self, rows: np.ndarray) -> np.ndarray:
        """Return the estimated log-odds of sets, (sets,), for rows (sets, patches) of 0 and 1."""
        near = np.exp(-distances(rows, self.support) / self.length)
        return self.constant + rows @ self.effects + near @ self.weights

    def half_widths(self, rows: np.ndarray) -> np.ndarray:
        """Return half the width of each set's interval in log-odds, (sets,)."""
        nearest = distances(rows, self.support).min(axis=1)
        return self.spread * doubt(nearest, self.length, self.noise)


def doubt(nearest: np.ndarray, length: float, noise: float) -> np.ndarray:
    """Return how unsure one is of sets of which only the nearest scored set is known.

    Args:
        nearest: number of patches in which that set differs.
        length: of the kernel.
        noise: of the kernel.

    Returns:
        Standard deviations, 1 far from all scored sets but for the noise.
    """
    return np.sqrt(1 + noise - np.exp(-2 * nearest / length) / (1 + noise))


# ---------------------------------------------------------------- fitting


def fit_estimate(
    table: Mapping[PatchSet, float],
    num_patches: int,
    *,
    maps: Sequence[np.ndarray] = (),
    drawn: Iterable[PatchSet] = (),
    kernel: "Kernel | None" = None,
    has_interval: bool = True,
) -> Estimate | None:
    """Return the estimate that the scored sets of one image give; None with fewer than 8 of them.

    Args:
        table: probability of every scored set.
        num_patches: number of patches or regions.
        maps: saliency maps, each (patches,) and not negative; a set's weight in them may matter.
        drawn: scored sets that were drawn at random, which calibrate the interval best.
        kernel: its numbers; None: those under which the table is most likely.
        has_interval: whether the interval is calibrated, which takes longest.
    """
    if len(table) < LEAST_SETS:
        return None
    drawn = [patches for patches in drawn if patches in table][:MOST_DRAWN]
    sets = chosen_support(list(table), num_patches, kept=drawn)
    rows = as_rows(sets, num_patches)
    most = max(table.values())
    probabilities = np.array([table[patches] for patches in sets])
    features = map_features(rows, maps)
    problem = Problem(rows, clipped_log_odds(probabilities, most), features)
    kernel = kernel or problem.best_kernel()
    solved = np.linalg.solve(problem.covariance(kernel), problem.centred)
    linear = kernel.common * (solved @ rows)
    if maps:
        columns = map_features(np.eye(num_patches), maps)  # (patches, maps)
        linear = linear + kernel.mapped * columns @ (solved @ features)
    shown = as_shown(probabilities, most)
    width = spread(problem, kernel, shown, len(drawn)) if has_interval else 0.0
    return Estimate(
        support=rows,
        weights=solved.round(6),
        effects=linear.round(6),
        constant=round(problem.mean, 6),
        length=kernel.length,
        noise=kernel.noise,
        spread=round(width, 6),
    )


@dataclass(frozen=True)
class Kernel:
    """The numbers of the kernel; see the module."""

    length: float
    common: float
    mapped: float
    noise: float


@dataclass(frozen=True, eq=False)
class Problem:
    """Scored sets and their log-odds: rows (sets, patches), log-odds (sets,), (sets, maps)."""

    rows: np.ndarray
    log_odds: np.ndarray
    features: np.ndarray

    @property
    def mean(self) -> float:
        """Mean log-odds."""
        return float(self.log_odds.mean())

    @property
    def centred(self) -> np.ndarray:
        """Log-odds without their mean."""
        return self.log_odds - self.mean

    def covariance(self, kernel: Kernel) -> np.ndarray:
        """Return the kernel of all pairs of sets, with noise, (sets, sets)."""
        near = np.exp(-distances(self.rows, self.rows) / kernel.length)
        common = kernel.common * self.rows @ self.rows.T
        mapped = kernel.mapped * self.features @ self.features.T
        return near + common + mapped + kernel.noise * np.eye(len(self.rows))

    def best_kernel(self) -> Kernel:
        """Return the kernel of a small grid under which the log-odds are most likely."""
        scale = self.rows.shape[1] / USUAL_PATCHES
        mapped = MAPPED if self.features.shape[1] else MAPPED[:1]
        kernels = [
            Kernel(max(1.0, length * scale), common / scale, mapped=weight, noise=noise)
            for length, common, weight, noise in product(LENGTHS, COMMON, mapped, NOISE)
        ]
        return max(kernels, key=self.likelihood)

    def likelihood(self, kernel: Kernel) -> float:
        """Return the log marginal likelihood at the best scale, but for a constant."""
        root = np.linalg.cholesky(self.covariance(kernel))
        white = np.linalg.solve(root, self.centred)
        variance = max(float(white @ white) / len(white), 1e-12)
        return -0.5 * len(white) * np.log(variance) - float(np.log(np.diag(root)).sum())


def chosen_support(
    sets: Sequence[PatchSet], num_patches: int, *, kept: Sequence[PatchSet] = ()
) -> list[PatchSet]:
    """Return at most MOST_SUPPORT sets, those that differ most from the sets chosen before.

    Args:
        sets: all scored sets.
        num_patches: number of patches.
        kept: sets that are chosen in any case, at most MOST_SUPPORT.
    """
    if len(sets) <= MOST_SUPPORT:
        others = set(kept)
        return [*kept, *(patches for patches in sets if patches not in others)]
    chosen = list(kept)
    every = -(-len(sets) // MOST_CHOSEN_FROM)
    sets = list(dict.fromkeys([*kept, *sets[::every]]))
    rows = as_rows(sets, num_patches)
    length = max(1.0, LENGTHS[1] * num_patches / USUAL_PATCHES)
    factors = np.zeros((MOST_SUPPORT, len(sets)))  # of a Cholesky decomposition, pivot by pivot
    left = np.ones(len(sets))  # variance that the chosen sets leave
    places = {patches: place for place, patches in enumerate(sets)}
    for step in range(MOST_SUPPORT):
        place = places[chosen[step]] if step < len(chosen) else int(left.argmax())
        near = np.exp(-distances(rows[place : place + 1], rows)[0] / length)
        known = factors[:step, place] @ factors[:step]
        factors[step] = (near - known) / np.sqrt(max(left[place], 1e-9))
        left = np.maximum(left - factors[step] ** 2, 0)
        if step >= len(chosen):
            chosen.append(sets[place])
        left[place] = 0
    return chosen


# ---------------------------------------------------------------- the interval


def spread(problem: Problem, kernel: Kernel, shown: np.ndarray, drawn: int) -> float:
    """Return what doubt() is multiplied by so that SHARE of sets left out lie in the interval.

    Args:
        problem: the scored sets; the first ones are those drawn at random.
        kernel: of the estimate.
        shown: log-odds between which each set's confidence is shown as it is; see as_shown().
        drawn: number of sets drawn at random.
    """
    if drawn >= LEAST_DRAWN:
        places = np.arange(drawn)
        radius = 1
    else:
        number = min(LEFT_OUT, len(problem.rows))
        places = np.linspace(0, len(problem.rows) - 1, number).round().astype(int)
        radius = NEIGHBOURHOOD
    covariance = problem.covariance(kernel)
    ratios = []
    for place in places:
        away = distances(problem.rows[place : place + 1], problem.rows)[0]
        kept = np.flatnonzero(away >= radius)
        if len(kept) < LEAST_SETS // 2:
            kept = np.flatnonzero(away >= 1)
        guess = left_out_guess(problem, covariance, int(place), kept=kept)
        error = max(shown[0, place] - guess, guess - shown[1, place], 0.0)
        ratios.append(error / float(doubt(away[kept].min(), kernel.length, kernel.noise)))
    rank = min(len(ratios), int(np.ceil(SHARE * (len(ratios) + 1))))
    return float(np.sort(ratios)[rank - 1])


def left_out_guess(
    problem: Problem, covariance: np.ndarray, place: int, *, kept: np.ndarray
) -> float:
    """Return the estimated log-odds of a set left out.

    Args:
        problem: the scored sets.
        covariance: of all pairs of them, with noise.
        place: of the set left out.
        kept: places of the sets that are not left out.
    """
    mean = float(problem.log_odds[kept].mean())
    solved = np.linalg.solve(covariance[np.ix_(kept, kept)], problem.log_odds[kept] - mean)
    return mean + float(covariance[place, kept] @ solved)


def as_shown(probabilities: np.ndarray, most: float) -> np.ndarray:
    """Return the log-odds between which each confidence is shown as the same whole percentage.

    Args:
        probabilities: (sets,).
        most: the highest of all probabilities.

    Returns:
        Lower and upper log-odds, (2, sets).
    """
    half = HALF_PERCENT * most
    return np.stack([clipped_log_odds(probabilities + side * half, most) for side in (-1, 1)])


# ---------------------------------------------------------------- sets as rows, log-odds


def as_rows(sets: Sequence[PatchSet], num_patches: int) -> np.ndarray:
    """Return sets as rows of 0 and 1, (sets, patches)."""
    rows = np.zeros((len(sets), num_patches))
    for row, patches in zip(rows, sets):
        row[list(patches)] = 1
    return rows


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the number of patches in which sets differ, (sets of a, sets of b)."""
    return a.sum(axis=1)[:, None] + b.sum(axis=1)[None] - 2 * a @ b.T


def map_features(rows: np.ndarray, maps: Sequence[np.ndarray]) -> np.ndarray:
    """Return the weight of each set in each map, (sets, maps), scaled to a mean weight of 1."""
    columns = np.zeros((rows.shape[1], len(maps)))
    for place, values in enumerate(maps):
        total = float(np.sum(values))
        if total > 0:
            columns[:, place] = np.asarray(values) * np.sqrt(len(values)) / total
    return rows @ columns


def clipped_log_odds(probabilities: np.ndarray, most: float) -> np.ndarray:
    """Return log-odds, of which the lowest and highest are cut.

    Args:
        probabilities: of sets, (sets,).
        most: the highest of all probabilities, which the lowest log-odds follow.
    """
    lowest = LOWEST * min(max(most, 1e-9), 1.0)
    clipped = np.clip(probabilities, lowest, HIGHEST)
    return np.log(clipped / (1 - clipped))


def expit(log_odds: np.ndarray | float) -> np.ndarray:
    """Return the probabilities of log-odds."""
    return 1 / (1 + np.exp(-np.asarray(log_odds)))
