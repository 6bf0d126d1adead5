"""Make docs/live.gif: the live page of a bundled scene, clicked in a real browser.

    python tests/make_live_gif.py           # explains the scene, serves it, writes the GIF

Every frame is a screenshot of the served page, and every confidence in it is the network's.
"""

import io
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
SCENE = PROJECT / "Images/velvet_oriole.png"
GIF = PROJECT / "docs/live.gif"
WINDOW = {"width": 1100, "height": 1060}
WIDTH = 660  # pixels of the GIF
COLOURS = 256
SHOWN = (30, 31, 32, 38)  # patches that are clicked
STILL = 900  # milliseconds of a frame
LONG = 2600  # of one that is read


def served(folder: Path) -> subprocess.Popen:
    """Explain the scene and serve the results; return the server's process."""
    explain = ["main_generate_sag.py", "--images", SCENE, "--results", folder]
    subprocess.run([sys.executable, *map(str, explain)], check=True, cwd=PROJECT)
    serve = ["draw_sag.py", "serve", str(folder), "--no-browser"]
    return subprocess.Popen(
        [sys.executable, *serve], stdout=subprocess.PIPE, text=True, cwd=PROJECT
    )


def until(page: Page, script: str) -> None:
    """Wait until a script is true."""
    while not page.evaluate(script):
        time.sleep(0.05)


def frames_of(page: Page) -> list[tuple[Image.Image, int]]:
    """Return screenshots of a visit, each with the milliseconds that it stays."""
    frames: list[tuple[Image.Image, int]] = []

    def take(milliseconds: int) -> None:
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        height = round(WIDTH * shot.height / shot.width)
        frames.append((shot.resize((WIDTH, height), Image.Resampling.LANCZOS), milliseconds))

    until(page, "$('live-state').textContent.startsWith('Live')")
    take(LONG)
    page.click("#hide-all")
    for patch in SHOWN:
        page.click(f".patch >> nth={patch}")
        until(page, "!$('confidence').classList.contains('unknown')")
        take(STILL)
    take(STILL)
    for _ in range(2):  # what keeps the class, then what loses it
        page.click("#find")
        take(STILL)
        until(page, "$('find-result').textContent.includes('Then')")
        take(LONG)
        page.click("#find-result button")
        page.mouse.move(5, 5)
        take(LONG)
    return frames


def beside(*images: Image.Image) -> Image.Image:
    """Return images beside each other, for a palette that all frames share."""
    width, height = images[0].size
    row = Image.new("RGB", (width * len(images), height))
    for number, image in enumerate(images):
        row.paste(image, (number * width, 0))
    return row


def main() -> None:
    """Write the GIF."""
    folder = Path(tempfile.mkdtemp())
    server = served(folder)
    try:
        assert server.stdout
        address = server.stdout.readline().strip().replace("index.html", f"{SCENE.stem}/sag.html")
        program = shutil.which("chromium") or shutil.which("google-chrome")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            page = browser.new_page(viewport=WINDOW, color_scheme="light")
            page.goto(address)
            page.wait_for_selector("body[data-ready]", state="attached")
            frames = frames_of(page)
            browser.close()
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
        shutil.rmtree(folder)
    images = [image for image, _ in frames]
    row = beside(images[0], images[len(images) // 2], images[-1])
    palette = row.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE)  # rare colours count too
    flat = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    times = [milliseconds for _, milliseconds in frames]
    flat[0].save(GIF, save_all=True, append_images=flat[1:], duration=times, loop=0, optimize=True)
    print(f"{GIF}: {len(flat)} frames, {GIF.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
