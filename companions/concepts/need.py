"""How much a network still needs a concept: by score deviation, and by the sets of regions or patches that are enough.

    need = need_of(network, image, regions, region=2, category=0)
    need.deviation, need.named                          # 0.71, Roots(found=3, needing=2)

An MSE on named regions needs the concept where it contains it: no MSE contains what can go. An MSE of patches needs it
where the same patches are no longer sufficient once the concept's pixels are filled as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from get_perturbation_mask import igos_mask, make_baseline
from scoring.scorer import MaskScorer
from scoring.regions import Regions
from search import Root, beam_search, exhaustive_search
from scoring.networks import Network

PROB_THRESH = 0.9  # sufficient: above this share of the full image's confidence
EXHAUSTIVE_UP_TO = (
    8  # regions: all their sets are asked about; more of them are searched with a beam
)


@dataclass(frozen=True)
class Roots:
    """How many MSEs an image has, and how many of them need the concept."""

    found: int
    needing: int


@dataclass(frozen=True)
class Need:
    """One image. deviation: of the concept, for the class; named, patches: MSEs on named regions and on patches."""

    probability: float
    deviation: float
    named: Roots
    patches: Roots


def need_of(
    network: Network,
    image: np.ndarray,
    regions: Regions,
    region: int,
    category: int,
    fill: str = "mean",
    grid: int = 7,
) -> Need:
    """How much the class hangs on a region of a picture (H, W, 3) uint8. fill: what hides, as in make_baseline()."""
    scorer = MaskScorer(
        network.module,
        network.prepare(image),
        network.prepare(make_baseline(image, fill)),
        category,
        basis=regions.basis(),
    )
    full, without = scorer.without([(), (region,)]).tolist()
    return Need(
        full,
        full - without,
        named_roots(scorer, len(regions.names), region),
        patch_roots(network, image, regions.index == region, category, fill, grid),
    )


def named_roots(scorer: MaskScorer, count: int, region: int) -> Roots:
    """MSEs whose patches are the regions 0 .. count - 1. Many regions are searched with a beam, most supporting first."""
    if count <= EXHAUSTIVE_UP_TO:
        roots = exhaustive_search(scorer, count, PROB_THRESH, count)
    else:
        roots = beam_search(scorer, scorer.without([(i,) for i in range(count)]), PROB_THRESH)
    return Roots(len(roots), sum(region in root.patches for root in roots))


def patch_roots(
    network: Network, image: np.ndarray, concept: np.ndarray, category: int, fill: str, grid: int
) -> Roots:
    """MSEs of the main job's patches, and those that are not enough without the concept's pixels, (H, W) bool."""
    filled, cells = make_baseline(image, fill), (grid, grid)
    x, b = network.prepare(image), network.prepare(filled)
    scorer = MaskScorer(network.module, x, b, category, cells)
    roots: Sequence[Root] = beam_search(
        scorer, igos_mask(network.module, x, b, category, cells), PROB_THRESH
    )
    if not roots:
        return Roots(0, 0)
    without = np.where(concept[..., None], filled, image)
    left = MaskScorer(network.module, network.prepare(without), b, category, cells)(
        [r.patches for r in roots]
    )
    threshold = PROB_THRESH * float(scorer([range(grid**2)])[0])
    return Roots(len(roots), int((left <= threshold).sum()))


def summary(needs: Sequence[Need], relevant: float) -> dict:
    """Over images: mean deviation, share above `relevant`, and the shares of MSEs and of SAGs (images with an MSE) that need the concept.

    A share is None where there is nothing to take it of. A SAG needs the concept where every one of its MSEs does.
    """

    def share(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    rows = {
        "images": len(needs),
        "deviation": float(np.mean([n.deviation for n in needs])) if needs else None,
        "relevant": share(sum(n.deviation > relevant for n in needs), len(needs)),
    }
    for kind in ("named", "patches"):
        roots = [r for n in needs if (r := getattr(n, kind)).found]
        rows[kind] = {
            "images": len(roots),
            "mses": sum(r.found for r in roots),
            "mses_needing": share(sum(r.needing for r in roots), sum(r.found for r in roots)),
            "sags_needing": share(sum(r.needing == r.found for r in roots), len(roots)),
            "sags_with_one": share(sum(r.needing > 0 for r in roots), len(roots)),
        }
    return rows
