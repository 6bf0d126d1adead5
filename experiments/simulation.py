"""The main job's steps on simulated devices: how full are they kept?

    cases = planted_cases(200, seed=0)
    print(report_of_devices([simulate(device, cases) for device in DEVICES], cases))

What is real here: Batching, the searches, the Answerer, I-GOS, the certificate, the graph, the
curves and the record. What is simulated: the device, and the classifiers. See simulated_device.py
and simulated_classifiers.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any, cast

import numpy as np
import torch

from drawing.record import Seconds
from experiments.benchmark_tables import aligned
from experiments.measurements import MainJobSettings
from experiments.simulated_classifiers import Recorded, SimulatedCase
from experiments.simulated_device import Clock, DeviceModel, SimulatedDevice
from running.explanation import Explanation
from running.image_case import ImageCase
from running.make_record import Source, make_record
from running.searches import search_of
from running.sides import enough_side, run_side
from running.steps import Findings, StepTimes, Thresholds, measure_curves, measure_saliency
from scoring.answerer import Answerer
from scoring.batching import Batching, Task
from scoring.engine import Engine
from scoring.fitting import Fit
from scoring.networks import Network
from scoring.requests import Steps

SIDE = 224  # of the simulated images, in pixels
CELL = 32  # stride of the simulated network
GRADIENT_PASSES = 3  # a forward and a backward pass, in forward passes
LONE_IMAGES = 10  # images that are timed alone
COLUMNS = (
    "device",
    "at once",
    "share of the ceiling",
    "with host time",
    "fill",
    "syncs a batch",
    "images/s",
    "with host time",
    "sets a batch",
    "lone image, s",
    "host s per 1,000 sets",
)


@dataclass(frozen=True)
class Simulated:
    """What a device did in simulated time.

    Attributes:
        device: name of the device.
        at_once: number of images in flight.
        images: number of images.
        share: of the ceiling, where the host takes no time.
        share_with_host: the same with the host's real time, beside the batches in flight.
        fill: share of the rows that ran which were asked for.
        synchronisations: per batch.
        batches: number of batches.
        masks: number of masks that were asked for.
        seconds: that all images took, where the host takes no time.
        seconds_with_host: the same with the host's real time.
        lone_seconds: of an image alone, median, with the host's real time.
        host_seconds: real time of everything but the device.
        fill_by_kind: share of each kind's rows that were asked for.
    """

    device: str
    at_once: int
    images: int
    share: float
    share_with_host: float
    fill: float
    synchronisations: float
    batches: int
    masks: int
    seconds: float
    seconds_with_host: float
    lone_seconds: float
    host_seconds: float
    fill_by_kind: dict[str, float]


class SimulatedNetwork(torch.nn.Module):
    """Stands in for the network where it is run outside of batches, as by Grad-CAM.

    Args:
        device: is charged for the passes.
        classes: number of classes.
    """

    def __init__(self, device: SimulatedDevice, classes: int):
        super().__init__()
        self.device = device
        cells = SIDE // CELL
        self.first = torch.nn.Conv2d(3, 1, CELL, stride=CELL)
        self.last = torch.nn.Conv2d(1, 1, 1)
        self.linear = torch.nn.Linear(cells * cells, classes)
        self.eval().requires_grad_(False)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.normal_(generator=generator)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (B, classes) that mean nothing."""
        passes = GRADIENT_PASSES if images.requires_grad else 1
        self.device.run_alone(passes * len(images))
        return self.linear(self.last(self.first(images)).flatten(1))


@dataclass(frozen=True)
class SimulatedEngine:
    """What the steps know of an engine.

    Attributes:
        network: whose module charges the simulated device.
        precision: of the search.
        backend: likewise.
    """

    network: Network
    precision: str = "float16"
    backend: str = "torch"

    def most_probable(self, image: np.ndarray, number: int) -> list[int]:
        """Run the network once, as the engine does; the classes mean nothing."""
        logits = self.network.module(self.network.prepare(image)[None])
        return logits[0].topk(number).indices.tolist()


def make_engine(device: SimulatedDevice) -> Engine:
    """Return a stand-in for the engine."""
    classes = len(device.classifiers)
    network = Network(
        module=SimulatedNetwork(device, classes),
        name="simulated",
        weights_sha256="",
        labels=[f"class {number}" for number in range(classes)],
        fit=Fit((SIDE, SIDE)),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        device=torch.device("cpu"),
    )
    return cast(Engine, SimulatedEngine(network))


# ---------------------------------------------------------------- one device


def simulate(model: DeviceModel, cases: Sequence[SimulatedCase], **settings: Any) -> Simulated:
    """Explain all images on a simulated device, twice, and some of them alone.

    Args:
        model: the device.
        cases: the images.
        **settings: of MainJobSettings, as search="diverse".
    """
    chosen = MainJobSettings(full_curves=False, **settings)
    bare = run_all(model, cases, chosen, clock=Clock())
    hosted = run_all(model, cases, chosen, clock=Clock(counts_host=True))
    alone = replace(model, at_once=1)
    lone = [
        run_all(alone, [case], chosen, clock=Clock(counts_host=True)).clock.elapsed
        for case in cases[:LONE_IMAGES]
    ]
    return Simulated(
        device=model.name,
        at_once=model.at_once,
        images=len(cases),
        share=bare.share,
        share_with_host=hosted.share,
        fill=bare.fill,
        synchronisations=bare.synchronisations,
        batches=bare.batches,
        masks=bare.masks,
        seconds=bare.clock.elapsed,
        seconds_with_host=hosted.clock.elapsed,
        lone_seconds=median(lone),
        host_seconds=bare.clock.host_seconds,
        fill_by_kind={kind: counts.fill for kind, counts in bare.counts.items()},
    )


def run_all(
    model: DeviceModel, cases: Sequence[SimulatedCase], settings: MainJobSettings, *, clock: Clock
) -> SimulatedDevice:
    """Explain all images and return the device with its clock and counts.

    Raises:
        Exception: whatever the steps of an image raised.
    """
    device = SimulatedDevice(model, [case.classifier for case in cases], clock=clock)
    engine = make_engine(device)
    clock.start()
    for finished in Batching(device, model.at_once).run(_tasks(cases, engine, settings)):
        if finished.error is not None:
            raise finished.error
    clock.take_control()
    return device


def _tasks(
    cases: Sequence[SimulatedCase], engine: Engine, settings: MainJobSettings
) -> Iterator[Task]:
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    for number, case in enumerate(cases):
        yield Task(number, explain(case, image, engine, settings, number=number))


def explain(
    simulated: SimulatedCase,
    image: np.ndarray,
    engine: Engine,
    settings: MainJobSettings,
    *,
    number: int,
) -> Steps[Explanation]:
    """Find the most probable class, run all steps, and make the record.

    Args:
        simulated: the image.
        image: (H, W, 3) uint8, its pixels, which nobody looks at.
        engine: the stand-in of make_engine().
        settings: of the main job.
        number: of the image.
    """
    engine.most_probable(image, 1)
    case = ImageCase.of(
        engine.network, image, category=number, baseline=settings.baseline, grid=simulated.grid
    )
    findings = yield from find_out(case, engine, settings, simulated=simulated)
    return make_record(
        findings,
        case,
        engine=engine,
        source=Source(simulated.name, sha256=""),
        cut=None,
        settings=asdict(settings),
    )


def find_out(
    case: ImageCase, engine: Engine, settings: MainJobSettings, *, simulated: SimulatedCase
) -> Steps[Findings]:
    """Run the steps of main_generate_sag.find_out in its order.

    Args:
        case: the image.
        engine: the stand-in of make_engine().
        settings: of the main job.
        simulated: whose saliency maps, if any, are followed in place of what the steps find.
    """
    answerer = Answerer(case.slot, has_reduced=True)
    saliency = yield from measure_saliency(
        case, answerer, engine, method="igos", seed=settings.seed, deadline=float("inf")
    )
    if simulated.saliency is not None:
        mask = torch.from_numpy(simulated.saliency).float().reshape(case.grid)
        saliency = replace(saliency, mask=mask, gradcam=simulated.gradcam)
    answerer.threshold = settings.prob_thresh * saliency.full
    sag = yield from run_side(
        enough_side(settings, saliency.full),
        search_of(settings, saliency.mask),
        answerer,
        times=StepTimes(),
        settings=settings,
        end=float("inf"),
    )
    curves = yield from measure_curves(
        case, answerer, saliency=saliency, result=sag.result, all_counts=settings.full_curves
    )
    return Findings(
        saliency,
        Thresholds(settings.prob_thresh, settings.node_prob_thresh),
        answerer,
        sag=sag,
        needed=None,
        drawn=None,
        curves=curves,
        seconds=Seconds(),
    )


# ---------------------------------------------------------------- the table


def report_of_devices(results: Sequence[Simulated], cases: Sequence[SimulatedCase]) -> str:
    """Return table and remarks as text."""
    lines = [f"simulated: {len(cases)} images from {origin_of(cases)}", *aligned(table(results))]
    for result in results:
        by_kind = ", ".join(f"{kind} {fill:.0%}" for kind, fill in result.fill_by_kind.items())
        lines.append(f"fill of the batches, {result.device}: {by_kind}")
    lines.append(
        "share of the ceiling: what all rows asked for would take at the device's best rate, over "
        "the simulated time; host time is this machine's, one thread, beside the batches in flight"
    )
    return "\n".join(lines)


def origin_of(cases: Sequence[SimulatedCase]) -> str:
    """Return where the images' answers are from."""
    recorded = {case.classifier for case in cases if isinstance(case.classifier, Recorded)}
    if not recorded:
        return "planted classifiers"
    known = sum(classifier.answered[True] for classifier in recorded)
    missing = sum(classifier.answered[False] for classifier in recorded)
    share = known / max(1, known + missing)
    return f"{len(recorded)} record(s), whose tables answer {share:.0%} of the sets"


def table(results: Sequence[Simulated]) -> list[list[str]]:
    """Return the table's rows, a device each."""
    return [list(COLUMNS), *(_row(result) for result in results)]


def _row(result: Simulated) -> list[str]:
    return [
        result.device,
        str(result.at_once),
        f"{result.share:.0%}",
        f"{result.share_with_host:.0%}",
        f"{result.fill:.0%}",
        f"{result.synchronisations:.2f}",
        f"{result.images / result.seconds:.2f}",
        f"{result.images / result.seconds_with_host:.2f}",
        f"{result.masks / result.batches:.0f}",
        f"{result.lone_seconds:.2f}",
        f"{1000 * result.host_seconds / result.masks:.2f}",
    ]
