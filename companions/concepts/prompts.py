"""The prompts that debug images are generated from: G-TG, G-LLM, G-LLM-prompt and *ours*.

    classes = read_classes(results, labels=None)
    template(classes[0], 3)             # ["a photo of a copper jay", ..]
    ours(classes[0], 3)                 # ["a copper jay with a crest", ..]

G-TG is a text template. G-LLM is what a text generator answers to fixed questions about a class;
G-LLM-prompt, what it answers when it is asked about the class with a concept of the network. Ours
has the concepts that people gave. SA3 names these sets and publishes neither its template nor its
questions; these are this project's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from msgspec import Struct
from tqdm import tqdm

from companions.concepts.files import read_csv, write_csv
from companions.concepts.graphs import phrase, with_article
from companions.concepts.records import ComparedClass, CompareReport, require_typed
from companions.concepts.sets import GENERATED
from companions.concepts.text_generators import Ask, TextGenerator
from scoring.labels import plain_name
from scoring.text_files import why_unreadable
from utils import UserError, log, read_text

ASKED = ("llm", "llm-prompt")  # need a text generator
FROM_CONCEPTS = ("llm-prompt", "ours")  # need compare.json
TEMPLATE = "a photo of {}"
QUESTIONS = (
    "Describe a photo of {} in one sentence.",
    "Describe a photo of {} and its surroundings in one sentence.",
    "Describe in one sentence a photo of {} seen from close by.",
    "Describe in one sentence a photo of {} seen from far away.",
    "Describe in one sentence a photo of {} in an unusual place.",
    "Describe in one sentence what a typical photo of {} shows.",
)
CONCEPT_QUESTION = "Describe a photo of {} in one sentence."
QUOTES = "\"'“”‘’`*"


@dataclass(frozen=True)
class PromptedClass:
    """A class that prompts are written for.

    Attributes:
        label: its name among the network's classes.
        of_network: the network's concepts, valid or confounded, the most frequent first.
        of_people: the concepts that people gave, less those confounded more often; the most missed
            first.
    """

    label: str
    of_network: Sequence[str] = ()
    of_people: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Its name in a prompt: the first of its synonyms."""
        return self.label.split(",")[0].replace("_", " ").strip()


def read_classes(results: Path, labels: Path | None) -> list[PromptedClass]:
    """Return the classes to write prompts for.

    Args:
        results: folder of compare.json.
        labels: class names, one per line; None: the classes of compare.json.

    Raises:
        UserError: there are none, or a file cannot be used.
    """
    path = results / "compare.json"
    report = require_typed(path, CompareReport)
    compared = report.classes if report else {}
    if labels is None and not compared:
        raise UserError(f"{path}: no class in it; run compare before, or give --labels")
    names = _names_in(labels) if labels else list(compared)
    by_name = {plain_name(name): entry for name, entry in compared.items()}
    return [prompted_class(name, by_name.get(plain_name(name))) for name in names]


def _names_in(path: Path) -> list[str]:
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"--labels {path}: {why_unreadable(error)}") from None
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise UserError(f"--labels {path}: no name in it")
    return names


def prompted_class(label: str, entry: ComparedClass | None) -> PromptedClass:
    """Return a class with its concepts.

    Args:
        label: its name.
        entry: what compare found; None: nothing.
    """
    if entry is None:
        return PromptedClass(label)
    given = {name: entry.valid.get(name, 0) for name in (*entry.valid, *entry.missed)}
    used = {name: entry.valid.get(name, 0) for name in (*entry.valid, *entry.confounded)}
    for name, images in entry.missed.items():
        given[name] += images
    for name, images in entry.confounded.items():
        used[name] += images
    of_people = [name for name in given if given[name] >= entry.confounded.get(name, 0)]
    return PromptedClass(
        label,
        of_network=sorted(used, key=lambda name: (-used[name], name)),
        of_people=sorted(of_people, key=lambda name: (-entry.missed.get(name, 0), name)),
    )


# ---------------------------------------------------------------- the four kinds


def template(one: PromptedClass, count: int) -> list[str]:
    """Return the prompts of G-TG: the template, once per image."""
    return [TEMPLATE.format(with_article(one.name))] * count


def ours(one: PromptedClass, count: int) -> list[str]:
    """Return "a <class> with a <concept>", in turn for each concept that people gave."""
    phrases = [phrase(one.name, concept) for concept in one.of_people]
    return list(islice(cycle(phrases), count)) if phrases else template(one, count)


def asks_of(kind: str, one: PromptedClass) -> list[Ask]:
    """Return what a text generator is asked for G-LLM or G-LLM-prompt."""
    if kind == "llm":
        subject = with_article(one.name)
        return [Ask(subject, question.format(subject)) for question in QUESTIONS]
    subjects = [phrase(one.name, concept) for concept in one.of_network]
    return [Ask(subject, CONCEPT_QUESTION.format(subject)) for subject in subjects]


def answered(
    one: PromptedClass,
    asks: Sequence[Ask],
    count: int,
    *,
    answers: Callable[[Ask, int], list[str]],
) -> list[str]:
    """Return a text generator's answers as prompts, as many for each question.

    Args:
        one: the class.
        asks: the questions; with none, the template is taken.
        count: prompts wanted.
        answers: (ask, n) to n answers.
    """
    if not asks:
        return template(one, count)
    prompts = []
    for number, ask in enumerate(asks):
        share = len(range(number, count, len(asks)))
        if share:
            prompts += [prompt_of(one, answer) for answer in answers(ask, share)]
    return prompts


def prompt_of(one: PromptedClass, answer: str) -> str:
    """Return an answer as a prompt: its first line, with the class in front where it is missing.

    Args:
        one: the class that the prompt must name.
        answer: of a text generator.
    """
    lines = [" ".join(line.split()).strip(QUOTES + " ") for line in answer.splitlines()]
    line = next(filter(None, lines), "")
    if not line:
        return with_article(one.name)
    if plain_name(one.name) in plain_name(line):
        return line
    return f"{with_article(one.name)}: {line}"


# ---------------------------------------------------------------- files


class PromptRow(Struct, kw_only=True, rename={"category": "class"}):
    """A row of prompts_<kind>.csv."""

    category: str
    prompt: str


@dataclass(frozen=True, kw_only=True)
class PromptWriter:
    """Writes the prompts of some classes, a file per kind.

    Attributes:
        classes: what to write prompts for.
        per_class: prompts of each.
        generator: what is asked for G-LLM and G-LLM-prompt; None: these cannot be written.
        seed: of the answers.
        results: folder of the files.
    """

    classes: Sequence[PromptedClass]
    per_class: int
    generator: TextGenerator | None
    seed: int
    results: Path

    def kinds(self, wanted: Sequence[str]) -> list[str]:
        """Return the kinds to write.

        Args:
            wanted: those asked for; none: all that can be written.

        Raises:
            UserError: one that is asked for cannot be written.
        """
        lacking = {kind: self._lack(kind) for kind in wanted or GENERATED}
        for kind, lack in lacking.items():
            if lack and wanted:
                raise UserError(f"--kinds {kind}: {lack}")
            if lack:
                log(f"{GENERATED[kind]}: left out: {lack}")
        return [kind for kind, lack in lacking.items() if not lack]

    def _lack(self, kind: str) -> str:
        if kind in ASKED and self.generator is None:
            return "needs --llm, which names a text generator"
        if kind in FROM_CONCEPTS and not any(_concepts(one, kind) for one in self.classes):
            return f"{self.results / 'compare.json'} has no concept of the classes; run compare"
        return ""

    def write(self, kind: str) -> Path:
        """Write the prompts of a kind; return the file."""
        rows: list[PromptRow] = []
        for one in tqdm(self.classes, desc=f"prompts {kind}", unit="class", disable=None):
            if kind in FROM_CONCEPTS and not _concepts(one, kind):
                log(f"{GENERATED[kind]}: no concept of {one.label}; the template is taken")
            prompts = self._prompts(kind, one)
            rows += [PromptRow(category=one.label, prompt=prompt) for prompt in prompts]
        path = self.results / f"prompts_{kind}.csv"
        write_csv(path, rows, PromptRow)
        log(f"{GENERATED[kind]}: {len(rows)} prompts in {path}")
        return path

    def _prompts(self, kind: str, one: PromptedClass) -> list[str]:
        if kind == "tg":
            return template(one, self.per_class)
        if kind == "ours":
            return ours(one, self.per_class)
        generator = self.generator
        assert generator is not None  # kinds() leaves the others

        def answers(ask: Ask, count: int) -> list[str]:
            return generator.answers(ask, count, seed=self.seed)

        return answered(one, asks_of(kind, one), self.per_class, answers=answers)


def _concepts(one: PromptedClass, kind: str) -> Sequence[str]:
    return one.of_people if kind == "ours" else one.of_network


def read_prompts(path: Path) -> list[PromptRow]:
    """Return the prompts in a CSV file with the columns class and prompt.

    Raises:
        UserError: it cannot be used.
    """
    rows = read_csv(path, ("class", "prompt"))
    return [PromptRow(category=row["class"], prompt=row["prompt"]) for row in rows]
