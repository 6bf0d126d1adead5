"""What went wrong with some of many images or files: one line each, and the exit status."""

from collections.abc import Sequence

from utils import UserError, log, one_line


def report_failures(failures: Sequence[tuple[str, str]]) -> int:
    """Log each failure in one line and return the exit status.

    Args:
        failures: (name, reason) of each image or file that failed.

    Returns:
        1 where something failed, else 0.
    """
    for name, reason in failures:
        log(f"failed: {name}: {reason}")
    return 1 if failures else 0


def why(error: BaseException) -> str:
    """Return an exception's message in one line, with its type where it was not written for users.

    The messages of ValueError, OSError and UserError are written for users; other types are named.
    """
    message = one_line(error)
    if isinstance(error, ValueError | OSError | UserError):
        return message
    return f"{type(error).__name__}: {message}"
