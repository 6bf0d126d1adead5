"""One image and class, with what hides a patch: everything that a scorer of it needs.

    case = ImageCase.of(network, image, category=84, baseline="black", grid=(7, 7))
    scorer = case.scorer(network.module)
    scorer([(11, 30)])

The scorer's memo is empty; several scorers of one case share nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from get_perturbation_mask import make_baseline
from scoring.networks import Network, confidence
from scoring.patch_sets import PatchSet
from scoring.patches import Basis, Matrix, compose, tents_on
from scoring.regions import Regions
from scoring.requests import Slot
from scoring.scorer import MaskScorer, Probabilities
from scoring.speed import auto_batch_size
from scoring.token_dropping import TokenDropping


@dataclass(frozen=True)
class ImageCase:
    """One image and class, ready to be scored.

    Attributes:
        slot: image, baseline, class and patches, on the device.
        grid: rows and columns; 1 and the number of regions for named regions.
        regions: in place of the grid, or None.
    """

    slot: Slot
    grid: tuple[int, int]
    regions: Regions | None

    @classmethod
    def of(
        cls,
        network: Network,
        image: np.ndarray,
        *,
        category: int,
        baseline: str,
        grid: tuple[int, int],
        regions: Regions | None = None,
        against: int | None = None,
    ) -> "ImageCase":
        """Prepare an image (H, W, 3) uint8 RGB for scoring.

        Args:
            network: the network.
            image: of the network's input size.
            category: class index.
            baseline: a name of get_perturbation_mask.BASELINES.
            grid: rows and columns of patches.
            regions: in place of the grid.
            against: the class against which the confidence is measured; None: all others.
        """
        prepared = network.prepare(image)
        basis: Basis
        if regions:
            grid = (1, len(regions.names))
            basis = Matrix(regions.basis().view(-1, *network.size)).to(prepared.device)
        else:
            basis = tents_on(grid, network.size, prepared.device)
        slot = Slot(
            image=prepared,
            baseline=network.prepare(make_baseline(image, baseline)),
            category=category,
            basis=basis,
            dropped=TokenDropping(network.module, prepared, grid) if baseline == "drop" else None,
            against=against,
        )
        return cls(slot, grid, regions)

    @property
    def category(self) -> int:
        """Class index."""
        return self.slot.category

    @property
    def num_patches(self) -> int:
        """Number of patches or regions."""
        return self.slot.num_patches

    @property
    def everything(self) -> PatchSet:
        """The set of all patches."""
        return tuple(range(self.num_patches))

    def probabilities(self, forward: Callable[[torch.Tensor], torch.Tensor]) -> Probabilities:
        """Return a callable from masks to the class's probabilities.

        Args:
            forward: images to logits; not used where tokens are dropped.
        """
        slot = self.slot
        dropped = slot.dropped
        if dropped is not None:
            return lambda masks: confidence(dropped(masks), slot.category, slot.against)

        def probabilities(masks: torch.Tensor) -> torch.Tensor:
            weights = slot.basis.weights(masks.to(slot.image.device))
            images = compose(weights, slot.image, slot.baseline)
            return confidence(forward(images), slot.category, slot.against)

        return probabilities

    def scorer(
        self,
        forward: Callable[[torch.Tensor], torch.Tensor],
        *,
        batch_size: int | None = None,
        deadline: float | None = None,
        on_scored: Callable[[int], None] | None = None,
    ) -> MaskScorer:
        """Return a scorer with an empty memo; see MaskScorer for the arguments."""
        return MaskScorer(
            self.probabilities(forward),
            self.num_patches,
            batch_size=batch_size or auto_batch_size(self.slot.image),
            deadline=deadline,
            on_scored=on_scored,
        )
