"""ADE20K in a small made folder: shared objects and their IoU."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from companions.deliberative.ade20k import ade20k, object_frequencies
from companions.deliberative.annotations import published_maps
from companions.deliberative.evaluation import Evaluation, evaluate
from companions.deliberative.published import mean_of_known, published_region
from companions.deliberative.training_sets import training_sets
from companions.score_deviation import scene_sets
from drawing.record import Model

SCENES = ("red", "green", "blue", "red")  # three training images and a validation image
CLASSES = ["red", "green", "blue"]

MODEL = Model(name="planted", weights_sha256="", classes=3)


def label_map():
    """Return 112 x 56 labels: object 3 where the scene is yellow, object 4 in a corner."""
    labels = np.zeros((112, 56), np.uint8)
    labels[48:64, 24:40] = 3  # resized to 56 rows, the object is in rows 24 to 32
    labels[:16, :8] = 4
    return labels


@pytest.fixture
def folder(colour_run, scene):
    """The standard folder; blue scenes have none of the other scenes' objects."""
    path = colour_run.path / "ade"
    path.mkdir()
    names = "".join(f"{n},0,0,0,0,thing{n}\n" for n in range(1, 6))
    (path / "objectInfo150.csv").write_text("Idx,Ratio,Train,Val,Stuff,Name\n" + names)
    tall = Image.fromarray(scene).resize((56, 112), Image.Resampling.NEAREST)
    lines = []
    for number, name in enumerate(SCENES):
        subset = "training" if number < 3 else "validation"
        stem = f"ADE_{subset[:2]}_{number}" if number < 3 else "ADE_val_3"
        labels = label_map() * 0 + 5 if name == "blue" else label_map()
        for kind, image in (("images", tall), ("annotations", Image.fromarray(labels))):
            (path / kind / subset).mkdir(parents=True, exist_ok=True)
            image.save(path / kind / subset / f"{stem}.png")
        lines.append(f"{stem} {name}\n")
    (path / "sceneCategories.txt").write_text("".join(lines))
    return path


def test_validation_images_are_explained(folder):
    assert [path.name for path in ade20k(folder).images] == ["ADE_val_3.png"]


def test_objects_of_a_scene_are_counted_by_images(folder):
    items = scene_sets.ade20k(folder).items
    assert object_frequencies(items) == {"red": {3: 1, 4: 1}, "green": {3: 1, 4: 1}, "blue": {5: 1}}


@pytest.fixture
def curves(folder):
    """What is measured of a pair that shares objects, and of one that shares none."""
    data = ade20k(folder)
    data.check(CLASSES)
    shape = np.zeros((56, 56))
    shape[24:32, 24:40] = 1
    pairs = [
        SimpleNamespace(
            classes=[SimpleNamespace(index=0), SimpleNamespace(index=other)], map=shape.tolist()
        )
        for other in (1, 2)
    ]
    return data.measure(
        data.images[0], SimpleNamespace(size=(56, 56), model=MODEL, insecurities=pairs)
    )


def test_pairs_without_a_shared_object_are_not_counted(curves):
    assert len(curves) == 1


def test_iou_is_with_all_pixels_of_shared_objects(curves):
    # The other shared object, label 4, is 8 x 8 pixels.
    assert curves[0]["iou"][-1] == pytest.approx((128 + 64) / round(0.99 * 56 * 56))


def test_an_evaluation_is_written_and_printed(colour_run, folder, capsys):
    assert colour_run("--evaluate", "ade20k", "--moved", 0, images=folder) == 0
    table = colour_run.evaluation()
    assert table["images_counted"] == 1
    assert max(value for value in table["iou"] if value) > 0.5
    assert "precision" not in table
    assert "iou" in capsys.readouterr().out


def test_as_published_a_label_map_is_cut(colour_run, folder):
    assert colour_run("--evaluate", "ade20k", "--published", "--moved", 0, images=folder) == 0
    table = colour_run.evaluation()
    assert table["published"] is True
    # Of 112 x 56 numbers, the first half remains: that of the image's upper half.
    shared = np.isin(label_map()[:56], [3, 4])
    record = colour_run.record("validation/ADE_val_3")
    regions = [published_region(fine, 0.3) == 1 for fine in published_maps(record)]
    total = 0
    for pair, region in zip(record.insecurities, regions, strict=True):
        if {category.name for category in pair.classes} == {"red", "green"}:
            total += (region & shared).sum() / (region | shared).sum()
    assert table["iou"][29] == pytest.approx(total / len(regions))


def test_scenes_are_numbered_as_the_training_images_bring_them(folder):
    sets = training_sets(folder)
    assert (sets.kind, sets.labels) == ("ade20k", ["red", "green", "blue"])
    assert sets.train.targets == [0, 1, 2]
    assert sets.validation.targets == [0]


def test_validation_images_of_another_scene_are_left_out(folder, scene):
    Image.fromarray(scene).save(folder / "images/validation/ADE_val_4.png")
    with open(folder / "sceneCategories.txt", "a") as file:
        file.write("ADE_val_4 beach\n")
    assert len(training_sets(folder).validation) == 1


def resize_map(path):
    """Make a label map too small."""
    Image.fromarray(label_map()[:9]).save(path)


def spoil_map(path):
    """Make a label map no image."""
    path.write_bytes(b"no")


def remove_map(path):
    """Remove a label map."""
    path.unlink()


@pytest.mark.parametrize(
    "damage, words",
    [(resize_map, "56 x 9 pixels"), (spoil_map, "not an image"), (remove_map, "No such file")],
)
def test_a_damaged_label_map_is_left_out(colour_run, folder, scene, capsys, damage, words):
    colour_run("--evaluate", "ade20k", "--moved", 0, images=folder)
    table = colour_run.evaluation()
    Image.fromarray(scene).resize((56, 112)).save(folder / "images/validation/ADE_val_4.png")
    with open(folder / "sceneCategories.txt", "a") as file:
        file.write("ADE_val_4 red\n")
    labels = folder / "annotations/validation/ADE_val_4.png"
    labels.write_bytes(b"")
    damage(labels)
    capsys.readouterr()
    assert colour_run("--evaluate", "ade20k", "--moved", 0, images=folder) == 1
    failed = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed")]
    assert len(failed) == 1
    assert "validation/ADE_val_4.png" in failed[0]
    assert words in failed[0]
    assert colour_run.evaluation() == table


def test_scenes_have_to_be_known(colour_run, folder, error_line):
    (folder / "sceneCategories.txt").unlink()
    assert colour_run("--evaluate", "ade20k", images=folder) == 2
    assert "sceneCategories" in error_line()


def test_a_network_needs_two_of_the_scenes(colour_run, folder, capsys):
    (colour_run.path / "names.txt").write_text("red\nsea\nsky\n")
    assert colour_run("--evaluate", "ade20k", images=folder) == 2
    assert "fewer than two of the set's 3 scenes" in capsys.readouterr().err


# ---------------------------------------------------------------- means


def test_a_mean_leaves_out_what_is_undefined():
    rows = [np.array([1.0, np.nan, np.nan]), np.array([3.0, 2.0, np.nan])]
    mean = mean_of_known(rows, 3)
    assert mean[:2].tolist() == [2, 2]
    assert np.isnan(mean[2])


def test_without_images_there_are_no_means(folder):
    evaluation, failures = evaluate(ade20k(folder), {})
    assert evaluation.iou == [None] * 99
    assert (evaluation.images, evaluation.insecurities, failures) == (0, 0, [])


def test_a_mean_that_is_undefined_is_a_dash():
    evaluation = Evaluation(
        data="x", images=1, images_counted=0, insecurities=0, shares=[0.5], iou=[None]
    )
    assert evaluation.as_text().splitlines()[-1].split() == ["iou", "-"]
