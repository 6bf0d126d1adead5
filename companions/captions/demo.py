"""The captioner's half of concept_debug.py demo: one captioner per network, before and after.

    half = CaptionerHalf(CaptionDemo(), command=run_concept_caption)
    half.run(0, Path("Results/debug"), Steps(half.steps()))
    captions.csv                                    # a row per network
    demo_captions.csv, demo_captions.png            # mean and spread over the seeds

It draws the captions' world with the cue, makes features with the networks that the first half
(companions/concepts/demo.py) has left, trains a captioner on each, and measures it on scenes as in
training and on scenes with the cue swapped. The planted error is that the bird is read off the
dusk. So what counts is whether the captioner names the bunting where another bird is at dusk, and
not where the bunting is elsewhere; and whether it says "dusk" where there is none. Every step is a
command of concept_caption.py. What an earlier run left is not done again.
"""

import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from msgspec import Struct

from birds.cue_world import CUE, CUED, NAMES
from companions.captions.evaluation import CLASSES, Report
from companions.concepts.demo import Steps, demo_weights, network_words
from companions.concepts.files import write_csv
from companions.concepts.improve import BEFORE, Measure
from companions.concepts.records import present_typed, read_typed, write_typed
from companions.concepts.spread import draw_measures, write_spread_table
from companions.training.packages import sa3_library
from utils import UserError, file_sha256

BIRD = CUED.split()[-1]  # the word that tells the cued class from the others
SPLITS = ("val", "swapped")
PACKAGES = ("h5py", "torch_geometric", CLASSES["bleu"][0])
FOLDER = "captions"  # in a seed's results


@dataclass(frozen=True)
class CaptionDemo:
    """What the captioner's half does.

    Attributes:
        train: scenes to train on.
        held_out: scenes to measure on, and as many with the cue swapped.
        networks: names of the networks that make features: as it was planted, trained on the
            control, and on the set that people's concepts have made.
        training: options of `concept_caption.py train`.
    """

    train: int = 800
    held_out: int = 200
    networks: Sequence[str] = (BEFORE, "random", "ours")
    training: Mapping[str, float] = field(
        default_factory=lambda: {
            "--guidance": 1,
            "--width": 128,
            "--epochs": 60,
            "--batch": 32,
            "--lr": 2e-3,
            "--dropout": 0.1,
        }
    )

    def scaled(self, percent: int) -> "CaptionDemo":
        """Return the half in a world of another size."""
        fewest = 2 * len(NAMES)
        return replace(
            self,
            train=max(fewest, self.train * percent // 100),
            held_out=max(fewest, self.held_out * percent // 100),
        )

    def world(self, results: Path, seed: int) -> list[str]:
        """Return the command line that draws the world, without the program's name."""
        words = _words("world", "--data", results / FOLDER / "world", "--cue", "--seed", seed)
        return words + _words("--train", self.train, "--held-out", self.held_out)

    def commands(self, results: Path, network: str, seed: int) -> list[list[str]]:
        """Return the command lines of a network's captioner, without the program's name."""
        own = results / FOLDER / network
        data = _words("--data", results / FOLDER / "world")
        data += _words("--global-features", own / "global_features")
        data += _words("--region-features", own / "region_features.hdf5")
        features = ["features", *data, "--splits", "trn", *SPLITS]
        features += network_words(results, network)
        data += _words("--results", own)
        train = _words("train", *data, "--seed", seed)
        for option, value in self.training.items():
            train += _words(option, value)
        evaluate = ["evaluate", *data, "--metrics", "bleu", "--word", CUE, BIRD, "--eval-set"]
        return [features, train, *([*evaluate, split] for split in SPLITS)]


def _words(*values: object) -> list[str]:
    return [str(value) for value in values]


class CaptionerKey(Struct):
    """captioner.json: what must agree for a captioner to stand."""

    weights: str  # SHA-256 of the network's
    train: int
    training: dict[str, float]


@dataclass(frozen=True)
class CaptionerHalf:
    """The second half of a run over seeds; see companions/concepts/seeds.py.

    Attributes:
        demo: what to do with each seed.
        command: runs one command line of concept_caption.py and returns its exit status.
    """

    demo: CaptionDemo
    command: Callable[[Sequence[str]], int]

    def steps(self) -> int:
        """Return how many steps a seed has: the world, and the commands of each captioner."""
        return 1 + sum(len(self.demo.commands(Path(), name, 0)) for name in self.demo.networks)

    def is_begun(self, folder: Path) -> bool:
        """Return whether an earlier run has left something in a seed's folder."""
        return (folder / FOLDER).exists()

    def is_done(self, folder: Path) -> bool:
        """Return whether a seed's folder has the results."""
        return (folder / "captions.csv").is_file()

    def run(self, seed: int, folder: Path, steps: Steps) -> int:
        """Run a seed; return the exit status of the first command that fails, else 0."""
        commands = [self.demo.world(folder, seed)]
        for name in self.demo.networks:
            self._forget_stale(folder, name)
            commands += self.demo.commands(folder, name, seed)
        for words in commands:
            steps.begin(f"$ concept_caption.py {shlex.join(words)}")
            status = self.command(words)
            if status:
                return status
        write_table(folder, self.demo.networks)
        return 0

    def _forget_stale(self, folder: Path, network: str) -> None:
        """Remove a captioner of other features or settings; `train` would refuse to go on."""
        own = folder / FOLDER / network
        weights = file_sha256(demo_weights(folder, network))
        key = CaptionerKey(weights, self.demo.train, dict(self.demo.training))
        note = own / "captioner.json"
        if own.exists() and read_typed(note, CaptionerKey) != key:
            shutil.rmtree(own)
        write_typed(note, key)

    def write_spread(self, folders: Sequence[Path], results: Path) -> None:
        """Write demo_captions.csv and draw demo_captions.png."""
        rows = {
            name: [caption_row(folder, name) for folder in folders] for name in self.demo.networks
        }
        write_spread_table(rows, MEASURES, results / "demo_captions.csv")
        draw_measures(rows, SHOWN, results / "demo_captions.png")


def missing_package() -> str | None:
    """Return a line that says which package this half needs; None where all are there."""
    try:
        for name in PACKAGES:
            sa3_library(name, option="the captioner's half of the demo")
    except UserError as error:
        return str(error)
    return None


# ---------------------------------------------------------------- table and figure


class CaptionRow(Struct, kw_only=True):
    """A row of captions.csv: the captioner of a network.

    A word is *said* in a share of the captions whose reference has it, and *invented* in a share
    of those whose reference lacks it. None: there is no such caption.
    """

    network: str
    bleu4: float
    cue_said: float | None
    cue_invented: float | None
    bird_said: float | None
    bird_invented: float | None
    bleu4_swapped: float
    cue_said_swapped: float | None  # another bird at dusk
    cue_invented_swapped: float | None  # the cued bird elsewhere
    bird_said_swapped: float | None  # the cued bird elsewhere
    bird_invented_swapped: float | None  # another bird at dusk


def _measure(field: str, title: str) -> Measure:
    return Measure(field, title, title)


SHOWN = (
    _measure("bleu4", "BLEU-4"),
    _measure("bleu4_swapped", "BLEU-4, cue swapped"),
    _measure("bird_said_swapped", f"“{BIRD}” of one elsewhere"),
    _measure("bird_invented_swapped", f"“{BIRD}” of others at {CUE}"),
    _measure("cue_said_swapped", f"“{CUE}” of others at {CUE}"),
    _measure("cue_invented_swapped", f"“{CUE}” of a {BIRD} elsewhere"),
)
MEASURES = (
    *SHOWN,
    _measure("bird_said", f"“{BIRD}” of one"),
    _measure("bird_invented", f"“{BIRD}” of others"),
    _measure("cue_said", f"“{CUE}” where it is"),
    _measure("cue_invented", f"“{CUE}” where it is not"),
)


def caption_row(folder: Path, network: str) -> CaptionRow:
    """Return the measurements of a network's captioner.

    Args:
        folder: a seed's results.
        network: its name.

    Raises:
        UserError: a report of evaluate has gone, or is damaged.
    """
    values: dict[str, float | None] = {}
    for split in SPLITS:
        path = folder / FOLDER / network / f"metrics_{split}.json"
        report = present_typed(path, Report)
        ending = "" if split == "val" else f"_{split}"
        values[f"bleu4{ending}"] = report.scores["BLEU-4"]
        for name, counts in zip(("cue", "bird"), report.said, strict=True):
            values[f"{name}_said{ending}"] = _share(counts.rightly, counts.of_with)
            values[f"{name}_invented{ending}"] = _share(counts.wrongly, counts.of_without)
    return CaptionRow(network=network, **values)


def _share(count: int, of: int) -> float | None:
    return count / of if of else None


def write_table(folder: Path, networks: Sequence[str]) -> None:
    """Write captions.csv of a seed, a row per network."""
    rows = [caption_row(folder, name) for name in networks]
    write_csv(folder / "captions.csv", rows, CaptionRow)
