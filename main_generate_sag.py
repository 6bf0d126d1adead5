"""From a folder of images to Structured Attention Graphs.

    python main_generate_sag.py                                 # the bundled network and scenes
    python main_generate_sag.py --images photos --model vgg19   # torchvision's VGG-19
    python main_generate_sag.py --images photos --model resnet50 --weights resnet50.pth
    python main_generate_sag.py --images photos --model net.py:build --labels names.txt

The steps, a file each: baseline and saliency (get_perturbation_mask.py), search for minimal
sufficient explanations (search.py, diverse_search.py), a diverse few of them
(diverse_subset_selection.py), the graph of their sub-explanations (patch_deletion_tree.py), figures
(drawing/). Edit the settings below, or pass them as options.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from running.command_line import (
    Bare,
    BatchSize,
    Between,
    Count,
    CountOrZero,
    Device,
    Precision,
    Seconds,
    Seed,
    Share,
    changed_settings,
    exit_status,
    parse,
    settings_dict,
)

PROG = "main_generate_sag.py"


@dataclass(frozen=True)
class Settings:
    """All settings of the main job."""

    # What to explain
    images: Path = Path("Images")  # a file, or a folder searched through its sub-folders
    results: Path = Path("Results")  # one folder per image below it
    category: str | None = None  # index or name of the class; else the most probable
    num_categories: Count = 1  # explain the K most probable classes
    overwrite: bool = False  # process images again whose record exists
    open: bool = False  # at the end print the gallery's path and open it where there is a display
    # Network
    model: str = "birds"  # birds (bundled), a torchvision classifier, or FILE.py:function
    weights: Path | None = None  # a state_dict, .pth or .safetensors; else the model's own
    labels: Path | None = None  # class names, one per line; else by model
    # Machine
    device: Device = "auto"  # auto: CUDA, then MPS, then the CPU
    batch_size: BatchSize = "auto"  # images per forward pass
    precision: Precision = "auto"  # of the search; auto: bfloat16 where the processor has it
    ray: Annotated[str | None, Bare("local")] = None  # a Ray cluster's HOST:PORT, or auto for the
    #   one that runs here; without a value one for this run
    seed: Seed = 0  # of the noise in I-GOS
    # Search
    search: Literal["beam", "combinatorial", "exhaustive", "diverse"] = "beam"  # for explanations
    beam_width: Count = 3  # beam: sets kept at each size
    num_successors: Count = 15  # beam: most salient patches that each set may add
    max_num_roots: Count = 10  # beam, diverse: stop at this many explanations
    max_root_size: Count = 49  # beam, diverse: stop at sets of this size
    comb_top: Count = 20  # combinatorial: among this many most salient patches
    comb_size: Count = 4  # combinatorial: all sets of this many patches
    exhaustive_size: Count = 3  # exhaustive: all sets of up to this many patches
    time_limit: Seconds | None = None  # per image; what is found by then is kept
    # What counts
    prob_thresh: Share = 0.9  # sufficient: above this share of the full image's confidence
    node_prob_thresh: Share = 0.4  # a node above this share is expanded
    overlap_thresh: CountOrZero = 1  # patches that two drawn roots may share
    num_roots_sag: Count = 3  # roots drawn
    baseline: Literal["black", "blur", "mean", "median", "mixed", "drop"] = "black"  # hides patches
    # Patches or regions
    grid: Annotated[int, Between(1, 28)] = 7  # patches along each side
    regions: str | None = None  # in place of the grid: a label map (PNG), a folder of them named as
    #   the images, slic, or a torchvision segmentation network
    region_names: Path | None = None  # names of the labels 1, 2, .., one per line; or ADE20K's
    #   objectInfo150.csv
    segments: Annotated[int, Between(2, 1000)] = 40  # slic: number of superpixels
    segmentation_weights: Path | None = None  # a state_dict for the segmentation network


if __name__ == "__main__":  # before PyTorch is imported, so that --help answers at once
    parse(Settings, prog=PROG, doc=__doc__)

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from tqdm import tqdm

from diverse_search import diverse_search
from patch_deletion_tree import DiverseSag, diverse_sag
from running.all_images import (
    Explained,
    Outcome,
    Outcomes,
    collect,
    finish_run,
    in_this_process,
    on_ray,
    one_by_one,
)
from running.checks import (
    check_category,
    check_dropping,
    check_regions,
    check_sizes,
)
from running.explanation import Explanation
from running.image_case import ImageCase
from running.images import find_images, not_the_images
from running.inputs import as_cut, as_engine, as_pixels, settings_by_name, sha256_of
from running.make_record import Cut, Source, make_record
from running.results import (
    Job,
    done_before,
    fingerprint,
    finished_before,
    make_jobs,
    make_writable,
    run_key,
    stamp,
)
from running.steps import Findings, StepTimes, measure_curves, measure_saliency, search_scorer
from scoring.engine import Engine
from scoring.networks import Network, choose_device, load_network
from scoring.regions import Regions
from scoring.scorer import MaskScorer
from scoring.segmentation import Segmentation
from search import (
    Scorer,
    SearchResult,
    beam_search,
    certify,
    combinatorial_search,
    exhaustive_search,
)
from utils import PROJECT, UserError, file_sha256, load_image, log

IMAGES_AT_ONCE = {"cuda": 8}  # by device: images whose searches share batches; else 1
SEARCH_SHARE = 0.75  # of the time limit; the rest is for the certificate and the graph
SILENT = tqdm(disable=True)


# ---------------------------------------------------------------- one image, in Python


def explain(
    model: Any,
    image: Any,
    *,
    transform: Callable[..., torch.Tensor] | None = None,
    labels: Sequence[str] | None = None,
    regions: Regions | None = None,
    **settings: Any,
) -> Explanation:
    """Explain one class of one image.

    Args:
        model: a torch.nn.Module in eval mode, a Network or an Engine.
        image: a PIL image, an array (H, W, 3) uint8, or a tensor (3, H, W).
        transform: the model's preprocessing of a PIL image; None: as a module's attributes
            input_size, mean and std say, else 224 pixels and ImageNet's normalisation.
        labels: class names.
        regions: named regions in place of the grid.
        **settings: fields of Settings by name, such as category=3 or search="diverse".

    Returns:
        The record, typed, with methods confidence, save and _repr_png_.

    Raises:
        UserError: something cannot be used; the message names it.
    """
    chosen = settings_by_name(Settings, settings)
    engine = as_engine(
        model,
        labels=labels,
        transform=transform,
        precision=precision_of(chosen),
        batch_size=chosen.batch_size,
    )
    cut = as_cut(regions, engine.network) if regions else None
    num_patches = len(regions.names) if regions else chosen.grid**2
    has_regions = regions is not None
    check(chosen, engine.network, num_patches=num_patches, has_regions=has_regions)
    chosen = replace(chosen, model=engine.network.name)
    pixels = as_pixels(image, engine.network, transform)
    source = Source(Path(getattr(image, "filename", "") or "image").name, sha256_of(pixels))
    category = classes_to_explain(chosen, engine, pixels)[0]
    return explain_class(engine, pixels, chosen, category=category, source=source, cut=cut)


def classes_to_explain(settings: Settings, engine: Engine, image: np.ndarray) -> list[int]:
    """Return the class that the settings name, else the most probable ones of an image."""
    category = check_category(settings.category, settings.num_categories, engine.network)
    if category is not None:
        return [category]
    return engine.most_probable(image, settings.num_categories)


def precision_of(settings: Settings) -> str:
    """Return the precision of the search; dropped tokens are scored in float32."""
    return "float32" if settings.baseline == "drop" else settings.precision


def check(
    settings: Settings, network: Network, *, num_patches: int | None, has_regions: bool
) -> None:
    """Refuse what only makes sense together with the network or other settings.

    Args:
        settings: of the main job.
        network: the network.
        num_patches: number of patches of the grid, or of regions; None: not known yet.
        has_regions: whether the image is cut into regions.

    Raises:
        UserError: the first setting that does not fit.
    """
    if settings.baseline == "drop":
        check_dropping(
            network,
            (settings.grid, settings.grid),
            precision=settings.precision,
            has_regions=has_regions,
        )
    if num_patches is not None:
        check_sizes(
            settings.search,
            num_patches,
            comb_top=settings.comb_top,
            comb_size=settings.comb_size,
            exhaustive_size=settings.exhaustive_size,
        )


# ---------------------------------------------------------------- one class: the order of the steps


def explain_class(
    engine: Engine,
    image: np.ndarray,
    settings: Settings,
    *,
    category: int,
    source: Source,
    cut: Cut | None = None,
    seconds: float | None = None,
    progress: tqdm = SILENT,
) -> Explanation:
    """Explain one class: baseline and saliency, search, certificate and graph, curves.

    Args:
        engine: the network.
        image: (H, W, 3) uint8 RGB, of its input size.
        settings: of the main job.
        category: class index.
        source: where the image is from.
        cut: its regions, in place of the grid.
        seconds: that this may take, if not the settings' time limit; the search has most of them.
        progress: shows the step and the sets scored.
    """
    case = ImageCase.of(
        engine.network,
        image,
        category=category,
        baseline=settings.baseline,
        grid=(settings.grid, settings.grid),
        regions=cut.regions if cut else None,
    )
    limit = seconds or settings.time_limit or float("inf")
    findings = find_out(case, engine, settings, seconds=limit, progress=progress)
    explanation = make_record(
        findings, case, engine=engine, source=source, cut=cut, settings=settings_dict(settings)
    )
    return explanation.attach(image, case.scorer(engine.network.module))


def find_out(
    case: ImageCase, engine: Engine, settings: Settings, *, seconds: float, progress: tqdm
) -> Findings:
    """Run the steps, one after the other."""
    times = StepTimes()
    search_end = times.start + SEARCH_SHARE * seconds
    end = times.start + seconds
    with times.step("mask", progress, "saliency"):
        saliency = measure_saliency(case, engine, seed=settings.seed, deadline=search_end)
    threshold = settings.prob_thresh * saliency.full
    with times.step("search", progress, "search"):
        searcher = search_scorer(case, engine, threshold)
        searcher.deadline = search_end
        searcher.on_scored = progress.update
        found = find_mses(searcher, saliency.igos, settings)
    with times.step("tree", progress, "check and graph"):
        exact = case.scorer(engine.exact, batch_size=engine.batch_size, on_scored=progress.update)
        # In float32 the certificate is one call; what the search found is not lost to the clock.
        exact.deadline = end if engine.reduced else None
        certified = certify(found, exact, threshold, anew=engine.reduced is not None)
        exact.deadline = end
        sag = graph_of(certified, exact, settings, full_probability=saliency.full)
    scored_before = exact.scored
    with times.step("curves", progress, "curves"):
        curves = measure_curves(case, exact, saliency=saliency, result=sag.result)
    scored_for_curves = exact.scored - scored_before
    return Findings(
        saliency,
        searcher,
        exact=exact,
        sag=sag,
        curves=curves,
        scored_for_curves=scored_for_curves,
        seconds=times.seconds,
    )


def graph_of(
    result: SearchResult, scorer: MaskScorer, settings: Settings, *, full_probability: float
) -> DiverseSag:
    """Choose diverse roots and build their graph, with the settings' limits."""
    return diverse_sag(
        result,
        scorer,
        full_probability,
        prob_thresh=settings.prob_thresh,
        node_prob_thresh=settings.node_prob_thresh,
        overlap=settings.overlap_thresh,
        num_roots=settings.num_roots_sag,
        deadline=scorer.deadline or float("inf"),
    )


def find_mses(scorer: Scorer, saliency: torch.Tensor, settings: Settings) -> SearchResult:
    """Run the search that the settings name."""
    if settings.search == "combinatorial":
        return combinatorial_search(
            scorer,
            saliency,
            prob_thresh=settings.prob_thresh,
            comb_top=settings.comb_top,
            comb_size=settings.comb_size,
        )
    if settings.search == "exhaustive":
        return exhaustive_search(
            scorer,
            saliency.numel(),
            prob_thresh=settings.prob_thresh,
            max_size=settings.exhaustive_size,
        )
    if settings.search == "diverse":
        return diverse_search(
            scorer,
            saliency,
            prob_thresh=settings.prob_thresh,
            overlap=settings.overlap_thresh,
            max_num_roots=settings.max_num_roots,
            max_root_size=settings.max_root_size,
        )
    return beam_search(
        scorer,
        saliency,
        prob_thresh=settings.prob_thresh,
        beam_width=settings.beam_width,
        num_successors=settings.num_successors,
        max_num_roots=settings.max_num_roots,
        max_root_size=settings.max_root_size,
    )


# ---------------------------------------------------------------- one image of a folder


def explain_image(
    job: Job,
    progress: tqdm,
    *,
    engine: Engine,
    settings: Settings,
    segmentation: Segmentation | None = None,
) -> Explained:
    """Return an image's records: those of an earlier run with the same settings, or new ones."""
    looks = stamp(job.path)
    source = Source(job.name, file_sha256(job.path))
    region_source = segmentation.identity(job.name) if segmentation else None
    same = fingerprint(
        image=source.name,
        sha256=source.sha256,
        model=engine.network.description(),
        settings=settings_dict(settings),
        regions=region_source,
    )
    old = done_before(job.folder, same, settings.num_categories)
    if old and not settings.overwrite:
        return Explained(looks, old, None)
    image = load_image(job.path, engine.network.size)
    cut = None
    if segmentation and region_source:
        cut = Cut(segmentation(job.path, job.name, image), region_source)
        num_patches = check_regions(cut.regions)
        check(settings, engine.network, num_patches=num_patches, has_regions=True)
    categories = classes_to_explain(settings, engine, image)
    explain_one = partial(
        explain_class,
        engine,
        image,
        settings,
        source=source,
        cut=cut,
        seconds=(settings.time_limit or float("inf")) / len(categories),
        progress=progress,
    )
    return Explained(looks, [explain_one(category=c) for c in categories], image)


# ---------------------------------------------------------------- all images of a folder


def run(settings: Settings) -> int:
    """Explain all images and return the exit status."""
    found = find_images(images_folder(settings.images), leave_out=settings.results)
    not_the_images(settings.results, settings.images)
    make_writable(settings.results)
    device = choose_device("cpu" if settings.ray else settings.device)
    network = load_network(settings.model, settings.weights, labels=settings.labels, device=device)
    check_run(settings, network)
    segmentation = make_segmentation(settings, device)
    log(opening_line(settings, network, len(found.paths)))

    jobs = make_jobs(found.paths, root=found.root, results=settings.results)
    done = {}
    if not settings.overwrite and segmentation is None:
        key = run_key(network.description(), settings_dict(settings))
        done = finished_before(settings.results, jobs, key)
    if done:
        log(f"{len(done):,} images there already")
    rows = [row for old_rows in done.values() for row in old_rows]
    to_do = [job for job in jobs if job.name not in done]
    outcomes = work_through(to_do, settings, network=network, segmentation=segmentation)
    with tqdm(total=len(jobs), initial=len(done), desc="images", unit="image", position=0) as bar:
        was_interrupted = collect(outcomes, settings.results, rows=rows, bar=bar)
    return finish_run(
        rows, settings.results, was_interrupted=was_interrupted, show_gallery=settings.open
    )


def images_folder(images: Path) -> Path:
    """Return the folder of images; the default is the bundled one, from wherever the run starts."""
    is_default = images == Settings.images
    return PROJECT / images if is_default and not images.exists() else images


def check_run(settings: Settings, network: Network) -> None:
    """Refuse settings that do not fit the network or each other."""
    check_category(settings.category, settings.num_categories, network)
    if settings.region_names and not settings.regions:
        raise UserError(f"--region-names {settings.region_names}: only together with --regions")
    has_regions = bool(settings.regions)
    num_patches = None if has_regions else settings.grid**2
    check(settings, network, num_patches=num_patches, has_regions=has_regions)


def opening_line(settings: Settings, network: Network, images: int) -> str:
    """Return the log's first line: network, device, images, and every setting that was changed."""
    device = "Ray" if settings.ray else network.device
    changed = ", ".join(changed_settings(settings)) or "all settings at their defaults"
    return f"{network.name} ({network.classes} classes) on {device}, {images} images; {changed}"


def make_segmentation(settings: Settings, device: torch.device) -> Segmentation | None:
    """Return what cuts images into regions; None for the grid."""
    if not settings.regions:
        return None
    return Segmentation(
        settings.regions,
        names=settings.region_names,
        segments=settings.segments,
        weights=settings.segmentation_weights,
        device=device,
    )


def make_engine(network: Network, settings: Settings, images_at_once: int) -> Engine:
    """Return the engine of a process that works on so many images at a time."""
    torch.manual_seed(settings.seed)  # for a user's module that draws random numbers
    engine = Engine(
        network,
        precision=precision_of(settings),
        batch_size=settings.batch_size,
        images_at_once=images_at_once,
    )
    if settings.baseline == "drop":  # dropped tokens run outside of what would be compiled
        engine.worth_compiling = False
    return engine


def work_through(
    jobs: list[Job], settings: Settings, network: Network, segmentation: Segmentation | None
) -> Outcomes:
    """Return the outcomes of all images, in this process or on a Ray cluster."""
    if settings.ray:
        on_gpu = IMAGES_AT_ONCE["cuda"]
        return on_ray(
            jobs,
            "main_generate_sag:ray_worker",
            (vars(settings), on_gpu),
            address=settings.ray,
            device=settings.device,
            at_once=on_gpu,
        )
    at_once = min(IMAGES_AT_ONCE.get(network.device.type, 1), max(1, len(jobs)))
    engine = make_engine(network, settings, at_once)
    explain_job = partial(
        explain_image, engine=engine, settings=settings, segmentation=segmentation
    )
    return in_this_process(
        jobs, explain_job, engine=engine, results=settings.results, at_once=at_once
    )


def ray_worker(
    device: str, values: dict[str, Any], images_at_once: int
) -> Callable[[Job, int], Outcome]:
    """Prepare a worker of a Ray cluster and return what it does for each image.

    Args:
        device: of the worker.
        values: the settings by name. (The class would be another one in the worker.)
        images_at_once: number of images that a worker with a GPU works on at the same time.
    """
    settings = Settings(**values)
    network = load_network(
        settings.model,
        settings.weights,
        labels=settings.labels,
        device=choose_device(device),
    )
    at_once = images_at_once if network.device.type == "cuda" else 1
    engine = make_engine(network, settings, at_once)
    segmentation = make_segmentation(settings, network.device)
    explain_job = partial(
        explain_image, engine=engine, settings=settings, segmentation=segmentation
    )
    return one_by_one(explain_job, engine=engine, results=settings.results)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit status 0, 1 (some image failed), 2 (unusable input) or 130."""
    return exit_status(PROG, lambda: run(parse(Settings, argv, prog=PROG, doc=__doc__)))


if __name__ == "__main__":
    sys.exit(main())
