"""Measuring many images: one file per image and condition, in this process or on a Ray cluster.

    jobs = plan_jobs(subjects, conditions, limits={"combs": 20}, seed=0, folder=folder)
    for outcome in measure_here(jobs, engine, settings):
        outcome.job, outcome.error
    rows = read_rows(jobs, network, settings)

A file is <folder>/<image>/<condition>.json. What is there with the same image, model and settings
is not measured again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from tqdm import tqdm

from experiments.estimate_samples import BUDGETS as ASKED_AHEAD
from experiments.estimate_samples import SEARCHES
from experiments.findings import Key, Measurement, decode_measurement, encode_measurement
from experiments.held_searches import BUDGETS, FIRST
from experiments.images import Subject
from experiments.measurements import CHOICES, ORDERS, MainJobSettings, condition_settings, measure
from experiments.rows import Rows
from running.record_files import versions
from running.result_folders import require_below, safe_path
from scoring.engine import Engine
from scoring.fitting import Resize
from scoring.networks import Network, choose_device, load_network
from scoring.outputs import Output
from scoring.speed import UNMEASURED
from utils import one_line, read_bytes, write_atomically

# By condition: what it tries beyond the settings.
CHOSEN: dict[str, dict[str, Any]] = {
    "choices": CHOICES,
    "orders": ORDERS,
    "budgets": {"sets": BUDGETS},
    "first": {"sets": FIRST},
    "estimates": {"searches": SEARCHES, "asked_ahead": ASKED_AHEAD},
}


@dataclass(frozen=True)
class Job:
    """One image under one condition, and the file of its measurement."""

    subject: Subject
    condition: str
    path: Path


@dataclass(frozen=True)
class Outcome:
    """A job that was tried, and why it failed, or None."""

    job: Job
    error: str | None


@dataclass(frozen=True)
class NetworkSource:
    """Where a worker loads its network from; see scoring.networks.load_network."""

    model: str
    weights: Path | None
    labels: Path | None
    resize: Resize = "squash"
    output: Output = "auto"

    def load(self, device: str) -> Network:
        """Load the network."""
        return load_network(
            self.model,
            self.weights,
            labels=self.labels,
            device=choose_device(device),
            resize=self.resize,
            output=self.output,
        )


def plan_jobs(
    subjects: Sequence[Subject],
    conditions: Sequence[str],
    *,
    limits: Mapping[str, int],
    seed: int,
    folder: Path,
    most_images: int | None = None,
) -> list[Job]:
    """Return all jobs: condition by condition, the images in their seeded random order.

    Whatever is finished when a run is stopped is thus a random sample.

    Args:
        subjects: The images.
        conditions: What to measure on each.
        limits: Largest number of images, by condition; all images for other conditions.
        seed: Seed of the order.
        folder: Where the measurements are.
        most_images: Only so many images of the order; None: all.
    """
    order = np.random.default_rng(seed).permutation(len(subjects)).tolist()
    chosen = [subjects[i] for i in order[:most_images]]
    for subject in chosen:
        require_below(folder / safe_path(subject.name), folder)
    return [
        Job(subject, condition, path=folder / safe_path(subject.name) / f"{condition}.json")
        for condition in conditions
        for subject in chosen[: limits.get(condition)]
    ]


# ---------------------------------------------------------------- one job


def key_of(job: Job, network: Network, settings: MainJobSettings) -> Key:
    """Return what must agree for a measurement to be kept.

    Raises:
        OSError: The image cannot be read.
    """
    key = Key(
        identity=job.subject.identity(),
        model=network.description(),
        condition=job.condition,
        settings=asdict(condition_settings(job.condition, settings)),
        choices=msgspec.to_builtins(CHOSEN[job.condition]) if job.condition in CHOSEN else None,
    )
    return msgspec.json.decode(msgspec.json.encode(key), type=Key)  # as it is read from a file


def finished(job: Job, network: Network, settings: MainJobSettings) -> Measurement | None:
    """Return the job's measurement if it is there and its key agrees; else None.

    Its name and label are the job's; the label may have been corrected since.
    """
    try:
        measurement = decode_measurement(read_bytes(job.path), job.condition)
        if measurement.key != key_of(job, network, settings=settings):
            return None
    except (OSError, ValueError):
        return None
    measurement.image = job.subject.name
    measurement.label = job.subject.label
    return measurement


def run_job(job: Job, engine: Engine, settings: MainJobSettings) -> None:
    """Measure and write the file, unless it is there.

    Raises:
        FloatingPointError: The network returns NaN.
        OSError, ValueError: The image cannot be read.
    """
    network = engine.network
    key = key_of(job, network, settings=settings)
    if finished(job, network, settings=settings):
        return
    image = job.subject.load(network.fit)
    category = engine.most_probable(image, 1)[0]
    finding = measure(engine, image, category=category, condition=job.condition, settings=settings)
    measurement = Measurement(
        image=job.subject.name,
        condition=job.condition,
        category=category,
        label=job.subject.label,
        boxes=job.subject.boxes() if job.subject.boxes else None,
        size=network.size,
        grid=(settings.grid, settings.grid),
        seed=settings.seed,
        finding=finding,
        key=key,
        versions=versions(),
    )
    job.path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(job.path, encode_measurement(measurement))


# ---------------------------------------------------------------- all jobs


def missing_first(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs without a file before the others, which need only be checked."""
    return sorted(jobs, key=lambda job: job.path.exists())


def measure_here(
    jobs: Sequence[Job], engine: Engine, settings: MainJobSettings
) -> Iterator[Outcome]:
    """Run all jobs in this process, one after the other; errors are yielded, the run continues."""
    for job in jobs:
        try:
            run_job(job, engine, settings=settings)
        except Exception as error:  # of the user's model or image
            yield Outcome(job, f"{type(error).__name__}: {one_line(error)}")
        else:
            yield Outcome(job, None)


def measure_on_ray(
    jobs: Sequence[Job],
    source: NetworkSource,
    settings: MainJobSettings,
    *,
    address: str,
    device: str,
    precision: str,
) -> Iterator[Outcome]:
    """Run all jobs on the workers of a Ray cluster, in the order in which they finish.

    Args:
        jobs: The jobs.
        source: Where each worker loads its network from.
        settings: The main job's settings.
        address: As of --ray.
        device: Kind of device of each worker.
        precision: Of the searches that are held to a number of sets.
    """
    from running.ray_workers import run_jobs  # here, as Ray is optional

    finished_jobs = run_jobs(
        jobs,
        "experiments.jobs:ray_worker",
        arguments=(source, settings, precision),
        address=address,
        device=device,
    )
    for one in finished_jobs:
        yield Outcome(one.job, one.error)


def ray_worker(
    device: str, source: NetworkSource, settings: MainJobSettings, precision: str
) -> Callable[[Job, int], None]:
    """Return what a worker does for each job, after loading its network once."""
    engine = Engine(source.load(device), precision=precision, batch_size=UNMEASURED)

    def work(job: Job, jobs_left: int) -> None:
        run_job(job, engine, settings=settings)

    return work


def read_rows(jobs: Sequence[Job], network: Network, settings: MainJobSettings) -> Rows:
    """Return the tables' rows of all jobs that are finished."""
    rows = Rows()
    for job in tqdm(jobs, desc="reading", unit="file", leave=False, disable=None):
        measurement = finished(job, network, settings=settings)
        if measurement:
            rows.add(measurement)
    return rows
