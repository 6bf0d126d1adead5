"""Batches of several threads: one shape, the same answers, and errors that reach everyone."""

import threading
import time

import pytest
import torch

from scoring.shared_batches import SharedBatches, in_turn

BATCH_SIZE = 8
SECONDS = 60  # after which a thread that still waits has failed


def wait_for(condition):
    """Wait until a condition holds."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


def ask_together(forward, questions):
    """Return the answers to batches of images, each asked by a thread of its own, in this order.

    The order decides the place of an image in its batch, by which a processor may round.
    """
    shared = SharedBatches(BATCH_SIZE)
    ask = shared.through(forward)
    answers = [None] * len(questions)
    all_take_part = threading.Barrier(len(questions))

    def take_part(place):
        with shared.part():
            all_take_part.wait(SECONDS)
            wait_for(lambda: len(shared._waiting) == place)
            answers[place] = ask(questions[place])

    threads = [threading.Thread(target=take_part, args=[i]) for i in range(len(questions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    return answers


@pytest.fixture(scope="module")
def questions(images):
    """The questions of three threads: 5, 13 and 2 images."""
    return images.split([5, 13, 2])


@pytest.fixture(scope="module")
def batch_sizes():
    """The number of images in each batch that the network saw."""
    return []


@pytest.fixture(scope="module")
def answers(resnet, questions, batch_sizes):
    """The answers to three threads."""

    def forward(batch):
        batch_sizes.append(len(batch))
        return resnet(batch)

    return ask_together(forward, questions)


def test_all_batches_have_one_shape(answers, batch_sizes):
    assert set(batch_sizes) == {BATCH_SIZE}


def test_threads_that_wait_share_their_batches(answers, batch_sizes):
    assert len(batch_sizes) == 3  # for 20 images


@pytest.mark.parametrize("thread", [0, 1, 2])
def test_each_thread_gets_the_answers_to_its_images(resnet, questions, answers, thread):
    assert torch.allclose(answers[thread], resnet(questions[thread]), atol=1e-5)


def test_an_answer_does_not_depend_on_what_is_beside_it(resnet, questions, answers):
    first, *_ = answers
    (alone,) = ask_together(resnet, questions[:1])
    assert torch.equal(alone, first)


def test_threads_may_ask_several_times_in_any_order(resnet, images):
    shared = SharedBatches(BATCH_SIZE)
    ask = shared.through(resnet)
    parts = {"first": images[:5], "second": images[5:18], "third": images[18:]}
    answers = {}

    def take_part(name):
        with shared.part():
            halves = [parts[name][:-1], parts[name][-1:]]
            answers[name] = torch.cat([ask(half) for half in halves])

    threads = [threading.Thread(target=take_part, args=[name]) for name in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    found = torch.cat([answers[name] for name in parts])
    assert torch.allclose(found, resnet(images), atol=1e-5)


def test_different_networks_have_batches_of_their_own():
    shared = SharedBatches(BATCH_SIZE)
    double = shared.through(lambda x: 2 * x.flatten(1))
    triple = shared.through(lambda x: 3 * x.flatten(1))
    ones = torch.ones(2, 3, 1, 1)
    with shared.part():
        found = [ask(ones).mean().item() for ask in (double, triple, double)]
    assert found == [2, 3, 2]


# ---------------------------------------------------------------- errors


def small_and_positive(batch):
    """Return the images as logits; memory is for two, and no image may be negative."""
    if len(batch) > 2:
        raise RuntimeError("out of memory")
    if batch.sum() < 0:
        raise ValueError("negative")
    return batch.flatten(1)


@pytest.fixture
def shared():
    """Shared batches of which one thread, this one, takes part."""
    batches = SharedBatches(BATCH_SIZE)
    with batches.part():
        yield batches


@pytest.fixture
def ask(shared):
    return shared.through(small_and_positive)


def test_running_out_of_memory_changes_no_answer(ask):
    assert torch.equal(ask(torch.ones(5, 3, 1, 1)), torch.ones(5, 3))


def test_running_out_of_memory_makes_batches_smaller(ask, shared):
    ask(torch.ones(5, 3, 1, 1))
    assert shared.batch_size == 2


def test_memory_for_not_even_one_image_is_an_error(shared):
    def out_of_memory(batch):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        shared.through(out_of_memory)(torch.ones(5, 3, 1, 1))


def test_an_error_is_raised_where_it_was_asked(ask):
    with pytest.raises(ValueError, match="negative"):
        ask(-torch.ones(1, 3, 1, 1))


def test_an_error_reaches_every_thread_of_the_batch():
    raised = []

    def fails(batch):
        raise ValueError("broken")

    shared = SharedBatches(BATCH_SIZE)
    ask = shared.through(fails)
    both_take_part = threading.Barrier(2)

    def take_part():
        with shared.part():
            both_take_part.wait(SECONDS)
            try:
                ask(torch.ones(1, 3, 1, 1))
            except ValueError as error:
                raised.append(str(error))

    threads = [threading.Thread(target=take_part) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert raised == ["broken", "broken"]


def test_after_an_error_the_next_question_is_answered(ask):
    with pytest.raises(ValueError):
        ask(-torch.ones(1, 3, 1, 1))
    assert torch.equal(ask(torch.ones(1, 3, 1, 1)), torch.ones(1, 3))


def test_closed_batches_answer_nothing(ask, shared):
    shared.close()
    with pytest.raises(RuntimeError, match="closed"):
        ask(torch.ones(1, 3, 1, 1))


# ---------------------------------------------------------------- jobs in turn


@pytest.mark.parametrize("at_once", [1, 3, 9])
def test_jobs_come_back_in_order(at_once):
    done = [(job, result()) for job, result in in_turn(lambda job: -job, range(7), at_once)]
    assert done == [(job, -job) for job in range(7)]


def test_an_error_of_a_job_is_raised_by_its_result():
    results = dict(in_turn(lambda job: 1 / job, [1, 0, 2], 2))
    with pytest.raises(ZeroDivisionError):
        results.pop(0)()


def test_an_error_of_a_job_leaves_the_others():
    results = dict(in_turn(lambda job: 1 / job, [1, 0, 2], 2))
    assert {job: results[job]() for job in (1, 2)} == {1: 1.0, 2: 0.5}


def test_no_more_jobs_run_at_once_than_allowed():
    running = set()
    most = []

    def work(job):
        running.add(job)
        most.append(len(running))
        time.sleep(0.01)
        running.remove(job)

    for _, result in in_turn(work, range(8), 2):
        result()
    assert max(most) <= 2
