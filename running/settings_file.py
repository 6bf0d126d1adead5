"""Settings files: options and their values in YAML, as plain values.

    read_settings_file(Path("kitchens.yaml"))       # {"model": "resnet18", "overwrite": True}

Keys are the names of options, with "-" or "_". Whether a command has such options, and whether the
values suit them, is for the command line to say.
"""

from pathlib import Path
from typing import Any

from scoring.text_files import why_unreadable
from utils import UserError, one_line, read_text, shown

LARGEST = 1_000_000  # bytes; a settings file has some hundred


def read_settings_file(path: Path) -> dict[str, Any]:
    """Return what a settings file says, by the names of fields.

    Raises:
        UserError: it cannot be read, is not YAML, or is not a table of names and values.
    """
    import yaml  # here, so that commands without a settings file start without it

    text = _text_of(path)
    try:
        _require_single_names(yaml.compose(text, yaml.SafeLoader), path)
        content = yaml.load(text, Loader=_words_as_typed(yaml))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or one_line(error)
        raise UserError(f"{path}: {place}not YAML: {problem}") from None
    except (ValueError, RecursionError) as error:  # as of a number of 5000 digits
        raise UserError(f"{path}: {one_line(error)}") from None
    if content is None:  # an empty file
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a table of options and values (option: value)")
    return {_field(key): value for key, value in content.items()}


def _words_as_typed(yaml: Any) -> Any:
    """Return a safe loader that leaves numbers and dates as words, as a command line has them.

    YAML 1.1 reads 010 as eight and 12:30 as 750.
    """

    class Loader(yaml.SafeLoader):
        pass

    for kind in ("int", "float", "timestamp"):
        Loader.add_constructor(f"tag:yaml.org,2002:{kind}", yaml.SafeLoader.construct_yaml_str)
    return Loader


def _field(key: Any) -> str:
    return str(key).replace("-", "_")


def _require_single_names(node: Any, path: Path) -> None:
    """Raise UserError where an option stands in the table twice; YAML itself takes the last."""
    pairs = node.value if node is not None and node.id == "mapping" else []
    if any(key.id != "scalar" for key, _ in pairs):
        raise UserError(f"{path}: not a table of options and values (option: value)")
    names = [_field(key.value) for key, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path}: {shown(twice)} stands in it twice")


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path}: larger than {LARGEST:,} bytes: not a settings file")
        return read_text(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {why_unreadable(error)}") from None
