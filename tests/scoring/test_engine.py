"""How the network runs: precision, compilation, and the engine that holds both."""

import numpy as np
import pytest
import torch
from planted import PlantedNetwork
from planted import resnet as small_resnet

from scoring import engine as engine_module
from scoring.engine import (
    CannotCompile,
    Engine,
    choose_precision,
    compile_forward,
    has_bfloat16,
    in_bfloat16,
)
from scoring.networks import class_probabilities, wrap_module
from utils import UserError

CPU = torch.device("cpu")
PRECISIONS = ["float32", "bfloat16"]


@pytest.fixture(scope="module")
def network():
    """An untrained network for images of 56 x 56 pixels, of 5 classes."""
    return wrap_module(small_resnet().eval())


@pytest.fixture
def batch(network):
    """Three images as the network gets them."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 56, 56, 3), dtype=np.uint8)
    return torch.stack([network.prepare(image) for image in pixels])


# ---------------------------------------------------------------- precision


class Float32Only(torch.nn.Module):
    """A network with float32 written into its code."""

    def forward(self, x):
        return x.flatten(1)[:, :5] @ torch.ones(5, 2)


def test_a_network_that_cannot_compute_in_bfloat16_is_named():
    with pytest.raises(UserError, match="--precision bfloat16"):
        in_bfloat16(Float32Only(), torch.zeros(1, 3, 8, 8))


def test_a_copy_in_bfloat16_leaves_the_network_as_it_is(network, batch):
    in_bfloat16(network.module, batch)
    assert next(network.module.parameters()).dtype == torch.float32


@pytest.mark.parametrize("is_there, dtype", [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_is_bfloat16_where_the_processor_has_it(monkeypatch, is_there, dtype):
    monkeypatch.setattr(engine_module, "has_bfloat16", lambda device: is_there)
    assert choose_precision("auto", CPU) == dtype


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("name", PRECISIONS)
def test_a_precision_that_is_named_is_taken(monkeypatch, name, is_there):
    monkeypatch.setattr(engine_module, "has_bfloat16", lambda device: is_there)
    assert choose_precision(name, CPU) == getattr(torch, name)


@pytest.mark.parametrize(
    "capabilities, is_there",
    [({"amx_bf16": True}, True), ({"avx512_bf16": True}, True), ({"avx512_f": True}, False)],
)
def test_a_processor_says_whether_it_has_bfloat16(monkeypatch, capabilities, is_there):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert has_bfloat16(CPU) == is_there


def test_a_pytorch_that_does_not_know_has_no_bfloat16(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not has_bfloat16(CPU)


# ---------------------------------------------------------------- the engine


def test_without_reduced_precision_there_is_one_network(network):
    assert Engine(network, precision="float32").reduced is None


def test_in_bfloat16_there_is_a_second_network(network, batch):
    reduced = Engine(network, precision="bfloat16").reduced
    assert reduced(batch).dtype == torch.bfloat16


@pytest.mark.parametrize("precision", PRECISIONS)
def test_exact_is_the_network_in_float32(network, batch, precision):
    exact = Engine(network, precision=precision).exact
    assert torch.equal(exact(batch), network.module(batch))


@pytest.mark.parametrize("batch_size, number", [(3, 3), ("auto", 128)])
def test_an_engine_has_its_batch_size(network, batch_size, number):
    assert Engine(network, precision="float32", batch_size=batch_size).batch_size == number


def test_the_most_probable_classes_come_first(network):
    image = np.random.default_rng(0).integers(0, 256, (56, 56, 3), dtype=np.uint8)
    probabilities = class_probabilities(network.module(network.prepare(image)[None]))
    wanted = probabilities.argsort(dim=1, descending=True).flatten().tolist()
    assert Engine(network, precision="float32").most_probable(image, 5) == wanted


def test_a_network_that_returns_nan_has_no_probable_class():
    class Nan(PlantedNetwork):
        def forward(self, x):
            return super().forward(x) * float("nan")

    engine = Engine(wrap_module(Nan([(1,)]).eval()), precision="float32")
    with pytest.raises(FloatingPointError):
        engine.most_probable(np.zeros((224, 224, 3), np.uint8), 1)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_engine_of_several_images_shares_batches(network, batch, precision):
    engine = Engine(network, precision=precision, batch_size=4, images_at_once=2)
    with engine.part(), torch.no_grad():
        assert torch.allclose(engine.exact(batch), network.module(batch), atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_closed_engine_answers_nothing(network, batch, precision):
    engine = Engine(network, precision=precision, images_at_once=2)
    engine.close()
    with engine.part(), pytest.raises(RuntimeError, match="closed"):
        (engine.reduced or engine.exact)(batch)


def test_an_engine_of_one_image_has_nothing_to_close(network, batch):
    engine = Engine(network, precision="float32")
    with engine.part():
        engine.close()
    assert torch.equal(engine.exact(batch), network.module(batch))


# ---------------------------------------------------------------- compilation


@pytest.fixture(scope="module")
def compiled(resnet):
    """The untrained ResNet-18, compiled for batches of four."""
    example = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(4))
    try:
        return compile_forward(resnet, example)
    except CannotCompile as error:
        pytest.skip(f"no compiler here: {error}")


@pytest.mark.parametrize("count", [1, 2, 3, 4, 11])
def test_the_compiled_network_equals_the_eager_one(compiled, resnet, images, count):
    batch = images[:count]
    found = class_probabilities(compiled(batch))
    assert torch.allclose(found, class_probabilities(resnet(batch)), atol=1e-5)


@pytest.fixture
def compiles_wrongly(monkeypatch):
    """A compiler whose networks return twice the logits."""
    monkeypatch.setattr(torch, "compile", lambda module, **_: lambda images: 2 * module(images))


@pytest.fixture
def compiles_nothing(monkeypatch):
    """A compiler that fails on every network."""

    def fails(*_, **__):
        raise RuntimeError("no g++\nin sight")

    monkeypatch.setattr(torch, "compile", fails)


def test_a_compiled_network_that_differs_is_refused(resnet, images, compiles_wrongly):
    with pytest.raises(CannotCompile, match="differ"):
        compile_forward(resnet, images[:4])


def test_a_difference_within_the_tolerance_is_accepted(resnet, images, compiles_wrongly):
    forward = compile_forward(resnet, images[:4], tolerance=1.0)
    assert torch.allclose(forward(images[:4]), 2 * resnet(images[:4]))


def test_without_a_compiler_the_reason_is_one_line(resnet, images, compiles_nothing):
    with pytest.raises(CannotCompile, match="^no g[+][+] in sight$"):
        compile_forward(resnet, images[:4])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_engine_that_cannot_compile_goes_on(network, batch, compiles_nothing, precision):
    engine = Engine(network, precision=precision, batch_size=4)
    with pytest.raises(CannotCompile):
        engine.compile()
    assert torch.equal(engine.exact(batch), network.module(batch))


def test_an_engine_tries_to_compile_once(network, compiles_nothing):
    engine = Engine(network, precision="float32", batch_size=4)
    with pytest.raises(CannotCompile):
        engine.compile()
    assert engine.compiled


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_engine_compiles_what_it_runs(network, batch, monkeypatch, precision):
    modules = []

    def note(module, **_):
        modules.append(module)
        return module

    monkeypatch.setattr(torch, "compile", note)
    engine = Engine(network, precision=precision, batch_size=4)
    asked = [engine.exact, engine.reduced] if engine.reduced else [engine.exact]
    engine.compile()
    assert modules == asked
