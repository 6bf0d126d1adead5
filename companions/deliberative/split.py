"""A network split at its last convolution into features F (D, h, w) and a head.

    split = Split(model, image)                             # image: (3, H, W), normalised
    logits = split(images)                                  # (B, C)
    features, logits = split.features_and_logits(images)    # features: (B, D, h, w), a leaf
    _, logits = split.features_and_logits(images, features=other)

The features pass through `split.features`, a layer that does nothing and runs once per forward
pass, so that Captum's layer attributions can be asked of any network:

    LayerGradientXActivation(split, split.features).attribute(images, target=84)
"""

from collections import Counter
from collections.abc import Iterable

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from get_perturbation_mask import last_convolution
from scoring.networks import two_logits
from utils import UserError


class Split(nn.Module):
    """A network as features and head.

    The features are what leaves the block of the last convolution: the last map that is as high and
    wide as that convolution's own (after batch norm, ReLU or a shortcut's sum, before pooling).

    Args:
        model: in eval mode, from images (B, 3, H, W) to logits.
        image: (3, H, W), normalised; shows which layers run, and in which order.
        layer: name of the layer whose output is the features; None: as above.

    Raises:
        UserError: there are not two convolutions, or the layer makes no map; the message names the
            network's layers.
    """

    def __init__(self, model: nn.Module, image: torch.Tensor, layer: str | None = None):
        super().__init__()
        self.model = model
        self.features = nn.Identity()
        # The features are the output of this layer's so many-th call in a forward pass.
        found = map_of(model, image, layer) if layer else last_map(model, image)
        self.layer, self.call = found

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits (B, C), C >= 2, of images (B, 3, H, W)."""
        calls = Counter()

        def pass_through(module: nn.Module, _: object, output: torch.Tensor) -> torch.Tensor:
            calls[module] += 1
            return self.features(output) if calls[module] == self.call else output

        hook = self.layer.register_forward_hook(pass_through)
        try:
            return two_logits(self.model(images))
        finally:
            hook.remove()

    def features_and_logits(
        self, images: torch.Tensor, features: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the features, as a leaf to differentiate with respect to, and the logits.

        Args:
            images: (B, 3, H, W), normalised.
            features: (B, D, h, w), used in place of the images' own.

        Returns:
            Features (B, D, h, w), and logits (B, C) that depend on them.
        """
        leaves: list[torch.Tensor] = []

        def replace(_: nn.Module, __: object, output: torch.Tensor) -> torch.Tensor:
            used = output if features is None else features
            leaves.append(used.detach().clone().requires_grad_())
            return leaves[0].clone()  # the next layer may write into its input

        hook = self.features.register_forward_hook(replace)
        try:
            with torch.enable_grad():
                logits = self(images)
        finally:
            hook.remove()
        return leaves[0], logits


def last_map(model: nn.Module, image: torch.Tensor) -> tuple[nn.Module, int]:
    """Return the layer whose output is the features, and which of its calls that is (from 1)."""
    convolution = last_convolution(model, image)
    if convolution is None:
        raise UserError(
            "--model: a deliberative explanation splits the network at its last convolution, and "
            f"this one has fewer than two that make a map; its layers: {layers_of(model)}"
        )
    calls = Counter()
    maps: list[tuple[nn.Module, int, torch.Size]] = []

    def note(module: nn.Module, _: object, output: object) -> None:
        calls[module] += 1
        if module is convolution:  # called again: only what follows the last call counts
            maps.clear()
        follows = bool(maps) or module is convolution
        if follows and isinstance(output, torch.Tensor) and output.dim() == 4:
            maps.append((module, calls[module], output.shape[-2:]))

    hooks = [m.register_forward_hook(note) for m in model.modules() if m is not model]
    run_hooked(model, image, hooks)
    size = maps[0][2]  # of the convolution's own map
    layer, call, _ = next(entry for entry in reversed(maps) if entry[2] == size)
    return layer, call


def map_of(model: nn.Module, image: torch.Tensor, name: str) -> tuple[nn.Module, int]:
    """Return the layer of this name and its last call that makes a map (from 1).

    Raises:
        UserError: there is none; the message names those that do.
    """
    modules = dict(model.named_modules())
    calls = Counter()
    with_map: dict[str, int] = {}

    def note(module: nn.Module, output: object, layer: str) -> None:
        calls[module] += 1
        if isinstance(output, torch.Tensor) and output.dim() == 4:
            with_map[layer] = calls[module]

    hooks = [
        module.register_forward_hook(lambda m, _, output, layer=layer: note(m, output, layer))
        for layer, module in modules.items()
        if layer
    ]
    run_hooked(model, image, hooks)
    if name not in with_map:
        raise UserError(f"--split {name}: makes no map; those that do: {', '.join(with_map)}")
    return modules[name], with_map[name]


def run_hooked(model: nn.Module, image: torch.Tensor, hooks: Iterable[RemovableHandle]) -> None:
    """Run a network on an image (3, H, W), then remove the hooks that saw it."""
    try:
        with torch.no_grad():
            model(image[None])
    finally:
        for hook in hooks:
            hook.remove()


def layers_of(model: nn.Module) -> str:
    """Return the kinds of layer of a network, with their numbers: "Linear (12), Conv2d (1)"."""
    leaves = [m for m in model.modules() if m is not model and not list(m.children())]
    kinds = Counter(type(module).__name__ for module in leaves)
    return ", ".join(f"{kind} ({number})" for kind, number in kinds.most_common()) or "none"
