"""Finished results of planted networks, for the tests of figures, pages and questions."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from drawn import NAME
from PIL import Image

PLANTED = Path(__file__).resolve().parents[1] / "planted.py"


def run(*options) -> None:
    """Run the main command in this process."""
    import main_generate_sag  # here, because most tests of this folder do without it

    assert main_generate_sag.main([str(option) for option in options]) == 0


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """Results of one noisy image: planted/ has three roots, empty/ none, wide/ a 7 x 7 grid."""
    folder = tmp_path_factory.mktemp("figures")
    (folder / "in").mkdir()
    noise = np.random.default_rng(0).integers(190, 256, (56, 56, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "in/scene.png")
    (folder / "names.txt").write_text(f"zero\n{NAME}\ntwo\n")
    images = ["--images", folder / "in", "--device", "cpu", "--precision", "float32"]
    named = [*images, "--category", 1, "--grid", 4, "--labels", folder / "names.txt"]
    planted = ["--model", f"{PLANTED}:network", "--search", "exhaustive"]
    run(*named, *planted, "--results", folder / "planted")
    run(*named, "--model", f"{PLANTED}:blind", "--results", folder / "empty")
    wide = ["--model", f"{PLANTED}:resnet", "--max-num-roots", 3]
    run(*images, *wide, "--results", folder / "wide")
    return folder


@pytest.fixture(scope="session")
def planted(results):
    """The result folder with three roots; not to be written to."""
    return results / "planted/scene"


@pytest.fixture
def copied(planted, tmp_path):
    """A copy of the result folder with three roots, to draw into."""
    return Path(shutil.copytree(planted, tmp_path / "scene"))
