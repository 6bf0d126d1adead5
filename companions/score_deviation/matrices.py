"""All classes' probabilities of an image, whole and without each label, in a file: matrix.npz.

    write_matrix(folder / FILE, Matrix.of(scores, record))
    matrix = read_matrix(folder / FILE)
    matrix.probabilities                # (1 + labels, classes) float16, the untouched image first
    matrix.deviations(3)                # (labels,) of class 3
    matrix.record()                     # what the run's statistics were made of

The matrix is float16. So that statistics come out exactly, the columns of the classes that they
are about, and the largest value of each row, are kept in float32 as well.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import msgspec
import numpy as np
from msgspec import Struct
from tqdm import tqdm

from companions.score_deviation.deviations import Scores, deviations_of
from companions.score_deviation.record import (
    DeviationRecord,
    ImageDeviations,
    LabelMap,
    Question,
)
from running.checks import class_index
from scoring.segmentation import LABEL_MAP
from scoring.text_files import why_unreadable
from utils import UserError, file_sha256, one_line, written_beside

FILE = "matrix.npz"
# What NumPy, zip files and msgspec raise of a damaged file; NotImplementedError is a RuntimeError.
UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
    BadZipFile,
    zlib.error,
    RuntimeError,
)


class About(Struct, kw_only=True):
    """What the numbers of a matrix are about."""

    format: Literal[2] = 2
    question: Question  # what must agree for the matrix to stand
    classes: list[str]
    labels: list[int]
    names: list[str]  # of the labels
    areas: list[float]
    category: int  # explained in the run that wrote it
    rank: int | None  # of the true class, which the question names
    exact_classes: list[int]  # columns of Matrix.exact


class _Format(Struct):
    """The number of a matrix's format; 1 did not know the weights."""

    format: int


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Probabilities of an image.

    Attributes:
        about: what they are about.
        probabilities: (1 + labels, classes) float16; row 0 is the untouched image.
        exact: (1 + labels, exact classes) float32.
        top: (1 + labels,) int32, the most probable class of each row.
        top_probabilities: (1 + labels,) float32, their probabilities.
    """

    about: About
    probabilities: np.ndarray
    exact: np.ndarray
    top: np.ndarray
    top_probabilities: np.ndarray

    @classmethod
    def of(cls, scores: Scores, record: DeviationRecord) -> "Matrix":
        """Return the matrix of an image's scores and the record that was made of them."""
        rows = np.concatenate([scores.full[None], scores.without])
        known = {record.category.index, record.predicted.index}
        exact = sorted(known | ({record.true.index} if record.true else set()))
        about = About(
            question=record.question,
            classes=list(scores.classes),
            labels=record.regions.labels,
            names=record.regions.names,
            areas=record.regions.areas,
            category=record.category.index,
            rank=record.true.rank if record.true else None,
            exact_classes=exact,
        )
        return cls(
            about=about,
            probabilities=rows.astype(np.float16),
            exact=rows[:, exact],
            top=rows.argmax(1).astype(np.int32),
            top_probabilities=rows.max(1),
        )

    def rows(self) -> np.ndarray:
        """Return the probabilities, (1 + labels, classes) float32, exact where they are known so.

        Rounding lets no other class reach the largest of its row.
        """
        below = np.nextafter(self.top_probabilities, np.float32(0))
        rows = np.minimum(self.probabilities.astype(np.float32), below[:, None])
        rows[:, self.about.exact_classes] = self.exact
        rows[np.arange(len(rows)), self.top] = self.top_probabilities
        return rows

    def deviations(self, category: int) -> np.ndarray:
        """Return the labels' score deviations for a class, (labels,) float32."""
        column = self.rows()[:, category]
        return column[0] - column[1:]

    def record(self, category: int | None = None) -> ImageDeviations:
        """Return the deviations as a run would have recorded them, without the label map.

        Args:
            category: index of another class, for which the image then counts whatever its true
                class; None: as in the run that wrote the matrix.
        """
        about = self.about
        rows = self.rows()
        scores = Scores(
            full=rows[0],
            without=rows[1:],
            classes=about.classes,
            regions=LabelMap(names=about.names, labels=about.labels, areas=about.areas, map=""),
            baseline=about.question.asked.baseline,
        )
        found = deviations_of(
            scores,
            category=about.category if category is None else category,
            true_index=about.question.asked.true if category is None else None,
        )
        if found.true:
            found.true.rank = about.rank
        return ImageDeviations(**msgspec.structs.asdict(found), image=about.question.image)


# ---------------------------------------------------------------- files


def write_matrix(path: Path, matrix: Matrix) -> None:
    """Write a matrix.npz, at every moment the old file whole or the new one."""
    about = np.frombuffer(msgspec.json.encode(matrix.about), np.uint8)
    with written_beside(path) as new:
        np.savez_compressed(
            new,
            about=about,
            probabilities=matrix.probabilities,
            exact=matrix.exact,
            top=matrix.top,
            top_probabilities=matrix.top_probabilities,
        )


def read_matrix(path: Path) -> Matrix:
    """Read a matrix.npz.

    Raises:
        ValueError: the file is missing or damaged; the message is one line.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        content = arrays.pop("about").tobytes()
        if msgspec.json.decode(content, type=_Format).format == 1:
            raise ValueError("of an earlier version; --keep-matrices makes it anew")
        about = msgspec.json.decode(content, type=About)
        matrix = Matrix(about=about, **arrays)
    except UNREADABLE as error:
        raise ValueError(f"{path}: not a matrix of this program: {one_line(error)}") from None
    _require_shapes(matrix, path)
    return matrix


def _require_shapes(matrix: Matrix, path: Path) -> None:
    """Raise ValueError where the parts of a matrix do not fit together."""
    about = matrix.about
    rows = 1 + len(about.labels)
    classes = len(about.classes)
    wanted = {
        "probabilities": (np.float16, (rows, classes)),
        "exact": (np.float32, (rows, len(about.exact_classes))),
        "top": (np.int32, (rows,)),
        "top_probabilities": (np.float32, (rows,)),
    }
    for name, (kind, shape) in wanted.items():
        array = getattr(matrix, name)
        if array.dtype != kind or array.shape != shape:
            raise ValueError(f"{path}: {name} is {array.dtype} {array.shape}, not {shape}")
    numbers = [about.category, *about.exact_classes, *matrix.top.tolist()]
    if not all(0 <= number < classes for number in numbers):
        raise ValueError(f"{path}: a class that is none of its {classes}")
    if not len(about.labels) == len(about.names) == len(about.areas) > 0:
        raise ValueError(f"{path}: another number of labels than of their names or areas")
    _require_agreement(matrix, path)


def _require_agreement(matrix: Matrix, path: Path) -> None:
    """Raise ValueError where the classes are not those that the question asks for."""
    about = matrix.about
    asked = about.question.asked
    explained = int(matrix.top[0]) if asked.category is None else asked.category
    if about.category != explained:
        raise ValueError(f"{path}: category {about.category}, not {explained} as it was asked")
    if asked.true is None and about.rank is None:
        return
    classes = len(about.classes)
    if asked.true is None or about.rank is None or not 1 <= about.rank <= classes:
        raise ValueError(f"{path}: rank {about.rank} of the true class {asked.true}")
    if asked.true not in about.exact_classes:
        raise ValueError(f"{path}: the true class {asked.true} is not among the exact ones")


def stands(path: Path, question: Question) -> bool:
    """Return whether the matrix in a file answers this question."""
    try:
        return read_matrix(path).about.question == question
    except ValueError:
        return False


@dataclass(frozen=True)
class ReadRecords:
    """What the matrices below a folder say.

    Attributes:
        records: an image each.
        first: what the first matrix is about.
        failures: (file, reason) of those that cannot be used.
    """

    records: list[ImageDeviations]
    first: About
    failures: list[tuple[str, str]]


def read_records(folder: Path, category: str | None = None) -> ReadRecords:
    """Return the deviations that the matrices below a folder hold.

    Args:
        folder: searched through its sub-folders.
        category: another class, by index or name; see Matrix.record.

    Raises:
        UserError: there is no matrix, none can be used, or they have no such class.
    """
    paths = sorted(folder.rglob(FILE))
    if not paths:
        raise UserError(f"--from-matrices {folder}: no {FILE} in it; --keep-matrices writes them")
    records = []
    failures = []
    first: About | None = None
    index: int | None = None
    for path in tqdm(paths, desc="matrices", unit="image", disable=None):
        try:
            matrix = read_matrix(path)
        except ValueError as error:
            failures.append((str(path), one_line(error)))
            continue
        if first is None:
            first = matrix.about
            if category is not None:
                index = class_index(category, first.classes, option="--category")
        others = differences(matrix.about, first)
        if index is not None and "category" in others:  # another one is read of all
            others.remove("category")
        if others:
            words = ", ".join(others)
            failures.append((str(path), f"differs from {first.question.image} in {words}"))
            continue
        records.append(matrix.record(index))
    if first is None:
        raise UserError(f"--from-matrices {folder}: {failures[0][1]}")
    return ReadRecords(records, first, failures)


def require_weights(about: About, weights: Path) -> None:
    """Refuse matrices of other weights.

    Raises:
        UserError: the file is missing, or not what the matrices were made with.
    """
    try:
        sha256 = file_sha256(weights)
    except (OSError, ValueError) as error:
        raise UserError(f"--weights {weights}: {why_unreadable(error)}") from None
    if sha256 != about.question.model.weights_sha256:
        raise UserError(
            f"--weights {weights}: the matrices of {about.question.model.name} are of other weights"
        )


def differences(one: About, other: About) -> list[str]:
    """Return the settings in which the matrices of two images differ, by name."""
    mine = _settings_of(one)
    theirs = _settings_of(other)
    return [name for name in mine if mine[name] != theirs[name]]


def _settings_of(about: About) -> dict[str, Any]:
    """Return what all matrices of one set of statistics have in common."""
    question = about.question
    model = question.model
    regions = question.segmentation
    own = None if regions.source == LABEL_MAP else regions.sha256  # a label map is of one image
    return {
        "model": (model.name, model.code_sha256, model.modules),
        "weights": model.weights_sha256,
        "preprocessing": (question.size, model.resize, model.mean, model.std),
        "output": model.output,
        "classes": about.classes,
        "regions": (regions.source, regions.segments, own),
        "labels": regions.names_sha256,
        "fill": question.asked.baseline,
        "seed": question.asked.seed,
        "category": question.asked.category,
    }
