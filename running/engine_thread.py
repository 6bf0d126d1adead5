"""What a worker of a Ray cluster does: several threads bring images, one thread owns the engine."""

import os
import queue
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from functools import partial

from running.drawers import DrawHere, RunPlan
from running.outcomes import Explain, Loaded, Outcome
from running.progress import Follower
from running.results import Job
from running.this_process import Pace
from scoring.batching import Batching, Finished, Task
from scoring.devices import failed_for_good
from scoring.engine import Engine

LOST_DEVICE = 70  # exit status of a worker whose GPU has failed


def shared_worker(
    load: Callable[[Job], Loaded], explain: Explain[Loaded], *, engine: Engine, plan: RunPlan
) -> Callable[[Job, int], Outcome]:
    """Return what a worker does for each image; several threads may call it.

    One thread owns the engine. The others hand it their images, which share its batches, and draw
    what comes back. The second argument is the number of further images that the worker may expect.
    """
    owner = EngineThread(engine, plan.images_at_once)
    drawing = threading.Lock()
    here = DrawHere(plan)

    def work(job: Job, jobs_left: int) -> Outcome:
        loaded = _attempt(partial(load, job))  # here, not in the engine's thread
        finished = owner.run(Task(job, explain(job, loaded.result, Follower())), jobs_left)
        with drawing:
            (outcome,) = here.take(finished)
        return outcome

    return work


def _attempt(function: Callable[[], Loaded]) -> Future[Loaded]:
    """Call a function and return its result, or what it raised, as a finished future."""
    result: Future[Loaded] = Future()
    try:
        result.set_result(function())
    except Exception as error:
        result.set_exception(error)
    return result


class EngineThread:
    """A thread that owns an engine and runs tasks that other threads hand to it.

    Args:
        engine: used by that thread alone from now on.
        at_once: number of tasks in flight.
    """

    def __init__(self, engine: Engine, at_once: int):
        self.engine = engine
        self.at_once = at_once
        self.tasks: queue.Queue[Task] = queue.Queue()
        self.results: dict[Hashable, Future[Finished]] = {}
        self.jobs_left = 0
        self.error: BaseException | None = None  # that ended the thread
        self._lock = threading.Lock()
        threading.Thread(target=self._work, daemon=True, name="engine").start()

    def run(self, task: Task, jobs_left: int) -> Finished:
        """Run a task and wait for its end."""
        self.jobs_left = jobs_left
        result: Future[Finished] = Future()
        with self._lock:
            if self.error is not None:
                raise self.error
            self.results[task.key] = result
        self.tasks.put(task)
        return result.result()

    def _work(self) -> None:
        try:
            self._run_all()
        except BaseException as error:
            with self._lock:  # so that no caller waits for ever
                self.error = error
                for result in self.results.values():
                    result.set_exception(error)
            raise

    def _run_all(self) -> None:
        pace = Pace(self.engine)
        batching = Batching(self.engine, self.at_once)
        for finished in batching.run(self._incoming(batching)):
            if finished.error and failed_for_good(finished.error, self.engine.device):
                # The process ends, so that its images go to other workers.
                os._exit(LOST_DEVICE)
            self.results.pop(finished.key).set_result(finished)
            pace.note(finished)
            pace.speed_up_if_it_pays(self.jobs_left)

    def _incoming(self, batching: Batching) -> Iterator[Task | None]:
        """Yield tasks as they come; None where there is none now but others run."""
        while True:
            try:
                yield self.tasks.get(block=batching.active == 0)
            except queue.Empty:
                yield None
