"""The table of benchmark.py --self-test."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.benchmark_tables import aligned
from utils import one_line

MOST_CHARACTERS = 200  # of an error


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes:
        name: what was looked at.
        found: what was found.
        passed: whether that is as it should be; None where nothing is right or wrong about it.
    """

    name: str
    found: str
    passed: bool | None = None


@dataclass(frozen=True)
class SelfTest:
    """All lines."""

    lines: Sequence[Line]

    @property
    def passed(self) -> bool:
        """Whether no line failed."""
        return not any(line.passed is False for line in self.lines)

    def report(self) -> str:
        """Return the table as text, to be pasted into an issue."""
        verdicts = {True: "pass", False: "FAIL", None: ""}
        width = max(len(line.found) for line in self.lines)
        rows = [[line.name, verdicts[line.passed], line.found.ljust(width)] for line in self.lines]
        failures = sum(line.passed is False for line in self.lines)
        last = f"{failures} of {len(self.lines)} lines failed" if failures else "all passed"
        return "\n".join([*map(str.rstrip, aligned(rows)), last])


def failed(name: str, error: Exception) -> Line:
    """Return the line of a check that raised."""
    return Line(name, one_line(error)[:MOST_CHARACTERS], passed=False)
