"""The page of an image for who sees it badly or not at all: axe's rules, what is read aloud.

A snapshot has what a screen reader reads: role, name and state of every element, in their order.
"""

import io

import numpy as np
import pytest
from accessibility import announced, faults, faults_in_every_look, listen
from PIL import Image
from planted import network

from drawing.estimates import estimate_of
from drawing.masked_images import MaskedImages
from drawing.page import write_page
from drawing.words import estimate_in_words
from main_generate_sag import explain

WHITE = np.full((56, 56, 3), 255, np.uint8)
FAULTY = """
<html><head></head><body>
<p style="color: #999; background: #fff">hard to read</p>
<button></button>
<button aria-label="Stop">Remove</button>
</body></html>
"""
FAULTS = {
    "button-name",
    "color-contrast",
    "document-title",
    "html-has-lang",
    "label-content-name-mismatch",
    "landmark-one-main",
    "page-has-heading-one",
    "region",
}
SCORED = (6, 10)
UNSCORED = (0, 2, 3, 4, 7, 15)
ROOTS = """
- list:
  - listitem:
    - button "100 %, P5; root; proven minimal"
  - listitem:
    - button "100 %, P6 & P10; root; proven minimal"
  - listitem:
    - button "100 %, P1 & P8 & P14; root; proven minimal"
"""
NEEDED = """
- list:
  - listitem:
    - button "2 %, without P1 & P5 & P6; proven minimal"
"""
LEVELS = """
- list:
  - listitem:
    - heading "2 patches" [level=3]
    - list:
      - listitem:
        - button "2 %, P8 & P14"
      - listitem:
        - button "2 %, P1 & P14"
      - listitem:
        - button "2 %, P1 & P8"
      - listitem:
        - button "100 %, P6 & P10; root; without P6 2 %, −98 points; without P10 2 %, −98 points"
  - listitem:
    - heading "No patch" [level=3]
    - list:
      - listitem:
        - button "2 %, no patch"
"""


@pytest.fixture(scope="module")
def sag():
    """A white image explained from both sides."""
    settings = {"grid": 4, "category": "1", "search": "beam", "precision": "float32"}
    return explain(network().eval(), WHITE, explain="both", **settings)


@pytest.fixture(scope="module")
def file(sag, tmp_path_factory):
    """Its page."""
    path = tmp_path_factory.mktemp("accessibility") / "sag.html"
    write_page(sag, MaskedImages.of(sag, WHITE), path)
    return path


@pytest.fixture
def page(visit, file):
    """Its page, opened."""
    return visit(file)


def said_of(page, patches) -> str:
    """Make these patches visible, and no others; return what is announced then."""
    page.click("#hide-all")
    for patch in patches[:-1]:
        page.click(f".patch >> nth={patch}")
    listen(page)
    page.click(f".patch >> nth={patches[-1]}")
    (text,) = announced(page)
    return text


def test_faults_are_found(chromium):
    page = chromium.new_page()
    page.set_content(FAULTY)
    found = faults(page)
    page.close()
    assert {line.split(": ")[0] for line in found} == FAULTS


def test_the_page_breaks_no_rule(page):
    said_of(page, UNSCORED)
    page.click("summary")
    assert faults_in_every_look(page) == []


def contrast(png) -> float:
    """Return the contrast of the lightest and the darkest pixel of a PNG file, as WCAG has it."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) / 255
    linear = np.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return (luminance.max() + 0.05) / (luminance.min() + 0.05)


def test_a_number_stands_out_on_a_white_image(page):
    # axe cannot tell: the colours behind the numbers are an image's
    thinnest = page.locator(".patch").nth(1)
    assert contrast(thinnest.screenshot()) > 6
    page.uncheck("#numbers")
    assert contrast(thinnest.screenshot()) < 1.5


# ---------------------------------------------------------------- what is announced


def test_the_confidence_of_a_scored_set_is_announced(page):
    text = said_of(page, SCORED)
    assert text.startswith("Visible: P6 and P10. The rest is hidden.\n\n100 %\n\nof the full")
    assert text.endswith("This very set was scored.")


def test_an_estimate_is_announced_as_one(page, sag):
    text = said_of(page, UNSCORED)
    guess = estimate_in_words(estimate_of(sag)(UNSCORED), sag.probability)
    assert f"The rest is hidden.\n\n{guess}\n\nAn estimate" in text
    assert "was scored." not in text


def test_pointing_at_a_set_announces_nothing(page):
    listen(page)
    page.hover("#roots .node")
    assert announced(page) == []


def test_the_threshold_is_announced_once(page):
    page.focus("#threshold")
    listen(page)
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#threshold", "aria-valuetext") == "41 %"  # read with the slider
    assert announced(page) == ["9 of 9 sets"]


# ---------------------------------------------------------------- what is read


def test_a_patch_says_its_number_and_its_state(page):
    patch = page.locator(".patch").nth(9)
    assert patch.aria_snapshot() == '- button "patch 9, row 3, column 2" [pressed]: "9"'
    patch.click()
    assert patch.aria_snapshot() == '- button "patch 9, row 3, column 2": "9"'


def test_sets_say_what_their_images_show(page):
    from playwright.sync_api import expect  # here, because Playwright may be absent

    for part, snapshot in {"#roots": ROOTS, "#needed": NEEDED, "#levels": LEVELS}.items():
        expect(page.locator(part)).to_match_aria_snapshot(snapshot)


def test_every_patch_of_a_large_set_is_read(page):
    name = page.evaluate(
        """() => {
          const set = [0, 1, 2, 3, 15];
          const button = setButton({patches: set, probability: 0}, false, []);
          describe(button, set, []);
          return button.getAttribute("aria-label");
        }"""
    )
    assert name == "0 %, 5 patches, P0 & P1 & P2 & P3 & P15"
