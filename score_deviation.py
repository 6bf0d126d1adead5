"""Score deviation maps: which named things support the class, and which distract from it?

    python score_deviation.py                                       # the bundled scenes
    python score_deviation.py kitchen.jpg --regions kitchen.png --region-names names.txt
    python score_deviation.py photos --model resnet50 --regions slic --segments 40
    python score_deviation.py --manifest images.csv --region-names names.txt
    python score_deviation.py --from-matrices Results/score_deviation --category kitchen
    python score_deviation.py --ade20k ADE20K --model net.py:places --labels scenes.txt

For every label l present in the image I, I_l is I with all pixels of l replaced by the baseline.
The score deviation of l for class c is d_l(c) = y_c(I) - y_c(I_l), from -1 to 1: above 0 the label
supports the class, near 0 it is irrelevant, below 0 it distracts. An image leaves deviation.json
and deviation.png; a set of images, statistics and figures per class.

After Lopez-Cifuentes, Escudero-Vinolo, Gajic and Bescos, "Visualizing the Effect of Semantic
Classes in the Attribution of Scene Recognition Models", ICPR 2020 workshops. The steps are in
companions/score_deviation: scene_sets.py (sets of images), deviations.py (the method), record.py,
statistics.py (what holds for a class), figures.py and class_figures.py.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from running.command_line import (
    AutoCount,
    Between,
    Device,
    FigureFormat,
    Inches,
    Output,
    Positional,
    Resize,
    Seed,
    Share,
    exit_status,
    parse,
    settings_dict,
)
from utils import PROJECT, UserError, log, one_line

PROG = "score_deviation.py"
BUNDLED_IMAGES = PROJECT / "Images"
BUNDLED_MAPS = PROJECT / "birds/part_maps"
BUNDLED_NAMES = PROJECT / "birds/part_names.txt"


@dataclass(frozen=True)
class Settings:
    """Everything that can be edited here or passed as an option."""

    # What to explain
    images: Annotated[Path | None, Positional("IMAGE")] = None  # an image or a folder;
    #   without any, the bundled scenes
    manifest: Path | None = None  # a CSV file with the columns image, mask and class
    ade20k: Path | None = None  # ADE20K's folder: images/, annotations/, objectInfo150.csv
    places365: Path | None = None  # Places365's: val/ or val_256/, categories_places365.txt
    from_matrices: Path | None = None  # a folder with the matrix.npz of --keep-matrices, from which
    #   statistics are made without the network
    category: str | None = None  # class to explain, by index or name; else the most probable

    # Regions
    regions: str | None = None  # a label map (PNG), a folder of them named as the images, slic
    #   (superpixels: also what images without a label map get), or a torchvision segmentation
    #   network
    region_names: Path | None = None  # names of the labels 1, 2, .., one per line; or ADE20K's
    #   objectInfo150.csv
    segments: Annotated[int, Between(2, 1000)] = 40  # slic: number of superpixels, roughly
    segmentation_weights: Path | None = None  # a state_dict for the segmentation network; else
    #   torchvision's own
    baseline: Literal["black", "blur", "mean", "median", "mixed", "published"] = "mean"  # what
    #   replaces the pixels of a label; mean: ImageNet's mean colour; published: the paper's
    #   program's fill, RGB (152, 142, 127)

    # Network
    model: str = "birds"  # birds, torchvision's, timm/NAME, hf/NAME, or FILE.py:function
    weights: Path | None = None  # a state_dict, .pth or .safetensors; else the model's own
    labels: Path | None = None  # class names, one per line; else by model
    resize: Resize = "squash"  # how images come to its input size
    output: Output = "auto"  # what it returns; auto: as four images say
    device: Device = "auto"  # what to run on
    batch_size: AutoCount = "auto"  # images per forward pass
    seed: Seed = 0  # for a network of yours that draws random numbers

    # Results
    results: Path = Path("Results/score_deviation")  # one folder per image below it
    relevant: Share = 0.01  # a label is relevant to a class above this mean deviation
    accuracy_only: bool = False  # only how well the images are recognised: one pass each
    keep_matrices: bool = False  # keep the probabilities of all classes, for --from-matrices
    absent_as_zero: bool = False  # box plots over all images of a class, absent labels with 0, as
    #   published; else over the images with the label
    style: Literal["dark", "paper"] = "dark"  # of figures: dark, or white for print
    width: Inches = 3.3  # of maps in the paper style
    formats: tuple[FigureFormat, ...] = ("png",)  # of maps: png, svg, pdf
    palette: Literal["diverging", "plasma"] = "diverging"  # of maps: one scale for all, or the
    #   published colours, each image from its smallest to its largest deviation
    run: str | None = None  # a name: the results go into a folder of their own below --results
    overwrite: bool = False  # process images again whose record exists


if __name__ == "__main__":  # before PyTorch is imported, so that --help answers at once
    parse(Settings, prog=PROG, doc=__doc__)

import csv
import sys
from collections.abc import Collection, Mapping, Sequence

import torch

from companions.score_deviation import scene_sets
from companions.score_deviation.accuracy import evaluate, figures_of
from companions.score_deviation.accuracy import table as accuracy_table
from companions.score_deviation.class_figures import class_stems, draw_classes
from companions.score_deviation.explainer import Explainer, Outcome, explain_all
from companions.score_deviation.figures import map_files
from companions.score_deviation.map_folders import sort_maps
from companions.score_deviation.matrices import read_records, require_weights
from companions.score_deviation.recognition import recognise
from companions.score_deviation.record import (
    FILE,
    DeviationRecord,
    ImageDeviations,
    settings_that_count,
)
from companions.score_deviation.scene_sets import SceneSet
from companions.score_deviation.statistics import Statistics, statistics, write_statistics
from companions.score_deviation.summary import COLUMNS
from drawing.styles import DARK, Style, paper
from drawing.words import counted
from running.checks import class_index
from running.each_image import log_interrupted
from running.earlier_settings import say_what_is_replaced
from running.failures import report_failures
from running.images import not_the_images
from running.network_check import check_users_network
from running.network_of import network_of
from running.record_files import write_indented
from running.result_folders import require_below, run_folder
from running.results import make_writable
from running.summary import merge_rows
from scoring.networks import Network, choose_device
from scoring.segmentation import SUPERPIXELS, Segmentation


def run(settings: Settings) -> int:
    """Explain all images, then each class; return the exit status."""
    if settings.from_matrices:
        return run_from_matrices(settings)
    settings = with_bundled(settings)
    scenes = scene_set_of(settings)
    settings = with_names_of(settings, scenes)
    folders = scene_sets.folders_of(scenes.items, settings.results)
    make_writable(settings.results)
    device = choose_device(settings.device)
    network = network_of(settings, device)
    scenes = scenes.for_network(network.labels)
    if settings.accuracy_only:
        return run_accuracy(network, scenes, settings)
    scenes.say_without_map(settings.regions)
    explainer = explainer_for(network, scenes, settings)
    torch.manual_seed(settings.seed)
    log(f"{network.name} ({network.classes} classes) on {device}, {len(scenes.items)} images")
    paths = [item.image for item in scenes.items]
    check_users_network(network, paths, needs_gradients=False)
    say_what_is_replaced(
        [folder / FILE for folder in folders],
        network.description(),
        explainer.settings,
        results=settings.results,
        that_count=settings_that_count,
    )
    outcome = explain_all(explainer, scenes.items, folders, results=settings.results)
    failures = outcome.failures + merge_summary(outcome, settings.results)
    if len(outcome.records) > 1 and not outcome.interrupted:
        by_name = {item.name: folder for item, folder in zip(scenes.items, folders)}
        report_run(outcome.records, by_name, settings)
    status = report_failures(failures)
    if outcome.interrupted:
        log_interrupted(settings.results)
        return 130
    log(f"{counted(len(outcome.records), 'record')} in {settings.results}, {len(failures)} failed")
    return status


def merge_summary(outcome: Outcome, results: Path) -> list[tuple[str, str]]:
    """Write the rows of a run into summary.csv; return what failed."""
    try:
        merge_rows(results / "summary.csv", outcome.rows, COLUMNS)
    except (ValueError, csv.Error) as error:  # the old one is damaged: it is left as it is
        return [(f"{results}: summary.csv", one_line(error))]
    return []


def run_accuracy(network: Network, scenes: SceneSet, settings: Settings) -> int:
    """Log and write how well the network recognises a set of images; return the exit status."""
    found = recognise(network, scenes.items)
    if found.interrupted:
        log("interrupted: there are no figures of a part of the images")
        return 130
    status = report_failures(found.failures)
    if not found.known:
        raise UserError("--accuracy-only: no image with a true class")
    figures = figures_of(found.known)
    log("\n".join(accuracy_table(figures, settings.model)))
    write_indented(settings.results / "accuracy.json", figures)
    return status


def run_from_matrices(settings: Settings) -> int:
    """Make the statistics of the matrices below a folder; return the exit status."""
    if settings.images or settings.manifest or settings.ade20k or settings.places365:
        raise UserError("--from-matrices reads no images: name either images or matrices")
    settings = replace(settings, results=run_folder(settings.results, settings.run))
    make_writable(settings.results)
    found = read_records(settings.from_matrices, settings.category)
    if settings.weights:
        require_weights(found.first, settings.weights)
    question = found.first.question
    settings = replace(settings, model=question.model.name)
    report_classes(found.records, settings, sources={question.segmentation.source})
    log(f"statistics of {len(found.records)} images in {settings.results}")
    return report_failures(found.failures)


# ---------------------------------------------------------------- what the settings ask for


def with_bundled(settings: Settings) -> Settings:
    """Return the settings with the bundled scenes, where no images are named."""
    if settings.images or settings.manifest or settings.ade20k or settings.places365:
        return settings
    settings = replace(settings, images=BUNDLED_IMAGES)
    if settings.regions is not None:
        return settings
    names = settings.region_names or BUNDLED_NAMES
    return replace(settings, regions=str(BUNDLED_MAPS), region_names=names)


def scene_set_of(settings: Settings) -> SceneSet:
    """Return the images that the settings name."""
    sources = (settings.images, settings.manifest, settings.ade20k, settings.places365)
    if sum(source is not None for source in sources) > 1:
        raise UserError("only one of IMAGE, --manifest, --ade20k and --places365 can be given")
    if settings.ade20k:
        return scene_sets.ade20k(settings.ade20k)
    if settings.places365:
        return scene_sets.places365(settings.places365)
    if settings.manifest:
        return SceneSet(scene_sets.manifest(settings.manifest))
    not_the_images(settings.results, settings.images)
    return SceneSet(scene_sets.folder(settings.images, settings.results))


def with_names_of(settings: Settings, scenes: SceneSet) -> Settings:
    """Return the settings with the names that the set brings, and the folder of this run."""
    return replace(
        settings,
        region_names=settings.region_names or scenes.region_names,
        labels=settings.labels or scenes.labels,
        results=run_folder(settings.results, settings.run),
    )


def explainer_for(network: Network, scenes: SceneSet, settings: Settings) -> Explainer:
    """Return what every image is explained with."""
    category = None
    if settings.category is not None:
        category = class_index(settings.category, network.labels, option="--category")
    segmentation = Segmentation(
        settings.regions or SUPERPIXELS,
        names=settings.region_names,
        segments=settings.segments,
        weights=settings.segmentation_weights,
        device=network.device,
        fit=network.fit,
        own_maps=any(item.mask for item in scenes.items),
    )
    return Explainer(
        network=network,
        segmentation=segmentation,
        category=category,
        baseline=settings.baseline,
        seed=settings.seed,
        batch_size=settings.batch_size,
        style=style_of(settings),
        keep_matrices=settings.keep_matrices,
        formats=settings.formats,
        palette=settings.palette,
        overwrite=settings.overwrite,
        settings=settings_dict(settings),
    )


def report_run(
    records: Sequence[DeviationRecord], folders: Mapping[str, Path], settings: Settings
) -> None:
    """Report the classes of a run, and sort its maps by class; folders: of images by name."""
    sources = {record.segmentation.source for record in records}
    found = report_classes(records, settings, sources=sources)
    if found and found.accuracy:
        sort_all_maps(found, records, folders, settings)


def report_classes(
    records: Sequence[ImageDeviations], settings: Settings, *, sources: Collection[str]
) -> Statistics | None:
    """Write and draw the statistics of a set of images; log how well they are recognised.

    Args:
        records: of the images.
        settings: of the run.
        sources: where their regions come from.

    Returns:
        The statistics; None where the regions have no names that images share.
    """
    records = sorted(records, key=lambda record: record.image)  # sums depend on the order
    accuracy = evaluate(records)
    if accuracy:
        log("\n".join(accuracy_table(accuracy, settings.model)))
    if SUPERPIXELS in sources:
        log("no statistics: superpixels have no names that two images share")
        return None
    found = statistics(records, settings.relevant, absent_as_zero=settings.absent_as_zero)
    write_statistics(found, records, settings.results)
    figures = settings.results / "classes"
    require_below(figures, settings.results)
    figures.mkdir(exist_ok=True)
    draw_classes(found, figures, DARK if settings.style == "dark" else paper())
    return found


def sort_all_maps(
    found: Statistics,
    records: Sequence[DeviationRecord],
    folders: Mapping[str, Path],
    settings: Settings,
) -> None:
    """Put the maps into folders by class.

    Args:
        found: the statistics, whose classes have the folders.
        records: of the images.
        folders: an image's name -> its folder.
        settings: of the run.
    """
    style = style_of(settings)
    left_out = sort_maps(
        records,
        folders,
        settings.results / "classes/maps",
        stems=class_stems(found),
        files=lambda folder: map_files(folder, style, settings.formats),
    )
    if left_out:
        log(f"{left_out} maps are not of the class predicted (--category) and in no class's folder")


def style_of(settings: Settings) -> Style:
    """Return the style of the maps."""
    return DARK if settings.style == "dark" else paper(settings.width)


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 all images done; 1 some image failed; 2 unusable arguments; 130 interrupted.
    """
    return exit_status(PROG, lambda: run(parse(Settings, argv, prog=PROG, doc=__doc__)))


if __name__ == "__main__":
    sys.exit(main())
