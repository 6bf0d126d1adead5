"""Measure the live page: milliseconds from a click to the answer, in a real browser.

python tests/live_clicks.py Results copper_jay 60
"""

import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
PAUSE = 0.15  # seconds between clicks
CLICK = """async patch => {
  const start = performance.now(), before = answers.size;
  buttons[patch].click();
  while ($('confidence').classList.contains('unknown')) await new Promise(go => setTimeout(go, 0));
  return answers.size > before ? performance.now() - start : null;  // null: it was in the table
}"""


def main(results: str, record: str, clicks: str = "60") -> None:
    """Serve results, click patches of a record at random, and print how long answers took."""
    serve = [sys.executable, "draw_sag.py", "serve", results, "--no-browser"]
    server = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    try:
        assert server.stdout
        address = server.stdout.readline().strip().replace("index.html", f"{record}/sag.html")
        program = shutil.which("chromium") or shutil.which("google-chrome")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(address)
            page.wait_for_selector("body[data-ready]", state="attached")
            while not page.evaluate("$('live-state').textContent.startsWith('Live')"):
                time.sleep(0.05)
            chance = random.Random(time.time_ns())
            patches = page.evaluate("patches")
            found = []
            for _ in range(int(clicks)):
                found.append(page.evaluate(CLICK, chance.randrange(patches)))
                time.sleep(PAUSE)
            browser.close()
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
    asked = sorted(milliseconds for milliseconds in found if milliseconds is not None)
    print(
        f"{len(asked)} sets asked: median {statistics.median(asked):.0f} ms, "
        f"90th percentile {asked[int(0.9 * len(asked))]:.0f} ms, longest {asked[-1]:.0f} ms"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
