"""The least patches to show or hide more, so that a set keeps the class, or loses it.

    change = least_change(scorer, (11, 30), LeastChange(num_patches=49, goal=0.9, wants_more=True))
    change.added, change.removed, change.probability

Every single change is asked about first. Where none does, prefixes of the changes by what each did
alone give an upper bound, a small beam looks for fewer, and what is left over is taken out again.
The answer's probability is the scorer's, never an estimate.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from scoring.patch_sets import PatchSet, canonical

BUDGET = 200  # sets that are asked about
WIDTH = 3  # changes that the beam keeps at each size
SUCCESSORS = 12  # most effective single changes that each of them may add
GROWTH = 1.5  # from one prefix to the next

Scorer = Callable[[Sequence[PatchSet]], Iterable[float]]
Change = frozenset[int]  # patches that are shown instead of hidden, or hidden instead of shown


@dataclass(frozen=True)
class Found:
    """A change that reaches the goal.

    Attributes:
        added: patches that are shown more.
        removed: patches that are shown no more.
        probability: of the set that results.
        is_least: whether no smaller change reaches the goal; all of these were asked about.
        is_minimal: whether no single patch of the change can be left out of it.
    """

    added: PatchSet
    removed: PatchSet
    probability: float
    is_least: bool
    is_minimal: bool


@dataclass
class LeastChange:
    """A search for the least change of one set.

    Attributes:
        num_patches: number of patches.
        goal: the probability to get above, or not to be above.
        wants_more: whether it is to get above.
        budget: number of sets to ask about.
        asked: number of sets asked about so far.
    """

    num_patches: int
    goal: float
    wants_more: bool
    budget: int = BUDGET
    asked: int = 0
    _scores: dict[Change, float] = field(default_factory=dict)

    def reaches(self, probability: float) -> bool:
        """Return whether a probability is on the side that is wanted."""
        return (probability > self.goal) == self.wants_more

    def worth(self, change: Change) -> float:
        """Return how good a change is that was asked about: more is better."""
        return self._scores[change] if self.wants_more else -self._scores[change]

    @property
    def left(self) -> int:
        """Number of sets that may still be asked about."""
        return self.budget - self.asked

    def ask(self, changes: Iterable[Change], start: Change, scorer: Scorer) -> list[Change]:
        """Ask about changes, as far as the budget goes; return those that were asked about."""
        wanted = list(dict.fromkeys(changes))
        unknown = [change for change in wanted if change not in self._scores][: max(0, self.left)]
        if unknown:
            answers = scorer([canonical(start ^ change) for change in unknown])
            self._scores.update(zip(unknown, map(float, answers)))
            self.asked += len(unknown)
        return [change for change in wanted if change in self._scores]

    def best(self, changes: Iterable[Change]) -> Change | None:
        """Return the smallest change that reaches the goal, of several the best; None: none."""
        reaching = [change for change in changes if self.reaches(self._scores[change])]
        return min(reaching, key=lambda c: (len(c), -self.worth(c), sorted(c)), default=None)

    def probability(self, change: Change) -> float:
        """Return what the scorer answered for a change."""
        return self._scores[change]


def least_change(scorer: Scorer, start: PatchSet, search: LeastChange) -> Found | None:
    """Return the smallest change that was found; None where none reaches the goal.

    Args:
        scorer: from patch sets to probabilities.
        start: the set that is changed, which is on the other side of the goal.
        search: what is wanted, and how much may be asked; it counts what was.
    """
    shown = frozenset(start)

    def ask(changes: Iterable[Change]) -> list[Change]:
        return search.ask(changes, shown, scorer)

    singles = ask(frozenset([patch]) for patch in range(search.num_patches))
    tried_all = len(singles) == search.num_patches
    found = search.best(singles)
    if found is None:
        ranked = [min(c) for c in sorted(singles, key=search.worth, reverse=True)]
        found = by_prefixes(ask, ranked, search, shown)
        if found is not None:
            found = by_beam(ask, ranked, search, most=len(found) - 1) or found
            found = shrunk(ask, found, search)
    if found is None:
        return None
    parts = [found - {patch} for patch in found if len(found) > 1]
    return Found(
        added=canonical(found - shown),
        removed=canonical(found & shown),
        probability=search.probability(found),
        is_least=tried_all and len(found) <= 2,
        is_minimal=len(ask(parts)) == len(parts) and search.best(parts) is None,
    )


Ask = Callable[[Iterable[Change]], list[Change]]


def by_prefixes(
    ask: Ask, ranked: Sequence[int], search: LeastChange, shown: Change
) -> Change | None:
    """Return the shortest prefix that reaches the goal, of the changes in order of their effect.

    Args:
        ask: asks about changes.
        ranked: patches, the one first whose change did most alone.
        search: what is wanted.
        shown: the set that is changed. Showing all of the rest, or hiding all of it, counts too.
    """
    lengths = [2]
    while lengths[-1] < len(ranked):
        lengths.append(min(len(ranked), max(lengths[-1] + 1, round(GROWTH * lengths[-1]))))
    one_way = [patch for patch in ranked if (patch in shown) != search.wants_more]
    prefixes = [frozenset(ranked[:length]) for length in lengths]
    ways = [frozenset(one_way[:length]) for length in lengths if length < len(one_way)]
    found = search.best(ask([*prefixes, *ways, frozenset(one_way)]))
    if found is None:
        return None
    order = [patch for patch in ranked if patch in found]
    shortest = max((length for length in lengths if length < len(found)), default=1)
    between = ask(frozenset(order[:length]) for length in range(shortest + 1, len(found)))
    return search.best([*between, found])


def by_beam(ask: Ask, ranked: Sequence[int], search: LeastChange, *, most: int) -> Change | None:
    """Return a change of at most so many patches that a small beam finds; None: none."""
    beam = [frozenset([patch]) for patch in ranked[:WIDTH]]
    for size in range(2, most + 1):
        longer = [c | {patch} for c in beam for patch in ranked[:SUCCESSORS] if patch not in c]
        if search.left < len(set(longer)) + 4 * most:  # what shrinking may need
            return None
        asked = ask(longer)
        found = search.best(asked)
        if found is not None:
            assert len(found) == size
            return found
        beam = sorted(asked, key=search.worth, reverse=True)[:WIDTH]
    return None


def shrunk(ask: Ask, found: Change, search: LeastChange) -> Change:
    """Return a change without the parts that it does not need, large parts first."""
    part = max(1, len(found) // 2)
    while part >= 1 and len(found) > 1:
        order = sorted(found, key=lambda patch: search.worth(frozenset([patch])))
        parts = [order[start : start + part] for start in range(0, len(order), part)]
        smaller = search.best(ask(found.difference(p) for p in parts if len(p) < len(found)))
        if smaller is not None:
            found = smaller
            part = min(part, max(1, len(found) // 2))
        else:
            part //= 2
    return found
