"""The paper's experiments on any folder of labelled images: tables, figures, and question sheets for a user study.

    python reproduce_paper.py                                                       # the bundled model on 12 drawn scenes
    python reproduce_paper.py --scenes 500 --sample 50 --exhaustive 0               # with truth: parts that are known to be sufficient
    python reproduce_paper.py --images ILSVRC2012_val --model resnet50              # a folder per class
    python reproduce_paper.py --images photos --labels-csv photos/labels.csv --model resnet18 --weights resnet18.pth

Two steps. First, each image is measured under each condition (experiments/measurements.py), into one file of its own,
<results>/measurements/<image>/<condition>.json; what is there with the same image, model and settings is not measured again.
Then all tables and figures are made from these files (experiments/tables.py, experiments/figures.py), as often as one likes: --tables-only.

Images are measured in a seeded random order, condition by condition, so that whatever is finished when a run is stopped is a random sample, and
every row of every table says how many images it is about.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import main_generate_sag as sag
from scoring.engine import Passes
from experiments.images import Subject, drawn_scenes, from_folder
from experiments.figures import draw_figures
from experiments.measurements import CHOICES, CONDITIONS, SEARCHES, measure
from experiments.tables import Table, reduced, tables
from experiments.question_sheets import write_sheets
from running.results import make_writable
from running.images import not_the_images
from scoring.networks import BUNDLED, Network, choose_device, class_probabilities, load_network
from running.command_line import OneLineParser, exit_status, whole
from utils import UserError, log, one_line, write_atomically
from running.record_files import versions

SCENES = 12  # drawn where no images are given
SAMPLE = 10  # images for the diverse search, SIS and the choices
COMBS = 20  # images for CombS: 4,845 sets each and more
EXHAUSTIVE = 5  # images for exhaustive search: up to 19,649 sets each
SHEETS = 20  # questions on each sheet
SETTINGS = (
    "seed",
    "search",
    "beam_width",
    "num_successors",
    "max_num_roots",
    "max_root_size",
    "comb_top",
    "comb_size",
    "exhaustive_size",
    "prob_thresh",
    "node_prob_thresh",
    "overlap_thresh",
    "num_roots_sag",
    "baseline",
    "grid",
)  # of the main job, that a result depends on


def parser() -> argparse.ArgumentParser:
    """All options; the constants above are their defaults."""
    p = OneLineParser(
        prog="reproduce_paper.py",
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = p.add_argument
    add(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="labelled images; without it scenes of the bundled world are drawn",
    )
    add(
        "--labels-csv",
        type=Path,
        metavar="FILE",
        help="a column of files below --images, a column of labels",
    )
    add(
        "--scenes",
        type=whole(1),
        default=SCENES,
        metavar="N",
        help="scenes to draw, without --images",
    )
    add(
        "--results",
        type=Path,
        default="Results/paper",
        metavar="DIR",
        help="measurements, tables, figures",
    )
    add("--model", default=BUNDLED, metavar="NAME", help="as in main_generate_sag.py")
    add("--weights", type=Path, metavar="FILE", help="a state_dict; else the model's own")
    add("--labels", type=Path, metavar="FILE", help="class names, one a line; else by model")
    add("--title", metavar="TEXT", help="the network's name in tables; else the model's")
    add(
        "--sample",
        type=whole(0),
        default=SAMPLE,
        metavar="N",
        help="images for the diverse search, SIS and the choices",
    )
    add("--combs", type=whole(0), default=COMBS, metavar="N", help="images for CombS")
    add(
        "--exhaustive",
        type=whole(0),
        default=EXHAUSTIVE,
        metavar="N",
        help="images for exhaustive search",
    )
    add(
        "--conditions",
        type=conditions,
        default=",".join(CONDITIONS),
        metavar="LIST",
        help="which of them to measure",
    )
    add(
        "--most-images",
        type=whole(1),
        metavar="N",
        help="the first N of the seeded order; else all",
    )
    add(
        "--tables-only",
        action="store_true",
        help="measure nothing; tables and figures from what is there",
    )
    add("--grid", type=whole(1, 28), default=sag.GRID, metavar="N", help="patches along each side")
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="what to run on")
    add(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="as in main_generate_sag.py: measure on a Ray cluster",
    )
    add(
        "--seed",
        type=whole(0, 2**32 - 1),
        default=0,
        metavar="N",
        help="of the order, the scenes, I-GOS and the questions",
    )
    return p


def conditions(text: str) -> list[str]:
    """An argparse type: names of conditions with commas between them, in the order of CONDITIONS."""
    wanted = text.split(",")
    for name in wanted:
        if name not in CONDITIONS:
            raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(CONDITIONS)}")
    return [c for c in CONDITIONS if c in wanted]


# ---------------------------------------------------------------- one unit of work


@dataclass(frozen=True)
class Job:
    """One image under one condition: what a worker needs to measure it, and the file that it goes into."""

    subject: Subject
    condition: str
    path: Path


def key_of(job: Job, network: Network, args: argparse.Namespace) -> dict:
    """What must agree for a measurement to stand: image, model, and every setting of its condition. Raises OSError for an unreadable image."""
    settings = {k: getattr(args, k) for k in SETTINGS} | SEARCHES.get(job.condition, {})
    return {
        "identity": job.subject.identity(),
        "model": network.description(),
        "condition": job.condition,
        "settings": settings,
        "choices": CHOICES if job.condition == "choices" else None,
    }


def is_done(job: Job, key: dict) -> dict | None:
    """The measurement where it is there, whole and with this key; else None. Its label is the job's, which may have been mended since."""
    try:
        there = json.loads(job.path.read_text(encoding="utf-8"))
        return (
            there | {"label": job.subject.label}
            if there["format"] == 1 and there["key"] == json.loads(json.dumps(key))
            else None
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def measured(job: Job, network: Network, args: argparse.Namespace) -> dict | None:
    """The measurement where it is done and its image still there; else None."""
    try:
        return is_done(job, key_of(job, network, args))
    except OSError:
        return None


def do(job: Job, passes: Passes, args: argparse.Namespace) -> None:
    """Measure, and write the file atomically, unless it is there. args: the main job's options. Needs nothing else and changes nothing else."""
    network, key = passes.network, key_of(job, passes.network, args)
    if is_done(job, key):
        return
    image = job.subject.load(network.size)
    with torch.inference_mode():
        probabilities = class_probabilities(network.module(network.prepare(image)[None]))[0]
    if not probabilities.isfinite().all():
        raise FloatingPointError("the model answers NaN")
    category = int(probabilities.argmax())
    measurement = {
        "format": 1,
        "image": job.subject.name,
        "condition": job.condition,
        "category": category,
        "label": job.subject.label,
        "boxes": job.subject.boxes() if job.subject.boxes else None,
        "size": list(network.size),
        "grid": [args.grid, args.grid],
        "seed": args.seed,
        "finding": measure(passes, image, category, job.condition, args),
        "key": key,
        "versions": versions(),
    }
    job.path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(job.path, json.dumps(measurement, ensure_ascii=False, allow_nan=False) + "\n")


# ---------------------------------------------------------------- all of them


def jobs_of(subjects: Sequence[Subject], options: argparse.Namespace) -> list[Job]:
    """Condition by condition, the images in their seeded order, for each condition as many as the options say."""
    order = [subjects[i] for i in np.random.default_rng(options.seed).permutation(len(subjects))][
        : options.most_images
    ]
    most = {"combs": options.combs, "exhaustive": options.exhaustive} | dict.fromkeys(
        ("diverse", "sis", "choices"), options.sample
    )
    return [
        Job(subject, c, options.results / "measurements" / subject.name / f"{c}.json")
        for c in options.conditions
        for subject in order[: most.get(c)]
    ]


def in_this_process(
    jobs: Sequence[Job], passes: Passes, args: argparse.Namespace
) -> Iterator[tuple[Job, str | None]]:
    """(job, why it failed, or None), as each is done."""
    for job in jobs:
        try:
            do(job, passes, args)
            yield job, None
        except Exception as error:  # whatever befalls this image, the others go on
            yield job, f"{type(error).__name__}: {one_line(error)}"


def on_ray(
    jobs: Sequence[Job], options: argparse.Namespace, args: argparse.Namespace
) -> Iterator[tuple[Job, str | None]]:
    """The same on the workers of a Ray cluster, in the order in which they are done."""
    from running.ray_workers import each  # here, so that other runs know nothing of Ray

    for job, result in each(
        jobs, "reproduce_paper:ray_worker", (options, args), options.ray, options.device, log=log
    ):
        try:
            result()
            yield job, None
        except RuntimeError as error:
            yield job, one_line(error)


def ray_worker(
    device: str, options: argparse.Namespace, args: argparse.Namespace
) -> Callable[[Job, int], None]:
    """What a worker does once, before its measurements. -> what it does for each of them; left: how many more it may expect."""
    passes = Passes(
        load_network(options.model, options.weights, options.labels, choose_device(device)),
        "float32",
        "auto",
    )
    return lambda job, left: do(job, passes, args)


def read_rows(
    jobs: Sequence[Job], network: Network, args: argparse.Namespace
) -> dict[str, list[dict]]:
    """What the tables need of each job that is done: condition -> rows."""
    rows: dict[str, list[dict]] = {}
    for job in tqdm(jobs, desc="reading", unit="file", leave=False):
        if measurement := measured(job, network, args):
            rows.setdefault(job.condition, []).append(reduced(measurement))
    return rows


def write_tables(made: Sequence[Table], title: str, folder: Path) -> None:
    """tables/<name>.csv, .md and .tex, and all that is for reading in tables.md."""
    (folder / "tables").mkdir(exist_ok=True)
    for table in made:
        for ending, text in (
            ("csv", table.csv()),
            ("md", table.markdown()),
            ("tex", table.latex()),
        ):
            write_atomically(folder / "tables" / f"{table.name}.{ending}", text)
    head = (
        f"# {title}\n\nMeans over images, in brackets the 95 % bootstrap interval (of no width where all images agree, which is not certainty); "
        "n where a figure is about fewer images than its row.\n"
    )
    write_atomically(
        folder / "tables.md",
        "\n".join([head, *(t.markdown() for t in made if "_every_" not in t.name)]),
    )


def write_question_sheets(
    jobs: Sequence[Job], network: Network, args: argparse.Namespace, folder: Path
) -> None:
    """The sheets, from the first images that have a question."""
    of_name = {job.subject.name: job.subject for job in jobs if job.condition == "beam3"}
    done = (measured(job, network, args) for job in jobs if job.condition == "beam3")
    with_questions = (
        m for m in done if m and m["finding"]["questions"] and m["finding"]["diverse_roots"]
    )
    write_sheets(
        list(islice(with_questions, SHEETS)),
        lambda m: of_name[m["image"]].load(network.size),
        folder,
    )


def run(options: argparse.Namespace) -> int:
    """Measure, then tables, figures and sheets. -> the exit status."""
    make_writable(options.results)
    network = load_network(
        options.model,
        options.weights,
        options.labels,
        choose_device("cpu" if options.ray else options.device),
    )
    if options.labels_csv and not options.images:
        raise UserError(
            f"--labels-csv {options.labels_csv}: needs --images, the folder of its files"
        )
    if options.images:
        not_the_images(options.results, options.images)
    subjects = (
        from_folder(options.images, options.labels_csv, network.labels, leave_out=options.results)
        if options.images
        else drawn_scenes(options.scenes, options.seed)
    )
    if not options.images and options.model != BUNDLED:
        raise UserError(
            f"--model {options.model}: the drawn scenes are for the bundled one; give --images"
        )
    args = sag.parser().parse_args(
        [
            "--grid",
            str(options.grid),
            "--seed",
            str(options.seed),
            "--precision",
            "float32",
            "--max-root-size",
            str(options.grid**2),
        ]
    )
    for condition in options.conditions:
        sag.check_sizes(
            argparse.Namespace(**vars(args) | SEARCHES.get(condition, {})), options.grid**2
        )
    jobs, failed = jobs_of(subjects, options), []
    if not options.tables_only:
        missing_first = sorted(
            jobs, key=lambda job: job.path.exists()
        )  # work starts at once; then what is there is looked through
        outcomes = (
            on_ray(missing_first, options, args)
            if options.ray
            else in_this_process(missing_first, Passes(network, "float32", "auto"), args)
        )
        with tqdm(outcomes, total=len(jobs), unit="measurement", smoothing=0.05) as bar:
            for job, why in bar:
                bar.set_description_str(job.condition)
                failed += [(job, why)] if why else []
    title = options.title or network.name
    rows = read_rows(jobs, network, args)
    made = tables(rows, options.grid**2)
    write_tables(made, title, options.results)
    draw_figures(made, rows, (options.grid, options.grid), title, options.results)
    write_question_sheets(jobs, network, args, options.results)
    for job, why in failed:
        print(f"failed: {job.subject.name}, {job.condition}: {why}", file=sys.stderr)
    print(
        f"{sum(map(len, rows.values()))} of {len(jobs)} measurements are in; {options.results / 'tables.md'}",
        file=sys.stderr,
    )
    return 1 if failed else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 all measured; 1 some failed; 2 unusable arguments; 130 interrupted, what is finished is kept."""
    return exit_status("reproduce_paper.py", lambda: run(parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
