"""How good captions are, and whether each word was read off its own region.

    text_scores(references, captions, ["bleu", "rouge", "cider"])    # {"BLEU-1": .., ..}
    pointing(records, places)                                        # share of words, and mass

The scores are those of pycocoevalcap, on one reference per region. METEOR and SPICE run in Java.
"""

import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct

from companions.captions.captioning import CaptionRecord
from companions.captions.data import Example
from companions.captions.files import Places
from companions.captions.guidance import named_places, targets, words_of
from companions.captions.scene_graph import ROLES, SceneGraph, scene_graph
from companions.training.packages import sa3_library
from utils import UserError, one_line

METRICS = ("bleu", "rouge", "cider", "meteor", "spice")
IN_JAVA = ("meteor", "spice")
CLASSES = {  # metric -> module and class of pycocoevalcap
    "bleu": ("pycocoevalcap.bleu.bleu", "Bleu"),
    "rouge": ("pycocoevalcap.rouge.rouge", "Rouge"),
    "cider": ("pycocoevalcap.cider.cider", "Cider"),
    "meteor": ("pycocoevalcap.meteor.meteor", "Meteor"),
    "spice": ("pycocoevalcap.spice.spice", "Spice"),
}
NAMES = {"rouge": "ROUGE-L", "cider": "CIDEr", "meteor": "METEOR", "spice": "SPICE"}


class Pointing(Struct):
    """Where the captions' words were read off.

    Attributes:
        words: how many words some node is named by.
        share: of them, whose most attended node has the region that the explanation gives; None
            without such words.
        mass: mean attention on the explanation's nodes.
    """

    words: int
    share: float | None
    mass: float | None


class Said(Struct):
    """How often a word is said in captions whose reference lacks it, and has it."""

    word: str
    wrongly: int
    of_without: int
    rightly: int
    of_with: int


class Report(Struct, kw_only=True, tag_field="format", tag=2):
    """metrics_<split>.json: a split's captions, measured."""

    split: str
    captions: int
    scores: dict[str, float]
    template: dict[str, float]  # the same of captions that a template makes
    pointing: Pointing
    said: list[Said]


# ---------------------------------------------------------------- the texts


def require_metrics(metrics: Sequence[str]) -> None:
    """Check that the metrics can run, before anything long does.

    Raises:
        UserError: Java, a package, or what SPICE downloads is missing.
    """
    for metric in metrics:
        module = sa3_library(CLASSES[metric][0], option=f"--metrics {metric}")
        if metric in IN_JAVA and not shutil.which("java"):
            raise UserError(f"--metrics {metric}: needs Java, and there is no program java here")
        jars = Path(module.__file__).parent / "lib"
        if metric == "spice" and not list(jars.glob("stanford-corenlp-*.jar")):
            raise UserError(f"--metrics spice: needs Stanford CoreNLP in {jars}")


def text_scores(
    references: Mapping[str, str], captions: Mapping[str, str], metrics: Sequence[str]
) -> dict[str, float]:
    """Return the scores of captions.

    Args:
        references: name to text, words separated by spaces.
        captions: of the same names.
        metrics: of METRICS.
    """
    expected = {name: [text] for name, text in references.items()}
    found = {name: [captions[name]] for name in references}
    scores: dict[str, float] = {}
    for metric in metrics:
        place, kind = CLASSES[metric]
        scorer = getattr(sa3_library(place, option=f"--metrics {metric}"), kind)()
        quiet = {"verbose": 0} if metric == "bleu" else {}
        try:
            score, _ = scorer.compute_score(expected, found, **quiet)
        except (OSError, ValueError) as error:  # of the Java program
            raise UserError(f"--metrics {metric}: {one_line(error)}") from error
        if metric == "bleu":
            scores |= {f"BLEU-{n}": float(value) for n, value in enumerate(score, 1)}
        else:
            scores[NAMES[metric]] = float(score)
    return scores


Structured = tuple[tuple[int, ...], list[str]]  # roles of a graph's nodes, words of its caption


def structured(places: Places, split: str) -> list[Structured]:
    """Return the roles and words of each region of a split."""
    return [
        (tuple(scene_graph(region).roles), words_of(region.phrase))
        for _, region in places.captioned(split)
    ]


def template_captions(training: Sequence[Structured], examples: Sequence[Example]) -> list[str]:
    """Return captions that look at a graph's structure alone.

    Of the training captions of graphs with the same roles (of all, where there is none): the most
    frequent length, and at each place the most frequent word.
    """
    groups = defaultdict(list)
    for roles, words in training:
        groups[roles].append(words)
    templates = {roles: _most_frequent(captions) for roles, captions in groups.items()}
    overall = _most_frequent([words for _, words in training])
    return [templates.get(tuple(example.graph.roles), overall) for example in examples]


def _most_frequent(captions: Sequence[Sequence[str]]) -> str:
    length = Counter(len(caption) for caption in captions).most_common(1)[0][0]
    chosen = [caption for caption in captions if len(caption) == length]
    return " ".join(Counter(words).most_common(1)[0][0] for words in zip(*chosen, strict=True))


# ---------------------------------------------------------------- the words


def pointing(records: Sequence[CaptionRecord], places: Places) -> Pointing:
    """Return whether the attention of words lies where the explanations put them."""
    hits = []
    masses = []
    for record in records:
        graph = SceneGraph(
            names=[node.name for node in record.nodes],
            roles=[ROLES.index(node.role) for node in record.nodes],
            boxes=[node.box for node in record.nodes],
        )
        wanted = targets(record.words, graph, named_places(places.explanation(record.image)))
        for row, attention in zip(wanted, np.array(record.attention), strict=True):
            if row.any():
                regions = {graph.boxes[node] for node in np.flatnonzero(row)}
                hits.append(graph.boxes[int(attention.argmax())] in regions)
                masses.append(attention[row > 0].sum())
    if not hits:
        return Pointing(0, None, None)
    return Pointing(len(hits), float(np.mean(hits)), float(np.mean(masses)))


def said(records: Sequence[CaptionRecord], word: str) -> Said:
    """Return how often captions say a word that their reference lacks, or has."""
    spoken = np.array([word in record.words for record in records])
    present = np.array([word in record.reference.split() for record in records])
    return Said(
        word=word,
        wrongly=int((spoken & ~present).sum()),
        of_without=int((~present).sum()),
        rightly=int((spoken & present).sum()),
        of_with=int(present.sum()),
    )


# ---------------------------------------------------------------- all of it


def evaluate(
    records: Sequence[CaptionRecord],
    templates: Sequence[str],
    places: Places,
    *,
    split: str,
    metrics: Sequence[str],
    words: Sequence[str] = (),
) -> Report:
    """Return the measures of a split's captions.

    Args:
        records: the captions.
        templates: captions that a template makes of the same regions.
        places: of the explanations.
        split: its name.
        metrics: of METRICS.
        words: to count.
    """
    references = {record.name: record.reference for record in records}
    captions = {record.name: record.caption for record in records}
    baseline = {record.name: text for record, text in zip(records, templates, strict=True)}
    return Report(
        split=split,
        captions=len(records),
        scores=text_scores(references, captions, metrics),
        template=text_scores(references, baseline, metrics),
        pointing=pointing(records, places),
        said=[said(records, word) for word in words],
    )


def lines_of(report: Report) -> list[str]:
    """Return what a report says, a line per measure."""
    lines = [f"{report.split}: {report.captions} captions"]
    for name, score in report.scores.items():
        lines.append(f"{name} {score:.3f} (template: {report.template[name]:.3f})")
    found = report.pointing
    if found.share is not None:
        lines.append(
            f"{found.share:.1%} of {found.words} words that the explanations place are read off "
            f"their region; mean attention on it {found.mass:.1%}"
        )
    lines += [said_line(counts) for counts in report.said]
    return lines


def said_line(counts: Said) -> str:
    """Return how often a word is said, as a line."""
    return (
        f"{counts.word!r} is said in {counts.wrongly} of {counts.of_without} captions whose "
        f"reference lacks it, and in {counts.rightly} of {counts.of_with} that have it"
    )
