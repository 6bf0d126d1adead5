"""The loop over a run's images: errors are recorded, the run continues, Ctrl-C ends it."""

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from running.each_image import explain_each, log_interrupted


class Photo(NamedTuple):
    """An image of a run, and what explaining it does."""

    name: str
    error: BaseException | None = None
    is_new: bool = True


GOOD = Photo("a.png")
OLD = Photo("b.png", is_new=False)
BAD = Photo("c.png", error=ValueError("cannot read it"))
CTRL_C = Photo("d.png", error=KeyboardInterrupt())
LAST = Photo("e.png")


def explain(photo):
    """Return the record of an image, in capitals, and whether it is new."""
    if photo.error:
        raise photo.error
    return photo.name.upper(), photo.is_new


def line_of(record):
    """Return a record's line in the log."""
    return f"line of {record}"


def lines(capsys):
    """Return what was logged, progress bars aside."""
    text = capsys.readouterr().err.replace("\r", "\n")
    return [line for line in text.splitlines() if line.strip() and "image/s" not in line]


# ---------------------------------------------------------------- records


def test_each_image_is_explained_in_order():
    assert explain_each(explain, [GOOD, OLD, LAST]).records == ["A.PNG", "B.PNG", "E.PNG"]


def test_an_outcome_keeps_its_image():
    outcome = explain_each(explain, [GOOD, BAD])
    assert [one.image for one in outcome.images] == [GOOD, BAD]


def test_images_come_with_their_further_arguments():
    def explain_into(photo, folder):
        return f"{folder}/{photo.name}", True

    assert explain_each(explain_into, [GOOD, LAST], ["x", "y"]).records == ["x/a.png", "y/e.png"]


def test_further_arguments_are_as_many_as_images():
    with pytest.raises(ValueError, match="shorter"):
        explain_each(lambda photo, folder: (folder, True), [GOOD, LAST], ["x"])


def test_no_images_are_no_failure():
    outcome = explain_each(explain, [])
    assert (outcome.records, outcome.failures, outcome.status) == ([], [], 0)


# ---------------------------------------------------------------- the log


def test_a_new_record_is_logged(capsys):
    explain_each(explain, [GOOD], log_line=line_of)
    assert "a.png: line of A.PNG" in lines(capsys)


def test_an_old_record_is_there_already(capsys):
    explain_each(explain, [OLD], log_line=line_of)
    assert "b.png: there already" in lines(capsys)


def test_a_failure_is_left_to_the_end_of_the_log(capsys):
    explain_each(explain, [BAD], log_line=line_of)
    assert "c.png" not in "".join(lines(capsys))


def test_without_a_line_nothing_is_logged(capsys):
    explain_each(explain, [GOOD, OLD])
    assert ".png" not in "".join(lines(capsys))


def test_the_bar_has_a_label_and_counts_failures(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    explain_each(explain, [GOOD, BAD], label="explain")
    error_output = capsys.readouterr().err
    assert "explain: 100%" in error_output and "2/2" in error_output


def test_a_log_file_has_no_bar(capsys):
    explain_each(explain, [GOOD, BAD], label="explain")
    assert "100%" not in capsys.readouterr().err


def test_the_interruption_says_where_to_go_on(capsys):
    log_interrupted(Path("out"))
    wanted = "interrupted; what is finished is in out, the same command goes on from there"
    assert lines(capsys) == [wanted]


# ---------------------------------------------------------------- failures


def test_the_run_continues_after_an_error():
    outcome = explain_each(explain, [BAD, LAST])
    assert outcome.records == ["E.PNG"]


def test_a_failure_has_a_name_and_a_reason():
    assert explain_each(explain, [GOOD, BAD]).failures == [("c.png", "cannot read it")]


def test_an_error_not_written_for_users_has_a_type():
    photo = Photo("f.png", error=KeyError("x"))
    assert explain_each(explain, [photo]).failures == [("f.png", "KeyError: 'x'")]


def test_a_failure_has_no_record():
    [one] = explain_each(explain, [BAD]).images
    assert one.record is None


def test_a_line_that_cannot_be_made_fails_the_image():
    def no_line(record):
        raise ValueError("no line")

    assert explain_each(explain, [GOOD], log_line=no_line).failures == [("a.png", "no line")]


@pytest.mark.parametrize(
    "images, status",
    [([GOOD, OLD], 0), ([GOOD, BAD], 1), ([GOOD, CTRL_C], 130), ([BAD, CTRL_C], 130)],
)
def test_the_exit_status(images, status):
    assert explain_each(explain, images).status == status


# ---------------------------------------------------------------- interruptions


def test_ctrl_c_keeps_what_is_finished():
    outcome = explain_each(explain, [GOOD, BAD, CTRL_C, LAST])
    assert outcome.records == ["A.PNG"]
    assert outcome.failures == [("c.png", "cannot read it")]


def test_ctrl_c_ends_the_run():
    assert explain_each(explain, [GOOD, CTRL_C, LAST]).interrupted


def test_a_run_to_the_end_is_not_interrupted():
    assert not explain_each(explain, [GOOD, BAD]).interrupted


def test_the_systems_exit_is_no_failure_of_an_image():
    with pytest.raises(SystemExit):
        explain_each(explain, [Photo("g.png", error=SystemExit(3))])
