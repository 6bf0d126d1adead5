"""Folders of labelled images: a folder names a class."""

import shutil

import pytest
from PIL import Image

from birds.cue_world import NAMES
from companions.concepts.labelled_images import labelled_folder
from utils import UserError


def test_folders_name_classes(pool):
    images = labelled_folder(pool.images, NAMES)
    assert images.targets.tolist() == [0, 0, 1]
    assert images.empty == ["thistle shrike"]


def test_the_results_among_the_images_are_left_out(pool):
    results = pool.images / "out"
    (results / "painted crake").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(results / "painted crake/numbered.png")
    images = labelled_folder(pool.images, NAMES, results=results)
    assert len(images) == 3
    assert images.empty == ["thistle shrike"]


def test_an_image_outside_of_the_class_folders_is_named(pool):
    Image.new("RGB", (9, 9)).save(pool.images / "stray.png")
    with pytest.raises(UserError, match="stray.png lies in no class's folder"):
        labelled_folder(pool.images, NAMES)


def test_a_folder_that_is_no_class_is_named(pool):
    with pytest.raises(UserError, match="folder harbour_kite: harbour_kite is none of the model's"):
        labelled_folder(pool.images, ["a", "b"])


def test_another_image_has_another_identity(pool, tmp_path):
    shutil.copytree(pool.images, tmp_path / "others")
    Image.new("RGB", (64, 64)).save(tmp_path / "others/harbour_kite/b.png")
    before = labelled_folder(pool.images, NAMES).identity()
    assert labelled_folder(pool.images, NAMES).identity() == before
    assert labelled_folder(tmp_path / "others", NAMES).identity() != before


def test_a_folder_that_generate_made_is_its_class(pool):
    (pool.images / "painted crake").rename(pool.images / "Oren_s_crake")
    names = ["harbour kite", "Oren's crake", "thistle shrike"]
    assert labelled_folder(pool.images, names).targets.tolist() == [1, 0, 0]
