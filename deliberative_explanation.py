"""Deliberative explanations: where does the network hesitate, and between which classes?

    python deliberative_explanation.py                              # the bundled scenes
    python deliberative_explanation.py photos --model resnet50 --weights resnet50.pth
    python deliberative_explanation.py photos --difficulty entropy --attribution ig --top 3
    python deliberative_explanation.py scenes --train-hardness hard.safetensors
    python deliberative_explanation.py photos --difficulty hard.safetensors
    python deliberative_explanation.py CUB_200_2011 --evaluate cub --model resnet50
    python deliberative_explanation.py train --data CUB_200_2011 --arch resnet50 --hardness
    python deliberative_explanation.py compare --cub CUB_200_2011 --networks cub=resnet50=best.pth

An insecurity is a pair of classes and the region where the network finds evidence for both, and
difficulty. Each is checked by removing the region. An image leaves insecurities.json, the record,
written last, and insecurities.png.

After Wang and Vasconcelos, "Deliberative Explanations: visualizing network insecurities", NeurIPS
2019. The steps are in companions/deliberative: split.py (features and head), difficulty.py,
attribution.py, insecurities.py (the method), record.py, figures.py; hardness.py and training.py (a
predictor of difficulty); evaluation.py (published data sets), published.py (the authors' programs
to the letter); own_trunk.py, training_run.py and joint_training.py (the paper's predictor and its
training); comparison.py.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from running.command_line import (
    AutoCount,
    Between,
    Count,
    CountOrZero,
    Device,
    FigureFormat,
    Output,
    Positional,
    Precision,
    Resize,
    Seed,
    Several,
    Share,
    ShareOrZero,
    exit_status,
    parse,
    settings_dict,
)
from running.start import start
from utils import (
    PROJECT,
    UserError,
    file_sha256,
    log,
    printable,
    read_text,
    resolved,
    write_atomically,
    write_json,
)

PROG = "deliberative_explanation.py"
ALL_PAIRS = 10  # of the five most probable classes

Rate = Annotated[float, Between(0, 10, "a learning rate above 0", open_low=True)]
Decay = Annotated[float, Between(0, 10, "a number from 0 to 10")]
DifficultyName = Literal["certainty", "entropy", "hardness"]
AttributionName = Literal["gradient", "ig", "second-order"]


@dataclass(frozen=True)
class Settings:
    """Everything that can be edited here or passed as an option."""

    # What to explain
    images: Annotated[Path, Positional("IMAGE")] = PROJECT / "Images"  # an image, or a folder
    #   searched through its sub-folders
    list: Path | None = None  # only the images of this list, a path, a class and a number on each
    #   line, as in the authors' programs

    # Method
    difficulty: str = "certainty"  # certainty, entropy, or the FILE of a trained predictor of
    #   hardness; of the checkpoint of one with a trunk of its own
    attribution: Literal["gradient", "ig", "second-order", "none"] = "second-order"  # of the
    #   difficulty to places in the image; ig also of the classes; none: of the classes alone
    variant: Literal["cub", "ade20k"] = "cub"  # of ig and second-order: as in the authors' programs
    #   for CUB-200-2011, or as in those for ADE20K, where signs are kept to the end
    split: str | None = None  # LAYER whose output is explained, by its name in the network; else
    #   the last convolution's block
    top: Annotated[int, Between(1, ALL_PAIRS)] = 6  # insecurities, the strongest
    share: Share = 0.05  # of the image's pixels, the size of a region
    rank: Literal["probable", "strength"] = "probable"  # by strength times both probabilities, or
    #   by strength alone as in the paper
    baseline: Literal["black", "blur", "mean", "median", "mixed"] = "black"  # what replaces a
    #   region when it is removed
    moved: Annotated[int, Between(0, 100)] = 8  # times that each region is removed elsewhere, for
    #   comparison
    seed: Seed = 0  # of the places that a region is moved to

    # Network
    model: str = "birds"  # birds, torchvision's, timm/NAME, hf/NAME, or FILE.py:function
    weights: Path | None = None  # a state_dict, .pth or .safetensors; else the model's own
    labels: Path | None = None  # class names, one per line; else by model
    resize: Resize = "squash"  # how images come to its input size
    output: Output = "auto"  # what it returns; auto: as four images say
    device: Device = "auto"  # what to run on
    batch_size: AutoCount = "auto"  # images per forward pass

    # Results
    results: Path = Path("Results/deliberative_explanation")  # one folder per image below it
    style: Literal["dark", "paper"] = "dark"  # of the figure: dark, or white for print
    formats: tuple[FigureFormat, ...] = ("png",)  # of the figure: png, svg, pdf
    run: str | None = None  # a name: the results go into a folder of their own below --results
    overwrite: bool = False  # process images again whose record exists

    # Instead of explaining
    train_hardness: Path | None = None  # FILE: train a predictor on IMAGE, a folder with a folder
    #   per class, and write it
    evaluate: Literal["cub", "ade20k"] | None = None  # IMAGE is the folder of this data set:
    #   measure insecurities against it
    published: bool = False  # with --evaluate: to the letter as in the authors' programs
    hardest: Count | None = None  # with --evaluate: only so many images, the most difficult
    shifts: CountOrZero = 0  # after explaining, move each image so many times by up to 5 pixels:
    #   do the regions stay?


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a classifier and, with --hardness, the paper's predictor together with it."""

    # What to train on
    data: Path  # folder of CUB-200-2011, of ADE20K, or with a folder per class
    train_list: Path | None = None  # train on the images of this list, a path, a class and a
    #   number on each line
    val_list: Path | None = None  # validate on the images of this list

    # What to train
    arch: str  # torchvision's, birds (the bundled network's kind), or FILE.py:function
    hardness: bool = False  # after the classifier, train a predictor of hardness with it
    classifier: Path | None = None  # FILE: the checkpoint of a trained classifier, which then is
    #   not trained first
    weights: Path | None = None  # a state_dict that the classifier begins with; else the library's
    from_scratch: bool = False  # begin with random weights

    # How: the defaults are the authors'
    epochs: Count = 60  # of the classifier, and of the predictor
    batch: Annotated[int, Between(2)] | None = None  # images per step; else 64 for the classifier,
    #   128 with the predictor
    lr: Rate = 1e-3  # learning rate of the classifier's SGD; a tenth of it after two thirds of the
    #   epochs; with the predictor it falls by 5 % each epoch
    momentum: ShareOrZero = 0.9  # of SGD
    weight_decay: Decay = 1e-4  # of SGD
    predictor_lr: Rate = 1e-5  # learning rate of the predictor's Adam
    predictor_weight_decay: Decay = 1e-3  # of Adam
    loss: Literal["paper", "released"] = "paper"  # of the predictor: towards 1 - p of the true
    #   class, or as in the authors' programs
    press: Annotated[float, Between(0, 1000, open_low=True)] | None = None  # of the released loss:
    #   weight of hard images against easy ones; else the authors' for the set and the architecture
    size: Annotated[int, Between(16, 2048)] | None = None  # side of the network's input, pixels
    seed: Annotated[int, Between(0, 2**31)] = 0  # of order, crops, dropout and new layers

    # On what
    device: Device = "auto"  # what to run on; on several GPUs: start with torchrun
    precision: Precision = "auto"  # of the forward passes; auto: half on CUDA
    workers: CountOrZero = 4  # processes that read images

    # Results
    results: Path = Path("Results/deliberative_training")  # for checkpoints and logs
    run: str | None = None  # a name: the results go into a folder of their own below --results
    overwrite: bool = False  # begin anew where there is a training


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Compare difficulties, attributions and architectures on annotated data sets, as the paper."""

    # What to compare
    networks: Annotated[tuple[str, ...], Several("SET=ARCH=FILE")]  # trained networks: the data
    #   set (cub or ade20k), the architecture, the checkpoint that train --hardness wrote or the
    #   authors', and =LAYER to split elsewhere than at the last convolution; those of one set,
    #   architecture and layer are runs, of different seeds
    cub: Path | None = None  # folder of CUB-200-2011
    ade20k: Path | None = None  # folder of ADE20K
    difficulties: Annotated[tuple[DifficultyName, ...], Several("NAME")] = (
        "certainty",
        "entropy",
        "hardness",
    )  # certainty, entropy, hardness (the checkpoint's own)
    attributions: Annotated[tuple[AttributionName, ...], Several("NAME")] = (
        "gradient",
        "ig",
        "second-order",
    )  # gradient, ig, second-order

    # How
    published: bool = False  # to the letter as in the authors' programs
    hardest: Count | None = None  # only so many images, the most difficult; the authors' 100
    resize: Resize = "squash"  # how images come to the networks' input size
    labels: Path | None = None  # class names, where the checkpoints have none
    device: Device = "auto"  # what to run on
    batch_size: AutoCount = "auto"  # images per forward pass

    # Results
    results: Path = Path("Results/deliberative_comparison")  # a folder per cell below it, the table
    #   comparison.md, and a figure per section
    style: Literal["dark", "paper"] = "dark"  # of the figures: dark, or white for print
    formats: tuple[FigureFormat, ...] = ("png",)  # of the figures: png, svg, pdf
    overwrite: bool = False  # measure again what is measured


COMMANDS: dict[str, type] = {"train": Train, "compare": Compare}


def settings_of(argv: Sequence[str] | None) -> Settings | Train | Compare:
    """Return the settings of a command line; its first word may be a subcommand's.

    Args:
        argv: the arguments; None: those of this process.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if not words or words[0] not in COMMANDS:
        return parse(Settings, argv, prog=PROG, doc=__doc__)
    if argv is None:  # of this process
        start()
    command = COMMANDS[words[0]]
    return parse(command, words[1:], prog=f"{PROG} {words[0]}", doc=command.__doc__)


if __name__ == "__main__":  # before PyTorch is imported, so that --help answers at once
    settings_of(None)

import numpy as np
import torch
from tqdm import tqdm

from companions.deliberative import hardness
from companions.deliberative.annotations import DataSet
from companions.deliberative.checkpoints import cub_normalised, is_checkpoint, read_checkpoint
from companions.deliberative.comparison import (
    HARDNESS,
    Cell,
    Comparison,
    Way,
    cells_of,
    named_networks,
)
from companions.deliberative.curve_figures import draw_curves
from companions.deliberative.difficulty import DIFFICULTIES, Difficulty
from companions.deliberative.evaluation import DATA_SETS, Evaluation, read_evaluation
from companions.deliberative.evaluation import evaluate as evaluate_records
from companions.deliberative.explainer import Explainer, explain_all
from companions.deliberative.explanation import split_network
from companions.deliberative.hardest import difficulties, hardest
from companions.deliberative.image_lists import read_list
from companions.deliberative.insecurities import Method
from companions.deliberative.joint_training import Recipe
from companions.deliberative.record import (
    FILE,
    DeliberationRecord,
    DifficultySource,
    settings_that_count,
)
from companions.deliberative.robustness import mean_robustness
from companions.deliberative.shifts import measure_shifts
from companions.deliberative.training import train_predictor
from companions.deliberative.training_run import Plan
from companions.deliberative.training_run import run as train_plan
from companions.training.processes import place_of
from drawing.styles import DARK, Style, paper
from drawing.words import counted
from running.each_image import RunOutcome, log_interrupted
from running.earlier_settings import say_what_is_replaced
from running.failures import report_failures
from running.images import FoundImages, find_images, not_the_images
from running.network_check import check_users_network
from running.network_of import network_of
from running.result_folders import run_folder
from running.results import Job, make_jobs, make_writable
from scoring.networks import Network, choose_device


def run(settings: Settings) -> int:
    """Do what the settings ask for; return the exit status."""
    settings = checked(settings)
    data = None
    if settings.evaluate:
        data = DATA_SETS[settings.evaluate](settings.images, published=settings.published)
        images = FoundImages(data.root, data.images)
    else:
        images = find_images(settings.images, leave_out=settings.results)
        not_the_images(settings.results, settings.images)
    if settings.list:
        images = listed_images(images, settings)
    settings = replace(settings, results=run_folder(settings.results, settings.run))
    file = settings.train_hardness
    if file:
        hardness.require_replaceable(file)
    make_writable(resolved(file).parent if file else settings.results)
    explainer = explainer_for(settings)
    network = explainer.network
    log(
        f"{network.name} ({network.classes} classes) on {network.device}, "
        f"{len(images.paths)} images"
    )
    check_users_network(network, images.paths, needs_gradients=True)
    if file:
        return train(explainer, settings, file)
    if data:
        return evaluate(explainer, data, images, settings=settings)
    outcome = explain_found(explainer, images, settings)
    if settings.shifts and not outcome.interrupted:
        return max(shift_images(explainer, images, settings), outcome.status)
    return outcome.status


def checked(settings: Settings) -> Settings:
    """Return the settings with those that others imply.

    Raises:
        UserError: two do not go together.
    """
    if settings.train_hardness and settings.evaluate:
        raise UserError("only one of --train-hardness and --evaluate can be given")
    if not settings.evaluate:
        for option in ("published", "hardest"):
            if getattr(settings, option):
                raise UserError(f"--{option}: only with --evaluate")
        return settings
    settings = replace(settings, top=ALL_PAIRS)
    if settings.published:
        settings = replace(settings, rank="strength", resize="crop", variant=settings.evaluate)
    return settings


def listed_images(found: FoundImages, settings: Settings) -> FoundImages:
    """Return the images of a list.

    Raises:
        UserError: the list cannot be used, or an image is none of the data set's.
    """
    listed = read_list(settings.list, below=settings.images)
    known = set(found.paths)
    for image in listed:
        if image.path not in known:
            raise UserError(f"--list {settings.list}: {image.path} is none of the images")
    return FoundImages(found.root, [image.path for image in listed])


def explainer_for(settings: Settings) -> Explainer:
    """Return what every image is explained with."""
    network = network_for(settings)
    difficulty, source = difficulty_of(settings, network)
    black = None
    if settings.published:  # black of CUB-200-2011, for both sets
        black = cub_normalised(network).prepare(np.zeros((*network.size, 3), np.uint8))
    method = Method(
        difficulty=difficulty,
        attribution=settings.attribution,
        variant=settings.variant,
        top=settings.top,
        share=settings.share,
        rank=settings.rank,
        baseline=settings.baseline,
        moved=settings.moved,
        seed=settings.seed,
        batch_size=settings.batch_size,
        published=settings.published,
        black=black,
    )
    torch.manual_seed(settings.seed)  # for a user's module that draws random numbers
    return Explainer(
        network=network,
        split=split_network(network, settings.split),
        method=method,
        difficulty=source,
        style=style_of(settings),
        formats=settings.formats,
        overwrite=settings.overwrite,
        settings=settings_dict(settings),
    )


def style_of(settings: Settings | Compare) -> Style:
    """Return the style of the figures."""
    return paper() if settings.style == "paper" else DARK


def network_for(settings: Settings) -> Network:
    """Return the network, with the preprocessing that its checkpoint or the authors' says."""
    network = network_of(settings, choose_device(settings.device))
    if settings.published and settings.evaluate == "cub":
        network = cub_normalised(network)
    if settings.weights and is_checkpoint(settings.weights):
        checkpoint = read_checkpoint(settings.weights, option="--weights")
        network = checkpoint.prepared(network, has_names=settings.labels is not None)
    return network


def difficulty_of(settings: Settings, network: Network) -> tuple[Difficulty, DifficultySource]:
    """Return the difficulty, and what the record says of it."""
    name = settings.difficulty
    if name in DIFFICULTIES:
        return DIFFICULTIES[name], DifficultySource(name, sha256=None)
    path = Path(name)
    if is_checkpoint(path):
        checkpoint = read_checkpoint(path, option="--difficulty")
        trained = checkpoint.predictor(settings.model, network, settings.split)
        return trained, DifficultySource("hardness", sha256=file_sha256(path))
    predictor = hardness.load(path, network.weights_sha256, network.device)
    if settings.split:
        raise UserError(
            f"--split {settings.split}: the predictor {path} was trained on the last convolution"
        )
    return predictor, DifficultySource("hardness", sha256=file_sha256(path))


def explain_found(
    explainer: Explainer, images: FoundImages, settings: Settings
) -> RunOutcome[Job, DeliberationRecord]:
    """Explain images into the folder of results, and report what failed."""
    jobs = make_jobs(images.paths, root=images.root, results=settings.results)
    say_what_is_replaced(
        [job.folder / FILE for job in jobs],
        explainer.network.description(),
        explainer.settings,
        results=settings.results,
        that_count=settings_that_count,
    )
    outcome = explain_all(explainer, jobs, settings.results)
    report_failures(outcome.failures)
    if outcome.interrupted:
        log_interrupted(settings.results)
    else:
        finished = f"{counted(len(outcome.records), 'record')} in {settings.results}"
        log(f"{finished}, {len(outcome.failures)} failed")
    return outcome


def train(explainer: Explainer, settings: Settings, file: Path) -> int:
    """Train a predictor of hardness and write it; return the exit status."""
    fit, failures = train_predictor(
        explainer.network,
        explainer.split,
        settings.images,
        file=file,
        results=settings.results,
    )
    status = report_failures(failures)
    log(f"{file}: {fit}")
    return status


def evaluate(
    explainer: Explainer, data: DataSet, images: FoundImages, *, settings: Settings
) -> int:
    """Measure the insecurities of a data set against its annotations; return the exit status."""
    data.check(explainer.network.labels)
    images, unreadable = hardest_of(explainer, images, settings)
    explainer = replace(explainer, marks=data.marks)
    outcome = explain_found(explainer, images, settings)
    if outcome.interrupted:
        return 130
    records = {one.image.path: one.record for one in outcome.images if one.record is not None}
    evaluation, failures = evaluate_records(data, records, published=settings.published)
    evaluation.write(settings.results / "evaluation.json")
    for kind in settings.formats:
        figure = settings.results / f"curves.{kind}"
        draw_curves({settings.attribution: [evaluation]}, figure, style=explainer.style)
    print(evaluation.as_text())
    status = max(report_failures([*unreadable, *failures]), outcome.status)
    if settings.shifts:
        status = max(shift_images(explainer, images, settings), status)
    return status


def shift_images(explainer: Explainer, images: FoundImages, settings: Settings) -> int:
    """Measure what stays of insecurities as images are shifted; return the exit status."""
    outcome = measure_shifts(
        explainer,
        make_jobs(images.paths, root=images.root, results=settings.results),
        count=settings.shifts,
        seed=settings.seed,
        results=settings.results,
    )
    report_failures(outcome.failures)
    if outcome.interrupted:
        log_interrupted(settings.results)
        return outcome.status
    found = [stays for image in outcome.records for stays in image.stays()]
    table = mean_robustness(found, images=len(outcome.records))
    table.write(settings.results / "robustness.json")
    print(table.as_text())
    return outcome.status


def hardest_of(
    explainer: Explainer, images: FoundImages, settings: Settings
) -> tuple[FoundImages, list[tuple[str, str]]]:
    """Return the images to explain, the hardest where so asked, and those that cannot be read."""
    if settings.hardest is None:
        return images, []
    values, failures = difficulties(
        explainer.network,
        explainer.split,
        difficulty=explainer.method.difficulty,
        images=images.paths,
        batch_size=settings.batch_size,
    )
    chosen = hardest(values, settings.hardest)
    lines = [f"{printable(image.relative_to(images.root))},{values[image]:.6g}" for image in chosen]
    content = "\n".join(["image,difficulty", *lines, ""])
    write_atomically(settings.results / "hardest.csv", content.encode())
    return FoundImages(images.root, chosen), failures


# ---------------------------------------------------------------- training


def run_training(settings: Train) -> int:
    """Train as the settings say; return the exit status."""
    folder = run_folder(settings.results, settings.run)
    make_writable(folder)
    recipe = Recipe(
        epochs=settings.epochs,
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        predictor_lr=settings.predictor_lr,
        predictor_weight_decay=settings.predictor_weight_decay,
        loss=settings.loss,
        seed=settings.seed,
    )
    plan = Plan(
        data=settings.data,
        train_list=settings.train_list,
        validation_list=settings.val_list,
        arch=settings.arch,
        weights=settings.weights,
        from_scratch=settings.from_scratch,
        hardness=settings.hardness,
        classifier=settings.classifier,
        folder=folder,
        recipe=recipe,
        batch=settings.batch,
        side=settings.size,
        press=settings.press,
        workers=settings.workers,
        overwrite=settings.overwrite,
    )
    place = place_of(settings.device, settings.precision)
    try:
        train_plan(plan, place)
    except FloatingPointError as error:
        raise UserError(f"train: {error}") from None
    if place.rank == 0:
        log(f"checkpoints and logs are in {folder}")
    return 0


# ---------------------------------------------------------------- comparison


def run_comparison(settings: Compare) -> int:
    """Measure every cell that is not yet measured, and write table and figures."""
    make_writable(settings.results)
    cells = cells_of(
        named_networks(settings.networks),
        difficulties=settings.difficulties,
        attributions=settings.attributions,
    )
    for cell in cells:
        if getattr(settings, cell.way.data) is None:
            raise UserError(f"--networks: a network for {cell.way.data}, but no --{cell.way.data}")
    runs: dict[Way, list[Evaluation]] = {}
    for cell in tqdm(cells, desc="cells", unit="cell", disable=None):
        evaluation = evaluation_of(cell, settings)
        if evaluation is None:
            return 130
        runs.setdefault(cell.way, []).append(evaluation)
    comparison = Comparison(runs)
    text = comparison.as_markdown()
    write_atomically(settings.results / "comparison.md", text.encode())
    draw_sections(comparison, cells[0].way, settings)
    print(text)
    return 0


def evaluation_of(cell: Cell, settings: Compare) -> Evaluation | None:
    """Return what a cell measures, from an earlier run where it is there; None: interrupted.

    Raises:
        UserError: an image of the cell failed, or something cannot be used.
    """
    own = settings_of_cell(cell, settings)
    done = own.results / "cell.json"
    asked = {**settings_that_count(settings_dict(own)), "hardest": own.hardest}
    asked["sha256"] = file_sha256(cell.network.file)
    kept = own.results / "evaluation.json"
    if not settings.overwrite and is_kept(done, asked) and kept.is_file():
        return read_evaluation(kept)
    log(f"{cell.name}")
    status = run(own)
    if status == 130:
        return None
    if status:
        raise UserError(f"{cell.name}: some of its images failed, see above")
    write_json(done, asked)
    return read_evaluation(kept)


def is_kept(path: Path, asked: dict[str, Any]) -> bool:
    """Return whether a cell's file says that it was measured as it is asked for now."""
    try:
        return json.loads(read_text(path)) == asked
    except (OSError, ValueError):
        return False


def settings_of_cell(cell: Cell, settings: Compare) -> Settings:
    """Return the settings with which a cell is measured, without figures of its images."""
    file = cell.network.file
    has_own = cell.way.difficulty == HARDNESS
    return Settings(
        images=getattr(settings, cell.way.data),
        difficulty=str(file) if has_own else cell.way.difficulty,
        attribution=cast(Any, cell.way.attribution),
        moved=0,
        model=cell.network.arch,
        split=cell.network.layer,
        weights=file,
        labels=settings.labels,
        resize=settings.resize,
        device=settings.device,
        batch_size=settings.batch_size,
        results=settings.results / cell.name,
        formats=(),
        overwrite=settings.overwrite,
        evaluate=cast(Any, cell.way.data),
        published=settings.published,
        hardest=settings.hardest,
    )


def draw_sections(comparison: Comparison, first: Way, settings: Compare) -> None:
    """Draw a figure of curves for each data set and section.

    As in the authors' programs, what is not varied is the first architecture, the hardness and the
    gradient, where these are compared.
    """
    style = style_of(settings)
    ways = list(comparison.runs)
    for data in dict.fromkeys(way.data for way in ways):
        architecture = next(way.architecture for way in ways if way.data == data)
        base = replace(first, data=data, architecture=architecture)
        if HARDNESS in settings.difficulties:
            base = replace(base, difficulty=HARDNESS)
        if "gradient" in settings.attributions:
            base = replace(base, attribution="gradient")
        for section, runs in comparison.sections(base).items():
            for kind in settings.formats:
                draw_curves(runs, settings.results / f"{data}_{section}.{kind}", style=style)


def dispatched(settings: Settings | Train | Compare) -> int:
    """Run the command that these settings belong to; return the exit status."""
    if isinstance(settings, Train):
        return run_training(settings)
    if isinstance(settings, Compare):
        return run_comparison(settings)
    return run(settings)


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 all images done; 1 some image failed; 2 unusable arguments; 130 interrupted.
    """
    return exit_status(PROG, lambda: dispatched(settings_of(argv)))


if __name__ == "__main__":
    sys.exit(main())
