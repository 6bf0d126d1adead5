"""Command lines made from typed settings: help, values, errors, and settings as plain data."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest

from running.command_line import (
    AutoCount,
    Bare,
    Between,
    Count,
    CountOrZero,
    Device,
    FigureFormat,
    Inches,
    Positional,
    Precision,
    Seconds,
    Seed,
    Several,
    Share,
    ShareOrZero,
    changed_settings,
    convert,
    exit_status,
    options_of,
    parse,
    parse_subcommands,
    settings_dict,
    settings_from_values,
)
from utils import UserError

DOC = """Find birds.

    birds.py --images photos    # all of them

More text that is not for --help.
"""


@dataclass(frozen=True)
class Settings:
    """All kinds of options."""

    # What to look at
    images: Path = Path("Images")  # a file or a folder
    labels: Path | None = None  # class names
    # How
    width: Count = 3  # sets that are kept,
    #   100% of them
    share: Share = 0.9  # of the confidence
    search: Literal["beam", "diverse"] = "beam"  # for explanations
    formats: tuple[FigureFormat, ...] = ("png", "pdf")  # of figures
    ray: Annotated[str | None, Bare("local")] = None  # a cluster
    overwrite: bool = False  # do it again


@dataclass(frozen=True)
class Required:
    """An option without a default."""

    csv: Path  # a table
    width: Count = 3  # of it


@dataclass(frozen=True)
class Unnamed:
    """An option that may be given without its name."""

    image: Annotated[Path, Positional("IMAGE")] = Path("Images")  # a file


@dataclass(frozen=True)
class Tables:
    """One or more values."""

    tables: Annotated[tuple[Path, ...], Several("CSV")] = ()  # tables to join


def parsed(*argv, settings=Settings):
    """Return the settings of a command line."""
    return parse(settings, [str(a) for a in argv], prog="birds.py", doc=DOC)


def error_of(capsys, *argv, settings=Settings):
    """Return the one line that a command line is refused with; the exit status is 2."""
    with pytest.raises(SystemExit) as end:
        parsed(*argv, settings=settings)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


# ---------------------------------------------------------------- help


@pytest.fixture
def help_text(capsys):
    """The text of --help, with single spaces."""
    with pytest.raises(SystemExit) as end:
        parsed("--help")
    assert end.value.code == 0
    return " ".join(capsys.readouterr().out.split())


def test_help_starts_with_the_docstrings_first_line(help_text):
    assert "Find birds. " in help_text


def test_help_ends_with_the_docstrings_examples(help_text):
    assert help_text.endswith("examples: birds.py --images photos # all of them")


def test_a_fields_comment_is_its_help(help_text):
    assert "--images PATH a file or a folder (default: Images)" in help_text


def test_a_continued_comment_is_one_help(help_text):
    assert "--width N sets that are kept, 100% of them (default: 3)" in help_text


def test_a_comment_above_fields_is_their_groups_title(help_text):
    assert re.search(r"What to look at: --images .* How: --width", help_text)


def test_options_know_their_groups():
    groups = {option.name: option.group for option in options_of(Settings)}
    assert (groups["labels"], groups["width"]) == ("What to look at", "How")


def test_the_choices_are_in_the_help(help_text):
    assert "--search {beam,diverse} for explanations (default: beam)" in help_text


def test_several_defaults_are_listed_with_commas(help_text):
    assert "of figures (default: png,pdf)" in help_text


def test_no_default_is_no_text(help_text):
    assert "--labels PATH class names --" not in help_text.replace("How:", "")
    assert "None" not in help_text


def test_a_switch_takes_no_value(help_text):
    assert "--overwrite do it again" in help_text


# ---------------------------------------------------------------- values


def test_without_options_the_defaults_hold():
    assert parsed() == Settings()


@pytest.mark.parametrize(
    "argv, name, value",
    [
        (("--images", "photos"), "images", Path("photos")),
        (("--labels", "names.txt"), "labels", Path("names.txt")),
        (("--width", "5"), "width", 5),
        (("--share", "0.5"), "share", 0.5),
        (("--search", "diverse"), "search", "diverse"),
        (("--formats", "svg"), "formats", ("svg",)),
        (("--formats", "svg, png"), "formats", ("svg", "png")),
        (("--ray", "auto"), "ray", "auto"),
        (("--ray",), "ray", "local"),
        (("--overwrite",), "overwrite", True),
    ],
)
def test_an_option_sets_its_field(argv, name, value):
    assert getattr(parsed(*argv), name) == value


def test_an_option_leaves_the_other_fields():
    assert parsed("--width", 5) == Settings(width=5)


def test_a_required_option_is_taken():
    assert parsed("--csv", "a.csv", settings=Required).csv == Path("a.csv")


@pytest.mark.parametrize("argv", [("a.png",), ("--image", "a.png"), ("b.png", "--image", "a.png")])
def test_a_positional_argument_may_be_named(argv):
    assert parsed(*argv, settings=Unnamed).image == Path("a.png")


def test_a_positional_argument_may_be_left_out():
    assert parsed(settings=Unnamed) == Unnamed()


def test_several_values_are_a_tuple():
    assert parsed("--tables", "a.csv", "b.csv", settings=Tables).tables == (
        Path("a.csv"),
        Path("b.csv"),
    )


ACCEPTED = [
    (Count, "1", 1),
    (CountOrZero, "0", 0),
    (Share, "1", 1.0),
    (ShareOrZero, "0", 0.0),
    (Seconds, "0.5", 0.5),
    (Inches, "3.3", 3.3),
    (Seed, str(2**63 - 1), 2**63 - 1),
    (AutoCount, "auto", "auto"),
    (AutoCount, "8", 8),
    (Device, "mps", "mps"),
    (Precision, "bfloat16", "bfloat16"),
    (Annotated[int, Between(2, 1000)], "1000", 1000),
    (Count | None, "4", 4),
    (float, "-2.5", -2.5),
    (str, "a b", "a b"),
    (tuple[Path, ...], "a,b", (Path("a"), Path("b"))),
]
REFUSED = [
    (Count, "0", "a whole number of 1 or more"),
    (Count, "1.5", "a whole number of 1 or more"),
    (CountOrZero, "-1", "a whole number of 0 or more"),
    (Share, "0", "a number above 0 and at most 1"),
    (Share, "1.01", "a number above 0 and at most 1"),
    (Share, "nan", "a number above 0 and at most 1"),
    (ShareOrZero, "-0.1", "a number from 0 to 1"),
    (Seconds, "0", "a number of seconds above 0"),
    (Inches, "1", "a number of inches from 1.5 to 40"),
    (Seed, str(2**63), "a whole number from 0 to"),
    (AutoCount, "0", "a whole number of 1 or more"),
    (Device, "tpu", "tpu is none of auto, cpu, cuda, mps"),
    (Annotated[int, Between(2, 1000)], "1", "a whole number from 2 to 1000"),
    (Annotated[float, Between(0, 10, "a size")], "11", "11 is not a size"),
    (Annotated[float, Between(0, open_low=True)], "0", "a number above 0"),
    (tuple[FigureFormat, ...], "png,gif", "gif is none of png, svg, pdf"),
]


def named(cases):
    return [f"{kind} {text}" for kind, text, _ in cases]


@pytest.mark.parametrize("kind, text, value", ACCEPTED, ids=named(ACCEPTED))
def test_text_becomes_a_value_of_its_kind(kind, text, value):
    assert convert(text, kind) == value


@pytest.mark.parametrize("kind, text, words", REFUSED, ids=named(REFUSED))
def test_text_of_another_kind_is_refused(kind, text, words):
    with pytest.raises(ValueError) as error:
        convert(text, kind)
    assert words in str(error.value)
    assert text.split(",")[-1] in str(error.value)


# ---------------------------------------------------------------- errors


def test_an_error_names_command_option_and_value(capsys):
    error = error_of(capsys, "--width", "none")
    assert error == ("birds.py: error: argument --width: none is not a whole number of 1 or more")


def test_an_unknown_option_is_named(capsys):
    assert "--wings" in error_of(capsys, "--wings", 2)


def test_a_value_that_is_missing_is_an_error(capsys):
    assert "--width" in error_of(capsys, "--width")


def test_a_required_option_that_is_missing_is_named(capsys):
    assert "required: --csv" in error_of(capsys, settings=Required)


def test_a_switch_with_a_value_is_an_error(capsys):
    assert "no" in error_of(capsys, "--overwrite", "no")


@dataclass(frozen=True)
class Edited:
    """A default that somebody edited."""

    width: Count = 0  # at least 1


@dataclass(frozen=True)
class EditedTuple:
    """A default of several values that somebody edited."""

    formats: tuple[FigureFormat, ...] = ("png", "gif")  # of figures


def test_an_edited_default_is_checked(capsys):
    assert "argument --width: 0 is not" in error_of(capsys, settings=Edited)


def test_an_edited_default_of_several_values_is_checked(capsys):
    assert "gif is none of" in error_of(capsys, settings=EditedTuple)


def test_an_edited_default_that_is_not_used_is_not_checked():
    assert parsed("--width", 2, settings=Edited).width == 2


# ---------------------------------------------------------------- subcommands


@dataclass(frozen=True)
class Explain:
    """Explain images."""

    width: Count = 3  # of the beam


@dataclass(frozen=True)
class Compare:
    """Compare two classes."""

    classes: tuple[str, ...] = ()  # two names


COMMANDS = {"explain": Explain, "compare": Compare}


def chosen(*argv):
    return parse_subcommands(COMMANDS, list(argv), prog="birds.py", doc=DOC)


def test_a_subcommand_gives_its_settings():
    assert chosen("compare", "--classes", "tern,gull") == Compare(("tern", "gull"))


def test_the_help_lists_the_subcommands(capsys):
    with pytest.raises(SystemExit):
        chosen("--help")
    assert "Compare two classes." in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv, words",
    [(("explain", "--width", "0"), "--width"), ((), "COMMAND"), (("fly",), "fly")],
)
def test_an_error_of_a_subcommand_is_one_line(argv, words, capsys):
    with pytest.raises(SystemExit, match="2"):
        chosen(*argv)
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


# ---------------------------------------------------------------- settings made in Python


def test_valid_settings_are_accepted():
    assert settings_from_values(Settings, {"width": 5, "labels": None}) == Settings(width=5)


@pytest.mark.parametrize("value", ["5", 5, np.int64(5)])
def test_a_value_takes_the_type_of_its_field(value):
    width = settings_from_values(Settings, {"width": value}).width
    assert (width, type(width)) == (5, int)


def test_a_value_out_of_range_is_named():
    with pytest.raises(UserError, match="^width: 0 is not a whole number"):
        settings_from_values(Settings, {"width": 0})


def test_an_unknown_choice_is_named():
    with pytest.raises(UserError, match="^search: luck is none of beam, diverse"):
        settings_from_values(Settings, {"search": "luck"})


# ---------------------------------------------------------------- as plain data

FULL = Settings(
    labels=Path("names.txt"), share=0.5, formats=("svg", "png"), ray="auto", overwrite=True
)


def test_settings_become_plain_json_values():
    assert settings_dict(Settings(labels=Path("a/b.txt")))["labels"] == "a/b.txt"
    assert json.loads(json.dumps(settings_dict(FULL))) == settings_dict(FULL)


@pytest.mark.parametrize("settings", [Settings(), FULL], ids=["defaults", "all changed"])
def test_plain_values_become_the_same_settings(settings):
    values = json.loads(json.dumps(settings_dict(settings)))
    assert settings_from_values(Settings, values) == settings


def test_no_values_become_an_empty_tuple():
    assert settings_from_values(Tables, settings_dict(Tables())) == Tables()


def test_a_value_with_a_comma_stays_one_value():
    settings = Tables((Path("a,b.csv"),))
    assert settings_from_values(Tables, settings_dict(settings)) == settings


def test_changed_settings_are_listed():
    assert changed_settings(Settings(width=5, overwrite=True)) == ["width 5", "overwrite True"]


def test_defaults_are_not_listed_as_changed():
    assert changed_settings(Settings()) == []


# ---------------------------------------------------------------- exit status


def raising(error):
    def run():
        raise error

    return run


def test_the_exit_status_is_what_the_run_returns():
    assert exit_status("birds.py", lambda: 1) == 1


@pytest.mark.parametrize("error", [UserError("--width 0:\nno"), OSError("--width 0: no")])
def test_unusable_input_is_one_line_and_status_2(error, capsys):
    assert exit_status("birds.py", raising(error)) == 2
    assert capsys.readouterr().err == "birds.py: error: --width 0: no\n"


def test_an_interrupted_run_is_status_130():
    assert exit_status("birds.py", raising(KeyboardInterrupt())) == 130


def test_a_bug_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        exit_status("birds.py", raising(ZeroDivisionError()))
