"""Searches held to a number of scored sets, and what they found: conditions of the experiments.

    orders   BeamS-3, led by other orders of the patches than the I-GOS mask's
    budgets  each search after 500, 1,000 and 2,000 scored sets, and every MSE of up to three
             patches by exhaustive search
    first    the diverse search after 400; where it has fewer than three diverse MSEs, BeamS-15 to
             its end

What is counted is the number of different sets that a search asks about. A search that asks again
about a set that another one had scored pays for it all the same.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch

from diverse_search import diverse_search
from diverse_subset_selection import diverse_subset
from experiments.findings import FoundRoot, Held, HeldFinding
from scoring.answerer import Answerer
from scoring.batching import Batching
from scoring.engine import Engine
from scoring.patch_sets import PatchSet
from scoring.questions import Asks, Question
from scoring.requests import Slot
from search import MSE, SearchResult, beam_search, exhaustive_search

T = TypeVar("T")
BUDGETS = (500, 1000, 2000)  # scored sets
FIRST = 400  # scored sets within which the diverse search should have found something
SMALL = 3  # patches; exhaustive search finds all MSEs up to this size
ALL_SMALL = f"exhaustive, size <= {SMALL}"
ENOUGH = 3  # diverse MSEs: as many as the graph shows
OVERLAP = 1  # patches that two diverse MSEs may share
DIVERSE_SECONDS = 5.0  # for the largest diverse subset
NO_LIMIT = 10**6
SEARCHES: dict[str, Callable[..., Asks[SearchResult]]] = {
    "BeamS-3": lambda saliency, **options: beam_search(saliency, beam_width=3, **options),
    "BeamS-15": lambda saliency, **options: beam_search(saliency, beam_width=15, **options),
    "diverse, overlap 1": lambda saliency, **options: diverse_search(
        saliency, overlap=1, max_evaluations=NO_LIMIT, **options
    ),
    "diverse, overlap 2": lambda saliency, **options: diverse_search(
        saliency, overlap=2, max_evaluations=NO_LIMIT, **options
    ),
}


class Scores:
    """Answers the searches of one image and class, and remembers every score.

    Args:
        engine: the network. What a claim rests on is scored in float32.
        slot: the image on the device.
        prob_thresh: sufficient is above this share of the full image's probability.
    """

    def __init__(self, engine: Engine, slot: Slot, prob_thresh: float):
        self._batching = Batching(engine)
        self._answerer = Answerer(slot, has_reduced=engine.reduced is not None)
        everything = tuple(range(slot.num_patches))
        (full,) = self.answer(ask_once([everything]))
        self._answerer.threshold = prob_thresh * full

    def answer(self, search: Asks[T]) -> T:
        """Run a search and return its result."""
        return self._batching.run_one(self._answerer.run(search, step="search"))


def ask_once(sets: list[PatchSet]) -> Asks[list[float]]:
    """Ask one question, for float32, and return its answers."""
    scores = yield Question(sets, is_proof=True)
    return list(scores)


def held_to(search: Asks[T], most: int, asked: set[PatchSet]) -> Asks[T]:
    """Run a search until it would ask about more than `most` different sets.

    Args:
        search: yields questions.
        most: number of sets.
        asked: the sets that it asked about are added to these.
    """
    try:
        question = next(search)
        while True:
            wanted = asked.union(question.sets)
            if len(wanted) > most:
                question = search.throw(TimeoutError("no more sets may be scored"))
                continue
            asked.update(question.sets)
            try:
                scores = yield question
            except TimeoutError as error:
                question = search.throw(error)
            else:
                question = search.send(scores)
    except StopIteration as end:
        return end.value


def find(scores: Scores, search: Asks[SearchResult], most: int = NO_LIMIT) -> HeldFinding:
    """Return what a search finds in at most so many sets."""
    asked: set[PatchSet] = set()
    result = scores.answer(held_to(search, most, asked))
    proven = [mse for mse in result.mses if mse.minimal == "subset"]
    return HeldFinding(
        roots=[FoundRoot(mse.patches, mse.probability, mse.minimal) for mse in result.mses],
        stopped_by=result.stopped_by,
        scored=len(asked),
        diverse=number_of_diverse(result.mses),
        diverse_proven=number_of_diverse(proven),
    )


def number_of_diverse(mses: list[MSE] | tuple[MSE, ...]) -> int:
    """Return the size of a largest subset no two of which share more than one patch."""
    subset = diverse_subset(
        [mse.patches for mse in mses],
        [mse.probability for mse in mses],
        overlap=OVERLAP,
        time_limit=DIVERSE_SECONDS,
    )
    return len(subset.chosen)


# ---------------------------------------------------------------- the conditions


def measure_orders(
    scores: Scores, orders: Mapping[str, torch.Tensor | None], prob_thresh: float
) -> Held:
    """Return what BeamS-3 finds when each order leads it.

    Args:
        scores: of the image.
        orders: one number per patch, lower values first; None: the network has no such order.
        prob_thresh: sufficient is above this share of the full image's probability.
    """
    return {
        name: find(scores, beam_search(order, beam_width=3, prob_thresh=prob_thresh))
        for name, order in orders.items()
        if order is not None
    }


def measure_budgets(scores: Scores, saliency: torch.Tensor, prob_thresh: float) -> Held:
    """Return what each search finds within each budget; its name is that of both."""
    found = {}
    for budget in BUDGETS:
        for name, search in SEARCHES.items():
            asking = search(saliency, prob_thresh=prob_thresh, max_num_roots=NO_LIMIT)
            found[budget_name(name, budget)] = find(scores, asking, most=budget)
    everything = exhaustive_search(len(saliency.ravel()), prob_thresh=prob_thresh, max_size=SMALL)
    found[ALL_SMALL] = find(scores, everything)
    return found


def budget_name(search: str, budget: int) -> str:
    """Return what a search within a budget is called."""
    return f"{search}, {budget:,} sets"


def measure_first(scores: Scores, saliency: torch.Tensor, prob_thresh: float) -> Held:
    """Return what the diverse search finds first, and what a wide beam finds that it does not."""
    diverse = diverse_search(saliency, prob_thresh=prob_thresh, overlap=OVERLAP)
    found = {"diverse": find(scores, diverse, most=FIRST)}
    if found["diverse"].diverse < ENOUGH:
        beam = beam_search(saliency, prob_thresh=prob_thresh, beam_width=15)
        found["BeamS-15"] = find(scores, beam)
    return found
