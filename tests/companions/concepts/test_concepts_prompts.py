"""The prompts command: the four kinds, and text generators."""

import csv
import shutil

import msgspec
import pytest
from safetensors.torch import load_file, save_file
from tiny_generators import CHAT, save_language_model

import companions.concepts.text_generators as text_generators_module
import scoring.loaded as loaded_module
from companions.concepts.prompts import PromptedClass, answered, prompt_of, prompted_class
from companions.concepts.records import ComparedClass, CompareReport, write_typed

JAY = ComparedClass(
    images=10,
    valid={"wing": 6, "beak": 1},
    confounded={"perch": 9, "beak": 5, "wing": 2},
    missed={"crest": 4, "beak": 2, "tail": 4},
    precision=None,
    recall=None,
    f1=None,
)
# The person gave wing in 6 images, beak in 3, crest and tail in 4; beak is confounded in 5.
OURS = ["a jay with a crest", "a jay with a tail", "a jay with a wing"]


@pytest.fixture
def compared(tmp_path):
    """A folder of results with a compare.json: a jay, and an owl without a concept."""
    owl = ComparedClass(
        images=1, valid={}, confounded={}, missed={}, precision=None, recall=None, f1=None
    )
    report = CompareReport(
        classes={"jay": JAY, "owl": owl}, confounded=[], hard_below=0.5, hard=[], failed=[]
    )
    write_typed(tmp_path / "compare.json", report)
    return tmp_path


@pytest.fixture
def labels(tmp_path):
    """A file with one class."""
    path = tmp_path / "labels.txt"
    path.write_text("copper jay, Garrulus cupreus\n")
    return path


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    """A folder with a tiny random language model."""
    folder = tmp_path_factory.mktemp("llm")
    save_language_model(folder)
    return folder


def prompts_of(results, kind, category="jay"):
    rows = csv.DictReader((results / f"prompts_{kind}.csv").read_text().splitlines())
    return [row["prompt"] for row in rows if row["class"] == category]


# ---------------------------------------------------------------- concepts


def test_confounded_concepts_are_left_out_of_ours():
    assert prompted_class("jay", JAY).of_people == ["crest", "tail", "wing"]


def test_the_networks_concepts_have_the_confounded_ones():
    assert prompted_class("jay", JAY).of_network == ["perch", "wing", "beak"]


def test_ours_takes_the_concepts_in_turn(compared, run):
    words = ("prompts", "--kinds", "ours", "--per-class", 5, "--results", compared)
    assert run(*words) == 0
    assert prompts_of(compared, "ours") == [*OURS, *OURS[:2]]


def test_a_class_without_a_concept_gets_the_template(compared, run, capsys):
    assert run("prompts", "--kinds", "ours", "--per-class", 2, "--results", compared) == 0
    assert prompts_of(compared, "ours", "owl") == ["a photo of an owl"] * 2
    assert "ours: no concept of owl" in capsys.readouterr().err


def test_without_llm_what_needs_it_is_left_out(compared, run, capsys):
    assert run("prompts", "--results", compared) == 0
    names = sorted(path.name for path in compared.glob("prompts_*"))
    assert names == ["prompts_ours.csv", "prompts_tg.csv"]
    assert "G-LLM-prompt: left out: needs --llm" in capsys.readouterr().err


def test_labels_are_enough_for_the_template(labels, run, tmp_path):
    words = ("prompts", "--labels", labels, "--per-class", 1, "--results", tmp_path / "out")
    assert run(*words) == 0
    row = "copper jay, Garrulus cupreus"
    assert prompts_of(tmp_path / "out", "tg", row) == ["a photo of a copper jay"]


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize(
    "answer, prompt",
    [
        ("A Copper  Jay in the rain.\nMore of it.", "A Copper Jay in the rain."),
        ('\n "In the rain" \n', "a copper jay: In the rain"),
        ("\n\n", "a copper jay"),
    ],
)
def test_an_answer_becomes_one_line_that_names_its_class(answer, prompt):
    assert prompt_of(PromptedClass("copper jay, Garrulus"), answer) == prompt


def test_every_question_has_its_share():
    asked = []

    def answers(ask, count):
        asked.append((ask, count))
        return ["jay"] * count

    assert answered(PromptedClass("jay"), ["a", "b", "c"], 5, answers=answers) == ["jay"] * 5
    assert asked == [("a", 2), ("b", 2), ("c", 1)]


def test_the_fixed_sentences_depend_on_the_seed_alone(compared, run):
    words = ("prompts", "--llm", "birds", "--per-class", 6, "--results", compared)
    written = []
    for seed in (1, 1, 2):
        assert run(*words, "--seed", seed) == 0
        written.append([prompts_of(compared, kind) for kind in ("llm", "llm-prompt")])
    assert written[0] == written[1] != written[2]
    of_network = written[0][1]
    assert sum("a jay with a perch" in prompt for prompt in of_network) == 2
    assert all("a jay" in prompt for prompt in written[0][0])


# ---------------------------------------------------------------- a language model


def asking(llm, labels, results):
    return (
        *("prompts", "--labels", labels, "--llm", llm, "--kinds", "llm", "--per-class", 7),
        *("--max-words", 8, "--device", "cpu", "--results", results),
    )


def test_a_language_model_is_asked_once(llm, labels, run, tmp_path, monkeypatch):
    results = tmp_path / "out"
    words = asking(llm, labels, results)
    assert run(*words) == 0
    first = (results / "prompts_llm.csv").read_text()
    assert len(set(first.splitlines())) > 4
    monkeypatch.setattr(text_generators_module.LanguageModel, "_sampled", None)
    assert run(*words) == 0
    assert (results / "prompts_llm.csv").read_text() == first


def test_an_interrupted_run_asks_the_rest(llm, labels, run, tmp_path, monkeypatch):
    assert run(*asking(llm, labels, tmp_path / "whole")) == 0
    real = text_generators_module.LanguageModel._sampled
    asked = []

    def third_interrupts(model, question, count, seed):
        asked.append(question)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return real(model, question, count, seed)

    monkeypatch.setattr(text_generators_module.LanguageModel, "_sampled", third_interrupts)
    assert run(*asking(llm, labels, tmp_path / "cut")) == 130
    assert not (tmp_path / "cut/prompts_llm.csv").exists()
    assert run(*asking(llm, labels, tmp_path / "cut")) == 0
    assert len(asked) == 3 + 4  # six questions: two were answered, the third is asked again
    whole, cut = ((tmp_path / name / "prompts_llm.csv").read_text() for name in ("whole", "cut"))
    assert cut == whole


def test_a_chat_template_is_used(labels, tmp_path):
    save_language_model(tmp_path / "chat", chat_template=CHAT)
    model = text_generators_module.load_text_generator(
        str(tmp_path / "chat"), device="cpu", max_words=1, results=tmp_path
    )
    asked = model._inputs("red")["input_ids"][0]
    assert model.tokenizer.decode(asked).split() == ["dusk", "red"]


def test_pickled_weights_are_refused(llm, labels, run, only_line, tmp_path):
    folder = tmp_path / "pickled"
    folder.mkdir()
    for path in llm.iterdir():
        name = "pytorch_model.bin" if path.suffix == ".safetensors" else path.name
        (folder / name).write_bytes(path.read_bytes())
    assert run(*asking(folder, labels, tmp_path / "out")) == 2
    line = only_line()
    assert f"--llm {folder}: cannot load a language model" in line
    assert "safetensors" in line


def test_missing_weights_are_refused(llm, labels, run, only_line, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(llm, broken)
    weights = load_file(broken / "model.safetensors")
    del weights["transformer.h.0.mlp.c_fc.bias"]
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    assert run(*asking(broken, labels, tmp_path / "out")) == 2
    assert "transformer.h.0.mlp.c_fc.bias is missing" in only_line()


def test_transformers_missing_is_one_line(llm, labels, run, only_line, tmp_path, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(loaded_module.importlib, "import_module", missing)
    assert run(*asking(llm, labels, tmp_path / "out")) == 2
    expected = "needs the package transformers: bash requirements_install.sh requirements_sa3.txt"
    assert expected in only_line()


# ---------------------------------------------------------------- what cannot be used


@pytest.mark.parametrize(
    "words, expected",
    [
        ((), "compare.json: no class in it; run compare before, or give --labels"),
        (("--labels", "no.txt"), "--labels no.txt: No such file"),
        (("--labels", "LABELS", "--kinds", "ours"), "--kinds ours: "),
        (("--labels", "LABELS", "--kinds", "tg", "llm"), "--kinds llm: needs --llm"),
    ],
)
def test_prompts_refuses(labels, run, only_line, tmp_path, words, expected):
    words = [labels if word == "LABELS" else word for word in words]
    assert run("prompts", *words, "--results", tmp_path / "out") == 2
    assert expected in only_line()


def test_a_damaged_compare_json_is_named_with_its_field(tmp_path, run, only_line):
    (tmp_path / "compare.json").write_bytes(msgspec.json.encode({"format": 1, "classes": []}))
    assert run("prompts", "--results", tmp_path) == 2
    line = only_line()
    assert "compare.json: cannot be read: " in line
    assert "$.classes" in line
