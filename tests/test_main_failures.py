"""What goes wrong with an image or the disk: it is named, and the other images are done."""

import contextlib
import io
from types import SimpleNamespace

import pytest
from drawn import read_sag
from main_job import records_in, rows_of, run_planted, wrong_claims
from PIL import Image

from running import results as result_files

NO_SPACE = OSError(28, "No space left on device")


# ---------------------------------------------------------------- images that cannot be read


@pytest.fixture(scope="module")
def two_bad(tmp_path_factory):
    """A run on two images and two files that are none: exit status, log, images and results."""
    folder = tmp_path_factory.mktemp("bad")
    images = folder / "in"
    images.mkdir()
    for name in ("a.png", "c.png"):
        Image.new("RGB", (50, 40), "white").save(images / name)
    (images / "b.jpg").write_bytes(b"no image")
    (images / "cut.png").write_bytes((images / "a.png").read_bytes()[:60])
    log = io.StringIO()
    with contextlib.redirect_stderr(log):
        status = run_planted(images, folder / "out")
    return SimpleNamespace(status=status, log=log.getvalue(), images=images, out=folder / "out")


def test_a_run_with_failures_ends_with_status_1(two_bad):
    assert two_bad.status == 1


def test_each_failure_is_named_with_its_reason(two_bad):
    assert "failed: b.jpg: cannot read it: not an image" in two_bad.log
    assert "failed: cut.png: cannot read it" in two_bad.log


def test_no_failure_shows_a_traceback(two_bad):
    assert "Traceback" not in two_bad.log


def test_the_other_images_are_done(two_bad):
    assert [path.parent.name for path in records_in(two_bad.out)] == ["a", "c"]
    assert wrong_claims(two_bad.out, two_bad.images) == []


def test_an_image_that_failed_has_no_folder(two_bad):
    assert not (two_bad.out / "b").exists()


def test_the_summary_tells_failures_from_results(two_bad):
    has_error = {row["image"]: bool(row["error"]) for row in rows_of(two_bad.out)}
    assert has_error == {"a.png": False, "b.jpg": True, "c.png": False, "cut.png": True}


# ---------------------------------------------------------------- a network that returns NaN


def test_nan_fails_the_image(white_images, out, capsys):
    assert run_planted(white_images / "a.png", out, network="answers_nan") == 1
    assert "NaN" in capsys.readouterr().err


def test_nan_leaves_no_record(white_images, out):
    run_planted(white_images / "a.png", out, network="answers_nan")
    assert records_in(out) == []


# ---------------------------------------------------------------- two images of one name


def test_two_images_of_one_name_get_two_folders(white_images, out):
    Image.new("RGB", (8, 8), "white").save(white_images / "a.jpg")
    assert run_planted(white_images, out) == 0
    images = {folder: read_sag(out / folder).image for folder in ("a", "a.png")}
    assert images == {"a": "a.jpg", "a.png": "a.png"}


# ---------------------------------------------------------------- a full disk


def full_while_drawing(*_):
    raise NO_SPACE


def full_while_writing(path, content):
    if path.name == "sag.json":
        raise NO_SPACE
    path.write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.fixture(params=["drawing", "writing"])
def full_disk(request, monkeypatch):
    """A disk that is full, while figures are drawn or when the record is written."""
    if request.param == "drawing":
        monkeypatch.setattr(result_files, "draw_all", full_while_drawing)
    else:
        monkeypatch.setattr("running.record_files.write_atomically", full_while_writing)
    return monkeypatch


def test_a_full_disk_is_named_in_one_line(full_disk, white_images, out, capsys):
    assert run_planted(white_images / "a.png", out) == 1
    log = capsys.readouterr().err
    assert "failed: a.png: [Errno 28] No space left on device" in log
    assert "Traceback" not in log


def test_a_full_disk_leaves_no_half_record(full_disk, white_images, out):
    run_planted(white_images / "a.png", out)
    assert records_in(out) == []


def test_after_a_full_disk_the_run_goes_on(full_disk, white_images, out):
    run_planted(white_images / "a.png", out)
    full_disk.undo()
    assert run_planted(white_images / "a.png", out) == 0
    assert wrong_claims(out, white_images) == []
