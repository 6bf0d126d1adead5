"""What a page has against the accessibility rules of axe-core, which ships with its package.

assert faults(page) == []
"""

import pytest


def faults(page) -> list[str]:
    """Return each broken rule with the element that breaks it: WCAG 2.1 A and AA, good practice.

    Args:
        page: an open page of Playwright's; nothing is loaded into it from elsewhere.
    """
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    response = axe.Axe().run(page).response
    assert response["passes"]  # it looked at something
    return [
        f"{rule['id']}: {node['html'][:200]}"
        for rule in response["violations"]
        for node in rule["nodes"]
    ]
