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
import io
import json
import sys
import time
from math import comb
from pathlib import Path

import networkx as nx
import numpy as np
import torch
from tqdm import tqdm

import draw_sag
from diverse_subset_selection import diverse_subset
from get_perturbation_mask import BASELINES, grad_cam, igos_mask, make_baseline
from mask_scorer import MaskScorer
from patch_deletion_tree import build_sag
from search import Root, Roots, beam_search, combinatorial_search, exhaustive_search
from utils import (BUNDLED, IMAGE_ENDINGS, PROJECT, Network, UserError, choose_device, class_probabilities, file_sha256,
                   find_images, load_image, load_network, one_line, read_record, versions, write_atomically)

# What to explain, with what
IMAGES = "Images"               # a file, or a folder searched through its sub-folders
RESULTS = "Results"             # one folder per image
MODEL = BUNDLED                 # or a torchvision classifier (vgg19, resnet50), or FILE.py:function
WEIGHTS = None                  # a state_dict; None: the model's own
LABELS = None                   # class names, one a line; None: by model
CATEGORY = None                 # class number; None: the most probable
NUM_CATEGORIES = 1              # this many most probable classes
# Machine
DEVICE = "auto"                 # cuda, then mps, then cpu
BATCH_SIZE = "auto"
PRECISION = "auto"              # float32
SEED = 0
# Search
SEARCH = "beam"
BEAM_WIDTH = 3
NUM_SUCCESSORS = 15             # most salient patches that each state of the beam may add
MAX_NUM_ROOTS = 10
MAX_ROOT_SIZE = 49
COMB_TOP = 20                   # combinatorial: all sets of COMB_SIZE among the COMB_TOP most salient patches
COMB_SIZE = 4
EXHAUSTIVE_SIZE = 3             # exhaustive: all sets up to this size
TIME_LIMIT = None               # seconds an image
# What counts
PROB_THRESH = 0.9               # sufficient: above this share of the full image's confidence
NODE_PROB_THRESH = 0.4          # a node above this share is taken apart further
OVERLAP_THRESH = 1              # patches that two drawn roots may share
NUM_ROOTS_SAG = 3               # roots drawn
BASELINE = "black"
GRID = 7

SEARCH_SHARE = 0.75             # of the time limit; the rest is for checking and for the graph
MOST_SETS = 5_000_000           # combinatorial and exhaustive searches larger than this are refused
NOT_SETTINGS = ("images", "results", "overwrite", "device", "batch_size")      # these change no result
SUMMARY = ("image", "category", "name", "probability", "roots", "smallest_root", "diverse", "nodes", "stopped_by",
           "complete", "asked", "scored", "seconds", "folder", "error")


# ---------------------------------------------------------------- options

class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage, and exits with 2."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: error: {message}\n")


def whole(low: int, high: float = float("inf")):
    """An argparse type: a whole number from low to high."""
    def convert(text: str) -> int:
        if not (text.lstrip("-").isdecimal() and low <= int(text) <= high):
            span = f"from {low} to {high}" if high < float("inf") else f"of {low} or more"
            raise argparse.ArgumentTypeError(f"{text} is not a whole number {span}")
        return int(text)
    return convert


def above_zero(high: float, what: str):
    """An argparse type: a number above 0 and at most high; what: the words for it."""
    def convert(text: str) -> float:
        try:
            if 0 < float(text) <= high:
                return float(text)
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"{text} is not {what}")
    return convert


share = above_zero(1, "a number above 0 and at most 1")
seconds = above_zero(1e9, "a number of seconds above 0")


def batch_size(text: str) -> str | int:
    """An argparse type: "auto", or a whole number of 1 or more."""
    return text if text == "auto" else whole(1)(text)


def parser() -> argparse.ArgumentParser:
    """All options; the constants above are their defaults."""
    p = OneLineParser(prog="main_generate_sag.py", description="From a folder of images to Structured Attention Graphs.",
                      formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = p.add_argument
    add("--images", type=Path, default=IMAGES, metavar="PATH", help="a file or a folder, searched through its sub-folders")
    add("--results", type=Path, default=RESULTS, metavar="DIR", help="one folder per image below it")
    add("--model", default=MODEL, metavar="NAME", help="birds (bundled), a torchvision classifier, or FILE.py:function")
    add("--weights", type=Path, default=WEIGHTS, metavar="FILE", help="a state_dict, .pth or .safetensors; else the model's own")
    add("--labels", type=Path, default=LABELS, metavar="FILE", help="class names, one a line; else by model")
    add("--category", type=whole(0), default=CATEGORY, metavar="N", help="explain class N; else the most probable")
    add("--num-categories", type=whole(1), default=NUM_CATEGORIES, metavar="K", help="explain the K most probable")
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default=DEVICE, help="what to run on")
    add("--batch-size", type=batch_size, default=BATCH_SIZE, metavar="N", help="pictures per forward pass, or auto")
    add("--precision", choices=("auto", "float32"), default=PRECISION, help="of the search; auto is float32")
    add("--seed", type=whole(0, 2 ** 63 - 1), default=SEED, metavar="N", help="of the noise in I-GOS")
    add("--search", choices=("beam", "combinatorial", "exhaustive"), default=SEARCH, help="how to look for explanations")
    add("--beam-width", type=whole(1), default=BEAM_WIDTH, metavar="N", help="beam: sets kept at each size")
    add("--num-successors", type=whole(1), default=NUM_SUCCESSORS, metavar="N", help="beam: salient patches a set may add")
    add("--max-num-roots", type=whole(1), default=MAX_NUM_ROOTS, metavar="N", help="beam: stop at this many explanations")
    add("--max-root-size", type=whole(1), default=MAX_ROOT_SIZE, metavar="N", help="beam: stop at sets of this size")
    add("--comb-top", type=whole(1), default=COMB_TOP, metavar="N", help="combinatorial: among the N most salient patches")
    add("--comb-size", type=whole(1), default=COMB_SIZE, metavar="N", help="combinatorial: all sets of N patches")
    add("--exhaustive-size", type=whole(1), default=EXHAUSTIVE_SIZE, metavar="N", help="exhaustive: all sets of up to N patches")
    add("--prob-thresh", type=share, default=PROB_THRESH, metavar="X", help="sufficient: above this share of the confidence")
    add("--node-prob-thresh", type=share, default=NODE_PROB_THRESH, metavar="X", help="a node above this share is taken apart")
    add("--overlap-thresh", type=whole(0), default=OVERLAP_THRESH, metavar="N", help="patches that two drawn roots may share")
    add("--num-roots-sag", type=whole(1), default=NUM_ROOTS_SAG, metavar="N", help="roots drawn")
    add("--baseline", choices=BASELINES, default=BASELINE, help="what hides a patch")
    add("--grid", type=whole(1, 28), default=GRID, metavar="N", help="patches along each side")
    add("--time-limit", type=seconds, default=TIME_LIMIT, metavar="SECONDS", help="per image; what is found by then is kept")
    add("--overwrite", action="store_true", help="do images again whose record is there")
    for action in p._actions:               # argparse takes defaults as they are: an edited constant is checked like an option
        if action.default not in (None, False, argparse.SUPPRESS):
            action.default = p._get_value(action, str(action.default))
            p._check_value(action, action.default)
    return p


def check_options(args: argparse.Namespace, network: Network) -> None:
    """Refuse what only makes sense together with the model or other options. Raises UserError."""
    patches, most = args.grid ** 2, f"this program scores {MOST_SETS:,} at most"
    if args.category is not None and args.category >= network.classes:
        raise UserError(f"--category {args.category}: the model has {network.classes} classes, 0 to {network.classes - 1}")
    if args.category is not None and args.num_categories > 1:
        raise UserError(f"--num-categories {args.num_categories}: not together with --category {args.category}")
    if args.num_categories > network.classes:
        raise UserError(f"--num-categories {args.num_categories}: the model has {network.classes} classes")
    if args.search == "combinatorial":
        top = min(args.comb_top, patches)
        if args.comb_size > top:
            raise UserError(f"--comb-size {args.comb_size}: larger than the {top} patches to choose from")
        if comb(top, args.comb_size) > MOST_SETS:
            raise UserError(f"--comb-size {args.comb_size}: {comb(top, args.comb_size):,} sets of {top} patches; {most}")
    if args.search == "exhaustive":
        sets = sum(comb(patches, k) for k in range(min(args.exhaustive_size, patches) + 1))
        if sets > MOST_SETS:
            raise UserError(f"--exhaustive-size {args.exhaustive_size}: {sets:,} sets of {patches} patches; {most}")


def settings_of(args: argparse.Namespace) -> dict:
    """Every option, as it goes into the record."""
    return {k: printable(v) if isinstance(v, Path) else v for k, v in vars(args).items()}


# ---------------------------------------------------------------- one image, one class

def explain(network: Network, image: np.ndarray, category: int, args: argparse.Namespace, limit: float, progress) -> dict:
    """The part of the record that is found out: image -> baseline and saliency -> search -> diverse subset -> graph.

    limit: seconds that this may take. The search has most of them, checking and the graph the rest.
    """
    start = time.monotonic()
    search_end, end = start + SEARCH_SHARE * limit, start + limit
    baseline = make_baseline(image, args.baseline)
    x, b, grid = network.prepare(image), network.prepare(baseline), (args.grid, args.grid)
    with torch.inference_mode():
        full, hidden = class_probabilities(network.module(torch.stack([x, b])))[:, category].tolist()

    progress.set_description_str("saliency")
    saliency = igos_mask(network.module, x, b, category, grid, seed=args.seed, deadline=search_end)
    heat = grad_cam(network.module, x, category)
    masked = time.monotonic()

    progress.set_description_str("search")
    scorer = MaskScorer(network.module, x, b, category, grid, args.batch_size, search_end, progress.update)
    found = run_search(scorer, saliency, args)
    searched = time.monotonic()

    progress.set_description_str("check and graph")
    again = MaskScorer(network.module, x, b, category, grid, args.batch_size, None, progress.update)
    roots = certified(found, again, args.prob_thresh * full)
    again.deadline, left = end, min(20.0, max(1.0, end - time.monotonic()))
    diverse, proven = diverse_subset([r.patches for r in roots], [r.probability for r in roots], args.overlap_thresh, left)
    sag = build_sag(again, [roots[i].patches for i in diverse[:args.num_roots_sag]], full, args.node_prob_thresh)
    done = time.monotonic()
    return {
        "category": {"index": category, "name": network.labels[category]}, "probability": full,
        "baseline": {"name": args.baseline, "probability": hidden},
        "grid": list(grid), "threshold": args.prob_thresh,
        "saliency": saliency.flatten().tolist(), "gradcam": None if heat is None else heat.tolist(),
        "search": {"method": args.search, "complete": roots.complete, "stopped_by": roots.stopped_by},
        "roots": [{"patches": list(r.patches), "probability": r.probability, "relative": r.probability / full,
                   "minimal": r.minimal} for r in roots],
        "diverse_roots": diverse[:args.num_roots_sag], "diverse_set": diverse, "diverse_set_proven": proven,
        "dnf": " | ".join(draw_sag.conjunction(r.patches) for r in roots),
        "sag": listed(sag),
        "evaluations": {"asked": scorer.asked, "scored": scorer.scored, "scored_again": again.scored},
        "seconds": {"mask": masked - start, "search": searched - masked, "tree": done - searched},
    }


def listed(sag: nx.DiGraph) -> dict:
    """The graph as the record has it: nodes, and edges as [parent, child, patch removed] by node number."""
    number = {patches: i for i, patches in enumerate(sag)}
    return {"nodes": [{"patches": list(patches), **values} for patches, values in sag.nodes(data=True)],
            "edges": [[number[parent], number[child], gone] for parent, child, gone in sag.edges(data="removed")],
            "complete": sag.graph["stopped_by"] is None, "stopped_by": sag.graph["stopped_by"]}


def run_search(scorer: MaskScorer, saliency: torch.Tensor, args: argparse.Namespace) -> Roots:
    """The search that the options name."""
    if args.search == "beam":
        return beam_search(scorer, saliency, args.prob_thresh, args.beam_width, args.num_successors, args.max_num_roots,
                           args.max_root_size)
    if args.search == "combinatorial":
        return combinatorial_search(scorer, saliency, args.prob_thresh, args.comb_top, args.comb_size)
    return exhaustive_search(scorer, saliency.numel(), args.prob_thresh, args.exhaustive_size)


def certified(found: Roots, scorer: MaskScorer, threshold: float) -> Roots:
    """The roots scored anew; one whose confidence is not above the threshold any more (a rounding away from it) goes."""
    scores = scorer([r.patches for r in found]).tolist()
    return Roots((Root(r.patches, p, r.minimal) for r, p in zip(found, scores) if p > threshold), found.stopped_by)


# ---------------------------------------------------------------- files of one image

def result_folders(images: list[Path], root: Path, results: Path) -> dict[Path, Path]:
    """Results/<path below --images, without its ending> for each image; with it where two differ in nothing else.

    Siblings that are not asked for now count too, so that an image's folder does not depend on the run.
    """
    taken, asked = {}, set(images)          # by name in lower case: some disks do not tell them apart
    for folder in sorted({image.parent for image in images}):
        for image in sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_ENDINGS or p in asked):
            taken.setdefault(str(image.with_suffix("")).lower(), image)
    own = {image: taken.get(str(image.with_suffix("")).lower()) == image for image in images}
    return {i: results / printable((i.with_suffix("") if own[i] else i).relative_to(root)) for i in images}


def category_folder(folder: Path, place: int, category: int) -> Path:
    """The image's folder for the most probable class (place 0), one inside it for each further class."""
    return folder if place == 0 else folder / f"category_{category}"


def done_before(folder: Path, fingerprint: dict, categories: int) -> list[dict]:
    """The records of an earlier run with the same image, model and settings, none cut short by time; else []."""
    records = [read_record(path) for path in (folder / "sag.json", *sorted(folder.glob("category_*/sag.json")))]
    same = [r for r in records if r and fingerprint_of(r) == fingerprint
            and r["search"]["complete"] and r["sag"].get("stopped_by") != "time_limit"]
    return same if records[0] in same and len(same) >= categories else []


def fingerprint_of(record: dict) -> dict:
    """What must agree for a record to stand: the image, the model, and every setting that changes a result."""
    settings = {k: v for k, v in record["settings"].items() if k not in NOT_SETTINGS}
    return {"image": record["image"], "sha256": record["image_sha256"], "model": record["model"], "settings": settings}


def clear(folder: Path) -> None:
    """Remove an earlier run's files, the record first, and nothing that this program did not write."""
    (folder / "sag.json").unlink(missing_ok=True)
    for pattern in ("SAG_*roots.*", "roots/*.png", "nodes/*.png", "perturbation_*.png", "gridimage.png", "comparison.png",
                    "dnf.txt", "dnf_gif.gif", ".sag.json.*"):
        for file in folder.glob(pattern):
            file.unlink()


def save(record: dict, image: np.ndarray, folder: Path) -> dict:
    """Draw everything, then write sag.json, last and atomically. -> the record with its times."""
    if (folder / "sag.json").exists() or (folder / "perturbation_original.png").exists():       # whole, or begun
        clear(folder)
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    draw_sag.draw_all(record, image, folder)
    times = record["seconds"]
    times["draw"] = time.monotonic() - start
    times["total"] = sum(times.values())
    write_atomically(folder / "sag.json", json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return record


def process(path: Path, name: str, folder: Path, network: Network, args, progress) -> tuple[list[dict], bool]:
    """One image, whole. -> its records, and whether they are new.

    The most probable class comes last: its record completes the folder.
    """
    frame = {"format": 1, "image": name, "image_sha256": file_sha256(path), "size": list(network.size),
             "model": network.description()}
    old = done_before(folder, fingerprint_of({**frame, "settings": settings_of(args)}), args.num_categories)
    if old and not args.overwrite:
        return old, False
    image = load_image(path, network.size)
    with torch.inference_mode():
        probabilities = class_probabilities(network.module(network.prepare(image)[None]))[0]
    if not probabilities.isfinite().all():
        raise FloatingPointError("the model answers NaN")
    categories = [args.category] if args.category is not None else probabilities.topk(args.num_categories).indices.tolist()
    for stale in folder.glob("category_*/sag.json"):
        clear(stale.parent)
    limit, records = (args.time_limit or float("inf")) / len(categories), []
    for place, category in reversed(list(enumerate(categories))):
        record = {**frame, **explain(network, image, category, args, limit, progress), "settings": settings_of(args),
                  "versions": versions()}
        progress.set_description_str("drawing")
        records.insert(0, save(record, image, category_folder(folder, place, category)))
    return records, True


# ---------------------------------------------------------------- all images

def summary_rows(records: list[dict], folder: Path, results: Path) -> list[dict]:
    """A row of summary.csv per record."""
    return [{
        "image": r["image"], "category": r["category"]["index"], "name": r["category"]["name"],
        "probability": f"{r['probability']:.6f}", "roots": len(r["roots"]), "smallest_root": min((len(x["patches"]) for x in r["roots"]), default=""),
        "diverse": len(r["diverse_set"]), "nodes": len(r["sag"]["nodes"]), "stopped_by": r["search"]["stopped_by"],
        "complete": r["search"]["complete"], "asked": r["evaluations"]["asked"], "scored": r["evaluations"]["scored"],
        "seconds": f"{r['seconds']['total']:.2f}", "error": "",
        "folder": category_folder(folder, i, r["category"]["index"]).relative_to(results).as_posix(),
    } for i, r in enumerate(records)]


def write_summary(results: Path, rows: list[dict]) -> None:
    """summary.csv: these rows, and what it said before of other images."""
    path, new = results / "summary.csv", {row["image"] for row in rows}
    if path.exists():
        with open(path, newline="", encoding="utf-8") as file:
            rows = rows + [{k: row.get(k, "") for k in SUMMARY} for row in csv.DictReader(file) if row.get("image") not in new]
    text = io.StringIO()
    writer = csv.DictWriter(text, SUMMARY, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: row["image"]))        # stable: an image's classes keep their order
    write_atomically(path, text.getvalue())


def told(records: list[dict], fresh: bool) -> str:
    """One line on an image, for the log."""
    parts = []
    for r in records:
        sizes = sorted(len(x["patches"]) for x in r["roots"])
        span = f" of {sizes[0]} to {sizes[-1]} patches" if sizes else ""
        parts.append(f"{r['category']['name']} {r['probability']:.3f}: {len(sizes)} MSEs{span}"
                     f", {len(r['diverse_set'])} diverse ({r['search']['stopped_by']}), {r['evaluations']['asked']} asked, "
                     f"{r['evaluations']['scored']} scored, {r['seconds']['total']:.1f} s")
    return "; ".join(parts) if fresh else "there already"


def run(args: argparse.Namespace) -> int:
    """All images. -> the exit status."""
    elsewhere = args.images == Path(IMAGES) and not args.images.exists()       # started from another folder, no --images
    root, images = find_images(PROJECT / IMAGES if elsewhere else args.images, leave_out=args.results)
    if args.images.is_dir() and args.results.resolve() == root.resolve():
        raise UserError(f"--results {args.results}: the folder of the images themselves")
    make_writable(args.results)
    network = load_network(args.model, args.weights, args.labels, choose_device(args.device))
    check_options(args, network)
    torch.manual_seed(args.seed)                    # for a user's module that draws random numbers
    defaults = settings_of(parser().parse_args([]))
    changed = [f"{k} {v}" for k, v in settings_of(args).items() if v != defaults[k]]
    log(f"{network.name} ({network.classes} classes) on {network.device}, {len(images)} images; " +
        (", ".join(changed) if changed else "all settings at their defaults"))
    rows, failures, interrupted, folders = [], [], False, result_folders(images, root, args.results)
    with (tqdm(images, desc="images", unit="image", position=0) as bar,
          tqdm(unit=" sets", position=1, leave=False, mininterval=0.3) as progress):
        try:
            for path in bar:
                name, folder = printable(path.relative_to(root)), folders[path]
                progress.reset()
                try:
                    records, fresh = process(path, name, folder, network, args, progress)
                    rows += summary_rows(records, folder, args.results)
                    log(f"{name}: {told(records, fresh)}")
                except Exception as error:          # whatever befell this image, the others go on; it is named at the end
                    kind = "" if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: "
                    failures.append((name, kind + one_line(error)))
                    rows.append({**dict.fromkeys(SUMMARY, ""), "image": name, "error": failures[-1][1]})
                    log(f"{name}: failed: {failures[-1][1]}")
        except KeyboardInterrupt:
            interrupted = True
    for name, why in failures:
        log(f"failed: {name}: {why}")
    try:
        write_summary(args.results, rows)
    except (OSError, ValueError, csv.Error) as error:
        failures.append(("summary.csv", one_line(error)))
        log(f"failed: {args.results / 'summary.csv'}: {one_line(error)}")
    log(f"{sum(not row['error'] for row in rows)} records in {args.results}, {len(failures)} failed" if not interrupted else
        f"interrupted; what is finished is in {args.results}, the same command goes on from there")
    return 130 if interrupted else 1 if failures else 0


def make_writable(folder: Path) -> None:
    """Make the results folder, or raise UserError with why it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / ".writable", "")
        (folder / ".writable").unlink()
    except OSError as error:
        raise UserError(f"--results {folder}: {error.strerror}") from error


def printable(path: Path) -> str:
    """A path as text that can be written, with forward slashes; bytes in it that are no UTF-8 become question marks."""
    return path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def log(line: str) -> None:
    """A line on stderr that does not tear the progress bars."""
    tqdm.write(line, file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 all images done; 1 some image failed; 2 unusable arguments; 130 interrupted."""
    try:
        return run(parser().parse_args(argv))
    except (UserError, OSError, argparse.ArgumentError) as error:
        print(f"main_generate_sag.py: error: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("main_generate_sag.py: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
