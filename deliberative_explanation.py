"""Deliberative explanations: where does the network hesitate, and between which classes?

    python deliberative_explanation.py                              # the bundled scenes
    python deliberative_explanation.py photos --model resnet50 --weights resnet50.pth
    python deliberative_explanation.py photos --difficulty entropy --attribution ig --top 3
    python deliberative_explanation.py scenes --train-hardness hard.safetensors
    python deliberative_explanation.py photos --difficulty hard.safetensors
    python deliberative_explanation.py CUB_200_2011 --evaluate cub --model resnet50

An insecurity is a pair of classes and the region where the network finds evidence for both, and
difficulty. Each is checked by removing the region. An image leaves insecurities.json, the record,
written last, and insecurities.png.

After Wang and Vasconcelos, "Deliberative Explanations: visualizing network insecurities", NeurIPS
2019. The steps are in companions/deliberative: split.py (features and head), difficulty.py,
attribution.py, insecurities.py (the method), record.py, figures.py; hardness.py and training.py (a
predictor of difficulty); evaluation.py (published data sets).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from running.command_line import (
    AutoCount,
    Between,
    Device,
    FigureFormat,
    Output,
    Positional,
    Resize,
    Seed,
    Share,
    exit_status,
    parse,
    settings_dict,
)
from utils import PROJECT, UserError, file_sha256, log, resolved

PROG = "deliberative_explanation.py"
ALL_PAIRS = 10  # of the five most probable classes


@dataclass(frozen=True)
class Settings:
    """Everything that can be edited here or passed as an option."""

    # What to explain
    images: Annotated[Path, Positional("IMAGE")] = PROJECT / "Images"  # an image, or a folder
    #   searched through its sub-folders

    # Method
    difficulty: str = "certainty"  # certainty, entropy, or the FILE of a trained predictor of
    #   hardness
    attribution: Literal["gradient", "ig", "second-order"] = "second-order"  # of the difficulty to
    #   places in the image; ig also of the classes
    variant: Literal["cub", "ade20k"] = "cub"  # of ig and second-order: as in the authors' programs
    #   for CUB-200-2011, or as in those for ADE20K, where signs are kept to the end
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


if __name__ == "__main__":  # before PyTorch is imported, so that --help answers at once
    parse(Settings, prog=PROG, doc=__doc__)

import sys

import torch

from companions.deliberative import hardness
from companions.deliberative.annotations import DataSet
from companions.deliberative.difficulty import DIFFICULTIES, Difficulty
from companions.deliberative.evaluation import DATA_SETS
from companions.deliberative.evaluation import evaluate as evaluate_records
from companions.deliberative.explainer import Explainer, explain_all
from companions.deliberative.explanation import split_network
from companions.deliberative.insecurities import Method
from companions.deliberative.record import (
    FILE,
    DeliberationRecord,
    DifficultySource,
    settings_that_count,
)
from companions.deliberative.training import train_predictor
from drawing.styles import DARK, paper
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
    if settings.train_hardness and settings.evaluate:
        raise UserError("only one of --train-hardness and --evaluate can be given")
    data = None
    if settings.evaluate:
        settings = replace(settings, top=ALL_PAIRS)
        data = DATA_SETS[settings.evaluate](settings.images)
        images = FoundImages(data.root, data.images)
    else:
        images = find_images(settings.images, leave_out=settings.results)
        not_the_images(settings.results, settings.images)
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
        return evaluate(explainer, data, settings)
    return explain_found(explainer, images, settings).status


def explainer_for(settings: Settings) -> Explainer:
    """Return what every image is explained with."""
    network = network_of(settings, choose_device(settings.device))
    difficulty, source = difficulty_of(settings.difficulty, network)
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
    )
    torch.manual_seed(settings.seed)  # for a user's module that draws random numbers
    return Explainer(
        network=network,
        split=split_network(network),
        method=method,
        difficulty=source,
        style=paper() if settings.style == "paper" else DARK,
        formats=settings.formats,
        overwrite=settings.overwrite,
        settings=settings_dict(settings),
    )


def difficulty_of(name: str, network: Network) -> tuple[Difficulty, DifficultySource]:
    """Return a difficulty by its name or file, and what the record says of it."""
    if name in DIFFICULTIES:
        return DIFFICULTIES[name], DifficultySource(name, sha256=None)
    path = Path(name)
    predictor = hardness.load(path, network.weights_sha256, network.device)
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
        finished = f"{len(outcome.records)} records in {settings.results}"
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


def evaluate(explainer: Explainer, data: DataSet, settings: Settings) -> int:
    """Measure the insecurities of a data set against its annotations; return the exit status."""
    data.check(explainer.network.labels)
    outcome = explain_found(explainer, FoundImages(data.root, data.images), settings)
    if outcome.interrupted:
        return 130
    records = {one.image.path: one.record for one in outcome.images if one.record is not None}
    evaluation, failures = evaluate_records(data, records)
    evaluation.write(settings.results / "evaluation.json")
    print(evaluation.as_text())
    return max(report_failures(failures), outcome.status)


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 all images done; 1 some image failed; 2 unusable arguments; 130 interrupted.
    """
    return exit_status(PROG, lambda: run(parse(Settings, argv, prog=PROG, doc=__doc__)))


if __name__ == "__main__":
    sys.exit(main())
