"""How fast, against what: the reference's way, this program's, and what the network itself allows.

    python benchmark.py                             # the bundled network on the bundled scenes
    python benchmark.py --quick                     # the same tables in under a minute
    python benchmark.py --images photos --model resnet50 --weights resnet50.pth --most-images 12
    python benchmark.py --self-test                 # is this device right, and how fast?
    python benchmark.py --simulate                  # how full would other devices be kept?

The same images and network, sides in turn, medians over the images:

  one by one   the reference's way: one image per forward pass, float32, nothing remembered, w + 1
               states, minimal against single removals; mask, search and tree
  as shipped   main_generate_sag.explain: mask, search and graph
  whole job    main_generate_sag.py over all images, with reading, curves and drawing, at the end
  ceiling      the bare network on random images, at its best batch size, compiled where the side
               above is

Writes benchmark.json, after every image, and benchmark.png into --results; an interrupted run goes
on from there. --self-test prints one table to paste into an issue; exit status 1 where a line
fails. --simulate replays searches on simulated devices: those of the records in --images or
--results, else of planted classifiers. The steps are in experiments/: one_by_one.py,
benchmark_*.py, self_test.py, simulation.py and what these name.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from running.command_line import (
    Backend,
    Count,
    Device,
    Output,
    Precision,
    Resize,
    exit_status,
    parse,
)
from utils import PROJECT

PROG = "benchmark.py"


@dataclass(frozen=True)
class Settings:
    """Everything that can be edited here or passed as an option."""

    # What to measure
    images: Path = PROJECT / "Images"  # an image or a folder, searched through its sub-folders
    most_images: Count = 12  # the first N images
    quick: bool = False  # two images, nothing compiled: under a minute
    self_test: bool = False  # test the device instead: answers, memory, speed; half a minute
    simulate: bool = False  # instead, 200 images' searches on simulated devices (quick: 20)
    # Network and machine
    model: str = "birds"  # birds, torchvision's, timm/NAME, hf/NAME, or FILE.py:function
    weights: Path | None = None  # a state_dict, .pth or .safetensors; else the model's own
    labels: Path | None = None  # class names, one per line; else by model
    resize: Resize = "squash"  # how images come to its input size
    output: Output = "auto"  # what it returns; auto: as four images say
    device: Device = "auto"  # what to run on
    precision: Precision = "auto"  # of the sides as shipped
    backend: Backend = "auto"  # of the sides as shipped
    search: Literal["beam", "diverse"] = "beam"  # of the sides as shipped
    # Results
    results: Path = Path("Results/benchmark")  # for benchmark.json and benchmark.png


if __name__ == "__main__":  # before PyTorch is imported, so that --help answers at once
    parse(Settings, prog=PROG, doc=__doc__)

import torch
from tqdm import tqdm

from experiments.benchmark_report import draw, report
from experiments.benchmark_result import EAGER, About, BenchmarkResult, read_result, write_result
from experiments.benchmark_sides import make_bench, measure_ceilings, measure_image
from experiments.benchmark_whole_job import measure_whole_job
from experiments.measurements import MainJobSettings
from experiments.self_test import self_test
from experiments.simulated_classifiers import planted_cases, recorded_cases, repeated
from experiments.simulated_device import DEVICES
from experiments.simulation import report_of_devices, simulate
from running.failures import report_failures
from running.images import find_images
from running.network_of import network_of
from running.record_files import versions
from running.result_folders import NamedImage
from running.results import make_writable
from scoring.compilation import CannotCompile
from scoring.fitting import load_fitted
from scoring.networks import Network, choose_device
from utils import UserError, printable

QUICK_IMAGES = 2
SIMULATED_IMAGES = 200
QUICK_SIMULATED_IMAGES = 20


def run(settings: Settings) -> int:
    """Measure, test or simulate; return the exit status."""
    if settings.simulate and settings.self_test:
        raise UserError("only one of --self-test and --simulate can be given")
    if settings.simulate:
        return run_simulation(settings)
    device = choose_device(settings.device)
    network = network_of(settings, device)
    most = QUICK_IMAGES if settings.quick else settings.most_images
    if settings.self_test:
        tested = self_test(
            network,
            find_images(settings.images).paths[:most],
            precision=settings.precision,
            backend=settings.backend,
        )
        print(tested.report())
        return 0 if tested.passed else 1
    images, failures = readable_images(settings, network, most=most)
    make_writable(settings.results)
    if not images:
        return report_failures(failures)
    file = settings.results / "benchmark.json"
    result = read_result(file, about(settings, network))
    try:
        measure(network, images, settings, result=result, file=file)
    except CannotCompile as error:
        raise UserError(f"cannot compile {network.name}: {error}") from error
    print(report(result))
    draw(result, settings.results / "benchmark.png")
    return report_failures(failures)


def readable_images(
    settings: Settings, network: Network, *, most: int
) -> tuple[list[NamedImage], list[tuple[str, str]]]:
    """Return the first images, less those that cannot be read; and (name, reason) of these."""
    found = find_images(settings.images, leave_out=settings.results)
    images = []
    failures = []
    for path in found.paths[:most]:
        name = printable(path.relative_to(found.root))
        try:
            load_fitted(path, network.fit)
        except ValueError as error:
            failures.append((name, str(error)))
        else:
            images.append(NamedImage(path, name))
    return images, failures


def measure(
    network: Network,
    images: list[NamedImage],
    settings: Settings,
    *,
    result: BenchmarkResult,
    file: Path,
) -> None:
    """Measure every side on every image that the result lacks; write the file after each."""
    bench = make_bench(
        network,
        MainJobSettings(search=settings.search, full_curves=False),
        precision=settings.precision,
        backend=settings.backend,
        with_compiled=not settings.quick and network.device.type == "cpu",
    )
    measure_ceilings(bench, result)
    missing = [image for image in images if image.name not in result.images_done]
    for image in tqdm(missing, unit="image", disable=None):
        measure_image(bench, image, result=result)
        write_result(file, result)
    names = [image.name for image in images]
    if result.whole_job is None or [row.image for row in result.whole_job.rows] != names:
        engine = bench.engines[EAGER]
        result.whole_job = measure_whole_job(
            engine, images, search=settings.search, precision=settings.precision
        )
        write_result(file, result)


def run_simulation(settings: Settings) -> int:
    """Replay searches on simulated devices and print what these did."""
    number = QUICK_SIMULATED_IMAGES if settings.quick else SIMULATED_IMAGES
    cases = recorded_cases(settings.images, number) or recorded_cases(settings.results, number)
    cases = repeated(cases, number) if cases else planted_cases(number, seed=0)
    results = [
        simulate(device, cases, search=settings.search)
        for device in tqdm(DEVICES, unit="device", disable=None)
    ]
    print(report_of_devices(results, cases))
    return 0


def about(settings: Settings, network: Network) -> About:
    """Return what is measured on what."""
    return About(
        model=network.description(),
        images=printable(settings.images),
        quick=settings.quick,
        search=settings.search,
        device=str(network.device),
        threads=torch.get_num_threads(),
        precision=settings.precision,
        backend=settings.backend,
        versions=versions(),
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 done; 1 the self-test failed or an image could not be read; 2 unusable arguments; 130
        interrupted.
    """
    return exit_status(PROG, lambda: run(parse(Settings, argv, prog=PROG, doc=__doc__)))


if __name__ == "__main__":
    sys.exit(main())
