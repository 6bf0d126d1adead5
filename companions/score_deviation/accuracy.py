"""How well the network recognises a set of images: the figures of the published evaluation.

    found = evaluate(records)           # None where no true class is known
    found.top_1, found.mean_class_accuracy, found.mean_loss
    lines = table(found, "resnet18")

mean loss               mean of -log p, p the probability of the true class
mean class accuracy     mean over the classes that have an image of their top-1 accuracies
"""

import math
from collections.abc import Sequence

from msgspec import Struct

from companions.score_deviation.record import Deviations, TrueClass

SMALLEST = 1.4e-45  # above 0 in float32: a probability below it counts as this
HEADINGS = ("Loss", "Top@1", "Top@2", "Top@5", "Mean Class Accuracy")


class Evaluation(Struct, kw_only=True):
    """Accuracies, from 0 to 1, and the mean loss."""

    images: int  # with a true class
    top_1: float
    top_2: float
    top_5: float
    mean_class_accuracy: float
    mean_loss: float


def evaluate(records: Sequence[Deviations]) -> Evaluation | None:
    """Return the figures of the images whose true class is known; None where there is none."""
    known = [record.true for record in records if record.true]
    return figures_of(known) if known else None


def figures_of(known: Sequence[TrueClass]) -> Evaluation:
    """Return the figures of images by their true classes, of which there is one at least."""
    return Evaluation(
        images=len(known),
        top_1=_share_within(known, 1),
        top_2=_share_within(known, 2),
        top_5=_share_within(known, 5),
        mean_class_accuracy=mean_class_accuracy(known),
        mean_loss=math.fsum(loss(true) for true in known) / len(known),
    )


def _share_within(known: Sequence[TrueClass], rank: int) -> float:
    return sum(true.rank <= rank for true in known) / len(known)


def mean_class_accuracy(known: Sequence[TrueClass]) -> float:
    """Return the mean of the classes' shares of images whose true class is the first."""
    hits: dict[int, list[bool]] = {}
    for true in known:
        hits.setdefault(true.index, []).append(true.rank == 1)
    return sum(sum(own) / len(own) for own in hits.values()) / len(hits)


def loss(true: TrueClass) -> float:
    """Return the cross entropy of one image."""
    return -math.log(max(true.probability, SMALLEST))


def table(found: Evaluation, model: str) -> list[str]:
    """Return the lines of a table with the columns of the published README."""
    values = (
        f"{found.mean_loss:.2f}",
        f"{100 * found.top_1:.2f}",
        f"{100 * found.top_2:.2f}",
        f"{100 * found.top_5:.2f}",
        f"{100 * found.mean_class_accuracy:.2f}",
    )
    width = max(len("Model"), len(model))
    head = " | ".join(["Model".ljust(width), *HEADINGS])
    row = " | ".join(
        [model.ljust(width), *(v.rjust(len(name)) for v, name in zip(values, HEADINGS))]
    )
    return [head, row]
