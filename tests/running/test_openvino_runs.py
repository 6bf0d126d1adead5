"""Runs of the main job whose search is OpenVINO's: the roots, and what is recorded, stay the same.

Independent code, which runs the network in PyTorch, checks the records.
"""

import sys
from types import SimpleNamespace

import pytest
from drawn import read_sag
from main_job import (
    NETWORKS,
    make_white_images,
    only_line,
    records_in,
    roots_of,
    run,
    search_planted,
    wrong_claims,
)

from running import this_process
from running.make_record import evaluations
from scoring import engine as engine_module
from scoring.answerer import Answerer
from scoring.openvino_forward import is_installed

needs_openvino = pytest.mark.skipif(
    not is_installed(),
    reason="OpenVINO is not installed: pip install -r requirements_openvino.txt",
)
BFLOAT16 = ("--precision", "bfloat16", "--batch-size", 8)


@pytest.fixture(scope="module", params=["beam", "diverse"])
def searched(request, tmp_path_factory):
    """A search in OpenVINO, and the same in PyTorch."""
    folder = tmp_path_factory.mktemp("openvino")
    images = make_white_images(folder / "in")
    for backend in ("openvino", "torch"):
        options = ("--search", request.param, "--num-successors", 16, *BFLOAT16)
        out = folder / backend
        assert search_planted(images / "a.png", out, *options, "--backend", backend) == 0
    return SimpleNamespace(images=images, openvino=folder / "openvino", torch=folder / "torch")


@needs_openvino
def test_the_roots_are_those_of_pytorch(searched):
    assert roots_of(searched.openvino / "a") == roots_of(searched.torch / "a") != set()


@needs_openvino
def test_a_record_of_a_search_in_openvino_is_confirmed(searched):
    assert wrong_claims(searched.openvino, searched.images) == []


@needs_openvino
def test_the_record_says_what_ran_the_search(searched):
    found = [read_sag(folder / "a").evaluations for folder in (searched.openvino, searched.torch)]
    assert [(one.backend, one.precision) for one in found] == [
        ("openvino", "bfloat16"),
        ("torch", "bfloat16"),
    ]


@needs_openvino
def test_a_record_of_the_other_backend_is_not_made_again(searched, capsys):
    options = ("--search", read_sag(searched.torch / "a").search.method, "--num-successors", 16)
    image = searched.images / "a.png"
    assert search_planted(image, searched.torch, *options, *BFLOAT16, "--backend", "openvino") == 0
    assert read_sag(searched.torch / "a").evaluations.backend == "torch"


@pytest.fixture
def converts_at_once(monkeypatch):
    """Converting costs nothing, and OpenVINO is 2.5 times as fast."""
    monkeypatch.setattr(this_process, "OPENVINO_SECONDS", 0)
    monkeypatch.setattr(engine_module, "times_as_fast", lambda *_: 2.5)


@needs_openvino
def test_a_run_goes_on_in_openvino_where_that_pays(converts_at_once, white_images, out, capsys):
    assert search_planted(white_images, out, *BFLOAT16) == 0
    backends = [read_sag(path.parent).evaluations.backend for path in records_in(out)]
    log = capsys.readouterr().err
    assert backends == ["torch", "openvino", "openvino"]
    assert log.count("search in bfloat16 by OpenVINO, batches of 8") == 1
    assert wrong_claims(out, white_images) == []


def test_a_few_short_searches_are_not_worth_converting():
    pace = pace_of(SimpleNamespace(worth_converting=True, worth_compiling=False))
    pace.speed_up_if_it_pays(images_left=10)  # the engine has no use_openvino


def pace_of(engine):
    """Return the pace of searches of a second."""
    pace = this_process.Pace(engine)
    pace.search_seconds = [1.0]
    return pace


def test_many_searches_are_worth_converting():
    asked = []
    engine = SimpleNamespace(worth_converting=True, worth_compiling=False)
    engine.use_openvino = lambda: asked.append(True) or False
    pace_of(engine).speed_up_if_it_pays(images_left=1000)
    assert asked == [True]


def test_passes_of_openvino_in_float32_are_counted_with_the_others():
    answerer = Answerer(slot=None, has_reduced=True)
    answerer.passes.update({("search", "reduced"): 5, ("search", "float32"): 2})
    engine = SimpleNamespace(precision="float32", backend="openvino")
    assert evaluations(answerer, engine).passes == {"search": {"float32": 7}}


def test_openvino_that_is_not_installed_is_one_line(white_images, out, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert search_planted(white_images / "a.png", out, "--backend", "openvino") == 2
    assert "error: --backend openvino: OpenVINO is not installed" in only_line(capsys)


@needs_openvino
def test_dropped_tokens_stay_in_pytorch(white_images, out):
    paths = ("--images", white_images / "a.png", "--results", out, "--device", "cpu")
    model = ("--model", f"{NETWORKS}:small_vit", "--baseline", "drop", "--max-num-roots", 1)
    assert run(*paths, *model, "--backend", "openvino") == 0
    assert read_sag(out / "a").evaluations.backend == "torch"
