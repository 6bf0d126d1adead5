"""The steps of the main job that run the network, and what they find out.

Each step is a generator of requests to the engine (scoring/requests.py), so that many images can
advance in one thread.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch

from drawing.record import Curves, Seconds
from get_perturbation_mask import (
    BASELINES,
    TV,
    AsksSoftly,
    Regularisers,
    grad_cam,
    igos,
    make_baseline,
)
from patch_deletion_tree import DiverseSag
from running.explanation import curve_entries
from running.image_case import ImageCase
from scoring.answerer import Answerer
from scoring.curves import explanation_orders, insertion_deletion, patch_means
from scoring.engine import Engine
from scoring.explanation_map import maps_of_patches
from scoring.patch_sets import PatchSet
from scoring.questions import Question
from scoring.requests import Kind, Request, Steps
from scoring.what_if import WhatIf, what_if_sets
from search import Asks, SearchResult

QUESTION_SEED = 0  # of the sets that are drawn at random for readers' questions


@dataclass(frozen=True)
class Saliency:
    """The class's probability on the full image and on the baseline, and two saliency maps."""

    full: float
    hidden: float
    mask: torch.Tensor  # of the grid's shape; low is salient
    method: str  # that made the mask: "igos" or "gradcam"
    gradcam: np.ndarray | None  # (h, w); high is salient


@dataclass(frozen=True)
class Thresholds:
    """Shares of the full image's confidence: what is sufficient, and what the graph expands."""

    enough: float
    node: float

    @classmethod
    def of(cls, saliency: Saliency, settings: "ThresholdSettings") -> "Thresholds":
        """Return the thresholds of one image, from its ends and the settings."""
        hidden = 0.0
        if settings.measure == "between" and saliency.hidden < saliency.full:
            hidden = saliency.hidden / saliency.full
        left = 1 - hidden
        return cls(hidden + left * settings.prob_thresh, hidden + left * settings.node_prob_thresh)


class ThresholdSettings(Protocol):
    """The settings of what counts, as the main job has them."""

    @property
    def measure(self) -> str:
        """What the shares count from: "relative", 0, or "between", the baseline's confidence."""

    @property
    def prob_thresh(self) -> float:
        """Sufficient is above this share."""

    @property
    def node_prob_thresh(self) -> float:
        """A node above this share is expanded."""


@dataclass(frozen=True)
class Findings:
    """What the steps found out about one class.

    other_baselines: the class's probability on each other baseline, where the chosen one keeps it.
    """

    saliency: Saliency
    thresholds: Thresholds
    answerer: Answerer
    sag: DiverseSag
    needed: DiverseSag | None  # of breaking sets; None: not asked for
    drawn: Sequence[PatchSet] | None  # at random, for readers' questions; None: none were asked
    curves: Curves | None
    seconds: Seconds
    other_baselines: dict[str, float] = field(default_factory=dict)


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
        taken = time.monotonic() - start
        setattr(self.seconds, name, getattr(self.seconds, name) + taken)


def measure_saliency(
    case: ImageCase,
    answerer: Answerer,
    engine: Engine,
    *,
    method: str,
    seed: int,
    deadline: float,
) -> Steps[Saliency]:
    """Score the full image and the baseline, whatever the time, and make the saliency maps.

    Args:
        case: the image.
        answerer: of its questions.
        engine: the network.
        method: "igos", or "gradcam" for its order alone, which takes two passes instead of 144.
        seed: of the noise in I-GOS.
        deadline: a time.monotonic() after which no iteration of I-GOS begins.

    Raises:
        ValueError: the network has no Grad-CAM, and that is the method.
    """
    answerer.deadline = math.inf
    full, hidden = yield from answerer.run(_ends(case.everything), step="mask")
    answerer.deadline = deadline
    gradcam = grad_cam(engine.network.module, case.slot.image, case.category, case.slot.against)
    if method == "gradcam":
        mask = _as_mask(gradcam, case)
    else:
        regularisers = Regularisers(case.grid, tv=0.0 if case.regions else TV)
        network = engine.network
        asking = igos(regularisers, network.size, channels=network.channels, seed=seed)
        mask = yield from _answered_softly(asking, case, answerer)
    return Saliency(full, hidden, mask=mask, method=method, gradcam=gradcam)


def with_other_baselines(
    findings: Findings, case: ImageCase, engine: Engine, image: np.ndarray
) -> Steps[Findings]:
    """Return findings with the class's probability on every baseline that paints pixels.

    Args:
        findings: of an image whose baseline keeps the class.
        case: the image.
        engine: the network.
        image: (H, W, 3) uint8 RGB.
    """
    nothing = torch.zeros(1, case.num_patches)
    found = {}
    for name in BASELINES:
        if name == "drop":
            continue
        painted = engine.network.prepare(make_baseline(image, name))
        slot = replace(case.slot, baseline=painted, dropped=None)
        (found[name],) = yield Request(slot, nothing, kind="float32", step="mask")
        findings.answerer.passes["mask", "float32"] += 1
    return replace(findings, other_baselines=found)


def _as_mask(gradcam: np.ndarray | None, case: ImageCase) -> torch.Tensor:
    """Return Grad-CAM's map as a mask of the grid's shape, low where the map is high."""
    if gradcam is None:
        raise ValueError("--saliency gradcam: the network has no Grad-CAM; use igos")
    basis = case.slot.basis.to(torch.device("cpu"))
    means = patch_means(gradcam, basis, (case.slot.image.shape[1], case.slot.image.shape[2]))
    return 1 - torch.from_numpy(means).reshape(case.grid)


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
    slot = replace(case.slot, dropped=None) if case.slot.dropped else case.slot
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


class QuestionSettings(Protocol):
    """The settings of readers' questions, as the main job has them."""

    @property
    def what_if_sets(self) -> int:
        """Sets to ask about beside those that lack one patch; 0: no set at all."""

    @property
    def num_roots_sag(self) -> int:
        """Number of roots drawn."""


def ask_ahead(
    case: ImageCase,
    answerer: Answerer,
    times: StepTimes,
    saliency: Saliency,
    sag: DiverseSag,
    *,
    settings: QuestionSettings,
    end: float,
) -> Steps[list[PatchSet] | None]:
    """Have the sets scored that readers ask about; return those drawn at random, or None.

    Nothing is asked where that is not wanted, where the class has no confidence, and where the
    baseline keeps it. Half of the time that is left is for the curves.

    Args:
        case: the image.
        answerer: of its questions.
        times: of its steps.
        saliency: full confidence, and Grad-CAM's map.
        sag: the MSEs, and which of them are drawn first.
        settings: how many sets are asked about.
        end: a time.monotonic() by which the curves should be done.
    """
    mses = sag.result.mses
    is_settled = saliency.full <= 0 or sag.result.stopped_by == "baseline_sufficient"
    if not settings.what_if_sets or is_settled:
        return None
    gradcam = None if case.regions else saliency.gradcam
    maps = maps_of_patches([mse.patches for mse in mses], case.grid, gradcam=gradcam)
    roots = [mses[i].patches for i in sag.subset.chosen[: settings.num_roots_sag]]
    asking = what_if_sets(
        WhatIf(case.num_patches, roots, maps),
        answerer.exact,
        budget=settings.what_if_sets,
        seed=QUESTION_SEED,
    )
    with times.step("what_if"):
        answerer.deadline = (time.monotonic() + end) / 2
        drawn = yield from answerer.run(asking, step="what_if", only_exact=True)
        answerer.deadline = end
    return drawn


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
        saliency.mask,
        saliency.gradcam,
        [(mse.patches, mse.probability) for mse in result.mses],
        basis=case.slot.basis.to(torch.device("cpu")),
        size=(case.slot.image.shape[1], case.slot.image.shape[2]),
    )
    if saliency.method == "gradcam":
        orders.pop("igos")
    asking = insertion_deletion(orders, saliency.full, all_counts=all_counts)
    try:
        curves = yield from answerer.run(asking, step="curves", only_exact=True)
    except TimeoutError:
        return None
    return curve_entries(curves)
