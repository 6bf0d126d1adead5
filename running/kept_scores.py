"""Scores of a search under way, in a file, so that a run that was stopped goes on in the middle.

    kept = KeptScores(scores_file(folder, category), key)
    answerer = Answerer(slot, kept=kept)    # knows what an earlier run has scored
    remove_scores(folder)                   # once the records are written

The file is written a minute after the first answer and every minute from then on, so that short
searches have none. A search that starts again asks the same questions, and those that are answered
in the file cost no pass. What it finds, and how many sets it counts, is what it would have been
without the stop.
"""

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from scoring.patch_sets import PatchSet
from scoring.requests import Kind
from utils import write_atomically

SECONDS = 60.0  # between two writes
KEPT: tuple[Kind, ...] = ("float32", "reduced")


class KeptScores:
    """What was scored, in a file.

    Args:
        path: of the file.
        key: what must agree for its scores to be used: image, class, model, settings, precision.
    """

    def __init__(self, path: Path, key: str):
        self.path = path
        self.key = key
        self._written = time.monotonic()
        self._known = read_scores(path, key)

    def known(self, kind: Kind) -> Mapping[PatchSet, float]:
        """Return the scores that an earlier run has kept."""
        return self._known.get(kind, {})

    def note(self, tables: Mapping[Kind, Mapping[PatchSet, float]]) -> None:
        """Write all scores, if it is time to. A full disk is no reason to stop.

        Args:
            tables: probabilities by patch set, by kind.
        """
        if time.monotonic() - self._written < SECONDS:
            return
        merged = {kind: {**self.known(kind), **tables.get(kind, {})} for kind in KEPT}
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, encode_scores(merged, self.key))
        self._written = time.monotonic()


def scores_file(folder: Path, category: int) -> Path:
    """Return the file of an image's scores for one class."""
    return folder / f".scores_{category}.npz"


def remove_scores(folder: Path) -> None:
    """Remove an image's files of scores: its records have what is worth keeping."""
    for path in folder.glob(".scores_*.npz"):
        with suppress(OSError):
            path.unlink()


def key_of(**values: Any) -> str:
    """Return one word for all that must agree."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def encode_scores(tables: Mapping[Kind, Mapping[PatchSet, float]], key: str) -> bytes:
    """Return the bytes of a file of scores."""
    arrays: dict[str, Any] = {"key": np.array(key)}
    for kind, table in tables.items():
        arrays[f"{kind}_sizes"] = np.array([len(patches) for patches in table], np.uint16)
        patches = [patch for patches in table for patch in patches]
        arrays[f"{kind}_patches"] = np.array(patches, np.uint16)
        arrays[f"{kind}_scores"] = np.array(list(table.values()), np.float64)
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def read_scores(path: Path, key: str) -> dict[Kind, dict[PatchSet, float]]:
    """Return the scores in a file; none where it is absent, damaged or of something else."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays["key"]) != key:
                return {}
            return {kind: _table(arrays, kind) for kind in KEPT}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}


def _table(arrays: Mapping[str, np.ndarray], kind: Kind) -> dict[PatchSet, float]:
    """Return one kind's scores.

    Raises:
        ValueError: the arrays do not fit together.
    """
    sizes = arrays[f"{kind}_sizes"]
    scores = arrays[f"{kind}_scores"]
    patches = arrays[f"{kind}_patches"].tolist()
    if len(sizes) != len(scores) or int(sizes.sum()) != len(patches):
        raise ValueError("damaged")
    ends = np.cumsum(sizes).tolist()
    starts = [0, *ends]
    return {
        tuple(patches[start:end]): score for start, end, score in zip(starts, ends, scores.tolist())
    }
