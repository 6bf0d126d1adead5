"""Selections with known answers, and the select command."""

import csv

import numpy as np
import pytest
import torch
from concept_networks import linear_network, noise_images

import companions.concepts.selection as selection_module
from companions.concepts.network_outputs import network_outputs
from companions.concepts.selection import entropy, select_active, select_random, select_similar

# ---------------------------------------------------------------- the strategies


def test_s_similarity_on_planted_embeddings():
    embeddings = np.array([[0, 0], [4, 0], [2, 1], [9, 9], [2, 3], [0, 1]], np.float32)
    targets = np.array([0, 0, 0, 0, 1, 1])
    predicted = np.array([1, 1, 0, 0, 1, 1])
    chosen = select_similar(embeddings, targets, predicted=predicted, per_class=3)
    # The misclassified of class 0 lie at (0, 0) and (4, 0): their mean is (2, 0). Class 1 has none.
    assert [choice.index for choice in chosen] == [2, 0, 1]
    assert [choice.category for choice in chosen] == [0, 0, 0]
    assert [choice.rank for choice in chosen] == [1, 2, 3]
    assert [choice.score for choice in chosen] == [1.0, 4.0, 4.0]


def test_s_active_takes_the_least_certain_of_each_class():
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [1, 0], [0.2, 0.8], [0.4, 0.6]])
    chosen = select_active(probabilities, np.array([0, 0, 0, 1, 1]), per_class=2)
    assert [choice.index for choice in chosen] == [1, 0, 4, 3]


def test_scipys_entropy_is_the_formula():
    logits = np.random.default_rng(0).normal(0, 4, (50, 12))
    p = torch.from_numpy(logits).float().softmax(1).numpy()
    p[0] = np.eye(12)[3]
    exact = p.astype(np.float64)
    by_hand = -(exact * np.log(np.where(exact > 0, exact, 1))).sum(1)
    assert entropy(p) == pytest.approx(by_hand, rel=1e-5, abs=1e-6)
    assert entropy(p)[0] == 0


def test_entropies_of_no_image():
    assert entropy(np.zeros((0, 3), np.float32)).shape == (0,)


TARGETS = np.array([0] * 20 + [3] * 20 + [5])


def test_s_random_takes_what_a_class_has():
    chosen = select_random(TARGETS, 6, seed=1)
    assert [choice.category for choice in chosen] == [0] * 6 + [3] * 6 + [5]
    assert len({choice.index for choice in chosen}) == 13


def test_s_random_is_seeded():
    assert select_random(TARGETS, 6, seed=1) == select_random(TARGETS, 6, seed=1)
    assert select_random(TARGETS, 6, seed=1) != select_random(TARGETS, 6, seed=2)


def test_s_random_does_not_depend_on_other_classes():
    among = [c.index for c in select_random(TARGETS, 6, seed=1) if c.category == 3]
    alone = [c.index + 20 for c in select_random(np.array([3] * 20), 6, seed=1)]
    assert among == alone


# ---------------------------------------------------------------- what the network makes of images


def test_embeddings_are_the_last_layers_input():
    network = linear_network()
    images = noise_images(7)
    numbers, outputs = network_outputs(network, enumerate(images), batch_size=3)
    x = torch.stack([network.prepare(image) for image in images])
    assert numbers == list(range(7))
    assert np.allclose(outputs.embeddings, network.module[:3](x), atol=1e-6)
    assert np.allclose(outputs.probabilities, network.module(x).softmax(1), atol=1e-6)


def test_no_image_has_no_outputs():
    _, outputs = network_outputs(linear_network(), iter(()))
    assert outputs.probabilities.shape == (0, 2)


# ---------------------------------------------------------------- the command


def test_select_names_an_empty_class_and_a_damaged_image(pool, run, capsys):
    (pool.images / "harbour_kite/cut.png").write_bytes(b"\x89PNG cut")
    assert run("select", "--images", pool.images, "--per-class", 5, *pool.model) == 1
    err = capsys.readouterr().err
    assert "thistle shrike: no image" in err
    assert "failed: harbour_kite/cut.png" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("strategy", ["random", "similarity", "active"])
def test_select_takes_all_of_small_classes(pool, run, strategy):
    assert run("select", "--images", pool.images, "--per-class", 5, *pool.model) == 0
    rows = list(
        csv.DictReader((pool.results / f"selection_{strategy}.csv").read_text().splitlines())
    )
    images = sorted(row["image"] for row in rows)
    assert images == ["harbour_kite/a.png", "harbour_kite/b.png", "painted crake/c.png"]
    assert (pool.results / f"selection_{strategy}.png").is_file()


def test_select_asks_the_network_once(pool, run, monkeypatch):
    calls = []
    real = selection_module.network_outputs

    def counted(*words, **options):
        calls.append(1)
        return real(*words, **options)

    monkeypatch.setattr(selection_module, "network_outputs", counted)
    for _ in range(2):
        assert run("select", "--images", pool.images, *pool.model) == 0
    assert len(calls) == 1
