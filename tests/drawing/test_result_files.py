"""Which files draw_all writes into a result folder, in which formats, and what they share."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn import read_image, read_sag
from PIL import Image

from drawing.canvas import Canvas
from drawing.figures import Look, draw_all
from drawing.styles import DARK, FORMATS, paper

DARK_FILES = {
    "SAG_3roots.dot",
    "SAG_dag_3roots.png",
    "SAG_final_3roots.png",
    "comparison.gif",
    "comparison.png",
    "curves.png",
    "dnf.txt",
    "dnf_gif.gif",
    "gridimage.png",
    "perturbation_blurred.png",
    "perturbation_heatmap.png",
    "perturbation_imposed_heatmap.png",
    "perturbation_original.png",
    "roots.png",
    "sag.html",
}


@pytest.fixture
def files(planted, tmp_path):
    """Return files(**look), the names of the files that draw_all writes beside each other."""

    def drawn(**look) -> set[str]:
        draw_all(read_sag(planted), read_image(planted), tmp_path, Look(**look))
        return {path.name for path in tmp_path.iterdir() if path.is_file()}

    return drawn


def test_by_default_every_figure_is_a_png(files):
    assert files() == DARK_FILES


def test_formats_are_those_of_every_figure(files):
    names = files(formats=FORMATS)
    figures = {"SAG_dag_3roots", "SAG_final_3roots", "comparison", "curves"}
    assert {f"{figure}.{kind}" for figure in figures for kind in FORMATS} <= names


def test_pictures_graph_is_the_graph_and_the_formula(files):
    assert files(pictures="graph") == {"SAG_final_3roots.png", "dnf.txt"}


def test_pictures_none_is_the_formula_alone(files):
    assert files(pictures="none") == {"dnf.txt"}


def test_pictures_graph_on_paper_is_one_figure(files):
    names = files(pictures="graph", style=paper(), formats=("pdf",))
    assert names == {"SAG_final_3roots_paper.pdf"}


@pytest.mark.parametrize("pictures", ["all", "graph"])
def test_the_graph_is_composed_once_for_all_files(files, monkeypatch, pictures):
    made = []
    make = Canvas.__init__
    monkeypatch.setattr(Canvas, "__init__", lambda *args: made.append(args) or make(*args))
    files(pictures=pictures, formats=FORMATS)
    comparisons = 1 if pictures == "all" else 0
    assert len(made) == 1 + comparisons


# ---------------------------------------------------------------- the graph with and without header


@pytest.fixture(params=["dark", "paper"])
def graphs(request, planted, tmp_path):
    """The graph beside the original, and alone, in a style; PNG and SVG."""
    style = DARK if request.param == "dark" else paper()
    look = Look(style=style, formats=("png", "svg"))
    draw_all(read_sag(planted), read_image(planted), tmp_path, look)
    names = ("final", "dag")
    return [tmp_path / f"SAG_{name}_3roots{style.ending}" for name in names]


def size_of(svg: Path) -> tuple[float, float]:
    """Return the width and height of an SVG in points."""
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg.read_text(encoding="utf-8"))
    return float(found[1]), float(found[2])


def test_the_graph_alone_is_cut_from_the_same_drawing(graphs):
    final, dag = (cv2.imread(str(stem.with_suffix(".png"))) for stem in graphs)
    differences = cv2.matchTemplate(final, dag, cv2.TM_SQDIFF)
    top, left = np.unravel_index(differences.argmin(), differences.shape)
    height, width = dag.shape[:2]
    assert np.array_equal(final[top : top + height, left : left + width], dag)


def test_the_graph_alone_is_of_one_size_in_all_formats(graphs):
    _, dag = graphs
    with Image.open(dag.with_suffix(".png")) as png:
        inches = np.array(png.size) / png.info["dpi"]
    assert inches * 72 == pytest.approx(size_of(dag.with_suffix(".svg")), abs=1)


def test_the_graph_alone_has_no_header(graphs):
    final, dag = (stem.with_suffix(".svg").read_text(encoding="utf-8") for stem in graphs)
    for name in ('id="original"', 'id="summary"'):
        assert name in final and name not in dag


def test_drawing_the_graph_alone_leaves_the_header_for_later_formats(planted, tmp_path):
    draw_all(read_sag(planted), read_image(planted), tmp_path, Look(formats=("svg", "pdf", "svg")))
    again = (tmp_path / "SAG_final_3roots.svg").read_bytes()
    draw_all(read_sag(planted), read_image(planted), tmp_path, Look(formats=("svg",)))
    assert again == (tmp_path / "SAG_final_3roots.svg").read_bytes()


# ---------------------------------------------------------------- PNG files


@pytest.mark.parametrize("style", [DARK, paper()], ids=["dark", "paper"])
def test_a_figure_says_how_large_it_is_in_print(planted, tmp_path, style):
    draw_all(read_sag(planted), read_image(planted), tmp_path, Look(style=style))
    with Image.open(tmp_path / f"SAG_final_3roots{style.ending}.png") as figure:
        assert figure.info["dpi"] == pytest.approx((style.dpi, style.dpi), abs=0.1)


def test_an_image_keeps_its_pixels_and_their_colours(planted, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (56, 56, 3), dtype=np.uint8)
    draw_all(read_sag(planted), image, tmp_path)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "perturbation_original.png")), image)
