"""What stays of insecurities as an image is shifted: by hand, and by the command."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from companions.deliberative import shifts as shifts_module
from companions.deliberative.annotations import Mark
from companions.deliberative.robustness import (
    Shift,
    Stays,
    mean_robustness,
    parts_iou,
    random_shifts,
    region_iou,
)

WAVES = np.add.outer(17 * np.arange(64), 5 * np.arange(64)) % 997


def ranks(values):
    """Return the place of each value in descending order, (H, W)."""
    places = np.empty(values.size, int)
    places[(-values).ravel().argsort(kind="stable")] = np.arange(values.size)
    return places.reshape(values.shape)


def dot(row, column):
    """Return the ranks of a map of 10 x 10 with one large value."""
    values = np.zeros((10, 10))
    values[row, column] = 1
    return ranks(values)


def test_a_region_that_moves_with_the_window_stays():
    # The dot at (5, 5) is at (3, 6) in a window two rows lower and a column to the left.
    assert region_iou(dot(5, 5), dot(3, 6), Shift(2, -1))[0] == 1


def test_a_region_that_stays_in_the_window_does_not_stay():
    assert region_iou(dot(5, 5), dot(5, 5), Shift(2, -1))[0] == 0


def test_what_only_one_window_shows_is_left_out():
    # The dot at (0, 5) is above the second window, whose own is elsewhere: nothing in both.
    assert region_iou(dot(0, 5), dot(5, 5), Shift(2, 0))[0] == 0
    assert np.isnan(region_iou(dot(0, 5), dot(9, 5), Shift(2, 0))[0])


def test_without_a_shift_all_stays():
    assert region_iou(ranks(WAVES), ranks(WAVES), Shift(0, 0)).tolist() == [1] * 99


def test_parts_in_both_regions_by_hand():
    marks = [Mark((5, 5), is_shared=True), Mark((0, 5), is_shared=True)]
    shift = Shift(2, -1)  # the second part leaves the window
    assert parts_iou(dot(5, 5), dot(3, 6), shift, marks)[0] == 1
    assert parts_iou(dot(5, 5), dot(5, 5), shift, marks)[0] == 0
    assert parts_iou(dot(9, 9), dot(9, 9), shift, marks)[0] == 1  # in neither
    assert np.isnan(parts_iou(dot(5, 5), dot(5, 5), shift, [])).all()


def test_shifts_are_of_up_to_five_pixels():
    shifts = random_shifts(500, torch.Generator().manual_seed(0))
    numbers = {n for shift in shifts for n in (shift.rows, shift.columns)}
    assert numbers == set(range(-5, 5))


def test_means_leave_out_what_is_unknown():
    nothing = np.full(99, np.nan)
    rows = [Stays(1.0, np.ones(99), nothing), Stays(np.nan, nothing, nothing)]
    table = mean_robustness(rows, images=2)
    assert (table.pairs, table.iou[0], table.parts[0]) == (1, 1, None)
    assert table.as_text().splitlines()[-1].split() == ["parts", *["-"] * 9]


def two_lamps(middle):
    """Return an image with a red and a green light beside each other."""
    rows, columns = np.mgrid[:80, :96]
    image = np.zeros((80, 96, 3), np.uint8)
    image[..., 0] = 250 * np.exp(-((rows - 40) ** 2 + (columns - middle) ** 2) / 300)
    image[..., 1] = 250 * np.exp(-((rows - 40) ** 2 + (columns - middle - 16) ** 2) / 300)
    return Image.fromarray(image)


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_the_command_measures_shifts(colour_run, capsys, resize):
    colour_run.images.mkdir()
    two_lamps(40).save(colour_run.images / "a.png")
    assert colour_run("--shifts", 2, "--moved", 0, "--resize", resize) == 0
    assert "2 shifts of 1 images; pairs in both windows: 100 %" in capsys.readouterr().out
    table = json.loads((colour_run.path / "out/robustness.json").read_text())
    assert table["iou"][29] > 0.6
    assert table["parts"] == [None] * 99


@pytest.fixture
def two_images(colour_run):
    """The command on two images, of which each is shifted twice."""
    colour_run.images.mkdir()
    for name, middle in (("a.png", 40), ("b.png", 30)):
        two_lamps(middle).save(colour_run.images / name)

    def command(*options):
        return colour_run("--shifts", 2, "--moved", 0, *options)

    command.out = colour_run.path / "out"
    command.images = colour_run.images
    return command


@pytest.fixture
def measured(monkeypatch):
    """The images whose shifts are measured, and after how many the user interrupts."""
    run = SimpleNamespace(images=[], limit=None)
    measure = shifts_module.shifted_image

    def noted(network, split, image, *arguments, **options):
        if len(run.images) == run.limit:
            raise KeyboardInterrupt
        run.images.append(image.name)
        return measure(network, split, image, *arguments, **options)

    monkeypatch.setattr(shifts_module, "shifted_image", noted)
    return run


def test_interrupted_shifts_go_on_image_by_image(two_images, measured, capsys):
    assert two_images() == 0
    whole = (two_images.out / "robustness.json").read_bytes()
    shutil.rmtree(two_images.out)
    measured.images.clear()
    measured.limit = 3  # in the second image
    assert two_images() == 130
    assert "the same command goes on from there" in capsys.readouterr().err
    assert not (two_images.out / "robustness.json").exists()
    measured.limit = None
    assert two_images() == 0
    assert measured.images == ["a.png"] * 2 + ["b.png"] * 3
    assert (two_images.out / "robustness.json").read_bytes() == whole


@pytest.mark.parametrize(
    "options, again", [((), 0), (("--overwrite",), 4), (("--share", 0.1), 4), (("--seed", 1), 4)]
)
def test_shifts_of_other_settings_are_measured_again(two_images, measured, options, again):
    two_images()
    measured.images.clear()
    assert two_images(*options) == 0
    assert len(measured.images) == again


def test_a_damaged_file_of_shifts_is_measured_again(two_images, measured):
    two_images()
    whole = (two_images.out / "robustness.json").read_bytes()
    path = two_images.out / "a/shifts.json"
    path.write_bytes(path.read_bytes()[:300])
    measured.images.clear()
    assert two_images() == 0
    assert measured.images == ["a.png"] * 2
    assert (two_images.out / "robustness.json").read_bytes() == whole


def test_an_image_that_fails_is_named_and_the_others_are_shifted(two_images, capsys):
    (two_images.images / "c.png").write_bytes(b"no image")
    assert two_images() == 1
    captured = capsys.readouterr()
    assert "failed: c.png" in captured.err
    assert "4 shifts of 2 images" in captured.out
