"""--settings FILE.yaml: options from a file, for every command."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest

from running.command_line import AutoCount, Count, Several, Share, parse, parse_subcommands


@dataclass(frozen=True)
class Settings:
    """All kinds of options."""

    manifest: Path  # required
    model: str = "birds"  # a network
    batch_size: AutoCount = "auto"  # images at once
    width: Count = 3  # sets that are kept
    share: Share = 0.9  # of the confidence
    search: Literal["beam", "diverse"] = "beam"  # for explanations
    formats: tuple[str, ...] = ("png",)  # of figures
    files: Annotated[tuple[Path, ...], Several("FILE")] = ()  # further ones
    overwrite: bool = False  # what exists
    deep: bool = True  # as well


@pytest.fixture
def parsed(tmp_path):
    """A function from the text of a settings file and options to settings."""

    def parse_file(text, *options):
        (tmp_path / "s.yaml").write_text(text)
        return parse(Settings, ["--settings", str(tmp_path / "s.yaml"), *options], prog="birds.py")

    return parse_file


EVERYTHING = """
# kitchens
manifest: images.csv
model: resnet18
batch-size: 64
width: 5
share: 5e-1
search: diverse
formats: [svg, pdf]
files: [a.csv, b.csv]
overwrite: true
deep: false
"""


def test_a_file_has_options_of_every_kind(parsed):
    assert parsed(EVERYTHING) == Settings(
        manifest=Path("images.csv"),
        model="resnet18",
        batch_size=64,
        width=5,
        share=0.5,
        search="diverse",
        formats=("svg", "pdf"),
        files=(Path("a.csv"), Path("b.csv")),
        overwrite=True,
        deep=False,
    )


def test_what_is_passed_wins(parsed):
    found = parsed(EVERYTHING, "--width", "7", "--formats", "png", "--deep", "--manifest", "x.csv")
    assert (found.width, found.formats, found.deep) == (7, ("png",), True)
    assert found.manifest == Path("x.csv")
    assert found.model == "resnet18"


def test_a_single_value_is_enough_for_several(parsed):
    found = parsed("manifest: a\nformats: svg,pdf\nfiles: b.csv")
    assert (found.formats, found.files) == (("svg", "pdf"), (Path("b.csv"),))


def test_a_number_may_be_a_name(parsed):
    assert parsed("manifest: a\nmodel: 7").model == "7"


@pytest.mark.parametrize(
    "text, words",
    [
        ("modle: x", "modle: no such option; did you mean model?"),
        ("1: x", "1: no such option"),
        ("width: many", "width: many is not a whole number of 1 or more"),
        ("width: 2.5", "width: 2.5 is not a whole number"),
        ("width: [1]", "width: one value is wanted, not a list"),
        ("width: true", "width: true, false and tables are no values of it"),
        ("width:", "width: no value"),
        ("width: 1\nwidth: 2", "width stands in it twice"),
        ("batch-size: 1\nbatch_size: 2", "batch_size stands in it twice"),
        ("formats: [png, null]", "formats: an entry of the list is null: no value"),
        ("files:\n- a.csv\n-", "files: an entry of the list is null: no value"),
        ("formats: [~]", "formats: an entry of the list is null: no value"),
        ("overwrite: 1", "overwrite: neither true nor false"),
        ("search: greedy", "search: greedy is none of beam, diverse"),
        ("? [a, b]\n: c", "not a table of options"),
        ("share: .nan", "share: .nan is not a number"),
        ("model: {a: 1}", "model: true, false and tables"),
        ("model: no", "a name needs quotes"),
        ("- a", "not a table of options and values"),
        ("a: [", "line 1: not YAML"),
        ("model: !!python/object/apply:os.system [ls]", "not YAML"),
        (f"width: {'9' * 5000}", "s.yaml: "),
        ("model: x", "the following arguments are required: --manifest"),
    ],
)
def test_what_cannot_be_used_is_one_line(parsed, capsys, text, words):
    with pytest.raises(SystemExit) as end:
        parsed(text)
    assert end.value.code == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("birds.py: error: ")
    assert words in line


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xff"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, capsys, content):
    path = tmp_path / "other.yaml"
    if content:
        path.write_bytes(content)
    with pytest.raises(SystemExit):
        parse(Settings, ["--settings", str(path)], prog="birds.py")
    assert "other.yaml: " in capsys.readouterr().err


@dataclass(frozen=True)
class Improve:
    """Improve."""

    selection: Annotated[tuple[Path, ...], Several("CSV")]  # required
    epochs: Count = 3  # of training


def test_a_subcommand_takes_its_options_from_a_file(tmp_path, capsys):
    path = tmp_path / "s.yaml"
    path.write_text("selection: [a.csv, b.csv]\nepochs: 9\n")
    commands = {"improve": Improve, "explain": Settings}
    found = parse_subcommands(commands, ["improve", "--settings", str(path)], prog="debug.py")
    assert found == Improve((Path("a.csv"), Path("b.csv")), 9)
    with pytest.raises(SystemExit):
        parse_subcommands(commands, ["explain", "--settings", str(path)], prog="debug.py")
    assert "selection: no such option" in capsys.readouterr().err


def test_words_are_what_they_are_on_the_command_line(parsed):
    assert parsed("manifest: 010\nmodel: 12:30\nwidth: 5\nshare: 5e-1").model == "12:30"
    assert parsed("manifest: 010").manifest == Path("010")
    assert parsed("manifest: 2026-11-29").manifest == Path("2026-11-29")
