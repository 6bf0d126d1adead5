"""Insecurities: pairs of classes, and the region where the network hesitates between them.

With a_ij the attributions of attribution.py, an insecurity of classes a and b is the region r where

    M_ij = a_ij(a) a_ij(b) a_ij(s)

is largest (s the difficulty of the image), and its strength is the mean of M over r.

    split = Split(network.module, image)                    # image: (3, H, W), normalised
    found = strongest_insecurities(split, image, black, Method(top=6))
    found[0].classes, found[0].strength, found[0].region    # (84, 85), 0.31, (H, W) bool
    probabilities, difficulty = without_regions(
        split, image, baseline, torch.stack([i.region for i in found]), difficulty=certainty
    )

The strength does not know how probable the classes are, so that a pair to which the network gives a
thousandth each can come first. rank="probable" sorts by strength * p_a * p_b; rank="strength" is
the paper's order.

After Wang and Vasconcelos, "Deliberative Explanations: visualizing network insecurities", NeurIPS
2019. The order by probability and the check by removal are this project's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Literal

import numpy as np
import torch
from torch import nn

from companions.deliberative.attribution import (
    Attribution,
    Variant,
    class_maps,
    difficulty_map,
    signed_class_maps,
)
from companions.deliberative.difficulty import Difficulty, Hardness, certainty
from companions.deliberative.own_trunk import PredictorNetwork
from companions.deliberative.published import AT_ONE_PLACE, CLAMP, published_pairs
from companions.deliberative.split import Split
from scoring.networks import Network
from scoring.scorer import score_image

Rank = Literal["probable", "strength"]
MOST_PROBABLE = 5  # classes that are looked at


@dataclass(frozen=True, kw_only=True)
class Method:
    """How insecurities are found, ranked and checked.

    Attributes:
        difficulty: certainty, entropy, or a predictor of hardness.
        attribution: of the difficulty to locations: gradient, ig or second-order; ig also of the
            classes.
        variant: of the attribution, see attribution.py.
        top: number of insecurities, the strongest.
        share: of the image's pixels, the size of a region; above 0, at most 1.
        rank: "probable": by strength times both probabilities; "strength": by strength alone.
        baseline: what replaces a region when it is removed, a name that make_baseline() takes.
        moved: number of places that each region is moved to, to remove as much there.
        seed: of these places.
        batch_size: images per forward pass, or "auto".
        published: whether pairs are found as in the authors' programs, see published.py: then none
            is left out, and rank should be "strength".
        black: where integrated gradients begin, (3, H, W), normalised; None: a black image.
    """

    difficulty: Difficulty = certainty
    attribution: Attribution = "second-order"
    variant: Variant = "cub"
    top: int = 6
    share: float = 0.05
    rank: Rank = "probable"
    baseline: str = "black"
    moved: int = 8
    seed: int = 0
    batch_size: int | str = "auto"
    published: bool = False
    black: torch.Tensor | None = None


def black_image(network: Network, method: Method) -> torch.Tensor:
    """Return where integrated gradients begin, (3, H, W), normalised."""
    if method.black is not None:
        return method.black
    return network.prepare(np.zeros((*network.size, 3), np.uint8))


@dataclass(frozen=True)
class Insecurity:
    """Two classes and where the network hesitates between them."""

    classes: tuple[int, int]  # the more probable one first
    strength: float  # the mean of M over the region
    score: float  # what it is ranked by
    map: torch.Tensor  # M, (h, w), on the CPU
    region: torch.Tensor  # (H, W) bool, on the CPU


def strongest_insecurities(
    split: Split, image: torch.Tensor, black: torch.Tensor, method: Method | None = None
) -> list[Insecurity]:
    """Return the strongest insecurities of an image, the strongest first.

    Pairs whose M is nowhere positive are left out.

    Args:
        split: the network.
        image: (3, H, W), normalised.
        black: a black image, (3, H, W), normalised.
        method: None: the defaults.

    Raises:
        FloatingPointError: the network returns NaN.
    """
    method = method or Method()
    with torch.no_grad():
        logits = split(image[None])[0]
    if not logits.isfinite().all():
        raise FloatingPointError("the model returns NaN")
    classes = logits.topk(min(MOST_PROBABLE, len(logits))).indices.tolist()
    probabilities = logits.softmax(0)
    maps = maps_of_classes(split, image, black, classes=classes, method=method)
    difficult = difficulty_map_for(maps, split, image, black, method=method)
    pairs = published_pairs(maps.cpu().numpy()) if method.published else candidates(maps)
    found = []
    for i, j in pairs:
        product = (maps[i] * maps[j] * difficult).cpu()
        fine, region = region_of(product, tuple(image.shape[1:]), method.share)
        if not region.any() and not method.published:
            continue
        pair = (classes[i], classes[j])
        strength = float(fine[region].mean()) if region.any() else 0.0
        likely = float(probabilities[pair[0]] * probabilities[pair[1]])
        score = strength * likely if method.rank == "probable" else strength
        found.append(Insecurity(pair, strength, score=score, map=product, region=region))
    return sorted(found, key=lambda insecurity: -insecurity.score)[: method.top]


def difficulty_map_for(
    maps: torch.Tensor,
    split: Split,
    image: torch.Tensor,
    black: torch.Tensor,
    *,
    method: Method,
) -> torch.Tensor:
    """Return the attribution of the difficulty at the locations of the classes' maps, (h, w)."""
    found = difficulty_map(
        split,
        image,
        black,
        difficulty=method.difficulty,
        attribution=method.attribution,
        variant=method.variant,
        batch_size=method.batch_size,
    ).to(maps)
    if found.shape == maps.shape[1:]:
        return found
    return upsampled(found[None], tuple(maps.shape[1:]))[0]  # a predictor's trunk of another kind


def maps_of_classes(
    split: Split,
    image: torch.Tensor,
    black: torch.Tensor,
    *,
    classes: Sequence[int],
    method: Method,
) -> torch.Tensor:
    """Return the attributions of the classes' logits without negative values, (classes, h, w).

    As published, these become CLAMP, and the numbers float64, so that products do not vanish.
    """
    start = black if method.attribution == "ig" else None
    if not method.published:
        return class_maps(split, image, classes, black=start, batch_size=method.batch_size)
    signed = signed_class_maps(split, image, classes, black=start, batch_size=method.batch_size)
    kept = signed.cpu().double()  # Apple's MPS has no float64
    return kept.masked_fill(kept < 0, CLAMP)


def candidates(maps: torch.Tensor, at_one_place: int = AT_ONE_PLACE) -> list[tuple[int, int]]:
    """Return the pairs of classes that have evidence at the same location, sorted.

    At each location the classes with the largest attributions take part, and only where these are
    positive: an attribution that was set to 0 says nothing, and ties among zeros would make pairs
    without meaning.

    Args:
        maps: (classes, h, w), at least 0.
        at_one_place: number of classes that take part at each location.
    """
    values, rows = maps.flatten(1).topk(min(at_one_place, len(maps)), dim=0)  # (3, h * w)
    pairs: set[tuple[int, int]] = set()
    for value, row in zip(values.T.tolist(), rows.T.tolist()):
        present = sorted(r for r, v in zip(row, value) if v > 0)
        pairs.update(combinations(present, 2))
    return sorted(pairs)


# ---------------------------------------------------------------- regions


def upsampled(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return maps (N, h, w) at this size (N, H, W), bilinear."""
    return nn.functional.interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0]


def top_region(fine: torch.Tensor, share: float) -> torch.Tensor:
    """Return where a map (H, W) is largest: this share of its pixels, (H, W) bool.

    Of equal values, the upper left ones come first.
    """
    count = max(1, round(share * fine.numel()))
    order = fine.flatten().sort(descending=True, stable=True).indices
    region = torch.zeros(fine.numel(), dtype=torch.bool)
    region[order[:count]] = True
    return region.view(fine.shape)


def region_of(
    product: torch.Tensor, size: tuple[int, int], share: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return M (h, w) at the image's size, and the region that is shown and removed.

    The region is the top share of the pixels, where M is positive: where it is 0 there is no
    evidence for both classes, and which of many zeros are largest means nothing.
    """
    fine = upsampled(product[None], size)[0]
    return fine, top_region(fine, share) & (fine > 0)


def moved_regions(region: torch.Tensor, times: int, generator: torch.Generator) -> torch.Tensor:
    """Return a region (H, W) at other places, (times, H, W), shifted at random.

    What leaves the image at one side comes in at the other.
    """
    height, width = region.shape
    places = torch.rand((times, 2), generator=generator).tolist()
    shifted = [region.roll((int(y * height), int(x * width)), (0, 1)) for y, x in places]
    return torch.stack(shifted) if shifted else region[None][:0]


# ---------------------------------------------------------------- removal


class HardnessNetwork(nn.Module):
    """A predictor of hardness as a network from images (B, 3, H, W) to one logit (B, 1)."""

    def __init__(self, split: Split, predictor: Hardness):
        super().__init__()
        self.split = split
        self.predictor = predictor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the predictor's logits (B, 1)."""
        features, _ = self.split.features_and_logits(images)
        return self.predictor.logit(features)[:, None]


def predictor_module(split: Split, difficulty: Difficulty) -> nn.Module | None:
    """Return a trained difficulty as a network from images to one logit; None for the others."""
    if isinstance(difficulty, Hardness):
        return HardnessNetwork(split, difficulty)
    if isinstance(difficulty, PredictorNetwork):
        return difficulty.split.model
    return None


def without_regions(
    split: Split,
    image: torch.Tensor,
    baseline: torch.Tensor,
    regions: torch.Tensor,
    *,
    difficulty: Difficulty,
    batch_size: int | str = "auto",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the network says about an image with each region replaced by the baseline.

    Args:
        split: the network.
        image: (3, H, W), normalised.
        baseline: (3, H, W), normalised.
        regions: (N, H, W) bool; an empty one leaves the image as it is.
        difficulty: certainty, entropy, or a predictor of hardness.
        batch_size: images per forward pass, or "auto".

    Returns:
        Probabilities (N, C) and the difficulty (N,).
    """
    # For the scorer, the remaining pixels of each region are a patch, shown alone.
    score = partial(score_image, basis=(~regions).flatten(1).float(), batch_size=batch_size)
    patches = [(region,) for region in range(len(regions))]
    probabilities = score(split.model, image, baseline, category=None)(patches)
    network = predictor_module(split, difficulty)
    if network is not None:
        return probabilities, score(network, image, baseline, category=1)(patches)
    logits = probabilities.clamp(min=1e-38).log()
    return probabilities, difficulty(probabilities, logits)
