"""What the published program does: its checkpoints, its crop, its folders, its fill and counts."""

import matplotlib
import numpy as np
import pytest
import torch
import torchvision
from lamps import LABELS, SCENE, lamps, probabilities
from PIL import Image

from companions.score_deviation import explainer as explainer_module
from companions.score_deviation import scene_sets
from companions.score_deviation.deviations import hidden_image, score_deviations
from companions.score_deviation.figures import deviation_map, fitted_lines
from companions.score_deviation.palettes import palette_of
from drawing.text import text_width
from scoring.fitting import Fit
from scoring.labels import read_labels
from scoring.networks import load_network
from scoring.preprocessing import IMAGENET_MEAN, IMAGENET_STD
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


# ---------------------------------------------------------------- fill


def test_the_published_fill_is_written_after_normalisation():
    network = lamps(mean=IMAGENET_MEAN)
    network.std = IMAGENET_STD
    fill = hidden_image(network, SCENE, "published")
    assert fill.shape == (3, 12, 8)
    assert fill[:, 0, 0].tolist() == pytest.approx([0.485, 0.456, 0.406])
    colour = [255 * (v * s + m) for v, s, m in zip(fill[:, 0, 0], IMAGENET_STD, IMAGENET_MEAN)]
    assert [round(float(value)) for value in colour] == [152, 142, 127]
    assert not torch.allclose(fill, hidden_image(network, SCENE, "mean"), atol=0.3)


def test_deviations_with_the_published_fill_by_hand():
    """All lamps at 1; without the upper lamp its red is 0.485, which shines so brightly."""
    numbers, found = score_deviations(lamps(), SCENE, LABELS, baseline="published")
    assert numbers == [1, 2, 5]
    without = [probabilities(0.485, 1), probabilities(1, 0.485), probabilities(1, 1)]
    np.testing.assert_allclose(found, probabilities(1, 1) - np.array(without), atol=1e-6)


def test_the_command_takes_the_published_fill(lamp_set):
    assert lamp_set.run(lamp_set.path / "in/one.png", *lamp_set.maps, baseline="published") == 0
    label = next(row for row in lamp_set.record("one").labels if row.name == "middle lamp")
    # One red channel of ImageNet's mean and std is not the lamps': they are not normalised.
    assert label.probability == pytest.approx(probabilities(1, 0.485)[1], abs=1e-6)


# ---------------------------------------------------------------- colours


def test_plasma_runs_from_the_smallest_to_the_largest_deviation():
    palette = palette_of("plasma", [-0.2, 0.0, 0.4])
    plasma = matplotlib.colormaps["plasma"]
    assert palette.colours(-0.2) == pytest.approx(plasma(0.0)[:3])
    assert palette.colours(0.4) == pytest.approx(plasma(1.0)[:3])
    middle = (round(0.1 * 255) + 0.2 * 255) / (0.6 * 255)
    assert palette.colours(0.1) == pytest.approx(plasma(middle)[:3])


def test_equal_deviations_have_one_colour():
    palette = palette_of("plasma", [0.3, 0.3])
    assert palette.colours(0.3) == pytest.approx(matplotlib.colormaps["plasma"](0.0)[:3])


def test_a_map_in_plasma_shows_no_image(lamp_set):
    lamp_set.run(lamp_set.path / "in/one.png", *lamp_set.maps)
    record = lamp_set.record("one")
    noise = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    own = palette_of("plasma", [label.deviation for label in record.labels])
    pixels = deviation_map(record, noise, own)
    assert len(np.unique(pixels[1:3].reshape(-1, 3), axis=0)) == 1
    assert len(np.unique(deviation_map(record, noise)[1:3].reshape(-1, 3), axis=0)) > 9


def test_another_palette_is_drawn_from_the_record(lamp_set, monkeypatch):
    options = (lamp_set.path / "in/one.png", *lamp_set.maps)
    lamp_set.run(*options)
    before = (lamp_set.path / "out/one/deviation.png").read_bytes()
    monkeypatch.setattr(explainer_module, "explain_regions", None)
    assert lamp_set.run(*options, "--palette", "plasma") == 0
    assert (lamp_set.path / "out/one/deviation.png").read_bytes() != before


# ---------------------------------------------------------------- headings


@pytest.mark.parametrize(
    "name, lines", [("kitchen 0.900", 1), ("apartment building with a long name, outdoor " * 2, 2)]
)
def test_a_heading_fits_its_place(name, lines):
    found, size = fitted_lines(name, 11, 200)
    assert len(found) == lines
    assert " ".join(found).split() == name.split()
    assert all(text_width(line, size) <= 200.001 for line in found)


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
