"""The figures against the record: every node, edge and percentage; text that can be read in print; and questions asked of a record."""

import base64
import io
import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from running import ask as ask_sag
import draw_sag
from conftest import NAME
from drawing.graph_figure import caption
from scoring.scorer import MaskScorer
from drawing.pictures import HIDDEN, Pictures, conjunction, cost, percent
from drawing.graph_layout import fitted, nodes_to_draw, paper, text_width, wrapped
from scoring.networks import choose_device, load_network
from running.record_files import load_result
from drawing.record import packed_scores, scores_of

SVG, HREF = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


@pytest.fixture
def result(results, tmp_path):
    """A copy of the planted result folder, to draw into."""
    return Path(shutil.copytree(results / "planted/scene", tmp_path / "scene"))


def record(folder):
    return json.loads((folder / "sag.json").read_text(encoding="utf-8"))


def wide_record(count=14):
    """A record of one root of so many patches, all whose parts of one and two patches less are nodes."""
    everything = tuple(range(count))
    sets = [everything] + [tuple(q for q in everything if q != p) for p in everything]
    sets += [tuple(q for q in everything if q not in (a, b)) for a in everything for b in range(a)]
    number = {s: i for i, s in enumerate(sets)}
    nodes = [
        {"patches": list(s), "probability": 0.9 * len(s) / count, "relative": len(s) / count}
        for s in sets
    ]
    edges = [
        [i, number[s], (set(big) - set(s)).pop()]
        for i, big in enumerate(sets)
        for s in sets
        if len(s) == len(big) - 1 and set(s) < set(big)
    ]
    return {
        "sag": {"nodes": nodes, "edges": edges, "complete": True, "stopped_by": None},
        "grid": [7, 7],
        "threshold": 0.9,
        "probability": 0.9,
        "roots": [{"patches": list(everything), "minimal": "single"}],
        "diverse_roots": [0],
        "diverse_set": [0],
        "baseline": {"name": "black", "probability": 0.0},
        "category": {"index": 0, "name": "wide"},
        "search": {"complete": True, "stopped_by": "exhausted", "method": "beam"},
    }


def texts(svg):
    """Every group's id -> its text, for those that hold text."""
    return {
        group.get("id"): "".join(group.itertext()).strip()
        for group in ET.parse(svg).iter(f"{SVG}g")
        if group.find(f"{SVG}text") is not None
    }


def said_in(svg):
    """All captions of a figure as one text."""
    return " ".join(text for name, text in texts(svg).items() if name.startswith("caption"))


def sizes(svg):
    """The sizes of all text in an SVG, in points at its own width."""
    tree = ET.parse(svg)
    width, box = tree.getroot().get("width"), tree.getroot().get("viewBox").split()
    scale = float(width.removesuffix("pt")) / float(box[2])
    return [
        scale * float(re.search(r"(?:font-size|font):.*?([\d.]+)px", t.get("style"))[1])
        for t in tree.iter(f"{SVG}text")
    ]


# ---------------------------------------------------------------- the graph


@pytest.mark.parametrize("style, ending", [("dark", ""), ("paper", "_paper")])
def test_svg_has_every_node_edge_and_percentage_of_the_record(result, style, ending):
    assert draw_sag.main([str(result), "--style", style, "--width", "7"]) == 0
    r, svg = record(result), result / f"SAG_final_3roots{ending}.svg"
    nodes, text = r["sag"]["nodes"], texts(svg)
    assert len(nodes) > 8
    assert {k: v for k, v in text.items() if k.startswith("percent")} == {
        f"percent-{i}": percent(n["relative"]) for i, n in enumerate(nodes)
    }
    tree = ET.parse(svg)
    ids = {e.get("id") for e in tree.iter() if e.get("id")}
    assert {i for i in ids if i.startswith("edge-")} == {
        f"edge-{a}-{b}-{p}" for a, b, p in r["sag"]["edges"]
    }
    for a, b, p in r["sag"]["edges"]:
        assert text[f"label-{a}-{b}-{p}-0"] == f"−P{p}" and text[f"label-{a}-{b}-{p}-1"] == cost(
            nodes[a]["relative"] - nodes[b]["relative"]
        )
    assert {i for i in ids if i.startswith("root-")} == {
        f"root-{i}" for i in range(len(nodes)) if i not in {b for _, b, _ in r["sag"]["edges"]}
    }
    if style == "dark":
        assert text["patches-0-0"] == conjunction(nodes[0]["patches"])
    assert NAME.split()[0] in " ".join(
        e.text for e in tree.iter(f"{SVG}text")
    )  # the name as it is, not as markup


def test_svg_is_one_file_with_pictures_at_full_resolution(result):
    assert draw_sag.main([str(result), "--hidden", "baseline"]) == 0
    tree = ET.parse(result / "SAG_dag_3roots.svg")
    links = {e.get("id"): e.get(HREF) for e in tree.iter() if e.get(HREF)}
    pictures = {i: link for i, link in links.items() if i.startswith("node-")}
    assert all(link.startswith("data:image/png;base64,") for link in pictures.values()) and len(
        pictures
    ) == len(record(result)["sag"]["nodes"])
    assert all(link.startswith(("data:", "#")) for link in links.values())
    root = record(result)["sag"]["nodes"][
        0
    ]  # a root: nothing was taken away, so nothing is outlined
    drawn = np.asarray(
        Image.open(io.BytesIO(base64.b64decode(pictures["node-0"].partition(",")[2]))).convert(
            "RGB"
        )
    )
    r, image = load_result(result)
    shown = Pictures(r, image)(root["patches"])
    assert drawn.shape == (56, 56, 3) and (
        np.array_equal(drawn, shown) or np.array_equal(drawn[::-1], shown)
    )


def test_pdf_brings_its_fonts(result):
    for style in ("dark", "paper"):
        assert draw_sag.main([str(result), "--style", style]) == 0
    for pdf in [
        *result.glob("SAG_*.pdf"),
        *result.glob("curves*.pdf"),
        *result.glob("comparison*.pdf"),
    ]:
        content = pdf.read_bytes()
        assert b"/FontFile2" in content and b"/Type3" not in content, pdf.name
    assert len(list(result.glob("*.pdf"))) == 8


@pytest.mark.parametrize("width", [3.3, 7])
def test_paper_figures_have_their_width_and_no_text_below_six_points(results, tmp_path, width):
    for name in ("planted", "wide", "empty"):
        folder = Path(shutil.copytree(results / name / "scene", tmp_path / name))
        assert (
            draw_sag.main(
                [str(folder), "--style", "paper", "--width", str(width), "--formats", "svg"]
            )
            == 0
        )
        figures = [*folder.glob("*_paper.svg")]
        assert len(figures) == 4
        for svg in figures:
            if not svg.name.startswith("SAG_dag") or name != "empty":
                assert min(sizes(svg)) >= 6, svg
            drawn = float(ET.parse(svg).getroot().get("width").removesuffix("pt"))
            assert drawn == pytest.approx(72 * width, abs=0.5), svg


def test_a_wide_graph_fits_the_column_and_says_what_it_leaves_out():
    wide = wide_record()
    for width in (2, 3.3, 7):
        drawn, layout, style = fitted(wide, paper(width))
        assert 1 < len(drawn) < len(wide["sag"]["nodes"]) and layout.width <= 72 * width - 8
        said = " ".join(caption(wide, drawn, "dim"))
        assert (
            f"{len(drawn)} of 106 sets are drawn" in said
            and f"{106 - len(drawn)} are left out" in said
        )
        boxes = np.array(list(layout.nodes.values()))
        gaps = np.abs(boxes[:, None] - boxes[None]) + 1e6 * np.eye(len(boxes))[..., None]
        assert (
            (gaps[..., 0] >= style.node) | (gaps[..., 1] >= style.node)
        ).all()  # no picture on another
    missing = 14 - sum(1 for a, b, _ in wide["sag"]["edges"] if a == 0 and b in drawn)
    assert f"+{missing} more" in layout.lines[0]


def test_max_nodes(result):
    assert draw_sag.main([str(result), "--max-nodes", "4", "--formats", "svg"]) == 0
    total = len(record(result)["sag"]["nodes"])
    assert len([k for k in texts(result / "SAG_dag_3roots.svg") if k.startswith("percent")]) == 4
    said = said_in(result / "SAG_dag_3roots.svg")
    assert f"4 of {total} sets are drawn" in said and f"{total - 4} are left out" in said


def test_nodes_in_a_row_and_steps_below_a_root_are_limited():
    wide = wide_record()
    size = [len(n["patches"]) for n in wide["sag"]["nodes"]]
    assert sorted(size[i] for i in nodes_to_draw(wide, 60, abreast=3)) == [
        12,
        12,
        12,
        13,
        13,
        13,
        14,
    ]
    assert sorted(size[i] for i in nodes_to_draw(wide, 60, abreast=3, rows=1)) == [13, 13, 13, 14]


def test_an_empty_sag_says_why(results):
    folder = results / "empty/scene"
    assert "No MSE: the class keeps its confidence" in said_in(folder / "SAG_final_0roots.svg")
    assert Image.open(folder / "SAG_final_0roots.png").width > 300


def test_what_is_hidden_can_be_shown_in_four_ways():
    image = np.full((56, 56, 3), 200, np.uint8)
    r = {"grid": [4, 4], "baseline": {"name": "mean"}}
    pictures = {hidden: Pictures(r, image)((5,), hidden) for hidden in HIDDEN}
    middle, corner = (18, 18), (50, 50)  # patch 5's centre is at 55 / 3
    assert all(abs(int(p[middle][0]) - 200) < 12 for p in pictures.values())
    assert [tuple(pictures[h][corner]) for h in HIDDEN] == [
        (60, 60, 60),
        (0, 0, 0),
        (200, 200, 200),
        (124, 116, 104),
    ]
    assert (pictures["outline"] == 255).all(-1).any() and tuple(
        Pictures(r, image, paper=True)((5,), "dim")[corner]
    ) == (238, 238, 238)


def test_the_same_figure_twice_has_the_same_bytes(result, tmp_path):
    first = {}
    for _ in range(2):
        assert draw_sag.main([str(result), "--style", "paper"]) == 0
        now = {f.name: f.read_bytes() for f in result.glob("*_paper.*")}
        assert first in ({}, now) and len(now) == 12
        first = now


def test_text_is_wrapped_to_its_width():
    text = "a formula of several words and averyveryveryverylongwordthatmustbecut"
    lines = wrapped(text, 10, 60)
    assert all(text_width(line, 10) <= 60 for line in lines) and "".join(lines).replace(
        " ", ""
    ) == text.replace(" ", "")
    assert wrapped("", 10, 60) == [""]
    assert [cost(d) for d in (0.42, -0.03, 0.001, 1.05)] == ["−42 %", "+3 %", "0 %", "−105 %"]


# ---------------------------------------------------------------- curves and rows


def test_curves_and_their_areas_are_drawn(results):
    folder = results / "planted/scene"
    assert draw_sag.main([str(results / "planted"), "--formats", "svg"]) == 0
    curves, said = record(folder)["curves"], " ".join(texts(folder / "curves.svg").values())
    ids = {e.get("id") for e in ET.parse(folder / "curves.svg").iter()}
    for name, title in (("igos", "I-GOS"), ("roots", "roots")):
        for side in ("insertion", "deletion"):
            assert (
                f"{title}, area {curves[name][f'{side}_area']:.2f}" in said
                and f"{side}-{name}" in ids
            )
    assert curves["roots"]["insertion_area"] > 0.5 and curves["patches"] == list(range(17))


def test_the_row_of_pictures_still_and_moving(results):
    folder = results / "planted/scene"
    assert (
        Image.open(folder / "comparison.gif").n_frames
        == 3
        == Image.open(folder / "dnf_gif.gif").n_frames
    )
    strip, still = Image.open(folder / "roots.png"), Image.open(folder / "comparison.gif")
    assert (
        strip.width == 3 * 56 + 2 * 4 and still.width == 3 * 56 + 2 * 4
    )  # original, I-GOS (no convolution: no Grad-CAM), a root
    shown = np.asarray(Image.open(folder / "roots/2_6-10.png"))
    assert np.array_equal(np.asarray(strip)[:56, 60:116], shown)
    drawn = np.asarray(Image.open(folder / "comparison.png").convert("RGB"))
    assert drawn.shape[1] > 3.5 * drawn.shape[0]  # five panels beside each other


# ---------------------------------------------------------------- asking


def answered(capsys, *options, status=0):
    assert draw_sag.main([str(o) for o in options]) == status
    out, err = capsys.readouterr()
    return out if status == 0 else err


def test_scores_survive_packing():
    table = {(): 0.1, (0,): 0.123456789, (3, 48): 1e-7, (0, 700, 783): 0.5}
    r = {
        "grid": [28, 28],
        "roots": [],
        "sag": {"nodes": []},
        "probability": 0.9,
        "baseline": {"probability": 0.1},
        "scores": packed_scores(table),
    }
    assert scores_of(r) == {
        **{s: pytest.approx(p, rel=1e-6) for s, p in table.items()},
        tuple(range(784)): 0.9,
    }
    assert r["scores"]["sets"].split()[:3] == ["0", "1", f"{(1 << 3) + (1 << 48):x}"]


def test_what_was_scored_is_answered_exactly(results, capsys):
    folder = results / "planted/scene"
    exact = "only P6 & P10: 100 % of the full image's confidence, probability 0.9500, sufficient (scored)"
    assert exact in answered(capsys, "ask", folder, "--only", "6,10")
    assert (
        "2 % of the full image's confidence, probability 0.0200, not sufficient (scored)"
        in answered(capsys, "ask", folder, "--only", "P6")
    )
    assert "without no patch: 100 %" in answered(capsys, "ask", folder, "--without", "")


def test_what_was_not_scored_is_not_guessed(results, capsys):
    folder = results / "planted/scene"
    table, asked = scores_of(record(folder)), (0, 2, 3, 4, 7, 15)
    assert asked not in table
    out = answered(capsys, "ask", folder, "--only", "0,2,3,4,7,15")
    larger, smaller = ask_sag.nearest(table, asked)
    assert "not scored" in out.splitlines()[0] and "%" not in out.splitlines()[0]
    assert len(larger) == len(smaller) == 3 == out.count("showing also") == out.count("hiding also")
    assert all(set(s) > set(asked) for s in larger) and all(set(s) < set(asked) for s in smaller)
    assert min(len(s) for s in table if set(s) > set(asked)) == len(larger[0])
    assert max(len(s) for s in table if set(s) < set(asked)) == len(smaller[0])


def test_score_runs_the_network(results, capsys):
    out = answered(
        capsys,
        "ask",
        results / "wide/scene",
        "--without",
        "3,11,12,29",
        "--score",
        "--device",
        "cpu",
    )
    r, image = load_result(results / "wide/scene")
    network = load_network(r["settings"]["model"], None, None, choose_device("cpu"))
    scorer = MaskScorer(
        network.module, network.prepare(image), network.prepare(image * 0), r["category"]["index"]
    )
    p = float(scorer([[q for q in range(49) if q not in (3, 11, 12, 29)]])[0])
    assert f"probability {p:.4f}" in out and "scored now" in out


def test_an_older_record_still_draws_and_answers(result, capsys):
    r = record(result)
    (result / "sag.json").write_text(
        json.dumps({k: v for k, v in r.items() if k not in ("scores", "curves")})
    )
    assert draw_sag.main([str(result)]) == 0
    assert "100 %" in answered(capsys, "ask", result, "--only", "5") and "not scored" in answered(
        capsys, "ask", result, "--only", "0,1,2"
    )


# ---------------------------------------------------------------- bad input: one line that names the value


@pytest.mark.parametrize(
    "options, words",
    [
        (["nowhere"], "nowhere"),
        (["{in}"], "no sag.json"),
        (["{result}", "--style", "pink"], "pink"),
        (["{result}", "--formats", "png,gif"], "gif"),
        (["{result}", "--max-nodes", "0"], "0"),
        (["{result}", "--width", "x"], "x"),
        (["{result}", "--hidden", "blue"], "blue"),
        (["{result}", "--wings"], "wings"),
        (["{result}", "--images", "/nowhere"], "/nowhere"),
        ([], "RESULT"),
        (["ask", "{result}", "--only", "16"], "16"),
        (["ask", "{result}", "--only", "1;2"], "1;2"),
        (["ask", "{result}", "--without", "-1"], "-1"),
        (["ask", "nowhere", "--only", "1"], "nowhere"),
        (["ask", "{in}", "--only", "1"], "sag.json"),
        (["ask", "{result}"], "--only"),
        (["ask", "{result}", "--only", "1", "--without", "2"], "--only"),
        (
            ["ask", "{result}", "--only", "0,2,3,4,7,15", "--score", "--images", "/nowhere"],
            "/nowhere",
        ),
    ],
)
def test_bad_options(options, words, result, results, capsys):
    options = [
        o.replace("{result}", str(result)).replace("{in}", str(results / "in")) for o in options
    ]
    try:
        status = draw_sag.main(options)
    except SystemExit as end:
        status = end.code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert status == 2 and len(lines) == 1 and words in lines[0], lines


def test_a_lost_image_a_damaged_record_and_other_weights_are_named(
    result, results, capsys, tmp_path
):
    (result / "perturbation_original.png").write_bytes(b"no image")
    assert "perturbation_original.png" in answered(capsys, result, status=2)
    (result / "perturbation_original.png").unlink()
    r = record(result)
    (result / "sag.json").write_text(
        json.dumps({**r, "settings": {**r["settings"], "images": "/gone"}})
    )
    assert "scene.png" in answered(capsys, result, status=2)
    assert draw_sag.main([str(result), "--images", str(results / "in"), "--formats", "svg"]) == 0
    (result / "sag.json").write_text(
        json.dumps({**r, "model": {**r["model"], "weights_sha256": "0"}})
    )
    assert "other weights" in answered(
        capsys,
        "ask",
        result,
        "--only",
        "0,2,3,4,7,15",
        "--score",
        "--images",
        results / "in",
        status=2,
    )
    (result / "sag.json").write_text("{")
    assert "damaged" in answered(capsys, result, status=2)
