"""The file benchmark.json, typed.

    result = read_result(path, about)           # what an earlier run measured, or nothing
    result.sides["one by one"][0].seconds

A file of another network, machine or version counts as absent.
"""

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from utils import read_bytes, write_json

ONE_BY_ONE = "one by one"  # names of sides
EAGER = "as shipped, eager"
COMPILED = "as shipped, compiled"
WHOLE_JOB = "as shipped, whole job"
GRADIENT = "gradient"  # a kind of pass: forward and backward
STEPS = ("mask", "search", "tree", "curves")  # that run the network
STAGES = ("load", *STEPS, "draw")
GRADIENT_PASSES = 3  # forward passes that one of them counts as


class About(Struct, kw_only=True):
    """What was measured on what; an earlier file of the same is continued."""

    model: dict[str, Any]
    images: str
    quick: bool
    search: str
    device: str
    threads: int
    precision: str
    backend: str = "auto"
    versions: dict[str, str | None]


class BatchRow(Struct, kw_only=True):
    """The batches of one kind."""

    batches: int = 0
    masks: int = 0  # that were asked for
    rows: int = 0  # that ran, padding included
    synchronisations: int = 0  # with the device


class SideRow(Struct, kw_only=True):
    """One side on one image."""

    image: str
    seconds: float  # of mask, search and graph
    asked: int
    scored: int
    roots: int
    proven: int = 0  # roots of which no subset is sufficient
    diverse: int = 0  # of these, in the largest diverse subset
    precision: str = "float32"  # of the search
    stages: dict[str, float] = {}  # seconds of each, curves included
    passes: dict[str, dict[str, int]] = {}  # by stage, then by precision or "gradient"
    batches: dict[str, BatchRow] = {}  # by kind of request
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


class WholeJobRow(Struct, kw_only=True):
    """One image in a run of the main job over all of them."""

    image: str
    stages: dict[str, float]  # seconds of each, load and draw included


class WholeJob(Struct, kw_only=True):
    """A run of the main job over all images: load, explain, draw and write all default files."""

    seconds: float  # from the first image to the last file
    images_at_once: int
    rows: list[WholeJobRow]

    def seconds_of(self, image: str) -> float:
        """Return the seconds of the run that an image accounts for.

        These are those of its own steps, and an equal part of what all steps leave of the run:
        waiting for files to be read and drawn. Where several images share batches, it is an equal
        part of the whole run.
        """
        equal = self.seconds / len(self.rows)
        if self.images_at_once > 1:
            return equal
        own = {row.image: sum(row.stages.get(step, 0.0) for step in STEPS) for row in self.rows}
        return own[image] + equal - sum(own.values()) / len(own)


class BenchmarkResult(About, kw_only=True):
    """All measurements.

    ceilings: by side and precision, images per second by batch size.
    """

    sides: dict[str, list[SideRow]]
    diverse: list[DiverseRow] = []
    ceilings: dict[str, dict[str, dict[str, float]]] = {}
    whole_job: WholeJob | None = None
    memory: dict[str, float | None] = {}  # GB at the peak
    compile_seconds: list[float] = []

    @property
    def images_done(self) -> set[str]:
        """Names of the images that are measured."""
        return {row.image for row in self.diverse}

    def best_rate(self, side: str, precision: str) -> float:
        """Return the bare network's images per second at its best batch size.

        Args:
            side: whose network.
            precision: of it; where it was not measured, the best of those that were.
        """
        measured = self.ceilings[side]
        speeds = measured.get(precision)
        if speeds is None:
            return max(speed for by_size in measured.values() for speed in by_size.values())
        return max(speeds.values())


def read_result(path: Path, about: About) -> BenchmarkResult:
    """Return what an earlier run measured of the same, or a result without measurements."""
    empty = BenchmarkResult(**msgspec.structs.asdict(about), sides={})
    try:
        earlier = msgspec.json.decode(read_bytes(path), type=BenchmarkResult)
    except (OSError, ValueError, RecursionError):  # none, or a damaged one
        return empty
    agrees = all(getattr(earlier, name) == getattr(about, name) for name in About.__struct_fields__)
    return earlier if agrees else empty


def write_result(path: Path, result: BenchmarkResult) -> None:
    """Write the file atomically."""
    write_json(path, msgspec.to_builtins(result))
