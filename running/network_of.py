"""The network that a command's settings name."""

from pathlib import Path
from typing import Protocol

import torch

from running.command_line import Output, Resize
from scoring.networks import Network, load_network


class NetworkSettings(Protocol):
    """The settings of a network, as every command that runs one has them."""

    @property
    def model(self) -> str:
        """Name of the network."""

    @property
    def weights(self) -> Path | None:
        """File of its weights; None: its own."""

    @property
    def labels(self) -> Path | None:
        """File of its classes' names; None: by model."""

    @property
    def resize(self) -> Resize:
        """How images come to its input size."""

    @property
    def output(self) -> Output:
        """What it returns."""


def network_of(settings: NetworkSettings, device: torch.device) -> Network:
    """Return the network that settings name, on a device.

    Raises:
        UserError: something cannot be used; the message names it.
    """
    return load_network(
        settings.model,
        settings.weights,
        labels=settings.labels,
        device=device,
        resize=settings.resize,
        output=settings.output,
    )
