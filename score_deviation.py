"""Score deviation maps: which named things support the class, and which distract from it?

For every label l present, I_l is the image with all pixels of l replaced by the fill (ImageNet's mean colour). The
*score deviation* of l for class c is d_l(c) = y_c(I) - y_c(I_l), from -1 to 1: above 0 the label supports the class,
near 0 it is irrelevant, below 0 it distracts.

After Lopez-Cifuentes, Escudero-Vinolo, Gajic and Bescos, "Visualizing the Effect of Semantic Classes in the Attribution of
Scene Recognition Models", ICPR 2020 workshops.
"""

import numpy as np

from get_perturbation_mask import make_baseline
from mask_scorer import MaskScorer
from regions import Regions
from utils import Network


# ---------------------------------------------------------------- the method

def score_deviations(network: Network, image: np.ndarray, labels: np.ndarray, fill: str = "mean",
                     batch_size: int | str = "auto") -> tuple[list[int], np.ndarray]:
    """How much of each class's probability hangs on each label of a picture.

    image: (H, W, 3) uint8 at the network's size; labels: (H, W) int, a number per pixel. fill: what replaces a
    label's pixels, a name of make_baseline(). -> the numbers present, ascending, and d (labels, classes) float32 with
    d[i, c] = y_c(I) - y_c(I without label i). One forward pass a label and one for I.
    """
    regions = Regions.of(labels)
    return regions.numbers, deviations_of(network, image, regions, fill, batch_size)[1]


def deviations_of(network: Network, image: np.ndarray, regions: Regions, fill: str = "mean",
                  batch_size: int | str = "auto") -> tuple[np.ndarray, np.ndarray]:
    """-> (y (classes,), d (regions, classes)) float32: the image's probabilities, and how much of each goes with each region."""
    assert image.shape[:2] == regions.index.shape, (image.shape, regions.index.shape)
    x, filled = network.prepare(image), network.prepare(make_baseline(image, fill))     # filled before normalisation
    scorer = MaskScorer(network.module, x, filled, None, batch_size=batch_size, basis=regions.basis())
    y = scorer.without([()]).numpy()[0]
    return y, y - scorer.without([(i,) for i in range(len(regions.names))]).numpy()
