"""Training a network on selections of images, and measuring it before and after.

    trainer = LightTrainer(Recipe(steps=200))
    run = Improvement(network=network, bench=bench, trainer=trainer, results=results)
    run.measure_given()
    run.improve_on(read_selection(path, images, network))
    run.rows[1].need.deviation

What is done is kept in improve.json and not done again, where network, images and recipe are the
same.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import msgspec
import numpy as np
from msgspec import Struct
from safetensors.torch import save
from tqdm import tqdm

from companions.concepts.figures import Panel, draw_improvement
from companions.concepts.files import read_csv, write_csv
from companions.concepts.fine_tuning import Recipe, fine_tune
from companions.concepts.labelled_images import Labelled, labelled_folder, loader
from companions.concepts.measurement import Bench, Failures
from companions.concepts.records import (
    ImproveReport,
    NetworkRow,
    RecipeKey,
    RowKey,
    read_typed,
    write_typed,
)
from companions.concepts.sets import SET_NAMES
from companions.score_deviation.scene_sets import Item
from companions.training.processes import from_first
from drawing.record import Model
from running.failures import why
from running.record_files import versions
from scoring.labels import class_index
from scoring.networks import Network
from scoring.outputs import own_module
from utils import UserError, file_sha256, log, one_line, write_atomically

BEFORE = "before"  # name of the network as it was given


# ---------------------------------------------------------------- selections


@dataclass(frozen=True)
class Selection:
    """Images to train on: a CSV file or folder of them, what it is called, and what it names."""

    name: str
    file: Path
    images: Labelled

    def sha256(self) -> str:
        """Return one word for what the selection says; of a folder, for which images it has."""
        return self.images.identity() if self.file.is_dir() else file_sha256(self.file)


def read_selection(path: Path, images: Path | None, network: Network) -> Selection:
    """Return the images that a selection names, with the classes it gives them.

    Args:
        path: a CSV file with the columns image and class; or a folder of images in a folder per
            class.
        images: the folder of a CSV file's images; those that are not there, or all where it is
            None, are looked for beside the file.
        network: the network that knows the classes.

    Raises:
        UserError: the file or folder cannot be used, an image is missing, or a class is unknown.
    """
    if path.is_dir():
        labelled = labelled_folder(path, network.labels, option="--selection")
        return Selection(path.resolve().name, path, labelled)
    places = [images, path.parent] if images else [path.parent]
    items = []
    targets = []
    for number, row in enumerate(read_csv(path, ("image", "class")), 2):
        where = f"--selection {path}: line {number}"
        item = _item_of(row["image"], places)
        if item is None:
            below = f"--images {images}" if images else f"{path.parent}; --images names a folder"
            raise UserError(f"{where}: no {row['image']} in {below}")
        try:
            targets.append(class_index(row["class"], network.labels))
        except ValueError as error:
            raise UserError(f"{where}: class {row['class']}: {error}") from None
        items.append(item)
    labelled = Labelled(places[0], items, targets=np.array(targets), empty=[])
    return Selection(path.stem.removeprefix("selection_"), path, labelled)


def _item_of(name: str, places: Sequence[Path]) -> Item | None:
    """Return an image in the first of some folders that has it."""
    found = (place / name for place in places if (place / name).is_file())
    image = next(found, None)
    return Item(image, name) if image else None


def read_selections(
    paths: Sequence[Path], images: Path | None, network: Network
) -> list[Selection]:
    """Return several selections.

    Raises:
        UserError: see read_selection, or two of them have the same name.
    """
    selections: list[Selection] = []
    for path in paths:
        selection = read_selection(path, images, network)
        if any(selection.name == other.name for other in selections):
            raise UserError(f"--selection: two of them are named {selection.name}")
        selections.append(selection)
    return selections


# ---------------------------------------------------------------- training


class Trainer(Protocol):
    """One of the recipes."""

    def key(self) -> dict[str, Any]:
        """Return the field of a RowKey that says how it trains."""

    def train(
        self, network: Network, images: Labelled, *, weights: Path, failures: Failures
    ) -> tuple[Network, int]:
        """Train a network on what can be read of images.

        Args:
            network: where to begin; it is not changed.
            images: to train on.
            weights: the file that the weights will go to; what is kept meanwhile lies beside it.
            failures: (name, reason) of images that cannot be read is added to it.

        Returns:
            A new network, and the number of images it was trained on.

        Raises:
            ValueError: too few images can be read.
            FloatingPointError: the loss is NaN or infinite.
        """


@dataclass(frozen=True)
class LightTrainer:
    """Trains a network a little further, by fine_tune."""

    recipe: Recipe

    def key(self) -> dict[str, Any]:
        """Return the field of a RowKey that says how it trains."""
        return {"recipe": RecipeKey(**asdict(self.recipe))}

    def train(
        self, network: Network, images: Labelled, *, weights: Path, failures: Failures
    ) -> tuple[Network, int]:
        """Train a network; see Trainer."""
        load = loader(images.items, network.fit)
        kept = _readable(images, load, failures)
        if not kept:
            raise ValueError(f"none of its {len(images)} images can be read")
        images = images.take(kept)
        with tqdm(
            total=self.recipe.steps, desc=f"train {weights.stem}", unit="step", disable=None
        ) as bar:

            def on_step(loss: float) -> None:
                bar.update()
                bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)

            tuned = fine_tune(
                network,
                lambda i: load(kept[i]),
                images.targets,
                recipe=self.recipe,
                checkpoint=weights.with_suffix(".checkpoint"),
                on_step=on_step,
                identity=images.identity(),
            )
        return tuned, len(kept)


def _readable(images: Labelled, load, failures: Failures) -> list[int]:
    """Return which images can be read."""
    kept = []
    for i, item in enumerate(images.items):
        try:
            load(i)
        except ValueError as error:
            failures.append((item.name, why(error)))
            continue
        kept.append(i)
    return kept


def weights_of(results: Path, name: str) -> Path:
    """Return the file of the weights that a selection's training leaves."""
    return results / "improved" / f"{name}.safetensors"


def save_weights(network: Network, path: Path) -> None:
    """Write a network's weights as a .safetensors file for --weights, atomically."""
    state = own_module(network.module).state_dict()
    write_atomically(path, save({name: v.cpu().contiguous() for name, v in state.items()}))


# ---------------------------------------------------------------- all networks


@dataclass(kw_only=True)
class Improvement:
    """A row of measurements for the network as it is, and one for each selection.

    Attributes:
        network: the network as it was given.
        bench: what every network is measured on.
        trainer: how to train.
        results: folder of improve.json and improved/.
        overwrite: whether to train and measure again what is done.
        rows: the rows of this run.
        failures: (name, reason) of images that could not be read, and selections that failed.
    """

    network: Network
    bench: Bench
    trainer: Trainer
    results: Path
    overwrite: bool = False
    rows: list[NetworkRow] = field(default_factory=list)
    failures: Failures = field(default_factory=list)

    def __post_init__(self) -> None:
        report = read_typed(self.path, ImproveReport)
        rows = report.rows if report else []
        self.earlier = {row.network: row for row in rows}
        self.before = RowKey(
            model=msgspec.convert(self.network.description(), Model), bench=self.bench.key()
        )

    @property
    def path(self) -> Path:
        """The file of the report."""
        return self.results / "improve.json"

    @property
    def concept(self) -> str | None:
        """Name of the concept whose need is measured, if any."""
        return self.bench.question.concept if self.bench.question else None

    def measure_given(self) -> None:
        """Measure the network as it is.

        Raises:
            UserError: it cannot be measured.
        """
        try:
            self._add(self.earlier_row(BEFORE, self.before) or self._measured_row())
        except (ValueError, FloatingPointError) as error:
            raise UserError(f"--model {self.network.name}: {one_line(error)}") from None

    def improve_on(self, selection: Selection) -> None:
        """Train on a selection and measure; failures are recorded, and the run continues."""
        key = self.key_of(selection)
        earlier = self.earlier_row(selection.name, key)
        is_done = from_first(earlier is not None)
        try:
            self._add(earlier if earlier and is_done else self._trained_row(selection, key))
        except (ValueError, FloatingPointError) as error:
            self.failures.append((f"--selection {selection.file}", one_line(error)))

    def key_of(self, selection: Selection) -> RowKey:
        """Return what must be the same for a selection's row to stand."""
        return RowKey(
            model=self.before.model,
            bench=self.before.bench,
            selection=selection.sha256(),
            images=selection.images.identity(),
            **self.trainer.key(),
        )

    def earlier_row(self, name: str, key: RowKey) -> NetworkRow | None:
        """Return the row of an earlier run, where it still stands."""
        row = self.earlier.get(name)
        if self.overwrite or row is None or row.key != key:
            return None
        if name == BEFORE:
            return row
        weights = weights_of(self.results, name)
        is_same = weights.is_file() and file_sha256(weights) == row.weights_sha256
        return row if is_same else None

    def _measured_row(self) -> NetworkRow:
        start = monotonic()
        failures: Failures = []
        found = self.bench.measure(self.network, BEFORE, failures)
        return NetworkRow(
            network=BEFORE,
            images=0,
            test=found.test,
            swapped=found.swapped,
            need=found.need,
            failed=failures,
            weights_sha256=None,
            seconds=monotonic() - start,
            key=self.before,
        )

    def _trained_row(self, selection: Selection, key: RowKey) -> NetworkRow:
        start = monotonic()
        failures: Failures = []
        weights = weights_of(self.results, selection.name)
        weights.parent.mkdir(exist_ok=True)
        trained, images = self.trainer.train(
            self.network, selection.images, weights=weights, failures=failures
        )
        save_weights(trained, weights)
        found = self.bench.measure(trained, selection.name, failures)
        return NetworkRow(
            network=selection.name,
            images=images,
            test=found.test,
            swapped=found.swapped,
            need=found.need,
            failed=failures,
            weights_sha256=file_sha256(weights),
            seconds=monotonic() - start,
            key=key,
        )

    def _add(self, row: NetworkRow) -> None:
        """Add a row, name what failed in it, and write the report.

        A row that was read from an earlier run reports its failed images again. Rows that this
        run has not reached stay in the report: they took long to make.
        """
        self.rows.append(row)
        self.earlier.pop(row.network, None)
        self.failures += row.failed
        question = self.bench.question
        report = ImproveReport(
            category=question.class_name if question else None,
            concept=self.concept,
            rows=[*self.rows, *self.earlier.values()],
            versions=versions(),
        )
        write_typed(self.path, report)
        log(log_line(row, self.concept))

    def write_tables(self) -> None:
        """Write improve.csv, and draw improve.png."""
        table = [table_row(row) for row in self.rows]
        write_csv(self.results / "improve.csv", table, ImproveRow)
        names = [shown_name(row.network) for row in table]
        draw_improvement(_panels(table, self.concept), names, self.results / "improve.png")


def train_beside(
    selection: Selection, network: Network, trainer: Trainer, *, results: Path
) -> None:
    """Train with the first process, where that trains; it alone measures and writes.

    Args:
        selection: the images.
        network: where to begin.
        trainer: how to train.
        results: folder of improve.json and improved/.
    """
    is_done = from_first(False)
    if is_done:
        return
    with suppress(ValueError, FloatingPointError):  # which the first process reports
        trainer.train(
            network, selection.images, weights=weights_of(results, selection.name), failures=[]
        )


# ---------------------------------------------------------------- table and figure


class ImproveRow(Struct, kw_only=True):
    """A row of improve.csv."""

    network: str
    images: int
    accuracy: float | None
    accuracy_swapped: float | None
    scenes: int | None
    deviation: float | None
    relevant: float | None
    mses_needing: float | None
    sags_needing: float | None
    patch_mses_needing: float | None
    patch_sags_needing: float | None
    seconds: float


def table_row(row: NetworkRow) -> ImproveRow:
    """Return the row of improve.csv of a network."""
    need = row.need
    return ImproveRow(
        network=row.network,
        images=row.images,
        accuracy=row.test.all,
        accuracy_swapped=row.swapped.all if row.swapped else None,
        scenes=need.images if need else None,
        deviation=need.deviation if need else None,
        relevant=need.relevant if need else None,
        mses_needing=need.named.mses_needing if need else None,
        sags_needing=need.named.sags_needing if need else None,
        patch_mses_needing=need.patches.mses_needing if need else None,
        patch_sags_needing=need.patches.sags_needing if need else None,
        seconds=row.seconds,
    )


@dataclass(frozen=True)
class Measure:
    """A measure of the figure and the log: its field in ImproveRow, and what it is called there.

    Its names may have {} for the concept.
    """

    field: str
    title: str
    log_name: str

    @property
    def is_share(self) -> bool:
        """Whether it is a share, shown in percent."""
        return self.field != "deviation"


MEASURES = (
    Measure("accuracy", "accuracy", "accuracy"),
    Measure("accuracy_swapped", "accuracy, cue swapped", "swapped"),
    Measure("deviation", "mean deviation of {}", "deviation of {}"),
    Measure("mses_needing", "MSEs that need {}", "MSEs that need {}"),
    Measure("sags_needing", "SAGs that need {}", "SAGs that need {}"),
)


def log_line(row: NetworkRow, concept: str | None) -> str:
    """Return one line on a network, for the log."""
    values = table_row(row)
    parts = []
    for measure in MEASURES:
        value = getattr(values, measure.field)
        if value is None:
            continue
        shown = f"{100 * value:.1f} %" if measure.is_share else f"{value:+.3f}"
        parts.append(f"{measure.log_name.format(concept)} {shown}")
    return f"{row.network} ({row.images} images): {', '.join(parts)}"


def _panels(table: Sequence[ImproveRow], concept: str | None) -> list[Panel]:
    """Return the panels of the figure, without measures that no row has."""
    panels = []
    for measure in MEASURES:
        values = [getattr(row, measure.field) for row in table]
        if any(value is not None for value in values):
            panels.append(Panel(measure.title.format(concept), values, measure.is_share))
    return panels


def shown_name(network: str) -> str:
    """Return what a network of the table is called in figures."""
    return SET_NAMES.get(network, network)
