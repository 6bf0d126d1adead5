"""What the class cannot do without: its images, figures, words and its part of the page."""

import msgspec
import numpy as np
import pytest
from PIL import Image
from planted import network

from drawing.comparison import saliency_panels
from drawing.figures import Look, draw_all
from drawing.masked_images import RED, MaskedImages
from drawing.needed import HiddenSets
from drawing.styles import paper
from drawing.words import clause, in_words, needed_in_words
from main_generate_sag import explain
from scoring.explanation_map import explanation_map

WHITE = np.full((56, 56, 3), 255, np.uint8)


@pytest.fixture(scope="module")
def sag():
    """A white image explained from both sides; every breaking set is known."""
    settings = {"grid": 4, "category": "1", "search": "exhaustive", "precision": "float32"}
    return explain(network().eval(), WHITE, explain="both", **settings)


@pytest.fixture(scope="module")
def drawn(sag, tmp_path_factory):
    """All its files."""
    folder = tmp_path_factory.mktemp("needed")
    draw_all(sag, WHITE, folder)
    return folder


def test_the_comparison_has_a_map_of_each_side(sag):
    titles = [panel.title for panel in saliency_panels(sag, MaskedImages.of(sag, WHITE))]
    assert ("what is enough", f"all {len(sag.roots)}") in titles
    assert ("what is needed", f"all {len(sag.needed.roots)}") in titles


def test_the_record_has_the_map_of_each_side(sag):
    for side in (sag, sag.needed):
        expected = explanation_map([root.patches for root in side.roots], 16)
        np.testing.assert_allclose(side.explanation_map, expected, atol=1e-6)


def test_a_hidden_set_is_hidden_and_the_rest_shows(sag):
    hidden = HiddenSets.of(sag, WHITE)
    shown = MaskedImages.of(sag, WHITE)
    rest = [patch for patch in range(16) if patch not in (5, 6)]
    assert np.array_equal(hidden((5, 6)), shown(rest))


def test_hidden_patches_are_outlined_in_red(sag):
    image = HiddenSets.of(sag, WHITE).outlined((5,), [])
    assert (image == RED).all(2).any()


def test_nothing_is_outlined_where_nothing_is_hidden(sag):
    assert not (HiddenSets.of(sag, WHITE).outlined((), []) == RED).all(2).any()


def test_there_is_a_figure_of_the_drawn_breaking_sets(sag, drawn):
    name = f"SAG_needed_{len(sag.needed.diverse_roots)}roots.png"
    assert min(Image.open(drawn / name).size) > 200


def test_there_is_a_card_for_every_breaking_set(sag, drawn):
    sheet = Image.open(drawn / "needed.png")
    rows = -(-len(sag.needed.roots) // 5)
    assert sheet.size == (5 * 56 + 4 * 4, rows * (56 + 24))


def test_the_figure_for_print_is_drawn_too(sag, tmp_path):
    draw_all(sag, WHITE, tmp_path, Look(style=paper(), formats=("pdf",)))
    assert list(tmp_path.glob("SAG_needed_*_paper.pdf"))
    assert not (tmp_path / "needed.png").exists()


def test_a_record_without_breaking_sets_has_no_such_figures(sag, tmp_path):
    without = msgspec.structs.replace(sag, needed=msgspec.UNSET)
    draw_all(without, WHITE, tmp_path)
    assert not list(tmp_path.glob("*needed*"))


def test_where_nothing_breaks_the_class_the_figures_say_why(sag, tmp_path):
    search = msgspec.structs.replace(sag.needed.search, stopped_by="exhausted")
    nothing = {"roots": [], "diverse_roots": [], "diverse_set": [], "cnf": ""}
    graph = msgspec.structs.replace(sag.sag, nodes=[], edges=[])
    needed = msgspec.structs.replace(sag.needed, search=search, sag=graph, **nothing)
    changed = msgspec.structs.replace(sag, needed=needed)
    draw_all(changed, WHITE, tmp_path)
    assert (tmp_path / "SAG_needed_0roots.png").exists()
    reason = "Nothing is known to be needed: hiding no set that the search tried"
    assert reason in (tmp_path / "dnf.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "patches, words, formula",
    [
        ((11,), "P11", "P11"),
        ((24, 25), "P24 and P25 together", "(P24 | P25)"),
        ((1, 2, 3), "P1, P2 and P3 together", "(P1 | P2 | P3)"),
        (range(7), "7 patches together", "(P0 | P1 | P2 | P3 | P4 | P5 | P6)"),
    ],
)
def test_a_breaking_set_in_words_and_as_a_clause(patches, words, formula):
    assert (in_words(patches), clause(patches)) == (words, formula)


def test_the_page_says_what_is_needed(sag, drawn, visit):
    page = visit(drawn / "sag.html")
    assert page.inner_text("#needed-words") == needed_in_words(sag)
    assert page.locator("#needed button").count() == len(sag.needed.roots)


def test_on_the_page_a_breaking_set_can_be_asked_from(sag, drawn, visit):
    page = visit(drawn / "sag.html")
    page.click("#needed button >> nth=0")
    pressed = "all => all.flatMap((b, p) => b.getAttribute('aria-pressed') === 'true' ? [] : [p])"
    assert page.eval_on_selector_all(".patch", pressed) == list(sag.needed.roots[0].patches)


def test_a_page_without_breaking_sets_does_not_speak_of_them(visit, planted):
    assert not visit(planted / "sag.html").is_visible("#needed-part")
