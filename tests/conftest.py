"""What the tests of figures and pages share: finished results of planted networks, and a browser."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # several test processes: with more threads each they would fight over the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import main_generate_sag

HERE = Path(__file__).resolve().parent
NAME = '</script><b>"Oren\'s" & $x_1$ tern</b>'


def run(*options):
    """A run of the program on the planted network, in this process."""
    assert main_generate_sag.main([str(o) for o in options]) == 0


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """A noisy picture, explained by the planted network (three roots) and by a blind one (none)."""
    folder = tmp_path_factory.mktemp("figures")
    (folder / "in").mkdir()
    noise = np.random.default_rng(0).integers(190, 256, (56, 56, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "in/scene.png")
    (folder / "names.txt").write_text(f"zero\n{NAME}\ntwo\n")
    common = (
        "--images",
        folder / "in",
        "--category",
        1,
        "--grid",
        4,
        "--device",
        "cpu",
        "--labels",
        folder / "names.txt",
    )
    run(
        *common,
        "--results",
        folder / "planted",
        "--model",
        f"{HERE}/planted.py:network",
        "--search",
        "exhaustive",
    )
    run(*common, "--results", folder / "empty", "--model", f"{HERE}/planted.py:blind")
    run(
        "--images",
        folder / "in",
        "--results",
        folder / "wide",
        "--model",
        f"{HERE}/planted.py:resnet",
        "--device",
        "cpu",
        "--max-num-roots",
        3,
    )
    return folder


@pytest.fixture(scope="session")
def chromium():
    """Chromium, driven by Playwright; skipped, with the reason, where one of them is absent."""
    driver = pytest.importorskip(
        "playwright.sync_api", reason="Playwright's Python package is not installed"
    )
    program = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if not program:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """visit(file) opens it; at the end, nothing was asked of any network and nothing was said on the console."""
    pages, requests, said = [], [], []

    def open_page(file, ready="body[data-ready]", **options):
        page = chromium.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})
        pages.append(page)
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message) or dialog.dismiss())
        page.goto(file.as_uri())
        page.wait_for_selector(ready, state="attached")
        return page

    yield open_page
    for page in pages:
        page.close()
    assert said == [] and [url for url in requests if not url.startswith(("file:", "data:"))] == []
