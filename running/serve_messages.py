"""What the live page's server and its worker send each other, pickled. No PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scoring.patch_sets import PatchSet


@dataclass(frozen=True)
class WorkerSettings:
    """What the worker is started with; sent first.

    Attributes:
        model: the network as the user names it, where its code is the user's own; or None.
        images: the run's images, where folders have lost theirs; or None.
        device: "auto", "cpu", "cuda" or "mps".
    """

    model: str | None = None
    images: Path | None = None
    device: str = "auto"


@dataclass(frozen=True)
class Ask:
    """Sets of a record that are to be scored.

    Attributes:
        folder: of the result.
        identity: what the answers depend on; see serve_records.identity_of.
        sets: the sets; none to load the network alone.
    """

    folder: Path
    identity: str
    sets: Sequence[PatchSet] = ()


@dataclass(frozen=True)
class Answer:
    """What came of an ask.

    Attributes:
        probabilities: of each set.
        error: why there are none in one line, or None.
        network: name of the network.
    """

    probabilities: Sequence[float] = ()
    error: str | None = None
    network: str = ""
