"""A predictor of how hard an image is for a network, and its training.

The predictor is one linear layer on the network's features, averaged over their locations, and a sigmoid:

    S(x) = sigmoid(weight . mean of F(x) + bias)

It is trained to be high where the network gives the image's true class little: by binary cross-entropy towards 1 - p(true
class), with weight decay, until nothing changes. A file of it is .safetensors: weight (1, D) and bias (1,), as torch.nn.Linear(D, 1)
has them, and in its metadata the checksum of the network's weights, without which the numbers mean nothing.

After Wang and Vasconcelos, "Towards Realistic Predictors", ECCV 2018, where the predictor is a network of its own, trained
together with the classifier; this one is small, and is trained afterwards.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.nn.functional import binary_cross_entropy_with_logits

from companions.deliberative.insecurities import Hardness
from utils import UserError

DECAY = 1e-3  # of the weights of the standardised features
STEPS = 200
FEWEST = 20  # images to train on
HELD_OUT = 5  # one image in so many is only measured on


def fit(pooled: torch.Tensor, hard: torch.Tensor, decay: float = DECAY) -> Hardness:
    """The predictor for features (N, D) and how hard each image was, (N,) in [0, 1]: 1 - the probability of its true class.

    Convex, so that it does not depend on a start: L-BFGS from zeros, on features of mean 0 and deviation 1, in double precision and
    so on the CPU (Apple's MPS has none).
    """
    x, y = pooled.cpu().double(), hard.cpu().double()
    mean, deviation = x.mean(0), x.std(0, unbiased=False).clamp(min=1e-6)
    x = (x - mean) / deviation
    weight, bias = (torch.zeros(n, dtype=x.dtype, requires_grad=True) for n in (x.shape[1], 1))
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = (
            binary_cross_entropy_with_logits(x @ weight + bias, y) + decay * weight.square().sum()
        )
        value.backward()
        return value

    optimizer.step(loss)
    weight, bias = weight.detach() / deviation, bias.detach()
    return Hardness(weight.float(), (bias - weight @ mean).float()[0])


def agreement(predictor: Hardness, pooled: torch.Tensor, hard: torch.Tensor) -> dict:
    """How good a predictor is on images: its cross-entropy, that of always saying their mean, and the rank correlation with the truth."""
    logits, y = pooled.cpu() @ predictor.weight + predictor.bias, hard.cpu().float()
    plain = y.mean().clamp(1e-6, 1 - 1e-6).logit().expand_as(y)
    ranks = torch.stack([v.argsort().argsort().float() for v in (logits, y)])
    correlation = float(torch.corrcoef(ranks)[0, 1]) if len(y) > 1 else 0.0
    return {
        "images": len(y),
        "cross_entropy": float(binary_cross_entropy_with_logits(logits, y)),
        "cross_entropy_of_the_mean": float(binary_cross_entropy_with_logits(plain, y)),
        "rank_correlation": correlation,
    }


def fit_and_measure(pooled: torch.Tensor, hard: torch.Tensor) -> tuple[Hardness, dict]:
    """A predictor fitted on four images of five, and how good it is on the others."""
    held_out = torch.arange(len(hard)) % HELD_OUT == HELD_OUT - 1
    predictor = fit(pooled[~held_out], hard[~held_out])
    return predictor, agreement(predictor, pooled[held_out], hard[held_out])


def save(predictor: Hardness, path: Path, weights_sha256: str) -> None:
    """Write a predictor for the network with these weights."""
    state = {
        "weight": predictor.weight.cpu()[None].contiguous(),
        "bias": predictor.bias.cpu().reshape(1),
    }
    temporary = path.with_name(f".{path.name}.part")
    save_file(state, temporary, {"network": weights_sha256})
    temporary.replace(path)


def load(path: Path, weights_sha256: str, device: torch.device) -> Hardness:
    """A predictor from its file. Raises UserError: missing, no such file, of another network."""
    if not path.is_file():
        raise UserError(f"--difficulty {path}: no such file, and not certainty or entropy")
    try:
        with safe_open(path, "pt") as file:
            state, network = (
                {key: file.get_tensor(key) for key in file.keys()},
                (file.metadata() or {}).get("network"),
            )
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"--difficulty {path}: not a readable .safetensors file ({error})"
        ) from None
    if (
        set(state) != {"weight", "bias"}
        or state["weight"].dim() != 2
        or len(state["weight"]) != 1
        or state["bias"].shape != (1,)
    ):
        raise UserError(
            f"--difficulty {path}: not a predictor, that is weight (1, D) and bias (1,) alone"
        )
    if network != weights_sha256:
        raise UserError(f"--difficulty {path}: made for a network with other weights")
    return Hardness(state["weight"][0].float().to(device), state["bias"][0].float().to(device))
