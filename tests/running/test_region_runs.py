"""Runs of the main job on named regions: found by name, checked, asked, drawn again, resumed."""

import base64
import io
import json
import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from drawn import read_sag
from main_job import FLOAT32, NETWORKS, only_line, run, wrong_claims
from PIL import Image
from planted import small_vit

import draw_sag
import main_generate_sag
from drawing.masked_images import MaskedImages, Removal
from running.ask import answer
from scoring.regions import Regions
from utils import UserError

NAMES = ("head", "wing", "tail", "feet", "rest")
WING = NAMES.index("wing")
TAIL = NAMES.index("tail")
# Patch of the planted network -> region that contains it.
REGION_OF_PATCH = {5: "head", 6: "wing", 10: "tail", 1: "feet", 8: "feet", 14: "feet"}
FORMULA = {"head", "feet", "wing & tail"}
WHITE = np.full((56, 56, 3), 255, np.uint8)
VIEW_PIXELS = """(() => {
    const view = document.getElementById('view');
    return [...view.getContext('2d').getImageData(0, 0, view.width, view.height).data];
})()"""


def write_scene(folder):
    """Write a white image, a label map that cuts it as the planted network sees it, and names."""
    centres = np.linspace(0, 55, 4).round()
    nearest = np.abs(np.arange(56)[:, None] - centres).argmin(1)
    patch = nearest[:, None] * 4 + nearest
    labels = np.vectorize(lambda p: 1 + NAMES.index(REGION_OF_PATCH.get(p, "rest")))(patch)
    for name, pixels in {"in": WHITE, "maps": labels.astype(np.uint8)}.items():
        (folder / name).mkdir()
        Image.fromarray(pixels).save(folder / name / "scene.png")
    (folder / "names.txt").write_text("\n".join(NAMES) + "\n")
    return folder


def explain(scene, *options):
    """Explain the images of a scene with the planted network; return the exit status."""
    paths = ("--images", scene / "in", "--results", scene / "out", "--device", "cpu")
    return run(*paths, "--model", f"{NETWORKS}:network", "--category", 1, *options)


def explain_regions(scene, *options):
    """Explain a scene by its named regions; return the exit status."""
    maps = ("--regions", scene / "maps", "--region-names", scene / "names.txt")
    return explain(scene, *maps, *options)


@pytest.fixture
def scene(tmp_path):
    """The folder of a scene that was not explained yet."""
    return write_scene(tmp_path)


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """The folder of a scene that was explained by its regions; not to be written to."""
    folder = write_scene(tmp_path_factory.mktemp("regions"))
    assert explain_regions(folder, *FLOAT32) == 0
    return folder


@pytest.fixture
def result(explained, tmp_path):
    """A copy of the result folder, to write to."""
    return shutil.copytree(explained / "out/scene", tmp_path / "scene")


# ---------------------------------------------------------------- every search, in both precisions


@pytest.fixture(scope="module", params=["beam", "exhaustive", "combinatorial", "diverse"])
def searched(request, precision, tmp_path_factory):
    """A scene that was explained by one of the searches."""
    folder = write_scene(tmp_path_factory.mktemp("searched"))
    options = ("--search", request.param, "--comb-size", 2, "--precision", precision)
    assert explain_regions(folder, *options) == 0
    result = folder / "out/scene"
    return SimpleNamespace(folder=folder, result=result, sag=read_sag(result))


def test_every_search_finds_the_planted_regions(searched):
    assert set(searched.sag.dnf.split(" | ")) == FORMULA


def test_a_record_on_regions_is_confirmed(searched):
    assert wrong_claims(searched.folder / "out", searched.folder / "in") == []


def test_regions_of_a_record_stand_in_a_row(searched):
    assert searched.sag.grid == (1, 5)


def test_regions_are_recorded_by_name(searched):
    assert searched.sag.region_names == list(NAMES)


def test_regions_are_recorded_by_label(searched):
    assert searched.sag.regions.labels == [1, 2, 3, 4, 5]


def test_nodes_of_the_graph_are_regions_by_name(searched):
    dot = (searched.result / "SAG_3roots.dot").read_text(encoding="utf-8")
    assert "wing &amp; tail" in dot and "P0" not in dot


def test_edges_of_the_graph_are_regions_by_name(searched):
    assert "−wing" in (searched.result / "SAG_3roots.dot").read_text(encoding="utf-8")


def test_the_formula_is_written_by_name(searched):
    assert "wing & tail" in (searched.result / "dnf.txt").read_text(encoding="utf-8")


# ---------------------------------------------------------------- the record check


def turn_map(record):
    """Turn the map of a record's regions upside down."""
    regions = record["regions"]
    with Image.open(io.BytesIO(base64.b64decode(regions["map"]))) as file:
        turned = file.transpose(Image.Transpose.ROTATE_180)
    content = io.BytesIO()
    turned.save(content, "PNG")
    regions["map"] = base64.b64encode(content.getvalue()).decode()


def test_a_false_claim_about_regions_is_found(explained, result):
    record = json.loads((result / "sag.json").read_text(encoding="utf-8"))
    turn_map(record)
    (result / "sag.json").write_text(json.dumps(record), encoding="utf-8")
    assert wrong_claims(result, explained / "in")


# ---------------------------------------------------------------- questions


def test_a_question_may_name_regions(explained):
    line = answer(explained / "out/scene", only="Wing, tail")
    assert "only wing & tail: 100 %" in line


def test_a_set_of_regions_may_be_scored_now(explained):
    line = answer(explained / "out/scene", only="tail,rest", score=True, device="cpu")
    assert "probability 0.0200, not sufficient (scored" in line


def test_a_region_that_is_not_there_is_named(explained):
    with pytest.raises(UserError, match="beak is not a region; there are head, wing"):
        answer(explained / "out/scene", only="beak")


# ---------------------------------------------------------------- figures


@pytest.mark.parametrize(
    "options, figure",
    [
        (("--style", "paper"), "SAG_final_3roots_paper.svg"),
        (("--hidden", "outline"), "SAG_final_3roots.svg"),
    ],
)
def test_figures_are_drawn_from_the_record_alone(result, options, figure):
    (result / figure).unlink(missing_ok=True)
    assert draw_sag.main([str(result), *options]) == 0
    assert "wing" in (result / figure).read_text(encoding="utf-8")


@pytest.fixture
def masked(explained):
    """The images of the scene's regions."""
    return MaskedImages.of(read_sag(explained / "out/scene"), WHITE)


def test_a_region_is_shown_with_all_of_its_pixels(masked):
    is_shown = masked([0]).any(-1)
    assert np.array_equal(is_shown, masked.regions.index == 0)


def test_the_outline_of_a_removed_region_is_on_its_border(masked):
    is_red = (masked.outlined((0,), [Removal(WING, 0.2)]) != masked([0])).any(-1)
    wing = (masked.regions.index == WING).astype(np.uint8)
    near_wing = cv2.dilate(wing, np.ones((7, 7))).astype(bool)
    assert is_red.any() and near_wing[is_red].all()


# ---------------------------------------------------------------- resume


def written_at(scene):
    """Return when the scene's record was written, in nanoseconds."""
    return (scene / "out/scene/sag.json").stat().st_mtime_ns


@pytest.fixture
def finished(scene):
    """A scene that was explained by its regions, to change."""
    assert explain_regions(scene, *FLOAT32) == 0
    return scene


def test_a_record_on_regions_stands(finished):
    before = written_at(finished)
    assert explain_regions(finished, *FLOAT32) == 0
    assert written_at(finished) == before


def test_another_label_map_makes_another_record(finished):
    labels = np.asarray(Image.open(finished / "maps/scene.png")).copy()
    labels[labels == 1 + TAIL] = 1 + WING  # the tail becomes a part of the wing
    Image.fromarray(labels).save(finished / "maps/scene.png")
    assert explain_regions(finished, *FLOAT32) == 0
    assert set(read_sag(finished / "out/scene").dnf.split(" | ")) == {"head", "feet", "wing"}


# ---------------------------------------------------------------- superpixels


@pytest.fixture(scope="module")
def on_superpixels(precision, tmp_path_factory):
    """The record of a scene in changing colours, explained by its superpixels."""
    folder = write_scene(tmp_path_factory.mktemp("slic"))
    ramp = np.linspace(160, 255, 56).astype(np.uint8)
    colours = np.stack(np.broadcast_arrays(ramp[:, None], ramp, ramp[::-1]), axis=2)
    Image.fromarray(colours).save(folder / "in/scene.png")
    options = ("--regions", "slic", "--segments", 12, "--precision", precision)
    assert explain(folder, *options) == 0
    return read_sag(folder / "out/scene")


def test_a_run_on_superpixels_has_about_as_many(on_superpixels):
    assert 4 <= on_superpixels.num_patches <= 24


def test_a_run_on_superpixels_has_roots(on_superpixels):
    assert on_superpixels.roots


def test_superpixels_are_named_in_the_formula(on_superpixels):
    assert on_superpixels.dnf.startswith("S")


# ---------------------------------------------------------------- what cannot be used


@pytest.mark.parametrize(
    "options, words",
    [
        (["--regions", "nothing.png"], "nothing.png: no such file or folder"),
        (["--region-names", "names.txt"], "only together with --regions"),
        (["--regions", "slic", "--region-names", "{}/names.txt"], "superpixels have no names"),
        (["--regions", "slic", "--baseline", "drop"], "drop"),
        (["--regions", "{}/maps", "--region-names", "{}/none.txt"], "none.txt"),
    ],
)
def test_unusable_regions_are_one_line(scene, capsys, options, words):
    capsys.readouterr()
    assert explain(scene, *(option.replace("{}", str(scene)) for option in options)) == 2
    assert words in only_line(capsys)


@pytest.fixture
def with_bad_maps(scene, capsys):
    """The log of a run on three images: one has no label map, one a label without a name."""
    for name in ("other", "third"):
        shutil.copy(scene / "in/scene.png", scene / f"in/{name}.png")
    Image.fromarray(np.full((56, 56), 9, np.uint8)).save(scene / "maps/third.png")
    capsys.readouterr()
    assert explain_regions(scene, *FLOAT32) == 1
    return capsys.readouterr().err


def test_an_image_without_a_label_map_is_named(with_bad_maps):
    (line,) = [line for line in with_bad_maps.splitlines() if line.startswith("failed: other.png")]
    assert "maps/other.png" in line


def test_an_image_whose_label_has_no_name_is_named(with_bad_maps):
    assert "failed: third.png: no name for label 9" in with_bad_maps


def test_images_with_good_label_maps_are_explained(with_bad_maps, scene):
    assert read_sag(scene / "out/scene").roots


# ---------------------------------------------------------------- the page


@pytest.fixture
def page(explained, visit):
    """The page of the scene."""
    return visit(explained / "out/scene/sag.html")


@pytest.fixture
def wing_and_tail(page):
    """The page with wing and tail visible, as the network saw them."""
    page.click("#hide-all")
    page.check("#as-seen")
    page.click(f".region >> nth={WING}")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    return page


def test_the_page_lists_the_regions_by_name(page):
    names = page.eval_on_selector_all(".region", "all => all.map(b => b.textContent)")
    assert names == list(NAMES)


def test_the_page_says_which_regions_are_visible(wing_and_tail):
    visible = wing_and_tail.inner_text("#visible")
    assert visible == "Visible: wing and tail. The rest is hidden."


def test_the_page_has_the_confidence_of_regions(wing_and_tail):
    assert wing_and_tail.inner_text("#confidence") == "100 %"


def test_the_page_shows_regions_as_the_network_saw_them(wing_and_tail, masked):
    shown = np.array(wing_and_tail.evaluate(VIEW_PIXELS)).reshape(56, 56, 4)[..., :3]
    assert np.abs(shown.astype(int) - masked([WING, TAIL])).max() <= 1


def test_the_page_says_the_formula_by_name(page):
    words = page.inner_text("main")
    assert "wing & tail" in words and "P1 " not in words


def test_the_page_has_a_graph_of_regions(page):
    assert "−wing" in page.inner_html("#graph")


# ---------------------------------------------------------------- in Python


def test_tokens_are_not_dropped_by_regions_in_python():
    regions = Regions.of(np.repeat(np.arange(7), 8)[:, None].repeat(56, axis=1))
    with pytest.raises(UserError, match="--baseline drop: not together with --regions"):
        main_generate_sag.explain(small_vit(), WHITE, regions=regions, baseline="drop")
