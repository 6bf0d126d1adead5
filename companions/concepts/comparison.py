"""The network's concepts against a person's: valid, confounded and missed ones.

    one = compare(["wing", "dusk"], ["wing", "beak"])
    one.confounded, one.f1                      # ["dusk"], 0.5
    comparison = compare_annotations(Path("annotations"), Path("Results/debug"), hard=0.5)
    comparison.report.confounded[0].concept

A graph says three kinds of things: objects ("wing"), attributes ("(wing, red)") and relationships
("(crest, above, beak)"). Each kind is compared alike. An image's class, its deviations and whether
it is hard go by its objects.

After "SA3: Semantic-aware Attribution Analysis"; precision, recall and F1 are this project's own.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from msgspec import Struct
from tqdm import tqdm

from companions.concepts.files import write_csv
from companions.concepts.graphs import (
    attributes_of,
    concepts_of,
    read_graph,
    relationships_of,
)
from companions.concepts.ratings import Ratings
from companions.concepts.records import (
    ComparedClass,
    CompareReport,
    Confounded,
    Failed,
    ImageRecord,
    MadeGraphs,
    Measures,
    read_typed,
    require_typed,
    write_typed,
)
from scoring.labels import plain_name
from utils import UserError, one_line

Kind = Literal["valid", "confounded", "missed"]
STATEMENTS = {  # kind -> what a graph says of it
    "objects": concepts_of,
    "attributes": attributes_of,
    "relationships": relationships_of,
}


@dataclass(frozen=True)
class Comparison:
    """What a network's and a person's concepts have in common.

    Attributes:
        valid: concepts of both.
        confounded: the network's only.
        missed: the person's only.
    """

    valid: list[str]
    confounded: list[str]
    missed: list[str]

    @property
    def precision(self) -> float | None:
        """Share of the network's concepts that are valid; None where it has none."""
        return _ratio(len(self.valid), len(self.valid) + len(self.confounded))

    @property
    def recall(self) -> float | None:
        """Share of the person's concepts that are valid; None where there are none."""
        return _ratio(len(self.valid), len(self.valid) + len(self.missed))

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None where neither names a concept."""
        all_names = 2 * len(self.valid) + len(self.confounded) + len(self.missed)
        return _ratio(2 * len(self.valid), all_names)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def compare(model: Iterable[str], human: Iterable[str]) -> Comparison:
    """Compare the network's concepts with a person's, by normalised name."""
    model_names = list(dict.fromkeys(map(plain_name, model)))
    human_names = list(dict.fromkeys(map(plain_name, human)))
    return Comparison(
        valid=[name for name in model_names if name in human_names],
        confounded=[name for name in model_names if name not in human_names],
        missed=[name for name in human_names if name not in model_names],
    )


# ---------------------------------------------------------------- many images


@dataclass(frozen=True)
class ComparedImage:
    """One image's comparison, with its class and the network's score deviations by concept.

    Attributes:
        category: name of the class.
        comparison: of the objects.
        deviations: by concept.
        kinds: the comparison of each kind of statement, the objects' again among them.
    """

    category: str
    comparison: Comparison
    deviations: dict[str, float]
    kinds: dict[str, Comparison] = field(default_factory=dict)


class ComparedRow(Struct, kw_only=True, rename={"category": "class"}):
    """A row of compare.csv."""

    image: str
    category: str
    valid: list[str] | None = None
    confounded: list[str] | None = None
    missed: list[str] | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    hard: bool | None = None
    error: str | None = None
    attributes_valid: list[str] | None = None
    attributes_confounded: list[str] | None = None
    attributes_missed: list[str] | None = None
    attributes_precision: float | None = None
    attributes_recall: float | None = None
    attributes_f1: float | None = None
    relationships_valid: list[str] | None = None
    relationships_confounded: list[str] | None = None
    relationships_missed: list[str] | None = None
    relationships_precision: float | None = None
    relationships_recall: float | None = None
    relationships_f1: float | None = None
    rating: float | None = None
    hard_by_rating: bool | None = None


@dataclass
class Comparisons:
    """The comparisons of all annotation files.

    Attributes:
        images: those that could be compared.
        rows: of compare.csv, also for those that could not.
        failures: (name, reason) of those that could not.
        hard_below: images with an F1 below this are hard.
        hard_rating_below: images with a lower value of people's ratings are hard by rating; None:
            there are no ratings.
    """

    hard_below: float
    hard_rating_below: float | None = None
    images: list[ComparedImage] = field(default_factory=list)
    rows: list[ComparedRow] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def report(self) -> CompareReport:
        """What holds for each class."""
        return CompareReport(
            classes=compared_classes(self.images),
            confounded=most_confounded(self.images),
            hard_below=self.hard_below,
            hard=[row.image for row in self.rows if row.hard],
            failed=[Failed(name, reason) for name, reason in self.failures],
            kinds=measures_of_kinds(self.images),
            hard_rating_below=self.hard_rating_below,
            hard_by_rating=[row.image for row in self.rows if row.hard_by_rating],
        )

    def rate(self, ratings: Ratings, below: float) -> int:
        """Set the value of people's ratings beside each image that has one.

        Args:
            ratings: of images, by the last part of their name.
            below: images with a lower value are hard by rating.

        Returns:
            How many images have one.
        """
        self.hard_rating_below = below
        values = ratings.values
        for row in self.rows:
            row.rating = values.get(row.image.rpartition("/")[2])
            row.hard_by_rating = None if row.rating is None else row.rating < below
        return sum(row.rating is not None for row in self.rows)

    def write(self, results: Path) -> CompareReport:
        """Write compare.csv and compare.json; return the report."""
        report = self.report
        write_csv(results / "compare.csv", self.rows, ComparedRow)
        write_typed(results / "compare.json", report)
        return report


def annotation_files(human: Path) -> list[Path]:
    """Return a person's annotation files.

    Raises:
        UserError: there is no such folder, or no file in it.
    """
    if not human.is_dir():
        raise UserError(f"--human {human}: no such folder")
    paths = sorted(path for path in human.rglob("*.json") if not path.name.startswith("."))
    if not paths:
        raise UserError(f"--human {human}: no .json file in it")
    return paths


def compare_annotations(human: Path, results: Path, *, hard: float = 0.5) -> Comparisons:
    """Compare each annotation with the graph of the same name that explain made last.

    Args:
        human: folder of a person's annotation files.
        results: the folder that explain wrote to.
        hard: images with an F1 below this are hard.

    Raises:
        UserError: there are no annotations, explain has not finished a run, or its file is damaged.
    """
    paths = annotation_files(human)
    made = require_typed(results / "explain.json", MadeGraphs)
    if made is None:
        raise UserError(
            f"--results {results}: no explain.json in it that names its graphs; "
            "`concept_debug.py explain` writes it at the end of a run"
        )
    found = Comparisons(hard_below=hard)
    for path in tqdm(paths, desc="compare", unit="file", disable=None):
        name = path.relative_to(human).with_suffix("").as_posix()
        record = read_typed(results / "deviations" / f"{name}.json", ImageRecord)
        category = record.category if record else name.rpartition("/")[0] or "all"
        try:
            if name not in made.graphs:
                raise ValueError(
                    f"{path}: `concept_debug.py explain` made no graph of this name "
                    "when it last ran"
                )
            kinds = compare_graphs(results / "graphs" / f"{name}.json", path)
        except ValueError as error:
            found.failures.append((name, one_line(error)))
            found.rows.append(ComparedRow(image=name, category=category, error=one_line(error)))
            continue
        concepts = record.concepts if record else []
        deviations = {plain_name(concept.concept): concept.deviation for concept in concepts}
        one = ComparedImage(category, kinds["objects"], deviations=deviations, kinds=kinds)
        found.images.append(one)
        found.rows.append(_row(name, one, hard=hard))
    return found


def compare_graphs(model: Path, human: Path) -> dict[str, Comparison]:
    """Compare two graph files.

    Returns:
        "objects", "attributes" and "relationships" -> their comparison. Attributes and
        relationships are left out where the person gave none: that is no claim that there are none.

    Raises:
        ValueError: one of them is damaged.
    """
    model_graph = read_graph(model)
    human_graph = read_graph(human)
    return {
        kind: compare(said(model_graph), said(human_graph))
        for kind, said in STATEMENTS.items()
        if kind == "objects" or said(human_graph)
    }


def _row(name: str, image: ComparedImage, *, hard: float) -> ComparedRow:
    f1 = image.comparison.f1
    row = ComparedRow(image=name, category=image.category, hard=f1 is not None and f1 < hard)
    for kind, comparison in image.kinds.items():
        prefix = "" if kind == "objects" else f"{kind}_"
        for column in ("valid", "confounded", "missed", "precision", "recall", "f1"):
            setattr(row, prefix + column, getattr(comparison, column))
    return row


def measures_of_kinds(images: Sequence[ComparedImage]) -> dict[str, Measures]:
    """Return for each kind of statement its counts and means over some images."""
    return {
        kind: _measures([image.kinds[kind] for image in images if kind in image.kinds])
        for kind in STATEMENTS
    }


def _measures(comparisons: Sequence[Comparison]) -> Measures:
    return Measures(
        images=len(comparisons),
        valid=sum(len(one.valid) for one in comparisons),
        confounded=sum(len(one.confounded) for one in comparisons),
        missed=sum(len(one.missed) for one in comparisons),
        precision=_mean_of_known([one.precision for one in comparisons]),
        recall=_mean_of_known([one.recall for one in comparisons]),
        f1=_mean_of_known([one.f1 for one in comparisons]),
    )


def compared_classes(images: Sequence[ComparedImage]) -> dict[str, ComparedClass]:
    """Return for each class its images by concept, and its mean precision, recall and F1."""
    classes = {}
    for name in sorted({image.category for image in images}):
        of_class = [image for image in images if image.category == name]
        own = [image.comparison for image in of_class]
        classes[name] = ComparedClass(
            images=len(own),
            valid=_counts(own, "valid"),
            confounded=_counts(own, "confounded"),
            missed=_counts(own, "missed"),
            precision=_mean_of_known([one.precision for one in own]),
            recall=_mean_of_known([one.recall for one in own]),
            f1=_mean_of_known([one.f1 for one in own]),
            kinds=measures_of_kinds(of_class),
        )
    return classes


def _counts(comparisons: Sequence[Comparison], kind: Kind) -> dict[str, int]:
    """Return in how many images each concept is of a kind, the most frequent first."""
    counts: Counter[str] = Counter()
    for one in comparisons:
        counts.update(getattr(one, kind))
    return dict(counts.most_common())


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def most_confounded(images: Sequence[ComparedImage]) -> list[Confounded]:
    """Return the confounded concepts, the one that costs its class most probability first.

    The deviation is a mean over all images of the class; an image without the concept counts 0.
    """
    sizes = Counter(image.category for image in images)
    counts = Counter((image.category, c) for image in images for c in image.comparison.confounded)
    known = any(image.deviations for image in images)
    entries = []
    for (category, concept), count in counts.items():
        own = [image.deviations.get(concept, 0) for image in images if image.category == category]
        entries.append(
            Confounded(
                category=category,
                concept=concept,
                images=count,
                of=sizes[category],
                deviation=sum(own) / sizes[category] if known else None,
            )
        )
    return sorted(entries, key=_cost_order)


def _cost_order(entry: Confounded) -> tuple[float, float, str, str]:
    share = entry.images / entry.of
    return (-(entry.deviation or 0), -share, entry.category, entry.concept)


def log_line(entry: Confounded) -> str:
    """Return one line on a confounded concept, for the log."""
    line = (
        f"confounded: {entry.concept}, for {entry.category}, in {entry.images} of {entry.of} images"
    )
    if entry.deviation is None:
        return line
    return f"{line}, mean deviation {entry.deviation:+.3f}"


def kind_line(kind: str, measures: Measures) -> str:
    """Return one line on a kind of statement, for the log."""
    if not measures.images:
        return f"{kind}: no annotation has any"
    named = (("precision", measures.precision), ("recall", measures.recall), ("F1", measures.f1))
    means = [f"{name} {'-' if value is None else f'{value:.2f}'}" for name, value in named]
    return (
        f"{kind}: {measures.valid} valid, {measures.confounded} confounded, "
        f"{measures.missed} missed in {measures.images} images; mean {', '.join(means)}"
    )
