"""Checkpoints of a classifier and its hardness predictor, the authors' and this project's.

    checkpoint = read_checkpoint(Path("checkpoint_vgg16bn_hp.pth.tar"), option="--difficulty")
    predictor = checkpoint.predictor("vgg16_bn", network)       # a PredictorNetwork

Both have the entries state_dict_m (the classifier), state_dict_ahp_trunk and state_dict_ahp_hp (the
predictor's trunk and head). Those that `deliberative_explanation.py train` writes say as well how
images come to the network: size, mean, std; and the classes' names.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
from msgspec import Meta, Struct

from companions.deliberative.own_trunk import (
    HardnessHead,
    HardnessPredictor,
    PredictorNetwork,
    module_of,
)
from companions.deliberative.split import Split
from scoring.networks import Network
from scoring.weights import Weights, is_state, load_strictly, without_prefixes
from utils import UserError, shown

CLASSIFIER = "state_dict_m"
TRUNK = "state_dict_ahp_trunk"
HEAD = "state_dict_ahp_hp"
LARGEST_SIDE = 4096  # pixels
Positive = Annotated[float, Meta(gt=0)]
PREPROCESSING = "preprocessing"  # size, mean, std, labels: in this project's checkpoints
CUB_MEAN = (0.4706145, 0.46000465, 0.45479808)  # of the authors' programs
CUB_STD = (0.26668432, 0.26578658, 0.2706199)


class Preprocessing(Struct):
    """How a checkpoint says that images come to its network."""

    size: Annotated[int, Meta(ge=1, le=LARGEST_SIDE)]
    mean: tuple[float, ...]  # of each channel
    std: tuple[Positive, ...]
    labels: list[str]


@dataclass(frozen=True)
class Checkpoint:
    """A file's content.

    Attributes:
        path: the file.
        option: by which an error names it.
        content: its entries.
    """

    path: Path
    option: str
    content: dict[str, Any]

    @property
    def has_predictor(self) -> bool:
        """Whether it holds a hardness predictor."""
        return TRUNK in self.content and HEAD in self.content

    def load(self, module: torch.nn.Module, entry: str) -> None:
        """Load one of the state_dicts into a module.

        Raises:
            UserError: it is not there, or of another architecture.
        """
        if not is_state(self.content.get(entry)):
            raise UserError(f"{self.option} {self.path}: has no {entry}, names with tensors")
        state = without_prefixes(Weights(dict(self.content[entry])), module.state_dict()).state
        load_strictly(module, dict(state), self.path, option=self.option)

    def hardness_module(self, arch: str) -> HardnessPredictor:
        """Return the predictor, in eval mode and frozen.

        Args:
            arch: of its trunk.

        Raises:
            UserError: the file has no predictor, or one of another architecture.
        """
        if not self.has_predictor:
            raise UserError(
                f"{self.option} {self.path}: no hardness predictor in it, that is {TRUNK} and "
                f"{HEAD}"
            )
        if not is_state(self.content[HEAD]):
            raise UserError(f"{self.option} {self.path}: has no {HEAD}, names with tensors")
        head_state = without_prefixes(Weights(dict(self.content[HEAD]))).state
        norm = head_state.get("bn1.weight")
        inputs = len(norm) if isinstance(norm, torch.Tensor) and norm.ndim == 1 else 1
        predictor = HardnessPredictor(module_of(arch, inputs), HardnessHead(inputs))
        self.load(predictor.trunk, TRUNK)
        self.load(predictor.head, HEAD)
        return predictor.eval().requires_grad_(False)

    def predictor(self, arch: str, network: Network, layer: str | None = None) -> PredictorNetwork:
        """Return the predictor as a difficulty of the network's images.

        Args:
            arch: of its trunk.
            network: whose device and preprocessing it shares.
            layer: where its trunk is split; None: at its last convolution.
        """
        module = self.hardness_module(arch).to(network.device)
        black = np.zeros((*network.size, 3), np.uint8)
        return PredictorNetwork(
            Split(module, network.prepare(black), layer=f"trunk.{layer}" if layer else None)
        )

    def prepared(self, network: Network, *, has_names: bool = False) -> Network:
        """Return the network with the preprocessing that this file says it was trained with.

        Args:
            network: the network of these weights.
            has_names: whether its classes have names of the user's.

        Raises:
            UserError: what it says is no preprocessing.
        """
        if not isinstance(self.content.get(PREPROCESSING), dict):
            return network
        try:
            said = msgspec.convert(self.content[PREPROCESSING], Preprocessing)
        except msgspec.ValidationError as error:
            raise UserError(f"{self.option} {self.path}: {PREPROCESSING}: {error}") from None
        if not len(said.mean) == len(said.std) == network.channels:
            raise UserError(
                f"{self.option} {self.path}: {PREPROCESSING}: mean and std of another number of "
                f"channels than the network's {network.channels}"
            )
        fit = replace(network.fit, size=(said.size, said.size), short_side=None)
        labels = [shown(label) for label in said.labels]
        if has_names or len(labels) != network.classes:
            labels = network.labels
        return replace(network, fit=fit, mean=said.mean, std=said.std, labels=labels)


def cub_normalised(network: Network) -> Network:
    """Return a network with the mean and the deviation of CUB-200-2011, as the authors had them."""
    return replace(network, mean=CUB_MEAN, std=CUB_STD)


def is_checkpoint(path: Path) -> bool:
    """Return whether a file's name is that of a checkpoint: .pth, .pth.tar, .pt."""
    return path.name.endswith((".pth", ".pth.tar", ".pt", ".tar"))


def read_checkpoint(path: Path, *, option: str) -> Checkpoint:
    """Return a checkpoint; code in the file is not run.

    Args:
        path: the file.
        option: by which an error names it.

    Raises:
        UserError: the file is missing, damaged, or no checkpoint.
    """
    if not path.is_file():
        raise UserError(f"{option} {path}: no such file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in many ways
        kind = type(error).__name__
        raise UserError(f"{option} {path}: not a readable checkpoint ({kind})") from error
    if not isinstance(content, dict):
        raise UserError(f"{option} {path}: not a checkpoint, that is a dictionary")
    return Checkpoint(path, option, content)
