"""The simulated study: one world in which the SAG must win, one in which it cannot, and how questions are drawn."""

from itertools import combinations

import numpy as np
import pytest

from scoring.patches import tents
from patch_deletion_tree import build_sag
from planted import dnf_scorer
from experiments.simulated_reader import (
    GAP,
    GROUPS,
    accuracy,
    by_what_the_sag_tells,
    draw_questions,
    patch_effects,
    patch_kinds,
    readers,
    right,
    sag_reader,
)

SIZE = (56, 56)


def finding(scorer, roots, saliency=None, gradcam=None):
    """A finding with these roots drawn, on a grid of 4 x 4."""
    sag = build_sag(scorer, roots, 1.0)
    return {
        "saliency": np.ones(16) if saliency is None else saliency,
        "gradcam": gradcam,
        "diverse_roots": list(range(len(roots))),
        "roots": [{"patches": list(r)} for r in roots],
        "sag": {"nodes": [{"patches": list(s), **v} for s, v in sag.nodes(data=True)]},
    }


def test_the_sag_wins_where_two_patches_only_count_together():
    """(5, 6) or (9, 10): a map must give all four the same heat, and cannot tell a whole pair from two halves."""
    scorer = dnf_scorer([(5, 6), (9, 10)], high=1.0, low=0.0)
    heat = np.zeros((4, 4))
    heat[1:3, 1:3] = 1
    one = finding(scorer, [(5, 6), (9, 10)], 1 - heat.ravel(), heat)
    questions = [
        {"a": a, "b": b, "relative": [1.0, 0.0]}
        for a, b in (((5, 6), (5, 9)), ((9, 10), (6, 10)), ((0, 5, 6), (3, 5, 10)))
    ]
    answers = accuracy(readers(one, (4, 4), SIZE), questions)
    assert answers["sag"] == 1.0 and answers["gradcam"] == answers["igos"] == 0.5
    assert answers["root"] == pytest.approx(2 / 3)  # it knows of (5, 6) only


def test_the_sag_cannot_know_what_it_does_not_show():
    """Patch 12 decides, no drawn root holds it, and the heat map has it."""
    scorer = dnf_scorer([(5,), (12,)], high=1.0, low=0.0)
    heat = np.zeros((4, 4))
    heat[3, 0] = 1
    one = finding(scorer, [(5,)], 1 - heat.ravel(), heat)
    questions = [
        {"a": (11, 12), "b": (10, 11), "relative": [1.0, 0.0]},
        {"a": (1, 2), "b": (2, 12), "relative": [0.0, 1.0]},
    ]
    answers = accuracy(readers(one, (4, 4), SIZE), questions)
    assert (
        answers["sag"] == 0.5
        and answers["root"] == 0.5
        and answers["igos"] == answers["gradcam"] == 1.0
    )


def test_questions_are_grouped_by_what_the_sag_tells():
    one = finding(dnf_scorer([(5, 6), (9,)], high=1.0, low=0.0), [(5, 6), (9,)])
    pairs = {
        "one whole root": ((0, 9), (0, 5)),
        "no whole root": ((5,), (0,)),
        "a root each": ((5, 6), (1, 9)),
    }
    questions = [{"a": a, "b": b, "name": name} for name, (a, b) in pairs.items()]
    groups = by_what_the_sag_tells(one, readers(one, (4, 4), SIZE)["sag"], questions)
    assert set(groups) == set(GROUPS)
    assert {group: [q["name"] for q in some] for group, some in groups.items()} == {
        "apart": ["one whole root"],
        "alike": ["no whole root", "a root each"],
        "root": ["one whole root"],
    }


def test_what_the_sag_reader_says_of_a_set_never_falls_as_shown_roots_grow():
    nodes = {(1, 2): 0.95, (1,): 0.5, (2,): 0.2, (): 0.0, (7,): 0.92}
    read = sag_reader(nodes)
    assert read((1, 2)) > read((0, 1)) > read((0, 2)) > read((0, 3)) and read((1, 7)) > read((7,))
    for size in range(4):  # at least the surest node inside it
        for shown in combinations((0, 1, 2, 7), size):
            assert read(shown) >= max(c for s, c in nodes.items() if set(s) <= set(shown)) - 1e-9
    assert sag_reader({})((1, 2)) == 0.0


def test_patch_effects_of_a_world_where_they_add_up():
    worth = {3: 2.0, 4: -1.0}
    nodes = {
        s: 1 / (1 + np.exp(-(0.5 + sum(worth[p] for p in s)))) for s in [(), (3,), (4,), (3, 4)]
    }
    effects, constant = patch_effects(nodes)
    assert (
        effects[3] == pytest.approx(2.0, rel=0.1)
        and effects[4] == pytest.approx(-1.0, rel=0.1)
        and constant == pytest.approx(0.5, abs=0.15)
    )


def test_questions_are_seeded_even_far_apart_and_not_in_the_sag():
    calls = []
    scorer = dnf_scorer([(0,), (5, 6)], high=0.8, low=0.1, calls=calls)
    nodes = [(p,) for p in range(16)]
    kinds = patch_kinds((4, 4))
    asked = draw_questions(scorer, kinds, 0.8, nodes, [0, 1], wanted=7)
    assert (
        len(asked) == 7
        and len(calls) == 1
        and asked == draw_questions(scorer, kinds, 0.8, nodes, [0, 1], wanted=7)
    )
    assert asked != draw_questions(scorer, kinds, 0.8, nodes, [0, 2], wanted=7)
    for q in asked:
        assert sorted(kinds[list(q["a"])]) == sorted(
            kinds[list(q["b"])]
        )  # neither shows more of the picture
        assert len(q["a"]) == len(q["b"]) and abs(q["relative"][0] - q["relative"][1]) >= GAP
        assert not {q["a"], q["b"]} & set(nodes) and q["relative"] == pytest.approx(
            [float(p) / 0.8 for p in scorer([q["a"], q["b"]])]
        )
    assert (
        draw_questions(dnf_scorer([()]), kinds, 0.95, [], 0) == []
    )  # always as sure: nothing to ask
    assert accuracy({"root": len}, []) == {}


def test_a_tie_is_half_an_answer():
    question = {"a": (1,), "b": (2,), "relative": [0.9, 0.1]}
    assert [right(read, question) for read in (lambda s: -s[0], lambda s: s[0], lambda s: 3.0)] == [
        1.0,
        0.0,
        0.5,
    ]


def test_an_image_without_a_root_leaves_its_reader_a_coin_and_one_without_a_heat_map_has_no_such_reader():
    nothing = {
        "saliency": np.ones(16),
        "gradcam": None,
        "roots": [],
        "diverse_roots": [],
        "sag": {"nodes": []},
    }
    answers = accuracy(
        readers(nothing, (4, 4), SIZE), [{"a": (5,), "b": (6,), "relative": [1.0, 0.0]}]
    )
    assert answers["sag"] == answers["root"] == 0.5 and "gradcam" not in answers


def test_a_border_patch_shows_half_as_much_as_an_inner_one():
    kinds, areas = patch_kinds((7, 7)), tents((7, 7), (224, 224)).sum(1).numpy()
    assert np.bincount(kinds).tolist() == [25, 20, 4]
    assert areas * 2.0**kinds == pytest.approx(np.full(49, areas[24]), rel=0.06)
