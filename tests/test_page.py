"""The page and the gallery as a person meets them, in a real browser without a window."""

import csv
import json
import random
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from running import ask as ask_sag
import main_generate_sag
from drawing import page as sag_page
from conftest import NAME
from patch_deletion_tree import build_sag
from drawing.pictures import Pictures, percent
from test_figures import record
from running.record_files import load_result
from drawing.record import scores_of

UNSCORED = (0, 2, 3, 4, 7, 15)
DARK_INK, LIGHT_INK = "rgb(236, 235, 232)", "rgb(28, 27, 25)"


@pytest.fixture
def sag(results):
    return results / "planted/scene"


def show_only(page, patches):
    page.click("#hide-all")
    for p in patches:
        page.click(f".patch >> nth={p}")


def lit(page):
    return page.eval_on_selector_all(
        ".patch", "all => all.flatMap((b, p) => b.classList.contains('lit') ? [p] : [])"
    )


def pressed(page):
    return page.eval_on_selector_all(
        ".patch",
        "all => all.flatMap((b, p) => b.getAttribute('aria-pressed') === 'true' ? [p] : [])",
    )


# ---------------------------------------------------------------- the page


def test_the_page_is_one_file_that_asks_for_nothing(visit, sag):
    page = visit(sag / "sag.html")
    assert (
        page.evaluate(
            "performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length"
        )
        == 0
    )
    policy = page.get_attribute("meta[http-equiv='Content-Security-Policy']", "content")
    assert "default-src 'none'" in policy and "http" not in policy
    assert page.inner_text("#name") == NAME and page.title().startswith(NAME)
    assert page.eval_on_selector_all("b", "all => all.length") == page.eval_on_selector_all(
        ".bar > b", "all => all.length"
    )  # none from the name
    assert (
        page.locator("#roots .node").count() == 3 and page.inner_text("#dnf") == record(sag)["dnf"]
    )
    assert "patch 5; or patches 6 and 10; or patches 1, 8 and 14" in page.inner_text("#formula")


def test_pointing_at_a_node_lights_its_patches_up(visit, sag):
    page, nodes = visit(sag / "sag.html"), record(sag)["sag"]["nodes"]
    assert page.locator("#levels .node").count() == len(nodes)
    for title in ("P6 & P10", "P1 & P8 & P14", "P5"):
        page.hover(f"#levels [title='{title}']")
        assert lit(page) == [int(p) for p in re.findall(r"\d+", title)]
    page.mouse.move(5, 5)
    assert lit(page) == [] and len(pressed(page)) == 16


def test_a_scored_set_has_its_exact_confidence(visit, sag):
    page, r = visit(sag / "sag.html"), record(sag)
    table = scores_of(r)
    assert page.inner_text("#confidence") == "100 %"
    for patches in ((6, 10), (6,), (1, 8, 14), (0, 9), ()):
        show_only(page, patches)
        assert pressed(page) == list(patches)
        assert page.inner_text("#confidence") == percent(table[patches] / r["probability"])
        assert f"probability {table[patches]:.4f}" in page.inner_text(
            "#verdict"
        ) and "was scored" in page.inner_text("#verdict")
        assert page.locator("#near button").count() == 0
    page.click("#invert")
    assert len(pressed(page)) == 16


def test_an_unscored_set_is_said_to_be_unscored_beside_its_nearest(visit, sag):
    page, r = visit(sag / "sag.html"), record(sag)
    table = scores_of(r)
    show_only(page, UNSCORED)
    assert page.inner_text("#confidence") == "not scored" and "%" not in page.inner_text("#answer")
    assert page.get_attribute("#answer", "aria-live") == "polite"
    shown = page.locator("#near button").all_inner_texts()
    for near, words in zip(ask_sag.nearest(table, UNSCORED), (shown[:3], shown[3:])):
        assert [percent(table[s] / r["probability"]) for s in near] == [
            text.rpartition(": ")[2] for text in words
        ]
    changed = [
        len(set(s) ^ set(UNSCORED)) for near in ask_sag.nearest(table, UNSCORED) for s in near
    ]
    named = [len(re.findall(r"P\d+", text)) or int(re.search(r"\d+", text)[0]) for text in shown]
    assert changed == named
    page.locator("#near button").nth(4).click()  # to the second smaller one
    assert tuple(pressed(page)) in table and "%" in page.inner_text("#confidence")


def test_the_keyboard_alone_is_enough(visit, sag):
    page = visit(sag / "sag.html")

    def press(*keys):
        for key in keys:
            page.keyboard.press(key)
        return page.evaluate(
            "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
        )

    assert press("Tab").startswith("patch 0")
    assert press("ArrowRight", "ArrowDown").startswith("patch 5, row 2, column 2")
    assert press("ArrowUp", "ArrowUp", "ArrowLeft", "ArrowLeft").startswith("patch 0,")
    assert press("End").startswith("patch 3,") and press("Home", "Space").startswith("patch 0,")
    assert pressed(page) == list(range(1, 16))
    assert press("Tab") == "Show all" and press("Tab") == "Hide all"
    press("Enter")
    assert pressed(page) == [] and page.inner_text("#confidence") == "2 %"
    for _ in range(20):
        if "root: patches 6 and 10, 100 %, proven minimal" in press("Tab"):
            break
    assert lit(page) == [6, 10]
    press("Enter")
    assert pressed(page) == [6, 10] and page.inner_text("#confidence") == "100 %"
    for _ in range(40):
        if "patch" in press("Tab") and page.evaluate("!!document.activeElement.closest('#levels')"):
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_everything_that_can_be_pressed_has_a_name(visit, sag):
    page = visit(sag / "sag.html")
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, input')].filter(e => "
        "!(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.[0]?.textContent.trim())).length"
    )
    assert nameless == 0
    assert (
        page.evaluate("document.documentElement.lang") == "en" and page.locator("h1").count() == 1
    )
    assert "without 8 2 %" in page.locator("#levels [title='P1 & P8 & P14']").get_attribute(
        "aria-label"
    )


def test_pictures_are_what_the_network_saw(visit, sag):
    page = visit(sag / "sag.html")
    r, image = load_result(sag)
    page.check("#as-seen")
    show_only(page, (1, 8, 14))
    page.mouse.move(5, 5)
    drawn = page.evaluate("[...$('view').getContext('2d').getImageData(0, 0, 56, 56).data]")
    drawn = np.array(drawn).reshape(56, 56, 4)[..., :3]
    assert np.abs(drawn - Pictures(r, image)((1, 8, 14)).astype(int)).max() <= 1


def test_the_slider_gives_the_graph_of_another_threshold(visit, results):
    folder = results / "wide/scene"
    page, r = visit(folder / "sag.html"), record(folder)
    roots, table = [tuple(r["roots"][i]["patches"]) for i in r["diverse_roots"]], scores_of(r)
    for threshold in (0.4, 0.7, 0.95):
        page.evaluate(
            f"$('threshold').value = {100 * threshold}; $('threshold').dispatchEvent(new Event('input'))"
        )
        expected = build_sag(
            lambda sets: [table[s] for s in sets], roots, r["probability"], threshold
        )
        assert page.inner_text("#graph-count").startswith(
            f"{len(expected)} of {len(r['sag']['nodes'])} "
        )
        assert page.inner_text("#threshold-value") == f"{100 * threshold:.0f} %"


def test_light_dark_and_narrow(visit, sag):
    for scheme, ink in (("light", LIGHT_INK), ("dark", DARK_INK)):
        page = visit(sag / "sag.html", color_scheme=scheme, viewport={"width": 400, "height": 800})
        assert page.evaluate("getComputedStyle(document.body).color") == ink
        assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_an_empty_sag_says_why_and_can_still_be_asked(visit, results):
    page = visit(results / "empty/scene/sag.html")
    assert (
        "No explanation: the class keeps its confidence with every patch hidden"
        in page.inner_text("#formula")
    )
    assert not page.is_visible("#roots-part") and not page.is_visible("#graph-part")
    page.click("#hide-all")
    assert page.inner_text("#confidence") == "100 %"


def test_an_older_record_knows_its_roots_and_nodes(visit, sag, tmp_path):
    r, image = load_result(sag)
    del r["scores"]
    sag_page.write_page(r, Pictures(r, image), tmp_path / "sag.html")
    page = visit(tmp_path / "sag.html")
    assert page.inner_text("#confidence") == "100 %"
    show_only(page, (6, 10))
    assert page.inner_text("#confidence") == "100 %"
    show_only(page, (0, 9))
    assert page.inner_text("#confidence") == "not scored"


def test_a_record_of_twenty_megabytes_opens_within_two_seconds(visit, results, tmp_path):
    r, image = load_result(results / "wide/scene")
    chance = random.Random(0)
    keys = {chance.getrandbits(49) for _ in range(790_000)}
    asked = tuple(p for p in range(49) if next(iter(keys)) >> p & 1)
    r["scores"] = {
        "sets": " ".join(f"{key:x}" for key in keys),
        "probabilities": [0.1234567] + [round(chance.random(), 7) for _ in range(len(keys) - 1)],
    }
    assert len(json.dumps(r, indent=1)) > 20e6
    sag_page.write_page(r, Pictures(r, image), tmp_path / "sag.html")
    start = time.monotonic()
    page = visit(tmp_path / "sag.html")
    assert time.monotonic() - start < 2
    start = time.monotonic()
    page.evaluate(f"choose({list(asked)})")
    assert time.monotonic() - start < 1 and "probability 0.1235" in page.inner_text("#verdict")


# ---------------------------------------------------------------- the gallery


@pytest.fixture
def gallery(sag, tmp_path):
    """A results folder of three images and a failed one, from one result."""
    with open(sag.parent / "summary.csv", newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    rows = [
        {
            **row,
            "image": f"{name}.png",
            "folder": name,
            "probability": p,
            "roots": n,
            "smallest_root": s,
            "name": label,
            "stopped_by": "exhausted",
        }
        for name, p, n, s, label in (
            ("a b#?", 0.5, 3, 2, NAME),
            ("12:30 <é>", 0.9, 10, 1, 'the "quoted" tern'),
            ("c", 0.7, 0, "", "jay"),
        )
    ]
    rows.append(
        {
            **dict.fromkeys(row, ""),
            "image": "<i>bad</i>.png",
            "error": "cannot read it: <not> an image",
        }
    )
    for r in rows[:3]:
        shutil.copytree(sag, tmp_path / r["folder"])
    with open(tmp_path / "summary.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerows(rows)
    sag_page.write_gallery(tmp_path)
    return tmp_path / "index.html"


def test_the_gallery_filters_sorts_and_links(visit, gallery):
    page = visit(gallery, ready=".card")

    def names():
        return page.eval_on_selector_all(
            ".card:not([hidden]) .file", "all => all.map(e => e.textContent)"
        )

    assert len(names()) == 3 and page.inner_text("#count") == "3 images"
    for key, order in (
        ("probability", "acb"),
        ("-probability", "bca"),
        ("-roots", "bac"),
        ("smallest", "bac"),
    ):
        page.select_option("#sort", key)
        letters = {"a b#?.png": "a", "12:30 <é>.png": "b", "c.png": "c"}
        assert "".join(letters[n] for n in names()) == order
    page.fill("#filter", "quoted TERN")
    assert names() == ["12:30 <é>.png"] and page.inner_text("#count") == "1 of 3 images"
    page.fill("#filter", "")
    assert NAME in page.locator(
        ".card strong"
    ).all_inner_texts() and "no root (exhausted)" in page.inner_text("#cards")
    assert (
        "cannot read it: <not> an image" in page.inner_text("section")
        and page.locator("section i").count() == 0
    )
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    for i in range(3):
        page.locator(".card a").nth(i).click()
        page.wait_for_selector("body[data-ready]", state="attached")
        page.go_back()


def test_a_run_ends_with_the_gallery_and_open_prints_and_opens_it(results, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(main_generate_sag.webbrowser, "open", opened.append)
    options = [
        "--images",
        results / "in",
        "--category",
        1,
        "--grid",
        4,
        "--device",
        "cpu",
        "--labels",
        results / "names.txt",
        "--results",
        results / "planted",
        "--model",
        f"{Path(__file__).parent}/planted.py:network",
        "--search",
        "exhaustive",
        "--open",
    ]
    page = results / "planted/index.html"
    page.unlink()
    for display, times in ((None, 0), (":0", 1)):
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        monkeypatch.setenv("DISPLAY", display) if display else monkeypatch.delenv(
            "DISPLAY", raising=False
        )
        monkeypatch.setattr(main_generate_sag.sys, "platform", "linux")
        assert main_generate_sag.main([str(o) for o in options]) == 0
        out, err = capsys.readouterr()
        assert (
            out.strip() == str(page.resolve())
            and page.exists()
            and "there already" in err
            and len(opened) == times
        )
    assert opened == [page.resolve().as_uri()] and 'href="./scene/sag.html"' in page.read_text(
        encoding="utf-8"
    )


# ---------------------------------------------------------------- without a browser


def test_nothing_in_a_record_can_end_its_script():
    text = sag_page.json_in_html({"name": '</script><!--<script>"\u2028'})
    assert "<" not in text and json.loads(text) == {"name": '</script><!--<script>"\u2028'}


def test_a_value_that_looks_like_a_placeholder_stays_as_it_is(results, tmp_path):
    r, image = load_result(results / "planted/scene")
    r["category"]["name"] = "{{SETS}} {{IMAGE}}"
    sag_page.write_page(r, Pictures(r, image), tmp_path / "sag.html")
    text = (tmp_path / "sag.html").read_text(encoding="utf-8")
    assert "<title>{{SETS}} {{IMAGE}}" in text and '"name":"{{SETS}} {{IMAGE}}"' in text


def test_thumbnails_are_the_pictures_the_network_got(results):
    assert Image.open(results / "planted/scene/perturbation_original.png").size == (56, 56)
