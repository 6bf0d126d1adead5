"""CUB-200-2011 in a small made folder: shared parts, precision and recall."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
from msgspec import UNSET
from PIL import Image

from companions.deliberative import cub as cub_module
from companions.deliberative.annotations import SHARES
from companions.deliberative.cub import (
    PART_GROUPS,
    PERCENTAGES,
    class_numbers,
    cub,
    group_divergence,
    in_network,
    part_places,
    shared_parts,
)
from companions.deliberative.evaluation import correlation_of
from drawing.record import Model
from scoring.fitting import Fit

MODEL = Model(name="planted", weights_sha256="", classes=3)
NAMES = ("red", "green", "blue")
ALIKE = ({"nape_color"}, {"nape_color", "leg_color"}, {"leg_color"})  # groups with equal values


def write(path, text):
    """Write a file and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def numbered(names):
    """Return a line per name, numbered from 1."""
    return "".join(f"{number} {name}\n" for number, name in enumerate(names, 1))


def percentages():
    """Return a row per class.

    Every part differs between all classes, but the nape between the first two and the legs between
    the last two.
    """
    groups = sorted({group for names in PART_GROUPS.values() for group in names})
    rows = []
    for number, alike in enumerate(ALIKE):
        own = f"{90 - 40 * number} {10 + 40 * number}"
        rows.append(" ".join("50 50" if group in alike else own for group in groups))
    return "\n".join(rows)


@pytest.fixture
def folder(colour_run, scene, monkeypatch):
    """Three classes with an image each of 112 x 56 pixels; the first two are test images."""
    monkeypatch.setattr(cub_module, "ALIKE", 0.04)  # three of 45 divergences are 0
    path = colour_run.path / "cub"
    groups = sorted({group for names in PART_GROUPS.values() for group in names})
    attributes = [f"has_{group}::{value}" for group in groups for value in "xy"]
    write(path / "attributes/attributes.txt", numbered(attributes))
    write(path / PERCENTAGES, percentages())
    write(path / "classes.txt", numbered(f"{n:03}.{name}" for n, name in enumerate(NAMES, 1)))
    write(path / "images.txt", numbered(f"{name}/x.png" for name in NAMES))
    write(path / "image_class_labels.txt", "1 1\n2 2\n3 3\n")
    write(path / "train_test_split.txt", "1 0\n2 0\n3 1\n")
    write(path / "parts/parts.txt", numbered(PART_GROUPS))
    number = {part: n for n, part in enumerate(PART_GROUPS, 1)}
    places = (
        ("nape", 60, 26, 1),
        ("tail", 10, 50, 1),
        ("beak", 62, 28, 1),
        ("left leg", 64, 28, 0),
    )
    lines = [f"1 {number[part]} {x} {y} {visible}\n" for part, x, y, visible in places]
    write(path / "parts/part_locs.txt", "".join(lines))
    for name in NAMES:
        (path / "images" / name).mkdir(parents=True)
        wide = Image.fromarray(scene).resize((112, 56), Image.Resampling.NEAREST)
        wide.save(path / "images" / name / "x.png")
    return path


# ---------------------------------------------------------------- which parts are shared


def test_the_divergence_is_that_of_the_mean_distribution():
    # The formula that SciPy's jensenshannon replaced.
    percent = np.array([[90.0, 10, 0], [40, 60, 0], [0, 0, 0], [33.3, 33.3, 33.4]])
    p = (percent + 1e-6) / (percent + 1e-6).sum(1, keepdims=True)
    middle = (p[:, None] + p[None]) / 2
    half = (p[:, None] * np.log(p[:, None] / middle)).sum(-1)
    assert np.allclose(group_divergence(percent), (half + half.T) / 2, rtol=1e-9, atol=1e-15)


def test_equal_rows_have_no_divergence():
    nearly = np.array([[33.3, 66.7], [33.3, 66.7], [33.3 + 1e-12, 66.7]])
    found = group_divergence(nearly)
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 1e-15


def test_parts_with_equal_attributes_are_shared(folder):
    shared = shared_parts(folder, 3)
    assert "nape" in shared[0, 1]
    assert "left leg" in shared[1, 2]


def test_parts_with_other_attributes_are_not_shared(folder):
    shared = shared_parts(folder, 3)
    assert "tail" not in shared[0, 1]
    assert "nape" not in shared[0, 2]


def test_classes_are_matched_by_name_else_by_order():
    classes = ["001.Black_footed_Albatross", "002.Laysan_Albatross"]
    assert class_numbers(["laysan albatross", "black footed albatross"], classes) == {0: 1, 1: 0}
    assert class_numbers(["class 0", "class 1"], classes) == {0: 0, 1: 1}


# ---------------------------------------------------------------- precision and recall


def test_only_test_images_are_explained(folder):
    assert [path.parent.name for path in cub(folder).images] == ["green", "red"]


def test_parts_that_a_crop_cuts_off_are_not_visible(folder):
    image = folder / "images/red/x.png"
    middle = Fit((8, 8), method="crop", short_side=56)
    assert not in_network(part_places(folder)["1"], image, middle).keys() & {"tail"}


def test_parts_are_resized_with_the_image(folder):
    image = folder / "images/red/x.png"
    places = in_network(part_places(folder)["1"], image, Fit((56, 56)))
    assert places == {"nape": (26, 30), "tail": (50, 5), "beak": (28, 31)}


def insecurity_of(a, b, shape):
    """Return an insecurity of two classes with this map."""
    classes = [SimpleNamespace(index=a), SimpleNamespace(index=b)]
    return SimpleNamespace(classes=classes, map=shape.tolist())


@pytest.fixture
def curves(folder):
    """What is measured of a pair that shares the nape, and of one that shares nothing."""
    shape = np.zeros((56, 56))
    shape[26, 30] = 3  # the nape ..
    shape[28, 31] = 2  # .. then the beak, then nothing
    pairs = [insecurity_of(1, 0, shape), insecurity_of(0, 2, shape)]
    record = SimpleNamespace(size=(56, 56), model=MODEL, insecurities=pairs)
    return cub(folder).measure(folder / "images/red/x.png", record)


def test_pairs_without_a_shared_part_are_not_counted(curves):
    assert len(curves) == 1


def test_recall_is_the_share_of_shared_parts_in_the_region(curves):
    assert curves[0]["recall"].tolist() == [1] * 99


def test_precision_is_the_share_of_parts_in_the_region(curves):
    # The tail, pixel (50, 5), is as M of 0 the 2803rd in order: from 90 % of the image on it is in.
    assert curves[0]["precision"].tolist() == pytest.approx([0.5] * 89 + [1 / 3] * 10)


def test_strength_is_the_mean_of_m_over_the_region(curves):
    sizes = np.array([round(share * 56 * 56) for share in SHARES])
    assert curves[0]["strength"].tolist() == pytest.approx((5 / sizes).tolist())


def test_the_correlation_is_pearsons_over_all_regions():
    one = {"strength": np.array([1.0, 2, 3]), "precision": np.array([0.2, np.nan, 0.4])}
    other = {"strength": np.array([5.0]), "precision": np.array([0.3])}
    wanted = scipy.stats.pearsonr([1, 3, 5], [0.2, 0.4, 0.3]).statistic
    assert correlation_of([one, other]) == pytest.approx(wanted)
    assert correlation_of([other]) is None
    assert correlation_of([{"iou": np.array([1.0])}]) is UNSET


# ---------------------------------------------------------------- the command


def test_an_evaluation_is_written_and_printed(colour_run, folder, capsys):
    assert colour_run("--evaluate", "cub", "--moved", 0, images=folder) == 0
    table = colour_run.evaluation()
    assert (table["images"], table["images_counted"], table["insecurities"]) == (2, 1, 1)
    assert table["recall"][-1] == 1
    assert "iou" not in table
    assert "precision" in capsys.readouterr().out


def test_a_network_with_other_classes_is_refused(colour_run, folder, capsys):
    (folder / "classes.txt").write_text("1 001.red\n2 002.green\n")
    write(folder / PERCENTAGES, "\n".join(percentages().splitlines()[:2]))
    assert colour_run("--evaluate", "cub", images=folder) == 2
    assert "the data set has 2 classes, the model 3" in capsys.readouterr().err


def test_a_missing_file_of_class_names_is_named(colour_run, folder, error_line):
    (colour_run.path / "names.txt").unlink()
    assert colour_run("--evaluate", "cub", images=folder) == 2
    assert "names.txt" in error_line()


@pytest.mark.parametrize(
    "file, text, words",
    [
        ("parts/part_locs.txt", "1 2\n", "line 1"),
        ("parts/part_locs.txt", "1 1 5 5 1\n1 2 x 3 1\n", "line 2: x is not a number"),
        ("parts/part_locs.txt", "1 99 2 3 1\n", "line 1: no part 99"),
        (PERCENTAGES, percentages().replace("90", "x", 1), "line 1: x is not a number"),
        (PERCENTAGES, percentages() + " 1", "numbers for 3 classes"),
        ("attributes/attributes.txt", "1 has_bill_shape::x\n", "no attribute of the back"),
    ],
)
def test_a_damaged_file_is_one_line(colour_run, folder, error_line, file, text, words):
    write(folder / file, text)
    assert colour_run("--evaluate", "cub", images=folder) == 2
    line = error_line()
    assert file in line
    assert words in line
