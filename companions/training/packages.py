"""Packages that only training as SA3, and its captioner, need."""

from typing import Any

from scoring.loaded import library


def sa3_library(name: str, *, option: str) -> Any:
    """Return an optional package of requirements_sa3.txt.

    Args:
        name: of the package, or of a module of it.
        option: what needs it.

    Raises:
        UserError: it is not installed, or cannot be imported.
    """
    return library(name, option=option, install="bash requirements_install.sh requirements_sa3.txt")
