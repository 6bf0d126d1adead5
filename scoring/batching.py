"""Many images advance in one thread, and their requests fill the batches of one device.

    for finished in Batching(engine, at_once=32).run(tasks):
        print(finished.key, finished.error or finished.value)

A task is a generator that yields requests (scoring/requests.py). Whatever waits goes into the next
batch, whichever image it is from, and each task goes on as soon as its own request is answered.
No task waits for another. Where the device can have several batches in flight, the next one
starts before the answers of the last one are read.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Protocol

from scoring.memory import BatchLimit, free_memory, is_out_of_memory
from scoring.requests import KINDS, Kind, OutOfTime, Request, Steps


@dataclass(frozen=True)
class Part:
    """Some masks of a request, those from start to stop."""

    waiting: "Waiting"
    start: int
    stop: int

    @property
    def request(self) -> Request:
        """The request."""
        return self.waiting.request

    def __len__(self) -> int:
        return self.stop - self.start


class Device(Protocol):
    """What runs batches: an engine, or a simulated one.

    Attributes:
        depth: number of batches that may be in flight.
        limits: by kind, how many masks may go into a batch.
    """

    depth: int
    limits: dict[Kind, BatchLimit]

    def shapes(self, kind: Kind) -> Sequence[int]:
        """Return the batch shapes that there are, ascending; none: a batch has any shape."""

    def launch(self, kind: Kind, parts: Sequence[Part]) -> Any:
        """Start a batch and return a handle of it."""

    def wait(self, handle: Any) -> list[Any]:
        """Wait for a batch and return its answers, one per mask."""


def rows_of(device: Device, kind: Kind, masks: int) -> int:
    """Return the rows that run for so many masks: a whole shape, unless that exceeds the limit."""
    most = device.limits[kind].size
    return next((shape for shape in device.shapes(kind) if masks <= shape <= most), masks)


@dataclass(frozen=True)
class Finished:
    """A task that has ended.

    Attributes:
        key: of the task.
        value: what it returned; None where it failed.
        error: what it raised, or None.
    """

    key: Any
    value: Any = None
    error: Exception | None = None


@dataclass(eq=False)
class Task:
    """One image's steps.

    Attributes:
        key: names it in Finished.
        steps: yields requests, and returns the result.
    """

    key: Any
    steps: Steps[Any]


@dataclass(eq=False)
class Waiting:
    """A request with the answers that it has so far."""

    task: Task
    request: Request
    answers: list[Any]
    missing: int  # number of answers that are still to come
    in_flight: int = 0  # number of its masks in batches that run
    error: Exception | None = None
    is_delivered: bool = False


@dataclass(eq=False)
class _Running:
    """A batch in flight."""

    kind: Kind
    parts: list[Part]
    handle: Any
    rows: int  # padding included

    def __len__(self) -> int:
        return sum(map(len, self.parts))


@dataclass
class Batching:
    """Runs tasks on a device; see the module's docstring.

    Attributes:
        device: runs the batches.
        at_once: number of tasks in flight.
        on_batch: called with the number of masks after each batch, for a progress bar.
        active: number of tasks that have begun and not ended.
    """

    device: Device
    at_once: int = 1
    on_batch: Callable[[int], None] | None = None
    active: int = 0
    _queues: dict[Kind, deque[Part]] = field(default_factory=lambda: {k: deque() for k in KINDS})
    _running: deque[_Running] = field(default_factory=deque)
    _finished: list[Finished] = field(default_factory=list)

    def run(self, tasks: Iterable[Task | None]) -> Iterator[Finished]:
        """Run all tasks and yield each as it ends.

        Args:
            tasks: started in this order, as soon as there is room. None says that there is no
                further task now; the next one is asked for after the next batch.
        """
        remaining = iter(tasks)
        is_over = False
        while True:
            while not is_over and self.active < self.at_once:
                try:
                    task = next(remaining)
                except StopIteration:
                    is_over = True
                    break
                if task is None:
                    break
                self._start(task)
                yield from self._take_finished()  # the next task may be long in coming
            if self.active == 0 and is_over:
                return
            self._launch_all()
            self._collect()
            yield from self._take_finished()

    def run_one(self, steps: Steps[Any]) -> Any:
        """Run one task alone and return its result, or raise what it raised."""
        (finished,) = self.run([Task(None, steps)])
        if finished.error is not None:
            raise finished.error
        return finished.value

    def _take_finished(self) -> list[Finished]:
        finished = self._finished
        self._finished = []
        return finished

    # Tasks advance.

    def _start(self, task: Task) -> None:
        self.active += 1
        self._advance(task, None)

    def _advance(self, task: Task, answers: Sequence[Any] | Exception | None) -> None:
        """Send a task its answers, or throw an error into it, and queue what it asks next."""
        try:
            if isinstance(answers, Exception):
                request = task.steps.throw(answers)
            else:
                request = task.steps.send(answers)  # type: ignore[arg-type]  # None starts it
            while len(request.masks) == 0:
                request = task.steps.send([])
        except StopIteration as end:
            self._end(Finished(task.key, value=end.value))
        except Exception as error:  # whatever it is, the other tasks go on
            self._end(Finished(task.key, error=error))
        else:
            count = len(request.masks)
            waiting = Waiting(task, request, [None] * count, missing=count)
            self._queues[request.kind].append(Part(waiting, 0, count))

    def _end(self, finished: Finished) -> None:
        self.active -= 1
        self._finished.append(finished)

    # Batches are filled.

    def _launch_all(self) -> None:
        """Start batches until the device has as many in flight as it takes."""
        while len(self._running) < self.device.depth:
            self._drop_late()
            kind = max(KINDS, key=lambda kind: sum(map(len, self._queues[kind])))
            parts = self._take(kind)
            if not parts:
                return
            self._launch(kind, parts)

    def _drop_late(self) -> None:
        """Take requests whose deadline has passed out of the queues."""
        now = time.monotonic()
        while late := [part for part in self._queued() if part.request.deadline < now]:
            for kind, queue in self._queues.items():
                self._queues[kind] = deque(p for p in queue if p.request.deadline >= now)
            for part in late:  # a task may ask for more that is late
                part.waiting.error = OutOfTime(part.waiting.answers)
                self._deliver(part.waiting)

    def _queued(self) -> Iterator[Part]:
        return chain.from_iterable(self._queues.values())

    def _take(self, kind: Kind) -> list[Part]:
        """Return the parts of the next batch, and take them from the queue."""
        queue = self._queues[kind]
        if not queue:
            return []
        alone = queue[0].request.slot if queue[0].request.slot.dropped else None
        room = self._rows(kind, sum(map(len, queue)))
        parts: list[Part] = []
        while queue and room > 0:
            part = queue[0]
            slot = part.request.slot
            if parts and (alone or slot.dropped) and slot is not alone:
                break  # dropped tokens share no batch with other images
            queue.popleft()
            middle = min(part.start + room, part.stop)
            parts.append(Part(part.waiting, part.start, middle))
            room -= middle - part.start
            if middle < part.stop:
                queue.appendleft(Part(part.waiting, middle, part.stop))
        return parts

    def _rows(self, kind: Kind, waiting: int) -> int:
        """Return how many masks go into the next batch, so that its shape is filled."""
        most = self._most(kind)
        if waiting >= most:
            return most
        shapes = [shape for shape in self.device.shapes(kind) if shape <= most]
        for shape in reversed(shapes):
            if waiting >= shape:
                return shape
        return waiting

    def _most(self, kind: Kind) -> int:
        """Return how many masks the largest batch has: a whole shape, where one is small enough."""
        size = self.device.limits[kind].size
        return max((shape for shape in self.device.shapes(kind) if shape <= size), default=size)

    def _launch(self, kind: Kind, parts: list[Part]) -> None:
        for part in parts:
            part.waiting.in_flight += len(part)
        rows = rows_of(self.device, kind, sum(map(len, parts)))
        problem = None
        try:
            running = _Running(kind, parts, self.device.launch(kind, parts), rows)
        except Exception as error:  # handled outside, where its frames hold no tensors any more
            problem = error.with_traceback(None)
        if problem is None:
            self._running.append(running)
        else:
            self._failed(kind, parts, rows=rows, error=problem)

    def _collect(self) -> None:
        """Wait for the oldest batch and deliver its answers."""
        if not self._running:
            return
        running = self._running.popleft()
        problem = None
        try:
            answers = self.device.wait(running.handle)
        except Exception as error:
            problem = error.with_traceback(None)
        running.handle = None
        if problem is not None:
            self._failed(running.kind, running.parts, rows=running.rows, error=problem)
            return
        if len(running) >= self._most(running.kind):
            limit = self.device.limits[running.kind]
            limit.succeeded(limit.size)
        if self.on_batch:
            self.on_batch(len(running))
        place = 0
        for part in running.parts:
            part.waiting.answers[part.start : part.stop] = answers[place : place + len(part)]
            part.waiting.missing -= len(part)
            part.waiting.in_flight -= len(part)
            place += len(part)
        for part in running.parts:
            self._deliver(part.waiting)

    def _deliver(self, waiting: Waiting) -> None:
        """Let a task go on if its request is answered, or has failed."""
        if waiting.in_flight > 0 or waiting.is_delivered:
            return
        if waiting.error is not None:
            waiting.is_delivered = True
            self._advance(waiting.task, waiting.error)
        elif waiting.missing == 0:
            waiting.is_delivered = True
            self._advance(waiting.task, waiting.answers)

    # Batches fail.

    def _failed(self, kind: Kind, parts: list[Part], *, rows: int, error: Exception) -> None:
        """Repeat a batch in smaller parts; a mask that fails alone fails its request."""
        for part in parts:
            part.waiting.in_flight -= len(part)
        is_memory = is_out_of_memory(error)
        if is_memory:
            free_memory()
            if rows > 1:
                self.device.limits[kind].failed(rows)
                self._queues[kind].extendleft(reversed(parts))
                return
            error = MemoryError("out of memory on a single image")
        if len(parts) == 1:
            self._fail(parts[0].waiting, error)
            return
        # One image's error must not end the others: each is repeated alone.
        for part in parts:
            self._alone(kind, part)

    def _alone(self, kind: Kind, part: Part) -> None:
        self._launch(kind, [part])
        while self._running:
            self._collect()

    def _fail(self, waiting: Waiting, error: Exception) -> None:
        queue = self._queues[waiting.request.kind]
        self._queues[waiting.request.kind] = deque(p for p in queue if p.waiting is not waiting)
        waiting.error = error
        self._deliver(waiting)
