"""Random problems with known answers, and answers by the definition: every subset, one by one."""

from itertools import chain, combinations

import numpy as np

EIGHT = tuple(range(8))
LOW = 0.1
MIDDLE = 0.5
HIGH = 0.95


def powerset(items):
    """Return every subset of a sequence, the smallest first."""
    sizes = range(len(items) + 1)
    return list(chain.from_iterable(combinations(items, size) for size in sizes))


def random_antichain(rng, *, patches, count, largest):
    """Return up to `count` random patch sets, none of which contains another."""
    sets = set()
    for _ in range(count):
        size = rng.integers(1, largest + 1)
        sets.add(tuple(sorted(rng.choice(patches, size, replace=False).tolist())))
    return {s for s in sets if not any(set(other) < set(s) for other in sets)}


def random_scores(seed):
    """Return a score for every set of eight patches: a network that is not monotone at all."""
    rng = np.random.default_rng(seed)
    levels = [LOW, MIDDLE, HIGH]
    scores = {s: float(rng.choice(levels, p=[0.6, 0.25, 0.15])) for s in powerset(EIGHT)}
    return {**scores, (): LOW, EIGHT: HIGH}


def true_mses(scorer, patches, threshold):
    """Return the MSEs by their definition."""
    sufficient = {s for s in powerset(range(patches)) if float(scorer([s])[0]) > threshold}
    return {s for s in sufficient if not any(set(other) < set(s) for other in sufficient)}


def found_sets(result):
    """Return the patch sets of a search's result."""
    return {mse.patches for mse in result.mses}
