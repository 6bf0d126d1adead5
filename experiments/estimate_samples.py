"""What the study of estimates knows of each image: two records, and fresh sets with their answers.

    samples = [collect(engine, subject, folder) for subject in subjects]
    samples[0].records["diverse"].scores        # the table that an estimate may read
    samples[0].fresh                            # sets that no record knows, scored

Fresh sets are of two kinds: those of the simulated study's pairs (random sets of every size), and
sets near the image, the whole less one to six patches drawn at random or less a drawn root's, which
is what readers of a page ask first. These are drawn in pairs too: both lack as many patches of each
kind. A file that is there is not measured again.
"""

import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from drawing.estimates import maps_of
from drawing.record import Sag, Scores, pack_scores, scores_of
from experiments.findings import Question
from experiments.images import Subject
from experiments.simulated_reader import draw_like, draw_questions, patch_kinds
from main_generate_sag import explain
from running.image_case import ImageCase
from scoring.engine import Engine
from scoring.hidden import rest_of
from scoring.patch_sets import PatchSet
from scoring.questions import Asks, answer
from scoring.what_if import WhatIf, what_if_sets
from utils import write_atomically

SEARCHES = ("diverse", "beam")
BUDGETS = (0, 30, 60, 120)  # sets asked ahead beside those that lack one patch
MOST_REMOVED = 6  # patches taken from the whole image, for sets near it
NEAR_PAIRS = 4  # drawn for each number of removed patches
NEAR_GAP = 0.1  # between the relative confidences of such a pair; few differ by more
EXPANDED = 0.6  # share above which a node of the graph is expanded; lower, graphs have thousands


class Fresh(Struct, frozen=True):
    """A set that was scored for the study alone, and its confidence relative to the full image."""

    patches: PatchSet
    relative: float
    is_near: bool  # the whole image less a few patches


class Asked(Struct, frozen=True):
    """What was asked ahead with one budget."""

    drawn: list[PatchSet]  # at random
    scores: Scores


class Sample(Struct, kw_only=True):
    """One image of the study."""

    image: str
    records: dict[str, Sag]  # by search
    pairs: list[Question]
    near_pairs: list[Question]
    fresh: list[Fresh]
    asked: dict[str, dict[int, Asked]] = {}  # by search, then by budget


def collect(engine: Engine, subject: Subject, folder: Path) -> Sample:
    """Return an image's sample, measured unless its file is there."""
    path = folder / f"{subject.name}.json"
    if path.is_file():
        sample = msgspec.json.decode(path.read_bytes(), type=Sample)
    else:
        sample = measure(engine, subject)
    if sample.asked:
        return sample
    sample.asked = ask_with_budgets(engine, subject, sample)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, msgspec.json.encode(sample))
    return sample


def measure(engine: Engine, subject: Subject) -> Sample:
    """Explain an image with each search, then score fresh sets."""
    image = subject.load(engine.network.fit)
    found = {
        search: explain(engine, image, search=search, node_prob_thresh=EXPANDED, what_if_sets=0)
        for search in SEARCHES
    }
    records = {search: as_record(sag) for search, sag in found.items()}
    record = records[SEARCHES[0]]
    case = case_of(engine, image, record)
    scorer = case.scorer(engine.exact, batch_size=engine.batch_size)
    seed = [zlib.crc32(subject.name.encode())]
    pairs = draw_questions(
        scorer, patch_kinds(case.grid), full_probability=record.probability, in_sag=[], seed=seed
    )
    random_sets = list(scorer.table)
    roots = [one.roots[i].patches for one in records.values() for i in one.diverse_roots]
    drawn = draw_near_pairs(patch_kinds(case.grid), roots, seed)
    near = list(dict.fromkeys(patches for pair in drawn for patches in pair))
    scorer(near)
    known = set().union(*(scores_of(one) for one in records.values()))
    relative = {p: float(score) / record.probability for p, score in scorer.table.items()}
    fresh = [
        Fresh(patches, relative[patches], is_near)
        for sets, is_near in ((random_sets, False), (near, True))
        for patches in sets
        if patches not in known
    ]
    near_pairs = [Question(a, b, relative=(relative[a], relative[b])) for a, b in drawn]
    near_pairs = [q for q in near_pairs if abs(q.relative[0] - q.relative[1]) >= NEAR_GAP]
    return Sample(
        image=subject.name,
        records=records,
        pairs=without_known(pairs, known),
        near_pairs=without_known(near_pairs, known),
        fresh=fresh,
    )


def without_known(pairs: Sequence[Question], known: Collection[PatchSet]) -> list[Question]:
    """Return the pairs of which no set is known."""
    return [pair for pair in pairs if pair.a not in known and pair.b not in known]


def ask_with_budgets(
    engine: Engine, subject: Subject, sample: Sample
) -> dict[str, dict[int, Asked]]:
    """Return what is asked ahead with each budget, by search."""
    image = subject.load(engine.network.fit)
    found: dict[str, dict[int, Asked]] = {}
    for search, record in sample.records.items():
        case = case_of(engine, image, record)
        scorer = case.scorer(engine.exact, batch_size=engine.batch_size)
        what_if = WhatIf(
            case.num_patches,
            [record.roots[i].patches for i in record.diverse_roots],
            maps_of(record),
        )
        for budget in BUDGETS:
            asking = asked_sets(what_if, scores_of(record), budget=budget)
            drawn, sets = answer(asking, scorer)
            table = {patches: float(scorer.table[patches]) for patches in sets}
            found.setdefault(search, {})[budget] = Asked(drawn, pack_scores(table))
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
