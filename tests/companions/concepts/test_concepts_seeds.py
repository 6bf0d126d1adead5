"""The demo over seeds: which folders, mean and spread, and how long the rest takes."""

import csv
from dataclasses import replace

import pytest

from companions.concepts import seeds
from companions.concepts.demo import Demo, Steps
from companions.concepts.figures import Panel
from companions.concepts.improve import MEASURES
from companions.concepts.records import (
    Accuracy,
    BenchKey,
    ImproveReport,
    NetworkRow,
    RowKey,
    write_typed,
)
from drawing.record import Model


def report_of(accuracies):
    """Return a report of networks with these accuracies, and nothing else measured."""
    model = Model(name="m", weights_sha256="0", classes=2)
    bench = BenchKey("t", swapped=None, category=0, concept="dusk", baseline="mean", scenes=[])
    rows = [
        NetworkRow(
            network=name,
            images=0,
            test=Accuracy(all=value, images=1, classes={}),
            swapped=None,
            need=None,
            failed=[],
            weights_sha256=None,
            seconds=1.0,
            key=RowKey(model, bench),
        )
        for name, value in accuracies.items()
    ]
    return ImproveReport(category="jay", concept="dusk", rows=rows, versions={})


def test_each_seed_has_its_own_folder_and_commands(tmp_path, monkeypatch):
    ran = []

    def run_demo(demo, results, command, steps):
        ran.append((demo.seed, results))
        row = {"before": 0.5, "ours": 0.6 + 0.1 * demo.seed}
        write_typed(results / "improve.json", report_of(row))
        return 0

    monkeypatch.setattr(seeds, "run_demo", run_demo)
    demo = Demo(sets=("ours",))
    assert seeds.run_seeds(demo, tmp_path, seeds=3, command=lambda words: 0) == 0
    places = [tmp_path, tmp_path / "seed_1", tmp_path / "seed_2"]
    assert ran == list(enumerate(places))
    rows = list(csv.DictReader((tmp_path / "demo.csv").read_text().splitlines()))
    ours = next(r for r in rows if (r["network"], r["measure"]) == ("ours", "accuracy"))
    assert (ours["mean"], ours["sd"], ours["least"], ours["most"]) == ("0.7", "0.1", "0.6", "0.8")
    swapped = next(r for r in rows if r["measure"] == "accuracy_swapped")
    assert (swapped["seeds"], swapped["mean"]) == ("0", "")
    assert (tmp_path / "demo.png").is_file()


def test_a_failure_ends_the_seeds(tmp_path, monkeypatch):
    monkeypatch.setattr(seeds, "run_demo", lambda *_, **__: 130)
    assert seeds.run_seeds(Demo(), tmp_path, seeds=2, command=lambda words: 0) == 130
    assert not (tmp_path / "demo.csv").exists()


def test_the_seed_is_in_every_command_that_draws_lots(tmp_path):
    commands = replace(Demo(), seed=3).commands(tmp_path)
    seeded = [words[0] for words in commands if "--seed" in words]
    assert seeded == ["select", "prompts", "generate", "improve"]
    assert all(words[words.index("--seed") + 1] == "3" for words in commands if "--seed" in words)


def test_mean_and_spread_by_hand():
    spread = seeds.Spread([0.2, 0.4, 0.9])
    assert spread.mean == pytest.approx(0.5)
    assert spread.sd == pytest.approx(0.13**0.5)  # (0.09 + 0.01 + 0.16) / 2
    assert seeds.Spread([0.2]).sd is None
    assert seeds.Spread([]).mean is None


def test_the_pace_is_that_of_the_fastest_and_slowest_seed():
    line = seeds.pace([600.0, 300.0], done=2, seeds=5)
    assert line == "2 of 5 seeds are done; at this pace 15 to 30 min are left"


def test_steps_count_over_all_seeds(capsys):
    demo = Demo()
    steps = Steps(total=2 * demo.steps())
    steps.begin("draw")
    assert capsys.readouterr().err == "[1/24] draw\n"


@pytest.mark.parametrize(
    "is_share, value, sd, text",
    [
        (True, 0.5, 0.031, "50.0 ± 3.1 %"),
        (True, 0.5, None, "50.0 %"),
        (False, -0.056, 0.2, "−0.06 ± 0.20"),
        (False, None, None, "none"),
    ],
)
def test_a_bar_says_its_value_and_spread(is_share, value, sd, text):
    assert Panel(MEASURES[0].title, [value], is_share, [sd]).text_of(0) == text
