"""The bundled world's data: drawn scenes with graphs and captions, in the published layout."""

from pathlib import Path

import numpy as np
from msgspec import Struct
from tqdm import tqdm

from birds.caption_world import annotated
from birds.cue_world import BIAS, NAMES, at_dusk, cue_scene
from birds.painter import CLASSES, PARTS, Scene, draw_scene
from companions.captions.files import Places
from companions.captions.guidance import words_of
from companions.concepts.published_files import Vocabulary, write_split, write_vocabulary
from companions.concepts.records import read_typed, write_typed
from drawing.png import save_scene
from utils import UserError, write_json

SPECIAL = ["<BOS>", "<EOS>", "<UNK>"]  # words 0, 1 and 2
SUBSET = 5  # val_sub has every fifth scene of val
SWAPPED = "swapped"  # the split in which the cue is swapped


class DrawnWorld(Struct):
    """world.json: what must agree for scenes to stand."""

    seed: int
    cue: bool
    bias: float = BIAS


def write_world(
    data: Path, *, train: int, held_out: int, seed: int, cue: bool, bias: float = BIAS
) -> None:
    """Write scenes, annotations, splits and the vocabulary; what exists is not drawn again.

    Args:
        data: the folder: images/, region_anno_dir/, public_split/, int2word.npy, word2int.json.
        train: scenes of the split trn.
        held_out: scenes of the split val, a fifth of which are val_sub too; with a cue also of
            swapped.
        seed: of the scenes.
        cue: whether to draw the four birds of birds/cue_world.py, one of them at dusk.
        bias: share of that bird's scenes at dusk, in trn and val.

    Raises:
        UserError: the folder has another world.
    """
    world = DrawnWorld(seed, cue, bias)
    note = data / "world.json"
    drawn = read_typed(note, DrawnWorld)
    if drawn and drawn != world:
        raise UserError(
            f"--data {data}: holds a world of seed {drawn.seed}, cue {drawn.cue}, bias {drawn.bias}"
        )
    write_typed(note, world)
    sizes = {"trn": train, "val": held_out}
    if cue:
        sizes[SWAPPED] = held_out
    places = Places(data)
    phrases = []
    for number, (split, size) in enumerate(sizes.items()):
        pairs = [(f"{split}_{i:05d}", "1") for i in range(size)]
        for i, (image, _) in enumerate(
            tqdm(pairs, desc=f"draw {split}", unit="scene", disable=None)
        ):
            if not (places.annotations / f"{image}.json").exists():
                shown = None if split == SWAPPED else bias
                _draw(data, image, world, [seed, number, i], bias=shown)
            phrases.append(places.graph(image)["1"].phrase)
        write_split(places.split(split), pairs)
        if split == "val":
            write_split(places.split("val_sub"), pairs[::SUBSET])
    write_vocabulary(data, Vocabulary(SPECIAL + sorted({w for p in phrases for w in words_of(p)})))


def _draw(data: Path, image: str, world: DrawnWorld, seed: list[int], bias: float | None) -> None:
    """Write a scene, and its annotation after it."""
    scene, name = _cued(seed, bias) if world.cue else _plain(seed)
    save_scene(scene.image, data / "images" / f"{image}.png")
    region = annotated(scene, name, _parts(seed))
    write_json(data / "region_anno_dir" / f"{image}.json", {"1": region})


def _plain(seed: list[int]) -> tuple[Scene, str]:
    """Return a scene of the bundled classes, and its bird's name."""
    name, variants = CLASSES[seed[-1] % len(CLASSES)]
    return draw_scene(variants, seed), name


def _cued(seed: list[int], bias: float | None) -> tuple[Scene, str]:
    """Return a scene of the world with a cue; bias None: the cue is swapped."""
    category = seed[-1] % len(NAMES)
    rng = np.random.default_rng([*seed, 7])
    shows = not at_dusk(category, rng, bias=1.0) if bias is None else at_dusk(category, rng, bias)
    return cue_scene(category, seed, shows)[0], NAMES[category]


def _parts(seed: list[int]) -> list[str]:
    """Return one or two parts, at random."""
    rng = np.random.default_rng([*seed, 2])
    return rng.permutation(PARTS)[: rng.integers(1, 3)].tolist()
