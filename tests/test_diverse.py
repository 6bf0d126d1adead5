"""The diverse search against planted truth; the benchmark's reference side against REFERENCE's rules by hand."""

import json
from itertools import combinations

import numpy as np
import pytest
import torch
from PIL import Image

import benchmark
from benchmark import OneByOne
from diverse_search import diverse_search, log_odds, patch_values
from planted import PlantedNetwork, dnf_scorer, table_scorer
from test_main import PLANTED
from test_search import powerset, random_antichain, true_mses


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("overlap", [0, 1, 2])
def test_it_returns_true_mses_that_overlap_little(seed, overlap):
    rng = np.random.default_rng(seed)
    truth = random_antichain(rng, 16, 12, 4)
    roots = diverse_search(dnf_scorer(truth), rng.random(16), overlap=overlap, max_num_roots=5)
    assert (
        roots and {r.patches for r in roots} <= truth and all(r.minimal == "subset" for r in roots)
    )
    assert all(len(set(a.patches) & set(b.patches)) <= overlap for a, b in combinations(roots, 2))
    assert len(roots) <= 5 and (roots.stopped_by == "max_num_roots") == (len(roots) == 5)


@pytest.mark.parametrize("seed", range(6))
def test_it_finds_every_one_of_disjoint_explanations(seed):
    patches = np.random.default_rng(seed).permutation(25)
    truth = {
        tuple(sorted(part.tolist()))
        for part in (patches[:1], patches[1:3], patches[3:5], patches[5:8], patches[8:11])
    }

    def helpful(sets):  # the more of an explanation is there, the surer
        return [max(0.05 + 0.9 * (len(set(t) & set(s)) / len(t)) ** 3 for t in truth) for s in sets]

    roots = diverse_search(helpful, np.zeros(25), overlap=0, max_num_roots=99)
    assert (
        {r.patches for r in roots} == truth
        and roots.stopped_by == "rest_insufficient"
        and roots.complete
    )


def test_a_path_does_not_end_in_an_mse_that_is_known():
    roots = diverse_search(
        dnf_scorer([(0,), (1,), (2, 3)]), np.zeros(5)
    )  # (0, 2) is sufficient as well, but tells nothing new
    assert {r.patches for r in roots} == {(0,), (1,), (2, 3)}


def test_patches_that_are_enough_alone_cost_one_round():
    calls = []
    roots = diverse_search(
        dnf_scorer([(p,) for p in range(12)], calls=calls), np.zeros(16), max_num_roots=12
    )
    assert [r.patches for r in roots] == [
        (p,) for p in range(12)
    ] and roots.stopped_by == "max_num_roots"
    assert len({s for call in calls for s in call}) == 18  # none, each, all


def test_a_network_that_needs_almost_everything_is_not_given_up():
    scorer = lambda sets: torch.tensor(
        [0.99 if len(s) >= 45 else 0.01 + 0.001 * (7 in s) for s in sets]
    )  # noqa: E731
    (root, *_) = roots = diverse_search(scorer, np.zeros(49))
    assert len(root.patches) == 45 and root.minimal == "single" and len(roots) <= 10


@pytest.mark.parametrize("seed", range(6))
def test_it_is_true_on_networks_that_are_not_monotone(seed):
    rng = np.random.default_rng(seed)
    scores = {
        s: float(rng.choice([0.1, 0.5, 0.95], p=[0.6, 0.25, 0.15])) for s in powerset(range(8))
    } | {(): 0.1, tuple(range(8)): 0.95}
    roots = diverse_search(table_scorer(scores), np.arange(8.0), overlap=2, max_num_roots=50)
    assert {r.patches for r in roots} <= true_mses(table_scorer(scores), 8, 0.9 * 0.95)


def test_it_stops_at_its_limits_and_is_reproducible():
    truth = [(1, 2), (3, 4), (5, 6, 7), (8, 9)]
    calls = []
    few = diverse_search(dnf_scorer(truth, calls=calls), np.zeros(16), max_evaluations=20)
    assert few.stopped_by == "max_evaluations" and len({s for call in calls for s in call}) < 80
    assert diverse_search(dnf_scorer([()]), np.zeros(9)).stopped_by == "baseline_sufficient"
    assert (
        diverse_search(dnf_scorer(truth, high=0.0, low=0.0), np.zeros(16)).stopped_by
        == "zero_probability"
    )
    assert diverse_search(
        dnf_scorer(truth), np.zeros(16), max_root_size=2, overlap=0, max_num_roots=9
    )
    again = [diverse_search(dnf_scorer(truth), np.zeros(16)) for _ in range(2)]
    assert again[0] == again[1]

    def late(sets, left=[60]):
        left[0] -= len(sets)
        if left[0] < 0:
            raise TimeoutError
        return dnf_scorer(truth)(sets)

    roots = diverse_search(late, np.zeros(16))
    assert roots.stopped_by == "time_limit" and not roots.complete


def test_patch_values_are_those_of_an_additive_network():
    rng = np.random.default_rng(0)
    true = rng.normal(size=9)
    true -= true.min()
    shown = np.concatenate([np.zeros((1, 9)), np.eye(9), rng.integers(0, 2, (40, 9))])
    odds = log_odds(1 / (1 + np.exp(3 - shown @ true)))
    assert np.allclose(patch_values(shown, odds), true, atol=1e-6)


# ---------------------------------------------------------------- the benchmark


def by_hand(conjunctions):
    network = PlantedNetwork(conjunctions, grid=3, size=33)
    return OneByOne(network, torch.ones(3, 33, 33), torch.zeros(3, 33, 33), 1, (3, 3))


def test_the_reference_side_follows_its_rules_by_hand():
    reference = by_hand([(0,), (1, 2)])
    saliency = torch.tensor([0.3, 0.1, 0.2, 1, 1, 1, 1, 1, 1])  # order: 1 2 0 3 4 ..
    roots = reference.search(saliency, 0.8, beam_width=1, num_successors=2, max_num_roots=5)
    # {1}, {2}; both stay (w + 1 = 2): {1 2} found, shrunk in 2 passes; {0 1} -> less 0: no, less 1: {0}; again: less 0: no.
    # {1 2} once more, 1 + 2; {0 2} -> less 0: no; less 2: {0}; again less 0: no. Nothing insufficient is left.
    assert roots == [(1, 2), (0,)] and reference.evaluations == 2 + (1 + 2) + (1 + 3) + (1 + 2) + (
        1 + 3
    )


def test_the_reference_side_keeps_w_plus_one_states_and_overshoots():
    reference = by_hand([(i, j) for i, j in combinations(range(4), 2)])
    roots = reference.search(
        torch.arange(9.0), 0.8, beam_width=1, num_successors=3, max_num_roots=1
    )
    # of {0} {1} {2} two stay, and give six pairs, one of them twice: a whole level, though one MSE was asked for
    assert roots == [(0, 2), (1, 2), (2, 3), (0, 1), (1, 3)]
    assert reference.evaluations == 3 + 6 * 3


def test_the_reference_tree_takes_only_three_patches_away_and_repeats_nodes():
    reference = by_hand([(0, 1, 2, 3)])
    reference.tree((0, 1, 2, 3), 0.4)
    assert reference.evaluations == 1 + 3
    reference = by_hand([()])
    reference.tree((0, 1, 2), 0.4)
    assert reference.evaluations == 1 + 3 + 3 * 2 + 6 * 1


def test_the_benchmark_measures_prints_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "CEILING_SECONDS", 0.1)
    for name in "abc":
        Image.new("RGB", (56, 56), "white").save(tmp_path / f"{name}.png")
    options = [
        "--images",
        str(tmp_path),
        "--results",
        str(tmp_path / "out"),
        "--quick",
        "--device",
        "cpu",
    ]
    assert benchmark.main([*options, "--model", f"{PLANTED}:network"]) == 0
    printed, result = (
        capsys.readouterr().out,
        json.loads((tmp_path / "out/benchmark.json").read_text()),
    )
    assert (
        "one by one" in printed
        and "as shipped, eager" in printed
        and (tmp_path / "out/benchmark.png").exists()
    )
    for side in result["sides"].values():
        assert len(side) == 2 and all(
            0 < r["proven"] <= 3 and r["diverse"] <= r["proven"] <= r["roots"] for r in side
        )
    for reference, shipped in zip(*result["sides"].values()):
        assert shipped["scored"] < reference["scored"] and shipped["proven"] >= reference["proven"]
    monkeypatch.setattr(benchmark, "one_by_one", None)  # a second run has nothing left to measure
    assert benchmark.main([*options, "--model", f"{PLANTED}:network"]) == 0
    assert json.loads((tmp_path / "out/benchmark.json").read_text())["sides"] == result["sides"]
    assert benchmark.main([*options, "--model", "resnet5"]) == 2
    assert "benchmark.py: error: --model resnet5" in capsys.readouterr().err
