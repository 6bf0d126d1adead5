"""Command lines made from typed settings.

A command states its settings once, as a dataclass: the block that people edit is also the command
line. The comment behind a field is the option's help, a comment on a line of its own starts a
group, and a comment line that begins with two or more spaces continues the help above it.

    @dataclass(frozen=True)
    class Settings:
        # What to explain
        images: Path = Path("Images")  # a file or a folder
        beam_width: Count = 3  # sets that the beam keeps at each size

    settings = parse(Settings, argv, prog="main_generate_sag.py", doc=__doc__)

Every command also takes --settings FILE.yaml, which has options and their values; what is passed
wins. Every value is checked, a default that was edited like one that was passed. An error is one
line on stderr that names the option and the value, and the exit status is 2. This module imports
nothing heavy, so that --help answers at once.
"""

import argparse
import ast
import dataclasses
import difflib
import inspect
import io
import os
import re
import sys
import textwrap
import tokenize
import types
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from running.start import INSTALL, start

try:
    from running.settings_file import read_settings_file
    from utils import UserError, log, one_line, printable, shown
except ModuleNotFoundError as error:  # the first packages that are imported
    sys.exit(f"error: {error.name} is not installed here; {INSTALL}")

T = TypeVar("T")
MOST_SHOWN = 60  # characters of a number in an error
SETTINGS = "--settings"  # names a settings file
SETTINGS_FILE = "settings_file"  # the attribute that keeps its path
UNNAMED = "unnamed_"  # begins the attribute that keeps an option given without its name

# ---------------------------------------------------------------- kinds of values


@dataclass(frozen=True)
class Between:
    """Range of a number, as metadata of an annotated type.

    Args:
        low: smallest value.
        high: largest value.
        words: what the value is called in an error; None: made from the range.
        open_low: whether low itself is excluded.
    """

    low: float
    high: float = float("inf")
    words: str | None = None
    open_low: bool = False

    def describe(self, kind: type) -> str:
        """Return the range in words, for an error."""
        if self.words:
            return self.words
        noun = "a whole number" if kind is int else "a number"
        if self.high == float("inf"):
            return f"{noun} above {self.low}" if self.open_low else f"{noun} of {self.low} or more"
        if self.open_low:
            return f"{noun} above {self.low} and at most {self.high}"
        return f"{noun} from {self.low} to {self.high}"

    def holds(self, value: float) -> bool:
        """Return whether a value lies in the range."""
        above = value > self.low if self.open_low else value >= self.low
        return above and value <= self.high


@dataclass(frozen=True)
class Positional:
    """Marks an option that may also be given without its name."""

    name: str


@dataclass(frozen=True)
class Bare:
    """Gives the value of an option that is passed without one."""

    value: str


@dataclass(frozen=True)
class Several:
    """Marks an option that takes one or more values, separated by spaces."""

    name: str


Count = Annotated[int, Between(1)]
CountOrZero = Annotated[int, Between(0)]
Seed = Annotated[int, Between(0, 2**63 - 1)]
Share = Annotated[float, Between(0, 1, open_low=True)]
ShareOrZero = Annotated[float, Between(0, 1)]
Seconds = Annotated[float, Between(0, 1e9, "a number of seconds above 0", open_low=True)]
Inches = Annotated[float, Between(1.5, 40, "a number of inches from 1.5 to 40")]
AutoCount = Literal["auto"] | Count
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Backend = Literal["auto", "torch", "openvino"]  # of searches on a CPU
Resize = Literal["squash", "crop", "opencv"]  # see scoring/fitting.py
Output = Literal["auto", "logits", "probabilities"]  # see scoring/outputs.py
FigureFormat = Literal["png", "svg", "pdf"]


def convert(text: str, kind: Any) -> Any:
    """Convert the text of an option to its annotated type.

    Args:
        text: the value as it was typed.
        kind: int, float, str or Path, Literal, Annotated with Between, a union of these with
            None, or tuple[kind, ...], whose values are separated by commas.

    Raises:
        ValueError: the text is not such a value; the message says what would be one.
    """
    origin = get_origin(kind)
    arguments = get_args(kind)
    if origin is Annotated:
        return _convert_annotated(text, arguments[0], arguments[1:])
    if origin is Literal:
        if text not in arguments:
            raise ValueError(f"{text} is none of {', '.join(arguments)}")
        return text
    if origin in (Union, types.UnionType):
        return _convert_union(text, [a for a in arguments if a is not type(None)])
    if origin is tuple:
        return tuple(convert(part.strip(), arguments[0]) for part in text.split(","))
    if kind in (int, float):
        return _convert_number(text, kind, Between(float("-inf")))
    if kind is Path and not text:
        raise ValueError("no name of a file or folder is given")
    if kind is str and not _is_utf8(text):
        raise ValueError(f"{printable(Path(text))} is not UTF-8 text")
    return kind(text)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _convert_annotated(text: str, kind: Any, metadata: Sequence[Any]) -> Any:
    for entry in metadata:
        if isinstance(entry, Between):
            return _convert_number(text, kind, entry)
    return convert(text, kind)


def _convert_union(text: str, kinds: Sequence[Any]) -> Any:
    """Return the first kind's value that fits; the last one says what is wrong."""
    for kind in kinds[:-1]:
        try:
            return convert(text, kind)
        except ValueError:
            continue
    return convert(text, kinds[-1])


def _convert_number(text: str, kind: type, between: Between) -> float:
    shown = text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}.."
    problem = f"{shown} is not {between.describe(kind)}"
    try:
        value = kind(text)
    except ValueError:
        raise ValueError(problem) from None
    if not between.holds(value):
        raise ValueError(problem)
    return value


# ---------------------------------------------------------------- the options of a dataclass


@dataclass(frozen=True)
class Option:
    """One field of a settings class, as an option."""

    name: str
    kind: Any
    default: Any  # MISSING: the option is required
    help: str
    group: str

    @property
    def flag(self) -> str:
        """The name on the command line."""
        return "--" + self.name.replace("_", "-")


def options_of(settings: type) -> list[Option]:
    """Return the options of a settings class, in the order of its fields."""
    kinds = get_type_hints(settings, include_extras=True)
    comments = _comments_of(settings)
    options = []
    for field in dataclasses.fields(settings):
        group, text = comments.get(field.name, ("", ""))
        kind = kinds[field.name]
        options.append(Option(field.name, kind, default=field.default, help=text, group=group))
    return options


def _comments_of(settings: type) -> dict[str, tuple[str, str]]:
    """Return the group and the help of each field, read from the comments in the source."""
    found: dict[str, tuple[str, str]] = {}
    for base in reversed(settings.__mro__[:-1]):
        source = textwrap.dedent(inspect.getsource(base))
        fields = {
            node.end_lineno: node.target.id
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        comments = {
            token.start[0]: token.string
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type == tokenize.COMMENT
        }
        found |= _grouped_comments(fields, comments)
    return found


def _grouped_comments(
    fields: Mapping[int | None, str], comments: Mapping[int, str]
) -> dict[str, tuple[str, str]]:
    """Return (group, help) per field, from fields and comments by their line numbers."""
    found: dict[str, tuple[str, str]] = {}
    group = ""
    last = ""
    for line in sorted({*filter(None, fields), *comments}):
        comment = comments.get(line, "#")
        text = comment[1:].strip()
        if line in fields:
            last = fields[line]
            found[last] = (group, text)
        elif comment.startswith("#  ") and last:
            found[last] = (found[last][0], f"{found[last][1]} {text}")
        else:
            group = text
    return found


def _add_options(
    parser: argparse.ArgumentParser, settings: type, given: Container[str] = ()
) -> None:
    """Add the options of a settings class; those given in a settings file are not required."""
    parser.add_argument(
        SETTINGS,
        dest=SETTINGS_FILE,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="a YAML file with options and their values; what is passed wins",
    )
    groups: dict[str, Any] = {}
    for option in options_of(settings):
        if option.group not in groups:
            has_title = bool(option.group)
            groups[option.group] = parser.add_argument_group(option.group) if has_title else parser
        _add_option(groups[option.group], option, is_given=option.name in given)


def _add_option(group: Any, option: Option, *, is_given: bool = False) -> None:
    """Add one option; a value that was not passed is absent from what argparse returns."""
    is_required = option.default is MISSING and not is_given
    help_text = option.help.replace("%", "%%")
    metadata = get_args(option.kind)[1:] if get_origin(option.kind) is Annotated else ()
    if option.kind is bool:
        is_on = option.default is True  # then there is a --no-.. as well
        action = argparse.BooleanOptionalAction if is_on else "store_true"
        group.add_argument(option.flag, action=action, default=argparse.SUPPRESS, help=help_text)
        return
    arguments: dict[str, Any] = {
        "type": _argument_type(option.kind),
        "default": argparse.SUPPRESS,
        "help": help_text + _default_text(option.default),
        "metavar": _metavar(option.kind),
    }
    positional = next((m for m in metadata if isinstance(m, Positional)), None)
    several = next((m for m in metadata if isinstance(m, Several)), None)
    if several:
        arguments |= {"nargs": "+", "metavar": several.name}
        arguments["type"] = _argument_type(_element_kind(option.kind))
    bare = next((m for m in metadata if isinstance(m, Bare)), None)
    if bare:
        arguments |= {"nargs": "?", "const": bare.value}
    if positional:
        unnamed = {**arguments, "metavar": positional.name, "default": None}
        if not is_required and (is_given or not several):
            unnamed["nargs"] = "*" if several else "?"
        group.add_argument(UNNAMED + option.name, **unnamed)
        if option.default is MISSING:
            return
        arguments["help"] = f"the same as {positional.name}"
    arguments["required"] = is_required
    group.add_argument(option.flag, dest=option.name, **arguments)


def _argument_type(kind: Any) -> Callable[[str], Any]:
    def argument(text: str) -> Any:
        try:
            return convert(text, kind)
        except ValueError as error:
            raise argparse.ArgumentTypeError(one_line(error)) from None

    return argument


def _metavar(kind: Any) -> str:
    """Return a word for the value: the choices of a Literal, or the type's name."""
    origin = get_origin(kind)
    arguments = [a for a in get_args(kind) if a is not type(None)]
    if origin is Literal:
        return "{" + ",".join(arguments) + "}"
    if origin in (Union, types.UnionType):
        return "|".join(_metavar(a).strip("{}") for a in arguments)
    if origin is tuple:
        return "LIST"
    if origin is Annotated:
        return _metavar(arguments[0])
    return {int: "N", float: "X", Path: "PATH", str: "TEXT"}.get(kind, "VALUE")


def _default_text(default: Any) -> str:
    if default is MISSING or default in (None, "", ()):
        return ""
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
    return f" (default: {shown})"


# ---------------------------------------------------------------- parsing


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage; exit status 2."""

    def error(self, message: str) -> Any:
        """Print one line and exit."""
        self.exit(2, f"{self.prog}: error: {shown(' '.join(message.splitlines()))}\n")

    def exit(self, status: int = 0, message: str | None = None) -> Any:
        """End the command; unlike a SystemExit that a user's network raises."""
        if message:
            self._print_message(message, sys.stderr)
        raise EndOfCommand(status)


class EndOfCommand(SystemExit):
    """Ends a command after --help, or after an error in its options."""


def _parser(prog: str, doc: str | None) -> OneLineParser:
    summary, _, rest = inspect.cleandoc(doc or "").partition("\n")
    examples = [line for line in rest.splitlines() if re.match(r" {4}\S", line)]
    epilog = "examples:\n" + "\n".join(examples) if examples else None
    return OneLineParser(
        prog=prog,
        description=summary,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def wait_without_spinning() -> None:
    """Have OpenMP's threads sleep while they wait for each other, unless the user says otherwise.

    Threads that spin take the cores from other processes, and are slowed by them even more. OpenMP
    reads the variable when PyTorch is imported, so that this comes before.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def parse(
    settings: type[T], argv: Sequence[str] | None = None, *, prog: str, doc: str | None = None
) -> T:
    """Return the settings that a command line asks for.

    Args:
        settings: a dataclass; see the module's docstring.
        argv: the arguments; None: those of this process.
        prog: name of the command, for the usage and the errors.
        doc: the command's docstring: its first line becomes the description, its indented lines
            the examples.

    Raises:
        SystemExit: status 2 after one line on stderr, or 0 after --help.
    """
    if argv is None:  # of this process
        start()
    wait_without_spinning()
    parser = _parser(prog, doc)
    in_file = _settings_in_file(argv, settings, parser)
    _add_options(parser, settings, in_file)
    return _checked(settings, parser.parse_args(argv), parser, in_file)


def parse_subcommands(
    commands: Mapping[str, type],
    argv: Sequence[str] | None = None,
    *,
    prog: str,
    doc: str | None = None,
) -> Any:
    """Return the settings of the subcommand that a command line names; see parse."""
    if argv is None:
        start()
    wait_without_spinning()
    parser = _parser(prog, doc)
    words = sys.argv[1:] if argv is None else argv
    named = next((word for word in words if word in commands), None)
    in_file = _settings_in_file(words, commands[named], parser) if named else {}
    choices = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    subparsers: dict[str, argparse.ArgumentParser] = {}
    for name, settings in commands.items():
        summary = inspect.cleandoc(settings.__doc__ or "").partition("\n")[0]
        subparsers[name] = choices.add_parser(
            name,
            help=summary,
            description=summary,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _add_options(subparsers[name], settings, in_file)
    arguments = parser.parse_args(argv)
    name = arguments.command
    del arguments.command
    return _checked(commands[name], arguments, subparsers[name], in_file)


def _settings_in_file(
    argv: Sequence[str] | None, settings: type, parser: argparse.ArgumentParser
) -> dict[str, Any]:
    """Return the values in the settings file that a command line names, by field; {} without one.

    Args:
        argv: the arguments; None: those of this process.
        settings: the dataclass of the command.
        parser: says what is wrong with the file.
    """
    early = argparse.ArgumentParser(add_help=False)
    early.add_argument(SETTINGS, dest=SETTINGS_FILE, nargs="?")
    path = early.parse_known_args(argv)[0].settings_file
    if not path:
        return {}
    try:
        return _converted_file(settings, read_settings_file(Path(path)))
    except UserError as error:
        parser.error(f"argument {SETTINGS}: {one_line(error)}")
    except ValueError as error:
        parser.error(f"argument {SETTINGS}: {path}: {one_line(error)}")
    return {}


def _converted_file(settings: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a settings file, converted as those of a command line are.

    Raises:
        ValueError: the first one that cannot be used, by its name.
    """
    options = {option.name: option for option in options_of(settings)}
    converted = {}
    for name, value in values.items():
        if name not in options:
            near = difflib.get_close_matches(name, options, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"{shown(name)[:MOST_SHOWN]}: no such option{hint}")
        try:
            converted[name] = _converted_plain(value, options[name].kind)
        except ValueError as error:
            raise ValueError(f"{name}: {one_line(error)}") from None
    return converted


def _converted_plain(value: Any, kind: Any) -> Any:
    """Return a plain value of a settings file as its kind."""
    if kind is bool:
        if not isinstance(value, bool):
            raise ValueError("neither true nor false")
        return value
    if value is None:
        raise ValueError("no value")
    is_several = _takes_several(kind)
    entries = value if isinstance(value, list) else [value]
    if isinstance(value, list) and not is_several:
        raise ValueError("one value is wanted, not a list")
    if None in entries:
        raise ValueError("an entry of the list is null: no value; a name needs quotes")
    if any(isinstance(entry, (bool, list, dict)) for entry in entries):
        raise ValueError("true, false and tables are no values of it; a name needs quotes")
    if is_several and isinstance(value, list):
        element = _element_kind(kind)
        return tuple(convert(str(entry), element) for entry in entries)
    if get_origin(kind) is Annotated and is_several:  # on a command line, separated by spaces
        return (convert(str(value), _element_kind(kind)),)
    return convert(str(value), kind)


def _takes_several(kind: Any) -> bool:
    """Return whether an option's value is a tuple, also where that is annotated or optional."""
    if get_origin(kind) is tuple:
        return True
    return any(_takes_several(part) for part in get_args(kind) if get_origin(part))


def settings_from_values(settings: type[T], values: Mapping[str, Any]) -> T:
    """Return settings made in Python, converted and checked as those of a command line are.

    Args:
        settings: the dataclass.
        values: field name -> value, of its own type or of the types that JSON has.

    Raises:
        UserError: the first value that cannot be used.
    """
    converted = dict(values)
    for option in options_of(settings):
        value = converted.get(option.name)
        if option.kind is bool or value is None:
            continue
        try:
            converted[option.name] = _converted(value, option.kind)
        except ValueError as error:
            raise UserError(f"{option.name}: {one_line(error)}") from None
    return settings(**converted)


def _converted(value: Any, kind: Any) -> Any:
    """Return a value as its kind; a list or tuple is converted value by value."""
    if isinstance(value, (list, tuple)):
        element = _element_kind(kind)
        return tuple(convert(str(entry), element) for entry in value)
    return convert(str(value), kind)


def _element_kind(kind: Any) -> Any:
    """Return the kind of a tuple's values, also where the tuple is annotated."""
    arguments = get_args(kind)
    return arguments[0] if get_origin(kind) is tuple else _element_kind(arguments[0])


def _checked(
    settings: type[T],
    arguments: Any,
    parser: argparse.ArgumentParser,
    in_file: Mapping[str, Any],
) -> T:
    """Return the settings; defaults are checked as if they had been passed."""
    values = _values(arguments)
    values.pop(SETTINGS_FILE, None)
    values = {**in_file, **values}
    for option in options_of(settings):
        if option.name in values:
            continue
        if option.kind is not bool and option.default not in (None, "", ()):
            try:
                _check_value(option.default, option.kind)
            except ValueError as error:
                parser.error(f"argument {option.flag}: {one_line(error)}")
    return settings(**values)


def _values(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what was passed, by field name; an option's name wins over its bare form."""
    values: dict[str, Any] = {}
    for name, value in sorted(vars(arguments).items(), key=lambda item: item[0]):
        if isinstance(value, list):
            value = tuple(value)
        if not name.startswith(UNNAMED):
            values[name] = value
        elif value is not None and value != ():
            values.setdefault(name.removeprefix(UNNAMED), value)
    return values


def _check_value(value: Any, kind: Any) -> None:
    """Raise ValueError where a value would not be accepted as text."""
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    convert(text, kind)


def settings_dict(settings: Any) -> dict[str, Any]:
    """Return settings as plain JSON values, as they go into a record."""
    values = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, Path):
            value = printable(value)
        elif isinstance(value, tuple):
            value = [printable(v) if isinstance(v, Path) else v for v in value]
        values[field.name] = value
    return values


def changed_settings(settings: Any) -> list[str]:
    """Return "name value" for each setting that differs from its default."""
    defaults = {option.name: option.default for option in options_of(type(settings))}
    changed = {
        field.name: getattr(settings, field.name)
        for field in dataclasses.fields(settings)
        if getattr(settings, field.name) != defaults[field.name]
    }
    return [f"{name} {value}" for name, value in changed.items()]


def exit_status(prog: str, run: Callable[[], int]) -> int:
    """Run a command and return its exit status.

    Returns:
        What run() returns; 2 after one line on stderr for input that cannot be used; 130 when the
        user interrupts.
    """
    try:
        return run()
    except EndOfCommand:
        raise
    except SystemExit as error:  # whatever its status, the work is not done
        log(f"{prog}: error: code of the network ended the program: exit({error.code!r})")
        return 2
    except (UserError, OSError) as error:
        log(f"{prog}: error: {one_line(error)}")
        return 2
    except KeyboardInterrupt:
        log(f"{prog}: interrupted")
        return 130
