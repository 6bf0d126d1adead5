"""The benchmark measures every image once, by its path, and none of its own files."""

import pytest
from main_job import NETWORKS
from PIL import Image

from benchmark import Settings, readable_images
from scoring.networks import load_network


@pytest.fixture
def measured(tmp_path):
    """Return measured(): the names of the images that are measured, and what failed."""

    def names():
        settings = Settings(images=tmp_path, results=tmp_path / "out")
        network = load_network(f"{NETWORKS}:network")
        images, failures = readable_images(settings, network, most=12)
        return [image.name for image in images], failures

    return names


def draw(path):
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def test_two_images_of_one_name_are_both_measured(tmp_path, measured):
    draw(tmp_path / "one/i.png")
    draw(tmp_path / "two/i.png")
    assert measured() == (["one/i.png", "two/i.png"], [])


def test_its_own_chart_is_not_measured(tmp_path, measured):
    draw(tmp_path / "i.png")
    draw(tmp_path / "out/benchmark.png")
    assert measured() == (["i.png"], [])


def test_an_unreadable_image_is_named_before_anything_is_measured(tmp_path, measured):
    draw(tmp_path / "i.png")
    (tmp_path / "bad.png").write_text("no image")
    assert measured() == (["i.png"], [("bad.png", "cannot read it: not an image")])
