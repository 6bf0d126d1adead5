"""What the tests of figures and pages share: finished results of planted networks."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

if "PYTEST_XDIST_WORKER" in os.environ:         # several test processes: with more threads each they would fight over the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import main_generate_sag

HERE = Path(__file__).resolve().parent
NAME = '</script><b>"Oren\'s" & $x_1$ tern</b>'


def run(*options):
    """A run of the program on the planted network, in this process."""
    assert main_generate_sag.main([str(o) for o in options]) == 0


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """A noisy picture, explained by the planted network (three roots) and by a blind one (none)."""
    folder = tmp_path_factory.mktemp("figures")
    (folder / "in").mkdir()
    noise = np.random.default_rng(0).integers(190, 256, (56, 56, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "in/scene.png")
    (folder / "names.txt").write_text(f"zero\n{NAME}\ntwo\n")
    common = ("--images", folder / "in", "--category", 1, "--grid", 4, "--device", "cpu", "--labels", folder / "names.txt")
    run(*common, "--results", folder / "planted", "--model", f"{HERE}/planted.py:network", "--search", "exhaustive")
    run(*common, "--results", folder / "empty", "--model", f"{HERE}/planted.py:blind")
    run("--images", folder / "in", "--results", folder / "wide", "--model", f"{HERE}/planted.py:resnet", "--device", "cpu", "--max-num-roots", 3)
    return folder
