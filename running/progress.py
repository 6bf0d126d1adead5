"""What the progress bars show: the step that an image is at, and how far its search is.

follower = Follower()
follower.follow(times, answerer)        # by the steps of an image
follower.line()                         # "search: 2 MSEs, sets of 4 patches, at most 1,845 left"
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from drawing.words import counted
from running.steps import StepTimes
from scoring.answerer import Answerer

# What the steps are called in a progress bar.
STEPS = {
    "mask": "saliency",
    "search": "search",
    "tree": "check and graph",
    "needed": "what is needed",
    "what_if": "what if",
    "curves": "curves",
}
SEARCHES = ("search", "needed")  # steps with a search to tell about


@dataclass
class Follower:
    """What one image is at.

    Attributes:
        times: of its steps; None: they have not begun.
        answerer: of its searches, likewise.
    """

    times: StepTimes | None = None
    answerer: Answerer | None = None

    def follow(self, times: StepTimes, answerer: Answerer) -> None:
        """Show these steps from now on."""
        self.times = times
        self.answerer = answerer

    @property
    def step(self) -> str:
        """The step that runs."""
        return STEPS.get(self.times.now, "") if self.times else "loading"

    def line(self) -> str:
        """Return one line about the step, and about the search while it runs."""
        if not self.answerer or not self.times or self.times.now not in SEARCHES:
            return self.step
        progress = self.answerer.progress
        if progress is None:
            return self.step
        roots = counted(progress.roots, "MSE")
        line = f"{self.step}: {roots}, sets of {counted(progress.size, 'patch', 'patches')}"
        if progress.most_left is None:
            return line
        return f"{line}, at most {progress.most_left:,} left"


def line_of(followers: Collection[Follower]) -> str:
    """Return one line about all images in flight."""
    if len(followers) == 1:
        return next(iter(followers)).line()
    counts = Counter(follower.step for follower in followers)
    return ", ".join(f"{number} {step}" for step, number in counts.most_common())
