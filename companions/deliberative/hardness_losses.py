"""Losses of a classifier and a hardness predictor that are trained together.

    classifier's    mean of  s * cross entropy                      s = sigmoid(z), held fixed
    predictor's     binary cross entropy of s towards 1 - p         p: of the true class, held fixed
    as released     see released_loss()

Each learns from the other's answer but does not move it: hard images count for more in the
classifier, images with a low probability of the true class are to be called hard.

After Wang and Vasconcelos, "Towards Realistic Predictors", ECCV 2018, and their released programs.
"""

import torch
import torch.nn.functional as F

BONUS = 0.55  # released: a right answer counts as at least this probable


def classifier_loss(logits: torch.Tensor, targets: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Return the mean cross entropy, each image weighted by its predicted hardness.

    Args:
        logits: (B, C).
        targets: (B,) class indices.
        z: (B,) logits of the hardness.
    """
    return (F.cross_entropy(logits, targets, reduction="none") * z.detach().sigmoid()).mean()


def true_probabilities(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the probability of each image's true class, (B,), held fixed."""
    return logits.detach().float().softmax(1).gather(1, targets[:, None])[:, 0]


def predictor_loss(logits: torch.Tensor, targets: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Return the binary cross entropy of the hardness towards 1 - p; see classifier_loss()."""
    hard = 1 - true_probabilities(logits, targets)
    return F.binary_cross_entropy_with_logits(z.float(), hard)


def released_loss(
    logits: torch.Tensor, targets: torch.Tensor, z: torch.Tensor, *, press: float = 1.0
) -> torch.Tensor:
    """Return the predictor's loss of the authors' programs.

    With p the true class's probability, at least BONUS where the answer is right:

        mean of  2 w (1 - (1 - p) s - p (1 - s))

    where w is the share of images with p < 1/2, divided by press, for those with p > 1/2; and the
    share of those with p > 1/2, times press, for the others.

    Args:
        logits: (B, C).
        targets: (B,) class indices.
        z: (B,) logits of the hardness.
        press: weight of hard images against easy ones.
    """
    p = true_probabilities(logits, targets)
    is_right = logits.argmax(1) == targets
    p = torch.where(is_right, p.clamp(min=BONUS), p)
    s = z.float().sigmoid()
    is_easy = (p > 0.5).float()
    is_hard = (p < 0.5).float()
    weights = is_easy * is_hard.mean() / press + is_hard * is_easy.mean() * press
    return (2 * weights * (1 - (1 - p) * s - p * (1 - s))).mean()
