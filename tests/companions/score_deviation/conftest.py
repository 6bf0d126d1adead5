"""A set of images of the lamps, and the command on it."""

import csv
import json
from pathlib import Path

import lamps as lamps_module
import numpy as np
import pytest
from PIL import Image

from companions.score_deviation.record import decode_deviation
from score_deviation import main

RED = {"one": (255, 255), "two": (0, 255), "three": (255, 0)}  # of the upper and middle lamp


class LampSet:
    """Three images of the lamps in a folder, with label maps, names and classes.

    Attributes:
        path: has in/ (images), maps/, names.txt (labels), classes.txt and images.csv; results go
            to out/.
    """

    def __init__(self, path):
        self.path = path
        for folder in ("in", "maps"):
            (path / folder).mkdir()
        labels = np.repeat([1, 2, 3], 4)[:, None].repeat(12, 1).astype(np.uint8)
        for name, (upper, middle) in RED.items():
            image = np.zeros((12, 12, 3), np.uint8)
            image[:4, :, 0] = upper
            image[4:8, :, 0] = middle
            image[8:, :, 0] = 255
            Image.fromarray(image).save(path / f"in/{name}.png")
            Image.fromarray(labels).save(path / f"maps/{name}.png")
        (path / "names.txt").write_text("upper lamp\nmiddle lamp\nlower lamp\n")
        (path / "classes.txt").write_text("a\nb\nc\n")
        self.write_manifest(*(f"in/{n}.png,maps/{n}.png,{c}" for n, c in zip(RED, "aba")))

    @property
    def maps(self):
        """Options that name the label maps and their labels."""
        return ("--regions", self.path / "maps", "--region-names", self.path / "names.txt")

    @property
    def manifest(self):
        """Options that name the manifest and the labels."""
        return (
            "--manifest",
            self.path / "images.csv",
            "--region-names",
            self.path / "names.txt",
        )

    def write_manifest(self, *rows):
        """Write images.csv with these rows."""
        lines = ["image,mask,class", *rows]
        (self.path / "images.csv").write_text("\n".join(lines) + "\n")

    def run(self, *options, baseline="black"):
        """Run the command; return its exit status."""
        network = f"{Path(lamps_module.__file__)}:build"
        common = {
            "--results": self.path / "out",
            "--model": network,
            "--device": "cpu",
            "--labels": self.path / "classes.txt",
            "--baseline": baseline,
        }
        words = [str(word) for pair in common.items() for word in pair]
        try:
            return main([*words, *map(str, options)])
        except SystemExit as end:
            return end.code

    def record(self, name):
        """Return the record of an image."""
        return decode_deviation((self.path / "out" / name / "deviation.json").read_bytes())

    def summary(self):
        """Return the rows of summary.csv."""
        with open(self.path / "out/summary.csv", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def statistics(self):
        """Return the content of statistics.json."""
        return json.loads((self.path / "out/statistics.json").read_text(encoding="utf-8"))


@pytest.fixture
def lamp_set(tmp_path):
    """Images of the lamps, and the command on them."""
    return LampSet(tmp_path)


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """A set that is explained once; a test that changes it explains it again."""
    lamp_set = LampSet(tmp_path_factory.mktemp("explained"))
    assert lamp_set.run(lamp_set.path / "in", *lamp_set.maps) == 0
    return lamp_set
