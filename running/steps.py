"""The steps of the main job that run the network, and what they find out."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from tqdm import tqdm

from drawing.record import Curves, Seconds
from get_perturbation_mask import grad_cam, igos_mask
from patch_deletion_tree import DiverseSag
from running.explanation import curve_entries
from running.image_case import ImageCase
from scoring.curves import explanation_orders, insertion_deletion
from scoring.engine import Engine
from scoring.questions import answer
from scoring.scorer import CheckedProbabilities, MaskScorer
from search import Scorer, SearchResult

DOUBT = 0.03  # this close to the threshold bfloat16 is not trusted


@dataclass(frozen=True)
class Saliency:
    """The class's probability on the full image and on the baseline, and two saliency maps."""

    full: float
    hidden: float
    igos: torch.Tensor  # of the grid's shape; low is salient
    gradcam: np.ndarray | None  # (h, w); high is salient


@dataclass(frozen=True)
class Findings:
    """What the steps found out about one class."""

    saliency: Saliency
    searcher: MaskScorer
    exact: MaskScorer
    sag: DiverseSag
    curves: Curves | None
    scored_for_curves: int
    seconds: Seconds


@dataclass
class StepTimes:
    """How long each step takes.

    Attributes:
        start: time.monotonic() when it was made.
        seconds: of the steps that are over.
    """

    start: float = field(default_factory=time.monotonic)
    seconds: Seconds = field(default_factory=Seconds)

    @contextmanager
    def step(self, name: str, progress: tqdm, description: str) -> Iterator[None]:
        """Show a step on the progress bar, and note how long it took."""
        progress.set_description_str(description)
        start = time.monotonic()
        yield
        setattr(self.seconds, name, time.monotonic() - start)


def measure_saliency(case: ImageCase, engine: Engine, *, seed: int, deadline: float) -> Saliency:
    """Score the full image and the baseline, and make the two saliency maps."""
    module = engine.network.module
    with engine.alone:
        full, hidden = case.scorer(module, batch_size=2)([case.everything, ()]).tolist()
        igos = igos_mask(
            module,
            case.image,
            baseline=case.baseline,
            category=case.category,
            grid=case.grid,
            basis=case.region_basis,
            seed=seed,
            deadline=deadline,
        )
        gradcam = grad_cam(module, case.image, case.category)
    return Saliency(full, hidden, igos=igos, gradcam=gradcam)


def search_scorer(case: ImageCase, engine: Engine, threshold: float) -> MaskScorer:
    """Return the scorer of the search: in bfloat16 where that is on, checked near the threshold."""
    scorer = case.scorer(engine.exact, batch_size=engine.batch_size)
    if engine.reduced:
        scorer.probabilities = CheckedProbabilities(
            case.probabilities(engine.reduced),
            scorer.probabilities,
            low=threshold - DOUBT,
            high=threshold + DOUBT,
        )
    return scorer


def measure_curves(
    case: ImageCase, scorer: Scorer, saliency: Saliency, result: SearchResult
) -> Curves | None:
    """Return the insertion and deletion curves; None where time is up or the class has none."""
    if saliency.full <= 0:
        return None
    orders = explanation_orders(
        saliency.igos,
        saliency.gradcam,
        [(mse.patches, mse.probability) for mse in result.mses],
        basis=case.basis.cpu().numpy(),
        size=(case.image.shape[1], case.image.shape[2]),
    )
    try:
        return curve_entries(answer(insertion_deletion(orders, saliency.full), scorer))
    except TimeoutError:
        return None
