"""Training a captioner; an interrupted run goes on, with the same result.

    trained = train(examples, vocabulary, recipe, folder, device=device)

Adam on cross entropy, plus the guidance loss times its weight. Order and dropout of an epoch are
drawn from seeds of its own; after each epoch the folder's checkpoint.pt and log.csv are written. A
guidance of 0 is the plain captioner: the explanations are not looked at.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from msgspec import Struct
from tqdm import tqdm

from companions.captions.data import Example, collate, sentences
from companions.captions.guidance import guidance_loss
from companions.captions.model import Captioner, Shape
from companions.concepts.files import write_csv
from companions.concepts.published_files import Vocabulary
from companions.training.checkpoint import load_checkpoint, on_cpu, write_checkpoint
from companions.training.seeds import mixed, seeded
from utils import UserError

CHECKPOINT = "checkpoint.pt"
ENTRIES = ("recipe", "shape", "words", "rows", "captioner", "optimizer")  # of the checkpoint
LOG = "log.csv"
MOST_NORM = 5.0  # of the gradient: recurrent networks' gradients sometimes explode


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        epochs: passes over the training split.
        batch: captions per step.
        lr: of Adam.
        width: of word vectors, nodes and LSTMs.
        dropout: probability.
        guidance: weight of the guidance loss; 0: none.
        seed: of everything that is random.
    """

    epochs: int = 100
    batch: int = 128
    lr: float = 2e-4
    width: int = 512
    dropout: float = 0.5
    guidance: float = 0.0
    seed: int = 0


class EpochRow(Struct):
    """A row of log.csv: means over an epoch's batches."""

    epoch: int
    cross_entropy: float
    guidance: float | None  # None where it has no weight


@dataclass
class Trained:
    """A captioner, and the words it speaks."""

    captioner: Captioner
    vocabulary: Vocabulary
    recipe: dict[str, Any]


class Training:
    """A captioner in training."""

    def __init__(
        self, shape: Shape, vocabulary: Vocabulary, recipe: Recipe, *, device: torch.device
    ):
        with seeded(mixed(recipe.seed, 0)):
            self.captioner = Captioner(shape).to(device)
        self.optimizer = torch.optim.Adam(self.captioner.parameters(), lr=recipe.lr)
        self.vocabulary = vocabulary
        self.recipe = recipe
        self.device = device
        self.rows: list[EpochRow] = []

    def standardise(self, examples: Sequence[Example]) -> None:
        """Have the captioner standardise features as those of the examples."""
        images = np.stack([example.image_feature for example in examples])
        regions = np.concatenate([example.nodes for example in examples])
        self.captioner.encoder.standardise(torch.from_numpy(images), torch.from_numpy(regions))

    def take_epoch(self, examples: Sequence[Example], on_step) -> None:
        """Train on all examples once, and add the epoch's row."""
        epoch = len(self.rows) + 1
        order = np.random.default_rng([self.recipe.seed, epoch]).permutation(len(examples))
        losses = []
        with seeded(mixed(self.recipe.seed, epoch), self.device):
            for start in range(0, len(order), self.recipe.batch):
                chosen = [examples[i] for i in order[start : start + self.recipe.batch]]
                losses.append(self.take_step(chosen))
                on_step()
        means = np.mean(losses, axis=0).tolist()
        guided = means[1] if self.recipe.guidance else None
        self.rows.append(EpochRow(epoch, means[0], guided))

    def take_step(self, examples: Sequence[Example]) -> tuple[float, float]:
        """Take one step; return its cross entropy and guidance loss (0 without a weight)."""
        self.captioner.train()
        batch = collate(examples, self.device)
        text = sentences(examples, batch.mask.shape[1], self.device)
        logits, attention = self.captioner(batch, text.read)
        spoken = F.cross_entropy(logits.flatten(0, 1), text.expected.flatten(), ignore_index=-1)
        loss = spoken
        guided = torch.zeros(())
        if self.recipe.guidance:
            guided = guidance_loss(attention, text.target)
            loss = loss + self.recipe.guidance * guided
        if not loss.isfinite():
            raise UserError(f"--lr {self.recipe.lr}: the loss is {loss.item()}; try a lower one")
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.captioner.parameters(), MOST_NORM)
        self.optimizer.step()
        return spoken.item(), guided.item()

    def keep(self, folder: Path) -> None:
        """Write log.csv, then checkpoint.pt: what is killed before that takes the epoch again."""
        write_csv(folder / LOG, self.rows, EpochRow)
        content = {
            "recipe": asdict(self.recipe),
            "shape": asdict(self.captioner.shape),
            "words": self.vocabulary.words,
            "rows": [[row.epoch, row.cross_entropy, row.guidance] for row in self.rows],
            "captioner": on_cpu(self.captioner),
            "optimizer": self.optimizer.state_dict(),
        }
        write_checkpoint(content, folder / CHECKPOINT)

    def resume(self, content: dict[str, Any], path: Path) -> None:
        """Go on from a checkpoint of the same run; more epochs may be asked for.

        Raises:
            UserError: it is of another run; the line names the first setting that differs.
        """
        own = {**asdict(self.recipe), **asdict(self.captioner.shape)}
        kept = {**content["recipe"], **content["shape"]}
        differing = [name for name in own if name != "epochs" and kept.get(name) != own[name]]
        if content["words"] != self.vocabulary.words:
            differing.append("the vocabulary")
        if differing:
            name = differing[0]
            raise UserError(
                f"{path}: of another training: {name} is {kept.get(name, 'another')} in it, and "
                f"{own.get(name, 'different')} now; --overwrite begins again"
            )
        self.captioner.load_state_dict(content["captioner"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.rows = [EpochRow(*row) for row in content["rows"]]


def train(
    examples: Sequence[Example],
    vocabulary: Vocabulary,
    recipe: Recipe,
    folder: Path,
    *,
    device: torch.device,
    overwrite: bool = False,
) -> list[EpochRow]:
    """Train a captioner, or go on where a checkpoint in the folder ends.

    Args:
        examples: of the training split.
        vocabulary: its words.
        recipe: how to train.
        folder: of checkpoint.pt and log.csv.
        device: to train on.
        overwrite: begin again.

    Returns:
        The rows of log.csv.

    Raises:
        UserError: the checkpoint is damaged or of another training, or the loss is not finite.
    """
    shape = Shape(
        words=len(vocabulary.words),
        global_width=len(examples[0].image_feature),
        region_width=examples[0].nodes.shape[1],
        width=recipe.width,
        dropout=recipe.dropout,
    )
    training = Training(shape, vocabulary, recipe, device=device)
    training.standardise(examples)
    path = folder / CHECKPOINT
    if path.exists() and not overwrite:
        training.resume(read_checkpoint(path), path)
    steps = -(-len(examples) // recipe.batch)
    with tqdm(total=recipe.epochs * steps, desc="train", unit="step", disable=None) as bar:
        bar.update(len(training.rows) * steps)
        while len(training.rows) < recipe.epochs:
            training.take_epoch(examples, bar.update)
            training.keep(folder)
    return training.rows


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint.

    Raises:
        UserError: it is missing or damaged.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; concept_caption.py train writes it")
    content = load_checkpoint(path, ENTRIES)
    if content is None:
        raise UserError(f"{path}: not a checkpoint of concept_caption.py, or damaged")
    return content


def load_trained(folder: Path, device: torch.device) -> Trained:
    """Return the captioner of a folder, in eval mode.

    Raises:
        UserError: there is none, or it is damaged.
    """
    content = read_checkpoint(folder / CHECKPOINT)
    captioner = Captioner(Shape(**content["shape"]))
    captioner.load_state_dict(content["captioner"])
    vocabulary = Vocabulary(content["words"])
    return Trained(captioner.to(device).eval(), vocabulary, content["recipe"])


def vocabulary_of(folder: Path) -> Vocabulary:
    """Return the words of the captioner in a folder.

    Raises:
        UserError: there is none, or it is damaged.
    """
    return Vocabulary(read_checkpoint(folder / CHECKPOINT)["words"])
