"""The two sides of an explanation: what is enough for the class, and what it cannot do without.

Both are searched, certified in float32 and drawn as a graph in the same way. On the second side the
sets are those that are hidden (scoring/hidden.py).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import networkx as nx

from diverse_subset_selection import DiverseSubset
from patch_deletion_tree import DiverseSag, diverse_sag
from running.searches import SearchSettings
from running.steps import StepTimes
from scoring.answerer import Answerer
from scoring.hidden import BreakingGoal, hiding
from scoring.questions import Asks
from scoring.requests import Steps
from search import SearchResult, certify

SEARCH_SHARE = 0.75  # of a side's time; the rest is for the certificate and the graph


NOT_ASKED_FOR = "not_asked_for"  # why the other side is empty


class SideSettings(SearchSettings, Protocol):
    """The settings of searches and graphs, as the main job has them."""

    @property
    def node_prob_thresh(self) -> float:
        """See diverse_sag()."""

    @property
    def proof_sets(self) -> int:
        """See diverse_sag()."""


@dataclass(frozen=True)
class Side:
    """What a side aims at, in the scores of its own sets.

    Attributes:
        prob_thresh: what counts is above this share of full.
        full: the score of the set of all patches.
        node_prob_thresh: a node of the graph above this share of full is expanded.
        search_step: name of the step that searches, for times and counts.
        graph_step: of the step that certifies and draws the graph.
        asking: how its searches ask, such as hiding(); None: about the patches that show.
    """

    prob_thresh: float
    full: float
    node_prob_thresh: float
    search_step: str = "search"
    graph_step: str = "tree"
    asking: Callable[[Asks[Any]], Asks[Any]] | None = None

    def ask(self, search: Asks[Any]) -> Asks[Any]:
        """Return a search as this side asks it."""
        return self.asking(search) if self.asking else search


def nothing_found(stopped_by: str) -> DiverseSag:
    """Return a side without sets, and why it has none."""
    graph = nx.DiGraph(stopped_by=None)
    return DiverseSag(SearchResult((), stopped_by), DiverseSubset([], True), graph)


def enough_side(settings: SideSettings, full: float) -> Side:
    """Return the side of the sufficient sets; full: the full image's probability."""
    return Side(settings.prob_thresh, full, settings.node_prob_thresh)


def needed_side(goal: BreakingGoal, num_patches: int) -> Side:
    """Return the side of the breaking sets. Of its graph only the roots are expanded.

    Every proper subset of a minimal breaking set leaves the class, so no more can happen below.
    """
    return Side(
        goal.prob_thresh,
        goal.full,
        goal.prob_thresh,
        search_step="needed",
        graph_step="needed",
        asking=lambda search: hiding(search, num_patches),
    )


def run_side(
    side: Side,
    search: Asks[SearchResult],
    answerer: Answerer,
    *,
    times: StepTimes,
    settings: SideSettings,
    end: float,
) -> Steps[DiverseSag]:
    """Search, certify in float32, and build the graph.

    Args:
        side: what is looked for.
        search: looks for it, in the side's scores.
        answerer: of the image.
        times: of its steps.
        settings: of the main job.
        end: a time.monotonic() by which the graph should be done.
    """
    with times.step(side.search_step):
        now = time.monotonic()
        answerer.deadline = now + SEARCH_SHARE * (end - now)
        found = yield from answerer.run(side.ask(search), step=side.search_step)
    with times.step(side.graph_step):
        # What the search found is not lost to the clock: hardly any of it is not in float32 yet.
        answerer.deadline = math.inf
        certificate = certify(found, side.prob_thresh * side.full, anew=answerer.has_reduced)
        certified = yield from answerer.run(
            side.ask(certificate), step=side.graph_step, only_exact=True
        )
        answerer.deadline = end
        graph = diverse_sag(
            certified,
            side.full,
            prob_thresh=side.prob_thresh,
            node_prob_thresh=side.node_prob_thresh,
            overlap=settings.overlap_thresh,
            num_roots=settings.num_roots_sag,
            proof_sets=settings.proof_sets,
            deadline=end,
        )
        sag = yield from answerer.run(side.ask(graph), step=side.graph_step, only_exact=True)
    return sag
