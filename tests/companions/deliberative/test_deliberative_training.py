"""Training a classifier and the paper's predictor: losses, batches, going on, and the command."""

import csv
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import planted
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from small_sets import cub_tree, published_lists
from torch import nn

from companions.deliberative import joint_training
from companions.deliberative.checkpoints import read_checkpoint
from companions.deliberative.hardness_losses import (
    classifier_loss,
    predictor_loss,
    released_loss,
)
from companions.deliberative.joint_training import Recipe, accuracies, kept_accuracy
from companions.deliberative.own_trunk import HardnessHead, HardnessPredictor, with_outputs
from companions.deliberative.record import decode_insecurities
from companions.deliberative.training_batches import Shape, TrainingBatches
from companions.deliberative.training_run import Plan, press_of, run
from companions.deliberative.training_sets import Images, training_sets
from companions.training.processes import Place
from deliberative_explanation import main
from utils import UserError

ARCH = f"{Path(planted.__file__)}:trainable"
CPU = Place(torch.device("cpu"))
FAST = Recipe(epochs=3, lr=0.05, predictor_lr=3e-3, seed=1)

# ---------------------------------------------------------------- losses

LOGITS = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25], [0.6, 0.3, 0.1]]))
TARGETS = torch.tensor([0, 0, 1])  # right, right, wrong; p of the true class: 0.7, 0.4, 0.3
Z = torch.logit(torch.tensor([0.2, 0.5, 0.9]))


def test_hard_images_count_for_more_in_the_classifier():
    wanted = -(0.2 * np.log(0.7) + 0.5 * np.log(0.4) + 0.9 * np.log(0.3)) / 3
    assert float(classifier_loss(LOGITS, TARGETS, Z)) == pytest.approx(wanted, rel=1e-5)


def test_the_predictor_learns_one_minus_p():
    s = np.array([0.2, 0.5, 0.9])
    hard = np.array([0.3, 0.6, 0.7])
    wanted = -(hard * np.log(s) + (1 - hard) * np.log(1 - s)).mean()
    assert float(predictor_loss(LOGITS, TARGETS, Z)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("press", [1.0, 5.0])
def test_the_released_loss_by_hand(press):
    # p becomes 0.7, 0.55 (right) and 0.3. Two of three are easy, so that each of these weighs
    # 1/3 / press and the hard one 2/3 * press.
    easy = (1 - 0.3 * 0.2 - 0.7 * 0.8) + (1 - 0.45 * 0.5 - 0.55 * 0.5)
    hard = 1 - 0.7 * 0.9 - 0.3 * 0.1
    wanted = 2 * (easy / 3 / press + hard * 2 / 3 * press) / 3
    found = released_loss(LOGITS, TARGETS, Z, press=press)
    assert float(found) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("loss", [predictor_loss, released_loss])
def test_neither_loss_moves_the_other_network(loss):
    logits = LOGITS.clone().requires_grad_()
    z = Z.clone().requires_grad_()
    assert torch.autograd.grad(classifier_loss(logits, TARGETS, z), z, allow_unused=True)[0] is None
    assert torch.autograd.grad(loss(logits, TARGETS, z), logits, allow_unused=True)[0] is None


# ---------------------------------------------------------------- figures of merit


def test_accuracy_is_counted_among_the_first_five():
    logits = torch.eye(7)[[0, 1, 2]] + torch.arange(7) / 100  # then 6, 5, 4, 3
    found = accuracies(logits, torch.tensor([0, 6, 1]))
    assert found == pytest.approx({"top1": 1 / 3, "top5": 2 / 3})


def test_the_kept_accuracy_leaves_the_hardest_out():
    is_right = torch.tensor([True, False])
    # From 1 % to 49 % none of two is left out, from 50 % on the harder one.
    assert kept_accuracy(is_right, torch.tensor([0.1, 0.9])) == pytest.approx(
        (49 * 0.5 + 50 * 1) / 99
    )
    assert kept_accuracy(is_right, torch.tensor([0.9, 0.1])) == pytest.approx(49 * 0.5 / 99)


def test_the_schedules_are_the_authors():
    rates = [Recipe().rate(epoch) for epoch in (0, 39, 40, 59)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])
    assert Recipe(stage="hardness").rate(2) == pytest.approx(1e-3 * 0.95**2)


def test_the_press_is_the_authors():
    pairs = [
        ("vgg16_bn", "cub"),
        ("resnet50", "cub"),
        ("vgg16_bn", "ade20k"),
        ("alexnet", "ade20k"),
    ]
    assert [press_of(*pair) for pair in pairs] == [5, 1, 10, 5]


# ---------------------------------------------------------------- the predictor


def test_the_head_has_the_names_and_shapes_of_the_authors():
    shapes = {key: tuple(value.shape) for key, value in HardnessHead().state_dict().items()}
    assert shapes["bn1.weight"] == (1000,)
    assert shapes["fc1.weight"] == (1000, 1000)
    assert shapes["fc2.weight"] == (100, 1000)
    assert shapes["bn3.running_var"] == (100,)
    assert shapes["fc3.weight"] == (1, 100)


def test_the_head_is_norm_relu_dropout_linear_three_times():
    torch.manual_seed(0)
    head = HardnessHead(6).eval()
    x = torch.randn(4, 6)
    wanted = x
    for norm, linear in ((head.bn1, head.fc1), (head.bn2, head.fc2), (head.bn3, head.fc3)):
        wanted = linear(F.relu(norm(wanted)))
    assert torch.equal(head(x), wanted)
    head.train()
    assert not torch.equal(head(x), head(x))  # dropout


def test_a_network_without_a_linear_layer_is_refused():
    with pytest.raises(UserError, match="no linear layer"):
        with_outputs(nn.Sequential(nn.Conv2d(3, 3, 1)), 4, "mine")


# ---------------------------------------------------------------- images


@pytest.fixture(scope="module")
def mixtures(tmp_path_factory):
    """A folder of 200 images: a mixture of red and green, the more of either being the class.

    Near the middle, the class is drawn by lot: those images are hard.
    """
    folder = tmp_path_factory.mktemp("mixtures")
    rng = np.random.default_rng(0)
    for number in range(200):
        share = rng.uniform()
        is_red = share + rng.normal(scale=0.12) > 0.5
        image = rng.integers(0, 40, (32, 32, 3))
        image[..., 0] += int(200 * share)
        image[..., 1] += int(200 * (1 - share))
        path = folder / ("red" if is_red else "green") / f"{number:03}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image.astype(np.uint8)).save(path)
    return folder


def test_every_fifth_image_of_a_folder_validates(mixtures):
    sets = training_sets(mixtures)
    assert (sets.kind, sets.labels) == ("folder", ["green", "red"])
    assert (len(sets.train), len(sets.validation)) == (160, 40)
    assert not set(sets.train.paths) & set(sets.validation.paths)


def test_cub_trains_on_its_training_images(tmp_path):
    folder = cub_tree(tmp_path, images_per_class=4)
    sets = training_sets(folder)
    assert sets.kind == "cub"
    assert sets.labels[0] == "Black_footed_Albatross"
    assert (len(sets.train), len(sets.validation)) == (6, 6)
    train, _ = published_lists(folder)
    listed = training_sets(folder, train_list=train)
    assert listed.train == sets.train
    assert sets.train.targets == [0, 1, 2, 0, 1, 2]


def test_batches_are_divided_among_processes(mixtures):
    images = training_sets(mixtures).train
    batches = TrainingBatches(images, Shape(32, (0,) * 3, (1,) * 3), batch=63, seed=3)
    whole = batches.plan(0)
    halves = [batches.plan(0, rank=rank, world=2) for rank in (0, 1)]
    assert [len(step) for step in whole] == [63, 63, 34]
    for step, first, second in zip(whole, *halves):
        assert sorted(first + second) == sorted(step[: len(step) // 2 * 2])
    assert batches.plan(1) != whole


def test_a_batch_of_one_image_is_left_out(mixtures):
    images = training_sets(mixtures).train
    one_too_many = Images(images.paths[:5], images.targets[:5])
    batches = TrainingBatches(one_too_many, Shape(32, (0,) * 3, (1,) * 3), batch=4)
    assert [len(step) for step in batches.plan(0)] == [4]


def test_an_epochs_images_are_the_same_again(mixtures):
    images = training_sets(mixtures).train
    batches = TrainingBatches(images, Shape(32, (0,) * 3, (1,) * 3), batch=80)
    first, again, other = (next(iter(batches.epoch(epoch)))[0] for epoch in (2, 2, 3))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert 0 <= float(first.min()) <= float(first.max()) <= 1


# ---------------------------------------------------------------- training


def plan_for(data, folder, **changes):
    """Return a quick plan for the small network."""
    options = {"recipe": FAST, "batch": 32, "from_scratch": True, "hardness": True, **changes}
    return Plan(data=data, arch=ARCH, folder=folder, **options)


@pytest.fixture(scope="module")
def trained(mixtures, tmp_path_factory):
    """The folder of a finished training."""
    folder = tmp_path_factory.mktemp("trained")
    run(plan_for(mixtures, folder), CPU)
    return folder


def log_of(folder, stage):
    """Return the rows of a log."""
    with open(folder / f"{stage}_log.csv") as file:
        return list(csv.DictReader(file))


def test_training_lowers_the_loss(trained):
    rows = log_of(trained, "classifier")
    assert len(rows) == FAST.epochs
    assert float(rows[-1]["loss"]) < 0.8 * float(rows[0]["loss"])
    assert float(rows[-1]["top1"]) > 0.75


def test_predicted_hardness_goes_with_true_hardness(trained):
    rows = log_of(trained, "hardness")
    assert float(rows[-1]["predictor_loss"]) < float(rows[0]["predictor_loss"])
    assert float(rows[-1]["rank_correlation"]) >= 0.5


def test_what_was_killed_goes_on_to_the_same_weights(mixtures, trained, tmp_path):
    class Killed(Exception):
        pass

    stages = []

    def kill(epoch):
        stages.append(epoch)
        if len(stages) in (2, 5):  # in either stage
            raise Killed

    plan = plan_for(mixtures, tmp_path)
    for _ in range(2):
        with pytest.raises(Killed):
            run(plan, CPU, kill)
    run(plan, CPU, kill)
    assert len(stages) == 2 * FAST.epochs
    for name in ("classifier_best.pth", "hardness_last.pth"):
        first, again = (read_checkpoint(f / name, option="x").content for f in (trained, tmp_path))
        for entry in ("state_dict_m", "state_dict_ahp_trunk", "state_dict_ahp_hp"):
            assert first.get(entry, {}).keys() == again.get(entry, {}).keys()
            for key, value in first.get(entry, {}).items():
                assert torch.equal(value, again[entry][key]), (name, entry, key)


def test_a_finished_training_is_not_repeated(mixtures, trained, monkeypatch):
    monkeypatch.setattr(joint_training.Training, "_step", None)
    run(plan_for(mixtures, trained), CPU)


@pytest.fixture
def refused(mixtures, trained):
    """A function that says why a plan does not go on with the finished training."""

    def read(**changes):
        with pytest.raises(UserError, match="pass --overwrite or another --results") as error:
            run(plan_for(mixtures, trained, **changes), CPU)
        return str(error.value)

    return read


def list_of(images, path):
    """Write the authors' list of images; return its path."""
    rows = [f"{image} {target}" for image, target in zip(images.paths, images.targets)]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_another_training_is_not_gone_on_with(refused):
    assert "of another training (other lr)" in refused(recipe=replace(FAST, lr=0.01))
    assert "(other preprocessing)" in refused(side=48)


def test_the_same_images_by_a_list_are_the_same_training(mixtures, trained, monkeypatch, tmp_path):
    monkeypatch.setattr(joint_training.Training, "_step", None)
    whole = list_of(training_sets(mixtures).train, tmp_path / "train.txt")
    run(plan_for(mixtures, trained, train_list=whole), CPU)


@pytest.mark.parametrize("kind", ["train", "validation"])
def test_one_image_of_another_class_is_another_training(refused, mixtures, tmp_path, kind):
    images = getattr(training_sets(mixtures), kind)
    images.targets[7] = 1 - images.targets[7]
    options = {f"{kind}_list": list_of(images, tmp_path / "list.txt")}
    other = {"train": "training", "validation": "validation"}[kind]
    assert f"(other {other} images)" in refused(**options)


def test_a_predictor_of_another_classifier_is_another_training(refused, trained, tmp_path):
    content = read_checkpoint(trained / "classifier_best.pth", option="x").content
    key = next(iter(content["state_dict_m"]))
    content["state_dict_m"][key] += 0.25
    torch.save(content, tmp_path / "other.pth")
    assert "hardness_last.pth: of another training (other first weights)" in refused(
        classifier=tmp_path / "other.pth"
    )


def test_a_refused_training_leaves_the_names_as_they_are(refused, trained):
    file = trained / "labels.txt"
    before = file.read_text()
    file.write_text("as it was\n")
    try:
        refused(recipe=replace(FAST, lr=0.01))
        assert file.read_text() == "as it was\n"
    finally:
        file.write_text(before)


def test_overwrite_with_unusable_weights_removes_nothing(mixtures, trained, tmp_path):
    plan = plan_for(mixtures, trained, overwrite=True, classifier=tmp_path / "none.pth")
    with pytest.raises(UserError, match="no such file"):
        run(plan, CPU)
    assert (trained / "classifier_last.pth").is_file()
    assert (trained / "hardness_last.pth").is_file()


@pytest.mark.parametrize("hardness", [False, True])
def test_a_batch_of_fewer_than_two_per_process_is_refused(mixtures, tmp_path, hardness):
    plan = plan_for(mixtures, tmp_path / "out", batch=3, hardness=hardness)
    with pytest.raises(UserError, match="--batch 3: .* each of 2 processes; pass 4 or more"):
        run(plan, replace(CPU, world=2))
    assert not (tmp_path / "out").exists()


def test_fewer_images_than_a_step_takes_are_refused(mixtures, tmp_path):
    images = training_sets(mixtures).train
    few = list_of(Images(images.paths[:1], images.targets[:1]), tmp_path / "one.txt")
    with pytest.raises(UserError, match="1 images to train on; 2 or more are needed"):
        run(plan_for(mixtures, tmp_path / "out", train_list=few), CPU)


def test_a_classifier_without_a_predictor_to_train_is_refused(mixtures, tmp_path):
    plan = plan_for(mixtures, tmp_path, hardness=False, classifier=tmp_path / "any.pth")
    with pytest.raises(UserError, match="only with --hardness"):
        run(plan, CPU)


def test_best_is_the_pair_with_the_highest_kept_accuracy(trained):
    rows = log_of(trained, "hardness")
    kept = [float(row["kept_accuracy"]) for row in rows]
    best = read_checkpoint(trained / "hardness_best.pth", option="x").content
    assert best["epoch"] == 1 + kept.index(max(kept))


# ---------------------------------------------------------------- the command


def explain(trained, images, *options):
    """Explain images with the trained pair; return the exit status."""
    weights = str(trained / "hardness_best.pth")
    return main(
        [
            *(
                str(images),
                "--model",
                f"{ARCH}_of_two",
                "--weights",
                weights,
                "--difficulty",
                weights,
            ),
            *("--device", "cpu", "--moved", "0", *map(str, options)),
        ]
    )


def test_a_trained_pair_explains(mixtures, trained, tmp_path):
    names = sorted(path.name for path in (mixtures / "red").iterdir())
    assert explain(trained, mixtures / "red" / names[0], "--results", tmp_path) == 0
    [file] = tmp_path.rglob("insecurities.json")
    record = decode_insecurities(file.read_bytes())
    assert {category.name for category in record.classes} == {"green", "red"}
    assert record.difficulty.name == "hardness"
    assert record.size == (32, 32)


def test_the_command_trains(tmp_path, capsys):
    folder = cub_tree(tmp_path, images_per_class=4, side=40)
    status = main(
        [
            *("train", "--data", str(folder), "--arch", ARCH, "--from-scratch", "--hardness"),
            *("--epochs", "1", "--batch", "4", "--workers", "0", "--device", "cpu"),
            *("--results", str(tmp_path / "out")),
        ]
    )
    assert status == 0
    content = read_checkpoint(tmp_path / "out/hardness_last.pth", option="x").content
    assert content["preprocessing"]["mean"] == pytest.approx((0.4706145, 0.46000465, 0.45479808))
    assert (tmp_path / "out/labels.txt").read_text().splitlines()[2] == "Sooty_Albatross"
    assert "goes on" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, words",
    [
        ("--data nowhere --arch alexnet", "--data nowhere: no such folder"),
        ("--arch alexnet", "--data"),
        ("--data x --arch x --epochs 0", "0 is not"),
        ("--data x --arch x --lr 0", "0 is not a learning rate"),
    ],
)
def test_unusable_arguments_are_one_line(tmp_path, monkeypatch, error_line, options, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) if "nowhere" not in options else nullcontext():
        assert main(["train", *options.split()]) == 2
    assert words in error_line()


def test_a_predictor_is_read_from_the_authors_checkpoint(trained, tmp_path):
    content = read_checkpoint(trained / "hardness_last.pth", option="x").content
    theirs = {
        "epoch": 60,
        "arch": "resnet20",
        "best_prec1": 0,
        **{
            entry: {f"module.{key}": value for key, value in content[entry].items()}
            for entry in ("state_dict_m", "state_dict_ahp_trunk", "state_dict_ahp_hp")
        },
    }
    torch.save(theirs, tmp_path / "checkpoint_hp.pth.tar")
    checkpoint = read_checkpoint(tmp_path / "checkpoint_hp.pth.tar", option="--difficulty")
    predictor = checkpoint.hardness_module(ARCH)
    assert isinstance(predictor, HardnessPredictor)
    own = read_checkpoint(trained / "hardness_last.pth", option="x").hardness_module(ARCH)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(predictor(x), own(x))


def test_a_checkpoint_without_a_predictor_is_named(trained):
    checkpoint = read_checkpoint(trained / "classifier_best.pth", option="--difficulty")
    with pytest.raises(UserError, match="no hardness predictor in it"):
        checkpoint.hardness_module(ARCH)
