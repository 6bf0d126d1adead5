"""What the tests of drawing share: records with known content, and readers of the files drawn."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from PIL import Image

from drawing.record import (
    Baseline,
    Category,
    Edge,
    Evaluations,
    Graph,
    Model,
    Node,
    Root,
    Sag,
    Search,
    Seconds,
    decode_sag,
)

NAME = '</script><b>"Oren\'s" & $x_1$ tern</b>'  # a class name that must not be read as markup
SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"


# ---------------------------------------------------------------- records


def make_sag(**fields) -> Sag:
    """Return a valid record without roots; fields: what is to be different."""
    known = {
        "image": "scene.png",
        "image_sha256": "0" * 64,
        "size": (56, 56),
        "model": Model(name="planted", weights_sha256="0", classes=3),
        "category": Category(index=0, name="wide"),
        "probability": 0.9,
        "baseline": Baseline(name="black", probability=0.0),
        "grid": (7, 7),
        "threshold": 0.9,
        "saliency": [1.0] * 49,
        "search": Search(method="beam", complete=True, stopped_by="exhausted"),
        "roots": [],
        "diverse_roots": [],
        "diverse_set": [],
        "dnf": "",
        "sag": Graph(nodes=[], edges=[]),
        "evaluations": Evaluations(asked=0, scored=0),
        "seconds": Seconds(),
        "settings": {"node_prob_thresh": 0.4},
        "versions": {},
    }
    return Sag(**{**known, **fields})


def wide_sag(count: int = 14) -> Sag:
    """Return a record of one root; its subsets with one and two patches fewer are the nodes."""
    everything = tuple(range(count))
    smaller = [tuple(q for q in everything if q != p) for p in everything]
    smallest = [
        tuple(q for q in everything if q not in (a, b)) for a in everything for b in range(a)
    ]
    sets = [everything, *smaller, *smallest]
    nodes = [Node(s, probability=0.9 * len(s) / count, relative=len(s) / count) for s in sets]
    edges = []
    for parent, large in enumerate(sets):
        for child, small in enumerate(sets):
            if len(small) == len(large) - 1 and set(small) < set(large):
                (patch,) = set(large) - set(small)
                edges.append(Edge(parent, child, patch))
    return make_sag(
        roots=[Root(everything, probability=0.9, relative=1.0, minimal="single")],
        diverse_roots=[0],
        diverse_set=[0],
        sag=Graph(nodes=nodes, edges=edges),
    )


# ---------------------------------------------------------------- files


def read_sag(folder: Path) -> Sag:
    """Return a result folder's record."""
    return decode_sag((folder / "sag.json").read_bytes())


def read_image(folder: Path) -> np.ndarray:
    """Return a result folder's image as the network got it, (H, W, 3) uint8."""
    return np.asarray(Image.open(folder / "perturbation_original.png").convert("RGB"))


def ids(svg: Path) -> set[str]:
    """Return the id of every element of an SVG that has one."""
    return {element.get("id") for element in ET.parse(svg).iter() if element.get("id")}


def texts(svg: Path) -> dict[str, str]:
    """Return, by id, the text of every group of an SVG that contains text."""
    return {
        group.get("id"): "".join(group.itertext()).strip()
        for group in ET.parse(svg).iter(f"{SVG}g")
        if group.find(f"{SVG}text") is not None
    }


def all_text(svg: Path) -> str:
    """Return all text of an SVG."""
    return " ".join("".join(text.itertext()) for text in ET.parse(svg).iter(f"{SVG}text"))


def caption_of(svg: Path) -> str:
    """Return the lines of a figure's caption as one text."""
    return " ".join(text for name, text in texts(svg).items() if name.startswith("caption"))


def width_of(svg: Path) -> float:
    """Return the width of an SVG in points."""
    return float(ET.parse(svg).getroot().get("width").removesuffix("pt"))


def text_sizes(svg: Path) -> list[float]:
    """Return the sizes of all text in an SVG, in points at its own width."""
    tree = ET.parse(svg)
    scale = width_of(svg) / float(tree.getroot().get("viewBox").split()[2])
    styles = [text.get("style") for text in tree.iter(f"{SVG}text")]
    return [scale * float(re.search(r"(?:font-size|font):.*?([\d.]+)px", s)[1]) for s in styles]
