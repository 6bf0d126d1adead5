"""Where does the network hesitate, and between which classes?

    python deliberative_explanation.py                                              # the bundled network on the bundled scenes
    python deliberative_explanation.py photos --model resnet50 --weights resnet50.pth
    python deliberative_explanation.py photos --difficulty entropy --attribution ig --top 3
    python deliberative_explanation.py scenes --train-hardness hard.safetensors     # a folder per class; then --difficulty hard.safetensors
    python deliberative_explanation.py CUB_200_2011 --evaluate cub --model resnet50 --weights cub.pth

For each image: insecurities.json, the record, written last; insecurities.png, the picture. An insecurity is a pair of classes and the
region where the network finds evidence for both and difficulty; each is checked by removing the region. The mathematics is in
companions/deliberative/insecurities.py, the predictor of hardness in companions/deliberative/hardness.py, the papers' data sets in companions/deliberative/evaluation.py.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from companions.deliberative import hardness
from companions.concepts.files import told, why
from companions.deliberative import evaluation as insecurity_evaluation
from companions.deliberative.figures import draw_insecurities
from companions.concepts.labelled_images import labelled_folder, readable
from running.command_line import formats
from get_perturbation_mask import BASELINES, make_baseline
from companions.deliberative.insecurities import (
    ATTRIBUTIONS,
    MOST_PROBABLE,
    RANKS,
    Split,
    certainty,
    entropy,
    insecurities,
    moved,
    without,
)
from running.command_line import add_model_options, checked_defaults, share
from running.results import fingerprint_of, make_writable, result_folders
from running.images import not_the_images
from utils import printable
from drawing.styles import DARK, paper
from utils import PROJECT, UserError, file_sha256, load_image, log, write_atomically
from scoring.networks import Network, choose_device, load_network
from running.command_line import OneLineParser, exit_status, whole
from running.images import find_images
from running.record_files import versions

IMAGES = PROJECT / "Images"
RESULTS = "Results/deliberative_explanation"
RECORD = "insecurities.json"
DIFFICULTIES = {"certainty": certainty, "entropy": entropy}
ALL_PAIRS = MOST_PROBABLE * (MOST_PROBABLE - 1) // 2


# ---------------------------------------------------------------- options


def parser() -> argparse.ArgumentParser:
    """All options."""
    p = OneLineParser(
        prog="deliberative_explanation.py",
        description="Where does the network hesitate, and between which classes?",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = p.add_argument
    add(
        "images",
        type=Path,
        nargs="?",
        default=IMAGES,
        metavar="IMAGE",
        help="an image, or a folder searched through its sub-folders",
    )
    add(
        "--results", type=Path, default=RESULTS, metavar="DIR", help="one folder per image below it"
    )
    add_model_options(p)
    add(
        "--seed",
        type=whole(0, 2**63 - 1),
        default=0,
        metavar="N",
        help="of the places that a region is moved to for comparison",
    )
    add(
        "--difficulty",
        default="certainty",
        metavar="WHAT",
        help="certainty, entropy, or the FILE of a trained predictor of hardness",
    )
    add(
        "--attribution",
        choices=ATTRIBUTIONS,
        default="second-order",
        help="of the difficulty to places in the image",
    )
    add(
        "--top",
        type=whole(1, ALL_PAIRS),
        default=6,
        metavar="N",
        help="insecurities, the strongest",
    )
    add(
        "--share",
        type=share,
        default=0.05,
        metavar="Q",
        help="of the image's pixels, the size of a region",
    )
    add(
        "--rank",
        choices=RANKS,
        default="probable",
        help="by strength times both probabilities, or by strength alone as in the paper",
    )
    add(
        "--baseline",
        choices=[name for name in BASELINES if name != "drop"],
        default="black",
        help="what replaces a region when it is removed",
    )
    add(
        "--moved",
        type=whole(0, 100),
        default=8,
        metavar="N",
        help="times that each region is removed elsewhere, for comparison",
    )
    add(
        "--style",
        choices=("dark", "paper"),
        default="dark",
        help="of the picture: dark, or white for print",
    )
    add(
        "--formats",
        type=formats,
        default="png",
        metavar="LIST",
        help="of the picture: png, svg, pdf, with commas between them",
    )
    add("--overwrite", action="store_true", help="do images again whose record is there")
    other = p.add_mutually_exclusive_group()
    other.add_argument(
        "--train-hardness",
        type=Path,
        metavar="FILE",
        help="train a predictor on IMAGE, a folder with a folder per class, and write it",
    )
    other.add_argument(
        "--evaluate",
        choices=insecurity_evaluation.DATA_SETS,
        help="IMAGE is the folder of this data set: measure insecurities against it",
    )
    return checked_defaults(p)


@dataclass(frozen=True)
class Asked:
    """A network, split, and what is asked of it."""

    network: Network
    split: Split
    difficulty: Callable
    description: dict  # of the difficulty, for the record
    args: argparse.Namespace


def asked(args: argparse.Namespace) -> Asked:
    """What the options ask for, loaded. Raises UserError."""
    network = load_network(args.model, args.weights, args.labels, choose_device(args.device))
    if args.difficulty in DIFFICULTIES:
        difficulty, description = (
            DIFFICULTIES[args.difficulty],
            {"name": args.difficulty, "sha256": None},
        )
    else:
        path = Path(args.difficulty)
        difficulty = hardness.load(path, network.weights_sha256, network.device)
        description = {"name": "hardness", "sha256": file_sha256(path)}
    torch.manual_seed(args.seed)  # for a user's module that draws random numbers
    split = Split(network.module, network.prepare(np.zeros((*network.size, 3), np.uint8)))
    return Asked(network, split, difficulty, description, args)


# ---------------------------------------------------------------- one image


def explain(ask: Asked, image: np.ndarray) -> dict:
    """The part of the record that is found out. image: (H, W, 3) uint8."""
    start, args, network = time.monotonic(), ask.args, ask.network
    x, black = network.prepare(image), network.prepare(np.zeros_like(image))
    found = insecurities(
        ask.split,
        x,
        black,
        ask.difficulty,
        args.attribution,
        args.top,
        args.share,
        args.rank,
        args.batch_size,
    )
    generator, regions = (
        torch.Generator().manual_seed(args.seed),
        [torch.zeros(image.shape[:2], dtype=torch.bool)[None]],
    )
    for insecurity in found:
        regions += [insecurity.region[None], moved(insecurity.region, args.moved, generator)]
    baseline = network.prepare(make_baseline(image, args.baseline))
    probabilities, hard = without(
        ask.split, x, baseline, torch.cat(regions), ask.difficulty, args.batch_size
    )
    top = probabilities[0].topk(min(MOST_PROBABLE, probabilities.shape[1])).indices.tolist()

    def values(rows: slice, classes) -> dict:
        a, b = classes
        return {
            "p_a": float(probabilities[rows, a].mean()),
            "p_b": float(probabilities[rows, b].mean()),
            "s": float(hard[rows].mean()),
        }

    listed = []
    for n, i in enumerate(found):
        row = 1 + n * (1 + args.moved)
        listed.append(
            {
                "classes": [{"index": c, "name": network.labels[c]} for c in i.classes],
                "strength": i.strength,
                "score": i.score,
                "share": float(i.region.float().mean()),
                "map": i.map.tolist(),
                "before": values(slice(0, 1), i.classes),
                "without": values(slice(row, row + 1), i.classes),
                "moved": values(slice(row + 1, row + 1 + args.moved), i.classes)
                if args.moved
                else None,
            }
        )
    return {
        "classes": [
            {"index": c, "name": network.labels[c], "probability": float(probabilities[0, c])}
            for c in top
        ],
        "s": float(hard[0]),
        "insecurities": listed,
        "seconds": time.monotonic() - start,
    }


def look_into(path: Path, name: str, folder: Path, ask: Asked) -> tuple[dict, bool]:
    """One image: its record, made and drawn, or found where an earlier run left it. -> the record, and whether it is new.

    Raises ValueError or OSError for an image that cannot be read, FloatingPointError where the network answers NaN.
    """
    args, network = ask.args, ask.network
    frame = {
        "format": 1,
        "image": name,
        "image_sha256": file_sha256(path),
        "size": list(network.size),
        "model": network.description(),
        "difficulty": ask.description,
        "settings": {k: printable(v) if isinstance(v, Path) else v for k, v in vars(args).items()},
    }
    old = read_insecurities(folder / RECORD)
    if (
        old
        and not args.overwrite
        and fingerprint_of(old) == fingerprint_of(frame)
        and old["difficulty"] == ask.description
    ):
        return old, False
    image = load_image(path, network.size)
    record = {**frame, **explain(ask, image), "versions": versions()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).unlink(missing_ok=True)  # it comes last: its presence means that all is there
    for kind in args.formats:
        draw_insecurities(
            record,
            image,
            folder / f"insecurities.{kind}",
            paper() if args.style == "paper" else DARK,
        )
    write_atomically(
        folder / RECORD, json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
    )
    return record, True


def read_insecurities(path: Path) -> dict | None:
    """An insecurities.json, or None where it is absent or damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        complete = (
            record["format"] == 1
            and {"model", "settings", "difficulty", "classes", "versions"} <= record.keys()
        )
        return (
            record
            if complete
            and all(
                {"classes", "map", "without", "moved"} <= i.keys() for i in record["insecurities"]
            )
            else None
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def line_on(record: dict) -> str:
    """One line on an image, for the log."""
    if not record["insecurities"]:
        return f"{record['classes'][0]['name']}: s {record['s']:.4f}, no place with evidence for two of the most probable classes"
    first = record["insecurities"][0]
    names = " or ".join(c["name"] for c in first["classes"])
    return f"s {record['s']:.4f}; {names}, strength {first['strength']:.2g}; without its region s {first['without']['s']:.4f}"


# ---------------------------------------------------------------- all images


def explain_all(images: list[Path], root: Path, ask: Asked) -> tuple[dict[Path, dict], int]:
    """Every image, one after the other. -> the records, and the exit status."""
    results = ask.args.results
    folders, records, failures, status = result_folders(images, root, results), {}, [], 0
    with tqdm(total=len(images), desc="images", unit="image") as bar:
        try:
            for path in images:
                name = printable(path.relative_to(root))
                try:
                    records[path], fresh = look_into(path, name, folders[path], ask)
                    log(f"{name}: {line_on(records[path]) if fresh else 'there already'}")
                except Exception as error:  # whatever befalls an image, the others go on
                    failures.append((name, why(error)))
                bar.update()
        except KeyboardInterrupt:
            status = 130
    failed = told(failures)
    log(
        f"interrupted; what is finished is in {results}, the same command goes on from there"
        if status
        else f"{len(records)} records in {results}, {len(failures)} failed"
    )
    return records, status or failed


def train(ask: Asked) -> int:
    """--train-hardness: the predictor, from images in a folder per class. What cannot be read is left out and named."""
    pooled, hard, failures, network, file = [], [], [], ask.network, ask.args.train_hardness
    images = labelled_folder(ask.args.images, network.labels, "IMAGE", ask.args.results)
    for i, image in readable(
        tqdm(images.items, desc="features", unit="image"), network.size, failures
    ):
        features, logits = ask.split(network.prepare(image)[None])
        if not logits.isfinite().all():
            raise UserError(f"--model {ask.args.model}: the model answers NaN")
        pooled.append(features.detach().mean((2, 3))[0])
        hard.append(-torch.expm1(logits.detach().log_softmax(1)[0, images.truth[i]]))
    failed = told(failures)
    if len(hard) < hardness.FEWEST:
        raise UserError(
            f"--train-hardness: {len(hard)} images; a predictor needs {hardness.FEWEST} or more"
        )
    predictor, measured = hardness.fit_and_measure(torch.stack(pooled), torch.stack(hard))
    hardness.save(predictor, file, network.weights_sha256)
    log(f"{file}: " + ", ".join(f"{k.replace('_', ' ')} {v:.4g}" for k, v in measured.items()))
    return failed


def evaluate(data: insecurity_evaluation.DataSet, ask: Asked) -> int:
    """--evaluate: all pairs of every image of the data set, measured against its annotations; evaluation.json and a table."""
    data.check(ask.network.labels)
    records, status = explain_all(data.images, data.root, ask)
    if status == 130:
        return status
    table, failures = insecurity_evaluation.evaluate(data, records)
    write_atomically(
        ask.args.results / "evaluation.json", json.dumps(table, indent=1, allow_nan=False) + "\n"
    )
    print(insecurity_evaluation.as_text(table))
    return told(failures) or status


def run(args: argparse.Namespace) -> int:
    """What the options ask for. -> the exit status."""
    if args.evaluate:
        args.top = ALL_PAIRS
        data = insecurity_evaluation.DATA_SETS[args.evaluate](args.images)
    else:
        root, images = find_images(args.images, leave_out=args.results)
        not_the_images(args.results, args.images)
    make_writable(args.results if not args.train_hardness else args.train_hardness.resolve().parent)
    ask = asked(args)
    log(
        f"{ask.network.name} ({ask.network.classes} classes) on {ask.network.device}, {len(data.images if args.evaluate else images)} images"
    )
    if args.train_hardness:
        return train(ask)
    return evaluate(data, ask) if args.evaluate else explain_all(images, root, ask)[1]


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 all images done; 1 some image failed; 2 unusable arguments; 130 interrupted."""
    return exit_status("deliberative_explanation.py", lambda: run(parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
