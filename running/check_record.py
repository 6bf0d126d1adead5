"""Check every claim of every record, with code that shares nothing with the program's own.

    python -m running.check_record                    # the bundled images and model
    python -m running.check_record Results --images ~/photos --model resnet50

Masked images are composed by F.interpolate (bilinear, aligned corners) and scored in a plain loop.
Sufficiency, minimality against every subset, pairwise overlaps, the graph's nodes, edges and
percentages, the formula and the images of the roots are worked out again from their definitions.
Only reading an image and building the network are the program's.

Records are read with the json module and not as drawing.record.Sag: a mistake in the typed reader
could otherwise hide itself here, and this way a record is checked as another program would read it.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from running.command_line import Device, Output, Positional, Resize, exit_status, parse

PROG = "python -m running.check_record"


@dataclass(frozen=True)
class Settings:
    """What is checked, and with which network."""

    # The records, and the images that they are about
    results: Annotated[Path, Positional("RESULTS")] = Path("Results")  # a folder with records
    #  in it or in its sub-folders
    images: Path = Path("Images")  # the run's images: a file, or a folder
    # The network, as in the run
    model: str = "birds"  # birds, torchvision's, timm/NAME, hf/NAME, or FILE.py:function
    weights: Path | None = None  # a state_dict, .pth or .safetensors; else the model's own
    labels: Path | None = None  # class names, one per line; else by model
    resize: Resize = "squash"  # how images come to its input size
    output: Output = "auto"  # what it returns; auto: as four images say
    device: Device = "auto"  # what to run on


if __name__ == "__main__":  # before PyTorch is imported, so that --help answers at once
    parse(Settings, prog=PROG, doc=__doc__)

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, combinations, pairwise
from typing import Any, NoReturn
from unittest import mock

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torchvision.models import VisionTransformer
from tqdm import tqdm

from drawing.words import counted
from running.network_of import network_of
from scoring.fitting import load_fitted
from scoring.networks import Network, choose_device
from utils import file_sha256, one_line

PatchSet = tuple[int, ...]

TOLERANCE = 1e-5  # between two float32 probabilities scored in different batches
AREA_TOLERANCE = 1e-9  # between two areas under the same curve
MAP_TOLERANCE = 2e-6  # the record has six digits
BATCH_SIZE = 8
MAX_SAMPLED_SCORES = 200  # rows of the table of scored sets that are checked
CURVE_POINTS = 4  # points of each curve that are scored again
LARGEST_PROVEN_ROOT = 10  # patches; only a larger root may be minimal against single removals alone
FILES = (
    "dnf.txt",
    "dnf_gif.gif",
    "gridimage.png",
    "perturbation_original.png",
    "perturbation_heatmap.png",
    "perturbation_imposed_heatmap.png",
    "perturbation_blurred.png",
    "SAG_{n}roots.dot",
    "SAG_dag_{n}roots.png",
    "SAG_final_{n}roots.png",
)
STOP_REASONS = (
    "max_num_roots",
    "max_root_size",
    "exhausted",
    "exhausted_in_reduced_precision",
    "time_limit",
    "baseline_sufficient",
    "zero_probability",
    "not_asked_for",
    "max_evaluations",
    "rest_insufficient",
)


class Claims:
    """The claims checked so far, and what is wrong with those that do not hold."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.checked = 0

    def check(self, holds: bool, problem: str) -> None:
        """Count a claim; where it does not hold, note the problem."""
        self.checked += 1
        if not holds:
            self.wrong.append(problem)


@dataclass
class Case:
    """A record, with the image and the network that it is about.

    Attributes:
        record: The content of sag.json.
        folder: The result's folder.
        image_file: The image as the user has it.
        image: The image as the network gets it, (H, W, 3) uint8 RGB.
        network: The network, loaded anew.
    """

    record: dict[str, Any]
    folder: Path
    image_file: Path
    image: np.ndarray
    network: Network

    @cached_property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        rows, columns = self.record["grid"]
        return rows, columns

    @cached_property
    def everything(self) -> PatchSet:
        """The set of all patches."""
        return tuple(range(self.grid[0] * self.grid[1]))

    @cached_property
    def full(self) -> float:
        """The record's probability of the full image."""
        return self.record["probability"]

    @cached_property
    def enough(self) -> float:
        """The probability above which a set is sufficient."""
        return self.record["threshold"] * self.full

    @cached_property
    def baseline(self) -> np.ndarray:
        """The image with every patch hidden, (H, W, 3) uint8 RGB."""
        return baseline_image(self.image, self.record["baseline"]["name"])

    @cached_property
    def drops_tokens(self) -> bool:
        """Whether hidden patches are left out of the network's input, rather than replaced."""
        return self.record["baseline"]["name"] == "drop"

    @cached_property
    def roots(self) -> list[PatchSet]:
        """The patches of each root."""
        return [tuple(root["patches"]) for root in self.record["roots"]]

    @cached_property
    def needed(self) -> dict[str, Any] | None:
        """What the record says of breaking sets; None where they were not asked for."""
        return self.record.get("needed")

    def without(self, patches: Sequence[int]) -> PatchSet:
        """Return all patches but these."""
        return tuple(sorted(set(self.everything) - set(patches)))

    @cached_property
    def nodes(self) -> list[PatchSet]:
        """The patches of each node of the graph."""
        return [tuple(node["patches"]) for node in self.record["sag"]["nodes"]]

    @cached_property
    def scores(self) -> dict[PatchSet, float]:
        """A sample of the table of scored sets."""
        return sampled_scores(self.record)

    @cached_property
    def curve_points(self) -> list[tuple[PatchSet, float]]:
        """A sample of the curves' points: a patch set and its relative confidence."""
        return [
            line[position]
            for line in curve_lines(self.record)
            for position in sorted({len(line) * i // CURVE_POINTS for i in range(CURVE_POINTS)})
        ]

    @cached_property
    def region_of_pixel(self) -> np.ndarray | None:
        """The region at each pixel, (H, W); None for a grid."""
        if "regions" not in self.record:
            return None
        content = np.frombuffer(base64.b64decode(self.record["regions"]["map"]), np.uint8)
        index = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
        if index is None:
            raise ValueError("the map of the regions is not a PNG")
        return index.astype(int)

    @cached_property
    def confidence(self) -> dict[PatchSet, float]:
        """The network's probability of every set that the record makes a claim about."""
        sets = {self.everything, (), *self.roots, *self.nodes, *self.scores}
        for root in self.record["roots"]:
            sets.update(sets_below(root))
        for patches, _ in self.curve_points:
            sets.add(patches)
        if self.needed:
            entries = [*self.needed["roots"], *self.needed["sag"]["nodes"]]
            sets.update(self.without(entry["patches"]) for entry in entries)
            for root in self.needed["roots"]:
                sets.update(self.without(part) for part in sets_below(root))
        return score_sets(self, list(sets))


def problems(path: Path, image_file: Path, network: Network) -> tuple[list[str], int]:
    """Check the record of one image.

    Args:
        path: The sag.json.
        image_file: The image that it is about.
        network: The network that it was made with.

    Returns:
        What is wrong with the record, a line each, and the number of claims checked.

    Raises:
        ValueError: The image cannot be read, or the record is not JSON.
        KeyError: The record lacks a field.
    """
    record = read_json(path)
    image = load_fitted(image_file, network.fit)
    case = Case(record, path.parent, image_file=image_file, image=image, network=network)
    claims = Claims()
    for check in CHECKS:
        check(claims, case)
    return claims.wrong, claims.checked


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a sag.json; NaN and Infinity, which are not JSON, are refused."""
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant)


def refuse_constant(constant: str) -> NoReturn:
    """Raise ValueError for NaN, Infinity and -Infinity."""
    raise ValueError(f"{constant} in a record")


def is_close(a: float, b: float) -> bool:
    """Return whether two probabilities are equal up to the rounding of another batch."""
    return abs(a - b) <= TOLERANCE


# ---------------------------------------------------------------- what the network is shown


def baseline_image(image: np.ndarray, name: str) -> np.ndarray:
    """Return an image with every patch hidden; docs/options.md defines the baselines."""
    if name in ("black", "drop"):
        return image * 0
    if name == "mean":
        return image * 0 + np.array([124, 116, 104], np.uint8)
    blurred = cv2.GaussianBlur(image, (51, 51), 50)
    if name == "blur":
        return blurred
    median = cv2.medianBlur(image, 11)
    if name == "median":
        return median
    assert name == "mixed", name
    return ((blurred.astype(int) + median + 1) // 2).astype(np.uint8)


def tent(patch: int, grid: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Return one patch's weight at each pixel, (H, W): 1 at its centre, 0 at its neighbours'."""
    row, column = divmod(patch, grid[1])
    return np.outer(ramp(row, grid[0], size[0]), ramp(column, grid[1], size[1]))


def ramp(index: int, cells: int, pixels: int) -> np.ndarray:
    """Return the weight of one of some cells along an axis, (pixels,)."""
    if cells == 1:
        return np.ones(pixels)
    step = (pixels - 1) / (cells - 1)
    return np.maximum(0, 1 - np.abs(np.arange(pixels) - index * step) / step)


def square(patch: int, grid: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Return 1 at the pixels of a patch that is a rectangle, (H, W), else 0."""
    row, column = divmod(patch, grid[1])
    height = size[0] // grid[0]
    width = size[1] // grid[1]
    pixels = np.zeros(size)
    pixels[row * height : (row + 1) * height, column * width : (column + 1) * width] = 1
    return pixels


def composed(case: Case, patches: PatchSet) -> np.ndarray:
    """Return the image with only some patches visible, (H, W, 3), as the record's files show it."""
    height, width = case.image.shape[:2]
    visible = np.zeros((height, width))
    for patch in patches:
        if case.region_of_pixel is not None:
            visible += case.region_of_pixel == patch
        elif case.drops_tokens:
            visible += square(patch, case.grid, (height, width))
        else:
            visible += tent(patch, case.grid, (height, width))
    return case.baseline * (1 - visible[..., None]) + case.image * visible[..., None]


@torch.no_grad()
def score_sets(case: Case, sets: Sequence[PatchSet]) -> dict[PatchSet, float]:
    """Return the network's probability of the record's class for each patch set."""
    category = case.record["category"]["index"]
    against = case.record["against"]["index"] if "against" in case.record else None
    image = case.network.prepare(case.image)
    if case.drops_tokens:
        attended = masked_attention(case.network.module, image, grid=case.grid, sets=sets)
        probabilities = class_probability(attended.log(), category, against)
        return dict(zip(sets, probabilities.tolist(), strict=True))
    baseline = case.network.prepare(case.baseline)
    found: dict[PatchSet, float] = {}
    for start in range(0, len(sets), BATCH_SIZE):
        batch = sets[start : start + BATCH_SIZE]
        visible = visible_share(case, batch).to(image.device)
        logits = case.network.module(image * visible + baseline * (1 - visible))
        probabilities = class_probability(logits, category, against)
        found.update(zip(batch, probabilities.tolist(), strict=True))
    return found


def visible_share(case: Case, sets: Sequence[PatchSet]) -> torch.Tensor:
    """Return how much of the image shows at each pixel, (sets, 1, H, W), from 0 to 1."""
    masks = torch.zeros(len(sets), 1, len(case.everything))
    for row, patches in zip(masks, sets, strict=True):
        row[0, list(patches)] = 1
    if case.region_of_pixel is not None:
        return masks[..., case.region_of_pixel]
    size = case.image.shape[:2]
    grids = masks.view(-1, 1, *case.grid)
    return F.interpolate(grids, size, mode="bilinear", align_corners=True)


def class_probability(
    logits: torch.Tensor, category: int, against: int | None = None
) -> torch.Tensor:
    """Return the probability of one class, (B,), from logits (B, classes) or (B, 1).

    against: of this class and another, as if there were no third.
    """
    if logits.shape[1] > 1 and against is not None:
        return torch.softmax(logits[:, [category, against]], dim=1)[:, 0]
    if logits.shape[1] > 1:
        return torch.softmax(logits, dim=1)[:, category]
    return torch.sigmoid(logits if category else -logits)[:, 0]


@torch.no_grad()
def masked_attention(
    vit: Any, image: torch.Tensor, grid: tuple[int, int], sets: Sequence[PatchSet]
) -> torch.Tensor:
    """Return a vision transformer's probabilities with attention to hidden tokens masked out.

    Args:
        vit: A vision transformer of torchvision, timm or transformers.
        image: (3, H, W), normalised.
        grid: Rows and columns of patches, each a rectangle of tokens.
        sets: The visible patches of each row of the result.

    Returns:
        (sets, classes)
    """
    if not isinstance(vit, VisionTransformer):
        return own_pass_masked(vit, image, grid=grid, sets=sets)
    side = vit.image_size // vit.patch_size
    patches_on_grid = np.arange(grid[0] * grid[1]).reshape(grid)
    rows_repeated = patches_on_grid.repeat(side // grid[0], axis=0)
    patch_of_token = rows_repeated.repeat(side // grid[1], axis=1).ravel()
    tokens = vit._process_input(image[None])
    embedded = torch.cat([vit.class_token, tokens], dim=1) + vit.encoder.pos_embedding
    rows = []
    for patches in sets:
        is_hidden = torch.tensor([False, *(~np.isin(patch_of_token, list(patches)))])
        is_hidden = is_hidden[None].to(image.device)
        state = embedded
        for block in vit.encoder.layers:
            normed = block.ln_1(state)
            attended, _ = block.self_attention(
                normed, normed, normed, key_padding_mask=is_hidden, need_weights=False
            )
            state = state + attended
            state = state + block.mlp(block.ln_2(state))
        logits = vit.heads(vit.encoder.ln(state)[:, 0])[0]
        rows.append(torch.softmax(logits, dim=0))
    return torch.stack(rows)


def own_pass_masked(
    vit: torch.nn.Module, image: torch.Tensor, grid: tuple[int, int], sets: Sequence[PatchSet]
) -> torch.Tensor:
    """Return what masked_attention does, by the network's own pass on the whole image.

    Meanwhile PyTorch's attention leaves the hidden tokens out, which are the last ones it is asked
    about, row by row.
    """
    shape = tokens_shape(vit, image)
    patches_on_grid = np.arange(grid[0] * grid[1]).reshape(grid)
    rows_repeated = patches_on_grid.repeat(shape[0] // grid[0], axis=0)
    patch_of_token = torch.tensor(rows_repeated.repeat(shape[1] // grid[1], axis=1).ravel())
    rows = []
    for patches in sets:
        is_shown = torch.isin(patch_of_token, torch.tensor(patches, dtype=torch.long))
        with attention_to(is_shown.to(image.device)) as calls:
            logits = vit(image[None])
        if not calls:
            raise ValueError("the network attends by other means than PyTorch's function")
        classes = range(max(2, logits.shape[1]))
        rows.append(torch.cat([class_probability(logits, index) for index in classes]))
    return torch.stack(rows)


def tokens_shape(vit: torch.nn.Module, image: torch.Tensor) -> tuple[int, int]:
    """Return the rows and columns of tokens that the first convolution makes of an image."""
    first = next(part for part in vit.modules() if isinstance(part, torch.nn.Conv2d))
    return image.shape[1] // first.stride[0], image.shape[2] // first.stride[1]


@contextmanager
def attention_to(is_shown: torch.Tensor) -> Iterator[list[int]]:
    """Mask attention to tokens out, and yield a list with an entry for each call of attention.

    Args:
        is_shown: (tokens,), of the image's tokens; all that come before them are shown.
    """
    calls: list[int] = []
    attend = F.scaled_dot_product_attention

    def masked(query: Any, key: Any, value: Any, attn_mask: Any = None, **options: Any) -> Any:
        assert attn_mask is None, "a network with a mask of its own"
        calls.append(key.shape[-2])
        before = is_shown.new_ones(key.shape[-2] - len(is_shown))
        mask = torch.cat([before, is_shown])[None, :]
        return attend(query, key, value, attn_mask=mask, **options)

    with mock.patch.object(F, "scaled_dot_product_attention", masked):
        yield calls


# ---------------------------------------------------------------- the image, the network, the class


def check_image(claims: Claims, case: Case) -> None:
    """The record has format 1 and is about this image."""
    claims.check(case.record["format"] == 1, "the format is not 1")
    same_image = case.record["image_sha256"] == file_sha256(case.image_file)
    claims.check(same_image, f"{case.image_file} is another image")


def check_labels(claims: Claims, case: Case) -> None:
    """The number of classes and the name of the class are the network's."""
    labels = case.network.labels
    category = case.record["category"]
    claims.check(case.record["model"]["classes"] == len(labels), "the network has other classes")
    claims.check(category["name"] == labels[category["index"]], "the class has another name")
    against = case.record.get("against", category)
    claims.check(against["name"] == labels[against["index"]], "the other class has another name")


def check_probabilities(claims: Claims, case: Case) -> None:
    """The probabilities of the full image and of the baseline are the network's."""
    full = case.confidence[case.everything]
    hidden = case.confidence[()]
    claims.check(is_close(full, case.full), f"the probability of the full image is {full}")
    recorded = case.record["baseline"]["probability"]
    claims.check(is_close(hidden, recorded), f"the probability of the baseline is {hidden}")


def check_thresholds(claims: Claims, case: Case) -> None:
    """The thresholds are the settings', counted from 0 or from the baseline's confidence."""
    settings = case.record["settings"]
    hidden = 0.0
    is_between = settings.get("measure") == "between"
    if is_between and case.record["baseline"]["probability"] < case.full:
        hidden = case.record["baseline"]["probability"] / case.full
    expected = hidden + (1 - hidden) * settings["prob_thresh"]
    holds = abs(case.record["threshold"] - expected) < AREA_TOLERANCE
    claims.check(holds, f"the threshold is not {expected}")


def check_saliency(claims: Claims, case: Case) -> None:
    """The saliency map has a number from 0 to 1 for every patch."""
    saliency = case.record["saliency"]
    in_range = all(0 <= value <= 1 for value in saliency)
    holds = len(saliency) == len(case.everything) and in_range
    claims.check(holds, "the saliency map does not have a number from 0 to 1 for every patch")


# ---------------------------------------------------------------- roots


def sets_below(root: dict[str, Any]) -> Iterator[PatchSet]:
    """Yield the sets that must not be sufficient if a root is as minimal as it claims.

    These are all proper subsets, or only those with one patch less, or as many as were checked.
    """
    patches = root["patches"]
    lacking = root.get("checked", {}).get("lacking", 1)
    most = len(patches) if root["minimal"] == "subset" else lacking
    for size in range(len(patches) - most, len(patches)):
        yield from combinations(patches, size)


def check_roots(claims: Claims, case: Case) -> None:
    """Every root is a sufficient patch set that is listed once and contains no other root."""
    claims.check(len(set(case.roots)) == len(case.roots), "a root is listed twice")
    for root, patches in zip(case.record["roots"], case.roots, strict=True):
        is_ordered = list(patches) == sorted(set(patches))
        is_set = is_ordered and set(patches) <= set(case.everything)
        claims.check(is_set, f"root {patches} is not a patch set in ascending order")
        check_numbers(claims, case, entry=root, name=f"root {patches}")
        found = case.confidence[patches]
        is_sufficient = found > case.enough - TOLERANCE and root["probability"] > case.enough
        claims.check(is_sufficient, f"root {patches} is not sufficient: it has {found}")
        contains_another = any(set(other) < set(patches) for other in case.roots)
        claims.check(not contains_another, f"root {patches} contains another root")


def check_numbers(claims: Claims, case: Case, entry: dict[str, Any], name: str) -> None:
    """The probability of a root or node is the network's, and its relative one fits to it."""
    found = case.confidence[tuple(entry["patches"])]
    is_probability = is_close(found, entry["probability"])
    claims.check(is_probability, f"{name} has the probability {found}")
    is_relative = is_close(entry["relative"] * case.full, entry["probability"])
    claims.check(is_relative, f"{name}: the relative confidence does not fit to the probability")


def check_minimality(claims: Claims, case: Case) -> None:
    """Every root is minimal: against all subsets, or, if it is large, against single removals.

    Where time was up, small ones may be minimal against single removals alone as well.
    """
    is_cut_short = case.record["search"]["stopped_by"] == "time_limit"
    for root, patches in zip(case.record["roots"], case.roots, strict=True):
        minimal = root["minimal"]
        is_known = minimal == "subset"
        if minimal == "single":
            is_known = is_cut_short or len(patches) > LARGEST_PROVEN_ROOT
        claims.check(is_known, f"root {patches} must not be called minimal by {minimal!r}")
        check_bound(claims, root, f"root {patches}")
        for part in sets_below(root):
            found = case.confidence[part]
            holds = found <= case.enough + TOLERANCE
            claims.check(holds, f"root {patches} is not minimal: {part} has {found}")


def check_bound(claims: Claims, root: dict[str, Any], name: str) -> None:
    """The bound on the subsets that may be sufficient is that of so many that were drawn.

    If the share of the sufficient ones were larger, drawing none would be less likely than 5 %.
    """
    checked = root.get("checked")
    if checked is None:
        return
    missed = (1 - checked["at_most"]) ** checked["drawn"]
    holds = abs(missed - 0.05) < AREA_TOLERANCE if checked["drawn"] else checked["at_most"] == 1
    claims.check(holds, f"{name}: {checked['drawn']} draws do not bound a share by that much")


def check_diverse_roots(claims: Claims, case: Case) -> None:
    """The roots of the diverse set overlap little, and the first of them are drawn."""
    record = case.record
    settings = record["settings"]
    diverse = [case.roots[index] for index in record["diverse_set"]]
    overlaps = [len(set(a) & set(b)) for a, b in combinations(diverse, 2)]
    largest = max(overlaps, default=0)
    holds = largest <= settings["overlap_thresh"]
    claims.check(holds, f"two roots of the diverse set share {largest} patches")
    drawn = record["diverse_set"][: settings["num_roots_sag"]]
    claims.check(record["diverse_roots"] == drawn, "the first of the diverse set are not drawn")
    claims.check(bool(diverse) == bool(case.roots), "there are roots, but no diverse set")
    by_confidence = [record["roots"][index]["probability"] for index in record["diverse_set"]]
    if by_confidence != sorted(by_confidence, reverse=True):  # as older versions had them
        check_coverage(claims, diverse, case.roots)


def check_coverage(claims: Claims, diverse: Sequence[PatchSet], roots: Sequence[PatchSet]) -> None:
    """Each root of the diverse set shows most of what the earlier ones do not show."""
    for place, root in enumerate(diverse):
        shown = set(chain.from_iterable(diverse[:place]))
        best = max(weight_of_new(other, shown, roots) for other in diverse[place:])
        holds = weight_of_new(root, shown, roots) > best - AREA_TOLERANCE
        claims.check(holds, f"root {root} does not show most of what earlier ones do not")


def weight_of_new(root: PatchSet, shown: set[int], roots: Sequence[PatchSet]) -> float:
    """Return how much the patches of a root weigh that are not shown yet, over its size.

    A patch weighs the sum of 1 / size over the roots that have it.
    """
    weights = [sum(1 / len(other) for other in roots if patch in other) for patch in root]
    return sum(w for w, patch in zip(weights, root) if patch not in shown) / len(root)


def check_added_roots(claims: Claims, case: Case) -> None:
    """Roots that the diverse search added to the beam's overlap one another little."""
    settings = case.record["settings"]
    added = [
        patches
        for patches, root in zip(case.roots, case.record["roots"], strict=True)
        if root.get("found_by") == "diverse"
    ]
    if not added:
        return
    is_asked_for = settings["search"] == "beam" and settings.get("fill_up", False)
    claims.check(is_asked_for, "there are roots of the diverse search that nobody asked for")
    overlaps = [len(set(a) & set(b)) for a, b in combinations(added, 2)]
    largest = max(overlaps, default=0)
    holds = largest <= settings["overlap_thresh"]
    claims.check(holds, f"two roots of the diverse search share {largest} patches")


def check_formula(claims: Claims, case: Case) -> None:
    """The formula is the disjunction of the roots."""
    names = [f"P{patch}" for patch in case.everything]
    if "regions" in case.record:
        names = case.record["regions"]["names"]
    terms = [" & ".join(names[patch] for patch in root) for root in case.roots]
    claims.check(case.record["dnf"] == " | ".join(terms), "the formula is not that of the roots")


# ---------------------------------------------------------------- the search


def check_search(claims: Claims, case: Case) -> None:
    """The reason why the search stopped is possible, and whether it is complete follows from it.

    "exhausted" is only claimed of a search in float32.
    """
    search = case.record["search"]
    reason = search["stopped_by"]
    claims.check(reason in STOP_REASONS, f"the search stopped for an unknown reason: {reason}")
    is_complete = reason not in ("time_limit", "exhausted_in_reduced_precision")
    claims.check(search["complete"] == is_complete, f"complete does not fit to {reason}")


def check_stop_reason(claims: Claims, case: Case) -> None:
    """The reason why the search stopped agrees with the baseline and the number of roots."""
    reason = case.record["search"]["stopped_by"]
    hidden = case.confidence[()]
    if reason not in ("baseline_sufficient", "time_limit", "not_asked_for"):
        holds = hidden <= case.enough + TOLERANCE
        claims.check(holds, "the baseline is sufficient, and the search did not stop for it")
    if reason == "baseline_sufficient":
        claims.check(hidden > case.enough - TOLERANCE, "the baseline is not sufficient")
        claims.check(not case.roots, "there are roots although the baseline is sufficient")
    if reason == "max_num_roots":
        asked_for = [root for root in case.record["roots"] if "found_by" not in root]
        holds = len(asked_for) <= case.record["settings"]["max_num_roots"]
        claims.check(holds, "there are more roots than were asked for")


# ---------------------------------------------------------------- the graph


def check_nodes(claims: Claims, case: Case) -> None:
    """Every node is listed once, has its probability, and is not a sufficient part of a root.

    Where time was up, it may be a part of a root that claims no more than single removals.
    """
    is_cut_short = case.record["search"]["stopped_by"] == "time_limit"
    claims.check(len(set(case.nodes)) == len(case.nodes), "a node is listed twice")
    for node, patches in zip(case.record["sag"]["nodes"], case.nodes, strict=True):
        check_numbers(claims, case, entry=node, name=f"node {patches}")
        is_sufficient = case.confidence[patches] > case.enough + TOLERANCE
        refutable = [
            root
            for root, entry in zip(case.roots, case.record["roots"], strict=True)
            if entry["minimal"] == "subset" or not is_cut_short
        ]
        is_inside = any(set(patches) < set(root) for root in refutable)
        holds = not (is_sufficient and is_inside)
        claims.check(holds, f"node {patches} is sufficient and inside a root")


def check_edges(claims: Claims, case: Case) -> None:
    """Edges are the single deletions of the nodes above the threshold; nodes follow from them."""
    sag = case.record["sag"]
    expected = single_deletions(case)
    edges = {
        (case.nodes[parent], case.nodes[child], patch) for parent, child, patch in sag["edges"]
    }
    claims.check(len(edges) == len(sag["edges"]), "an edge is listed twice")
    holds = edges == expected if sag["complete"] else edges <= expected
    claims.check(holds, "edges are not the single deletions of the nodes above the threshold")
    drawn = {case.roots[index] for index in case.record["diverse_roots"]}
    children = {child for _, child, _ in edges}
    claims.check(set(case.nodes) == drawn | children, "nodes are not what the roots expand to")


def single_deletions(case: Case) -> set[tuple[PatchSet, PatchSet, int]]:
    """Return (parent, child, patch removed) for every node above the graph's threshold."""
    threshold = case.record.get("node_threshold")
    if threshold is None:  # an older record
        threshold = case.record["settings"]["node_prob_thresh"]
    deletions = set()
    for node, patches in zip(case.record["sag"]["nodes"], case.nodes, strict=True):
        if node["relative"] <= threshold:
            continue
        for removed in patches:
            child = tuple(patch for patch in patches if patch != removed)
            deletions.add((patches, child, removed))
    return deletions


# ---------------------------------------------------------------- what is needed


def check_breaking_sets(claims: Claims, case: Case) -> None:
    """Hiding a breaking set takes the class away, and hiding less of it does not."""
    if case.needed is None:
        return
    sets = [tuple(root["patches"]) for root in case.needed["roots"]]
    claims.check(len(set(sets)) == len(sets), "a breaking set is listed twice")
    is_cut_short = case.needed["search"]["stopped_by"] == "time_limit"
    for root, patches in zip(case.needed["roots"], sets, strict=True):
        name = f"breaking set {patches}"
        check_rest(claims, case, entry=root, name=name)
        holds = root["probability"] <= case.enough + TOLERANCE
        claims.check(holds, f"{name} leaves {root['probability']}")
        contains_another = any(set(other) < set(patches) for other in sets)
        claims.check(not contains_another, f"{name} contains another")
        minimal = root["minimal"]
        is_large = len(patches) > LARGEST_PROVEN_ROOT
        is_known = minimal == "subset" or (minimal == "single" and (is_large or is_cut_short))
        claims.check(is_known, f"{name} must not be called minimal by {minimal!r}")
        check_bound(claims, root, name)
        for part in sets_below(root):
            left = case.confidence[case.without(part)]
            holds = left > case.enough - TOLERANCE
            claims.check(holds, f"{name} is not minimal: without {part} {left} is left")


def check_rest(claims: Claims, case: Case, entry: dict[str, Any], name: str) -> None:
    """The probability of an entry is that of the rest, and its relative one fits to it."""
    left = case.confidence[case.without(entry["patches"])]
    claims.check(is_close(left, entry["probability"]), f"{name} leaves the probability {left}")
    is_relative = is_close(entry["relative"] * case.full, entry["probability"])
    claims.check(is_relative, f"{name}: the relative confidence does not fit to the probability")


def check_needed_graph(claims: Claims, case: Case) -> None:
    """The graph has the drawn breaking sets, and each of them with one patch shown again."""
    if case.needed is None:
        return
    nodes = [tuple(node["patches"]) for node in case.needed["sag"]["nodes"]]
    for node, patches in zip(case.needed["sag"]["nodes"], nodes, strict=True):
        check_rest(claims, case, entry=node, name=f"node {patches} of the breaking sets")
    drawn = [tuple(case.needed["roots"][i]["patches"]) for i in case.needed["diverse_roots"]]
    expected = {
        (root, tuple(patch for patch in root if patch != shown), shown)
        for root in drawn
        for shown in root
    }
    edges = {
        (nodes[parent], nodes[child], patch) for parent, child, patch in case.needed["sag"]["edges"]
    }
    holds = edges == expected if case.needed["sag"]["complete"] else edges <= expected
    claims.check(holds, "the edges of the breaking sets do not each show one patch again")


def check_both_sides(claims: Claims, case: Case) -> None:
    """The formula is that of the breaking sets; diverse ones overlap little; disjoint is counted.

    Where the network is monotone, every MSE has a patch of every breaking set.
    """
    if case.needed is None:
        return
    names = [f"P{patch}" for patch in case.everything]
    if "regions" in case.record:
        names = case.record["regions"]["names"]
    sets = [tuple(root["patches"]) for root in case.needed["roots"]]
    clauses = [" | ".join(names[patch] for patch in patches) for patches in sets]
    formula = " & ".join(f"({clause})" if " | " in clause else clause for clause in clauses)
    claims.check(case.needed["cnf"] == formula, "the formula is not that of the breaking sets")
    diverse = [sets[i] for i in case.needed["diverse_set"]]
    largest = max((len(set(a) & set(b)) for a, b in combinations(diverse, 2)), default=0)
    holds = largest <= case.record["settings"]["overlap_thresh"]
    claims.check(holds, f"two diverse breaking sets share {largest} patches")
    disjoint = sum(not set(a) & set(b) for a in case.roots for b in sets)
    claims.check(case.needed["disjoint"] == disjoint, f"{disjoint} pairs are disjoint")


# ---------------------------------------------------------------- scored sets and curves


def scored_sets(record: dict[str, Any]) -> list[tuple[PatchSet, float]]:
    """Return the rows of the table of scored sets: patch set and probability."""
    packed = record.get("scores") or {"sets": "", "probabilities": []}  # an older record has none
    num_patches = record["grid"][0] * record["grid"][1]
    rows = []
    for text, probability in zip(packed["sets"].split(), packed["probabilities"], strict=False):
        bits = int(text, 16)
        patches = tuple(patch for patch in range(num_patches) if bits >> patch & 1)
        rows.append((patches, probability))
    return rows


def sampled_scores(record: dict[str, Any]) -> dict[PatchSet, float]:
    """Return rows of the table of scored sets, evenly spaced: patch set to probability."""
    rows = scored_sets(record)
    step = max(1, -(-len(rows) // MAX_SAMPLED_SCORES))
    return dict(rows[::step])


def curve_orders(record: dict[str, Any]) -> dict[str, list[int]]:
    """Return the orders of patches that follow from the record alone, most important first.

    Args:
        record: A record. I-GOS sorts by saliency; the roots by the probabilities of the roots that
            have the patch, then by saliency; the map of all roots gives each a weight of 1, shared
            among its patches.
    """
    saliency = record["saliency"]
    held = [0.0] * len(saliency)
    shared = [0.0] * len(saliency)
    for root in record["roots"]:
        for patch in root["patches"]:
            held[patch] += root["probability"]
            shared[patch] += 1 / len(root["patches"])
    patches = range(len(saliency))
    return {
        "igos": sorted(patches, key=lambda patch: saliency[patch]),
        "roots": sorted(patches, key=lambda patch: (-held[patch], saliency[patch], patch)),
        "explanations": sorted(patches, key=lambda p: (-shared[p], saliency[p], p)),
    }


def counts_of(record: dict[str, Any], name: str, side: str) -> list[int]:
    """Return the numbers of patches shown or hidden at the points of one curve.

    In an older record all curves have the same.
    """
    curves = record["curves"]
    return curves[name].get(f"{side}_patches") or curves["patches"]


def curve_lines(record: dict[str, Any]) -> list[list[tuple[PatchSet, float]]]:
    """Return the points of each curve whose order is known: patch set and relative confidence."""
    curves = record.get("curves") or {}
    lines = []
    for name, order in curve_orders(record).items():
        curve = curves.get(name)
        if not curve:
            continue
        shown = [tuple(sorted(order[:k])) for k in counts_of(record, name, "insertion")]
        left = [tuple(sorted(order[k:])) for k in counts_of(record, name, "deletion")]
        lines.append(list(zip(shown, curve["insertion"], strict=True)))
        lines.append(list(zip(left, curve["deletion"], strict=True)))
    return lines


def check_scores(claims: Claims, case: Case) -> None:
    """The table of scored sets has the network's probabilities (a sample is checked)."""
    packed = case.record.get("scores")
    if packed:
        num_sets = len(set(packed["sets"].split()))
        holds = num_sets == len(packed["probabilities"])
        claims.check(holds, "scores: sets and probabilities do not pair up")
    for patches, probability in case.scores.items():
        found = case.confidence[patches]
        claims.check(is_close(found, probability), f"scores: {patches} has {found}")


def check_curves(claims: Claims, case: Case) -> None:
    """The curves have the network's confidences (a sample is checked)."""
    for patches, relative in case.curve_points:
        found = case.confidence[patches]
        claims.check(is_close(found, relative * case.full), f"curves: {patches} has {found}")


def check_measured(claims: Claims, case: Case) -> None:
    """Every point of the curves is a set that was scored, and has its confidence."""
    table = dict(scored_sets(case.record))
    if not table:  # an older record has none
        return
    for patches, relative in [point for line in curve_lines(case.record) for point in line]:
        probability = table.get(patches)
        holds = probability is not None and is_close(probability, relative * case.full)
        claims.check(holds, f"curves: {patches} was scored as {probability}")


def check_areas(claims: Claims, case: Case) -> None:
    """Curves go from no patch to all, and the area under each is that of its points."""
    curves = dict(case.record.get("curves") or {})
    curves.pop("patches", None)  # of an older record
    for name, curve in curves.items():
        for side in ("insertion", "deletion"):
            counts = counts_of(case.record, name, side)
            ends = (counts[0], counts[-1]) == (0, len(case.everything))
            holds = ends and counts == sorted(set(counts))
            claims.check(holds, f"curves: the {side} counts of {name} do not go from 0 to all")
            area = mean_height(counts, curve[side])
            holds = abs(area - curve[f"{side}_area"]) < AREA_TOLERANCE
            claims.check(holds, f"curves: the {side} area of {name} is {area}")


def check_maps(claims: Claims, case: Case) -> None:
    """The maps of all explanations give each a weight of 1, shared evenly among its patches."""
    for name, side in (("", case.record), ("needed: ", case.needed or {})):
        weights = side.get("explanation_map")
        if not weights:  # without explanations, or in an older record
            continue
        expected = [0.0] * len(case.everything)
        for root in side["roots"]:
            for patch in root["patches"]:
                expected[patch] += 1 / len(root["patches"])
        holds = len(weights) == len(expected) and np.allclose(weights, expected, atol=MAP_TOLERANCE)
        claims.check(holds, f"{name}the map of all explanations is not that of the roots")


def check_drawn(claims: Claims, case: Case) -> None:
    """The sets drawn at random for readers' questions are among the scored ones."""
    drawn = (case.record.get("what_if") or {"drawn": ""})["drawn"].split()
    scored = (case.record.get("scores") or {"sets": ""})["sets"].split()
    if scored:  # without a table of scored sets nothing can be looked up
        claims.check(set(drawn) <= set(scored), "what_if: a set was drawn that was not scored")


def mean_height(positions: Sequence[float], heights: Sequence[float]) -> float:
    """Return the area under a polygon divided by its last position (trapezoid rule)."""
    points = zip(positions, heights, strict=True)
    area = 0.0
    for (left, left_height), (right, right_height) in pairwise(points):
        area += (right - left) * (left_height + right_height) / 2
    return area / positions[-1]


# ---------------------------------------------------------------- files


def check_files(claims: Claims, case: Case) -> None:
    """Every file of a result is there, and dnf.txt has the formula and the class."""
    names = set(case.record.get("files", ()))
    if has_all_pictures(case):
        names |= {name.format(n=len(case.record["diverse_roots"])) for name in FILES}
    for name in sorted(names):
        file = case.folder / name
        claims.check(file.exists() and file.stat().st_size > 0, f"{name} is missing or empty")
    text = (case.folder / "dnf.txt").read_text(encoding="utf-8")
    claims.check(case.record["dnf"] in text, "dnf.txt has another formula")
    claims.check(case.record["category"]["name"] in text, "dnf.txt does not name the class")


def has_all_pictures(case: Case) -> bool:
    """Return whether the run drew all pictures, as far as its record tells (--pictures)."""
    drawn = case.record.get("files")
    return not drawn or "gridimage.png" in drawn


def check_root_images(claims: Claims, case: Case) -> None:
    """There is one image of each root, and it is what the network was shown."""
    if not has_all_pictures(case):
        return
    folder = case.folder / "roots"
    for rank, patches in enumerate(case.roots, start=1):
        files = list(folder.glob(f"{rank}_*.png"))
        holds = len(files) == 1 and shows(files[0], composed(case, patches))
        claims.check(holds, f"the image of root {rank} is not what the network was shown")
    count = len(list(folder.glob("*.png")))
    claims.check(count == len(case.roots), f"{count} images of {len(case.roots)} roots")


def shows(file: Path, expected: np.ndarray) -> bool:
    """Return whether an image file equals (H, W, 3) RGB up to rounding."""
    shown = cv2.imread(str(file))
    if shown is None:
        return False
    return bool(np.abs(shown[..., ::-1] - expected).max() < 1)


CHECKS = (
    check_image,
    check_labels,
    check_probabilities,
    check_thresholds,
    check_saliency,
    check_roots,
    check_minimality,
    check_diverse_roots,
    check_added_roots,
    check_formula,
    check_search,
    check_stop_reason,
    check_nodes,
    check_edges,
    check_breaking_sets,
    check_needed_graph,
    check_both_sides,
    check_scores,
    check_curves,
    check_measured,
    check_areas,
    check_maps,
    check_drawn,
    check_files,
    check_root_images,
)


# ---------------------------------------------------------------- the command


def check_results(settings: Settings) -> int:
    """Check all records below a folder, print what is wrong, and return the exit status."""
    device = choose_device(settings.device)
    network = network_of(settings, device)
    paths = sorted(settings.results.rglob("sag.json"))
    total = 0
    num_wrong = 0
    for path in tqdm(paths, disable=None):
        wrong, checked = check_path(path, settings.images, network)
        total += checked
        num_wrong += len(wrong)
        for problem in wrong:
            print(f"{path}: {problem}")
    print(f"{counted(len(paths), 'record')}, {total} claims checked, {num_wrong} wrong")
    return 1 if num_wrong or not paths else 0


def check_path(path: Path, images: Path, network: Network) -> tuple[list[str], int]:
    """Check one record; one that cannot be checked is a problem of its own."""
    try:
        image_file = images if images.is_file() else images / read_json(path)["image"]
        return problems(path, image_file, network)
    except (ValueError, KeyError, TypeError, IndexError, OSError) as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        return [f"it cannot be checked ({reason})"], 1


def main(argv: Sequence[str] | None = None) -> int:
    """Check records; return 0 where every claim holds, else 1, or 2 for unusable options."""
    return exit_status(PROG, lambda: check_results(parse(Settings, argv, prog=PROG, doc=__doc__)))


if __name__ == "__main__":
    sys.exit(main())
