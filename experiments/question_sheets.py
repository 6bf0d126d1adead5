"""Question sheets for a real user study: an HTML form per kind of explanation, and the answer key.

    write_sheets(measurements, load, folder)

writes sheets/sheet_gradcam.html, sheet_igos.html, sheet_map.html, sheet_root.html and
sheet_sag.html with the same questions, one from each image, and sheets/answer_key.csv with the
right answers, the confidences and the answers of the simulated readers. A sheet is one file that
loads nothing from the network; its button saves the answers as a CSV. Give each reader one sheet,
so that no reader sees a question twice.

The questions are those of the simulated study (experiments/simulated_reader.py). The images are
what the network was shown.
"""

import html
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from PIL import Image

from drawing.graph_figure import draw_graph
from drawing.masked_images import MaskedImages
from drawing.page import data_uri, filled
from drawing.record import Model, Root, Sag, Search, Seconds
from drawing.saliency_maps import all_explanations_map, gradcam_map, igos_map, overlaid
from drawing.styles import paper
from drawing.words import conjunction, percent
from experiments.findings import MainJobMeasurement, Question
from experiments.simulated_reader import Reader, is_tie, readers
from utils import write_atomically

KINDS = {
    "gradcam": "Explained by Grad-CAM",
    "igos": "Explained by I-GOS",
    "map": "Explained by the map of all sufficient sets",
    "root": "Explained by one set of patches",
    "sag": "Explained by a SAG",
}
SAG_WIDTH = 5.0  # inches


@dataclass(frozen=True)
class SheetQuestion:
    """One question of the sheets.

    Attributes:
        number: From 1.
        sag: The record that the figures are drawn from.
        masked: Images of its patch sets.
        question: The two patch sets.
    """

    number: int
    sag: Sag
    masked: MaskedImages
    question: Question


def write_sheets(
    measurements: Sequence[MainJobMeasurement],
    load: Callable[[MainJobMeasurement], np.ndarray],
    folder: Path,
) -> None:
    """Write all sheets and the key, one question from each measurement.

    Args:
        measurements: Of the main job, each with a question and a drawn root; without any, nothing
            is written.
        load: Returns a measurement's image, (H, W, 3) uint8.
        folder: Where to write sheets/.
    """
    if not measurements:
        return
    (folder / "sheets").mkdir(parents=True, exist_ok=True)
    forms: dict[str, list[str]] = {kind: [] for kind in KINDS}
    key = []
    for number, measurement in enumerate(measurements, start=1):
        sag = as_sag(measurement)
        masked = MaskedImages.of(sag, load(measurement))
        sheet_question = SheetQuestion(
            number, sag, masked=masked, question=measurement.finding.questions[0]
        )
        for kind, image in explanation_images(sag, masked).items():
            forms[kind].append(form(sheet_question, kind, explanation=image))
        key.append(key_row(sheet_question))
    for kind, title in KINDS.items():
        if forms[kind]:
            values = {"TITLE": title, "SHEET": kind, "QUESTIONS": "\n".join(forms[kind])}
            page = filled("questions.html", values)
            write_atomically(folder / "sheets" / f"sheet_{kind}.html", page)
    text = pd.DataFrame(key).to_csv(index=False, lineterminator="\n")
    write_atomically(folder / "sheets/answer_key.csv", text)


def as_sag(measurement: MainJobMeasurement) -> Sag:
    """Return the record that figures of a measurement are drawn from."""
    finding = measurement.finding
    settings = measurement.key.settings
    full = finding.probability
    roots = [
        Root(root.patches, root.probability, relative=root.probability / full, minimal=root.minimal)
        for root in finding.roots
    ]
    return Sag(
        image=measurement.image,
        image_sha256=measurement.key.identity,
        size=measurement.size,
        model=msgspec.convert(measurement.key.model, Model),
        category=finding.category,
        probability=full,
        baseline=finding.baseline,
        grid=finding.grid,
        threshold=settings["prob_thresh"],
        saliency=finding.saliency,
        gradcam=finding.gradcam,
        search=Search(method="beam", complete=True, stopped_by=finding.stopped_by),
        roots=roots,
        diverse_roots=finding.diverse_roots,
        diverse_set=finding.diverse_set,
        dnf=" | ".join(conjunction(root.patches) for root in roots),
        sag=finding.sag,
        evaluations=finding.evaluations,
        seconds=Seconds(mask=finding.seconds.mask, search=finding.seconds.search),
        settings=settings,
        versions=measurement.versions,
    )


# ---------------------------------------------------------------- the sheets


def explanation_images(sag: Sag, masked: MaskedImages) -> dict[str, np.ndarray]:
    """Return the image of each kind of explanation that there is, (H, W, 3) uint8."""
    size = masked.image.shape[:2]
    images = {}
    if sag.gradcam is not None:
        images["gradcam"] = overlaid(masked.image, gradcam_map(sag.gradcam, size))
    images["igos"] = overlaid(masked.image, igos_map(sag.saliency, masked))
    sets = [root.patches for root in sag.roots]
    images["map"] = overlaid(masked.image, all_explanations_map(sets, masked))
    images["root"] = masked(first_root(sag).patches, "dim")
    images["sag"] = graph_image(sag, masked)
    return images


def first_root(sag: Sag) -> Root:
    """Return the most confident drawn root."""
    return sag.roots[sag.diverse_roots[0]]


def graph_image(sag: Sag, masked: MaskedImages) -> np.ndarray:
    """Return the figure of the graph at half its resolution, (H, W, 3) uint8."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_graph(sag, masked, folder=folder, style=paper(SAG_WIDTH), only_final=True)
        drawn = Image.open(next(folder.glob("SAG_final_*.png")))
        return np.asarray(drawn.convert("RGB").reduce(2))


def form(one: SheetQuestion, kind: str, explanation: np.ndarray) -> str:
    """Return one question of a sheet as HTML.

    Args:
        one: The question.
        kind: One of KINDS.
        explanation: The image of the explanation.
    """
    name = html.escape(one.sag.category.name)
    text = f"The program sees: {name}."
    if kind == "root":
        kept = percent(first_root(one.sag).relative)
        text += f" These patches alone keep {kept} of its confidence."
    sides = side(one, "A", patches=one.question.a) + side(one, "B", patches=one.question.b)
    return (
        f"<fieldset><legend>Question {one.number}: {name}</legend><p>{text}</p>"
        f'<div class="help"><img src="{data_uri(explanation)}" alt="the explanation"></div>'
        f'<div class="pair">{sides}</div></fieldset>'
    )


def side(one: SheetQuestion, letter: str, patches: Sequence[int]) -> str:
    """Return one of a question's two images, with its radio button, as HTML."""
    source = data_uri(one.masked(patches, "baseline"))
    return (
        f'<label><img src="{source}" alt="image {letter}, partly hidden">'
        f'<span><input type="radio" name="{one.number}" value="{letter}" required> {letter}</span>'
        "</label>"
    )


# ---------------------------------------------------------------- the answer key


def key_row(one: SheetQuestion) -> dict[str, Any]:
    """Return one row of the answer key: what is right, and what the simulated readers answer."""
    question = one.question
    of_a, of_b = question.relative
    row = {
        "question": one.number,
        "image": one.sag.image,
        "right": "A" if of_a > of_b else "B",
        "confidence_a": f"{of_a:.4f}",
        "confidence_b": f"{of_b:.4f}",
        "patches_a": conjunction(question.a),
        "patches_b": conjunction(question.b),
    }
    simulated = readers(one.sag, one.sag.grid, size=one.sag.size)
    for kind in KINDS:
        row[f"{kind}_reader"] = answer(simulated[kind], question) if kind in simulated else ""
    return row


def answer(read: Reader, question: Question) -> str:
    """Return what a simulated reader answers: A, B or tie."""
    a = read(question.a)
    b = read(question.b)
    if is_tie(a, b):
        return "tie"
    return "A" if a > b else "B"
