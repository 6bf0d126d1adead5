"""A world of drawn birds in which the right explanations are known.

A bird has five parts, each in one of several variants (a shape in a colour). A class is a
combination of five variants, a row of CLASSES. A set of parts is *sufficient* for a class
exactly when no other class has the same variants on all of them; minimal_sufficient_parts
lists every minimal one. Nothing else in a picture tells the class: body colour, background,
distractors, place, scale, mirroring and pose are drawn at random. (The idea of birds built
from parts with known sufficient sets: FunnyBirds, Hesse et al., ICCV 2023.)

    python -m birds.painter                 # the bundled scenes, drawn again into Images/
    scene = draw_scene(CLASSES[3], seed=7) # scene.image, scene.boxes["wing"], ...
"""

from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

SIZE = 224  # side of a scene, pixels
FINE = 3  # drawn this many times larger, then averaged down: anti-aliasing
PARTS = ("beak", "crest", "wing", "tail", "feet")
BODY = len(PARTS) + 1  # owner of the pixels of body, neck and head; parts own 1, 2, ..
BACKGROUND = BODY + 1  # in a label map: whatever is no bird
LABEL_NAMES = (*PARTS, "body", "background")  # of the labels 1, 2, .. of a label map

COLOURS = {
    "red": (205, 44, 44),
    "orange": (240, 138, 30),
    "yellow": (248, 212, 62),
    "green": (62, 150, 72),
    "teal": (34, 160, 160),
    "blue": (46, 92, 200),
    "violet": (128, 70, 178),
    "pink": (238, 120, 168),
    "white": (246, 243, 234),
    "black": (40, 40, 46),
}

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


# ---------------------------------------------------------------- what is true of a class


def consistent_classes(shown: dict[str, int]) -> list[int]:
    """Indices of the classes that have exactly these variants on the parts shown (part -> variant)."""
    return [
        c
        for c, (_, variants) in enumerate(CLASSES)
        if all(variants[PARTS.index(part)] == v for part, v in shown.items())
    ]


def is_sufficient(category: int, parts) -> bool:
    """Whether these parts alone single out the class: no other class agrees on all of them."""
    variants = dict(zip(PARTS, CLASSES[category][1]))
    return consistent_classes({p: variants[p] for p in parts}) == [category]


def minimal_sufficient_parts(category: int) -> list[tuple[str, ...]]:
    """Every minimal sufficient part set of a class, smallest first, by enumeration."""
    found: list[tuple[str, ...]] = []
    for size in range(len(PARTS) + 1):
        for parts in combinations(PARTS, size):
            if not any(set(f) <= set(parts) for f in found) and is_sufficient(category, parts):
                found.append(parts)
    return found


# ---------------------------------------------------------------- the canvas


class _Canvas:
    """A fine picture and, beside it, which part owns each pixel (0: none, 1..5: PARTS, then BODY)."""

    def __init__(self, background: np.ndarray):
        side = SIZE * FINE
        self.rgb = cv2.resize(background, (side, side), interpolation=cv2.INTER_LINEAR)
        self.owner = np.zeros((side, side), np.uint8)

    def fill(
        self, polygon: np.ndarray, colour, outline: float = 0.0, owner: int | None = None
    ) -> None:
        """Fill a polygon (N, 2) given in scene pixels; outline is a line width in scene pixels."""
        points = [np.round(polygon * FINE * 16).astype(np.int32)]  # 4 fractional bits
        cv2.fillPoly(self.rgb, points, _rgb(colour), cv2.LINE_AA, 4)
        if outline:
            dark = tuple(0.45 * c for c in _rgb(colour))
            cv2.polylines(
                self.rgb, points, True, dark, max(1, round(outline * FINE)), cv2.LINE_AA, 4
            )
        if owner is not None:
            cv2.fillPoly(self.owner, points, owner, cv2.LINE_8, 4)

    def line(self, points: np.ndarray, colour, width: float, owner: int | None = None) -> None:
        """An open line through points (N, 2), width in scene pixels."""
        fine, thick = [np.round(points * FINE * 16).astype(np.int32)], max(1, round(width * FINE))
        cv2.polylines(self.rgb, fine, False, _rgb(colour), thick, cv2.LINE_AA, 4)
        if owner is not None:
            cv2.polylines(self.owner, fine, False, owner, thick, cv2.LINE_8, 4)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """The picture (224, 224, 3) uint8, averaged down, and the owners (224, 224)."""
        rgb = cv2.resize(self.rgb, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        return rgb, self.owner[FINE // 2 :: FINE, FINE // 2 :: FINE]


def _rgb(colour) -> tuple[float, ...]:
    return tuple(float(c) for c in (COLOURS[colour] if isinstance(colour, str) else colour))


def _smooth(points, rounds: int = 3) -> np.ndarray:
    """A closed polygon with its corners cut (Chaikin 1974)."""
    p = np.asarray(points, float)
    for _ in range(rounds):
        after = np.roll(p, -1, axis=0)
        p = np.stack([0.75 * p + 0.25 * after, 0.25 * p + 0.75 * after], 1).reshape(-1, 2)
    return p


def _ellipse(cx, cy, rx, ry, tilt=0.0, start=0.0, end=360.0) -> np.ndarray:
    t = np.radians(np.linspace(start, end, 40, endpoint=end - start < 360))
    return _turn(np.stack([rx * np.cos(t), ry * np.sin(t)], 1), tilt) + (cx, cy)


def _turn(points, degrees: float) -> np.ndarray:
    a = np.radians(degrees)
    return np.asarray(points, float) @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])


# ---------------------------------------------------------------- the parts, each in its own frame
# A drawing is a list of strokes (how to draw it, points, colour, width). Beak: points along +x; crest: up, -y;
# wing: centred, towards -x; tail: along -x; feet: down, +y. One unit is one pixel at scale 1.


def _fill(points, colour, outline=1.3):
    return (_Canvas.fill, np.asarray(points, float), colour, outline)


def _line(points, colour, width):
    return (_Canvas.line, np.asarray(points, float), colour, width)


def _beak(shape, main, second):
    if shape == "cone":
        return [
            _fill(_smooth([(-5, -14), (6, -13), (38, 1), (6, 13), (-5, 13)], 2), main),
            _fill(_smooth([(-4, 1), (37, 1), (6, 13), (-5, 13)], 1), second, 0),
        ]
    if shape == "hook":
        return [
            _fill(_smooth([(-5, 4), (14, 3), (20, 10), (10, 15), (-5, 13)], 2), second),
            _fill(
                _smooth(
                    [(-6, -16), (16, -17), (34, -6), (36, 14), (30, 19), (25, 6), (10, 4), (-6, 4)],
                    2,
                ),
                main,
            ),
        ]
    if shape == "needle":
        return [
            _fill(_smooth([(-4, -7), (24, -6), (54, 7), (54, 9), (24, 2), (-4, 7)], 1), main),
            _line([(4, 0), (24, -2), (50, 7)], second, 1.6),
        ]
    return [
        _fill(
            _smooth(
                [
                    (-5, -7),
                    (20, -5),
                    (28, -13),
                    (44, -12),
                    (49, 1),
                    (43, 13),
                    (28, 13),
                    (20, 6),
                    (-5, 7),
                ],
                2,
            ),
            main,
        ),
        _fill(_ellipse(37, 0, 7, 6), second, 0),
    ]  # spoon


def _crest(shape, main, second):
    if shape == "spikes":
        strokes = []
        for angle, length in ((-46, 40), (-16, 48), (14, 42)):
            spike = _turn(
                [(-8, 8), (-5, -length * 0.5), (0, -length), (5, -length * 0.5), (8, 8)], angle
            )
            strokes += [
                _fill(spike, main),
                _fill(_ellipse(*_turn([(0, -length * 0.86)], angle)[0], 5, 5), second, 0.8),
            ]
        return strokes
    if shape == "fan":
        return [_fill(np.vstack([_ellipse(0, 4, 36, 44, 0, 205, 335), [(0, 8)]]), main)] + [
            _line([_turn([(0, 2)], a)[0], _turn([(0, -32)], a)[0]], second, 2.6)
            for a in (-44, -15, 15, 44)
        ]
    if shape == "plume":
        return [
            _fill(
                _smooth(
                    [
                        (-6, 8),
                        (-9, -16),
                        (-26, -38),
                        (-48, -34),
                        (-46, -22),
                        (-30, -24),
                        (-18, -10),
                        (8, 8),
                    ],
                    2,
                ),
                main,
            ),
            _fill(_ellipse(-44, -28, 11, 11), second),
        ]
    lobes = ((-22, -8, 11), (-8, -20, 13), (10, -20, 13), (22, -6, 11))  # comb
    return [_fill(_ellipse(x, y, r, r + 4), main) for x, y, r in lobes] + [
        _fill(_ellipse(0, 2, 24, 12), main, 0),
        _fill(_ellipse(-2, -2, 16, 5), second, 0),
    ]


def _wing(shape, main, second):
    blade = _smooth([(30, -10), (8, -24), (-24, -20), (-50, 10), (-40, 16), (0, 24), (24, 14)], 3)
    strokes = [_fill(blade, main)]
    if shape == "bars":
        strokes += [
            _line([(x + 6, -17), (x - 4, 0), (x - 1, 18)], second, 4.2) for x in (14, 0, -14)
        ]
    elif shape == "spots":
        strokes += [
            _fill(_ellipse(x, y, 4.6, 4.6), second, 0)
            for x, y in (
                (14, -6),
                (10, 9),
                (-2, -14),
                (-5, 2),
                (-10, 15),
                (-20, -8),
                (-24, 7),
                (-37, 8),
            )
        ]
    elif shape == "tipped":
        strokes += [
            _fill(
                _smooth([(-14, -21), (-24, -20), (-50, 10), (-40, 16), (-12, 22), (-18, 0)], 2),
                second,
                0,
            )
        ]
    else:  # scales
        strokes += [
            _line(_ellipse(x, y, 8, 8, 0, 90, 270), second, 2.6)
            for x, y in (
                (20, -4),
                (20, 9),
                (6, -10),
                (6, 4),
                (4, 16),
                (-9, -12),
                (-9, 2),
                (-12, 14),
                (-24, -6),
                (-25, 8),
            )
        ]
    return strokes


def _tail(shape, main, second):
    if shape == "fork":
        prongs = (
            [(8, -8), (-30, -14), (-68, -30), (-60, -14), (-22, 4), (8, 8)],
            [(8, -8), (-22, -2), (-60, 20), (-68, 34), (-30, 16), (8, 8)],
        )
        return [_fill(_smooth(p, 1), main) for p in prongs] + [
            _line([(-20, -8), (-58, -22)], second, 3.2),
            _line([(-20, 8), (-58, 26)], second, 3.2),
        ]
    if shape == "fan":
        return [
            _fill(np.vstack([_ellipse(8, 0, 66, 50, 0, 145, 215), [(10, 8), (10, -8)]]), main),
            _line(_ellipse(8, 0, 54, 41, 0, 146, 214), second, 6),
        ] + [
            _line(
                [(-4, 0), (8 + 62 * np.cos(np.radians(a)), 46 * np.sin(np.radians(a)))],
                tuple(0.6 * c for c in _rgb(main)),
                1.6,
            )
            for a in (160, 180, 200)
        ]
    if shape == "streamer":
        return [
            _fill(_smooth([(8, -9), (-30, -7), (-58, 4), (-56, 10), (-30, 5), (8, 9)], 2), main),
            _fill([(-46, 6), (-60, -9), (-75, 8), (-60, 21)], second),
        ]
    return [
        _fill([(8, -9), (-60, -21), (-63, 23), (8, 10)], main),  # square
        _fill([(-30, -15.5), (-41, -17.5), (-43, 18.5), (-31, 15)], second, 0),
    ]


def _feet(shape, main, second):
    strokes = []
    for x in (-13, 13):
        if shape == "toes":
            strokes += [
                _line([(x, -8), (x, 30)], main, 5),
                _line([(x - 13, 37), (x, 30), (x + 14, 37)], main, 4.4),
                _line([(x, 30), (x + 2, 39)], main, 4.4),
                _fill(_ellipse(x, 12, 5, 4), second, 0),
            ]
        elif shape == "webbed":
            strokes += [
                _line([(x, -8), (x, 24)], main, 6),
                _fill(
                    _smooth(
                        [
                            (x - 1, 19),
                            (x + 20, 36),
                            (x + 8, 34),
                            (x + 1, 40),
                            (x - 5, 34),
                            (x - 15, 37),
                        ],
                        1,
                    ),
                    main,
                ),
                _line([(x, 24), (x + 2, 37)], second, 1.8),
            ]
        elif shape == "trousers":
            strokes += [
                _line([(x - 10, 38), (x, 31), (x + 12, 38)], second, 5),
                _fill(
                    _smooth(
                        [
                            (x - 13, -8),
                            (x + 12, -8),
                            (x + 9, 18),
                            (x + 3, 31),
                            (x - 4, 31),
                            (x - 10, 16),
                        ],
                        2,
                    ),
                    main,
                ),
            ]
        else:  # stilts
            strokes += [
                _line([(x, -8), (x + 3, 16), (x - 1, 42)], main, 4.6),
                _line([(x - 8, 44), (x + 12, 44)], main, 4.6),
            ]
            strokes += [
                _line([(x + 3 - d, y), (x + 3 - d, y + 5)], second, 5.4)
                for d, y in ((1, 4), (1, 20), (3, 31))
            ]
    return strokes


_DRAW = {"beak": _beak, "crest": _crest, "wing": _wing, "tail": _tail, "feet": _feet}


# ---------------------------------------------------------------- a bird and its surroundings


def _bird_strokes(variants, parts, rng) -> list[tuple[int, tuple]]:
    """(owner, stroke) of a posed bird facing right around (0, 0), in painting order."""
    turn = {
        "head": rng.uniform(-12, 12),
        "beak": rng.uniform(-10, 10),
        "crest": rng.uniform(-10, 10),
        "wing": rng.uniform(-14, 10),
        "tail": rng.uniform(-16, 20),
        "feet": rng.uniform(-7, 7),
    }
    neck = np.array([30.0, -16.0])
    head = neck + _turn([(22, -30)], turn["head"])[0] + (0, rng.uniform(-4, 6))
    place = {
        "beak": head + _turn([(19, 2)], turn["head"])[0],
        "crest": head + _turn([(-6, -16)], turn["head"])[0],
        "wing": np.array([-6.0, -5.0]),
        "tail": np.array([-42.0, 4.0]),
        "feet": np.array([0.0, 30.0]),
    }
    body = np.array(
        rng.choice(
            [
                (150, 128, 108),
                (120, 126, 136),
                (172, 156, 128),
                (108, 100, 92),
                (186, 178, 166),
                (134, 116, 128),
            ]
        )
    ) * rng.uniform(0.85, 1.1)
    belly = np.minimum(body * 1.22 + 12, 255)

    def drawn(part):
        if part not in parts:
            return []
        owner, variant = PARTS.index(part) + 1, VARIANTS[part][variants[PARTS.index(part)]]
        whole = turn[part] + (turn["head"] if part in ("beak", "crest") else 0)
        return [
            (owner, (draw, _turn(points, whole) + place[part], colour, width))
            for draw, points, colour, width in _DRAW[part](*variant)
        ]

    torso = _smooth(
        [(-50, 0), (-34, -26), (0, -33), (30, -28), (50, -6), (40, 22), (8, 34), (-28, 26)], 3
    )
    throat = np.array([neck + (-16, 2), head + (-17, 4), head + (16, 8), neck + (18, 10)])
    eye = head + _turn([(6, -4)], turn["head"])[0]
    chest = _smooth([(-24, 14), (12, 8), (40, 6), (34, 20), (6, 30)], 2)
    bulk = [
        _fill(torso, body),
        _fill(_smooth(throat, 1), body, 0),
        _fill(_ellipse(*head, 22, 21), body),
        _fill(_smooth(throat + (0, 3), 1), body, 0),
        _fill(chest, belly, 0),
    ]
    face = [
        _fill(_ellipse(*eye, 5.6, 5.6), (250, 250, 246)),
        _fill(_ellipse(*(eye + (1, 0)), 3.2, 3.2), (18, 18, 22), 0),
        _fill(_ellipse(*(eye + (2, -1.4)), 1.1, 1.1), (255, 255, 255), 0),
    ]
    return (
        drawn("tail")
        + drawn("feet")
        + drawn("crest")
        + [(BODY, stroke) for stroke in bulk]
        + drawn("wing")
        + drawn("beak")
        + [(BODY, stroke) for stroke in face]
    )


def _placed(strokes, rng):
    """The strokes moved to a random place, scale, slant and mirroring that keep them in the scene."""
    slant, mirror = rng.uniform(-9, 9), rng.choice([-1.0, 1.0])
    moved = [_turn(points, slant) * (mirror, 1.0) for _, (_, points, _, _) in strokes]
    low, high = np.vstack(moved).min(0), np.vstack(moved).max(0)
    scale = min(rng.uniform(0.74, 0.97), *((SIZE - 14) / (high - low)))
    room = SIZE - 14 - (high - low) * scale
    shift = 7 + rng.uniform(0, 1, 2) * room - low * scale
    return [
        (owner, (draw, points * scale + shift, colour, width * scale))
        for (owner, (draw, _, colour, width)), points in zip(strokes, moved)
    ]


def _background(kind: str, rng) -> np.ndarray:
    """(224, 224, 3) uint8: noise of several octaves, run through the three colours of its kind."""
    stretch = {"water": (1, 4), "sky": (1, 2), "dusk": (1, 4), "meadow": (3, 1)}.get(kind, (1, 1))
    field = np.zeros((SIZE, SIZE), np.float32)
    for octave, cells in enumerate((3, 6, 12, 28, 64)):
        grid = rng.standard_normal(
            (max(2, cells // stretch[0] + 1), max(2, cells // stretch[1] + 1))
        ).astype(np.float32)
        field += cv2.resize(grid, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) * 0.56**octave
    field += np.linspace(-1.0, 1.0, SIZE, dtype=np.float32)[:, None] * rng.uniform(-1, 1)
    level = np.clip((field - field.mean()) / (4 * field.std()) + 0.5, 0, 1)[..., None] * 2
    low, mid, high = (np.array(c, np.float32) * rng.uniform(0.9, 1.08) for c in BACKGROUNDS[kind])
    rgb = np.where(level < 1, low + (mid - low) * level, mid + (high - mid) * (level - 1))
    return np.clip(rgb, 0, 255).astype(np.uint8)


def _distractors(canvas: _Canvas, rng) -> None:
    """Leaves, berries, twigs and blossoms, none of which goes with a class."""
    for _ in range(rng.integers(4, 10)):
        kind, centre = rng.choice(["leaf", "berry", "twig", "blossom"]), rng.uniform(0, SIZE, 2)
        size, angle = rng.uniform(7, 15), rng.uniform(0, 360)
        colour = np.clip(
            np.array(COLOURS[rng.choice(list(COLOURS))]) * rng.uniform(0.5, 0.9) + 24, 0, 255
        )
        if kind == "leaf":
            leaf = _smooth([(-1.7, 0), (-0.4, -0.7), (1.8, 0), (-0.4, 0.7)], 2) * size
            canvas.fill(_turn(leaf, angle) + centre, colour, 0.8)
            canvas.line(
                _turn(np.array([(-1.4, 0), (1.4, 0)]) * size, angle) + centre, colour * 0.6, 1.1
            )
        elif kind == "berry":
            canvas.fill(_ellipse(*centre, size * 0.6, size * 0.6), colour, 0.8)
            canvas.fill(_ellipse(*(centre - size * 0.2), size * 0.15, size * 0.15), (255, 255, 255))
        elif kind == "twig":
            twig = np.array([(-4, 0), (-1, 0.4), (1, -0.3), (4, 0.5)]) * size
            canvas.line(_turn(twig, angle) + centre, (84, 66, 50), rng.uniform(2, 4.5))
        else:
            for turn in np.arange(5) * 72 + angle:
                petal = centre + _turn([(size * 0.55, 0)], turn)[0]
                canvas.fill(_ellipse(*petal, size * 0.45, size * 0.3, turn), colour)
            canvas.fill(_ellipse(*centre, size * 0.25, size * 0.25), (240, 214, 90))


def _lit(rgb: np.ndarray, owner: np.ndarray, rng) -> np.ndarray:
    """A soft shadow on the background, light from above on the bird, and a little sensor noise."""
    bird = (owner > 0).astype(np.float32)
    height = cv2.GaussianBlur(bird, (0, 0), 9)
    light = (
        0.9 * bird * (np.roll(height, -6, 0) - np.roll(height, 6, 0))
    )  # brighter at the upper edge
    shadow = 0.34 * (1 - bird) * cv2.GaussianBlur(np.roll(bird, (7, 4), (0, 1)), (0, 0), 5)
    out = rgb.astype(np.float32) * (1 + 0.45 * light - shadow)[..., None]
    return np.clip(out + rng.normal(0, 2.0, rgb.shape), 0, 255).astype(np.uint8)


@dataclass
class Scene:
    """A drawn scene and what is true of it."""

    image: np.ndarray  # (224, 224, 3) uint8, RGB
    variants: tuple[int, ...]  # of each of PARTS
    masks: dict[str, np.ndarray]  # part drawn -> (224, 224) bool, its visible pixels
    boxes: dict[
        str, tuple[int, int, int, int]
    ]  # part drawn -> x0, y0, x1, y1; the last row and column belong to it
    background: str
    labels: np.ndarray  # (224, 224) uint8, 1 .. 7: which of LABEL_NAMES each pixel shows


def draw_scene(variants, seed, parts=PARTS, background: str | None = None) -> Scene:
    """Draw a bird with these variants (one of VARIANTS for each of PARTS) in a random scene.

    seed: an int or a sequence of ints; the same seed draws the same scene. parts: those to draw,
    the others are left out. background: one of BACKGROUNDS, or None for a random one.
    """
    rng = np.random.default_rng(seed)
    background = background or str(rng.choice(list(BACKGROUNDS)))
    canvas = _Canvas(_background(background, rng))
    _distractors(canvas, rng)
    _draw(canvas, _placed(_bird_strokes(variants, parts, rng), rng))
    rgb, owner = canvas.finish()
    masks = {part: owner == PARTS.index(part) + 1 for part in PARTS if part in parts}
    return _described(_lit(rgb, owner, rng), owner, variants, masks, background)


def draw_between(variants, others, seed, weight: float = 0.5) -> Scene:
    """A scene between two birds: both drawn in one pose and place, weight of the second's colours mixed into the first's.

    Pixels differ from either bird's only about the parts in which the two differ. A part's mask is what it covers in either.
    """
    rng = np.random.default_rng(seed)
    background = str(rng.choice(list(BACKGROUNDS)))
    canvas = _Canvas(_background(background, rng))
    _distractors(canvas, rng)
    twin = deepcopy(rng)  # the same pose for both
    first, second = _bird_strokes(variants, PARTS, rng), _bird_strokes(others, PARTS, twin)
    placed = _placed(first + second, rng)
    drawn = []  # (rgb, owner) of each
    for strokes in (placed[: len(first)], placed[len(first) :]):
        sheet = deepcopy(canvas)
        _draw(sheet, strokes)
        drawn.append(sheet.finish())
    (rgb, owner), (rgb2, owner2) = drawn
    mixed = np.round((1 - weight) * rgb + weight * rgb2).astype(np.uint8)
    masks = {part: (owner == i) | (owner2 == i) for i, part in enumerate(PARTS, 1)}
    owner = np.where(owner, owner, owner2)
    return _described(_lit(mixed, owner, rng), owner, variants, masks, background)


def _draw(canvas: _Canvas, placed) -> None:
    for owner, (draw, points, colour, width) in placed:
        draw(canvas, points, colour, width, owner)


def _described(
    image: np.ndarray, owner: np.ndarray, variants, masks: dict[str, np.ndarray], background: str
) -> Scene:
    boxes = {}
    for part, mask in masks.items():
        ys, xs = np.nonzero(mask)
        boxes[part] = (int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max()))
    return Scene(
        image,
        tuple(variants),
        masks,
        boxes,
        background,
        np.where(owner == 0, BACKGROUND, owner).astype(np.uint8),
    )


def main() -> None:
    """Draw the bundled scenes, one of each class, into Images/."""
    folder = Path(__file__).resolve().parent.parent / "Images"
    folder.mkdir(exist_ok=True)
    for category, (name, variants) in enumerate(CLASSES):
        scene = draw_scene(variants, [1, category])
        cv2.imwrite(
            str(folder / (name.replace(" ", "_").replace("'", "") + ".png")), scene.image[..., ::-1]
        )


if __name__ == "__main__":
    main()
