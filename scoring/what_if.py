"""Which sets a reader will ask about: scored ahead, so that the record's table can answer.

    asked = answer(what_if_sets(case, table, budget=60, seed=0), scorer)
    asked.drawn                         # sets drawn at random, which calibrate the estimate

First every single patch is taken from the whole image, which is what anybody asks first. Then a
budget is spent: half of it on sets of every size drawn at random, which tell how wrong an estimate
is; the other half, in a few rounds, where the estimate (scoring/estimate.py) is least sure. Those
sets are chosen among what readers ask: explanations half shown, the union of the drawn ones with a
few patches more or less, two patches taken from the whole, and random sets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from scoring.estimate import Kernel, as_rows, distances, doubt, expit, fit_estimate
from scoring.patch_sets import PatchSet, canonical
from scoring.questions import Asks, Question

MOST_SINGLES = 100  # patches taken from the whole one at a time: those that matter most
CANDIDATES = 100  # of each kind, from which a round is chosen
ROUNDS = 3
MOST_FITTED = 300  # scored sets of which the estimate that chooses is made, evenly spaced
# Of the estimate that chooses; a fit to the image would take longer than the network does.
CHOOSING = Kernel(length=6.0, common=0.003, mapped=0.1, noise=0.1)


@dataclass(frozen=True, eq=False)
class WhatIf:
    """What a reader sees of an image and will ask about.

    Attributes:
        num_patches: number of patches or regions.
        roots: the drawn explanations.
        maps: saliency maps, each (patches,) and not negative; the first says which patches matter.
    """

    num_patches: int
    roots: Sequence[PatchSet] = ()
    maps: Sequence[np.ndarray] = field(default_factory=list)


def what_if_sets(
    image: WhatIf, table: Mapping[PatchSet, float], *, budget: int, seed: int
) -> Asks[list[PatchSet]]:
    """Have the sets scored that readers will ask about; return those that were drawn at random.

    What was not scored when time is up is left out.

    Args:
        image: what a reader sees.
        table: probability of every set scored before.
        budget: number of sets after those that lack one patch.
        seed: of what is drawn at random.
    """
    known = dict(table)
    rng = np.random.default_rng(seed)
    drawn = random_sets(image.num_patches, budget // 2, rng)
    drawn = [patches for patches in drawn if patches not in known]
    asked: list[PatchSet] = []
    try:
        yield from ask_new(singles(image), known)
        yield from ask_new(drawn, known)
        asked = drawn
        left = budget - budget // 2
        for size in np.diff(np.linspace(0, left, ROUNDS + 1).round().astype(int)):
            pool = [s for s in candidates(image, rng) if s not in known]
            yield from ask_new(least_sure(image, known, pool=pool, number=int(size)), known)
    except TimeoutError:
        pass
    return asked


def ask_new(sets: Sequence[PatchSet], known: dict[PatchSet, float]) -> Asks[None]:
    """Ask, in one question, about the sets that are not known yet, and add the answers."""
    new = [patches for patches in sets if patches not in known]
    if new:
        scores = yield Question(new, is_proof=True)
        known.update(zip(new, scores))


# ---------------------------------------------------------------- which sets


def singles(image: WhatIf) -> list[PatchSet]:
    """Return the whole image less each patch, or, of many, less each that matters most."""
    order = range(image.num_patches)
    if image.maps:
        order = np.argsort(-np.asarray(image.maps[0]), kind="stable").tolist()
    everything = set(range(image.num_patches))
    return [canonical(everything - {patch}) for patch in order[:MOST_SINGLES]]


def random_sets(num_patches: int, number: int, rng: np.random.Generator) -> list[PatchSet]:
    """Return sets drawn at random whose sizes go evenly from 1 to one less than all patches."""
    edges = np.linspace(1, num_patches, number + 1)
    sizes = np.floor((edges[:-1] + edges[1:]) / 2).astype(int)
    drawn = [rng.permutation(num_patches)[:size] for size in sizes]
    return list(dict.fromkeys(canonical(one) for one in drawn))


def candidates(image: WhatIf, rng: np.random.Generator) -> list[PatchSet]:
    """Return different sets that readers ask about, drawn at random."""
    everything = frozenset(range(image.num_patches))
    roots = [frozenset(root) for root in image.roots if root]
    drawn = [frozenset(one) for one in random_sets(image.num_patches, CANDIDATES, rng)]
    drawn += [everything - some(everything, 2, rng) for _ in range(CANDIDATES)]
    if roots:
        union = frozenset().union(*roots)
        for _ in range(CANDIDATES):
            root = roots[rng.integers(len(roots))]
            part = some(root, -(-len(root) // 2), rng)
            drawn.append(part | some(everything - root, int(rng.integers(0, 4)), rng))
            drawn.append(union ^ some(everything, int(rng.integers(0, 4)), rng))
            drawn.append(everything - part)
    return list(dict.fromkeys(canonical(one) for one in drawn))


def some(patches: frozenset[int], number: int, rng: np.random.Generator) -> frozenset[int]:
    """Return so many of these patches, drawn at random; all where there are fewer."""
    return frozenset(rng.permutation(sorted(patches))[:number].tolist())


def least_sure(
    image: WhatIf, known: Mapping[PatchSet, float], *, pool: Sequence[PatchSet], number: int
) -> list[PatchSet]:
    """Return the sets of a pool about which the estimate is least sure, far from each other.

    How sure it is counts in probability: where the class is kept or lost for certain, a large doubt
    in log-odds matters little.

    Args:
        image: what a reader sees.
        known: probability of every set scored so far.
        pool: sets to choose from.
        number: of sets to choose.
    """
    items = list(known.items())
    some_known = dict(items[:: -(-len(items) // MOST_FITTED)]) if items else {}
    estimate = fit_estimate(
        some_known, image.num_patches, maps=image.maps, kernel=CHOOSING, has_interval=False
    )
    if estimate is None or not pool:
        return list(pool[:number])
    rows = as_rows(pool, image.num_patches)
    probability = expit(estimate.log_odds(rows))
    slope = probability * (1 - probability)
    nearest = distances(rows, as_rows(list(known), image.num_patches)).min(axis=1)
    chosen: list[PatchSet] = []
    for _ in range(min(number, len(pool))):
        unsure = slope * doubt(nearest, CHOOSING.length, 0.0)
        place = int(unsure.argmax())
        chosen.append(pool[place])
        nearest = np.minimum(nearest, distances(rows[place : place + 1], rows)[0])
        slope[place] = -1.0
    return chosen
