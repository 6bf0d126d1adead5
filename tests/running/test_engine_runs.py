"""Runs of the main job in reduced precision, compiled, on several images at once, and token-wise.

However the network runs, what is recorded is what float32 says; independent code checks it.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from drawn import read_sag
from main_job import (
    FLOAT32,
    NETWORKS,
    make_white_images,
    only_line,
    records_in,
    roots_of,
    run,
    search_planted,
    wrong_claims,
)
from PIL import Image

from running import this_process

SEARCHES = ["exhaustive", "beam", "diverse"]


def save_noise(path, seed):
    """Save an image of 56 x 56 random pixels."""
    noise = np.random.default_rng(seed).integers(0, 255, (56, 56, 3), np.uint8)
    Image.fromarray(noise).save(path)


# ---------------------------------------------------------------- precision and its certificate


@pytest.fixture(scope="module", params=SEARCHES)
def search(request):
    return request.param


@pytest.fixture(scope="module")
def trapped(search, tmp_path_factory):
    """A search in bfloat16, in which patch 5 alone wrongly looks sufficient."""
    folder = tmp_path_factory.mktemp("trap")
    images = make_white_images(folder / "in")
    options = ("--search", search, "--precision", "bfloat16", "--num-successors", 16)
    assert search_planted(images / "a.png", folder / "out", *options, network="trap") == 0
    return SimpleNamespace(images=images, out=folder / "out", sag=read_sag(folder / "out/a"))


def test_a_record_of_a_precision_trap_is_confirmed(trapped):
    assert wrong_claims(trapped.out, trapped.images, "trap") == []


def test_what_only_looks_sufficient_is_no_root(trapped):
    assert (5,) not in roots_of(trapped.out / "a")


def test_what_looks_sufficient_is_decided_by_float32(trapped):
    assert trapped.sag.evaluations.doubted > 0
    assert trapped.sag.evaluations.disagreed == 0  # the search was never told that it is


@pytest.fixture(scope="module")
def hidden(tmp_path_factory):
    """A beam search in bfloat16, in which patch 5 alone wrongly looks insufficient."""
    folder = tmp_path_factory.mktemp("hidden")
    images = make_white_images(folder / "in")
    options = ("--precision", "bfloat16", "--num-successors", 16)
    assert search_planted(images / "a.png", folder / "out", *options, network="hidden") == 0
    return SimpleNamespace(images=images, out=folder / "out", sag=read_sag(folder / "out/a"))


def test_what_only_looks_insufficient_is_found_by_the_proof(hidden):
    assert (5,) in roots_of(hidden.out / "a")
    assert wrong_claims(hidden.out, hidden.images, "hidden") == []


def test_sets_on_which_the_precisions_disagree_are_counted(hidden):
    assert hidden.sag.evaluations.disagreed == 1


def test_the_precision_of_the_search_is_recorded(trapped):
    assert trapped.sag.evaluations.precision == "bfloat16"


@pytest.fixture(params=["bfloat16", "auto"])
def exhausted(request, white_images, out):
    """The record of an exhaustive search of the trap, by --precision."""
    options = ("--search", "exhaustive", "--precision", request.param)
    assert search_planted(white_images / "a.png", out, *options, network="trap") == 0
    return request.param, read_sag(out / "a")


def test_the_roots_of_a_trap_are_those_of_float32(exhausted):
    pairs_with_5 = {tuple(sorted((5, patch))) for patch in range(16) if patch != 5}
    roots = {root.patches for root in exhausted[1].roots}
    assert roots == {(6, 10), (1, 8, 14), *pairs_with_5}


def test_only_an_exhaustive_search_in_float32_is_complete(exhausted):
    precision, sag = exhausted
    assert sag.search.complete == (precision == "auto")
    assert (sag.search.stopped_by == "exhausted") == (precision == "auto")


def test_an_exhaustive_search_runs_in_float32_by_itself(exhausted):
    precision, sag = exhausted
    assert sag.evaluations.precision == {"auto": "float32", "bfloat16": "bfloat16"}[precision]


def test_float32_agrees_with_itself(search, white_images, out):
    options = ("--search", search, "--num-successors", 16, *FLOAT32)
    assert search_planted(white_images / "a.png", out, *options, network="trap") == 0
    assert read_sag(out / "a").evaluations.disagreed == 0


# ---------------------------------------------------------------- compilation


@pytest.fixture
def without_compiler(white_images, out, precision, monkeypatch, capsys):
    """The log of a run on three images that would be compiled where there were a compiler."""

    def fails(*_, **__):
        raise RuntimeError("no g++\nin sight")

    monkeypatch.setattr("torch.compile", fails)
    monkeypatch.setattr(this_process, "COMPILE_SECONDS", 0)
    assert search_planted(white_images, out, "--precision", precision) == 0
    return capsys.readouterr().err


def test_without_a_compiler_the_log_says_so_once(without_compiler):
    line = "not compiled, going on without (no g++ in sight)"
    assert without_compiler.count(line) == 1


def test_without_a_compiler_every_image_is_explained(without_compiler, white_images, out):
    assert wrong_claims(out, white_images) == [] and len(records_in(out)) == 3


# ---------------------------------------------------------------- several images at once


def explain_together(images, results, at_once, precision):
    """Explain images with an untrained network, so many at once; return their records."""
    options = ("--images", images, "--model", f"{NETWORKS}:resnet", "--grid", 4, "--device", "cpu")
    limits = ("--max-num-roots", 4, "--precision", precision, "--images-at-once", at_once)
    assert run(*options, *limits, "--results", results, "--pictures", "none") == 0
    return [read_sag(path.parent) for path in records_in(results)]


@pytest.fixture(scope="module")
def in_lock_step(tmp_path_factory):
    """The results of seven images in float32, one at a time and four at once."""
    folder = tmp_path_factory.mktemp("together")
    images = make_white_images(folder / "in")
    for seed in range(4):
        save_noise(images / f"noise{seed}.png", seed)
    return SimpleNamespace(
        images=images,
        out=folder / "together",
        alone=explain_together(images, folder / "alone", at_once=1, precision="float32"),
        together=explain_together(images, folder / "together", at_once=4, precision="float32"),
    )


@pytest.fixture
def pairs(in_lock_step):
    """For each image its record from a run of its own, and that in lock-step."""
    return list(zip(in_lock_step.alone, in_lock_step.together))


def test_in_lock_step_every_image_is_explained(in_lock_step):
    assert len(in_lock_step.together) == 7


def test_most_of_the_images_have_roots(in_lock_step):
    assert sum(bool(sag.roots) for sag in in_lock_step.alone) >= 4


def test_records_in_lock_step_are_confirmed(in_lock_step):
    assert wrong_claims(in_lock_step.out, in_lock_step.images, "resnet") == []


def test_lock_step_changes_no_saliency(pairs):
    assert all(alone.saliency == together.saliency for alone, together in pairs)


def test_lock_step_changes_no_roots(pairs):
    for alone, together in pairs:
        assert [root.patches for root in together.roots] == [root.patches for root in alone.roots]


def test_lock_step_changes_no_diverse_set(pairs):
    assert all(alone.diverse_set == together.diverse_set for alone, together in pairs)


def test_lock_step_changes_no_edges(pairs):
    assert all(alone.sag.edges == together.sag.edges for alone, together in pairs)


def test_lock_step_changes_no_probability(pairs):
    for alone, together in pairs:
        found = [node.probability for node in together.sag.nodes]
        wanted = [node.probability for node in alone.sag.nodes]
        assert found == pytest.approx(wanted, abs=1e-5)


def test_records_of_bfloat16_in_lock_step_are_confirmed(tmp_path):
    (tmp_path / "in").mkdir()
    for seed in range(3):
        save_noise(tmp_path / f"in/noise{seed}.png", seed)
    sags = explain_together(tmp_path / "in", tmp_path / "out", at_once=3, precision="bfloat16")
    assert sum(bool(sag.roots) for sag in sags) >= 2
    assert wrong_claims(tmp_path / "out", tmp_path / "in", "resnet") == []


# ---------------------------------------------------------------- dropped tokens


@pytest.fixture(scope="module")
def dropped(tmp_path_factory):
    """The results of a transformer that is not shown the hidden tokens."""
    folder = tmp_path_factory.mktemp("dropped")
    (folder / "in").mkdir()
    save_noise(folder / "in/a.png", seed=0)
    paths = ("--images", folder / "in", "--results", folder / "out", "--device", "cpu")
    model = ("--model", f"{NETWORKS}:small_vit", "--baseline", "drop", "--grid", 7)
    assert run(*paths, *model, "--max-num-roots", 3) == 0
    return SimpleNamespace(images=folder / "in", out=folder / "out", sag=read_sag(folder / "out/a"))


def test_a_record_of_dropped_tokens_is_confirmed(dropped):
    assert wrong_claims(dropped.out, dropped.images, "small_vit") == []


def test_a_transformer_without_tokens_has_roots(dropped):
    assert dropped.sag.roots


def test_dropping_is_recorded_as_the_baseline(dropped):
    assert dropped.sag.baseline.name == "drop"


def test_dropped_tokens_are_scored_in_float32(dropped):
    assert dropped.sag.evaluations.precision == "float32"


@pytest.mark.parametrize(
    "network, options, reason",
    [
        ("small_vit", ["--grid", 5], "--baseline drop: a grid of 5 x 5"),
        ("network", ["--grid", 4], "--baseline drop: needs a vision transformer"),
        ("small_vit", ["--precision", "bfloat16"], "--precision bfloat16: not together with"),
    ],
)
def test_dropping_that_is_not_possible_is_one_line(
    network, options, reason, white_images, out, capsys
):
    paths = ("--images", white_images, "--results", out, "--model", f"{NETWORKS}:{network}")
    capsys.readouterr()
    assert run(*paths, "--baseline", "drop", "--device", "cpu", *options) == 2
    assert f"error: {reason}" in only_line(capsys)
