"""How figures look: dark for the screen, or white for the column of a paper.

    style = paper(width=3.3)                # inches, as a column of a two-column page
    style = with_limits(DARK, max_nodes=20)

Light on purpose: the commands import it before PyTorch and matplotlib.
"""

from dataclasses import dataclass, replace
from typing import Literal

Hidden = Literal["dim", "black", "outline", "baseline"]  # how the hidden part of an image is drawn
Pictures = Literal["all", "graph", "none"]  # what is drawn of an image
FORMATS: tuple[Literal["png", "svg", "pdf"], ...] = ("png", "svg", "pdf")
POINTS_PER_INCH = 72


@dataclass(frozen=True, kw_only=True)
class Style:
    """Colours and measures of a figure; lengths and text sizes in points."""

    name: str
    # Colours
    background: str
    ink: str
    muted: str
    root: str  # bar of what is enough, and frame of roots
    frame: str | None = None  # of roots, where it is another
    bar: str  # bar of other sets
    track: str  # the rest of a bar, and frames of other sets
    removed: str  # names of removed patches
    edge: str
    # Measures
    node: float  # side of a node's image
    gap: float  # between nodes
    rise: float  # between rows, with the labels of the edges
    text: float  # size of percentages; titles are larger
    small: float  # size of all other text
    dpi: int  # of PNG files
    sign: Literal["−", "+"] = "−"  # at edges: the patch goes, or shows again
    width: float | None = None  # of the whole figure; None: as wide as the graph
    # Limits of the graph
    max_nodes: int
    max_in_row: int  # nodes beside each other
    max_steps: int  # rows below each root

    @property
    def is_paper(self) -> bool:
        """Whether the figure is for print, on white."""
        return self.name == "paper"

    @property
    def ending(self) -> str:
        """What follows the names of figures in this style."""
        return "_paper" if self.is_paper else ""


DARK = Style(
    name="dark",
    background="black",
    ink="white",
    muted="#b5b5b5",
    root="#ffc247",
    bar="#7fb2d9",
    track="#4a4a4a",
    removed="#ff6b6b",
    edge="white",
    node=116,
    gap=12,
    rise=100,
    text=15,
    small=10.5,
    dpi=144,
    max_nodes=40,
    max_in_row=8,
    max_steps=60,
)


def paper(width: float = 3.3) -> Style:
    """Return the style for print: white, with no text below 6 points.

    Args:
        width: Width of the figure in inches; the graph has at most as many nodes as fit.
    """
    points = POINTS_PER_INCH * width
    margins = 8
    gap = 4.8
    node = 42
    return Style(
        name="paper",
        background="white",
        ink="black",
        muted="#555555",
        root="#b35900",
        bar="#5b7f9c",
        track="#c9c9c9",
        removed="#c01818",
        edge="#4a4a4a",
        node=node,
        gap=gap,
        rise=36,
        text=7.5,
        small=6.2,
        dpi=400,
        width=points,
        max_nodes=round(8 * width),
        max_in_row=max(1, int((points - margins + gap) // (node + gap))),
        max_steps=5,
    )


def with_limits(style: Style, max_nodes: int | None) -> Style:
    """Return the style with at most this many nodes in the graph; None keeps the style's number."""
    if max_nodes is None:
        return style
    if style.width is not None:
        return replace(style, max_nodes=max_nodes)
    return replace(style, max_nodes=max_nodes, max_in_row=max(style.max_in_row, max_nodes // 5))
