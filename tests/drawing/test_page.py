"""The page of an image as readers meet it, in a real browser without a window."""

import json
import random
import re

import numpy as np
import pytest
from drawn import NAME, read_image, read_sag

from drawing.estimates import estimate_of
from drawing.masked_images import MaskedImages
from drawing.page import json_in_html, write_page
from drawing.record import Category, Graph, Scores, encode_sag, pack_scores, scores_of
from drawing.words import estimate_in_words, percent
from patch_deletion_tree import build_sag
from running.ask import nearest
from scoring.questions import answer

UNSCORED = (0, 2, 3, 4, 7, 15)
INKS = {"light": "rgb(28, 27, 25)", "dark": "rgb(236, 235, 232)"}
FOREIGN_REQUESTS = (
    "performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length"
)


@pytest.fixture(scope="module")
def sag(planted):
    return read_sag(planted)


@pytest.fixture(scope="module")
def table(sag):
    return scores_of(sag)


@pytest.fixture
def page(visit, planted):
    """The page of the planted result."""
    return visit(planted / "sag.html")


def written(sag, image, folder):
    """Write the page of a record; return its path."""
    write_page(sag, MaskedImages.of(sag, image), folder / "sag.html")
    return folder / "sag.html"


def show_only(page, patches):
    """Make these patches visible, and no others, by clicking."""
    page.click("#hide-all")
    for patch in patches:
        page.click(f".patch >> nth={patch}")


def lit(page) -> list[int]:
    """Return the patches that light up."""
    script = "all => all.flatMap((b, p) => b.classList.contains('lit') ? [p] : [])"
    return page.eval_on_selector_all(".patch", script)


def pressed(page) -> list[int]:
    """Return the patches that are visible."""
    script = "all => all.flatMap((b, p) => b.getAttribute('aria-pressed') === 'true' ? [p] : [])"
    return page.eval_on_selector_all(".patch", script)


# ---------------------------------------------------------------- one file


def test_the_page_loads_nothing(page):
    assert page.evaluate(FOREIGN_REQUESTS) == 0


def test_the_page_forbids_loading(page):
    policy = page.get_attribute("meta[http-equiv='Content-Security-Policy']", "content")
    assert "default-src 'none'" in policy and "http" not in policy


def test_a_class_name_is_text_and_not_markup(page):
    count = "all => all.length"
    bold = page.eval_on_selector_all("b", count)
    assert bold == page.eval_on_selector_all(".bar > b", count)
    assert page.inner_text("#name") == NAME and page.title().startswith(NAME)


def test_the_page_shows_every_root(page):
    assert page.locator("#roots .node").count() == 3


def test_the_page_has_the_formula_of_the_record(page, sag):
    assert page.inner_text("#dnf") == sag.dnf


def test_the_page_says_the_formula_in_words(page):
    words = "patch 5; or patches 6 and 10; or patches 1, 8 and 14"
    assert words in page.inner_text("#formula")


def test_nothing_in_a_record_can_end_its_script():
    value = {"name": '</script><!--<script>"\u2028'}
    text = json_in_html(value)
    assert "<" not in text and json.loads(text) == value


def test_a_value_that_looks_like_a_placeholder_stays(planted, tmp_path):
    sag = read_sag(planted)
    sag.category = Category(index=1, name="{{SETS}} {{IMAGE}}")
    text = written(sag, read_image(planted), tmp_path).read_text(encoding="utf-8")
    assert "<title>{{SETS}} {{IMAGE}}" in text and '"title":"{{SETS}} {{IMAGE}}"' in text


# ---------------------------------------------------------------- the graph


def test_the_page_shows_every_node(page, sag):
    assert page.locator("#levels .node").count() == len(sag.sag.nodes)


@pytest.mark.parametrize("title", ["P6 & P10", "P1 & P8 & P14", "P5"])
def test_pointing_at_a_node_lights_its_patches_up(page, title):
    page.hover(f"#levels [title='{title}']")
    assert lit(page) == [int(number) for number in re.findall(r"\d+", title)]


def test_pointing_elsewhere_ends_it(page):
    page.hover("#levels [title='P5']")
    page.mouse.move(5, 5)
    assert lit(page) == [] and len(pressed(page)) == 16


@pytest.mark.parametrize("threshold", [0.4, 0.7, 0.95])
def test_the_slider_gives_the_graph_of_another_threshold(visit, results, threshold):
    folder = results / "wide/scene"
    sag = read_sag(folder)
    table = scores_of(sag)
    page = visit(folder / "sag.html")
    page.evaluate(
        f"$('threshold').value = {100 * threshold};$('threshold').dispatchEvent(new Event('input'))"
    )
    roots = [sag.roots[i].patches for i in sag.diverse_roots]
    expected = answer(
        build_sag(
            roots,
            sag.probability,
            node_prob_thresh=threshold,
        ),
        lambda sets: [table[patches] for patches in sets],
    )
    count = f"{len(expected)} of {len(sag.sag.nodes)} "
    assert page.inner_text("#graph-count").startswith(count)
    assert page.inner_text("#threshold-value") == f"{100 * threshold:.0f} %"


# ---------------------------------------------------------------- asking


def test_at_first_everything_is_visible(page):
    assert page.inner_text("#confidence") == "100 %"


@pytest.mark.parametrize("patches", [(6, 10), (6,), (1, 8, 14), (0, 9), ()])
def test_a_scored_set_has_its_exact_confidence(page, sag, table, patches):
    show_only(page, patches)
    verdict = page.inner_text("#verdict")
    assert pressed(page) == list(patches)
    assert page.inner_text("#confidence") == percent(table[patches] / sag.probability)
    assert f"probability {table[patches]:.4f}" in verdict and "was scored" in verdict
    assert page.locator("#near button").count() == 0


def test_invert_shows_what_was_hidden(page):
    page.click("#hide-all")
    page.click("#invert")
    assert len(pressed(page)) == 16


@pytest.fixture
def unscored(page):
    """The page, asked about a set that was not scored."""
    show_only(page, UNSCORED)
    return page


def test_an_unscored_set_has_an_estimate_that_is_marked_as_one(unscored, sag):
    guess = estimate_of(sag)(UNSCORED)
    assert unscored.inner_text("#confidence") == estimate_in_words(guess, sag.probability)
    assert "never shown to the network" in unscored.inner_text("#verdict")
    assert unscored.is_hidden("#answer-bar")


def test_the_page_estimates_the_numbers_of_python(visit, results):
    folder = results / "wide/scene"
    estimate = estimate_of(read_sag(folder))
    chance = random.Random(1)
    sets = [sorted(chance.sample(range(49), chance.randint(0, 49))) for _ in range(100)]
    script = "sets => sets.map(s => Object.values(estimated(s)))"
    shown = visit(folder / "sag.html").evaluate(script, sets)
    guesses = [estimate(tuple(patches)) for patches in sets]
    expected = [(guess.probability, guess.low, guess.high) for guess in guesses]
    np.testing.assert_allclose(shown, expected, atol=1e-9)


def test_the_nearest_scored_sets_have_their_confidence(unscored, sag, table):
    shown = unscored.locator("#near button").all_inner_texts()
    larger, smaller = nearest(table, UNSCORED)
    expected = [percent(table[patches] / sag.probability) for patches in (*larger, *smaller)]
    assert [text.rpartition(": ")[2] for text in shown] == expected


def test_the_nearest_scored_sets_say_how_they_differ(unscored, table):
    shown = unscored.locator("#near button").all_inner_texts()
    larger, smaller = nearest(table, UNSCORED)
    differ = [len(set(patches) ^ set(UNSCORED)) for patches in (*larger, *smaller)]
    named = [len(re.findall(r"P\d+", text)) or int(re.search(r"\d+", text)[0]) for text in shown]
    assert named == differ


def test_a_near_set_can_be_gone_to(unscored, table):
    unscored.locator("#near button").nth(4).click()
    assert tuple(pressed(unscored)) in table and "%" in unscored.inner_text("#confidence")


def test_the_image_can_be_shown_as_the_network_saw_it(page, sag, planted):
    page.check("#as-seen")
    show_only(page, (1, 8, 14))
    page.mouse.move(5, 5)
    drawn = page.evaluate("[...$('view').getContext('2d').getImageData(0, 0, 56, 56).data]")
    drawn = np.array(drawn).reshape(56, 56, 4)[..., :3]
    shown = MaskedImages.of(sag, read_image(planted))((1, 8, 14))
    assert np.abs(drawn - shown.astype(int)).max() <= 1


# ---------------------------------------------------------------- without a mouse


@pytest.fixture
def press(page):
    """Return press(key, ..), which presses keys; what is in focus then, by its name."""
    focus = (
        "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
    )

    def keys(*names) -> str:
        for name in names:
            page.keyboard.press(name)
        return page.evaluate(focus)

    return keys


def test_tab_leads_to_the_first_patch(press):
    assert press("Tab").startswith("patch 0")


@pytest.mark.parametrize(
    "keys, name",
    [
        (("ArrowRight", "ArrowDown"), "patch 5, row 2, column 2"),
        (("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowLeft"), "patch 0,"),
        (("End",), "patch 3,"),
        (("End", "Home"), "patch 0,"),
    ],
)
def test_arrows_lead_from_patch_to_patch(press, keys, name):
    assert press("Tab", *keys).startswith(name)


def test_space_hides_a_patch(page, press):
    press("Tab", "Space")
    assert pressed(page) == list(range(1, 16))


def test_tab_leads_on_to_the_buttons(press):
    assert (press("Tab", "Tab"), press("Tab")) == ("Show all", "Hide all")


def test_enter_presses_a_button(page, press):
    press("Tab", "Tab", "Tab", "Enter")
    assert pressed(page) == [] and page.inner_text("#confidence") == "2 %"


@pytest.fixture
def at_root(page, press):
    """The page, its focus on the root of patches 6 and 10."""
    for _ in range(30):
        if "100 %, P6 & P10; root; proven minimal" in press("Tab"):
            return page
    raise AssertionError("no Tab leads to the root")


def test_a_root_in_focus_lights_its_patches_up(at_root):
    assert lit(at_root) == [6, 10]


def test_enter_starts_asking_from_a_root(at_root, press):
    press("Enter")
    assert pressed(at_root) == [6, 10] and at_root.inner_text("#confidence") == "100 %"


def test_the_focus_is_seen_in_the_graph(page, press):
    for _ in range(60):
        press("Tab")
        if page.evaluate("!!document.activeElement.closest('#levels')"):
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


# ---------------------------------------------------------------- looks


@pytest.mark.parametrize("scheme", INKS)
def test_the_page_follows_light_and_dark(visit, planted, scheme):
    page = visit(planted / "sag.html", color_scheme=scheme)
    assert page.evaluate("getComputedStyle(document.body).color") == INKS[scheme]


def test_the_page_fits_a_narrow_window(visit, planted):
    page = visit(planted / "sag.html", viewport={"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


# ---------------------------------------------------------------- other records


@pytest.fixture
def empty(visit, results):
    """The page of a result without a root."""
    return visit(results / "empty/scene/sag.html")


def test_an_empty_sag_says_why(empty):
    words = "No explanation: the class keeps its confidence with every patch hidden"
    assert words in empty.inner_text("#formula")


def test_an_empty_sag_shows_no_graph(empty):
    assert not empty.is_visible("#roots-part") and not empty.is_visible("#graph-part")


def test_an_empty_sag_can_still_be_asked(empty):
    empty.click("#hide-all")
    assert empty.inner_text("#confidence") == "100 %"


@pytest.mark.parametrize("patches, said", [((6, 10), "100 %"), ((0, 9), "not scored")])
def test_a_record_without_scores_knows_its_roots(visit, planted, tmp_path, patches, said):
    """Nothing is estimated from so few sets."""
    sag = read_sag(planted)
    sag.sag = Graph(nodes=[], edges=[])
    sag.scores = Scores()
    page = visit(written(sag, read_image(planted), tmp_path))
    show_only(page, patches)
    assert page.inner_text("#confidence") == said


@pytest.mark.parametrize("share, said", [(0.898, "89.8 %"), (0.902, "90.2 %"), (0.893, "89 %")])
def test_a_confidence_beside_the_threshold_has_a_decimal(visit, planted, tmp_path, share, said):
    sag = read_sag(planted)
    sag.sag = Graph(nodes=[], edges=[])
    sag.scores = pack_scores({(0, 9): share * sag.probability})
    page = visit(written(sag, read_image(planted), tmp_path))
    show_only(page, (0, 9))
    assert page.inner_text("#confidence") == said
    assert ("not sufficient" in page.inner_text("#verdict")) == (share < 0.9)


def test_a_record_of_twenty_megabytes_opens_and_answers(visit, results, tmp_path):
    chance = random.Random(0)
    keys = {chance.getrandbits(49) for _ in range(790_000)}
    asked = [patch for patch in range(49) if next(iter(keys)) >> patch & 1]
    probabilities = [0.1234567] + [round(chance.random(), 7) for _ in range(len(keys) - 1)]
    sag = read_sag(results / "wide/scene")
    sag.scores = Scores(sets=" ".join(f"{key:x}" for key in keys), probabilities=probabilities)
    assert len(encode_sag(sag)) > 20e6
    path = written(sag, read_image(results / "wide/scene"), tmp_path)
    page = visit(path)
    page.evaluate(f"choose({asked})")
    assert "probability 0.1235" in page.inner_text("#verdict")
