"""The small world that every row starts from: images, a network, and results of all commands."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

# Three colours, told apart by two convolutions on 32 x 32 pixels.
NETWORK = """
import torch
from torch import nn

class Net(nn.Module):
    input_size = 32
    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 3, 4, stride=4, groups=3, bias=False)
        self.second = nn.Conv2d(3, 3, 1, bias=False)
        self.head = nn.Linear(3, 3, bias=False)
        self.first.weight.data.fill_(1 / 16)
        self.second.weight.data = torch.eye(3).view(3, 3, 1, 1)
        self.head.weight.data = 10 * torch.eye(3)

    def forward(self, x):
        x = self.second(torch.relu(self.first(x)))
        return self.head(torch.relu(x).mean((2, 3)))

def build():
    return Net().eval()

class Place(Net):
    def forward(self, x):
        return super().forward(x[:, :, 4:8, 4:8])  # hangs on few patches: little to search

def quick():
    return Place().eval()
"""
COLOURS = {"red": (230, 40, 30), "green": (40, 220, 60), "blue": (30, 60, 240)}
HALF = 16


def picture(colour: str, seed: int = 0) -> Image.Image:
    """Return an image of 32 x 32 pixels: the left half in a colour, the right one grey noise."""
    noise = np.random.default_rng(seed).integers(60, 90, (32, 32, 1), np.uint8)
    pixels = np.repeat(noise, 3, axis=2)
    pixels[:, :HALF] = COLOURS[colour]
    return Image.fromarray(pixels)


def label_map() -> Image.Image:
    """Return the label map of a picture: 1 on the left, 2 on the right."""
    labels = np.full((32, 32), 2, np.uint8)
    labels[:, :HALF] = 1
    return Image.fromarray(labels)


def make_inputs(world: Path) -> None:
    """Write everything that a user would have before the first command."""
    for folder in ("in", "masks", "home", "tmp", "empty"):
        (world / folder).mkdir(parents=True)
    for name, colour in {"a": "red", "b": "green"}.items():
        picture(colour).save(world / f"in/{name}.png")
        label_map().save(world / f"masks/{name}.png")
    for colour in COLOURS:
        (world / "pool" / colour).mkdir(parents=True)
        (world / "pool_masks" / colour).mkdir(parents=True)
        for number in (1, 2):
            picture(colour, number).save(world / f"pool/{colour}/{number}.png")
            label_map().save(world / f"pool_masks/{colour}/{number}.png")
    (world / "net.py").write_text(NETWORK)
    (world / "labels.txt").write_text("red\ngreen\nblue\n")
    (world / "names.txt").write_text("left\nright\n")
    (world / "thesis.txt").write_text("not to be lost\n")
    write_csv(world / "images.csv", [("image", "mask", "class")] + MANIFEST)
    write_csv(world / "labels.csv", [("file", "label")] + LABELS)


MANIFEST = [("in/a.png", "masks/a.png", "red"), ("in/b.png", "masks/b.png", "green")]
LABELS = [(f"{colour}/{number}.png", colour) for colour in COLOURS for number in (1, 2)]


def write_csv(path: Path, rows: list[tuple[str, ...]]) -> None:
    """Write rows of a CSV file."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def write_weights(world: Path) -> None:
    """Write the network's weights as net.pth and net.safetensors."""
    import runpy

    import torch
    from safetensors.torch import save_file

    weights = runpy.run_path(str(world / "net.py"))["build"]().state_dict()
    torch.save(weights, world / "net.pth")
    save_file(weights, world / "net.safetensors")


# The results that the rows start from: run key, options.
RESULTS = (
    ("main", "--results done --pictures graph"),
    (
        "main",
        "--results half --time-limit 100 --max-num-roots 1 --num-roots-sag 1 --what-if-sets 0",
    ),
    ("deviation", "--results done_deviation"),
    ("deliberative", "--results done_deliberative"),
    ("explain", "--results debug --images pool --regions pool_masks"),
    ("select", "--results debug"),
    ("improve", "--results debug"),
    ("paper", "--results done_paper"),
)
