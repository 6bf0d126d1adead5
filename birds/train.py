"""Train the bundled model: a ShuffleNetV2 x1.0 on drawn birds, from nothing, on two CPU cores.

The network has to know masked pictures, so that "only these patches are visible" is an ordinary
question to it. Two thirds of what it sees is hidden in part: patches covered by one of the
program's baselines, or parts left out of the drawing. Its target is then what can be known: the
classes that agree with every part in sight, equally likely (birds.consistent_classes). Where a
part is half visible, or a baseline hides little (median, mixed), the target is the true class,
and the network learns from frequencies how much that sight is worth.

    python -m birds.train           # writes birds/birds.safetensors, birds_labels.txt, train.log

Most epochs run at 112 x 112, the last ones at 224 x 224 (Touvron et al., NeurIPS 2019: a network
adapts to a resolution in few epochs): the same accuracy in half the time.
"""

import argparse
import time
from itertools import combinations
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file
from tqdm import tqdm

from get_perturbation_mask import BASELINES, make_baseline
from scoring.patches import tents
from birds.painter import CLASSES, PARTS, consistent_classes, draw_scene, minimal_sufficient_parts
from scoring.networks import IMAGENET_MEAN, IMAGENET_STD

GRID, SIZE, HERE = 7, 224, Path(__file__).resolve().parent
SEEN, UNSEEN = 0.5, 0.06  # a part counts as seen / not seen above / below this share of its area
BASELINE_ODDS = {"black": 0.5, "mean": 0.15, "blur": 0.15, "median": 0.1, "mixed": 0.1}
TRAIN, FRESH = 0, 10**6  # seeds: scenes to train on, scenes nobody has seen


# ---------------------------------------------------------------- scenes and targets


def training_scene(seed: int):
    """-> image (224, 224, 3) uint8, category, drawn (5,) bool, share (49, 5): of each part's area, by patch."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, 3])
    category = int(rng.integers(len(CLASSES)))
    drawn = np.ones(len(PARTS), bool)
    if rng.random() < 0.35:
        drawn = rng.random(len(PARTS)) < rng.uniform(0.2, 0.9)
    parts = [p for p, d in zip(PARTS, drawn) if d]
    scene = draw_scene(CLASSES[category][1], [seed, 5], parts)
    basis = tents((GRID, GRID), (SIZE, SIZE)).numpy()  # (49, H*W)
    share = np.zeros((GRID * GRID, len(PARTS)), np.float32)
    for part in parts:
        mask = scene.masks[part].reshape(-1)
        share[:, PARTS.index(part)] = basis[:, mask].sum(1) / mask.sum()
    return scene.image, category, drawn, share


def knowable_targets() -> torch.Tensor:
    """(12 classes, 32 sets of seen parts as bits, 12): equal odds on the classes that agree with what is seen."""
    table = torch.zeros(len(CLASSES), 2 ** len(PARTS), len(CLASSES))
    for category, (_, variants) in enumerate(CLASSES):
        for bits in range(2 ** len(PARTS)):
            agreeing = consistent_classes(
                {p: variants[i] for i, p in enumerate(PARTS) if bits >> i & 1}
            )
            table[category, bits, agreeing] = 1 / len(agreeing)
    return table


def random_mask(share: np.ndarray, rng) -> np.ndarray:
    """(49,) in [0, 1]: random patches, or those that show some of the parts, or a smooth I-GOS-like mask."""
    kind, patches = rng.random(), np.zeros(GRID * GRID, np.float32)
    if kind < 0.4:
        patches[rng.permutation(GRID * GRID)[: rng.integers(0, 15)]] = 1
    elif kind < 0.9:
        chosen = rng.random(len(PARTS)) < rng.uniform(0.15, 0.7)
        patches[(share * chosen).max(1) > rng.uniform(0.04, 0.3)] = 1
        patches[rng.permutation(GRID * GRID)[: rng.integers(0, 4)]] = 1
    else:
        patches = rng.uniform(0, 1) * rng.random(GRID * GRID).astype(np.float32) ** rng.uniform(
            0.1, 2
        )
    return patches


def hide(image, drawn, share, basis, side, rng):
    """One training picture (side, side, 3) float32 in 0..255; its seen parts as bits, or -1: the true class is the target."""

    def sized(picture):
        return (
            picture
            if side == SIZE
            else cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        )

    bits = int((drawn * 2 ** np.arange(len(PARTS))).sum())
    if rng.random() < 0.35:
        return sized(image).astype(np.float32), bits
    name = rng.choice(list(BASELINE_ODDS), p=list(BASELINE_ODDS.values()))
    patches = random_mask(share, rng)
    visible, weight = patches @ share, (patches @ basis).reshape(SIZE, SIZE, 1)
    base = make_baseline(image, name).astype(np.float32)
    picture = sized(base + weight * (image - base))
    if name in ("median", "mixed"):
        return picture, -1
    half_seen = ((visible > UNSEEN) & (visible < SEEN)).any()
    return picture, -1 if half_seen else int(((visible >= SEEN) * 2 ** np.arange(len(PARTS))).sum())


def normalised(pictures: np.ndarray) -> torch.Tensor:
    """(B, H, W, 3) in 0..255 -> (B, 3, H, W), as the network gets it."""
    x = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).float() / 255
    x = (x - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(3, 1, 1)
    return x.contiguous(memory_format=torch.channels_last)


# ---------------------------------------------------------------- training and the final measurement


def train(args, log) -> torch.nn.Module:
    """Train on args.scenes scenes and return the network, in eval mode."""
    with Pool(args.workers) as pool:
        jobs = pool.imap(training_scene, range(TRAIN, TRAIN + args.scenes), chunksize=64)
        images, categories, drawn, shares = zip(*tqdm(jobs, total=args.scenes, desc="drawing"))
    rng, table, basis = (
        np.random.default_rng(args.seed),
        knowable_targets(),
        tents((GRID, GRID), (SIZE, SIZE)).numpy(),
    )
    torch.manual_seed(args.seed)
    model = torchvision.models.shufflenet_v2_x1_0(num_classes=len(CLASSES)).to(
        memory_format=torch.channels_last
    )
    sides = [112] * args.epochs + [SIZE] * args.final_epochs
    steps = args.scenes // args.batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.03)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.lr, total_steps=steps * len(sides), pct_start=0.1
    )
    for epoch, side in enumerate(sides):
        model.train()
        losses, start, order = [], time.time(), rng.permutation(args.scenes)
        for step in tqdm(
            range(steps), desc=f"epoch {epoch + 1}/{len(sides)} at {side}", leave=False
        ):
            rows = order[step * args.batch : (step + 1) * args.batch]
            hidden = [hide(images[i], drawn[i], shares[i], basis, side, rng) for i in rows]
            truth = torch.tensor([categories[i] for i in rows])
            bits = torch.tensor([b for _, b in hidden])
            target = torch.where(
                (bits >= 0)[:, None],
                table[truth, bits.clamp(min=0)],
                F.one_hot(truth, len(CLASSES)).float(),
            )
            loss = F.cross_entropy(model(normalised(np.stack([p for p, _ in hidden]))), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        log(
            f"epoch {epoch + 1}/{len(sides)}  side {side}  loss {np.mean(losses):.4f}  {time.time() - start:.0f} s"
        )
    return model.eval()


@torch.inference_mode()
def probabilities(model, pictures) -> torch.Tensor:
    """(N, 12) for pictures (N, 224, 224, 3) uint8."""
    return torch.cat(
        [model(normalised(pictures[i : i + 50])).softmax(1) for i in range(0, len(pictures), 50)]
    )


def measure(model, log, scenes: int = 2000) -> None:
    """Accuracy on fresh scenes, and whether the network believes what is true of part sets."""
    truth = np.arange(scenes) % len(CLASSES)
    fresh = np.stack(
        [
            draw_scene(CLASSES[c][1], [FRESH + i, 5]).image
            for i, c in enumerate(tqdm(truth, desc="fresh scenes"))
        ]
    )
    full = probabilities(model, fresh)
    log(
        f"accuracy on {scenes} fresh scenes: {(full.argmax(1).numpy() == truth).mean():.4f}, "
        f"mean confidence in the true class {full[range(scenes), truth].mean():.4f}"
    )
    enough, short = [], []
    for category, (_, variants) in enumerate(CLASSES):
        minimal = [set(m) for m in minimal_sufficient_parts(category)]
        for size in range(len(PARTS)):
            for parts in combinations(PARTS, size):
                pictures = np.stack(
                    [draw_scene(variants, [FRESH + i, 6], parts).image for i in range(10)]
                )
                p = probabilities(model, pictures)[:, category]
                (enough if any(m <= set(parts) for m in minimal) else short).append(p)
    for words, p in (("a sufficient", torch.cat(enough)), ("an insufficient", torch.cat(short))):
        log(
            f"drawn with {words} set of its parts only: confidence above 0.9 in {(p > 0.9).float().mean():.4f} of {len(p)} scenes"
        )


def main() -> None:
    """Train, measure, and write the weights, the labels and the log."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--scenes", type=int, default=16000)
    parser.add_argument("--epochs", type=int, default=11, help="at 112 x 112")
    parser.add_argument("--final-epochs", type=int, default=3, help="at 224 x 224")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to")
    args = parser.parse_args()
    assert set(BASELINE_ODDS) == set(BASELINES)
    lines, start = [], time.time()

    def log(line):
        tqdm.write(line)
        lines.append(line)
        (args.out / "train.log").write_text("\n".join(lines) + "\n")

    log(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, "
        + ", ".join(f"{k} {v}" for k, v in vars(args).items() if k != "out")
    )
    model = train(args, log)
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    save_file(state, args.out / "birds.safetensors")
    (args.out / "birds_labels.txt").write_text("".join(name + "\n" for name, _ in CLASSES))
    log(f"trained in {(time.time() - start) / 60:.1f} min")
    measure(model, log)


if __name__ == "__main__":
    main()
