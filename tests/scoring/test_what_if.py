"""Which sets are scored ahead of readers' questions."""

import numpy as np
import pytest

from scoring.questions import answer
from scoring.what_if import MOST_SINGLES, WhatIf, least_sure, singles, what_if_sets

PATCHES = 25
EVERYTHING = tuple(range(PATCHES))
ROOTS = [(1, 7), (12, 13, 20)]


def confidence(patches):
    """Return the probability of a network that needs either root."""
    return 0.96 if any(set(root) <= set(patches) for root in ROOTS) else 0.03


class Asked:
    """A scorer that remembers its questions, and may be out of time after some of them."""

    def __init__(self, most=100):
        self.rounds = []
        self.most = most

    def __call__(self, sets):
        if len(self.rounds) == self.most:
            raise TimeoutError
        self.rounds.append(list(sets))
        return [confidence(patches) for patches in sets]

    @property
    def sets(self):
        return [patches for sets in self.rounds for patches in sets]


def asked(budget, most=100, num_patches=PATCHES, table=None):
    """Return what was asked, and which sets were drawn at random."""
    scorer = Asked(most)
    image = WhatIf(num_patches, ROOTS)
    known = {EVERYTHING: 0.96, (): 0.03} if table is None else table
    drawn = answer(what_if_sets(image, known, budget=budget, seed=0), scorer)
    return scorer, drawn


def test_every_single_patch_is_taken_from_the_whole_in_one_question():
    scorer, _ = asked(30)
    assert sorted(map(len, scorer.rounds[0])) == [PATCHES - 1] * PATCHES
    assert len(set(scorer.rounds[0])) == PATCHES


@pytest.mark.parametrize("budget", [1, 2, 30, 60, 121])
def test_the_budget_is_spent_and_no_set_is_asked_twice(budget):
    scorer, _ = asked(budget)
    assert len(set(scorer.sets)) == len(scorer.sets)
    assert PATCHES + budget - 3 <= len(scorer.sets) <= PATCHES + budget  # random sets may repeat


def test_half_is_drawn_at_random_and_returned():
    scorer, drawn = asked(60)
    assert set(scorer.rounds[1]) <= set(drawn) <= set(scorer.sets)
    assert len(drawn) >= 28 and {len(patches) for patches in drawn} == set(range(1, PATCHES))


def test_what_is_known_is_not_asked():
    known = {tuple(p for p in EVERYTHING if p != hidden): 0.9 for hidden in EVERYTHING}
    scorer, _ = asked(30, table={EVERYTHING: 0.96, (): 0.03, **known})
    assert not set(scorer.sets) & known.keys()


@pytest.mark.parametrize("most", [0, 1, 2, 3])
def test_out_of_time_leaves_what_is_there(most):
    scorer, drawn = asked(30, most=most)
    assert len(scorer.rounds) == most
    assert (len(drawn) > 0) == (most >= 2)


def test_the_same_seed_asks_the_same():
    assert asked(40)[0].rounds == asked(40)[0].rounds


def test_of_many_patches_the_single_ones_that_matter_most_are_taken():
    weights = np.arange(200.0)
    sets = singles(WhatIf(200, maps=[weights]))
    assert len(sets) == MOST_SINGLES
    assert all(199 - place not in patches for place, patches in enumerate(sets))


def test_a_set_of_which_the_estimate_is_sure_is_asked_last():
    """Of an additive network: a set between the classes comes before one that is far from both."""
    rng = np.random.default_rng(0)
    effects = rng.normal(0, 2, PATCHES)
    drawn = [tuple(np.flatnonzero(rng.random(PATCHES) < 0.5).tolist()) for _ in range(150)]
    known = {s: float(1 / (1 + np.exp(-effects[list(s)].sum()))) for s in drawn}
    order = np.argsort(effects)
    lost = tuple(sorted(order[:12].tolist()))
    middle = tuple(sorted([*order[:6].tolist(), *order[-6:].tolist()]))
    chosen = least_sure(WhatIf(PATCHES), known, pool=[lost, middle], number=1)
    assert chosen == [middle]


def test_a_tiny_image_has_no_more_sets_than_there_are():
    scorer = Asked()
    answer(what_if_sets(WhatIf(2, [(0,)]), {(0, 1): 0.9, (): 0.1}, budget=60, seed=0), scorer)
    assert len(scorer.sets) <= 2
