"""Small helpers: images of every kind, files that are old or new, errors on one line."""

import io
import json

import cv2
import numpy as np
import pytest
from PIL import Image

import utils
from scoring.image_files import load_image
from utils import file_sha256, one_line, printable, write_atomically, write_json

SAVE_OPTIONS = {"webp": {"lossless": True}, "jpg": {"quality": 98}}


@pytest.fixture
def image():
    """An image of colour ramps, (60, 90, 3) uint8."""
    y, x = np.mgrid[0:60, 0:90]
    return np.stack([x * 2, y * 4, 255 - x], -1).astype(np.uint8)


@pytest.fixture
def grey(image):
    """A grey ramp, (60, 90) uint8."""
    return image[..., 0]


def difference(loaded, image):
    """Return how far two images are apart at each value."""
    return np.abs(loaded.astype(int) - image)


# ---------------------------------------------------------------- images


@pytest.mark.parametrize("ending", ["png", "bmp", "webp", "jpg"])
def test_every_format_has_its_colours(tmp_path, image, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(image).save(path, **SAVE_OPTIONS.get(ending, {}))
    assert difference(load_image(path, (60, 90)), image).mean() < 3


def test_an_image_is_resized_ignoring_its_aspect_ratio(tmp_path, image):
    Image.fromarray(image).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png", (224, 200)).shape == (224, 200, 3)


@pytest.mark.parametrize("size", [(1, 1), (6000, 5000)])
def test_tiny_and_huge_images_keep_their_colour(tmp_path, size):
    Image.new("RGB", size, (9, 8, 7)).save(tmp_path / "a.png")
    assert (load_image(tmp_path / "a.png", (224, 224)) == (9, 8, 7)).all()


def test_a_grey_image_has_three_equal_channels(tmp_path, grey):
    Image.fromarray(grey).save(tmp_path / "grey.png")
    loaded = load_image(tmp_path / "grey.png", (60, 90))
    assert np.array_equal(loaded, np.repeat(grey[..., None], 3, axis=2))


def test_a_palette_image_has_its_colours(tmp_path, image):
    Image.fromarray(image).quantize(200).save(tmp_path / "palette.png")
    assert difference(load_image(tmp_path / "palette.png", (60, 90)), image).mean() < 8


@pytest.fixture
def half_transparent(tmp_path, image):
    """The image as it is loaded where its upper half is transparent."""
    alpha = np.full((60, 90), 255, np.uint8)
    alpha[:30] = 0
    Image.fromarray(np.dstack([image, alpha])).save(tmp_path / "alpha.png")
    return load_image(tmp_path / "alpha.png", (60, 90))


def test_transparent_pixels_are_white(half_transparent):
    assert (half_transparent[:30] == 255).all()


def test_opaque_pixels_have_their_colours(half_transparent, image):
    assert np.array_equal(half_transparent[30:], image[30:])


def test_a_grey_image_of_16_bits_is_scaled(tmp_path, grey):
    cv2.imwrite(str(tmp_path / "deep.png"), grey.astype(np.uint16) * 257)
    assert np.array_equal(load_image(tmp_path / "deep.png", (60, 90))[..., 0], grey)


def test_a_colour_image_of_16_bits_is_scaled(tmp_path, image):
    blue_green_red = image[..., ::-1]
    cv2.imwrite(str(tmp_path / "deep.png"), blue_green_red.astype(np.uint16) * 257)
    assert difference(load_image(tmp_path / "deep.png", (60, 90)), image).max() <= 1


def test_an_image_in_printing_colours_is_converted(tmp_path, image):
    Image.fromarray(image).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=98)
    assert difference(load_image(tmp_path / "cmyk.jpg", (60, 90)), image).mean() < 6


def test_an_exif_turned_photo_stands_upright(tmp_path, image):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned a quarter to the right
    Image.fromarray(image).save(tmp_path / "turned.jpg", exif=exif, quality=98)
    upright = np.rot90(image, -1)
    assert difference(load_image(tmp_path / "turned.jpg", (90, 60)), upright).mean() < 3


def half_a_jpeg():
    """Return the first half of a JPEG file."""
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8)
    whole = io.BytesIO()
    Image.fromarray(noise).save(whole, "JPEG")
    return whole.getvalue()[: len(whole.getvalue()) // 2]


@pytest.mark.parametrize(
    "content", [b"", b"this is text", half_a_jpeg()], ids=["empty", "text", "cut off"]
)
def test_what_is_no_image_is_one_line(tmp_path, content):
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=r"^cannot read it: [^\n]+$"):
        load_image(tmp_path / "bad.jpg", (224, 224))


# ---------------------------------------------------------------- files


@pytest.fixture
def full_disk(monkeypatch):
    """A disk on which nothing more fits."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(utils.os, "fsync", full)


@pytest.fixture
def old_file(tmp_path):
    write_atomically(tmp_path / "sag.json", '{"format": 1}')
    return tmp_path / "sag.json"


def test_a_file_that_cannot_be_written_stays_the_old_one(old_file, full_disk):
    with pytest.raises(OSError):
        write_atomically(old_file, "x" * 1000)
    assert old_file.read_text() == '{"format": 1}'


def test_a_file_that_cannot_be_written_leaves_nothing_else(old_file, full_disk):
    with pytest.raises(OSError):
        write_atomically(old_file, "x" * 1000)
    assert list(old_file.parent.iterdir()) == [old_file]


@pytest.mark.parametrize("content", ["señor 鳥", b"\x00\xff"])
def test_a_file_is_replaced_by_the_new_one(old_file, content):
    write_atomically(old_file, content)
    expected = content.encode() if isinstance(content, str) else content
    assert old_file.read_bytes() == expected


def test_json_is_written_with_its_letters(tmp_path):
    write_json(tmp_path / "new/a.json", {"name": "señor 鳥"})
    text = (tmp_path / "new/a.json").read_text(encoding="utf-8")
    assert "señor 鳥" in text and json.loads(text) == {"name": "señor 鳥"}


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", [float("nan")])


def test_a_file_is_known_by_its_bytes(old_file):
    before = file_sha256(old_file)
    old_file.write_text('{"format": 2}')
    assert file_sha256(old_file) != before


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    "error, line", [(ValueError("two\n  lines"), "two lines"), (KeyError(), "KeyError")]
)
def test_an_error_is_one_line(error, line):
    assert one_line(error) == line


def test_a_path_that_is_not_utf8_can_be_printed(tmp_path):
    path = tmp_path / b"caf\xe9.png".decode("utf-8", "surrogateescape")
    assert printable(path) == f"{tmp_path.as_posix()}/caf\\xe9.png"
