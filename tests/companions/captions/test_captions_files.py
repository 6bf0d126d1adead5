"""Files in the published formats: written, read back, and refused where they are damaged."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from companions.captions.data import load_split
from companions.captions.files import read_global_features, region_features, write_global_features
from companions.concepts.published_files import read_vocabulary, write_split
from utils import UserError


def load(places, split="trn"):
    return load_split(places, split, read_vocabulary(places.data))


def test_a_region_is_read_with_its_features(places):
    example = load(places)[3]
    assert example.name == "jay_red/7"
    assert example.caption == ["a", "jay", "with", "a", "red", "wing"]
    assert example.words == [3, 7, 4, 3, 10, 5]
    numbers = example.nodes.argmax(1).tolist()
    assert numbers == [7, 10, 10, 7]  # bird, wing, the wing's attribute, the union of both


def test_region_features_are_read_back(places):
    with region_features(places.regions) as regions:
        rows = regions.rows("jay_red", [(4, 4, 11, 11), (0, 0, 39, 39)])
        assert rows.argmax(1).tolist() == [10, 7]
        with pytest.raises(UserError, match=r"jay_red.jpg: no feature of the box \[0, 0, 1, 1\]"):
            regions.rows("jay_red", [(0, 0, 1, 1)])
        with pytest.raises(UserError, match="no image raven.jpg"):
            regions.rows("raven", [])


def as_published(places, folder):
    """Write the region features as SA3 publishes them: a file per image."""
    folder.mkdir()
    with h5py.File(places.regions) as file:
        for key, entry in file.items():
            with h5py.File(folder / f"{key}.hdf5", "w") as own:
                own.create_dataset(key, data=entry[...]).attrs["boxes"] = entry.attrs["boxes"]
    return replace(places, region_features=folder)


def test_a_file_per_image_says_the_same_as_one_file(places, tmp_path):
    published = as_published(places, tmp_path / "SA")
    places.annotations.rename(places.data / "regionfiles")
    for own, other in zip(load(published), load(places), strict=True):
        assert own.caption == other.caption
        assert (own.nodes == other.nodes).all()


def test_a_file_of_an_image_that_is_missing_is_named(places, tmp_path):
    published = as_published(places, tmp_path / "SA")
    (tmp_path / "SA/tern_red.jpg.hdf5").unlink()
    with pytest.raises(UserError, match="SA/tern_red.jpg.hdf5: no such file"):
        load(published)


def test_global_features_have_a_row_per_region_or_image(tmp_path):
    pairs = [("b", "1"), ("a", "1"), ("b", "2")]
    path = tmp_path / "trn_ft.npy"
    by_pair = np.arange(6, dtype=np.float32).reshape(3, 2)
    write_global_features(path, by_pair)
    assert read_global_features(path, pairs).tolist() == by_pair.tolist()
    write_global_features(path, by_pair[:2])
    assert read_global_features(path, pairs).tolist() == by_pair[[0, 1, 0]].tolist()


def test_features_of_another_length_are_refused(places):
    write_global_features(places.image_features("trn"), np.zeros((4, 5)))
    with pytest.raises(UserError, match="4 rows; its split has 6 regions of 6 images"):
        load(places)


def test_a_row_of_features_is_missing(places):
    with h5py.File(places.regions, "a") as file:
        boxes = file["jay_red.jpg"].attrs["boxes"]
        del file["jay_red.jpg"]
        file.create_dataset("jay_red.jpg", data=np.zeros((1, 11))).attrs["boxes"] = boxes
    with pytest.raises(UserError, match="jay_red.jpg: not a row of features for each of its boxes"):
        load(places)


def test_damaged_feature_files_are_one_line(places):
    places.regions.write_bytes(b"\x89HDF cut off")
    with pytest.raises(UserError, match="region_features.hdf5: not a whole .hdf5 file"):
        load(places)
    places.image_features("trn").write_bytes(b"\x93NUMPY")
    with pytest.raises(UserError, match="trn_ft.npy: "):
        load(places)


def test_a_damaged_annotation_is_one_line(places):
    path = places.annotations / "tern_red.json"
    content = json.loads(path.read_text())
    content["7"]["objects"][1]["x"] = "left"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="tern_red.json: region 7, objects 1, x: Expected"):
        load(places)


def test_a_region_that_the_annotation_lacks_is_named(places):
    write_split(places.split("trn"), [("jay_red", "8")])
    with pytest.raises(UserError, match="jay_red.json: no region 8 with an object"):
        load(places)


def test_an_unknown_word_is_one_line(places, error_of, tmp_path):
    path = places.annotations / "tern_red.json"
    path.write_text(path.read_text().replace("a tern with", "a big tern with"))
    line = error_of("train", "--data", places.data, "--results", tmp_path / "r")
    assert "region tern_red/7: 'big' is none of the vocabulary's 11" in line
    assert not (tmp_path / "r").exists()


def test_a_split_that_is_not_there_names_those_that_are(places):
    with pytest.raises(UserError, match="val_sub_names.npy: no such split; there are trn, val"):
        load(places, "val_sub")
