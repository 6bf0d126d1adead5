"""How a search asks: it yields patch sets, and is sent their confidences.

    def better_of_two(first, second) -> Asks[PatchSet]:
        scores = yield Question([first, second])
        return first if scores[0] > scores[1] else second

    best = answer(better_of_two((11,), (30,)), scorer)

A search does not know who answers: one scorer, or an engine that fills batches with the questions
of many images. Deadlines, counts, precision and memory are the answerer's business. One that has no
time left throws TimeoutError into the search, which returns what it has.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from scoring.patch_sets import PatchSet

Scorer = Callable[[Sequence[PatchSet]], Iterable[float]]
T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """How far a search is.

    Attributes:
        roots: number of MSEs found so far.
        size: patches of the sets at hand.
        most_left: number of sets that may still be asked about at most; None: no bound is known.
    """

    roots: int
    size: int
    most_left: int | None = None


@dataclass(frozen=True)
class Question:
    """Patch sets whose confidences are wanted.

    Attributes:
        sets: the patch sets.
        is_proof: whether a claim rests on the answers, so that they are worth full precision.
        progress: how far the search is that asks, for a progress bar.
        wants_low: whether the search looks for sets at or below the threshold, not above it.
    """

    sets: Sequence[PatchSet]
    is_proof: bool = False
    progress: Progress | None = None
    wants_low: bool = False


# A generator that asks, is sent one float per set, and returns a T.
Asks = Generator[Question, Sequence[float], T]


def answer(search: Asks[T], scorer: Scorer) -> T:
    """Run a search on a scorer and return its result.

    Args:
        search: yields questions.
        scorer: patch sets to confidences. A TimeoutError that it raises is thrown into the search.
    """
    try:
        question = next(search)
        while True:
            try:
                scores = [float(score) for score in scorer(question.sets)] if question.sets else []
            except TimeoutError as error:
                question = search.throw(error)
            else:
                question = search.send(scores)
    except StopIteration as end:
        return end.value
