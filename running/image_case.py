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
from scoring.networks import Network, class_probabilities
from scoring.patch_sets import PatchSet
from scoring.patches import tents
from scoring.regions import Regions
from scoring.scorer import MaskScorer, Probabilities, auto_batch_size, image_probabilities
from scoring.token_dropping import TokenDropping


@dataclass(frozen=True)
class ImageCase:
    """One image and class, ready to be scored.

    Attributes:
        image: (3, H, W), normalised.
        baseline: (3, H, W), normalised; what is seen where patches are hidden.
        category: class index.
        grid: rows and columns; 1 and the number of regions for named regions.
        basis: (patches, H * W), the weight of every patch at every pixel.
        regions: in place of the grid, or None.
        dropped: the transformer that leaves hidden tokens out, or None.
    """

    image: torch.Tensor
    baseline: torch.Tensor
    category: int
    grid: tuple[int, int]
    basis: torch.Tensor
    regions: Regions | None
    dropped: TokenDropping | None

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
    ) -> "ImageCase":
        """Prepare an image (H, W, 3) uint8 RGB for scoring.

        Args:
            network: the network.
            image: of the network's input size.
            category: class index.
            baseline: a name of get_perturbation_mask.BASELINES.
            grid: rows and columns of patches.
            regions: in place of the grid.
        """
        prepared = network.prepare(image)
        if regions:
            grid = (1, len(regions.names))
            basis = regions.basis()
        else:
            basis = tents(grid, network.size)
        return cls(
            image=prepared,
            baseline=network.prepare(make_baseline(image, baseline)),
            category=category,
            grid=grid,
            basis=basis.to(prepared.device),
            regions=regions,
            dropped=TokenDropping(network.module, prepared, grid) if baseline == "drop" else None,
        )

    @property
    def num_patches(self) -> int:
        """Number of patches or regions."""
        return len(self.basis)

    @property
    def everything(self) -> PatchSet:
        """The set of all patches."""
        return tuple(range(self.num_patches))

    @property
    def region_basis(self) -> torch.Tensor | None:
        """The basis of the regions; None for a grid."""
        return self.basis if self.regions else None

    def probabilities(self, forward: Callable[[torch.Tensor], torch.Tensor]) -> Probabilities:
        """Return a callable from masks to the class's probabilities.

        Args:
            forward: images to logits; not used where tokens are dropped.
        """
        dropped = self.dropped
        if dropped is not None:
            return lambda masks: class_probabilities(dropped(masks))[:, self.category]
        return image_probabilities(
            forward,
            self.image,
            baseline=self.baseline,
            category=self.category,
            basis=self.basis,
        )

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
            batch_size=batch_size or auto_batch_size(self.image),
            deadline=deadline,
            on_scored=on_scored,
        )
