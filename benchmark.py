"""How fast, against what: the reference's way, this program's, and what the network itself allows.

    python benchmark.py                             # the bundled model on the bundled scenes
    python benchmark.py --quick                     # the same table in under a minute
    python benchmark.py --images photos --model resnet50 --weights resnet50.pth --most-images 12

The same images and model, sides in turn, medians over the images:

    one by one   the reference's way: a picture per forward pass, float32, nothing remembered, w + 1 states,
                 1-minimal; mask, search and tree
    as shipped   main_generate_sag.explain: mask, search and graph
    ceiling      the bare network on random pictures, at its best batch size, compiled where the side above is

What the first found is proven afterwards, off the clock, by the proof that the second has on the clock. Writes
benchmark.json, after every image, and benchmark.png into --results; a run that was interrupted goes on from there.
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

import main_generate_sag as sag
from diverse_search import diverse_search
from diverse_subset_selection import diverse_subset
from scoring.engine import CannotCompile, Passes
from get_perturbation_mask import ARMIJO, FIRST_STEP, LAST_STEP, SHRINK, make_baseline, penalty
from scoring.scorer import MaskScorer
from scoring.patches import compose, tents
from utils import printable
from search import PROVEN_UP_TO, prove, salient_order
from utils import PROJECT, UserError, load_image, write_atomically
from running.command_line import OneLineParser, exit_status, whole
from scoring.networks import choose_device, class_probabilities, load_network
from running.images import find_images
from running.record_files import versions

QUICK_IMAGES = 2
WARM_UP, CEILING_SECONDS = 1, 3.0  # passes, and seconds at each batch size
CEILING_BATCHES = {
    "cpu": (1, 4, 8, 16, 32),
    "cuda": (1, 16, 64, 128, 256, 512),
    "mps": (1, 16, 64, 128),
}


# ---------------------------------------------------------------- one by one


class OneByOne:
    """The reference's way, as plainly as it can be written (REFERENCE: the released code's defects).

    model: a float32 network; image, baseline: (3, H, W), normalised. `evaluations` counts forward passes.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        image: torch.Tensor,
        baseline: torch.Tensor,
        category: int,
        grid=(7, 7),
    ):
        self.model, self.image, self.baseline, self.category, self.grid = (
            model,
            image,
            baseline,
            category,
            grid,
        )
        self.basis = tents(grid, tuple(image.shape[1:])).to(image.device)
        self.evaluations = 0

    def shown(self, mask: torch.Tensor, noise=0.0) -> torch.Tensor:
        """The class's probability with the mask (patches,) shown, gradients on."""
        self.evaluations += 1
        picture = compose(mask[None], self.basis, self.image, self.baseline)
        return class_probabilities(self.model(picture + noise))[0, self.category]

    def confidence(self, patches) -> float:
        mask = torch.zeros(len(self.basis), device=self.image.device)
        mask[list(patches)] = 1
        return self.shown(mask.requires_grad_()).item()

    def mask(
        self,
        iterations: int = 2,
        points: int = 20,
        noise: float = 0.2,
        l1: float = 1.0,
        tv: float = 20.0,
    ) -> torch.Tensor:
        """I-GOS, a point of the path per pass, noise added twice and not seeded."""
        mask = torch.ones(len(self.basis), device=self.image.device)
        for _ in range(iterations):
            leaf = mask.clone().requires_grad_()
            penalty(leaf[None], self.grid, l1, tv).sum().backward()
            direction = leaf.grad
            for k in range(1, points + 1):
                leaf = (k / points * mask).requires_grad_()
                self.shown(
                    leaf, noise * (torch.randn_like(self.image) + torch.randn_like(self.image))
                ).backward()
                direction = direction + leaf.grad / points
            mask = self.line_search(
                mask,
                direction,
                lambda m: float(self.shown(m) + penalty(m[None], self.grid, l1, tv)),
            )
        return mask

    @staticmethod
    def line_search(mask: torch.Tensor, direction: torch.Tensor, objective) -> torch.Tensor:
        start, step = objective(mask), FIRST_STEP
        while step * SHRINK >= LAST_STEP:
            candidate = (mask - step * direction).clamp(0, 1)
            if objective(candidate) <= start - ARMIJO * step * float(direction.square().sum()):
                break
            step *= SHRINK
        return (mask - step * direction).clamp(0, 1)

    def search(
        self,
        saliency: torch.Tensor,
        threshold: float,
        beam_width=3,
        num_successors=15,
        max_num_roots=10,
        max_root_size=49,
    ):
        """Beam search without a memo: repeats are scored again, w + 1 states stay, a level is finished after the cap."""
        order, beam, roots = salient_order(saliency.cpu()), [()], []
        for _ in range(max_root_size):
            insufficient = []
            for state in beam:
                for patch in [p for p in order if p not in state][:num_successors]:
                    candidate = tuple(sorted((*state, patch)))
                    p = self.confidence(candidate)
                    if p > threshold:
                        roots.append(self.shrunk(candidate, threshold))
                    else:
                        insufficient.append((p, candidate))
            if len(set(roots)) >= max_num_roots or not insufficient:
                break
            beam = [s for _, s in sorted(insufficient, reverse=True)[: beam_width + 1]]
        return list(dict.fromkeys(roots))

    def shrunk(self, patches, threshold: float):
        """Less every patch, in row order, that can go; again until none can."""
        before = None
        while patches != before:
            before = patches
            for patch in before:
                rest = tuple(p for p in patches if p != patch)
                if self.confidence(rest) > threshold:
                    patches = rest
        return patches

    def tree(self, patches, enough: float) -> None:
        """Every node scored wherever it occurs; only the first three patches of a set are ever taken away."""
        if self.confidence(patches) > enough:
            for patch in patches[:3]:
                self.tree(tuple(p for p in patches if p != patch), enough)


def one_by_one(network, model, image: np.ndarray, category: int, args) -> dict:
    """The reference's side for one image: seconds, evaluations, roots."""
    x, b = (network.prepare(i) for i in (image, make_baseline(image, args.baseline)))
    start = time.monotonic()
    reference = OneByOne(model, x, b, category, (args.grid, args.grid))
    full = reference.confidence(range(args.grid**2))
    roots = reference.search(
        reference.mask(),
        args.prob_thresh * full,
        args.beam_width,
        args.num_successors,
        args.max_num_roots,
        args.max_root_size,
    )
    for root in roots[: args.num_roots_sag]:
        reference.tree(root, args.node_prob_thresh * full)
    return {
        "seconds": time.monotonic() - start,
        "asked": reference.evaluations,
        "scored": reference.evaluations,
        "roots": roots,
    }


# ---------------------------------------------------------------- the other sides


def as_shipped(passes: Passes, image: np.ndarray, category: int, args) -> dict:
    """This program's side for one image: the record's findings with its seconds, drawing apart."""
    start = time.monotonic()
    record = sag.explain(passes, image, category, args, float("inf"), tqdm(disable=True))
    spent, counted = (
        time.monotonic() - start - record["seconds"]["curves"],
        record["evaluations"],
    )  # the reference has no curves
    scored = counted["scored"] + counted["scored_again"] - counted["scored_for_curves"]
    return {
        "seconds": spent,
        "mask": record["seconds"]["mask"],
        "asked": counted["asked"],
        "scored": scored,
        "roots": record["roots"],
        "proven": [tuple(r["patches"]) for r in record["roots"] if r["minimal"] == "subset"],
        "saliency": record["saliency"],
        "disagreed": counted["disagreed"],
        "doubted": counted["doubted"],
    }


@torch.inference_mode()
def images_per_second(forward, example: torch.Tensor) -> float:
    """The bare network on a batch (B, 3, H, W), over and over for some seconds."""
    for _ in range(WARM_UP):
        forward(example)
    start, count = time.monotonic(), 0
    while time.monotonic() < start + CEILING_SECONDS:
        forward(example).sum().item()  # the device has finished
        count += len(example)
    return count / (time.monotonic() - start)


def ceiling(network, passes: Passes) -> dict[str, float]:
    """Images per second at each batch size, as the passes run it (compiled: at the size it is compiled for)."""
    example = torch.randn(1, *passes.example.shape[1:], device=network.device)
    sizes = (passes.batch_size,) if passes.compiled else CEILING_BATCHES[network.device.type]
    return {
        str(n): images_per_second(
            passes.fast or passes.exact, example.expand(n, -1, -1, -1).contiguous()
        )
        for n in sizes
    }


# ---------------------------------------------------------------- what was found, off the clock


def proven_among(roots, scorer: MaskScorer, threshold: float) -> list[tuple[int, ...]]:
    """The roots of which no subset is sufficient."""
    small = [r for r in roots if len(r) <= PROVEN_UP_TO]
    return sorted({r.patches for r in prove(scorer, small, threshold)} & set(small))


def counts(row: dict, scorer: MaskScorer, overlap: int) -> dict:
    """The row with numbers in place of its roots: all, proven against every subset, and pairwise diverse among these."""
    proven = row["proven"]
    return row | {
        "roots": len(row["roots"]),
        "proven": len(proven),
        "diverse": len(diverse_subset(proven, scorer(proven).tolist(), overlap)[0])
        if proven
        else 0,
    }


def diverse_for_as_much(scorer: MaskScorer, saliency, args, budget: int, wanted: int) -> dict:
    """What the diverse search has after as many evaluations as the reference took, and what as many MSEs cost it."""
    sets = set()

    def counted(patch_sets):
        sets.update(patch_sets)
        return scorer(patch_sets)

    roots = diverse_search(
        counted, saliency, args.prob_thresh, args.overlap_thresh, 10**6, max_evaluations=budget
    )
    evaluations = len(sets)
    sets.clear()
    few = (
        diverse_search(counted, saliency, args.prob_thresh, args.overlap_thresh, wanted)
        if wanted
        else []
    )
    return {
        "evaluations": evaluations,
        "roots": roots,
        "proven": [r.patches for r in roots if r.minimal == "subset"],
        "stopped_by": roots.stopped_by,
        "evaluations_for_as_many": len(sets) if len(few) >= wanted else None,
    }


# ---------------------------------------------------------------- memory


def forget_peak(device: torch.device) -> None:
    """Peak memory is counted from here on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> float | None:
    """GB at the peak: of the GPU's memory, or of this process; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    if sys.platform != "linux":
        return None
    line = next(
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    return int(line.split()[1]) * 1024 / 1e9


# ---------------------------------------------------------------- the run


def measure(
    network, images: list[Path], args, quick: bool, before: dict, keep: Callable[[dict], None]
) -> dict:
    """Every side on every image, in turn. -> {"sides": {name: [a row per image]}, "ceilings", "memory", ..}.

    before: what an earlier run measured of it, or {}; its images are not measured again. keep: called with what
    there is after each image.
    """
    plain = copy.deepcopy(network.module).to(memory_format=torch.contiguous_format)
    variants = {"as shipped, eager": Passes(network, args.precision, args.batch_size)}
    if not quick and network.device.type == "cpu":
        variants["as shipped, compiled"] = Passes(network, args.precision, args.batch_size)
    result = {
        "sides": {name: [] for name in ("one by one", *variants)},
        "diverse": [],
        "ceilings": {},
        "memory": {},
        "compile_seconds": [],
    } | before
    for name, passes in variants.items():
        forget_peak(network.device)
        if name.endswith("compiled"):
            start = time.monotonic()
            passes.compile()
            result["compile_seconds"].append(time.monotonic() - start)
        result["ceilings"][name] = ceiling(network, passes)
        result["memory"][f"bare network ({name})"] = peak_memory(network.device)
    done = {row["image"] for row in result["diverse"]}
    for path in tqdm([path for path in images if path.name not in done], unit="image"):
        image = load_image(path, network.size)
        x, b = (network.prepare(i) for i in (image, make_baseline(image, args.baseline)))
        with torch.inference_mode():
            probabilities = class_probabilities(network.module(x[None]))[0]
        category, threshold = (
            int(probabilities.argmax()),
            args.prob_thresh * float(probabilities.max()),
        )
        rows = {"one by one": one_by_one(network, plain, image, category, args)}
        for name, passes in variants.items():
            forget_peak(network.device)
            rows[name] = as_shipped(passes, image, category, args)
            result["memory"][name] = max(
                peak_memory(network.device) or 0, result["memory"].get(name, 0)
            )
        judge = MaskScorer(
            list(variants.values())[-1].exact,
            x,
            b,
            category,
            (args.grid, args.grid),
            args.batch_size,
        )
        rows["one by one"]["proven"] = proven_among(rows["one by one"]["roots"], judge, threshold)
        rows = {
            name: counts(row, judge, args.overlap_thresh) | {"image": path.name}
            for name, row in rows.items()
        }
        reference, saliency = rows["one by one"], rows["as shipped, eager"]["saliency"]
        diverse = diverse_for_as_much(
            judge, saliency, args, reference["scored"], reference["diverse"]
        )
        for name, row in rows.items():
            result["sides"][name].append(row)
        result["diverse"].append(counts(diverse, judge, args.overlap_thresh) | {"image": path.name})
        keep(result)
    return result


def table(result: dict) -> list[list[str]]:
    """The rows to print: a side each, medians over the images; MSEs are means."""
    rows = [
        [
            "side",
            "s an image",
            "speed-up",
            "overhead",
            "asked",
            "scored",
            "proven MSEs",
            "diverse",
            "scored per proven MSE",
            "peak GB",
        ]
    ]
    base = result["sides"]["one by one"]
    for name, side in result["sides"].items():
        best = max(result["ceilings"].get(name, {"": 0}).values())
        mean = {
            key: sum(r[key] for r in side) / len(side) for key in ("proven", "diverse", "scored")
        }
        rows.append(
            [
                name,
                f"{median(r['seconds'] for r in side):.2f}",
                f"{median(a['seconds'] / r['seconds'] for a, r in zip(base, side)):.1f}",
                f"{median((r['seconds'] - r['mask']) * best / r['scored'] for r in side):.2f}"
                if best
                else "",
                f"{median(r['asked'] for r in side):.0f}",
                f"{median(r['scored'] for r in side):.0f}",
                f"{mean['proven']:.1f}",
                f"{mean['diverse']:.1f}",
                f"{mean['scored'] / mean['proven']:.0f}" if mean["proven"] else "",
                f"{result['memory'].get(name, 0):.2f}",
            ]
        )
    return rows


def told(result: dict) -> str:
    """Table and remarks as text."""
    rows = table(result)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths))
        )
        for row in rows
    ]
    for name, speeds in result["ceilings"].items():
        lines.append(
            f"ceiling ({name}), images/s by batch size: "
            + ", ".join(f"{n}: {s:.1f}" for n, s in speeds.items())
        )
    reference, diverse = result["sides"]["one by one"], result["diverse"]
    few = [
        (d["evaluations_for_as_many"], r["scored"])
        for d, r in zip(diverse, reference)
        if d["evaluations_for_as_many"]
    ]
    lines.append(
        f"diverse search at one by one's number of evaluations: {sum(d['diverse'] for d in diverse)} diverse MSEs against "
        f"{sum(r['diverse'] for r in reference)}, with {sum(d['evaluations'] for d in diverse)} evaluations "
        f"against {sum(r['scored'] for r in reference)}; "
        f"for as many it takes {sum(a for a, _ in few)} against {sum(b for _, b in few)}"
    )
    shipped = [r for name, side in result["sides"].items() if name != "one by one" for r in side]
    lines.append(
        f"precision {result['precision']}: {sum(r['disagreed'] for r in shipped)} sets on another side of the threshold in float32, "
        f"{sum(r['doubted'] for r in shipped)} decided in float32 at once"
    )
    return "\n".join(lines)


def draw(result: dict, path: Path) -> None:
    """A bar a side: seconds an image, on a logarithmic scale, each image a dot."""
    figure = Figure(figsize=(6.4, 0.6 + 0.6 * len(result["sides"])), layout="constrained")
    axes = figure.subplots()
    for place, side in enumerate(result["sides"].values()):
        axes.barh(
            place,
            median(r["seconds"] for r in side),
            color=("#999999", "#4477aa", "#228833")[place],
            height=0.6,
        )
        axes.plot([r["seconds"] for r in side], [place] * len(side), "k.", alpha=0.4)
    axes.set_yticks(range(len(result["sides"])), list(result["sides"]))
    axes.set_xscale("log")
    axes.set_xlabel("seconds an image (median; a dot an image)")
    axes.invert_yaxis()
    figure.savefig(path, dpi=144)


def run(options: argparse.Namespace) -> int:
    """Measure, print, write. -> the exit status."""
    args = sag.parser().parse_args([])  # the main script's defaults
    args.precision, args.search = options.precision, options.search
    network = load_network(
        options.model, options.weights, options.labels, choose_device(options.device)
    )
    images = find_images(options.images)[1][
        : QUICK_IMAGES if options.quick else options.most_images
    ]
    options.results.mkdir(parents=True, exist_ok=True)
    about = {
        "model": network.description(),
        "images": printable(options.images),
        "quick": options.quick,
        "search": args.search,
        "device": str(network.device),
        "threads": torch.get_num_threads(),
        "precision": "bfloat16" if Passes(network, args.precision, 1).fast else "float32",
        "versions": versions(),
    }

    file = options.results / "benchmark.json"
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or a damaged one
        before = {}
    before = before if about.items() <= before.items() else {}

    def keep(result: dict) -> None:
        write_atomically(file, json.dumps({**about, **result}, indent=1) + "\n")

    try:
        result = measure(network, images, args, options.quick, before, keep) | about
    except CannotCompile as error:
        raise UserError(f"cannot compile {network.name}: {error}") from error
    print(told(result))
    draw(result, options.results / "benchmark.png")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 done, 2 unusable arguments, 130 interrupted."""
    p = OneLineParser(
        prog="benchmark.py",
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    p.add_argument("--images", type=Path, default=PROJECT / sag.IMAGES, metavar="PATH")
    p.add_argument(
        "--results",
        type=Path,
        default="Results/benchmark",
        metavar="DIR",
        help="for benchmark.json and benchmark.png",
    )
    p.add_argument("--model", default=sag.MODEL, metavar="NAME")
    p.add_argument("--weights", type=Path, metavar="FILE")
    p.add_argument("--labels", type=Path, metavar="FILE")
    p.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    p.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="of the side as shipped",
    )
    p.add_argument(
        "--search", choices=("beam", "diverse"), default=sag.SEARCH, help="of the side as shipped"
    )
    p.add_argument(
        "--most-images", type=whole(1), default=12, metavar="N", help="the first N images"
    )
    p.add_argument(
        "--quick", action="store_true", help="two images, nothing compiled: under a minute"
    )
    return exit_status("benchmark.py", lambda: run(p.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
