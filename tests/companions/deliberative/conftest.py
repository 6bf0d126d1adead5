"""Small networks, the scene of colours, and the command on it."""

import json
from pathlib import Path

import numpy as np
import planted
import pytest
import torch
from PIL import Image
from torch import nn

from companions.deliberative.difficulty import Hardness
from companions.deliberative.record import decode_insecurities
from companions.deliberative.split import Split
from deliberative_explanation import main

PLANTED = Path(planted.__file__)


# ---------------------------------------------------------------- networks


def small_network(head):
    """Return a random network in double precision.

    Args:
        head: "pooled" (global average pooling and a linear layer) or "deep" (not linear).
    """
    torch.manual_seed(0)
    heads = {
        "pooled": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)],
        "deep": [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 7), nn.Softplus(), nn.Linear(7, 5)],
    }
    convolutions = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU()]
    return nn.Sequential(*convolutions, *heads[head]).double().eval().requires_grad_(False)


@pytest.fixture
def noise():
    """A random image, (3, 8, 8), in double precision."""
    generator = torch.Generator().manual_seed(2)
    return 3 * torch.randn(3, 8, 8, generator=generator, dtype=torch.float64)


@pytest.fixture(params=["pooled", "deep"])
def head(request):
    """The kind of head of small_split."""
    return request.param


@pytest.fixture
def small_split(head, noise):
    """A small network, split."""
    return Split(small_network(head), noise)


@pytest.fixture
def deep_split(noise):
    """A small network whose head is not linear, split."""
    return Split(small_network("deep"), noise)


@pytest.fixture
def pooled_split(noise):
    """A small network whose head is linear, split."""
    return Split(small_network("pooled"), noise)


@pytest.fixture
def predictor():
    """A predictor of hardness for the small networks."""
    weight = torch.randn(6, generator=torch.Generator().manual_seed(1)).double()
    return Hardness(weight, torch.tensor(0.3).double())


# ---------------------------------------------------------------- the scene of colours


def colour_scene():
    """Return 56 x 56 pixels: two red cells, a green one, two yellow ones; the rest black."""
    image = np.zeros((56, 56, 3), np.uint8)
    image[0:8, 0:16, 0] = 255
    image[48:56, 48:56, 1] = 255
    image[24:32, 24:40, :2] = 255
    return image


@pytest.fixture
def scene():
    """The scene of colours, (56, 56, 3) uint8."""
    return colour_scene()


@pytest.fixture
def scene_tensor(scene):
    """The scene of colours, (3, 56, 56) in 0..1."""
    return torch.from_numpy(scene.transpose(2, 0, 1).copy()).float() / 255


@pytest.fixture
def colour_split(scene_tensor):
    """The planted network that sees how much red, green and blue there is, split."""
    return Split(planted.colours().eval().requires_grad_(False), scene_tensor)


# ---------------------------------------------------------------- the command


def run(*options):
    """Run the command; return its exit status."""
    try:
        return main([str(option) for option in options])
    except SystemExit as end:
        return end.code


class ColourRun:
    """The command with the planted network of colours on a folder of images.

    Attributes:
        path: has in/ (images) and names.txt (classes); results go to out/.
        images: the folder, or the image, to explain.
    """

    def __init__(self, path):
        self.path = path
        self.images = path / "in"
        (path / "names.txt").write_text("red\ngreen\nblue\n")

    def __call__(self, *options, images=None):
        """Run the command; return its exit status."""
        return run(
            images or self.images,
            *("--results", self.path / "out", "--device", "cpu"),
            *("--model", f"{PLANTED}:colours", "--labels", self.path / "names.txt"),
            *options,
        )

    def record(self, name):
        """Return the record of an image."""
        return decode_insecurities(self.file(name).read_bytes())

    def file(self, name):
        """Return the path of an image's record."""
        return self.path / "out" / name / "insecurities.json"

    def evaluation(self):
        """Return the content of evaluation.json."""
        return json.loads((self.path / "out/evaluation.json").read_text())


@pytest.fixture
def colour_run(tmp_path):
    """The command, without images."""
    return ColourRun(tmp_path)


@pytest.fixture
def two_scenes(colour_run):
    """The command on a folder of two images, a.png and sub/b.png."""
    (colour_run.images / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        Image.fromarray(colour_scene()).save(colour_run.images / name)
    return colour_run


@pytest.fixture
def error_line(capsys):
    """A function that returns the one line that a run wrote to stderr."""

    def read():
        lines = [
            line
            for line in capsys.readouterr().err.replace("\r", "\n").splitlines()
            if line.strip() and "it/s" not in line and "?" not in line
        ]
        assert len(lines) == 1, lines
        return lines[0]

    return read
