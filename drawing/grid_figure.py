"""The image with the number of every patch, or the name of every region: gridimage.png."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from drawing.masked_images import MaskedImages, centres
from drawing.png import save_png
from drawing.text import font
from scoring.regions import Regions

WIDTH = 704  # pixels
MARGIN = 0.05  # around the image, of the width and of the height; for half of the outer numbers
LINE = 166  # opacity of the lines between patches, of 255
DPI = 110
POINT = DPI / 72  # pixels
RAISED = 0.1  # how much higher labels are, of their size: most have nothing below the line
MANY_REGIONS = 30  # above so many, names are smaller


@dataclass(frozen=True)
class Label:
    """A number or name at a pixel of the image."""

    text: str
    x: float
    y: float


@dataclass(frozen=True)
class Place:
    """Where the image lies in the figure, and how much larger it is there.

    Attributes:
        left, top, width, height: In pixels of the figure.
        image_size: Height and width of the image in its own pixels.
    """

    left: int
    top: int
    width: int
    height: int
    image_size: tuple[int, int]

    def x(self, pixel: float) -> float:
        """Return where a pixel's centre is in the figure, from the left."""
        return self.left + (pixel + 0.5) * self.width / self.image_size[1]

    def y(self, pixel: float) -> float:
        """Return where a pixel's centre is in the figure, from the top."""
        return self.top + (pixel + 0.5) * self.height / self.image_size[0]


def draw_grid(masked: MaskedImages, path: Path) -> None:
    """Write the image with every patch's number at its centre, or every region's name in it."""
    save_png(numbered_image(masked), path, DPI)


def numbered_image(
    masked: MaskedImages, *, background: str = "white", least_text: float = 0.0
) -> np.ndarray:
    """Return the image with every patch's number at its centre, or every region's name in it.

    The centres of the outer patches are on the image's border, so that there is a margin.

    Args:
        masked: Images of a record's patch sets.
        background: Colour of the margin, by its name.
        least_text: Least size of the text, as a share of the width; for figures that shrink it.

    Returns:
        Array (H, W, 3) uint8.
    """
    image = masked.image
    height, width = image.shape[:2]
    figure = Image.new("RGB", (WIDTH, int(WIDTH * height / width)), background)
    place = _place(figure, (height, width))
    if masked.regions:
        image = np.where(masked.regions.borders()[..., None], 255, image).astype(np.uint8)
    smooth = place.width <= 3 * width  # as matplotlib does: large pixels are left sharp
    how = Image.Resampling.HAMMING if smooth else Image.Resampling.NEAREST
    enlarged = Image.fromarray(image).resize((place.width, place.height), how)
    figure.paste(enlarged, (place.left, place.top))
    if masked.regions:
        labels, points = _names(masked.regions)
    else:
        labels, points = _numbers(masked.grid, (height, width))
        _draw_lines(figure, place, masked.grid)
    size = max(POINT * points, least_text * WIDTH)
    for label in labels:
        _write(figure, label, place=place, size=size)
    return np.asarray(figure)


def _place(figure: Image.Image, image_size: tuple[int, int]) -> Place:
    left = round(MARGIN * figure.width)
    top = round(MARGIN * figure.height)
    width = round((1 - MARGIN) * figure.width) - left
    height = round((1 - MARGIN) * figure.height) - top
    return Place(left, top, width=width, height=height, image_size=image_size)


def _draw_lines(figure: Image.Image, place: Place, grid: tuple[int, int]) -> None:
    """Draw a thin line midway between the centres of neighbouring patches."""
    lines = Image.new("L", figure.size)
    draw = ImageDraw.Draw(lines)
    ys = centres(grid[0], place.image_size[0])
    xs = centres(grid[1], place.image_size[1])
    for y in (ys[:-1] + ys[1:]) / 2:
        level = int(place.y(y))
        draw.line((place.left, level, place.left + place.width - 1, level), fill=LINE)
    for x in (xs[:-1] + xs[1:]) / 2:
        level = int(place.x(x))
        draw.line((level, place.top, level, place.top + place.height - 1), fill=LINE)
    figure.paste("white", mask=lines)


def _names(regions: Regions) -> tuple[list[Label], float]:
    """Return the name of every region at its middle, and their size in points."""
    labels = [Label(name, x, y) for name, (x, y) in zip(regions.names, regions.middles())]
    return labels, 7 if len(labels) > MANY_REGIONS else 12


def _numbers(grid: tuple[int, int], image_size: tuple[int, int]) -> tuple[list[Label], float]:
    """Return the number of every patch at its centre, and their size in points."""
    rows, columns = grid
    ys = centres(rows, image_size[0])
    xs = centres(columns, image_size[1])
    labels = []
    for patch in range(rows * columns):
        row, column = divmod(patch, columns)
        labels.append(Label(str(patch), xs[column], ys[row]))
    return labels, min(15, 90 / max(rows, columns))


def _write(figure: Image.Image, label: Label, *, place: Place, size: float) -> None:
    """Write a label in white with a black edge; size in pixels."""
    ImageDraw.Draw(figure).text(
        (place.x(label.x), place.y(label.y) - RAISED * size),
        label.text,
        fill="white",
        font=font(size, bold=True),
        anchor="mm",
        stroke_width=max(1, round(size / 10)),
        stroke_fill="black",
    )
