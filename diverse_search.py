"""Diverse search: small explanations that overlap little, for few evaluations.

A beam that has found one MSE goes on finding its neighbours, and the diverse subset then throws them away. This search
takes no set that shares more than `overlap` patches with an MSE that it has. A few paths grow at once, a patch at a
time, each to the best of a few promising successors. One that becomes sufficient is minimised and proven (search.py),
and from then on blocks its neighbourhood.

What is promising is learned from every set scored so far: the log-odds of the class are fitted as a sum of patch
values (ridge regression towards what each patch says alone). A set's values give the size at which it
should become sufficient; the set that lacks least starts the next path, and a path that would grow too large ends.

    roots = diverse_search(scorer, saliency, overlap=1, max_num_roots=10)

Not in the paper; the constraint is that of its diverse subset (Shitole et al., NeurIPS 2021, section 4.2).
"""

from collections.abc import Sequence
from math import inf

import numpy as np

from search import (
    PROVEN_UP_TO,
    PatchSet,
    Root,
    Roots,
    Scorer,
    drop_singles,
    opening,
    prove,
    salient_order,
)

RIDGE = 2.0  # how many sets must contradict what a patch says alone before it is believed
LEAST_VALUE = 0.05  # log-odds; every patch is hoped to add this much
LACK_WEIGHT = 10.0  # how much a patch that a set still lacks counts against one that it has
WIDEN = 1.5  # the largest size worth trying grows by this where no path is left to start


def diverse_search(
    scorer: Scorer,
    saliency,
    prob_thresh: float = 0.9,
    overlap: int = 1,
    max_num_roots: int = 10,
    max_root_size: int = 49,
    max_evaluations: float = 2000,
    num_paths: int = 4,
    num_successors: int = 5,
) -> Roots:
    """MSEs no two of which share more than `overlap` patches.

    saliency: a number a patch, low = salient; breaks ties. num_paths: sets that grow at once (fuller batches).
    num_successors: patches that a path tries at each step. Ends with stopped_by "max_num_roots"; "max_evaluations", after
    so many different sets; "rest_insufficient", for overlap 0, where the patches outside of all MSEs are insufficient
    together; or "exhausted", no set being left to start from.
    """
    order = salient_order(saliency)
    stopped_by, threshold = opening(scorer, len(order), prob_thresh)
    if stopped_by:
        return Roots(stopped_by=stopped_by)
    known, found, paths, begun, worth = Known(scorer, len(order)), {}, [], {()}, PROVEN_UP_TO
    sufficient: list[PatchSet] = [(p,) for p in order]
    try:
        known.score([(), *sufficient])
        sufficient = [s for s in sufficient if known.of(s) > threshold]
        while True:
            take(known, sufficient, found, overlap, threshold, max_num_roots)
            if len(found) >= max_num_roots:
                return Roots(found.values(), "max_num_roots")
            if sufficient and overlap == 0 and _rest(known, found, order) <= threshold:
                return Roots(found.values(), "rest_insufficient")
            if len(known.sets) >= max_evaluations:
                return Roots(found.values(), "max_evaluations")
            outlook = Outlook(known, order, list(found), overlap, threshold)
            paths = [
                s
                for s in paths
                if len(s) < max_root_size and outlook.open(s) and outlook.size(s) <= worth
            ]
            for start in outlook.most_promising():
                if len(paths) == num_paths or outlook.size(start) > worth:
                    break
                if (
                    start not in begun
                    and len(start) < max_root_size
                    and not _overlaps(start, paths, overlap)
                ):
                    paths.append(start)
            if not paths and (worth == inf or found and worth > len(order)):
                return Roots(found.values(), "exhausted")
            if not paths:  # while nothing is found, however little the values promise: all patches together are sufficient
                worth = worth * WIDEN if worth <= len(order) else inf
            begun.update(paths)
            paths, sufficient = step(known, paths, outlook, num_successors, threshold)
            begun.update(paths)
    except TimeoutError:
        return Roots(found.values(), "time_limit")


def take(
    known: "Known",
    sufficient: Sequence[PatchSet],
    found: dict[PatchSet, Root],
    overlap: int,
    threshold: float,
    limit: int,
) -> None:
    """Minimise and prove sufficient sets, and add what overlaps no MSE too much to those found, at most limit of them."""
    for candidate in sorted(
        drop_singles(known.score, sufficient, threshold), key=lambda s: (len(s), -known.of(s), s)
    ):
        if not _overlaps(candidate, found, overlap):
            for root in prove(known.score, [candidate], threshold):
                if not _overlaps(root.patches, found, overlap) and len(found) < limit:
                    found[root.patches] = root


def step(
    known: "Known",
    paths: Sequence[PatchSet],
    outlook: "Outlook",
    num_successors: int,
    threshold: float,
) -> tuple[list, list]:
    """Every path to the best of its promising successors, all scored in one call. -> (paths, sets now sufficient)."""
    successors = {s: outlook.successors(s)[:num_successors] for s in paths}
    known.score(sorted({c for cs in successors.values() for c in cs}))
    best = dict.fromkeys(max(cs, key=known.of) for cs in successors.values() if cs)
    return [s for s in best if known.of(s) <= threshold], [
        s for s in best if known.of(s) > threshold
    ]


class Known:
    """Every set scored so far: sets, their scores, and as rows of shown (sets, patches), 0 or 1."""

    def __init__(self, scorer: Scorer, num_patches: int):
        self.scorer = scorer
        self.sets: list[PatchSet] = []
        self.scores: list[float] = []
        self.row: dict[PatchSet, int] = {}
        self.shown = np.zeros((0, num_patches), np.float32)

    def of(self, patches: PatchSet) -> float:
        """The score of a set that has been scored."""
        return self.scores[self.row[patches]]

    def score(self, sets: Sequence[PatchSet]) -> list[float]:
        """A scorer that takes notes."""
        answers = [float(p) for p in self.scorer(sets)] if len(sets) else []
        new = {s: p for s, p in zip(sets, answers) if s not in self.row}
        rows = np.zeros((len(new), self.shown.shape[1]), np.float32)
        for row, (patches, p) in zip(rows, new.items()):
            row[list(patches)] = 1
            self.row[patches] = len(self.sets)
            self.sets.append(patches)
            self.scores.append(p)
        self.shown = np.concatenate([self.shown, rows])
        return answers


class Outlook:
    """What may still become of each known set, now that these MSEs are found.

    lack: how many more patches a set should need to become sufficient, its best allowed ones first, if patch
    values added up. A set is open while it is insufficient, contains no MSE and overlaps none too much.
    """

    def __init__(
        self,
        known: Known,
        order: list[int],
        found: Sequence[PatchSet],
        overlap: int,
        threshold: float,
    ):
        roots = np.zeros((len(found), len(order)), np.float32)
        for row, patches in zip(roots, found):
            row[list(patches)] = 1
        shared, scores = known.shown @ roots.T, np.array(known.scores)  # (sets, roots), (sets,)
        odds = log_odds(scores)
        values = patch_values(known.shown, odds)
        most = np.minimum(overlap, roots.sum(1) - 1)  # what contains a whole MSE is not minimal
        self.known, self.is_open = known, (shared <= most).all(1) & (scores <= threshold)
        self.allowed = (known.shown == 0) & (
            (shared == most).astype(np.float32) @ roots == 0
        )  # (sets, patches)
        self.lack = _lack(
            np.where(self.allowed, np.maximum(values, LEAST_VALUE), 0), log_odds(threshold) - odds
        )
        self.ranked = sorted(order, key=lambda p: -values[p])  # stable: ties by saliency

    def open(self, patches: PatchSet) -> bool:
        return bool(self.is_open[self.known.row[patches]])

    def size(self, patches: PatchSet) -> float:
        """The number of patches at which the set should become sufficient."""
        return len(patches) + float(self.lack[self.known.row[patches]])

    def most_promising(self) -> list[PatchSet]:
        """All open sets, those that lack least first, ties to the smaller."""
        cost = self.known.shown.sum(1) + (1 + LACK_WEIGHT) * self.lack
        return [self.known.sets[i] for i in np.argsort(cost, kind="stable") if self.is_open[i]]

    def successors(self, patches: PatchSet) -> list[PatchSet]:
        """The set with one more allowed patch, the most valuable first."""
        allowed = self.allowed[self.known.row[patches]]
        return [tuple(sorted((*patches, p))) for p in self.ranked if allowed[p]]


def patch_values(shown: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """What each patch adds to the class's log-odds, (patches,), fitted to all sets scored.

    shown: (sets, patches), 0 or 1, with every single patch among them; odds: (sets,). Ridge regression towards the
    log-odds of each single patch over those of the weakest, which is hopeful: networks answer to patches together.
    """
    single = shown.sum(1) == 1
    alone = np.zeros(shown.shape[1])
    alone[shown[single].argmax(1)] = odds[single]
    prior = alone - alone.min()
    centred, left = shown - shown.mean(0), odds - shown @ prior
    return prior + np.linalg.solve(
        centred.T @ centred + RIDGE * np.eye(len(prior)), centred.T @ (left - left.mean())
    )


def log_odds(probability) -> np.ndarray:
    """log p / (1 - p), with p kept 1e-6 away from 0 and 1."""
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


def _lack(gains: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """How many of each row's gains (sets, patches), largest first, sum to what is needed (sets,); fractions count."""
    gains = np.sort(gains, 1)[:, ::-1]
    sums = np.cumsum(gains, 1)
    whole = (sums < needed[:, None]).sum(1)
    rows, patches = np.arange(len(gains)), gains.shape[1]
    before = np.where(whole > 0, sums[rows, np.maximum(whole - 1, 0)], 0)
    last = gains[rows, np.minimum(whole, patches - 1)]
    return np.where(
        whole < patches, whole + (needed - before) / np.maximum(last, 1e-9), patches + 1
    )


def _overlaps(patches: PatchSet, others, overlap: int) -> bool:
    return any(len(set(patches).intersection(o)) > overlap for o in others)


def _rest(known: Known, found, order: list[int]) -> float:
    return known.score([tuple(sorted(set(order).difference(*found)))])[0]
