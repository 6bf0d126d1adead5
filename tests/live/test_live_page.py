"""The live page in a real browser: exact answers, the least change, a killed network."""

import os
import signal
import time

import pytest
from accessibility import faults_in_every_look, listen, until_announced
from drawn import read_sag
from live_server import NETWORK

from drawing.record import scores_of
from drawing.words import percent
from running.score_set import score_set

UNSCORED = (0, 2, 3, 4, 7, 15)  # of which the network is sure that it is not the class
SUFFICIENT = (0, 2, 3, 4, 6, 7, 10)


def until(page, script, seconds=30):
    """Wait until a script is true. (The page's policy forbids what wait_for_function does.)"""
    end = time.monotonic() + seconds
    while not page.evaluate(script):
        assert time.monotonic() < end, (script, page.inner_text("#live-state"))
        time.sleep(0.02)


def is_live(page):
    until(page, "$('live-state').textContent.startsWith('Live')")


def asked(page, patches) -> str:
    """Make these patches visible by clicking; return the confidence that the page shows."""
    page.click("#hide-all")
    for patch in patches:
        page.click(f".patch >> nth={patch}")
    until(page, "!$('confidence').classList.contains('unknown')")
    return page.inner_text("#confidence")


@pytest.fixture
def page(browse, served):
    """The page of a.png, once its network is loaded."""
    page = browse(served.page("a"))
    is_live(page)
    return page


def test_the_page_says_which_network_answers(page):
    assert NETWORK in page.inner_text("#live-state")


@pytest.mark.parametrize("patches", [UNSCORED, SUFFICIENT, (0, 1, 2, 3, 9, 11)])
def test_a_click_has_the_network_s_own_answer(page, served, patches):
    sag = read_sag(served.results / "a")
    exact = score_set(served.results / "a", patches, images=None, device="cpu", model=NETWORK)
    assert asked(page, patches) == percent(exact / sag.probability)
    assert f"probability {exact:.4f}" in page.inner_text("#verdict")


def test_a_question_has_the_network_s_own_answer(served):
    sets = [UNSCORED, SUFFICIENT, (12, 13)]
    names = [f"{sum(1 << patch for patch in patches):x}" for patches in sets]
    _, answer = served.question("score", folder="a", sets=names)
    folder = served.results / "a"
    expected = [score_set(folder, s, images=None, device="cpu", model=NETWORK) for s in sets]
    assert answer["probabilities"] == pytest.approx(expected, abs=1e-6)


def test_a_second_tab_gets_the_first_one_s_answer(page, browse, served):
    first = asked(page, (0, 4, 8, 9, 12))
    second = browse(served.page("a"))
    is_live(second)
    assert asked(second, (0, 4, 8, 9, 12)) == first
    assert "was scored" in second.inner_text("#verdict")  # its page was made with the answer


def test_the_least_change_keeps_the_class(page):
    asked(page, (6,))
    page.click("#find")
    until(page, "$('find-result').textContent.includes('Then')")
    text = page.inner_text("#find-result")
    assert "the class is kept" in text and "1 patch: P" in text and "No smaller change" in text
    page.click("#find-result button")
    assert page.inner_text("#confidence") == "100 %"


def test_the_least_change_loses_the_class(page):
    page.click("#show-all")
    page.click("#find")
    until(page, "$('find-result').textContent.includes('Then')")
    text = page.inner_text("#find-result")
    assert "Hide 3 patches: P" in text and "P5" in text and "the class is lost" in text
    assert "a smaller change may exist" in text  # not all pairs were asked


def test_everything_works_with_the_keyboard(page):
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "find":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    until(page, "$('find-result').textContent.includes('Then')")


def test_the_page_announces_answers_and_breaks_no_rule(page):
    listen(page)
    page.click("#hide-all")
    for patch in (1, 3, 6, 11, 12, 13):
        page.click(f".patch >> nth={patch}")
    said = until_announced(page, "P12 and P13. The rest is hidden.")
    assert not any("estimate" in text for text in said)  # it waits for the network's answer
    assert not any("Live" in text for text in said)  # which network answers was said before
    page.click("#find")
    until_announced(page, "the class is kept")
    assert faults_in_every_look(page) == []


@pytest.mark.parametrize("folder", ["a/sag.html", "index.html"])
def test_the_pages_fit_a_phone(browse, served, folder):
    page = browse(
        served.address.replace("index.html", folder),
        ready="body",
        viewport={"width": 390, "height": 800},
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_page_leads_back_to_the_gallery(page):
    page.click("a.back")
    page.wait_for_selector("#photo")


def test_a_network_killed_while_it_answers_is_one_line(page, served):
    os.kill(served.worker(), signal.SIGSTOP)
    page.click("#hide-all")
    for patch in (0, 3, 12, 13, 14):
        page.click(f".patch >> nth={patch}")
    os.kill(served.worker(), signal.SIGKILL)
    until(page, "$('live-state').textContent.startsWith('Not live')")
    line = page.inner_text("#live-state")
    assert "killed by SIGKILL" in line and "\n" not in line
    page.click(".patch >> nth=2")
    until(page, "!$('confidence').classList.contains('unknown')")
    assert page.inner_text("#live-state").startswith("Live")


def test_the_saved_page_asks_no_server(visit, served):
    page = visit(served.results / "a/sag.html")
    page.click("#hide-all")
    assert page.locator("#find").count() == 0 and page.locator("#live-state").count() == 0


def test_what_was_asked_is_in_the_record(page, served):
    asked(page, (2, 3, 4, 7, 11, 12))
    end = time.monotonic() + 10
    while (2, 3, 4, 7, 11, 12) not in scores_of(read_sag(served.results / "a")):
        assert time.monotonic() < end
        time.sleep(0.1)
