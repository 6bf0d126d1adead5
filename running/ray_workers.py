"""Run jobs on the workers of a Ray cluster, one job at a time to every worker that is free.

    for finished in run_jobs(images, "main_generate_sag:ray_worker", (settings,), address="local"):
        print(finished.job, finished.error or finished.value)

A worker is a process with a model of its own. Where the cluster has GPUs, each worker has one;
otherwise every CPU core has a worker with one thread, as far as the memory allows. The set-up
function, given as MODULE:FUNCTION, is called once in each worker: set_up(device, *arguments)
returns do, and do(job, jobs_left) is called for every job, where jobs_left is the number of further
jobs that this worker may expect. Jobs and results must be picklable, and every machine must see the
project, and the folder that the run was started in, at the same path.

When a worker or a machine dies, only the jobs that it was working on are lost. They are repeated by
another worker after all other jobs, and given up after MAX_WORKERS_LOST_PER_JOB deaths. Machines
that join later get workers as well.

Ray 2.60 has two pools that do part of this. ray.util.ActorPool is made of a fixed set of actors,
each with one job at a time. It neither repeats the job of a dead actor nor replaces the actor, its
error does not name the job, and when the last actor is dead it ends normally although jobs are left
in its queue. Ray Data restarts a dead actor, but repeats its row at once on the same actor, by
default without end; with a limit, such a row either ends the whole run or is missing from the
results without a word. This module therefore has a pool of its own.

This module is imported only where the option --ray is given.
"""

import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from running.ray_cluster import Machine, choose_device, connect, describe_machine
from utils import PROJECT, UserError, log, one_line

MAX_WORKERS_LOST_PER_JOB = 3  # a job during which so many workers died is given up
MAX_FAILED_STARTS = 3  # a machine on which so many workers in a row died while starting is given up
POLL_SECONDS = 3.0  # time between two looks at the machines of the cluster
ANSWER_SECONDS = 60  # time that an idle worker has to answer


@dataclass(frozen=True)
class FinishedJob:
    """A job with its result, or with the reason why it failed.

    Attributes:
        job: The job, as it was given.
        value: What do(job, jobs_left) returned; None where it failed.
        error: Why it failed, in one line; None where it did not.
    """

    job: Any
    value: Any = None
    error: str | None = None


@dataclass(frozen=True)
class WorkerSpec:
    """How each worker of a pool is made.

    Attributes:
        set_up: Set-up function as MODULE:FUNCTION.
        arguments: Arguments of the set-up function after the device.
        device: "cuda" or "cpu".
        at_once: Number of jobs that a worker runs at a time, each in a thread of its own.
    """

    set_up: str
    arguments: tuple
    device: str
    at_once: int


@dataclass(eq=False)
class Worker:
    """A worker of the pool, as seen from the process that started the run.

    Attributes:
        actor: Handle of the Ray actor.
        node_id: The machine that it was started on.
        is_ready: Whether its set-up function has returned.
        jobs: Positions of the jobs that it is working on.
    """

    actor: Any
    node_id: str
    is_ready: bool = False
    jobs: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Task:
    """A Ray task that has not finished: a job, or the set-up of a worker (position None)."""

    worker: Worker
    position: int | None


def run_jobs(
    jobs: Sequence,
    set_up: str,
    arguments: tuple,
    *,
    address: str,
    device: str = "auto",
    at_once: int = 1,
    log_line: Callable[[str], None] = log,
) -> Iterator[FinishedJob]:
    """Run jobs on a Ray cluster and yield each as soon as it is finished.

    Args:
        jobs: The jobs, handed out in this order; picklable.
        set_up: Set-up function as MODULE:FUNCTION; see the module's docstring.
        arguments: Arguments of the set-up function after the device; picklable.
        address: "local" for this machine alone, "auto" for the cluster that this machine belongs
            to, or the HOST:PORT of a cluster.
        device: "cuda", "cpu", or "auto" for GPUs where the cluster has some.
        at_once: Number of jobs that a worker with a GPU runs at a time, each in a thread.
        log_line: Called with lines about workers that cannot start.

    Raises:
        UserError: There is no such cluster, or no worker can be started on it.
    """
    ray = connect(address)
    try:
        chosen = choose_device(ray, device)
        jobs_at_once = at_once if chosen == "cuda" else 1
        spec = WorkerSpec(set_up, arguments, device=chosen, at_once=jobs_at_once)
        yield from Pool(ray, jobs, spec=spec, log_line=log_line).run()
    finally:
        ray.shutdown()


# ---------------------------------------------------------------- the process of a worker


def worker_process_class(ray: Any) -> Any:
    """Return the Ray actor class that runs in a worker's process.

    The class is defined inside a function so that Ray ships its code to the worker, which cannot
    import this project before __init__ has added it to the path.
    """
    project = str(PROJECT)
    folder = os.getcwd()

    class WorkerProcess:
        def __init__(self) -> None:
            # Not in set_up, whose arguments may be of the project's types and are read before.
            sys.path.insert(0, project)

        def set_up(
            self, set_up: str, device: str, threads: int, arguments: tuple
        ) -> tuple[None, str]:
            """Call the set-up function; return (None, ""), or (None, why it failed)."""
            try:
                os.chdir(folder)
                import cv2
                import torch

                torch.set_num_threads(threads)
                cv2.setNumThreads(threads)
                module, _, function = set_up.partition(":")
                self.do = getattr(import_module(module), function)(device, *arguments)
            except Exception as error:  # whatever keeps the user's model from loading
                return None, " ".join(str(error).split()) or type(error).__name__
            return None, ""

        def is_alive(self) -> bool:
            """Return True; a dead worker does not answer."""
            return True

        def work(self, job: Any, jobs_left: int) -> tuple[Any, str]:
            """Return (value, ""), or (None, why the job failed)."""
            try:
                return self.do(job, jobs_left), ""
            except Exception as error:  # reported by the process that started the run
                return None, f"{type(error).__name__}: {' '.join(str(error).split())}"

    return ray.remote(max_restarts=0, max_task_retries=0)(WorkerProcess)


# ---------------------------------------------------------------- the pool


class Pool:
    """The workers of a run and the jobs that are still to do.

    Args:
        ray: The ray module, connected to a cluster.
        jobs: The jobs, handed out in this order.
        spec: How each worker is made.
        log_line: Called with lines about workers that cannot start.
    """

    def __init__(
        self, ray: Any, jobs: Sequence, spec: WorkerSpec, log_line: Callable[[str], None]
    ) -> None:
        self.ray = ray
        self.jobs = jobs
        self.spec = spec
        self.log_line = log_line
        self.process_class = worker_process_class(ray)
        self.workers: list[Worker] = []
        self.tasks: dict[Any, Task] = {}  # by Ray's reference to the result
        self.waiting = deque(range(len(jobs)))  # positions of jobs that were never started
        self.to_repeat: deque[int] = deque()  # positions of jobs whose worker died
        self.workers_lost: Counter[int] = Counter()  # by the job's position
        self.failed_starts: Counter[str] = Counter()  # by machine, since the last that succeeded
        self.start_error = ""  # why the last worker that could not start could not
        self.next_look = 0.0  # time.monotonic() of the next look at the machines
        self.has_logged_waiting = False

    def run(self) -> Iterator[FinishedJob]:
        """Yield each job as soon as it is finished; stop all workers at the end, or when closed."""
        try:
            while self.has_unfinished_jobs():
                self.look_at_machines()
                self.assign_jobs()
                if not self.tasks:  # all machines are lost, and others may join
                    time.sleep(POLL_SECONDS)
                    continue
                references = list(self.tasks)
                done, _ = self.ray.wait(references, num_returns=1, timeout=POLL_SECONDS)
                for reference in done:
                    finished = self.handle_finished(reference)
                    if finished:
                        yield finished
        finally:
            for worker in self.workers:
                self.ray.kill(worker.actor)

    def has_unfinished_jobs(self) -> bool:
        """Return whether a job is waiting, to be repeated, or being worked on."""
        return bool(
            self.waiting
            or self.to_repeat
            or any(task.position is not None for task in self.tasks.values())
        )

    # Workers start and stop.

    def look_at_machines(self) -> None:
        """Start workers where a machine has room for them, every POLL_SECONDS.

        Raises:
            UserError: No worker is ready, and none can be started on any machine.
        """
        if time.monotonic() < self.next_look:
            return
        self.next_look = time.monotonic() + POLL_SECONDS
        machines = [
            describe_machine(node, self.spec.device) for node in self.ray.nodes() if node["Alive"]
        ]
        self.stop_idle_workers_elsewhere({machine.node_id for machine in machines})
        usable = [machine for machine in machines if self.is_usable(machine)]
        if not usable and not any(worker.is_ready for worker in self.workers):
            self.handle_no_usable_machine()
        for machine in usable:
            self.start_workers(machine)

    def is_usable(self, machine: Machine) -> bool:
        """Return whether a machine has room for workers and can start them."""
        return machine.max_workers > 0 and self.failed_starts[machine.node_id] < MAX_FAILED_STARTS

    def handle_no_usable_machine(self) -> None:
        """Raise UserError where workers failed to start; otherwise log once that the run waits."""
        if self.start_error:
            raise UserError(self.start_error)
        if not self.has_logged_waiting:
            self.log_line("no machine of the Ray cluster has room for a worker; waiting for one")
            self.has_logged_waiting = True

    def start_workers(self, machine: Machine) -> None:
        """Start workers on a machine that has room, but not more workers than unfinished jobs."""
        running_here = sum(worker.node_id == machine.node_id for worker in self.workers)
        being_done = sum(len(worker.jobs) for worker in self.workers)
        unfinished = len(self.waiting) + len(self.to_repeat) + being_done
        room = machine.max_workers - running_here
        for _ in range(min(room, unfinished - len(self.workers))):
            self.start(machine)

    def start(self, machine: Machine) -> None:
        """Start one worker on a machine."""
        strategies = self.ray.util.scheduling_strategies
        actor = self.process_class.options(
            num_cpus=machine.cores_per_worker,
            num_gpus=int(self.spec.device == "cuda"),
            max_concurrency=self.spec.at_once,
            scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(
                machine.node_id, soft=False
            ),
        ).remote()
        worker = Worker(actor, machine.node_id)
        self.workers.append(worker)
        reference = actor.set_up.remote(
            self.spec.set_up, self.spec.device, machine.cores_per_worker, self.spec.arguments
        )
        self.tasks[reference] = Task(worker, position=None)

    def stop(self, worker: Worker) -> None:
        """Remove a worker from the pool and end its process, if that is still running."""
        if worker in self.workers:
            self.workers.remove(worker)
            self.ray.kill(worker.actor)
            self.next_look = 0.0

    def stop_idle_workers_elsewhere(self, node_ids: set[str]) -> None:
        """Stop idle workers that are on none of these machines: their machine is lost.

        A busy worker's loss shows when its task fails; an idle one's loss would not show at all.
        """
        for worker in list(self.workers):
            is_idle = worker.is_ready and not worker.jobs
            if is_idle and worker.node_id not in node_ids:
                self.stop(worker)

    def answers(self, worker: Worker) -> bool:
        """Return whether an idle worker answers; one that does not is stopped.

        Ray takes a while to notice that a machine and its idle workers are lost.
        """
        try:
            return self.ray.get(worker.actor.is_alive.remote(), timeout=ANSWER_SECONDS)
        except self.ray.exceptions.RayError:
            self.stop(worker)
            return False

    # Jobs are assigned and finish.

    def assign_jobs(self) -> None:
        """Assign jobs to all workers that are free.

        A job whose worker died may kill the next one as well. It is therefore repeated after all
        other jobs, by a worker that has no other job at the time.
        """
        for worker in list(self.workers):
            if not worker.is_ready:
                continue
            while self.waiting and len(worker.jobs) < self.spec.at_once:
                self.assign(worker, self.waiting.popleft())
            if self.to_repeat and not worker.jobs and self.answers(worker):
                self.assign(worker, self.to_repeat.popleft())

    def assign(self, worker: Worker, position: int) -> None:
        """Assign the job at a position to a worker."""
        worker.jobs.add(position)
        jobs_left = len(self.waiting) // len(self.workers)
        reference = worker.actor.work.remote(self.jobs[position], jobs_left)
        self.tasks[reference] = Task(worker, position)

    def handle_finished(self, reference: Any) -> FinishedJob | None:
        """Handle one finished Ray task; return its job where that is finished, too."""
        task = self.tasks.pop(reference)
        try:
            value, error = self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as failure:
            # The worker catches all errors but one: a result that cannot be pickled.
            value = None
            error = one_line(failure)
        except self.ray.exceptions.RayError:
            return self.handle_death(task)
        if task.position is None:
            self.handle_set_up(task.worker, error)
            return None
        task.worker.jobs.discard(task.position)
        return FinishedJob(self.jobs[task.position], value, error or None)

    def handle_set_up(self, worker: Worker, error: str) -> None:
        """Mark a worker as ready, or stop it where its set-up function failed."""
        if not error:
            worker.is_ready = True
            self.failed_starts[worker.node_id] = 0
            return
        self.failed_starts[worker.node_id] = MAX_FAILED_STARTS  # it would fail again
        self.stop(worker)
        self.report_failed_start(f"a worker cannot start: {error}")

    def handle_death(self, task: Task) -> FinishedJob | None:
        """Stop a worker that died; its job is repeated, or finished where it is given up."""
        self.stop(task.worker)
        if task.position is None:
            self.failed_starts[task.worker.node_id] += 1
            if self.is_alive(task.worker.node_id):
                self.report_failed_start("a worker died while it started (out of memory?)")
            return None
        self.workers_lost[task.position] += 1
        if self.workers_lost[task.position] < MAX_WORKERS_LOST_PER_JOB:
            self.to_repeat.append(task.position)
            return None
        reason = f"given up: {MAX_WORKERS_LOST_PER_JOB} workers died while they worked on it"
        return FinishedJob(self.jobs[task.position], error=reason)

    def is_alive(self, node_id: str) -> bool:
        """Return whether a machine of the cluster is alive."""
        return any(node["NodeID"] == node_id and node["Alive"] for node in self.ray.nodes())

    def report_failed_start(self, reason: str) -> None:
        """Log why a worker could not start, and keep the reason for the error that ends the run."""
        self.start_error = reason
        self.log_line(reason)
