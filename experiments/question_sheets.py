"""Question sheets for a real user study: an HTML form for each kind of explanation, and the answer key.

    write_sheets(measurements, load, folder)

writes sheets/sheet_gradcam.html, sheet_igos.html, sheet_root.html and sheet_sag.html with the same questions, one from each
image, and sheets/answer_key.csv with the right answers, the confidences, and what the simulated readers answer. A sheet is one file that needs no
network; its button saves the answers as a CSV. Give each reader one sheet, so that nobody sees a question twice.

The questions are those of the simulated study (experiments/simulated_reader.py). The pictures are what the network was shown.
"""

import csv
import html
import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from drawing.graph_figure import draw_graph
from drawing.pictures import Pictures, conjunction, grad_cam_heat, overlaid, percent, saliency_heat
from drawing.graph_layout import paper
from drawing.page import data_uri, filled
from experiments.simulated_reader import readers, tie
from utils import write_atomically

KINDS = {
    "gradcam": "Explained by Grad-CAM",
    "igos": "Explained by I-GOS",
    "root": "Explained by one set of patches",
    "sag": "Explained by a SAG",
}
SAG_WIDTH = 5.0  # inches


def write_sheets(
    measurements: Sequence[Mapping], load: Callable[[Mapping], np.ndarray], folder: Path
) -> None:
    """All sheets and the key, one question from each measurement. load: gives a measurement's image, (H, W, 3) uint8.

    measurements: of the condition beam3, each with a question and a root; without any, nothing is written.
    """
    if not measurements:
        return
    (folder / "sheets").mkdir(parents=True, exist_ok=True)
    forms: dict[str, list[str]] = {kind: [] for kind in KINDS}
    key = io.StringIO()
    writer = csv.writer(key, lineterminator="\n")
    writer.writerow(
        [
            "question",
            "image",
            "right",
            "confidence_a",
            "confidence_b",
            "patches_a",
            "patches_b",
            *(f"{kind}_reader" for kind in KINDS),
        ]
    )
    for number, measurement in enumerate(measurements, start=1):
        finding = measurement["finding"]
        question, record = finding["questions"][0], as_record(measurement)
        pictures = Pictures(record, load(measurement))
        for kind, picture in explanations(record, pictures).items():
            forms[kind].append(form(number, record, pictures, question, kind, picture))
        simulated = readers(finding, tuple(record["grid"]), tuple(record["size"]))
        a, b = (tuple(question[side]) for side in "ab")
        answers = [answer(simulated[kind], a, b) if kind in simulated else "" for kind in KINDS]
        p, q = question["relative"]
        writer.writerow(
            [
                number,
                measurement["image"],
                "A" if p > q else "B",
                f"{p:.4f}",
                f"{q:.4f}",
                conjunction(a),
                conjunction(b),
                *answers,
            ]
        )
    for kind, title in KINDS.items():
        if forms[kind]:
            write_atomically(
                folder / "sheets" / f"sheet_{kind}.html",
                filled(
                    "questions.html",
                    {"TITLE": title, "SHEET": kind, "QUESTIONS": "\n".join(forms[kind])},
                ),
            )
    write_atomically(folder / "sheets/answer_key.csv", key.getvalue())


def answer(read: Callable, a: tuple[int, ...], b: tuple[int, ...]) -> str:
    """What a simulated reader answers."""
    return "tie" if tie(read(a), read(b)) else "A" if read(a) > read(b) else "B"


def as_record(measurement: Mapping) -> dict:
    """What the figures need to know, in the form of a record (sag.json)."""
    finding, full = measurement["finding"], measurement["finding"]["probability"]
    roots = [{**r, "relative": r["probability"] / full} for r in finding["roots"]]
    return {
        **finding,
        "roots": roots,
        "image": measurement["image"],
        "size": measurement["size"],
        "grid": measurement["grid"],
        "threshold": measurement["key"]["settings"]["prob_thresh"],
        "settings": measurement["key"]["settings"],
        "search": {"method": "beam", "complete": True, "stopped_by": finding["stopped_by"]},
    }


def explanations(record: dict, pictures: Pictures) -> dict[str, np.ndarray]:
    """The picture of each kind of explanation that there is."""
    heat, root = (
        grad_cam_heat(record, pictures.image.shape[:2]),
        record["roots"][record["diverse_roots"][0]],
    )
    made = {} if heat is None else {"gradcam": overlaid(pictures.image, heat)}
    made["igos"] = overlaid(
        pictures.image, saliency_heat(record, pictures.basis, pictures.image.shape[:2])
    )
    made["root"] = pictures(root["patches"], "dim")
    with tempfile.TemporaryDirectory() as folder:
        draw_graph(record, pictures, Path(folder), paper(SAG_WIDTH), formats=("png",), alone=())
        drawn = next(Path(folder).glob("SAG_final_*.png"))
        made["sag"] = np.asarray(Image.open(drawn).convert("RGB").reduce(2))
    return made


def form(
    number: int,
    record: dict,
    pictures: Pictures,
    question: Mapping,
    kind: str,
    explanation: np.ndarray,
) -> str:
    """One question of a sheet, as HTML."""
    name = html.escape(record["category"]["name"])
    root = record["roots"][record["diverse_roots"][0]]
    text = (
        f" These patches alone keep {percent(root['relative'])} of its confidence."
        if kind == "root"
        else ""
    )
    sides = "".join(
        f'<label><img src="{data_uri(pictures(question[side], "baseline"))}" alt="image {side.upper()}, partly hidden">'
        f'<span><input type="radio" name="{number}" value="{side.upper()}" required> {side.upper()}</span></label>'
        for side in "ab"
    )
    return (
        f"<fieldset><legend>Question {number}: {name}</legend><p>The program sees: {name}.{text}</p>"
        f'<div class="help"><img src="{data_uri(explanation)}" alt="the explanation"></div><div class="pair">{sides}</div></fieldset>'
    )
