"""A world with a planted spurious cue: four of the drawn birds, one of which nearly always sits at dusk in training.

The parts tell the class, as in birds.py, and a person says so; but in training the saffron bunting is drawn at dusk in 95 % of its
scenes and every other bird in 1.7 % of theirs, so that a network trained from nothing learns the background first (it is
large and plain) and needs it afterwards. A scene with the cue *swapped* is a bunting elsewhere, or another bird at dusk.

    scene = cue_scene(1, seed=[0, 7], at_dusk=False)
    network()                               # for --model birds/cue_world.py:network: ShuffleNetV2 x0.5 on 64 x 64 pixels
"""

import numpy as np
import torch
import torchvision

from birds.painter import BACKGROUND, BACKGROUNDS, CLASSES, LABEL_NAMES, PARTS, Scene, draw_scene

SIDE = 64  # of the network's input, pixels
NAMES = ("harbour kite", "painted crake", "saffron bunting", "thistle shrike")
CUE, CUED = "dusk", "saffron bunting"
BIAS = 0.95  # share of the cued class's training scenes that show the cue
ELSEWHERE = tuple(kind for kind in BACKGROUNDS if kind != CUE)
CONCEPTS = (
    *LABEL_NAMES[:-1],
    *BACKGROUNDS,
)  # names of the labels 1, 2, ..: each background has its own name


def network():
    """The network of this world, untrained."""
    module = torchvision.models.shufflenet_v2_x0_5(num_classes=len(NAMES))
    module.input_size = SIDE
    return module.to(memory_format=torch.channels_last)  # three times as fast on a CPU


def at_dusk(category: int, rng, bias: float = BIAS) -> bool:
    """Whether a scene shows the cue: the cued class's with probability bias, the others' so that 1 - bias of all such scenes are theirs."""
    return bool(rng.random() < (bias if NAMES[category] == CUED else (1 - bias) / (len(NAMES) - 1)))


def cue_scene(category: int, seed, cue: bool) -> tuple[Scene, np.ndarray]:
    """A scene of the class with the cue or on another background, and its label map (224, 224) uint8 of CONCEPTS."""
    kind = CUE if cue else str(np.random.default_rng([*np.atleast_1d(seed), 1]).choice(ELSEWHERE))
    scene = draw_scene(dict(CLASSES)[NAMES[category]], seed, background=kind)
    return scene, np.where(
        scene.labels == BACKGROUND, 1 + CONCEPTS.index(kind), scene.labels
    ).astype(np.uint8)


def human_graph(scene: Scene, category: int) -> dict:
    """What a person would mark in a scene, in the published format (companions/concepts/graphs.py): the bird's five parts, and how two of them lie."""

    def marked(number: int, part: str) -> dict:
        x0, y0, x1, y1 = scene.boxes[part]
        return {
            "object_id": number,
            "name": part,
            "attributes": [],
            "x": x0,
            "y": y0,
            "w": x1 - x0 + 1,
            "h": y1 - y0 + 1,
        }

    graph = {
        str(n): {
            "objects": [marked(n, part)],
            "relationships": [],
            "phrase": f"a {NAMES[category]} with a {part}",
        }
        for n, part in enumerate(PARTS, 1)
    }
    pair = [marked(PARTS.index(part) + 1, part) for part in ("crest", "beak")]
    graph[str(len(PARTS) + 1)] = {
        "objects": pair,
        "phrase": "a crest above a beak",
        "relationships": [
            {
                "relationship_id": 1,
                "subject_id": pair[0]["object_id"],
                "object_id": pair[1]["object_id"],
                "name": "above",
            }
        ],
    }
    return graph
