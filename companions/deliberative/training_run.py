"""A training from its first weights to its last: which networks, on which images, where.

    plan = Plan(data=Path("CUB_200_2011"), arch="vgg16_bn", hardness=True, folder=Path("Results"))
    run(plan, place_of("auto", "auto"))

Processes that torchrun started train together: each takes its share of every batch.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from companions.deliberative.checkpoints import CLASSIFIER, CUB_MEAN, CUB_STD, read_checkpoint
from companions.deliberative.joint_training import (
    Epoch,
    Recipe,
    Training,
    preprocessing,
)
from companions.deliberative.own_trunk import (
    TRUNK_OUTPUTS,
    HardnessHead,
    HardnessPredictor,
    module_of,
    with_outputs,
)
from companions.deliberative.training_batches import Shape, TrainingBatches
from companions.deliberative.training_sets import TrainingSets, training_sets
from companions.training.processes import Place, wait
from scoring.networks import load_network
from scoring.outputs import own_module
from scoring.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from utils import UserError, log, write_atomically

HARDNESS_BATCH = 128  # images per step, the authors'; of the classifier 64
PRESS = {  # of the released loss, by data set and architecture
    ("cub", "vgg"): 5.0,
    ("ade20k", "alexnet"): 5.0,
    ("ade20k", "vgg"): 10.0,
    ("ade20k", "resnet"): 10.0,
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to train; None: the authors' value.

    Attributes:
        data: the folder of images.
        train_list: a list of the images to train on.
        validation_list: likewise, to validate.
        arch: of the classifier and of the predictor's trunk.
        weights: what the classifier begins with; None: its library's.
        from_scratch: whether it begins with random weights.
        hardness: whether a predictor is trained, after the classifier.
        classifier: checkpoint of a trained classifier, which then is not trained.
        folder: where the checkpoints go.
        recipe: how to train.
        batch: images per step.
        side: of the network's input.
        press: of the released loss.
        workers: processes that read images.
        overwrite: whether a training begins anew where there is one.
    """

    data: Path
    arch: str
    folder: Path
    train_list: Path | None = None
    validation_list: Path | None = None
    weights: Path | None = None
    from_scratch: bool = False
    hardness: bool = False
    classifier: Path | None = None
    recipe: Recipe = Recipe()
    batch: int | None = None
    side: int | None = None
    press: float | None = None
    workers: int = 0
    overwrite: bool = False


@dataclass(frozen=True)
class Beginning:
    """A classifier before its training, and how images come to it."""

    module: nn.Module
    shape: Shape


def run(plan: Plan, place: Place, on_epoch: Callable[[Epoch], None] = lambda epoch: None) -> None:
    """Train the classifier and, where so asked, the predictor with it.

    Raises:
        UserError: something cannot be used; the message names it.
        FloatingPointError: the loss is NaN or infinite.
    """
    sets = training_sets(
        plan.data, train_list=plan.train_list, validation_list=plan.validation_list
    )
    if place.rank == 0:
        log(
            f"{sets.kind}: {len(sets.labels)} classes, {len(sets.train)} images to train on, "
            f"{len(sets.validation)} to validate"
        )
        plan.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(plan.folder / "labels.txt", "\n".join(sets.labels) + "\n")
        if plan.overwrite:
            for stage in ("classifier", "hardness"):
                (plan.folder / f"{stage}_last.pth").unlink(missing_ok=True)
    wait()
    torch.manual_seed(plan.recipe.seed)
    beginning = beginning_of(plan, sets)
    trained = plan.classifier
    if trained is None:
        recipe = replace(plan.recipe, stage="classifier", batch=plan.batch or Recipe.batch)
        training = _training(beginning, None, plan=plan, sets=sets, recipe=recipe, place=place)
        training.run(plan.folder, on_epoch)
        trained = plan.folder / "classifier_best.pth"
    wait()
    if not plan.hardness:
        return
    read_checkpoint(trained, option="--classifier").load(beginning.module, CLASSIFIER)
    recipe = replace(
        plan.recipe,
        stage="hardness",
        batch=plan.batch or HARDNESS_BATCH,
        press=press_of(plan.arch, sets.kind) if plan.press is None else plan.press,
    )
    predictor = predictor_from(beginning.module, plan.arch, seed=recipe.seed)
    training = _training(beginning, predictor, plan=plan, sets=sets, recipe=recipe, place=place)
    training.run(plan.folder, on_epoch)


def _training(
    beginning: Beginning,
    predictor: HardnessPredictor | None,
    *,
    plan: Plan,
    sets: TrainingSets,
    recipe: Recipe,
    place: Place,
) -> Training:
    """Return the training of one stage."""
    shape = beginning.shape
    train, validation = (
        TrainingBatches(images, shape, recipe.batch, seed=recipe.seed, workers=plan.workers)
        for images in (sets.train, sets.validation)
    )
    return Training(
        beginning.module,
        predictor,
        train=train,
        validation=validation,
        recipe=recipe,
        place=place,
        about={
            "arch": plan.arch,
            **preprocessing(shape.side, shape.mean, shape.std, sets.labels),
        },
    )


# ---------------------------------------------------------------- first weights


def beginning_of(plan: Plan, sets: TrainingSets) -> Beginning:
    """Return the classifier with its first weights, its last layer new where classes differ.

    Raises:
        UserError: there is no such network, or its weights cannot be used.
    """
    classes = len(sets.labels)
    if plan.from_scratch:
        if plan.weights:
            raise UserError("only one of --weights and --from-scratch can be given")
        module = module_of(plan.arch, classes)
        side = plan.side or int(getattr(module, "input_size", 224))
        shape = Shape(side, IMAGENET_MEAN, IMAGENET_STD)
    else:
        network = load_network(plan.arch, plan.weights, output="logits")
        module = own_module(network.module).to(memory_format=torch.contiguous_format)
        if network.classes != classes:
            module = with_outputs(module, classes, plan.arch)
        shape = Shape(plan.side or network.size[0], network.mean, network.std)
    if sets.kind == "cub":
        shape = Shape(shape.side, CUB_MEAN, CUB_STD)
    return Beginning(module, shape)


def predictor_from(classifier: nn.Module, arch: str, *, seed: int = 0) -> HardnessPredictor:
    """Return a predictor whose trunk begins with the classifier's weights, its last layer new."""
    torch.manual_seed(seed)
    trunk = with_outputs(copy.deepcopy(classifier), TRUNK_OUTPUTS, arch)
    return HardnessPredictor(trunk, HardnessHead())


def press_of(arch: str, kind: str) -> float:
    """Return the authors' weight of hard images against easy ones in the released loss."""
    for (data, family), press in PRESS.items():
        if data == kind and arch.startswith(family):
            return press
    return 1.0
