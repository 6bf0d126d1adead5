"""Score deviations: how much of each class's probability depends on each region of an image.

For every label l present in the image I, I_l is I with all pixels of l replaced by the baseline.
With y_c the probability of class c, the score deviation of l for c is

    d_l(c) = y_c(I) - y_c(I_l),    from -1 to 1,

above 0 where the label supports the class, near 0 where it is irrelevant, below 0 where it
distracts.

    network = load_network("resnet50")
    image = load_image(Path("kitchen.jpg"), network.size)
    regions = Segmentation("slic", segments=40)(Path("kitchen.jpg"), "kitchen.jpg", image)
    found = explain_regions(network, image, regions)        # Deviations, typed
    found.category.name, found.labels[0].name, found.labels[0].deviation
    numbers, deviations = score_deviations(network, image, regions.index)   # for all classes

After Lopez-Cifuentes, Escudero-Vinolo, Gajic and Bescos, "Visualizing the Effect of Semantic
Classes in the Attribution of Scene Recognition Models", ICPR 2020 workshops. The baseline is a
colour before normalisation, as the paper says; the released program writes the mean after
normalisation, which is another colour: the baseline "published".
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from companions.score_deviation.record import (
    ClassProbability,
    Deviations,
    LabelDeviation,
    LabelMap,
    TrueClass,
)
from drawing.record import Category
from get_perturbation_mask import make_baseline
from scoring.networks import Network
from scoring.regions import Regions
from scoring.scorer import score_image

PUBLISHED = "published"  # name of the released program's fill
# What it writes into normalised images: by ImageNet's mean and std, the colour (152, 142, 127).
PUBLISHED_FILL = (0.485, 0.456, 0.406)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What the network says of an image, whole and without each of its regions.

    Attributes:
        full: (classes,) float32 probabilities.
        without: (regions, classes) float32.
        classes: their names.
        regions: numbers, names and areas of the regions.
        baseline: what replaced their pixels.
    """

    full: np.ndarray
    without: np.ndarray
    classes: Sequence[str]
    regions: LabelMap
    baseline: str

    def named(self, row: np.ndarray, index: int) -> ClassProbability:
        """Return a class of a row of probabilities, with its name."""
        return ClassProbability(index, self.classes[index], float(row[index]))


def score_deviations(
    network: Network,
    image: np.ndarray,
    labels: np.ndarray,
    *,
    baseline: str = "mean",
    batch_size: int | str = "auto",
) -> tuple[list[int], np.ndarray]:
    """Return the score deviation of every label in an image for every class.

    Args:
        network: the network to explain.
        image: (H, W, 3) uint8 array, at the network's input size.
        labels: (H, W) int array, the label of each pixel.
        baseline: what replaces the pixels of a label, a name that hidden_image() takes.
        batch_size: images per forward pass, or "auto".

    Returns:
        The labels present, ascending, and their deviations, (labels, classes) float32.
    """
    regions = Regions.of(labels)
    full, without = probabilities_without(
        network, image, regions, baseline=baseline, batch_size=batch_size
    )
    return regions.numbers, full - without


def probabilities_without(
    network: Network,
    image: np.ndarray,
    regions: Regions,
    *,
    baseline: str = "mean",
    batch_size: int | str = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """Return the class probabilities of an image, and of the image without each of its regions.

    One forward pass per region and one for the full image.

    Args:
        network: the network to explain.
        image: (H, W, 3) uint8 array, at the network's input size.
        regions: the regions of the image, with an index map of (H, W).
        baseline: what replaces the pixels of a region, a name that hidden_image() takes.
        batch_size: images per forward pass, or "auto".

    Returns:
        (classes,) float32 of the full image, and (regions, classes) float32.
    """
    assert image.shape[:2] == regions.index.shape, (image.shape, regions.index.shape)
    scorer = score_image(
        network.module,
        network.prepare(image),
        hidden_image(network, image, baseline),
        category=None,
        basis=regions.basis(),
        batch_size=batch_size,
    )
    hidden = [(), *((region,) for region in range(len(regions.names)))]
    probabilities = scorer.without(hidden).numpy()
    return probabilities[0], probabilities[1:]


def hidden_image(network: Network, image: np.ndarray, baseline: str) -> torch.Tensor:
    """Return what is seen of an image where it is hidden, as the network takes it.

    Args:
        network: the network to explain.
        image: (H, W, 3) uint8 array.
        baseline: a name that make_baseline() takes, or "published". A network that sees grey gets
            the mean of the published values.

    Returns:
        Tensor (channels, H, W), float32, normalised, on the network's device.
    """
    if baseline != PUBLISHED:
        return network.prepare(make_baseline(image, baseline))
    fill = torch.tensor(PUBLISHED_FILL)
    if network.channels == 1:
        fill = fill.mean(0, keepdim=True)
    return fill.view(-1, 1, 1).expand(-1, *image.shape[:2]).contiguous().to(network.device)


def explain_regions(
    network: Network,
    image: np.ndarray,
    regions: Regions,
    *,
    category: int | None = None,
    true_class: int | None = None,
    baseline: str = "mean",
    batch_size: int | str = "auto",
    on_scored: Callable[[Scores], None] | None = None,
) -> Deviations:
    """Return the score deviations of an image's regions for one class.

    Args:
        network: the network to explain.
        image: (H, W, 3) uint8 array, at the network's input size.
        regions: the regions of the image.
        category: index of the class to explain; None: the most probable one.
        true_class: index of the true class, where it is known.
        baseline: what replaces the pixels of a region, a name that hidden_image() takes.
        batch_size: images per forward pass, or "auto".
        on_scored: called with the probabilities of all classes.
    """
    start = time.monotonic()
    full, without = probabilities_without(
        network, image, regions, baseline=baseline, batch_size=batch_size
    )
    scores = Scores(
        full=full,
        without=without,
        classes=network.labels,
        regions=_label_map(regions),
        baseline=baseline,
    )
    if on_scored:
        on_scored(scores)
    found = deviations_of(scores, category=category, true_index=true_class)
    found.seconds = time.monotonic() - start
    return found


def _label_map(regions: Regions) -> LabelMap:
    return LabelMap(
        names=regions.names, labels=regions.numbers, areas=regions.areas(), map=regions.png()
    )


def deviations_of(
    scores: Scores, *, category: int | None = None, true_index: int | None = None
) -> Deviations:
    """Return what scores say about one class.

    Args:
        scores: of the image.
        category: index of the class to explain; None: the most probable one.
        true_index: index of the true class, where it is known.
    """
    full = scores.full
    true = None if true_index is None else true_class(full, scores.classes, true_index)
    predicted = int(full.argmax())
    if category is None:
        category = predicted
    return Deviations(
        category=Category(category, scores.classes[category]),
        probability=float(full[category]),
        predicted=scores.named(full, predicted),
        true=true,
        baseline=scores.baseline,
        regions=scores.regions,
        labels=_label_deviations(scores, category=category, true_class=true_index),
        evaluations=1 + len(scores.without),
        seconds=0.0,
    )


def true_class(full: np.ndarray, classes: Sequence[str], index: int) -> TrueClass:
    """Return what the probabilities (classes,) of an image say of its true class."""
    order = np.argsort(-full, kind="stable").tolist()
    return TrueClass(
        index=index,
        name=classes[index],
        probability=float(full[index]),
        rank=1 + order.index(index),
    )


def _label_deviations(
    scores: Scores, *, category: int, true_class: int | None
) -> list[LabelDeviation]:
    """Return what the record says of each region."""
    deviation = scores.full - scores.without  # (regions, classes)
    predicted = int(scores.full.argmax())
    regions = scores.regions
    labels = []
    for region, row in enumerate(scores.without):
        labels.append(
            LabelDeviation(
                label=regions.labels[region],
                name=regions.names[region],
                area=regions.areas[region],
                deviation=float(deviation[region, category]),
                probability=float(row[category]),
                true_deviation=(
                    None if true_class is None else float(deviation[region, true_class])
                ),
                top=scores.named(row, int(row.argmax())),
                predicted_deviation=float(deviation[region, predicted]),
            )
        )
    return labels
