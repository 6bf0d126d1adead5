"""What one image's searches are told: memo, counts, deadline, and float32 where it counts."""

import math

import numpy as np
import pytest
from brute_force import found_sets, random_scores, true_mses
from planted import table_scorer
from planted_device import EIGHT_PATCH_SEARCHES, PlantedDevice, planted_slot

from patch_deletion_tree import diverse_sag
from scoring.answerer import BAND_FACTOR, DOUBT, LEAST_DOUBT, LEAST_PAIRS, Answerer
from scoring.batching import Batching, Task
from scoring.questions import Progress, Question
from scoring.requests import OutOfTime
from search import certify, opening

SINGLES = [(patch,) for patch in range(8)]
THRESHOLD = 0.5


def questions(*sets_of_questions, **options):
    """Ask one question after another; return all answers."""
    answers = []
    for sets in sets_of_questions:
        scores = yield Question(sets, **options)
        answers.append(list(scores))
    return answers


class Case:
    """One image on a planted device, and what it was asked.

    Args:
        exact: confidences in float32 by patch set.
        reduced: those that differ in reduced precision; None: there is only float32.
    """

    def __init__(self, exact=None, reduced=None, default=0.1, **device):
        self.exact = exact or {}
        self.reduced = reduced
        self.default = default
        self.device = PlantedDevice(self.confidence, **device)
        self.answerer = Answerer(
            planted_slot(), has_reduced=reduced is not None, threshold=THRESHOLD
        )

    def confidence(self, slot, kind, patches):
        exact = self.exact.get(patches, self.default)
        return self.reduced.get(patches, exact) if kind == "reduced" else exact

    def run(self, search, step="search", **options):
        return Batching(self.device).run_one(self.answerer.run(search, step=step, **options))

    def asked(self, kind):
        """Return the patch sets that the network saw in one precision, in order."""
        return [patches for _, _, patches in self.device.seen(kind)]


# ---------------------------------------------------------------- the memo and the counts


def test_answers_come_in_the_order_of_the_sets():
    case = Case({(1,): 0.2, (2,): 0.3})
    assert case.run(questions([(2,), (1,)], [(1,), (2,)])) == [[0.3, 0.2], [0.2, 0.3]]


@pytest.mark.parametrize("reduced", [None, {}])
def test_nothing_is_scored_twice_in_one_precision(reduced):
    case = Case({(0,): 0.9, (1,): 0.49}, reduced)
    for proof in (False, True, False):
        case.run(questions(SINGLES + SINGLES, SINGLES, is_proof=proof))
    assert all(len(case.asked(k)) == len(set(case.asked(k))) for k in ("float32", "reduced"))


def test_what_is_known_needs_no_request():
    case = Case()
    case.run(questions(SINGLES))
    case.run(questions(SINGLES))
    assert len(case.device.launched) == 1


def test_what_float32_has_said_is_not_asked_in_reduced_precision():
    case = Case({}, {})
    case.run(questions(SINGLES, is_proof=True))
    case.run(questions(SINGLES))
    assert case.asked("reduced") == []


def test_an_empty_question_has_an_empty_answer():
    assert Case({}, {}).run(questions([], SINGLES[:1], [])) == [[], [0.1], []]


def test_sets_are_counted_by_step_as_often_as_asked_for():
    case = Case()
    case.run(questions(SINGLES, SINGLES), step="search")
    case.run(questions(SINGLES[:3]), step="tree")
    assert case.answerer.asked == {"search": 16, "tree": 3}


def test_passes_are_counted_by_step_and_kind():
    case = Case({(0,): 0.9}, {})
    case.run(questions(SINGLES, SINGLES), step="search")
    case.run(questions(SINGLES[:3]), step="tree", only_exact=True)
    assert case.answerer.passes == {
        ("search", "reduced"): 8,
        ("search", "float32"): 1,  # (0,) is sufficient
        ("tree", "float32"): 2,
    }


def test_requests_name_their_step():
    answerer = Answerer(planted_slot())
    request = answerer.run(questions(SINGLES), step="curves").send(None)
    assert request.step == "curves"


def test_a_set_in_both_precisions_is_one_scored_set():
    case = Case({(0,): 0.9}, {})
    case.run(questions(SINGLES))
    assert case.answerer.scored == 8


def test_the_best_answer_is_that_of_float32():
    case = Case({(0,): 0.9, (1,): 0.1}, {(0,): 0.88, (1,): 0.11})
    case.run(questions([(0,), (1,)]))
    assert [case.answerer.best(patches) for patches in [(0,), (1,)]] == [0.9, 0.11]


def test_how_far_a_search_is_is_remembered():
    case = Case()
    case.run(questions(SINGLES, progress=Progress(roots=2, size=1, most_left=7)))
    case.run(questions(SINGLES))  # which says nothing
    assert case.answerer.progress == Progress(2, 1, 7)


# ---------------------------------------------------------------- which precision answers


def test_without_reduced_precision_float32_answers_all():
    case = Case()
    case.run(questions(SINGLES))
    assert case.asked("float32") == SINGLES and case.asked("reduced") == []


def test_a_proof_is_answered_in_float32():
    case = Case({(0,): 0.3}, {(0,): 0.2})
    assert case.run(questions([(0,)], is_proof=True)) == [[0.3]]
    assert case.asked("reduced") == []


def test_a_step_that_is_only_exact_is_answered_in_float32():
    case = Case({(0,): 0.3}, {(0,): 0.2})
    assert case.run(questions([(0,)]), only_exact=True) == [[0.3]]
    assert case.asked("reduced") == []


def test_what_is_clearly_insufficient_is_answered_in_reduced_precision():
    case = Case({(0,): 0.3}, {(0,): 0.2})
    assert case.run(questions([(0,)])) == [[0.2]]
    assert case.asked("float32") == []


@pytest.mark.parametrize("reduced", [THRESHOLD - DOUBT + 1e-6, THRESHOLD, 0.51, 0.9, 1.0])
def test_sufficient_or_nearly_so_is_asked_again_in_float32(reduced):
    case = Case({(0,): 0.1}, {(0,): reduced})
    assert case.run(questions([(0,)])) == [[0.1]]


def test_the_end_of_the_band_is_trusted():
    case = Case({(0,): 0.1}, {(0,): THRESHOLD - DOUBT})
    assert case.run(questions([(0,)])) == [[THRESHOLD - DOUBT]]


def test_float32_scores_the_doubted_sets_only():
    case = Case({(0,): 0.9, (1,): 0.48, (2,): 0.46}, {})
    case.run(questions(SINGLES))
    assert case.asked("float32") == [(0,), (1,)]


def test_each_doubted_set_is_counted_once():
    case = Case({(0,): 0.9}, {})
    case.run(questions([(0,), (0,), (1,)], [(0,)]))
    assert case.answerer.doubted == 1


def test_nan_in_reduced_precision_is_asked_again():
    case = Case({(0,): 0.2}, {(0,): math.nan})
    assert case.run(questions([(0,)])) == [[0.2]]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("reduced", [None, {(0,): math.nan}])
def test_nan_in_float32_is_an_error(value, reduced):
    with pytest.raises(FloatingPointError, match="the model returns NaN"):
        Case({(0,): value}, reduced).run(questions([(0,)]))


def test_before_the_threshold_is_known_reduced_precision_is_trusted():
    case = Case({(0,): 0.9}, {(0,): 0.8})
    case.answerer.threshold = math.inf
    assert case.run(questions([(0,)])) == [[0.8]]


# ---------------------------------------------------------------- the band of doubt is learned


def learned(differences):
    """Return a case that has seen so many sets in both precisions, with these differences."""
    pairs = {(patch,): difference for patch, difference in enumerate(differences)}
    case = Case(dict.fromkeys(pairs, 0.9), {patches: 0.9 - d for patches, d in pairs.items()})
    case.run(questions(list(pairs)))
    assert len(case.asked("float32")) == len(pairs)
    return case


def test_few_pairs_leave_the_band_as_it_is():
    assert learned([0.001] * (LEAST_PAIRS - 1)).answerer.doubt == DOUBT


def test_the_band_is_a_multiple_of_the_largest_difference():
    case = learned([0.01] * (LEAST_PAIRS - 1) + [-0.1])
    assert case.answerer.doubt == pytest.approx(BAND_FACTOR * 0.1)


def test_the_band_has_a_least_width():
    assert learned([0.0] * LEAST_PAIRS).answerer.doubt == LEAST_DOUBT


def test_a_wide_band_doubts_more():
    case = learned([0.1] * LEAST_PAIRS)
    case.exact[(0, 1)] = 0.35
    case.exact[(0, 2)] = 0.25
    case.run(questions([(0, 1), (0, 2)]))
    assert case.asked("float32")[LEAST_PAIRS:] == [(0, 1)]


def test_a_narrow_band_doubts_less():
    case = learned([0.0] * LEAST_PAIRS)
    case.exact[(0, 1)] = 0.48
    case.run(questions([(0, 1)]))
    assert (0, 1) not in case.asked("float32")


def test_nan_teaches_nothing():
    case = Case(dict.fromkeys(SINGLES, 0.2), dict.fromkeys(SINGLES, math.nan))
    case.run(questions(SINGLES))
    assert case.answerer.doubt == DOUBT


def test_a_proof_of_a_set_known_in_reduced_precision_teaches_too():
    case = Case(dict.fromkeys(SINGLES, 0.3), dict.fromkeys(SINGLES, 0.2))
    case.run(questions(SINGLES))
    case.run(questions(SINGLES, is_proof=True))
    assert case.answerer.doubt == pytest.approx(BAND_FACTOR * 0.1)


# ---------------------------------------------------------------- told wrongly


def test_a_set_on_whose_side_the_precisions_differ_is_counted():
    case = Case({(0,): 0.9, (1,): 0.2}, {(0,): 0.1})
    case.run(questions(SINGLES))
    case.run(questions(SINGLES[:2], is_proof=True))
    assert case.answerer.disagreed == 1


def test_what_float32_decided_at_once_was_not_told_wrongly():
    case = Case({(0,): 0.1}, {(0,): 0.9})
    case.run(questions(SINGLES))
    assert case.answerer.disagreed == 0


def test_a_difference_on_one_side_is_none():
    case = Case({(0,): 0.3}, {(0,): 0.1})
    case.run(questions(SINGLES))
    case.run(questions(SINGLES, is_proof=True))
    assert case.answerer.disagreed == 0


# ---------------------------------------------------------------- time is up

PAST = float("-inf")


def test_a_search_is_told_that_time_is_up():
    case = Case()
    case.answerer.deadline = PAST
    assert case.run(opening(8, 0.9)).stopped_by == "time_limit"


def test_a_search_that_does_not_listen_ends_with_the_error():
    case = Case()
    case.answerer.deadline = PAST
    with pytest.raises(TimeoutError):
        case.run(questions(SINGLES))


@pytest.fixture(params=[None, {}])
def cut_short(request):
    """A case whose time was up when four of eight sets were answered."""
    case = Case(reduced=request.param)
    steps = case.answerer.run(questions(SINGLES), step="search")
    next(steps)
    with pytest.raises(TimeoutError):
        steps.throw(OutOfTime([0.1] * 4 + [None] * 4))
    return case


def test_what_was_scored_before_time_was_up_is_known(cut_short):
    known = cut_short.answerer.exact or cut_short.answerer.reduced
    assert known == dict.fromkeys(SINGLES[:4], 0.1)


def test_only_what_was_scored_is_counted_as_a_pass(cut_short):
    assert sum(cut_short.answerer.passes.values()) == 4


def test_after_a_deadline_another_step_goes_on(cut_short):
    assert cut_short.run(questions(SINGLES), step="tree") == [[0.1] * 8]
    assert not set(cut_short.asked("float32") + cut_short.asked("reduced")) & set(SINGLES[:4])


# ---------------------------------------------------------------- a planted precision trap

FULL = 0.95


def wrong_answers(table, seed):
    """Return reduced answers, a third of them wrong by far more than any band, both ways."""
    rng = np.random.default_rng(seed)
    wrong = {}
    for patches, probability in table.items():
        if rng.random() < 1 / 3:
            wrong[patches] = 0.02 if probability > 0.5 else 0.99
        elif rng.random() < 1 / 20:
            wrong[patches] = math.nan
    return wrong


def steps_of_an_image(answerer, search):
    """Search, certify and build the graph, as the main job does."""
    found = yield from answerer.run(search, step="search")
    certificate = certify(found, answerer.threshold, anew=answerer.has_reduced)
    certified = yield from answerer.run(certificate, step="tree", only_exact=True)
    return (yield from answerer.run(diverse_sag(certified, FULL), step="tree", only_exact=True))


@pytest.fixture(scope="module", params=EIGHT_PATCH_SEARCHES)
def trapped(request):
    """Twelve images in one device's batches, whose reduced answers are wrong: (table, sag)."""
    tables = [random_scores(seed) for seed in range(12)]
    slots = [planted_slot() for _ in tables]
    table_of = dict(zip(slots, tables))
    wrong_of = {slot: wrong_answers(table_of[slot], seed) for seed, slot in enumerate(slots)}

    def confidence(slot, kind, patches):
        exact = table_of[slot][patches]
        return wrong_of[slot].get(patches, exact) if kind == "reduced" else exact

    device = PlantedDevice(confidence, limit=32, depth=2, shapes=(8, 32))
    answerers = [Answerer(slot, has_reduced=True, threshold=0.9 * FULL) for slot in slots]
    search = EIGHT_PATCH_SEARCHES[request.param]
    tasks = [Task(i, steps_of_an_image(a, search())) for i, a in enumerate(answerers)]
    ends = {done.key: done for done in Batching(device, len(tasks)).run(tasks)}
    assert all(done.error is None for done in ends.values()), ends
    return [(table, ends[i].value) for i, table in enumerate(tables)], answerers


def test_the_trap_is_one(trapped):
    _, answerers = trapped
    assert sum(answerer.doubted for answerer in answerers) > 50


def test_every_root_of_a_trap_is_an_mse_in_float32(trapped):
    for table, sag in trapped[0]:
        truth = true_mses(table_scorer(table), 8, 0.9 * FULL)
        assert found_sets(sag.result) <= truth


def test_a_trap_leaves_roots(trapped):
    assert sum(bool(sag.result.mses) for _, sag in trapped[0]) >= 9


def test_the_probabilities_of_a_trap_are_those_of_float32(trapped):
    for table, sag in trapped[0]:
        assert all(mse.probability == table[mse.patches] for mse in sag.result.mses)


def test_the_nodes_of_a_trap_are_those_of_float32(trapped):
    for table, sag in trapped[0]:
        assert all(p == table[s] for s, p in sag.graph.nodes(data="probability"))


def test_no_search_of_a_trap_claims_to_be_exhausted(trapped):
    assert all(sag.result.stopped_by != "exhausted" for _, sag in trapped[0])


def test_a_search_that_reduced_precision_ended_is_not_complete(trapped):
    for _, sag in trapped[0]:
        is_reduced = sag.result.stopped_by == "exhausted_in_reduced_precision"
        assert sag.result.complete == (not is_reduced)
