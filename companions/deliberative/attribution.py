"""Attributions: how much of a number s comes from each location of the features F (D, h, w).

With f_ij the features at location (i, j):

    gradient        a_ij(s) = sum over d of  dF_s[d, i, j] F[d, i, j]
    ig              mean gradient at 51 inputs from black to the image, times F(image) - F(black)
    second-order    a_ij(s) + |f_ij^T H_ij f_ij| / 2
    none            1: regions are of the two classes alone

where H_ij is the (D, D) block of the Hessian of s at (i, j).

For a class, s is its logit, and negative values of the sum over d become 0; the attribution is `ig`
where the difficulty's is, else of first order (Captum's gradient x activation). For the difficulty
s, negative gradients become 0 before the product, but with `ig` negative products after it.

The authors' programs for ADE20K differ from those for CUB-200-2011, which the above is:
variant="ade20k" keeps the signs of the second order until all is summed, and of `ig` sets both the
negative gradients and the negative products to 0.

The second order has a closed form (this project's own) where the head is global average pooling and
one linear layer, and for a predictor with a trunk of its own (own_trunk.py); for other heads it is
computed by Hessian-vector products, one per location. Such a predictor's attributions are of its
own features.

`ig` is not Captum's LayerIntegratedGradients, whose path runs through the features rather than the
image, nor its InternalInfluence, whose quadrature weights differ. After Wang and Vasconcelos,
"Deliberative Explanations: visualizing network insecurities", NeurIPS 2019.
"""

from collections.abc import Sequence
from functools import partial
from math import log
from typing import Any, Literal

import torch
from captum.attr import LayerGradientXActivation
from torch import nn

from companions.deliberative.difficulty import Difficulty, Hardness, certainty, entropy
from companions.deliberative.own_trunk import PredictorNetwork
from companions.deliberative.split import Split
from scoring.scorer import auto_batch_size

Attribution = Literal["gradient", "ig", "second-order", "none"]
Variant = Literal["cub", "ade20k"]  # of the authors' programs
POINTS = 51  # of the integrated gradient, black and the image among them
PRODUCTS_AT_ONCE = 16  # Hessian-vector products


def class_maps(
    split: Split,
    image: torch.Tensor,
    classes: Sequence[int],
    *,
    black: torch.Tensor | None = None,
    batch_size: int | str = "auto",
) -> torch.Tensor:
    """Return the attributions of the classes' logits, negative values set to 0.

    Args:
        split: the network.
        image: (3, H, W), normalised.
        classes: indices of the classes.
        black: a black image, (3, H, W), normalised, where integrated gradients begin; None: the
            attribution is of first order.
        batch_size: images of the integrated gradient per forward pass, or "auto".

    Returns:
        Tensor of shape (classes, h, w).
    """
    found = signed_class_maps(split, image, classes, black=black, batch_size=batch_size)
    return found.clamp(min=0)


def signed_class_maps(
    split: Split,
    image: torch.Tensor,
    classes: Sequence[int],
    *,
    black: torch.Tensor | None = None,
    batch_size: int | str = "auto",
) -> torch.Tensor:
    """Return the attributions of the classes' logits with their signs; see class_maps()."""
    if black is None:
        images = image.expand(len(classes), *image.shape)
        attribution = LayerGradientXActivation(split, split.features)
        products = attribution.attribute(images, target=list(classes))  # (classes, D, h, w)
        return products.sum(1).detach()
    answers = [partial(_logit, category=category) for category in classes]
    slopes = path_gradients(split, image, black, answers=answers, batch_size=batch_size)
    return (slopes * feature_change(split, image, black)).sum(1)


def _logit(_: torch.Tensor, logits: torch.Tensor, *, category: int) -> torch.Tensor:
    return logits[:, category]


def difficulty_map(
    split: Split,
    image: torch.Tensor,
    black: torch.Tensor,
    *,
    difficulty: Difficulty,
    attribution: Attribution = "second-order",
    variant: Variant = "cub",
    batch_size: int | str = "auto",
) -> torch.Tensor:
    """Return the attribution of the difficulty at every location.

    Args:
        split: the network.
        image: (3, H, W), normalised.
        black: a black image, (3, H, W), normalised; only "ig" uses it.
        difficulty: what is attributed.
        attribution: gradient, ig, second-order or none.
        variant: of the authors' programs; see the module's docstring.
        batch_size: images of the integrated gradient per forward pass, or "auto".

    Returns:
        Tensor of shape (h, w).
    """
    if isinstance(difficulty, PredictorNetwork):
        split = difficulty.split
    if attribution == "ig":
        slope = path_gradients(split, image, black, answers=[difficulty], batch_size=batch_size)[0]
        if variant == "ade20k":
            slope = slope.clamp(min=0)
        return (slope * feature_change(split, image, black)[0]).clamp(min=0).sum(0)
    features, logits = split.features_and_logits(image[None])
    if attribution == "none":
        return torch.ones_like(features.detach()[0, 0])
    slope = gradient(difficulty(features, logits)[0], features)
    keeps_signs = attribution == "second-order" and variant == "ade20k"
    kept = slope if keeps_signs else slope.clamp(min=0)
    first = (kept * features.detach())[0].sum(0)
    if attribution == "gradient":
        return first
    second = curvature(split, image, features=features, logits=logits, difficulty=difficulty)
    if keeps_signs:
        return (first + second / 2).clamp(min=0)
    return first + second.abs() / 2


# ---------------------------------------------------------------- gradients


def gradient(value: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return d value / d features, zeros where the value does not depend on them."""
    found = torch.autograd.grad(value, features, retain_graph=True, allow_unused=True)[0]
    return torch.zeros_like(features) if found is None else found


def feature_change(split: Split, image: torch.Tensor, black: torch.Tensor) -> torch.Tensor:
    """Return F(image) - F(black), (1, D, h, w)."""
    features, _ = split.features_and_logits(image[None])
    start, _ = split.features_and_logits(black[None])
    return (features - start).detach()


def path_gradients(
    split: Split,
    image: torch.Tensor,
    black: torch.Tensor,
    *,
    answers: Sequence[Difficulty],
    batch_size: int | str = "auto",
) -> torch.Tensor:
    """Return the mean gradients of some answers at POINTS inputs from black to the image.

    Args:
        split: the network.
        image: (3, H, W), normalised.
        black: a black image, (3, H, W), normalised.
        answers: functions of features and logits, as a difficulty is.
        batch_size: images per forward pass, or "auto".

    Returns:
        Tensor of shape (answers, D, h, w).
    """
    size = auto_batch_size(image) if batch_size == "auto" else int(batch_size)
    steps = torch.linspace(0, 1, POINTS, dtype=image.dtype, device=image.device)
    totals: list[Any] = [0.0] * len(answers)
    for some in steps.view(-1, 1, 1, 1).split(size):
        features, logits = split.features_and_logits(black + some * (image - black))
        for number, answer in enumerate(answers):
            slopes = gradient(answer(features, logits).sum(), features)
            totals[number] = totals[number] + slopes.sum(0)
    return torch.stack(totals) / POINTS


# ---------------------------------------------------------------- the second order


def curvature(
    split: Split,
    image: torch.Tensor,
    *,
    features: torch.Tensor,
    logits: torch.Tensor,
    difficulty: Difficulty,
) -> torch.Tensor:
    """Return f_ij^T H_ij f_ij of the difficulty at every location, (h, w).

    In closed form where there is one, else by Hessian-vector products.

    Args:
        split: the network.
        image: (3, H, W), normalised.
        features: the image's features, (1, D, h, w), as split.features_and_logits returned them.
        logits: (1, C), likewise.
        difficulty: what is differentiated.
    """
    map_of = features.detach()[0] / features[0, 0].numel()  # (D, h, w), sums to pooled features
    if isinstance(difficulty, Hardness):
        maps = torch.einsum("d,dhw->hw", difficulty.weight, map_of)
        return curvature_of_sigmoid(difficulty(features, logits).detach()[0], maps)
    if isinstance(difficulty, PredictorNetwork):
        in_closed_form = difficulty.curvature(features, logits)
        if in_closed_form is not None:
            return in_closed_form
        return hessian_products(difficulty(features, logits)[0], features)
    weight = None
    if difficulty in (certainty, entropy):
        weight = pooled_linear_weight(split, image)
    if weight is None:
        return hessian_products(difficulty(features, logits)[0], features)
    maps = torch.einsum("kd,dhw->khw", weight, map_of)
    return curvature_of_softmax(difficulty, logits.detach()[0], maps)


def curvature_of_sigmoid(value: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Return f_ij^T H_ij f_ij, (h, w), of a sigmoid of a linear function of pooled features.

    Args:
        value: s, the sigmoid's value.
        maps: t (h, w), the first-order map of what the sigmoid is applied to.

    Returns:
        s (1 - s) (1 - 2 s) t^2.
    """
    return value * (1 - value) * (1 - 2 * value) * maps.square()


def curvature_of_softmax(
    difficulty: Difficulty, logits: torch.Tensor, maps: torch.Tensor
) -> torch.Tensor:
    """Return f_ij^T H_ij f_ij, (h, w), where the logits are linear in the features.

    With p the probabilities, tbar and V the mean and the variance under p of the maps at a
    location, m the most probable class and H the entropy:

        certainty   -p_m [(t_m - tbar)^2 - V]
        entropy     [-V - sum p_k (t_k - tbar)^2 (log p_k + H)] / log C

    Args:
        difficulty: certainty or entropy.
        logits: (C,).
        maps: t (C, h, w), the first-order map of every logit.
    """
    log_p = logits.log_softmax(0)
    p = log_p.exp()
    away = maps - torch.einsum("k,khw->hw", p, maps)  # t_k - tbar
    variance = torch.einsum("k,khw->hw", p, away.square())
    if difficulty is certainty:
        top = int(p.argmax())
        return -p[top] * (away[top].square() - variance)
    total = -(p * log_p).sum()
    weighted = torch.einsum("k,khw->hw", p * (log_p + total), away.square())
    return (-variance - weighted) / log(len(p))


def pooled_linear_weight(split: Split, image: torch.Tensor) -> torch.Tensor | None:
    """Return the weight (C, D) of a head that is global average pooling and one linear layer.

    Whether the head is that is found by asking it: on the image's features, and on random ones of
    both signs, its logits must be what such a head would return. None for any other head.
    """
    features, logits = split.features_and_logits(image[None])
    shape = (features.shape[1], logits.shape[1])
    linear = [m for m in split.model.modules() if isinstance(m, nn.Linear)]
    fitting = [m for m in linear if (m.in_features, m.out_features) == shape]
    if not fitting:
        return None
    head = fitting[-1]
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(features.shape, generator=generator, dtype=features.dtype).to(features)
    _, of_noise = split.features_and_logits(image[None], noise)
    for pooled, answer in ((features.mean((2, 3)), logits), (noise.mean((2, 3)), of_noise)):
        wanted = nn.functional.linear(pooled, head.weight, head.bias).detach()
        tolerance = 1e-4 * float(wanted.abs().max())
        if not torch.allclose(answer, wanted, rtol=1e-4, atol=tolerance):
            return None
    return head.weight


def hessian_products(
    value: torch.Tensor, features: torch.Tensor, *, at_once: int = PRODUCTS_AT_ONCE
) -> torch.Tensor:
    """Return f_ij^T H_ij f_ij at every location, (h, w), for any head.

    One Hessian-vector product per location.

    Args:
        value: the difficulty, a scalar that depends on the features.
        features: (1, D, h, w).
        at_once: products that are computed together.
    """
    height, width = features.shape[2:]
    fixed = features.detach()
    slope = torch.autograd.grad(value, features, create_graph=True)[0]
    if not slope.requires_grad:  # the value is linear in the features
        return torch.zeros(height, width, dtype=fixed.dtype, device=fixed.device)
    one_hot = torch.eye(height * width, dtype=fixed.dtype, device=fixed.device)
    found = []
    for places in one_hot.split(at_once):
        local = fixed * places.view(-1, 1, 1, height, width)  # (at_once, 1, D, h, w)
        products = torch.autograd.grad(
            slope, features, local, retain_graph=True, is_grads_batched=True, allow_unused=True
        )[0]
        if products is None:
            products = torch.zeros_like(local)
        found.append((products * local).flatten(1).sum(1))
    return torch.cat(found).view(height, width).detach()
