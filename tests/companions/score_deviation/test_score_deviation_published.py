"""What the published program does: its checkpoints, its crop, its folders, its fill and counts."""

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from companions.score_deviation import scene_sets
from scoring.fitting import Fit
from scoring.labels import read_labels
from scoring.networks import load_network
from scoring.regions import load_label_map

CATEGORIES = "/a/airfield 0\n/a/apartment_building/outdoor 1\n/b/bus_station/indoor 2\n"

# ---------------------------------------------------------------- checkpoints


@pytest.fixture(scope="module")
def resnet18():
    """An untrained ResNet-18 of 365 classes."""
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=365).eval()


def scene_network_name(name):
    """Return the name that the published program gives to one of torchvision's parameters."""
    for ours, theirs in (("conv1", "in_block.0"), ("bn1", "in_block.1"), ("layer", "encoder")):
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


@pytest.mark.parametrize(
    "rename",
    [lambda name: f"module.{name}", scene_network_name],
    ids=["of the Places365 project", "of the paper's program"],
)
def test_a_published_checkpoint_loads(tmp_path, resnet18, rename):
    state = {
        rename(name): value
        for name, value in resnet18.state_dict().items()
        if not name.endswith("num_batches_tracked")  # PyTorch did not count them then
    }
    checkpoint = {"epoch": 90, "arch": "resnet18", "state_dict": state, "best_prec1": 54.2}
    path = tmp_path / "resnet18_places365.pth.tar"
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)
    (tmp_path / "names.txt").write_text("".join(f"/c/class_{n} {n}\n" for n in range(365)))
    network = load_network("resnet18", path, labels=tmp_path / "names.txt", resize="crop")
    image = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(network.module(image), resnet18(image), rtol=1e-4, atol=1e-4)
    assert network.labels[364] == "class_364"
    assert "state_dict" in network.unwrapped


def test_names_are_read_from_categories_places365(tmp_path):
    (tmp_path / "categories_places365.txt").write_text(CATEGORIES)
    names = read_labels(tmp_path / "categories_places365.txt", 3)
    assert names == ["airfield", "apartment_building-outdoor", "bus_station-indoor"]


def test_crop_is_centercrop_on_image_and_label_map_alike(tmp_path):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (256, 256, 3), dtype=np.uint8))
    labels = rng.integers(0, 150, (256, 256, 3), dtype=np.uint8)
    image.save(tmp_path / "a.png")
    Image.fromarray(labels).save(tmp_path / "map.png")
    fit = Fit((224, 224), "crop", short_side=256)
    crop = torchvision.transforms.CenterCrop(224)
    assert np.array_equal(fit.image(image), np.asarray(crop(image)))
    cut = load_label_map(tmp_path / "map.png", fit=fit, image=tmp_path / "a.png", channel=2)
    assert np.array_equal(cut, np.asarray(crop(Image.fromarray(labels)))[..., 2] + 1)


# ---------------------------------------------------------------- folders


@pytest.fixture
def places(tmp_path):
    """The folder that the published download script leaves, in miniature."""
    root = tmp_path / "places365_standard"
    for name in ("airfield/Places365_val_00000435.jpg", "bus_station-indoor/Places365_val_9.jpg"):
        for folder, kind in (("val", ".jpg"), ("noisy_annotations_RGB/val", ".png")):
            path = (root / folder / name).with_suffix(kind)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((256, 256, 3), 7, np.uint8)).save(path)
    (root / "train/airfield").mkdir(parents=True)
    (root / "categories_places365.txt").write_text(CATEGORIES)
    (root / "val.txt").write_text("val/bus_station-indoor/Places365_val_9.jpg\n")
    (root / "objectInfo150.txt").write_text("Idx\tName\n" + "".join(f"{n}\tn{n}\n" for n in (7, 8)))
    return root


def test_the_published_folder_of_places365_is_read(places):
    scenes = scene_sets.places365(places)
    [item] = scenes.items  # the one that val.txt names
    assert item.name == "bus_station-indoor/Places365_val_9.jpg"
    assert item.target == 2
    assert item.mask is not None and item.mask.is_file()
    assert scenes.region_names == places / "objectInfo150.txt"
    assert scenes.labels == places / "categories_places365.txt"


def test_without_val_txt_all_images_count(places):
    (places / "val.txt").unlink()
    assert [item.target for item in scene_sets.places365(places).items] == [0, 2]


@pytest.mark.parametrize("line", ["val", "val/../../secret.jpg", "val//etc/passwd"])
def test_a_line_of_val_txt_that_leads_elsewhere_is_refused(places, line):
    (places / "val.txt").write_text(line + "\n")
    with pytest.raises(scene_sets.UserError, match="val.txt"):
        scene_sets.places365(places)


@pytest.mark.parametrize("names", scene_sets.ADE_NAMES)
def test_the_published_folder_of_ade20k_is_read(tmp_path, names):
    root = tmp_path / "ADEChallengeData2016"
    for part, name in (("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001")):
        for folder, kind in (("images", "jpg"), ("annotations", "png")):
            (root / folder / part).mkdir(parents=True)
            path = root / folder / part / f"{name}.{kind}"
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
    rows = [("Idx", "Ratio", "Train", "Val", "Name"), ("1", "0.1", "9", "2", "wall")]
    between = "," if names.endswith("csv") else "\t"
    (root / names).write_text("\n".join(between.join(row) for row in rows))
    (root / "sceneCategories.txt").write_text(
        "ADE_train_00000001 airport_terminal\nADE_val_00000001 abbey\n"
    )
    scenes = scene_sets.ade20k(root)
    assert [(item.name, item.target) for item in scenes.items] == [
        ("training/ADE_train_00000001.jpg", "airport_terminal"),
        ("validation/ADE_val_00000001.jpg", "abbey"),
    ]
    assert all(item.mask is not None and item.mask.is_file() for item in scenes.items)
    assert scenes.region_names == root / names
