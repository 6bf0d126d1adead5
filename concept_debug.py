"""Concept debugging, with a person in the loop: which concepts does a network use for the wrong reason, and can it be told?

    python concept_debug.py demo                    # the whole loop on a drawn world with a planted cue, some minutes
    python concept_debug.py explain --images photos --segmentation masks --labels names.txt ..
    python concept_debug.py compare --human annotations
    python concept_debug.py select --images pool ..
    python concept_debug.py improve --images pool --selection Results/debug/selection_active.csv --test test ..

explain writes the concepts that the network uses, an annotation file and a numbered picture per image (companions/concepts/graphs.py);
compare tells them from a person's; select picks images to train on (companions/concepts/debug_images.py); improve trains on them
(companions/concepts/fine_tuning.py) and measures before and after (companions/concepts/need.py). Pictures lie in a folder per class.

After "SA3: Semantic-aware Attribution Analysis: A Human-in-the-Loop Framework for Interpreting and Improving Image Understanding".
"""

import argparse
import hashlib
import sys
import zipfile
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from companions.concepts.files import read_json, told, why, write_csv, write_json
from companions.concepts.graphs import (
    RELEVANT,
    compare,
    concept_order,
    concepts_of,
    model_graph,
    phrase,
    plain,
    read_graph,
)
from companions.concepts.improve import add_improve_options, improve
from companions.concepts.debug_images import (
    STRATEGIES,
    Choice,
    Seen,
    look_at,
    s_active,
    s_random,
    s_similarity,
)
from companions.concepts.figures import (
    SHEET,
    draw_comparison,
    draw_numbered,
    draw_sheet,
    draw_table,
)
from companions.concepts.labelled_images import Labelled, class_of, labelled_folder, readable
from running.command_line import add_model_options, add_segmentation_options, share
from scoring.regions import upright_size
from running.results import make_writable
from running.images import not_the_images
from companions.score_deviation.scene_sets import Item, folder
from score_deviation import FILLS, folders_of, probabilities_without
from scoring.segmentation import Segmentation
from scoring.networks import Network, choose_device, load_network
from running.command_line import OneLineParser, exit_status, whole
from utils import UserError, file_sha256, load_image, log, one_line, write_atomically
from running.record_files import versions

RESULTS = Path("Results/debug")
PER_CLASS = 50  # images that a strategy selects; SA3 has 1000


# ---------------------------------------------------------------- options


def parser() -> argparse.ArgumentParser:
    """All options of all steps."""
    p = OneLineParser(
        prog="concept_debug.py",
        description="Which concepts does a network use for the wrong reason, and can it be told?",
    )
    steps = p.add_subparsers(dest="step", required=True, metavar="STEP", parser_class=OneLineParser)

    def step(name: str, run, what: str) -> argparse.ArgumentParser:
        one = steps.add_parser(
            name,
            help=what,
            description=what,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        one.set_defaults(run=run)
        one.add_argument(
            "--results",
            type=Path,
            default=RESULTS,
            metavar="DIR",
            help="where everything goes, for all steps alike",
        )
        return one

    one = step(
        "explain",
        explain,
        "the concepts that the network uses: an annotation file and a numbered picture per image",
    )
    one.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="DIR",
        help="pictures in a folder per class (else: the class predicted)",
    )
    add_segmentation_options(one, "--segmentation", ["--labels", "--region-names"])
    one.add_argument("--fill", choices=FILLS, default="mean", help="what replaces a region")
    one.add_argument(
        "--relevant",
        type=share,
        default=RELEVANT,
        metavar="X",
        help="a concept of the network: score deviation above this",
    )
    one.add_argument("--overwrite", action="store_true", help="do images again that are done")
    add_model_options(one, class_names="--class-names")

    one = step(
        "compare",
        compare_all,
        "valid, confounded and missed concepts, against a person's annotations",
    )
    one.add_argument(
        "--human",
        type=Path,
        required=True,
        metavar="DIR",
        help="annotation files, named as those in the results' graphs/",
    )
    one.add_argument(
        "--hard", type=share, default=0.5, metavar="X", help="images with an F1 below this are hard"
    )

    one = step("select", select, "images to train on")
    one.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="pictures in a folder per class"
    )
    one.add_argument(
        "--strategies",
        nargs="+",
        choices=STRATEGIES,
        default=list(STRATEGIES),
        help="how to select",
    )
    one.add_argument(
        "--per-class", type=whole(1), default=PER_CLASS, metavar="N", help="images of each class"
    )
    one.add_argument("--seed", type=whole(0, 2**31), default=0, metavar="N", help="of S-Random")
    add_model_options(one, class_names="--class-names")

    add_improve_options(
        step("improve", improve, "train on selections, and measure before and after")
    )
    one = step("demo", demo, "the whole loop on a drawn world with a planted cue")
    one.add_argument(
        "--size", type=whole(1, 1000), default=100, metavar="PERCENT", help="of the world"
    )
    return p


def demo(args: argparse.Namespace) -> int:
    """The loop on the bundled world."""
    from companions.concepts.demo import run_demo  # here: it calls main() below

    return run_demo(args.results, args.size, main)


def network_of(args: argparse.Namespace) -> Network:
    """The network that the options name."""
    return load_network(
        args.model, args.weights, args.class_names, choose_device(args.device), "--class-names"
    )


# ---------------------------------------------------------------- explain

COLUMNS = (
    "image",
    "class",
    "predicted",
    "correct",
    "probability",
    "region",
    "concept",
    "deviation",
    "area",
    "relevant",
)
LONG_SIDE = 672  # of the pictures that regions are numbered on, at most


def explain(args: argparse.Namespace) -> int:
    """Graphs and numbered pictures of all images, concepts.csv, explain.json and concepts.png."""
    if args.segmentation in (None, "slic"):
        raise UserError(
            "--segmentation: say a label map, a folder of them or a segmentation network; superpixels (slic) have no names that a person "
            "or another image shares, so nothing could be compared"
        )
    not_the_images(args.results, args.images)
    items = folder(args.images, leave_out=args.results)
    names = [path.as_posix() for path in folders_of(items, Path())]
    make_writable(args.results)
    network = network_of(args)
    cut = Segmentation(
        args.segmentation, args.labels, args.segments, args.segmentation_weights, network.device
    )
    (args.results / "explain.json").unlink(
        missing_ok=True
    )  # written when the graphs are made: compare takes those that it names, no older ones
    records, explained, failures = [], [], []
    for item, name in zip(tqdm(items, desc="explain", unit="image"), names):
        try:
            records.append(explain_one(item, name, network, cut, args))
            explained.append(name)
        except Exception as error:  # whatever befalls this image, the others go on
            failures.append((item.name, why(error)))
    classes = explained_classes(records, args.relevant)
    write_csv(
        args.results / "concepts.csv",
        [{**{k: r[k] for k in COLUMNS[:5]}, **c} for r in records for c in r["concepts"]],
        COLUMNS,
    )
    write_json(
        args.results / "explain.json",
        {
            "format": 1,
            "model": network.description(),
            "fill": args.fill,
            "relevant": args.relevant,
            "classes": classes,
            "graphs": explained,
            "failed": [{"image": n, "why": w} for n, w in failures],
            "versions": versions(),
        },
    )
    draw_table(
        {
            name: {c: v["deviation"] for c, v in entry["concepts"].items()}
            for name, entry in classes.items()
        },
        args.results / "concepts.png",
    )
    log(f"{len(records)} images explained in {args.results}, {len(failures)} failed")
    return told(failures)


def explain_one(
    item: Item, name: str, network: Network, cut: Segmentation, args: argparse.Namespace
) -> dict:
    """One image: graphs/<name>.json, numbered/<name>.png and, last, the record deviations/<name>.json, which is returned."""
    graph_path, picture_path, path = (
        args.results / kind / f"{name}.{ending}"
        for kind, ending in (("graphs", "json"), ("numbered", "png"), ("deviations", "json"))
    )
    fingerprint = {
        "image": file_sha256(item.image),
        "model": network.description(),
        "segmentation": cut.identity(item.name),
        "fill": args.fill,
        "relevant": args.relevant,
    }
    old = read_json(path)
    if (
        old
        and old.get("fingerprint") == fingerprint
        and graph_path.is_file()
        and picture_path.is_file()
        and not args.overwrite
    ):
        return old
    image = load_image(item.image, network.size)
    regions = cut(item.image, item.name, image)
    y, without = probabilities_without(network, image, regions, args.fill, args.batch_size)
    truth, predicted = class_of(item.name, network.labels), int(y.argmax())
    category = predicted if truth is None else truth
    deviations, areas = (y - without)[:, category], regions.areas()
    order, concepts = concept_order(regions, deviations, args.relevant)
    wide, high = upright_size(item.image)
    graph = model_graph(regions, deviations, network.labels[category], (high, wide), args.relevant)
    for file in (graph_path, picture_path, path):
        file.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # it comes last: its presence means that all is there
    scale = LONG_SIDE / max(wide, high)
    draw_numbered(
        load_image(item.image, (round(high * scale), round(wide * scale))),
        regions,
        deviations,
        order,
        concepts,
        f"{network.labels[category]} {y[category]:.3f}",
        picture_path,
    )
    write_json(graph_path, graph)
    record = {
        "format": 1,
        "image": item.name,
        "class": network.labels[category],
        "predicted": network.labels[predicted],
        "correct": predicted == category,
        "probability": float(y[category]),
        "concepts": [
            {
                "region": n,
                "concept": regions.names[i],
                "deviation": float(deviations[i]),
                "area": areas[i],
                "relevant": n <= concepts,
            }
            for n, i in enumerate(order, 1)
        ],
        "fingerprint": fingerprint,
    }
    write_json(path, record)
    return record


def explained_classes(records: Sequence[dict], relevant: float) -> dict:
    """Per class: images, correct ones, and for each concept in how many it is present and relevant, and its mean deviation there."""
    classes: dict[str, dict] = {}
    for record in records:
        entry = classes.setdefault(record["class"], {"images": 0, "correct": 0, "concepts": {}})
        entry["images"] += 1
        entry["correct"] += record["correct"]
        for c in record["concepts"]:
            entry["concepts"].setdefault(c["concept"], []).append(c["deviation"])
    for entry in classes.values():
        entry["concepts"] = {
            name: {
                "present": len(d),
                "relevant": sum(v > relevant for v in d),
                "deviation": float(np.mean(d)),
            }
            for name, d in sorted(entry["concepts"].items(), key=lambda x: -np.mean(x[1]))
        }
    return dict(sorted(classes.items()))


# ---------------------------------------------------------------- compare

COMPARED = (
    "image",
    "class",
    "valid",
    "confounded",
    "missed",
    "precision",
    "recall",
    "f1",
    "hard",
    "error",
)


def compare_all(args: argparse.Namespace) -> int:
    """compare.csv, compare.json and compare.png: each annotation against the graph of the same name that explain made last."""
    if not args.human.is_dir():
        raise UserError(f"--human {args.human}: no such folder")
    paths = sorted(p for p in args.human.rglob("*.json") if not p.name.startswith("."))
    if not paths:
        raise UserError(f"--human {args.human}: no .json file in it")
    explained = (read_json(args.results / "explain.json") or {}).get("graphs")
    if explained is None:
        raise UserError(
            f"--results {args.results}: no explain.json in it that names its graphs; `concept_debug.py explain` writes it when it is through"
        )
    graphs, rows, found, failures = set(explained), [], [], []
    for path in tqdm(paths, desc="compare", unit="file"):
        name = path.relative_to(args.human).with_suffix("").as_posix()
        record = read_json(args.results / "deviations" / f"{name}.json") or {}
        category = record.get("class") or name.rpartition("/")[0] or "all"
        row = {**dict.fromkeys(COMPARED), "image": name, "class": category}
        try:
            if name not in graphs:
                raise ValueError(
                    f"{path}: `concept_debug.py explain` made no graph of this name when it last ran"
                )
            one = compare(
                concepts_of(read_graph(args.results / "graphs" / f"{name}.json")),
                concepts_of(read_graph(path)),
            )
        except ValueError as error:
            failures.append((name, one_line(error)))
            rows.append({**row, "error": failures[-1][1]})
            continue
        found.append(
            (
                category,
                one,
                {plain(c["concept"]): c["deviation"] for c in record.get("concepts", ())},
            )
        )
        rows.append(
            {
                **row,
                **{k: "; ".join(getattr(one, k)) for k in COMPARED[2:5]},
                **{k: getattr(one, k) for k in COMPARED[5:8]},
                "hard": one.f1 is not None and one.f1 < args.hard,
            }
        )
    classes = compared_classes(found)
    write_csv(args.results / "compare.csv", rows, COMPARED)
    write_json(
        args.results / "compare.json",
        {
            "format": 1,
            "classes": classes,
            "confounded": most_confounded(found),
            "hard_below": args.hard,
            "hard": [r["image"] for r in rows if r["hard"]],
            "failed": [{"image": n, "why": w} for n, w in failures],
        },
    )
    draw_comparison(
        classes,
        {name: entry["images"] for name, entry in classes.items()},
        args.results / "compare.png",
    )
    for entry in most_confounded(found)[:3]:
        log(
            f"confounded: {entry['concept']}, for {entry['class']}, in {entry['images']} of {entry['of']} images"
            + (
                f", mean deviation {entry['deviation']:+.3f}"
                if entry["deviation"] is not None
                else ""
            )
        )
    log(
        f"{len(found)} images compared in {args.results}, {sum(bool(r['hard']) for r in rows)} hard, {len(failures)} failed"
    )
    return told(failures)


def compared_classes(found) -> dict:
    """Per class: images, in how many each concept is valid, confounded, missed; mean precision, recall, F1 (over those that have one)."""
    classes = {}
    for name in sorted({category for category, _, _ in found}):
        own = [one for category, one, _ in found if category == name]
        classes[name] = {"images": len(own)}
        for kind in ("valid", "confounded", "missed"):
            classes[name][kind] = dict(
                Counter(c for one in own for c in getattr(one, kind)).most_common()
            )
        for kind in ("precision", "recall", "f1"):
            values = [v for one in own if (v := getattr(one, kind)) is not None]
            classes[name][kind] = float(np.mean(values)) if values else None
    return classes


def most_confounded(found) -> list[dict]:
    """Class and concept of each confounded concept, the one that costs a class's images most probability first.

    deviation: its mean over all images of the class, an image without it counting 0; None where the deviations are not known.
    """
    images = Counter(category for category, _, _ in found)
    counts = Counter((category, c) for category, one, _ in found for c in one.confounded)
    known = any(deviations for _, _, deviations in found)
    entries = []
    for (name, c), n in counts.items():
        total = sum(deviations.get(c, 0) for category, _, deviations in found if category == name)
        entries.append(
            {
                "class": name,
                "concept": c,
                "images": n,
                "of": images[name],
                "deviation": total / images[name] if known else None,
            }
        )
    return sorted(
        entries,
        key=lambda e: (-(e["deviation"] or 0), -e["images"] / e["of"], e["class"], e["concept"]),
    )


# ---------------------------------------------------------------- select

SELECTED = ("image", "class", "rank", "score", "predicted")


def select(args: argparse.Namespace) -> int:
    """selection_<strategy>.csv and .png for each strategy; prompts.txt where compare was run before."""
    network = network_of(args)
    images = labelled_folder(args.images, network.labels, results=args.results)
    make_writable(args.results)
    for name in images.empty:
        log(f"{name}: no image in its folder, so none is selected")
    failures: list[tuple[str, str]] = []
    images, seen = seen_before_or_now(images, network, args, failures)
    if "similarity" in args.strategies and not seen.embeddings.size:
        raise UserError(
            f"--model {args.model}: no linear layer or convolution in it, so no embedding for S-Similarity"
        )
    for strategy in args.strategies:
        chosen = {
            "random": partial(s_random, seed=args.seed),
            "active": partial(s_active, seen.probabilities),
            "similarity": partial(similar_or_random, seen, seed=args.seed),
        }[strategy](truth=images.truth, per_class=args.per_class)
        write_selection(strategy, chosen, images, seen, network, args)
    write_prompts(args.results)
    return told(failures)


def seen_before_or_now(
    images: Labelled, network: Network, args: argparse.Namespace, failures: list
) -> tuple[Labelled, Seen]:
    """The readable images, and what the network makes of them, kept in pool.npz for the next run."""
    key = hashlib.sha256(repr((images.identity(), network.description())).encode()).hexdigest()
    path = args.results / "pool.npz"
    try:
        with np.load(path) as old:
            if str(old["key"]) == key:
                return images, Seen(old["embeddings"], old["probabilities"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    with tqdm(total=len(images), desc="look at", unit="image") as bar:
        try:
            kept, seen = look_at(
                network, readable(images.items, network.size, failures), args.batch_size, bar.update
            )
        except FloatingPointError as error:
            raise UserError(f"--model {args.model}: {error}") from None
    if not failures:  # else the next run names them again
        with open(path, "wb") as file:
            np.savez(file, key=key, embeddings=seen.embeddings, probabilities=seen.probabilities)
    return images.take(kept), seen


def similar_or_random(seen: Seen, truth: np.ndarray, per_class: int, seed: int) -> list[Choice]:
    """S-Similarity; a class without a misclassified image, of which it takes none, is drawn at random, lest training forgets it."""
    chosen = s_similarity(seen.embeddings, truth, seen.predicted, per_class)
    served = {c.category for c in chosen}
    rest = [c for c in s_random(truth, per_class, seed) if c.category not in served]
    if rest:
        log(
            f"S-Similarity: {len({c.category for c in rest})} classes have no misclassified image; theirs are drawn at random"
        )
    return chosen + rest


def write_selection(
    strategy: str,
    chosen: Sequence[Choice],
    images: Labelled,
    seen: Seen,
    network: Network,
    args: argparse.Namespace,
) -> None:
    """The CSV file, and a sheet of the first of each class; a wrong prediction is written below the picture."""

    def predicted(choice: Choice) -> str:
        return network.labels[seen.predicted[choice.index]]

    write_csv(
        args.results / f"selection_{strategy}.csv",
        [
            {
                "image": images.items[c.index].name,
                "class": network.labels[c.category],
                "rank": c.rank,
                "score": c.score,
                "predicted": predicted(c),
            }
            for c in chosen
        ],
        SELECTED,
    )
    per_class = {
        k: [c for c in chosen if c.category == k] for k in np.unique(images.truth).tolist()
    }
    draw_sheet(
        [
            (
                network.labels[k],
                [
                    (
                        load_image(images.items[c.index].image, (112, 112)),
                        "" if seen.predicted[c.index] == k else f"said {predicted(c)}",
                    )
                    for c in own[:SHEET]
                ],
            )
            for k, own in per_class.items()
        ],
        args.results / f"selection_{strategy}.png",
    )
    wrong = sum(seen.predicted[c.index] != c.category for c in chosen)
    log(f"S-{strategy.capitalize()}: {len(chosen)} images, {wrong} of them misclassified")


def write_prompts(results: Path) -> None:
    """prompts.txt, "a <class> with a <concept>", for those who let a network draw: a person's concepts, the missed ones first."""
    compared = read_json(results / "compare.json")
    if compared:
        lines = []
        for name, entry in compared["classes"].items():
            human = sorted(
                {*entry["valid"], *entry["missed"]}, key=lambda c: (-entry["missed"].get(c, 0), c)
            )
            lines += [phrase(name, concept) for concept in human]
        write_atomically(results / "prompts.txt", "\n".join(lines) + "\n")


# ---------------------------------------------------------------- all


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 all done; 1 some image or file failed; 2 unusable arguments; 130 interrupted."""

    def run() -> int:
        args = parser().parse_args(argv)
        torch.manual_seed(getattr(args, "seed", 0))
        return args.run(args)

    return exit_status("concept_debug.py", run)


if __name__ == "__main__":
    sys.exit(main())
