"""OpenVINO as the search's backend: the same answers, taken where it is faster, else PyTorch."""

import os
import sys
import threading

import numpy as np
import pytest
import torch
from planted import resnet as small_resnet

from running.image_case import ImageCase
from scoring import engine as engine_module
from scoring.batching import Batching
from scoring.compilation import CannotCompile
from scoring.engine import Engine
from scoring.networks import class_probabilities, wrap_module
from scoring.openvino_forward import check_openvino, is_installed, openvino_forward
from scoring.patches import masks_of
from scoring.requests import Request
from utils import UserError

CPU = torch.device("cpu")
CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
BATCH = 4
SETS = [(), (0,), (5, 6), (1, 8, 14), tuple(range(16))]
needs_openvino = pytest.mark.skipif(
    not is_installed(),
    reason="OpenVINO is not installed: pip install -r requirements_openvino.txt",
)


@pytest.fixture(scope="module")
def network():
    """An untrained network for images of 56 x 56 pixels, of 5 classes."""
    return wrap_module(small_resnet().eval().requires_grad_(False))


@pytest.fixture(scope="module")
def slot(network):
    """An image of noise on a grid of 4 x 4."""
    pixels = np.random.default_rng(0).integers(0, 256, (56, 56, 3), np.uint8)
    return ImageCase.of(network, pixels, category=3, baseline="black", grid=(4, 4)).slot


@pytest.fixture(scope="module")
def forwards(resnet, images):
    """The untrained ResNet-18 in OpenVINO, by precision."""
    return {
        name: openvino_forward(resnet, images[:BATCH], precision=name)
        for name in ("float32", "bfloat16")
    }


# ---------------------------------------------------------------- the forward pass


@needs_openvino
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system pins no process")
def test_no_process_is_pinned_to_a_core(forwards, images):
    seen = set()
    is_over = threading.Event()
    caller = threading.get_native_id()

    def watch():
        while not is_over.is_set():
            seen.add(frozenset(os.sched_getaffinity(caller)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(10):
        forwards["float32"](images[:BATCH])
    is_over.set()
    watcher.join()
    assert seen == {frozenset(CORES)}


@needs_openvino
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 11])
def test_any_number_of_images_has_the_modules_answers(forwards, resnet, images, count):
    found = class_probabilities(forwards["float32"](images[:count]))
    assert torch.allclose(found, class_probabilities(resnet(images[:count])), atol=1e-4)


@needs_openvino
def test_bfloat16_is_near_the_module(forwards, resnet, images):
    found = class_probabilities(forwards["bfloat16"](images))
    assert (found - class_probabilities(resnet(images))).abs().max() < 0.05


class Counts(torch.nn.Module):
    """A network that counts its images in Python, which OpenVINO would do once for all."""

    def forward(self, x):
        rows = torch.arange(float(int(x.shape[0])))[:, None]
        return x.flatten(1)[:, :3] + rows * torch.tensor([9.0, 0.0, 0.0])


class Unknown(torch.nn.Module):
    """A network with an operation that OpenVINO does not have."""

    def forward(self, x):
        return torch.special.bessel_j0(x.float().flatten(1)[:, :3])


class Branches(torch.nn.Module):
    """A network that takes another way on dark images."""

    def forward(self, x):
        logits = x.flatten(1)[:, :3]
        return logits if x.abs().mean() > 0.1 else logits + torch.tensor([9.0, 0.0, 0.0])


@needs_openvino
def test_what_openvino_cannot_run_is_one_line(images):
    with pytest.raises(CannotCompile) as error:
        openvino_forward(Unknown(), images[:BATCH], precision="float32")
    assert len(str(error.value).splitlines()) == 1


@needs_openvino
def test_a_network_that_branches_is_refused(images):
    with pytest.raises(CannotCompile, match="differ"):
        openvino_forward(Branches(), images[:BATCH], precision="float32")


@needs_openvino
def test_a_network_that_would_only_do_for_one_image_is_refused(images):
    with pytest.raises(CannotCompile, match="differ"):
        openvino_forward(Counts(), images[:BATCH], precision="float32")


def test_a_gpu_is_refused():
    with pytest.raises(UserError, match="--backend openvino: "):
        check_openvino(torch.device("cuda", 0))


# ---------------------------------------------------------------- the engine


@pytest.fixture
def gain(monkeypatch):
    """Return set(times), which plants how many times as fast OpenVINO is."""
    return lambda times: monkeypatch.setattr(engine_module, "times_as_fast", lambda *_: times)


@pytest.fixture
def without_openvino(monkeypatch):
    """OpenVINO is not installed."""
    monkeypatch.setitem(sys.modules, "openvino", None)


def engine_of(network, **options):
    return Engine(network, **{"precision": "bfloat16", "batch_size": BATCH, **options})


@pytest.fixture(scope="module")
def converted(network):
    """An engine whose search runs in OpenVINO."""
    return engine_of(network, backend="openvino")


def answers(engine, slot, kind):
    """Return an engine's answers to all SETS."""

    def asking():
        return (yield Request(slot, masks_of(SETS, 16), kind=kind))

    return Batching(engine).run_one(asking())


@needs_openvino
def test_openvino_answers_as_float32_does_nearly(converted, slot):
    found = answers(converted, slot, "reduced")
    assert found == pytest.approx(answers(converted, slot, "float32"), abs=0.05)


@needs_openvino
def test_only_the_search_runs_in_openvino(network, converted):
    assert converted.backend == "openvino"
    assert converted.exact is network.module


@needs_openvino
def test_gradients_stay_pytorchs(network, converted, slot):
    found = answers(converted, slot, "gradient")
    wanted = answers(engine_of(network, backend="torch"), slot, "gradient")
    assert torch.equal(torch.stack(found), torch.stack(wanted))


@needs_openvino
def test_the_precision_keeps_its_name(converted):
    assert converted.precision == "bfloat16"
    assert converted.description() == "search in bfloat16 by OpenVINO, batches of 4"


@needs_openvino
@pytest.mark.parametrize("backend", ["auto", "openvino"])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_no_other_precision_runs_in_openvino(network, precision, backend):
    engine = engine_of(network, precision=precision, backend=backend)
    assert (engine.backend, engine.worth_converting) == ("torch", False)


@needs_openvino
def test_a_precision_without_openvino_is_said_where_it_was_asked_for(network, capsys):
    engine_of(network, precision="float32", backend="openvino")
    assert capsys.readouterr().err == "OpenVINO is not used: the search is in float32\n"


@needs_openvino
@pytest.mark.parametrize("times, is_taken", [(0.9, False), (1.05, False), (1.15, True)])
def test_it_is_taken_where_it_is_faster(network, gain, times, is_taken):
    gain(times)
    engine = engine_of(network)
    assert engine.use_openvino() == is_taken
    assert (engine.backend == "openvino") == is_taken


@needs_openvino
@pytest.mark.parametrize("times, is_taken", [(1.15, False), (1.25, True)])
def test_in_place_of_float32_it_has_to_be_faster(network, gain, monkeypatch, times, is_taken):
    monkeypatch.setattr(engine_module, "has_bfloat16", lambda device: False)
    gain(times)
    engine = engine_of(network, precision="auto")
    assert engine.use_openvino() == is_taken
    assert (engine.reduced is not None) == is_taken
    assert engine.precision == "float32"


@needs_openvino
def test_a_network_that_cannot_be_converted_stays_in_pytorch(capsys):
    engine = engine_of(wrap_module(Unknown().eval()))
    reduced = engine.reduced
    with pytest.raises(CannotCompile):
        engine.use_openvino()
    assert engine.reduced is reduced
    assert (engine.backend, engine.worth_converting) == ("torch", False)


@needs_openvino
def test_that_it_cannot_be_converted_is_said_where_it_was_asked_for(capsys):
    engine = engine_of(wrap_module(Unknown().eval()), backend="openvino")
    (line,) = capsys.readouterr().err.splitlines()
    assert engine.backend == "torch"
    assert line.startswith("OpenVINO is not used, going on without (")


@needs_openvino
def test_openvino_is_not_compiled_again(network, monkeypatch):
    modules = []
    monkeypatch.setattr(torch, "compile", lambda module, **_: modules.append(module) or module)
    engine = engine_of(network, backend="openvino")
    ours = engine.reduced
    engine.compile()
    assert modules == [network.module]
    assert engine.reduced is ours


def test_openvino_that_is_not_installed_is_named(network, without_openvino):
    with pytest.raises(UserError, match="pip install -r requirements_openvino.txt$"):
        engine_of(network, backend="openvino")


def test_where_it_is_not_installed_nothing_is_converted(network, without_openvino):
    assert not engine_of(network, backend="auto").worth_converting


def test_pytorch_that_is_asked_for_is_kept(network):
    assert not engine_of(network, backend="torch").worth_converting
