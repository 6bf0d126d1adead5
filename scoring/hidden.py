"""The same searches, asked about what is hidden instead of what is shown.

A *breaking set* is a set of patches without which the class is lost: hidden, it leaves at most
prob_thresh of the full image's confidence. A minimal one has no proper subset that does so. To a
search it is what a sufficient set is, if a set's score is one minus the confidence of the rest:

    goal = breaking_goal(prob_thresh=0.9, full=0.99, baseline=0.01)
    search = beam_search(saliency, prob_thresh=goal.prob_thresh)
    found = answer(hiding(search, num_patches=49), scorer)      # patches: those that are hidden

Where a network is monotone (showing more never costs confidence), the minimal sufficient and the
minimal breaking sets are each other's minimal hitting sets (Reiter, Artificial Intelligence 1987).
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TypeVar

from scoring.patch_sets import PatchSet
from scoring.questions import Asks

T = TypeVar("T")
# Added to the goal, so that a rest exactly at the threshold counts as lost. No two float32
# probabilities that matter are so close.
TIE = 1e-12


@dataclass(frozen=True)
class BreakingGoal:
    """What a search for breaking sets aims at, in its own scores.

    Attributes:
        prob_thresh: as the searches take it, a share of the score of hiding everything.
        full: the score of hiding everything: one minus the probability of the baseline.
    """

    prob_thresh: float
    full: float

    @property
    def threshold(self) -> float:
        """The score above which a hidden set breaks the class."""
        return self.prob_thresh * self.full


def breaking_goal(*, prob_thresh: float, full: float, baseline: float) -> BreakingGoal | None:
    """Return the goal of a search for breaking sets; None where the baseline keeps the class.

    Args:
        prob_thresh: a rest at or below this share of the full image's probability has lost it.
        full: probability of the full image.
        baseline: probability of the baseline, where everything is hidden.
    """
    kept = prob_thresh * full
    if baseline > kept:
        return None
    return BreakingGoal((1 - kept - TIE) / (1 - baseline), 1 - baseline)


def hiding(search: Asks[T], num_patches: int) -> Asks[T]:
    """Run a search whose sets are hidden: ask about the rest of each, and turn the answers round.

    Args:
        search: yields questions about hidden sets.
        num_patches: number of patches.
    """
    try:
        question = next(search)
        while True:
            rests = [rest_of(patches, num_patches) for patches in question.sets]
            try:
                answers = yield replace(question, sets=rests, wants_low=True)
            except TimeoutError as error:
                question = search.throw(error)
            else:
                question = search.send([1 - probability for probability in answers])
    except StopIteration as end:
        return end.value


def rest_of(patches: Collection[int], num_patches: int) -> PatchSet:
    """Return all other patches, in ascending order."""
    hidden = set(patches)
    return tuple(patch for patch in range(num_patches) if patch not in hidden)
