"""What is wrong with a text file, in a few words."""

from utils import one_line


def why_unreadable(error: Exception) -> str:
    """Return in a few words why a text file could not be read."""
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8 text"
    return getattr(error, "strerror", None) or one_line(error)
