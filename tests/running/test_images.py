"""Which images a run is about."""

import pytest

from running.images import FoundImages, find_images, is_image, not_the_images
from utils import UserError

FILES = (
    "b/é.JPEG",
    "a.png",
    "b/c/d.webp",
    ".hidden.png",
    ".cache/e.png",
    "notes.txt",
    "Results/a/roots/1_2.png",
)
RECORDS = ("sag.json", "deviation.json", "insecurities.json")  # of the commands that write folders


@pytest.fixture
def folder(tmp_path):
    """A folder of images, with results of every command among them."""
    results = [f"b/{record}/{file}" for record in RECORDS for file in (record, "figure.png")]
    for name in (*FILES, *results):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names_of(found):
    """Return the paths of images as they are named."""
    return [path.relative_to(found.root).as_posix() for path in found.paths]


def test_images_are_found_in_every_folder(folder):
    found = find_images(folder, leave_out=folder / "Results")
    assert names_of(found) == ["a.png", "b/c/d.webp", "b/é.JPEG"]


def test_results_are_searched_unless_left_out(folder):
    assert "Results/a/roots/1_2.png" in names_of(find_images(folder))


def test_results_are_left_out_however_they_are_spelled(folder):
    found = find_images(folder, leave_out=folder / "b/../Results")
    assert "Results/a/roots/1_2.png" not in names_of(found)


@pytest.mark.parametrize("record", RECORDS)
def test_a_folder_below_a_result_is_not_searched(folder, record):
    (folder / "b" / record / "roots").mkdir()
    (folder / "b" / record / "roots/1_2.png").touch()
    assert not [name for name in names_of(find_images(folder)) if record in name]


def test_a_single_image_is_named_by_its_file(folder):
    assert find_images(folder / "a.png") == FoundImages(folder, [folder / "a.png"])


def test_a_folder_that_is_not_there_is_named(folder):
    with pytest.raises(UserError, match="--images .*nowhere: no such file or folder"):
        find_images(folder / "nowhere")


def test_a_folder_without_images_is_named(folder):
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="--images .*empty: no image in it"):
        find_images(folder / "empty")


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.png", "a.bmp", "a.webp"])
def test_images_are_known_by_their_endings(name):
    assert is_image(name)


@pytest.mark.parametrize("name", [".a.png", "a.txt", "png", "a.png.part"])
def test_hidden_and_other_files_are_no_images(name):
    assert not is_image(name)


@pytest.mark.parametrize("results", [".", "b/.."])
def test_results_may_not_be_the_folder_of_images(folder, results):
    with pytest.raises(UserError, match="--results .*: the folder of the images themselves"):
        not_the_images(folder / results, folder)


def test_results_may_be_below_the_folder_of_images(folder):
    not_the_images(folder / "Results", folder)


def test_results_may_be_beside_a_single_image(folder):
    not_the_images(folder, folder / "a.png")
