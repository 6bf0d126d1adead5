"""Planted classifiers: networks and scorers whose explanations are known."""

from types import SimpleNamespace

import torch
import torchvision


def dnf_scorer(conjunctions, high=0.95, low=0.05, calls=None):
    """Return a scorer: `high` for sets that contain one of the conjunctions, else `low`.

    Each call's sets are noted in `calls`.
    """
    wanted = [set(c) for c in conjunctions]

    def score(patch_sets):
        if calls is not None:
            calls.append([tuple(s) for s in patch_sets])
        return torch.tensor([high if any(w <= set(s) for w in wanted) else low for s in patch_sets])

    return score


def table_scorer(scores, default=0.0):
    """Return a scorer that looks sets up in a dict."""
    return lambda patch_sets: torch.tensor([scores.get(tuple(s), default) for s in patch_sets])


class PlantedNetwork(torch.nn.Module):
    """A network over (B, 3, 224, 224) whose class 1 is a monotone DNF of visible patches.

    It looks at one pixel at each patch's centre (image white, baseline black: the pixel is the
    patch's own tent, 1 when shown, 0 when hidden) and gives class 1 the probability `high` where
    all patches of some conjunction are brighter than one half. It has no parameters and no
    convolution, and hardly a gradient.
    """

    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)

    def __init__(self, conjunctions, grid=7, size=224, high=0.95, low=0.02, classes=3):
        super().__init__()
        centres = torch.linspace(0, size - 1, grid).round().long()
        self.rows = centres.repeat_interleave(grid)
        self.columns = centres.repeat(grid)
        self.conjunctions = [list(c) for c in conjunctions]
        self.high = high
        self.low = low
        self.classes = classes
        self.calls = []
        self.input_size = size

    def probability(self, visible):  # (B, patches) bool -> (B,)
        hit = torch.stack([visible[:, c].all(1) for c in self.conjunctions]).any(0)
        return torch.where(hit, self.high, self.low)

    def forward(self, x):
        self.calls.append(len(x))
        visible = x.mean(1)[:, self.rows, self.columns] > 0.5
        p = self.probability(visible)[:, None] + 0 * x.mean((1, 2, 3))[:, None]
        rest = ((1 - p) / (self.classes - 1)).expand(-1, self.classes - 1)
        return torch.cat([rest[:, :1], p, rest[:, 1:]], 1).log()


WHITE = torch.ones(3, 224, 224)
BLACK = torch.zeros(3, 224, 224)

PLANTED = [(5,), (6, 10), (1, 8, 14)]
SMALL = {"grid": 4, "size": 56}  # small images, for whole runs of the program


def network():
    """For --model tests/planted.py:network --grid 4: three explanations, known."""
    return PlantedNetwork(PLANTED, **SMALL)


def one_logit():
    """A single logit: sigmoid of two classes."""

    class OneLogit(PlantedNetwork):
        def forward(self, x):
            return super().forward(x)[:, 1:2].exp().logit()

    return OneLogit(PLANTED, **SMALL)


def blind():
    """Answers the same whatever it sees: the baseline alone is sufficient."""
    return PlantedNetwork([()], **SMALL)


def certain_of_nothing():
    """Three classes, equally likely, always."""
    return PlantedNetwork([()], high=1 / 3, low=1 / 3, **SMALL)


def broken():
    """Not a module."""
    return "a string"


def answers_nan():
    """NaN for every image that is not black."""

    class Nan(PlantedNetwork):
        def forward(self, x):
            return (
                super().forward(x) + torch.where(x.amax((1, 2, 3)) > 0, float("nan"), 0.0)[:, None]
            )

    return Nan(PLANTED, **SMALL)


def slow():
    """Takes its time for every image."""

    class Slow(PlantedNetwork):
        def forward(self, x):
            import time

            time.sleep(0.02 * len(x))
            return super().forward(x)

    return Slow([(5,), (10, 11, 13)], **SMALL)


def trap():
    """Patch 5 alone looks sufficient in bfloat16, which cannot tell 257 from 256, and is not."""

    class Trap(PlantedNetwork):
        def probability(self, visible):
            lone = (visible.to(self.seen) * torch.eye(16, dtype=self.seen)[5]).sum(1) * (
                visible.sum(1) == 1
            )
            noticed = (256 + lone) - 256
            return torch.where(noticed > 0, self.low, super().probability(visible))

        def forward(self, x):
            self.seen = x.dtype
            return super().forward(x)

    return Trap(PLANTED, **SMALL)


def hidden():
    """Patch 5 alone looks insufficient in bfloat16, and is sufficient."""

    class Hidden(PlantedNetwork):
        def probability(self, visible):
            lone = visible[:, 5] & (visible.sum(1) == 1)
            return torch.where(lone & self.is_reduced, self.low, super().probability(visible))

        def forward(self, x):
            self.is_reduced = torch.tensor(x.dtype != torch.float32)
            return super().forward(x)

    return Hidden(PLANTED, **SMALL)


def resnet():
    """An untrained ResNet-18 on 56 x 56 pixels; its answers at least differ between images."""
    torch.manual_seed(3)
    module = torchvision.models.resnet18(num_classes=5)
    module.input_size = 56
    module.fc.weight.data *= 20
    return module


def small_vit():
    """An untrained vision transformer with 14 x 14 tokens of 4 x 4 pixels.

    Its head is scaled, so that it is confident of something.
    """
    torch.manual_seed(0)
    vit = torchvision.models.VisionTransformer(
        image_size=56,
        patch_size=4,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        mlp_dim=32,
        num_classes=4,
    )
    torch.nn.init.normal_(vit.heads.head.weight, std=3.0)
    vit.input_size = 56
    return vit.eval().requires_grad_(False)


def colours():
    """A CNN of three classes, red, green and blue.

    Each logit is ten times the mean of its colour, seen on 7 x 7 cells of 8 x 8 pixels.
    """
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 3, 8, stride=8, groups=3, bias=False),
        torch.nn.Conv2d(3, 3, 1, bias=False),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(3, 3, bias=False),
    )
    module[0].weight.data.fill_(1 / 64)
    module[1].weight.data = torch.eye(3).view(3, 3, 1, 1)
    module[5].weight.data = 10 * torch.eye(3)
    module.input_size = 56
    module.mean = (0.0, 0.0, 0.0)
    module.std = (1.0, 1.0, 1.0)
    return module


def probabilities():
    """The same as network, but for its outputs: probabilities, as an object's logits."""

    class Softmaxed(PlantedNetwork):
        def forward(self, x):
            return SimpleNamespace(logits=super().forward(x).exp())

    return Softmaxed(PLANTED, **SMALL)


def one_probability():
    """The probability of the second of two classes, (B,)."""

    class OneProbability(PlantedNetwork):
        def forward(self, x):
            return super().forward(x)[:, 1].exp()

    return OneProbability(PLANTED, **SMALL)


def grey_strip():
    """The same explanations on images in grey that are wider than high: 40 x 72 pixels."""

    class Strip(PlantedNetwork):
        mean = (0.0,)
        std = (1.0,)

    module = Strip(PLANTED, grid=4, size=40)
    module.input_size = (40, 72)
    module.columns = torch.linspace(0, 71, 4).round().long().repeat(4)
    return module


def trainable(classes=3):
    """Return an untrained network on 32 x 32 pixels."""
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
        torch.nn.BatchNorm2d(16),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(16, classes),
    )
    module.input_size = 32
    return module


def trainable_of_two():
    """Return the same with two classes."""
    return trainable(2)
