"""From a folder of images to Structured Attention Graphs.

    python main_generate_sag.py                                         # the bundled model on the bundled scenes
    python main_generate_sag.py --images photos --model vgg19           # torchvision's VGG-19 on your photos
    python main_generate_sag.py --images photos --model resnet50 --weights resnet50.pth
    python main_generate_sag.py --images photos --model net.py:build --weights net.pth --labels names.txt

The steps, a file each: baseline and saliency (get_perturbation_mask.py), search for minimal sufficient
explanations (search.py), a diverse few of them (diverse_subset_selection.py), the graph of their
sub-explanations (patch_deletion_tree.py), pictures (draw_sag.py). Edit the constants below or pass options.
"""

import argparse
import csv
import os
import sys
import time
import webbrowser
from collections.abc import Callable
from functools import partial
from math import comb
from pathlib import Path

import networkx as nx
import numpy as np
import torch
from tqdm import tqdm

from running.all_images import collect, in_this_process, on_ray, one_by_one
from diverse_search import diverse_search
from diverse_subset_selection import diverse_subset
from scoring.engine import Passes
from get_perturbation_mask import BASELINES, grad_cam, igos_mask, make_baseline
from scoring.curves import heat_order, insertion_deletion, roots_order, saliency_order
from scoring.scorer import MaskScorer
from running.command_line import (
    add_model_options,
    add_segmentation_options,
    checked_defaults,
    seconds,
    share,
)
from patch_deletion_tree import build_sag, listed, refuted_by
from drawing.words import conjunction
from scoring.regions import Regions
from running.results import (
    Job,
    Outcome,
    done_before,
    fingerprint_of,
    finished_before,
    make_writable,
    result_folders,
    run_key,
    seen,
    write_summary,
)
from running.images import not_the_images
from utils import printable
from drawing.page import write_gallery
from search import Root, Roots, beam_search, combinatorial_search, exhaustive_search, minimise
from scoring.segmentation import Segmentation
from scoring.token_dropping import TokenDropping, why_not
from scoring.networks import BUNDLED, Network, choose_device, class_probabilities, load_network
from utils import PROJECT, UserError, file_sha256, load_image, log, one_line
from running.command_line import OneLineParser, exit_status, whole
from running.images import find_images
from drawing.record import packed_scores
from running.record_files import versions

# What to explain, with what
IMAGES = "Images"  # a file, or a folder searched through its sub-folders
RESULTS = "Results"  # one folder per image
MODEL = BUNDLED  # or a torchvision classifier (vgg19, resnet50), or FILE.py:function
WEIGHTS = None  # a state_dict; None: the model's own
LABELS = None  # class names, one a line; None: by model
CATEGORY = None  # class number; None: the most probable
NUM_CATEGORIES = 1  # this many most probable classes
# Machine
DEVICE = "auto"  # cuda, then mps, then cpu
BATCH_SIZE = "auto"
PRECISION = "auto"  # of the search: bfloat16 where the processor has it, else float32
IMAGES_AT_ONCE = {"cuda": 8}  # by kind of device: images whose searches share batches; else 1
RAY = None  # "local", "auto" or HOST:PORT: the Ray cluster to work on; None: this process alone
SEED = 0
# Search
SEARCH = "beam"
BEAM_WIDTH = 3
NUM_SUCCESSORS = 15  # most salient patches that each state of the beam may add
MAX_NUM_ROOTS = 10
MAX_ROOT_SIZE = 49
COMB_TOP = 20  # combinatorial: all sets of COMB_SIZE among the COMB_TOP most salient patches
COMB_SIZE = 4
EXHAUSTIVE_SIZE = 3  # exhaustive: all sets up to this size
TIME_LIMIT = None  # seconds an image
# What counts
PROB_THRESH = 0.9  # sufficient: above this share of the full image's confidence
NODE_PROB_THRESH = 0.4  # a node above this share is taken apart further
OVERLAP_THRESH = 1  # patches that two drawn roots may share
NUM_ROOTS_SAG = 3  # roots drawn
BASELINE = "black"
GRID = 7
REGIONS = (
    None  # in place of the grid: a label map, a folder of them, "slic", or a segmentation network
)

SEARCH_SHARE = 0.75  # of the time limit; the rest is for checking and for the graph
DOUBT = 0.03  # this near the threshold bfloat16 is not believed
MOST_REGIONS = 256  # of a label map
MOST_SETS = 5_000_000  # combinatorial and exhaustive searches larger than this are refused


# ---------------------------------------------------------------- options


def parser() -> argparse.ArgumentParser:
    """All options; the constants above are their defaults."""
    p = OneLineParser(
        prog="main_generate_sag.py",
        description="From a folder of images to Structured Attention Graphs.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = p.add_argument
    add(
        "--images",
        type=Path,
        default=IMAGES,
        metavar="PATH",
        help="a file or a folder, searched through its sub-folders",
    )
    add(
        "--results", type=Path, default=RESULTS, metavar="DIR", help="one folder per image below it"
    )
    add_model_options(p, MODEL, WEIGHTS, LABELS, DEVICE, BATCH_SIZE)
    add(
        "--category",
        type=whole(0),
        default=CATEGORY,
        metavar="N",
        help="explain class N; else the most probable",
    )
    add(
        "--num-categories",
        type=whole(1),
        default=NUM_CATEGORIES,
        metavar="K",
        help="explain the K most probable",
    )
    add(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default=PRECISION,
        help="of the search; auto: the fastest",
    )
    add("--seed", type=whole(0, 2**63 - 1), default=SEED, metavar="N", help="of the noise in I-GOS")
    add(
        "--search",
        choices=("beam", "combinatorial", "exhaustive", "diverse"),
        default=SEARCH,
        help="how to look for explanations",
    )
    add(
        "--beam-width",
        type=whole(1),
        default=BEAM_WIDTH,
        metavar="N",
        help="beam: sets kept at each size",
    )
    add(
        "--num-successors",
        type=whole(1),
        default=NUM_SUCCESSORS,
        metavar="N",
        help="beam: salient patches a set may add",
    )
    add(
        "--max-num-roots",
        type=whole(1),
        default=MAX_NUM_ROOTS,
        metavar="N",
        help="beam, diverse: stop at this many explanations",
    )
    add(
        "--max-root-size",
        type=whole(1),
        default=MAX_ROOT_SIZE,
        metavar="N",
        help="beam, diverse: stop at sets of this size",
    )
    add(
        "--comb-top",
        type=whole(1),
        default=COMB_TOP,
        metavar="N",
        help="combinatorial: among the N most salient patches",
    )
    add(
        "--comb-size",
        type=whole(1),
        default=COMB_SIZE,
        metavar="N",
        help="combinatorial: all sets of N patches",
    )
    add(
        "--exhaustive-size",
        type=whole(1),
        default=EXHAUSTIVE_SIZE,
        metavar="N",
        help="exhaustive: all sets of up to N patches",
    )
    add(
        "--prob-thresh",
        type=share,
        default=PROB_THRESH,
        metavar="X",
        help="sufficient: above this share of the confidence",
    )
    add(
        "--node-prob-thresh",
        type=share,
        default=NODE_PROB_THRESH,
        metavar="X",
        help="a node above this share is taken apart",
    )
    add(
        "--overlap-thresh",
        type=whole(0),
        default=OVERLAP_THRESH,
        metavar="N",
        help="patches that two drawn roots may share",
    )
    add("--num-roots-sag", type=whole(1), default=NUM_ROOTS_SAG, metavar="N", help="roots drawn")
    add("--baseline", choices=BASELINES, default=BASELINE, help="what hides a patch")
    add("--grid", type=whole(1, 28), default=GRID, metavar="N", help="patches along each side")
    add_segmentation_options(p, "--regions", ["--region-names"], REGIONS)
    add(
        "--time-limit",
        type=seconds,
        default=TIME_LIMIT,
        metavar="SECONDS",
        help="per image; what is found by then is kept",
    )
    add("--overwrite", action="store_true", help="do images again whose record is there")
    add(
        "--ray",
        nargs="?",
        const="local",
        default=RAY,
        metavar="ADDRESS",
        help="work on a Ray cluster: HOST:PORT, or auto for the one "
        "that runs here; without an address on one of its own",
    )
    add(
        "--open",
        action="store_true",
        help="at the end print the gallery's path, and open it where there is a display",
    )
    return checked_defaults(p)


def check_options(args: argparse.Namespace, network: Network) -> None:
    """Refuse what only makes sense together with the model or other options. Raises UserError."""
    if args.baseline == "drop" and args.regions:
        raise UserError("--baseline drop: not together with --regions")
    if args.baseline == "drop" and (problem := why_not(network.module, (args.grid, args.grid))):
        raise UserError(f"--baseline drop: {problem}")
    if args.baseline == "drop" and args.precision == "bfloat16":
        raise UserError("--precision bfloat16: not together with --baseline drop")
    if args.category is not None and args.category >= network.classes:
        raise UserError(
            f"--category {args.category}: the model has {network.classes} classes, 0 to {network.classes - 1}"
        )
    if args.category is not None and args.num_categories > 1:
        raise UserError(
            f"--num-categories {args.num_categories}: not together with --category {args.category}"
        )
    if args.num_categories > network.classes:
        raise UserError(
            f"--num-categories {args.num_categories}: the model has {network.classes} classes"
        )
    if args.region_names and not args.regions:
        raise UserError(f"--region-names {args.region_names}: only together with --regions")
    if not args.regions:
        check_sizes(args, args.grid**2)


def check_sizes(args: argparse.Namespace, patches: int) -> None:
    """Refuse a search that would never end on so many patches, or that they are too few for. Raises UserError."""
    most = f"this program scores {MOST_SETS:,} at most"
    if args.search == "combinatorial":
        top = min(args.comb_top, patches)
        if args.comb_size > top:
            raise UserError(
                f"--comb-size {args.comb_size}: larger than the {top} patches to choose from"
            )
        if comb(top, args.comb_size) > MOST_SETS:
            raise UserError(
                f"--comb-size {args.comb_size}: {comb(top, args.comb_size):,} sets of {top} patches; {most}"
            )
    if args.search == "exhaustive":
        sets = sum(comb(patches, k) for k in range(min(args.exhaustive_size, patches) + 1))
        if sets > MOST_SETS:
            raise UserError(
                f"--exhaustive-size {args.exhaustive_size}: {sets:,} sets of {patches} patches; {most}"
            )


def settings_of(args: argparse.Namespace) -> dict:
    """Every option, as it goes into the record."""
    return {k: printable(v) if isinstance(v, Path) else v for k, v in vars(args).items()}


# ---------------------------------------------------------------- one image, one class


def explain(
    passes: Passes,
    image: np.ndarray,
    category: int,
    args: argparse.Namespace,
    limit: float,
    progress,
    regions: Regions | None = None,
) -> dict:
    """The part of the record that is found out: image -> baseline and saliency -> search -> diverse subset -> graph.

    limit: seconds that this may take. The search has most of them, checking and the graph the rest. regions: in place of the grid.
    """
    start = time.monotonic()
    network, search_end, end = passes.network, start + SEARCH_SHARE * limit, start + limit
    baseline = make_baseline(image, args.baseline)
    x, b, grid = (
        network.prepare(image),
        network.prepare(baseline),
        (1, len(regions.names)) if regions else (args.grid, args.grid),
    )
    everything, basis = tuple(range(grid[0] * grid[1])), regions.basis() if regions else None
    dropped = TokenDropping(network.module, x, grid) if args.baseline == "drop" else None
    with passes.alone:
        progress.set_description_str("saliency")
        ends = MaskScorer(network.module, x, b, category, grid, 2, logits=dropped, basis=basis)
        full, hidden = ends([everything, ()]).tolist()
        saliency = igos_mask(
            network.module, x, b, category, grid, seed=args.seed, deadline=search_end, basis=basis
        )
        heat = grad_cam(network.module, x, category)
    masked, threshold = time.monotonic(), args.prob_thresh * full

    progress.set_description_str("search")
    scorer = MaskScorer(
        passes.exact,
        x,
        b,
        category,
        grid,
        passes.batch_size,
        search_end,
        progress.update,
        passes.fast,
        (threshold - DOUBT, threshold + DOUBT),
        dropped,
        basis,
    )
    found = run_search(scorer, saliency, args)
    searched = time.monotonic()

    progress.set_description_str("check and graph")
    again = MaskScorer(
        passes.exact,
        x,
        b,
        category,
        grid,
        passes.batch_size,
        end if passes.fast else None,
        progress.update,
        logits=dropped,
        basis=basis,
    )
    roots = certified(found, again, threshold, anew=passes.fast is not None)
    again.deadline = end
    roots, diverse, proven, sag = graph_of(roots, again, full, args)
    built, scored_before = time.monotonic(), again.scored
    curves = curves_of(again, roots, saliency, heat, network.size, full)
    done = time.monotonic()
    exact = {} if passes.fast else scorer.table  # no value of a lower precision is kept
    exact = {**exact, **again.table, everything: full, (): hidden}
    return {
        "category": {"index": category, "name": network.labels[category]},
        "probability": full,
        "baseline": {"name": args.baseline, "probability": hidden},
        "grid": list(grid),
        "threshold": args.prob_thresh,
        "saliency": saliency.flatten().tolist(),
        "gradcam": None if heat is None else heat.tolist(),
        "search": {
            "method": args.search,
            "complete": roots.complete,
            "stopped_by": roots.stopped_by,
        },
        "roots": [
            {
                "patches": list(r.patches),
                "probability": r.probability,
                "relative": r.probability / full,
                "minimal": r.minimal,
            }
            for r in roots
        ],
        "diverse_roots": diverse[: args.num_roots_sag],
        "diverse_set": diverse,
        "diverse_set_proven": proven,
        "dnf": " | ".join(conjunction(r.patches, regions and regions.names) for r in roots),
        "sag": listed(sag),
        "curves": curves,
        "scores": packed_scores(exact),
        "evaluations": {
            "asked": scorer.asked,
            "scored": scorer.scored,
            "scored_again": again.scored,
            "scored_for_curves": again.scored - scored_before,
            "precision": "bfloat16" if passes.fast else "float32",
            "doubted": scorer.doubted,
            "disagreed": disagreed(scorer, again, threshold),
        },
        "seconds": {
            "mask": masked - start,
            "search": searched - masked,
            "tree": built - searched,
            "curves": done - built,
        },
    }


def curves_of(
    scorer: MaskScorer,
    roots: Roots,
    saliency: torch.Tensor,
    heat,
    size: tuple[int, int],
    full: float,
) -> dict | None:
    """Insertion and deletion curves of the three explanations there are; None where time was up or the class has no confidence."""
    orders = {"igos": saliency_order(saliency)}
    if heat is not None:
        orders["gradcam"] = heat_order(
            heat, tuple(saliency.shape), size, scorer.basis.cpu().numpy()
        )
    if roots:
        orders["roots"] = roots_order([(r.patches, r.probability) for r in roots], saliency)
    try:
        return insertion_deletion(scorer, orders, full) if full > 0 else None
    except TimeoutError:
        return None


def run_search(scorer: MaskScorer, saliency: torch.Tensor, args: argparse.Namespace) -> Roots:
    """The search that the options name."""
    if args.search == "beam":
        return beam_search(
            scorer,
            saliency,
            args.prob_thresh,
            args.beam_width,
            args.num_successors,
            args.max_num_roots,
            args.max_root_size,
        )
    if args.search == "combinatorial":
        return combinatorial_search(
            scorer, saliency, args.prob_thresh, args.comb_top, args.comb_size
        )
    if args.search == "exhaustive":
        return exhaustive_search(scorer, saliency.numel(), args.prob_thresh, args.exhaustive_size)
    return diverse_search(
        scorer,
        saliency,
        args.prob_thresh,
        args.overlap_thresh,
        args.max_num_roots,
        args.max_root_size,
    )


def certified(found: Roots, scorer: MaskScorer, threshold: float, anew: bool) -> Roots:
    """The roots scored anew in float32; one whose confidence is not above the threshold (any more) goes.

    anew: they were found in a lower precision, so their minimality is proven anew as well.
    """
    roots = []
    try:
        scores = scorer([r.patches for r in found]).tolist()
        if anew:
            roots.extend(
                minimise(
                    scorer, [r.patches for r, p in zip(found, scores) if p > threshold], threshold
                )
            )
        else:
            roots = [Root(r.patches, p, r.minimal) for r, p in zip(found, scores) if p > threshold]
    except TimeoutError:  # list.extend keeps what came before it
        return Roots(roots, "time_limit")
    return Roots(roots, found.stopped_by)


def graph_of(
    roots: Roots, scorer: MaskScorer, full: float, args: argparse.Namespace
) -> tuple[Roots, list[int], bool, nx.DiGraph]:
    """-> the roots, the diverse ones among them by number, whether there is proof that none is larger, and their graph.

    A large root whose own graph shows something smaller to be sufficient gives way to an MSE inside that.
    """
    threshold = args.prob_thresh * full
    while True:
        left = min(20.0, max(1.0, scorer.deadline - time.monotonic()))
        diverse, proven = diverse_subset(
            [r.patches for r in roots], [r.probability for r in roots], args.overlap_thresh, left
        )
        sag = build_sag(
            scorer,
            [roots[i].patches for i in diverse[: args.num_roots_sag]],
            full,
            args.node_prob_thresh,
        )
        refuted = {r: inside for r in roots if (inside := refuted_by(sag, r.patches, threshold))}
        if not refuted:
            return roots, diverse, proven, sag
        smaller, stopped_by = [], roots.stopped_by
        try:
            for inside in refuted.values():
                smaller.extend(minimise(scorer, [inside], threshold, limit=1))
        except TimeoutError:
            stopped_by = "time_limit"
        roots = Roots({*smaller, *(r for r in roots if r not in refuted)}, stopped_by)


def disagreed(search: MaskScorer, exact: MaskScorer, threshold: float) -> int:
    """Sets that the search put on the other side of the threshold than float32 does."""
    return sum(
        (p > threshold) != (search.table.get(patches, p) > threshold)
        for patches, p in exact.table.items()
    )


def look_into(
    job: Job, progress, passes: Passes, args, cut: Segmentation | None = None
) -> tuple[list[int], list[dict], np.ndarray | None]:
    """One image. -> what its file looked like, its records, and, where they are new and not written yet, the image.

    cut: gives it regions in place of the grid.
    """
    (path, name, folder), network, looks = job, passes.network, seen(job.path)
    frame = {
        "format": 1,
        "image": name,
        "image_sha256": file_sha256(path),
        "size": list(network.size),
        "model": network.description(),
    } | ({"regions": {"from": cut.identity(name)}} if cut else {})
    old = done_before(
        folder, fingerprint_of({**frame, "settings": settings_of(args)}), args.num_categories
    )
    if old and not args.overwrite:
        return looks, old, None
    image, regions = load_image(path, network.size), None
    if cut:
        regions = cut(path, name, image)
        frame["regions"] |= regions.record()
        check_sizes(args, len(regions.names))
        if len(regions.names) > MOST_REGIONS:
            raise ValueError(
                f"{len(regions.names)} regions; graph and page are for {MOST_REGIONS} at most"
            )
    with torch.inference_mode(), passes.alone:
        probabilities = class_probabilities(network.module(network.prepare(image)[None]))[0]
    if not probabilities.isfinite().all():
        raise FloatingPointError("the model answers NaN")
    categories = (
        [args.category]
        if args.category is not None
        else probabilities.topk(args.num_categories).indices.tolist()
    )
    limit = (args.time_limit or float("inf")) / len(categories)
    return (
        looks,
        [
            {
                **frame,
                **explain(passes, image, category, args, limit, progress, regions),
                "settings": settings_of(args),
                "versions": versions(),
            }
            for category in categories
        ],
        image,
    )


# ---------------------------------------------------------------- all images


def run(args: argparse.Namespace) -> int:
    """All images. -> the exit status."""
    elsewhere = (
        args.images == Path(IMAGES) and not args.images.exists()
    )  # started from another folder, no --images
    root, images = find_images(
        PROJECT / IMAGES if elsewhere else args.images, leave_out=args.results
    )
    not_the_images(args.results, args.images)
    make_writable(args.results)
    network = load_network(
        args.model, args.weights, args.labels, choose_device("cpu" if args.ray else args.device)
    )
    check_options(args, network)
    cut = segmentation_of(args, network.device)
    defaults = settings_of(parser().parse_args([]))
    changed = [f"{k} {v}" for k, v in settings_of(args).items() if v != defaults[k]]
    log(
        f"{network.name} ({network.classes} classes) on {'Ray' if args.ray else network.device}, {len(images)} images; "
        + (", ".join(changed) if changed else "all settings at their defaults")
    )
    folders = result_folders(images, root, args.results)
    jobs = [Job(path, printable(path.relative_to(root)), folders[path]) for path in images]
    done = (
        {}
        if args.overwrite or cut
        else finished_before(args.results, jobs, run_key(network.description(), settings_of(args)))
    )
    if done:
        log(f"{len(done):,} images there already")
    to_do, rows = (
        [job for job in jobs if job.name not in done],
        [row for old in done.values() for row in old],
    )
    if args.ray:
        outcomes = on_ray(to_do, args, IMAGES_AT_ONCE.get("cuda", 1))
    else:
        at_once = max(1, min(IMAGES_AT_ONCE.get(network.device.type, 1), len(to_do)))
        passes = passes_of(network, args, at_once)
        outcomes = in_this_process(
            to_do,
            partial(look_into, passes=passes, args=args, cut=cut),
            passes,
            args.results,
            at_once,
        )
    with tqdm(total=len(images), initial=len(done), desc="images", unit="image", position=0) as bar:
        interrupted = collect(outcomes, args.results, rows, bar)
    failures = [(row["image"], row["error"]) for row in rows if row["error"]]
    try:
        write_summary(args.results, rows)
        write_gallery(args.results)
        if args.open:
            open_gallery(args.results / "index.html")
    except (OSError, ValueError, csv.Error) as error:
        failures.append((f"{args.results}: summary.csv or index.html", one_line(error)))
    for name, why in failures:
        log(f"failed: {name}: {why}")
    log(
        f"{sum(not row['error'] for row in rows)} records in {args.results}, {len(failures)} failed"
        if not interrupted
        else f"interrupted; what is finished is in {args.results}, the same command goes on from there"
    )
    return 130 if interrupted else 1 if failures else 0


def segmentation_of(args: argparse.Namespace, device: torch.device) -> Segmentation | None:
    """What gives an image regions in place of the grid; None where nothing does. Raises UserError."""
    return (
        Segmentation(
            args.regions,
            args.region_names,
            args.segments,
            args.segmentation_weights,
            device,
            "--regions",
        )
        if args.regions
        else None
    )


def passes_of(network: Network, args: argparse.Namespace, at_once: int) -> Passes:
    """How the network is run, for a process that has at_once images at a time."""
    torch.manual_seed(args.seed)  # for a user's module that draws random numbers
    passes = Passes(
        network, "float32" if args.baseline == "drop" else args.precision, args.batch_size, at_once
    )
    passes.worth_compiling &= args.baseline != "drop"  # dropped tokens run outside of it
    return passes


def ray_worker(
    device: str, args: argparse.Namespace, at_once: int
) -> Callable[[Job, int], Outcome]:
    """What a worker of a Ray cluster does once, before its images (all_images.on_ray). -> what it does for each of them."""
    network = load_network(args.model, args.weights, args.labels, choose_device(device))
    passes = passes_of(network, args, at_once if network.device.type == "cuda" else 1)
    look = partial(look_into, passes=passes, args=args, cut=segmentation_of(args, network.device))
    return one_by_one(look, passes, args.results)


def open_gallery(path: Path) -> None:
    """Print where the gallery is, and open it in the browser where there is a display to show it on."""
    print(path.resolve())
    if (
        sys.platform in ("darwin", "win32")
        or os.environ.get("DISPLAY")
        or os.environ.get("WAYLAND_DISPLAY")
    ):
        webbrowser.open(path.resolve().as_uri())


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 all images done; 1 some image failed; 2 unusable arguments; 130 interrupted."""
    return exit_status("main_generate_sag.py", lambda: run(parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
