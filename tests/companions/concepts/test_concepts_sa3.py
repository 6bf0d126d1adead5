"""SA3's recipe: the images of a step, going on, several processes, and the command."""

import argparse
import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from killed_training import Killed, kill_between_last_files
from PIL import Image

from companions.concepts import improve as improve_module
from companions.concepts import sa3_training
from companions.concepts.first_weights import Start, first_weights
from companions.concepts.labelled_images import labelled_folder
from companions.concepts.network_outputs import network_outputs
from companions.concepts.sa3_recipe import Sa3Recipe
from companions.concepts.sa3_training import Draw, Sa3Trainer, Sa3Training
from companions.training.processes import Place
from companions.training.seeds import seeded
from scoring.fitting import load_fitted
from scoring.networks import class_probabilities, load_network
from utils import PROJECT, UserError

timm = pytest.importorskip("timm")

MODEL = "timm/test_vit"  # timm's ViT for tests: 6 blocks of 64 channels
CPU = Place(torch.device("cpu"))
LABELS = ("green", "red")
RECIPE = Sa3Recipe(epochs=4, batch=4, passes=2, lr=2e-3, warmup_epochs=1, layer_decay=0.9, seed=3)


def paint(path, label, rng):
    """Write an image of noise with more of its class's colour."""
    pixels = rng.integers(0, 120, (40, 40, 3))
    pixels[..., 0 if label == "red" else 1] += 120
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@dataclass
class World:
    """Images of two colours to train on and to test on, and a network's first weights."""

    folder: Path
    first: Path

    def network(self):
        return load_network(MODEL, self.first, labels=self.folder / "labels.txt")

    def images(self, name):
        return labelled_folder(self.folder / name, LABELS)

    def training(self, recipe=RECIPE, place=CPU):
        return Sa3Training(
            self.network(),
            self.images("train"),
            test=self.images("test"),
            recipe=recipe,
            place=place,
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    rows = ["image,class"]
    for name, count in (("train", 9), ("test", 5)):
        for label in LABELS:
            for number in range(count):
                paint(folder / name / label / f"{number}.png", label, rng)
                if name == "train":
                    rows.append(f"{label}/{number}.png,{label}")
    (folder / "all.csv").write_text("\n".join(rows) + "\n")
    (folder / "labels.txt").write_text("\n".join(LABELS) + "\n")
    start = Start(model=MODEL, labels=folder / "labels.txt", from_scratch=True, side=32)
    return World(folder, first_weights(start, folder / "first.safetensors"))


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


# ---------------------------------------------------------------- images of a step


def test_processes_share_the_passes_of_a_step(world):
    whole = world.training().plan(0)
    halves = [world.training(place=replace(CPU, rank=rank, world=2)).plan(0) for rank in (0, 1)]
    assert [batch for pair in zip(*halves) for batch in pair] == whole
    numbers = [draw.number for batch in whole for draw in batch]
    assert len(numbers) == len(set(numbers)) == 16  # of 18: two make no whole step
    assert world.training().plan(1) != whole


def test_an_image_varies_by_epoch_and_is_the_same_again(world):
    images = world.training().varied
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, again, other = (images[Draw(2, epoch, may_erase=True)][0] for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("resplit, erased", [(False, [1, 1, 1, 1]), (True, [0, 0, 1, 1])])
def test_the_first_half_of_a_pass_may_be_spared(world, resplit, erased):
    recipe = replace(RECIPE, augment="none", erase=1.0, remode="const", resplit=resplit)
    training = world.training(recipe)
    for numbers in training.plan(0):
        images = [training.varied[draw][0] for draw in numbers]
        # An erased pixel is 0 in all channels, which noise with a colour's 120 on top never is.
        assert [int((image == 0).all(0).any()) for image in images] == erased


def test_seeds_leave_no_trace():
    def draws():
        return torch.rand(1).item(), np.random.rand()

    torch.manual_seed(1)
    np.random.seed(1)
    wanted = draws()
    torch.manual_seed(1)
    np.random.seed(1)
    with seeded(5):
        inside = draws()
    assert draws() == wanted != inside


def test_test_images_are_measured_once_each(world, tmp_path):
    training = world.training()
    images = world.images("test")
    items = [
        (i, load_fitted(item.image, training.network.fit)) for i, item in enumerate(images.items)
    ]
    p = network_outputs(training.network, items)[1].probabilities
    loss, accuracy = training.measure()
    assert accuracy == pytest.approx((p.argmax(1) == images.targets).mean())
    assert loss == pytest.approx(-np.log(p[range(10), images.targets]).mean(), rel=1e-4)


def test_a_test_image_that_cannot_be_read_does_not_count(world, tmp_path):
    paint(tmp_path / "red/a.png", "red", np.random.default_rng(1))
    alone = replace_test(world, tmp_path).measure()
    (tmp_path / "red/b.png").write_bytes(b"damaged")
    assert replace_test(world, tmp_path).measure() == pytest.approx(alone)


def replace_test(world, folder):
    """Return a training that is measured on another folder."""
    return Sa3Training(
        world.network(),
        world.images("train"),
        test=labelled_folder(folder, LABELS),
        recipe=RECIPE,
        place=CPU,
    )


# ---------------------------------------------------------------- training


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    """(state_dict, rows of the log) of an uninterrupted training."""
    folder = tmp_path_factory.mktemp("whole")
    return run_training(world.training(), folder)


def run_training(training, folder, **options):
    module = training.run(folder / "c", log_file=folder / "a_log.csv", **options)
    return module.state_dict(), read_log(folder / "a_log.csv")


def read_log(path):
    """Return the rows of a log, without the seconds."""
    rows = list(csv.DictReader(path.read_text().splitlines()))
    return [{name: float(v) for name, v in row.items() if name != "seconds"} for row in rows]


def test_what_was_killed_goes_on_to_the_same_weights(world, trained, tmp_path):
    steps = []

    def kill(loss):
        steps.append(loss)
        if len(steps) == 6:  # in the third epoch of two steps
            raise Killed

    with pytest.raises(Killed):
        run_training(world.training(), tmp_path, on_step=kill)
    assert len(read_log(tmp_path / "a_log.csv")) == 2
    done = []
    again = run_training(world.training(), tmp_path, on_resume=done.append)
    assert done == [4]
    assert same(again[0], trained[0])
    assert again[1] == trained[1]
    assert not (tmp_path / "c").exists()


def test_a_log_has_every_epoch_wherever_a_training_was_killed(
    world, trained, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_between_last_files(patch, sa3_training, epochs=RECIPE.epochs)
        run_training(world.training(), tmp_path)
    weights, rows = run_training(world.training(), tmp_path)
    assert same(weights, trained[0])
    assert rows == trained[1]


@pytest.mark.parametrize("change", ["damaged", "another recipe"])
def test_another_checkpoint_is_not_gone_on_with(world, trained, tmp_path, change):
    if change == "damaged":
        (tmp_path / "c").write_bytes(b"damaged")
    else:
        other = world.training(replace(RECIPE, lr=1e-4))
        with pytest.raises(Killed):
            run_training(other, tmp_path, on_step=lambda loss: kill_if(other.epochs))
        assert (tmp_path / "c").is_file()
    assert same(run_training(world.training(), tmp_path)[0], trained[0])


def kill_if(epochs):
    if epochs:
        raise Killed


def test_the_given_network_is_not_changed(world):
    network = world.network()
    before = {key: value.clone() for key, value in network.module.state_dict().items()}
    trainer = Sa3Trainer(recipe=RECIPE, test=world.images("test"), place=CPU)
    weights = world.folder / "w.safetensors"
    tuned, count = trainer.train(network, world.images("train"), weights=weights, failures=[])
    assert count == 18
    assert same(network.module.state_dict(), before)
    assert not same(tuned.module.state_dict(), before)


def test_a_loss_that_is_nan_stops_the_training(world, tmp_path):
    training = world.training()
    training.loss = lambda logits, targets: logits.sum() * torch.nan
    with pytest.raises(FloatingPointError, match="in epoch 1: a lower --base-lr"):
        run_training(training, tmp_path)


def test_tensorboard_has_every_epoch_once(world, trained, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    training = world.training()
    with pytest.raises(Killed):
        run_training(training, tmp_path, on_step=lambda loss: kill_if(training.epochs[1:]))
    run_training(world.training(), tmp_path)
    board = accumulator.EventAccumulator(str(tmp_path / "a_log")).Reload()
    losses = board.Scalars("train_loss")
    assert [event.step for event in losses] == [1, 2, 3, 4]
    wanted = [row["train_loss"] for row in trained[1]]
    assert [event.value for event in losses] == pytest.approx(wanted, rel=1e-5)


# ---------------------------------------------------------------- first weights


@pytest.fixture(scope="module")
def mae(tmp_path_factory):
    """An encoder on 48 x 48 pixels as MAE's programs save it, and the network it is of."""
    overlay = {"input_size": (3, 48, 48)}
    torch.manual_seed(5)
    encoder = timm.create_model("test_vit", num_classes=0, pretrained_cfg_overlay=overlay)
    state = {**encoder.state_dict(), "mask_token": torch.zeros(1, 1, 8)}
    state["decoder_embed.weight"] = torch.zeros(8, 64)
    path = tmp_path_factory.mktemp("mae") / "mae.pth"
    torch.save({"model": state, "epoch": 7, "args": argparse.Namespace(lr=0.1)}, path)
    return path, encoder


def start_of(world, weights, **changes):
    return Start(model=MODEL, weights=weights, labels=world.folder / "labels.txt", **changes)


def test_maes_encoder_gets_a_new_head(world, mae, tmp_path):
    path, encoder = mae
    first = first_weights(start_of(world, path), tmp_path / "f.safetensors")
    module = load_network(MODEL, first).module
    x = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        tokens = encoder.forward_intermediates(x, indices=1, intermediates_only=True, norm=False)
        pooled = tokens[-1].flatten(2).mean(2)  # the last block's, without the class token
        wanted = torch.nn.functional.layer_norm(pooled, pooled.shape[1:], eps=1e-6)
        assert torch.allclose(
            module.forward_head(module.forward_features(x), True), wanted, atol=1e-5
        )
    assert module.head.weight.shape == (2, 64)
    assert 1e-5 < float(module.head.weight.std()) < 3e-5
    assert not module.head.bias.any()


def test_positions_are_resampled_to_another_size(world, mae, tmp_path):
    path, encoder = mae
    first = first_weights(start_of(world, path, side=96), tmp_path / "f.safetensors")
    network = load_network(MODEL, first)
    assert network.size == (96, 96)
    old = encoder.pos_embed[:, 1:].reshape(3, 3, 64)
    new = network.module.pos_embed[:, 1:].reshape(6, 6, 64)
    # Bicubic resampling keeps the mean of a constant; here, of the whole to a few percent.
    assert torch.allclose(new.mean((0, 1)), old.mean((0, 1)), atol=0.1 * old.std().item())
    assert torch.equal(network.module.pos_embed[:, :1], encoder.pos_embed[:, :1])


def test_a_classifier_that_fits_is_begun_with_as_it_is(world, tmp_path):
    assert first_weights(start_of(world, world.first), tmp_path / "f") == world.first
    assert not (tmp_path / "f").exists()


def test_a_head_of_other_classes_is_replaced(world, tmp_path):
    (tmp_path / "three.txt").write_text("a\nb\nc\n")
    start = replace(start_of(world, world.first), labels=tmp_path / "three.txt")
    network = load_network(MODEL, first_weights(start, tmp_path / "f.safetensors"))
    assert network.classes == 3
    old = world.network().module.state_dict()
    new = network.module.state_dict()
    assert same(
        {key: value for key, value in new.items() if not key.startswith("head.")},
        {key: value for key, value in old.items() if not key.startswith("head.")},
    )


def test_random_weights_are_the_seeds(world, tmp_path):
    states = []
    for seed in (0, 0, 1):
        start = start_of(world, None, from_scratch=True, side=32, seed=seed)
        states.append(first_weights(start, tmp_path / "f.safetensors").read_bytes())
    assert states[0] == states[1] == world.first.read_bytes()
    assert states[2] != states[0]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"from_scratch": True}, "only one of --weights and --from-scratch"),
        ({"labels": None}, "--labels: needed, for .*mae.pth has no classes"),
        ({"model": "timm/vit_tiny_patch16_224"}, "mae.pth: of another architecture: "),
        ({"weights": Path("no.pth")}, "--weights no.pth: no such file"),
    ],
)
def test_weights_that_cannot_be_begun_with_are_named(world, mae, tmp_path, changes, words):
    start = replace(start_of(world, mae[0]), **changes)
    with pytest.raises(UserError, match=words):
        first_weights(start, tmp_path / "f")
    assert not (tmp_path / "f").exists()


# ---------------------------------------------------------------- the command


def words_of(world, results, *options):
    """Return the words of a short training by the command."""
    return [
        "improve",
        *("--recipe", "sa3", "--model", MODEL, "--from-scratch", "--size", "32"),
        *("--labels", world.folder / "labels.txt", "--images", world.folder / "train"),
        *("--selection", world.folder / "all.csv", "--test", world.folder / "test"),
        *("--epochs", "12", "--warmup-epochs", "2", "--lr", "4e-3", "--layer-decay", "1"),
        *("--train-batch", "4", "--augment", "none", "--workers", "0", "--device", "cpu"),
        *("--results", results),
        *options,
    ]


@pytest.fixture(scope="module")
def improved(world, run, tmp_path_factory):
    """The results of the command in one process, with two passes per step."""
    results = tmp_path_factory.mktemp("improved")
    assert run(*words_of(world, results, "--accumulate", "2")) == 0
    return results


def test_the_command_learns_two_colours(improved):
    rows = json.loads((improved / "improve.json").read_text())["rows"]
    assert [row["network"] for row in rows] == ["before", "all"]
    assert rows[1]["test"]["all"] == 1
    log = read_log(improved / "improved/all_log.csv")
    assert [row["epoch"] for row in log] == list(range(1, 13))
    assert log[-1]["test_accuracy"] == 1
    assert log[-1]["test_loss"] < 0.6 * log[0]["test_loss"]


def test_trained_weights_are_for_every_command(world, improved):
    weights = improved / "improved/all.safetensors"
    network = load_network(MODEL, weights, labels=world.folder / "labels.txt")
    assert network.size == (32, 32)
    images = world.images("test")
    right = [
        int(probabilities_of(network, item.image).argmax()) == target
        for item, target in zip(images.items, images.targets)
    ]
    assert all(right)


def probabilities_of(network, path):
    with torch.no_grad():
        x = network.prepare(load_fitted(path, network.fit))[None]
        return class_probabilities(network.module(x))[0]


def test_what_is_trained_is_not_trained_again(world, improved, run, monkeypatch):
    monkeypatch.setattr(Sa3Training, "run", None)
    assert run(*words_of(world, improved, "--accumulate", "2")) == 0


def test_two_processes_train_as_one(world, improved, tmp_path):
    """Each takes one of the two passes of a step; the sums differ by rounding at most."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--standalone", PROJECT / "concept_debug.py"]
    command += words_of(world, tmp_path, "--accumulate", "1")
    done = subprocess.run(
        list(map(str, command)),
        cwd=PROJECT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    one = read_log(improved / "improved/all_log.csv")
    two = read_log(tmp_path / "improved/all_log.csv")
    for row, other in zip(one, two, strict=True):
        assert other == pytest.approx(row, rel=1e-3)
    networks = [
        load_network(MODEL, folder / "improved/all.safetensors") for folder in (improved, tmp_path)
    ]
    for item in world.images("test").items:
        p, q = (probabilities_of(network, item.image) for network in networks)
        assert torch.allclose(p, q, atol=1e-3)


def test_too_few_images_are_named_before_anything_is_trained(world, run, capsys, tmp_path):
    assert run(*words_of(world, tmp_path, "--accumulate", "5")) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "all.csv: 18 images, but a step takes 20: --train-batch times --accumulate" in line


@pytest.mark.parametrize(
    "options, words",
    [
        (("--recipe", "sa3", "--steps", 3), "--steps: only with --recipe light"),
        (("--epochs", 3), "--epochs: only with --recipe sa3"),
        (("--mixup-prob", 0), "--mixup-prob: only with --recipe sa3"),
        (("--from-scratch",), "--from-scratch: only with --recipe sa3"),
        (("--recipe", "sa3"), "cue_world.py:network: --recipe sa3 trains networks of timm"),
        (("--recipe", "mae"), "--recipe: mae is none of light, sa3"),
        (("--recipe", "sa3", "--layer-decay", 0), "--layer-decay: 0 is not"),
    ],
)
def test_options_that_do_not_fit_are_one_line(pool, run, only_line, options, words):
    selection = pool.csv("s", "harbour_kite/a.png,harbour kite")
    assert run(*pool.improve(*options, selection=[selection])) == 2
    assert words in only_line()
    assert not pool.results.exists()


def test_the_light_recipe_is_not_for_torchrun(pool, run, only_line, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    selection = pool.csv("s", "harbour_kite/a.png,harbour kite")
    assert run(*pool.improve(selection=[selection])) == 2
    assert "--recipe light: trains in one process" in only_line()


def test_without_timm_the_line_says_what_to_install(pool, run, only_line, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    selection = pool.csv("s", "harbour_kite/a.png,harbour kite")
    words = pool.improve("--recipe", "sa3", selection=[selection])
    words = [MODEL if "cue_world" in str(word) else word for word in words]
    assert run(*words) == 2
    assert only_line().endswith(
        "--recipe sa3: needs the package timm: bash requirements_install.sh requirements_sa3.txt"
    )


def test_other_processes_train_only_where_the_first_does(world, monkeypatch, tmp_path):
    trained = []

    class Counting:
        def train(self, network, images, *, weights, failures):
            trained.append(weights.name)

    selection = improve_module.Selection("a", tmp_path / "a.csv", world.images("train"))
    for is_done in (True, False):
        monkeypatch.setattr(improve_module, "from_first", lambda value, said=is_done: said)
        improve_module.train_beside(selection, None, Counting(), results=tmp_path)
    assert trained == ["a.safetensors"]
