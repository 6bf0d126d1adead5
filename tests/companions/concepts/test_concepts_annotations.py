"""The annotation page: files as they are saved, and the page in a browser."""

import json
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from accessibility import faults
from concept_networks import graph_json, network_of
from live_server import start_command
from PIL import Image

from companions.concepts.annotations import NEW, Annotations, Changed
from companions.concepts.explanations import Explainer
from companions.concepts.graphs import concepts_of, read_graph, relationships_of
from companions.score_deviation.scene_sets import Item
from scoring.fitting import Fit
from scoring.segmentation import Segmentation
from utils import UserError

EMPTY = {"1": {"objects": [], "relationships": [], "phrase": ""}}


@pytest.fixture
def annotations(tmp_path):
    """Two images of 60 x 40 pixels, not annotated."""
    items = []
    for name in ("a.png", "b.png"):
        Image.new("RGB", (60, 40), (20, 120, 60)).save(tmp_path / name)
        items.append(Item(tmp_path / name, name))
    (tmp_path / "human").mkdir()
    return Annotations(items, ["a", "b"], tmp_path / "human")


def test_what_is_saved_is_read_again_with_unknown_fields(annotations):
    graph = graph_json("wing")
    graph["1"]["objects"][0]["synsets"] = ["wing.n.01"]
    version = annotations.save(Changed(0, graph, NEW))
    assert annotations.read(0) == {"graph": graph, "version": version, "width": 60, "height": 40}
    assert annotations.is_done(0)
    assert not annotations.is_done(1)


def test_a_published_file_is_written_back_byte_for_byte(annotations):
    graph = graph_json("wing", "façade")
    annotations.path(0).write_text(json.dumps(graph))
    before = annotations.path(0).read_bytes()
    read = annotations.read(0)
    annotations.save(Changed(0, read["graph"], read["version"]))
    assert annotations.path(0).read_bytes() == before


def test_an_image_in_a_class_folder_has_its_file_in_one(annotations):
    inside = Annotations(annotations.items, ["jay/a", "jay/b"], annotations.folder)
    inside.save(Changed(1, graph_json("wing"), NEW))
    assert concepts_of(read_graph(annotations.folder / "jay/b.json")) == ["wing"]


def test_what_somebody_else_changed_is_not_overwritten(annotations):
    annotations.save(Changed(0, graph_json("wing"), NEW))
    with pytest.raises(UserError, match=r"a\.json: changed by somebody else"):
        annotations.save(Changed(0, graph_json("dusk"), NEW))
    assert concepts_of(read_graph(annotations.path(0))) == ["wing"]


def test_a_damaged_change_is_refused_with_its_place(annotations):
    graph = graph_json("wing")
    del graph["1"]["objects"][0]["x"]
    with pytest.raises(ValueError, match=r"a\.json: region 1, objects 0: "):
        annotations.save(Changed(0, graph, NEW))
    assert not annotations.is_done(0)


def test_a_damaged_annotation_is_named_and_stays(annotations):
    annotations.path(1).write_text("{")
    with pytest.raises(ValueError, match=r"b\.json: line 1, column 2"):
        annotations.read(1)
    assert annotations.path(1).read_text() == "{"


def test_a_suggestion_is_one_region(annotations, tmp_path):
    folder = tmp_path / "graphs"
    folder.mkdir()
    graph = graph_json("wing", "dusk")
    relationship = {"relationship_id": 1, "subject_id": 1, "object_id": 2, "name": "above"}
    both = graph["1"]["objects"] + graph["2"]["objects"]
    graph["3"] = {"objects": both, "relationships": [relationship], "phrase": "x"}
    (folder / "a.json").write_text(json.dumps(graph))
    suggested = Annotations(annotations.items, annotations.names, annotations.folder, folder)
    found = suggested.read(0)
    assert found["version"] == NEW
    assert list(found["graph"]) == ["1"]
    assert [entry["name"] for entry in found["graph"]["1"]["objects"]] == ["wing", "dusk"]
    assert found["graph"]["1"]["relationships"] == [relationship]
    assert suggested.read(1)["graph"] == EMPTY


class Bright(torch.nn.Module):
    """Class 1 by the share of bright pixels."""

    def forward(self, x):
        """Return logits (B, 2)."""
        share = (x > 0.8).float().mean((1, 2, 3))
        return torch.stack([0 * share, 20 * share], 1)


@pytest.mark.parametrize("method", ["crop", "squash"])
def test_a_suggested_box_lies_on_its_object_however_the_network_saw_the_image(tmp_path, method):
    # 160 x 80 pixels; the network sees the middle 56 x 56 of 112 x 56, or all of it.
    labels = np.full((80, 160), 2, np.uint8)
    labels[20:50, 60:100] = 1
    Image.fromarray(np.where(labels == 1, 255, 40).astype(np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(labels).save(tmp_path / "map.png")
    (tmp_path / "names.txt").write_text("wing\nsky\n")
    fit = Fit((56, 56), method=method, short_side=56 if method == "crop" else None)
    network = replace(network_of(Bright(), size=56), fit=fit)
    regions = Segmentation(str(tmp_path / "map.png"), names=tmp_path / "names.txt", fit=fit)
    explainer = Explainer(network=network, segmentation=regions, results=tmp_path)
    item = Item(tmp_path / "a.png", "a.png")
    explainer.explain(item, "a")
    human = tmp_path / "human"
    human.mkdir()
    found = Annotations([item], ["a"], human, suggestions=tmp_path / "graphs").read(0)
    (wing,) = found["graph"]["1"]["objects"]
    box = [wing[side] for side in ("x", "y", "w", "h")]
    assert wing["name"] == "wing"
    assert box == pytest.approx([60, 20, 40, 30], abs=3)  # a pixel of the network is 1.4 x 1.4,
    #   or 2.9 x 1.4


def test_a_suggestion_for_another_image_is_refused(annotations, tmp_path):
    graph = graph_json("wing")
    graph["1"]["objects"][0].update(x=30, w=31)  # of 60 pixels
    (tmp_path / "b.json").write_text(json.dumps(graph))
    suggested = Annotations(annotations.items, annotations.names, annotations.folder, tmp_path)
    with pytest.raises(UserError, match=r"b\.json: the box of 'wing' leaves the image"):
        suggested.read(1)


def test_a_link_out_of_the_folder_is_refused(annotations, tmp_path):
    annotations.path(0).symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(UserError, match="leads out of"):
        annotations.save(Changed(0, EMPTY, NEW))


# ---------------------------------------------------------------- the command


def test_suggestions_need_an_explain(annotations, run, only_line, tmp_path):
    images = annotations.items[0].image
    words = ("--annotations", tmp_path / "human", "--suggest", "--results", tmp_path / "out")
    assert run("annotate", "--images", images, *words) == 2
    assert "--suggest: no folder" in only_line()


def test_annotate_needs_images(run, only_line, tmp_path):
    assert run("annotate", "--images", tmp_path / "none") == 2
    assert "none" in only_line()


# ---------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The command in a process of its own, over three pictures; a and c are annotated."""
    pytest.importorskip("starlette", reason="Starlette is not installed: requirements_serve.txt")
    pytest.importorskip("uvicorn", reason="uvicorn is not installed: requirements_serve.txt")
    root = tmp_path_factory.mktemp("annotate")
    (root / "images").mkdir()
    for name in ("a", "b", "c"):
        Image.new("RGB", (300, 200), (60, 120, 160)).save(root / f"images/{name}.png")
    (root / "human").mkdir()
    (root / "human/a.json").write_text(json.dumps(graph_json("wing")))
    (root / "human/c.json").write_text(json.dumps(graph_json("wing", "crest", "tail")))
    words = ("concept_debug.py", "annotate", "--images", root / "images", "--no-browser")
    one = start_command((*words, "--annotations", root / "human"), root, root / "images")
    yield one
    assert one.end(signal.SIGINT) == 130
    assert one.process.stderr.read().endswith("concept_debug.py: interrupted\n")


def test_requests_without_token_or_from_elsewhere_are_refused(server):
    assert server.ask("/annotate.html", token="guessed")[0] == 403
    assert server.ask("/annotate.html", origin="http://example.org")[0] == 403
    assert server.ask("/images/7")[0] == 404
    assert server.question("read", number=-1)[0] == 400


def test_an_annotation_by_mouse_and_keyboard(server, chromium):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    said = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(server.address)
    page.wait_for_selector('body[data-ready="1"]')  # a is done: it goes on with b
    box = page.locator("#picture").bounding_box()
    scale = box["width"] / 300
    page.mouse.move(box["x"] + 30 * scale, box["y"] + 20 * scale)
    page.mouse.down()
    page.mouse.move(box["x"] + 120 * scale, box["y"] + 80 * scale)
    page.mouse.up()
    page.keyboard.type("crest")
    page.keyboard.press("Tab")
    page.keyboard.type("red, small")
    page.locator("#add").press("Enter")
    page.keyboard.type("beak")
    page.keyboard.press("Enter")
    page.locator("#picture").focus()
    page.keyboard.press("Shift+Alt+ArrowRight")
    page.locator("#relate").press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("above")
    page.keyboard.press("Tab")
    page.locator("#phrase").fill("a crest above a beak")
    page.locator("#phrase").press("Enter")
    page.wait_for_selector("#status:text('saved in')")
    page.reload()
    page.wait_for_selector('body[data-ready="0"]')  # all are done: the first
    page.keyboard.press("PageDown")
    page.wait_for_selector('body[data-ready="1"]')
    assert page.locator(".row").count() == 2
    page.close()
    assert said == []
    graph = read_graph(server.results / "human/b.json")
    crest, beak = graph["1"].objects
    assert (crest.name, crest.attributes) == ("crest", ["red", "small"])
    assert (crest.x, crest.y, crest.w, crest.h) == pytest.approx((30, 20, 90, 60), abs=1)
    assert (beak.w, beak.h) == (67 + 10, 67)  # a third of the shorter side
    assert relationships_of(graph) == ["(crest, above, beak)"]
    assert graph["1"].phrase == "a crest above a beak"


def test_what_has_no_name_yet_costs_nothing_else(server, chromium):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.goto(server.address)
    page.wait_for_selector("body[data-ready]")
    page.locator("#image").select_option("0")
    page.wait_for_selector('body[data-ready="0"]')
    page.locator("#add").press("Enter")
    page.locator(".row input").first.fill("tail")
    page.locator(".row input").first.press("Enter")
    page.wait_for_selector("#status:text('not yet: an object has no name')")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert faults(page) == []
    assert concepts_of(read_graph(server.results / "human/a.json")) == ["tail"]
    with page.expect_event("dialog"):
        page.keyboard.press("PageDown")
    assert asked == ["Not saved: an object has no name yet. Leave this image?"]
    assert page.locator("#image").input_value() == "0"
    assert page.locator(".row").count() == 2
    page.close()


@pytest.fixture
def three_regions(server, chromium):
    """The page with image c, which has three regions; its file afterwards has them again."""
    path = server.results / "human/c.json"
    before = path.read_bytes()
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto(server.address)
    page.wait_for_selector("body[data-ready]")
    page.locator("#image").select_option("2")
    page.wait_for_selector('body[data-ready="2"]')
    yield page
    page.close()
    path.write_bytes(before)


def saved_concepts(page, server):
    """Return the names of the objects in image c's file, once all changes are saved."""
    page.wait_for_selector("#status:text('saved in')")
    return concepts_of(read_graph(server.results / "human/c.json"))


def test_a_region_is_removed_by_its_button_and_comes_back_by_undo(server, three_regions):
    page = three_regions
    page.locator("#region").select_option("2")
    page.locator("#fewer").click()
    assert page.locator("#region").input_value() == "3"  # the next one
    assert saved_concepts(page, server) == ["wing", "tail"]
    page.locator("#undo").click()
    assert page.locator("#region").input_value() == "2"
    assert page.locator(".row input").first.input_value() == "crest"
    assert saved_concepts(page, server) == ["wing", "crest", "tail"]


def test_all_regions_are_removed_by_keyboard(server, three_regions):
    page = three_regions
    page.locator("#region").focus()
    for left in (["crest", "tail"], ["tail"], []):
        page.keyboard.press("Delete")
        assert saved_concepts(page, server) == left
    # An empty region is left, to go on with; it cannot be removed.
    assert page.locator("#region option").all_text_contents() == ["1: empty"]
    assert page.locator("#fewer").is_disabled()
    page.keyboard.press("Delete")
    for _ in range(3):
        page.keyboard.press("Control+z")
    assert page.locator("#region option").count() == 3
    assert saved_concepts(page, server) == ["wing", "crest", "tail"]
