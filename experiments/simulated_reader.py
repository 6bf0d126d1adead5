"""The paper's user study, simulated: in which of two images is the network more confident?

Both images of a question are partly hidden. They show the same number of corner, border and inner
patches, drawn at random, so that "the one that shows more" is no answer (a border patch shows half
as much as an inner one). Their relative confidences differ by at least 0.2, and neither set is a
node of the SAG. A reader sees one kind of explanation and gives each image a number by a fixed
rule. The larger number is its answer; equal numbers count as half an answer, as if a coin were
tossed.

    gradcam, igos   the sum of the saliency map over what the shown patches let through
    map             the sum of the map of all MSEs over the shown patches (explanation_map.py)
    root            the share of the most confident drawn root's patches that is shown
    sag             see sag_reader: from the nodes of the graph and their confidences alone

    questions = draw_questions(
        scorer, patch_kinds((7, 7)), full_probability=0.98, in_sag=nodes, seed=[0, 17]
    )
    accuracy(readers(finding, (7, 7), (224, 224)), questions)           # {"gradcam": 0.7, ..}

Shitole et al., NeurIPS 2021, section 5.2 (the study with people).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from math import isclose
from typing import Protocol

import cv2
import numpy as np
from scipy.special import expit, logit

from drawing.record import Graph
from experiments.findings import Question
from scoring.explanation_map import explanation_map
from scoring.patch_sets import PatchSet
from scoring.patches import tents

QUESTIONS = 10  # per image
CANDIDATES = 100  # pairs drawn to find them
GAP = 0.2  # between the relative confidences of a question's two images
RIDGE = 0.1  # how strongly the effects of patches are drawn to 0
DISTINCT = 0.2  # from this difference of its two numbers on, the SAG reader tells the images apart
TIE_BREAK = 0.1  # weight of the fitted effects beside the SAG reader's look-up
LOWEST = 0.005  # confidences are clipped to these before their log-odds are taken
HIGHEST = 0.995
GROUPS = {
    "apart": f"the SAG's readings are {DISTINCT} or more apart",
    "alike": "they are less apart",
    "root": "one image alone shows a whole drawn root",
}

Reader = Callable[[PatchSet], float]


class HasPatches(Protocol):
    """An MSE, as a record or a finding has it."""

    @property
    def patches(self) -> PatchSet:
        """Its patches."""


class Explained(Protocol):
    """What the readers see of an image: a sag.json, or the main job's finding."""

    saliency: list[float]
    gradcam: list[list[float]] | None
    diverse_roots: list[int]
    sag: Graph

    @property
    def roots(self) -> Sequence[HasPatches]:
        """All MSEs; diverse_roots are indices into them."""


# ---------------------------------------------------------------- questions


def patch_kinds(grid: tuple[int, int]) -> np.ndarray:
    """Return 0 for each inner patch, 1 for one at a border, 2 for one in a corner.

    Each kind shows half as much of the image as the kind before.

    Returns:
        Integer array of shape (num_patches,), row by row of the grid.
    """
    rows, columns = grid
    return np.add.outer(_at_border(rows), _at_border(columns)).ravel()


def _at_border(length: int) -> np.ndarray:
    index = np.arange(length)
    return ((index == 0) | (index == length - 1)).astype(np.int64)


def draw_questions(
    scorer: Callable,
    kinds: np.ndarray,
    *,
    full_probability: float,
    in_sag: Sequence[PatchSet],
    seed: int | Sequence[int],
    wanted: int = QUESTIONS,
    candidates: int = CANDIDATES,
) -> list[Question]:
    """Return pairs of patch sets whose confidences differ, all candidates scored in one call.

    The size of each pair is drawn evenly from 1 to one less than all patches, its first set evenly
    from the sets of that size, its second evenly from those with as many patches of each kind.

    Args:
        scorer: A callable from patch sets to probabilities.
        kinds: The kind of each patch (see `patch_kinds`), shape (num_patches,).
        full_probability: Probability of the full image.
        in_sag: Nodes of the SAG; pairs that hold one of them are left out.
        seed: Of numpy.random.default_rng.
        wanted: Most questions to return; fewer where fewer pairs are far enough apart.
        candidates: Number of pairs to draw.
    """
    rng = np.random.default_rng(seed)
    nodes = set(in_sag)
    drawn = [_draw_pair(rng, kinds) for _ in range(candidates)]
    pairs = [(a, b) for a, b in drawn if a not in nodes and b not in nodes]
    if not pairs:
        return []
    sets = [patches for pair in pairs for patches in pair]
    scores = [float(score) / full_probability for score in scorer(sets)]
    questions = [
        Question(a, b, relative=(of_a, of_b))
        for (a, b), of_a, of_b in zip(pairs, scores[::2], scores[1::2])
        if abs(of_a - of_b) >= GAP
    ]
    return questions[:wanted]


def _draw_pair(rng: np.random.Generator, kinds: np.ndarray) -> tuple[PatchSet, PatchSet]:
    """Return two random patch sets with the same number of patches of each kind."""
    size = int(rng.integers(1, max(2, len(kinds))))
    a = tuple(sorted(rng.choice(len(kinds), size, replace=False).tolist()))
    return a, draw_like(a, kinds, rng)


def draw_like(patches: PatchSet, kinds: np.ndarray, rng: np.random.Generator) -> PatchSet:
    """Return a random set with as many patches of each kind as a set has.

    Args:
        patches: The set.
        kinds: The kind of each patch, shape (num_patches,).
        rng: Draws it.
    """
    parts = []
    for kind in np.unique(kinds):
        of_kind = np.flatnonzero(kinds == kind)
        parts.append(rng.choice(of_kind, np.isin(of_kind, patches).sum(), replace=False))
    return tuple(sorted(np.concatenate(parts).tolist()))


# ---------------------------------------------------------------- answers


def without_known(pairs: Sequence[Question], known: Collection[PatchSet]) -> list[Question]:
    """Return the pairs of which no set is known."""
    return [pair for pair in pairs if pair.a not in known and pair.b not in known]


def accuracy(readers: Mapping[str, Reader], questions: Sequence[Question]) -> dict[str, float]:
    """Return each reader's share of right answers, a tie counting half; {} without questions."""
    if not questions:
        return {}
    return {
        name: float(np.mean([mark(read, question) for question in questions]))
        for name, read in readers.items()
    }


def mark(read: Reader, question: Question) -> float:
    """Return 1 for a reader's right answer, 0 for a wrong one, 0.5 for a tie."""
    a = read(question.a)
    b = read(question.b)
    if is_tie(a, b):
        return 0.5
    says_a = a > b
    is_a = question.relative[0] > question.relative[1]
    return float(says_a == is_a)


def is_tie(a: float, b: float) -> bool:
    """Return whether two numbers of a reader are equal but for rounding."""
    return isclose(a, b, rel_tol=1e-5, abs_tol=1e-9)


def group_questions(
    finding: Explained, read: Reader, questions: Sequence[Question]
) -> dict[str, list[Question]]:
    """Return the questions by what the SAG tells of them, to see where a reader fails.

    Args:
        finding: The image's explanations.
        read: The SAG's reader.
        questions: Questions about the image.

    Returns:
        A list for each of GROUPS. Every question is either "apart" or "alike"; "root" lies across.
    """
    roots = [set(finding.roots[i].patches) for i in finding.diverse_roots]
    groups: dict[str, list[Question]] = {group: [] for group in GROUPS}
    for question in questions:
        difference = abs(read(question.a) - read(question.b))
        groups["apart" if difference >= DISTINCT else "alike"].append(question)
        root_in_a = any(root.issubset(question.a) for root in roots)
        root_in_b = any(root.issubset(question.b) for root in roots)
        if root_in_a != root_in_b:
            groups["root"].append(question)
    return groups


# ---------------------------------------------------------------- readers


def readers(finding: Explained, grid: tuple[int, int], size: tuple[int, int]) -> dict[str, Reader]:
    """Return the readers of one image's explanations, by name.

    A reader without a root to read tosses a coin; without a Grad-CAM there is no such reader.

    Args:
        finding: The image's explanations.
        grid: Rows and columns of patches.
        size: Height and width of the image in pixels.
    """
    basis, area = patch_weights(grid, size)
    made: dict[str, Reader] = {}
    if finding.gradcam is not None:
        height, width = size
        coarse = np.asarray(finding.gradcam, np.float32)
        saliency_map = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        made["gradcam"] = map_reader(basis @ saliency_map.ravel())
    made["igos"] = map_reader((1 - np.ravel(finding.saliency)) * area)
    mses = [root.patches for root in finding.roots]
    made["map"] = map_reader(explanation_map(mses, len(area)))
    roots = [finding.roots[i].patches for i in finding.diverse_roots]
    made["root"] = root_reader(roots[0] if roots else ())
    made["sag"] = sag_reader({node.patches: node.relative for node in finding.sag.nodes})
    return made


def map_reader(weights: np.ndarray) -> Reader:
    """Return a reader that adds up one weight per patch, (num_patches,)."""
    return lambda patches: float(weights[list(patches)].sum())


def root_reader(root: PatchSet) -> Reader:
    """Return a reader of one root: the share of its patches that is shown."""
    if not root:
        return lambda patches: 0.0
    return lambda patches: len(set(patches).intersection(root)) / len(root)


@cache
def patch_weights(grid: tuple[int, int], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return what each patch lets through of each pixel, and of all of them.

    Cached, as every image of a run asks for the same.

    Returns:
        Arrays of shapes (num_patches, H * W) and (num_patches,).
    """
    basis = tents(grid, size).numpy()
    return basis, basis.sum(1)


def sag_reader(nodes: Mapping[PatchSet, float]) -> Reader:
    """Return a reader of the SAG: the confidence to expect of a set, from the nodes alone.

    1. Each root (a node contained in no other) is looked up: the most confident node below it that
       the set contains. Showing more is assumed not to hurt.
    2. The roots are taken as independent chances: 1 - product of (1 - confidence).
    3. At most a tenth is added for the effects of patches, log-odds that add up, fitted to all
       nodes by ridge regression. They tell apart sets that contain no confident node.

    Args:
        nodes: Relative confidence of each node's patch set.
    """
    if not nodes:
        return lambda patches: 0.0
    below = _nodes_below_roots(nodes)
    effects, constant = patch_effects(nodes)

    def read(patches: PatchSet) -> float:
        shown = set(patches)
        doubt = 1.0
        for contained in below:
            doubt *= 1 - max((c for node, c in contained if node <= shown), default=0.0)
        log_odds = constant + sum(effects.get(patch, 0.0) for patch in patches)
        return float(1 - doubt + TIE_BREAK * expit(log_odds))

    return read


def _nodes_below_roots(
    nodes: Mapping[PatchSet, float],
) -> list[list[tuple[frozenset[int], float]]]:
    """Return, for each root, the nodes that it contains with their confidences within [0, 1]."""
    sets = {frozenset(patches): min(max(c, 0.0), 1.0) for patches, c in nodes.items()}
    roots = [one for one in sets if not any(one < other for other in sets)]
    return [[(node, c) for node, c in sets.items() if node <= root] for root in roots]


def patch_effects(nodes: Mapping[PatchSet, float]) -> tuple[dict[int, float], float]:
    """Return what each patch of the SAG adds to the log-odds of the class, and the constant.

    Ridge regression on all nodes.

    Args:
        nodes: Relative confidence of each node's patch set.
    """
    patches = sorted(set().union(*nodes))
    shown = np.zeros((len(nodes), len(patches)))  # (nodes, patches)
    for row, node in zip(shown, nodes):
        row[:] = [patch in node for patch in patches]
    log_odds = logit(np.clip(list(nodes.values()), LOWEST, HIGHEST))
    centred = shown - shown.mean(0)
    effects = np.linalg.solve(
        centred.T @ centred + RIDGE * np.eye(len(patches)),
        centred.T @ (log_odds - log_odds.mean()),
    )
    constant = float(log_odds.mean() - shown.mean(0) @ effects)
    return dict(zip(patches, effects.tolist())), constant
