"""What is known of an image for the study of estimates: records, and fresh sets with their answers.

    finding = measure_estimates(engine, image, category, settings=settings, seed=[0])
    finding.records["diverse"].scores       # the table that an estimate may read
    finding.fresh                           # sets that no record has, scored

Fresh sets are of two kinds: those of the simulated study's pairs (random sets of every size), and
sets near the image, the whole less one to six patches drawn at random or less a drawn root's, which
is what readers of a page ask first. These are drawn in pairs too: both lack as many patches of each
kind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from drawing.estimates import maps_of
from drawing.record import Sag, pack_scores, scores_of
from experiments.findings import AskedAhead, EstimatesFinding, Fresh, Question
from experiments.simulated_reader import (
    draw_like,
    draw_questions,
    patch_kinds,
    without_known,
)
from main_generate_sag import explain
from running.image_case import ImageCase
from scoring.engine import Engine
from scoring.hidden import rest_of
from scoring.patch_sets import PatchSet
from scoring.questions import Asks, answer
from scoring.scorer import MaskScorer
from scoring.what_if import WhatIf, what_if_sets

SEARCHES = ("diverse", "beam")
BUDGETS = (0, 30, 60, 120)  # sets asked ahead beside those that lack one patch
MOST_REMOVED = 6  # patches taken from the whole image, for sets near it
NEAR_PAIRS = 4  # drawn for each number of removed patches
NEAR_GAP = 0.1  # between the relative confidences of such a pair; few differ by more


def measure_estimates(
    engine: Engine,
    image: np.ndarray,
    category: int,
    *,
    settings: Mapping[str, Any],
    seed: Sequence[int],
) -> EstimatesFinding:
    """Explain an image with each search, score fresh sets, and ask ahead with each budget.

    Args:
        engine: the network.
        image: (H, W, 3) uint8, at the network's input size.
        category: index of the class to explain.
        settings: of the main job; each search replaces the one that they name.
        seed: of what is drawn at random.

    Raises:
        ValueError: the network gives the class a confidence of 0.
    """
    records = {
        search: as_record(
            explain(engine, image, category=category, **{**settings, "search": search})
        )
        for search in SEARCHES
    }
    record = records[SEARCHES[0]]
    if record.probability <= 0:
        raise ValueError("the network gives the class a confidence of 0: nothing is relative to it")
    roots = [one.roots[i].patches for one in records.values() for i in one.diverse_roots]
    scorer = case_of(engine, image, record).scorer(engine.exact, batch_size=engine.batch_size)
    known = set().union(*(scores_of(one) for one in records.values()))
    asked = score_fresh(scorer, record, roots, seed=seed)
    return EstimatesFinding(
        records=records,
        pairs=without_known(asked.pairs, known),
        near_pairs=without_known(asked.near_pairs, known),
        fresh=[one for one in asked.sets if one.patches not in known],
        asked={search: ask_ahead(engine, image, one) for search, one in records.items()},
    )


@dataclass(frozen=True)
class FreshSets:
    """Sets that were scored for the study, and the pairs among them that are questions."""

    sets: list[Fresh]
    pairs: list[Question]
    near_pairs: list[Question]


def score_fresh(
    scorer: MaskScorer, record: Sag, roots: Sequence[PatchSet], *, seed: Sequence[int]
) -> FreshSets:
    """Score random sets, and sets near the image.

    Args:
        scorer: of the image, with an empty memo.
        record: of the image.
        roots: drawn ones, each of which is taken from the whole image.
        seed: of what is drawn at random.
    """
    kinds = patch_kinds(record.grid)
    pairs = draw_questions(
        scorer, kinds, full_probability=record.probability, in_sag=[], seed=list(seed)
    )
    random_sets = list(scorer.table)
    drawn = draw_near_pairs(kinds, roots, seed)
    near_sets = list(dict.fromkeys(patches for pair in drawn for patches in pair))
    scorer(near_sets)
    relative = {p: float(score) / record.probability for p, score in scorer.table.items()}
    sets = [Fresh(patches, relative[patches], False) for patches in random_sets]
    sets += [Fresh(patches, relative[patches], True) for patches in near_sets]
    near_pairs = [Question(a, b, relative=(relative[a], relative[b])) for a, b in drawn]
    near_pairs = [q for q in near_pairs if abs(q.relative[0] - q.relative[1]) >= NEAR_GAP]
    return FreshSets(sets, pairs, near_pairs)


def ask_ahead(engine: Engine, image: np.ndarray, record: Sag) -> dict[int, AskedAhead]:
    """Return what is asked ahead about a record with each budget."""
    case = case_of(engine, image, record)
    scorer = case.scorer(engine.exact, batch_size=engine.batch_size)
    roots = [record.roots[i].patches for i in record.diverse_roots]
    what_if = WhatIf(case.num_patches, roots, maps_of(record))
    found = {}
    for budget in BUDGETS:
        asking = asked_sets(what_if, scores_of(record), budget=budget)
        drawn, sets = answer(asking, scorer)
        table = {patches: float(scorer.table[patches]) for patches in sets}
        found[budget] = AskedAhead(drawn, pack_scores(table))
    return found


def asked_sets(
    image: WhatIf, table: Mapping[PatchSet, float], *, budget: int
) -> Asks[tuple[list[PatchSet], list[PatchSet]]]:
    """Ask ahead; return the sets drawn at random, and all that were asked about."""
    asking = what_if_sets(image, table, budget=budget, seed=0)
    sets: list[PatchSet] = []
    try:
        question = next(asking)
        while True:
            sets += question.sets
            question = asking.send((yield question))
    except StopIteration as end:
        return end.value, sets


def as_record(sag: Sag) -> Sag:
    """Return an explanation as it is read from its file."""
    return msgspec.json.decode(msgspec.json.encode(sag), type=Sag)


def case_of(engine: Engine, image: np.ndarray, record: Sag) -> ImageCase:
    """Return a record's image prepared for scoring."""
    return ImageCase.of(
        engine.network,
        image,
        category=record.category.index,
        baseline=record.baseline.name,
        grid=record.grid,
    )


def draw_near_pairs(
    kinds: np.ndarray, roots: Sequence[PatchSet], seed: Sequence[int]
) -> list[tuple[PatchSet, PatchSet]]:
    """Return pairs of sets near the image: both lack as many patches of each kind.

    Args:
        kinds: the kind of each patch, (patches,).
        roots: drawn ones; each is taken from the whole image, against random patches.
        seed: of what is drawn at random.
    """
    rng = np.random.default_rng([*seed, 1])
    removed = [
        tuple(rng.choice(len(kinds), number, replace=False).tolist())
        for number in range(1, MOST_REMOVED + 1)
        for _ in range(NEAR_PAIRS)
    ]
    lacking = [*removed, *dict.fromkeys(roots)]
    return [
        (rest_of(one, len(kinds)), rest_of(draw_like(one, kinds, rng), len(kinds)))
        for one in lacking
    ]
