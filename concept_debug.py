"""Concept debugging: which concepts does a network use wrongly, and can it unlearn them?

    python concept_debug.py demo                    # the whole loop on a drawn world with a cue
    python concept_debug.py explain --images photos --regions masks --region-names names.txt
    python concept_debug.py annotate --images photos
    python concept_debug.py compare --human annotations
    python concept_debug.py ratings --tasks tasks.json
    python concept_debug.py select --images pool
    python concept_debug.py prompts --llm my_llm
    python concept_debug.py generate --generator my_pipeline
    python concept_debug.py improve --images pool --selection active.csv --test test
    python concept_debug.py improve --recipe sa3 --model timm/vit_base_patch16_224.mae ..

explain writes the concepts that the network uses: an annotation file and a numbered figure per
image. annotate is a page on which a person writes such files. compare tells the two apart; ratings
reads what people say of highlighted areas. select picks images to train on; prompts and generate
make some. improve trains on them, and measures before and after. Images lie in a folder per class.

After "SA3: Semantic-aware Attribution Analysis: A Human-in-the-Loop Framework for Interpreting and
Improving Image Understanding". The steps are in companions/concepts: explanations.py,
comparison.py, selection.py, prompts.py, generation.py, improve.py (with fine_tuning.py,
sa3_training.py, first_weights.py, measurement.py and need.py) and demo.py, whose second half is
companions/captions/demo.py.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Literal

from companions.concepts.sa3_recipe import (
    ACCUMULATE,
    EraseMode,
    MixupMode,
    Sa3Recipe,
    check_count,
    check_recipe,
)
from running.command_line import (
    AutoCount,
    Between,
    Count,
    CountOrZero,
    Device,
    Output,
    Precision,
    Resize,
    Several,
    Share,
    ShareOrZero,
    exit_status,
    parse_subcommands,
)

PROG = "concept_debug.py"
RESULTS = Path("Results/debug")

Baseline = Literal["black", "blur", "mean", "median", "mixed"]
Strategy = Literal["random", "similarity", "active"]
Kind = Literal["tg", "llm", "llm-prompt", "ours"]
TrainingSeed = Annotated[int, Between(0, 2**31)]
Alpha = Annotated[float, Between(0, 100, "a number from 0 to 100")]
LearningRate = Annotated[float, Between(0, 10, "a learning rate above 0", open_low=True)]
LearningRateOrZero = Annotated[float, Between(0, 10, "a learning rate of 0 or more")]
ShareBelowOne = Annotated[float, Between(0, 0.99)]
RecipeName = Literal["light", "sa3"]


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Which network, on what."""

    # Network
    model: str = "birds"  # birds, torchvision's, timm/NAME, hf/NAME, or FILE.py:function
    weights: Path | None = None  # a state_dict, .pth or .safetensors; else the model's own
    labels: Path | None = None  # class names, one per line; else by model
    resize: Resize = "squash"  # how images come to its input size
    output: Output = "auto"  # what it returns; auto: as four images say
    device: Device = "auto"  # what to run on
    batch_size: AutoCount = "auto"  # images per forward pass


@dataclass(frozen=True, kw_only=True)
class RegionSettings:
    """What cuts images into named regions."""

    # Regions
    regions: str | None = None  # a label map (PNG), a folder of them named as the images, or a
    #   torchvision segmentation network
    region_names: Path | None = None  # names of the labels 1, 2, .., one per line; or ADE20K's
    #   objectInfo150.csv
    segments: Annotated[int, Between(2, 1000)] = 40  # slic: number of superpixels, roughly
    segmentation_weights: Path | None = None  # a state_dict for the segmentation network; else
    #   torchvision's own
    baseline: Baseline = "mean"  # what replaces a region or hides a patch


@dataclass(frozen=True, kw_only=True)
class Explain(RegionSettings, NetworkSettings):
    """Find the concepts that the network uses: an annotation file and a figure per image."""

    # What to explain
    images: Path  # images in a folder per class (else: the predicted class is explained)
    relevant: Share = 0.01  # a concept of the network has a score deviation above this
    no_attributes: bool = False  # leave colour, size and place of the concepts out of the graphs
    no_relations: bool = False  # leave out how pairs of concepts lie
    overwrite: bool = False  # explain images again whose record exists
    results: Path = RESULTS  # where everything goes, for all steps alike


@dataclass(frozen=True, kw_only=True)
class Annotate:
    """Write a person's annotations in the browser."""

    images: Path  # an image, or a folder of them
    annotations: Path = Path("annotations")  # where the files go; what is there is gone on with
    suggest: bool = False  # begin with the graphs that explain made in the results
    port: Annotated[int, Between(0, 65535)] = 0  # on 127.0.0.1; 0: a free one
    no_browser: bool = False  # print the address, and open nothing
    results: Path = RESULTS  # where everything goes, for all steps alike


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Find valid, confounded and missed concepts, against a person's annotations."""

    human: Path  # annotation files, named as those in the results' graphs/
    hard: Share = 0.5  # images with an F1 below this are hard
    ratings: Path | None = None  # ScaleAI's tasks.json: a second way to say which images are hard
    hard_rating: Share = 0.5  # images with a lower value of their ratings are hard by rating
    results: Path = RESULTS  # where everything goes, for all steps alike


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Find the images that people rate low, and leave them out of a split."""

    tasks: Path  # ScaleAI's tasks.json
    hard: Share = 0.5  # images with a lower value are hard; a value is the mean rating over 5
    split: Path | None = None  # (image, region) pairs, such as val_sub_names.npy
    kept: Path | None = None  # where the pairs of images that are not hard go, such as
    #   val_sub_opt_names.npy
    results: Path = RESULTS  # where everything goes, for all steps alike


@dataclass(frozen=True, kw_only=True)
class Select(NetworkSettings):
    """Select images to train on."""

    # What to select
    images: Path  # images in a folder per class
    strategies: Annotated[tuple[Strategy, ...], Several("NAME")] = (
        "random",
        "similarity",
        "active",
    )  # how to select
    per_class: Count = 50  # images of each class; SA3 takes 1000
    seed: TrainingSeed = 0  # of S-Random
    results: Path = RESULTS  # where everything goes, for all steps alike


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """Write prompts to generate images from."""

    labels: Path | None = None  # class names, one per line; else the classes of compare.json
    kinds: Annotated[tuple[Kind, ...], Several("NAME")] = ()  # tg, llm, llm-prompt, ours; else all
    #   that can be written
    per_class: Count = 50  # prompts of each class; SA3 takes 1000
    llm: str | None = None  # a folder or name of transformers; birds: a fixed list of sentences
    max_words: Annotated[int, Between(1, 1000)] = 40  # of an answer, in tokens
    device: Device = "auto"  # what a language model runs on
    seed: TrainingSeed = 0  # of the answers
    results: Path = RESULTS  # where everything goes, for all steps alike


@dataclass(frozen=True, kw_only=True)
class Generate:
    """Make an image of each prompt."""

    generator: str  # a folder or name of diffusers; birds: the painter of the bundled world
    prompts: Annotated[tuple[Path, ...], Several("CSV")] = ()  # files with the columns class and
    #   prompt; else those that prompts wrote
    size: Annotated[int, Between(8, 4096)] | None = None  # side of the images; else the generator's
    denoising_steps: Count | None = None  # else the pipeline's
    guidance: Annotated[float, Between(0, 100)] | None = None  # else the pipeline's
    precision: Literal["float32", "bfloat16", "float16"] = "float32"  # of a pipeline's weights
    batch_size: Count = 1  # images made at once
    device: Device = "auto"  # what a pipeline runs on
    seed: TrainingSeed = 0  # of the images
    overwrite: bool = False  # make images again that are there
    results: Path = RESULTS  # where everything goes, for all steps alike


@dataclass(frozen=True, kw_only=True)
class Improve(RegionSettings, NetworkSettings):
    """Train on selections, and measure before and after."""

    # What to train on and to measure
    selection: Annotated[tuple[Path, ...], Several("CSV")]  # files with the columns image and
    #   class, or folders with a folder per class; a network is trained on each
    images: Path | None = None  # the images that the files name; else they lie beside the files
    test: Path  # images in a folder per class: the accuracy is measured on them
    swapped: Path | None = None  # such images in which the cue is swapped
    category: str | None = None  # class whose need of a concept is measured, by name or index;
    #   else the most confounded in compare.json
    concept: str | None = None  # the concept; else that class's most confounded one
    scenes: Count = 24  # test images of the class with the concept to measure it on
    overwrite: bool = False  # train again what is trained
    results: Path = RESULTS  # where everything goes, for all steps alike

    # Training
    recipe: RecipeName = "light"  # light: a few cautious steps; sa3: MAE's fine-tuning, as SA3
    #   trains, of a network of timm
    train_batch: Annotated[int, Between(2)] | None = None  # images per step (light; else 16), per
    #   forward pass and process (sa3; else 64)
    lr: LearningRate | None = None  # highest learning rate; else 1e-4 (light), by --base-lr (sa3)
    weight_decay: Annotated[float, Between(0, 10, "a number from 0 to 10")] = 0.05  # of AdamW
    erase: ShareOrZero = 0.25  # share of images with a rectangle replaced
    mixup: Alpha | None = None  # mix images by mixup, 0: not; else 0 (light), 0.8 (sa3)
    cutmix: Alpha | None = None  # mix images by CutMix, 0: not; else 0 (light), 1 (sa3)
    seed: TrainingSeed = 0  # of training

    # Only --recipe light
    steps: Count | None = None  # of training; else 200
    hide: ShareOrZero | None = None  # share of images with cells of a 7 x 7 grid replaced; else 0

    # Only --recipe sa3
    epochs: Count | None = None  # number of epochs; else 100
    accumulate: Count | None = None  # forward passes of a process per step; else 4
    base_lr: LearningRate | None = None  # highest learning rate for 256 images per step; else 5e-4
    min_lr: LearningRateOrZero | None = None  # learning rate at the end; else 1e-6
    warmup_epochs: CountOrZero | None = None  # in which the learning rate rises from 0; else 5
    layer_decay: Share | None = None  # a layer's learning rate, as a share of the next layer's;
    #   else 0.65
    drop_path: ShareBelowOne | None = None  # share of residual branches dropped in the last block;
    #   else 0.1
    clip_grad: Annotated[float, Between(0, open_low=True)] | None = None  # largest norm of the
    #   gradient; else any
    smoothing: ShareBelowOne | None = None  # of the labels; else 0.1
    mixup_prob: ShareOrZero | None = None  # share of batches that are mixed; else 1
    mixup_switch_prob: ShareOrZero | None = None  # share of these that take CutMix; else 0.5
    mixup_mode: MixupMode | None = None  # what a mixture's weight is drawn for: batch, pair (of
    #   images) or elem (an image); else batch
    remode: EraseMode | None = None  # what an erased rectangle gets: pixel (noise), rand (a random
    #   colour) or const (the mean); else pixel
    recount: Annotated[int, Between(1, 100)] | None = None  # most rectangles of an image; else 1
    resplit: bool = False  # erase nothing in the first half of each forward pass
    augment: str | None = None  # RandAugment as timm writes it, or none; else rand-m9-mstd0.5-inc1
    color_jitter: ShareOrZero | None = None  # largest change of brightness, contrast and
    #   saturation, with --augment none; else 0
    size: Annotated[int, Between(16, 2048)] | None = None  # side of the network's input, pixels;
    #   else that of the weights
    from_scratch: bool = False  # begin with random weights
    precision: Precision | None = None  # of the forward passes in training; else half on CUDA
    workers: CountOrZero | None = None  # processes that read images in training; else 4


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Run the whole loop on a drawn world with a planted cue."""

    size: Annotated[int, Between(1, 1000)] = 100  # of the world, in percent
    seeds: Annotated[int, Between(1, 100)] = 1  # worlds, each with a network of its own
    results: Path = RESULTS  # where everything goes, for all steps alike


COMMANDS = {
    "explain": Explain,
    "annotate": Annotate,
    "compare": Compare,
    "ratings": Rate,
    "select": Select,
    "prompts": Prompts,
    "generate": Generate,
    "improve": Improve,
    "demo": Demo,
}

if __name__ == "__main__":  # before PyTorch is imported, so that --help answers at once
    parse_subcommands(COMMANDS, prog=PROG, doc=__doc__)

import subprocess
import sys
from collections.abc import Sequence

import torch

from companions.captions.demo import CaptionDemo, CaptionerHalf, missing_package
from companions.concepts import demo, explanations, seeds
from companions.concepts.annotations import Annotations, annotate
from companions.concepts.comparison import compare_annotations, kind_line, log_line
from companions.concepts.figures import draw_comparison, draw_table
from companions.concepts.fine_tuning import Recipe
from companions.concepts.first_weights import Start, first_weights
from companions.concepts.generation import SetMaker, prompt_files
from companions.concepts.image_generators import ImageOptions, load_image_generator
from companions.concepts.improve import (
    Improvement,
    LightTrainer,
    Selection,
    Trainer,
    read_selections,
    train_beside,
)
from companions.concepts.labelled_images import labelled_folder
from companions.concepts.measurement import Bench, question_of
from companions.concepts.prompts import PromptWriter, read_classes
from companions.concepts.published_files import read_split, write_split
from companions.concepts.ratings import Ratings, read_ratings, reason_lines
from companions.concepts.sa3_parts import timm_part
from companions.concepts.sa3_training import Sa3Trainer
from companions.concepts.selection import load_pool, write_selection
from companions.concepts.text_generators import load_text_generator
from companions.score_deviation.scene_sets import folder, folders_of
from companions.training.processes import Place, from_first, place_of, processes
from running.each_image import log_interrupted
from running.failures import report_failures
from running.images import not_the_images
from running.network_check import check_users_network
from running.network_of import network_of
from running.results import make_writable
from scoring.networks import Network, choose_device
from scoring.segmentation import Segmentation
from scoring.timm_networks import PREFIX
from utils import PROJECT, UserError, log


def run_explain(settings: Explain) -> int:
    """Write the graphs and numbered figures of all images, and the tables over them."""
    explanations.require_names(settings.regions)
    not_the_images(settings.results, settings.images)
    items = folder(settings.images, leave_out=settings.results)
    names = [path.as_posix() for path in folders_of(items, Path())]
    make_writable(settings.results)
    network = network_of(settings, choose_device(settings.device))
    explainer = explanations.Explainer(
        network=network,
        segmentation=segmentation_of(settings, network),
        results=settings.results,
        baseline=settings.baseline,
        relevant=settings.relevant,
        attributes=not settings.no_attributes,
        relations=not settings.no_relations,
        batch_size=settings.batch_size,
        overwrite=settings.overwrite,
    )
    check_users_network(network, [item.image for item in items], needs_gradients=False)
    found = explanations.explain_images(explainer, items, names)
    if found.interrupted:  # without explain.json: compare takes none of an unfinished run's graphs
        log_interrupted(settings.results)
        return 130
    report = found.write()
    draw_table(report.classes, settings.results / "concepts.png")
    failed = len(found.failures)
    log(f"{len(found.records)} images explained in {settings.results}, {failed} failed")
    return report_failures(found.failures)


def run_annotate(settings: Annotate) -> int:
    """Serve the annotation page until the user interrupts."""
    not_the_images(settings.annotations, settings.images)
    items = folder(settings.images, leave_out=settings.annotations)
    names = [path.as_posix() for path in folders_of(items, Path())]
    make_writable(settings.annotations, "--annotations")
    graphs = settings.results / "graphs" if settings.suggest else None
    if graphs and not graphs.is_dir():
        raise UserError(f"--suggest: no folder {graphs}; `concept_debug.py explain` makes it")
    annotations = Annotations(items, names, settings.annotations, suggestions=graphs)
    annotate(annotations, port=settings.port, open_browser=not settings.no_browser)
    return 0


def run_compare(settings: Compare) -> int:
    """Compare each annotation with the graph of the same name that explain made last."""
    ratings = read_ratings(settings.ratings) if settings.ratings else None
    found = compare_annotations(settings.human, settings.results, hard=settings.hard)
    if ratings:
        log_odd_tasks(ratings)
        rated = found.rate(ratings, settings.hard_rating)
        log(f"{rated} of {len(found.rows)} images have ratings in {settings.ratings}")
    report = found.write(settings.results)
    draw_comparison(report.classes, settings.results / "compare.png")
    for entry in report.confounded[:3]:
        log(log_line(entry))
    for kind, measures in report.kinds.items():
        log(kind_line(kind, measures))
    by_rating = f", {len(report.hard_by_rating)} hard by rating" if ratings else ""
    log(
        f"{len(found.images)} images compared in {settings.results}, {len(report.hard)} hard"
        f"{by_rating}, {len(found.failures)} failed"
    )
    return report_failures(found.failures)


def run_ratings(settings: Rate) -> int:
    """Write the value of each rated image; where a split is given, what remains of it."""
    if (settings.split is None) != (settings.kept is None):
        raise UserError("--split, --kept: only together; the rest of one goes into the other")
    if settings.kept and settings.kept.resolve() == settings.split.resolve():
        raise UserError(f"--kept {settings.kept}: that is --split, which would be lost")
    pairs = read_split(settings.split) if settings.split else []
    ratings = read_ratings(settings.tasks)
    make_writable(settings.results)
    report = ratings.write(settings.results, hard=settings.hard)
    log_odd_tasks(ratings)
    hard = {entry.image for entry in report.images if entry.hard}
    log(f"{len(report.images)} images rated in {settings.results}, {len(hard)} hard")
    if settings.kept:
        kept = [pair for pair in pairs if pair[0] not in hard]
        write_split(settings.kept, kept)
        unrated = sum(image not in ratings.by_image for image, _ in kept)
        log(
            f"{len(kept)} of {len(pairs)} pairs kept in {settings.kept}; "
            f"{unrated} have no rating and were kept"
        )
    return 0


def log_odd_tasks(ratings: Ratings) -> None:
    """Log which tasks were left out, and what is odd about others."""
    for line in reason_lines(ratings.left_out, "task left out"):
        log(line)
    for line in reason_lines(ratings.odd, "odd, but counted"):
        log(line)


def run_select(settings: Select) -> int:
    """Write a selection for each strategy."""
    network = network_of(settings, choose_device(settings.device))
    images = labelled_folder(settings.images, network.labels, results=settings.results)
    make_writable(settings.results)
    for name in images.empty:
        log(f"{name}: no image in its folder, so none is selected")
    paths = [item.image for item in images.items]
    check_users_network(network, paths, needs_gradients=False)
    failures: list[tuple[str, str]] = []
    pool = load_pool(
        images, network, settings.results, batch_size=settings.batch_size, failures=failures
    )
    if "similarity" in settings.strategies:
        pool.require_embeddings()
    for strategy in settings.strategies:
        chosen = pool.select(strategy, settings.per_class, seed=settings.seed)
        write_selection(strategy, chosen, pool=pool, results=settings.results)
    return report_failures(failures)


def run_prompts(settings: Prompts) -> int:
    """Write a file of prompts for each kind."""
    classes = read_classes(settings.results, settings.labels)
    make_writable(settings.results)
    generator = None
    if settings.llm:
        generator = load_text_generator(
            settings.llm,
            device=choose_device(settings.device),
            max_words=settings.max_words,
            results=settings.results,
        )
    writer = PromptWriter(
        classes=classes,
        per_class=settings.per_class,
        generator=generator,
        seed=settings.seed,
        results=settings.results,
    )
    for kind in writer.kinds(settings.kinds):
        writer.write(kind)
    return 0


def run_generate(settings: Generate) -> int:
    """Make the images of each file of prompts, and a selection of them."""
    files = prompt_files(settings.prompts, settings.results)
    make_writable(settings.results)
    options = ImageOptions(
        size=settings.size,
        steps=settings.denoising_steps,
        guidance=settings.guidance,
        precision=settings.precision,
    )
    device = choose_device(settings.device)
    maker = SetMaker(
        generator=load_image_generator(settings.generator, options, device=device),
        options=options,
        seed=settings.seed,
        batch_size=settings.batch_size,
        overwrite=settings.overwrite,
        results=settings.results,
    )
    failures: list[tuple[str, str]] = []
    for file in files:
        maker.make(file, failures)
    return report_failures(failures)


def run_improve(settings: Improve) -> int:
    """Measure the network as it is, then after training on each selection."""
    check_recipe_options(settings)
    place = place_of(settings.device, settings.precision or "auto")
    recipe = recipe_of(settings, world=place.world)
    if isinstance(recipe, Sa3Recipe):
        check_recipe(recipe, world=place.world)
    settings = with_first_weights(settings, place)
    network = network_of(settings, place.device)
    selections = read_selections(settings.selection, settings.images, network)
    trainer = trainer_of(settings, recipe, network, selections=selections, place=place)
    if place.rank > 0:
        for selection in selections:
            train_beside(selection, network, trainer, results=settings.results)
        return 0
    bench = bench_of(settings, network)
    paths = [item.image for item in bench.test.items]
    check_users_network(network, paths, needs_gradients=True)
    make_writable(settings.results)
    improvement = Improvement(
        network=network,
        bench=bench,
        trainer=trainer,
        results=settings.results,
        overwrite=settings.overwrite,
    )
    improvement.measure_given()
    for selection in selections:
        improvement.improve_on(selection)
    improvement.write_tables()
    return report_failures(list(dict.fromkeys(improvement.failures)))


def run_demo(settings: Demo) -> int:
    """Run the loop on the bundled world; its steps are commands of this file and of another."""
    halves: list[seeds.Half] = [
        demo.ClassifierHalf(demo.Demo().scaled(settings.size), command=main)
    ]
    lacking = missing_package()
    if lacking:
        log(lacking)
    else:
        captions = CaptionDemo().scaled(settings.size)
        halves.append(CaptionerHalf(captions, command=run_concept_caption))
    return seeds.run_seeds(halves, settings.results, seeds=settings.seeds)


def run_concept_caption(words: Sequence[str]) -> int:
    """Run a command line of concept_caption.py in a process of its own; return its exit status."""
    program = [sys.executable, str(PROJECT / "concept_caption.py")]
    return subprocess.run([*program, *words]).returncode


# ---------------------------------------------------------------- what the settings ask for


def segmentation_of(settings: RegionSettings, network: Network) -> Segmentation:
    """Return the source of regions that the settings name."""
    return Segmentation(
        settings.regions or "",
        names=settings.region_names,
        segments=settings.segments,
        weights=settings.segmentation_weights,
        device=network.device,
        fit=network.fit,
    )


def bench_of(settings: Improve, network: Network) -> Bench:
    """Return what every network is measured on."""
    test = labelled_folder(settings.test, network.labels, option="--test", results=settings.results)
    bench = Bench(test=test, baseline=settings.baseline, batch_size=settings.batch_size)
    if settings.swapped:
        swapped = labelled_folder(
            settings.swapped, network.labels, option="--swapped", results=settings.results
        )
        bench = replace(bench, swapped=swapped)
    if settings.regions is None:
        if settings.region_names:
            raise UserError(f"--region-names {settings.region_names}: only together with --regions")
        if settings.concept or settings.category:
            raise UserError(
                "--concept, --category: only with --regions, which says where the concepts of "
                "the test images are"
            )
        return bench
    question = question_of(
        test,
        network,
        segmentation=segmentation_of(settings, network),
        category=settings.category,
        concept=settings.concept,
        scenes=settings.scenes,
        results=settings.results,
    )
    return replace(bench, question=question)


ONLY_LIGHT = ("steps", "hide")
ONLY_SA3 = (
    *("epochs", "accumulate", "base_lr", "min_lr", "warmup_epochs", "layer_decay", "drop_path"),
    *("clip_grad", "smoothing", "mixup_prob", "mixup_switch_prob", "mixup_mode"),
    *("remode", "recount", "resplit", "augment", "color_jitter"),
    *("size", "from_scratch", "precision", "workers"),
)


def check_recipe_options(settings: Improve) -> None:
    """Refuse options of the other recipe.

    Raises:
        UserError: the first of them.
    """
    own, others = ("sa3", ONLY_LIGHT) if settings.recipe == "sa3" else ("light", ONLY_SA3)
    other = "light" if own == "sa3" else "sa3"
    for name in others:
        value = getattr(settings, name)
        if value is not None and value is not False:  # 0 was passed
            raise UserError(f"--{name.replace('_', '-')}: only with --recipe {other}")
    if own == "sa3" and not settings.model.startswith(PREFIX):
        raise UserError(
            f"--model {settings.model}: --recipe sa3 trains networks of timm: timm/NAME"
        )
    if own == "light" and processes() > 1:
        raise UserError("--recipe light: trains in one process; start it without torchrun")


def with_first_weights(settings: Improve, place: Place) -> Improve:
    """Return the settings with the weights that --recipe sa3 begins with."""
    if settings.recipe != "sa3":
        return settings
    start = Start(
        model=settings.model,
        weights=settings.weights,
        labels=settings.labels,
        from_scratch=settings.from_scratch,
        side=settings.size,
        seed=settings.seed,
    )
    path = None
    if place.rank == 0:
        timm_part("timm")
        make_writable(settings.results)
        path = first_weights(start, settings.results / "first.safetensors")
    return replace(settings, weights=from_first(path))


def trainer_of(
    settings: Improve,
    recipe: Recipe | Sa3Recipe,
    network: Network,
    *,
    selections: Sequence[Selection],
    place: Place,
) -> Trainer:
    """Return what trains a network on a selection.

    Raises:
        UserError: a selection is too small for the recipe.
    """
    if isinstance(recipe, Recipe):
        return LightTrainer(recipe)
    for selection in selections:
        try:
            check_count(len(selection.images), recipe)
        except ValueError as error:
            raise UserError(f"--selection {selection.file}: {error}") from None
    return Sa3Trainer(
        recipe=recipe,
        test=labelled_folder(
            settings.test, network.labels, option="--test", results=settings.results
        ),
        place=place,
        workers=4 if settings.workers is None else settings.workers,
    )


def recipe_of(settings: Improve, world: int = 1) -> Recipe | Sa3Recipe:
    """Return how to train: what was passed, and the recipe's own values.

    Args:
        settings: with None for values that were not passed.
        world: number of processes.
    """
    passed = {
        "batch": settings.train_batch,
        "lr": settings.lr,
        "weight_decay": settings.weight_decay,
        "erase": settings.erase,
        "mixup": settings.mixup,
        "cutmix": settings.cutmix,
        "seed": settings.seed,
    }
    kind = Sa3Recipe if settings.recipe == "sa3" else Recipe
    names = {field.name for field in fields(kind)} - set(passed)
    passed |= {name: getattr(settings, name, None) for name in names}
    if kind is Sa3Recipe:
        passed["passes"] = world * (settings.accumulate or ACCUMULATE)
    return kind(**{name: value for name, value in passed.items() if value is not None})


STEPS = {
    Explain: run_explain,
    Annotate: run_annotate,
    Compare: run_compare,
    Rate: run_ratings,
    Select: run_select,
    Prompts: run_prompts,
    Generate: run_generate,
    Improve: run_improve,
    Demo: run_demo,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 all done; 1 some image or file failed; 2 unusable arguments; 130 interrupted.
    """

    def run() -> int:
        settings = parse_subcommands(COMMANDS, argv, prog=PROG, doc=__doc__)
        torch.manual_seed(getattr(settings, "seed", 0))
        return STEPS[type(settings)](settings)

    return exit_status(PROG, run)


if __name__ == "__main__":
    sys.exit(main())
