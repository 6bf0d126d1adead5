"""The figure of a graph has every node, edge and percentage of its record, and can be printed."""

import base64
import io
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from drawn import (
    HREF,
    NAME,
    all_text,
    caption_of,
    ids,
    read_image,
    read_sag,
    text_sizes,
    texts,
    width_of,
)
from PIL import Image

from drawing.figures import Look, draw_all
from drawing.graph_figure import squared
from drawing.graph_layout import drop_along, root_nodes
from drawing.masked_images import MaskedImages
from drawing.styles import DARK, Style, paper, with_limits
from drawing.words import conjunction, cost, percent

STYLES = {"dark": DARK, "paper": paper(7)}
COLUMNS = [3.3, 7]  # inches


def drawn_in(source: Path, target: Path, style: Style, formats=("svg",), hidden="dim") -> Path:
    """Draw a copy of a result in a style; return its folder."""
    folder = Path(shutil.copytree(source, target))
    look = Look(style=style, hidden=hidden, formats=formats)
    draw_all(read_sag(folder), read_image(folder), folder, look)
    return folder


# ---------------------------------------------------------------- against the record


@pytest.fixture(scope="module", params=STYLES)
def figure(request, planted, tmp_path_factory):
    """The figure of the planted result as SVG, dark and for a page."""
    target = tmp_path_factory.mktemp(request.param) / "scene"
    style = STYLES[request.param]
    return drawn_in(planted, target, style) / f"SAG_final_3roots{style.ending}.svg"


@pytest.fixture(scope="module")
def sag(planted):
    return read_sag(planted)


def test_every_node_has_its_percentage(figure, sag):
    written = {key: text for key, text in texts(figure).items() if key.startswith("percent")}
    nodes = enumerate(sag.sag.nodes)
    assert written == {f"percent-{i}": percent(node.relative) for i, node in nodes}


def test_every_edge_is_drawn(figure, sag):
    edges = {f"edge-{e.parent}-{e.child}-{e.patch}" for e in sag.sag.edges}
    assert {name for name in ids(figure) if name.startswith("edge-")} == edges


def test_every_edge_has_its_patch_and_its_cost(figure, sag):
    written = texts(figure)
    for edge in sag.sag.edges:
        label = f"label-{edge.parent}-{edge.child}-{edge.patch}"
        lines = (written[f"{label}-0"], written[f"{label}-1"])
        assert lines == (f"−P{edge.patch}", cost(drop_along(sag, edge)))


def test_roots_have_a_frame_of_their_own(figure, sag):
    framed = {name for name in ids(figure) if name.startswith("root-")}
    assert framed == {f"root-{i}" for i in root_nodes(sag)}


def test_a_class_name_is_text_and_not_markup(figure):
    assert NAME.split()[0] in all_text(figure)


def test_a_node_names_its_patches(planted, sag, tmp_path):
    folder = drawn_in(planted, tmp_path / "scene", DARK)
    written = texts(folder / "SAG_final_3roots.svg")
    assert written["patches-0-0"] == conjunction(sag.sag.nodes[0].patches)


def test_a_limit_of_nodes_is_kept(planted, tmp_path):
    folder = drawn_in(planted, tmp_path / "scene", with_limits(DARK, 4))
    written = texts(folder / "SAG_dag_3roots.svg")
    assert len([key for key in written if key.startswith("percent")]) == 4


def test_the_figure_says_how_many_sets_it_leaves_out(planted, sag, tmp_path):
    folder = drawn_in(planted, tmp_path / "scene", with_limits(DARK, 4))
    total = len(sag.sag.nodes)
    said = caption_of(folder / "SAG_dag_3roots.svg")
    assert f"4 of {total} sets are drawn" in said and f"{total - 4} are left out" in said


def test_an_empty_graph_says_why(results, tmp_path):
    folder = drawn_in(results / "empty/scene", tmp_path / "scene", DARK)
    said = caption_of(folder / "SAG_final_0roots.svg")
    assert "No MSE: the class keeps its confidence" in said


def test_an_empty_graph_is_drawn(results):
    assert Image.open(results / "empty/scene/SAG_final_0roots.png").width > 300


# ---------------------------------------------------------------- images inside


@pytest.fixture(scope="module")
def links(planted, tmp_path_factory):
    """Every image of the figure that shows what the network saw: id -> URI."""
    target = tmp_path_factory.mktemp("baseline") / "scene"
    folder = drawn_in(planted, target, DARK, hidden="baseline")
    tree = ET.parse(folder / "SAG_dag_3roots.svg")
    return {e.get("id"): e.get(HREF) for e in tree.iter() if e.get(HREF)}


def test_an_svg_is_one_file(links):
    assert all(link.startswith(("data:", "#")) for link in links.values())


def test_every_node_has_its_image_inside_the_svg(links, sag):
    images = [link for name, link in links.items() if name.startswith("node-")]
    assert len(images) == len(sag.sag.nodes)
    assert all(link.startswith("data:image/png;base64,") for link in images)


def test_images_in_an_svg_have_all_their_pixels(links, sag, planted):
    content = base64.b64decode(links["node-0"].partition(",")[2])
    drawn = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    # node 0 is a root: nothing was removed, so nothing is outlined
    shown = MaskedImages.of(sag, read_image(planted))(sag.sag.nodes[0].patches)
    assert np.array_equal(drawn, shown) or np.array_equal(drawn[::-1], shown)


# ---------------------------------------------------------------- for print


@pytest.fixture(
    scope="module", params=[f"{name}-{w}" for name in ("planted", "wide", "empty") for w in COLUMNS]
)
def printed(request, results, tmp_path_factory):
    """All figures of a result for a column of a width; (the files, the width in points)."""
    name, width = request.param.split("-")
    target = tmp_path_factory.mktemp(name) / "scene"
    folder = drawn_in(results / name / "scene", target, paper(float(width)))
    return sorted(folder.glob("*_paper.svg")), 72 * float(width)


def test_paper_figures_are_as_wide_as_asked(printed):
    figures, width = printed
    assert [width_of(svg) for svg in figures] == pytest.approx([width] * 4, abs=0.5)


def test_paper_figures_have_no_text_below_six_points(printed):
    figures, _ = printed
    sizes = [size for svg in figures for size in text_sizes(svg)]
    assert min(sizes) >= 6


@pytest.mark.parametrize("style", [DARK, paper()], ids=["dark", "paper"])
def test_a_pdf_brings_its_fonts(planted, tmp_path, style):
    folder = drawn_in(planted, tmp_path / "scene", style, formats=("pdf",))
    files = sorted(folder.glob(f"*[a-z]{style.ending}.pdf"))
    assert len(files) == 4
    for file in files:
        content = file.read_bytes()
        assert b"/FontFile2" in content and b"/Type3" not in content, file.name


def test_the_same_figure_twice_has_the_same_bytes(planted, tmp_path):
    contents = []
    for name in ("first", "second"):
        folder = drawn_in(planted, tmp_path / name, paper(), formats=("png", "svg", "pdf"))
        contents.append({f.name: f.read_bytes() for f in folder.glob("*_paper.*")})
    assert len(contents[0]) == 12 and contents[0] == contents[1]


@pytest.mark.parametrize("shape", [(20, 40), (40, 20)])
def test_an_image_that_is_no_square_keeps_its_shape(shape):
    image = np.full((*shape, 3), 200, np.uint8)
    square = squared(image, "black")
    assert square.shape == (40, 40, 3)
    assert (square == 200).sum() == image.size


def test_a_square_image_stays_as_it_is():
    image = np.zeros((4, 4, 3), np.uint8)
    assert squared(image, "white") is image
