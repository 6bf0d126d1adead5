"""The benchmark's measurements: every side on every image, in turn.

    bench = Bench(network, settings, engines)
    measure_ceilings(bench, result)
    for image in images:
        measure_image(bench, image, result)

What the reference side found is proven afterwards, off the clock, by the proof that the other sides
have on the clock.
"""

import copy
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch

from diverse_search import diverse_search
from diverse_subset_selection import diverse_subset
from experiments.benchmark_result import (
    COMPILED,
    EAGER,
    ONE_BY_ONE,
    STEPS,
    BatchRow,
    BenchmarkResult,
    DiverseRow,
    SideRow,
)
from experiments.counting import CountingScorer
from experiments.measurements import MainJobSettings
from experiments.one_by_one import explain_one_by_one
from main_generate_sag import explain
from running.image_case import ImageCase
from running.result_folders import NamedImage
from scoring.compilation import Forward
from scoring.engine import Engine
from scoring.fitting import load_fitted
from scoring.networks import Network, class_probabilities
from scoring.patch_sets import PatchSet
from scoring.questions import answer
from scoring.requests import Kind
from scoring.scorer import MaskScorer
from search import MSE, PROVEN_UP_TO, Scorer, SearchResult, prove

WARM_UP_PASSES = 1
CEILING_SECONDS = 1.5  # at each batch size
CEILING_BATCHES: dict[str, tuple[int, ...]] = {  # batch sizes by kind of device
    "cpu": (1, 4, 8, 16, 32),
    "cuda": (1, 16, 64, 128, 256, 512),
    "mps": (1, 16, 64, 128),
}
NO_LIMIT = 10**6  # roots
GB = 1e9


@dataclass(frozen=True)
class Bench:
    """What all images of a benchmark share.

    Attributes:
        network: The network.
        plain: Its module in float32, as the reference side uses it.
        engines: The engine of each side as shipped.
        settings: The main job's settings.
    """

    network: Network
    plain: torch.nn.Module
    engines: dict[str, Engine]
    settings: MainJobSettings


def make_bench(
    network: Network,
    settings: MainJobSettings,
    *,
    precision: str,
    with_compiled: bool,
    backend: str = "auto",
) -> Bench:
    """Return what all images of a benchmark share.

    Args:
        network: The network.
        settings: The main job's settings.
        precision: Of the sides as shipped.
        with_compiled: Whether there is a compiled side.
        backend: Of the sides as shipped.
    """
    plain = copy.deepcopy(network.module).to(memory_format=torch.contiguous_format)
    names = [EAGER, COMPILED] if with_compiled else [EAGER]
    engines = {name: Engine(network, precision=precision, backend=backend) for name in names}
    return Bench(network, plain, engines=engines, settings=settings)


# ---------------------------------------------------------------- the bare network


def measure_ceilings(bench: Bench, result: BenchmarkResult) -> None:
    """Compile where a side is compiled, and measure the bare network of each side."""
    device = bench.network.device
    for name, engine in bench.engines.items():
        reset_peak_memory(device)
        if name == COMPILED:
            start = time.monotonic()
            engine.compile()
            result.compile_seconds.append(time.monotonic() - start)
        result.ceilings[name] = ceilings(engine)
        result.memory[f"bare network ({name})"] = peak_memory(device)


def ceilings(engine: Engine) -> dict[str, dict[str, float]]:
    """Return images per second by precision and batch size, the network run as the engine runs it.

    A compiled network is measured at the batch sizes that it is compiled for.
    """
    network = engine.network
    height, width = network.size
    example = torch.randn(1, network.channels, height, width, device=network.device)
    forwards: dict[str, tuple[Kind, Forward]] = {"float32": ("float32", engine.exact)}
    if engine.reduced is not None:  # OpenVINO may compute in float32 as well
        name = engine.backend if engine.precision == "float32" else engine.precision
        forwards[name] = ("reduced", engine.reduced)
    measured = {}
    for precision, (kind, forward) in forwards.items():
        sizes = CEILING_BATCHES[network.device.type]
        if engine.compiled:
            sizes = (engine.limits[kind].size,)
        measured[precision] = {
            str(size): images_per_second(forward, example.expand(size, -1, -1, -1).contiguous())
            for size in sizes
        }
    return measured


@torch.inference_mode()
def images_per_second(forward: Callable, batch: torch.Tensor) -> float:
    """Return the speed of a network on a batch (B, 3, H, W), repeated for some seconds."""
    for _ in range(WARM_UP_PASSES):
        forward(batch)
    count = 0
    start = time.monotonic()
    while time.monotonic() < start + CEILING_SECONDS:
        forward(batch).sum().item()  # waits until the device has finished
        count += len(batch)
    return count / (time.monotonic() - start)


# ---------------------------------------------------------------- one image


@dataclass(frozen=True)
class Found:
    """What a side found about one image, before it is judged."""

    row: SideRow  # proven and diverse are still to be counted
    roots: list[PatchSet]
    proven: list[PatchSet] | None  # None: not proven yet
    saliency: list[float]  # one number per patch; empty for the reference side


def measure_image(bench: Bench, named: NamedImage, result: BenchmarkResult) -> None:
    """Add the rows of every side on one image to the result."""
    image = load_fitted(named.path, bench.network.fit)
    judge = new_judge(bench, image)
    found = {ONE_BY_ONE: reference_side(bench, image, category=judge.category, name=named.name)}
    for side, engine in bench.engines.items():
        reset_peak_memory(bench.network.device)
        found[side] = shipped_side(
            engine, image, category=judge.category, settings=bench.settings, name=named.name
        )
        peak = peak_memory(bench.network.device) or 0
        result.memory[side] = max(peak, result.memory.get(side) or 0)
    rows = {side: judge.row(one) for side, one in found.items()}
    for side, row in rows.items():
        result.sides.setdefault(side, []).append(row)
    reference = rows[ONE_BY_ONE]
    result.diverse.append(
        judge.diverse_row(
            found[EAGER].saliency,
            max_evaluations=reference.scored,
            wanted=reference.diverse,
            name=named.name,
        )
    )


def reference_side(bench: Bench, image: np.ndarray, category: int, *, name: str) -> Found:
    """Return what the reference side finds; it has no proof on the clock."""
    found = explain_one_by_one(
        bench.network, bench.plain, image, category=category, settings=bench.settings
    )
    row = SideRow(
        image=name,
        seconds=found.seconds,
        asked=found.evaluations,
        scored=found.evaluations,
        roots=len(found.roots),
    )
    return Found(row, found.roots, proven=None, saliency=[])


def shipped_side(
    engine: Engine, image: np.ndarray, category: int, settings: MainJobSettings, *, name: str
) -> Found:
    """Return what the main job finds: mask, search and graph, without the curves."""
    before = batch_rows(engine)
    start = time.monotonic()
    sag = explain(engine, image, category=category, **asdict(settings))
    seconds = time.monotonic() - start - sag.seconds.curves  # the reference has no curves
    counted = sag.evaluations
    row = SideRow(
        image=name,
        seconds=seconds,
        asked=counted.asked,
        scored=counted.scored + counted.scored_again - counted.scored_for_curves,
        roots=len(sag.roots),
        precision=counted.precision,
        stages={step: getattr(sag.seconds, step) for step in STEPS},
        passes=counted.passes,
        batches=batches_since(before, batch_rows(engine)),
        disagreed=counted.disagreed,
        doubted=counted.doubted,
    )
    return Found(
        row,
        roots=[root.patches for root in sag.roots],
        proven=[root.patches for root in sag.roots if root.minimal == "subset"],
        saliency=sag.saliency,
    )


def batch_rows(engine: Engine) -> dict[str, BatchRow]:
    """Return the engine's counts of batches until now, by kind."""
    return {
        kind: BatchRow(
            batches=counts.batches,
            masks=counts.masks,
            rows=counts.rows,
            synchronisations=counts.synchronisations,
        )
        for kind, counts in engine.counts.items()
    }


def batches_since(
    before: Mapping[str, BatchRow], after: Mapping[str, BatchRow]
) -> dict[str, BatchRow]:
    """Return the batches that are in the later counts only."""
    return {
        kind: BatchRow(
            **{
                name: number - getattr(before[kind], name)
                for name, number in msgspec.structs.asdict(counts).items()
            }
        )
        for kind, counts in after.items()
    }


# ---------------------------------------------------------------- off the clock


@dataclass(frozen=True)
class Judge:
    """Proves and counts what the sides found about one image, in float32."""

    category: int  # the most probable
    threshold: float  # a set above this probability is sufficient
    scorer: MaskScorer
    settings: MainJobSettings

    def row(self, found: Found) -> SideRow:
        """Return a side's row with its proven and its diverse MSEs counted."""
        proven = self.proven_among(found.roots) if found.proven is None else found.proven
        return msgspec.structs.replace(
            found.row, proven=len(proven), diverse=self.count_diverse(proven)
        )

    def proven_among(self, roots: Sequence[PatchSet]) -> list[PatchSet]:
        """Return the roots of which no subset is sufficient."""
        small = [root for root in roots if len(root) <= PROVEN_UP_TO]
        minimal: dict[PatchSet, MSE] = {}
        answer(prove(small, self.threshold, minimal), self.scorer)
        return sorted(minimal.keys() & set(small))

    def count_diverse(self, mses: Sequence[PatchSet]) -> int:
        """Return the size of the largest diverse subset."""
        if not mses:
            return 0
        confidences = self.scorer(mses).tolist()
        return len(diverse_subset(mses, confidences, overlap=self.settings.overlap_thresh).chosen)

    def diverse_row(
        self, saliency: Sequence[float], *, max_evaluations: int, wanted: int, name: str
    ) -> DiverseRow:
        """Return what the diverse search finds with as many evaluations as the reference took.

        Args:
            saliency: One number per patch.
            max_evaluations: The reference's evaluations.
            wanted: The reference's diverse MSEs.
            name: Of the image.
        """
        scorer = CountingScorer(self.scorer)
        found = self.search_diverse(
            scorer, saliency, max_num_roots=NO_LIMIT, max_evaluations=max_evaluations
        )
        proven = [mse.patches for mse in found.mses if mse.minimal == "subset"]
        return DiverseRow(
            image=name,
            evaluations=len(scorer.asked),
            roots=len(found.mses),
            proven=len(proven),
            diverse=self.count_diverse(proven),
            stopped_by=found.stopped_by,
            evaluations_for_as_many=self.evaluations_for(wanted, saliency),
        )

    def search_diverse(
        self, scorer: Scorer, saliency: Sequence[float], **limits: int
    ) -> SearchResult:
        """Run the diverse search with the main job's settings; limits: options that end it."""
        search = diverse_search(
            saliency,
            prob_thresh=self.settings.prob_thresh,
            overlap=self.settings.overlap_thresh,
            **limits,
        )
        return answer(search, scorer)

    def evaluations_for(self, wanted: int, saliency: Sequence[float]) -> int | None:
        """Return how many sets the diverse search scores for so many MSEs; None: it finds fewer."""
        if wanted == 0:
            return 0
        scorer = CountingScorer(self.scorer)
        found = self.search_diverse(scorer, saliency, max_num_roots=wanted)
        return len(scorer.asked) if len(found.mses) >= wanted else None


def new_judge(bench: Bench, image: np.ndarray) -> Judge:
    """Return the judge of one image, (H, W, 3) uint8."""
    network = bench.network
    with torch.inference_mode():
        probabilities = class_probabilities(network.module(network.prepare(image)[None]))[0]
    case = ImageCase.of(
        network,
        image,
        category=int(probabilities.argmax()),
        baseline=bench.settings.baseline,
        grid=(bench.settings.grid, bench.settings.grid),
    )
    engine = list(bench.engines.values())[-1]
    return Judge(
        category=case.category,
        threshold=bench.settings.prob_thresh * float(probabilities.max()),
        scorer=case.scorer(engine.exact, batch_size=engine.batch_size),
        settings=bench.settings,
    )


# ---------------------------------------------------------------- memory


def reset_peak_memory(device: torch.device) -> None:
    """Count peak memory from here on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> float | None:
    """Return GB at the peak, of the GPU's memory or of this process; None where it is unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / GB
    if sys.platform != "linux":
        return None
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            kibibytes = int(line.split()[1])
            return kibibytes * 1024 / GB
    return None
