"""The concepts that a network uses: of one image, and of a folder of images.

    explanation = explain_concepts(network, image, regions)         # the most probable class
    explanation.concepts[0].concept, explanation.concepts[0].deviation      # "crest", 0.71
    explanation.graph(size=(224, 224))          # to edit as a person's annotation

A region is a concept of the network where its score deviation for the class is above a threshold.
An Explainer does this for the images of a run; a record stands where the image, the network and the
settings that change a result are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from companions.concepts.figures import draw_numbered
from companions.concepts.files import write_csv
from companions.concepts.graphs import RELEVANT, Graph, RankedRegions, model_graph, rank_regions
from companions.concepts.labelled_images import class_of
from companions.concepts.records import (
    Concept,
    ConceptMean,
    ExplainedClass,
    ExplainReport,
    Failed,
    Fingerprint,
    ImageRecord,
    read_typed,
    write_typed,
)
from companions.concepts.region_facts import attributes_of_region, relations_between
from companions.score_deviation.deviations import probabilities_without
from companions.score_deviation.record import MapSource
from companions.score_deviation.scene_sets import Item
from drawing.record import Model
from running.each_image import explain_each
from running.record_files import versions
from running.result_folders import require_below
from scoring.fitting import Fit, load_fitted
from scoring.networks import Network
from scoring.regions import Regions, upright_size
from scoring.segmentation import SUPERPIXELS, Segmentation
from utils import UserError, file_sha256, write_json

LONG_SIDE = 672  # pixels of the images that regions are numbered on, at most


# ---------------------------------------------------------------- one image


@dataclass(frozen=True)
class ConceptExplanation:
    """The concepts of one image.

    Attributes:
        regions: of the image.
        ranked: the same, by score deviation for the explained class.
        probabilities: (classes,) float32, of the full image.
        category: index of the explained class.
        labels: class names.
        image: (H, W, 3) uint8 RGB, as the network saw it.
    """

    regions: Regions
    ranked: RankedRegions
    probabilities: np.ndarray
    category: int
    labels: Sequence[str]
    image: np.ndarray

    @property
    def predicted(self) -> int:
        """Index of the most probable class."""
        return int(self.probabilities.argmax())

    @property
    def probability(self) -> float:
        """Probability of the explained class."""
        return float(self.probabilities[self.category])

    @property
    def class_name(self) -> str:
        """Name of the explained class."""
        return self.labels[self.category]

    @property
    def concepts(self) -> list[Concept]:
        """All regions, numbered from 1, the network's concepts first."""
        areas = self.regions.areas()
        return [
            Concept(
                region=number,
                concept=self.regions.names[i],
                deviation=float(self.ranked.deviations[i]),
                area=areas[i],
                relevant=self.ranked.is_concept(number),
            )
            for number, i in enumerate(self.ranked.order, 1)
        ]

    def graph(
        self,
        size: tuple[int, int],
        fit: Fit | None = None,
        *,
        attributes: bool = True,
        relations: bool = True,
    ) -> Graph:
        """Return the network's concepts as a graph.

        Args:
            size: height and width of the image that boxes are given in.
            fit: how it came to the network's input size; None: straight.
            attributes: whether to measure colour, size and place of each concept.
            relations: whether to say how each pair of concepts lies.
        """
        used = self.ranked.order[: self.ranked.concepts]
        words = {i: attributes_of_region(self.regions, i, self.image) for i in used if attributes}
        seen = fit.size if fit and fit.method == "crop" else size  # a crop is not squashed
        pairs = relations_between(self.regions, used, seen) if relations else ()
        return model_graph(
            self.regions,
            self.ranked,
            category=self.class_name,
            size=size,
            fit=fit,
            attributes=words,
            relations=pairs,
        )

    def record(self, name: str, fingerprint: Fingerprint) -> ImageRecord:
        """Return the record of the image of this name."""
        return ImageRecord(
            image=name,
            category=self.class_name,
            predicted=self.labels[self.predicted],
            correct=self.predicted == self.category,
            probability=self.probability,
            concepts=self.concepts,
            fingerprint=fingerprint,
        )


def explain_concepts(
    network: Network,
    image: np.ndarray,
    regions: Regions,
    *,
    category: int | None = None,
    baseline: str = "mean",
    relevant: float = RELEVANT,
    batch_size: int | str = "auto",
) -> ConceptExplanation:
    """Explain the class of an image by the score deviations of its named regions.

    Args:
        network: the network to explain.
        image: (H, W, 3) uint8, at the network's input size.
        regions: of the image.
        category: index of the class to explain; None: the most probable.
        baseline: what replaces a region; see make_baseline.
        relevant: a concept has a score deviation above this.
        batch_size: images per forward pass, or "auto".
    """
    full, without = probabilities_without(
        network, image, regions=regions, baseline=baseline, batch_size=batch_size
    )
    if category is None:
        category = int(full.argmax())
    deviations = (full - without)[:, category]
    return ConceptExplanation(
        regions=regions,
        ranked=rank_regions(regions, deviations, relevant=relevant),
        probabilities=full,
        category=category,
        labels=network.labels,
        image=image,
    )


# ---------------------------------------------------------------- the images of a run


@dataclass(frozen=True, kw_only=True)
class Explainer:
    """What every image of a run is explained with.

    Attributes:
        network: the network to explain.
        segmentation: what cuts images into named regions.
        results: folder that everything is written to.
        baseline: what replaces a region.
        relevant: a concept has a score deviation above this.
        attributes: whether graphs have attributes.
        relations: whether graphs have relationships.
        batch_size: images per forward pass, or "auto".
        overwrite: whether images are explained again whose record exists.
    """

    network: Network
    segmentation: Segmentation
    results: Path
    baseline: str = "mean"
    relevant: float = RELEVANT
    attributes: bool = True
    relations: bool = True
    batch_size: int | str = "auto"
    overwrite: bool = False

    def explain(self, item: Item, name: str) -> tuple[ImageRecord, bool]:
        """Write an image's graph, numbered figure and, last, its record.

        Args:
            item: the image.
            name: of its files, below graphs/, numbered/ and deviations/.

        Returns:
            The record, and whether it is new.

        Raises:
            ValueError: the image or its label map cannot be used.
            OSError: a file is missing.
        """
        graph_path = self.results / "graphs" / f"{name}.json"
        figure_path = self.results / "numbered" / f"{name}.png"
        record_path = self.results / "deviations" / f"{name}.json"
        fingerprint = self._fingerprint(item)
        old = read_typed(record_path, ImageRecord)
        files_exist = graph_path.is_file() and figure_path.is_file()
        if old and old.fingerprint == fingerprint and files_exist and not self.overwrite:
            return old, False
        found = self._explained(item)
        for path in (graph_path, figure_path, record_path):
            require_below(path, self.results)
            path.parent.mkdir(parents=True, exist_ok=True)
        # The record is written last: its presence means that all files are complete.
        record_path.unlink(missing_ok=True)
        width, height = upright_size(item.image)
        shown = self._shown((height, width))
        large = load_fitted(item.image, shown.scaled(LONG_SIDE / max(shown.size)))
        title = f"{found.class_name} {found.probability:.3f}"
        draw_numbered(large, found.regions, ranked=found.ranked, title=title, path=figure_path)
        graph = found.graph(
            (height, width),
            self.network.fit,
            attributes=self.attributes,
            relations=self.relations,
        )
        write_json(graph_path, msgspec.to_builtins(graph))
        record = found.record(item.name, fingerprint)
        write_typed(record_path, record)
        return record, True

    def _shown(self, size: tuple[int, int]) -> Fit:
        """Return what an image of this size (H, W) is drawn as: what the network saw of it."""
        return self.network.fit if self.network.fit.method == "crop" else Fit(size)

    def _explained(self, item: Item) -> ConceptExplanation:
        image = load_fitted(item.image, self.network.fit)
        return explain_concepts(
            self.network,
            image,
            self.segmentation(item.image, item.name, image),
            category=class_of(item.name, self.network.labels),
            baseline=self.baseline,
            relevant=self.relevant,
            batch_size=self.batch_size,
        )

    def _fingerprint(self, item: Item) -> Fingerprint:
        return Fingerprint(
            image=file_sha256(item.image),
            model=msgspec.convert(self.network.description(), Model),
            segmentation=MapSource(**self.segmentation.identity(item.name)),
            baseline=self.baseline,
            relevant=self.relevant,
            attributes=self.attributes,
            relations=self.relations,
            in_image=self.network.fit.method == "crop",
        )


def require_names(regions: str | None) -> None:
    """Raise UserError for a source of regions without names to compare."""
    if regions in (None, SUPERPIXELS):
        raise UserError(
            "--regions: give a label map, a folder of them or a segmentation network; superpixels "
            "(slic) have no names that a person or another image shares, so nothing could be "
            "compared"
        )


@dataclass(frozen=True, kw_only=True)
class Explained:
    """What became of the images of a run."""

    explainer: Explainer
    records: list[ImageRecord]
    names: list[str]  # of the records' files
    failures: list[tuple[str, str]]  # (name, reason)
    interrupted: bool

    @property
    def report(self) -> ExplainReport:
        """What holds for each class."""
        return ExplainReport(
            model=msgspec.convert(self.explainer.network.description(), Model),
            baseline=self.explainer.baseline,
            relevant=self.explainer.relevant,
            classes=explained_classes(self.records, self.explainer.relevant),
            graphs=self.names,
            failed=[Failed(name, reason) for name, reason in self.failures],
            versions=versions(),
        )

    def write(self) -> ExplainReport:
        """Write concepts.csv and explain.json; return the report."""
        results = self.explainer.results
        report = self.report
        write_csv(results / "concepts.csv", concept_rows(self.records), ConceptRow)
        write_typed(results / "explain.json", report)
        return report


def explain_images(explainer: Explainer, items: Sequence[Item], names: Sequence[str]) -> Explained:
    """Explain each image, until the user interrupts.

    Errors are recorded among the failures; the run continues.

    explain.json is removed first and written when the graphs are made: compare takes the graphs
    that it names, and no older ones.

    Args:
        explainer: what to explain them with.
        items: the images.
        names: of their files.
    """
    (explainer.results / "explain.json").unlink(missing_ok=True)
    outcome = explain_each(explainer.explain, items, names, label="explain")
    return Explained(
        explainer=explainer,
        records=outcome.records,
        names=[name for one, name in zip(outcome.images, names) if one.error is None],
        failures=outcome.failures,
        interrupted=outcome.interrupted,
    )


# ---------------------------------------------------------------- tables


class ConceptRow(msgspec.Struct, kw_only=True, rename={"category": "class"}):
    """A row of concepts.csv: one region of one image."""

    image: str
    category: str
    predicted: str
    correct: bool
    probability: float
    region: int
    concept: str
    deviation: float
    area: float
    relevant: bool


def concept_rows(records: Sequence[ImageRecord]) -> list[ConceptRow]:
    """Return the rows of concepts.csv."""
    return [
        ConceptRow(
            image=record.image,
            category=record.category,
            predicted=record.predicted,
            correct=record.correct,
            probability=record.probability,
            **msgspec.structs.asdict(concept),
        )
        for record in records
        for concept in record.concepts
    ]


def explained_classes(records: Sequence[ImageRecord], relevant: float) -> dict[str, ExplainedClass]:
    """Return for each class how its concepts support it, the most supporting first."""
    classes = {}
    for name in sorted({record.category for record in records}):
        own = [record for record in records if record.category == name]
        deviations: dict[str, list[float]] = {}
        for record in own:
            for concept in record.concepts:
                deviations.setdefault(concept.concept, []).append(concept.deviation)
        by_mean = sorted(deviations.items(), key=lambda entry: -np.mean(entry[1]))
        classes[name] = ExplainedClass(
            images=len(own),
            correct=sum(record.correct for record in own),
            concepts={concept: _concept_mean(values, relevant) for concept, values in by_mean},
        )
    return classes


def _concept_mean(deviations: Sequence[float], relevant: float) -> ConceptMean:
    return ConceptMean(
        present=len(deviations),
        relevant=sum(value > relevant for value in deviations),
        deviation=float(np.mean(deviations)),
    )
