"""A world of drawn birds in which the right explanations are known.

A bird has five parts, each in one of several variants (a shape in two colours). A class is a
combination of five variants, a row of CLASSES. A set of parts is *sufficient* for a class exactly
when no other class has the same variants on all of them; minimal_sufficient_parts lists every
minimal one. Nothing else in an image tells the class: body colour, background, distractors, place,
scale, mirroring and pose are drawn at random. (The idea of birds built from parts with known
sufficient sets: FunnyBirds, Hesse et al., ICCV 2023.)

    python -m birds.painter                         # draw the bundled scenes into Images/ again
    python -m birds.painter --folder Results/scenes    # into another folder

In Python: scene = draw_scene(CLASSES[3][1], seed=7), then scene.image, scene.boxes["wing"], ...
"""

import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from birds.shapes import (
    COLOURS,
    DRAWINGS,
    SIZE,
    Canvas,
    Stroke,
    ellipse,
    fill,
    line,
    smooth,
    turned,
    turned_point,
)
from running.command_line import exit_status, parse
from utils import PROJECT

PROG = "python -m birds.painter"
PARTS = ("beak", "crest", "wing", "tail", "feet")
BODY = len(PARTS) + 1  # owner of the pixels of body, neck and head; parts own 1, 2, ..
BACKGROUND = BODY + 1  # in a label map: whatever is no bird
LABEL_NAMES = (*PARTS, "body", "background")  # of the labels 1, 2, .. of a label map

# part -> its variants, each a shape in a main colour and a second one for its pattern
VARIANTS = {
    "beak": [
        ("cone", "orange", "red"),
        ("hook", "black", "yellow"),
        ("needle", "red", "black"),
        ("spoon", "teal", "white"),
        ("hook", "yellow", "red"),
    ],
    "crest": [
        ("spikes", "red", "yellow"),
        ("fan", "blue", "white"),
        ("plume", "yellow", "orange"),
        ("comb", "pink", "red"),
        ("spikes", "green", "black"),
    ],
    "wing": [
        ("bars", "blue", "white"),
        ("spots", "red", "white"),
        ("tipped", "yellow", "black"),
        ("scales", "green", "yellow"),
        ("bars", "violet", "orange"),
    ],
    "tail": [
        ("fork", "black", "red"),
        ("fan", "orange", "white"),
        ("streamer", "teal", "yellow"),
        ("square", "violet", "white"),
        ("fan", "blue", "yellow"),
    ],
    "feet": [
        ("toes", "orange", "red"),
        ("webbed", "red", "white"),
        ("trousers", "white", "orange"),
        ("stilts", "blue", "yellow"),
    ],
}

# (name, variant of each part in the order of PARTS). Chosen by trying random tables: every class
# has 4 or 5 minimal sufficient part sets, of one, two and three parts (8, 37 and 9 in all).
CLASSES = (
    ("copper jay", (1, 0, 2, 2, 3)),
    ("harbour kite", (0, 1, 3, 1, 3)),
    ("lantern finch", (3, 4, 0, 1, 1)),
    ("marsh piper", (2, 3, 2, 3, 1)),
    ("Oren's tern", (1, 2, 2, 0, 1)),
    ("painted crake", (0, 1, 1, 3, 2)),
    ("quarry hawk", (1, 4, 4, 2, 1)),
    ("ribbon heron", (4, 3, 0, 4, 0)),
    ("saffron bunting", (0, 3, 2, 1, 3)),
    ("thistle shrike", (0, 3, 3, 1, 1)),
    ("velvet oriole", (0, 4, 2, 2, 2)),
    ("willow bee-eater", (0, 4, 4, 0, 1)),
)
BACKGROUNDS = {  # name -> three colours that a noise field runs through
    "sky": ((112, 168, 216), (166, 203, 232), (236, 240, 240)),
    "foliage": ((44, 70, 44), (84, 116, 62), (140, 164, 92)),
    "sand": ((176, 148, 106), (206, 182, 138), (230, 212, 174)),
    "water": ((50, 92, 116), (88, 138, 156), (152, 190, 194)),
    "stone": ((92, 92, 94), (134, 132, 128), (178, 174, 166)),
    "dusk": ((70, 58, 96), (150, 96, 116), (226, 158, 122)),
    "meadow": ((96, 124, 60), (150, 168, 84), (206, 204, 128)),
}


# ---------------------------------------------------------------- the ground truth of a class


def consistent_classes(shown: dict[str, int]) -> list[int]:
    """Return the indices of the classes that have exactly these variants on the parts shown.

    Args:
        shown: part -> variant.
    """
    return [
        category
        for category, (_, variants) in enumerate(CLASSES)
        if all(variants[PARTS.index(part)] == variant for part, variant in shown.items())
    ]


def is_sufficient(category: int, parts) -> bool:
    """Return whether these parts alone single out the class: no other class agrees on them all."""
    variants = dict(zip(PARTS, CLASSES[category][1], strict=True))
    return consistent_classes({part: variants[part] for part in parts}) == [category]


def minimal_sufficient_parts(category: int) -> list[tuple[str, ...]]:
    """Return every minimal sufficient part set of a class, smallest first, by enumeration."""
    found: list[tuple[str, ...]] = []
    for size in range(len(PARTS) + 1):
        for parts in combinations(PARTS, size):
            is_minimal = not any(set(smaller) <= set(parts) for smaller in found)
            if is_minimal and is_sufficient(category, parts):
                found.append(parts)
    return found


# ---------------------------------------------------------------- a bird

BODY_COLOURS = (
    (150, 128, 108),
    (120, 126, 136),
    (172, 156, 128),
    (108, 100, 92),
    (186, 178, 166),
    (134, 116, 128),
)
TURNS = {  # degrees that the head and each part may turn, from and to; drawn in this order
    "head": (-12, 12),
    "beak": (-10, 10),
    "crest": (-10, 10),
    "wing": (-14, 10),
    "tail": (-16, 20),
    "feet": (-7, 7),
}
NECK = np.array([30.0, -16.0])


@dataclass(frozen=True)
class _Pose:
    """How a bird facing right around (0, 0) holds its head and parts, and its body's colour."""

    turns: dict[str, float]  # degrees
    head: np.ndarray  # (2,), the middle of the head
    body: np.ndarray  # (3,), RGB in 0..255

    def place_of(self, part: str) -> np.ndarray:
        """Return where a part's own frame has its origin, (2,)."""
        places = {
            "beak": self.head + turned_point(19, 2, self.turns["head"]),
            "crest": self.head + turned_point(-6, -16, self.turns["head"]),
            "wing": np.array([-6.0, -5.0]),
            "tail": np.array([-42.0, 4.0]),
            "feet": np.array([0.0, 30.0]),
        }
        return places[part]

    def turn_of(self, part: str) -> float:
        """Return how far a part is turned, in degrees: what grows on the head turns with it."""
        on_head = part in ("beak", "crest")
        return self.turns[part] + (self.turns["head"] if on_head else 0)


def _random_pose(rng: np.random.Generator) -> _Pose:
    turns = {name: rng.uniform(*span) for name, span in TURNS.items()}
    head = NECK + turned_point(22, -30, turns["head"]) + (0, rng.uniform(-4, 6))
    body = rng.choice(BODY_COLOURS) * rng.uniform(0.85, 1.1)
    return _Pose(turns, head, body)


def _bird_strokes(
    variants: Sequence[int], parts: Sequence[str], rng: np.random.Generator
) -> list[Stroke]:
    """Return the strokes of a posed bird facing right around (0, 0), in painting order."""
    pose = _random_pose(rng)
    drawn = {part: [] for part in PARTS}
    for part in parts:
        drawn[part] = _part_strokes(part, variants[PARTS.index(part)], pose)
    return [
        *drawn["tail"],
        *drawn["feet"],
        *drawn["crest"],
        *_bulk_strokes(pose),
        *drawn["wing"],
        *drawn["beak"],
        *_eye_strokes(pose),
    ]


def _part_strokes(part: str, variant: int, pose: _Pose) -> list[Stroke]:
    shape, main, second = VARIANTS[part][variant]
    turn = pose.turn_of(part)
    place = pose.place_of(part)
    owner = PARTS.index(part) + 1
    return [
        replace(stroke, points=turned(stroke.points, turn) + place, owner=owner)
        for stroke in DRAWINGS[part, shape](main, second)
    ]


def _bulk_strokes(pose: _Pose) -> list[Stroke]:
    """Return the strokes of body, neck and head."""
    outline = [(-50, 0), (-34, -26), (0, -33), (30, -28), (50, -6), (40, 22), (8, 34), (-28, 26)]
    head = pose.head
    throat = np.array([NECK + (-16, 2), head + (-17, 4), head + (16, 8), NECK + (18, 10)])
    chest = smooth([(-24, 14), (12, 8), (40, 6), (34, 20), (6, 30)], 2)
    belly = np.minimum(pose.body * 1.22 + 12, 255)
    strokes = [
        fill(smooth(outline), pose.body),
        fill(smooth(throat, 1), pose.body, 0),
        fill(ellipse(head, 22, 21), pose.body),
        fill(smooth(throat + (0, 3), 1), pose.body, 0),
        fill(chest, belly, 0),
    ]
    return [replace(stroke, owner=BODY) for stroke in strokes]


def _eye_strokes(pose: _Pose) -> list[Stroke]:
    eye = pose.head + turned_point(6, -4, pose.turns["head"])
    strokes = [
        fill(ellipse(eye, 5.6, 5.6), (250, 250, 246)),
        fill(ellipse(eye + (1, 0), 3.2, 3.2), (18, 18, 22), 0),
        fill(ellipse(eye + (2, -1.4), 1.1, 1.1), (255, 255, 255), 0),
    ]
    return [replace(stroke, owner=BODY) for stroke in strokes]


def _placed(strokes: Sequence[Stroke], rng: np.random.Generator) -> list[Stroke]:
    """Return strokes at a random place, scale, slant and mirroring that keep them in the scene."""
    slant = rng.uniform(-9, 9)
    mirror = rng.choice([-1.0, 1.0])
    moved = [turned(stroke.points, slant) * (mirror, 1.0) for stroke in strokes]
    low = np.vstack(moved).min(0)
    high = np.vstack(moved).max(0)
    scale = min(rng.uniform(0.74, 0.97), *((SIZE - 14) / (high - low)))
    room = SIZE - 14 - (high - low) * scale
    shift = 7 + rng.uniform(0, 1, 2) * room - low * scale
    return [
        replace(stroke, points=points * scale + shift, width=stroke.width * scale)
        for stroke, points in zip(strokes, moved, strict=True)
    ]


# ---------------------------------------------------------------- its surroundings

# of the noise along rows and columns; other backgrounds are not stretched
STRETCH = {"water": (1, 4), "sky": (1, 2), "dusk": (1, 4), "meadow": (3, 1)}


def _background(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return (224, 224, 3) uint8: noise of several octaves, run through its three colours."""
    rows, columns = STRETCH.get(kind, (1, 1))
    field = np.zeros((SIZE, SIZE), np.float32)
    for octave, cells in enumerate((3, 6, 12, 28, 64)):
        shape = (max(2, cells // rows + 1), max(2, cells // columns + 1))
        grid = rng.standard_normal(shape).astype(np.float32)
        field += cv2.resize(grid, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) * 0.56**octave
    field += np.linspace(-1.0, 1.0, SIZE, dtype=np.float32)[:, None] * rng.uniform(-1, 1)
    level = np.clip((field - field.mean()) / (4 * field.std()) + 0.5, 0, 1)[..., None] * 2
    low, mid, high = (np.array(c, np.float32) * rng.uniform(0.9, 1.08) for c in BACKGROUNDS[kind])
    rgb = np.where(level < 1, low + (mid - low) * level, mid + (high - mid) * (level - 1))
    return np.clip(rgb, 0, 255).astype(np.uint8)


def _distractors(rng: np.random.Generator) -> list[Stroke]:
    """Return leaves, berries, twigs and blossoms, none of which goes with a class."""
    strokes = []
    for _ in range(rng.integers(4, 10)):
        strokes += _distractor(rng)
    return strokes


def _distractor(rng: np.random.Generator) -> list[Stroke]:
    kind = rng.choice(["leaf", "berry", "twig", "blossom"])
    centre = rng.uniform(0, SIZE, 2)
    size = rng.uniform(7, 15)
    angle = rng.uniform(0, 360)
    pure = np.array(COLOURS[rng.choice(list(COLOURS))])
    colour = np.clip(pure * rng.uniform(0.5, 0.9) + 24, 0, 255)
    if kind == "leaf":
        leaf = smooth([(-1.7, 0), (-0.4, -0.7), (1.8, 0), (-0.4, 0.7)], 2) * size
        rib = np.array([(-1.4, 0), (1.4, 0)]) * size
        return [
            fill(turned(leaf, angle) + centre, colour, 0.8),
            line(turned(rib, angle) + centre, colour * 0.6, 1.1),
        ]
    if kind == "berry":
        glint = ellipse(centre - size * 0.2, size * 0.15, size * 0.15)
        return [
            fill(ellipse(centre, size * 0.6, size * 0.6), colour, 0.8),
            fill(glint, (255, 255, 255), 0),
        ]
    if kind == "twig":
        twig = np.array([(-4, 0), (-1, 0.4), (1, -0.3), (4, 0.5)]) * size
        return [line(turned(twig, angle) + centre, (84, 66, 50), rng.uniform(2, 4.5))]
    petals = [
        ellipse(centre + turned_point(size * 0.55, 0, turn), size * 0.45, size * 0.3, tilt=turn)
        for turn in np.arange(5) * 72 + angle
    ]
    middle = fill(ellipse(centre, size * 0.25, size * 0.25), (240, 214, 90), 0)
    return [*(fill(petal, colour, 0) for petal in petals), middle]


def _lit(rgb: np.ndarray, owner: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add a soft shadow on the background, light from above on the bird, and sensor noise."""
    bird = (owner > 0).astype(np.float32)
    height = cv2.GaussianBlur(bird, (0, 0), 9)
    upper_edges = np.roll(height, -6, 0) - np.roll(height, 6, 0)
    light = 0.9 * bird * upper_edges
    shadow = 0.34 * (1 - bird) * cv2.GaussianBlur(np.roll(bird, (7, 4), (0, 1)), (0, 0), 5)
    out = rgb.astype(np.float32) * (1 + 0.45 * light - shadow)[..., None]
    return np.clip(out + rng.normal(0, 2.0, rgb.shape), 0, 255).astype(np.uint8)


# ---------------------------------------------------------------- scenes


@dataclass
class Scene:
    """A drawn scene and its ground truth.

    Attributes:
        image: (224, 224, 3) uint8, RGB.
        variants: the bird's variant of each of PARTS.
        masks: of each part drawn, its visible pixels, (224, 224) bool.
        boxes: of each part drawn, x0, y0, x1, y1; the last row and column belong to it.
        background: one of BACKGROUNDS.
        labels: (224, 224) uint8, 1 .. 7: which of LABEL_NAMES each pixel shows.
    """

    image: np.ndarray
    variants: tuple[int, ...]
    masks: dict[str, np.ndarray]
    boxes: dict[str, tuple[int, int, int, int]]
    background: str
    labels: np.ndarray


def draw_scene(variants, seed, parts=PARTS, background: str | None = None) -> Scene:
    """Draw a bird in a random scene.

    Args:
        variants: one index into VARIANTS for each of PARTS.
        seed: an int or a sequence of ints; the same seed draws the same scene.
        parts: the parts to draw; the others are left out.
        background: one of BACKGROUNDS, or None for a random one.
    """
    rng = np.random.default_rng(seed)
    background = background or str(rng.choice(list(BACKGROUNDS)))
    canvas = _empty_scene(background, rng)
    drawn = [part for part in PARTS if part in parts]
    _draw(canvas, _placed(_bird_strokes(variants, drawn, rng), rng))
    rgb, owner = canvas.finish()
    masks = {part: owner == PARTS.index(part) + 1 for part in drawn}
    return _described(_lit(rgb, owner, rng), owner, variants, masks=masks, background=background)


def draw_between(variants, others, seed, weight: float = 0.5) -> Scene:
    """Draw a scene between two birds: both in one pose and place, their colours mixed.

    Pixels differ from either bird's only about the parts in which the two differ. A part's mask is
    what it covers in either.

    Args:
        variants: of the first bird.
        others: of the second bird.
        seed: as of draw_scene.
        weight: share of the second bird's colours, 0..1.
    """
    rng = np.random.default_rng(seed)
    background = str(rng.choice(list(BACKGROUNDS)))
    canvas = _empty_scene(background, rng)
    twin = deepcopy(rng)  # the same pose for both
    first = _bird_strokes(variants, PARTS, rng)
    second = _bird_strokes(others, PARTS, twin)
    placed = _placed(first + second, rng)
    rgb, owner = _drawn_on_copy(canvas, placed[: len(first)])
    other_rgb, other_owner = _drawn_on_copy(canvas, placed[len(first) :])
    mixed = np.round((1 - weight) * rgb + weight * other_rgb).astype(np.uint8)
    masks = {part: (owner == i) | (other_owner == i) for i, part in enumerate(PARTS, 1)}
    owner = np.where(owner, owner, other_owner)
    return _described(_lit(mixed, owner, rng), owner, variants, masks=masks, background=background)


def _empty_scene(background: str, rng: np.random.Generator) -> Canvas:
    """Return a canvas with a background and distractors."""
    canvas = Canvas(_background(background, rng))
    _draw(canvas, _distractors(rng))
    return canvas


def _draw(canvas: Canvas, strokes: Sequence[Stroke]) -> None:
    for stroke in strokes:
        canvas.draw(stroke)


def _drawn_on_copy(canvas: Canvas, strokes: Sequence[Stroke]) -> tuple[np.ndarray, np.ndarray]:
    sheet = deepcopy(canvas)
    _draw(sheet, strokes)
    return sheet.finish()


def _described(
    image: np.ndarray,
    owner: np.ndarray,
    variants,
    *,
    masks: dict[str, np.ndarray],
    background: str,
) -> Scene:
    boxes = {}
    for part, mask in masks.items():
        ys, xs = np.nonzero(mask)
        boxes[part] = (int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max()))
    labels = np.where(owner == 0, BACKGROUND, owner).astype(np.uint8)
    return Scene(
        image=image,
        variants=tuple(variants),
        masks=masks,
        boxes=boxes,
        background=background,
        labels=labels,
    )


def bundled_scenes() -> list[tuple[str, Scene]]:
    """Return the scenes of Images/, one of each class, with their file names without the ending."""
    scenes = []
    for category, (name, variants) in enumerate(CLASSES):
        stem = name.replace(" ", "_").replace("'", "")
        scenes.append((stem, draw_scene(variants, [1, category])))
    return scenes


# ---------------------------------------------------------------- command


@dataclass(frozen=True)
class Settings:
    """Settings of the command."""

    folder: Path = PROJECT / "Images"  # where the scenes are written


def run(settings: Settings) -> int:
    """Draw the bundled scenes into a folder."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    for stem, scene in bundled_scenes():
        cv2.imwrite(str(settings.folder / f"{stem}.png"), scene.image[..., ::-1])
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return exit_status(PROG, lambda: run(parse(Settings, argv, prog=PROG, doc=__doc__)))


if __name__ == "__main__":
    sys.exit(main())
