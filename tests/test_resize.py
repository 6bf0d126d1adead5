"""The main job with each way to resize: record, kept image and record check agree."""

from types import SimpleNamespace

import numpy as np
import pytest
from drawn import read_sag
from main_job import NETWORKS, search_planted
from PIL import Image

from running.check_record import problems
from running.record_files import load_result
from scoring.fitting import load_fitted
from scoring.networks import load_network

OPTIONS = ("--max-num-roots", 2, "--device", "cpu")


@pytest.fixture(scope="module", params=["squash", "crop", "opencv"])
def resized(request, tmp_path_factory):
    """An image of noise, much wider than high, explained with one way to resize."""
    folder = tmp_path_factory.mktemp("resized")
    pixels = np.random.default_rng(0).integers(200, 256, (90, 180, 3), np.uint8)
    (folder / "in").mkdir()
    image = folder / "in/wide.png"
    Image.fromarray(pixels).save(image)
    assert search_planted(image, folder / "out", "--resize", request.param, *OPTIONS) == 0
    network = load_network(f"{NETWORKS}:network", resize=request.param)
    return SimpleNamespace(
        method=request.param, image=image, folder=folder / "out/wide", network=network
    )


def test_the_record_says_how(resized):
    assert read_sag(resized.folder).model.resize.method == resized.method


def test_the_record_check_confirms_it(resized):
    wrong, claims = problems(resized.folder / "sag.json", resized.image, resized.network)
    assert wrong == [] and claims > 20


def test_the_kept_image_is_what_the_network_saw(resized):
    expected = load_fitted(resized.image, resized.network.fit)
    assert np.array_equal(load_result(resized.folder).image, expected)


def test_the_image_itself_is_resized_as_the_network_saw_it(resized):
    expected = load_fitted(resized.image, resized.network.fit)
    assert np.array_equal(load_result(resized.folder, resized.image).image, expected)


def test_a_run_with_the_same_way_is_skipped(resized):
    before = (resized.folder / "sag.json").stat().st_mtime_ns
    out = resized.folder.parent
    assert search_planted(resized.image, out, "--resize", resized.method, *OPTIONS) == 0
    assert (resized.folder / "sag.json").stat().st_mtime_ns == before
