"""What the loaders of networks return, and what they share.

torchvision's networks and the user's own are loaded by scoring/networks.py, those of timm and
transformers by a file each.
"""

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scoring.preprocessing import Preprocessing
from utils import UserError, one_line

LONGEST_REASON = 240  # characters of another library's error


@dataclass
class Loaded:
    """A module with its weights and its preprocessing.

    Attributes:
        module: on the CPU.
        preprocessing: its preset.
        weights: the file that its weights came from; None: their values say which they are.
        unwrapped: what the weights were taken out of, in words.
        labels: names of the classes that come with it.
        may_be_channels_last: whether no layer of it depends on how its maps lie in memory.
    """

    module: torch.nn.Module
    preprocessing: Preprocessing
    weights: Path | None = None
    unwrapped: str = ""
    labels: list[str] | None = None
    may_be_channels_last: bool = False


def library(name: str, *, option: str, install: str | None = None) -> Any:
    """Return an optional package.

    Args:
        name: of the package.
        option: the option that needs it, with its value.
        install: the command that installs it; None: pip's.

    Raises:
        UserError: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        command = install or f"pip install {missing}"
        raise UserError(f"{option}: needs the package {missing}: {command}") from None
    except Exception as error:  # a package that does not fit to another one fails in any way
        raise UserError(f"{option}: cannot import {name}: {brief(error)}") from error


@contextmanager
def quietly(*names: str) -> Iterator[None]:
    """Have packages log nothing but errors: what goes wrong is one line of this program.

    Args:
        names: of the packages' loggers.
    """
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before):
            logger.setLevel(level)


def brief(error: BaseException) -> str:
    """Return the kind of an error and the beginning of its message, on one line."""
    reason = one_line(error)
    if len(reason) > LONGEST_REASON:
        reason = reason[:LONGEST_REASON].rsplit(" ", 1)[0] + " .."
    return f"{type(error).__name__}: {reason}"
