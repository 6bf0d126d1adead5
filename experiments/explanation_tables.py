"""Tables of the explanations: images, curves, the simulated study, the ground truth."""

from collections.abc import Mapping, Sequence

from drawing.record import Curve
from experiments.estimates import estimate
from experiments.rows import SHOWN_TRIED, Agreement, MainJobRow, Rule, SearchRow
from experiments.simulated_reader import GROUPS
from experiments.table_files import Cell, Table

ORDERS = {  # of patches, for the curves
    "gradcam": "Grad-CAM",
    "igos": "I-GOS",
    "roots": "roots",
    "explanations": "map of all MSEs",
}
READERS = {
    "sag": "SAG alone",
    "map": "map of all MSEs",
    "root": "one root",
    "gradcam": "Grad-CAM",
    "igos": "I-GOS",
}
AGREEMENT_COLUMNS = ["precision", "recall", "precision of random sets", "recall of random sets"]


def images_table(rows: Sequence[MainJobRow]) -> Table:
    """Return what was explained: how many images, how confidently and how rightly classified."""
    table = Table(
        "images",
        "What was explained: each image's most probable class",
        columns=["images", "with a label", "named rightly", "confidence", "with an MSE"],
    )
    if not rows:
        return table
    labelled = [row for row in rows if row.label is not None]
    cells: list[Cell] = [
        len(rows),
        len(labelled),
        estimate([row.label == row.category for row in labelled]),
        estimate([row.probability for row in rows], digits=3),
        estimate([row.smallest is not None for row in rows]),
    ]
    table.rows.append(cells)
    return table


# ---------------------------------------------------------------- curves


def curves_of(rows: Sequence[MainJobRow], order: str) -> list[Curve]:
    """Return the curves of one order of patches, of the images that have it."""
    curves = [getattr(row.curves, order) for row in rows if row.curves]
    return [curve for curve in curves if curve is not None]


def curves_table(rows: Sequence[MainJobRow]) -> Table:
    """Return insertion and deletion areas."""
    table = Table(
        "insertion_deletion",
        "Insertion (large is good) and deletion (small is good): areas under the curves",
        columns=["order of patches", "images", "insertion", "deletion"],
    )
    for order, name in ORDERS.items():
        curves = curves_of(rows, order)
        if curves:
            insertion = estimate([curve.insertion_area for curve in curves], digits=3)
            deletion = estimate([curve.deletion_area for curve in curves], digits=3)
            table.rows.append([name, len(curves), insertion, deletion])
    return table


# ---------------------------------------------------------------- the simulated study


def study_table(rows: Sequence[MainJobRow]) -> Table:
    """Return each reader's accuracy, and that of the SAG less the other's, image by image."""
    table = Table(
        "simulated_study",
        "In which of two partly hidden images is the network more confident? Share of right "
        "answers",
        columns=["read from", "images", "questions", "right"],
        note="Both images show as many random patches of each kind (inner, border, corner); their "
        "confidences are at least 0.2 apart; rules in experiments/simulated_reader.py. A tie "
        "counts one half.",
    )
    asked = [row for row in rows if row.accuracy]
    total = sum(row.questions for row in asked)
    known = readers_known(asked)
    for reader in known:
        right = estimate([row.accuracy.get(reader) for row in asked], digits=3)
        table.rows.append([READERS[reader], len(asked), total, right])
    for reader in known[1:]:
        gains = [
            row.accuracy["sag"] - row.accuracy[reader] for row in asked if reader in row.accuracy
        ]
        name = f"SAG alone less {READERS[reader]}"
        table.rows.append([name, len(asked), total, estimate(gains, digits=3)])
    return table


def study_groups_table(rows: Sequence[MainJobRow]) -> Table:
    """Return each reader's accuracy by what the SAG tells of a question's two images."""
    known = readers_known(rows)
    table = Table(
        "simulated_study_groups",
        "Right answers by what the SAG tells of the two images",
        columns=["questions where", "images", "questions", *(READERS[reader] for reader in known)],
    )
    for group, name in GROUPS.items():
        answers = [row.groups[group] for row in rows if group in row.groups]
        if answers:
            total = sum(one.questions for one in answers)
            right = [
                estimate([one.accuracy.get(reader) for one in answers], digits=3)
                for reader in known
            ]
            table.rows.append([name, len(answers), total, *right])
    return table


def readers_known(rows: Sequence[MainJobRow]) -> list[str]:
    """Return the readers that answered on some image, in the order of READERS."""
    return [reader for reader in READERS if any(reader in row.accuracy for row in rows)]


# ---------------------------------------------------------------- ground truth


def ground_truth_table(searches: Mapping[str, Sequence[SearchRow]]) -> Table:
    """Return precision and recall against all minimal sufficient part sets, by the usual rule."""
    table = Table(
        "truth",
        "MSEs against all minimal sufficient part sets of the class",
        columns=["search", "images", *AGREEMENT_COLUMNS],
        note=f"A part counts as shown from {Rule().shown:.0%} of its box on; an MSE is right when "
        "the parts that it shows are sufficient, and would not be without any one of its patches; "
        "a right MSE stands for one part set at most (experiments/part_ground_truth.py). Random "
        "sets: as many, of the same sizes.",
    )
    for name, rows in searches.items():
        agreements = agreements_by(Rule(), rows)
        if agreements:
            table.rows.append([name, len(agreements), *_agreement_cells(agreements)])
    return table


def ground_truth_rules_table(searches: Mapping[str, Sequence[SearchRow]]) -> Table:
    """Return the same by every rule: how much the figures depend on it."""
    table = Table(
        "truth_by_rule",
        "The same, by the share of its box from which a part counts as shown, and leniently",
        columns=["search", "share", "rule", "images", *AGREEMENT_COLUMNS],
        note="Lenient: an MSE may show more parts than it needs, and one may stand for several "
        "part sets; large sets meet that by size alone.",
    )
    rules = [Rule(shown, lenient) for lenient in (False, True) for shown in SHOWN_TRIED]
    for name, rows in searches.items():
        for rule in rules:
            agreements = agreements_by(rule, rows)
            kind = "lenient" if rule.lenient else "minimal"
            if agreements:
                cells: list[Cell] = [name, f"{rule.shown:.0%}", kind, len(agreements)]
                table.rows.append([*cells, *_agreement_cells(agreements)])
    return table


def agreements_by(rule: Rule, rows: Sequence[SearchRow]) -> list[Agreement]:
    """Return each image's agreement with the ground truth by a rule, where it is known."""
    return [row.ground_truth[rule] for row in rows if row.ground_truth]


def _agreement_cells(agreements: Sequence[Agreement]) -> list[Cell]:
    return [
        estimate([one.mses.precision for one in agreements]),
        estimate([one.mses.recall for one in agreements]),
        estimate([one.random.precision for one in agreements]),
        estimate([one.random.recall for one in agreements]),
    ]
