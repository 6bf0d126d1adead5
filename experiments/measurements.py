"""One image under one condition of the experiments: findings, from which all tables are made.

    settings = MainJobSettings()
    finding = measure(engine, image, category, condition="beam15", settings=settings)
    finding.roots, finding.evaluations, finding.seconds

The conditions:

    beam3           the main job as it is: BeamS-3, graph, curves; questions for the simulated study
    beam15          BeamS-15
    combs           CombS
    diverse         diverse search
    sis             sufficient input subsets (backward selection, disjoint)
    exhaustive      every set of up to three patches: all MSEs of these sizes
    orders, budgets, first
                    searches held to a number of sets; see experiments/held_searches.py
    choices         BeamS-3 with another baseline, threshold, saliency or seed, one at a time
    estimates       records of two searches, and sets that they lack; see estimate_samples.py

The same input gives the same findings, but for seconds. Everything is float32, so that costs are
comparable, and each search starts with an empty memo. Only the choices and what is held to a number
of sets share one among the searches with the same baseline; they report no seconds, and the latter
use the engine's reduced precision, where it has one, as the main job does.
"""

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from msgspec import Struct

from diverse_subset_selection import diverse_subset
from drawing.record import Root
from experiments.counting import CountingScorer
from experiments.estimate_samples import measure_estimates
from experiments.findings import (
    HELD,
    ChoiceFinding,
    Choices,
    Cost,
    EstimatesFinding,
    FoundRoot,
    Held,
    MainJobFinding,
    MainJobSeconds,
    Question,
    Scored,
    SearchFinding,
    SearchSeconds,
)
from experiments.held_searches import Scores, measure_budgets, measure_first, measure_orders
from experiments.rows import AS_IT_IS, MAIN_JOB, SMALL
from experiments.simulated_reader import draw_questions, patch_kinds
from experiments.sufficient_input_subsets import sufficient_input_subsets
from get_perturbation_mask import grad_cam, igos_mask, integrated_gradient
from main_generate_sag import explain
from running.image_case import ImageCase
from running.searches import search_of
from scoring.curves import map_order
from scoring.engine import Engine
from scoring.questions import answer
from scoring.scorer import MaskScorer
from search import MSE, SearchResult

OVERLAPS = (0, 1, 2)
DIVERSE_SECONDS = 5.0  # for the largest diverse subset at each overlap


@dataclass(frozen=True)
class MainJobSettings:
    """The settings of main_generate_sag.py that a measurement depends on, with its defaults."""

    seed: int = 0
    search: Literal["beam", "combinatorial", "exhaustive", "diverse"] = "beam"
    beam_width: int = 3
    num_successors: int = 15
    max_num_roots: int = 10
    max_root_size: int = 49
    comb_top: int = 20
    comb_size: int = 4
    exhaustive_size: int | str = "auto"
    prob_thresh: float = 0.9
    node_prob_thresh: float = 0.4
    overlap_thresh: int = 1
    num_roots_sag: int = 3
    baseline: str = "black"
    grid: int = 7
    full_curves: bool = True  # the main job's default is False
    proof_sets: int = 0  # as in the paper; the main job's default is 200
    fill_up: bool = False  # as in the paper; the main job's default is True
    what_if_sets: int = 0  # as in the paper; the main job's default is 60

    @property
    def num_patches(self) -> int:
        """Number of patches of the grid."""
        return self.grid**2


# What each condition changes of the main job's settings.
CONDITIONS: dict[str, dict[str, Any]] = {
    "beam3": {},
    "beam15": {"search": "beam", "beam_width": 15},
    "combs": {"search": "combinatorial"},
    "diverse": {"search": "diverse"},
    "sis": {},
    "choices": {},
    "exhaustive": {"search": "exhaustive", "exhaustive_size": SMALL},
    "orders": {},
    "budgets": {},
    "first": {},
    "estimates": {
        "proof_sets": 200,  # these three as in the main job
        "fill_up": True,
        "full_curves": False,
        "node_prob_thresh": 0.6,  # lower, the graphs of photos have thousands of nodes
    },
}
ORDERS = {  # of patches, by name in the table
    AS_IT_IS: "igos2",
    "I-GOS, 15 iterations": "igos15",
    "integrated gradient alone": "gradient",
    "Grad-CAM": "gradcam",
    "each patch alone, scored once": "singles",
}


def condition_settings(condition: str, settings: MainJobSettings) -> MainJobSettings:
    """Return the settings of a condition."""
    return replace(settings, **CONDITIONS[condition])


# ---------------------------------------------------------------- the choices


class Choice(Struct, frozen=True, omit_defaults=True):
    """What one choice changes: the source of the saliency, and settings that are not None."""

    saliency: Literal["igos2", "igos15", "gradcam", "random"] = "igos2"
    seed: int | None = None
    prob_thresh: float | None = None
    baseline: str | None = None

    def apply(self, settings: MainJobSettings) -> MainJobSettings:
        """Return the settings with this choice."""
        changes = {"seed": self.seed, "prob_thresh": self.prob_thresh, "baseline": self.baseline}
        wanted: dict[str, Any] = {k: v for k, v in changes.items() if v is not None}
        return replace(settings, **wanted)


CHOICES = {
    "seed 1": Choice(seed=1),
    "seed 2": Choice(seed=2),
    "I-GOS, 15 iterations": Choice(saliency="igos15"),
    "Grad-CAM": Choice(saliency="gradcam"),
    "random order": Choice(saliency="random"),
    "threshold 0.7": Choice(prob_thresh=0.7),
    "threshold 0.5": Choice(prob_thresh=0.5),
    "mean colour": Choice(baseline="mean"),
    "blur": Choice(baseline="blur"),
    "mixed": Choice(baseline="mixed"),
}


# ---------------------------------------------------------------- the conditions


def measure(
    engine: Engine,
    image: np.ndarray,
    category: int,
    *,
    condition: str,
    settings: MainJobSettings,
) -> MainJobFinding | SearchFinding | Choices | Held | EstimatesFinding:
    """Return what one condition finds out about one image.

    Args:
        engine: The network; a reduced precision is used only where the docstring above says so.
        image: (H, W, 3) uint8, at the network's input size.
        category: Index of the class to explain.
        condition: One of CONDITIONS.
        settings: The main job's settings; the condition's own changes are made here.
    """
    problem = Problem(
        engine, image, category=category, settings=condition_settings(condition, settings)
    )
    if condition == MAIN_JOB:
        return measure_main_job(problem)
    if condition == "choices":
        return measure_choices(problem)
    if condition == "estimates":
        return measure_estimates(
            engine,
            image,
            category,
            settings=asdict(problem.settings),
            seed=problem.random_seed(),
        )
    if condition in HELD:
        return measure_held(problem, condition)
    return measure_search(problem, sis_search if condition == "sis" else run_search)


@dataclass(frozen=True, eq=False)
class Problem:
    """One class of one image, to be explained with these settings."""

    engine: Engine
    image: np.ndarray  # (H, W, 3) uint8
    category: int
    settings: MainJobSettings

    @cached_property
    def case(self) -> ImageCase:
        """The image prepared for scoring."""
        return ImageCase.of(
            self.engine.network,
            self.image,
            category=self.category,
            baseline=self.settings.baseline,
            grid=(self.settings.grid, self.settings.grid),
        )

    def new_scorer(self) -> MaskScorer:
        """Return a scorer with an empty memo."""
        return self.case.scorer(self.engine.exact, batch_size=self.engine.batch_size)

    def random_seed(self) -> list[int]:
        """Return the seed of what is drawn at random for this image."""
        return [self.settings.seed, zlib.crc32(self.image.tobytes())]


def measure_main_job(problem: Problem) -> MainJobFinding:
    """Return the main job's findings, the diverse MSEs at each overlap, and questions."""
    sag = explain(
        problem.engine,
        problem.image,
        category=problem.category,
        **asdict(problem.settings),
    )
    start = time.monotonic()
    questions: list[Question] = []
    if sag.probability > 0:
        questions = draw_questions(
            problem.new_scorer(),
            patch_kinds(problem.case.grid),
            full_probability=sag.probability,
            in_sag=[node.patches for node in sag.sag.nodes],
            seed=problem.random_seed(),
        )
    drawn = time.monotonic()
    return MainJobFinding(
        **found_roots(sag.roots, sag.search.stopped_by),
        category=sag.category,
        probability=sag.probability,
        baseline=sag.baseline,
        grid=sag.grid,
        saliency=sag.saliency,
        gradcam=sag.gradcam,
        diverse_roots=sag.diverse_roots,
        diverse_set=sag.diverse_set,
        sag=sag.sag,
        curves=sag.curves,
        evaluations=sag.evaluations,
        questions=questions,
        seconds=MainJobSeconds(
            mask=sag.seconds.mask,
            search=sag.seconds.search,
            tree=sag.seconds.tree,
            curves=sag.seconds.curves,
            questions=drawn - start,
        ),
    )


def measure_search(problem: Problem, search: Callable) -> SearchFinding:
    """Return what a search finds, what it asks for, and how long it takes.

    Args:
        problem: The image and settings.
        search: `run_search` or `sis_search`.
    """
    start = time.monotonic()
    scorer = problem.new_scorer()
    saliency = saliency_of(problem)
    masked = time.monotonic()
    found = search(scorer, saliency, problem.settings)
    searched = time.monotonic()
    return SearchFinding(
        **found_roots(found.mses, found.stopped_by),
        evaluations=Cost(scorer.asked, scorer.scored),
        seconds=SearchSeconds(masked - start, searched - masked),
    )


def measure_choices(problem: Problem) -> Choices:
    """Return the roots of BeamS-3 as it is and with each choice changed.

    Their evaluations are the different sets that each search asked for.
    """
    scorers: dict[str, MaskScorer] = {}  # by baseline
    saliencies: dict[tuple, torch.Tensor | None] = {}
    found: Choices = {}
    for name, choice in {AS_IT_IS: Choice(), **CHOICES}.items():
        changed = replace(problem, settings=choice.apply(problem.settings))
        baseline = changed.settings.baseline
        saliency_key = (choice.saliency, changed.settings.seed, baseline)
        if baseline not in scorers:
            scorers[baseline] = changed.new_scorer()
        if saliency_key not in saliencies:
            saliencies[saliency_key] = saliency_of(changed, choice.saliency)
        saliency = saliencies[saliency_key]
        if saliency is None:  # no Grad-CAM of this network
            continue
        scorer = CountingScorer(scorers[baseline])
        result = run_search(scorer, saliency, settings=changed.settings)
        found[name] = ChoiceFinding(
            **found_roots(result.mses, result.stopped_by),
            evaluations=Scored(len(scorer.asked)),
        )
    return found


def measure_held(problem: Problem, condition: str) -> Held:
    """Return what searches found that were held to a number of sets."""
    prob_thresh = problem.settings.prob_thresh
    scores = Scores(problem.engine, problem.case.slot, prob_thresh)
    if condition == "orders":
        orders = {name: saliency_of(problem, source) for name, source in ORDERS.items()}
        return measure_orders(scores, orders, prob_thresh)
    saliency = saliency_of(problem)
    assert saliency is not None  # only Grad-CAM may be missing
    if condition == "budgets":
        return measure_budgets(scores, saliency, prob_thresh)
    return measure_first(scores, saliency, prob_thresh)


# ---------------------------------------------------------------- searches


def run_search(scorer: Callable, saliency: torch.Tensor, settings: MainJobSettings) -> SearchResult:
    """Run the search that the settings name."""
    return answer(search_of(settings, saliency), scorer)


def sis_search(scorer: Callable, saliency: torch.Tensor, settings: MainJobSettings) -> SearchResult:
    """Run the search for sufficient input subsets."""
    search = sufficient_input_subsets(saliency.numel(), prob_thresh=settings.prob_thresh)
    return answer(search, scorer)


# ---------------------------------------------------------------- saliency, roots


def saliency_of(problem: Problem, source: str = "igos2") -> torch.Tensor | None:
    """Return one number per patch; lower values are more salient.

    Args:
        problem: The image and settings.
        source: "igos2" or "igos15", the I-GOS mask after so many iterations; or each patch's place
            in another order: "gradient", the integrated gradient at the whole image; "gradcam";
            "singles", the confidence of each patch alone; "random".

    Returns:
        Tensor of num_patches elements; None where the network has no Grad-CAM.
    """
    case = problem.case
    module = problem.engine.network.module
    if source.startswith("igos"):
        return igos_mask(
            module,
            case.slot.image,
            case.slot.baseline,
            category=case.category,
            grid=case.grid,
            iterations=int(source.removeprefix("igos")),
            seed=problem.settings.seed,
        )
    if source == "gradient":
        return -gradient_of(problem)
    if source == "singles":
        scores = problem.new_scorer()([(patch,) for patch in range(case.num_patches)])
        return -torch.tensor(list(scores))
    if source == "gradcam":
        saliency_map = grad_cam(module, case.slot.image, category=case.category)
        if saliency_map is None:
            return None
        basis = case.slot.basis.to(torch.device("cpu"))
        order = map_order(saliency_map, basis, size=problem.image.shape[:2])
    else:
        rng = np.random.default_rng(problem.random_seed())
        order = rng.permutation(case.num_patches).tolist()
    places = np.argsort(order)
    return torch.from_numpy(places).float()


def gradient_of(problem: Problem) -> torch.Tensor:
    """Return the integrated gradient at the whole image, of the grid's shape."""
    case = problem.case
    return integrated_gradient(
        problem.engine.network.module,
        case.slot.image,
        case.slot.baseline,
        category=case.category,
        grid=case.grid,
        seed=problem.settings.seed,
    )


def found_roots(mses: Sequence[MSE | Root], stopped_by: str) -> dict[str, Any]:
    """Return the fields of FoundRoots: the MSEs, and the largest diverse subset at each overlap."""
    sets = [mse.patches for mse in mses]
    confidences = [mse.probability for mse in mses]
    subsets = {
        overlap: diverse_subset(sets, confidences, overlap=overlap, time_limit=DIVERSE_SECONDS)
        for overlap in OVERLAPS
    }
    return {
        "roots": [FoundRoot(mse.patches, mse.probability, minimal=mse.minimal) for mse in mses],
        "stopped_by": stopped_by,
        "diverse": {overlap: len(subset.chosen) for overlap, subset in subsets.items()},
        "diverse_proven": {overlap: subset.proven for overlap, subset in subsets.items()},
    }
