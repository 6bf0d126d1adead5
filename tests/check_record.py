"""Check every claim of a record, with none of the program's own code for the claims.

    python tests/check_record.py Results --images ../shared/photos --model resnet50 --weights resnet50.pth

The pictures are composed by F.interpolate (bilinear, aligned corners), one network call is one plain loop;
sufficiency, minimality against every subset, pairwise overlaps, the graph's nodes, edges and percentages, and the
formula are worked out again from the definitions. Only reading images and building the network are shared.
"""

import argparse
import json
import sys
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from utils import choose_device, file_sha256, load_image, load_network  # noqa: E402

TOLERANCE = 1e-5
FILES = ("dnf.txt", "dnf_gif.gif", "gridimage.png", "perturbation_original.png", "perturbation_heatmap.png",
         "perturbation_imposed_heatmap.png", "perturbation_blurred.png", "SAG_{n}roots.dot", "SAG_dag_{n}roots.png", "SAG_final_{n}roots.png")


def hidden(image, name):
    """The baseline image, from REFERENCE's words."""
    blur, median = cv2.GaussianBlur(image, (51, 51), 50), cv2.medianBlur(image, 11)
    return {"black": image * 0, "blur": blur, "median": median, "mean": image * 0 + np.uint8([124, 116, 104]),
            "mixed": ((blur.astype(int) + median + 1) // 2).astype(np.uint8)}[name]


def tent(patch, grid, size):
    """One patch's weight at each pixel, (H, W)."""
    def ramp(index, cells, pixels):
        if cells == 1:
            return np.ones(pixels)
        step = (pixels - 1) / (cells - 1)
        return np.maximum(0, 1 - np.abs(np.arange(pixels) - index * step) / step)
    return np.outer(ramp(patch // grid[1], grid[0], size[0]), ramp(patch % grid[1], grid[1], size[1]))


@torch.no_grad()
def confidences(network, x, b, category, grid, sets):
    """Softmax probability of the category for each patch set, eight pictures at a time."""
    out = []
    for start in range(0, len(sets), 8):
        masks = torch.zeros(len(sets[start:start + 8]), 1, grid[0] * grid[1])
        for row, patches in zip(masks, sets[start:start + 8]):
            row[0, list(patches)] = 1
        up = F.interpolate(masks.view(-1, 1, *grid), x.shape[1:], mode="bilinear", align_corners=True).to(x.device)
        logits = network.module(x * up + b * (1 - up))
        p = torch.softmax(logits, 1)[:, category] if logits.shape[1] > 1 else torch.sigmoid(logits if category else -logits)[:, 0]
        out += p.tolist()
    return dict(zip(sets, out))


def problems(path: Path, image_file: Path, network) -> tuple[list[str], int]:
    """What is wrong with the record at path, and how many claims were checked."""
    text, folder = path.read_text(encoding="utf-8"), path.parent
    record = json.loads(text, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(f"{name} in {path}")))
    wrong, checked = [], 0

    def claim(true, what):
        nonlocal checked
        checked += 1
        if not true:
            wrong.append(what)

    size, grid, category = tuple(record["size"]), tuple(record["grid"]), record["category"]["index"]
    claim(record["format"] == 1 and record["image_sha256"] == file_sha256(image_file), "another image")
    claim(record["model"]["classes"] == len(network.labels) and record["category"]["name"] == network.labels[category], "labels")
    image = load_image(image_file, size)
    x, b = network.prepare(image), network.prepare(hidden(image, record["baseline"]["name"]))
    roots = [tuple(r["patches"]) for r in record["roots"]]
    nodes = [tuple(n["patches"]) for n in record["sag"]["nodes"]]
    subsets = {s for r in record["roots"] if r["minimal"] == "subset" for k in range(len(r["patches"])) for s in combinations(r["patches"], k)}
    singles = {s for r in record["roots"] if r["minimal"] == "single" for s in combinations(r["patches"], len(r["patches"]) - 1)}
    everything = tuple(range(grid[0] * grid[1]))
    sets = list({everything, (), *roots, *nodes, *subsets, *singles})
    f = confidences(network, x, b, category, grid, sets)
    full = record["probability"]
    enough = record["threshold"] * full
    close = lambda a, c: abs(a - c) <= TOLERANCE  # noqa: E731
    claim(close(f[everything], full), f"full probability {full} is {f[everything]}")
    claim(close(f[()], record["baseline"]["probability"]), f"baseline probability is {f[()]}")
    claim(len(set(roots)) == len(roots), "a root twice")
    for r in record["roots"]:
        patches = tuple(r["patches"])
        claim(list(patches) == sorted(set(patches)) and set(patches) <= set(everything), f"{patches} is no patch set")
        claim(close(f[patches], r["probability"]) and close(r["relative"] * full, r["probability"]), f"{patches}: {r['probability']} is {f[patches]}")
        claim(f[patches] > enough - TOLERANCE and r["probability"] > enough, f"{patches} is not sufficient")
        claim(r["minimal"] == "subset" or r["minimal"] == "single" and len(patches) > 10, f"{patches}: minimal {r['minimal']}")
        claim(not any(set(other) < set(patches) for other in roots), f"{patches} contains another root")
        smaller = range(len(patches)) if r["minimal"] == "subset" else [len(patches) - 1]
        for s in (s for k in smaller for s in combinations(patches, k)):
            claim(f[s] <= enough + TOLERANCE, f"{patches} is not minimal: {s} has {f[s]}")
    drawn = [roots[i] for i in record["diverse_roots"]]
    overlap = record["settings"]["overlap_thresh"]
    claim(all(len(set(a) & set(c)) <= overlap for a, c in combinations(drawn, 2)), "drawn roots overlap")
    claim(all(len(set(roots[i]) & set(roots[j])) <= overlap for i, j in combinations(record["diverse_set"], 2)), "diverse roots overlap")
    claim(len(drawn) == min(len(record["diverse_set"]), record["settings"]["num_roots_sag"]) and bool(drawn) == bool(roots), "number drawn")
    claim(record["dnf"] == " | ".join(" & ".join(f"P{p}" for p in r) for r in roots), "formula")
    claim(len(set(nodes)) == len(nodes), "a node twice")
    for n in record["sag"]["nodes"]:
        claim(close(f[tuple(n["patches"])], n["probability"]) and close(n["relative"] * full, n["probability"]), f"node {n['patches']}")
    expected = {(node, tuple(q for q in node if q != p), p) for node, n in zip(nodes, record["sag"]["nodes"])
                if n["relative"] > record["settings"]["node_prob_thresh"] for p in node}
    edges = {(nodes[a], nodes[c], p) for a, c, p in record["sag"]["edges"]}
    claim(len(edges) == len(record["sag"]["edges"]), "an edge twice")
    claim(edges == expected if record["sag"]["complete"] else edges <= expected, "edges are not all single deletions of the nodes above the threshold")
    claim(set(nodes) == set(drawn) | {c for _, c, _ in edges}, "nodes are not what the roots expand to")
    claim(all(0 <= m <= 1 for m in record["saliency"]) and len(record["saliency"]) == len(everything), "saliency")
    claim(all(record["evaluations"][k] >= 0 for k in ("asked", "scored")), "evaluations")
    stopped_by, cap = record["search"]["stopped_by"], record["settings"]["max_num_roots"]
    claim(stopped_by in ("max_num_roots", "max_root_size", "exhausted", "time_limit", "baseline_sufficient", "zero_probability"), stopped_by)
    claim(record["search"]["complete"] == (stopped_by != "time_limit"), "complete")
    claim((f[()] > enough + TOLERANCE) <= (stopped_by in ("baseline_sufficient", "time_limit")), "the baseline is sufficient")
    claim(stopped_by != "baseline_sufficient" or not roots and f[()] > enough - TOLERANCE, "the baseline is not sufficient")
    claim(record["search"]["method"] != "beam" or len(roots) <= cap, "more roots than asked for")
    for name in FILES:
        file = folder / name.format(n=len(drawn))
        claim(file.exists() and file.stat().st_size > 0, f"{name} is missing")
    for rank, patches in enumerate(roots, 1):
        files = list((folder / "roots").glob(f"{rank}_*.png"))
        up = sum((tent(p, grid, size) for p in patches), np.zeros(size))[..., None]
        shown = hidden(image, record["baseline"]["name"]) * (1 - up) + image * up
        claim(len(files) == 1 and np.abs(cv2.imread(str(files[0]))[..., ::-1] - shown).max() < 1, f"picture of root {rank}")
    claim(len(list((folder / "roots").glob("*.png"))) == len(roots), "pictures of the roots")
    dnf = (folder / "dnf.txt").read_text(encoding="utf-8")
    claim(record["dnf"] in dnf and record["category"]["name"] in dnf, "dnf.txt")
    return wrong, checked


def main() -> int:
    """Exit status 0 where every claim of every record holds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--images", type=Path, default=Path("Images"))
    parser.add_argument("--model", default="birds")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    network = load_network(args.model, args.weights, args.labels, choose_device(args.device))
    records, total, bad = sorted(args.results.rglob("sag.json")), 0, 0
    for path in tqdm(records):
        image = args.images if args.images.is_file() else args.images / json.loads(path.read_text(encoding="utf-8"))["image"]
        wrong, checked = problems(path, image, network)
        total, bad = total + checked, bad + len(wrong)
        for line in wrong:
            print(f"{path}: {line}")
    print(f"{len(records)} records, {total} claims checked, {bad} wrong")
    return 1 if bad or not records else 0


if __name__ == "__main__":
    sys.exit(main())
