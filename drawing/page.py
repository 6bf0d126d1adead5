"""The page of an image, sag.html, and the gallery of a run, index.html.

    write_page(sag, masked, folder / "sag.html")    # one file: image, record and every score
    write_gallery(results)                          # from results/summary.csv

The templates in drawing/templates are plain HTML, CSS and JavaScript that load nothing from the
network (a content security policy in each tells the browser so). Text of a record enters a page as
JSON in which "<" is escaped, or as escaped HTML, so that a class named <script> is shown as its
name.
"""

import base64
import csv
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np

from drawing.estimates import estimate_of, estimate_values
from drawing.masked_images import MaskedImages
from drawing.png import png_bytes
from drawing.record import Sag
from drawing.words import needed_in_words, proof_in_words, why_no_root
from utils import PROJECT, write_atomically

TEMPLATES = PROJECT / "drawing/templates"
KEPT_IMAGE = "perturbation_original.png"
FIGURES = (  # beside a page, and what its links say
    ("SAG_final_*roots.png", "The graph"),
    ("SAG_needed_*roots.png", "The graph of what is needed"),
    ("needed.png", "What is enough, and what is needed"),
    ("comparison.png", "Beside saliency maps"),
    ("perturbation_imposed_heatmap.png", "The I-GOS map"),
    ("curves.png", "Insertion and deletion curves"),
    ("roots.png", "All roots as the network saw them"),
    ("gridimage.png", "The numbered grid"),
)
NO_ROOT_SIZE = 10**6  # images without a root are sorted behind all others

# ---------------------------------------------------------------- the page of an image


def write_page(sag: Sag, masked: MaskedImages, path: Path) -> None:
    """Write sag.html, a page to look at one SAG and to ask which patches are sufficient.

    Raises:
        OSError: the file cannot be written.
    """
    write_atomically(path, page_text(sag, masked, path.parent))


def page_text(sag: Sag, masked: MaskedImages, folder: Path) -> str:
    """Return the HTML of sag.html; folder: where it is to lie, whose figures it links."""
    values = {
        "TITLE": html.escape(f"{sag.title} – {sag.image}"),
        "RECORD": json_in_html(page_record(sag, masked)),
        "SCRIPT": (TEMPLATES / "sag.js").read_text(encoding="utf-8"),
        "IMAGE": data_uri(masked.image),
        "BASELINE": data_uri(masked.baseline),
        "SETS": html.escape(sag.scores.sets),
        "PROBABILITIES": json_in_html(sag.scores.probabilities),
        "FIGURES": figure_links(folder),
    }
    return filled("sag.html", values)


def figure_links(folder: Path) -> str:
    """Return the HTML of links to the figures in a folder, an item each; empty without any."""
    found = [
        (path.name, words) for pattern, words in FIGURES for path in sorted(folder.glob(pattern))
    ]
    return "\n".join(f'<li><a href="./{quote(name)}">{words}</a></li>' for name, words in found)


def page_record(sag: Sag, masked: MaskedImages) -> dict[str, Any]:
    """Return what the page's script needs to know of a record, as JSON values.

    The scored sets are not in it: the page has them in elements of their own.
    """
    steps = msgspec.to_builtins(sag.seconds)  # an older record has no total
    known = {
        "image": sag.image,
        "size": sag.size,
        "model": sag.model,
        "title": sag.title,
        "probability": sag.probability,
        "baseline": sag.baseline,
        "grid": sag.grid,
        "threshold": sag.threshold,
        "search": sag.search,
        "roots": sag.roots,
        "proofs": [proof_in_words(root) for root in sag.roots],
        "dnf": sag.dnf,
        "sag": sag.sag,
        "evaluations": sag.evaluations,
        "seconds": {"total": sag.seconds.total or sum(steps.values())},
        "why": why_no_root(sag),
        "squares": masked.squares,
        "node_threshold": sag.node_threshold or sag.settings.get("node_prob_thresh", 0.0),
    }
    estimate = estimate_of(sag)
    if estimate:
        known["estimate"] = estimate_values(estimate)
    if sag.needed:
        known["needed"] = {
            "words": needed_in_words(sag),
            "roots": sag.needed.roots,
            "proofs": [proof_in_words(root) for root in sag.needed.roots],
        }
    if sag.regions and masked.regions:
        known["regions"] = {
            "names": sag.regions.names,
            "map": sag.regions.map,
            "middles": masked.regions.middles(),
        }
    return msgspec.to_builtins(known)


# ---------------------------------------------------------------- the gallery of a run


def write_gallery(results: Path) -> None:
    """Write index.html: every row of results/summary.csv, with its image and a link to its page.

    Where only graphs were drawn, a card shows the graph and links to its file; where nothing was,
    it has the numbers alone.

    Raises:
        OSError: summary.csv cannot be read, or index.html not be written.
    """
    with open(results / "summary.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    write_atomically(results / "index.html", gallery_text(rows, results))


def gallery_text(rows: Sequence[Mapping[str, str]], results: Path) -> str:
    """Return the HTML of a gallery.

    Args:
        rows: of summary.csv.
        results: the folder that the rows' folders are in.
    """
    values = {
        "TITLE": "Structured Attention Graphs",
        "CARDS": "\n".join(card(row, results) for row in rows if not row["error"]),
        "FAILED": failures_section([row for row in rows if row["error"]]),
    }
    return filled("index.html", values)


def card(row: Mapping[str, str], results: Path) -> str:
    """Return the HTML of one image of the gallery, from its row of summary.csv."""
    name = html.escape(row["name"])
    image = html.escape(row["image"])
    probability = float(row["probability"])
    smallest = int(row["smallest_root"] or NO_ROOT_SIZE)
    content = (
        f"<strong>{name}</strong>"
        f'<span class="numbers">confidence {probability:.3f}</span>'
        f'<span class="numbers">{found(row)}</span>'
        f'<span class="file">{image}</span>'
    )
    shown = shown_in_card(results, row["folder"])
    if shown is None:
        content = f"<div>{content}</div>"
    else:
        kind = "graph" if shown.image == shown.link else "original"
        content = (
            f'<a href="./{quote(shown.link)}">'
            f'<img class="{kind}" src="./{quote(shown.image)}" alt="" loading="lazy" '
            f'width="224" height="224">{content}</a>'
        )
    return (
        f'<li class="card" data-name="{name}" data-image="{image}" '
        f'data-probability="{probability}" data-roots="{int(row["roots"])}" '
        f'data-smallest="{smallest}">{content}</li>'
    )


@dataclass(frozen=True)
class CardFiles:
    """The files of an image's card: paths in the results folder, "/" between their parts."""

    image: str
    link: str


def shown_in_card(results: Path, folder: str) -> CardFiles | None:
    """Return what an image's card shows and links to, of the files that are there.

    Args:
        results: The run's results.
        folder: The image's folder in it.
    """
    page = f"{folder}/sag.html"
    image = f"{folder}/{KEPT_IMAGE}"
    if (results / page).is_file() and (results / image).is_file():
        return CardFiles(image=image, link=page)
    graphs = sorted((results / folder).glob("SAG_final_*roots.png"))
    if graphs:
        graph = f"{folder}/{graphs[0].name}"
        return CardFiles(image=graph, link=graph)
    return None


def found(row: Mapping[str, str]) -> str:
    """Return in words how many roots a row of summary.csv has, and how small; as HTML."""
    roots = int(row["roots"])
    if not roots:
        return f"no root ({html.escape(row['stopped_by']).replace('_', ' ')})"
    smallest = "1 patch" if row["smallest_root"] == "1" else f"{row['smallest_root']} patches"
    return f"{roots} {'root' if roots == 1 else 'roots'}, smallest {smallest}"


def failures_section(rows: Sequence[Mapping[str, str]]) -> str:
    """Return the HTML that lists the images that failed; nothing where there is none."""
    if not rows:
        return ""
    items = "\n".join(
        f"<li>{html.escape(row['image'])}: {html.escape(row['error'])}</li>" for row in rows
    )
    return f"<section><h2>Failed</h2><ul>{items}</ul></section>"


# ---------------------------------------------------------------- templates


def filled(template: str, values: Mapping[str, str]) -> str:
    """Return a template of drawing/templates with each {{NAME}} replaced by its value.

    All are replaced at once, so that a value that contains {{NAME}} stays as it is.
    """
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    return re.sub(r"\{\{([A-Z]+)\}\}", lambda match: values[match[1]], text)


def json_in_html(value: Any) -> str:
    """Return JSON that is safe inside a script element: no "<" in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def data_uri(image: np.ndarray) -> str:
    """Return an image, (H, W, 3) uint8, as a PNG inside a URI."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode()
