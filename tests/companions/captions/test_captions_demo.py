"""The captioner's half of the demo: its steps, its table against counts by hand, no step twice."""

import csv
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

import concept_debug
from birds import cue_world
from companions.captions import captioning, features, world
from companions.captions.demo import (
    CaptionDemo,
    CaptionerHalf,
    caption_row,
    missing_package,
)
from companions.captions.evaluation import Pointing, Report, Said
from companions.captions.training import Training
from companions.concepts import seeds
from companions.concepts.demo import Steps, demo_weights
from companions.concepts.records import write_typed
from utils import UserError

TINY = CaptionDemo(
    train=4,
    held_out=4,
    networks=("before", "ours"),
    training={"--epochs": 1, "--width": 8, "--batch": 4},
)


def write_weights(folder, name, seed):
    """Write the weights of an untrained network, where the first half leaves a trained one."""
    torch.manual_seed(seed)
    path = demo_weights(folder, name)
    path.parent.mkdir(exist_ok=True)
    save_file({k: v.contiguous() for k, v in cue_world.network().state_dict().items()}, path)


@pytest.fixture(scope="module")
def finished(run, tmp_path_factory):
    """A half in a tiny world that has run once, its folder, and the commands that it ran."""
    folder = tmp_path_factory.mktemp("demo")
    ran = []

    def command(words):
        ran.append(words[0])
        return run(*words)

    for seed, name in enumerate(TINY.networks):
        write_weights(folder, name, seed)
    (folder / "world/classes.txt").write_text("\n".join(cue_world.NAMES) + "\n")
    half = CaptionerHalf(TINY, command=command)
    assert not half.is_begun(folder)
    assert half.run(0, folder, Steps(half.steps())) == 0
    return half, folder, ran


def test_every_step_is_a_command_and_is_counted(finished):
    half, folder, ran = finished
    of_one = ["features", "train", "evaluate", "evaluate"]
    assert ran[:9] == ["world", *of_one, *of_one]
    assert half.steps() == 9
    assert half.is_begun(folder)
    assert half.is_done(folder)


def test_the_table_has_a_row_per_network(finished):
    _, folder, _ = finished
    rows = list(csv.DictReader((folder / "captions.csv").read_text().splitlines()))
    assert [row["network"] for row in rows] == ["before", "ours"]
    assert all(0 <= float(row["bleu4_swapped"]) <= 1 for row in rows)


def test_nothing_is_done_twice(finished, monkeypatch):
    half, folder, _ = finished

    def never(*_, **__):
        raise AssertionError("done again")

    for place, name in (
        (world, "_draw"),
        (features, "crop_features"),
        (Training, "take_step"),
        (captioning, "caption_split"),
    ):
        monkeypatch.setattr(place, name, never)
    assert half.run(0, folder, Steps(half.steps())) == 0


def test_a_captioner_of_another_network_is_trained_again(finished, monkeypatch):
    half, folder, _ = finished
    kept = folder / "captions/before/checkpoint.pt"
    stale = folder / "captions/ours/checkpoint.pt"
    before = (kept.read_bytes(), stale.read_bytes())
    write_weights(folder, "ours", seed=5)
    assert half.run(0, folder, Steps(half.steps())) == 0
    assert kept.read_bytes() == before[0]
    assert stale.read_bytes() != before[1]


def test_a_failing_step_ends_the_half(finished):
    half, folder, _ = finished
    failing = replace(half, command=lambda words: 2 if words[0] == "train" else 0)
    steps = Steps(half.steps())
    assert failing.run(0, folder, steps) == 2
    assert steps.done == 3  # the world, the features, and the training


def report(split, bleu, dusk, bunting):
    """Return a report with these counts: wrongly, of those without, rightly, of those with."""
    return Report(
        split=split,
        captions=100,
        scores={"BLEU-4": bleu},
        template={},
        pointing=Pointing(0, None, None),
        said=[Said("dusk", *dusk), Said("bunting", *bunting)],
    )


def planted(folder, network="ours", bleu=0.5):
    """Write reports with counts that are known."""
    own = folder / "captions" / network
    val = report("val", 0.75, dusk=(3, 75, 20, 25), bunting=(0, 75, 24, 25))
    write_typed(own / "metrics_val.json", val)
    swapped = report("swapped", bleu, dusk=(0, 0, 30, 75), bunting=(15, 75, 5, 25))
    write_typed(own / "metrics_swapped.json", swapped)


def test_shares_by_hand(tmp_path):
    planted(tmp_path)
    row = caption_row(tmp_path, "ours")
    assert (row.bleu4, row.bleu4_swapped) == (0.75, 0.5)
    assert (row.cue_said, row.cue_invented) == (0.8, 0.04)
    assert (row.bird_said, row.bird_invented) == (0.96, 0)
    assert (row.cue_said_swapped, row.cue_invented_swapped) == (0.4, None)
    assert (row.bird_said_swapped, row.bird_invented_swapped) == (0.2, 0.2)


def test_mean_and_spread_lie_beside_those_of_the_classifier(tmp_path):
    half = CaptionerHalf(replace(TINY, networks=("ours",)), command=lambda words: 0)
    folders = [seeds.folder_of(tmp_path, seed) for seed in range(2)]
    for folder, bleu in zip(folders, (0.4, 0.6)):
        planted(folder, bleu=bleu)
    half.write_spread(folders, tmp_path)
    rows = list(csv.DictReader((tmp_path / "demo_captions.csv").read_text().splitlines()))
    swapped = next(row for row in rows if row["measure"] == "bleu4_swapped")
    assert (swapped["mean"], swapped["sd"], swapped["least"]) == ("0.5", "0.1414214", "0.4")
    assert len(rows) == 10
    assert (tmp_path / "demo_captions.png").is_file()


def test_one_seed_ends_with_before_and_after(finished, capsys):
    half, folder, _ = finished
    assert seeds.run_seeds([half], folder, seeds=1) == 0
    last = capsys.readouterr().err.splitlines()[-2:]
    assert [line.partition(": BLEU-4 ")[0] for line in last] == ["before", "ours"]
    assert all("“bunting” of others at dusk" in line for line in last)


def test_a_report_that_has_gone_is_one_line(tmp_path):
    planted(tmp_path)
    (tmp_path / "captions/ours/metrics_swapped.json").unlink()
    with pytest.raises(UserError, match="metrics_swapped.json: has gone"):
        caption_row(tmp_path, "ours")


def test_a_smaller_half_has_fewer_scenes():
    small = CaptionDemo().scaled(50)
    assert (small.train, small.held_out) == (400, 100)
    assert (CaptionDemo().scaled(1).train, CaptionDemo().scaled(1).held_out) == (8, 8)


# ---------------------------------------------------------------- in concept_debug.py demo


def test_without_a_package_the_first_half_runs_alone(monkeypatch, tmp_path, capsys):
    steps = []

    def run_seeds(halves, results, *, seeds):
        steps.extend(half.steps() for half in halves)
        return 0

    monkeypatch.setattr(seeds, "run_seeds", run_seeds)
    assert missing_package() is None
    assert concept_debug.main(["demo", "--results", str(tmp_path)]) == 0
    assert steps == [12, 13]
    assert capsys.readouterr().err == ""
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert concept_debug.main(["demo", "--results", str(tmp_path)]) == 0
    assert steps == [12, 13, 12]
    line = "the captioner's half of the demo: needs the package h5py: bash requirements_install.sh"
    assert capsys.readouterr().err.startswith(line)


def test_the_second_half_runs_the_other_command():
    assert concept_debug.run_concept_caption(["evaluate", "--help"]) == 0
    assert concept_debug.run_concept_caption(["evaluate", "--beam", "0"]) == 2
