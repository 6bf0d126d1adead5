"""The bundled world's data: drawn scenes with graphs and captions, in the published layout."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from birds.caption_world import annotated
from birds.cue_world import NAMES, at_dusk, cue_scene
from birds.painter import CLASSES, PARTS, Scene, draw_scene
from companions.captions.files import Places
from companions.captions.guidance import words_of
from companions.concepts.published_files import Vocabulary, write_split, write_vocabulary
from utils import write_json

SPECIAL = ["<BOS>", "<EOS>", "<UNK>"]  # words 0, 1 and 2
SUBSET = 5  # val_sub has every fifth scene of val
CUED_SPLITS = {"trn": 0.95, "val": 0.95, "swapped": None}  # split -> share of cued scenes at dusk


def write_world(data: Path, *, train: int, held_out: int, seed: int, cue: bool) -> None:
    """Write scenes, annotations, splits and the vocabulary; what exists is not drawn again.

    Args:
        data: the folder: images/, region_anno_dir/, public_split/, int2word.npy, word2int.json.
        train: scenes of the split trn.
        held_out: scenes of the split val, a fifth of which are val_sub too; with a cue also of
            swapped.
        seed: of the scenes.
        cue: whether to draw the four birds of birds/cue_world.py, one of them at dusk.
    """
    sizes = {"trn": train, "val": held_out}
    if cue:
        sizes["swapped"] = held_out
    places = Places(data)
    phrases = []
    for number, (split, size) in enumerate(sizes.items()):
        pairs = [(f"{split}_{i:05d}", "1") for i in range(size)]
        for i, (image, _) in enumerate(tqdm(pairs, desc=f"draw {split}", unit="scene")):
            bias = CUED_SPLITS[split]
            scene, name = _cued(i, [seed, number, i], bias) if cue else _plain(i, [seed, number, i])
            region = annotated(scene, name, _parts([seed, number, i]))
            phrases.append(region["phrase"])
            _write(data, image, scene, region)
        write_split(places.split(split), pairs)
        if split == "val":
            write_split(places.split("val_sub"), pairs[::SUBSET])
    write_vocabulary(data, Vocabulary(SPECIAL + sorted({w for p in phrases for w in words_of(p)})))


def _plain(i: int, seed: list[int]) -> tuple[Scene, str]:
    """Return a scene of the bundled classes, and its bird's name."""
    name, variants = CLASSES[i % len(CLASSES)]
    return draw_scene(variants, seed), name


def _cued(i: int, seed: list[int], bias: float | None) -> tuple[Scene, str]:
    """Return a scene of the world with a cue; bias None: the cue is swapped."""
    category = i % len(NAMES)
    rng = np.random.default_rng([*seed, 7])
    shows = not at_dusk(category, rng, bias=1.0) if bias is None else at_dusk(category, rng, bias)
    return cue_scene(category, seed, shows)[0], NAMES[category]


def _parts(seed: list[int]) -> list[str]:
    """Return one or two parts, at random."""
    rng = np.random.default_rng([*seed, 2])
    return rng.permutation(PARTS)[: rng.integers(1, 3)].tolist()


def _write(data: Path, image: str, scene: Scene, region: dict[str, Any]) -> None:
    path = data / "images" / f"{image}.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene.image).save(path)
    write_json(data / "region_anno_dir" / f"{image}.json", {"1": region})
