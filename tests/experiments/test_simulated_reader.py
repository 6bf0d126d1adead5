"""The simulated study: a world in which the SAG must win, one in which it cannot, and questions."""

from itertools import combinations

import msgspec
import numpy as np
import pytest
from planted import dnf_scorer

from drawing.record import Graph, Node
from experiments.findings import FoundRoot, Question
from experiments.simulated_reader import (
    GAP,
    GROUPS,
    accuracy,
    draw_questions,
    group_questions,
    mark,
    patch_effects,
    patch_kinds,
    readers,
    sag_reader,
)
from patch_deletion_tree import build_sag
from scoring.patches import tents
from scoring.questions import answer

GRID = (4, 4)
SIZE = (56, 56)


class Explained(msgspec.Struct):
    """What the readers see of an image."""

    saliency: list[float]
    gradcam: list[list[float]] | None
    roots: list[FoundRoot]
    diverse_roots: list[int]
    sag: Graph


def explained(scorer, roots, saliency_map=None):
    """Return an image of 4 x 4 patches whose drawn roots are these.

    The saliency map, (4, 4), is both Grad-CAM's and that of I-GOS.
    """
    sag = answer(build_sag(roots, 1.0), scorer)
    nodes = [Node(s, v["probability"], v["relative"]) for s, v in sag.nodes(data=True)]
    hidden = np.zeros(16) if saliency_map is None else saliency_map.ravel()
    return Explained(
        saliency=(1 - hidden).tolist(),
        gradcam=None if saliency_map is None else saliency_map.tolist(),
        roots=[FoundRoot(root, 1.0, "subset") for root in roots],
        diverse_roots=list(range(len(roots))),
        sag=Graph(nodes=nodes, edges=[]),
    )


def question(a, b, right="a"):
    """Return a question whose right answer is known."""
    return Question(a, b, (1.0, 0.0) if right == "a" else (0.0, 1.0))


def answers_of(image, questions):
    return accuracy(readers(image, GRID, SIZE), questions)


# ---------------------------------------------------------------- worlds


@pytest.fixture
def pairs_count_together():
    """(5, 6) or (9, 10): a map must give all four the same value."""
    saliency_map = np.zeros(GRID)
    saliency_map[1:3, 1:3] = 1
    scorer = dnf_scorer([(5, 6), (9, 10)], high=1.0, low=0.0)
    image = explained(scorer, [(5, 6), (9, 10)], saliency_map)
    questions = [
        question((5, 6), (5, 9)),
        question((9, 10), (6, 10)),
        question((0, 5, 6), (3, 5, 10)),
    ]
    return answers_of(image, questions)


def test_the_sag_wins_where_patches_count_together(pairs_count_together):
    assert pairs_count_together["sag"] == 1.0


@pytest.mark.parametrize("reader", ["gradcam", "igos"])
def test_a_map_cannot_tell_a_pair_from_two_halves(pairs_count_together, reader):
    assert pairs_count_together[reader] == 0.5


def test_a_root_knows_of_itself_only(pairs_count_together):
    assert pairs_count_together["root"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("reader", "share"), [("sag", 0.5), ("root", 0.5), ("igos", 1.0), ("gradcam", 1.0)]
)
def test_the_sag_cannot_know_what_it_does_not_show(reader, share):
    """Patch 12 decides, no drawn root contains it, and the maps have it."""
    saliency_map = np.zeros(GRID)
    saliency_map[3, 0] = 1
    scorer = dnf_scorer([(5,), (12,)], high=1.0, low=0.0)
    image = explained(scorer, [(5,)], saliency_map)
    questions = [question((11, 12), (10, 11)), question((1, 2), (2, 12), right="b")]
    assert answers_of(image, questions)[reader] == share


@pytest.fixture
def no_root():
    """An image without an MSE and without Grad-CAM."""
    return Explained([1.0] * 16, None, [], [], Graph(nodes=[], edges=[]))


@pytest.mark.parametrize("reader", ["sag", "root"])
def test_without_a_root_its_reader_tosses_a_coin(no_root, reader):
    assert answers_of(no_root, [question((5,), (6,))])[reader] == 0.5


def test_without_a_map_there_is_no_such_reader(no_root):
    assert "gradcam" not in readers(no_root, GRID, SIZE)


def test_questions_are_grouped_by_what_the_sag_tells():
    image = explained(dnf_scorer([(5, 6), (9,)], high=1.0, low=0.0), [(5, 6), (9,)])
    one_whole_root = question((0, 9), (0, 5))
    no_whole_root = question((5,), (0,))
    a_root_each = question((5, 6), (1, 9))
    groups = group_questions(
        image,
        readers(image, GRID, SIZE)["sag"],
        [one_whole_root, no_whole_root, a_root_each],
    )
    assert set(groups) == set(GROUPS)
    assert groups["apart"] == [one_whole_root]
    assert groups["alike"] == [no_whole_root, a_root_each]
    assert groups["root"] == [one_whole_root]


# ---------------------------------------------------------------- the SAG's reader


NODES = {(1, 2): 0.95, (1,): 0.5, (2,): 0.2, (): 0.0, (7,): 0.92}


def test_a_reading_rises_with_what_is_shown_of_a_root():
    read = sag_reader(NODES)
    assert read((1, 2)) > read((0, 1)) > read((0, 2)) > read((0, 3))


def test_a_reading_rises_with_a_second_root():
    read = sag_reader(NODES)
    assert read((1, 7)) > read((7,))


def test_a_reading_is_at_least_the_best_node_inside():
    read = sag_reader(NODES)
    for size in range(4):
        for shown in combinations((0, 1, 2, 7), size):
            best = max(c for node, c in NODES.items() if set(node) <= set(shown))
            assert read(shown) >= best - 1e-9


def test_an_empty_sag_reads_the_same_of_all():
    assert sag_reader({})((1, 2)) == 0.0


def test_patch_effects_where_log_odds_add_up():
    effect = {3: 2.0, 4: -1.0}
    sets = [(), (3,), (4,), (3, 4)]
    nodes = {s: 1 / (1 + np.exp(-0.5 - sum(effect[p] for p in s))) for s in sets}
    effects, constant = patch_effects(nodes)
    assert effects[3] == pytest.approx(2.0, rel=0.1)
    assert effects[4] == pytest.approx(-1.0, rel=0.1)
    assert constant == pytest.approx(0.5, abs=0.15)


# ---------------------------------------------------------------- questions


SINGLES = [(patch,) for patch in range(16)]


def seven_questions(seed, calls=None):
    scorer = dnf_scorer([(0,), (5, 6)], high=0.8, low=0.1, calls=calls)
    return draw_questions(
        scorer,
        patch_kinds(GRID),
        full_probability=0.8,
        in_sag=SINGLES,
        seed=seed,
        wanted=7,
    )


def test_questions_are_scored_in_one_call():
    calls = []
    assert len(seven_questions([0, 1], calls)) == 7
    assert len(calls) == 1


def test_questions_are_seeded():
    assert seven_questions([0, 1]) == seven_questions([0, 1])
    assert seven_questions([0, 1]) != seven_questions([0, 2])


def test_neither_image_of_a_question_shows_more():
    kinds = patch_kinds(GRID)
    for one in seven_questions([0, 1]):
        assert sorted(kinds[list(one.a)]) == sorted(kinds[list(one.b)])


def test_confidences_of_a_question_are_far_apart():
    scorer = dnf_scorer([(0,), (5, 6)], high=0.8, low=0.1)
    for one in seven_questions([0, 1]):
        assert one.relative == pytest.approx([float(p) / 0.8 for p in scorer([one.a, one.b])])
        assert abs(one.relative[0] - one.relative[1]) >= GAP


def test_no_question_is_in_the_sag():
    asked = {patches for one in seven_questions([0, 1]) for patches in (one.a, one.b)}
    assert not asked & set(SINGLES)


def test_equal_confidences_leave_nothing_to_ask():
    questions = draw_questions(
        dnf_scorer([()]), patch_kinds(GRID), full_probability=0.95, in_sag=[], seed=0
    )
    assert questions == []


def test_without_questions_there_is_no_accuracy():
    assert accuracy({"root": len}, []) == {}


@pytest.mark.parametrize(
    ("read", "points"),
    [(lambda s: -s[0], 1.0), (lambda s: s[0], 0.0), (lambda s: 3.0, 0.5)],
    ids=["right", "wrong", "tie"],
)
def test_a_tie_is_half_an_answer(read, points):
    assert mark(read, Question((1,), (2,), (0.9, 0.1))) == points


def test_a_border_patch_shows_half_as_much_as_an_inner_one():
    kinds = patch_kinds((7, 7))
    areas = tents((7, 7), (224, 224)).sum(1).numpy()
    assert np.bincount(kinds).tolist() == [25, 20, 4]
    assert areas * 2.0**kinds == pytest.approx(np.full(49, areas[24]), rel=0.06)
