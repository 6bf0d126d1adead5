"""The paper's tables, from what was measured on each image.

    rows = {"beam3": [reduced(measurement), ..], "beam15": [..]}        # condition -> one small dict an image
    for table in tables(rows, patches=49):
        table.markdown(), table.csv(), table.latex()

Every figure is a mean (or variance) over images with its 95 % bootstrap interval: images are drawn again with replacement, whatever
was measured within one stays together (scipy.stats.bootstrap, percentile method, seeded). Every row says how many images it is about, and
so does a figure that is about fewer of them.
"""

import csv
import io
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import bootstrap

from experiments.part_truth import SHOWN, box_shares, precision_and_recall, random_alike
from experiments.simulated_reader import GROUPS, accuracy, by_what_the_sag_tells, readers

RESAMPLES = 2000
NAMES = {
    "beam3": "BeamS-3",
    "beam15": "BeamS-15",
    "combs": "CombS",
    "diverse": "diverse search",
    "sis": "SIS",
    "exhaustive": "exhaustive, size <= 3",
}
EXPLANATIONS = {"gradcam": "Grad-CAM", "igos": "I-GOS", "roots": "roots"}
READERS = {"sag": "SAG alone", "root": "one root", "gradcam": "Grad-CAM", "igos": "I-GOS"}
AT_MOST = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 49)  # patches, in the short table
SIZES = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 10), (11, 10**6))
SHOWN_TRIED = (0.05, 0.1, SHOWN)
RANDOM_DRAWS = 10  # of random sets, an image
SMALL = 3  # patches: complete by exhaustive search


# ---------------------------------------------------------------- estimates


@dataclass(frozen=True)
class Estimate:
    """A statistic over images, and its 95 % interval; None where one image gives none."""

    value: float
    low: float | None
    high: float | None
    digits: int = 2
    images: int | None = None

    def __str__(self) -> str:
        text = f"{self.value:.{self.digits}f}"
        return (
            text
            if self.low is None
            else f"{text} ({self.low:.{self.digits}f} to {self.high:.{self.digits}f})"
        )


def estimate(values: Sequence[float], statistic=np.mean, digits: int = 2) -> Estimate | None:
    """The statistic (a function with an axis) over one value an image; None without any."""
    values = np.asarray([v for v in values if v is not None], float)
    if not len(values):
        return None
    if len(values) == 1:
        return Estimate(float(values[0]), None, None, digits, 1) if statistic is np.mean else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = bootstrap(
            (values,),
            statistic,
            n_resamples=RESAMPLES,
            batch=200,
            method="percentile",
            random_state=np.random.default_rng(0),
        ).confidence_interval
    return Estimate(
        float(statistic(values, axis=0)),
        float(interval.low),
        float(interval.high),
        digits,
        len(values),
    )


def variance(values, axis=-1):
    """The unbiased variance."""
    return np.var(values, axis=axis, ddof=1)


# ---------------------------------------------------------------- one table


@dataclass
class Table:
    """A table and its three forms. A cell is text, a whole number, an Estimate, or None (nothing to tell)."""

    name: str  # of its files
    title: str
    columns: list[str]
    rows: list[list] = field(default_factory=list)
    note: str = ""

    def csv(self) -> str:
        """With an Estimate as four columns: value, low, high, images; unrounded."""
        wide = [
            any(isinstance(row[i], Estimate) for row in self.rows) for i in range(len(self.columns))
        ]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(
            [
                c
                for name, w in zip(self.columns, wide)
                for c in (
                    (name, f"{name}, low", f"{name}, high", f"{name}, images") if w else (name,)
                )
            ]
        )
        for row in self.rows:
            cells = []
            for cell, w in zip(row, wide):
                parts = (
                    (cell.value, cell.low, cell.high, cell.images)
                    if isinstance(cell, Estimate)
                    else (cell, None, None, None)
                )
                cells += ["" if p is None else p for p in parts[: 4 if w else 1]]
            writer.writerow(cells)
        return text.getvalue()

    def markdown(self) -> str:
        """For documents: rounded, an interval in brackets."""
        lines = [self.columns, ["---"] * len(self.columns), *map(self.told, self.rows)]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"**{self.title}**\n\n{table}\n" + (f"\n{self.note}\n" if self.note else "")

    def latex(self) -> str:
        """A table that needs no package."""
        caption, body = (
            escaped(f"{self.title}. {self.note}".strip()),
            [" & ".join(map(escaped, self.told(row))) + r" \\" for row in self.rows],
        )
        head, rights = (
            " & ".join(map(escaped, self.columns)) + r" \\",
            "r" * (len(self.columns) - 1),
        )
        return "\n".join(
            [
                r"\begin{table}",
                r"\centering",
                rf"\caption{{{caption}}}",
                rf"\label{{tab:{self.name}}}",
                rf"\begin{{tabular}}{{l{rights}}}",
                r"\hline",
                head,
                r"\hline",
                *body,
                r"\hline",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
        )

    def told(self, row: Sequence) -> list[str]:
        """A row's cells as text; an Estimate over fewer images than the row says how many."""
        whole = row[self.columns.index("images")] if "images" in self.columns else None
        return [
            ""
            if cell is None
            else f"{cell}, n = {cell.images}"
            if isinstance(cell, Estimate) and whole and cell.images != whole
            else str(cell)
            for cell in row
        ]


def escaped(text: str) -> str:
    """Text for LaTeX."""
    marks = {c: "\\" + c for c in "&%$#_{}"} | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
    return text.translate(str.maketrans(marks)).replace("<=", r"$\le$")


# ---------------------------------------------------------------- what the tables need of one image


def reduced(measurement: Mapping) -> dict:
    """What the tables need of one measurement (a file that reproduce_paper.py wrote); small, as there may be 50,000 of them."""
    finding, boxes = measurement["finding"], measurement.get("boxes")
    row = {
        "image": measurement["image"],
        "category": measurement["category"],
        "label": measurement["label"],
    }
    if measurement["condition"] == "choices":
        sets = {
            name: {tuple(r["patches"]) for r in found["roots"]} for name, found in finding.items()
        }
        return row | {
            "choices": {
                name: {
                    "mses": len(sets[name]),
                    "smallest": min(map(len, sets[name]), default=None),
                    "diverse": found["diverse"]["1"],
                    "scored": found["evaluations"]["scored"],
                    "agreement": jaccard(sets[name], sets["as it is"]),
                }
                for name, found in finding.items()
            }
        }
    roots = [tuple(r["patches"]) for r in finding["roots"]]
    row |= {
        "sizes": sorted(map(len, roots)),
        "small": {r for r in roots if len(r) <= SMALL},
        "diverse": finding["diverse"],
        "patches": [p for r in roots for p in r],
        "proven": sum(r["minimal"] == "subset" for r in finding["roots"]),
        "surely_diverse": finding["diverse_proven"],
        **{k: finding["evaluations"][k] for k in ("asked", "scored")},
        "search": finding["seconds"]["search"],
    }
    if boxes:
        row["truth"] = against_truth(roots, boxes, measurement)
    if "curves" in finding:
        read, questions = (
            readers(finding, tuple(finding["grid"]), tuple(measurement["size"])),
            finding["questions"],
        )
        groups = by_what_the_sag_tells(finding, read["sag"], questions)
        row |= {
            "curves": finding["curves"],
            "probability": finding["probability"],
            "questions": len(questions),
            "study": accuracy(read, questions),
            "study_groups": {
                group: (len(some), accuracy(read, some)) for group, some in groups.items() if some
            },
        }
    return row


def against_truth(roots: Sequence[tuple[int, ...]], boxes: Mapping, measurement: Mapping) -> dict:
    """{(share of a box that counts as shown, lenient): {"mses": (precision, recall), "random": those of random sets of the same sizes}}."""
    grid, category = tuple(measurement["grid"]), measurement["category"]
    shares = box_shares(boxes, grid, tuple(measurement["size"]))
    alike = [
        random_alike(
            roots,
            grid[0] * grid[1],
            [measurement["seed"], zlib.crc32(measurement["image"].encode()), i],
        )
        for i in range(RANDOM_DRAWS)
    ]
    found = {}
    for rule in ((shown, lenient) for shown in SHOWN_TRIED for lenient in (False, True)):
        drawn = [precision_and_recall(sets, shares, category, *rule) for sets in alike]
        found[rule] = {
            "mses": precision_and_recall(roots, shares, category, *rule),
            "random": (
                float(np.mean([p for p, _ in drawn])) if roots else None,
                float(np.mean([r for _, r in drawn])),
            ),
        }
    return found


def jaccard(a: set, b: set) -> float:
    """Common ones among all of both; two empty sets agree."""
    return len(a & b) / len(a | b) if a | b else 1.0


# ---------------------------------------------------------------- the tables


def tables(rows: Mapping[str, Sequence[Mapping]], patches: int) -> list[Table]:
    """All tables that the measured conditions allow. rows: condition -> reduced measurements; patches: of the grid."""
    searches = {name: rows[c] for c, name in NAMES.items() if rows.get(c) and c != "exhaustive"}
    made = [subjects(rows["beam3"])] if rows.get("beam3") else []
    if searches:
        made += [
            small_explanations(searches, patches),
            every_k(searches, patches),
            how_many(searches),
            sizes(searches),
            positions(searches, patches),
            cost(rows),
            compared(searches),
        ]
    if rows.get("choices"):
        made.append(what_choices_matter(rows["choices"]))
    if rows.get("beam3"):
        made += [areas(rows["beam3"]), study(rows["beam3"]), study_groups(rows["beam3"])]
    if any("truth" in row for found in searches.values() for row in found):
        made += [truth(searches), truth_by_rule(searches)]
    if rows.get("exhaustive"):
        made.append(recall_of_small(searches, rows["exhaustive"]))
    return [table for table in made if table.rows]


def subjects(found: Sequence[Mapping]) -> Table:
    """What was explained."""
    labelled = [row for row in found if row["label"] is not None]
    right, sure = (
        estimate([row["label"] == row["category"] for row in labelled]),
        estimate([row["probability"] for row in found], digits=3),
    )
    return Table(
        "images",
        "What was explained: each image's most probable class",
        ["images", "with a label", "named rightly", "confidence", "with an MSE"],
        [[len(found), len(labelled), right, sure, estimate([bool(row["sizes"]) for row in found])]],
    )


def at_most(found: Sequence[Mapping], k: int) -> Estimate | None:
    """The share of images that have an MSE of at most k patches."""
    return estimate([has_small(row, k) for row in found])


def small_explanations(searches: Mapping, patches: int) -> Table:
    """Share of images with an MSE of at most k patches, for a few k."""
    ks = [k for k in AT_MOST if k <= patches]
    return Table(
        "small_explanations",
        "Share of images with an MSE of at most k patches",
        ["search", "images", *(f"k = {k}" for k in ks)],
        [[name, len(found), *(at_most(found, k) for k in ks)] for name, found in searches.items()],
        note="Rows are about as many images as their search was run on, so two rows may differ by their images; the table of searches on the same "
        "images does not.",
    )


def every_k(searches: Mapping, patches: int) -> Table:
    """The same for every k, a row each: what the figure shows."""
    columns = ["k", *(f"{name} (n = {len(found)})" for name, found in searches.items())]
    return Table(
        "small_explanations_every_k",
        "Share of images with an MSE of at most k patches, every k",
        columns,
        [[k, *(at_most(found, k) for found in searches.values())] for k in range(1, patches + 1)],
    )


def how_many(searches: Mapping) -> Table:
    """Numbers of MSEs and of diverse MSEs: means and variances."""
    title = "Number of MSEs, and of MSEs no two of which share more than 0, 1, 2 patches: mean and variance over images"
    table = Table(
        "number_of_explanations",
        title,
        [
            "search",
            "images",
            "MSEs",
            "their variance",
            *(c for o in "012" for c in (f"overlap {o}", f"variance at {o}")),
        ],
        note="BeamS and the diverse search stop at 10 MSEs; the others list all that they find. BeamS-3 is the main job: a large root in whose "
        "graph a smaller one turns up has given way to it.",
    )
    unsure = {
        name: sum(not all(row["surely_diverse"].values()) for row in found)
        for name, found in searches.items()
    }
    if any(unsure.values()):
        table.note += (
            " Diverse subsets of which a larger one could not be ruled out in 5 s: "
            + ", ".join(f"{name} on {n} images" for name, n in unsure.items() if n)
            + "."
        )
    for name, found in searches.items():
        counts = [
            [len(row["sizes"]) for row in found],
            *([row["diverse"][o] for row in found] for o in "012"),
        ]
        table.rows.append(
            [
                name,
                len(found),
                *(cell for c in counts for cell in (estimate(c), estimate(c, variance))),
            ]
        )
    return table


def sizes(searches: Mapping) -> Table:
    """Sizes of MSEs: mean of an image's smallest, and shares of sizes."""
    table = Table(
        "sizes",
        "Sizes of MSEs: the image's smallest, all of them, and the share that each size has among an image's MSEs",
        [
            "search",
            "images",
            "smallest",
            "mean size",
            *(size_name(*s) for s in SIZES),
            "proven minimal",
        ],
        note="Over images with an MSE. Proven: against every subset (BeamS, CombS and the diverse search: sets of up to 10 patches; SIS, which "
        "tries no subsets: of up to 2).",
    )
    for name, found in searches.items():
        some = [row for row in found if row["sizes"]]
        if not some:
            continue
        shares = [[np.mean([a <= s <= b for s in row["sizes"]]) for row in some] for a, b in SIZES]
        table.rows.append(
            [
                name,
                len(some),
                estimate([row["sizes"][0] for row in some]),
                estimate([np.mean(row["sizes"]) for row in some]),
                *map(estimate, shares),
                estimate([row["proven"] / len(row["sizes"]) for row in some]),
            ]
        )
    return table


def positions(searches: Mapping, patches: int) -> Table:
    """Where MSEs are: the share of an image's MSEs that hold each patch, row by row of the grid."""
    some = {
        name: here
        for name, found in searches.items()
        if (here := [row for row in found if row["sizes"]])
    }
    uses = {
        name: np.array(
            [np.bincount(row["patches"], minlength=patches) / len(row["sizes"]) for row in here]
        )
        for name, here in some.items()
    }
    return Table(
        "positions_every_patch",
        "Share of an image's MSEs that hold each patch, patches numbered along the rows of the grid",
        ["patch", *(f"{name} (n = {len(use)})" for name, use in uses.items())],
        [[p, *(estimate(use[:, p]) for use in uses.values())] for p in range(patches)]
        if uses
        else [],
    )


def size_name(low: int, high: int) -> str:
    """A range of sizes in words."""
    return str(low) if low == high else f"{low} to {high}" if high < 10**6 else f"{low} or more"


def cost(rows: Mapping) -> Table:
    """Evaluations and seconds of each search."""
    columns = ["search", "images", "asked", "scored", "seconds"]
    return Table(
        "cost",
        "Cost of a search: sets it asked about, sets the network had to score, seconds",
        columns,
        [
            [
                name,
                len(found),
                *(
                    estimate([row[k] for row in found], digits=d)
                    for k, d in (("asked", 0), ("scored", 0), ("search", 1))
                ),
            ]
            for c, name in NAMES.items()
            if (found := rows.get(c))
        ],
        "Without the saliency mask, the graph and the curves; float32.",
    )


def compared(searches: Mapping) -> Table:
    """Each search beside BeamS-3, image by image: what the other tables show of different images."""
    plain = {row["image"]: row for row in searches.get(NAMES["beam3"], ())}
    table = Table(
        "searches_on_the_same_images",
        "Each search less BeamS-3 on the images that both were run on",
        [
            "search",
            "images",
            f"share with an MSE of at most {SMALL}",
            "smallest",
            "diverse",
            "scored",
        ],
        note="Smallest: the size of the smallest MSE, over the images where both have one. Diverse: no two share more than one patch.",
    )
    for name, found in searches.items():
        both = [(row, plain[row["image"]]) for row in found if row["image"] in plain]
        if name != NAMES["beam3"] and both:
            small = [int(has_small(a)) - int(has_small(b)) for a, b in both]
            smallest = [a["sizes"][0] - b["sizes"][0] for a, b in both if a["sizes"] and b["sizes"]]
            table.rows.append(
                [
                    name,
                    len(both),
                    estimate(small),
                    estimate(smallest),
                    estimate([a["diverse"]["1"] - b["diverse"]["1"] for a, b in both]),
                    estimate([a["scored"] - b["scored"] for a, b in both], digits=0),
                ]
            )
    return table


def has_small(row: Mapping, k: int = SMALL) -> bool:
    """Whether an image has an MSE of at most k patches."""
    return bool(row["sizes"]) and row["sizes"][0] <= k


def what_choices_matter(found: Sequence[Mapping]) -> Table:
    """BeamS-3 with one choice changed."""
    table = Table(
        "choices",
        "What the choices matter: BeamS-3 with one of them changed",
        ["changed", "images", "MSEs", "smallest", "diverse", "scored", "agreement of roots"],
        note="As it is: black baseline, threshold 0.9, I-GOS after 2 iterations, seed 0. Agreement: Jaccard index of an image's MSEs with those as it is "
        "(common ones among all of both), its mean over images. Diverse: no two share more than one patch.",
    )
    for name in dict.fromkeys(name for row in found for name in row["choices"]):
        here = [row["choices"][name] for row in found if name in row["choices"]]
        table.rows.append(
            [
                name,
                len(here),
                *(
                    estimate([h[k] for h in here], digits=d)
                    for k, d in (
                        ("mses", 1),
                        ("smallest", 1),
                        ("diverse", 1),
                        ("scored", 0),
                        ("agreement", 2),
                    )
                ),
            ]
        )
    return table


def areas(found: Sequence[Mapping]) -> Table:
    """Insertion and deletion areas."""
    table = Table(
        "insertion_deletion",
        "Insertion (large is good) and deletion (small is good): areas under the curves",
        ["order of patches", "images", "insertion", "deletion"],
    )
    for key, name in EXPLANATIONS.items():
        here = [row["curves"][key] for row in found if row["curves"] and key in row["curves"]]
        if here:
            table.rows.append(
                [
                    name,
                    len(here),
                    *(
                        estimate([h[f"{side}_area"] for h in here], digits=3)
                        for side in ("insertion", "deletion")
                    ),
                ]
            )
    return table


def study(found: Sequence[Mapping]) -> Table:
    """The simulated study: accuracy of each reader, and of the SAG over each heat map, image by image."""
    asked = [row for row in found if row["study"]]
    total = sum(row["questions"] for row in asked)
    table = Table(
        "simulated_study",
        "Which of two partly hidden images is the network surer of? Share of right answers",
        ["read from", "images", "questions", "right"],
        note="Both images show as many random patches of each kind (inner, border, corner); their confidences are at least 0.2 apart; rules in experiments/simulated_reader.py. "
        "A tie counts one half.",
    )
    if asked:
        there = [key for key in READERS if any(key in row["study"] for row in asked)]
        table.rows += [
            [
                READERS[key],
                len(asked),
                total,
                estimate([row["study"].get(key) for row in asked], digits=3),
            ]
            for key in there
        ]
        for key in there[1:]:
            gain = estimate(
                [row["study"]["sag"] - row["study"][key] for row in asked if key in row["study"]],
                digits=3,
            )
            table.rows.append([f"SAG alone less {READERS[key]}", len(asked), total, gain])
    return table


def study_groups(found: Sequence[Mapping]) -> Table:
    """The simulated study again, by what the SAG tells of a question's two images."""
    there = [key for key in READERS if any(key in row["study"] for row in found)]
    table = Table(
        "simulated_study_groups",
        "Right answers by what the SAG tells of the two images",
        ["questions where", "images", "questions", *(READERS[key] for key in there)],
    )
    for group, name in GROUPS.items():
        here = [row["study_groups"][group] for row in found if group in row["study_groups"]]
        if here:
            table.rows.append(
                [
                    name,
                    len(here),
                    sum(n for n, _ in here),
                    *(estimate([right.get(key) for _, right in here], digits=3) for key in there),
                ]
            )
    return table


def truth(searches: Mapping) -> Table:
    """Precision and recall against all minimal sufficient part sets, by the rule's own share."""
    table = Table(
        "truth",
        "MSEs against all minimal sufficient part sets of the class",
        [
            "search",
            "images",
            "precision",
            "recall",
            "precision of random sets",
            "recall of random sets",
        ],
        note=f"A part counts as shown from {SHOWN:.0%} of its box on; an MSE is right when the parts that it shows are sufficient, and would not be without "
        "any one of its patches; a right MSE stands for one part set at most (experiments/part_truth.py). Random sets: as many, of the same sizes.",
    )
    for name, found in searches.items():
        here = [row["truth"][SHOWN, False] for row in found]
        table.rows.append(
            [
                name,
                len(here),
                *(
                    estimate([h[side][i] for h in here])
                    for side in ("mses", "random")
                    for i in (0, 1)
                ),
            ]
        )
    return table


def truth_by_rule(searches: Mapping) -> Table:
    """How much these figures hang on the rule."""
    cells = (("mses", 0), ("mses", 1), ("random", 0), ("random", 1))
    return Table(
        "truth_by_rule",
        "The same, by the share of its box from which a part counts as shown, and leniently",
        [
            "search",
            "share",
            "rule",
            "images",
            "precision",
            "recall",
            "precision of random sets",
            "recall of random sets",
        ],
        [
            [
                name,
                f"{shown:.0%}",
                "lenient" if lenient else "minimal",
                len(found),
                *(
                    estimate([row["truth"][shown, lenient][side][i] for row in found])
                    for side, i in cells
                ),
            ]
            for name, found in searches.items()
            for lenient in (False, True)
            for shown in SHOWN_TRIED
        ],
        note="Lenient: an MSE may show more parts than it needs, and one may stand for several part sets; large sets meet that by size alone.",
    )


def recall_of_small(searches: Mapping, complete: Sequence[Mapping]) -> Table:
    """Of all MSEs of up to three patches, how many each search found."""
    known = {row["image"]: row["small"] for row in complete if row["small"]}
    table = Table(
        "recall_of_small",
        f"Recall of all MSEs of at most {SMALL} patches, complete by exhaustive search",
        ["search", "images", "such MSEs an image", "recall"],
        note=f"Exhaustive search was run on {len(complete)} images; {len(known)} of them have such an MSE.",
    )
    for name, found in searches.items():
        here = [row for row in found if row["image"] in known]
        if here:
            table.rows.append(
                [
                    name,
                    len(here),
                    estimate([len(known[row["image"]]) for row in here], digits=1),
                    estimate(
                        [
                            len(row["small"] & known[row["image"]]) / len(known[row["image"]])
                            for row in here
                        ]
                    ),
                ]
            )
    return table


def mean_curves(found: Sequence[Mapping]) -> dict:
    """{order: {side: (patches, an Estimate of the relative confidence at each)}} for the figure; every image of the same grid."""
    curves = [row["curves"] for row in found if row["curves"]]
    return {
        key: {
            side: (
                curves[0]["patches"],
                [estimate(at) for at in zip(*(c[key][side] for c in curves if key in c))],
            )
            for side in ("insertion", "deletion")
        }
        for key in EXPLANATIONS
        if any(key in c for c in curves)
    }
