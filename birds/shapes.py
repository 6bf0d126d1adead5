"""The shapes that a bird is drawn from: strokes, and the canvas that they are painted on.

A drawing is a list of strokes. Each part of a bird has several shapes, and each shape has a
function of a main colour and a second one for its pattern. It draws in the part's own frame, where
one unit is one pixel at scale 1. Beak: towards +x; crest: up, -y; wing: centred, towards -x; tail:
along -x; feet: down, +y.

    strokes = DRAWINGS["beak", "hook"]("black", "yellow")
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

SIZE = 224  # side of a scene, pixels
FINE = 3  # drawn this many times larger, then averaged down: anti-aliasing
FRACTION = 4  # fractional bits of the coordinates that OpenCV gets

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

Colour = str | Sequence[float] | np.ndarray  # a name of COLOURS, or RGB in 0..255


@dataclass(frozen=True)
class Stroke:
    """A filled polygon, or an open line, on the canvas.

    Attributes:
        points: (N, 2) array, x and y.
        colour: of the fill or the line.
        width: of the polygon's dark outline (0: none), or of the line.
        filled: whether it is a polygon.
        owner: what the pixels belong to: 1 .. 5 a part, 6 the body; None: nothing.
    """

    points: np.ndarray
    colour: Colour
    width: float
    filled: bool
    owner: int | None = None


def fill(points, colour: Colour, outline: float = 1.3) -> Stroke:
    """Return a filled polygon with a dark outline of this width."""
    return Stroke(np.asarray(points, float), colour, outline, filled=True)


def line(points, colour: Colour, width: float) -> Stroke:
    """Return an open line."""
    return Stroke(np.asarray(points, float), colour, width, filled=False)


class Canvas:
    """An image at FINE times the size and, beside it, which part owns each pixel."""

    def __init__(self, background: np.ndarray):
        side = SIZE * FINE
        self.rgb = cv2.resize(background, (side, side), interpolation=cv2.INTER_LINEAR)
        self.owner = np.zeros((side, side), np.uint8)

    def draw(self, stroke: Stroke) -> None:
        """Paint a stroke whose points and width are in pixels of the scene."""
        points = [np.round(stroke.points * FINE * 2**FRACTION).astype(np.int32)]
        thickness = max(1, round(stroke.width * FINE))
        colour = rgb(stroke.colour)
        if stroke.filled:
            _polygon(self.rgb, points, colour, smooth_edges=True)
            if stroke.width:
                dark = tuple(0.45 * c for c in colour)
                _lines(self.rgb, points, dark, thickness=thickness, closed=True)
            if stroke.owner is not None:
                _polygon(self.owner, points, stroke.owner, smooth_edges=False)
            return
        _lines(self.rgb, points, colour, thickness=thickness)
        if stroke.owner is not None:
            _lines(self.owner, points, stroke.owner, thickness=thickness, smooth_edges=False)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the image (224, 224, 3) uint8, averaged down, and the owners (224, 224)."""
        image = cv2.resize(self.rgb, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        return image, self.owner[FINE // 2 :: FINE, FINE // 2 :: FINE]


def _polygon(array: np.ndarray, points: list, value, *, smooth_edges: bool) -> None:
    kind = cv2.LINE_AA if smooth_edges else cv2.LINE_8
    cv2.fillPoly(array, points, color=value, lineType=kind, shift=FRACTION)


def _lines(
    array: np.ndarray,
    points: list,
    value,
    *,
    thickness: int,
    closed: bool = False,
    smooth_edges: bool = True,
) -> None:
    kind = cv2.LINE_AA if smooth_edges else cv2.LINE_8
    cv2.polylines(
        array,
        points,
        isClosed=closed,
        color=value,
        thickness=thickness,
        lineType=kind,
        shift=FRACTION,
    )


# ---------------------------------------------------------------- geometry


def rgb(colour: Colour) -> tuple[float, ...]:
    """Return a colour's red, green and blue, 0..255."""
    values = COLOURS[colour] if isinstance(colour, str) else colour
    return tuple(float(c) for c in values)


def at(points: str) -> np.ndarray:
    """Return the points (N, 2) of a text such as "0,4 -3,2", as SVG's polygons have them."""
    return np.array([[float(v) for v in point.split(",")] for point in points.split()])


def smooth(points, rounds: int = 3) -> np.ndarray:
    """Return a closed polygon with its corners cut (Chaikin 1974)."""
    p = np.asarray(points, float)
    for _ in range(rounds):
        after = np.roll(p, -1, axis=0)
        p = np.stack([0.75 * p + 0.25 * after, 0.25 * p + 0.75 * after], 1).reshape(-1, 2)
    return p


def turned(points, degrees: float) -> np.ndarray:
    """Return points (N, 2) rotated about (0, 0)."""
    a = np.radians(degrees)
    return np.asarray(points, float) @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])


def turned_point(x: float, y: float, degrees: float) -> np.ndarray:
    """Return one point (2,) rotated about (0, 0)."""
    return turned([(x, y)], degrees)[0]


def ellipse(centre, rx: float, ry: float, tilt: float = 0.0) -> np.ndarray:
    """Return an ellipse as a polygon (40, 2)."""
    t = np.radians(np.linspace(0.0, 360.0, 40, endpoint=False))
    return turned(np.stack([rx * np.cos(t), ry * np.sin(t)], 1), tilt) + centre


def arc(centre, rx: float, ry: float, *, start: float, end: float) -> np.ndarray:
    """Return an ellipse's arc (40, 2) from one angle to another, in degrees."""
    t = np.radians(np.linspace(start, end, 40))
    return turned(np.stack([rx * np.cos(t), ry * np.sin(t)], 1), 0.0) + centre


# ---------------------------------------------------------------- beaks


def _beak_cone(main: Colour, second: Colour) -> list[Stroke]:
    return [
        fill(smooth(at("-5,-14 6,-13 38,1 6,13 -5,13"), 2), main),
        fill(smooth(at("-4,1 37,1 6,13 -5,13"), 1), second, 0),
    ]


def _beak_hook(main: Colour, second: Colour) -> list[Stroke]:
    upper = at("-6,-16 16,-17 34,-6 36,14 30,19 25,6 10,4 -6,4")
    return [
        fill(smooth(at("-5,4 14,3 20,10 10,15 -5,13"), 2), second),
        fill(smooth(upper, 2), main),
    ]


def _beak_needle(main: Colour, second: Colour) -> list[Stroke]:
    return [
        fill(smooth(at("-4,-7 24,-6 54,7 54,9 24,2 -4,7"), 1), main),
        line(at("4,0 24,-2 50,7"), second, 1.6),
    ]


def _beak_spoon(main: Colour, second: Colour) -> list[Stroke]:
    blade = at("-5,-7 20,-5 28,-13 44,-12 49,1 43,13 28,13 20,6 -5,7")
    return [fill(smooth(blade, 2), main), fill(ellipse((37, 0), 7, 6), second, 0)]


# ---------------------------------------------------------------- crests


def _crest_spikes(main: Colour, second: Colour) -> list[Stroke]:
    strokes = []
    for angle, length in ((-46, 40), (-16, 48), (14, 42)):
        half = -length * 0.5
        spike = [(-8, 8), (-5, half), (0, -length), (5, half), (8, 8)]
        tip = turned_point(0, -length * 0.86, angle)
        strokes.append(fill(turned(spike, angle), main))
        strokes.append(fill(ellipse(tip, 5, 5), second, 0.8))
    return strokes


def _crest_fan(main: Colour, second: Colour) -> list[Stroke]:
    strokes = [fill(np.vstack([arc((0, 4), 36, 44, start=205, end=335), [(0, 8)]]), main)]
    for angle in (-44, -15, 15, 44):
        rib = [turned_point(0, 2, angle), turned_point(0, -32, angle)]
        strokes.append(line(rib, second, 2.6))
    return strokes


def _crest_plume(main: Colour, second: Colour) -> list[Stroke]:
    plume = at("-6,8 -9,-16 -26,-38 -48,-34 -46,-22 -30,-24 -18,-10 8,8")
    return [fill(smooth(plume, 2), main), fill(ellipse((-44, -28), 11, 11), second)]


def _crest_comb(main: Colour, second: Colour) -> list[Stroke]:
    lobes = ((-22, -8, 11), (-8, -20, 13), (10, -20, 13), (22, -6, 11))
    strokes = [fill(ellipse((x, y), r, r + 4), main) for x, y, r in lobes]
    strokes.append(fill(ellipse((0, 2), 24, 12), main, 0))
    strokes.append(fill(ellipse((-2, -2), 16, 5), second, 0))
    return strokes


# ---------------------------------------------------------------- wings


def _wing_blade(main: Colour) -> Stroke:
    return fill(smooth(at("30,-10 8,-24 -24,-20 -50,10 -40,16 0,24 24,14"), 3), main)


def _wing_bars(main: Colour, second: Colour) -> list[Stroke]:
    bars = [line([(x + 6, -17), (x - 4, 0), (x - 1, 18)], second, 4.2) for x in (14, 0, -14)]
    return [_wing_blade(main), *bars]


def _wing_spots(main: Colour, second: Colour) -> list[Stroke]:
    centres = at("14,-6 10,9 -2,-14 -5,2 -10,15 -20,-8 -24,7 -37,8")
    spots = [fill(ellipse(centre, 4.6, 4.6), second, 0) for centre in centres]
    return [_wing_blade(main), *spots]


def _wing_tipped(main: Colour, second: Colour) -> list[Stroke]:
    tip = at("-14,-21 -24,-20 -50,10 -40,16 -12,22 -18,0")
    return [_wing_blade(main), fill(smooth(tip, 2), second, 0)]


def _wing_scales(main: Colour, second: Colour) -> list[Stroke]:
    centres = at("20,-4 20,9 6,-10 6,4 4,16 -9,-12 -9,2 -12,14 -24,-6 -25,8")
    scales = [line(arc(centre, 8, 8, start=90, end=270), second, 2.6) for centre in centres]
    return [_wing_blade(main), *scales]


# ---------------------------------------------------------------- tails


def _tail_fork(main: Colour, second: Colour) -> list[Stroke]:
    return [
        fill(smooth(at("8,-8 -30,-14 -68,-30 -60,-14 -22,4 8,8"), 1), main),
        fill(smooth(at("8,-8 -22,-2 -60,20 -68,34 -30,16 8,8"), 1), main),
        line(at("-20,-8 -58,-22"), second, 3.2),
        line(at("-20,8 -58,26"), second, 3.2),
    ]


def _tail_fan(main: Colour, second: Colour) -> list[Stroke]:
    outline = np.vstack([arc((8, 0), 66, 50, start=145, end=215), [(10, 8), (10, -8)]])
    dark = tuple(0.6 * c for c in rgb(main))
    ends = [(8 + 62 * np.cos(a), 46 * np.sin(a)) for a in np.radians((160, 180, 200))]
    return [
        fill(outline, main),
        line(arc((8, 0), 54, 41, start=146, end=214), second, 6),
        *(line([(-4, 0), end], dark, 1.6) for end in ends),
    ]


def _tail_streamer(main: Colour, second: Colour) -> list[Stroke]:
    return [
        fill(smooth(at("8,-9 -30,-7 -58,4 -56,10 -30,5 8,9"), 2), main),
        fill(at("-46,6 -60,-9 -75,8 -60,21"), second),
    ]


def _tail_square(main: Colour, second: Colour) -> list[Stroke]:
    return [
        fill(at("8,-9 -60,-21 -63,23 8,10"), main),
        fill(at("-30,-15.5 -41,-17.5 -43,18.5 -31,15"), second, 0),
    ]


# ---------------------------------------------------------------- feet


def _feet_toes(main: Colour, second: Colour, x: float) -> list[Stroke]:
    return [
        line([(x, -8), (x, 30)], main, 5),
        line([(x - 13, 37), (x, 30), (x + 14, 37)], main, 4.4),
        line([(x, 30), (x + 2, 39)], main, 4.4),
        fill(ellipse((x, 12), 5, 4), second, 0),
    ]


def _feet_webbed(main: Colour, second: Colour, x: float) -> list[Stroke]:
    web = at("-1,19 20,36 8,34 1,40 -5,34 -15,37") + (x, 0)
    return [
        line([(x, -8), (x, 24)], main, 6),
        fill(smooth(web, 1), main),
        line([(x, 24), (x + 2, 37)], second, 1.8),
    ]


def _feet_trousers(main: Colour, second: Colour, x: float) -> list[Stroke]:
    leg = at("-13,-8 12,-8 9,18 3,31 -4,31 -10,16") + (x, 0)
    return [
        line([(x - 10, 38), (x, 31), (x + 12, 38)], second, 5),
        fill(smooth(leg, 2), main),
    ]


def _feet_stilts(main: Colour, second: Colour, x: float) -> list[Stroke]:
    strokes = [
        line([(x, -8), (x + 3, 16), (x - 1, 42)], main, 4.6),
        line([(x - 8, 44), (x + 12, 44)], main, 4.6),
    ]
    for offset, y in ((2, 4), (2, 20), (0, 31)):
        strokes.append(line([(x + offset, y), (x + offset, y + 5)], second, 5.4))
    return strokes


def _both_feet(one_foot: Callable[[Colour, Colour, float], list[Stroke]]):
    def drawing(main: Colour, second: Colour) -> list[Stroke]:
        return one_foot(main, second, -13) + one_foot(main, second, 13)

    return drawing


# part, shape -> a function of the two colours that returns strokes
DRAWINGS: dict[tuple[str, str], Callable[[Colour, Colour], list[Stroke]]] = {
    ("beak", "cone"): _beak_cone,
    ("beak", "hook"): _beak_hook,
    ("beak", "needle"): _beak_needle,
    ("beak", "spoon"): _beak_spoon,
    ("crest", "spikes"): _crest_spikes,
    ("crest", "fan"): _crest_fan,
    ("crest", "plume"): _crest_plume,
    ("crest", "comb"): _crest_comb,
    ("wing", "bars"): _wing_bars,
    ("wing", "spots"): _wing_spots,
    ("wing", "tipped"): _wing_tipped,
    ("wing", "scales"): _wing_scales,
    ("tail", "fork"): _tail_fork,
    ("tail", "fan"): _tail_fan,
    ("tail", "streamer"): _tail_streamer,
    ("tail", "square"): _tail_square,
    ("feet", "toes"): _both_feet(_feet_toes),
    ("feet", "webbed"): _both_feet(_feet_webbed),
    ("feet", "trousers"): _both_feet(_feet_trousers),
    ("feet", "stilts"): _both_feet(_feet_stilts),
}
