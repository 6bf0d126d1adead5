"""Label maps: numbers read from every kind of PNG, resized like the image, and their names."""

import numpy as np
import pytest
from PIL import Image

from scoring.fitting import Fit
from scoring.image_files import load_image
from scoring.regions import ORIENTATION, load_label_map, read_names, upright_size
from utils import UserError

LABELS = np.array([[0, 0, 3, 3], [0, 7, 7, 3], [300, 300, 300, 3]])
TURNED = 6  # EXIF: to be shown turned by 90 degrees


def save(array, path, **options):
    """Save an array of integers as an image."""
    Image.fromarray(np.asarray(array)).save(path, **options)


# ---------------------------------------------------------------- numbers


def as_palette(labels):
    label_map = Image.fromarray(labels.astype(np.uint8))
    label_map.putpalette([7 * i % 256 for i in range(768)])
    return label_map


def as_grey(labels):
    return Image.fromarray(labels.astype(np.uint8))


def as_colour(labels):
    return as_grey(labels).convert("RGB")


@pytest.mark.parametrize("kind", [as_palette, as_grey, as_colour])
def test_numbers_survive_every_kind_of_png(tmp_path, kind):
    labels = LABELS % 256
    kind(labels).save(tmp_path / "map.png")
    assert np.array_equal(load_label_map(tmp_path / "map.png"), labels)


def test_numbers_above_255_survive(tmp_path):
    save(LABELS.astype(np.uint16), tmp_path / "map.png")
    assert np.array_equal(load_label_map(tmp_path / "map.png"), LABELS)


def test_a_channel_of_a_colour_map_counts_from_one(tmp_path):
    save(np.dstack([LABELS % 256, LABELS % 5, LABELS % 3]).astype(np.uint8), tmp_path / "map.png")
    assert np.array_equal(load_label_map(tmp_path / "map.png", channel=1), LABELS % 5 + 1)


# ---------------------------------------------------------------- size


@pytest.fixture
def tall_map(tmp_path):
    """A label map of three labels, 60 x 90; beside it an image, a hundred times as bright."""
    labels = np.zeros((60, 90), np.uint8)
    labels[:20] = 1
    labels[:, 60:] = 2
    save(labels, tmp_path / "map.png")
    save((100 * labels[..., None]).repeat(3, axis=2), tmp_path / "image.png")
    return tmp_path / "map.png"


@pytest.fixture
def small_map(tall_map):
    """The label map as it is read for a network of 30 x 20 pixels."""
    return load_label_map(tall_map, fit=Fit((30, 20)), image=tall_map.with_name("image.png"))


@pytest.fixture
def agrees(tall_map, small_map):
    """Where the label map says what the resized image shows; not on borders, where colours mix."""
    image = load_image(tall_map.with_name("image.png"), (30, 20))[..., 0]
    return np.abs(image.astype(int) - 100 * small_map) <= 1


def test_a_label_map_is_resized(small_map):
    assert small_map.shape == (30, 20)


def test_resizing_makes_no_new_labels(small_map):
    assert set(np.unique(small_map)) == {0, 1, 2}


def test_label_map_and_image_are_resized_alike(agrees):
    assert agrees.mean() > 0.85


@pytest.mark.parametrize("rows", [slice(2, 8), slice(12, 28)])
def test_inside_a_region_they_agree_everywhere(agrees, rows):
    assert agrees[rows, 2:10].all()


def test_a_label_map_of_the_right_size_stays(small_map):
    assert np.array_equal(Fit((30, 20)).labels(small_map), small_map)


@pytest.fixture
def turned_image(tmp_path):
    """An image of 8 x 12 pixels that is shown as 12 x 8."""
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED
    save(np.zeros((8, 12, 3), np.uint8), tmp_path / "image.jpg", exif=exif)
    return tmp_path / "image.jpg"


def test_the_size_of_an_image_is_that_of_the_upright_one(turned_image):
    assert upright_size(turned_image) == (8, 12)


def test_a_label_map_has_the_size_of_the_upright_image(tmp_path, turned_image):
    save(np.zeros((12, 8), np.uint8), tmp_path / "map.png")
    assert load_label_map(tmp_path / "map.png", image=turned_image).shape == (12, 8)


# ---------------------------------------------------------------- what cannot be used


@pytest.fixture
def bad_maps(tmp_path):
    """A folder of files that are no label maps."""
    save(np.zeros((8, 8), np.uint8), tmp_path / "map.jpg")
    save(np.arange(192, dtype=np.uint8).reshape(8, 8, 3), tmp_path / "colour.png")
    noise = np.random.default_rng(0).integers(0, 9, (40, 40), dtype=np.uint8)
    save(noise, tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:300])
    (tmp_path / "text.png").write_text("no image")
    return tmp_path


@pytest.mark.parametrize(
    "name, reason",
    [
        ("map.jpg", "JPEG"),
        ("colour.png", "colour"),
        ("cut.png", "cannot read it"),
        ("text.png", "not an image"),
        ("missing.png", "No such file"),
    ],
)
def test_a_file_that_is_no_label_map_is_one_line(bad_maps, name, reason):
    with pytest.raises(ValueError, match=f"^label map .*{name}: .*{reason}") as error:
        load_label_map(bad_maps / name)
    assert "\n" not in str(error.value)


def test_a_label_map_of_another_size_is_one_line(tmp_path):
    save(np.zeros((8, 8), np.uint8), tmp_path / "map.png")
    save(np.zeros((8, 9, 3), np.uint8), tmp_path / "image.png")
    wanted = "map.png: 8 x 8 pixels, the image image.png has 9 x 8$"
    with pytest.raises(ValueError, match=wanted) as error:
        load_label_map(tmp_path / "map.png", image=tmp_path / "image.png")
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------- names


def names_in(tmp_path, file, text):
    """Return the names that a file with this text has."""
    (tmp_path / file).write_text(text)
    return read_names(tmp_path / file)


def test_names_are_one_per_line(tmp_path):
    names = names_in(tmp_path, "names.txt", "wall\nfloor\n\nlamp\n")
    assert names == {0: "unlabelled", 1: "wall", 2: "floor", 3: "", 4: "lamp"}


OBJECTS = [("Idx", "Ratio", "Name"), ("1", ".5", "building;edifice"), ("4", ".1", "lamp")]


@pytest.mark.parametrize("separator, file", [(",", "info.csv"), ("\t", "objectInfo150.txt")])
def test_names_are_read_from_a_table(tmp_path, separator, file):
    text = "\n".join(separator.join(row) for row in OBJECTS) + "\n"
    names = names_in(tmp_path, file, text)
    assert names == {0: "unlabelled", 1: "building", 4: "lamp"}


def test_labels_that_share_a_name_get_their_second_one(tmp_path):
    text = "Idx,Name\n1,building;edifice\n2,screen;door;screen\n4,screen;silver;screen\n"
    assert names_in(tmp_path, "info.csv", text) == {
        0: "unlabelled",
        1: "building",
        2: "screen (door)",
        4: "screen (silver)",
    }


@pytest.mark.parametrize("content", ["Idx,Name\nx,wall\n", "a,b\n1,2\n", "Idx,Name\n1\n"])
def test_a_damaged_table_of_names_is_one_line(tmp_path, content):
    with pytest.raises(UserError, match="info.csv: not a table of names"):
        names_in(tmp_path, "info.csv", content)


def test_a_missing_file_of_region_names_is_named(tmp_path):
    with pytest.raises(UserError, match="nothing.txt: No such file"):
        read_names(tmp_path / "nothing.txt")
