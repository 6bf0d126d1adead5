"""The paper's user study without users: which of two partly hidden images is the classifier surer of?

Both images of a question show the same number of corner, border and inner patches, drawn at random, so that "the one that shows more"
is no answer (a border patch shows half as much as an inner one); their confidences are at least 0.2 of the full image's apart, and neither
set is a node of the SAG. A reader sees one kind of explanation and gives each image a number by a fixed rule; the larger number is its
answer, and equal numbers are half an answer (a coin).

    gradcam, igos   the heat that the shown patches let through, summed
    root            the share of the most confident drawn root's patches that is shown
    sag             see sag_reader: from the nodes of the graph and their confidences alone

    questions = draw_questions(scorer, patch_kinds((7, 7)), full_probability, nodes, seed=[0, 17])
    answers = accuracy(readers(finding, (7, 7), (224, 224)), questions)     # {"gradcam": 0.7, ..}

Shitole et al., NeurIPS 2021, section 5.2 (the study with people).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import isclose

import cv2
import numpy as np

from scoring.patches import PatchSet, tents

QUESTIONS = 10  # an image
CANDIDATES = 100  # pairs drawn to find them
GAP = 0.2  # of the full image's confidence
RIDGE = 0.1  # of the patches' effects: how strongly they are drawn to 0
TELLS = (
    0.2  # between the SAG reader's two numbers: less, and the graph says little of the difference
)
GROUPS = {
    "apart": f"the SAG's readings are {TELLS} or more apart",
    "alike": "they are less apart",
    "root": "one image alone shows a whole drawn root",
}
LEAST, MOST = 0.005, 0.995  # confidences are kept inside these before their log-odds are taken

Reader = Callable[[PatchSet], float]


# ---------------------------------------------------------------- questions


def patch_kinds(grid: tuple[int, int]) -> np.ndarray:
    """0 for an inner patch, 1 at one border, 2 in a corner, (patches,): each shows half as much of the picture as the kind before."""
    at_border = [(np.arange(n) == 0) | (np.arange(n) == n - 1) for n in grid]
    return np.add.outer(*map(np.int64, at_border)).ravel()


def draw_questions(
    scorer: Callable,
    kinds: np.ndarray,
    full_probability: float,
    in_sag: Sequence[PatchSet],
    seed,
    wanted: int = QUESTIONS,
    candidates: int = CANDIDATES,
) -> list[dict]:
    """Up to `wanted` pairs {"a": patches, "b": patches, "relative": [of a, of b]}, scored in one call.

    kinds: of each patch, (patches,). Each pair's size is drawn evenly from 1 to one less than all patches, its first set evenly from the sets
    of that size, its second evenly from those with as many patches of each kind. The pairs that are too near, or hold a node of the SAG, are
    passed over, so an image may give fewer than wanted, or none.
    """
    rng, nodes, pairs, of_kind = (
        np.random.default_rng(seed),
        set(in_sag),
        [],
        [np.flatnonzero(kinds == k) for k in np.unique(kinds)],
    )
    for _ in range(candidates):
        a = rng.choice(len(kinds), int(rng.integers(1, max(2, len(kinds)))), replace=False)
        b = np.concatenate(
            [rng.choice(some, np.isin(some, a).sum(), replace=False) for some in of_kind]
        )
        a, b = (tuple(sorted(s.tolist())) for s in (a, b))
        if a not in nodes and b not in nodes:
            pairs.append((a, b))
    scores = (
        [float(p) / full_probability for p in scorer([s for pair in pairs for s in pair])]
        if pairs
        else []
    )
    asked = [
        {"a": a, "b": b, "relative": [p, q]}
        for (a, b), p, q in zip(pairs, scores[::2], scores[1::2])
        if abs(p - q) >= GAP
    ]
    return asked[:wanted]


def accuracy(readers: Mapping[str, Reader], questions: Sequence[Mapping]) -> dict[str, float]:
    """The share of questions that each reader answers rightly, equal numbers counting one half; {} without questions."""
    return (
        {
            name: float(np.mean([right(read, q) for q in questions]))
            for name, read in readers.items()
        }
        if questions
        else {}
    )


def by_what_the_sag_tells(
    finding: Mapping, read: Reader, questions: Sequence[Mapping]
) -> dict[str, list[Mapping]]:
    """The questions in groups, to see where a reader fails: the first two share them out, the third lies across.

    read: the SAG's reader. It tells two images apart where its numbers are at least TELLS apart.
    """
    drawn = [set(finding["roots"][i]["patches"]) for i in finding["diverse_roots"]]
    groups: dict[str, list[Mapping]] = {group: [] for group in GROUPS}
    for question in questions:
        a, b = question["a"], question["b"]
        groups["apart" if abs(read(tuple(a)) - read(tuple(b))) >= TELLS else "alike"].append(
            question
        )
        if any(root.issubset(a) for root in drawn) != any(root.issubset(b) for root in drawn):
            groups["root"].append(question)
    return groups


def right(read: Reader, question: Mapping) -> float:
    """1, 0 or, for a tie, 0.5."""
    a, b = read(tuple(question["a"])), read(tuple(question["b"]))
    return (
        0.5 if tie(a, b) else float((a > b) == (question["relative"][0] > question["relative"][1]))
    )


def tie(a: float, b: float) -> bool:
    """Whether two numbers of a reader are equal, but for rounding."""
    return isclose(a, b, rel_tol=1e-5, abs_tol=1e-9)


# ---------------------------------------------------------------- readers


def readers(finding: Mapping, grid: tuple[int, int], size: tuple[int, int]) -> dict[str, Reader]:
    """The readers of one image's explanations. One without a root to read tosses a coin; without a Grad-CAM there is no such reader.

    finding: saliency, gradcam, roots, diverse_roots and sag as in a record (sag.json).
    """
    basis, area = patch_weights(grid, size)
    heat, hidden = finding["gradcam"], 1 - np.ravel(finding["saliency"])
    under = (
        None
        if heat is None
        else basis
        @ cv2.resize(np.float32(heat), size[::-1], interpolation=cv2.INTER_LINEAR).ravel()
    )
    drawn = [finding["roots"][i]["patches"] for i in finding["diverse_roots"]]
    cam = {} if under is None else {"gradcam": lambda s: float(under[list(s)].sum())}
    return {
        **cam,
        "igos": lambda s: float((hidden * area)[list(s)].sum()),
        "root": lambda s: len(set(s).intersection(drawn[0])) / len(drawn[0]) if drawn else 0.0,
        "sag": sag_reader({tuple(n["patches"]): n["relative"] for n in finding["sag"]["nodes"]}),
    }


@cache
def patch_weights(grid: tuple[int, int], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """What each patch lets through of each pixel, (patches, H*W), and of them all, (patches,); kept: every image of a run asks for the same."""
    basis = tents(grid, size).numpy()
    return basis, basis.sum(1)


def sag_reader(nodes: Mapping[PatchSet, float]) -> Reader:
    """How sure the classifier should be of a set, read from the SAG: its nodes and their relative confidences alone.

    1. Each root (a node that lies in no other) is looked up: the node of the graph that shows the most of what the set shows of this root, that
       is the most confident node below the root that the set contains. Showing more is taken not to hurt.
    2. The roots are taken to be independent chances: 1 - product of (1 - confidence).
    3. Added to that, at most a tenth: the patches' effects, log-odds that add up, fitted to all nodes (ridge regression).
       They tell apart sets that contain no confident node.
    """
    if not nodes:
        return lambda patches: 0.0
    sets = {s: frozenset(s) for s in nodes}
    roots = [s for s in nodes if not any(sets[s] < other for other in sets.values())]
    below = {
        root: [(sets[s], min(max(c, 0.0), 1.0)) for s, c in nodes.items() if sets[s] <= sets[root]]
        for root in roots
    }
    effects, constant = patch_effects(nodes)

    def read(patches: PatchSet) -> float:
        shown = set(patches)
        doubt = np.prod(
            [1 - max((c for s, c in below[root] if s <= shown), default=0.0) for root in roots]
        )
        added = constant + sum(effects.get(p, 0.0) for p in patches)
        return float(1 - doubt + 0.1 / (1 + np.exp(-added)))

    return read


def patch_effects(nodes: Mapping[PatchSet, float]) -> tuple[dict[int, float], float]:
    """What each patch of the SAG adds to the log-odds of the class, and the constant; ridge regression on all nodes."""
    patches = sorted(set().union(*nodes))
    shown = np.array([[p in s for p in patches] for s in map(set, nodes)], float).reshape(
        len(nodes), len(patches)
    )
    confidence = np.clip(list(nodes.values()), LEAST, MOST)
    odds = np.log(confidence / (1 - confidence))
    centred = shown - shown.mean(0)
    effects = np.linalg.solve(
        centred.T @ centred + RIDGE * np.eye(len(patches)), centred.T @ (odds - odds.mean())
    )
    return dict(zip(patches, effects.tolist())), float(odds.mean() - shown.mean(0) @ effects)
