"""The gallery of a run, index.html, in a real browser without a window."""

import csv
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest
from accessibility import faults
from drawn import NAME, read_image, read_sag

from drawing.figures import Look, draw_all
from drawing.page import found, write_gallery

PLANTED = Path(__file__).resolve().parents[1] / "planted.py"
FILES = {"a": "a b#?.png", "b": "12:30 <é>.png", "c": "c.png"}


def row_of(known: dict, letter: str, **fields) -> dict:
    """Return a row of summary.csv for one of the three images."""
    file = FILES[letter]
    names = {"image": file, "folder": file.removesuffix(".png"), "stopped_by": "exhausted"}
    return {**known, **names, **fields}


@pytest.fixture
def gallery(planted, tmp_path):
    """The gallery of three images and a failed one, made from one result."""
    with open(planted.parent / "summary.csv", newline="", encoding="utf-8") as file:
        known = next(csv.DictReader(file))
    rows = [
        row_of(known, "a", probability=0.5, roots=3, smallest_root=2, name=NAME),
        row_of(known, "b", probability=0.9, roots=10, smallest_root=1, name='the "quoted" tern'),
        row_of(known, "c", probability=0.7, roots=0, smallest_root="", name="jay"),
    ]
    for row in rows:
        shutil.copytree(planted, tmp_path / row["folder"])
    error = {"image": "<i>bad</i>.png", "error": "cannot read it: <not> an image"}
    rows.append({**dict.fromkeys(known, ""), **error})
    with open(tmp_path / "summary.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(known))
        writer.writeheader()
        writer.writerows(rows)
    write_gallery(tmp_path)
    return tmp_path / "index.html"


@pytest.fixture
def page(visit, gallery):
    return visit(gallery, ready=".card")


def shown(page) -> str:
    """Return the letters of the images shown, in their order."""
    letters = {file: letter for letter, file in FILES.items()}
    texts = "all => all.map(e => e.textContent)"
    files = page.eval_on_selector_all(".card:not([hidden]) .file", texts)
    return "".join(letters[file] for file in files)


def test_every_image_has_its_card(page):
    assert sorted(shown(page)) == ["a", "b", "c"]


def test_images_are_counted(page):
    assert page.inner_text("#count") == "3 images"


@pytest.mark.parametrize(
    "key, order",
    [("probability", "acb"), ("-probability", "bca"), ("-roots", "bac"), ("smallest", "bac")],
)
def test_images_can_be_sorted(page, key, order):
    page.select_option("#sort", key)
    assert shown(page) == order


def test_images_can_be_filtered_by_name(page):
    page.fill("#filter", "quoted TERN")
    assert shown(page) == "b" and page.inner_text("#count") == "1 of 3 images"


def test_an_empty_filter_shows_all_again(page):
    page.fill("#filter", "quoted TERN")
    page.fill("#filter", "")
    assert len(shown(page)) == 3


def test_a_class_name_is_text_and_not_markup(page):
    assert NAME in page.locator(".card strong").all_inner_texts()


def test_an_image_without_a_root_says_why(page):
    assert "no root (exhausted)" in page.inner_text("#cards")


def test_failures_are_listed(page):
    assert "cannot read it: <not> an image" in page.inner_text("section")


def test_a_failure_is_text_and_not_markup(page):
    assert page.locator("section i").count() == 0


def test_every_image_is_shown(page):
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


def test_the_gallery_keeps_the_rules_of_accessibility(page):
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert faults(page) == []


@pytest.mark.parametrize("number", range(3))
def test_a_card_links_to_its_page(page, number):
    page.locator(".card a").nth(number).click()
    page.wait_for_selector("body[data-ready]", state="attached")


def test_one_root_is_singular():
    assert found({"roots": "1", "smallest_root": "1"}) == "1 root, smallest 1 patch"


# ---------------------------------------------------------------- with fewer pictures


@pytest.fixture
def drawn_with(gallery, planted, visit):
    """Return drawn_with(pictures), the gallery where the three images have only these files."""

    def visited(pictures: str):
        for file in FILES.values():
            folder = gallery.parent / file.removesuffix(".png")
            shutil.rmtree(folder)
            folder.mkdir()
            look = Look(pictures=pictures)
            draw_all(read_sag(planted), read_image(planted), folder=folder, look=look)
        write_gallery(gallery.parent)
        return visit(gallery, ready=".card")

    return visited


@pytest.mark.parametrize("pictures", ["graph", "none"])
def test_images_without_pictures_have_their_cards(drawn_with, pictures):
    assert sorted(shown(drawn_with(pictures))) == ["a", "b", "c"]


def test_a_card_shows_the_graph_where_nothing_else_was_drawn(drawn_with):
    page = drawn_with("graph")
    assert page.locator(".card img").count() == 3
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


def test_a_card_links_to_the_graph_where_there_is_no_page(drawn_with, gallery):
    page = drawn_with("graph")
    links = page.eval_on_selector_all(".card a", "all => all.map(a => a.getAttribute('href'))")
    assert len(links) == 3
    assert all((gallery.parent / unquote(link)).is_file() for link in links)


def test_a_card_without_pictures_has_no_link_and_no_image(drawn_with):
    assert drawn_with("none").locator(".card a, .card img").count() == 0


def test_a_card_without_pictures_has_its_numbers(drawn_with):
    assert "smallest 2 patches" in drawn_with("none").inner_text("#cards")


def test_a_folder_that_is_gone_leaves_no_dead_link(gallery, visit):
    shutil.rmtree(gallery.parent / "c")
    write_gallery(gallery.parent)
    assert visit(gallery, ready=".card").locator(".card a").count() == 2


# ---------------------------------------------------------------- --open


@pytest.fixture
def opened(results, monkeypatch, capsys):
    """Return opened(display), which runs the main command with --open, its images there already.

    It returns what the command printed, and the addresses that it opened in a browser.
    """
    import main_generate_sag

    addresses = []
    monkeypatch.setattr("webbrowser.open", addresses.append)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    options = ["--images", results / "in", "--results", results / "planted", "--device", "cpu"]
    options += ["--precision", "float32", "--category", 1, "--grid", 4, "--open"]
    options += ["--labels", results / "names.txt", "--model", f"{PLANTED}:network"]
    options += ["--search", "exhaustive"]

    def run(display: str | None) -> tuple[str, list[str]]:
        if display:
            monkeypatch.setenv("DISPLAY", display)
        (results / "planted/index.html").unlink()
        assert main_generate_sag.main([str(option) for option in options]) == 0
        return capsys.readouterr().out.strip(), addresses

    return run


def test_a_run_ends_with_the_gallery(opened, results):
    opened(None)
    text = (results / "planted/index.html").read_text(encoding="utf-8")
    assert 'href="./scene/sag.html"' in text


def test_open_prints_the_path_of_the_gallery(opened, results):
    printed, _ = opened(None)
    assert printed == str((results / "planted/index.html").resolve())


def test_without_a_display_nothing_is_opened(opened):
    assert opened(None)[1] == []


def test_with_a_display_the_gallery_is_opened(opened, results):
    page = (results / "planted/index.html").resolve()
    assert opened(":0")[1] == [page.as_uri()]
