"""Score deviation maps: which named things support the class, and which distract from it?

    python score_deviation.py                                                   # the bundled scenes and their part maps
    python score_deviation.py kitchen.jpg --segmentation kitchen.png --labels names.txt --model resnet50
    python score_deviation.py photos --segmentation slic --segments 40          # superpixels, where there is no label map
    python score_deviation.py --manifest images.csv --labels names.txt          # columns image, mask, class
    python score_deviation.py --ade20k ADEChallengeData2016 --model net.py:places --class-names scenes.txt

For every label l present, I_l is the image with all pixels of l replaced by the fill (ImageNet's mean colour). The
*score deviation* of l for class c is d_l(c) = y_c(I) - y_c(I_l), from -1 to 1: above 0 the label supports the class,
near 0 it is irrelevant, below 0 it distracts.

After Lopez-Cifuentes, Escudero-Vinolo, Gajic and Bescos, "Visualizing the Effect of Semantic Classes in the Attribution of
Scene Recognition Models", ICPR 2020 workshops. Steps, a file each: regions.py and segmentation.py (what is where), companions/score_deviation/scene_sets.py (sets of
pictures), companions/score_deviation/statistics.py (what holds for a class), companions/score_deviation/figures.py (pictures).
"""

import argparse
import csv
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from companions.score_deviation import scene_sets
from companions.score_deviation.figures import draw_map, draw_statistics, draw_words, map_files
from running.command_line import formats, inches
from get_perturbation_mask import BASELINES, make_baseline
from companions.score_deviation.statistics import RELEVANT, statistics, write_statistics
from scoring.scorer import MaskScorer
from running.command_line import (
    add_model_options,
    add_segmentation_options,
    checked_defaults,
    share,
)
from scoring.regions import Regions
from running.results import later_namesakes, make_writable, merge_rows
from running.images import not_the_images
from utils import printable
from drawing.styles import DARK, FORMATS, Style, paper
from companions.score_deviation.scene_sets import (
    Item,
    places365_classes,
    truth_of,
    with_known_classes,
)
from scoring.segmentation import Segmentation
from utils import PROJECT, UserError, file_sha256, load_image, log, one_line, write_atomically
from scoring.networks import Network, choose_device, load_network
from running.command_line import OneLineParser, exit_status, whole
from running.record_files import versions

RESULTS = "Results/score_deviation"
BUNDLED_IMAGES, BUNDLED_MAPS, BUNDLED_NAMES = (
    PROJECT / "Images",
    PROJECT / "birds/part_maps",
    PROJECT / "birds/part_names.txt",
)
FILLS = tuple(name for name in BASELINES if name != "drop")
SUMMARY = (
    "image",
    "category",
    "probability",
    "true",
    "predicted",
    "labels",
    "most_supporting",
    "deviation",
    "most_distracting",
    "lowest_deviation",
    "folder",
    "error",
)


# ---------------------------------------------------------------- the method


def score_deviations(
    network: Network,
    image: np.ndarray,
    labels: np.ndarray,
    fill: str = "mean",
    batch_size: int | str = "auto",
) -> tuple[list[int], np.ndarray]:
    """How much of each class's probability hangs on each label of a picture.

    image: (H, W, 3) uint8 at the network's size; labels: (H, W) int, a number per pixel. fill: what replaces a
    label's pixels, a name of make_baseline(). -> the numbers present, ascending, and d (labels, classes) float32 with
    d[i, c] = y_c(I) - y_c(I without label i). One forward pass a label and one for I.
    """
    regions = Regions.of(labels)
    y, without = probabilities_without(network, image, regions, fill, batch_size)
    return regions.numbers, y - without


def probabilities_without(
    network: Network,
    image: np.ndarray,
    regions: Regions,
    fill: str = "mean",
    batch_size: int | str = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """-> y (classes,), the image's probabilities, and (regions, classes), those of the image without each region; float32."""
    assert image.shape[:2] == regions.index.shape, (image.shape, regions.index.shape)
    x, filled = (
        network.prepare(image),
        network.prepare(make_baseline(image, fill)),
    )  # the fill is a colour, before normalisation
    scorer = MaskScorer(
        network.module, x, filled, None, batch_size=batch_size, basis=regions.basis()
    )
    y, *without = scorer.without([(), *((i,) for i in range(len(regions.names)))]).numpy()
    return y, np.stack(without)


# ---------------------------------------------------------------- options


def parser() -> argparse.ArgumentParser:
    """All options."""
    p = OneLineParser(
        prog="score_deviation.py",
        description="Which named things in a picture support the class, and which distract from it.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add, which = p.add_argument, p.add_mutually_exclusive_group()
    which.add_argument(
        "image",
        type=Path,
        nargs="?",
        metavar="IMAGE",
        help="an image or a folder; without any, the bundled scenes",
    )
    which.add_argument(
        "--manifest",
        type=Path,
        metavar="FILE",
        help="a CSV file with the columns image, mask and class",
    )
    which.add_argument(
        "--ade20k",
        type=Path,
        metavar="DIR",
        help="ADE20K's folder: images/, annotations/, objectInfo150.csv",
    )
    which.add_argument(
        "--places365",
        type=Path,
        metavar="DIR",
        help="Places365's folder: val/ or val_256/, categories_places365.txt",
    )
    add_segmentation_options(p, "--segmentation", ["--labels", "--region-names"])
    add(
        "--results", type=Path, default=RESULTS, metavar="DIR", help="one folder per image below it"
    )
    add_model_options(p, class_names="--class-names")
    add(
        "--seed",
        type=whole(0, 2**63 - 1),
        default=0,
        metavar="N",
        help="for a network of yours that draws random numbers",
    )
    add(
        "--category",
        type=whole(0),
        metavar="N",
        help="deviations of class N; else the most probable",
    )
    add(
        "--fill",
        choices=FILLS,
        default="mean",
        help="what replaces a label's pixels; mean: ImageNet's mean colour",
    )
    add(
        "--relevant",
        type=share,
        default=RELEVANT,
        metavar="X",
        help="a label is relevant to a class above this mean deviation",
    )
    add("--style", choices=("dark", "paper"), default="dark", help="dark, or white for print")
    add("--width", type=inches, default=3.3, metavar="INCHES", help="of maps in the paper style")
    add(
        "--formats",
        type=formats,
        default="png",
        metavar="LIST",
        help="of maps: png, svg, pdf, with commas between them",
    )
    add("--overwrite", action="store_true", help="do images again whose record is there")
    return checked_defaults(p)


def items_of(args: argparse.Namespace) -> list[Item]:
    """The pictures that the options name; fills in what a set or the bundled scenes bring with them. Raises UserError."""
    if args.ade20k:
        names, items = scene_sets.ade20k(args.ade20k)
        args.labels = args.labels or names
    elif args.places365:
        items = scene_sets.places365(args.places365)
    elif args.manifest:
        items = scene_sets.manifest(args.manifest)
    else:
        if args.image is None:
            args.image = BUNDLED_IMAGES
            if args.segmentation is None:
                args.segmentation, args.labels = str(BUNDLED_MAPS), args.labels or BUNDLED_NAMES
        not_the_images(args.results, args.image)
        items = scene_sets.folder(args.image, args.results)
    without = next((item for item in items if item.mask is None), None)
    if without and args.segmentation is None:
        raise UserError(
            f"{without.name} has no label map: say --segmentation with a PNG, a folder of them, slic or a segmentation network"
        )
    return items


def with_classes_of(network: Network, items: list[Item], args: argparse.Namespace) -> list[Item]:
    """The pictures, with what of the classes that their set brings the network knows. Raises UserError."""
    if args.places365 and len(places365_classes(args.places365)) != network.classes:
        raise UserError(
            f"--places365 {args.places365}: {len(places365_classes(args.places365))} categories, but the model has {network.classes} classes"
        )
    if not args.ade20k:
        return items
    known = with_known_classes(items, network.labels)
    unknown = sum(item.truth is not None and new.truth is None for item, new in zip(items, known))
    if unknown:
        log(
            f"{unknown} of {len(items)} images show a scene that is no class of the network: their true class counts as unknown"
        )
    return known


# ---------------------------------------------------------------- one image


def explain(
    network: Network,
    image: np.ndarray,
    regions: Regions,
    truth: int | None,
    args: argparse.Namespace,
) -> dict:
    """The part of the record that is found out. truth: the number of the true class, where it is known."""
    start = time.monotonic()
    y, without = probabilities_without(network, image, regions, args.fill, args.batch_size)
    predicted = int(y.argmax())
    category = predicted if args.category is None else args.category

    def named(index: int, row: np.ndarray = y) -> dict:
        return {
            "index": int(index),
            "name": network.labels[index],
            "probability": float(row[index]),
        }

    return {
        "category": {"index": category, "name": network.labels[category]},
        "probability": float(y[category]),
        "predicted": named(predicted),
        "true": None
        if truth is None
        else {**named(truth), "rank": 1 + int(np.argsort(-y, kind="stable").tolist().index(truth))},
        "fill": args.fill,
        "regions": regions.record(),
        "labels": [
            {
                "label": number,
                "name": name,
                "area": area,
                "deviation": float(y[category] - row[category]),
                "probability": float(row[category]),
                "true_deviation": None if truth is None else float(y[truth] - row[truth]),
                "top": named(row.argmax(), row),
            }
            for number, name, area, row in zip(
                regions.numbers, regions.names, regions.areas(), without
            )
        ],
        "evaluations": 1 + len(without),
        "seconds": time.monotonic() - start,
    }


def look_into(
    item: Item, folder: Path, network: Network, cut: Segmentation, args: argparse.Namespace
) -> tuple[dict, bool]:
    """One image: its record, made and drawn, or found where an earlier run left it. -> the record, and whether it is new.

    Raises ValueError or OSError for an image, label map or class that cannot be used.
    """
    truth = truth_of(item.truth, network.labels)
    frame = {
        "format": 1,
        "image": item.name,
        "image_sha256": file_sha256(item.image),
        "size": list(network.size),
        "model": network.description(),
        "segmentation": cut.identity(item.name, item.mask)
        | ({"channel": item.channel} if item.channel is not None else {}),
        "asked": {"category": args.category, "fill": args.fill, "seed": args.seed, "true": truth},
    }
    record, style = (
        read_deviation(folder / "deviation.json"),
        paper(args.width) if args.style == "paper" else DARK,
    )
    stands = bool(record) and not args.overwrite and {k: record.get(k) for k in frame} == frame
    if stands and is_drawn(record, folder, style, args):
        return record, False
    image = load_image(item.image, network.size)
    if not stands:
        record = {
            **frame,
            **explain(
                network,
                image,
                cut(item.image, item.name, image, item.mask, item.channel),
                truth,
                args,
            ),
            "settings": {
                k: printable(v) if isinstance(v, Path) else v for k, v in vars(args).items()
            },
            "versions": versions(),
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "deviation.json").unlink(
            missing_ok=True
        )  # it comes last: its presence means that all is there
        for file in (
            *map_files(folder, DARK, FORMATS),
            *map_files(folder, paper(), FORMATS),
        ):  # of an earlier record
            file.unlink(missing_ok=True)
    draw_map(record, image, folder, style, args.formats)
    if style.width:
        record["settings"]["width"] = args.width
    write_atomically(
        folder / "deviation.json",
        json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
    )
    return record, not stands


def is_drawn(record: dict, folder: Path, style: Style, args: argparse.Namespace) -> bool:
    """Whether the pictures asked for are there, those for print as wide as asked: a record from which others were drawn stands all the same."""
    return all(file.is_file() for file in map_files(folder, style, args.formats)) and (
        not style.width or record["settings"].get("width") == args.width
    )


def read_deviation(path: Path) -> dict | None:
    """A deviation.json, or None where it is absent or damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        whole_record = (
            record["format"] == 1
            and {
                "asked",
                "segmentation",
                "category",
                "predicted",
                "true",
                "regions",
                "settings",
                "versions",
            }
            <= record.keys()
        )
        return (
            record
            if whole_record
            and all(
                {"name", "deviation", "area", "top"} <= label.keys() for label in record["labels"]
            )
            else None
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def summary_row(record: dict, folder: str) -> dict:
    """A row of summary.csv."""
    by_d = sorted(record["labels"], key=lambda label: label["deviation"])
    return {
        "image": record["image"],
        "category": record["category"]["name"],
        "probability": f"{record['probability']:.6f}",
        "true": record["true"]["name"] if record["true"] else "",
        "predicted": record["predicted"]["name"],
        "labels": len(by_d),
        "most_supporting": by_d[-1]["name"],
        "deviation": f"{by_d[-1]['deviation']:.6f}",
        "most_distracting": by_d[0]["name"],
        "lowest_deviation": f"{by_d[0]['deviation']:.6f}",
        "folder": folder,
        "error": "",
    }


def told(record: dict) -> str:
    """One line on an image, for the log."""
    by_d = sorted(record["labels"], key=lambda label: -abs(label["deviation"]))[:3]
    return (
        f"{record['category']['name']} {record['probability']:.3f}: "
        + ", ".join(f"{label['name']} {label['deviation']:+.3f}" for label in by_d)
        + f" ({len(record['labels'])} labels)"
    )


# ---------------------------------------------------------------- all images


def folders_of(items: list[Item], results: Path) -> list[Path]:
    """A folder per image, named after it as the main job's are (result_folders); an item's name need not be its path. Raises UserError."""
    later = later_namesakes([item.image for item in items])
    folders = [
        results / (item.name if item.image in later else Path(item.name).with_suffix(""))
        for item in items
    ]
    often = Counter(folders)
    twice = next((item.name for item, folder in zip(items, folders) if often[folder] > 1), None)
    if twice:
        raise UserError(f"{twice}: named twice")
    return folders


def run(args: argparse.Namespace) -> int:
    """All images, then what holds for each class. -> the exit status."""
    items = items_of(args)
    folders = folders_of(items, args.results)
    make_writable(args.results)
    device = choose_device(args.device)
    network = load_network(args.model, args.weights, args.class_names, device, "--class-names")
    items = with_classes_of(network, items, args)
    if args.category is not None and args.category >= network.classes:
        raise UserError(
            f"--category {args.category}: the model has {network.classes} classes, 0 to {network.classes - 1}"
        )
    cut = Segmentation(
        args.segmentation or "slic",
        args.labels,
        args.segments,
        args.segmentation_weights,
        device,
        own_maps=any(item.mask for item in items),
    )
    torch.manual_seed(args.seed)
    log(f"{network.name} ({network.classes} classes) on {network.device}, {len(items)} images")
    records, rows, interrupted = [], [], False
    with tqdm(total=len(items), desc="images", unit="image") as bar:
        try:
            for item, folder in zip(items, folders):
                rows.append(
                    finish(
                        lambda: look_into(item, folder, network, cut, args),
                        item.name,
                        folder.relative_to(args.results).as_posix(),
                        records,
                    )
                )
                bar.update()
        except KeyboardInterrupt:
            interrupted = True
    failed = [(row["image"], row["error"]) for row in rows if row["error"]]
    try:
        merge_rows(args.results / "summary.csv", rows, SUMMARY)
    except (ValueError, csv.Error) as error:  # the old one is damaged: it is left as it is
        failed.append((f"{args.results}: summary.csv", one_line(error)))
    if len(records) > 1 and not interrupted:
        tell_of_classes(records, args)
    for name, why in failed:
        log(f"failed: {name}: {why}")
    log(
        f"interrupted; what is finished is in {args.results}, the same command goes on from there"
        if interrupted
        else f"{len(records)} records in {args.results}, {len(failed)} failed"
    )
    return 130 if interrupted else 1 if failed else 0


def finish(
    work: Callable[[], tuple[dict, bool]], name: str, folder: str, records: list[dict]
) -> dict:
    """Do one image and keep what statistics need of it. -> its row of summary.csv; whatever befalls it, the others go on."""
    try:
        record, fresh = work()
        records.append(
            {
                k: record[k]
                for k in ("image", "category", "predicted", "true", "labels", "segmentation")
            }
        )
        log(f"{name}: {told(record) if fresh else 'there already'}")
        return summary_row(record, folder)
    except Exception as error:
        why = (
            "" if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: "
        ) + one_line(error)
        return {**dict.fromkeys(SUMMARY, ""), "image": name, "error": why}


def tell_of_classes(records: list[dict], args: argparse.Namespace) -> None:
    """The statistics of a set: files, and a box plot and a word cloud for each class."""
    if any(r["segmentation"]["source"] == "slic" for r in records):
        log("no statistics: superpixels have no names that two images share")
        return
    found, style = statistics(records, args.relevant), DARK if args.style == "dark" else paper()
    write_statistics(found, records, args.results)
    for name, table in tqdm(found["classes"].items(), desc="classes", unit="class"):
        file = (
            args.results / "classes" / "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
        )
        file.parent.mkdir(exist_ok=True)
        draw_statistics(name, table, file.with_name(f"{file.name}_labels.png"), style)
        draw_words(name, table, file.with_name(f"{file.name}_words.png"), style)
    if found["accuracy"]:
        log(
            "accuracy: "
            + ", ".join(f"top-{k[4:]} {100 * v:.2f} %" for k, v in found["accuracy"].items())
        )


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 all images done; 1 some image failed; 2 unusable arguments; 130 interrupted."""
    return exit_status("score_deviation.py", lambda: run(parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
