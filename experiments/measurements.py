"""One image under one condition of the experiments: a dict of numbers, from which all tables are made.

    finding = measure(passes, image, category, "beam15", args)          # a pure function: the same input, the same numbers
    finding["roots"], finding["evaluations"], finding["seconds"]

The conditions:

    beam3           the main job as it is: BeamS-3, graph, curves; and questions for the simulated study
    beam15          BeamS-15
    combs           CombS
    diverse         diverse search
    sis             sufficient input subsets (backward selection, disjoint)
    exhaustive      every set of up to three patches: all MSEs of these sizes
    choices         BeamS-3 again with another baseline, threshold, saliency or seed, one choice changed at a time

Everything is float32, so that costs are of one kind; each search starts with an empty memo. Only `choices` shares one
among the searches of the same baseline: it reports no seconds.
"""

import argparse
import copy
import time
import zlib
from collections.abc import Callable

import numpy as np
import torch
from tqdm import tqdm

import main_generate_sag as sag
from diverse_subset_selection import diverse_subset
from scoring.engine import Passes
from get_perturbation_mask import grad_cam, igos_mask, make_baseline
from scoring.curves import heat_order
from scoring.scorer import MaskScorer
from search import Roots
from experiments.simulated_reader import draw_questions, patch_kinds
from experiments.sufficient_input_subsets import sufficient_input_subsets

OVERLAPS = (0, 1, 2)
DIVERSE_SECONDS = 5.0  # for the largest diverse subset at each overlap
SEARCHES = {  # condition -> what differs from the main job's defaults
    "beam15": {"search": "beam", "beam_width": 15},
    "combs": {"search": "combinatorial"},
    "diverse": {"search": "diverse"},
    "exhaustive": {"search": "exhaustive"},
}
CONDITIONS = ("beam3", "beam15", "combs", "diverse", "sis", "choices", "exhaustive")
CHOICES = {  # what is changed -> its name, and options of the main job (or the source of saliency)
    "seed 1": {"seed": 1},
    "seed 2": {"seed": 2},
    "I-GOS, 15 iterations": {"saliency": "igos15"},
    "Grad-CAM": {"saliency": "gradcam"},
    "random order": {"saliency": "random"},
    "threshold 0.7": {"prob_thresh": 0.7},
    "threshold 0.5": {"prob_thresh": 0.5},
    "mean colour": {"baseline": "mean"},
    "blur": {"baseline": "blur"},
    "mixed": {"baseline": "mixed"},
}


def measure(
    passes: Passes, image: np.ndarray, category: int, condition: str, args: argparse.Namespace
) -> dict:
    """What one condition finds out about one image. image: (H, W, 3) uint8; args: the main job's options, searching in float32."""
    args = copy.copy(args)
    if condition == "beam3":
        return main_job(passes, image, category, args)
    if condition == "choices":
        return choices(passes, image, category, args)
    vars(args).update(SEARCHES.get(condition, {}))
    start = time.monotonic()
    scorer = scorer_of(passes, image, category, args)
    saliency = saliency_of(passes, image, category, args)
    masked = time.monotonic()
    if condition == "sis":
        roots = sufficient_input_subsets(scorer, args.grid**2, args.prob_thresh)
    else:
        roots = sag.run_search(scorer, saliency, args)
    searched = time.monotonic()
    return {
        **listed(roots),
        "evaluations": {"asked": scorer.asked, "scored": scorer.scored},
        "seconds": {"mask": masked - start, "search": searched - masked},
    }


def main_job(passes: Passes, image: np.ndarray, category: int, args: argparse.Namespace) -> dict:
    """The main job's findings (main_generate_sag.explain), the diverse MSEs at each overlap, and questions for the study."""
    record = sag.explain(passes, image, category, args, float("inf"), tqdm(disable=True))
    nodes = [tuple(n["patches"]) for n in record["sag"]["nodes"]]
    start, full = time.monotonic(), record["probability"]
    seed = [args.seed, zlib.crc32(image.tobytes())]
    kinds = patch_kinds((args.grid, args.grid))
    questions = (
        draw_questions(scorer_of(passes, image, category, args), kinds, full, nodes, seed)
        if full > 0
        else []
    )
    roots = Roots([], record["search"]["stopped_by"])
    roots.extend(
        sag.Root(tuple(r["patches"]), r["probability"], r["minimal"]) for r in record["roots"]
    )
    kept = (
        "category",
        "probability",
        "baseline",
        "grid",
        "saliency",
        "gradcam",
        "diverse_roots",
        "diverse_set",
        "sag",
        "curves",
        "evaluations",
    )
    return {
        **{key: record[key] for key in kept},
        **listed(roots),
        "questions": questions,
        "seconds": {**record["seconds"], "questions": time.monotonic() - start},
    }


def choices(passes: Passes, image: np.ndarray, category: int, args: argparse.Namespace) -> dict:
    """{"as it is": .., name: ..}: the roots of BeamS-3 with one choice changed at a time, and how many sets each asked about."""
    scorers, saliencies, found = {}, {}, {}
    for name, changed in {"as it is": {}, **CHOICES}.items():
        changed = dict(changed)
        source, option = changed.pop("saliency", "igos2"), copy.copy(args)
        vars(option).update(changed)
        key = (source, option.seed, option.baseline)
        if option.baseline not in scorers:
            scorers[option.baseline] = scorer_of(passes, image, category, option)
        if key not in saliencies:
            saliencies[key] = saliency_of(passes, image, category, option, source)
        if saliencies[key] is not None:  # Grad-CAM, which the network may not have
            asked, scorer = set(), scorers[option.baseline]
            roots = sag.run_search(noting(scorer, asked), saliencies[key], option)
            found[name] = {**listed(roots), "evaluations": {"scored": len(asked)}}
    return found


def noting(scorer: Callable, asked: set) -> Callable:
    """The same scorer; `asked` gathers the sets that go through it."""

    def score(patch_sets):
        asked.update(patch_sets)
        return scorer(patch_sets)

    return score


# ---------------------------------------------------------------- what the conditions share


def inputs(
    passes: Passes, image: np.ndarray, args: argparse.Namespace
) -> tuple[torch.Tensor, torch.Tensor]:
    """Image and baseline as the network gets them."""
    return passes.network.prepare(image), passes.network.prepare(
        make_baseline(image, args.baseline)
    )


def scorer_of(
    passes: Passes, image: np.ndarray, category: int, args: argparse.Namespace
) -> MaskScorer:
    """A scorer with an empty memo."""
    return MaskScorer(
        passes.exact,
        *inputs(passes, image, args),
        category,
        (args.grid, args.grid),
        passes.batch_size,
    )


def saliency_of(
    passes: Passes,
    image: np.ndarray,
    category: int,
    args: argparse.Namespace,
    source: str = "igos2",
) -> torch.Tensor | None:
    """A number a patch, low = salient: I-GOS after 2 or 15 iterations, Grad-CAM's order, or a random order."""
    x, b = inputs(passes, image, args)
    grid = (args.grid, args.grid)
    if source.startswith("igos"):
        return igos_mask(
            passes.network.module, x, b, category, grid, iterations=int(source[4:]), seed=args.seed
        )
    order = np.random.default_rng([args.seed, zlib.crc32(image.tobytes())]).permutation(
        args.grid**2
    )
    if source == "gradcam":
        heat = grad_cam(passes.network.module, x, category)
        if heat is None:
            return None
        order = heat_order(heat, grid, image.shape[:2])
    return torch.from_numpy(np.argsort(order)).float()  # the place of each patch in the order


def listed(roots: Roots) -> dict:
    """Roots as a finding has them, how the search ended, and at each overlap the number of diverse ones and whether it is surely the largest."""
    sets, sure = [r.patches for r in roots], [r.probability for r in roots]
    diverse = {
        str(o): diverse_subset(sets, sure, o, DIVERSE_SECONDS) if sets else ([], True)
        for o in OVERLAPS
    }
    return {
        "roots": [
            {"patches": list(r.patches), "probability": r.probability, "minimal": r.minimal}
            for r in roots
        ],
        "stopped_by": roots.stopped_by,
        "diverse": {o: len(subset) for o, (subset, _) in diverse.items()},
        "diverse_proven": {o: proven for o, (_, proven) in diverse.items()},
    }
