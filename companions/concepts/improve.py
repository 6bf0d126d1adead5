"""The last step of concept_debug.py: train on selections, and measure before and after.

Of every network (the one given, and one per selection): its accuracy on the test pictures, and on those with the cue swapped where there are
any; and on test pictures of one class that show a concept, how much the class still needs it (companions/concepts/need.py).
"""

import argparse
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors.torch import save_file
from tqdm import tqdm

from companions.concepts.files import read_csv, read_json, told, why, write_csv, write_json
from companions.concepts.graphs import RELEVANT, plain
from companions.concepts.need import Need, need_of, summary
from companions.concepts.debug_images import STRATEGIES
from companions.concepts.figures import draw_improvement
from companions.concepts.fine_tuning import Recipe, fine_tune
from companions.concepts.labelled_images import Labelled, accuracy, labelled_folder, loader
from running.command_line import (
    above_zero,
    add_model_options,
    add_segmentation_options,
    share_or_none,
)
from running.results import make_writable
from companions.score_deviation.scene_sets import Item, truth_of
from score_deviation import FILLS
from scoring.segmentation import Segmentation
from scoring.networks import Network, choose_device, load_network
from utils import UserError, file_sha256, load_image, log, one_line
from running.record_files import versions
from running.command_line import whole

SCENES = 24  # test pictures that the need of a concept is measured on
COLUMNS = (
    "network",
    "images",
    "accuracy",
    "accuracy_swapped",
    "scenes",
    "deviation",
    "relevant",
    "mses_needing",
    "sags_needing",
    "patch_mses_needing",
    "patch_sags_needing",
    "seconds",
)
PANELS = (
    ("accuracy", "accuracy"),
    ("accuracy_swapped", "accuracy, cue swapped"),
    ("deviation", "mean deviation of {}"),
    ("mses_needing", "MSEs that need {}"),
    ("sags_needing", "SAGs that need {}"),
)


def add_improve_options(p: argparse.ArgumentParser) -> None:
    """What to train on, how, and what to measure."""
    add, recipe = p.add_argument, Recipe()
    add(
        "--images",
        type=Path,
        required=True,
        metavar="DIR",
        help="the pictures that the selections name",
    )
    add(
        "--selection",
        type=Path,
        nargs="+",
        required=True,
        metavar="CSV",
        help="files with the columns image and class; a network is trained on each",
    )
    add(
        "--test",
        type=Path,
        required=True,
        metavar="DIR",
        help="pictures in a folder per class: the accuracy is measured on them",
    )
    add("--swapped", type=Path, metavar="DIR", help="such pictures in which the cue is swapped")
    add(
        "--class",
        dest="category",
        metavar="NAME",
        help="the class whose need of a concept is measured; else the most confounded in compare.json",
    )
    add("--concept", metavar="NAME", help="the concept; else that class's most confounded one")
    add_segmentation_options(p, "--segmentation", ["--labels", "--region-names"])
    add(
        "--scenes",
        type=whole(1),
        default=SCENES,
        metavar="N",
        help="test pictures of the class with the concept to measure it on",
    )
    add("--fill", choices=FILLS, default="mean", help="what replaces a region or patch")
    add("--steps", type=whole(1), default=recipe.steps, metavar="N", help="of training")
    add("--train-batch", type=whole(2), default=recipe.batch, metavar="N", help="pictures a step")
    add(
        "--lr",
        type=above_zero(10, "a learning rate above 0"),
        default=recipe.lr,
        metavar="X",
        help="highest learning rate",
    )
    add(
        "--weight-decay",
        type=above_zero(10, "a number from 0 to 10", or_zero=True),
        default=recipe.weight_decay,
        metavar="X",
        help="of AdamW",
    )
    add(
        "--erase",
        type=share_or_none,
        default=recipe.erase,
        metavar="X",
        help="share of pictures with a rectangle filled",
    )
    add(
        "--hide",
        type=share_or_none,
        default=recipe.hide,
        metavar="X",
        help="share of pictures with cells of a 7 x 7 grid filled",
    )
    alpha = above_zero(100, "a number from 0 to 100", or_zero=True)
    add(
        "--mixup",
        type=alpha,
        default=recipe.mixup,
        metavar="ALPHA",
        help="mix pictures by mixup; 0: not",
    )
    add(
        "--cutmix",
        type=alpha,
        default=recipe.cutmix,
        metavar="ALPHA",
        help="mix pictures by CutMix; 0: not",
    )
    add("--seed", type=whole(0, 2**31), default=0, metavar="N", help="of training")
    add("--overwrite", action="store_true", help="train again what is trained")
    add_model_options(p, class_names="--class-names")


# ---------------------------------------------------------------- what to measure


@dataclass(frozen=True)
class Bench:
    """What every network is measured on. scenes: test pictures of the class that show the concept, with their regions."""

    test: Labelled
    swapped: Labelled | None
    category: int | None
    concept: str | None
    scenes: list[Item]
    cut: Segmentation | None
    fill: str
    batch_size: int | str

    def key(self) -> dict:
        """What must be the same for a measurement to stand."""
        return {
            "test": self.test.identity(),
            "swapped": self.swapped and self.swapped.identity(),
            "category": self.category,
            "concept": self.concept,
            "fill": self.fill,
            "scenes": [[i.name, self.cut.identity(i.name)] for i in self.scenes],
        }


def bench_of(args: argparse.Namespace, network: Network) -> Bench:
    """What the options name. Raises UserError."""
    test = labelled_folder(args.test, network.labels, "--test", args.results)
    swapped = (
        labelled_folder(args.swapped, network.labels, "--swapped", args.results)
        if args.swapped
        else None
    )
    if args.segmentation is None:
        if args.concept or args.category:
            raise UserError(
                "--concept, --class: only with --segmentation, which says where the concepts of the test pictures are"
            )
        return Bench(test, swapped, None, None, [], None, args.fill, args.batch_size)
    cut = Segmentation(
        args.segmentation, args.labels, args.segments, args.segmentation_weights, network.device
    )
    name, concept = args.category, args.concept
    if not (name and concept):
        pairs = [
            e
            for e in (read_json(args.results / "compare.json") or {}).get("confounded", [])
            if name in (None, e["class"])
        ]
        if not pairs:
            raise UserError(
                f"--class, --concept: say both; {args.results / 'compare.json'} has no confounded concept"
                + (f" of {name}" if name else "")
            )
        name, concept = pairs[0]["class"], concept or pairs[0]["concept"]
    try:
        category = truth_of(name, network.labels)
    except ValueError as error:
        raise UserError(f"--class {name}: {error}") from None
    scenes = []
    for item in (i for i, t in zip(test.items, test.truth) if t == category):
        if len(scenes) < args.scenes and region_of(cut, item, network, concept) is not None:
            scenes.append(item)
    if not scenes:
        raise UserError(f"--concept {concept}: no test picture of {name} shows it")
    return Bench(test, swapped, category, concept, scenes, cut, args.fill, args.batch_size)


def region_of(cut: Segmentation, item: Item, network: Network, concept: str):
    """-> the picture, its regions, and which of them is the concept; None where it is not there, or the picture cannot be read."""
    try:
        image = load_image(item.image, network.size)
        regions = cut(item.image, item.name, image)
    except ValueError:
        return None
    places = [i for i, name in enumerate(regions.names) if plain(name) == plain(concept)]
    return (image, regions, places[0]) if places else None


def measured(network: Network, bench: Bench, name: str, failures: list[tuple[str, str]]) -> dict:
    """A network's part of the table."""
    with tqdm(
        total=len(bench.test) + len(bench.swapped or ()), desc=f"measure {name}", unit="image"
    ) as bar:
        on_test = accuracy(network, bench.test, failures, bench.batch_size, bar.update)
        on_swapped = (
            accuracy(network, bench.swapped, failures, bench.batch_size, bar.update)
            if bench.swapped
            else None
        )
    needs: list[Need] = []
    for item in tqdm(bench.scenes, desc=f"need, {name}", unit="image"):
        image, regions, place = region_of(bench.cut, item, network, bench.concept)
        needs.append(need_of(network, image, regions, place, bench.category, bench.fill))
    return {
        "test": on_test,
        "swapped": on_swapped,
        "need": summary(needs, RELEVANT) if bench.scenes else None,
    }


# ---------------------------------------------------------------- training


def read_selection(path: Path, args: argparse.Namespace, network: Network) -> Labelled:
    """The pictures that a selection names, with the classes it gives them. Raises UserError."""
    items, truth = [], []
    for number, row in enumerate(read_csv(path, ("image", "class")), 2):
        items.append(Item(args.images / row["image"], row["image"]))
        if not items[-1].image.is_file():
            raise UserError(
                f"--selection {path}: line {number}: no {row['image']} in --images {args.images}"
            )
        try:
            truth.append(truth_of(row["class"], network.labels))
        except ValueError as error:
            raise UserError(f"--selection {path}: line {number}: {error}") from None
    return Labelled(args.images, items, np.array(truth), [])


def trained(
    network: Network,
    chosen: Labelled,
    name: str,
    recipe: Recipe,
    results: Path,
    failures: list[tuple[str, str]],
) -> tuple[Network, int]:
    """-> the network trained on what can be read of a selection, written to improved/<name>.safetensors, and the number of pictures.

    Raises ValueError where none can be read.
    """
    load, kept = loader(chosen.items, network.size), []
    for i, item in enumerate(chosen.items):
        try:
            load(i)
            kept.append(i)
        except ValueError as error:
            failures.append((item.name, why(error)))
    if not kept:
        raise ValueError(f"none of its {len(chosen)} pictures can be read")
    path = results / "improved" / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    with tqdm(total=recipe.steps, desc=f"train {name}", unit="step") as bar:

        def on_step(loss: float) -> None:
            bar.update()
            bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)

        pictures = chosen.take(kept)
        tuned = fine_tune(
            network,
            lambda i: load(kept[i]),
            pictures.truth,
            recipe,
            path.with_suffix(".checkpoint"),
            on_step,
            pictures.identity(),
        )
    save_weights(tuned, path)
    return tuned, len(kept)


def save_weights(network: Network, path: Path) -> None:
    """A .safetensors file for --weights, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    save_file({k: v.cpu().contiguous() for k, v in network.module.state_dict().items()}, temporary)
    os.replace(temporary, path)


def improve(args: argparse.Namespace) -> int:
    """A row for the network as it is, and one per selection: improve.json, improve.csv, improve.png."""
    network = load_network(
        args.model, args.weights, args.class_names, choose_device(args.device), "--class-names"
    )
    names = [path.stem.removeprefix("selection_") for path in args.selection]
    if len(set(names)) < len(names):
        raise UserError(
            f"--selection: two files named {next(n for n in names if names.count(n) > 1)}"
        )
    chosen = [read_selection(path, args, network) for path in args.selection]
    bench = bench_of(args, network)
    make_writable(args.results)
    recipe = Recipe(
        args.steps,
        args.train_batch,
        args.lr,
        args.weight_decay,
        args.erase,
        args.hide,
        args.mixup,
        args.cutmix,
        args.seed,
    )
    path = args.results / "improve.json"
    kept = {row["network"]: row for row in (read_json(path) or {}).get("rows", [])}
    before = {"model": network.description(), "bench": bench.key()}
    rows, failures = [], []
    for name, images, file in zip(["before", *names], [None, *chosen], [None, *args.selection]):
        key = (
            before
            if images is None
            else {
                **before,
                "selection": file_sha256(file),
                "pictures": images.identity(),
                "recipe": asdict(recipe),
            }
        )
        row, weights = kept.get(name), args.results / "improved" / f"{name}.safetensors"
        if args.overwrite or not (
            row
            and row["key"] == key
            and (
                images is None
                or weights.is_file()
                and file_sha256(weights) == row["weights_sha256"]
            )
        ):
            try:
                row = new_row(network, name, images, recipe, bench, args.results) | {"key": key}
            except (
                ValueError,
                FloatingPointError,
            ) as error:  # no picture can be read, or NaN; the other selections go on
                if images is None:
                    raise UserError(f"--model {args.model}: {one_line(error)}") from None
                failures.append((f"--selection {file}", one_line(error)))
                continue
        rows.append(row)
        kept.pop(name, None)
        failures += [
            (image, reason) for image, reason in row.get("failed", [])
        ]  # an earlier run's too: nothing has become of them since
        write_json(
            path,
            {
                "format": 1,
                "class": None if bench.category is None else network.labels[bench.category],
                "concept": bench.concept,
                "rows": [*rows, *kept.values()],
                "versions": versions(),
            },
        )  # what is not gone through yet stays: it took long to make
        log(line_of(row, bench.concept))
    table = [flat(row) for row in rows]
    write_csv(args.results / "improve.csv", table, COLUMNS)
    panels = [
        (title.format(bench.concept), [row[k] for row in table], k != "deviation")
        for k, title in PANELS
        if any(row[k] is not None for row in table)
    ]
    draw_improvement(
        panels,
        [
            f"S-{n.capitalize()}" if n in STRATEGIES else n
            for n in (row["network"] for row in table)
        ],
        args.results / "improve.png",
    )
    return told(list(dict.fromkeys(failures)))


def new_row(
    network: Network,
    name: str,
    images: Labelled | None,
    recipe: Recipe,
    bench: Bench,
    results: Path,
) -> dict:
    """Train, where there is a selection, and measure. failed: pictures that could not be read, each with why."""
    start, count, sha256, failures = time.monotonic(), 0, None, []
    if images is not None:
        network, count = trained(network, images, name, recipe, results, failures)
        sha256 = file_sha256(results / "improved" / f"{name}.safetensors")
    return {
        "network": name,
        "images": count,
        **measured(network, bench, name, failures),
        "failed": failures,
        "weights_sha256": sha256,
        "seconds": time.monotonic() - start,
    }


def flat(row: dict) -> dict:
    """A row of improve.csv."""
    need, swapped = row["need"] or {}, row["swapped"] or {}
    named, patches = need.get("named", {}), need.get("patches", {})
    return {
        "network": row["network"],
        "images": row["images"],
        "accuracy": row["test"]["all"],
        "accuracy_swapped": swapped.get("all"),
        "scenes": need.get("images"),
        "deviation": need.get("deviation"),
        "relevant": need.get("relevant"),
        "mses_needing": named.get("mses_needing"),
        "sags_needing": named.get("sags_needing"),
        "patch_mses_needing": patches.get("mses_needing"),
        "patch_sags_needing": patches.get("sags_needing"),
        "seconds": row["seconds"],
    }


def line_of(row: dict, concept: str | None) -> str:
    """One line on a network, for the log."""
    values, parts = flat(row), []
    for key, words in (
        ("accuracy", "accuracy"),
        ("accuracy_swapped", "swapped"),
        ("deviation", f"deviation of {concept}"),
        ("mses_needing", f"MSEs that need {concept}"),
        ("sags_needing", f"SAGs that need {concept}"),
    ):
        if values[key] is not None:
            parts.append(
                f"{words} {values[key]:+.3f}"
                if key == "deviation"
                else f"{words} {100 * values[key]:.1f} %"
            )
    return f"{row['network']} ({row['images']} images): " + ", ".join(parts)
