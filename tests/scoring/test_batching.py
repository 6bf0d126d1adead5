"""Many images in one thread: filled batches, nobody waits for others, and errors hit one image.

It takes the place of shared batches of several threads; what these promised is promised here.
"""

import pytest
from brute_force import HIGH, powerset, random_scores
from planted_device import EIGHT_PATCH_SEARCHES, PlantedDevice, ask, planted_slot

from patch_deletion_tree import build_sag
from scoring import batching as batching_module
from scoring.answerer import Answerer
from scoring.batching import Batching, Task
from scoring.memory import GROW_AFTER
from scoring.requests import OutOfTime

pytestmark = pytest.mark.usefixtures("quick_collections")

SINGLES = [(patch,) for patch in range(8)]
PAIRS = [patches for patches in powerset(range(8)) if len(patches) == 2]  # 28
PAST = float("-inf")


def size_of(slot, kind, patches):
    """Answer with a set's size."""
    return float(len(patches))


def steps(slot, *requests_of_sets, kind="float32", **options):
    """Ask one request after another; return all answers."""
    answers = []
    for sets in requests_of_sets:
        found = yield ask(slot, sets, kind=kind, **options)
        answers.append(list(found))
    return answers


def run(device, tasks, at_once=32, **options):
    """Return what became of each task, by its key, in the order in which they end."""
    finished = list(Batching(device, at_once, **options).run(tasks))
    by_key = {done.key: done for done in finished}
    assert len(by_key) == len(finished), "a task ends once"
    return by_key


def values(finished):
    assert all(done.error is None for done in finished.values()), finished
    return {key: done.value for key, done in finished.items()}


# ---------------------------------------------------------------- one at a time and 32 in flight

SEARCHES = {
    **EIGHT_PATCH_SEARCHES,
    "graph": lambda: build_sag([(0, 1, 2, 3), (4, 5, 6)], HIGH),
}
DEVICES = {
    "one mask a batch": {"limit": 1},
    "any shape": {"limit": 16},
    "shapes": {"limit": 64, "shapes": (4, 16, 64)},
    "two in flight": {"limit": 5, "depth": 2},
    "four in flight, shapes": {"limit": 48, "depth": 4, "shapes": (8, 32)},
}
TABLES = [random_scores(seed) for seed in range(40)]


@pytest.fixture(scope="module", params=SEARCHES)
def search(request):
    return SEARCHES[request.param]


def comparable(result):
    """Return a search's result, or a graph, as something that can be compared."""
    if hasattr(result, "mses"):
        return result
    return (sorted(result.nodes(data=True), key=str), sorted(result.edges), result.graph)


def searched(search, at_once, **device):
    """Return the results of 40 searches, each on a table of its own, by the table's number."""
    slots = [planted_slot() for _ in TABLES]
    tables = dict(zip(slots, TABLES))
    device = PlantedDevice(lambda slot, kind, patches: tables[slot][patches], **device)
    tasks = (Task(i, Answerer(slot).run(search(), step="search")) for i, slot in enumerate(slots))
    found = values(run(device, tasks, at_once=at_once))
    return {key: comparable(result) for key, result in found.items()}


@pytest.fixture(scope="module")
def one_at_a_time(search):
    return searched(search, at_once=1)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("at_once", [2, 32])
def test_results_do_not_depend_on_what_runs_beside(search, one_at_a_time, device, at_once):
    assert searched(search, at_once, **DEVICES[device]) == one_at_a_time


def test_the_tables_have_different_answers(one_at_a_time):
    assert len({repr(result) for result in one_at_a_time.values()}) > 15


# ---------------------------------------------------------------- batches are filled


def test_a_batch_takes_masks_of_several_images():
    device = PlantedDevice(size_of, limit=8)
    slots = [planted_slot() for _ in range(4)]
    run(device, [Task(slot, steps(slot, SINGLES[:2])) for slot in slots])
    assert [[slot for slot, _ in batch.parts] for batch in device.launched] == [slots]


def test_a_request_is_split_over_batches():
    device = PlantedDevice(size_of, limit=12)
    slot = planted_slot()
    (answers,) = values(run(device, [Task(0, steps(slot, PAIRS))]))[0]
    assert (answers, device.sizes) == ([2.0] * 28, [12, 12, 4])


def test_answers_come_in_the_order_of_the_masks():
    device = PlantedDevice(lambda slot, kind, patches: float(patches[0]), limit=3, depth=2)
    (answers,) = values(run(device, [Task(0, steps(planted_slot(), SINGLES))]))[0]
    assert answers == [0, 1, 2, 3, 4, 5, 6, 7]


def test_the_rest_of_a_request_shares_a_batch_with_the_next_image():
    device = PlantedDevice(size_of, limit=6)
    first = planted_slot()
    second = planted_slot()
    run(device, [Task(1, steps(first, SINGLES)), Task(2, steps(second, SINGLES[:4]))])
    assert [[(s, len(sets)) for s, sets in batch.parts] for batch in device.launched] == [
        [(first, 6)],
        [(first, 2), (second, 4)],
    ]


def test_a_batch_has_one_kind():
    device = PlantedDevice(size_of, limit=8)
    tasks = [
        Task(kind, steps(planted_slot(), SINGLES[:3], kind=kind))
        for kind in ("float32", "reduced", "gradient")
    ]
    run(device, tasks)
    assert sorted(batch.kind for batch in device.launched) == ["float32", "gradient", "reduced"]


def test_the_kind_that_most_masks_wait_for_comes_first():
    device = PlantedDevice(size_of, limit=8)
    tasks = [
        Task(kind, steps(planted_slot(), SINGLES[:count], kind=kind))
        for kind, count in {"float32": 1, "reduced": 3, "gradient": 2}.items()
    ]
    run(device, tasks)
    assert [batch.kind for batch in device.launched] == ["reduced", "gradient", "float32"]


def test_full_batches_while_enough_masks_wait():
    device = PlantedDevice(size_of, limit=8)
    tasks = [Task(i, steps(planted_slot(), SINGLES[: 1 + i % 5])) for i in range(32)]
    run(device, tasks)
    *full, _ = device.sizes
    assert set(full) == {8}


@pytest.mark.parametrize("waiting", range(1, 140))
def test_a_shape_is_filled_by_three_quarters_or_nothing_else_waits(waiting):
    shapes = (16, 32, 64)
    device = PlantedDevice(size_of, limit=64, shapes=shapes)
    slots = [planted_slot() for _ in range(waiting)]
    run(device, [Task(slot, steps(slot, [(1,)])) for slot in slots], at_once=waiting)
    filled = [size >= 0.75 * min(s for s in shapes if s >= size) for size in device.sizes]
    is_rest_of_the_smallest = device.sizes[-1] < 0.75 * 16
    assert all(filled[:-1])
    assert filled[-1] or is_rest_of_the_smallest


@pytest.mark.parametrize("limit", [17, 24, 40, 50, 70])
def test_a_limit_between_two_shapes_leaves_the_larger_one(limit):
    device = PlantedDevice(size_of, limit=limit, shapes=(16, 32, 64))
    slots = [planted_slot() for _ in range(64)]
    run(device, [Task(slot, steps(slot, [(1,)])) for slot in slots], at_once=64)
    assert set(device.sizes) <= {16, 32, 64}


def test_dropped_tokens_share_no_batch():
    device = PlantedDevice(size_of, limit=8)
    slots = [planted_slot(dropped=object()), planted_slot(dropped=object()), planted_slot()]
    run(device, [Task(slot, steps(slot, SINGLES[:2])) for slot in slots])
    assert [[slot for slot, _ in batch.parts] for batch in device.launched] == [
        [slot] for slot in slots
    ]


def test_progress_is_told_after_each_batch():
    told = []
    run(
        PlantedDevice(size_of, limit=12),
        [Task(0, steps(planted_slot(), PAIRS))],
        on_batch=told.append,
    )
    assert told == [12, 12, 4]


def test_padding_is_no_progress():
    told = []
    device = PlantedDevice(size_of, limit=16, shapes=(16,))
    run(device, [Task(0, steps(planted_slot(), PAIRS[:13]))], on_batch=told.append)
    assert told == [13]


# ---------------------------------------------------------------- nobody waits for anybody


def noting(events, name, slot, *requests_of_sets):
    """Ask one request after another, and note when each is asked and answered."""
    for number, sets in enumerate(requests_of_sets):
        events.append(f"{name} asks {number}")
        yield ask(slot, sets)
        events.append(f"{name} is answered {number}")


def test_a_task_goes_on_while_another_one_is_not_answered():
    events = []
    tasks = [
        Task("a", noting(events, "a", planted_slot(), SINGLES[:4], SINGLES[4:])),
        Task("b", noting(events, "b", planted_slot(), PAIRS)),
    ]
    run(PlantedDevice(size_of, limit=8), tasks)
    assert events.index("a asks 1") < events.index("b is answered 0")


def test_the_next_batch_starts_before_the_last_one_is_read():
    device = PlantedDevice(size_of, limit=8, depth=2)
    most = []
    device.fails = lambda batch: most.append(device.in_flight)
    run(device, [Task(0, steps(planted_slot(), PAIRS))])
    assert max(most) == 1  # beside the one that is read


def test_as_many_tasks_begin_as_may_be_in_flight():
    begun = []

    def tasks():
        for key in range(9):
            begun.append(key)
            yield Task(key, steps(planted_slot(), SINGLES, SINGLES))

    outcomes = Batching(PlantedDevice(size_of, limit=8), 3).run(tasks())
    next(outcomes)
    assert len(begun) == 3


def test_a_task_ends_as_soon_as_its_own_answers_are_there():
    device = PlantedDevice(size_of, limit=4)
    tasks = [
        Task("short", steps(planted_slot(), SINGLES[:1])),
        Task("long", steps(planted_slot(), PAIRS)),
    ]
    first = next(Batching(device, 2).run(tasks))
    assert (first.key, len(device.launched)) == ("short", 1)


def test_a_run_goes_on_where_no_further_task_has_come_yet():
    def tasks():
        yield Task(1, steps(planted_slot(), PAIRS))
        yield None
        yield None
        yield Task(2, steps(planted_slot(), SINGLES))

    assert set(values(run(PlantedDevice(size_of), tasks()))) == {1, 2}


def test_a_task_is_asked_for_again_after_each_batch():
    device = PlantedDevice(size_of, limit=8)
    batches = []

    def tasks():
        yield Task(1, steps(planted_slot(), PAIRS))
        for _ in range(3):
            batches.append(len(device.launched))
            yield None

    run(device, tasks())
    assert batches == [0, 1, 2]


def test_the_tasks_in_flight_are_counted():
    batching = Batching(PlantedDevice(size_of, limit=8), 3)
    active = [batching.active for _ in batching.run(tasks_of(planted_slot(), 5))]
    assert (max(active) <= 3, batching.active) == (True, 0)


def tasks_of(slot, count):
    """Return tasks that ask for all single patches."""
    return [Task(key, steps(slot, SINGLES)) for key in range(count)]


def test_a_request_for_nothing_is_answered_without_a_batch():
    device = PlantedDevice(size_of)
    found = values(run(device, [Task(0, steps(planted_slot(), [], [], SINGLES[:1], []))]))
    assert (found, device.sizes) == ({0: [[], [], [1.0], []]}, [1])


def test_a_task_that_asks_nothing_ends():
    device = PlantedDevice(size_of)
    assert values(run(device, [Task(0, steps(planted_slot()))])) == {0: []}
    assert device.launched == []


def test_a_task_that_asks_nothing_ends_before_the_next_one_is_asked_for():
    events = []

    def tasks():
        for key in range(3):
            events.append(f"task {key}")
            yield Task(key, steps(planted_slot()))

    finished = Batching(PlantedDevice(size_of), 32).run(tasks())
    events.extend(f"end {end.key}" for end in finished)
    assert events == ["task 0", "end 0", "task 1", "end 1", "task 2", "end 2"]


def test_without_tasks_there_is_nothing_to_do():
    assert run(PlantedDevice(size_of), []) == {}


def test_one_task_alone_returns_its_result():
    batching = Batching(PlantedDevice(size_of))
    assert batching.run_one(steps(planted_slot(), PAIRS[:2])) == [[2.0, 2.0]]


def test_one_task_alone_raises_its_error():
    def fails():
        yield ask(planted_slot(), SINGLES)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Batching(PlantedDevice(size_of)).run_one(fails())


# ---------------------------------------------------------------- deadlines


class Clock:
    """A clock that goes on by one second with each batch that is read."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(batching_module.time, "monotonic", lambda: self.now)

    def device(self, **options):
        device = PlantedDevice(size_of, **options)
        device.fails = self.tick
        return device

    def tick(self, batch):
        self.now += 1


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def until_late(slot, sets, deadline, **options):
    """Ask and return the answers that were there when time was up, or None if it was not."""
    try:
        yield ask(slot, sets, deadline=deadline, **options)
    except OutOfTime as late:
        return list(late.answers)


def test_out_of_time_has_the_answers_so_far(clock):
    device = clock.device(limit=10)
    late = until_late(planted_slot(), PAIRS, deadline=1.5)  # two batches of 28
    assert values(run(device, [Task(0, late)])) == {0: [2.0] * 20 + [None] * 8}


def test_a_request_in_flight_when_time_is_up_keeps_its_answers(clock):
    device = clock.device(limit=10, depth=2)
    late = until_late(planted_slot(), PAIRS, deadline=0.5)  # two batches run by then
    assert values(run(device, [Task(0, late)])) == {0: [2.0] * 20 + [None] * 8}


def test_what_is_wholly_in_flight_is_not_late(clock):
    device = clock.device(limit=10)
    found = values(run(device, [Task(0, until_late(planted_slot(), PAIRS[:10], deadline=0.5))]))
    assert found == {0: None}


def test_no_batch_begins_after_the_deadline():
    device = PlantedDevice(size_of)
    found = values(run(device, [Task(0, until_late(planted_slot(), SINGLES, deadline=PAST))]))
    assert (found, device.launched) == ({0: [None] * 8}, [])


def test_one_image_that_is_late_leaves_the_others(clock):
    device = clock.device(limit=10)
    tasks = [
        Task("late", until_late(planted_slot(), PAIRS, deadline=0.5)),
        Task("other", steps(planted_slot(), PAIRS)),
    ]
    assert values(run(device, tasks))["other"] == [[2.0] * 28]


def test_masks_of_a_late_request_are_not_run(clock):
    device = clock.device(limit=10)
    run(device, [Task("late", until_late(planted_slot(), PAIRS, deadline=0.5))])
    assert sum(device.sizes) == 10


def test_a_task_that_is_late_twice_runs_nothing():
    def late_twice(slot):
        for _ in range(3):
            yield from until_late(slot, SINGLES, deadline=PAST)

    device = PlantedDevice(size_of)
    run(device, [Task(0, late_twice(planted_slot()))])
    assert device.launched == []


def test_a_task_goes_on_after_its_deadline():
    def late_then_more(slot):
        yield from until_late(slot, SINGLES, deadline=PAST)
        return (yield from steps(slot, PAIRS[:1]))

    found = run(PlantedDevice(size_of), [Task(0, late_then_more(planted_slot()))])
    assert values(found) == {0: [[2.0]]}


def test_a_late_request_whose_batch_failed_for_memory_still_ends(clock):
    device = PlantedDevice(size_of, limit=10, depth=2)

    def fails(batch):
        clock.tick(batch)
        if sum(len(sets) for _, sets in batch.parts) > 4:
            raise RuntimeError("out of memory")

    device.fails = fails
    late = until_late(planted_slot(), PAIRS, deadline=0.5)
    assert values(run(device, [Task(0, late)])) == {0: [None] * 28}


# ---------------------------------------------------------------- errors

BAD = (1, 3, 5)  # a patch set that no device can answer


@pytest.fixture(params=["launch", "wait"])
def place(request):
    """Where a batch fails: when it starts, or when its answers are read."""
    return request.param


def broken_device(place, fails, **options):
    """Return a device on which `fails(batch)` may raise an error in one of two places."""
    device = PlantedDevice(size_of, **options)
    setattr(device, {"launch": "fails_at_launch", "wait": "fails"}[place], fails)
    return device


def refuse_bad(batch):
    if any(BAD in sets for _, sets in batch.parts):
        raise ValueError("bad mask")


@pytest.fixture(params=[1, 2, 4])
def one_bad_image(request, place):
    """The ends of five tasks that share batches, of which number 2 asks for a bad mask."""
    device = broken_device(place, refuse_bad, limit=20, depth=request.param)
    good = SINGLES[:3]
    requests = {i: [good, good, [BAD] if i == 2 else good, good] for i in range(5)}
    tasks = [Task(i, steps(planted_slot(), *sets)) for i, sets in requests.items()]
    return run(device, tasks)


def test_an_error_fails_the_image_that_it_is_of(one_bad_image):
    assert repr(one_bad_image[2].error) == "ValueError('bad mask')"


def test_an_error_leaves_the_images_beside_it(one_bad_image):
    del one_bad_image[2]
    assert values(one_bad_image) == {i: [[1.0] * 3] * 4 for i in (0, 1, 3, 4)}


def test_an_error_reaches_every_image_that_has_it(place):
    device = broken_device(place, refuse_bad, limit=20)
    tasks = [Task(i, steps(planted_slot(), [BAD])) for i in range(3)]
    assert [str(done.error) for done in run(device, tasks).values()] == ["bad mask"] * 3


def test_a_task_may_go_on_after_an_error(place):
    def forgiving(slot):
        try:
            yield ask(slot, [BAD])
        except ValueError:
            return (yield from steps(slot, PAIRS[:1]))

    device = broken_device(place, refuse_bad)
    assert values(run(device, [Task(0, forgiving(planted_slot()))])) == {0: [[2.0]]}


def test_after_an_error_nothing_of_that_request_runs(place):
    device = broken_device(place, refuse_bad, limit=8)
    run(device, [Task(0, steps(planted_slot(), [BAD, *PAIRS]))])
    assert device.sizes == [8]


def test_an_error_in_two_batches_in_flight_is_raised_once(place):
    device = broken_device(place, refuse_bad, limit=8, depth=4)
    caught = []

    def twice(slot):
        try:
            yield ask(slot, [BAD] * 20)
        except ValueError as error:
            caught.append(error)
        return (yield from steps(slot, PAIRS[:1]))

    found = values(
        run(device, [Task("twice", twice(planted_slot())), *tasks_of(planted_slot(), 3)])
    )
    assert (found["twice"], len(caught)) == ([[2.0]], 1)


def test_an_error_of_a_task_itself_ends_it_alone():
    def fails(slot):
        yield ask(slot, SINGLES)
        raise ZeroDivisionError("in the task")

    tasks = [Task("bad", fails(planted_slot())), *tasks_of(planted_slot(), 4)]
    found = run(PlantedDevice(size_of, limit=20), tasks)
    assert str(found.pop("bad").error) == "in the task"
    assert len(values(found)) == 4


def test_an_error_before_the_first_request_ends_the_task():
    def fails():
        raise ZeroDivisionError
        yield

    assert isinstance(run(PlantedDevice(size_of), [Task(0, fails())])[0].error, ZeroDivisionError)


def test_an_interrupt_passes_through(place):
    def interrupts(batch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(broken_device(place, interrupts), tasks_of(planted_slot(), 2))


def test_an_interrupt_in_a_task_passes_through():
    def interrupts():
        yield ask(planted_slot(), SINGLES)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(PlantedDevice(size_of), [Task(0, interrupts())])


# ---------------------------------------------------------------- memory


def memory_for(most):
    """Return what fails for more masks than these."""

    def fails(batch):
        if sum(len(sets) for _, sets in batch.parts) > most:
            raise RuntimeError("CUDA out of memory")

    return fails


@pytest.fixture(params=[1, 2, 4])
def cramped(request, place):
    """A device with memory for five masks that may be given 32."""
    return broken_device(place, memory_for(5), limit=32, depth=request.param)


def test_running_out_of_memory_changes_no_answer(cramped):
    tasks = [Task(i, steps(planted_slot(), SINGLES, PAIRS)) for i in range(6)]
    found = values(run(cramped, tasks))
    assert found == {i: [[1.0] * 8, [2.0] * 28] for i in range(6)}


def test_answers_stay_in_order_when_memory_runs_out(cramped):
    cramped.confidence = lambda slot, kind, patches: float(10 * patches[0] + patches[1])
    (answers,) = values(run(cramped, [Task(0, steps(planted_slot(), PAIRS))]))[0]
    assert answers == [10 * first + second for first, second in PAIRS]


@pytest.mark.parametrize("count", range(9, 41))
def test_any_number_of_masks_survives_a_lack_of_memory(place, count):
    device = broken_device(place, memory_for(5), limit=16, depth=2)
    tasks = [Task(i, steps(planted_slot(), 5 * SINGLES[:count], SINGLES[:2])) for i in range(2)]
    tasks.append(Task(2, steps(planted_slot(), (2 * PAIRS)[:count])))
    assert values(run(device, tasks))[2] == [[2.0] * count]


def test_what_failed_for_memory_comes_first_again_in_its_order():
    device = PlantedDevice(size_of, limit=8)
    device.fails = memory_for(4)
    slots = [planted_slot() for _ in range(6)]
    run(device, [Task(slot, steps(slot, SINGLES[:2])) for slot in slots])
    order = [[slots.index(slot) for slot, _ in batch.parts] for batch in device.launched]
    assert order == [[0, 1, 2, 3], [0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("limit", [2, 3, 16])
def test_memory_for_a_single_mask_is_enough(place, limit):
    device = broken_device(place, memory_for(1), limit=limit)
    assert values(run(device, [Task(0, steps(planted_slot(), SINGLES))])) == {0: [[1.0] * 8]}


def test_running_out_of_memory_halves_the_batch(cramped):
    run(cramped, [Task(0, steps(planted_slot(), PAIRS))])
    assert cramped.limits["float32"].size <= 5


def test_running_out_of_memory_leaves_other_kinds(cramped):
    run(cramped, [Task(0, steps(planted_slot(), PAIRS))])
    assert cramped.limits["reduced"].size == 32


def test_two_failures_in_flight_halve_once(place):
    device = broken_device(place, memory_for(4), limit=8, depth=2)
    run(device, [Task(0, steps(planted_slot(), 4 * SINGLES))])
    assert device.limits["float32"].size == 4


def test_memory_for_not_even_one_mask_fails_the_image(place):
    device = broken_device(place, memory_for(0), limit=4)
    found = run(device, [Task(0, steps(planted_slot(), SINGLES))])
    assert isinstance(found[0].error, MemoryError)


def test_without_memory_for_one_image_the_others_go_on(place):
    large = planted_slot()

    def fails(batch):
        if any(slot is large for slot, _ in batch.parts):
            raise RuntimeError("CUDA out of memory")

    device = broken_device(place, fails, limit=16)
    found = run(device, [Task("large", steps(large, SINGLES)), *tasks_of(planted_slot(), 4)])
    assert isinstance(found.pop("large").error, MemoryError)
    assert len(values(found)) == 4


def test_the_batch_grows_back_where_memory_is_there_again():
    device = PlantedDevice(size_of, limit=8)
    is_short = iter([True])

    def fails(batch):
        if next(is_short, False):
            raise RuntimeError("CUDA out of memory")

    device.fails = fails
    run(device, [Task(0, steps(planted_slot(), (GROW_AFTER + 3) * SINGLES[:4]))])
    assert device.sizes[0] == 8
    assert device.sizes[1 : GROW_AFTER + 1] == [4] * GROW_AFTER
    assert device.sizes[GROW_AFTER + 1] == 8


def test_a_batch_whose_shape_was_too_large_is_halved_to_a_shape():
    device = PlantedDevice(size_of, limit=32, shapes=(8, 16, 32))
    device.fails = memory_for(16)
    run(device, [Task(0, steps(planted_slot(), 4 * SINGLES))])  # 32 masks in a shape of 32
    assert device.limits["float32"].size == 16


def test_a_single_mask_whose_shape_was_too_large_is_run_without_padding():
    device = PlantedDevice(size_of, limit=32, shapes=(8, 16, 32))
    device.fails = iter_of_failures(1)
    assert values(run(device, [Task(0, steps(planted_slot(), PAIRS[:1]))])) == {0: [[2.0]]}
    assert device.limits["float32"].size == 4  # half of the shape of 8


@pytest.mark.parametrize("limit", [20, 28, 32])
def test_a_batch_grows_back_over_its_shapes(limit):
    device = PlantedDevice(size_of, limit=limit, shapes=(8, 16, 32))
    device.fails = iter_of_failures(1)
    run(device, [Task(0, steps(planted_slot(), 5 * GROW_AFTER * SINGLES))])
    assert device.limits["float32"].size == limit


def test_a_batch_grows_from_below_the_smallest_shape_to_the_largest():
    device = PlantedDevice(size_of, limit=32, shapes=(16, 32))
    device.limits["float32"].failed(6)  # 3, 6, 12, and then 24, which is no shape
    run(device, [Task(0, steps(planted_slot(), 10 * GROW_AFTER * SINGLES))])
    assert device.limits["float32"].size == 32


def iter_of_failures(count):
    """Return what fails for the first batches."""
    left = [True] * count

    def fails(batch):
        if left:
            left.pop()
            raise RuntimeError("CUDA out of memory")

    return fails


def test_what_failed_for_memory_is_not_told_as_progress():
    told = []
    device = PlantedDevice(size_of, limit=8)
    device.fails = iter_of_failures(1)
    run(device, [Task(0, steps(planted_slot(), SINGLES))], on_batch=told.append)
    assert told == [4, 4]
