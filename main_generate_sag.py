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
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from running.command_line import (
    AutoCount,
    Backend,
    Bare,
    Between,
    Count,
    CountOrZero,
    Device,
    Output,
    Precision,
    Resize,
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
    explain: Literal["enough", "needed", "both"] = "enough"  # what alone keeps the class, or what
    #   it cannot do without
    images: Path = Path("Images")  # a file, or a folder searched through its sub-folders
    results: Path = Path("Results")  # one folder per image below it
    run: str | None = None  # a name: the results go into a folder of their own below --results
    category: str | None = None  # index or name of the class; else the most probable
    against: str | None = None  # index or name of another class: why not that one
    num_categories: Count = 1  # explain the K most probable classes
    overwrite: bool = False  # process images again whose record exists
    pictures: Literal["all", "graph", "none"] = "all"  # drawn for each image; the record has all
    open: bool = False  # at the end print the gallery's path and open it where there is a display
    # Network
    model: str = "birds"  # birds, torchvision's, timm/NAME, hf/NAME, or FILE.py:function
    weights: Path | None = None  # a state_dict, .pth or .safetensors; else the model's own
    labels: Path | None = None  # class names, one per line; else by model
    resize: Resize = "squash"  # how images come to its input size
    output: Output = "auto"  # what it returns; auto: as four images say
    # Machine
    device: Device = "auto"  # auto: CUDA, then MPS, then the CPU
    batch_size: AutoCount = "auto"  # images per forward pass
    precision: Precision = "auto"  # of the search; auto: the fastest, as measured here
    backend: Backend = "auto"  # of the search on a CPU; auto: OpenVINO where that is faster
    threads: Count | None = None  # of PyTorch on a CPU; else as many as it takes by itself
    images_at_once: AutoCount = (
        "auto"  # whose searches share batches; auto: 1 on a CPU, 32 on a GPU
    )
    ray: Annotated[str | None, Bare("local")] = None  # a Ray cluster's HOST:PORT, or auto for the
    #   one that runs here; without a value one for this run
    seed: Seed = 0  # of the noise in I-GOS
    # Search
    saliency: Literal["igos", "gradcam"] = "igos"  # whose order the search follows
    search: Literal["beam", "combinatorial", "exhaustive", "diverse"] = "beam"  # for explanations
    beam_width: Count = 3  # beam: sets kept at each size
    num_successors: Count = 15  # beam: most salient patches that each set may add
    max_num_roots: Count = 10  # beam, diverse: stop at this many explanations
    max_root_size: Count = 49  # beam, diverse: stop at sets of this size
    comb_top: Count = 20  # combinatorial: among this many most salient patches
    comb_size: Count = 4  # combinatorial: all sets of this many patches
    exhaustive_size: AutoCount = "auto"  # exhaustive: all sets of up to this many patches; auto: 3,
    #   and all sets of up to 16 named regions
    fill_up: bool = True  # beam: add diverse ones where fewer than are drawn overlap little
    proof_sets: CountOrZero = 200  # by which a drawn explanation of more than 10 patches is checked
    what_if_sets: CountOrZero = 60  # scored so that readers' questions can be answered, beside all
    #   that lack one patch; 0: none of either
    time_limit: Seconds | None = None  # per image, on the clock; what is found by then is kept
    # What counts
    measure: Literal["relative", "between"] = "relative"  # shares count from 0, or from the
    #   baseline's confidence
    prob_thresh: Share = 0.9  # sufficient: above this share of the full image's confidence
    node_prob_thresh: Share = 0.4  # a node above this share is expanded
    overlap_thresh: CountOrZero = 1  # patches that two drawn roots may share
    num_roots_sag: Count = 3  # roots drawn
    full_curves: bool = (
        False  # insertion and deletion at every number of patches, not where they bend
    )
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

import numpy as np
import torch
from tqdm import tqdm

from patch_deletion_tree import DiverseSag
from running.all_images import collect, finish_run, on_ray
from running.checks import (
    check_against,
    check_category,
    check_dropping,
    check_regions,
    check_sizes,
    exhaustive_limit,
)
from running.drawers import RunPlan
from running.drawing_pool import number_of_workers
from running.earlier_settings import say_what_is_replaced
from running.engine_thread import shared_worker
from running.explanation import Explanation
from running.image_case import ImageCase
from running.images import find_images, not_the_images
from running.inputs import as_cut, as_engine, as_pixels, settings_by_name
from running.kept_scores import KeptScores, key_of, scores_file
from running.make_record import Cut, Source, make_record
from running.network_check import check_users_network
from running.network_of import network_of
from running.outcomes import Explained, Outcome, Outcomes
from running.progress import Follower
from running.record_files import RECORD, pixels_sha256
from running.result_folders import require_below, run_folder
from running.results import (
    Earlier,
    FileStamp,
    Job,
    done_before,
    fingerprint,
    finished_before,
    make_jobs,
    make_writable,
    run_key,
    stamp,
)
from running.searches import search_of
from running.sides import NOT_ASKED_FOR, enough_side, needed_side, nothing_found, run_side
from running.steps import (
    Findings,
    Saliency,
    StepTimes,
    Thresholds,
    ask_ahead,
    measure_curves,
    measure_saliency,
    with_other_baselines,
)
from running.this_process import in_this_process
from scoring.answerer import Answerer
from scoring.batching import Batching
from scoring.engine import Engine
from scoring.fitting import load_fitted
from scoring.hidden import breaking_goal
from scoring.networks import Network, choose_device
from scoring.openvino_forward import check_openvino
from scoring.regions import Regions
from scoring.requests import Steps
from scoring.segmentation import Segmentation
from scoring.shared_scores import SharedScores
from utils import PROJECT, UserError, file_sha256, log

IMAGES_AT_ONCE = {"cuda": 32, "mps": 4}  # by device: images whose searches share batches; else 1
LEAST_TO_DRAW_ELSEWHERE = 3  # images for which it pays to start a process that draws
MASK_SHARE = 0.75  # of the time limit; the rest is for the searches and the graph


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
        model: a torch.nn.Module in eval mode, a Network, or an Engine, which has its own batches.
        image: a PIL image, an array (H, W, 3) uint8, or a tensor (3, H, W).
        transform: of a PIL image; None: by the module's input_size, mean, std, else ImageNet's.
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
        resize=chosen.resize,
        output=chosen.output,
        **engine_options(chosen),
    )
    network = engine.network
    cut = as_cut(regions, network) if regions else None
    num_patches = len(regions.names) if regions else chosen.grid**2
    check(chosen, network, num_patches=num_patches, has_regions=regions is not None)
    chosen = replace(chosen, model=network.name, resize=network.fit.method, output=network.output)
    pixels = as_pixels(image, network, transform)
    source = Source(Path(getattr(image, "filename", "") or "image").name, pixels_sha256(pixels))
    category = classes_to_explain(chosen, engine, pixels)[0]
    steps = explain_class(engine, pixels, chosen, category=category, source=source, cut=cut)
    return Batching(engine).run_one(steps)


def classes_to_explain(settings: Settings, engine: Engine, image: np.ndarray) -> list[int]:
    """Return the class that the settings name, else the most probable ones of an image."""
    category = check_category(settings.category, settings.num_categories, engine.network)
    against = check_against(settings.against, engine.network)
    if category is not None:
        categories = [category]
    else:
        categories = engine.most_probable(image, settings.num_categories)
    if against in categories:
        name = engine.network.labels[against]
        raise UserError(f"--against {settings.against}: {name} is the class that is explained")
    return categories


def engine_options(settings: Settings) -> dict[str, Any]:
    """Return what the settings say of an engine."""
    return {
        "precision": precision_of(settings),
        "batch_size": settings.batch_size,
        "backend": settings.backend,
    }


def precision_of(settings: Settings) -> str:
    """Return the precision of the search.

    Dropped tokens are scored in float32. So is an exhaustive search, unless another precision is
    asked for: it could not claim to be complete.
    """
    if settings.baseline == "drop":
        return "float32"
    if settings.search == "exhaustive" and settings.precision == "auto":
        return "float32"
    return settings.precision


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
            exhaustive_size=exhaustive_limit(
                settings.exhaustive_size, num_patches, has_regions=has_regions
            ),
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
    follower: Follower | None = None,
    kept: KeptScores | None = None,
    shared: SharedScores | None = None,
) -> Steps[Explanation]:
    """Explain one class: baseline and saliency, search, certificate and graph, questions, curves.

    Args:
        engine: the network.
        image: (H, W, 3) uint8 RGB, of its input size.
        settings: of the main job.
        category: class index.
        source: where the image is from.
        cut: its regions, in place of the grid.
        seconds: that this may take, if not the settings' time limit.
        follower: of the steps, for a progress bar.
        kept: scores of an earlier run that was stopped.
        shared: scores that passes for other classes have brought.
    """
    case = case_of(engine.network, image, settings, category=category, cut=cut)
    seconds = seconds or settings.time_limit or float("inf")
    times = StepTimes()
    reduced = has_reduced(engine, settings)
    answerer = Answerer(case.slot, has_reduced=reduced, kept=kept, shared=shared)
    (follower or Follower()).follow(times, answerer)
    findings = yield from find_out(case, answerer, times, engine, settings, seconds=seconds)
    if findings.sag.result.stopped_by == "baseline_sufficient":
        findings = yield from with_other_baselines(findings, case, engine, image)
    explanation = make_record(
        findings, case, engine=engine, source=source, cut=cut, settings=settings_dict(settings)
    )
    return explanation.attach(image, case.scorer(engine.network.module))


def case_of(
    network: Network, image: np.ndarray, settings: Settings, *, category: int, cut: Cut | None
) -> ImageCase:
    """Return an image and class, ready to be scored."""
    return ImageCase.of(
        network,
        image,
        category=category,
        baseline=settings.baseline,
        grid=(settings.grid, settings.grid),
        regions=cut.regions if cut else None,
        against=check_against(settings.against, network),
    )


def has_reduced(engine: Engine, settings: Settings) -> bool:
    """Return whether the search may use less than float32."""
    return engine.reduced is not None and precision_of(settings) != "float32"


def find_out(
    case: ImageCase,
    answerer: Answerer,
    times: StepTimes,
    engine: Engine,
    settings: Settings,
    *,
    seconds: float,
) -> Steps[Findings]:
    """Run the steps, one after the other."""
    with times.step("mask"):
        saliency = yield from measure_saliency(
            case,
            answerer,
            engine,
            method=settings.saliency,
            seed=settings.seed,
            deadline=times.start + MASK_SHARE * seconds,
        )
    thresholds = Thresholds.of(saliency, settings)
    settings = for_image(settings, thresholds, case)
    answerer.threshold = thresholds.enough * saliency.full
    end = times.start + seconds
    sag = yield from find_enough(saliency, answerer, times, settings, end=end)
    needed = yield from find_needed(saliency, answerer, times, settings, end=end)
    drawn = yield from ask_ahead(case, answerer, times, saliency, sag, settings=settings, end=end)
    with times.step("curves"):
        curves = yield from measure_curves(
            case, answerer, saliency=saliency, result=sag.result, all_counts=settings.full_curves
        )
    return Findings(
        saliency,
        thresholds,
        answerer,
        sag=sag,
        needed=needed,
        drawn=drawn,
        curves=curves,
        seconds=times.seconds,
    )


def for_image(settings: Settings, thresholds: Thresholds, case: ImageCase) -> Settings:
    """Return the settings with what only the image tells: thresholds, and the sets there are."""
    size = exhaustive_limit(
        settings.exhaustive_size, case.num_patches, has_regions=case.regions is not None
    )
    return replace(
        settings,
        prob_thresh=thresholds.enough,
        node_prob_thresh=thresholds.node,
        exhaustive_size=size,
    )


def find_enough(
    saliency: Saliency, answerer: Answerer, times: StepTimes, settings: Settings, *, end: float
) -> Steps[DiverseSag]:
    """Find minimal sufficient explanations and their graph.

    Where breaking sets are to follow, half of the time is left for these.
    """
    if settings.explain == "needed":
        return nothing_found(NOT_ASKED_FOR)
    if settings.explain == "both":
        end = (time.monotonic() + end) / 2
    side = enough_side(settings, saliency.full)
    search = search_of(settings, saliency.mask, is_timed=end < float("inf"))
    return (yield from run_side(side, search, answerer, times=times, settings=settings, end=end))


def find_needed(
    saliency: Saliency, answerer: Answerer, times: StepTimes, settings: Settings, *, end: float
) -> Steps[DiverseSag | None]:
    """Find minimal breaking sets and their graph: what the class cannot do without."""
    if settings.explain == "enough":
        return None
    goal = breaking_goal(
        prob_thresh=settings.prob_thresh, full=saliency.full, baseline=saliency.hidden
    )
    if goal is None:
        return nothing_found("baseline_sufficient")
    side = needed_side(goal, answerer.slot.num_patches)
    hidden = replace(settings, prob_thresh=goal.prob_thresh)  # in the scores of hidden sets
    search = search_of(hidden, saliency.mask, is_timed=end < float("inf"))
    return (yield from run_side(side, search, answerer, times=times, settings=settings, end=end))


# ---------------------------------------------------------------- one image of a folder


@dataclass(frozen=True)
class LoadedImage:
    """An image of a folder as it was read, and what an earlier run has left of it."""

    stamp: FileStamp | None
    source: Source
    pixels: np.ndarray | None  # (H, W, 3) uint8; None where everything is there already
    regions: dict[str, Any] | None  # what must agree for its regions to be the same
    same: dict[str, Any]  # what must agree for its results to be the same
    earlier: Earlier


@dataclass(frozen=True)
class FolderExplainer:
    """Reads and explains the images of a folder.

    Attributes:
        engine: the network.
        settings: of the main job.
        segmentation: cuts images into regions; None: the grid.
    """

    engine: Engine
    settings: Settings
    segmentation: Segmentation | None = None

    def load(self, job: Job) -> LoadedImage:
        """Read an image, unless an earlier run with the same settings has done all of it."""
        settings = self.settings
        network = self.engine.network
        looks = stamp(job.path)
        source = Source(job.name, file_sha256(job.path))
        region_source = self.segmentation.identity(job.name) if self.segmentation else None
        same = fingerprint(
            image=source.name,
            sha256=source.sha256,
            model=network.description(),
            settings=settings_dict(settings),
            regions=region_source,
        )
        earlier = Earlier()
        if not settings.overwrite:
            earlier = done_before(job.folder, same, settings.num_categories, settings.pictures)
        pixels = None if earlier.are_drawn else load_fitted(job.path, network.fit)
        return LoadedImage(looks, source, pixels, region_source, same, earlier)

    def explain(
        self, job: Job, load: Callable[[], LoadedImage], follower: Follower
    ) -> Steps[Explained]:
        """Return an image's records: those of an earlier run with the same settings, or new ones.

        Args:
            job: the image.
            load: waits until it is read.
            follower: follows the steps, for a progress bar.
        """
        loaded = load()
        image = loaded.pixels
        if image is None or loaded.earlier.sags:
            return Explained(loaded.stamp, loaded.earlier.sags, image, is_new=False)
        cut = self.cut(job, loaded)
        categories = classes_to_explain(self.settings, self.engine, image)
        shared = SharedScores(categories)
        sags = []
        for category in categories:
            sag = yield from explain_class(
                self.engine,
                image,
                self.settings,
                category=category,
                source=loaded.source,
                cut=cut,
                seconds=(self.settings.time_limit or float("inf")) / len(categories),
                follower=follower,
                kept=self.kept_scores(job, loaded, category),
                shared=shared,
            )
            sags.append(sag)
        return Explained(loaded.stamp, sags, image)

    def kept_scores(self, job: Job, loaded: LoadedImage, category: int) -> KeptScores:
        """Return what a run that was stopped has scored of a class of an image."""
        require_below(job.folder, self.settings.results)
        key = key_of(
            same=loaded.same,
            category=category,
            precision=self.engine.precision,
            device=self.engine.device.type,
        )
        return KeptScores(scores_file(job.folder, category), key)

    def cut(self, job: Job, loaded: LoadedImage) -> Cut | None:
        """Return an image's regions; None for the grid."""
        if not self.segmentation or not loaded.regions or loaded.pixels is None:
            return None
        cut = Cut(self.segmentation(job.path, job.name, loaded.pixels), loaded.regions)
        check(
            self.settings,
            self.engine.network,
            num_patches=check_regions(cut.regions),
            has_regions=True,
        )
        return cut


# ---------------------------------------------------------------- all images of a folder


def run(settings: Settings) -> int:
    """Explain all images and return the exit status."""
    found = find_images(images_folder(settings.images), leave_out=settings.results)
    not_the_images(settings.results, settings.images)
    settings = replace(settings, results=run_folder(settings.results, settings.run))
    make_writable(settings.results)
    device = choose_device("cpu" if settings.ray else settings.device)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    network = network_of(settings, device)
    check_run(settings, network)
    segmentation = make_segmentation(settings, network)
    log(opening_line(settings, network, len(found.paths)))

    jobs = make_jobs(found.paths, root=found.root, results=settings.results)
    done = {}
    if not settings.overwrite and segmentation is None:
        key = run_key(network.description(), settings_dict(settings))
        done = finished_before(settings.results, jobs, key, settings.pictures)
    if done:
        log(f"{len(done):,} images there already")
    rows = [row for old_rows in done.values() for row in old_rows]
    to_do = [job for job in jobs if job.name not in done]
    say_what_is_replaced(
        [job.folder / RECORD for job in to_do],
        network.description(),
        settings_dict(settings),
        results=settings.results,
    )
    outcomes = work_through(to_do, settings, network=network, segmentation=segmentation)
    with tqdm(
        total=len(jobs), initial=len(done), desc="images", unit="image", position=0, disable=None
    ) as bar:
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
    category = check_category(settings.category, settings.num_categories, network)
    against = check_against(settings.against, network)
    if against is not None and against == category:
        raise UserError(f"--against {settings.against}: it is the class of --category")
    if settings.backend == "openvino" and not settings.ray:  # else each worker's engine does
        check_openvino(network.device)
    if settings.region_names and not settings.regions:
        raise UserError(f"--region-names {settings.region_names}: only together with --regions")
    if settings.segmentation_weights and not settings.regions:
        raise UserError(
            f"--segmentation-weights {settings.segmentation_weights}: only together with --regions"
        )
    has_regions = bool(settings.regions)
    num_patches = None if has_regions else settings.grid**2
    check(settings, network, num_patches=num_patches, has_regions=has_regions)


def opening_line(settings: Settings, network: Network, images: int) -> str:
    """Return the log's first line: network, device, images, and every setting that was changed."""
    device = "Ray" if settings.ray else network.device
    changed = ", ".join(changed_settings(settings)) or "all settings at their defaults"
    weights = f", weights {network.unwrapped}" if network.unwrapped else ""
    about = f"{network.name} ({network.classes} classes{weights}, {network.reading()})"
    return f"{about} on {device}, {images} images; {changed}"


def make_segmentation(settings: Settings, network: Network) -> Segmentation | None:
    """Return what cuts images into regions; None for the grid."""
    if not settings.regions:
        return None
    return Segmentation(
        settings.regions,
        names=settings.region_names,
        segments=settings.segments,
        weights=settings.segmentation_weights,
        device=network.device,
        fit=network.fit,
    )


def make_engine(network: Network, settings: Settings) -> Engine:
    """Return the engine of a process."""
    torch.manual_seed(settings.seed)  # for a user's module that draws random numbers
    engine = Engine(network, **engine_options(settings))
    if not engine.is_ieee:
        log(f"{network.device}: float32 is rounded there, by the network's code or the environment")
    if settings.baseline == "drop":  # dropped tokens run outside of what would be compiled
        engine.worth_compiling = False
    return engine


def work_through(
    jobs: list[Job], settings: Settings, network: Network, segmentation: Segmentation | None
) -> Outcomes:
    """Return the outcomes of all images, in this process or on a Ray cluster."""
    if jobs:
        check_users_network(network, [job.path for job in jobs], needs_gradients=True)
    if settings.ray:
        return on_ray(
            jobs,
            "main_generate_sag:ray_worker",
            (vars(settings),),
            address=settings.ray,
            device=settings.device,
            at_once=at_once("cuda", settings),
        )
    return work_here(jobs, settings, network, segmentation)


def work_here(
    jobs: list[Job], settings: Settings, network: Network, segmentation: Segmentation | None
) -> Outcomes:
    """Yield the outcomes of all images in this process; without images nothing is measured."""
    if not jobs:
        return
    engine = make_engine(network, settings)
    log(engine.description())
    explainer = FolderExplainer(engine, settings, segmentation)
    yield from in_this_process(
        jobs,
        explainer.load,
        explainer.explain,
        engine=engine,
        plan=plan_of(settings, network.device.type, images=len(jobs)),
    )


def plan_of(settings: Settings, device: str, *, images: int) -> RunPlan:
    """Return how a process works on so many images."""
    draw_elsewhere = images >= LEAST_TO_DRAW_ELSEWHERE and settings.pictures != "none"
    return RunPlan(
        settings.results,
        images_at_once=max(1, min(at_once(device, settings), images)),
        drawing_workers=number_of_workers(device) if draw_elsewhere else 0,
        pictures=settings.pictures,
    )


def at_once(device: str, settings: Settings) -> int:
    """Return how many images share the batches of a kind of device."""
    if settings.images_at_once != "auto":
        return int(settings.images_at_once)
    return IMAGES_AT_ONCE.get(device, 1)


def ray_worker(device: str, values: dict[str, Any]) -> Callable[[Job, int], Outcome]:
    """Prepare a worker of a Ray cluster and return what it does for each image.

    Args:
        device: of the worker.
        values: the settings by name. (The class would be another one in the worker.)
    """
    settings = Settings(**values)
    network = network_of(settings, choose_device(device))
    engine = make_engine(network, settings)
    explainer = FolderExplainer(engine, settings, make_segmentation(settings, network))
    plan = RunPlan(
        settings.results,
        images_at_once=at_once(network.device.type, settings),
        pictures=settings.pictures,
    )
    return shared_worker(explainer.load, explainer.explain, engine=engine, plan=plan)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit status 0, 1 (some image failed), 2 (unusable input) or 130."""
    return exit_status(PROG, lambda: run(parse(Settings, argv, prog=PROG, doc=__doc__)))


if __name__ == "__main__":
    sys.exit(main())
