"""Breaking sets: what the class cannot do without, against brute force and known duals."""

from itertools import product

import numpy as np
import pytest
from brute_force import EIGHT, found_sets, powerset, random_scores, true_mses
from drawn import read_sag
from main_job import ROOTS, roots_of, run_planted
from PIL import Image
from planted import SMALL, PlantedNetwork, dnf_scorer, network, table_scorer

from diverse_search import diverse_search
from drawing.words import needed_in_words
from main_generate_sag import explain
from running.sides import needed_side
from scoring.hidden import breaking_goal, hiding, rest_of
from scoring.questions import Question, answer
from scoring.regions import Regions
from search import beam_search, certify, exhaustive_search, greedy_search

DUAL = {tuple(sorted((5, a, b))) for a, b in product((6, 10), (1, 8, 14))}  # of main_job.ROOTS
THRESH = 0.9
SEARCHES = {
    "exhaustive": lambda share: exhaustive_search(8, prob_thresh=share, max_size=8),
    "beam": lambda share: beam_search(np.arange(8), prob_thresh=share, max_num_roots=100),
    "diverse": lambda share: diverse_search(np.arange(8), prob_thresh=share, overlap=7),
    "greedy": lambda share: greedy_search(np.arange(8), prob_thresh=share),
}


def goal_of(scorer, patches=8):
    """Return the goal of a search for breaking sets."""
    full, baseline = scorer([tuple(range(patches)), ()]).tolist()
    return breaking_goal(prob_thresh=THRESH, full=full, baseline=baseline)


def broken(scorer, search, patches=8):
    """Return what a search for breaking sets finds; search takes the goal's prob_thresh."""
    goal = goal_of(scorer, patches)
    return answer(hiding(search(goal.prob_thresh), patches), scorer)


def true_breaking_sets(scores):
    """Return the minimal breaking sets of a table of eight patches, by their definition."""
    enough = THRESH * scores[EIGHT]
    breaking = [s for s in powerset(EIGHT) if scores[rest_of(s, 8)] <= enough]
    return {s for s in breaking if not any(set(other) < set(s) for other in breaking)}


# ---------------------------------------------------------------- against brute force


@pytest.mark.parametrize("seed", range(20))
def test_the_exhaustive_search_finds_every_breaking_set(seed):
    scores = random_scores(seed)
    found = broken(table_scorer(scores), SEARCHES["exhaustive"])
    assert found_sets(found) == true_breaking_sets(scores)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", SEARCHES)
def test_what_any_search_finds_is_a_minimal_breaking_set(name, seed):
    scores = random_scores(seed)
    found = found_sets(broken(table_scorer(scores), SEARCHES[name]))
    assert found and found <= true_breaking_sets(scores)


@pytest.mark.parametrize("seed", range(5))
def test_breaking_sets_are_certified_in_their_own_scores(seed):
    scores = random_scores(seed)
    scorer = table_scorer(scores)
    found = broken(scorer, SEARCHES["exhaustive"])
    side = needed_side(goal_of(scorer), 8)
    certificate = certify(found, side.prob_thresh * side.full, anew=True)
    assert found_sets(answer(side.ask(certificate), scorer)) == found_sets(found)


# ---------------------------------------------------------------- duals known by hand


@pytest.mark.parametrize(
    "conjunctions, dual",
    [
        ([(0, 1), (1, 2)], {(1,), (0, 2)}),
        ([(0,), (1,), (2,)], {(0, 1, 2)}),
        ([(0, 1, 2)], {(0,), (1,), (2,)}),
        ([(0, 1), (2, 3)], {(0, 2), (0, 3), (1, 2), (1, 3)}),
    ],
)
def test_the_dual_of_a_formula_is_found(conjunctions, dual):
    assert found_sets(broken(dnf_scorer(conjunctions), SEARCHES["exhaustive"])) == dual


def test_of_a_monotone_network_every_explanation_meets_every_breaking_set():
    scorer = dnf_scorer([(0, 1), (1, 2, 5), (3, 7)])
    enough = true_mses(scorer, 8, THRESH * 0.95)
    needed = found_sets(broken(scorer, SEARCHES["exhaustive"]))
    assert all(set(a) & set(b) for a in enough for b in needed)


# ---------------------------------------------------------------- the goal and the questions


def test_where_the_baseline_keeps_the_class_there_is_no_goal():
    assert breaking_goal(prob_thresh=0.9, full=0.9, baseline=0.82) is None


@pytest.mark.parametrize("left, breaks", [(0.9, True), (0.9000001, False)])
def test_a_rest_exactly_at_the_threshold_is_lost(left, breaks):
    goal = breaking_goal(prob_thresh=0.9, full=1.0, baseline=0.0)
    assert (1 - left > goal.threshold) == breaks


def test_a_question_about_hidden_sets_asks_about_the_rest():
    def search():
        return (yield Question([(0,), (1, 2)], is_proof=True))

    asking = hiding(search(), 3)
    question = next(asking)
    assert (question.sets, question.is_proof, question.wants_low) == ([(1, 2), (0,)], True, True)
    with pytest.raises(StopIteration) as end:
        asking.send([0.25, 1.0])
    assert end.value.value == [0.75, 0.0]


def test_a_search_for_breaking_sets_is_told_that_time_is_up():
    asking = hiding(beam_search(np.arange(4)), 4)
    next(asking)
    with pytest.raises(StopIteration) as end:
        asking.throw(TimeoutError())
    assert end.value.value.stopped_by == "time_limit"


# ---------------------------------------------------------------- the main job


@pytest.fixture(scope="module", params=["beam", "exhaustive", "diverse"])
def both(request, precision):
    """A white image explained from both sides, by each search."""
    settings = {"grid": 4, "category": 1, "precision": precision, "max_num_roots": 50}
    wide = {"beam_width": 120, "num_successors": 16}
    image = np.full((56, 56, 3), 255, np.uint8)
    return explain(
        network().eval(), image, search=request.param, explain="both", **settings, **wide
    )


def test_the_breaking_sets_of_a_planted_network_are_its_dual(both):
    found = {root.patches for root in both.needed.roots}
    if both.settings["search"] == "diverse":
        assert found and found <= DUAL
    else:
        assert found == DUAL


def test_a_breaking_set_has_the_confidence_of_the_rest(both):
    for root in both.needed.roots:
        rest = rest_of(root.patches, 16)
        assert root.probability == pytest.approx(both.confidence(rest), abs=1e-6)


def test_a_monotone_network_has_no_disjoint_pairs(both):
    assert both.roots and both.needed.disjoint == 0


def test_each_step_of_the_graph_shows_one_patch_again(both):
    nodes = both.needed.sag.nodes
    for edge in both.needed.sag.edges:
        parent = set(nodes[edge.parent].patches)
        assert set(nodes[edge.child].patches) == parent - {edge.patch}


def test_only_what_is_needed_can_be_asked_for():
    image = np.full((56, 56, 3), 255, np.uint8)
    sag = explain(network().eval(), image, grid=4, category=1, explain="needed")
    assert (sag.roots, sag.search.stopped_by) == ([], "not_asked_for")
    assert {root.patches for root in sag.needed.roots} <= DUAL


def test_without_asking_a_record_has_no_breaking_sets():
    image = np.full((56, 56, 3), 255, np.uint8)
    assert not explain(network().eval(), image, grid=4, category=1).needed


def test_a_run_finds_both_sides_and_draws_them(white_images, out):
    image = white_images / "a.png"
    assert run_planted(image, out, "--explain", "both", "--search", "exhaustive") == 0
    folder = out / "a"
    sag = read_sag(folder)
    drawn = len(sag.needed.diverse_roots)
    assert roots_of(folder) == ROOTS
    assert (folder / f"SAG_needed_{drawn}roots.png").stat().st_size > 0
    assert (folder / "needed.png").stat().st_size > 0
    assert needed_in_words(sag) in (folder / "dnf.txt").read_text(encoding="utf-8")


def test_what_is_needed_is_said_in_words(both):
    words = needed_in_words(both)
    assert words.startswith("Cannot do without P")
    assert words.count(" together") == len(both.needed.diverse_roots)


# ---------------------------------------------------------------- all sets of a few regions


@pytest.fixture(scope="module")
def eight_regions():
    """Both sides of a network that needs four regions, or two others: all sets are scored."""
    module = PlantedNetwork([(0, 5, 8, 13), (3, 15)], **SMALL).eval()
    rows, columns = np.indices((56, 56))
    regions = Regions.of(rows // 14 * 2 + columns // 28)
    image = Image.new("RGB", (56, 56), "white")
    return explain(
        module,
        image,
        regions=regions,
        category=1,
        search="exhaustive",
        explain="both",
    )


def test_every_mse_of_a_few_regions_is_known(eight_regions):
    assert {root.patches for root in eight_regions.roots} == {(0, 2, 4, 6), (1, 7)}


def test_every_breaking_set_of_a_few_regions_is_known(eight_regions):
    found = {one.patches for one in eight_regions.needed.roots}
    assert found == {tuple(sorted(pair)) for pair in product((0, 2, 4, 6), (1, 7))}
