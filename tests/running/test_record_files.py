"""Reading and writing sag.json: what is damaged or missing is one line that says where."""

import numpy as np
import pytest
from drawn import make_sag
from PIL import Image

from running.record_files import (
    load_record,
    load_result,
    read_record,
    versions,
    write_record,
)
from utils import UserError, file_sha256

SIZE = (56, 56)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, pixels):
    """A result folder with a record only, of the image birds/scene.png below in/."""
    image = tmp_path / "in/birds/scene.png"
    image.parent.mkdir(parents=True)
    Image.fromarray(pixels).save(image)
    sag = make_sag(
        image="birds/scene.png",
        image_sha256=file_sha256(image),
        size=SIZE,
        settings={"images": str(tmp_path / "in")},
    )
    (tmp_path / "out").mkdir()
    write_record(tmp_path / "out/sag.json", sag)
    return tmp_path / "out"


def refusal(function, *arguments):
    """Return the one line of the UserError that a call raises."""
    with pytest.raises(UserError) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


# ---------------------------------------------------------------- the record


def test_a_record_that_was_written_can_be_read(tmp_path):
    write_record(tmp_path / "sag.json", make_sag())
    assert read_record(tmp_path / "sag.json") == make_sag()


def test_a_record_that_is_not_valid_is_not_written(tmp_path):
    with pytest.raises(ValueError):
        write_record(tmp_path / "sag.json", make_sag(probability=float("nan")))
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_is_not_valid_leaves_the_old_one(folder):
    before = (folder / "sag.json").read_bytes()
    with pytest.raises(ValueError):
        write_record(folder / "sag.json", make_sag(saliency=[1.0]))
    assert (folder / "sag.json").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"format": 1}', b'{"format": 9}'])
def test_a_damaged_record_is_read_as_none(content, tmp_path):
    (tmp_path / "sag.json").write_bytes(content)
    assert read_record(tmp_path / "sag.json") is None


def test_an_absent_record_is_read_as_none(tmp_path):
    assert read_record(tmp_path / "sag.json") is None


def test_the_record_of_a_folder_is_loaded(folder):
    assert load_record(folder).image == "birds/scene.png"


def test_a_folder_that_is_not_there_is_named(tmp_path):
    assert refusal(load_record, tmp_path / "none") == f"{tmp_path}/none: no such folder"


def test_a_folder_without_a_record_is_named(tmp_path):
    assert refusal(load_record, tmp_path) == f"{tmp_path}: no sag.json in it"


def test_a_damaged_record_is_named_with_its_damage(folder):
    text = (folder / "sag.json").read_text()
    (folder / "sag.json").write_text(text.replace('"probability": 0.9', '"probability": "high"'))
    line = refusal(load_record, folder)
    assert line.startswith(f"{folder}/sag.json: a damaged record: ")
    assert "$.probability" in line


# ---------------------------------------------------------------- its image


def test_the_image_is_found_where_the_record_says(folder, pixels):
    assert np.array_equal(load_result(folder).image, pixels)


def test_the_image_is_found_below_the_images_given(folder, pixels):
    images = folder.parent / "in"
    moved = images.rename(folder.parent / "moved")
    assert np.array_equal(load_result(folder, moved).image, pixels)


def test_the_image_may_be_given_itself(folder, pixels):
    image = folder.parent / "in/birds/scene.png"
    assert np.array_equal(load_result(folder, image).image, pixels)


def test_the_image_kept_in_the_folder_comes_first(folder):
    Image.new("RGB", SIZE, "red").save(folder / "perturbation_original.png")
    assert (load_result(folder).image == (255, 0, 0)).all()


def test_the_images_given_win_over_the_image_kept(folder, pixels):
    Image.new("RGB", SIZE, "red").save(folder / "perturbation_original.png")
    assert np.array_equal(load_result(folder, folder.parent / "in").image, pixels)


def test_an_image_that_is_not_there_is_named(folder):
    (folder.parent / "in/birds/scene.png").unlink()
    line = refusal(load_result, folder)
    assert "birds/scene.png of the record is not there" in line
    assert "--images" in line


def test_another_image_of_that_name_is_not_taken(folder):
    Image.new("RGB", SIZE, "red").save(folder.parent / "in/birds/scene.png")
    assert "is not there" in refusal(load_result, folder)


def test_an_image_that_cannot_be_read_is_named(folder):
    (folder / "perturbation_original.png").write_bytes(b"no image")
    assert "perturbation_original.png: cannot read it: not an image" in refusal(load_result, folder)


# ---------------------------------------------------------------- versions


def test_versions_name_python_torch_and_the_commit():
    assert set(versions()) == {"python", "torch", "torchvision", "cuda", "commit"}


@pytest.fixture
def without_git(monkeypatch):
    """A machine without git; versions() is asked once per process otherwise."""

    def no_git(*args, **kwargs):
        raise FileNotFoundError("git")

    monkeypatch.setattr("running.record_files.subprocess.run", no_git)
    versions.cache_clear()
    yield
    versions.cache_clear()


def test_without_git_there_is_no_commit(without_git):
    assert versions()["commit"] is None
