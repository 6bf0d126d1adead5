"""Two records of one image: what is shared, lost and new; the figure, the page, refusals."""

import xml.etree.ElementTree as ET

import msgspec
import pytest
from accessibility import faults
from drawn import all_text, ids, make_sag, read_image, read_sag
from PIL import Image

import draw_sag
from drawing.compare import compare, confidences, differences, report
from drawing.png import save_png
from drawing.record import Graph, Root, pack_scores, scores_of
from main_generate_sag import explain
from running.record_files import write_record
from scoring.engine import Engine
from scoring.networks import load_network
from utils import PROJECT, UserError

IMAGE = PROJECT / "Images/velvet_oriole.png"
RUNS = {
    "first": {},
    "seed": {"seed": 7},
    "blur": {"baseline": "blur"},
    "low": {"prob_thresh": 0.5},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Results of one image with the bundled network, a folder for each way to explain it."""
    folder = tmp_path_factory.mktemp("compare")
    engine = Engine(load_network("birds"), precision="float32", batch_size=8)
    for name, settings in RUNS.items():
        sag = explain(engine, Image.open(IMAGE), grid=4, max_num_roots=3, **settings)
        of(folder, name).mkdir(parents=True)
        keep(sag, sag.shown_image, of(folder, name))
    return folder


def keep(sag, image, folder):
    """Write a record and its image."""
    save_png(image, folder / "perturbation_original.png")
    write_record(folder / "sag.json", sag)


def of(runs, name):
    return runs / name / "velvet_oriole"


def root(*patches):
    return Root(patches, probability=0.9, relative=1.0, minimal="subset")


def sag_of(*mses, table=(), **fields):
    """Return a record with these MSEs, and the probabilities of further sets."""
    roots = [root(*patches) for patches in mses]
    return make_sag(roots=roots, scores=pack_scores(dict(table)), **fields)


# ---------------------------------------------------------------- what is compared


def test_mses_are_shared_lost_or_new():
    found = compare(sag_of((1,), (2, 3)), sag_of((2, 3), (4, 5)))
    names = [[mse.patches for mse in g] for g in (found.shared, found.only_a, found.only_b)]
    assert names == [[(2, 3)], [(1,)], [(4, 5)]]


def test_a_lost_mse_has_what_the_other_record_knows_of_it():
    table = {(1,): 0.45}
    found = compare(sag_of((1,), (2,)), sag_of((4, 5), table=table.items()))
    assert [confidences(mse) for mse in found.only_a] == [
        "A 100 %, B 50 %",
        "A 100 %, B not scored",
    ]


def test_a_record_compared_with_itself_differs_in_nothing(runs):
    sag = read_sag(of(runs, "first"))
    found = compare(sag, sag)
    assert not (found.differences or found.only_a or found.only_b)
    assert len(found.shared) == len(sag.roots) > 0


@pytest.mark.parametrize(
    "name, difference",
    [("seed", "seed 0 7"), ("blur", "baseline black blur"), ("low", "threshold 0.9 0.5")],
)
def test_what_differs_is_named(runs, name, difference):
    found = differences(read_sag(of(runs, "first")), read_sag(of(runs, name)))
    assert [f"{d.name} {d.a} {d.b}" for d in found] == [difference]


@pytest.mark.parametrize("name", ["seed", "blur", "low"])
def test_every_mse_of_both_is_in_one_group(runs, name):
    a = read_sag(of(runs, "first"))
    b = read_sag(of(runs, name))
    found = compare(a, b)
    groups = [{mse.patches for mse in g} for g in (found.shared, found.only_a, found.only_b)]
    of_a = {root.patches for root in a.roots}
    of_b = {root.patches for root in b.roots}
    assert groups == [of_a & of_b, of_a - of_b, of_b - of_a]
    for mse in (*found.only_a, *found.only_b):
        for sag, relative in ((a, mse.a), (b, mse.b)):
            known = scores_of(sag).get(mse.patches)
            assert relative == (None if known is None else known / sag.probability)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"image_sha256": "1" * 64}, "different images"),
        ({"grid": (4, 4), "saliency": [1.0] * 16}, "different grids, 7 x 7 and 4 x 4"),
    ],
)
def test_what_does_not_compare_is_one_line(fields, words):
    with pytest.raises(UserError, match=words):
        compare(make_sag(), make_sag(**fields))


def test_the_same_pixels_are_the_same_image():
    a = make_sag(pixels_sha256="2" * 64)
    assert compare(a, make_sag(image_sha256="1" * 64, pixels_sha256="2" * 64)).shared == []


def test_the_report_names_every_mse():
    lines = report(compare(sag_of((1,), (2, 3)), sag_of((2, 3), (4, 5))), None)
    assert lines[1] == "1 MSE in both, 1 only in A, 1 only in B."
    assert lines[-1] == "  only in B: P4 & P5 (A not scored, B 100 %)"


# ---------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def drawn(runs):
    """The folder of a comparison."""
    folders = [str(of(runs, name)) for name in ("first", "blur")]
    assert draw_sag.main(["compare", *folders, "--formats", "svg,png"]) == 0
    return runs / "first/compare_velvet_oriole_first_blur"


def test_the_figure_says_what_differs_and_is_shared(drawn, runs):
    found = compare(read_sag(of(runs, "first")), read_sag(of(runs, "blur")))
    text = all_text(drawn / "compare.svg")
    assert "A | B: baseline black | blur." in text
    for title, mses in (("In both", found.shared), ("Only in A", found.only_a)):
        assert f"{title}: {len(mses)} MSE" in text


def test_the_figure_has_both_graphs(drawn, runs):
    tree = ET.parse(drawn / "compare.svg")
    nodes = [e for e in tree.iter() if (e.get("id") or "").startswith("node-")]
    sags = [read_sag(of(runs, name)) for name in ("first", "blur")]
    assert len(nodes) == sum(len(sag.sag.nodes) for sag in sags)
    assert "image-5" in ids(drawn / "compare.svg")  # original, Grad-CAM and I-GOS of both


def test_the_paper_style_is_as_wide_as_asked(runs, tmp_path):
    folders = [str(of(runs, name)) for name in ("first", "low")]
    options = ["--style", "paper", "--width", "5", "--formats", "svg", "--out", str(tmp_path)]
    assert draw_sag.main(["compare", *folders, *options]) == 0
    assert ET.parse(tmp_path / "compare_paper.svg").getroot().get("width") == "360pt"


def test_the_page_shows_the_comparison(drawn, visit):
    page = visit(drawn / "compare.html", ready="h1")
    text = page.inner_text("main")
    assert "baseline" in text and "Only in A" in text
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth && i.alt)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_keeps_the_rules_of_accessibility(drawn, visit, scheme):
    assert faults(visit(drawn / "compare.html", ready="h1", color_scheme=scheme)) == []


def test_the_page_fits_a_phone(drawn, visit):
    page = visit(drawn / "compare.html", ready="h1", viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def changed(runs, folder, **fields):
    """Write a copy of a result of which some fields differ; return its folder."""
    sag = msgspec.structs.replace(read_sag(of(runs, "first")), **fields)
    folder.mkdir()
    keep(sag, read_image(of(runs, "first")), folder)
    return str(folder)


def test_another_image_is_refused_in_one_line(runs, tmp_path, capsys):
    other = changed(runs, tmp_path / "other", image_sha256="1" * 64, pixels_sha256=None)
    assert draw_sag.main(["compare", str(of(runs, "first")), other]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "different images" in line


def test_a_result_is_not_written_into(runs, capsys):
    first = str(of(runs, "first"))
    assert draw_sag.main(["compare", first, str(of(runs, "low")), "--out", first]) == 2
    assert "say where to write with --out" in capsys.readouterr().err


def test_a_record_without_roots_is_compared(runs, tmp_path):
    nothing = {"roots": [], "diverse_roots": [], "diverse_set": []}
    empty = changed(runs, tmp_path / "empty", sag=Graph(nodes=[], edges=[]), **nothing)
    options = ["--out", str(tmp_path / "out"), "--formats", "png"]
    assert draw_sag.main(["compare", str(of(runs, "first")), empty, *options]) == 0
    assert (tmp_path / "out/compare.png").stat().st_size > 1000
