"""The page of an image, sag.html, and the gallery of a run, index.html.

    write_page(record, pictures, folder / "sag.html")       # one file: image, record and every score inside
    write_gallery(results)                                  # from results/summary.csv

The templates are drawing/templates/sag.html, with drawing/templates/sag.js, and drawing/templates/index.html: plain HTML, CSS and JavaScript, nothing from the network (a
content security policy in each says so to the browser). What a record says enters the page as JSON, in which "<" is
escaped, or as escaped text: a class named <script> is its name.
"""

import base64
import csv
import html
import io
import json
import re
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from drawing.pictures import Pictures, why_no_root
from utils import PROJECT, write_atomically

PAGE = PROJECT / "drawing/templates"
NOT_ON_THE_PAGE = (
    "gradcam",
    "scores",
    "curves",
    "settings",
    "image_sha256",
)  # scores have a place of their own


def write_page(record: dict, pictures: Pictures, path: Path) -> None:
    """sag.html: to look at one SAG, and to ask which patches are enough. Raises OSError where it cannot be written."""
    scores = record.get("scores") or {"sets": "", "probabilities": []}
    kept = {k: v for k, v in record.items() if k not in NOT_ON_THE_PAGE}
    if pictures.regions:
        kept["regions"] = {k: record["regions"][k] for k in ("names", "map")} | {
            "middles": pictures.regions.middles()
        }
    write_atomically(
        path,
        filled(
            "sag.html",
            {
                "TITLE": html.escape(f"{record['category']['name']} – {record['image']}"),
                "RECORD": json_in_html(
                    {
                        **kept,
                        "why": why_no_root(record),
                        "squares": pictures.squares,
                        "node_threshold": record["settings"]["node_prob_thresh"],
                    }
                ),
                "SCRIPT": (PAGE / "sag.js").read_text(encoding="utf-8"),
                "IMAGE": data_uri(pictures.image),
                "BASELINE": data_uri(pictures.baseline),
                "SETS": html.escape(scores["sets"]),
                "PROBABILITIES": json_in_html(scores["probabilities"]),
            },
        ),
    )


def write_gallery(results: Path) -> None:
    """index.html: every row of results/summary.csv, with its picture and a link to its page. Raises OSError."""
    with open(results / "summary.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    done, failed = [row for row in rows if not row["error"]], [row for row in rows if row["error"]]
    items = "\n".join(
        f"<li>{html.escape(row['image'])}: {html.escape(row['error'])}</li>" for row in failed
    )
    write_atomically(
        results / "index.html",
        filled(
            "index.html",
            {
                "TITLE": "Structured Attention Graphs",
                "CARDS": "\n".join(card(row) for row in done),
                "FAILED": f"<section><h2>Failed</h2><ul>{items}</ul></section>" if failed else "",
            },
        ),
    )


def card(row: dict) -> str:
    """One image of the gallery, from its row of summary.csv."""
    folder, roots = quote(row["folder"]), int(row["roots"])
    name, image = html.escape(row["name"]), html.escape(row["image"])
    smallest = f"{row['smallest_root']} patch{'es' * (row['smallest_root'] != '1')}"
    found = (
        f"{roots} root{'s' * (roots != 1)}, smallest {smallest}"
        if roots
        else f"no root ({html.escape(row['stopped_by']).replace('_', ' ')})"
    )
    return (
        f'<li class="card" data-name="{name}" data-image="{image}" data-probability="{float(row["probability"])}" '
        f'data-roots="{roots}" data-smallest="{int(row["smallest_root"] or 10**6)}">'
        f'<a href="./{folder}/sag.html"><img src="./{folder}/perturbation_original.png" alt="" loading="lazy" width="224" height="224">'
        f'<strong>{name}</strong><span class="numbers">confidence {float(row["probability"]):.3f}</span><span class="numbers">{found}</span>'
        f'<span class="file">{image}</span></a></li>'
    )


def filled(template: str, values: dict[str, str]) -> str:
    """A template with each {{NAME}} replaced by its value, all at once: a value that holds {{..}} stays as it is."""
    return re.sub(
        r"\{\{([A-Z]+)\}\}",
        lambda match: values[match[1]],
        (PAGE / template).read_text(encoding="utf-8"),
    )


def json_in_html(value) -> str:
    """JSON that is safe inside a script element: no "<" in it can end the element."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace(
        "<", "\\u003c"
    )


def data_uri(picture) -> str:
    """(H, W, 3) uint8 as a PNG inside a URI."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
