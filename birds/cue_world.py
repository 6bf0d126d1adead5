"""A world with a planted spurious cue: four of the drawn birds, one of them mostly at dusk.

The parts tell the class, as in birds/painter.py, and a person says so; but in training the saffron
bunting is drawn at dusk in 95 % of its scenes and every other bird in 1.7 % of theirs, so that a
network trained from nothing learns the background first (it is large and plain) and needs it
afterwards. A scene with the cue *swapped* is a bunting elsewhere, or another bird at dusk.

    scene, labels = cue_scene(1, seed=[0, 7], cue=False)
    network()       # for --model birds/cue_world.py:network: ShuffleNetV2 x0.5 on 64 x 64 pixels
"""

import numpy as np
import torch
import torchvision

from birds.painter import BACKGROUND, BACKGROUNDS, CLASSES, LABEL_NAMES, PARTS, Scene, draw_scene

SIDE = 64  # of the network's input, pixels
NAMES = ("harbour kite", "painted crake", "saffron bunting", "thistle shrike")
CUE = "dusk"
CUED = "saffron bunting"
BIAS = 0.95  # share of the cued class's training scenes that show the cue
ELSEWHERE = tuple(kind for kind in BACKGROUNDS if kind != CUE)
CONCEPTS = (*LABEL_NAMES[:-1], *BACKGROUNDS)  # of labels 1, 2, ..: each background has its name


def network() -> torch.nn.Module:
    """Return the network of this world, untrained."""
    module = torchvision.models.shufflenet_v2_x0_5(num_classes=len(NAMES))
    module.input_size = SIDE
    return module.to(memory_format=torch.channels_last)  # three times as fast on a CPU


def at_dusk(category: int, rng: np.random.Generator, bias: float = BIAS) -> bool:
    """Return whether a scene shows the cue, at random.

    Args:
        category: index into NAMES.
        rng: one number is drawn from it.
        bias: probability of the cue for the cued class; the other classes share 1 - bias equally.
    """
    probability = bias if NAMES[category] == CUED else (1 - bias) / (len(NAMES) - 1)
    return bool(rng.random() < probability)


def cue_scene(category: int, seed, cue: bool) -> tuple[Scene, np.ndarray]:
    """Draw a scene of a class with the cue or on another background.

    Returns:
        The scene and its label map of CONCEPTS, (224, 224) uint8.
    """
    kind = CUE
    if not cue:
        rng = np.random.default_rng([*np.atleast_1d(seed), 1])
        kind = str(rng.choice(ELSEWHERE))
    scene = draw_scene(dict(CLASSES)[NAMES[category]], seed, background=kind)
    label = 1 + CONCEPTS.index(kind)
    labels = np.where(scene.labels == BACKGROUND, label, scene.labels).astype(np.uint8)
    return scene, labels


def human_graph(scene: Scene, category: int) -> dict:
    """Return what a person would annotate: the bird's five parts, and how two of them lie.

    Returns:
        A JSON object in the published format, see companions/concepts/graphs.py.
    """
    graph = {
        str(number): {
            "objects": [_annotated(scene, part)],
            "relationships": [],
            "phrase": f"a {NAMES[category]} with a {part}",
        }
        for number, part in enumerate(PARTS, 1)
    }
    crest = _annotated(scene, "crest")
    beak = _annotated(scene, "beak")
    relationship = {
        "relationship_id": 1,
        "subject_id": crest["object_id"],
        "object_id": beak["object_id"],
        "name": "above",
    }
    graph[str(len(PARTS) + 1)] = {
        "objects": [crest, beak],
        "phrase": "a crest above a beak",
        "relationships": [relationship],
    }
    return graph


def _annotated(scene: Scene, part: str) -> dict:
    x0, y0, x1, y1 = scene.boxes[part]
    return {
        "object_id": PARTS.index(part) + 1,
        "name": part,
        "attributes": [],
        "x": x0,
        "y": y0,
        "w": x1 - x0 + 1,
        "h": y1 - y0 + 1,
    }
