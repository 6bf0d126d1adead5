"""A record may come from anyone: what it names is checked before it is run or scored."""

import hashlib
import json

import msgspec
import numpy as np
import pytest
from drawn import make_sag
from PIL import Image

import draw_sag
from drawing.record import Baseline, Category, Model, encode_sag, pack_scores
from running.record_files import pixels_sha256
from scoring.networks import load_network
from scoring.user_code import code_checksums

NETWORK = """
import pathlib
import helper
pathlib.Path(__file__).with_name("has_run").touch()
from torch import nn
class Sum(nn.Module):
    input_size = 56
    def forward(self, x):
        total = x.mean((1, 2, 3))[:, None] * helper.FACTOR
        import torch
        return torch.cat([total, -total, total * 0], 1)
def build():
    return Sum().eval()
"""


@pytest.fixture
def code(tmp_path):
    """A network in a file, which notes that it has run, and a module beside it."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "net.py").write_text(NETWORK)
    (folder / "helper.py").write_text("FACTOR = 1.0\n")
    return folder


@pytest.fixture
def result(tmp_path, code):
    """The result of a stranger: a record that names the network, and the image."""
    name = f"{code / 'net.py'}:build"
    image = np.full((56, 56, 3), 255, np.uint8)
    sag = make_sag(
        model=msgspec.convert(load_network(name).description(), Model),
        category=Category(index=0, name="class 0"),
        baseline=Baseline(name="black", probability=0.3),
        grid=(4, 4),
        saliency=[1.0] * 16,
        scores=pack_scores({}),
        roots=[],
        pixels_sha256=pixels_sha256(image),
        settings={"model": name, "weights": None, "labels": None},
    )
    folder = tmp_path / "result"
    folder.mkdir()
    (folder / "sag.json").write_bytes(encode_sag(sag))
    Image.fromarray(image).save(folder / "perturbation_original.png")
    (code / "has_run").unlink()
    return folder


@pytest.fixture
def score(result, code, capsys):
    """Return score(*options): exit status and the only line of stderr, if there is one."""

    def ask(*options):
        options = [*options, "--only", "0,1", "--score", "--device", "cpu"]
        status = draw_sag.main(["ask", str(result), *map(str, options)])
        return status, capsys.readouterr().err.strip()

    return ask


def name_of(code):
    return f"{code / 'net.py'}:build"


def change_record(result, change):
    record = json.loads((result / "sag.json").read_text())
    change(record)
    (result / "sag.json").write_text(json.dumps(record))


def test_code_that_a_record_names_does_not_run(score, code):
    status, line = score()
    assert status == 2 and f"--model {name_of(code)}" in line and "\n" not in line
    assert not (code / "has_run").exists()


def test_code_that_the_user_names_too_runs(score, code):
    assert score("--model", name_of(code)) == (0, "")
    assert (code / "has_run").exists()


CHANGES = {
    "net.py": lambda code, result: (code / "net.py").write_text(NETWORK + "# changed\n"),
    "helper.py": lambda code, result: (code / "helper.py").write_text("FACTOR = 2.0\n"),
    "weights": lambda code, result: change_record(
        result, lambda record: record["model"].update(weights_sha256="0")
    ),
    "class names": lambda code, result: change_record(
        result, lambda record: record["model"].update(labels_sha256="0")
    ),
    "perturbation_original.png": lambda code, result: Image.new("RGB", (56, 56), "grey").save(
        result / "perturbation_original.png"
    ),
}


@pytest.mark.parametrize("part", CHANGES)
def test_what_is_not_the_records_is_refused_by_name(part, score, code, result):
    CHANGES[part](code, result)
    status, line = score("--model", name_of(code))
    assert status == 2 and part in line and "\n" not in line


@pytest.mark.parametrize("part", ["net.py", "helper.py"])
def test_code_that_is_not_the_records_does_not_run(part, score, code, result):
    CHANGES[part](code, result)
    score("--model", name_of(code))
    assert not (code / "has_run").exists()


@pytest.mark.parametrize("setting", ["model", "weights", "labels", "images"])
def test_a_setting_that_is_no_text_counts_as_absent(setting, score, code, result):
    change_record(result, lambda record: record["settings"].update({setting: [5]}))
    status, line = score("--model", name_of(code))
    assert (status, line) == (0, "")


def test_labels_that_are_a_device_are_refused(score, code, result):
    change_record(result, lambda record: record["settings"].update(labels="/dev/zero"))
    status, line = score("--model", name_of(code))
    assert status == 2 and "/dev/zero" in line


# ---------------------------------------------------------------- what a file brings in

IMPORTS = {
    "import helper": {"helper.py"},
    "def f():\n    from helper import FACTOR": {"helper.py"},
    "import parts.head": {"parts/__init__.py", "parts/head.py"},
    "from parts import head": {"parts/__init__.py", "parts/head.py"},
    "from parts import relative": {"parts/__init__.py", "parts/relative.py", "parts/head.py"},
    "import torch": set(),
    "import circle": {"circle.py", "net.py"},
    "this is no Python": set(),
}


@pytest.mark.parametrize("source", IMPORTS)
def test_the_code_is_what_a_file_imports_from_its_folder(source, tmp_path):
    (tmp_path / "parts").mkdir()
    files = {
        "helper.py": "FACTOR = 1",
        "circle.py": "import net",
        "parts/__init__.py": "",
        "parts/head.py": "",
        "parts/relative.py": "from . import head\nfrom ... import above",
        "net.py": source,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = code_checksums(tmp_path / "net.py")
    assert set(found) == IMPORTS[source] | {"net.py"}
    assert found["net.py"] == hashlib.sha256(source.encode()).hexdigest()


def test_a_changed_helper_module_redoes_the_images(tmp_path):
    from main_job import run
    from PIL import Image

    Image.new("RGB", (50, 40), "white").save(tmp_path / "a.png")
    (tmp_path / "net.py").write_text(
        "import torch\nfrom helper import SCALE\n"
        "class Net(torch.nn.Module):\n    input_size = 16\n"
        "    def forward(self, x):\n        return SCALE * x.mean((2, 3))\n"
        "def build():\n    return Net().eval()\n"
    )
    (tmp_path / "helper.py").write_text("SCALE = 3.0\n")
    options = ["--images", tmp_path / "a.png", "--results", tmp_path / "out", "--grid", 2]
    options += ["--model", f"{tmp_path / 'net.py'}:build", "--device", "cpu", "--pictures", "none"]
    record = tmp_path / "out/a/sag.json"
    assert run(*options) == 0
    first = record.read_bytes()
    assert run(*options) == 0
    assert record.read_bytes() == first
    (tmp_path / "helper.py").write_text("SCALE = 4.0\n")
    assert run(*options) == 0
    assert record.read_bytes() != first
