"""A live server over results of a planted network, and a browser that visits it."""

import pytest
from live_server import NETWORK, start
from main_job import make_white_images, run_planted

pytest.importorskip("starlette", reason="Starlette is not installed: requirements_serve.txt")
pytest.importorskip("uvicorn", reason="uvicorn is not installed: requirements_serve.txt")


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A server over three images: a.png is asked much, birds/b.png is left alone."""
    folder = tmp_path_factory.mktemp("live")
    images = make_white_images(folder / "images")
    assert run_planted(images, folder / "results", "--search", "exhaustive") == 0
    (folder / "secret.png").write_bytes((images / "a.png").read_bytes())
    (folder / "results/link.png").symlink_to(folder / "secret.png")
    (folder / "results/away").symlink_to(folder / "images")
    server = start(folder / "results", images, "--model", NETWORK)
    yield server
    assert server.end() == 130
    assert server.process.stderr.read().endswith("draw_sag.py: interrupted\n")


@pytest.fixture
def browse(chromium, served):
    """Return browse(address), which opens a page; nothing but the server may be asked."""
    pages = []
    requests = []
    said = []

    def open_page(address, ready="body[data-ready]", **options):
        page = chromium.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})
        pages.append(page)
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        page.wait_for_selector(ready, state="attached")
        return page

    yield open_page
    for page in pages:
        page.close()
    own = f"http://127.0.0.1:{served.port}/"
    assert said == []
    assert [url for url in requests if not url.startswith((own, "data:"))] == []
