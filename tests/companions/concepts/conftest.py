"""The command in this process, a small folder of images, and the demo in a small world."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import concept_debug
from birds.cue_world import NAMES
from companions.concepts import demo


def run_command(*words):
    """Run concept_debug.py in this process; return its exit status."""
    try:
        return concept_debug.main([str(word) for word in words])
    except SystemExit as end:
        return end.code


@pytest.fixture(scope="session")
def run():
    """concept_debug.main(), with words of any type, to its exit status."""
    return run_command


@pytest.fixture
def only_line(capsys):
    """A function: the only line on stderr, progress bars aside."""

    def read():
        text = capsys.readouterr().err.replace("\r", "\n")
        lines = [line for line in text.splitlines() if line.strip() and "image/s" not in line]
        assert len(lines) == 1, lines
        return lines[0]

    return read


@dataclass
class Pool:
    """A folder of images by class, the options of a network for them, and the results."""

    images: Path
    model: tuple
    results: Path

    def csv(self, name, *rows):
        """Write a selection; return its path."""
        path = self.results.parent / f"{name}.csv"
        path.write_text("\n".join(["image,class", *rows]) + "\n")
        return path

    def improve(self, *options, selection):
        """Return the words of an improve command."""
        return (
            "improve",
            *("--images", self.images),
            *("--selection", *selection),
            *("--test", self.images),
            *options,
            *self.model,
        )


@pytest.fixture
def pool(tmp_path):
    """Three small images in two classes, and an empty folder of a third class."""
    rng = np.random.default_rng(0)
    for place in ("harbour_kite/a", "harbour_kite/b", "painted crake/c"):
        path = tmp_path / "pool" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    (tmp_path / "pool/thistle shrike").mkdir()
    (tmp_path / "classes.txt").write_text("\n".join(NAMES) + "\n")
    torch.manual_seed(0)
    model = (
        *("--model", demo.NETWORK),
        *("--labels", tmp_path / "classes.txt"),
        *("--results", tmp_path / "out"),
        *("--device", "cpu"),
    )
    return Pool(tmp_path / "pool", model, tmp_path / "out")


@dataclass
class Loop:
    """A finished demo in a small world."""

    results: Path
    demo: demo.Demo

    def run(self):
        """Run it again; return its exit status."""
        return demo.run_demo(self.demo, self.results, command=concept_debug.main)

    def json(self, name):
        """Return the content of a JSON file of the results."""
        return json.loads((self.results / name).read_text())


SMALL_WORLD = {
    "train": demo.Split(400, bias=0.95),
    "pool": demo.Split(240, bias=0.25),
    "explain": demo.Split(16, bias=0.95, side=64, label_maps=True, annotations=True),
    "test": demo.Split(64, bias=0.95, label_maps=True),
    "swapped": demo.Split(64, bias=None),
}


@pytest.fixture(scope="session")
def loop(tmp_path_factory):
    """The demo in a small world, run once."""
    small = demo.Demo(
        splits=SMALL_WORLD,
        plant=replace(demo.Demo().plant, steps=220),
        per_class=30,
        sets=("active", "ours"),
        improve={"--steps": 150, "--train-batch": 16, "--lr": 3e-3, "--scenes": 10},
    )
    finished = Loop(tmp_path_factory.mktemp("loop"), small)
    assert finished.run() == 0
    return finished
