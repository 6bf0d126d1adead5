"""benchmark.py --self-test: a good device passes, and each line can fail."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from planted import PLANTED, SMALL, PlantedNetwork

import benchmark
from experiments import self_test as checks
from experiments.self_test import case_of, check_engine, check_reduced, graphs_line, self_test
from experiments.self_test_memory import ScarceMemory, check_memory, confidences, random_masks
from experiments.self_test_table import Line, SelfTest
from scoring.batching import Batching
from scoring.engine import Engine
from scoring.memory import BatchLimit
from scoring.networks import wrap_module

PLANTED_FILE = Path(__file__).resolve().parent.parent / "planted.py"
WHITE = np.full((56, 56, 3), 255, np.uint8)


class DependsOnTheBatch(PlantedNetwork):
    """A broken device: an image has another probability in a batch than alone."""

    def forward(self, x):
        logits = super().forward(x)
        return logits + torch.tensor([0.0, 0.5 * (len(x) > 1), 0.0])


class DependsOnTheSize(PlantedNetwork):
    """Another broken device: an image has another probability in batches of four."""

    def forward(self, x):
        logits = super().forward(x)
        return logits + torch.tensor([0.0, 0.5 * (len(x) == 4), 0.0])


def network_of(module):
    """Return a network on the CPU."""
    return wrap_module(module.eval())


@pytest.fixture
def paths(tmp_path):
    """Return the paths of two white images."""
    for name in "ab":
        Image.fromarray(WHITE).save(tmp_path / f"{name}.png")
    return [tmp_path / "a.png", tmp_path / "b.png"]


@pytest.fixture
def engine():
    """Return the engine of a planted network, in float32."""
    return Engine(network_of(PlantedNetwork(PLANTED, grid=7, size=56)), precision="float32")


def verdicts(tested):
    """Return the lines that passed or failed, by name."""
    return {line.name: line.passed for line in tested.lines if line.passed is not None}


def test_a_good_device_passes(paths):
    network = network_of(PlantedNetwork(PLANTED, **SMALL))
    tested = self_test(network, paths, precision="float32", seconds=0.1)
    assert tested.passed
    assert verdicts(tested) == {
        "float32": True,
        "answers of the device": True,
        "answers of the engine": True,
        "lack of memory": True,
    }
    assert any("images/s" in line.found for line in tested.lines)


def test_a_device_that_depends_on_the_batch_fails(paths):
    network = network_of(DependsOnTheBatch(PLANTED, **SMALL))
    tested = self_test(network, paths, precision="float32", seconds=0.1)
    assert not tested.passed
    assert verdicts(tested)["answers of the device"] is False
    assert verdicts(tested)["answers of the engine"] is False


def test_rounded_float32_fails(paths, monkeypatch):
    monkeypatch.setattr(checks, "ensure_float32", lambda *_: False)
    network = network_of(PlantedNetwork(PLANTED, **SMALL))
    tested = self_test(network, paths, precision="float32", seconds=0.1)
    assert verdicts(tested)["float32"] is False


def test_a_check_that_raises_fails_its_line_alone(paths, monkeypatch):
    def broken(*_):
        raise RuntimeError("CUDA error: no\nfurther lines")

    monkeypatch.setattr(checks, "check_memory", broken)
    network = network_of(PlantedNetwork(PLANTED, **SMALL))
    tested = self_test(network, paths, precision="float32", seconds=0.1)
    assert [name for name, passed in verdicts(tested).items() if not passed] == ["lack of memory"]
    assert "CUDA error: no" in tested.report()


# ---------------------------------------------------------------- single lines


def test_an_engine_with_other_answers_fails(engine):
    engine.exact = lambda images: engine.network.module(images).roll(1, 1)
    (line,) = check_engine(engine, [case_of(engine.network, WHITE)])
    assert line.passed is False


@pytest.mark.parametrize(
    ("device", "reason", "verdicts"),
    [("cpu", None, []), ("cuda", None, [True]), ("cuda", "it branches", [None])],
)
def test_cuda_graphs_are_a_line_where_there_are_any(device, reason, verdicts):
    engine = SimpleNamespace(device=torch.device(device), why_no_graphs=reason)
    assert [line.passed for line in graphs_line(engine)] == verdicts


def test_without_a_reduced_precision_there_is_no_verdict(engine):
    (line,) = check_reduced(engine, [case_of(engine.network, WHITE)])
    assert line.passed is None


@pytest.mark.parametrize("factor", [float("nan"), 0.0])
def test_a_reduced_precision_far_from_float32_fails(engine, factor):
    engine.reduced = lambda images: factor * engine.network.module(images)
    (line,) = check_reduced(engine, [case_of(engine.network, WHITE)])
    assert line.passed is False


def test_memory_runs_out_for_large_batches_at_first(engine):
    case = case_of(engine.network, WHITE)
    own = dict(engine.limits)
    (line,) = check_memory(engine, case)
    assert line.passed
    assert "grown back" in line.found
    assert engine.limits == own


def test_a_batch_that_never_grows_back_fails(engine, monkeypatch):
    monkeypatch.setattr("experiments.self_test_memory.REFUSALS", 10**6)
    case = case_of(engine.network, WHITE)
    monkeypatch.setattr("experiments.self_test_memory.GROW_AFTER", 2)  # too few masks to grow
    (line,) = check_memory(engine, case)
    assert line.passed is False


def test_other_answers_in_smaller_batches_fail():
    network = network_of(DependsOnTheSize(PLANTED, grid=7, size=56))
    (line,) = check_memory(Engine(network, precision="float32"), case_of(network, WHITE))
    assert line.passed is False


def test_a_refused_batch_is_halved(engine):
    case = case_of(engine.network, WHITE)
    engine.limits["float32"] = BatchLimit(4)
    scarce = ScarceMemory(engine, fits=2)
    Batching(scarce).run_one(confidences(case, random_masks(8, case.num_patches)))
    assert scarce.failures == 1
    assert engine.limits["float32"].size == 2


def test_a_table_counts_what_failed():
    lines = [Line("a", "found", passed=True), Line("b", "lost", passed=False), Line("c", "5")]
    assert SelfTest(lines).report().splitlines() == [
        "a  pass  found",
        "b  FAIL  lost",
        "c        5",
        "1 of 3 lines failed",
    ]


# ---------------------------------------------------------------- the command


def options(folder, model):
    """Return the options of a self-test."""
    given = ["--self-test", "--images", folder, "--model", model, "--device", "cpu"]
    return [str(option) for option in given]


def test_the_command_prints_the_table(paths, monkeypatch, capsys):
    monkeypatch.setitem(self_test.__kwdefaults__, "seconds", 0.1)
    assert benchmark.main(options(paths[0].parent, f"{PLANTED_FILE}:network")) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "all passed"


def test_the_command_fails_where_a_line_fails(paths, monkeypatch, capsys):
    monkeypatch.setitem(self_test.__kwdefaults__, "seconds", 0.1)
    monkeypatch.setattr(checks, "ensure_float32", lambda *_: False)
    assert benchmark.main(options(paths[0].parent, f"{PLANTED_FILE}:network")) == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith("lines failed")
