"""Where does the network hesitate, and between which classes? The mathematics of deliberative explanations.

The network is split at its last convolution into features F (D, h, w) and a head from F to the logits. With f_ij the
features at location (i, j), an *attribution* says how much of a number s(F) comes from each location:

    gradient        a_ij(s) = sum over d of  dF_s[d, i, j] F[d, i, j]
    ig              the mean gradient at 51 inputs from black to the image, times F(image) - F(black)
    second-order    a_ij(s) + |f_ij^T H_ij f_ij| / 2,  H_ij the (D, D) block of the Hessian of s at (i, j)

For a class, s is its logit, the attribution is of first order, and negatives are set to 0. For the difficulty s in [0, 1]
of the image the gradient is cut off at 0 before the product. An *insecurity* of classes a and b is the region r where

    M_ij = a_ij(a) a_ij(b) a_ij(s)

is largest, and its strength is the mean of M over r.

    split = Split(model, x)                                 # x: (3, H, W), normalised
    found = insecurities(split, x, black, certainty, "second-order", top=6, share=0.05)
    found[0].classes, found[0].strength, found[0].region    # (84, 85), 0.31, (H, W) bool
    probabilities, hard = without(split, x, black, torch.stack([i.region for i in found]), certainty)

The strength does not know how probable the classes are, so that a pair of which the network gives each a thousandth can come
first. rank="probable" puts the pairs in order of strength * p_a * p_b; rank="strength" is the paper's order.

After Wang and Vasconcelos, "Deliberative Explanations: visualizing network insecurities", NeurIPS 2019. This project's own: the closed form of
the second order, looking for the split in any network, the order by probability, and the check by removal.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import log

import torch
from torch import nn

from get_perturbation_mask import last_convolution
from scoring.scorer import MaskScorer, auto_batch_size
from utils import UserError

ATTRIBUTIONS = ("gradient", "ig", "second-order")
RANKS = ("probable", "strength")
MOST_PROBABLE = 5  # the most probable classes are looked at,
AT_ONE_PLACE = 3  # of these at each location the ones with the largest attribution
POINTS = 51  # of the integrated gradient, black and the image among them
HVP_ROWS = 16  # Hessian-vector products at once

Difficulty = Callable[
    [torch.Tensor, torch.Tensor], torch.Tensor
]  # features (B, D, h, w), logits (B, C) -> (B,)


# ---------------------------------------------------------------- features and head


class Split:
    """A network as features and head.

    The features are what leaves the last convolution's block: the last map as high and wide as that convolution's own
    (after batch norm, ReLU or a shortcut's sum, before any pooling). Raises UserError, naming the network's layers,
    where there are not two convolutions.
    """

    def __init__(self, model: nn.Module, image: torch.Tensor):
        """model: in eval mode, from (B, 3, H, W) to logits. image: (3, H, W), to see which layers run, and in which order."""
        self.model = model
        self.layer, self.call = last_map(model, image)

    def __call__(
        self, pictures: torch.Tensor, features: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """pictures (B, 3, H, W) -> (features (B, D, h, w), a leaf that can be differentiated by; logits (B, C), C >= 2).

        features: these in place of the pictures' own.
        """
        calls, kept = [0], []

        def replace(_, __, output):
            calls[0] += 1
            if calls[0] != self.call:
                return None
            kept.append(
                (output if features is None else features).detach().clone().requires_grad_()
            )
            return kept[0].clone()  # what follows may write into its input

        hook = self.layer.register_forward_hook(replace)
        try:
            with torch.enable_grad():
                logits = self.model(pictures)
        finally:
            hook.remove()
        return kept[0], two_or_more(logits)


def two_or_more(logits: torch.Tensor) -> torch.Tensor:
    """Logits (B, C); a single one, of a sigmoid, as the two whose softmax it is."""
    return torch.cat([-logits, logits], 1) / 2 if logits.shape[1] == 1 else logits


def last_map(model: nn.Module, image: torch.Tensor) -> tuple[nn.Module, int]:
    """The layer whose output is the features, and which of its calls in a forward pass that is (from 1)."""
    convolution = last_convolution(model, image)
    if convolution is None:
        raise UserError(
            f"--model: a deliberative explanation splits the network at its last convolution, and this one has fewer than "
            f"two that make a map; its layers: {layers_of(model)}"
        )
    calls: dict[nn.Module, int] = {}
    found: list[tuple[nn.Module, int]] = []
    size: list[torch.Size] = []

    def note(module, _, output):
        calls[module] = calls.get(module, 0) + 1
        if module is convolution:  # called again: only what follows the last call counts
            size[:], found[:] = [output.shape[-2:]], []
        if (
            size
            and isinstance(output, torch.Tensor)
            and output.dim() == 4
            and output.shape[-2:] == size[0]
        ):
            found.append((module, calls[module]))

    hooks = [m.register_forward_hook(note) for m in model.modules() if m is not model]
    try:
        with torch.no_grad():
            model(image[None])
    finally:
        for hook in hooks:
            hook.remove()
    return found[-1]


def layers_of(model: nn.Module) -> str:
    """The kinds of layer that a network has, and how many of each: "Linear (12), LayerNorm (25), Conv2d (1)"."""
    kinds: dict[str, int] = {}
    for module in model.modules():
        if not any(True for _ in module.children()) and module is not model:
            kinds[type(module).__name__] = kinds.get(type(module).__name__, 0) + 1
    return (
        ", ".join(f"{kind} ({n})" for kind, n in sorted(kinds.items(), key=lambda row: -row[1]))
        or "none"
    )


# ---------------------------------------------------------------- difficulty: how hard the image is for the network, in [0, 1]


def certainty(_: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """1 - the largest probability."""
    return -torch.expm1(logits.log_softmax(1).amax(1))  # exact where that probability is nearly 1


def entropy(_: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """The entropy of the probabilities over its largest possible value, log C."""
    logs = logits.log_softmax(1)
    return -(logs.exp() * logs).sum(1) / log(logits.shape[1])


@dataclass
class Hardness:
    """A predictor of how hard an image is: sigmoid(weight . mean of F over its locations + bias); weight (D,)."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __call__(self, features: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return self.logit(features).sigmoid()

    def logit(self, features: torch.Tensor) -> torch.Tensor:
        return features.mean((2, 3)) @ self.weight + self.bias


# ---------------------------------------------------------------- attributions of first order


def gradient(value: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """d value / d features, shaped as the features; zeros where value does not depend on them."""
    found = torch.autograd.grad(value, features, retain_graph=True, allow_unused=True)[0]
    return torch.zeros_like(features) if found is None else found


def class_maps(features: torch.Tensor, logits: torch.Tensor, classes: list[int]) -> torch.Tensor:
    """First-order attributions of the classes' logits, negatives set to 0: (classes, h, w). features (1, D, h, w)."""
    maps = [(gradient(logits[0, c], features) * features)[0].sum(0) for c in classes]
    return torch.stack(maps).detach().clamp(min=0)


def integrated_gradient(
    split: Split, image: torch.Tensor, black: torch.Tensor, difficulty: Difficulty, batch_size: int
) -> torch.Tensor:
    """The mean gradient of the difficulty by the features at 51 inputs from black to the image, (1, D, h, w)."""
    steps = torch.linspace(0, 1, POINTS, dtype=image.dtype, device=image.device).view(-1, 1, 1, 1)
    total = None
    for some in steps.split(batch_size):
        features, logits = split(black + some * (image - black))
        part = gradient(difficulty(features, logits).sum(), features).sum(0, keepdim=True)
        total = part if total is None else total + part
    return total / POINTS


# ---------------------------------------------------------------- the second order


def hessian_products(
    value: torch.Tensor, features: torch.Tensor, rows: int = HVP_ROWS
) -> torch.Tensor:
    """f_ij^T H_ij f_ij at every location, (h, w), for any head: one Hessian-vector product each, `rows` of them at once."""
    first = torch.autograd.grad(value, features, create_graph=True)[0]
    (h, w), f = features.shape[2:], features.detach()
    if not first.requires_grad:  # the value is linear in the features
        return torch.zeros(h, w, dtype=f.dtype, device=f.device)
    found = []
    for places in torch.eye(h * w, dtype=f.dtype, device=f.device).split(rows):
        at_one_place = f * places.view(-1, 1, 1, h, w)  # (rows, 1, D, h, w)
        products = torch.autograd.grad(
            first,
            features,
            at_one_place,
            retain_graph=True,
            is_grads_batched=True,
            allow_unused=True,
        )[0]
        found += [
            torch.zeros(len(places), dtype=f.dtype, device=f.device)
            if products is None
            else (products * at_one_place).flatten(1).sum(1)
        ]
    return torch.cat(found).view(h, w).detach()


def pooled_linear(model: nn.Module, split: Split, image: torch.Tensor) -> torch.Tensor | None:
    """The weight (C, D) of a head that is global average pooling and one linear layer; None for any other head.

    Found out by asking the head: on the image's features, and on random ones of both signs, its logits must be what such
    a head would answer.
    """
    features, logits = split(image[None])
    fitting = [
        m
        for m in model.modules()
        if isinstance(m, nn.Linear)
        and (m.in_features, m.out_features) == (features.shape[1], logits.shape[1])
    ]
    if not fitting:
        return None
    noise = torch.randn(
        features.shape, generator=torch.Generator().manual_seed(0), dtype=features.dtype
    ).to(features)
    for f, answer in ((features, logits), (noise, split(image[None], noise)[1])):
        wanted = nn.functional.linear(f.mean((2, 3)), fitting[-1].weight, fitting[-1].bias)
        if not torch.allclose(
            answer, wanted, rtol=1e-4, atol=1e-4 * float(wanted.detach().abs().max())
        ):
            return None
    return fitting[-1].weight


def curvature_of_softmax(
    difficulty: Difficulty, logits: torch.Tensor, maps: torch.Tensor
) -> torch.Tensor:
    """f_ij^T H_ij f_ij, (h, w), of certainty or entropy, where the logits are linear in the features.

    logits (C,); maps (C, h, w): the first-order map of every logit. With p the probabilities, tbar and V the mean and the variance
    of the maps under p at a location: -p_m [(t_m - tbar)^2 - V] for the certainty (m the top class), and
    [-V - sum p_k (t_k - tbar)^2 (log p_k + entropy)] / log C for the entropy.
    """
    logs = logits.log_softmax(0)
    p = logs.exp()
    away = maps - torch.einsum("k,khw->hw", p, maps)  # t_k - tbar
    variance = torch.einsum("k,khw->hw", p, away.square())
    if difficulty is certainty:
        top = int(p.argmax())
        return -p[top] * (away[top].square() - variance)
    plain = -(p * logs).sum()
    return (-variance - torch.einsum("k,khw->hw", p * (logs + plain), away.square())) / log(len(p))


def curvature(
    split: Split,
    image: torch.Tensor,
    features: torch.Tensor,
    logits: torch.Tensor,
    difficulty: Difficulty,
) -> torch.Tensor:
    """f_ij^T H_ij f_ij of the difficulty at every location, (h, w): in closed form where there is one, else by products."""
    f, cells = features.detach()[0], features.shape[2] * features.shape[3]
    if isinstance(difficulty, Hardness):  # sigmoid of a linear function of the pooled features
        s, t = (
            float(difficulty(features, logits).detach()),
            torch.einsum("d,dhw->hw", difficulty.weight, f) / cells,
        )
        return s * (1 - s) * (1 - 2 * s) * t.square()
    weight = (
        pooled_linear(split.model, split, image) if difficulty in (certainty, entropy) else None
    )
    if weight is None:
        return hessian_products(difficulty(features, logits)[0], features)
    return curvature_of_softmax(
        difficulty, logits.detach()[0], torch.einsum("kd,dhw->khw", weight, f) / cells
    )


def difficulty_map(
    split: Split,
    image: torch.Tensor,
    black: torch.Tensor,
    difficulty: Difficulty,
    attribution: str,
    batch_size: int | str = "auto",
) -> torch.Tensor:
    """The attribution of the difficulty at every location, (h, w).

    image, black: (3, H, W), normalised. attribution: one of ATTRIBUTIONS. batch_size: pictures of the integrated gradient at once.
    """
    features, logits = split(image[None])
    if attribution == "ig":
        slope = integrated_gradient(
            split,
            image,
            black,
            difficulty,
            auto_batch_size(image) if batch_size == "auto" else int(batch_size),
        )
        return (slope.clamp(min=0) * (features.detach() - split(black[None])[0].detach()))[0].sum(0)
    slope = gradient(difficulty(features, logits)[0], features)
    first = (slope.clamp(min=0) * features.detach())[0].sum(0)
    if attribution == "gradient":
        return first
    return first + curvature(split, image, features, logits, difficulty).abs() / 2


# ---------------------------------------------------------------- insecurities


@dataclass(frozen=True)
class Insecurity:
    """Two classes and where the network hesitates between them."""

    classes: tuple[int, int]  # the more probable one first
    strength: float  # the mean of M over the region
    score: float  # what it is ranked by
    map: torch.Tensor  # M, (h, w), on the CPU
    region: torch.Tensor  # (H, W) bool, on the CPU


def candidates(maps: torch.Tensor, at_one_place: int = AT_ONE_PLACE) -> list[tuple[int, int]]:
    """Pairs of rows of maps (classes, h, w) that stand beside each other at some location, sorted.

    At each location the rows with the largest attributions take part, and only where these are positive: a clamped 0
    says nothing, and ties among zeros would make up pairs.
    """
    values, rows = maps.flatten(1).topk(min(at_one_place, len(maps)), dim=0)  # (3, h * w)
    pairs = set()
    for value, row in zip(values.T.tolist(), rows.T.tolist()):
        pairs.update(combinations(sorted(r for r, v in zip(row, value) if v > 0), 2))
    return sorted(pairs)


def upsampled(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(N, h, w) -> (N, H, W), bilinear."""
    return nn.functional.interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0]


def top_region(fine: torch.Tensor, share: float) -> torch.Tensor:
    """Where a map (H, W) is largest: this share of its pixels, (H, W) bool, however small the map is there."""
    count = max(1, round(share * fine.numel()))
    order = (
        fine.flatten().sort(descending=True, stable=True).indices[:count]
    )  # ties: the upper left first
    region = torch.zeros(fine.numel(), dtype=torch.bool)
    region[order] = True
    return region.view(fine.shape)


def region_of(
    map: torch.Tensor, size: tuple[int, int], share: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """M (h, w) -> M at this size (H, W), and the region that is shown and removed: the top share of the pixels, where M is positive.

    Where M is 0 there is no evidence for both classes, and which of many zeros are largest means nothing.
    """
    fine = upsampled(map[None], size)[0]
    return fine, top_region(fine, share) & (fine > 0)


def insecurities(
    split: Split,
    image: torch.Tensor,
    black: torch.Tensor,
    difficulty: Difficulty,
    attribution: str = "second-order",
    top: int = 6,
    share: float = 0.05,
    rank: str = "probable",
    batch_size: int | str = "auto",
) -> list[Insecurity]:
    """The strongest insecurities of an image, at most `top` of them, the strongest first.

    image, black: (3, H, W), normalised: the image, and what black becomes. share: of the image's pixels, the region's size.
    rank: one of RANKS. Pairs whose M is nowhere positive are left out. Raises FloatingPointError where the network answers NaN.
    """
    features, logits = split(image[None])
    if not logits.isfinite().all():
        raise FloatingPointError("the model answers NaN")
    classes, p = (
        logits[0].topk(min(MOST_PROBABLE, logits.shape[1])).indices.tolist(),
        logits.detach()[0].softmax(0),
    )
    maps = class_maps(features, logits, classes)
    hard = difficulty_map(split, image, black, difficulty, attribution, batch_size)
    found = []
    for i, j in candidates(maps):
        m = (maps[i] * maps[j] * hard).cpu()
        fine, region = region_of(m, tuple(image.shape[1:]), share)
        if region.any():
            strength = float(fine[region].mean())
            likely = float(p[classes[i]] * p[classes[j]]) if rank == "probable" else 1.0
            found.append(
                Insecurity((classes[i], classes[j]), strength, strength * likely, m, region)
            )
    return sorted(found, key=lambda x: -x.score)[:top]


# ---------------------------------------------------------------- does the network hesitate less without the region?


class HardnessNetwork(nn.Module):
    """A predictor of hardness as a network from pictures (B, 3, H, W) to one logit (B, 1)."""

    def __init__(self, split: Split, predictor: Hardness):
        super().__init__()
        self.split, self.predictor = split, predictor

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.predictor.logit(self.split(pictures)[0])[:, None]


def without(
    split: Split,
    image: torch.Tensor,
    baseline: torch.Tensor,
    regions: torch.Tensor,
    difficulty: Difficulty,
    batch_size: int | str = "auto",
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the network says of the image with each region replaced by the baseline: probabilities (N, C), difficulty (N,).

    image, baseline: (3, H, W), normalised. regions: (N, H, W) bool; an empty one leaves the image as it is.
    """
    kept = (~regions).flatten(1).float()  # (N, H * W), a region for the scorer
    each = [(i,) for i in range(len(kept))]
    probabilities = MaskScorer(
        split.model, image, baseline, None, batch_size=batch_size, basis=kept
    )(each)
    if isinstance(difficulty, Hardness):
        return probabilities, MaskScorer(
            HardnessNetwork(split, difficulty),
            image,
            baseline,
            1,
            batch_size=batch_size,
            basis=kept,
        )(each)
    return probabilities, difficulty(probabilities, probabilities.clamp(min=1e-38).log())


def moved(region: torch.Tensor, times: int, generator: torch.Generator) -> torch.Tensor:
    """The region (H, W) in other places, (times, H, W): shifted at random, what leaves the picture comes in at the other side."""
    (height, width), places = region.shape, torch.rand((times, 2), generator=generator).tolist()
    return (
        torch.stack([region.roll((int(y * height), int(x * width)), (0, 1)) for y, x in places])
        if times
        else region[None][:0]
    )
