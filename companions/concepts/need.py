"""How much a network needs a concept: by score deviation, and by its minimal sufficient sets.

    need = need_of(network, image, regions, region=2, category=0)
    need.deviation, need.named              # 0.71, NeedCount(found=3, needing=2)

An MSE on named regions needs the concept where it contains it: no region of an MSE can be left out.
An MSE of patches needs it where the same patches are no longer sufficient once the concept's pixels
are replaced as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from companions.concepts.records import NeedShares, NeedSummary
from get_perturbation_mask import igos_mask, make_baseline
from scoring.networks import Network
from scoring.questions import answer
from scoring.regions import Regions
from scoring.scorer import MaskScorer, score_image
from search import beam_search, exhaustive_search

PROB_THRESH = 0.9  # sufficient: above this share of the full image's confidence
EXHAUSTIVE_UP_TO = 8  # regions: all their sets are scored; with more, a beam search is used


@dataclass(frozen=True)
class NeedCount:
    """How many MSEs an image has, and how many of them need the concept."""

    found: int
    needing: int


@dataclass(frozen=True)
class Need:
    """How much a class needs a concept in one image.

    Attributes:
        probability: of the class, on the full image.
        deviation: score deviation of the concept.
        named: MSEs on named regions.
        patches: MSEs on patches.
    """

    probability: float
    deviation: float
    named: NeedCount
    patches: NeedCount


def need_of(
    network: Network,
    image: np.ndarray,
    regions: Regions,
    *,
    region: int,
    category: int,
    baseline: str = "mean",
    grid: int = 7,
) -> Need:
    """Return how much a class needs one region of an image.

    Args:
        network: the network.
        image: (H, W, 3) uint8, at the network's size.
        regions: of the image.
        region: index of the concept among them.
        category: index of the class.
        baseline: what hides regions and patches; see make_baseline.
        grid: side of the grid of patches.
    """
    hidden = make_baseline(image, baseline)
    scorer = score_image(
        network.module,
        network.prepare(image),
        baseline=network.prepare(hidden),
        category=category,
        basis=regions.basis(),
    )
    full, without = scorer.without([(), (region,)]).tolist()
    without_concept = np.where((regions.index == region)[..., None], hidden, image)
    return Need(
        probability=full,
        deviation=full - without,
        named=count_on_regions(scorer, region),
        patches=count_on_patches(
            network,
            image,
            without_concept=without_concept,
            hidden=hidden,
            category=category,
            grid=grid,
        ),
    )


def count_on_regions(scorer: MaskScorer, region: int) -> NeedCount:
    """Count the MSEs on named regions, and those that contain one region.

    Many regions are searched with a beam, the most supporting first.
    """
    count = scorer.num_patches
    if count <= EXHAUSTIVE_UP_TO:
        found = answer(exhaustive_search(count, prob_thresh=PROB_THRESH, max_size=count), scorer)
    else:
        saliency = scorer.without([(i,) for i in range(count)])
        found = answer(beam_search(saliency, prob_thresh=PROB_THRESH), scorer)
    needing = sum(region in mse.patches for mse in found.mses)
    return NeedCount(len(found.mses), needing)


def count_on_patches(
    network: Network,
    image: np.ndarray,
    *,
    without_concept: np.ndarray,
    hidden: np.ndarray,
    category: int,
    grid: int,
) -> NeedCount:
    """Count the MSEs on the main command's patches, and those not sufficient without the concept.

    Args:
        network: the network.
        image: (H, W, 3) uint8, at the network's size.
        without_concept: the same, with the concept's pixels replaced.
        hidden: what is seen where patches are hidden.
        category: index of the class.
        grid: side of the grid of patches.
    """
    cells = (grid, grid)
    x = network.prepare(image)
    baseline = network.prepare(hidden)
    scorer = score_image(network.module, x, baseline=baseline, category=category, grid=cells)
    saliency = igos_mask(network.module, x, baseline=baseline, category=category, grid=cells)
    found = answer(beam_search(saliency, prob_thresh=PROB_THRESH), scorer)
    if not found.mses:
        return NeedCount(0, 0)
    prepared = network.prepare(without_concept)
    scorer_without = score_image(
        network.module, prepared, baseline=baseline, category=category, grid=cells
    )
    left = scorer_without([mse.patches for mse in found.mses])
    threshold = PROB_THRESH * float(scorer([range(grid**2)])[0])
    return NeedCount(len(found.mses), int((left <= threshold).sum()))


# ---------------------------------------------------------------- over images


def summarise(needs: Sequence[Need], relevant: float) -> NeedSummary:
    """Return the need of a concept over images.

    Args:
        needs: one per image.
        relevant: a concept supports the class above this score deviation.
    """
    deviations = [need.deviation for need in needs]
    return NeedSummary(
        images=len(needs),
        deviation=float(np.mean(deviations)) if needs else None,
        relevant=_share(sum(d > relevant for d in deviations), len(needs)),
        named=_shares([need.named for need in needs]),
        patches=_shares([need.patches for need in needs]),
    )


def _shares(counts: Sequence[NeedCount]) -> NeedShares:
    with_mse = [count for count in counts if count.found]
    mses = sum(count.found for count in with_mse)
    return NeedShares(
        images=len(with_mse),
        mses=mses,
        mses_needing=_share(sum(count.needing for count in with_mse), mses),
        sags_needing=_share(sum(c.needing == c.found for c in with_mse), len(with_mse)),
        sags_with_one=_share(sum(c.needing > 0 for c in with_mse), len(with_mse)),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
