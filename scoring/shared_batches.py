"""Several images' searches on one network: their images run as one batch.

    shared = SharedBatches(256)
    forward = shared.through(module)        # in each thread, inside `with shared.part():`

Each thread takes part and asks forward(). A batch runs when every thread that takes part waits for
an answer. The searches therefore advance in lock-step, and what is in a batch does not depend on
timing. Batches have one shape and are padded, so that an answer does not depend on what is beside
it.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from scoring.scorer import is_out_of_memory

Forward = Callable[[torch.Tensor], torch.Tensor]  # images (B, 3, H, W) -> logits (B, classes)


@dataclass
class _Request:
    """One thread's question, and its answer once there is one."""

    forward: Forward
    images: torch.Tensor
    answer: torch.Tensor | Exception | None = None


class SharedBatches:
    """Runs the images of several threads as one batch; see the module's docstring.

    Attributes:
        batch_size: images per forward pass; halved when memory runs out.
    """

    def __init__(self, batch_size: int):
        self.batch_size = batch_size
        self._turn = threading.Condition()
        self._parts = 0
        self._waiting: list[_Request] = []
        self._closed = False

    @contextmanager
    def part(self) -> Iterator[None]:
        """Take part from here to the end of the block."""
        with self._turn:
            self._parts += 1
        try:
            yield
        finally:
            with self._turn:
                self._parts -= 1
                self._run_if_all_wait()

    def through(self, forward: Forward) -> Forward:
        """Return the same network, asked together with the other threads."""

        def ask(images: torch.Tensor) -> torch.Tensor:
            request = _Request(forward, images)
            with self._turn:
                if self._closed:
                    raise RuntimeError("closed")
                self._waiting.append(request)
                self._run_if_all_wait()
                self._turn.wait_for(lambda: request.answer is not None)
            if isinstance(request.answer, Exception):
                raise request.answer
            assert request.answer is not None
            return request.answer

        return ask

    def close(self) -> None:
        """Answer no further question: each raises RuntimeError, so that the threads end."""
        with self._turn:
            self._closed = True

    def _run_if_all_wait(self) -> None:
        if not self._waiting or len(self._waiting) < self._parts:
            return
        requests = self._waiting
        self._waiting = []
        for forward in {request.forward: None for request in requests}:
            self._run(forward, [request for request in requests if request.forward is forward])
        self._turn.notify_all()

    def _run(self, forward: Forward, requests: list[_Request]) -> None:
        """Answer the requests to one network; an error is every request's answer."""
        try:
            logits = self._in_one_shape(forward, torch.cat([r.images for r in requests]))
        except Exception as error:
            for request in requests:
                request.answer = error
            return
        for request, answer in zip(requests, logits.split([len(r.images) for r in requests])):
            request.answer = answer

    @torch.no_grad()
    def _in_one_shape(self, forward: Forward, images: torch.Tensor) -> torch.Tensor:
        missing = -len(images) % self.batch_size
        padded = torch.cat([images, images.new_zeros(missing, *images.shape[1:])])
        try:
            batches = [forward(chunk) for chunk in padded.split(self.batch_size)]
            return torch.cat(batches)[: len(images)]
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or self.batch_size == 1:
                raise
        self.batch_size //= 2
        return self._in_one_shape(forward, images)


def in_turn(
    work: Callable[[Any], Any], jobs: Sequence[Any], at_once: int
) -> Generator[tuple[Any, Callable[[], Any]], None, None]:
    """Yield (job, a function that waits for work(job) and returns its result), in order.

    Args:
        work: called once per job.
        jobs: hashable jobs.
        at_once: number of jobs worked on at the same time, each in a thread of its own if above 1.
    """
    if at_once == 1:
        for job in jobs:
            yield job, partial(work, job)
        return
    with ThreadPoolExecutor(at_once) as pool:
        started = {job: pool.submit(work, job) for job in jobs[:at_once]}
        for place, job in enumerate(jobs):
            yield job, started.pop(job).result
            if place + at_once < len(jobs):
                following = jobs[place + at_once]
                started[following] = pool.submit(work, following)
