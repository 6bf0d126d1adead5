"""Resume: what is complete is not done again, nor read again.

Figures are drawn only where they make a difference.
"""

import json
import os
import shutil
from dataclasses import dataclass, fields
from types import SimpleNamespace

import pytest
from drawn import read_sag
from main_job import (
    FLOAT32,
    draw_nothing,
    planted_options,
    records_in,
    rows_of,
    run,
    run_planted,
    wrong_claims,
)
from PIL import Image

import main_generate_sag
from running import results as result_files
from running.record_files import RECORD

WHITE = (255, 255, 255)


@dataclass
class Work:
    """What a run did: classes explained, image files hashed, records read."""

    explained: int = 0
    hashed: int = 0
    read: int = 0


NOTHING = Work()
ONE = Work(explained=1, hashed=1, read=1)
ALL = Work(explained=3, hashed=3, read=3)


class Counter:
    """Counts the work of runs."""

    FUNCTIONS = {
        "explained": (main_generate_sag, "explain_class"),
        "hashed": (main_generate_sag, "file_sha256"),
        "read": (result_files, "read_record"),
    }

    def __init__(self, monkeypatch):
        self.work = Work()
        for field in fields(Work):
            module, name = self.FUNCTIONS[field.name]
            monkeypatch.setattr(module, name, self.counting(getattr(module, name), field.name))

    def counting(self, function, name):
        def counted(*args, **kwargs):
            is_counted = name != "read" or args[0].name == RECORD  # what waits for its figures
            setattr(self.work, name, getattr(self.work, name) + is_counted)
            return function(*args, **kwargs)

        return counted

    def of(self, status, expected=0):
        """Return what a run did; its exit status must be the expected one."""
        assert status == expected
        done = self.work
        self.work = Work()
        return done


@pytest.fixture
def counter(monkeypatch):
    """What counts the work of runs that draw nothing."""
    draw_nothing(monkeypatch)
    return Counter(monkeypatch)


@pytest.fixture
def three(white_images, out, counter):
    """Three images that were explained, and again(*options), which runs again and counts."""

    def again(*options, images=white_images):
        return counter.of(run_planted(images, out, *options))

    first = again()
    assert first == ALL
    return SimpleNamespace(images=white_images, out=out, again=again, record=out / "a/sag.json")


def rows_without_times(results):
    return [{**row, "seconds": ""} for row in rows_of(results)]


def contents(results):
    """Return the bytes of every record and of the summary."""
    return {path: path.read_bytes() for path in (*records_in(results), results / "summary.csv")}


# ---------------------------------------------------------------- when an image is done again


def test_finished_images_are_not_even_read(three):
    assert three.again() == NOTHING


def test_an_option_that_changes_no_result_changes_nothing(three):
    assert three.again("--batch-size", 5) == NOTHING


def test_a_run_with_nothing_to_do_leaves_every_byte(three):
    before = contents(three.out)
    three.again()
    assert contents(three.out) == before


def test_overwrite_does_every_image_again(three):
    assert three.again("--overwrite").explained == 3


def test_after_overwrite_nothing_is_left_to_do(three):
    three.again("--overwrite")
    assert three.again() == NOTHING


@pytest.mark.parametrize("option", [("--num-roots-sag", 2), ("--prob-thresh", 0.8)])
def test_an_option_that_changes_results_does_all_again(three, option):
    assert three.again(*option).explained == 3


def test_the_old_option_again_does_all_again(three):
    three.again("--prob-thresh", 0.8)
    assert three.again().explained == 3


def test_an_image_that_changed_is_done_again(three):
    Image.new("RGB", (50, 40), (255, 250, 255)).save(three.images / "a.png")
    assert three.again() == ONE


def changed(text):
    return text.replace('"format": 1', '"format": 9')  # of the same size


DAMAGE = {
    "cut off": lambda text: text[: len(text) // 2],
    "of another format": changed,
    "almost empty": lambda text: '{"format": 1, "settings": null}',
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_is_made_again(three, damage):
    three.record.write_text(DAMAGE[damage](three.record.read_text()))
    assert three.again() == ONE


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_record_that_was_made_again_is_true(three, damage):
    three.record.write_text(DAMAGE[damage](three.record.read_text()))
    three.again()
    assert read_sag(three.out / "a").search.complete


def test_a_record_that_was_removed_is_made_again(three):
    three.record.unlink()
    assert three.again() == ONE


def cut_by_time(text, part):
    record = json.loads(text)
    if part == "curves":
        record["curves"] = None
    elif part == "search":
        record["search"] = {"method": "beam", "complete": False, "stopped_by": "time_limit"}
    else:
        record["sag"]["stopped_by"] = "time_limit"
    return json.dumps(record)


@pytest.mark.parametrize("part", ["search", "graph", "curves"])
def test_a_record_cut_short_by_time_is_made_again(three, part):
    three.record.write_text(cut_by_time(three.record.read_text(), part))
    assert three.again() == ONE


@pytest.mark.parametrize("part", ["search", "graph", "curves"])
def test_a_record_no_longer_cut_short_stands(three, part):
    three.record.write_text(cut_by_time(three.record.read_text(), part))
    three.again()
    assert three.again() == NOTHING


# ---------------------------------------------------------------- class names


@pytest.fixture
def named(three, tmp_path):
    """Return again(names): a run with these class names."""

    def again(names):
        (tmp_path / "names.txt").write_text(names)
        return three.again("--labels", tmp_path / "names.txt")

    assert again("a\nb\nc\n").explained == 3  # the names are new
    return again


def test_the_same_class_names_change_nothing(named):
    assert named("a\nb\nc\n") == NOTHING


def test_another_class_name_does_all_again(named):
    assert named("a\nB\nc\n").explained == 3


# ---------------------------------------------------------------- files of earlier results


def test_no_stale_figure_is_left(white_images, out):
    assert run_planted(white_images / "a.png", out) == 0
    assert run_planted(white_images / "a.png", out, "--num-roots-sag", 2) == 0
    assert not list(out.rglob("SAG_*3roots*"))
    assert (out / "a/SAG_2roots.dot").exists()
    assert wrong_claims(out, white_images) == []


def test_a_run_on_one_image_keeps_the_others_rows(three):
    whole = (three.out / "summary.csv").read_text()
    three.again(images=three.images / "a.png")
    assert (three.out / "summary.csv").read_text() == whole


# ---------------------------------------------------------------- notes of finished images


def test_a_record_that_was_touched_is_read(three):
    os.utime(three.record)
    assert three.again() == Work(hashed=1, read=1)


def test_a_record_that_was_read_is_noted_anew(three):
    os.utime(three.record)
    three.again()
    assert three.again() == NOTHING


def test_an_image_that_was_touched_is_hashed(three):
    os.utime(three.images / "birds/b.png", ns=(0, 0))
    assert three.again() == Work(hashed=1, read=1)


def test_an_image_that_was_hashed_is_noted_anew(three):
    os.utime(three.images / "birds/b.png", ns=(0, 0))
    three.again()
    assert three.again() == NOTHING


def test_a_record_that_was_made_again_is_noted_anew(three):
    three.record.write_text(changed(three.record.read_text()))
    three.again()
    assert three.again() == NOTHING


def test_a_note_cut_off_by_a_kill_costs_a_read(three):
    notes = three.out / "finished.jsonl"
    notes.write_text(notes.read_text()[:-40])
    assert three.again() == Work(hashed=1, read=1)


def test_a_note_cut_off_by_a_kill_spoils_no_later_note(three):
    notes = three.out / "finished.jsonl"
    notes.write_text(notes.read_text()[:-40])
    three.again()
    assert three.again() == NOTHING


def test_without_notes_every_record_is_read(three):
    (three.out / "finished.jsonl").unlink()
    assert three.again() == Work(hashed=3, read=3)


# ---------------------------------------------------------------- several classes of an image


@pytest.fixture
def both(white_images, out, counter):
    """One image of which two classes were explained, and again(), which runs again and counts."""
    options = list(planted_options(white_images / "a.png", out, "--num-categories", 2, *FLOAT32))
    place = options.index("--category")
    del options[place : place + 2]

    def again():
        return counter.of(run(*options))

    assert again().explained == 2
    return SimpleNamespace(out=out, again=again)


def test_every_class_of_an_image_has_a_row(both):
    assert len(rows_of(both.out)) == 2


def test_classes_that_are_finished_are_not_read(both):
    assert both.again() == NOTHING


def test_an_image_that_lacks_a_class_is_done_again(both):
    next(both.out.rglob("category_*/sag.json")).unlink()
    assert both.again().explained == 2


def test_an_image_done_again_has_the_same_rows(both):
    whole = rows_without_times(both.out)
    next(both.out.rglob("category_*/sag.json")).unlink()
    both.again()
    assert rows_without_times(both.out) == whole


# ---------------------------------------------------------------- two thousand images

COUNT = 2000


@pytest.fixture(scope="module")
def two_thousand(tmp_path_factory):
    """Runs on two thousand images with records, of which three are then removed: what each did."""
    folder = tmp_path_factory.mktemp("many")
    images = folder / "in"
    out = folder / "out"
    images.mkdir()
    Image.new("RGB", (50, 40), "white").save(images / "0000.png")
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        counter = Counter(patch)
        story = SimpleNamespace(first=counter.of(run_planted(images, out, *FLOAT32)))
        record = json.loads((out / "0000/sag.json").read_text())
        for name in (f"{i:04}" for i in range(1, COUNT)):
            os.link(images / "0000.png", images / f"{name}.png")
            (out / name).mkdir()
            (out / name / "sag.json").write_text(json.dumps({**record, "image": f"{name}.png"}))
        story.without_notes = counter.of(run_planted(images, out, *FLOAT32))
        story.rows = rows_without_times(out)
        for name in ("0007", "0777", "1999"):
            shutil.rmtree(out / name)
        lines = []
        patch.setattr("running.all_images.log", lines.append)
        patch.setattr("main_generate_sag.log", lines.append)
        story.three_left = counter.of(run_planted(images, out, *FLOAT32))
        story.lines = lines
        story.rows_after = rows_without_times(out)
        story.nothing_left = counter.of(run_planted(images, out, *FLOAT32))
    return story


def test_the_first_of_many_is_explained(two_thousand):
    assert two_thousand.first == ONE


def test_records_without_notes_are_read_once_each(two_thousand):
    assert two_thousand.without_notes == Work(hashed=COUNT - 1, read=COUNT - 1)


def test_the_three_that_are_left_are_found_without_reading(two_thousand):
    assert two_thousand.three_left == ALL


def test_the_summary_of_many_is_whole_again(two_thousand):
    assert len(two_thousand.rows) == COUNT
    assert two_thousand.rows_after == two_thousand.rows


def test_the_log_says_how_many_are_there_already(two_thousand):
    assert "1,997 images there already" in two_thousand.lines


def test_the_log_has_a_line_per_new_image(two_thousand):
    assert len([line for line in two_thousand.lines if "MSEs" in line]) == 3


def test_the_log_counts_all_records(two_thousand):
    assert any(line.startswith(f"{COUNT:,} records in") for line in two_thousand.lines)


def test_with_nothing_left_nothing_is_read(two_thousand):
    assert two_thousand.nothing_left == NOTHING
