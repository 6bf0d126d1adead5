"""The records of the live page: what is known of each set, and answers kept in sag.json.

    records = LiveRecords(Path("Results"))
    record = records.get("copper_jay")
    record.table[(11, 30)]
    record.learn({(11, 31): 0.42})
    records.save()

A record is exchanged at once, and only where it is still the one that was read: a run that replaces
it meanwhile wins. Besides the table of scored sets nothing in it changes, so that the main job's
next run still recognises it.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from drawing.masked_images import MaskedImages
from drawing.page import write_page
from drawing.record import Sag, pack_scores, scores_of
from running.failures import why
from running.record_files import RECORD, load_record, load_result, read_record, write_record
from running.results import FileStamp, fingerprint_of, stamp
from scoring.patch_sets import PatchSet
from utils import UserError, log

MOST_KEPT = 16  # records in memory
PAGE = "sag.html"


@dataclass(eq=False)
class LiveRecord:
    """A record, and what the network has answered since it was read.

    Attributes:
        folder: of the result.
        sag: the record.
        stamp: of its file when it was read or written last.
        table: probability of every set that is known.
        new: those that are not in the file yet.
        is_changed: whether the file has more than the saved page.
    """

    folder: Path
    sag: Sag
    stamp: FileStamp | None
    table: dict[PatchSet, float]
    new: dict[PatchSet, float] = field(default_factory=dict)
    is_changed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def identity(self) -> str:
        """Everything that an answer depends on, as text."""
        return identity_of(self.sag)

    def learn(self, answers: Mapping[PatchSet, float]) -> None:
        """Remember answers of the network."""
        with self.lock:
            fresh = {sets: p for sets, p in answers.items() if sets not in self.table}
            self.table.update(fresh)
            self.new.update(fresh)

    def save(self) -> None:
        """Write new answers into sag.json, unless it is another record by now.

        Raises:
            OSError: the file cannot be written; the answers are written next time.
        """
        path = self.folder / RECORD
        with self.lock:
            if not self.new:
                return
            before = stamp(path)
            stored = read_record(path)
            if stored is None or identity_of(stored) != self.identity:
                self.new.clear()
                return
            stored.scores = pack_scores({**self.new, **scores_of(stored)})
            if stamp(path) == before:  # else another program writes it: next time
                write_record(path, stored)
                self.sag = stored
                self.stamp = stamp(path)
                self.new.clear()
                self.is_changed = True


def identity_of(sag: Sag) -> str:
    """Return everything that the answers of a record's network depend on, as text."""
    parts: dict[str, Any] = {
        **fingerprint_of(sag),
        "category": sag.category.index,
        "against": sag.against.index if sag.against else None,
        "pixels": sag.pixels_sha256,
        "grid": sag.grid,
        "map": sag.regions.map if sag.regions else None,
        "full": sag.probability,
    }
    return msgspec.json.encode(parts, order="sorted").decode()


class LiveRecords:
    """The records below a results folder that pages have asked for.

    Args:
        results: the results folder.
        images: the run's images, where folders have lost theirs; or None.
    """

    def __init__(self, results: Path, images: Path | None = None):
        self.results = results
        self.images = images
        self._records: OrderedDict[Path, LiveRecord] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, folder: Path) -> LiveRecord:
        """Return the record in a folder, read anew where its file has changed.

        Raises:
            UserError: there is none, or it is damaged.
        """
        with self._lock:
            known = self._records.get(folder)
            if known is not None and known.stamp == stamp(folder / RECORD):
                self._records.move_to_end(folder)
                return known
            seen = stamp(folder / RECORD)
            sag = load_record(folder)
            record = LiveRecord(folder, sag, seen, scores_of(sag))
            if known is not None and known.identity == record.identity:
                record.learn(known.new)  # what was not written yet
            self._records[folder] = record
            self._forget_old()
            return record

    def _forget_old(self) -> None:
        while len(self._records) > MOST_KEPT:
            oldest = next(iter(self._records.values()))
            _save(oldest)
            _redraw(oldest, self.images)
            self._records.pop(oldest.folder)

    def save(self) -> None:
        """Write every new answer; what cannot be written is logged, and tried again."""
        with self._lock:
            known = list(self._records.values())
        for record in known:
            _save(record)

    def close(self) -> None:
        """Write every new answer, and the saved pages of the records that changed."""
        self.save()
        for record in self._records.values():
            _redraw(record, self.images)


def _save(record: LiveRecord) -> None:
    try:
        record.save()
    except (OSError, ValueError) as error:
        log(f"{record.folder / RECORD}: not written: {why(error)}")


def _redraw(record: LiveRecord, images: Path | None) -> None:
    """Write the saved page of a record anew, with all answers, where there is one."""
    page = record.folder / PAGE
    if not record.is_changed or not page.is_file() or os.path.islink(page):
        return
    try:
        result = load_result(record.folder, images)
        write_page(result.sag, MaskedImages.of(result.sag, result.image), page)
    except (OSError, UserError, ValueError) as error:
        log(f"{page}: not written: {why(error)}")
