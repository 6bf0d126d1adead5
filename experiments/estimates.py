"""A statistic over images with its 95 % bootstrap interval.

    estimate([0.2, None, 0.4])              # Estimate(value=0.3, low=0.2, high=0.4, images=2)
    str(estimate(sizes, digits=1))          # "3.2 (2.9 to 3.5)"

Images are drawn again with replacement; whatever was measured within one image stays together
(scipy.stats.bootstrap, percentile method, seeded, so that a table can be made again).
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap

RESAMPLES = 2000
BATCH = 200  # resamples that SciPy holds in memory at a time


@dataclass(frozen=True)
class Estimate:
    """A statistic over images and its interval; low and high are None for a single image."""

    value: float
    low: float | None
    high: float | None
    digits: int = 2  # after the decimal point, when printed
    images: int | None = None  # number of images that it is about

    def __str__(self) -> str:
        value = f"{self.value:.{self.digits}f}"
        if self.low is None or self.high is None:
            return value
        return f"{value} ({self.low:.{self.digits}f} to {self.high:.{self.digits}f})"


def estimate(
    values: Sequence[float | None],
    statistic: Callable = np.mean,
    *,
    digits: int = 2,
) -> Estimate | None:
    """Return a statistic of one value per image with its interval.

    Args:
        values: One value per image; None where the image has none.
        statistic: A function with an axis argument, such as np.mean, np.median or `variance`.
        digits: Digits after the decimal point, when printed.

    Returns:
        The estimate, or None where it is undefined: without any value, or for a single value and a
        statistic other than the mean.
    """
    known = np.asarray([value for value in values if value is not None], float)
    if len(known) == 0:
        return None
    if len(known) == 1:
        single = Estimate(float(known[0]), low=None, high=None, digits=digits, images=1)
        return single if statistic is np.mean else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all values equal: an interval of width 0
        result = bootstrap(
            (known,),
            statistic,
            n_resamples=RESAMPLES,
            batch=BATCH,
            method="percentile",
            random_state=np.random.default_rng(0),
        )
    return Estimate(
        value=float(statistic(known, axis=0)),
        low=float(result.confidence_interval.low),
        high=float(result.confidence_interval.high),
        digits=digits,
        images=len(known),
    )


def variance(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the unbiased variance along an axis."""
    return np.var(values, axis=axis, ddof=1)
