"""Simulated devices keep exact accounts, and the simulation is the same every time."""

from dataclasses import replace

import numpy as np
import pytest
from drawn import make_sag
from planted_device import ask, planted_slot

from drawing.record import pack_scores
from experiments.measurements import MainJobSettings
from experiments.simulated_classifiers import (
    Logistic,
    SimulatedCase,
    planted,
    planted_cases,
    recorded_case,
    repeated,
)
from experiments.simulated_device import CPU, H100, Clock, DeviceModel, SimulatedDevice
from experiments.simulation import COLUMNS, origin_of, report_of_devices, run_all, simulate, table
from scoring.batching import Batching

NO_PAIRS = {"pairs": np.zeros((0, 2), int), "pair_weights": np.zeros(0)}
SINGLES = [(patch,) for patch in range(8)]
# 16 rows take a second in the reduced precision, 8 in float32; so does a launch.
SLOW = DeviceModel(
    "slow", reduced=16, float32=8, launch=1.0, depth=2, shapes=(16,), largest=16, at_once=1
)


@pytest.fixture
def device():
    """Return a slow device with one classifier of 8 patches."""
    return SimulatedDevice(SLOW, [Logistic(-1.0, np.ones(8), **NO_PAIRS)])


def run(device, *requests):
    """Run a task that asks each request in turn."""

    def steps():
        for request in requests:
            answers = yield request
            assert len(answers) == len(request.masks)

    Batching(device).run_one(steps())


# ---------------------------------------------------------------- the clock


def test_half_a_batch_reaches_half_of_the_ceiling(device):
    run(device, ask(planted_slot(), SINGLES, kind="reduced"))
    assert device.clock.elapsed == 1.0
    assert device.share == 0.5
    assert device.fill == 0.5
    assert device.synchronisations == 1.0


def test_rounds_of_one_task_follow_each_other(device):
    run(device, *[ask(planted_slot(), SINGLES, kind="float32") for _ in range(3)])
    assert device.clock.elapsed == 6.0  # padded to 16 rows, 2 s each
    assert device.share == 0.5


def test_a_gradient_costs_three_rows_and_no_padding(device):
    run(device, ask(planted_slot(), SINGLES, kind="gradient"))
    assert device.clock.elapsed == 8 * 3 / 16
    assert device.fill == 1.0


def test_a_small_batch_costs_a_launch():
    device = SimulatedDevice(replace(SLOW, shapes=()), [Logistic(-1.0, np.ones(8), **NO_PAIRS)])
    run(device, ask(planted_slot(), SINGLES[:1], kind="reduced"))
    assert device.clock.elapsed == 1.0
    assert device.share == 1 / 16


def test_batches_run_one_after_the_other():
    clock = Clock()
    assert clock.launch(2.0) == 2.0
    assert clock.launch(3.0) == 5.0


def test_the_host_computes_beside_a_batch():
    clock = Clock()
    finished = clock.launch(2.0)
    clock.now += 1.5  # what the host computes meanwhile
    clock.wait_until(finished)
    assert clock.elapsed == 2.0
    clock.now += 3.0  # with nothing in flight
    assert clock.launch(1.0) == 6.0


def test_host_time_is_counted_only_where_it_is_wanted():
    for counts_host in (False, True):
        clock = Clock(counts_host=counts_host)
        clock.start()
        sum(range(100_000))
        clock.take_control()
        assert clock.host_seconds > 0
        assert (clock.now > 0) == counts_host


def test_a_lone_pass_waits_for_the_batches_before_it(device):
    device.clock.launch(5.0)
    device.run_alone(8)
    assert device.clock.now == 6.0
    assert device.lone_passes == 1


# ---------------------------------------------------------------- classifiers


def test_gradients_are_those_of_the_confidences():
    classifier = planted(np.random.default_rng(0))
    mask = np.full((1, 49), 0.3)
    step = 1e-5
    for patch in (0, 24, 48):
        moved = mask.copy()
        moved[0, patch] += step
        slope = (classifier.confidences(moved) - classifier.confidences(mask))[0] / step
        assert slope == pytest.approx(classifier.gradients(mask)[0, patch], rel=1e-3, abs=1e-9)


def test_a_planted_classifier_is_monotone():
    classifier = planted(np.random.default_rng(1))
    masks = np.tri(50, 49, -1)  # one more patch in every row
    assert (np.diff(classifier.confidences(masks)) >= 0).all()


def test_a_record_answers_what_it_knows():
    known = {(0,): 0.25, (0, 1): 0.75}
    sag = make_sag(grid=(2, 2), saliency=[0.1, 0.2, 0.3, 0.4])
    sag.scores = pack_scores(known)
    case = recorded_case(sag)
    masks = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0]], float)
    answers = case.classifier.confidences(masks)
    assert answers[:2].tolist() == [0.25, 0.75]
    assert 0 < answers[2] < 1
    assert case.saliency.tolist() == [0.1, 0.2, 0.3, 0.4]
    assert origin_of([case]) == "1 record(s), whose tables answer 67% of the sets"


# ---------------------------------------------------------------- all steps


def run_cases(model, cases):
    """Run all steps on a device, without host time."""
    return run_all(model, cases, MainJobSettings(full_curves=False), clock=Clock())


def test_the_same_cases_take_the_same_time():
    first = run_cases(H100, planted_cases(3, seed=1))
    second = run_cases(H100, planted_cases(3, seed=1))
    assert first.clock.elapsed == second.clock.elapsed
    assert first.counts == second.counts


def test_nothing_costs_less_than_at_the_ceiling():
    for model in (H100, CPU):
        device = run_cases(model, planted_cases(3, seed=1))
        assert 0 < device.share <= 1
        assert 0 < device.fill <= 1


def test_few_records_are_repeated():
    first, second = planted_cases(2, seed=0)
    names = [case.name for case in repeated([first, second], 3)]
    assert names == [first.name, second.name, first.name]


def test_a_recorded_saliency_is_followed():
    class Watched(Logistic):
        def confidences(self, masks):
            answers = super().confidences(masks)
            asked.extend(zip(masks.sum(1).tolist(), masks.argmax(1).tolist()))
            return answers

    asked = []
    classifier = Watched(-6.0, np.full(49, 1.0), **NO_PAIRS)
    saliency = np.ones(49)
    saliency[30:45] = 0.0  # in place of I-GOS's order, which is that of the numbers here
    run_cases(CPU, [SimulatedCase("a", classifier, saliency=saliency)])
    singles = {patch for size, patch in asked if size == 1 and patch}
    assert set(range(30, 45)) <= singles


def test_the_table_has_a_row_for_each_device():
    cases = planted_cases(2, seed=0)
    results = [simulate(model, cases) for model in (H100, CPU)]
    rows = table(results)
    assert rows[0] == list(COLUMNS)
    assert [row[0] for row in rows[1:]] == ["H100", "CPU"]
    assert "2 images from planted classifiers" in report_of_devices(results, cases)
