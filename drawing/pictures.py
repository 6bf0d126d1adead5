"""What the figures and the page share: the picture of a patch set, colours of heat, and the words for what is shown.

shown = Pictures(record, image)
shown((11, 30))                         # what the network saw of these two patches, (H, W, 3) uint8
shown((11, 30), hidden="dim")           # for a reader: the rest of the image shows faintly
"""

import cv2
import numpy as np

from get_perturbation_mask import make_baseline
from drawing.words import NO_ROOT_REASONS, conjunction, cost, joined, patch_name, percent  # noqa: F401
from scoring.patches import cells, tents
from scoring.regions import Regions

HIDDEN = (
    "dim",
    "black",
    "outline",
    "baseline",
)  # how a figure shows what was hidden from the network
DIM = 0.3  # brightness of the hidden part, on black; on white it is as pale
RED = (230, 40, 40)  # of the outline of a patch that went


def names_of(record: dict) -> list[str] | None:
    """The names of a record's regions; None where it has a grid."""
    return record["regions"]["names"] if "regions" in record else None


def why_no_root(record: dict) -> str:
    """The reason why a record has no MSE."""
    return NO_ROOT_REASONS.get(record["search"]["stopped_by"], record["search"]["stopped_by"])


# ---------------------------------------------------------------- patch sets


class Pictures:
    """Pictures of one image's patch sets.

    record: the dict of sag.json. image: (H, W, 3) uint8 RGB, at the network's input size. paper: what is hidden goes
    pale instead of dark. basis is the weight of every patch at every pixel, (patches, H * W).
    """

    def __init__(self, record: dict, image: np.ndarray, paper: bool = False):
        self.image, self.grid, self.paper = image, tuple(record["grid"]), paper
        self.squares = record["baseline"]["name"] == "drop"  # patches are rectangles of tokens
        self.baseline = make_baseline(image, record["baseline"]["name"])
        self.regions = Regions.from_record(record["regions"]) if "regions" in record else None
        self.basis = (
            self.regions.basis()
            if self.regions
            else (cells if self.squares else tents)(self.grid, image.shape[:2])
        ).numpy()

    def __call__(self, patches, hidden: str = "baseline") -> np.ndarray:
        """The picture with these patches visible, (H, W, 3) uint8.

        hidden: "baseline", exactly what the network saw; "dim", the rest faintly; "black"; "outline", the whole image
        with a line around the visible patches.
        """
        if hidden == "outline":
            return self._with_contour(patches)
        rest = {"baseline": self.baseline, "black": np.zeros_like(self.image), "dim": self._faint}[
            hidden
        ]
        weight = self.basis[list(patches)].sum(0).reshape(*self.image.shape[:2], 1)
        return np.clip(
            np.round(rest + weight * (self.image.astype(np.float32) - rest)), 0, 255
        ).astype(np.uint8)

    @property
    def _faint(self) -> np.ndarray:
        """The image in grey: nearly black, or, for white paper, nearly white."""
        grey = self.image.mean(2, keepdims=True).repeat(3, 2)
        return 255 - DIM * (255 - grey) if self.paper else DIM * grey

    def own(self, patch: int) -> np.ndarray:
        """The pixels that are a region, or nearer to this patch's centre than to any other's; (H, W) uint8, 0 or 1."""
        if self.regions:
            return (self.regions.index == patch).astype(np.uint8)
        inside = np.zeros(self.image.shape[:2], np.uint8)
        top, left, bottom, right = box(patch, self.grid, inside.shape, self.squares)
        inside[top : bottom + 1, left : right + 1] = 1
        return inside

    def outlined(
        self, patches, removed: list[tuple[int, float]], hidden: str = "baseline"
    ) -> np.ndarray:
        """The picture of a set with each removed patch outlined in red. removed: as of outlined()."""
        picture = self(patches, hidden)
        if not self.regions:
            return outlined(picture, removed, self.grid, self.squares)
        # half as thick as around a patch: a region can be thin
        for patch, drop in removed:
            cv2.drawContours(
                picture,
                contours_of(self.own(patch)),
                -1,
                RED,
                -(-thickness(drop) // 2),
                offset=(-1, -1),
            )
        return picture

    def _with_contour(self, patches) -> np.ndarray:
        inside = np.zeros(self.image.shape[:2], np.uint8)
        for patch in patches:
            inside |= self.own(patch)
        contours = contours_of(inside)
        out, thick = self.image.copy(), max(1, self.image.shape[1] // 90)
        for colour, width in (((0, 0, 0), 2 * thick + 1), ((255, 255, 255), thick)):
            cv2.drawContours(out, contours, -1, colour, width, offset=(-1, -1))
        return out


def centres(cells: int, pixels: int) -> np.ndarray:
    """Where the centres of the tents are along one side, in pixels; the outer ones lie on the border."""
    return np.linspace(0, pixels - 1, cells) if cells > 1 else np.array([(pixels - 1) / 2])


def box(
    patch: int, grid: tuple[int, int], size: tuple[int, int], squares: bool = False
) -> tuple[int, int, int, int]:
    """The pixels that are nearer to this patch's centre than to any other's: top, left, bottom, right (inclusive)."""

    def span(index: int, cells: int, pixels: int) -> tuple[int, int]:
        if squares or cells == 1:
            return pixels * index // cells, pixels * (index + 1) // cells - 1
        step = (pixels - 1) / (cells - 1)
        return round(max((index - 0.5) * step, 0)), round(min((index + 0.5) * step, pixels - 1))

    (top, bottom), (left, right) = (
        span(patch // grid[1], grid[0], size[0]),
        span(patch % grid[1], grid[1], size[1]),
    )
    return top, left, bottom, right


def outlined(
    picture: np.ndarray,
    removed: list[tuple[int, float]],
    grid: tuple[int, int],
    squares: bool = False,
) -> np.ndarray:
    """The picture with each removed patch outlined in red, thicker the more confidence that cost.

    removed: (patch, relative confidence lost) of each.
    """
    out = picture.copy()
    for patch, drop in removed:
        top, left, bottom, right = box(patch, grid, picture.shape[:2], squares)
        thick = thickness(drop)
        inset = thick // 2
        cv2.rectangle(out, (left + inset, top + inset), (right - inset, bottom - inset), RED, thick)
    return out


def thickness(drop: float) -> int:
    """Of an outline, in pixels: more where more confidence was lost."""
    return 1 + round(6 * min(max(drop, 0), 1))


def contours_of(inside: np.ndarray) -> list[np.ndarray]:
    """The outlines of (H, W) uint8, along the picture's border too; to be drawn with offset (-1, -1)."""
    return cv2.findContours(
        cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_CONSTANT),
        cv2.RETR_LIST,
        cv2.CHAIN_APPROX_NONE,
    )[0]


# ---------------------------------------------------------------- heat


def coloured(heat: np.ndarray) -> np.ndarray:
    """(H, W) in [0, 1] -> (H, W, 3) uint8 RGB, blue (low) to red (high)."""
    return cv2.applyColorMap(np.round(255 * heat.clip(0, 1)).astype(np.uint8), cv2.COLORMAP_TURBO)[
        ..., ::-1
    ]


def overlaid(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The heat (H, W) in [0, 1] over the image (H, W, 3), half and half."""
    return cv2.addWeighted(image, 0.5, np.ascontiguousarray(coloured(heat)), 0.5, 0)


def saliency_heat(record: dict, basis: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The I-GOS mask as heat: what it hides, upsampled, the strongest 1; (H, W) in [0, 1]."""
    hidden = 1 - np.array(record["saliency"], np.float32)
    return (hidden @ basis).reshape(size) / max(hidden.max(), 1e-6)


def grad_cam_heat(record: dict, size: tuple[int, int]) -> np.ndarray | None:
    """The Grad-CAM map of the record at the image's size, (H, W) in [0, 1]; None where the network has none."""
    if not record.get("gradcam"):
        return None
    return cv2.resize(
        np.array(record["gradcam"], np.float32), size[::-1], interpolation=cv2.INTER_LINEAR
    )
