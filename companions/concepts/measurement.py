"""What every network of `concept_debug.py improve` is measured on.

Accuracy on test images, and on images with the cue swapped where there are any; and on test images
of one class that show a concept, how much the class needs it (need.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from companions.concepts.graphs import RELEVANT
from companions.concepts.labelled_images import Labelled, accuracy
from companions.concepts.need import need_of, summarise
from companions.concepts.records import (
    Accuracy,
    BenchKey,
    CompareReport,
    NeedSummary,
    read_typed,
)
from companions.score_deviation.record import MapSource
from companions.score_deviation.scene_sets import Item
from scoring.fitting import Fit, load_fitted
from scoring.labels import category_index, plain_name
from scoring.networks import Network
from scoring.regions import Regions
from scoring.segmentation import Segmentation
from utils import UserError

Failures = list[tuple[str, str]]


@dataclass(frozen=True)
class Question:
    """Which class's need of which concept is measured, and on what.

    Attributes:
        category: index of the class.
        class_name: its name.
        concept: name of the concept.
        scenes: test images of the class that show the concept.
        segmentation: where the concept is in them.
    """

    category: int
    class_name: str
    concept: str
    scenes: list[Item]
    segmentation: Segmentation

    def sources(self) -> list[tuple[str, MapSource]]:
        """Return the name of each scene, and where its regions come from."""
        return [
            (item.name, MapSource(**self.segmentation.identity(item.name))) for item in self.scenes
        ]


@dataclass(frozen=True)
class Measurements:
    """What was measured of a network."""

    test: Accuracy
    swapped: Accuracy | None
    need: NeedSummary | None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What every network is measured on.

    Attributes:
        test: test images.
        swapped: test images in which the cue is swapped, if any.
        question: the need to measure, if any.
        baseline: what replaces a region or hides a patch.
        batch_size: images per forward pass, or "auto".
    """

    test: Labelled
    swapped: Labelled | None = None
    question: Question | None = None
    baseline: str = "mean"
    batch_size: int | str = "auto"

    def key(self) -> BenchKey:
        """Return what must be the same for a measurement to stand."""
        asked = self.question
        return BenchKey(
            test=self.test.identity(),
            swapped=self.swapped.identity() if self.swapped else None,
            category=asked.category if asked else None,
            concept=asked.concept if asked else None,
            baseline=self.baseline,
            scenes=asked.sources() if asked else [],
        )

    def measure(self, network: Network, name: str, failures: Failures) -> Measurements:
        """Measure a network.

        Args:
            network: the network.
            name: for the progress bars.
            failures: (name, reason) of images that cannot be read is added to it.
        """
        total = len(self.test) + len(self.swapped or ())
        with tqdm(total=total, desc=f"measure {name}", unit="image", disable=None) as bar:

            def accuracy_on(images: Labelled) -> Accuracy:
                return accuracy(
                    network,
                    images,
                    failures=failures,
                    batch_size=self.batch_size,
                    on_batch=bar.update,
                )

            test = accuracy_on(self.test)
            swapped = accuracy_on(self.swapped) if self.swapped else None
        return Measurements(test, swapped, self._need(network, name))

    def _need(self, network: Network, name: str) -> NeedSummary | None:
        asked = self.question
        if asked is None:
            return None
        needs = []
        for item in tqdm(asked.scenes, desc=f"need, {name}", unit="image", disable=None):
            found = find_concept(asked.segmentation, item, fit=network.fit, concept=asked.concept)
            assert found, item.name
            needs.append(
                need_of(
                    network,
                    found.image,
                    found.regions,
                    region=found.region,
                    category=asked.category,
                    baseline=self.baseline,
                )
            )
        return summarise(needs, RELEVANT)


# ---------------------------------------------------------------- finding the concept


@dataclass(frozen=True)
class FoundConcept:
    """An image (H, W, 3) uint8, its regions, and the index of the one that is the concept."""

    image: np.ndarray
    regions: Regions
    region: int


def find_concept(
    segmentation: Segmentation, item: Item, *, fit: Fit, concept: str
) -> FoundConcept | None:
    """Return where an image shows a concept; None where it does not, or cannot be read."""
    try:
        image = load_fitted(item.image, fit)
        regions = segmentation(item.image, item.name, image)
    except ValueError:
        return None
    names = [plain_name(name) for name in regions.names]
    if plain_name(concept) not in names:
        return None
    return FoundConcept(image, regions, names.index(plain_name(concept)))


def question_of(
    test: Labelled,
    network: Network,
    *,
    segmentation: Segmentation,
    category: str | None,
    concept: str | None,
    scenes: int,
    results: Path,
) -> Question:
    """Return the need to measure.

    Args:
        test: test images.
        network: the network as it was given.
        segmentation: where concepts are in them.
        category: name or index of the class; None: the most confounded one in compare.json.
        concept: name of the concept; None: that class's most confounded one.
        scenes: number of test images to measure on, at most.
        results: folder of compare.json.

    Raises:
        UserError: there is no such class, or no test image of it shows the concept.
    """
    if not (category and concept):
        category, concept = _most_confounded(
            results, network.labels, category=category, concept=concept
        )
    index = _index(category, network.labels)
    own = [item for item, target in zip(test.items, test.targets, strict=True) if target == index]
    shows_concept = partial(find_concept, segmentation, fit=network.fit, concept=concept)
    shown = list(islice(filter(shows_concept, own), scenes))
    if not shown:
        raise UserError(f"--concept {concept}: no test image of {category} shows it")
    return Question(
        category=index,
        class_name=network.labels[index],
        concept=concept,
        scenes=shown,
        segmentation=segmentation,
    )


def _index(category: str, labels: Sequence[str]) -> int:
    try:
        return category_index(category, labels)
    except ValueError as error:
        raise UserError(f"--category {category}: {error}") from None


def _most_confounded(
    results: Path, labels: Sequence[str], *, category: str | None, concept: str | None
) -> tuple[str, str]:
    """Return class and concept of the most confounded pair that agrees with what is given."""
    path = results / "compare.json"
    report = read_typed(path, CompareReport)
    pairs = report.confounded if report else []
    if category is not None:
        wanted = labels[_index(category, labels)]
        pairs = [pair for pair in pairs if pair.category == wanted]
    if not pairs:
        of_class = f" of {category}" if category else ""
        raise UserError(
            f"--category, --concept: give both; {path} has no confounded concept{of_class}"
        )
    return pairs[0].category, concept or pairs[0].concept
