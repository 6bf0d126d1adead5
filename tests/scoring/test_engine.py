"""How the network runs: precision, batches of masks, measured speed, and compilation."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import PlantedNetwork, small_vit
from planted import resnet as small_resnet
from torch.utils._python_dispatch import TorchDispatchMode

from get_perturbation_mask import Regularisers, igos, igos_mask
from running.image_case import ImageCase
from running.steps import _answered_softly
from scoring import engine as engine_module
from scoring.answerer import Answerer
from scoring.batching import Batching, Part, Task, Waiting
from scoring.compilation import CannotCompile, compile_forward
from scoring.engine import Engine
from scoring.networks import class_probabilities, wrap_module
from scoring.patches import masks_of
from scoring.precision import has_bfloat16, in_precision
from scoring.requests import Request
from scoring.scorer import image_probabilities, score_image
from scoring.speed import BATCHES, Speed, fastest_batch
from utils import UserError

CPU = torch.device("cpu")
PRECISIONS = ["float32", "bfloat16"]
SETS = [(), (0,), (5, 6), (1, 8, 14), tuple(range(16))]


@pytest.fixture(scope="module")
def network():
    """An untrained network for images of 56 x 56 pixels, of 5 classes."""
    return wrap_module(small_resnet().eval())


@pytest.fixture(scope="module")
def pixels():
    """Three images of noise, (3, 56, 56, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (3, 56, 56, 3), dtype=np.uint8)


@pytest.fixture
def batch(network, pixels):
    """Three images as the network gets them."""
    return torch.stack([network.prepare(image) for image in pixels])


@pytest.fixture(autouse=True)
def nothing_is_measured_yet(monkeypatch):
    """Speeds that another test has measured are forgotten."""
    monkeypatch.setattr(engine_module, "_MEASURED", {})


# ---------------------------------------------------------------- precision


class Float32Only(torch.nn.Module):
    """A network with float32 written into its code."""

    def forward(self, x):
        return x.flatten(1)[:, :5] @ torch.ones(5, 2)


class Overflows(torch.nn.Module):
    """A network whose logits are beyond what float16 can hold."""

    def forward(self, x):
        return x.flatten(1)[:, :2] + 1e5


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_a_network_that_cannot_compute_in_less_is_named(name):
    with pytest.raises(UserError, match=f"--precision {name}: the model cannot compute"):
        in_precision(Float32Only(), getattr(torch, name), torch.zeros(1, 3, 8, 8))


def test_a_network_that_overflows_is_refused():
    with pytest.raises(UserError, match="--precision float16: .* not finite"):
        in_precision(Overflows(), torch.float16, torch.zeros(1, 3, 8, 8))


def test_a_copy_in_bfloat16_leaves_the_network_as_it_is(network, batch):
    in_precision(network.module, torch.bfloat16, batch)
    assert next(network.module.parameters()).dtype == torch.float32


def test_bfloat16_is_near_float32(resnet, image, baseline, masks):
    reduced = in_precision(resnet, torch.bfloat16, image[None])
    found = image_probabilities(reduced, image, baseline, 3)(masks)
    wanted = image_probabilities(resnet, image, baseline, 3)(masks)
    assert 0 < (found - wanted).abs().max() < 0.05


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


# ---------------------------------------------------------------- measured, not assumed


@pytest.fixture
def speeds(monkeypatch):
    """Return set(float32=, bfloat16=), which plants what is measured, in images per second."""

    def plant(float32, bfloat16, batch_size=4):
        def measured(forward, example, **_):
            is_reduced = getattr(forward, "dtype", None) == torch.bfloat16
            return Speed(batch_size, bfloat16 if is_reduced else float32)

        monkeypatch.setattr(engine_module, "fastest_batch", measured)
        monkeypatch.setattr(engine_module, "has_bfloat16", lambda device: True)

    return plant


@pytest.mark.parametrize(
    "bfloat16, precision",
    [(50, "float32"), (100, "float32"), (110, "float32"), (130, "bfloat16"), (400, "bfloat16")],
)
def test_auto_is_bfloat16_where_it_is_faster(network, speeds, bfloat16, precision):
    speeds(float32=100, bfloat16=bfloat16)
    engine = Engine(network)
    assert engine.precision == precision
    assert (engine.reduced is None) == (precision == "float32")


def test_auto_is_float32_where_the_processor_has_no_bfloat16(network, speeds, monkeypatch):
    speeds(float32=100, bfloat16=1000)
    monkeypatch.setattr(engine_module, "has_bfloat16", lambda device: False)
    assert Engine(network).precision == "float32"


def test_auto_is_float32_where_the_network_cannot_do_less(speeds):
    speeds(float32=100, bfloat16=1000)
    assert Engine(wrap_module(Float32Only().eval())).precision == "float32"


@pytest.mark.parametrize("bfloat16", [50, 400])
@pytest.mark.parametrize("name", PRECISIONS)
def test_a_precision_that_is_named_is_taken(network, speeds, name, bfloat16):
    speeds(float32=100, bfloat16=bfloat16)
    assert Engine(network, precision=name).precision == name


def test_the_measured_batch_size_is_taken(network, speeds):
    speeds(float32=100, bfloat16=10, batch_size=16)
    engine = Engine(network)
    assert {kind: limit.size for kind, limit in engine.limits.items()} == {
        "float32": 16,
        "reduced": 16,
        "gradient": 16,
    }


def test_a_batch_size_that_is_named_is_taken(network, speeds):
    speeds(float32=100, bfloat16=10, batch_size=16)
    engine = Engine(network, batch_size=3)
    assert {limit.size for limit in engine.limits.values()} == {3}


def test_with_all_named_nothing_is_measured(network, monkeypatch):
    monkeypatch.setattr(engine_module, "fastest_batch", lambda *_, **__: pytest.fail("measured"))
    assert Engine(network, precision="float32", batch_size=3).measured is None


def test_a_network_is_measured_once(network, speeds, monkeypatch):
    speeds(float32=100, bfloat16=10)
    Engine(network)
    monkeypatch.setattr(engine_module, "fastest_batch", lambda *_, **__: pytest.fail("measured"))
    Engine(network)


def test_the_log_tells_precision_batch_and_speed(network, speeds):
    speeds(float32=100, bfloat16=400)
    assert Engine(network).description() == (
        "search in bfloat16, batches of 4 (100 images/s in float32, 400 in bfloat16)"
    )


class Clock:
    """A clock that a network moves on by the seconds that its batches take."""

    def __init__(self, monkeypatch, seconds):
        self.now = 0.0
        self.seconds = seconds
        self.tried = []
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def forward(self, images):
        self.tried.append(len(images))
        self.now += self.seconds(len(images))
        return torch.zeros(len(images), 2)


ONE = torch.zeros(1, 3, 8, 8)


@pytest.mark.parametrize(
    "seconds, wanted",
    [
        (lambda n: 0.001, 32),  # a batch costs the same whatever its size
        (lambda n: 0.001 * n, 1),  # an image costs the same whatever the batch
        (lambda n: 0.001 * max(n, 4), 4),  # four images fill the processor
        (lambda n: 0.001 * n * (1 if n <= 8 else 3) + 0.002, 8),  # more than eight overflow a cache
    ],
)
def test_the_smallest_batch_that_is_about_as_fast_as_any(monkeypatch, seconds, wanted):
    clock = Clock(monkeypatch, seconds)
    assert fastest_batch(clock.forward, ONE, seconds=60).batch_size == wanted


def test_the_speed_is_that_of_the_batch(monkeypatch):
    clock = Clock(monkeypatch, lambda n: 0.001 * max(n, 4))
    assert fastest_batch(clock.forward, ONE).images_per_second == pytest.approx(1000)


def test_no_larger_batch_is_tried_once_one_is_slower(monkeypatch):
    clock = Clock(monkeypatch, lambda n: 0.001 * n * n)
    fastest_batch(clock.forward, ONE, seconds=60)
    assert max(clock.tried) == 2


def test_no_further_batch_is_tried_after_the_time(monkeypatch):
    clock = Clock(monkeypatch, lambda n: 1.0)
    fastest_batch(clock.forward, ONE, seconds=0.5)
    assert max(clock.tried) == 1


def test_the_first_pass_is_not_measured(monkeypatch):
    clock = Clock(monkeypatch, lambda n: 0.001)
    clock.seconds = lambda n: 0.001 if len(clock.tried) > 1 else 0.2
    assert fastest_batch(clock.forward, ONE).images_per_second == pytest.approx(32000)


def test_only_the_batches_asked_for_are_tried(monkeypatch):
    clock = Clock(monkeypatch, lambda n: 0.001)
    assert fastest_batch(clock.forward, ONE, batches=(8, 16)).batch_size == 16
    assert set(clock.tried[1:]) == {8, 16}


def test_a_real_network_is_measured(network):
    engine = Engine(network)
    assert engine.batch_size in BATCHES
    assert engine.measured.exact.images_per_second > 0


# ---------------------------------------------------------------- the engine


def test_without_reduced_precision_there_is_one_network(network):
    assert Engine(network, precision="float32").reduced is None


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_in_less_than_float32_there_is_a_second_network(network, batch, name):
    reduced = Engine(network, precision=name).reduced
    assert reduced(batch).dtype == getattr(torch, name)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_exact_is_the_network_in_float32(network, batch, precision):
    exact = Engine(network, precision=precision).exact
    assert torch.equal(exact(batch), network.module(batch))


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


# ---------------------------------------------------------------- batches of masks


def slots_of(network, pixels, **options):
    """Return the slots of three images, each with a class of its own."""
    usual = {"baseline": "blur", "grid": (4, 4), **options}
    return [
        ImageCase.of(network, image, category=category, **usual).slot
        for category, image in enumerate(pixels)
    ]


def part_of(slot, sets, kind="float32", **options):
    """Return all masks of a request."""
    masks = options.pop("masks", None)
    masks = masks_of(sets, slot.num_patches) if masks is None else masks
    request = Request(slot, masks, kind=kind, **options)
    waiting = Waiting(Task(None, None), request, [None] * len(masks), missing=len(masks))
    return Part(waiting, 0, len(masks))


def answered(engine, kind, *parts):
    return engine.wait(engine.launch(kind, parts))


@pytest.fixture
def slots(network, pixels):
    return slots_of(network, pixels)


@pytest.fixture
def wanted(network, slots):
    """What scorers of each image alone say, in one list."""
    scorers = [
        score_image(network.module, slot.image, slot.baseline, slot.category, grid=(4, 4))
        for slot in slots
    ]
    return torch.cat([scorer(SETS) for scorer in scorers]).tolist()


@pytest.fixture
def engine(network):
    return Engine(network, precision="float32", batch_size=16)


def test_a_batch_of_several_images_has_the_answers_of_each(engine, slots, wanted):
    found = answered(engine, "float32", *(part_of(slot, SETS) for slot in slots))
    assert found == pytest.approx(wanted, abs=1e-5)


def test_answers_are_numbers(engine, slots):
    assert {type(value) for value in answered(engine, "float32", part_of(slots[0], SETS))} == {
        float
    }


def test_a_part_of_a_request_has_the_answers_of_its_masks(engine, slots, wanted):
    whole = part_of(slots[0], SETS)
    found = answered(engine, "float32", Part(whole.waiting, 2, 4))
    assert found == pytest.approx(wanted[2:4], abs=1e-5)


def test_padding_changes_no_answer(engine, slots, wanted, monkeypatch):
    monkeypatch.setattr(engine, "shapes", lambda kind: (8, 16))
    found = answered(engine, "float32", *(part_of(slot, SETS) for slot in slots))
    assert found == pytest.approx(wanted, abs=1e-5)


def test_padding_is_counted(engine, slots, monkeypatch):
    monkeypatch.setattr(engine, "shapes", lambda kind: (8, 16))
    answered(engine, "float32", *(part_of(slot, SETS) for slot in slots))
    answered(engine, "float32", part_of(slots[0], SETS))
    counts = engine.counts["float32"]
    assert (counts.batches, counts.masks, counts.rows, counts.fill) == (2, 20, 24, 20 / 24)


def test_padding_never_exceeds_the_limit(network, slots):
    sizes = []
    engine = Engine(network, precision="float32", batch_size=6)
    engine.exact = lambda images: sizes.append(len(images)) or network.module(images)
    engine.shapes = lambda kind: (8, 16)
    answered(engine, "float32", part_of(slots[0], SETS))
    assert sizes == [5]


def test_memory_for_less_than_the_smallest_shape_is_enough(network, slots, wanted):
    def small(images):
        if len(images) > 3:
            raise RuntimeError("out of memory")
        return network.module(images)

    engine = Engine(network, precision="float32", batch_size=16)
    engine.exact = small
    engine.shapes = lambda kind: (8, 16)
    found = Batching(engine).run_one(asking(slots[0], SETS))
    assert found == pytest.approx(wanted[:5], abs=1e-5)


def asking(slot, sets, kind="float32"):
    """Ask one request and return its answers."""
    return (yield Request(slot, masks_of(sets, slot.num_patches), kind=kind))


def test_a_reduced_batch_runs_in_reduced_precision(network, slots, wanted):
    engine = Engine(network, precision="bfloat16", batch_size=16)
    found = answered(engine, "reduced", *(part_of(slot, SETS) for slot in slots))
    assert found != pytest.approx(wanted, abs=1e-7)
    assert found == pytest.approx(wanted, abs=0.05)


def test_without_reduced_precision_float32_answers(engine, slots, wanted):
    found = answered(engine, "reduced", part_of(slots[0], SETS))
    assert found == pytest.approx(wanted[:5], abs=1e-5)


def test_noise_is_added_to_the_images(engine, network, slots):
    slot = slots[0]
    noise = torch.randn(5, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    part = part_of(slot, SETS, noise=noise)
    noisy = image_probabilities(
        lambda images: network.module(images + noise),
        slot.image,
        slot.baseline,
        slot.category,
        grid=(4, 4),
    )
    wanted = noisy(masks_of(SETS, 16)).tolist()
    assert answered(engine, "float32", part) == pytest.approx(wanted, abs=1e-5)


def test_a_part_has_its_own_noise(engine, slots):
    noise = torch.randn(5, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    whole = part_of(slots[0], SETS, noise=noise)
    all_answers = answered(engine, "float32", whole)
    found = answered(engine, "float32", Part(whole.waiting, 2, 4))
    assert found == pytest.approx(all_answers[2:4], abs=1e-5)


@pytest.fixture
def soft():
    """Masks between 0 and 1, (4, 16)."""
    return torch.rand(4, 16, generator=torch.Generator().manual_seed(1))


def gradient_of(network, slot, masks):
    """Return the gradient of each mask's probability, by autograd alone."""
    leaf = masks.clone().requires_grad_()
    probabilities = image_probabilities(
        network.module, slot.image, slot.baseline, slot.category, grid=(4, 4)
    )
    return torch.autograd.grad(probabilities(leaf).sum(), leaf)[0]


def test_gradients_are_those_of_each_image(engine, network, slots, soft):
    parts = [part_of(slot, None, kind="gradient", masks=soft) for slot in slots]
    found = torch.stack(answered(engine, "gradient", *parts))
    wanted = torch.cat([gradient_of(network, slot, soft) for slot in slots])
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-7)
    assert wanted.abs().max() > 1e-4


def test_gradients_in_bfloat16_point_the_same_way(network, slots, soft):
    engine = Engine(network, precision="bfloat16", batch_size=16)
    found = torch.stack(
        answered(engine, "gradient", part_of(slots[0], None, kind="gradient", masks=soft))
    )
    wanted = gradient_of(network, slots[0], soft)
    assert torch.cosine_similarity(found.mean(0), wanted.mean(0), dim=0) > 0.9


def test_masks_of_a_request_are_left_as_they_are(engine, slots, soft):
    part = part_of(slots[0], None, kind="gradient", masks=soft)
    answered(engine, "gradient", part)
    assert not soft.requires_grad


def test_dropped_tokens_are_left_out(pixels):
    network = wrap_module(small_vit())
    case = ImageCase.of(network, pixels[0], category=1, baseline="drop", grid=(7, 7))
    engine = Engine(network, precision="float32", batch_size=16)
    sets = [(), (3, 17, 30), tuple(range(49))]
    wanted = case.scorer(network.module)(sets).tolist()
    assert answered(engine, "float32", part_of(case.slot, sets)) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 64])
@pytest.mark.parametrize("at_once", [1, 4])
def test_answers_do_not_depend_on_batches(network, slots, wanted, batch_size, at_once):
    engine = Engine(network, precision="float32", batch_size=batch_size)
    tasks = [Task(i, asking(slot, SETS)) for i, slot in enumerate(slots)]
    ends = {done.key: done.value for done in Batching(engine, at_once).run(tasks)}
    found = [value for i in range(3) for value in ends[i]]
    assert found == pytest.approx(wanted, abs=1e-5)


# ---------------------------------------------------------------- I-GOS on the engine


@pytest.fixture
def confident(pixels):
    """A network whose class 1 follows the brightness of the image's middle, and a white image."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 7, stride=7), torch.nn.GELU(), torch.nn.Flatten()
    )
    module.append(torch.nn.Linear(4 * 64, 3))
    module[3].weight.data *= 20
    module.input_size = 56
    network = wrap_module(module.eval().requires_grad_(False))
    return network, ImageCase.of(network, pixels[0], category=1, baseline="black", grid=(4, 4))


def mask_on_the_engine(network, case, **options):
    engine = Engine(network, precision="float32", **options)
    answerer = Answerer(case.slot)
    asking_softly = igos(Regularisers((4, 4)), network.size, seed=3)
    return Batching(engine).run_one(_answered_softly(asking_softly, case, answerer)), answerer


@pytest.mark.parametrize("batch_size", [1, 8, 64])
def test_the_mask_on_the_engine_is_igos_mask(confident, batch_size):
    network, case = confident
    slot = case.slot
    found, _ = mask_on_the_engine(network, case, batch_size=batch_size)
    wanted = igos_mask(network.module, slot.image, slot.baseline, 1, grid=(4, 4), seed=3)
    assert torch.allclose(found, wanted, atol=1e-4)
    assert wanted.std() > 1e-3


def test_the_passes_of_the_mask_are_counted(confident):
    _, answerer = mask_on_the_engine(*confident, batch_size=8)
    assert answerer.passes["mask", "gradient"] == 2 * 20


def test_the_mask_paints_hidden_tokens(pixels):
    network = wrap_module(small_vit())
    case = ImageCase.of(network, pixels[0], category=1, baseline="drop", grid=(7, 7))
    painted = replace(case, slot=replace(case.slot, dropped=None))

    def mask_of(case):
        engine = Engine(network, precision="float32", batch_size=64)
        steps = _answered_softly(
            igos(Regularisers((7, 7)), network.size), case, Answerer(case.slot)
        )
        return Batching(engine).run_one(steps)

    assert torch.allclose(mask_of(case), mask_of(painted), atol=1e-5)


# ---------------------------------------------------------------- synchronisations


class Reads(TorchDispatchMode):
    """Counts what would have the host wait for a device: reading values, and copies."""

    WAITS = ("_local_scalar_dense", "item", "nonzero", "is_nonzero", "masked_select", "equal")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name().removeprefix("aten::").partition(".")[0]
        if name in self.WAITS:
            self.found.append(name)
        return function(*args, **(kwargs or {}))


def test_reading_values_is_noticed():
    with Reads() as reads:
        float(torch.ones(1)), torch.ones(2).nonzero()
    assert reads.found == ["_local_scalar_dense", "nonzero"]


@pytest.mark.parametrize("kind", ["float32", "reduced", "gradient"])
def test_starting_a_batch_reads_no_values(network, slots, kind):
    engine = Engine(network, precision="bfloat16", batch_size=16)
    parts = [part_of(slot, SETS, kind=kind) for slot in slots]
    with Reads() as reads:
        engine.launch(kind, parts)
    assert reads.found == []


@pytest.mark.parametrize("kind", ["float32", "reduced", "gradient"])
def test_a_batch_reads_its_values_at_most_once(network, slots, kind):
    engine = Engine(network, precision="bfloat16", batch_size=16)
    parts = [part_of(slot, SETS, kind=kind) for slot in slots]
    with Reads() as reads:
        answered(engine, kind, *parts)
    assert len(reads.found) <= 1


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
