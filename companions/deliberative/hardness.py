"""A predictor of how hard an image is for a network, and its training.

The predictor is one linear layer on the network's features, averaged over their locations, and a
sigmoid:

    S(x) = sigmoid(weight . mean of F(x) + bias)

It is trained to be high where the network gives the image's true class a low probability: by binary
cross-entropy towards 1 - p(true class), with weight decay, until nothing changes.

    predictor, fit = fit_and_measure(pooled, hard)          # (N, D), (N,)
    save(predictor, Path("hard.safetensors"), network.weights_sha256)
    predictor = load(Path("hard.safetensors"), network.weights_sha256, network.device)

Its file has the weight (1, D) and bias (1,) of torch.nn.Linear(D, 1), and in its metadata the
checksum of the network's weights, without which the numbers mean nothing.

After Wang and Vasconcelos, "Towards Realistic Predictors", ECCV 2018, where the predictor is a
network of its own, trained together with the classifier; this one is small and trained afterwards.
"""

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from scipy.stats import entropy, spearmanr
from torch.nn.functional import binary_cross_entropy_with_logits

from companions.deliberative.difficulty import Hardness
from companions.deliberative.split import Split
from scoring.networks import Network
from utils import UserError, write_atomically

WEIGHT_DECAY = 1e-3  # of the weights of the standardised features
STEPS = 200
FEWEST = 20  # images to train on
HELD_OUT = 5  # one image in so many is used for measuring only


@dataclass(frozen=True)
class Fit:
    """How good a predictor is on images it was not trained on."""

    images: int
    cross_entropy: float
    cross_entropy_of_the_mean: float  # of always predicting the images' mean hardness
    rank_correlation: float  # Spearman's, with the hardness; 0 where either is constant

    def __str__(self) -> str:
        return ", ".join(f"{k.replace('_', ' ')} {v:.4g}" for k, v in asdict(self).items())


def example(
    split: Split, network: Network, image: np.ndarray, true_class: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the predictor learns from one image.

    Args:
        split: the network's.
        network: the network.
        image: (H, W, 3) uint8 array.
        true_class: index of its class.

    Returns:
        The features averaged over locations, (D,), and 1 - the probability of the true class.

    Raises:
        UserError: the network returns NaN.
    """
    features, logits = split.features_and_logits(network.prepare(image)[None])
    if not logits.isfinite().all():
        raise UserError(f"--model {network.name}: the model returns NaN")
    log_probability = logits.detach().log_softmax(1)[0, true_class]
    return features.detach().mean((2, 3))[0], -torch.expm1(log_probability)


def fit(pooled: torch.Tensor, hard: torch.Tensor, decay: float = WEIGHT_DECAY) -> Hardness:
    """Return the predictor fitted to images.

    The problem is convex, so the result does not depend on where it starts: L-BFGS from zeros, on
    features of mean 0 and deviation 1, in double precision on the CPU (Apple's MPS has none).

    Args:
        pooled: features averaged over locations, (N, D).
        hard: 1 - the probability of each image's true class, (N,).
        decay: weight decay.
    """
    x = pooled.cpu().double()
    y = hard.cpu().double()
    mean = x.mean(0)
    deviation = x.std(0, unbiased=False).clamp(min=1e-6)
    x = (x - mean) / deviation
    weight = torch.zeros(x.shape[1], dtype=x.dtype, requires_grad=True)
    bias = torch.zeros(1, dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        error = binary_cross_entropy_with_logits(x @ weight + bias, y)
        value = error + decay * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    scaled = weight.detach() / deviation
    shift = bias.detach()[0] - scaled @ mean
    return Hardness(scaled.float(), shift.float())


def measure(predictor: Hardness, pooled: torch.Tensor, hard: torch.Tensor) -> Fit:
    """Return how good a predictor is on images; see fit() for the arguments."""
    logits = pooled.cpu() @ predictor.weight.cpu() + predictor.bias.cpu()
    target = hard.cpu().float()
    mean = float(target.mean())
    return Fit(
        images=len(target),
        cross_entropy=float(binary_cross_entropy_with_logits(logits, target)),
        cross_entropy_of_the_mean=float(entropy([mean, 1 - mean])),
        rank_correlation=rank_correlation(logits, target),
    )


def rank_correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return Spearman's rank correlation of two sets of numbers, 0 where one is constant."""
    if len(a.unique()) < 2 or len(b.unique()) < 2:
        return 0.0
    return float(spearmanr(a.numpy(), b.numpy()).statistic)


def fit_and_measure(pooled: torch.Tensor, hard: torch.Tensor) -> tuple[Hardness, Fit]:
    """Return a predictor fitted to four images of five, and how good it is on the others."""
    held_out = torch.arange(len(hard)) % HELD_OUT == HELD_OUT - 1
    predictor = fit(pooled[~held_out], hard[~held_out])
    return predictor, measure(predictor, pooled[held_out], hard[held_out])


# ---------------------------------------------------------------- files


def save(predictor: Hardness, path: Path, weights_sha256: str) -> None:
    """Write a predictor for the network with these weights."""
    state = {
        "weight": predictor.weight.cpu()[None].contiguous(),
        "bias": predictor.bias.cpu().reshape(1),
    }
    write_atomically(path, safetensors_bytes(state, {"network": weights_sha256}))


def require_replaceable(path: Path) -> None:
    """Refuse to write a predictor over anything but a predictor.

    Raises:
        UserError: there is a file or folder of another kind.
    """
    if not path.exists():
        return
    is_one = False
    if path.is_file():
        with suppress(OSError, SafetensorError), safe_open(path, "pt") as file:
            is_one = set(file.keys()) == {"weight", "bias"} and "network" in (file.metadata() or {})
    if not is_one:
        raise UserError(f"--train-hardness {path}: there already, and no predictor; not replaced")


def load(path: Path, weights_sha256: str, device: torch.device) -> Hardness:
    """Return a predictor from its file.

    Raises:
        UserError: there is no such file, it is no predictor, or it belongs to another network.
    """
    if not path.is_file():
        raise UserError(f"--difficulty {path}: no such file, and not certainty or entropy")
    try:
        with safe_open(path, "pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"--difficulty {path}: not a readable .safetensors file ({error})"
        ) from None
    if not _is_predictor(state):
        raise UserError(
            f"--difficulty {path}: not a predictor, that is weight (1, D) and bias (1,) alone"
        )
    if metadata.get("network") != weights_sha256:
        raise UserError(f"--difficulty {path}: made for a network with other weights")
    weight = state["weight"][0].float().to(device)
    return Hardness(weight, state["bias"][0].float().to(device))


def _is_predictor(state: dict[str, torch.Tensor]) -> bool:
    if set(state) != {"weight", "bias"} or state["bias"].shape != (1,):
        return False
    return state["weight"].dim() == 2 and len(state["weight"]) == 1
