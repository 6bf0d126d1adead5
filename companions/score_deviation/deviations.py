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
    """
    start = time.monotonic()
    full, without = probabilities_without(
        network, image, regions, baseline=baseline, batch_size=batch_size
    )
    predicted = int(full.argmax())
    if category is None:
        category = predicted
    return Deviations(
        category=Category(category, network.labels[category]),
        probability=float(full[category]),
        predicted=_class_probability(network, full, predicted),
        true=None if true_class is None else _true_class(network, full, true_class),
        baseline=baseline,
        regions=_label_map(regions),
        labels=_label_deviations(
            network, regions, full=full, without=without, category=category, true_class=true_class
        ),
        evaluations=1 + len(without),
        seconds=time.monotonic() - start,
    )


def _label_map(regions: Regions) -> LabelMap:
    return LabelMap(
        names=regions.names, labels=regions.numbers, areas=regions.areas(), map=regions.png()
    )


def _class_probability(network: Network, row: np.ndarray, index: int) -> ClassProbability:
    return ClassProbability(index, network.labels[index], float(row[index]))


def _true_class(network: Network, full: np.ndarray, index: int) -> TrueClass:
    order = np.argsort(-full, kind="stable").tolist()
    return TrueClass(
        index=index,
        name=network.labels[index],
        probability=float(full[index]),
        rank=1 + order.index(index),
    )


def _label_deviations(
    network: Network,
    regions: Regions,
    *,
    full: np.ndarray,
    without: np.ndarray,
    category: int,
    true_class: int | None,
) -> list[LabelDeviation]:
    """Return what the record says of each region."""
    deviation = full - without  # (regions, classes)
    predicted = int(full.argmax())
    areas = regions.areas()
    labels = []
    for region, row in enumerate(without):
        labels.append(
            LabelDeviation(
                label=regions.numbers[region],
                name=regions.names[region],
                area=areas[region],
                deviation=float(deviation[region, category]),
                probability=float(row[category]),
                true_deviation=(
                    None if true_class is None else float(deviation[region, true_class])
                ),
                top=_class_probability(network, row, int(row.argmax())),
                predicted_deviation=float(deviation[region, predicted]),
            )
        )
    return labels
