"""The loop of concept_debug.py on a drawn world with a planted cue (birds/cue_world.py): plant, explain, compare, select, improve.

    python concept_debug.py demo --results Results/debug            # some minutes on one core; --size 20 for a small world

Every step is the command that a user would give, and is printed. What an earlier run left is not done again.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from companions.concepts.files import read_json, write_json
from companions.concepts.improve import save_weights
from companions.concepts.debug_images import STRATEGIES
from companions.concepts.fine_tuning import Recipe, fine_tune
from companions.concepts.labelled_images import labelled_folder, loader
from birds.cue_world import CONCEPTS, NAMES, SIDE, at_dusk, cue_scene, human_graph
from running.results import make_writable
from utils import PROJECT, log
from scoring.networks import choose_device, load_network

NETWORK = f"{PROJECT}/birds/cue_world.py:network"
# split: scenes, share of the cued class with the cue (None: swapped), with label maps and annotations, side in pixels
SPLITS = {
    "train": (1600, 0.95, False, SIDE),
    "pool": (1200, 0.8, False, SIDE),
    "explain": (80, 0.95, True, 224),
    "test": (400, 0.95, True, SIDE),
    "swapped": (400, None, False, SIDE),
}
PLANT = Recipe(steps=500, batch=32, lr=4e-3)
IMPROVE = {"steps": 200, "train-batch": 16, "lr": 1e-3}
PER_CLASS = 50
TRAINED = STRATEGIES  # the selections to train on


def run_demo(results: Path, size: int, command: Callable[[Sequence[str]], int]) -> int:
    """The whole loop in a folder. size: of the world, in percent. command: concept_debug.main. -> the exit status."""
    make_writable(results)
    world = results / "world"
    for n, split in enumerate(SPLITS):
        draw_split(world, split, n, size)
    (world / "concepts.txt").write_text("\n".join(CONCEPTS) + "\n", encoding="utf-8")
    (world / "classes.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    plant(world, size)
    model = [
        "--model",
        NETWORK,
        "--weights",
        world / "planted.safetensors",
        "--class-names",
        world / "classes.txt",
    ]
    names = ["--labels", world / "concepts.txt"]
    steps = [
        [
            "explain",
            "--images",
            world / "explain",
            "--segmentation",
            world / "masks/explain",
            *names,
            *model,
        ],
        ["compare", "--human", world / "human"],
        [
            "select",
            "--images",
            world / "pool",
            "--per-class",
            max(2, PER_CLASS * size // 100),
            *model,
        ],
        [
            "improve",
            "--images",
            world / "pool",
            "--selection",
            *(results / f"selection_{s}.csv" for s in TRAINED),
            "--test",
            world / "test",
            "--swapped",
            world / "swapped",
            "--segmentation",
            world / "masks/test",
            *names,
            *(x for key, value in IMPROVE.items() for x in (f"--{key}", value)),
            *model,
        ],
    ]
    for step in steps:
        step = [str(word) for word in (*step, "--results", results)]
        log("$ concept_debug.py " + " ".join(step))
        status = command(step)
        if status:
            return status
    return 0


def draw_split(world: Path, split: str, number: int, size: int) -> None:
    """Draw a split's scenes into world/<split>/<class>/, label maps into masks/<split>/, annotations into human/, unless they are there."""
    scenes, bias, marked, side = SPLITS[split]
    scenes = max(4 * len(NAMES), scenes * size // 100)
    told = world / f"{split}.json"
    if read_json(told) == {"scenes": scenes}:
        return
    for folder in (
        world / split,
        world / "masks" / split,
        *[world / "human"] * (split == "explain"),
    ):
        shutil.rmtree(folder, ignore_errors=True)
    for i in tqdm(range(scenes), desc=f"draw {split}", unit="scene"):
        rng = np.random.default_rng([number, i, 7])
        category = i % len(NAMES)
        cue = at_dusk(category, rng, bias) if bias is not None else not at_dusk(category, rng, 1.0)
        scene, labels = cue_scene(category, [number, i], cue)
        place = Path(NAMES[category].replace(" ", "_")) / f"{i:04d}"
        save(
            cv2.resize(scene.image, (side, side), interpolation=cv2.INTER_AREA),
            world / split / place,
        )
        if marked:
            save(
                cv2.resize(labels, (side, side), interpolation=cv2.INTER_NEAREST_EXACT),
                world / "masks" / split / place,
            )
        if split == "explain":
            write_json((world / "human" / place).with_suffix(".json"), human_graph(scene, category))
    write_json(told, {"scenes": scenes})


def save(picture: np.ndarray, path: Path) -> None:
    """A PNG file, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path.with_suffix(".png"))


def plant(world: Path, size: int) -> None:
    """Train the network that takes the cue, from nothing: world/planted.safetensors, unless it is there from the same scenes."""
    path, told = world / "planted.safetensors", world / "planted.json"
    recipe = replace(PLANT, steps=max(100, PLANT.steps * size // 100))
    torch.manual_seed(0)  # of the untrained weights
    network = load_network(NETWORK, None, world / "classes.txt", choose_device("cpu"))
    images = labelled_folder(world / "train", network.labels)
    key = {"images": images.identity(), "recipe": asdict(recipe)}
    if path.is_file() and read_json(told) == key:
        return
    with tqdm(total=recipe.steps, desc="plant the cue", unit="step") as bar:
        planted = fine_tune(
            network,
            loader(images.items, network.size),
            images.truth,
            recipe,
            path.with_suffix(".checkpoint"),
            lambda loss: bar.update(),
            images.identity(),
        )
    save_weights(planted, path)
    write_json(told, key)
