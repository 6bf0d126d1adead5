"""Showing the gallery of a run in the browser."""

import os
import sys
import webbrowser
from pathlib import Path


def open_gallery(path: Path) -> None:
    """Print where the gallery is, and open it in the browser where there is a display."""
    print(path.resolve())
    has_desktop = sys.platform in ("darwin", "win32")
    has_display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if has_desktop or has_display:
        webbrowser.open(path.resolve().as_uri())
