"""Would it still say so without these patches? Answers from a record's scores.

    python draw_sag.py ask Results/copper_jay --without 11,30       # everything visible but these
    python draw_sag.py ask Results/copper_jay --only 10,30          # nothing visible but these
    python draw_sag.py ask Results/copper_jay --only 10,30 --score  # load the record's network and run it

A set that was scored has its exact answer. For another one the nearest sets that were scored are listed, larger and
smaller, and nothing is guessed.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from get_perturbation_mask import make_baseline
from scoring.scorer import MaskScorer
from scoring.patches import PatchSet, canonical
from drawing.pictures import conjunction, names_of, percent
from scoring.regions import Regions
from scoring.token_dropping import TokenDropping
from running.command_line import OneLineParser
from utils import UserError
from scoring.networks import choose_device, load_network
from running.record_files import load_record, load_result
from drawing.record import scores_of

MOST_NEAR = 3  # sets listed above and below one that was not scored


def parser() -> argparse.ArgumentParser:
    """Options of `draw_sag.py ask`."""
    p = OneLineParser(
        prog="draw_sag.py ask",
        description="Would it still say so? Exact answers from a record's scores.",
    )
    p.add_argument(
        "result", type=Path, metavar="RESULT", help="a result folder: Results/copper_jay"
    )
    which = p.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--without",
        metavar="PATCHES",
        help="patches to hide, with commas between them; the others are visible",
    )
    which.add_argument("--only", metavar="PATCHES", help="patches to show; the others are hidden")
    p.add_argument(
        "--score",
        action="store_true",
        help="load the network and run it, where the set was not scored",
    )
    p.add_argument(
        "--images",
        type=Path,
        metavar="PATH",
        help="with --score: the run's images, if they have moved",
    )
    p.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "mps"),
        default="auto",
        help="with --score: what to run on",
    )
    return p


def ask(argv: Sequence[str]) -> str:
    """The answer to the question that the options ask, as text. Raises UserError."""
    args = parser().parse_args(argv)
    record = load_record(args.result)
    everything = tuple(range(record["grid"][0] * record["grid"][1]))
    names = names_of(record)
    named = patches_of(args.without if args.only is None else args.only, len(everything), names)
    visible = named if args.only is not None else tuple(p for p in everything if p not in named)
    table, question = (
        scores_of(record),
        f"{record['category']['name']}, {'only' if args.only is not None else 'without'} {conjunction(named, names)}",
    )
    if visible in table:
        return f"{question}: {confidence(record, table[visible])} (scored)"
    if args.score:
        return f"{question}: {confidence(record, run_network(args, visible))} (scored now, by the network)"
    return "\n".join(
        [
            f"{question}: not scored. The nearest sets that were:",
            *near_lines(record, table, visible),
            "--score runs the network on the set itself.",
        ]
    )


def patches_of(text: str, patches: int, names: Sequence[str] | None = None) -> PatchSet:
    """ "11,30" -> (11, 30); of regions also "head, wing". Raises UserError for what is no patch of the grid."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if names:
        numbers = {name.lower(): str(number) for number, name in enumerate(names)}
        if unknown := [
            word for word in words if word.lower() not in numbers and not word.isdecimal()
        ]:
            raise UserError(f"{unknown[0]} is not a region; there are {', '.join(names)}")
        words = [numbers.get(word.lower(), word) for word in words]
    words = [word.lstrip("Pp") for word in words]
    for word in words:
        if not (word.isdecimal() and int(word) < patches):
            raise UserError(
                f"{word or text!r} is not a patch; there are 0 to {patches - 1}, with commas between them"
            )
    return canonical(int(word) for word in words)


def confidence(record: dict, probability: float) -> str:
    """A probability in words: relative to the full image, absolute, and whether it is sufficient."""
    full = record["probability"]
    enough = probability > record["threshold"] * full
    share = f"{percent(probability / full)} of the full image's confidence, " if full > 0 else ""
    return f"{share}probability {probability:.4f}, {'sufficient' if enough else 'not sufficient'}"


def nearest(
    table: Mapping[PatchSet, float], visible: PatchSet, most: int = MOST_NEAR
) -> tuple[list[PatchSet], list[PatchSet]]:
    """The scored sets that contain this one and that it contains, `most` of each, the most similar first.

    Of equally similar ones the most confident.
    """
    wanted = set(visible)

    def best(sets: list[PatchSet]) -> list[PatchSet]:
        return sorted(sets, key=lambda s: (abs(len(s) - len(visible)), -table[s], s))[:most]

    return best([s for s in table if wanted < set(s)]), best([s for s in table if wanted > set(s)])


def near_lines(record: dict, table: Mapping[PatchSet, float], visible: PatchSet) -> list[str]:
    """A line for each of the nearest scored sets: how it differs, and its confidence."""
    larger, smaller = nearest(table, visible)
    changes = [("showing also", sorted(set(s) - set(visible)), s) for s in larger] + [
        ("hiding also", sorted(set(visible) - set(s)), s) for s in smaller
    ]
    return [
        f"  {word} {short(patches, names_of(record))}: {confidence(record, table[s])}"
        for word, patches, s in changes
    ]


def short(patches: Sequence[int], names: Sequence[str] | None = None) -> str:
    """A list of patches, cut where it is long."""
    return (
        conjunction(patches, names)
        if len(patches) <= 12
        else f"{conjunction(patches[:10], names)} and {len(patches) - 10} more"
    )


def run_network(args: argparse.Namespace, visible: PatchSet) -> float:
    """The probability of a set, from the network that the record was made with. Raises UserError where it is another one now."""
    record, image = load_result(args.result, args.images)
    settings = record["settings"]
    weights, labels = (
        Path(settings[k]) if settings.get(k) else None for k in ("weights", "labels")
    )
    network = load_network(settings["model"], weights, labels, choose_device(args.device))
    if network.weights_sha256 != record["model"]["weights_sha256"]:
        raise UserError(
            f"{settings['weights'] or settings['model']}: other weights than those of the record"
        )
    x, b = network.prepare(image), network.prepare(make_baseline(image, record["baseline"]["name"]))
    dropped = (
        TokenDropping(network.module, x, tuple(record["grid"]))
        if record["baseline"]["name"] == "drop"
        else None
    )
    scorer = MaskScorer(
        network.module,
        x,
        b,
        record["category"]["index"],
        tuple(record["grid"]),
        1,
        logits=dropped,
        basis=Regions.from_record(record["regions"]).basis() if "regions" in record else None,
    )
    return float(scorer([visible])[0])
