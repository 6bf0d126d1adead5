"""What tests of several folders share: images, both precisions, a browser for the pages."""

import gc
import os
import shutil

import pytest

# With several test processes, more threads each would compete for the cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the commands do


@pytest.fixture
def white_images(tmp_path):
    """A folder of three white images: a.png, birds/b.png and birds/c d é.png."""
    from main_job import make_white_images  # here, because most tests do without PyTorch

    return make_white_images(tmp_path / "in")


@pytest.fixture(scope="module")
def quick_collections():
    """Nothing that is there already is looked at by gc.collect(), which is called at each error.

    With all that earlier tests have imported, a collection takes up to half a second.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def out(tmp_path):
    """A folder for results, which does not exist yet."""
    return tmp_path / "out"


@pytest.fixture(scope="session", params=["float32", "bfloat16"])
def precision(request):
    """Both precisions of the search; every processor has both, some without hardware for one."""
    return request.param


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
    """Return visit(file), which opens a page.

    At the end of the test no page may have asked the network for anything, or written to the
    console.
    """
    pages = []
    requests = []
    said = []

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
    assert said == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
