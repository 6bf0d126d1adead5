"""What the study of estimates knows of each image: two records, and fresh sets with their answers.

    samples = [collect(engine, subject, folder) for subject in subjects]
    samples[0].records["diverse"].scores        # the table that an estimate may read
    samples[0].fresh                            # sets that no record knows, scored

Fresh sets are of two kinds: those of the simulated study's pairs (random sets of every size), and
sets near the image, the whole less one to six patches drawn at random, which is what readers of a
page ask first. A file that is there is not measured again.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from drawing.record import Sag, scores_of
from experiments.findings import Question
from experiments.images import Subject
from experiments.simulated_reader import draw_questions, patch_kinds
from main_generate_sag import explain
from running.image_case import ImageCase
from scoring.engine import Engine
from scoring.patch_sets import PatchSet
from utils import write_atomically

SEARCHES = ("diverse", "beam")
MOST_REMOVED = 6  # patches taken from the whole image, for sets near it
NEAR_SETS = 8  # drawn for each number of removed patches
EXPANDED = 0.6  # share above which a node of the graph is expanded; lower, graphs have thousands


class Fresh(Struct, frozen=True):
    """A set that was scored for the study alone, and its confidence relative to the full image."""

    patches: PatchSet
    relative: float
    is_near: bool  # the whole image less a few patches


class Sample(Struct, kw_only=True):
    """One image of the study."""

    image: str
    records: dict[str, Sag]  # by search
    pairs: list[Question]
    fresh: list[Fresh]


def collect(engine: Engine, subject: Subject, folder: Path) -> Sample:
    """Return an image's sample, measured unless its file is there."""
    path = folder / f"{subject.name}.json"
    if path.is_file():
        return msgspec.json.decode(path.read_bytes(), type=Sample)
    sample = measure(engine, subject)
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
    near = near_sets(case.num_patches, seed)
    scorer(near)
    known = set().union(*(scores_of(one) for one in records.values()))
    fresh = [
        Fresh(patches, float(scorer.table[patches]) / record.probability, is_near)
        for sets, is_near in ((random_sets, False), (near, True))
        for patches in sets
        if patches not in known
    ]
    pairs = [pair for pair in pairs if pair.a not in known and pair.b not in known]
    return Sample(image=subject.name, records=records, pairs=pairs, fresh=fresh)


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


def near_sets(num_patches: int, seed: Sequence[int]) -> list[PatchSet]:
    """Return the whole image less one to six patches, drawn at random, a few of each number."""
    rng = np.random.default_rng([*seed, 1])
    sets = []
    for removed in range(1, MOST_REMOVED + 1):
        for _ in range(NEAR_SETS):
            kept = rng.permutation(num_patches)[removed:]
            sets.append(tuple(sorted(kept.tolist())))
    return list(dict.fromkeys(sets))
