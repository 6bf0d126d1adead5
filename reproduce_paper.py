"""The paper's experiments on any labelled images: tables, figures, and sheets for a user study.

    python reproduce_paper.py                                           # 12 drawn scenes
    python reproduce_paper.py --scenes 500 --sample 50 --exhaustive 0   # and their ground truth
    python reproduce_paper.py --images ILSVRC2012_val --model resnet50  # a folder per class
    python reproduce_paper.py --images photos --labels-csv labels.csv --model resnet18

Two steps. First, each image is measured under each condition (experiments/measurements.py), into
one file of its own, <results>/measurements/<image>/<condition>.json; what is there with the same
image, model and settings is not measured again. Then all tables, figures and question sheets are
made from these files, as often as one likes: --tables-only.

Images are measured in a seeded random order, condition by condition. What is finished when a run is
stopped is thus a random sample, and every row of every table says how many images it is about.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from running.command_line import (
    Bare,
    Between,
    Count,
    CountOrZero,
    Device,
    Output,
    Precision,
    Resize,
    exit_status,
    parse,
)

PROG = "reproduce_paper.py"
Condition = Literal[
    "beam3",
    "beam15",
    "combs",
    "diverse",
    "sis",
    "choices",
    "exhaustive",
    "orders",
    "budgets",
    "first",
    "estimates",
]
ALL_CONDITIONS: tuple[Condition, ...] = get_args(Condition)


@dataclass(frozen=True)
class Settings:
    """Everything that can be edited here or passed as an option."""

    # Images
    images: Path | None = None  # a folder of labelled images; without it scenes are drawn
    labels_csv: Path | None = None  # a CSV with a column of files below --images and one of labels;
    #   else the folders' names are the labels
    scenes: Annotated[int, Between(1, 1_000_000)] = (
        12  # scenes of the bundled world to draw, without --images
    )
    most_images: Count | None = None  # only the first N of the seeded order
    # What to measure on them
    conditions: tuple[Condition, ...] = ALL_CONDITIONS  # with commas between them
    sample: CountOrZero = (
        10  # images for the diverse search, SIS, the choices, the orders and the estimates
    )
    combs: CountOrZero = 20  # images for CombS: 4,845 sets each and more
    exhaustive: CountOrZero = (
        5  # images for exhaustive search and the budgets: up to 19,649 sets each
    )
    grid: Annotated[int, Between(1, 28)] = 7  # patches along each side
    seed: Annotated[int, Between(0, 2**32 - 1)] = 0  # of the order, the scenes, I-GOS and questions
    tables_only: bool = False  # measure nothing; tables and figures of what is there
    # Network and machine
    model: str = "birds"  # birds, torchvision's, timm/NAME, hf/NAME, or FILE.py:function
    weights: Path | None = None  # a state_dict, .pth or .safetensors; else the model's own
    labels: Path | None = None  # class names, one per line; else by model
    resize: Resize = "squash"  # how images come to its input size
    output: Output = "auto"  # what it returns; auto: as four images say
    title: str | None = None  # the network's name in tables and figures; else the model's
    device: Device = "auto"  # what to run on
    precision: Precision = "float32"  # of orders, budgets and first; all else is in float32
    ray: Annotated[str | None, Bare("local")] = None  # a Ray cluster's HOST:PORT, or auto for the
    #   one that runs here; without a value one for this run
    # Results
    results: Path = Path("Results/paper")  # measurements, tables, figures and sheets


if __name__ == "__main__":  # before PyTorch is imported, so that --help answers at once
    parse(Settings, prog=PROG, doc=__doc__)

from collections.abc import Iterator, Sequence
from itertools import islice

from tqdm import tqdm

from experiments.figures import draw_figures
from experiments.findings import MainJobMeasurement
from experiments.images import Subject, drawn_scenes, from_folder
from experiments.jobs import (
    Job,
    NetworkSource,
    Outcome,
    finished,
    measure_here,
    measure_on_ray,
    missing_first,
    plan_jobs,
    read_rows,
)
from experiments.measurements import MainJobSettings, condition_settings
from experiments.question_sheets import write_sheets
from experiments.rows import MAIN_JOB
from experiments.table_files import write_tables
from experiments.tables import all_tables
from running.checks import check_sizes, exhaustive_limit
from running.failures import report_failures
from running.images import not_the_images
from running.network_check import check_users_network
from running.results import make_writable
from scoring.engine import Engine
from scoring.networks import BUNDLED, Network
from scoring.speed import UNMEASURED
from utils import UserError, log

SHEET_QUESTIONS = 20  # on each sheet


def run(settings: Settings) -> int:
    """Measure, then make tables, figures and sheets; return the exit status."""
    make_writable(settings.results)
    source = NetworkSource(
        settings.model,
        settings.weights,
        labels=settings.labels,
        resize=settings.resize,
        output=settings.output,
    )
    network = source.load("cpu" if settings.ray else settings.device)
    subjects = subjects_of(settings, network)
    main_job = main_job_settings(settings)
    jobs = plan(settings, subjects)
    failures: list[tuple[str, str]] = []
    if not settings.tables_only:
        check_users_network(network, [], needs_gradients=True)
        todo = missing_first(jobs)
        if settings.ray:
            outcomes = measure_on_ray(
                todo,
                source,
                settings=main_job,
                address=settings.ray,
                device=settings.device,
                precision=settings.precision,
            )
        else:
            engine = Engine(network, precision=settings.precision, batch_size=UNMEASURED)
            outcomes = measure_here(todo, engine, settings=main_job)
        failures = follow(outcomes, total=len(jobs))
    rows = read_rows(jobs, network, settings=main_job)
    tables = all_tables(rows, main_job.num_patches)
    title = settings.title or network.name
    grid = (settings.grid, settings.grid)
    write_tables(tables, title, folder=settings.results)
    draw_figures(tables, rows, grid=grid, title=title, folder=settings.results)
    write_question_sheets(jobs, network, main_job=main_job, folder=settings.results)
    status = report_failures(failures)
    log(f"{len(rows)} of {len(jobs)} measurements are in; {settings.results / 'tables.md'}")
    return status


def subjects_of(settings: Settings, network: Network) -> list[Subject]:
    """Return the images that the settings name."""
    if settings.images:
        not_the_images(settings.results, settings.images)
        return from_folder(
            settings.images, settings.labels_csv, labels=network.labels, leave_out=settings.results
        )
    if settings.labels_csv:
        raise UserError(
            f"--labels-csv {settings.labels_csv}: needs --images, the folder of its files"
        )
    if settings.model != BUNDLED:
        raise UserError(
            f"--model {settings.model}: the drawn scenes are for the bundled one; give --images"
        )
    return drawn_scenes(settings.scenes, settings.seed)


def main_job_settings(settings: Settings) -> MainJobSettings:
    """Return the main job's settings, after a check that each condition can be measured."""
    main_job = MainJobSettings(
        grid=settings.grid, seed=settings.seed, max_root_size=settings.grid**2
    )
    for condition in settings.conditions:
        changed = condition_settings(condition, main_job)
        check_sizes(
            changed.search,
            changed.num_patches,
            comb_top=changed.comb_top,
            comb_size=changed.comb_size,
            exhaustive_size=exhaustive_limit(
                changed.exhaustive_size, changed.num_patches, has_regions=False
            ),
        )
    return main_job


def plan(settings: Settings, subjects: Sequence[Subject]) -> list[Job]:
    """Return all jobs, condition by condition."""
    return plan_jobs(
        subjects,
        [condition for condition in ALL_CONDITIONS if condition in settings.conditions],
        limits={
            "combs": settings.combs,
            "exhaustive": settings.exhaustive,
            "budgets": settings.exhaustive,
            "orders": settings.sample,
            "diverse": settings.sample,
            "sis": settings.sample,
            "choices": settings.sample,
            "estimates": settings.sample,
        },
        seed=settings.seed,
        folder=settings.results / "measurements",
        most_images=settings.most_images,
    )


def follow(outcomes: Iterator[Outcome], *, total: int) -> list[tuple[str, str]]:
    """Show a progress bar while jobs finish; return (name, reason) of those that failed."""
    failures = []
    with tqdm(outcomes, total=total, unit="measurement", smoothing=0.05, disable=None) as bar:
        for outcome in bar:
            bar.set_description_str(outcome.job.condition)
            if outcome.error:
                name = f"{outcome.job.subject.name}, {outcome.job.condition}"
                failures.append((name, outcome.error))
    return failures


def write_question_sheets(
    jobs: Sequence[Job], network: Network, main_job: MainJobSettings, *, folder: Path
) -> None:
    """Write the sheets, from the first images that have a question and a drawn root."""
    main_jobs = [job for job in jobs if job.condition == MAIN_JOB]
    subjects = {job.subject.name: job.subject for job in main_jobs}

    def with_questions() -> Iterator[MainJobMeasurement]:
        for job in main_jobs:
            measurement = finished(job, network, settings=main_job)
            if measurement and measurement.finding.questions and measurement.finding.diverse_roots:
                yield measurement

    write_sheets(
        list(islice(with_questions(), SHEET_QUESTIONS)),
        load=lambda measurement: subjects[measurement.image].load(network.fit),
        folder=folder,
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 all measured; 1 some failed; 2 unusable arguments; 130 interrupted, what is finished is
        kept.
    """
    return exit_status(PROG, lambda: run(parse(Settings, argv, prog=PROG, doc=__doc__)))


if __name__ == "__main__":
    sys.exit(main())
