"""The pages as the live server sends them: those on the disk, with a script that asks the network.

    live_page(sag, masked, nonce, folder="copper_jay", results=results)
    live_gallery(rows, results, nonce, choices={"network": [..], ..})

Every script of a page has the answer's nonce, so that the browser runs no other. The policy is in
the answer's header (running/serve_security.py); the page's own, which forbids asking, is taken out.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drawing.masked_images import MaskedImages
from drawing.page import TEMPLATES, gallery_text, json_in_html, page_text
from drawing.record import Sag

OWN_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>\n')
# No text of a record can look like this: "<" in it is escaped.
SCRIPT = "<script>"


def live_page(sag: Sag, masked: MaskedImages, nonce: str, *, folder: str, results: Path) -> str:
    """Return the page of a record.

    Args:
        sag: the record.
        masked: images of its patch sets.
        nonce: of the scripts.
        folder: of the result, as the page names it when it asks.
        results: the folder that it lies in.
    """
    depth = folder.count("/") + 1 if folder else 0
    values = {"folder": folder, "root": "../" * (depth + 1)}
    return with_scripts(page_text(sag, masked, results / folder), values, nonce, "live.js")


def live_gallery(
    rows: Sequence[Mapping[str, str]], results: Path, nonce: str, *, choices: Mapping[str, Any]
) -> str:
    """Return the gallery, with a place for photos.

    Args:
        rows: of the summary, their folders below the results.
        results: the results folder.
        nonce: of the scripts.
        choices: what a visitor may choose from: "networks", "searches", "baselines".
    """
    values = {**choices, "root": "../"}
    return with_scripts(gallery_text(rows, results), values, nonce, "live_gallery.js")


def with_scripts(text: str, values: Mapping[str, Any], nonce: str, *names: str) -> str:
    """Return a page with scripts of drawing/templates at its end, and values for them.

    Args:
        text: of the page.
        values: what the scripts need to know; JSON in the element "live-values".
        nonce: of all scripts.
        names: of the scripts, in the order in which they run.
    """
    style = (TEMPLATES / "live.css").read_text(encoding="utf-8")
    head = OWN_POLICY.sub("", text, count=1).replace("</style>", f"{style}</style>", 1)
    parts = [f'<script type="application/json" id="live-values">{json_in_html(values)}</script>']
    sources = [(TEMPLATES / name).read_text(encoding="utf-8") for name in names]
    parts += [f"{SCRIPT}\n{source}</script>" for source in sources]
    joined = "\n".join(parts)
    before, _, after = head.rpartition("</body>")
    whole = f"{before}{joined}\n</body>{after}"
    return whole.replace(SCRIPT, f'<script nonce="{nonce}">')
