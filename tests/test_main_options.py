"""Options of the main job: each arrives where it acts, by the name that it has there."""

import dataclasses
import importlib.util
import inspect
import sys
import time

import pytest
import torch
from drawn import read_sag
from main_job import FLOAT32, NETWORKS, only_line, run, search_planted

import main_generate_sag
from running.command_line import options_of
from utils import PROJECT


class Arrived(BaseException):
    """Ends a run where an option arrived as it should."""


@dataclasses.dataclass(frozen=True)
class Case:
    """Where an option acts.

    Attributes:
        value: what is passed with it; None: nothing; FILE: a file that exists.
        function: the function or class that is called with it.
        arrives: its arguments, by name -> whether the value arrived.
        needs: options that the option needs.
    """

    value: object
    function: str
    arrives: object
    needs: tuple = ()


FILE = "l.txt"
WEIGHTS = "w.pth"
BY_COMBINATIONS = ("--search", "combinatorial", "--comb-top", 5, "--comb-size", 1)
SLIC = ("--regions", "slic")
CASES = {
    "--images": Case(
        "a.png", "main_generate_sag.find_images", lambda path, **_: path.name == "a.png"
    ),
    "--results": Case(
        "out", "main_generate_sag.make_writable", lambda folder: folder.name == "out"
    ),
    "--run": Case("wide", "main_generate_sag.make_writable", lambda folder: folder.name == "wide"),
    "--category": Case(
        "class 2", "main_generate_sag.explain_class", lambda category, **_: category == 2
    ),
    "--num-categories": Case(
        2, "scoring.engine.Engine.most_probable", lambda number, **_: number == 2
    ),
    "--overwrite": Case(
        None, "main_generate_sag.FolderExplainer.load", lambda self, **_: self.settings.overwrite
    ),
    "--pictures": Case(
        "graph", "running.drawers.save_all", lambda pictures, **_: pictures == "graph"
    ),
    "--threads": Case(3, "main_generate_sag.check_run", lambda **_: torch.get_num_threads() == 3),
    "--images-at-once": Case(
        5, "main_generate_sag.plan_of", lambda settings, **_: settings.images_at_once == 5
    ),
    "--saliency": Case(
        "gradcam", "main_generate_sag.measure_saliency", lambda method, **_: method == "gradcam"
    ),
    "--full-curves": Case(
        None, "running.steps.insertion_deletion", lambda all_counts, **_: all_counts is True
    ),
    "--open": Case(None, "running.all_images.open_gallery", lambda path: path.name == "index.html"),
    "--model": Case(
        f"{NETWORKS}:resnet",
        "running.network_of.load_network",
        lambda name, **_: name.endswith(":resnet"),
    ),
    "--weights": Case(
        WEIGHTS, "running.network_of.load_network", lambda weights, **_: weights.name == WEIGHTS
    ),
    "--labels": Case(
        FILE, "running.network_of.load_network", lambda labels, **_: labels.name == FILE
    ),
    "--resize": Case(
        "crop", "running.network_of.load_network", lambda resize, **_: resize == "crop"
    ),
    "--output": Case(
        "logits", "running.network_of.load_network", lambda output, **_: output == "logits"
    ),
    "--device": Case("cpu", "main_generate_sag.choose_device", lambda name: name == "cpu"),
    "--batch-size": Case(3, "main_generate_sag.Engine", lambda batch_size, **_: batch_size == 3),
    "--precision": Case(
        "bfloat16", "main_generate_sag.Engine", lambda precision, **_: precision == "bfloat16"
    ),
    "--backend": Case("torch", "main_generate_sag.Engine", lambda backend, **_: backend == "torch"),
    "--ray": Case(
        "127.0.0.1:1", "main_generate_sag.on_ray", lambda address, **_: address == "127.0.0.1:1"
    ),
    "--seed": Case(7, "running.steps.igos", lambda seed, **_: seed == 7),
    "--search": Case("diverse", "running.searches.diverse_search", lambda **_: True),
    "--beam-width": Case(
        4, "running.searches.beam_search", lambda beam_width, **_: beam_width == 4
    ),
    "--num-successors": Case(
        6, "running.searches.beam_search", lambda num_successors, **_: num_successors == 6
    ),
    "--max-num-roots": Case(
        2, "running.searches.beam_search", lambda max_num_roots, **_: max_num_roots == 2
    ),
    "--max-root-size": Case(
        3, "running.searches.beam_search", lambda max_root_size, **_: max_root_size == 3
    ),
    "--comb-top": Case(
        9,
        "running.searches.combinatorial_search",
        lambda comb_top, **_: comb_top == 9,
        needs=BY_COMBINATIONS,
    ),
    "--comb-size": Case(
        2,
        "running.searches.combinatorial_search",
        lambda comb_size, **_: comb_size == 2,
        needs=BY_COMBINATIONS,
    ),
    "--exhaustive-size": Case(
        1,
        "running.searches.exhaustive_search",
        lambda max_size, **_: max_size == 1,
        needs=("--search", "exhaustive"),
    ),
    "--against": Case(
        0, "main_generate_sag.ImageCase.of", lambda *_, against, **options: against == 0
    ),
    "--proof-sets": Case(
        60, "running.sides.diverse_sag", lambda *_, proof_sets, **options: proof_sets == 60
    ),
    "--what-if-sets": Case(
        20, "running.steps.what_if_sets", lambda *_, budget, **options: budget == 20
    ),
    "--explain": Case("both", "main_generate_sag.needed_side", lambda goal, **_: goal.full > 0.9),
    "--fill-up": Case(None, "running.searches.fill_up", lambda *_, **options: options),
    "--time-limit": Case(
        50,
        "main_generate_sag.measure_saliency",
        lambda deadline, **_: deadline < time.monotonic() + 50,
    ),
    "--measure": Case(
        "between",
        "main_generate_sag.Thresholds.of",
        lambda settings, **_: settings.measure == "between",
    ),
    "--prob-thresh": Case(
        0.7, "running.searches.beam_search", lambda prob_thresh, **_: prob_thresh == 0.7
    ),
    "--node-prob-thresh": Case(
        0.6,
        "patch_deletion_tree.build_sag",
        lambda node_prob_thresh, **_: node_prob_thresh == 0.6,
    ),
    "--overlap-thresh": Case(
        2, "patch_deletion_tree.diverse_subset", lambda overlap, **_: overlap == 2
    ),
    "--num-roots-sag": Case(1, "patch_deletion_tree.build_sag", lambda roots, **_: len(roots) == 1),
    "--baseline": Case(
        "mean", "running.image_case.make_baseline", lambda name, **_: name == "mean"
    ),
    "--grid": Case(5, "running.steps.igos", lambda regularisers, **_: regularisers.grid == (5, 5)),
    "--regions": Case(
        "slic", "main_generate_sag.Segmentation", lambda source, **_: source == "slic"
    ),
    "--region-names": Case(
        FILE, "main_generate_sag.Segmentation", lambda names, **_: names.name == FILE, needs=SLIC
    ),
    "--segments": Case(
        9, "main_generate_sag.Segmentation", lambda segments, **_: segments == 9, needs=SLIC
    ),
    "--segmentation-weights": Case(
        WEIGHTS,
        "main_generate_sag.Segmentation",
        lambda weights, **_: weights.name == WEIGHTS,
        needs=SLIC,
    ),
}
# More than one option decides what these are called with.
DIVERSE = {
    "--prob-thresh": (0.7, lambda prob_thresh, **_: prob_thresh == 0.7),
    "--overlap-thresh": (2, lambda overlap, **_: overlap == 2),
    "--max-num-roots": (2, lambda max_num_roots, **_: max_num_roots == 2),
    "--max-root-size": (3, lambda max_root_size, **_: max_root_size == 3),
}
THRESHOLDS = {
    "combinatorial": "running.searches.combinatorial_search",
    "exhaustive": "running.searches.exhaustive_search",
}


def watch(function, arrives, monkeypatch):
    """End the run where a function is called with the arguments that are waited for."""
    owner_name, _, name = function.rpartition(".")
    try:
        owner = importlib.import_module(owner_name)
    except ModuleNotFoundError:  # a method: the class is in the module
        module_name, _, class_name = owner_name.rpartition(".")
        owner = getattr(importlib.import_module(module_name), class_name)
    original = getattr(owner, name)
    signature = inspect.signature(original)

    def watched(*args, **kwargs):
        if arrives(**signature.bind(*args, **kwargs).arguments):
            raise Arrived
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, watched)


@pytest.fixture
def places(white_images, out, tmp_path):
    """Options of a run on one image, by name, and the files that an option may name."""
    torch.save({}, tmp_path / WEIGHTS)
    (tmp_path / FILE).write_text("a\nb\nc\n")
    threads = torch.get_num_threads()
    yield {
        "--images": white_images / "a.png",
        "--results": out,
        "--model": f"{NETWORKS}:network",
        "--device": "cpu",
        "--grid": 4,
    }
    torch.set_num_threads(threads)


def test_every_option_has_a_case():
    assert {option.flag for option in options_of(main_generate_sag.Settings)} == set(CASES)


@pytest.mark.parametrize("option", CASES)
def test_every_option_arrives_where_it_acts(option, places, tmp_path, monkeypatch):
    case = CASES[option]
    value = case.value
    if option in ("--images", "--results"):
        value = places[option]
    elif value in (FILE, WEIGHTS):
        value = tmp_path / value
    passed = [*case.needs, option]
    if value is not None:
        passed.append(value)
    for name, place in places.items():
        if name != option:
            passed += [name, place]
    watch(case.function, case.arrives, monkeypatch)
    with pytest.raises(Arrived):
        run(*passed)


@pytest.mark.parametrize("option", DIVERSE)
def test_options_arrive_at_the_diverse_search(option, white_images, out, monkeypatch):
    value, arrives = DIVERSE[option]
    watch("running.searches.diverse_search", arrives, monkeypatch)
    with pytest.raises(Arrived):
        search_planted(white_images / "a.png", out, "--search", "diverse", option, value)


@pytest.mark.parametrize("search", THRESHOLDS)
def test_the_threshold_arrives_at_every_search(search, white_images, out, monkeypatch):
    watch(THRESHOLDS[search], lambda prob_thresh, **_: prob_thresh == 0.7, monkeypatch)
    with pytest.raises(Arrived):
        search_planted(white_images / "a.png", out, "--search", search, "--prob-thresh", 0.7)


# ---------------------------------------------------------------- defaults that were edited


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """Return edited(line, replacement): a copy of the main job with other settings."""

    def edit(line, replacement):
        source = (PROJECT / "main_generate_sag.py").read_text(encoding="utf-8")
        assert source.count(line) == 1, line
        path = tmp_path / "edited_job.py"
        path.write_text(source.replace(line, replacement), encoding="utf-8")
        spec = importlib.util.spec_from_file_location("edited_job", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "edited_job", module)
        spec.loader.exec_module(module)
        return module

    return edit


@pytest.mark.parametrize(
    "line, replacement, flag, value",
    [
        ("Between(1, 28)] = 7 ", "Between(1, 28)] = 40 ", "--grid", "40"),
        ("prob_thresh: Share = 0.9 ", "prob_thresh: Share = 90 ", "--prob-thresh", "90"),
        ('"diverse"] = "beam" ', '"diverse"] = "Beam" ', "--search", "Beam"),
        ("Seconds | None = None ", "Seconds | None = -1 ", "--time-limit", "-1"),
    ],
)
def test_an_edited_default_is_checked_like_an_option(
    line, replacement, flag, value, edited, capsys
):
    with pytest.raises(SystemExit, match="2"):
        edited(line, replacement).main([])
    error = only_line(capsys)
    assert flag in error
    assert value in error


def test_an_edited_default_is_used(edited, white_images, out):
    job = edited("num_roots_sag: Count = 3 ", "num_roots_sag: Count = 1 ")
    paths = ("--images", white_images / "a.png", "--results", out)
    model = ("--model", f"{NETWORKS}:network", "--category", 1, "--grid", 4, *FLOAT32)
    assert job.main([str(option) for option in (*paths, *model)]) == 0
    assert len(read_sag(out / "a").diverse_roots) == 1
