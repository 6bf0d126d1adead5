"""Answers the questions of one image's searches: memo, counts, deadline and precision.

    answerer = Answerer(slot, has_reduced=True)
    found = yield from answerer.run(beam_search(saliency), step="search")

It turns questions into requests to the engine (scoring/requests.py). What a claim rests on is
asked in float32. Everything else is asked in the reduced precision, where there is one, and again
in float32 where that answer is sufficient, or too close to the threshold to be sure. How close that
is, is learned from the sets that were scored in both. No set is scored twice in one precision.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from scoring.patch_sets import PatchSet
from scoring.patches import masks_of
from scoring.questions import Asks, Progress, Question
from scoring.requests import Kind, OutOfTime, Request, Slot, Steps
from scoring.shared_scores import SharedScores

T = TypeVar("T")
DOUBT = 0.03  # reduced precision is not trusted so close to the threshold, until more is known
LEAST_PAIRS = 8  # sets scored in both precisions, from which the band is learned
BAND_FACTOR = 2.0  # the band is so many times the largest difference seen
LEAST_DOUBT = 0.005


class Kept(Protocol):
    """Scores that outlive the process; see running/kept_scores.py."""

    def known(self, kind: Kind) -> Mapping[PatchSet, float]:
        """Return the scores that an earlier run has kept."""

    def note(self, tables: Mapping[Kind, Mapping[PatchSet, float]]) -> None:
        """Keep all scores, if it is time to."""


@dataclass(eq=False)
class Answerer:
    """What is known about one image and class.

    Attributes:
        slot: the image on the device.
        has_reduced: whether the engine has a reduced precision.
        threshold: the probability above which a set is sufficient, in float32.
        deadline: a time.monotonic() after which no further batch begins.
        exact: probabilities in float32.
        reduced: probabilities in the reduced precision.
        asked: number of sets that searches asked about, by step.
        passes: number of sets that the network saw, by step and kind.
        doubted: number of sets that float32 decided after the reduced precision.
        doubt: how close to the threshold the reduced precision is not trusted.
        progress: of the search that runs, or None.
        kept: scores of an earlier run that was stopped, or None. They count as if they were scored
            now.
        shared: scores that passes for other classes have brought, or None. They count as shared.
        num_shared: number of answers from there.
    """

    slot: Slot
    has_reduced: bool = False
    threshold: float = math.inf
    deadline: float = math.inf
    exact: dict[PatchSet, float] = field(default_factory=dict)
    reduced: dict[PatchSet, float] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    passes: Counter[tuple[str, Kind]] = field(default_factory=Counter)
    doubted: int = 0
    doubt: float = DOUBT
    progress: Progress | None = None
    kept: Kept | None = None
    shared: SharedScores | None = None
    num_shared: int = 0
    _differences: list[float] = field(default_factory=list)
    _trusted: set[PatchSet] = field(default_factory=set)  # answered without float32

    def run(self, search: Asks[T], *, step: str, only_exact: bool = False) -> Steps[T]:
        """Run a search and return its result.

        Args:
            search: yields questions.
            step: name of the step, for the counts.
            only_exact: whether everything is answered in float32.
        """
        try:
            question = next(search)
            while True:
                try:
                    scores = yield from self._answers(question, step, only_exact)
                except TimeoutError:
                    question = search.throw(TimeoutError("out of time"))
                else:
                    question = search.send(scores)
        except StopIteration as end:
            return end.value

    def _answers(self, question: Question, step: str, only_exact: bool) -> Steps[list[float]]:
        sets = question.sets
        self.asked[step] += len(sets)
        self.progress = question.progress or self.progress
        is_hopeless = self._is_hopeless(question.wants_low)
        if only_exact or question.is_proof or is_hopeless or not self.has_reduced:
            yield from self._ask(sets, "float32", step)
            return [self.exact[patches] for patches in sets]
        unknown = [patches for patches in dict.fromkeys(sets) if patches not in self.exact]
        yield from self._ask(unknown, "reduced", step)
        doubtful = [s for s in unknown if self._is_doubtful(s, wants_low=question.wants_low)]
        yield from self._ask(doubtful, "float32", step)
        self.doubted += len(doubtful)
        self._trusted.update(patches for patches in unknown if patches not in self.exact)
        return [self.best(patches) for patches in sets]

    def best(self, patches: PatchSet) -> float:
        """Return the probability of a set that was scored, in float32 where that is known."""
        return self.exact[patches] if patches in self.exact else self.reduced[patches]

    def _is_hopeless(self, wants_low: bool) -> bool:
        """Return whether all is so close to the threshold that the reduced precision says nothing.

        Answers lie between 0 and the full image's.
        """
        if wants_low:
            full = self.exact.get(tuple(range(self.slot.num_patches)), 1.0)
            return full - self.threshold <= self.doubt
        return self.threshold <= self.doubt

    def _is_doubtful(self, patches: PatchSet, *, wants_low: bool) -> bool:
        """Return whether float32 has to decide: NaN, what the search looks for, or nearly so."""
        if wants_low:
            return not self.reduced[patches] >= self.threshold + self.doubt
        return not self.reduced[patches] <= self.threshold - self.doubt

    def _ask(self, sets: Sequence[PatchSet], kind: Kind, step: str) -> Steps[None]:
        """Ask the engine about the sets that are not known yet, and remember its answers."""
        table = self.reduced if kind == "reduced" else self.exact
        unknown = [patches for patches in dict.fromkeys(sets) if patches not in table]
        if self.shared:
            known = self.shared.known(self.slot.category, kind)
            self.num_shared += self._take(known, unknown, kind=kind)
        if self.kept:
            self._count(self._take(self.kept.known(kind), unknown, kind=kind), step, kind)
        unknown = [patches for patches in unknown if patches not in table]
        if not unknown:
            return
        masks = masks_of(unknown, self.slot.num_patches)
        others = self.shared.others_than(self.slot.category) if self.shared else ()
        request = Request(
            self.slot, masks, kind=kind, deadline=self.deadline, step=step, others=others
        )
        try:
            answers = yield request
        except OutOfTime as late:
            self._remember(unknown, self._own(unknown, late.answers, kind), kind=kind, step=step)
            raise
        self._remember(unknown, self._own(unknown, answers, kind), kind=kind, step=step)
        if self.kept:
            self.kept.note({"float32": self.exact, "reduced": self.reduced})

    def _take(
        self, known: Mapping[PatchSet, float], sets: Sequence[PatchSet], *, kind: Kind
    ) -> int:
        """Enter what is known of sets that are not in the table; return how many those are."""
        table = self.reduced if kind == "reduced" else self.exact
        found = {p: known[p] for p in sets if p in known and p not in table}
        self._enter(found, kind=kind)
        return len(found)

    def _count(self, number: int, step: str, kind: Kind) -> None:
        """Count passes."""
        if number:
            self.passes[step, kind] += number

    def _own(
        self, sets: Sequence[PatchSet], answers: Sequence[Any], kind: Kind
    ) -> Sequence[float | None]:
        """Return this class's answers; those of the other classes go to what is shared."""
        if not self.shared or not self.shared.others_than(self.slot.category):
            return answers
        self.shared.note(self.slot.category, kind, sets, answers)
        return [None if answer is None else answer[0] for answer in answers]

    def _remember(
        self, sets: Sequence[PatchSet], answers: Sequence[float | None], *, kind: Kind, step: str
    ) -> None:
        """Remember what the network answered; None: it was not asked in time."""
        answered = {patches: answer for patches, answer in zip(sets, answers) if answer is not None}
        self._enter(answered, kind=kind)
        self._count(len(answered), step, kind)

    def _enter(self, scores: Mapping[PatchSet, float], *, kind: Kind) -> None:
        """Enter scores into the table of their kind.

        Raises:
            FloatingPointError: NaN in float32.
        """
        table = self.reduced if kind == "reduced" else self.exact
        for patches, probability in scores.items():
            if kind == "float32" and not math.isfinite(probability):
                raise FloatingPointError("the model returns NaN")
            table[patches] = probability
            if kind == "float32" and patches in self.reduced:
                self._compare(patches)

    def _compare(self, patches: PatchSet) -> None:
        """Learn from a set that was scored in both precisions how far they differ."""
        difference = abs(self.reduced[patches] - self.exact[patches])
        if not math.isfinite(difference):
            return
        self._differences.append(difference)
        if len(self._differences) >= LEAST_PAIRS:
            self.doubt = max(LEAST_DOUBT, BAND_FACTOR * max(self._differences))

    @property
    def disagreed(self) -> int:
        """Number of answers to the search that float32 later showed to be wrong."""
        known = [patches for patches in self._trusted if patches in self.exact]
        return sum(
            (self.exact[patches] > self.threshold) != (self.reduced[patches] > self.threshold)
            for patches in known
        )

    @property
    def scored(self) -> int:
        """Number of different sets that the network saw."""
        return len(self.exact.keys() | self.reduced.keys())
