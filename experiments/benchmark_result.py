"""The file benchmark.json, typed.

    result = read_result(path, about)           # what an earlier run measured, or nothing
    result.sides["one by one"][0].seconds

A file of another network, machine or version counts as absent.
"""

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from utils import write_json

ONE_BY_ONE = "one by one"  # names of sides
EAGER = "as shipped, eager"
COMPILED = "as shipped, compiled"


class About(Struct, kw_only=True):
    """What was measured on what; an earlier file of the same is continued."""

    model: dict[str, Any]
    images: str
    quick: bool
    search: str
    device: str
    threads: int
    precision: str
    versions: dict[str, str | None]


class SideRow(Struct, kw_only=True):
    """One side on one image."""

    image: str
    seconds: float  # of mask, search and graph
    asked: int
    scored: int
    roots: int
    proven: int = 0  # roots of which no subset is sufficient
    diverse: int = 0  # of these, in the largest diverse subset
    mask: float = 0.0  # seconds of the saliency mask
    disagreed: int = 0  # sets on another side of the threshold in float32
    doubted: int = 0  # sets that were decided in float32 at once


class DiverseRow(Struct, kw_only=True):
    """The diverse search on one image, with as many evaluations as the reference side took."""

    image: str
    evaluations: int
    roots: int
    proven: int
    diverse: int
    stopped_by: str
    evaluations_for_as_many: int | None  # that it takes for as many diverse MSEs; None: not reached


class BenchmarkResult(About, kw_only=True):
    """All measurements."""

    sides: dict[str, list[SideRow]]
    diverse: list[DiverseRow] = []
    ceilings: dict[str, dict[str, float]] = {}  # by side: images per second by batch size
    memory: dict[str, float | None] = {}  # GB at the peak
    compile_seconds: list[float] = []

    @property
    def images_done(self) -> set[str]:
        """Names of the images that are measured."""
        return {row.image for row in self.diverse}


def read_result(path: Path, about: About) -> BenchmarkResult:
    """Return what an earlier run measured of the same, or a result without measurements."""
    empty = BenchmarkResult(**msgspec.structs.asdict(about), sides={})
    try:
        earlier = msgspec.json.decode(path.read_bytes(), type=BenchmarkResult)
    except (OSError, msgspec.MsgspecError):  # none, or a damaged one
        return empty
    agrees = all(getattr(earlier, name) == getattr(about, name) for name in About.__struct_fields__)
    return earlier if agrees else empty


def write_result(path: Path, result: BenchmarkResult) -> None:
    """Write the file atomically."""
    write_json(path, msgspec.to_builtins(result))
