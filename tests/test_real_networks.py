"""The bundled network, and a real one where its weights are at hand."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from drawn import read_sag
from main_job import run

from running.check_record import problems
from scoring.networks import load_network
from utils import PROJECT

SHARED = Path(os.environ.get("SAG_SHARED", PROJECT.parent / "shared"))
RESNET18 = SHARED / "weights/resnet18.pth"
# Each photo takes half a minute: two of them only where SAG_SLOW is set.
PHOTOS = ("daisy", "monarch", "peacock") if "SAG_SLOW" in os.environ else ("daisy",)


# ---------------------------------------------------------------- the bundled network


@pytest.fixture(scope="module")
def scene(tmp_path_factory, precision):
    """The first bundled scene, explained with all settings at their defaults but the precision."""
    out = tmp_path_factory.mktemp("scene")
    image = min((PROJECT / "Images").glob("*.png"))
    paths = ("--images", image, "--results", out, "--device", "cpu")
    assert run(*paths, "--precision", precision) == 0
    wrong, claims = problems(out / image.stem / "sag.json", image, load_network("birds"))
    return SimpleNamespace(sag=read_sag(out / image.stem), wrong=wrong, claims=claims)


def test_the_record_of_a_bundled_scene_is_confirmed(scene):
    assert scene.wrong == []


def test_the_record_of_a_bundled_scene_makes_many_claims(scene):
    assert scene.claims > 50


def test_a_bundled_scene_has_roots(scene):
    assert scene.sag.roots


# ---------------------------------------------------------------- ResNet-18 on photos


@pytest.fixture(scope="module", params=PHOTOS)
def photo(request, tmp_path_factory):
    """A photo, explained with ResNet-18 by the search that needs the fewest passes."""
    found = sorted((SHARED / "photos").glob(f"{request.param}_*.png"))
    if not RESNET18.is_file() or not found:
        where = f"{SHARED.name}/ beside the project (or in $SAG_SHARED)"
        pytest.skip(f"no weights/resnet18.pth and photos/{request.param}_*.png in {where}")
    image = found[0]
    out = tmp_path_factory.mktemp("photo")
    paths = ("--images", image, "--results", out, "--device", "cpu")
    model = ("--model", "resnet18", "--weights", RESNET18)
    assert run(*paths, *model, "--search", "diverse", "--max-num-roots", 2) == 0
    network = load_network("resnet18", RESNET18)
    wrong, claims = problems(out / image.stem / "sag.json", image, network)
    return SimpleNamespace(sag=read_sag(out / image.stem), wrong=wrong, claims=claims)


def test_the_record_of_a_photo_is_confirmed(photo):
    assert photo.wrong == []


def test_the_record_of_a_photo_makes_many_claims(photo):
    assert photo.claims > 20


def test_a_photo_has_roots(photo):
    assert photo.sag.roots
