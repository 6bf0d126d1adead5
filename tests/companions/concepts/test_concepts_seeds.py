"""The demo over seeds: which folders, mean and spread, and how long the rest takes."""

import csv
from dataclasses import dataclass, field, replace
from itertools import count

import pytest

from companions.concepts import demo, seeds
from companions.concepts.demo import ClassifierHalf, Demo, Steps
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
from companions.concepts.spread import Spread
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


def test_mean_and_spread_of_the_classifiers_half(tmp_path, monkeypatch):
    ran = []

    def run_demo(demo, results, command, steps):
        ran.append((demo.seed, results))
        row = {"before": 0.5, "ours": 0.6 + 0.1 * demo.seed}
        write_typed(results / "improve.json", report_of(row))
        return 0

    monkeypatch.setattr(demo, "run_demo", run_demo)
    half = ClassifierHalf(Demo(sets=("ours",)), command=lambda words: 0)
    assert seeds.run_seeds([half], tmp_path, seeds=3) == 0
    places = [tmp_path, tmp_path / "seed_1", tmp_path / "seed_2"]
    assert ran == list(enumerate(places))
    rows = list(csv.DictReader((tmp_path / "demo.csv").read_text().splitlines()))
    ours = next(r for r in rows if (r["network"], r["measure"]) == ("ours", "accuracy"))
    assert (ours["mean"], ours["sd"], ours["least"], ours["most"]) == ("0.7", "0.1", "0.6", "0.8")
    swapped = next(r for r in rows if r["measure"] == "accuracy_swapped")
    assert (swapped["seeds"], swapped["mean"]) == ("0", "")
    assert (tmp_path / "demo.png").is_file()


@dataclass
class PlantedHalf:
    """A half that takes no time, and says what it was asked."""

    name: str
    log: list
    done: set = field(default_factory=set)
    fails_at: int | None = None

    def steps(self):
        """Return how many steps a seed has."""
        return 2

    def is_begun(self, folder):
        """Return whether the folder is done."""
        return folder in self.done

    def is_done(self, folder):
        """Return whether the folder is done."""
        return folder in self.done

    def run(self, seed, folder, steps):
        """Note what was asked."""
        if seed == self.fails_at:
            return 130
        self.log.append((self.name, seed, folder.name, steps.total))
        self.done.add(folder)
        return 0

    def write_spread(self, folders, results):
        """Note that it was asked."""
        self.log.append((self.name, len(folders)))


def test_a_seed_runs_both_halves_before_the_next(tmp_path):
    log = []
    halves = [PlantedHalf("first", log), PlantedHalf("second", log)]
    assert seeds.run_seeds(halves, tmp_path / "r", seeds=2) == 0
    assert log == [
        ("first", 0, "r", 8),
        ("second", 0, "r", 8),
        ("first", 1, "seed_1", 8),
        ("second", 1, "seed_1", 8),
        ("first", 2),
        ("second", 2),
    ]


def test_a_failure_ends_the_seeds(tmp_path):
    log = []
    halves = [PlantedHalf("first", log), PlantedHalf("second", log, fails_at=0)]
    assert seeds.run_seeds(halves, tmp_path / "r", seeds=2) == 130
    assert log == [("first", 0, "r", 8)]


def test_what_an_earlier_run_left_says_nothing_about_the_pace(tmp_path, monkeypatch, capsys):
    clock = count(step=600)  # ten minutes from each look to the next
    monkeypatch.setattr(seeds, "monotonic", lambda: next(clock))
    first = PlantedHalf("first", [], done={tmp_path / "r", tmp_path / "r/seed_1"})
    second = PlantedHalf("second", [])
    assert seeds.run_seeds([first, second], tmp_path / "r", seeds=4) == 0
    lines = capsys.readouterr().err.splitlines()
    # After seeds 0 and 1 the first half is still to be done twice, and its pace is not known.
    # Then it is known from one seed, and that of the second half from three.
    assert lines == ["3 of 4 seeds are done; at this pace 11 to 40 min are left"]


def test_the_seed_is_in_every_command_that_draws_lots(tmp_path):
    commands = replace(Demo(), seed=3).commands(tmp_path)
    seeded = [words[0] for words in commands if "--seed" in words]
    assert seeded == ["select", "prompts", "generate", "improve"]
    assert all(words[words.index("--seed") + 1] == "3" for words in commands if "--seed" in words)


def test_mean_and_spread_by_hand():
    spread = Spread([0.2, 0.4, 0.9])
    assert spread.mean == pytest.approx(0.5)
    assert spread.sd == pytest.approx(0.13**0.5)  # (0.09 + 0.01 + 0.16) / 2
    assert Spread([0.2]).sd is None
    assert Spread([]).mean is None


def test_the_pace_is_that_of_the_fastest_and_slowest_seed():
    line = seeds.pace([[600.0, 300.0], [150.0]], [3, 4], done="2 of 6")
    # 3 * 5 / 1.75 + 4 * 2.5 / 2.5 and 3 * 10 * 1.75 + 4 * 2.5 * 2.5 minutes
    assert line == "2 of 6 seeds are done; at this pace 13 to 78 min are left"
    assert seeds.pace([[600.0], []], [1, 0], done="1 of 2") is not None
    assert seeds.pace([[600.0], []], [1, 1], done="1 of 2") is None
    assert seeds.pace([[600.0]], [0], done="2 of 2") is None


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
