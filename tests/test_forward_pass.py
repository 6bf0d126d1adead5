"""Reduced precision and its certificate, compilation, several images at once, dropped tokens."""

import threading

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from scoring import engine as forward_pass
from running import all_images
import main_generate_sag
from running.check_record import masked_attention
from scoring.engine import CannotCompile, SharedBatches, choose_precision, compiled, in_bfloat16
from scoring.scorer import MaskScorer
from planted import PlantedNetwork, small_vit
from test_main import PLANTED, checked, images, out, planted, record, roots_of, run  # noqa: F401 (fixtures)
from test_mask_scorer import random_sets
from scoring.token_dropping import TokenDropping, why_not
from utils import UserError
from scoring.networks import class_probabilities


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=10).eval().requires_grad_(False)


# ---------------------------------------------------------------- precision and its certificate


def test_bfloat16_is_near_and_what_is_near_the_threshold_is_decided_in_float32(network):
    g = torch.Generator().manual_seed(1)
    image, baseline = torch.randn(3, 64, 64, generator=g), torch.zeros(3, 64, 64)
    fast, sets = in_bfloat16(network, image[None]), random_sets(30)
    exact, reduced = (
        MaskScorer(network, image, baseline, 3)(sets),
        MaskScorer(network, image, baseline, 3, fast=fast)(sets),
    )
    assert 0 < (exact - reduced).abs().max() < 0.05
    low, high = reduced.quantile(0.3).item(), reduced.quantile(0.7).item()
    scorer = MaskScorer(network, image, baseline, 3, fast=fast, doubt=(low, high))
    unsure = (low < reduced) & (reduced < high)
    assert torch.allclose(scorer(sets), torch.where(unsure, exact, reduced), atol=1e-5)
    assert scorer.doubted == len({tuple(sorted(s)) for s, u in zip(sets, unsure) if u}) > 5


def test_a_network_that_cannot_compute_in_bfloat16_is_named(network):
    class Float32(torch.nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :5] @ torch.ones(5, 2)

    with pytest.raises(UserError, match="--precision bfloat16"):
        in_bfloat16(Float32(), torch.zeros(1, 3, 8, 8))


def test_auto_is_bfloat16_only_where_the_processor_has_it(monkeypatch):
    cpu = torch.device("cpu")
    for there in (True, False):
        monkeypatch.setattr(forward_pass, "has_bfloat16", lambda device: there)
        assert choose_precision("auto", cpu) == (torch.bfloat16 if there else torch.float32)
    assert (
        choose_precision("float32", cpu) == torch.float32
        and choose_precision("bfloat16", cpu) == torch.bfloat16
    )


@pytest.mark.parametrize("search", ["exhaustive", "beam", "diverse"])
def test_the_certificate_catches_a_precision_trap(images, out, search):  # noqa: F811
    assert (
        planted(
            images / "a.png",
            out,
            "--search",
            search,
            "--precision",
            "bfloat16",
            "--num-successors",
            16,
            network="trap",
        )
        == 0
    )
    checked(out, images, "trap")
    r = record(out / "a")
    assert (
        (5,) not in roots_of(out / "a")
        and r["evaluations"]["disagreed"] > 0
        and r["evaluations"]["precision"] == "bfloat16"
    )
    assert search != "exhaustive" or roots_of(out / "a") == {(6, 10), (1, 8, 14)}
    assert (
        planted(
            images / "a.png",
            out / "b",
            "--search",
            search,
            "--precision",
            "float32",
            "--num-successors",
            16,
            network="trap",
        )
        == 0
    )
    assert record(out / "b/a")["evaluations"]["disagreed"] == 0


# ---------------------------------------------------------------- compilation


def test_the_compiled_network_equals_the_eager_one_in_batches_of_any_length(network):
    pictures = torch.randn(11, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    try:
        fast = compiled(network, torch.randn(4, 3, 64, 64))
    except CannotCompile as error:
        pytest.skip(f"no compiler here: {error}")
    for count in (1, 2, 3, 4, 11):
        assert torch.allclose(
            class_probabilities(fast(pictures[:count])),
            class_probabilities(network(pictures[:count])),
            atol=1e-5,
        )


def test_a_compiled_network_that_answers_otherwise_is_refused(network, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda module, **_: lambda pictures: 2 * module(pictures))
    with pytest.raises(CannotCompile, match="differ"):
        compiled(network, torch.randn(4, 3, 64, 64))


def test_without_a_compiler_it_says_so_once_and_goes_on(images, out, monkeypatch, capsys):  # noqa: F811
    def fails(*_, **__):
        raise RuntimeError("no g++\nin sight")

    monkeypatch.setattr(torch, "compile", fails)
    monkeypatch.setattr(all_images, "COMPILE_SECONDS", 0)
    assert planted(images, out) == 0
    assert capsys.readouterr().err.count("not compiled, going on without (no g++ in sight)") == 1
    assert len(checked(out, images)) == 3


# ---------------------------------------------------------------- several images at once


def test_lock_step_over_images_equals_one_at_a_time(images, out, monkeypatch):  # noqa: F811
    for number in range(4):
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (56, 56, 3), np.uint8)).save(
            images / f"noise{number}.png"
        )
    for at_once in (1, 3):
        monkeypatch.setattr(main_generate_sag, "IMAGES_AT_ONCE", {"cpu": at_once})
        assert (
            run(
                "--images",
                images,
                "--results",
                out / str(at_once),
                "--model",
                f"{PLANTED}:resnet",
                "--grid",
                4,
                "--max-num-roots",
                4,
            )
            == 0
        )
    alone, together = (sorted((out / name).rglob("sag.json")) for name in "13")
    assert len(alone) == len(together) == 7
    assert sum(bool(record(path.parent)["roots"]) for path in alone) >= 4
    for a, b in zip(alone, together):
        a, b = record(a.parent), record(b.parent)
        assert [r["patches"] for r in a["roots"]] == [r["patches"] for r in b["roots"]]
        assert (
            a["saliency"] == b["saliency"]
            and a["diverse_set"] == b["diverse_set"]
            and a["sag"]["edges"] == b["sag"]["edges"]
        )
        assert np.allclose(
            [n["probability"] for n in a["sag"]["nodes"]],
            [n["probability"] for n in b["sag"]["nodes"]],
            atol=1e-5,
        )
    checked(out / "3", images, "resnet")


def test_shared_batches_have_one_shape_and_give_the_same_bits_whatever_is_beside(network):
    shapes, pictures = [], torch.randn(20, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    def forward(batch):
        shapes.append(len(batch))
        return network(batch)

    answers = {}
    for company in ([range(0, 5)], [range(0, 5), range(5, 18), range(18, 20)]):
        shared = SharedBatches(8)
        ask, begun = shared.through(forward), threading.Barrier(len(company))

        def part(rows):
            with shared.part():
                begun.wait()
                answers[len(company), rows] = torch.cat(
                    [
                        ask(pictures[rows.start : rows.stop - 1]),
                        ask(pictures[rows.stop - 1 : rows.stop]),
                    ]
                )

        threads = [threading.Thread(target=part, args=(rows,)) for rows in company]
        [t.start() for t in threads]
        [t.join(60) for t in threads]
    assert set(shapes) == {8} and torch.equal(answers[1, range(0, 5)], answers[3, range(0, 5)])
    for rows in (range(5, 18), range(18, 20)):
        assert torch.allclose(
            answers[3, rows], network(pictures[rows.start : rows.stop]), atol=1e-5
        )


def test_shared_batches_tell_everyone_of_an_error_halve_on_lack_of_memory_and_close():
    def forward(batch):
        if len(batch) > 2:
            raise RuntimeError("out of memory")
        if batch.sum() < 0:
            raise ValueError("negative")
        return batch.flatten(1)

    shared = SharedBatches(8)
    with shared.part():
        ask = shared.through(forward)
        assert torch.equal(ask(torch.ones(5, 3, 1, 1)), torch.ones(5, 3)) and shared.batch_size == 2
        with pytest.raises(ValueError, match="negative"):
            ask(-torch.ones(1, 3, 1, 1))
        shared.close()
        with pytest.raises(RuntimeError, match="closed"):
            ask(torch.ones(1, 3, 1, 1))


# ---------------------------------------------------------------- dropped tokens


def test_dropping_tokens_equals_masking_attention_to_them():
    vit, image = small_vit(), torch.randn(3, 56, 56, generator=torch.Generator().manual_seed(0))
    sets = [(), tuple(range(49)), *random_sets(20)]
    masks = torch.zeros(len(sets), 49)
    for row, patches in zip(masks, sets):
        row[list(patches)] = 1
    with torch.inference_mode():
        logits = TokenDropping(vit, image)(masks)
    assert torch.allclose(
        class_probabilities(logits), masked_attention(vit, image, (7, 7), sets), atol=1e-5
    )
    assert (
        torch.allclose(logits[1], vit(image[None])[0], atol=1e-4)
        and logits.softmax(1).std(0).max() > 0.05
    )


def test_where_tokens_and_grid_do_not_align_it_says_why():
    assert why_not(small_vit(), (7, 7)) is None and why_not(small_vit(), (14, 14)) is None
    assert "does not align with 14 x 14 tokens" in why_not(small_vit(), (5, 5))
    assert "no tokens to drop" in why_not(PlantedNetwork([(1,)]), (7, 7))
    with pytest.raises(ValueError, match="align"):
        TokenDropping(small_vit(), torch.zeros(3, 56, 56), (4, 4))


def test_a_whole_run_with_dropped_tokens(images, out, capsys):  # noqa: F811
    model = f"{PLANTED}:small_vit"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (56, 56, 3), np.uint8)).save(
        images / "a.png"
    )
    assert (
        run(
            "--images",
            images / "a.png",
            "--results",
            out,
            "--model",
            model,
            "--baseline",
            "drop",
            "--grid",
            7,
            "--max-num-roots",
            3,
        )
        == 0
    )
    checked(out, images, "small_vit")
    assert record(out / "a")["roots"] and record(out / "a")["baseline"]["name"] == "drop"
    assert (
        run(
            "--images",
            images,
            "--results",
            out,
            "--model",
            model,
            "--baseline",
            "drop",
            "--grid",
            5,
        )
        == 2
    )
    assert (
        run(
            "--images",
            images,
            "--results",
            out,
            "--model",
            f"{PLANTED}:network",
            "--baseline",
            "drop",
            "--grid",
            4,
        )
        == 2
    )
    assert (
        run(
            "--images",
            images,
            "--results",
            out,
            "--model",
            model,
            "--baseline",
            "drop",
            "--precision",
            "bfloat16",
        )
        == 2
    )
    errors = capsys.readouterr().err.splitlines()
    assert (
        sum("error: --baseline drop" in line for line in errors) == 2
        and "--precision bfloat16" in errors[-1]
    )
