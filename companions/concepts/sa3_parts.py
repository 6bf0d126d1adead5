"""The parts of timm that SA3's recipe trains with.

    module = module_of(network, recipe)                 # with drop path
    optimizer = optimizer_of(module, recipe)            # AdamW with layer decay
    schedule = schedule_of(optimizer, recipe, steps=3)  # warm-up and cosine, by step
    mix = mixing(recipe, classes=4)                     # mixup and CutMix
    loss = loss_of(recipe)                              # of what is mixed
    vary = variation(network, recipe)                   # crops, RandAugment, random erasing

Every part is made of the recipe's values alone, so that a test can compare it with MAE's program.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from companions.concepts.sa3_recipe import NO_AUGMENT, Sa3Recipe
from companions.training.packages import sa3_library
from scoring.networks import Network
from scoring.outputs import own_module
from scoring.timm_networks import PREFIX, untrained_timm

OPTION = "--recipe sa3"


def timm_part(name: str) -> Any:
    """Return a module of timm, such as timm.data.

    Raises:
        UserError: timm is not installed.
    """
    return sa3_library(name, option=OPTION)


def module_of(network: Network, recipe: Sa3Recipe) -> nn.Module:
    """Return a network's module with drop path, to be trained.

    Raises:
        UserError: it is none of timm's, or has no drop path.
    """
    state = own_module(network.module).state_dict()
    name = network.name.removeprefix(PREFIX)
    module = untrained_timm(name, state, drop_path_rate=recipe.drop_path)
    module.load_state_dict(state)
    return module


def optimizer_of(module: nn.Module, recipe: Sa3Recipe) -> torch.optim.Optimizer:
    """Return AdamW in timm's parameter groups, which have a layer's share as lr_scale."""
    return timm_part("timm.optim").create_optimizer_v2(
        module,
        opt="adamw",
        lr=recipe.peak_lr,
        weight_decay=recipe.weight_decay,
        layer_decay=recipe.layer_decay,
    )


def schedule_of(optimizer: torch.optim.Optimizer, recipe: Sa3Recipe, *, steps: int) -> Any:
    """Return timm's schedule by step: a linear rise from 0, then half a cosine to min_lr.

    Args:
        optimizer: with the highest learning rate.
        recipe: how to train.
        steps: of an epoch.
    """
    return timm_part("timm.scheduler").CosineLRScheduler(
        optimizer,
        t_initial=(recipe.epochs - recipe.warmup_epochs) * steps,
        lr_min=recipe.min_lr,
        warmup_t=recipe.warmup_epochs * steps,
        warmup_prefix=True,
        t_in_epochs=False,
    )


def mixing(recipe: Sa3Recipe, classes: int) -> Any:
    """Return timm's Mixup, which also smooths the labels; None where the recipe has none."""
    if not (recipe.mixup or recipe.cutmix):
        return None
    return timm_part("timm.data").Mixup(
        mixup_alpha=recipe.mixup,
        cutmix_alpha=recipe.cutmix,
        prob=recipe.mixup_prob,
        switch_prob=recipe.mixup_switch_prob,
        mode=recipe.mixup_mode,
        label_smoothing=recipe.smoothing,
        num_classes=classes,
    )


def loss_of(recipe: Sa3Recipe) -> nn.Module:
    """Return timm's loss: of mixed labels, of smoothed ones, or the cross entropy."""
    losses = timm_part("timm.loss")
    if recipe.mixup or recipe.cutmix:
        return losses.SoftTargetCrossEntropy()
    if recipe.smoothing:
        return losses.LabelSmoothingCrossEntropy(recipe.smoothing)
    return nn.CrossEntropyLoss()


def variation(network: Network, recipe: Sa3Recipe) -> Callable[[Any], torch.Tensor]:
    """Return timm's training transform: a PIL image to (3, H, W), normalised."""
    return timm_part("timm.data").create_transform(
        (3, *network.size),
        is_training=True,
        color_jitter=recipe.color_jitter,
        auto_augment=None if recipe.augment == NO_AUGMENT else recipe.augment,
        interpolation="bicubic",
        mean=network.mean,
        std=network.std,
        re_prob=recipe.erase,
        re_mode=recipe.remode,
        re_count=recipe.recount,
    )
