"""The images of a run: each one's record made, drawn and written, or found from an earlier run.

    explainer = Explainer(network=network, segmentation=Segmentation("slic"), settings={})
    record, fresh = explainer.explain(Item(Path("kitchen.jpg"), "kitchen.jpg"), Path("Results"))

A record stands where the image, the network and the settings that change a result are the same;
figures in another style are then drawn from it, and the network is not asked again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from companions.score_deviation import matrices
from companions.score_deviation.deviations import Scores, explain_regions
from companions.score_deviation.figures import draw_map, map_files, remove_maps
from companions.score_deviation.palettes import DIVERGING, PaletteName
from companions.score_deviation.record import (
    FILE,
    Asked,
    DeviationRecord,
    MapSource,
    Question,
    new_record,
    read_deviation,
    write_deviation,
)
from companions.score_deviation.scene_sets import Item, target_of
from companions.score_deviation.summary import failed_row, log_line, summary_row
from drawing.record import Model
from drawing.styles import DARK, Style
from running.each_image import ImageOutcome, explain_each
from running.record_files import versions
from running.result_folders import require_below
from scoring.fitting import load_fitted
from scoring.networks import Network
from scoring.segmentation import SUPERPIXELS, Segmentation
from utils import file_sha256


@dataclass(frozen=True, kw_only=True)
class Explainer:
    """What every image of a run is explained with.

    Attributes:
        network: the network to explain.
        segmentation: what cuts images into regions.
        category: index of the class to explain; None: each image's most probable one.
        baseline: what replaces the pixels of a region.
        seed: seed of the run; a record stands only with the same.
        batch_size: images per forward pass, or "auto".
        style: of the figures.
        formats: of the figures.
        palette: of the maps.
        keep_matrices: whether all classes' probabilities are kept.
        overwrite: whether images are explained again whose record exists.
        settings: all settings of the run, for the record.
    """

    network: Network
    segmentation: Segmentation
    category: int | None = None
    baseline: str = "mean"
    seed: int = 0
    batch_size: int | str = "auto"
    style: Style = DARK
    formats: Sequence[str] = ("png",)
    palette: PaletteName = DIVERGING
    keep_matrices: bool = False
    overwrite: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    def explain(self, item: Item, folder: Path) -> tuple[DeviationRecord, bool]:
        """Return the record of an image, and whether it is new.

        Args:
            item: the image.
            folder: of its results; made where it does not exist.

        Raises:
            ValueError: the image, label map or class cannot be used.
            OSError: a file is missing.
        """
        question = self.question(item)
        old = read_deviation(folder / FILE)
        stands = old is not None and not self.overwrite and old.question == question
        if self.keep_matrices:
            stands = stands and matrices.stands(folder / matrices.FILE, question)
        if stands and self._is_drawn(old, folder):
            return old, False
        image = load_fitted(item.image, self.network.fit)
        record = old if stands else self._new_record(item, image, question, folder=folder)
        draw_map(
            record,
            image,
            folder,
            self.style,
            formats=self.formats,
            palette=self.palette,
            numbered=record.segmentation.source == SUPERPIXELS,
        )
        record.settings["palette"] = self.palette
        if self.style.is_paper:
            record.settings["width"] = self.settings.get("width")
        write_deviation(folder / FILE, record)
        return record, not stands

    def question(self, item: Item) -> Question:
        """Return what a record of this image has to agree with."""
        source = self.segmentation.identity(item.name, item.mask)
        true_class = target_of(item.target, self.network.labels)
        return Question(
            image=item.name,
            image_sha256=file_sha256(item.image),
            size=self.network.size,
            model=msgspec.convert(self.network.description(), Model),
            segmentation=MapSource(**source, channel=item.channel),
            asked=Asked(self.category, self.baseline, seed=self.seed, true=true_class),
        )

    def _new_record(
        self, item: Item, image: np.ndarray, question: Question, *, folder: Path
    ) -> DeviationRecord:
        """Return the record of an image, in place of what its folder has; keep its matrix."""
        regions = self.segmentation(
            item.image, item.name, image, mask=item.mask, channel=item.channel
        )
        scores: list[Scores] = []
        found = explain_regions(
            self.network,
            image,
            regions,
            category=self.category,
            true_class=question.asked.true,
            baseline=self.baseline,
            batch_size=self.batch_size,
            on_scored=scores.append,
        )
        settings = dict(self.settings)
        record = new_record(question, found, settings=settings, versions=versions())
        # The record is written last: its presence means that the folder is complete.
        folder.mkdir(parents=True, exist_ok=True)
        for name in (FILE, matrices.FILE):
            (folder / name).unlink(missing_ok=True)
        remove_maps(folder)
        if self.keep_matrices:
            matrix = matrices.Matrix.of(scores[0], record)
            matrices.write_matrix(folder / matrices.FILE, matrix)
        return record

    def _is_drawn(self, record: DeviationRecord, folder: Path) -> bool:
        """Return whether the figures asked for exist, in their colours and, for print, as wide."""
        if not all(path.is_file() for path in map_files(folder, self.style, self.formats)):
            return False
        if record.settings.get("palette", DIVERGING) != self.palette:
            return False
        if not self.style.is_paper:
            return True
        return record.settings.get("width") == self.settings.get("width")


# ---------------------------------------------------------------- all images


@dataclass(frozen=True)
class Summarized:
    """An image's record, without its label map, and its row of summary.csv."""

    record: DeviationRecord
    row: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of the images of a run; records are kept without their label maps."""

    records: list[DeviationRecord]
    rows: list[dict[str, Any]]  # of summary.csv
    failures: list[tuple[str, str]]  # (name, reason)
    interrupted: bool


def explain_all(
    explainer: Explainer, items: Sequence[Item], folders: Sequence[Path], *, results: Path
) -> Outcome:
    """Explain each image into its folder, until the user interrupts.

    Errors are recorded in the image's row of the summary; the run continues.

    Args:
        explainer: what to explain them with.
        items: the images.
        folders: of their results.
        results: the folder that all of these lie in.
    """

    def explain(item: Item, folder: Path) -> tuple[Summarized, bool]:
        require_below(folder, results)
        record, is_new = explainer.explain(item, folder)
        row = summary_row(record, folder.relative_to(results).as_posix())
        return Summarized(_without_map(record), row), is_new

    found = explain_each(explain, items, folders, log_line=lambda one: log_line(one.record))
    return Outcome(
        records=[one.record for one in found.records],
        rows=[_row_of(one) for one in found.images],
        failures=found.failures,
        interrupted=found.interrupted,
    )


def _row_of(outcome: ImageOutcome[Item, Summarized]) -> dict[str, Any]:
    """Return the image's row of summary.csv."""
    if outcome.record is None:
        return failed_row(outcome.image.name, outcome.error)
    return outcome.record.row


def _without_map(record: DeviationRecord) -> DeviationRecord:
    """Return the record without its label map: many of them would fill the memory."""
    return replace(record, regions=replace(record.regions, map=""))
