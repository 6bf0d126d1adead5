"""What SA3's recipe makes of timm: the published values, mixing, and the variation of images."""

import math
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from companions.concepts.sa3_parts import loss_of, mixing, optimizer_of, schedule_of, variation
from companions.concepts.sa3_recipe import Sa3Recipe, check_recipe
from companions.training.seeds import seeded
from concept_debug import COMMANDS, PROG, Improve, recipe_of
from running.command_line import parse_subcommands
from utils import UserError

timm = pytest.importorskip("timm")

RECIPE = Sa3Recipe(epochs=4, batch=4, passes=2, warmup_epochs=1)
GREY = Image.new("RGB", (32, 32), (100, 100, 100))
# The network's size and pixels: the grey image, normalised, is 1 in every channel.
NETWORK = SimpleNamespace(size=(32, 32), mean=(50 / 255,) * 3, std=(50 / 255,) * 3)


# ---------------------------------------------------------------- the published values


def test_the_defaults_of_the_command_are_the_published_ones(tmp_path):
    settings = Improve(images=tmp_path, selection=(tmp_path,), test=tmp_path, recipe="sa3")
    recipe = recipe_of(settings, world=4)
    assert recipe == Sa3Recipe()
    assert (recipe.epochs, recipe.batch, recipe.passes) == (100, 64, 16)
    assert (recipe.base_lr, recipe.layer_decay, recipe.weight_decay) == (5e-4, 0.65, 0.05)
    assert (recipe.drop_path, recipe.mixup, recipe.cutmix, recipe.erase) == (0.1, 0.8, 1.0, 0.25)
    assert (recipe.warmup_epochs, recipe.min_lr, recipe.smoothing) == (5, 1e-6, 0.1)
    assert (recipe.mixup_prob, recipe.mixup_switch_prob, recipe.mixup_mode) == (1, 0.5, "batch")
    assert (recipe.remode, recipe.recount, recipe.resplit) == ("pixel", 1, False)
    assert recipe.color_jitter is None


def test_options_that_are_passed_win(tmp_path):
    changes = {"accumulate": 3, "train_batch": 2, "mixup": 0.0, "lr": 0.1, "weight_decay": 0.2}
    settings = Improve(images=tmp_path, selection=(), test=tmp_path, recipe="sa3", **changes)
    recipe = recipe_of(settings, world=2)
    assert (recipe.passes, recipe.effective_batch) == (6, 12)
    assert (recipe.mixup, recipe.peak_lr, recipe.weight_decay) == (0, 0.1, 0.2)


def test_each_published_option_has_one_of_its_name():
    words = ["improve", "--images", "pool", "--selection", "a.csv", "--test", "test"]
    words += ["--recipe", "sa3", "--mixup-prob", "0.5", "--mixup-switch-prob", "0.25"]
    words += ["--mixup-mode", "elem", "--remode", "rand", "--recount", "3", "--resplit"]
    words += ["--augment", "none", "--color-jitter", "0.4"]
    recipe = recipe_of(parse_subcommands(COMMANDS, words, prog=PROG, doc=""))
    assert (recipe.mixup_prob, recipe.mixup_switch_prob, recipe.mixup_mode) == (0.5, 0.25, "elem")
    assert (recipe.remode, recipe.recount, recipe.resplit) == ("rand", 3, True)
    assert recipe.color_jitter == 0.4


def test_the_learning_rate_goes_with_the_effective_batch():
    assert Sa3Recipe().peak_lr == pytest.approx(5e-4 * 1024 / 256)
    assert Sa3Recipe(batch=16, passes=1).peak_lr == pytest.approx(5e-4 / 16)


@pytest.fixture(scope="module")
def groups():
    """(share of the learning rate, weight decay) of each parameter of a ViT-Tiny, by name."""
    module = timm.create_model("vit_tiny_patch16_224", num_classes=4, global_pool="avg")
    names = {parameter: name for name, parameter in module.named_parameters()}
    return {
        names[parameter]: (group["lr_scale"], group["weight_decay"], parameter.ndim)
        for group in optimizer_of(module, Sa3Recipe()).param_groups
        for parameter in group["params"]
    }


def test_layers_learn_as_in_maes_program(groups):
    # There the embeddings are layer 0, block i is layer i + 1, and the rest is layer 13.
    for name, (share, *_) in groups.items():
        layer = 13
        if name.startswith(("cls_token", "pos_embed", "patch_embed")):
            layer = 0
        elif name.startswith("blocks."):
            layer = int(name.split(".")[1]) + 1
        assert share == pytest.approx(0.65 ** (13 - layer)), name


def test_weights_decay_as_in_maes_program(groups):
    for name, (_, decay, dimensions) in groups.items():
        is_free = dimensions == 1 or name in ("cls_token", "pos_embed")
        assert decay == (0 if is_free else 0.05), name


def test_the_schedule_is_maes_formula():
    recipe = Sa3Recipe(epochs=10, warmup_epochs=3, lr=0.5, min_lr=0.01)
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], "lr_scale": 0.1}], lr=0.5)
    schedule = schedule_of(optimizer, recipe, steps=4)
    for step in range(40):
        schedule.step_update(step)
        epoch = step / 4
        wanted = 0.5 * epoch / 3
        if epoch >= 3:
            wanted = 0.01 + (0.5 - 0.01) * 0.5 * (1 + math.cos(math.pi * (epoch - 3) / 7))
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * wanted)


def test_the_loss_by_hand():
    logits = torch.log(torch.tensor([[0.7, 0.3]]))
    target = torch.tensor([0])
    assert float(loss_of(replace(RECIPE, smoothing=0.0, mixup=0, cutmix=0))(logits, target)) == (
        pytest.approx(-math.log(0.7))
    )
    smooth = loss_of(replace(RECIPE, mixup=0, cutmix=0))(logits, target)
    wanted = -(0.95 * math.log(0.7) + 0.05 * math.log(0.3))
    assert float(smooth) == pytest.approx(wanted)
    # Mixing smooths the labels itself: two images of one class keep their smoothed label.
    mix = mixing(RECIPE, classes=2)
    _, mixed = mix(torch.zeros(2, 3, 8, 8), torch.tensor([0, 0]))
    assert mixed.flatten().tolist() == pytest.approx([0.95, 0.05] * 2)
    assert float(loss_of(RECIPE)(logits.expand(2, 2), mixed)) == pytest.approx(wanted)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"batch": 3}, "--train-batch 3: odd"),
        ({"epochs": 1}, "--warmup-epochs 1: not fewer than --epochs 1"),
        ({"color_jitter": 0.4}, "--color-jitter 0.4: only with --augment none"),
        ({"augment": "rand-m9-mst0.5"}, "--augment rand-m9-mst0.5: neither none nor such as"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_named(change, words):
    with pytest.raises(UserError, match=words):
        check_recipe(replace(RECIPE, **change), world=1)


# ---------------------------------------------------------------- mixing

BLACK_AND_WHITE = torch.cat([torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8)])  # (4, 3, 8, 8)
CLASSES = torch.tensor([0, 0, 1, 1])


def mixed(**changes):
    """Return black and white images mixed with each other, and the share of white in each label."""
    recipe = replace(RECIPE, smoothing=0.0, **changes)
    with seeded(2):
        images, targets = mixing(recipe, classes=2)(BLACK_AND_WHITE.clone(), CLASSES)
    return images, targets[:, 1]


def test_cutmix_takes_pixels_and_mixup_blends():
    cut, share = mixed(mixup_switch_prob=1.0)
    assert set(cut.unique().tolist()) == {0, 1}
    assert torch.allclose(cut.mean((1, 2, 3)), share)
    blended, share = mixed(mixup_switch_prob=0.0)
    assert torch.allclose(blended, share[:, None, None, None].expand_as(blended))
    assert 0 < share[0] < 1


def test_a_mixture_has_its_weight_by_batch_or_by_image():
    of_batch = mixed(mixup_switch_prob=0.0)[1]
    weight = float(of_batch[0])
    assert of_batch.tolist() == pytest.approx([weight, weight, 1 - weight, 1 - weight], abs=1e-6)
    of_images = mixed(mixup_switch_prob=0.0, mixup_mode="elem")[1]
    assert len(of_images.unique()) == 4
    # Images 0 and 3 are a pair, and 1 and 2.
    of_pairs = mixed(mixup_switch_prob=0.0, mixup_mode="pair")[1]
    assert (of_pairs + of_pairs.flip(0)).tolist() == pytest.approx([1] * 4)
    assert of_pairs[0] != of_pairs[1]


def test_batches_that_are_not_mixed_stay_as_they_are():
    images, share = mixed(mixup_prob=0.0)
    assert torch.equal(images, BLACK_AND_WHITE)
    assert share.tolist() == [0, 0, 1, 1]


# ---------------------------------------------------------------- variation


def varied(seed=0, **changes):
    """Return the grey image varied without RandAugment, (3, 32, 32)."""
    with seeded(seed):
        return variation(NETWORK, replace(RECIPE, augment="none", **changes))(GREY)


@pytest.mark.parametrize(
    "remode, erased_colours",
    [("const", lambda n: n == 1), ("rand", lambda n: n == 1), ("pixel", lambda n: n > 20)],
)
def test_an_erased_rectangle_has_the_mean_a_colour_or_noise(remode, erased_colours):
    image = varied(erase=1.0, remode=remode)
    is_erased = (image - 1).abs().amax(0) > 1e-5
    colours = image[:, is_erased].unique(dim=1)
    assert erased_colours(colours.shape[1])
    assert bool((colours == 0).all()) == (remode == "const")


@pytest.mark.parametrize("recount", [1, 3])
def test_an_image_has_at_most_so_many_rectangles(recount):
    counts = []
    for seed in range(30):
        image = varied(seed, erase=1.0, remode="const", recount=recount)
        is_erased = (image == 0).all(0).numpy().astype(np.uint8)
        counts.append(cv2.connectedComponents(is_erased, connectivity=4)[0] - 1)
    assert max(counts) == recount


def test_colour_jitter_changes_the_brightness_by_its_share_at_most():
    assert torch.allclose(varied(erase=0.0), torch.ones(3, 32, 32))
    values = [varied(seed, erase=0.0, color_jitter=0.4) for seed in range(30)]
    # Contrast and saturation leave a grey image as it is. 60 and 140 of 255, normalised:
    lowest = (60 - 50) / 50
    highest = (140 - 50) / 50
    means = [float(image.mean()) for image in values]
    assert lowest - 0.05 < min(means) < 0.7
    assert 1.3 < max(means) < highest + 0.05
