"""The hardness predictor of the paper: a network of its own beside the classifier.

    predictor = HardnessPredictor(module_of("resnet50", outputs=1000))
    predictor(images)                                   # (B, 1), before the sigmoid
    difficulty = PredictorNetwork(Split(predictor.eval(), image))

A trunk of the classifier's kind gives 1000 numbers; a head of three linear layers makes one of
them, each layer after batch norm, ReLU and dropout. It shares nothing with the classifier, so that
the difficulty is a second opinion. Names and shapes are those of the authors' checkpoints.

Where all that follows the features is piecewise linear (convolutions, pooling, ReLU, batch norm in
eval mode), so is the logit z, and the Hessian of s = sigmoid(z) is s (1 - s) (1 - 2 s) times the
outer product of z's gradient with itself. The second order then costs no more than the first.

After Wang and Vasconcelos, "Towards Realistic Predictors", ECCV 2018.
"""

from dataclasses import dataclass

import torch
import torchvision
from torch import nn

from companions.deliberative.split import Split
from scoring.networks import BUNDLED, BUNDLED_ARCHITECTURE, runs_code
from scoring.user_files import call_function
from utils import UserError, one_line

TRUNK_OUTPUTS = 1000
HIDDEN = 100
DROPOUT = 0.3


class HardnessHead(nn.Module):
    """Three linear layers, each after batch norm, ReLU and dropout: (B, inputs) to (B, 1).

    Args:
        inputs: numbers that the trunk returns.
    """

    def __init__(self, inputs: int = TRUNK_OUTPUTS):
        super().__init__()
        self.bn1 = nn.BatchNorm1d(inputs)
        self.fc1 = nn.Linear(inputs, inputs)
        self.bn2 = nn.BatchNorm1d(inputs)
        self.fc2 = nn.Linear(inputs, HIDDEN)
        self.bn3 = nn.BatchNorm1d(HIDDEN)
        self.fc3 = nn.Linear(HIDDEN, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logit of the hardness, (B, 1)."""
        layers = ((self.bn1, self.fc1), (self.bn2, self.fc2), (self.bn3, self.fc3))
        for norm, linear in layers:
            x = linear(nn.functional.dropout(norm(x).relu(), DROPOUT, self.training))
        return x


class HardnessPredictor(nn.Module):
    """A trunk from images (B, 3, H, W) to numbers, and a head that makes one logit of them."""

    def __init__(self, trunk: nn.Module, head: HardnessHead | None = None):
        super().__init__()
        self.trunk = trunk
        self.head = head or HardnessHead()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logit of the hardness, (B, 1)."""
        return self.head(self.trunk(images))


@dataclass
class PredictorNetwork:
    """A predictor with a trunk of its own, as a difficulty.

    Attributes:
        split: the predictor, as features and the rest; attributions are of its features.
    """

    split: Split

    def __call__(self, _: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Return the predicted hardness (B,) of the split's logits (B, 2)."""
        return (logits[:, 1] - logits[:, 0]).sigmoid()

    def curvature(self, features: torch.Tensor, logits: torch.Tensor) -> torch.Tensor | None:
        """Return f_ij^T H_ij f_ij, (h, w), in closed form; None where z is not piecewise linear.

        Args:
            features: (1, D, h, w), as split.features_and_logits returned them.
            logits: (1, 2), likewise.
        """
        z = logits[0, 1] - logits[0, 0]
        slope = torch.autograd.grad(z, features, create_graph=True, retain_graph=True)[0]
        if not is_constant(slope, features):
            return None
        s = z.detach().sigmoid()
        maps = (slope * features).detach()[0].sum(0)
        return s * (1 - s) * (1 - 2 * s) * maps.square()


def is_constant(slope: torch.Tensor, features: torch.Tensor) -> bool:
    """Return whether a gradient does not change with the features, in a random direction."""
    if not slope.requires_grad:
        return True
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(slope.shape, generator=generator, dtype=slope.dtype).to(slope)
    product = torch.autograd.grad(slope, features, direction, retain_graph=True, allow_unused=True)[
        0
    ]
    return product is None or not bool(product.any())


# ---------------------------------------------------------------- modules by name


def module_of(arch: str, outputs: int) -> nn.Module:
    """Return an untrained network with this number of outputs.

    Args:
        arch: a torchvision classifier, birds (the bundled network's kind) or FILE.py:function.
        outputs: of its last linear layer.

    Raises:
        UserError: there is no such network, or its last layer is not linear.
    """
    name = BUNDLED_ARCHITECTURE if arch == BUNDLED else arch
    if runs_code(name):
        return with_outputs(call_function(name), outputs, arch)
    try:
        module = torchvision.models.get_model(name, weights=None)
    except (ValueError, TypeError) as error:
        raise UserError(f"{arch}: not a torchvision classifier ({one_line(error)})") from None
    return with_outputs(module, outputs, arch)


def with_outputs(module: nn.Module, outputs: int, arch: str) -> nn.Module:
    """Return a network whose last linear layer is a new one with this number of outputs.

    Raises:
        UserError: it has no linear layer.
    """
    linear = [name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    if not linear:
        raise UserError(f"{arch}: has no linear layer, which would be made anew for other classes")
    path, _, name = linear[-1].rpartition(".")
    parent = module.get_submodule(path)
    old = getattr(parent, name)
    setattr(parent, name, nn.Linear(old.in_features, outputs, bias=old.bias is not None))
    return module
