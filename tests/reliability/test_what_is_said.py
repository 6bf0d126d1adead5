"""What would be silent: a network that ends the program, odd answers, records that are replaced."""

import numpy as np
import pytest
from drawn import make_sag
from main_job import run, run_planted
from PIL import Image

from drawing.record import RegionMap, encode_sag
from running.ask import parse_patches
from running.earlier_settings import MOST_READ, records_of_other_settings
from running.network_check import warning_about
from running.record_files import RECORD
from running.results import Job
from scoring.networks import wrap_module
from utils import UserError

EXITS = {
    "when imported": "import sys\nsys.exit(0)",
    "when built": "def build():\n    exit()",
    "when first run": """
from torch import nn
class Net(nn.Module):
    input_size = 32
    def forward(self, x):
        raise SystemExit(0)
def build():
    return Net().eval()
""",
    "in the middle": """
import torch
from torch import nn
class Net(nn.Module):
    input_size = 32
    def forward(self, x):
        if x.shape[0] > 3 or float(x.std()) > 0.3:
            raise SystemExit(0)
        return torch.zeros(len(x), 3)
def build():
    return Net().eval()
""",
}


@pytest.fixture
def image(tmp_path):
    """An image, half black and half white."""
    path = tmp_path / "a.png"
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("when", EXITS)
def test_a_network_that_ends_the_program_is_an_error(when, image, tmp_path, capsys):
    (tmp_path / "net.py").write_text(EXITS[when])
    options = ["--images", image, "--results", tmp_path / "out", "--device", "cpu"]
    status = run(*options, "--model", f"{tmp_path / 'net.py'}:build")
    assert status == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


# ---------------------------------------------------------------- odd answers


def odd(kind):
    """Return a network whose answers are odd in this way."""
    import torch
    from torch import nn

    class Odd(nn.Module):
        input_size = 16

        def forward(self, x):
            bright = x.mean((2, 3))
            if kind == "random numbers":
                return bright + torch.rand_like(bright)
            if kind == "batch statistics":
                return bright - bright.mean(0)
            return bright

    return wrap_module(Odd().eval())


IMAGES = [np.full((16, 16, 3), (value, 40, 250 - value), np.uint8) for value in (10, 90, 200)]
WORDS = {
    "random numbers": "random numbers",
    "batch statistics": "alone than in a batch",
}


@pytest.mark.parametrize("kind", WORDS)
def test_a_network_with_odd_answers_is_named(kind):
    assert WORDS[kind] in warning_about(odd(kind), IMAGES)


@pytest.mark.parametrize("kind", WORDS)
def test_odd_answers_show_without_any_image(kind):
    assert WORDS[kind] in warning_about(odd(kind), [])


def test_an_ordinary_network_has_no_warning():
    assert warning_about(odd("nothing"), IMAGES) == ""


def test_a_run_warns_once(tmp_path, image, capsys):
    (tmp_path / "net.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    input_size = 32\n"
        "    def forward(self, x):\n"
        "        return x.mean((2, 3)) + torch.rand(len(x), 3)\n"
        "def build():\n"
        "    return Net().eval()\n"
    )
    options = ["--images", image, "--results", tmp_path / "out", "--device", "cpu"]
    options += ["--pictures", "none", "--grid", 2]
    assert run(*options, "--model", f"{tmp_path / 'net.py'}:build") == 0
    assert capsys.readouterr().err.count("warning: ") == 1


# ---------------------------------------------------------------- records that are replaced


def test_a_run_says_how_many_records_it_replaces(image, tmp_path, capsys):
    results = tmp_path / "out"
    assert run_planted(image, results, "--pictures", "none") == 0
    capsys.readouterr()
    assert run_planted(image, results, "--pictures", "none", "--beam-width", 5) == 0
    line = capsys.readouterr().err
    assert "1 record of other settings (beam_width 3) will be replaced; --run NAME" in line


def test_a_run_with_a_name_replaces_nothing(image, tmp_path, capsys):
    results = tmp_path / "out"
    options = (image, results, "--pictures", "none")
    assert run_planted(*options) == 0
    before = (results / "a/sag.json").read_bytes()
    assert run_planted(*options, "--beam-width", 5, "--run", "wide") == 0
    assert (results / "a/sag.json").read_bytes() == before
    assert (results / "wide/a/sag.json").is_file()
    assert "replaced" not in capsys.readouterr().err


def test_the_same_settings_replace_nothing(tmp_path):
    job = job_with_record(tmp_path, settings={"beam_width": 3})
    model = model_of(make_sag())
    found = records_of_other_settings(
        [job.folder / RECORD], model=model, settings={"beam_width": 3}
    )
    assert found.line() == ""


def test_another_network_is_another_setting(tmp_path):
    job = job_with_record(tmp_path, settings={"beam_width": 3})
    model = {**model_of(make_sag()), "weights_sha256": "other"}
    found = records_of_other_settings(
        [job.folder / RECORD], model=model, settings={"beam_width": 3}
    )
    assert "another state of the network" in found.line()


def test_of_very_many_records_some_are_read(tmp_path):
    job = job_with_record(tmp_path, settings={"beam_width": 3})
    found = records_of_other_settings(
        [job.folder / RECORD] * (MOST_READ + 5), model={}, settings={"beam_width": 5}
    )
    assert found.line().startswith(f"more than {MOST_READ:,} records")


def job_with_record(folder, settings):
    (folder / "sag.json").write_bytes(encode_sag(make_sag(settings=settings)))
    return Job(folder / "a.png", "a.png", folder)


def model_of(sag):
    import msgspec

    return msgspec.to_builtins(sag.model)


# ---------------------------------------------------------------- names of regions


def asked(text, names):
    """Return the regions that a text names."""
    regions = RegionMap(names=names, labels=[], areas=[], map="")
    sag = make_sag(regions=regions, grid=(1, len(names)), saliency=[1.0] * len(names), roots=[])
    return parse_patches(text, sag)


REGIONS = {
    ("wing", ("head", "wing", "rest")): (1,),
    ("P1", ("wing", "wing", "rest")): (1,),
    ("2", ("wing", "wing", "rest")): (2,),
    ("7", ("7", "rest")): (0,),
    ("P1", ("1", "0")): (1,),
    ("1", ("0", "1")): (1,),
    ("wall, brick", ("wall, brick", "rest")): (0,),
    ("wall,brick,rest", ("wall, brick", "rest")): (0, 1),
    ("rest,wall , brick", ("wall,brick", "rest")): (0, 1),
    ("a,b", ("a", "b", "a,c")): (0, 1),
}


@pytest.mark.parametrize("text, names", REGIONS)
def test_regions_are_found_by_any_name(text, names):
    assert asked(text, list(names)) == REGIONS[text, names]


@pytest.mark.parametrize(
    "text, names", [("wing", ("wing", "Wing", "rest")), ("1", ("1", "0", "rest"))]
)
def test_a_name_of_several_regions_is_refused(text, names):
    with pytest.raises(UserError, match=f"{text} may be any of 2 regions; say P0 or P1"):
        asked(text, list(names))


@pytest.mark.parametrize("text", ["0\r0", "1\n2", "\u2028"])
def test_a_refusal_is_one_line_whatever_was_asked(text):
    with pytest.raises(UserError) as error:
        parse_patches(f"x{text}", make_sag())
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["9" * 5000, "P" + "9" * 5000, "pp1", "P", "²", "١"])
def test_a_patch_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="is not a"):
        parse_patches(text, make_sag())
