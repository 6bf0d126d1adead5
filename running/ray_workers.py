"""Jobs for the workers of a Ray cluster: one at a time, to whoever is free.

    for job, result in each(jobs, "main_generate_sag:ray_worker", (args,), "local"):
        print(job, result())

A worker is a process with a model of its own, and with a GPU of its own where the cluster has some; otherwise every CPU
core has a worker with one thread, memory allowing. set_up, as MODULE:FUNCTION, is called once in each: set_up(device,
*arguments) -> do, and do(job, left) is then called for each job (left: how many more this worker may expect). Jobs and
results must be picklable, and every machine sees the project, and the folder that the run was started in, at the same path.

A worker or a machine that dies costs its jobs the time spent on them: they are done again by another one, after all other
jobs, by a worker that answers. A job that saw WORKERS_A_JOB workers die is given up. Machines that join later get workers as well.

Nothing else imports Ray, and nothing imports this module but for --ray.
"""

import logging
import os
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module

from utils import PROJECT, UserError, one_line

LOCAL = "local"  # this machine alone, for this run alone
WORKERS_A_JOB = 3  # that may die on a job before it is given up
STARTS = 3  # that may fail on a machine before it is given up
MEMORY = 3 * 2**30  # bytes that each worker without a GPU is allowed for; 1.4 GiB were seen
OBJECTS = 100 * 2**20  # bytes of a local cluster's object store: results are small
LOOK_EVERY = 3.0  # seconds between looks for machines that came or went
ANSWER_WITHIN = 60  # seconds that a cluster may take to answer
QUIET = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": False}
PROBE = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False)"

Result = Callable[
    [], object
]  # returns what do() returned, or raises RuntimeError: it failed, or its workers died


def each(
    jobs: Sequence,
    set_up: str,
    arguments: tuple,
    address: str,
    device: str = "auto",
    at_once: int = 1,
    log: Callable[[str], None] = print,
) -> Iterator[tuple[object, Result]]:
    """(job, its result), in the order in which they are finished. Raises UserError where there is no such cluster, or no worker starts.

    address: "local"; "auto", the cluster that runs on this machine; or its HOST:PORT. device: "auto" (GPUs where the cluster
    has some), or what workers get. at_once: jobs that a worker with a GPU has at a time, each in a thread of its own.
    """
    ray = connect(address)
    try:
        yield from Crew(ray, jobs, set_up, arguments, device, at_once, log).results()
    finally:
        ray.shutdown()


# ---------------------------------------------------------------- the cluster


def connect(address: str):
    """Ray, connected to the cluster. Raises UserError, one line and within about a minute."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # tells nobody of this run
    try:
        import ray
    except ImportError as error:
        raise UserError(
            f"--ray: Ray cannot be imported ({one_line(error)}): pip install -r requirements_distributed.txt"
        ) from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        if address == LOCAL:
            cores = (
                len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
            )
            ray.init(
                LOCAL,
                num_cpus=cores if cores < os.cpu_count() else None,
                object_store_memory=OBJECTS,
                include_dashboard=False,
                **QUIET,
            )
        else:
            must_answer(address)
            ray.init(address, **QUIET)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise UserError(f"--ray {address}: {one_line(error)[:300]}") from None
    return ray


def must_answer(address: str) -> None:
    """Raise UserError unless a Ray cluster answers there. Ray itself tries for minutes, and fills the screen with it."""
    if "://" in address:
        raise UserError(
            f"--ray {address}: start the run on a machine of the cluster, with its HOST:PORT (the port is 6379 by default) or auto"
        )
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise UserError(
                f"--ray {address}: no Ray cluster answers there ({one_line(error)})"
            ) from None
    try:
        probe = subprocess.run(
            [sys.executable, "-c", PROBE, address],
            capture_output=True,
            text=True,
            timeout=ANSWER_WITHIN,
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"--ray {address}: no Ray cluster answered there within {ANSWER_WITHIN} seconds"
        ) from None
    if probe.returncode:
        raise UserError(
            f"--ray {address}: {(probe.stderr.strip().splitlines() or ['Ray cannot connect'])[-1][:300]}"
        )


def room(resources: dict, device: str) -> tuple[int, int]:
    """On a machine with these resources: how many workers for this device, and how many CPU cores for each."""
    cores, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    places = (
        gpus if device == "cuda" else min(cores, max(1, int(resources.get("memory", 0) // MEMORY)))
    )
    return places, max(1, cores // max(1, places))


def actor_class(ray):
    """What runs in a worker's process. Defined in here, so that Ray carries it there by itself."""
    project, folder = str(PROJECT), os.getcwd()

    class Worker:
        def prepare(self, set_up, device, threads, arguments):
            """Why it cannot work; "" where it can."""
            try:
                os.chdir(folder)
                sys.path.insert(0, project)
                import cv2
                import torch

                torch.set_num_threads(threads)
                cv2.setNumThreads(threads)
                module, _, function = set_up.partition(":")
                self.do = getattr(import_module(module), function)(device, *arguments)
            except Exception as error:  # whatever keeps the user's model from loading
                return " ".join(str(error).split()) or type(error).__name__
            return ""

        def alive(self):
            return True

        def work(self, job, left):
            """(what the job gave, ""), or (None, why it failed)."""
            try:
                return self.do(job, left), ""
            except Exception as error:  # told to whoever started the run
                return None, f"{type(error).__name__}: {' '.join(str(error).split())}"

    return ray.remote(max_restarts=0, max_task_retries=0)(Worker)


# ---------------------------------------------------------------- the workers


@dataclass(eq=False)
class Member:
    """A worker, as seen from here."""

    actor: object
    node: str
    ready: bool = False
    jobs: set[int] = field(default_factory=set)  # positions of what it works on


class Crew:
    """The workers of a run, and what is still to do. Machines are looked for, and jobs handed out, in results()."""

    def __init__(
        self,
        ray,
        jobs: Sequence,
        set_up: str,
        arguments: tuple,
        device: str,
        at_once: int,
        log: Callable[[str], None],
    ):
        self.ray, self.jobs, self.set_up, self.arguments, self.log = (
            ray,
            jobs,
            set_up,
            arguments,
            log,
        )
        gpus = ray.cluster_resources().get("GPU", 0)
        if device == "cuda" and not gpus:
            raise UserError("--device cuda: the Ray cluster has no GPU")
        self.device = device if device != "auto" else "cuda" if gpus else "cpu"
        self.at_once = at_once if self.device == "cuda" else 1
        self.waiting, self.doubtful = (
            deque(range(len(jobs))),
            deque(),
        )  # doubtful: a worker died on it
        self.deaths, self.failed_starts = (
            Counter(),
            Counter(),
        )  # of a job; on a machine, since one last succeeded
        self.members: list[Member] = []
        self.tasks: dict = {}  # what Ray promised -> (member, position of the job, or None: getting ready)
        self.actor, self.look_next, self.idle_told, self.trouble = actor_class(ray), 0.0, False, ""

    def results(self) -> Iterator[tuple[object, Result]]:
        """(job, its result) until all is done; then, or when it is closed, every worker is ended, whatever it does."""
        try:
            while (
                self.waiting
                or self.doubtful
                or any(position is not None for _, position in self.tasks.values())
            ):
                self.hire()
                self.hand_out()
                if not self.tasks:  # every machine is gone, and new ones may come
                    time.sleep(LOOK_EVERY)
                    continue
                for task in self.ray.wait(list(self.tasks), num_returns=1, timeout=LOOK_EVERY)[0]:
                    yield from self.settle(task)
        finally:
            for member in self.members:
                self.ray.kill(member.actor)

    def hire(self) -> None:
        """Start workers where a machine has room, but no more than there are jobs. Raises UserError where none can be."""
        if time.monotonic() < self.look_next:
            return
        self.look_next = time.monotonic() + LOOK_EVERY
        alive = [
            (node["NodeID"], *room(node["Resources"], self.device))
            for node in self.ray.nodes()
            if node["Alive"]
        ]
        for member in [
            m
            for m in self.members
            if m.ready and not m.jobs and m.node not in {node for node, *_ in alive}
        ]:
            self.let_go(member, "")  # it has nothing to do, so nobody else would notice
        usable = [
            (node, places, cores)
            for node, places, cores in alive
            if places and self.failed_starts[node] < STARTS
        ]
        if not usable and self.trouble and not any(m.ready for m in self.members):
            raise UserError(self.trouble)
        to_do = len(self.waiting) + len(self.doubtful) + sum(len(m.jobs) for m in self.members)
        for node, places, cores in usable:
            here = sum(member.node == node for member in self.members)
            for _ in range(min(places - here, to_do - len(self.members))):
                self.start(node, cores)
        if not any(m.ready for m in self.members) and not usable and not self.idle_told:
            self.log("no machine of the Ray cluster has room for a worker; waiting for one")
            self.idle_told = True

    def start(self, node: str, cores: int) -> None:
        """Start a worker on a machine."""
        place = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
        member = Member(
            self.actor.options(
                num_cpus=cores,
                num_gpus=int(self.device == "cuda"),
                max_concurrency=self.at_once,
                scheduling_strategy=place,
            ).remote(),
            node,
        )
        self.members.append(member)
        self.tasks[member.actor.prepare.remote(self.set_up, self.device, cores, self.arguments)] = (
            member,
            None,
        )

    def hand_out(self) -> None:
        """Jobs to all who are free; the doubtful ones after all others, and one at a time to a worker that has nothing else."""
        for member in list(self.members):
            while member.ready and len(member.jobs) < self.at_once and self.waiting:
                self.give(member, self.waiting.popleft())
            if member.ready and not member.jobs and self.doubtful and self.answers(member):
                self.give(member, self.doubtful.popleft())

    def answers(self, member: Member) -> bool:
        """Whether a worker is there; else it is let go. Ray takes a while to notice that a machine is lost, with all its idle workers."""
        try:
            return self.ray.get(member.actor.alive.remote(), timeout=ANSWER_WITHIN)
        except self.ray.exceptions.RayError:
            self.let_go(member, "")
            return False

    def give(self, member: Member, position: int) -> None:
        """A job for a worker."""
        member.jobs.add(position)
        left = len(self.waiting) // len(self.members)
        self.tasks[member.actor.work.remote(self.jobs[position], left)] = member, position

    def settle(self, task) -> Iterator[tuple[object, Result]]:
        """What has come of a promise."""
        member, position = self.tasks.pop(task)
        try:
            answer = self.ray.get(task)
        except (
            self.ray.exceptions.RayTaskError
        ) as error:  # what cannot be pickled; our own code catches all else
            answer = (None, one_line(error)) if position is not None else one_line(error)
        except self.ray.exceptions.RayError:
            yield from self.died(member, position)
            return
        if position is None:
            member.ready = not answer
            self.failed_starts[member.node] = 0
            if answer:
                self.failed_starts[member.node] = STARTS  # it would fail again
                self.let_go(member, f"a worker cannot start: {answer}")
            return
        member.jobs.discard(position)
        value, why = answer
        yield self.jobs[position], raising(why) if why else (lambda: value)

    def died(self, member: Member, position: int | None) -> Iterator[tuple[object, Result]]:
        """A worker is gone: its job is done again, or given up."""
        if position is None:
            lost = all(
                node["NodeID"] != member.node or not node["Alive"] for node in self.ray.nodes()
            )
            self.failed_starts[member.node] += 1
            self.let_go(member, "" if lost else "a worker died while it started (out of memory?)")
            return
        self.let_go(member, "")
        self.deaths[position] += 1
        if self.deaths[position] < WORKERS_A_JOB:
            self.doubtful.append(position)
        else:
            yield (
                self.jobs[position],
                raising(f"given up: {WORKERS_A_JOB} workers died while they worked on it"),
            )

    def let_go(self, member: Member, trouble: str) -> None:
        """Forget a worker; one that only seemed dead is ended."""
        if trouble:
            self.trouble = trouble
            self.log(trouble)
        if member in self.members:
            self.members.remove(member)
            self.ray.kill(member.actor)
            self.look_next = 0.0


def raising(why: str) -> Result:
    """A result that is none."""

    def result():
        raise RuntimeError(why)

    return result
