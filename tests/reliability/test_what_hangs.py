"""What never ends, or takes very long, is refused; each row of a table is one such input."""

import os
import socket
from pathlib import Path

import pytest
from drawn import make_sag
from main_job import rows_of, run_planted
from PIL import Image

from companions.score_deviation.scene_sets import manifest
from drawing.canvas import Canvas
from drawing.styles import DARK
from drawing.text import text_width, visible, wrapped
from scoring.labels import read_labels
from scoring.regions import load_label_map, read_names, upright_size
from utils import UserError, file_sha256


def make_socket(path):
    server = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket has a hundred bytes at most
    try:
        server.bind(path.name)
    finally:
        os.chdir(here)


ENDLESS = {
    "pipe": os.mkfifo,
    "socket": make_socket,
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
}
READERS = {
    "checksum": file_sha256,
    "image": upright_size,
    "label map": load_label_map,
    "names": read_names,
    "labels": lambda path: read_labels(path, 3),
    "manifest": manifest,
}


@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.parametrize("reader", READERS)
def test_what_never_ends_is_refused(reader, kind, tmp_path):
    ENDLESS[kind](tmp_path / "a.png")
    with pytest.raises((UserError, ValueError)):
        READERS[reader](tmp_path / "a.png")


def test_an_image_that_never_ends_fails_and_the_others_are_done(tmp_path, out):
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in/a.png")
    Image.new("RGB", (50, 40), "white").save(tmp_path / "in/b.png")
    assert run_planted(tmp_path / "in", out, "--pictures", "none") == 1
    assert "a pipe, a socket or a device" in rows_of(out)[0]["error"]
    assert (out / "b/sag.json").exists()


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("character", ["a", "W", "é", "\u0301", "\u4e2d"])
def test_a_long_word_is_cut_without_measuring_all_of_it(character, monkeypatch):
    measured = []

    def counted(text, size):
        measured.append(len(text))
        return text_width(text, size)

    monkeypatch.setattr("drawing.text.text_width", counted)
    lines = wrapped(character * 3000, 10, 100)
    assert "".join(lines) == character * 3000
    assert sum(measured) < 3000 * 100


def test_a_cut_word_fits_the_width_and_fills_it():
    for line in wrapped("W" * 100, 10, 100)[:-1]:
        assert text_width(line, 10) <= 100 < text_width(line + "W", 10)


UNSHOWN = ["\x00", "\x1b[31m", "\u2028", "\u2029", "\x85", "a\tb", "\x7f"]


@pytest.mark.parametrize("text", UNSHOWN)
def test_text_of_a_figure_is_one_line_of_what_can_be_shown(text):
    assert len(visible(text).splitlines()) == 1
    assert visible("tern é 中") == "tern é 中"


@pytest.mark.parametrize("text", UNSHOWN)
def test_a_figure_with_such_a_name_is_a_valid_svg(text, tmp_path):
    from xml.etree import ElementTree

    canvas = Canvas(100, 40, DARK)
    canvas.text(5, 5, text=text, size=8, colour="white")
    canvas.save(tmp_path / "a.svg")
    ElementTree.parse(tmp_path / "a.svg")


# ---------------------------------------------------------------- records

DEEP = b"[" * 100_000
RECORDS = {
    "brackets": DEEP,
    "brackets in a field": b'{"format": 1, "settings": ' + DEEP,
    "not UTF-8": b'{"format": 1, "image": "\xff"}',
    "NaN": b'{"format": 1, "probability": NaN}',
    "a wrong type": b'{"format": 1, "image": 5}',
    "empty": b"",
    "null": b"null",
}


def readers():
    """Return the readers of every kind of record; each gives None or raises ValueError."""
    from companions.concepts.records import ExplainReport, read_typed
    from companions.deliberative.record import decode_insecurities
    from companions.score_deviation.record import decode_deviation
    from drawing.record import decode_sag
    from experiments.findings import decode_measurement

    def typed(content, path):
        path.write_bytes(content)
        assert read_typed(path, ExplainReport) is None
        raise ValueError

    return {
        "sag.json": lambda content, _: decode_sag(content),
        "deviation.json": lambda content, _: decode_deviation(content),
        "insecurities.json": lambda content, _: decode_insecurities(content),
        "measurements": lambda content, _: decode_measurement(content, "beam3"),
        "explain.json": typed,
    }


@pytest.mark.parametrize("damage", RECORDS)
@pytest.mark.parametrize("file", readers())
def test_a_damaged_record_is_one_error(file, damage, tmp_path):
    with pytest.raises(ValueError) as error:
        readers()[file](RECORDS[damage], tmp_path / "a.json")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("grid", [(0, 4), (-1, -16), (10**5, 10**5)])
def test_a_grid_that_cannot_be_is_refused(grid):
    with pytest.raises(ValueError):
        make_sag(grid=grid)
