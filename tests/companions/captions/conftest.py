"""The command in this process, and a miniature data set in the published formats."""

import h5py
import msgspec
import numpy as np
import pytest
from caption_regions import bird_region

import concept_caption
from companions.captions.data import load_split
from companions.captions.files import Places, add_region_features, write_global_features
from companions.captions.scene_graph import scene_graph
from companions.concepts.graphs import Region
from companions.concepts.published_files import (
    Vocabulary,
    read_vocabulary,
    write_split,
    write_vocabulary,
)
from utils import write_json

BIRDS = ("crow", "jay", "tern")
COLOURS = ("blue", "red")
WORDS = ["<BOS>", "<EOS>", "<UNK>", "a", "with", "wing", *BIRDS, *COLOURS]


def one_hot(name):
    """Return a feature that says a name."""
    return np.eye(len(WORDS), dtype=np.float32)[WORDS.index(name)]


def write_data(data):
    """Write six images, with features that say what their regions show."""
    places = Places(data)
    names = [(f"{bird}_{colour}", bird, colour) for bird in BIRDS for colour in COLOURS]
    (data / "region_anno_dir").mkdir(parents=True)
    with h5py.File(places.regions, "w") as file:
        for image, bird, colour in names:
            write_json(places.annotations / f"{image}.json", {"7": bird_region(bird, [colour])})
            boxes = [(0, 0, 39, 39), (4, 4, 11, 11)]
            rows = np.stack([one_hot(bird), one_hot(colour)])
            add_region_features(file, image, rows, boxes)
    pairs = [(image, "7") for image, _, _ in names]
    for split, chosen in {"trn": pairs, "val": pairs[:4]}.items():
        write_split(places.split(split), chosen)
        rows = np.zeros((len(chosen), 5), np.float32)
        write_global_features(places.image_features(split), rows)
    write_vocabulary(data, Vocabulary(WORDS))
    return places


@pytest.fixture
def places(tmp_path):
    """A miniature data set that a test may damage."""
    return write_data(tmp_path / "data")


@pytest.fixture(scope="session")
def examples(tmp_path_factory):
    """The training split of the miniature data set."""
    places = write_data(tmp_path_factory.mktemp("captions") / "data")
    return load_split(places, "trn", read_vocabulary(places.data))


@pytest.fixture(scope="session")
def run():
    """concept_caption.main(), with words of any type, to its exit status."""

    def run_command(*words):
        try:
            return concept_caption.main([str(word) for word in words])
        except SystemExit as end:
            return end.code

    return run_command


@pytest.fixture
def error_of(run, capsys):
    """A function: the last line on stderr of a command that fails with status 2."""

    def read(*words):
        assert run(*words) == 2
        lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
        return [line for line in lines if "error:" in line][-1]

    return read


@pytest.fixture
def graph_of():
    """A function: an annotated region of plain values to its scene graph."""
    return lambda plain: scene_graph(msgspec.convert(plain, Region))
