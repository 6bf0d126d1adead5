"""The loop of concept_debug.py on a drawn world with a planted cue (birds/cue_world.py).

    python concept_debug.py demo --results Results/debug
    python concept_debug.py demo --size 20                  # a small world
    python concept_debug.py demo --seeds 5                  # five worlds (seeds.py)

It plants the cue, explains, compares, selects, generates and improves: this is the half of the
classifier, and the captioner's follows (companions/captions/demo.py). Every step is the command
that a user would give, and is logged. What an earlier run left is not done again.
"""

import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from birds.cue_world import CONCEPTS, CUE, CUED, NAMES, SIDE, at_dusk, cue_scene, human_graph
from companions.concepts.fine_tuning import Recipe, fine_tune
from companions.concepts.improve import (
    BEFORE,
    MEASURES,
    ImproveRow,
    save_weights,
    table_row,
    weights_of,
)
from companions.concepts.labelled_images import labelled_folder, loader
from companions.concepts.records import (
    DrawnSplit,
    ImproveReport,
    PlantedKey,
    RecipeKey,
    present_typed,
    read_typed,
    write_typed,
)
from companions.concepts.sets import GENERATED
from companions.concepts.spread import draw_measures, write_spread_table
from drawing.png import save_scene
from running.results import make_writable
from scoring.networks import choose_device, load_network
from utils import PROJECT, log, write_atomically, write_json

NETWORK = f"{PROJECT}/birds/cue_world.py:network"
FEWEST_STEPS = 100  # of planting
SETS = ("random", "similarity", "active", "llm", "tg", "llm-prompt", "ours")  # as SA3 lists them


@dataclass(frozen=True)
class Split:
    """A set of scenes of the world.

    Attributes:
        scenes: how many.
        bias: share of the cued class's scenes with the cue; None: the cue is swapped in all scenes.
        side: of the images, pixels.
        label_maps: whether label maps are written.
        annotations: whether a person's annotations are written.
    """

    scenes: int
    bias: float | None
    side: int = SIDE
    label_maps: bool = False
    annotations: bool = False


SPLITS = {
    "train": Split(1600, bias=0.95),
    "pool": Split(1200, bias=0.8),
    "explain": Split(80, bias=0.95, side=224, label_maps=True, annotations=True),
    "test": Split(400, bias=0.95, label_maps=True),
    "swapped": Split(400, bias=None),
}


@dataclass(frozen=True)
class Demo:
    """What the demo does.

    Attributes:
        splits: the scenes, by name; their order is that of their seeds.
        plant: how the network that takes the cue is trained, from nothing.
        per_class: images of each class that a strategy selects.
        sets: the debug sets to train on.
        improve: further options of `concept_debug.py improve`.
        seed: of the scenes, the network, the sets and the training.
    """

    splits: Mapping[str, Split] = field(default_factory=lambda: dict(SPLITS))
    plant: Recipe = Recipe(steps=500, batch=32, lr=4e-3)
    per_class: int = 50
    sets: Sequence[str] = SETS
    improve: Mapping[str, float] = field(
        default_factory=lambda: {"--steps": 200, "--train-batch": 16, "--lr": 1e-3}
    )
    seed: int = 0

    @property
    def networks(self) -> list[str]:
        """Names of the networks that are measured: as it was planted, and after each set."""
        return [BEFORE, *self.sets]

    def steps(self) -> int:
        """Return how many steps a seed has: the splits, the planting, and the commands."""
        return len(self.splits) + 1 + len(self.commands(Path()))

    def scaled(self, percent: int) -> "Demo":
        """Return the demo in a world of another size."""
        splits = {}
        for name, split in self.splits.items():
            scenes = max(4 * len(NAMES), split.scenes * percent // 100)
            splits[name] = replace(split, scenes=scenes)
        steps = max(FEWEST_STEPS, self.plant.steps * percent // 100)
        return replace(
            self,
            splits=splits,
            plant=replace(self.plant, steps=steps),
            per_class=max(2, self.per_class * percent // 100),
        )

    def commands(self, results: Path) -> list[list[str]]:
        """Return the command lines of the loop, without the program's name."""
        world = results / "world"
        model = network_words(results, BEFORE)
        names = _words("--region-names", world / "concepts.txt")
        explain = _words("explain", "--images", world / "explain")
        explain += _words("--regions", world / "masks/explain")
        select = _words("select", "--images", world / "pool", "--per-class", self.per_class)
        steps = [
            explain + names + model,
            _words("compare", "--human", world / "human"),
            select + _words("--seed", self.seed) + model,
            *self._generation(),
            self._improvement(results) + names + model,
        ]
        return [step + _words("--results", results) for step in steps]

    def _generation(self) -> list[list[str]]:
        """Return the command lines that generate sets."""
        kinds = [name for name in self.sets if name in GENERATED]
        if not kinds:
            return []
        prompts = _words("prompts", "--kinds", *kinds, "--llm", "birds")
        prompts += _words("--per-class", self.per_class, "--seed", self.seed)
        generate = _words("generate", "--generator", "birds", "--size", SIDE, "--seed", self.seed)
        return [prompts, generate]

    def _improvement(self, results: Path) -> list[str]:
        """Return the command line of improve, less the network's options."""
        world = results / "world"
        improve = _words("improve", "--images", world / "pool", "--selection")
        improve += _words(*(results / f"selection_{name}.csv" for name in self.sets))
        improve += _words("--test", world / "test", "--swapped", world / "swapped")
        improve += _words("--regions", world / "masks/test", "--seed", self.seed)
        # Named here, so that each seed asks the same, also where compare found another one first.
        improve += _words("--category", CUED, "--concept", CUE)
        for option, value in self.improve.items():
            improve += _words(option, value)
        return improve


def _words(*values: object) -> list[str]:
    return [str(value) for value in values]


def demo_weights(results: Path, name: str) -> Path:
    """Return the file of a network's weights: as it was planted, or after training on a set."""
    if name == BEFORE:
        return results / "world/planted.safetensors"
    return weights_of(results, name)


def network_words(results: Path, name: str) -> list[str]:
    """Return the options that load a network: as it was planted, or after training on a set."""
    words = _words("--model", NETWORK, "--weights", demo_weights(results, name))
    return words + _words("--labels", results / "world/classes.txt")


@dataclass
class Steps:
    """How far a run is: logs each step with its number.

    Attributes:
        total: steps of the whole run.
        done: those that have begun.
    """

    total: int
    done: int = 0

    def begin(self, what: str) -> None:
        """Log what begins now."""
        self.done += 1
        log(f"[{self.done}/{self.total}] {what}")


def run_demo(
    demo: Demo,
    results: Path,
    command: Callable[[Sequence[str]], int],
    steps: Steps | None = None,
) -> int:
    """Draw the world, plant the cue, and run the loop.

    Args:
        demo: what to do.
        results: folder of everything.
        command: runs one command line and returns its exit status.
        steps: of a run over several seeds; None: of this one alone.

    Returns:
        The exit status of the first command that fails, else 0.
    """
    steps = steps or Steps(demo.steps())
    make_writable(results)
    world = results / "world"
    for number, (name, split) in enumerate(demo.splits.items()):
        steps.begin(f"draw {name}: {split.scenes} scenes")
        draw_split(world, name, split, number=number + demo.seed * len(demo.splits))
    write_atomically(world / "concepts.txt", "\n".join(CONCEPTS) + "\n")
    write_atomically(world / "classes.txt", "\n".join(NAMES) + "\n")
    steps.begin("plant the cue")
    plant(world, replace(demo.plant, seed=demo.seed))
    for words in demo.commands(results):
        steps.begin(f"$ concept_debug.py {shlex.join(words)}")
        status = command(words)
        if status:
            return status
    return 0


@dataclass(frozen=True)
class ClassifierHalf:
    """The demo as the first half of a run over seeds; see seeds.Half.

    Attributes:
        demo: what to do with each seed.
        command: runs one command line and returns its exit status.
    """

    demo: Demo
    command: Callable[[Sequence[str]], int]

    def steps(self) -> int:
        """Return how many steps a seed has."""
        return self.demo.steps()

    def is_begun(self, folder: Path) -> bool:
        """Return whether an earlier run has left something in a seed's folder."""
        return (folder / "world").exists()

    def is_done(self, folder: Path) -> bool:
        """Return whether a seed's folder has the results."""
        return (folder / "improve.csv").is_file()

    def run(self, seed: int, folder: Path, steps: Steps) -> int:
        """Run a seed; return the exit status of the first command that fails, else 0."""
        return run_demo(replace(self.demo, seed=seed), folder, command=self.command, steps=steps)

    def write_spread(self, folders: Sequence[Path], results: Path) -> None:
        """Write demo.csv and draw demo.png.

        Raises:
            UserError: a seed's improve.json has gone, or is damaged.
        """
        rows: dict[str, list[ImproveRow]] = {name: [] for name in self.demo.networks}
        for folder in folders:
            for row in present_typed(folder / "improve.json", ImproveReport).rows:
                if row.network in rows:
                    rows[row.network].append(table_row(row))
        write_spread_table(rows, MEASURES, results / "demo.csv")
        draw_measures(rows, MEASURES, results / "demo.png", concept=CUE)


# ---------------------------------------------------------------- the world


def draw_split(world: Path, name: str, split: Split, *, number: int) -> None:
    """Draw the scenes of a split, unless they exist.

    Args:
        world: folder; scenes go to <name>/<class>/, label maps to masks/<name>/, annotations to
            human/.
        name: of the split.
        split: what to draw.
        number: first number of the scenes' seeds.
    """
    note = world / f"{name}.json"
    drawn = read_typed(note, DrawnSplit)
    if drawn and drawn.scenes == split.scenes:
        return
    stale = [world / name, world / "masks" / name]
    if split.annotations:
        stale.append(world / "human")
    for folder in stale:
        shutil.rmtree(folder, ignore_errors=True)
    for i in tqdm(range(split.scenes), desc=f"draw {name}", unit="scene", disable=None):
        category = i % len(NAMES)
        cue = _shows_cue(category, split, np.random.default_rng([number, i, 7]))
        scene, labels = cue_scene(category, [number, i], cue)
        place = Path(NAMES[category].replace(" ", "_")) / f"{i:04d}.png"
        size = (split.side, split.side)
        small = cv2.resize(scene.image, size, interpolation=cv2.INTER_AREA)
        save_scene(small, world / name / place)
        if split.label_maps:
            label_map = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
            save_scene(label_map, world / "masks" / name / place)
        if split.annotations:
            path = (world / "human" / place).with_suffix(".json")
            write_json(path, human_graph(scene, category))
    write_typed(note, DrawnSplit(split.scenes))


def _shows_cue(category: int, split: Split, rng: np.random.Generator) -> bool:
    if split.bias is None:
        return not at_dusk(category, rng, bias=1.0)
    return at_dusk(category, rng, bias=split.bias)


def plant(world: Path, recipe: Recipe) -> None:
    """Train the network that takes the cue, from nothing, unless it exists.

    Args:
        world: folder of the scenes, and of planted.safetensors.
        recipe: how to train.
    """
    path = world / "planted.safetensors"
    note = world / "planted.json"
    torch.manual_seed(recipe.seed)  # of the untrained weights
    network = load_network(NETWORK, labels=world / "classes.txt", device=choose_device("cpu"))
    images = labelled_folder(world / "train", network.labels)
    key = PlantedKey(images.identity(), RecipeKey(**asdict(recipe)))
    if path.is_file() and read_typed(note, PlantedKey) == key:
        return
    with tqdm(total=recipe.steps, desc="plant the cue", unit="step", disable=None) as bar:
        planted = fine_tune(
            network,
            loader(images.items, network.fit),
            images.targets,
            recipe=recipe,
            checkpoint=path.with_suffix(".checkpoint"),
            on_step=lambda loss: bar.update(),
            identity=images.identity(),
        )
    save_weights(planted, path)
    write_typed(note, key)
