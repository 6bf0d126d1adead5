"""Check every claim of a record, with none of the program's own code for the claims.

    python -m running.check_record Results --images ../shared/photos --model resnet50 --weights resnet50.pth

The pictures are composed by F.interpolate (bilinear, aligned corners), one network call is one plain loop;
sufficiency, minimality against every subset, pairwise overlaps, the graph's nodes, edges and percentages, and the
formula are worked out again from the definitions. Only reading images and building the network are shared.
"""

import argparse
import base64
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
from scoring.networks import choose_device, load_network  # noqa: E402
from utils import file_sha256, load_image

TOLERANCE = 1e-5
FILES = (
    "dnf.txt",
    "dnf_gif.gif",
    "gridimage.png",
    "perturbation_original.png",
    "perturbation_heatmap.png",
    "perturbation_imposed_heatmap.png",
    "perturbation_blurred.png",
    "SAG_{n}roots.dot",
    "SAG_dag_{n}roots.png",
    "SAG_final_{n}roots.png",
)


def hidden(image, name):
    """The baseline image, from REFERENCE's words."""
    blur, median = cv2.GaussianBlur(image, (51, 51), 50), cv2.medianBlur(image, 11)
    return {
        "black": image * 0,
        "drop": image * 0,
        "blur": blur,
        "median": median,
        "mean": image * 0 + np.uint8([124, 116, 104]),
        "mixed": ((blur.astype(int) + median + 1) // 2).astype(np.uint8),
    }[name]


def tent(patch, grid, size):
    """One patch's weight at each pixel, (H, W)."""

    def ramp(index, cells, pixels):
        if cells == 1:
            return np.ones(pixels)
        step = (pixels - 1) / (cells - 1)
        return np.maximum(0, 1 - np.abs(np.arange(pixels) - index * step) / step)

    return np.outer(
        ramp(patch // grid[1], grid[0], size[0]), ramp(patch % grid[1], grid[1], size[1])
    )


def region_index(record):
    """The region at each pixel, (H, W), as the record says; None for a grid."""
    if "regions" not in record:
        return None
    return cv2.imdecode(
        np.frombuffer(base64.b64decode(record["regions"]["map"]), np.uint8), cv2.IMREAD_UNCHANGED
    ).astype(int)


def square(patch, grid, size):
    """One patch's pixels where it is a rectangle, (H, W)."""
    high, wide = size[0] // grid[0], size[1] // grid[1]
    pixels = np.zeros(size)
    pixels[patch // grid[1] * high :][:high, patch % grid[1] * wide :][:, :wide] = 1
    return pixels


@torch.no_grad()
def confidences(network, x, b, category, grid, sets, index=None):
    """Softmax probability of the category for each patch set, eight pictures at a time; b None: hidden tokens are dropped; index: regions."""
    if b is None:
        return dict(
            zip(sets, masked_attention(network.module, x, grid, sets)[:, category].tolist())
        )
    out = []
    for start in range(0, len(sets), 8):
        masks = torch.zeros(len(sets[start : start + 8]), 1, grid[0] * grid[1])
        for row, patches in zip(masks, sets[start : start + 8]):
            row[0, list(patches)] = 1
        up = (
            masks[..., index]
            if index is not None
            else F.interpolate(
                masks.view(-1, 1, *grid), x.shape[1:], mode="bilinear", align_corners=True
            )
        )
        up = up.to(x.device)
        logits = network.module(x * up + b * (1 - up))
        p = (
            torch.softmax(logits, 1)[:, category]
            if logits.shape[1] > 1
            else torch.sigmoid(logits if category else -logits)[:, 0]
        )
        out += p.tolist()
    return dict(zip(sets, out))


@torch.no_grad()
def masked_attention(vit, x, grid, sets):
    """A vision transformer's probabilities, (sets, classes), with its attention to every hidden token masked out."""
    side = vit.image_size // vit.patch_size
    number = (
        np.arange(grid[0] * grid[1])
        .reshape(grid)
        .repeat(side // grid[0], 0)
        .repeat(side // grid[1], 1)
        .ravel()
    )
    tokens, out = vit._process_input(x[None]), []
    for patches in sets:
        hidden = torch.tensor([False, *(~np.isin(number, list(patches)))])[None].to(x.device)
        state = torch.cat([vit.class_token, tokens], 1) + vit.encoder.pos_embedding
        for block in vit.encoder.layers:
            normed = block.ln_1(state)
            state = (
                state
                + block.self_attention(
                    normed, normed, normed, key_padding_mask=hidden, need_weights=False
                )[0]
            )
            state = state + block.mlp(block.ln_2(state))
        out.append(torch.softmax(vit.heads(vit.encoder.ln(state)[:, 0])[0], 0))
    return torch.stack(out)


class Claims:
    """What was claimed, and which of it is wrong."""

    def __init__(self):
        self.wrong, self.checked = [], 0

    def __call__(self, true, what):
        self.checked += 1
        if not true:
            self.wrong.append(what)


def refuse(constant):
    """For NaN and Infinity, which are not JSON."""
    raise ValueError(f"{constant} in a record")


def close(a, b):
    """Equal up to float32's rounding in another batch."""
    return abs(a - b) <= TOLERANCE


def problems(path: Path, image_file: Path, network) -> tuple[list[str], int]:
    """What is wrong with the record at path, and how many claims were checked."""
    record = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    size, grid, category = tuple(record["size"]), tuple(record["grid"]), record["category"]["index"]
    image, claim = load_image(image_file, size), Claims()
    baseline = hidden(image, record["baseline"]["name"])
    everything, roots = (
        tuple(range(grid[0] * grid[1])),
        [tuple(r["patches"]) for r in record["roots"]],
    )
    nodes = [tuple(n["patches"]) for n in record["sag"]["nodes"]]
    parts = {s for r in record["roots"] for s in proper_subsets(r)}
    scores, curves = sampled_scores(record), sampled_curves(record)
    dropped = record["baseline"]["name"] == "drop"
    f = confidences(
        network,
        network.prepare(image),
        None if dropped else network.prepare(baseline),
        category,
        grid,
        list({everything, (), *roots, *nodes, *parts, *scores, *(s for s, _ in curves)}),
        region_index(record),
    )
    claim(
        record["format"] == 1 and record["image_sha256"] == file_sha256(image_file), "another image"
    )
    claim(
        record["model"]["classes"] == len(network.labels)
        and record["category"]["name"] == network.labels[category],
        "labels",
    )
    claim(close(f[everything], record["probability"]), f"full probability is {f[everything]}")
    claim(close(f[()], record["baseline"]["probability"]), f"baseline probability is {f[()]}")
    claim(
        len(record["saliency"]) == len(everything) and all(0 <= m <= 1 for m in record["saliency"]),
        "saliency",
    )
    check_roots(claim, record, roots, f, everything)
    check_search(claim, record, roots, f)
    check_graph(claim, record, nodes, [roots[i] for i in record["diverse_roots"]], f)
    for patches in nodes:
        claim(
            f[patches] <= record["threshold"] * record["probability"] + TOLERANCE
            or not any(set(patches) < set(r) for r in roots),
            f"the graph's {patches} is sufficient and inside a root",
        )
    check_scores(claim, record, scores, curves, f)
    check_files(claim, record, path.parent, image, baseline, roots)
    return claim.wrong, claim.checked


def proper_subsets(root):
    """The sets that must be insufficient: all proper subsets, or only those with one patch less."""
    patches = root["patches"]
    sizes = range(len(patches)) if root["minimal"] == "subset" else [len(patches) - 1]
    return [s for k in sizes for s in combinations(patches, k)]


def check_roots(claim, record, roots, f, everything):
    """Each root: a patch set, with this probability, sufficient, minimal; the diverse ones overlap little."""
    full, enough = record["probability"], record["threshold"] * record["probability"]
    claim(len(set(roots)) == len(roots), "a root twice")
    for r, patches in zip(record["roots"], roots):
        claim(
            list(patches) == sorted(set(patches)) and set(patches) <= set(everything),
            f"{patches} is no patch set",
        )
        claim(
            close(f[patches], r["probability"]) and close(r["relative"] * full, r["probability"]),
            f"{patches} has {f[patches]}",
        )
        claim(
            f[patches] > enough - TOLERANCE and r["probability"] > enough,
            f"{patches} is not sufficient",
        )
        claim(
            r["minimal"] == "subset" or r["minimal"] == "single" and len(patches) > 10,
            f"{patches}: minimal {r['minimal']}",
        )
        claim(
            not any(set(other) < set(patches) for other in roots),
            f"{patches} contains another root",
        )
        for s in proper_subsets(r):
            claim(f[s] <= enough + TOLERANCE, f"{patches} is not minimal: {s} has {f[s]}")
    diverse, overlap = (
        [roots[i] for i in record["diverse_set"]],
        record["settings"]["overlap_thresh"],
    )
    claim(
        all(len(set(a) & set(c)) <= overlap for a, c in combinations(diverse, 2)),
        "diverse roots overlap",
    )
    claim(
        record["diverse_roots"] == record["diverse_set"][: record["settings"]["num_roots_sag"]],
        "roots drawn",
    )
    claim(bool(diverse) == bool(roots), "no diverse root")
    names = record["regions"]["names"] if "regions" in record else [f"P{p}" for p in everything]
    claim(record["dnf"] == " | ".join(" & ".join(names[p] for p in r) for r in roots), "formula")


def check_search(claim, record, roots, f):
    """Why the search says it stopped, against the facts."""
    reasons = (
        "max_num_roots",
        "max_root_size",
        "exhausted",
        "time_limit",
        "baseline_sufficient",
        "zero_probability",
        "max_evaluations",
        "rest_insufficient",
    )
    stopped_by, enough = record["search"]["stopped_by"], record["threshold"] * record["probability"]
    claim(stopped_by in reasons, stopped_by)
    claim(record["search"]["complete"] == (stopped_by != "time_limit"), "complete")
    claim(
        f[()] <= enough + TOLERANCE or stopped_by in ("baseline_sufficient", "time_limit"),
        "the baseline is sufficient",
    )
    claim(
        stopped_by != "baseline_sufficient" or not roots and f[()] > enough - TOLERANCE,
        "the baseline is not sufficient",
    )
    claim(
        stopped_by != "max_num_roots" or len(roots) <= record["settings"]["max_num_roots"],
        "more roots than asked for",
    )


def check_graph(claim, record, nodes, drawn, f):
    """Nodes and edges: what the roots expand to, by every single deletion, above the threshold."""
    full, sag = record["probability"], record["sag"]
    claim(len(set(nodes)) == len(nodes), "a node twice")
    for n, patches in zip(sag["nodes"], nodes):
        claim(
            close(f[patches], n["probability"]) and close(n["relative"] * full, n["probability"]),
            f"node {patches} has {f[patches]}",
        )
    expected = {
        (node, tuple(q for q in node if q != p), p)
        for node, n in zip(nodes, sag["nodes"])
        if n["relative"] > record["settings"]["node_prob_thresh"]
        for p in node
    }
    edges = {(nodes[a], nodes[c], p) for a, c, p in sag["edges"]}
    claim(len(edges) == len(sag["edges"]), "an edge twice")
    claim(
        edges == expected if sag["complete"] else edges <= expected,
        "edges are not the single deletions of the nodes above the threshold",
    )
    claim(
        set(nodes) == set(drawn) | {c for _, c, _ in edges},
        "nodes are not what the roots expand to",
    )


def sampled_scores(record, most=200):
    """Up to `most` rows of the table of everything scored, evenly spaced: patch set -> probability."""
    packed = record.get("scores", {"sets": "", "probabilities": []})  # older records have none
    rows = list(zip(packed["sets"].split(), packed["probabilities"]))
    rows = rows[:: -(-len(rows) // most) or 1]
    return {
        tuple(
            p for p in range(record["grid"][0] * record["grid"][1]) if int(bits, 16) >> p & 1
        ): value
        for bits, value in rows
    }


def sampled_curves(record):
    """Four points of each curve whose order follows from the record alone: (patch set, relative confidence)."""
    curves = record.get("curves")
    if not curves:
        return []
    mask, held = (
        record["saliency"],
        [
            sum(r["probability"] for r in record["roots"] if p in r["patches"])
            for p in range(len(record["saliency"]))
        ],
    )
    orders = {
        "igos": sorted(range(len(mask)), key=lambda p: mask[p]),
        "roots": sorted(range(len(mask)), key=lambda p: (-held[p], mask[p], p)),
    }
    at = sorted({len(curves["patches"]) * i // 4 for i in range(4)})
    return [
        (
            tuple(sorted(set(order[:n]) if side == "insertion" else set(order[n:]))),
            curves[name][side][i],
        )
        for name, order in orders.items()
        if name in curves
        for side in ("insertion", "deletion")
        for i, n in ((i, curves["patches"][i]) for i in at)
    ]


def check_scores(claim, record, scores, curves, f):
    """A sample of the table and of the curves; the areas from the curves."""
    packed, full = record.get("scores"), record["probability"]
    claim(
        packed is None or len(set(packed["sets"].split())) == len(packed["probabilities"]),
        "scores: sets and probabilities do not pair up",
    )
    for s, value in scores.items():
        claim(close(f[s], value), f"scores: {s} has {f[s]}")
    for s, relative in curves:
        claim(close(f[s], relative * full), f"curves: {s} has {f[s]}")
    found = record.get("curves") or {"patches": []}
    for name in set(found) - {"patches"}:
        for side in ("insertion", "deletion"):
            points = list(zip(found["patches"], found[name][side]))
            mean = (
                sum((b - a) * (y + z) / 2 for (a, y), (b, z) in zip(points, points[1:]))
                / points[-1][0]
            )
            claim(abs(mean - found[name][f"{side}_area"]) < 1e-9, f"{name}: {side} area is {mean}")


def check_files(claim, record, folder, image, baseline, roots):
    """Every file is there; the roots' pictures are what the model was shown; dnf.txt says what the record says."""
    for name in FILES:
        file = folder / name.format(n=len(record["diverse_roots"]))
        claim(file.exists() and file.stat().st_size > 0, f"{file.name} is missing")
    grid, size, index = tuple(record["grid"]), image.shape[:2], region_index(record)
    for rank, patches in enumerate(roots, 1):
        files = list((folder / "roots").glob(f"{rank}_*.png"))
        weight = square if record["baseline"]["name"] == "drop" else tent
        up = sum(
            (weight(p, grid, size) if index is None else index == p for p in patches),
            np.zeros(size),
        )[..., None]
        shown = baseline * (1 - up) + image * up
        claim(
            len(files) == 1 and np.abs(cv2.imread(str(files[0]))[..., ::-1] - shown).max() < 1,
            f"picture of root {rank}",
        )
    claim(len(list((folder / "roots").glob("*.png"))) == len(roots), "pictures of the roots")
    dnf = (folder / "dnf.txt").read_text(encoding="utf-8")
    claim(record["dnf"] in dnf and record["category"]["name"] in dnf, "dnf.txt")


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
        image = (
            args.images
            if args.images.is_file()
            else args.images / json.loads(path.read_text(encoding="utf-8"))["image"]
        )
        wrong, checked = problems(path, image, network)
        total, bad = total + checked, bad + len(wrong)
        for line in wrong:
            print(f"{path}: {line}")
    print(f"{len(records)} records, {total} claims checked, {bad} wrong")
    return 1 if bad or not records else 0


if __name__ == "__main__":
    sys.exit(main())
