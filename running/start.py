"""How a command starts: what it says without its packages, to Ctrl-C, and where nobody reads it."""

import contextlib
import os
import signal
import sys
from types import TracebackType
from typing import Any

INSTALL = "run: bash requirements_install.sh"
STOPPED_BY = ("SIGTERM", "SIGHUP")  # as Ctrl-C does


class Unread:
    """A stream that may have been closed, or whose disk may be full: what is lost stops nothing."""

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, if anybody takes it."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def start() -> None:
    """Prepare this process for a command; called before anything heavy is imported."""
    sys.excepthook = _say_in_one_line
    sys.unraisablehook = _pass_over_interrupts
    _fill_descriptors()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, Unread):
            continue
        if stream is None:  # closed by who started the command
            stream = open(os.devnull, "w")  # noqa: SIM115
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, Unread(stream))
    for name in STOPPED_BY:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            with contextlib.suppress(ValueError):  # not the main thread
                signal.signal(number, _interrupt)


def _fill_descriptors() -> None:
    """Open what was closed by who started the command: a record would get its number else."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


def _pass_over_interrupts(unraisable: Any) -> None:
    """Say what could not be raised, unless it is an interrupt while the process is ending."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _say_in_one_line(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Say in one line what ends a command in its first seconds; else show the traceback."""
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        sys.stderr.flush()
        os._exit(130)
    if isinstance(error, ModuleNotFoundError) and error.name:
        sys.stderr.write(f"error: {error.name} is not installed here; {INSTALL}\n")
        sys.stderr.flush()
        os._exit(2)
    sys.__excepthook__(kind, error, traceback)
