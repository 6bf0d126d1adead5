"""The steps of the main job that run the network, and what they find out.

Each step is a generator of requests to the engine (scoring/requests.py), so that many images can
advance in one thread.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from drawing.record import Curves, Seconds
from get_perturbation_mask import TV, AsksSoftly, Regularisers, grad_cam, igos
from patch_deletion_tree import DiverseSag
from running.explanation import curve_entries
from running.image_case import ImageCase
from scoring.answerer import Answerer
from scoring.curves import explanation_orders, insertion_deletion
from scoring.engine import Engine
from scoring.patch_sets import PatchSet
from scoring.questions import Question
from scoring.requests import Kind, Request, Steps
from search import Asks, SearchResult


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
    answerer: Answerer
    sag: DiverseSag
    curves: Curves | None
    seconds: Seconds


@dataclass
class StepTimes:
    """How long each step takes.

    Attributes:
        start: time.monotonic() when it was made.
        seconds: of the steps that are over.
        now: name of the step that runs.
    """

    start: float = field(default_factory=time.monotonic)
    seconds: Seconds = field(default_factory=Seconds)
    now: str = ""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Note how long a step takes."""
        self.now = name
        start = time.monotonic()
        yield
        setattr(self.seconds, name, time.monotonic() - start)


def measure_saliency(
    case: ImageCase, answerer: Answerer, engine: Engine, *, seed: int, deadline: float
) -> Steps[Saliency]:
    """Score the full image and the baseline, whatever the time, and make the two saliency maps."""
    answerer.deadline = math.inf
    full, hidden = yield from answerer.run(_ends(case.everything), step="mask")
    answerer.deadline = deadline
    regularisers = Regularisers(case.grid, tv=0.0 if case.regions else TV)
    asking = igos(regularisers, engine.network.size, seed=seed)
    mask = yield from _answered_softly(asking, case, answerer)
    gradcam = grad_cam(engine.network.module, case.slot.image, case.category)
    return Saliency(full, hidden, igos=mask, gradcam=gradcam)


def _ends(everything: PatchSet) -> Asks[list[float]]:
    """Ask about the full image and the baseline."""
    scores = yield Question([everything, ()], is_proof=True)
    return list(scores)


def _answered_softly(
    asking: AsksSoftly, case: ImageCase, answerer: Answerer
) -> Steps[torch.Tensor]:
    """Run I-GOS on the engine, in the reduced precision where there is one: it is only an order.

    Hidden tokens are painted, not dropped: a mask between 0 and 1 drops nothing.
    """
    slot = replace(case.slot, dropped=None)
    fast: Kind = "reduced" if answerer.has_reduced else "float32"
    try:
        question = next(asking)
        while True:
            kind: Kind = "gradient" if question.wants_gradient else fast
            request = Request(
                slot,
                question.masks,
                kind=kind,
                noise=question.noise,
                deadline=answerer.deadline,
                step="mask",
            )
            try:
                answers = yield request
            except TimeoutError:
                question = asking.throw(TimeoutError("out of time"))
                continue
            answerer.passes["mask", kind] += len(answers)
            values = [torch.as_tensor(answer) for answer in answers]
            question = asking.send(torch.stack(values))
    except StopIteration as end:
        return end.value


def measure_curves(
    case: ImageCase,
    answerer: Answerer,
    *,
    saliency: Saliency,
    result: SearchResult,
    all_counts: bool,
) -> Steps[Curves | None]:
    """Return the insertion and deletion curves; None where time is up or the class has none.

    Args:
        case: the image.
        answerer: of its questions.
        saliency: full confidence, and two of the orders.
        result: the MSEs, for the third order.
        all_counts: whether the curves are measured at every number of patches.
    """
    if saliency.full <= 0:
        return None
    orders = explanation_orders(
        saliency.igos,
        saliency.gradcam,
        [(mse.patches, mse.probability) for mse in result.mses],
        basis=case.slot.basis.to(torch.device("cpu")),
        size=(case.slot.image.shape[1], case.slot.image.shape[2]),
    )
    asking = insertion_deletion(orders, saliency.full, all_counts=all_counts)
    try:
        curves = yield from answerer.run(asking, step="curves", only_exact=True)
    except TimeoutError:
        return None
    return curve_entries(curves)
