"""Sets of images: targets, manifests, ADE20K, Places365, and a segmentation network."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from companions.score_deviation import scene_sets
from companions.score_deviation.record import decode_deviation
from companions.score_deviation.scene_sets import Item, target_of
from score_deviation import main
from utils import PROJECT, UserError

# ---------------------------------------------------------------- targets

CLASSES = ["7", "bus_stop", "1", "crane, bird"]


@pytest.mark.parametrize(
    "target, index",
    [
        ("1", 2),  # a name first ..
        ("0", 0),  # .. and an index second
        (1, 1),  # a number is an index
        ("Bus stop", 1),
        ("bus_stop", 1),
        ("crane", 3),
        ("3", 3),
        (None, None),
    ],
)
def test_a_target_is_a_name_or_an_index(target, index):
    assert target_of(target, CLASSES) == index


@pytest.mark.parametrize("target", ["4", 4, "bus"])
def test_an_unknown_target_is_named(target):
    with pytest.raises(ValueError, match=f"class {target}: "):
        target_of(target, CLASSES)


def test_unknown_targets_of_a_set_become_none():
    items = [Item(Path("a.png"), "a.png", target=name) for name in ("bus stop", "zebra")]
    assert [i.target for i in scene_sets.with_known_targets(items, CLASSES)] == [1, None]


# ---------------------------------------------------------------- manifests


def test_paths_in_a_manifest_are_relative_to_it(tmp_path):
    (tmp_path / "images.csv").write_text("image,mask,class\n../in/a.png,m.png,zebra\nb.png,,\n")
    first, second = scene_sets.manifest(tmp_path / "images.csv")
    assert first.image == tmp_path / "../in/a.png"
    assert (first.name, first.mask, first.target) == ("in/a.png", tmp_path / "m.png", "zebra")
    assert (second.mask, second.target) == (None, None)


def test_a_manifest_may_lack_masks_and_classes(tmp_path):
    (tmp_path / "images.csv").write_text("image\na.png\n")
    [item] = scene_sets.manifest(tmp_path / "images.csv")
    assert (item.mask, item.target) == (None, None)


def test_a_row_without_an_image_is_named_by_its_line(tmp_path):
    (tmp_path / "images.csv").write_text("image,mask\na.png,\n,b.png\n")
    with pytest.raises(UserError, match="line 3 names no image"):
        scene_sets.manifest(tmp_path / "images.csv")


# ---------------------------------------------------------------- ADE20K

NAMES = [("Idx", "Ratio", "Name"), ("1", ".1", "upper;lamp"), ("2", ".2", "wall"), ("3", "", "x")]


@pytest.fixture(params=["objectInfo150.csv", "objectInfo150.txt"])
def ade(request, lamp_set):
    """ADE20K's standard folder with one image of the lamps."""
    folder = lamp_set.path / "ade"
    for kind, source, name in (
        ("images", "in/three.png", "ADE_val_00000001.jpg"),
        ("annotations", "maps/three.png", "ADE_val_00000001.png"),
    ):
        (folder / kind / "validation").mkdir(parents=True)
        image = Image.open(lamp_set.path / source)
        image.save(folder / kind / "validation" / name, quality=100, subsampling=0)
    tab = "\t" if request.param.endswith("txt") else ","
    (folder / request.param).write_text("\n".join(tab.join(row) for row in NAMES))
    (folder / "sceneCategories.txt").write_text("ADE_val_00000001 a\n")
    return folder


def test_ade20k_brings_label_maps_names_and_classes(lamp_set, ade):
    assert lamp_set.run("--ade20k", ade) == 0
    record = lamp_set.record("validation/ADE_val_00000001")
    assert [label.name for label in record.labels] == ["upper", "wall", "x"]
    assert (record.true.name, record.true.rank) == ("a", 1)


def test_a_scene_unknown_to_the_network_has_no_true_class(lamp_set, ade, capsys):
    (ade / "sceneCategories.txt").write_text("ADE_val_00000001 zebra_crossing\n")
    assert lamp_set.run("--ade20k", ade) == 0
    assert "1 of 1 images show a scene that is no class" in capsys.readouterr().err
    assert lamp_set.record("validation/ADE_val_00000001").true is None


def test_slic_is_for_images_without_a_label_map(lamp_set, ade):
    assert lamp_set.run("--ade20k", ade, "--regions", "slic") == 0
    record = lamp_set.record("validation/ADE_val_00000001")
    assert record.segmentation.source == "label map"


def test_ade20k_photos_with_a_real_network(tmp_path):
    shared = Path(os.environ.get("SAG_SHARED", PROJECT.parent / "shared"))
    weights = shared / "weights/resnet18.pth"
    if not weights.is_file() or not (shared / "ade20k/images").is_dir():
        pytest.skip(f"no weights/resnet18.pth and ade20k/ in {shared.name}/ (or in $SAG_SHARED)")
    status = main(
        [
            *("--ade20k", str(shared / "ade20k")),
            *("--model", "resnet18", "--weights", str(weights), "--device", "cpu"),
            *("--results", str(tmp_path)),
        ]
    )
    assert status == 0
    content = (tmp_path / "ADE_val_00000001/deviation.json").read_bytes()
    record = decode_deviation(content)
    assert max(record.labels, key=lambda label: label.deviation).name == "building"
    assert sum(record.regions.areas) == pytest.approx(1)


# ---------------------------------------------------------------- Places365


@pytest.fixture
def places(lamp_set):
    """The standard folder val/<class>/, with a coloured label map for one of two images."""
    folder = lamp_set.path / "places"
    masks = folder / "noisy_annotations_RGB/val/a"
    for path in (folder / "val/a", folder / "val/b-outdoor", masks):
        path.mkdir(parents=True)
    (folder / "categories_places365.txt").write_text("/a/a 0\n/b/b/outdoor 1\n/c/c 2\n")
    images = lamp_set.path / "in"
    shutil.copy(images / "three.png", folder / "val/a/Places365_val_00000001.png")
    shutil.copy(images / "two.png", folder / "val/b-outdoor/Places365_val_00000002.png")
    labels = np.asarray(Image.open(lamp_set.path / "maps/three.png"))
    coloured = np.dstack([labels * 0, labels * 5, labels - 1])
    Image.fromarray(coloured).save(masks / "Places365_val_00000001.png")
    return folder


@pytest.fixture
def flat_places(lamp_set):
    """The standard folder val_256/ with places365_val.txt."""
    folder = lamp_set.path / "flat"
    (folder / "val_256").mkdir(parents=True)
    (folder / "categories_places365.txt").write_text("/a/a 0\n/b/b/outdoor 1\n/c/c 2\n")
    shutil.copy(lamp_set.path / "in/two.png", folder / "val_256/Places365_val_00000002.png")
    (folder / "places365_val.txt").write_text("Places365_val_00000002.png 1\n")
    return folder


def test_places365_numbers_classes_by_its_categories(places):
    scenes = scene_sets.places365(places)
    assert [(item.name, item.target) for item in scenes.items] == [
        ("a/Places365_val_00000001.png", 0),
        ("b-outdoor/Places365_val_00000002.png", 1),
    ]
    assert scenes.num_classes == 3


def test_places365_takes_label_maps_where_there_are_any(places):
    first, second = scene_sets.places365(places).items
    assert first.mask is not None
    assert first.channel == scene_sets.PLACES_CHANNEL
    assert second.mask is None


def test_places365_may_be_one_flat_folder(flat_places):
    [item] = scene_sets.places365(flat_places).items
    assert item.target == 1


def test_labels_of_a_coloured_map_are_counted_from_one(lamp_set, places):
    assert lamp_set.run("--places365", places, "--regions", "slic", "--segments", 4) == 0
    mapped = lamp_set.record("a/Places365_val_00000001")
    cut = lamp_set.record("b-outdoor/Places365_val_00000002")
    assert [label.name for label in mapped.labels] == ["label 1", "label 2", "label 3"]
    assert cut.labels[0].name.startswith("S")


def test_places365_needs_a_network_of_as_many_classes(lamp_set, places, capsys):
    (places / "categories_places365.txt").write_text("/a/a 0\n/b/b/outdoor 1\n")
    assert lamp_set.run("--places365", places, "--regions", "slic") == 2
    assert "2 categories, but the model has 3 classes" in capsys.readouterr().err


def test_a_class_number_beyond_the_categories_is_refused(flat_places):
    (flat_places / "places365_val.txt").write_text("Places365_val_00000002.png 9\n")
    with pytest.raises(UserError, match="number of a class"):
        scene_sets.places365(flat_places)


# ---------------------------------------------------------------- segmentation networks


@pytest.fixture
def weights(tmp_path):
    """Weights of a segmentation network that calls everything label 2."""
    torch.manual_seed(0)
    module = torchvision.models.segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=4
    )
    module.classifier.low_classifier.bias.data = torch.tensor([0.0, 0.0, 99.0, 0.0])
    torch.save(module.state_dict(), tmp_path / "seg.pth")
    return tmp_path / "seg.pth"


def test_a_segmentation_network_cuts_the_image(lamp_set, weights):
    options = ("--regions", "lraspp_mobilenet_v3_large", "--segmentation-weights", weights)
    assert lamp_set.run(lamp_set.path / "in/one.png", *options) == 0
    assert [label.name for label in lamp_set.record("one").labels] == ["label 2"]


def test_a_file_that_is_no_weights_is_one_line(lamp_set, capsys):
    names = lamp_set.path / "names.txt"
    options = ("--regions", "lraspp_mobilenet_v3_large", "--segmentation-weights", names)
    assert lamp_set.run(lamp_set.path / "in/one.png", *options) == 2
    assert "--segmentation-weights" in capsys.readouterr().err
