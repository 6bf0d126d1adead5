"""Whether a page can be used by who sees it badly or not at all: axe-core's rules, announcements.

axe-core reads a page as assistive software does, and computes the contrast of its colours.
https://github.com/dequelabs/axe-core
"""

import time

import pytest

OPTIONS = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
    "rules": {"label-content-name-mismatch": {"enabled": True}},  # WCAG 2.1 A; axe has it as new
    "resultTypes": ["violations"],
}
# Width and colours are looked at together: no style sheet here has a rule that depends on both.
LOOKS = {
    "wide and light": ({"width": 1280, "height": 900}, "light"),
    "narrow and dark": ({"width": 360, "height": 740}, "dark"),
}
# Keeps what a screen reader would say of its own accord: the whole text of a live region, whenever
# it changes and is not busy.
LISTEN = """
window.announced = [];
for (const region of document.querySelectorAll("[aria-live=polite], [role=status], output")) {
  if (region.getAttribute("aria-live") === "off") continue;
  new MutationObserver(() => {
    if (region.getAttribute("aria-busy") !== "true") window.announced.push(region.innerText);
  }).observe(region, {childList: true, subtree: true, characterData: true, attributes: true});
}
"""


def faults(page) -> list[str]:
    """Return each broken rule with the element that breaks it: WCAG 2.1 A and AA, good practice.

    Args:
        page: an open page of Playwright's; nothing is loaded into it from elsewhere.
    """
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    response = axe.Axe().run(page, options=OPTIONS).response
    assert response["passes"]  # it looked at something
    return [
        f"{rule['id']}: {node['html'][:200]} ({node['failureSummary']})"
        for rule in response["violations"]
        for node in rule["nodes"]
    ]


def faults_in_every_look(page) -> list[str]:
    """Return what breaks a rule in a wide and a narrow window, in light and dark."""
    found = []
    for look, (size, scheme) in LOOKS.items():
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        found += [f"{look}: {fault}" for fault in faults(page)]
    return found


def listen(page) -> None:
    """Have a page keep what it announces from now on."""
    page.evaluate(LISTEN)


def announced(page) -> list[str]:
    """Return what a page has announced since listen(page)."""
    return page.evaluate("window.announced")


def until_announced(page, words, seconds=30) -> list[str]:
    """Wait until a page has announced something with these words; return all that it announced."""
    end = time.monotonic() + seconds
    while not any(words in text for text in announced(page)):
        assert time.monotonic() < end, announced(page)
        time.sleep(0.02)
    return announced(page)
