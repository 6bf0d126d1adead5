"""Which records a run would replace that have other settings.

paths = [job.folder / "sag.json" for job in jobs]
found = records_of_other_settings(paths, model=network.description(), settings=settings)
found.line()        # "12 records of other settings (beam_width 3) will be replaced"
say_what_is_replaced(paths, network.description(), settings, results=Path("Results"))   # logs it
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from drawing.record import Model
from running.results import result_settings
from utils import log, read_bytes

ThatCount = Callable[[Mapping[str, Any]], dict[str, Any]]
MOST_READ = 1000  # records; reading all of a million would take long
MOST_NAMED = 4  # settings in the line


class _Head(msgspec.Struct):
    """What a record says of its network and settings."""

    model: Model
    settings: dict[str, Any]


@dataclass
class OtherSettings:
    """Records that a run would replace.

    Attributes:
        records: how many there are.
        differences: "name value" of settings as the records have them -> how many have it.
        is_all: whether every record was looked at.
    """

    records: int = 0
    differences: dict[str, int] = field(default_factory=dict)
    is_all: bool = True

    def line(self) -> str:
        """Return them in words; empty where there is none."""
        if not self.records:
            return ""
        number = f"{self.records:,}" if self.is_all else f"more than {self.records:,}"
        named = sorted(self.differences, key=lambda name: -self.differences[name])[:MOST_NAMED]
        plural = "record" if self.records == 1 else "records"
        return f"{number} {plural} of other settings ({', '.join(named)}) will be replaced"


def records_of_other_settings(
    paths: Sequence[Path],
    *,
    model: Mapping[str, Any],
    settings: Mapping[str, Any],
    that_count: ThatCount = result_settings,
) -> OtherSettings:
    """Return what a run over these images would replace of another network or other settings.

    Args:
        paths: where the records of the images are, or will be, that are still to do.
        model: what the run's network is; see Network.description.
        settings: of the run, as they go into a record.
        that_count: settings as a record has them -> those that change results.
    """
    found = OtherSettings()
    decoder = msgspec.json.Decoder(_Head)
    read = 0
    for path in paths:
        try:
            head = decoder.decode(read_bytes(path))
        except (OSError, ValueError, RecursionError):  # none, or a damaged one
            continue
        differences = _differences(head, model, that_count(head.settings), that_count(settings))
        found.records += bool(differences)
        for name in differences:
            found.differences[name] = found.differences.get(name, 0) + 1
        read += 1
        if read == MOST_READ:
            found.is_all = False
            break
    return found


def say_what_is_replaced(
    paths: Sequence[Path],
    model: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    results: Path,
    that_count: ThatCount = result_settings,
) -> None:
    """Log how many records of another network or other settings the run replaces."""
    others = records_of_other_settings(paths, model=model, settings=settings, that_count=that_count)
    if others.records:
        log(f"{others.line()}; --run NAME writes into {results / 'NAME'} instead")


def _differences(
    head: _Head, model: Mapping[str, Any], own: Mapping[str, Any], wanted: Mapping[str, Any]
) -> list[str]:
    """Return "name value" for what a record has otherwise."""
    found = [f"{name} {own.get(name)}" for name in wanted if own.get(name) != wanted[name]]
    if msgspec.to_builtins(head.model) != dict(model) and not found:
        found = [f"another state of the network {head.model.name}"]
    return found
