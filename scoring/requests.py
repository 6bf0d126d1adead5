"""What is asked of the engine: masks of one image, and in which way they are to be answered.

    def steps() -> Steps[float]:
        answers = yield Request(slot, masks, kind="float32")
        return answers[0]

Steps are generators that yield requests and are sent one answer per mask. Masks are queued, not
images: a batch is composed when it runs (scoring/engine.py).
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch

from scoring.patches import Basis
from scoring.token_dropping import TokenDropping

T = TypeVar("T")
# "float32" and "reduced" are answered with the class's probability, a float; where other classes
# are wanted as well, with a list of floats, the class's own first. "gradient" is answered with the
# gradient of that probability with respect to the mask, (patches,).
Kind = Literal["float32", "reduced", "gradient"]
KINDS: tuple[Kind, ...] = ("float32", "reduced", "gradient")


@dataclass(frozen=True, eq=False)
class Slot:
    """One image and class on the device.

    Attributes:
        image: (3, H, W), normalised.
        baseline: (3, H, W), normalised; what is seen where patches are hidden.
        category: class index.
        basis: how strongly each patch shows each pixel.
        dropped: the transformer that leaves hidden tokens out, or None.
        against: the class against which the confidence is measured; None: all others.
    """

    image: torch.Tensor
    baseline: torch.Tensor
    category: int
    basis: Basis
    dropped: TokenDropping | None = None
    against: int | None = None

    @property
    def num_patches(self) -> int:
        """Number of patches or regions."""
        return self.basis.num_patches

    def rival_of(self, category: int) -> int:
        """Return the class against which a class is measured; the class itself: all others."""
        return category if self.against is None else self.against


@dataclass(frozen=True, eq=False)
class Request:
    """Masks of one image that wait for an answer.

    Attributes:
        slot: the image.
        masks: (N, patches) float32 on the CPU, from 0 (hidden) to 1 (visible).
        kind: how they are answered.
        noise: (N, 3, H, W) on the CPU, added to the composed images; or None.
        deadline: a time.monotonic() after which no further mask is answered; OutOfTime is thrown.
        step: the step of the main job that asks, for the counts.
        others: classes that are answered along with the image's own; not for gradients.
    """

    slot: Slot
    masks: torch.Tensor
    kind: Kind
    noise: torch.Tensor | None = None
    deadline: float = float("inf")
    step: str = ""
    others: tuple[int, ...] = ()


Steps = Generator[Request, Sequence[Any], T]


class OutOfTime(TimeoutError):
    """A request's deadline has passed.

    Attributes:
        answers: one per mask; None for those that were not answered until then.
    """

    def __init__(self, answers: Sequence[Any] = ()):
        super().__init__("out of time")
        self.answers = answers
