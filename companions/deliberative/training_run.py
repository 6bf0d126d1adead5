"""A training from its first weights to its last: which networks, on which images, where.

    plan = Plan(data=Path("CUB_200_2011"), arch="vgg16_bn", hardness=True, folder=Path("Results"))
    run(plan, place_of("auto", "auto"))

Processes that torchrun started train together: each takes its share of every batch.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from companions.deliberative.checkpoints import CLASSIFIER, CUB_MEAN, CUB_STD, read_checkpoint
from companions.deliberative.joint_training import (
    Epoch,
    Recipe,
    Stage,
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
    if plan.classifier and not plan.hardness:
        raise UserError(f"--classifier {plan.classifier}: only with --hardness")
    sets = training_sets(
        plan.data, train_list=plan.train_list, validation_list=plan.validation_list
    )
    _require_batches(plan, sets, place)
    if place.rank == 0:
        log(
            f"{sets.kind}: {len(sets.labels)} classes, {len(sets.train)} images to train on, "
            f"{len(sets.validation)} to validate"
        )
        plan.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(plan.recipe.seed)
    beginning = beginning_of(plan, sets)
    if plan.classifier:
        read_checkpoint(plan.classifier, option="--classifier").load(beginning.module, CLASSIFIER)
    if plan.overwrite:  # nothing is removed before all that is named could be read
        _remove_last(plan.folder, place)
    if not plan.classifier:
        recipe = replace(plan.recipe, stage="classifier", batch=batch_of(plan, "classifier"))
        training = _training(beginning, None, plan=plan, sets=sets, recipe=recipe, place=place)
        _train(training, sets.labels, plan.folder, on_epoch=on_epoch)
    if not plan.hardness:
        return
    if not plan.classifier:
        best = read_checkpoint(plan.folder / "classifier_best.pth", option="--results")
        best.load(beginning.module, CLASSIFIER)
    recipe = replace(
        plan.recipe,
        stage="hardness",
        batch=batch_of(plan, "hardness"),
        press=press_of(plan.arch, sets.kind) if plan.press is None else plan.press,
    )
    predictor = predictor_from(beginning.module, plan.arch, seed=recipe.seed)
    training = _training(beginning, predictor, plan=plan, sets=sets, recipe=recipe, place=place)
    _train(training, sets.labels, plan.folder, on_epoch=on_epoch)


def batch_of(plan: Plan, stage: Stage) -> int:
    """Return the images per step of a stage."""
    return plan.batch or (HARDNESS_BATCH if stage == "hardness" else Recipe.batch)


def _require_batches(plan: Plan, sets: TrainingSets, place: Place) -> None:
    """Refuse a training without a step.

    Raises:
        UserError: a batch, or all images, are fewer than two for each process.
    """
    least = 2 * place.world  # batch norm needs two
    stages: list[Stage] = ["hardness"] if plan.hardness else []
    if not plan.classifier:
        stages.append("classifier")
    batch = min(batch_of(plan, stage) for stage in stages)
    if batch < least:
        raise UserError(
            f"--batch {batch}: fewer than two images for each of {place.world} processes; "
            f"pass {least} or more"
        )
    if len(sets.train) < least:
        raise UserError(
            f"--data {plan.data}: {len(sets.train)} images to train on; {least} or more are needed"
        )


def _remove_last(folder: Path, place: Place) -> None:
    """Remove the states that trainings would go on from."""
    if place.rank == 0:
        for stage in ("classifier", "hardness"):
            (folder / f"{stage}_last.pth").unlink(missing_ok=True)
    wait()


def _train(
    training: Training, labels: Sequence[str], folder: Path, *, on_epoch: Callable[[Epoch], None]
) -> None:
    """Train to the end, in a folder that has this training or none; write the classes' names."""
    training.resume(folder)
    if training.place.rank == 0:
        write_atomically(folder / "labels.txt", "\n".join(labels) + "\n")
    training.run(folder, on_epoch)
    wait()


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
