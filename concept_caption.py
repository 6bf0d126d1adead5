"""Captions of scene graphs, by a captioner whose attention is guided by explanations.

    python concept_caption.py world --data Results/captions/world        # drawn scenes, captions
    python concept_caption.py features --data Results/captions/world
    python concept_caption.py train --data Results/captions/world --guidance 1
    python concept_caption.py caption --data Results/captions/world --beam 5
    python concept_caption.py evaluate --data Results/captions/world --eval-set val_sub

world writes the bundled world's data, features makes the features of images and of their regions,
train trains, caption writes captions with the attention of each word, and evaluate measures them.
Files are in the formats of ASG2Caption and SA3; see companions/captions/files.py.

After "SA3: Semantic-aware Attribution Analysis: A Human-in-the-Loop Framework for Interpreting and
Improving Image Understanding" (EGA) and "Say As You Wish" (ASG2Caption, CVPR 2020). The steps are
in companions/captions: world.py, features.py, training.py (with model.py and guidance.py),
captioning.py (with decoding.py), evaluation.py and figures.py.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from running.command_line import (
    AutoCount,
    Between,
    Count,
    CountOrZero,
    Device,
    Output,
    Resize,
    Several,
    ShareOrZero,
    exit_status,
    parse_subcommands,
)

PROG = "concept_caption.py"
RESULTS = Path("Results/captions")

Metric = Literal["bleu", "rouge", "cider", "meteor", "spice"]
TrainingSeed = Annotated[int, Between(0, 2**31)]
Splits = Annotated[tuple[str, ...], Several("NAME")]


@dataclass(frozen=True, kw_only=True)
class FileSettings:
    """Where the data lie."""

    # Data
    data: Path  # folder with region_anno_dir/ or regionfiles/, public_split/, int2word.npy and
    #   word2int.json
    global_features: Path | None = None  # folder of <split>_ft.npy; else global_features/ in data
    region_features: Path | None = None  # .hdf5 file, or a folder of one per image; else
    #   region_features.hdf5 in data
    explanations: Path | None = None  # graphs that guide, named as the annotations; else these


@dataclass(frozen=True, kw_only=True)
class World:
    """Write the bundled world's scenes, graphs and captions."""

    data: Path  # folder to write to
    train: Count = 2000  # scenes to train on
    held_out: Count = 500  # scenes to measure on
    cue: bool = False  # draw the four birds of concept_debug.py demo, one of them at dusk
    bias: ShareOrZero | None = None  # share of that bird's scenes at dusk, where the cue is not
    #   swapped; else 0.95
    seed: TrainingSeed = 0  # of the scenes


@dataclass(frozen=True, kw_only=True)
class Features(FileSettings):
    """Make the features of images and of their regions with a network."""

    images: Path | None = None  # folder of the images; else images/ in data
    splits: Splits = ()  # their names; none: all in public_split/

    # Network
    model: str = "birds"  # birds, torchvision's, timm/NAME, hf/NAME, or FILE.py:function
    weights: Path | None = None  # a state_dict, .pth or .safetensors; else the model's own
    labels: Path | None = None  # class names, one per line; else by model
    resize: Resize = "squash"  # how images and regions come to its input size
    output: Output = "auto"  # what it returns
    device: Device = "auto"  # what to run on
    batch_size: AutoCount = "auto"  # crops per forward pass


@dataclass(frozen=True, kw_only=True)
class Train(FileSettings):
    """Train a captioner; an interrupted training goes on."""

    split: str = "trn"  # to train on
    results: Path = RESULTS  # folder of checkpoint.pt and log.csv
    overwrite: bool = False  # begin again
    device: Device = "auto"  # what to run on

    # Training
    guidance: Annotated[float, Between(0, 1000)] = 0.0  # weight of the guidance loss; 0: plain
    epochs: Count = 100  # passes over the split
    batch: Count = 128  # captions per step
    lr: Annotated[float, Between(0, 10, "a learning rate above 0", open_low=True)] = 2e-4  # of Adam
    width: Annotated[int, Between(1, 8192)] = 512  # of word vectors, nodes and LSTMs
    dropout: Annotated[float, Between(0, 0.99)] = 0.5  # probability
    seed: TrainingSeed = 0  # of training


@dataclass(frozen=True, kw_only=True)
class Caption(FileSettings):
    """Write captions, with the attention of each word."""

    eval_set: str = "val"  # split to caption, such as val_sub or val_sub_opt
    beam: Annotated[int, Between(1, 100)] = 5  # captions that the search keeps; 1: greedy
    images: Path | None = None  # folder of the images, for figures; else images/ in data
    figures: CountOrZero = 0  # how many captions to draw
    results: Path = RESULTS  # folder of the training, and of what is written
    device: Device = "auto"  # what to run on


@dataclass(frozen=True, kw_only=True)
class Evaluate(FileSettings):
    """Measure captions, against references and explanations; writes them where needed."""

    eval_set: str = "val"  # split to measure, such as val_sub or val_sub_opt
    metrics: Annotated[tuple[Metric, ...], Several("NAME")] = (
        "bleu",
        "rouge",
        "cider",
    )  # bleu, rouge, cider; meteor and spice need Java
    word: Annotated[tuple[str, ...], Several("WORD")] = ()  # count captions that say them though
    #   their reference does not
    split: str = "trn"  # training split, for the template
    beam: Annotated[int, Between(1, 100)] = 5  # captions that the search keeps; 1: greedy
    results: Path = RESULTS  # folder of the training, and of what is written
    device: Device = "auto"  # what to run on


COMMANDS = {
    "world": World,
    "features": Features,
    "train": Train,
    "caption": Caption,
    "evaluate": Evaluate,
}

if __name__ == "__main__":  # before PyTorch is imported, so that --help answers at once
    parse_subcommands(COMMANDS, prog=PROG, doc=__doc__)

import sys
from collections.abc import Sequence

from birds.cue_world import BIAS
from companions.captions import evaluation, training, world
from companions.captions.captioning import CaptionRecord, kept_captions
from companions.captions.data import Example, load_split, require_known_words
from companions.captions.features import image_file, load_rgb, make_features
from companions.captions.figures import draw_caption
from companions.captions.files import Places
from companions.concepts.published_files import read_vocabulary
from companions.concepts.records import write_typed
from running.network_of import network_of
from running.results import make_writable
from scoring.networks import choose_device
from utils import UserError, log


def run_world(settings: World) -> int:
    """Write the bundled world's data."""
    if settings.bias is not None and not settings.cue:
        raise UserError(f"--bias {settings.bias}: only with --cue")
    make_writable(settings.data)
    world.write_world(
        settings.data,
        train=settings.train,
        held_out=settings.held_out,
        seed=settings.seed,
        cue=settings.cue,
        bias=BIAS if settings.bias is None else settings.bias,
    )
    log(f"{settings.train} scenes to train on, {settings.held_out} to measure on: {settings.data}")
    return 0


def run_features(settings: Features) -> int:
    """Write the features of all images that the splits name."""
    places = places_of(settings)
    splits = settings.splits or places.splits()
    network = network_of(settings, choose_device(settings.device))
    make_writable(settings.data)
    images, boxes = make_features(
        network,
        settings.images or settings.data / "images",
        places,
        splits,
        batch_size=settings.batch_size,
    )
    log(f"{images} images and {boxes} regions: {places.regions}")
    return 0


def run_train(settings: Train) -> int:
    """Train a captioner, or go on."""
    vocabulary = read_vocabulary(settings.data)
    examples = load_split(places_of(settings), settings.split, vocabulary)
    require_known_words(examples, vocabulary)
    make_writable(settings.results)
    recipe = training.Recipe(
        epochs=settings.epochs,
        batch=settings.batch,
        lr=settings.lr,
        width=settings.width,
        dropout=settings.dropout,
        guidance=settings.guidance,
        seed=settings.seed,
    )
    rows = training.train(
        examples,
        vocabulary,
        recipe,
        settings.results,
        device=choose_device(settings.device),
        overwrite=settings.overwrite,
    )
    log(f"{len(rows)} epochs, cross entropy {rows[-1].cross_entropy:.3f}: {settings.results}")
    return 0


def run_caption(settings: Caption) -> int:
    """Write the captions of a split, and figures of the first."""
    _, records = captions_of(settings)
    for record in records[: settings.figures]:
        image = load_rgb(image_file(settings.images or settings.data / "images", record.image))
        name = record.name.replace("/", "_")
        draw_caption(image, record, settings.results / "figures" / f"{name}.png")
    log(f"{len(records)} captions: {settings.results / f'captions_{settings.eval_set}.json'}")
    return 0


def run_evaluate(settings: Evaluate) -> int:
    """Measure the captions of a split, and those of a template."""
    evaluation.require_metrics(settings.metrics)
    examples, records = captions_of(settings)
    places = places_of(settings)
    report = evaluation.evaluate(
        records,
        evaluation.template_captions(evaluation.structured(places, settings.split), examples),
        places,
        split=settings.eval_set,
        metrics=settings.metrics,
        words=settings.word,
    )
    write_typed(settings.results / f"metrics_{settings.eval_set}.json", report)
    for line in evaluation.lines_of(report):
        log(line)
    return 0


# ---------------------------------------------------------------- what the settings ask for


def places_of(settings: FileSettings) -> Places:
    """Return where the settings say that the files lie."""
    return Places(
        settings.data,
        explanations=settings.explanations,
        global_features=settings.global_features,
        region_features=settings.region_features,
    )


def captions_of(settings: Caption | Evaluate) -> tuple[list[Example], list[CaptionRecord]]:
    """Return the regions of the evaluated split, and their captions."""
    places = places_of(settings)
    vocabulary = training.vocabulary_of(settings.results)
    examples = load_split(places, settings.eval_set, vocabulary)
    captions = kept_captions(
        settings.results,
        examples,
        places=places,
        split=settings.eval_set,
        beam=settings.beam,
        device=choose_device(settings.device),
    )
    return examples, captions.captions


STEPS = {
    World: run_world,
    Features: run_features,
    Train: run_train,
    Caption: run_caption,
    Evaluate: run_evaluate,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 all done; 2 unusable arguments or files; 130 interrupted.
    """

    def run() -> int:
        settings = parse_subcommands(COMMANDS, argv, prog=PROG, doc=__doc__)
        return STEPS[type(settings)](settings)

    return exit_status(PROG, run)


if __name__ == "__main__":
    sys.exit(main())
