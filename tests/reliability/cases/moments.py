"""Commands that are ended from outside, whose streams are closed, or that are not alone."""

from collections.abc import Iterator

from .case import RUNS, WRITES, Case

# Before the command has said what to do with them, the last three end it as they end any process.
SIGNALS = {"SIGINT": (130,), "SIGTERM": (130, -15), "SIGHUP": (130, -1), "SIGKILL": (-9,)}
MOMENTS = (0.02, 0.1, 0.25, 0.5)  # seconds after the start
STREAMS = ("no streams", "full stderr", "full streams", "nobody reads")
LONG = ("main", "paper", "deviation", "deliberative", "explain", "select", "improve", "draw")


def cases() -> Iterator[Case]:
    """Yield the rows."""
    for run in LONG:
        for name, status in SIGNALS.items():
            for moment in MOMENTS:
                yield Case(
                    f"{run}: {name} after {moment} s",
                    run,
                    status=(*status, 0),
                    stop=(name, moment),
                )
    for run in RUNS:
        if run in ("benchmark", "demo"):
            continue
        for streams in STREAMS:
            yield Case(
                f"{run}: {streams}",
                run,
                status=(0,),
                around=streams,
                writes=WRITES.get(run, "out"),
            )
