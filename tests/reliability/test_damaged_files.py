"""Damaged files of results: what can be read goes on, what cannot is made again or named."""

import json
import shutil

import pytest
from main_job import rows_of, run_planted
from PIL import Image

import draw_sag
from running.results import FINISHED, finished_before, make_jobs


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """A folder with three white images and their results, without pictures."""
    folder = tmp_path_factory.mktemp("three")
    (folder / "in").mkdir()
    for name in "abc":
        Image.new("RGB", (50, 40), "white").save(folder / f"in/{name}.png")
    assert run_planted(folder / "in", folder / "out", "--pictures", "none") == 0
    return folder


@pytest.fixture
def three(explained, tmp_path):
    """The same, copied."""
    shutil.copytree(explained, tmp_path / "three")
    return tmp_path / "three"


def again(three):
    return run_planted(three / "in", three / "out", "--pictures", "none")


# ---------------------------------------------------------------- finished.jsonl

NOTES = {
    "a number": "5",
    "a list": "[]",
    "brackets": "[" * 100_000,
    "no key": '{"image": "b.png"}',
    "rows of another type": '{"image":"b.png","key":"k","seen":[1,2],"records":{},"rows":"zz"}',
    "rows of other columns": '{"image":"b.png","key":"k","seen":[1],"records":{},"rows":[{"a":1}]}',
    "records of another type": '{"image":"b.png","key":"k","seen":[1,2],"records":[],"rows":[]}',
    "not a number": '{"image":"b.png","key":"k","seen":[NaN],"records":{},"rows":[]}',
    "bytes": "\x00\x01\ufffd",
}


@pytest.mark.parametrize("note", NOTES)
def test_a_damaged_note_costs_no_image(note, three):
    with open(three / "out" / FINISHED, "a", encoding="utf-8") as file:
        file.write("\n" + NOTES[note])
    assert again(three) == 0
    assert [row["image"] for row in rows_of(three / "out")] == ["a.png", "b.png", "c.png"]


def test_notes_that_are_a_folder_are_no_notes(three):
    jobs = make_jobs([three / "in/a.png"], root=three / "in", results=three / "elsewhere")
    (three / "elsewhere" / FINISHED).mkdir(parents=True)
    assert finished_before(three / "elsewhere", jobs, "key") == {}


# ---------------------------------------------------------------- sag.json

FIELDS = {
    "a missing key": lambda record: record.pop("model"),
    "a wrong type": lambda record: record.update(settings=[]),
    "a word for a number": lambda record: record.update(probability="zz"),
    "an unknown network": lambda record: record["model"].update(name=5),
    "a huge grid": lambda record: record.update(grid=[10**5, 10**5]),
    "an empty grid": lambda record: record.update(grid=[0, 0], saliency=[], sag={"nodes": []}),
    "a root that is none": lambda record: record["roots"][0].update(patches=[99]),
    "scores that are none": lambda record: record.update(scores={"sets": "g", "probabilities": []}),
    "files that are none": lambda record: record.update(files=[5]),
    "another format": lambda record: record.update(format=9),
}


def damage(folder, change):
    record = json.loads((folder / "sag.json").read_text())
    change(record)
    (folder / "sag.json").write_text(json.dumps(record))


@pytest.mark.parametrize("field", FIELDS)
def test_a_damaged_record_is_made_again(field, three):
    before = (three / "out/b/sag.json").read_bytes()
    damage(three / "out/b", FIELDS[field])
    damaged = (three / "out/b/sag.json").read_bytes()
    assert again(three) == 0
    assert (three / "out/b/sag.json").read_bytes() != damaged
    assert (
        json.loads(before)["roots"] == json.loads((three / "out/b/sag.json").read_text())["roots"]
    )


def test_of_three_results_two_are_drawn_and_the_damaged_one_is_named(three, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr("drawing.figures.draw_all", lambda *_, folder, **__: drawn.append(folder))
    damage(three / "out/b", FIELDS["a missing key"])
    images = ["--images", str(three / "in"), "--formats", "png"]
    assert draw_sag.main([str(three / "out"), *images]) == 1
    assert [folder.name for folder in drawn] == ["a", "c"]
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed")]
    assert len(lines) == 1 and f"{three / 'out/b'}" in lines[0] and "model" in lines[0]


def test_a_single_damaged_result_is_one_line(three, capsys):
    damage(three / "out/b", FIELDS["a missing key"])
    assert draw_sag.main([str(three / "out/b")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_damaged_summary_does_not_stop_the_drawing(three, monkeypatch, capsys):
    monkeypatch.setattr("drawing.figures.draw_all", lambda *_, **__: None)
    (three / "out/summary.csv").write_text("image,folder,error,name\nx,y,,z\n")
    assert draw_sag.main([str(three / "out"), "--images", str(three / "in")]) == 1
    assert "summary.csv: damaged" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["summary.csv", "index.html", "finished.jsonl"])
def test_an_image_of_that_name_does_not_cost_the_file(name, tmp_path):
    Image.new("RGB", (50, 40), "white").save(tmp_path / f"{name}.png")
    options = (tmp_path / f"{name}.png", tmp_path / "out", "--pictures", "none")
    assert run_planted(*options) == 0
    assert (tmp_path / "out" / name).is_file()
    assert (tmp_path / "out" / f"{name}.png/sag.json").is_file()


# ---------------------------------------------------------------- records of other commands

REPORTS = ("explain.json", "compare.json", "improve.json")


@pytest.mark.parametrize("content", [b"[]", b"{", b"null", b"\xff", b'{"format": 1}'])
@pytest.mark.parametrize("name", REPORTS)
def test_a_damaged_report_is_no_report(name, content, tmp_path):
    from companions.concepts.records import CompareReport, ExplainReport, ImproveReport, read_typed

    kinds = {"explain": ExplainReport, "compare": CompareReport, "improve": ImproveReport}
    (tmp_path / name).write_bytes(content)
    assert read_typed(tmp_path / name, kinds[name.removesuffix(".json")]) is None


@pytest.mark.parametrize("kind", ["a folder", "a link to nowhere"])
def test_what_is_called_a_record_is_found_by_draw_sag(tmp_path, kind):
    record = tmp_path / "a/sag.json"
    record.parent.mkdir()
    if kind == "a folder":
        record.mkdir()
    else:
        record.symlink_to("nowhere")
    assert draw_sag.results_below(tmp_path) == [tmp_path / "a"]
