"""A thread that owns the engine: other threads hand it images and wait for their own results."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from planted_device import PlantedDevice, ask, planted_slot

from running.engine_thread import EngineThread
from scoring.batching import Task

SECONDS = 60  # after which a thread that still waits has failed
SETS = [(patch,) for patch in range(8)]


class PlantedEngine(PlantedDevice):
    """A planted device that there is nothing to compile for."""

    device = torch.device("cpu")
    compiled = True


def number_of(slot, kind, patches):
    """Answer with the patch's number."""
    return float(patches[0])


def total(slot, rounds=1):
    """Ask and return the sum of all answers."""
    found = 0
    for _ in range(rounds):
        answers = yield ask(slot, SETS)
        found += sum(answers)
    return explained(found)


def explained(result):
    """Return a task's result as something that an earlier run has explained."""
    return SimpleNamespace(result=result, is_new=False)


def nothing():
    """Ask nothing, as where an image is there already."""
    return explained("there already")
    yield


def fails(slot):
    yield ask(slot, SETS)
    raise ZeroDivisionError("in the task")


@pytest.fixture
def engine():
    return PlantedEngine(number_of, limit=16)


def finished(owner, tasks):
    """Return what became of each task, each run by a thread of its own."""
    with ThreadPoolExecutor(len(tasks)) as threads:
        futures = [threads.submit(owner.run, task, 0) for task in tasks]
        return [future.result(SECONDS) for future in futures]


def test_each_thread_gets_the_result_of_its_own_task(engine):
    tasks = [Task(i, total(planted_slot(), rounds=i)) for i in range(1, 9)]
    ends = finished(EngineThread(engine, 4), tasks)
    assert {end.key: end.value.result for end in ends} == {i: 28.0 * i for i in range(1, 9)}


def together(slot, key, started):
    """Ask until both tasks have started, and some rounds more."""
    started.add(key)
    rounds_left = 3
    while rounds_left:
        yield ask(slot, SETS)
        rounds_left -= len(started) == 2
    return explained(None)


def test_tasks_of_several_threads_share_batches(engine):
    started = set()
    tasks = [Task(i, together(planted_slot(), i, started)) for i in range(2)]
    finished(EngineThread(engine, 2), tasks)
    assert max(engine.sizes) == 16


def test_a_task_that_asks_nothing_is_not_waited_for(engine):
    (end,) = finished(EngineThread(engine, 4), [Task("a", nothing())])
    assert end.value.result == "there already"


@pytest.mark.parametrize("at_once", [1, 2, 8])
def test_tasks_that_ask_nothing_leave_the_others(engine, at_once):
    tasks = [Task(i, nothing() if i % 2 else total(planted_slot())) for i in range(8)]
    ends = finished(EngineThread(engine, at_once), tasks)
    assert [end.value.result for end in ends] == [28.0, "there already"] * 4


def test_an_error_of_a_task_is_in_its_result(engine):
    tasks = [Task("bad", fails(planted_slot())), Task("good", total(planted_slot()))]
    bad, good = finished(EngineThread(engine, 2), tasks)
    assert (str(bad.error), good.value.result) == ("in the task", 28.0)


def test_the_thread_works_on_after_it_had_nothing_to_do(engine):
    owner = EngineThread(engine, 2)
    for _ in range(3):
        (end,) = finished(owner, [Task("a", total(planted_slot()))])
        assert end.value.result == 28.0
