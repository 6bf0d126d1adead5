"""Score deviations: how much of each class's probability depends on each region of an image.

For every label l present in the image I, I_l is I with all pixels of l replaced by the baseline. With y_c the
probability of class c, the score deviation of l for c is

    d_l(c) = y_c(I) - y_c(I_l),    from -1 to 1,

above 0 where the label supports the class, near 0 where it is irrelevant, below 0 where it distracts.

    numbers, deviations = score_deviations(network, image, labels)      # (regions,), (regions, classes)
    full, without = probabilities_without(network, image, Regions.of(labels), baseline="blur")

After Lopez-Cifuentes, Escudero-Vinolo, Gajic and Bescos, "Visualizing the Effect of Semantic Classes in the Attribution
of Scene Recognition Models", ICPR 2020 workshops. The baseline is a colour before normalisation, as the paper says (the
released program paints the mean after normalisation, which is another colour).
"""

import numpy as np

from get_perturbation_mask import make_baseline
from scoring.networks import Network
from scoring.regions import Regions
from scoring.scorer import MaskScorer


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
        network: The network to explain.
        image: (H, W, 3) uint8 array, at the network's input size.
        labels: (H, W) int array, the label of each pixel.
        baseline: What replaces the pixels of a label, a name that make_baseline() takes.
        batch_size: Images per forward pass, or "auto".

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

    One forward pass per region and one for the image.

    Args:
        network: The network to explain.
        image: (H, W, 3) uint8 array, at the network's input size.
        regions: The regions of the image, with an index map of (H, W).
        baseline: What replaces the pixels of a region, a name that make_baseline() takes.
        batch_size: Images per forward pass, or "auto".

    Returns:
        (classes,) float32 of the full image, and (regions, classes) float32.
    """
    assert image.shape[:2] == regions.index.shape, (image.shape, regions.index.shape)
    prepared = network.prepare(image)
    replaced = network.prepare(make_baseline(image, baseline))
    scorer = MaskScorer(
        network.module, prepared, replaced, None, batch_size=batch_size, basis=regions.basis()
    )
    hidden = [(), *((region,) for region in range(len(regions.names)))]
    probabilities = scorer.without(hidden).numpy()
    return probabilities[0], probabilities[1:]
