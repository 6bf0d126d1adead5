"""Which images to train a network on further: S-Random, S-Similarity and S-Active.

    kept, outputs = network_outputs(network, enumerate(images))
    select_similar(outputs.embeddings, targets, predicted=outputs.predicted, per_class=50)

Each strategy takes up to per_class images of each class and returns them class by class, best
first: S-Random at random; S-Similarity those nearest, by squared Euclidean distance, to the mean
penultimate embedding of the class's misclassified images; S-Active those of the highest predictive
entropy.

After "SA3: Semantic-aware Attribution Analysis" (the selections of its debug-train images).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.stats
from msgspec import Struct
from tqdm import tqdm

from companions.concepts.figures import SHEET, Tile, draw_sheet
from companions.concepts.files import write_csv
from companions.concepts.labelled_images import Labelled, readable
from companions.concepts.network_outputs import (
    Outputs,
    network_outputs,
    read_outputs,
    write_outputs,
)
from companions.concepts.sets import SELECTED
from scoring.image_files import load_image
from scoring.networks import Network
from utils import UserError, log

TILE = (112, 112)  # height and width of an image on a sheet, pixels


@dataclass(frozen=True)
class Choice:
    """A selected image.

    Attributes:
        index: of the image.
        category: index of its class.
        rank: among those of its class, from 1.
        score: what it was ranked by: squared distance, entropy in nats; 0 for a random one.
    """

    index: int
    category: int
    rank: int
    score: float


# ---------------------------------------------------------------- the three strategies


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Return the entropy in nats, (N,), of probabilities (N, classes)."""
    return scipy.stats.entropy(np.asarray(probabilities, np.float64), axis=1)


def select_random(targets: np.ndarray, per_class: int, seed: int = 0) -> list[Choice]:
    """Select images of each class at random.

    A class's draw does not depend on the other classes.

    Args:
        targets: (N,) class indices of the images.
        per_class: images of each class, at most.
        seed: of the draw.
    """
    scores = np.zeros(len(targets))
    chosen: list[Choice] = []
    for category in _classes(targets):
        rng = np.random.default_rng([seed, category])
        shuffled = rng.permutation(np.flatnonzero(targets == category))
        chosen += _choices(shuffled[:per_class], category, scores=scores)
    return chosen


def select_active(probabilities: np.ndarray, targets: np.ndarray, per_class: int) -> list[Choice]:
    """Select the images of each class that the network is least certain of; ties by place.

    Args:
        probabilities: (N, classes), of the network.
        targets: (N,) class indices of the images.
        per_class: images of each class, at most.
    """
    uncertainty = entropy(probabilities)
    chosen: list[Choice] = []
    for category in _classes(targets):
        own = np.flatnonzero(targets == category)
        ranked = own[np.argsort(-uncertainty[own], kind="stable")]
        chosen += _choices(ranked[:per_class], category, scores=uncertainty)
    return chosen


def select_similar(
    embeddings: np.ndarray, targets: np.ndarray, predicted: np.ndarray, per_class: int
) -> list[Choice]:
    """Select the images of each class nearest to the mean embedding of its misclassified ones.

    None is selected of a class without a misclassified image.

    Args:
        embeddings: (N, D), of the network.
        targets: (N,) class indices of the images.
        predicted: (N,) class indices that the network gives them.
        per_class: images of each class, at most.
    """
    chosen: list[Choice] = []
    for category in _classes(targets):
        own = np.flatnonzero(targets == category)
        wrong = own[predicted[own] != category]
        if not len(wrong):
            continue
        centre = embeddings[wrong].astype(np.float64).mean(0)
        distances = np.full(len(targets), np.inf)
        distances[own] = np.square(embeddings[own].astype(np.float64) - centre).sum(1)
        ranked = own[np.argsort(distances[own], kind="stable")]
        chosen += _choices(ranked[:per_class], category, scores=distances)
    return chosen


def similar_or_random(
    outputs: Outputs, targets: np.ndarray, per_class: int, seed: int = 0
) -> list[Choice]:
    """Select by S-Similarity; classes without a misclassified image are drawn at random.

    Training on a selection without some class would make the network forget it.
    """
    chosen = select_similar(
        outputs.embeddings, targets, predicted=outputs.predicted, per_class=per_class
    )
    served = {choice.category for choice in chosen}
    at_random = select_random(targets, per_class, seed=seed)
    rest = [choice for choice in at_random if choice.category not in served]
    if rest:
        classes = len({choice.category for choice in rest})
        log(
            f"S-Similarity: {classes} classes have no misclassified image; "
            "theirs are drawn at random"
        )
    return chosen + rest


def _classes(targets: np.ndarray) -> list[int]:
    return np.unique(targets).tolist()


def _choices(indices: np.ndarray, category: int, scores: np.ndarray) -> list[Choice]:
    return [
        Choice(int(i), category, rank=rank, score=float(scores[i]))
        for rank, i in enumerate(indices, 1)
    ]


# ---------------------------------------------------------------- a pool of images


@dataclass(frozen=True)
class Pool:
    """The readable images to select from, and what the network makes of them."""

    network: Network
    images: Labelled
    outputs: Outputs

    def require_embeddings(self) -> None:
        """Raise UserError where the network has no embeddings, which S-Similarity needs."""
        if not self.outputs.embeddings.size:
            raise UserError(
                f"--model {self.network.name}: no linear layer or convolution in it, "
                "so no embedding for S-Similarity"
            )

    def select(self, strategy: str, per_class: int, seed: int = 0) -> list[Choice]:
        """Return the images that a strategy selects."""
        targets = self.images.targets
        if strategy == "random":
            return select_random(targets, per_class, seed=seed)
        if strategy == "active":
            return select_active(self.outputs.probabilities, targets, per_class=per_class)
        return similar_or_random(self.outputs, targets, per_class=per_class, seed=seed)

    def predicted_name(self, choice: Choice) -> str:
        """Return the name of the class that the network gives a selected image."""
        return self.network.labels[self.outputs.predicted[choice.index]]

    def is_wrong(self, choice: Choice) -> bool:
        """Return whether a selected image is misclassified."""
        return bool(self.outputs.predicted[choice.index] != choice.category)


def load_pool(
    images: Labelled,
    network: Network,
    results: Path,
    *,
    batch_size: int | str = "auto",
    failures: list[tuple[str, str]],
) -> Pool:
    """Return the pool; the network's outputs are kept in pool.npz for the next run.

    Args:
        images: to select from.
        network: the network to train further.
        results: folder of pool.npz.
        batch_size: images per forward pass, or "auto".
        failures: (name, reason) of images that cannot be read are added to it.

    Raises:
        UserError: the network returns NaN.
    """
    path = results / "pool.npz"
    same = (images.identity(), network.description())
    key = hashlib.sha256(repr(same).encode()).hexdigest()
    outputs = read_outputs(path, key)
    if outputs:
        return Pool(network, images, outputs=outputs)
    with tqdm(total=len(images), desc="look at", unit="image", disable=None) as bar:
        try:
            kept, outputs = network_outputs(
                network,
                readable(images.items, network.fit, failures=failures),
                batch_size=batch_size,
                on_batch=bar.update,
            )
        except FloatingPointError as error:
            raise UserError(f"--model {network.name}: {error}") from None
    if not failures:  # with failures the next run reads the images again, to name them again
        write_outputs(path, key, outputs)
    return Pool(network, images.take(kept), outputs=outputs)


# ---------------------------------------------------------------- files


class SelectedRow(Struct, kw_only=True, rename={"category": "class"}):
    """A row of selection_<strategy>.csv."""

    image: str
    category: str
    rank: int
    score: float
    predicted: str


def write_selection(strategy: str, chosen: Sequence[Choice], pool: Pool, results: Path) -> None:
    """Write selection_<strategy>.csv, and a sheet of the first images of each class as .png."""
    labels = pool.network.labels
    rows = [
        SelectedRow(
            image=pool.images.items[choice.index].name,
            category=labels[choice.category],
            rank=choice.rank,
            score=choice.score,
            predicted=pool.predicted_name(choice),
        )
        for choice in chosen
    ]
    write_csv(results / f"selection_{strategy}.csv", rows, SelectedRow)
    sheet = {}
    for category in _classes(pool.images.targets):
        own = [choice for choice in chosen if choice.category == category]
        sheet[labels[category]] = [_tile(choice, pool) for choice in own[:SHEET]]
    draw_sheet(sheet, results / f"selection_{strategy}.png")
    wrong = sum(pool.is_wrong(choice) for choice in chosen)
    log(f"{SELECTED[strategy]}: {len(chosen)} images, {wrong} of them misclassified")


def _tile(choice: Choice, pool: Pool) -> Tile:
    image = load_image(pool.images.items[choice.index].image, TILE)
    caption = f"said {pool.predicted_name(choice)}" if pool.is_wrong(choice) else ""
    return Tile(image, caption)
