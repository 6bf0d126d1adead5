"""A batch size that the device's memory decides: halved when it runs out, doubled again later.

    limit = BatchLimit(512)
    answers = in_chunks(lambda start, stop: network(images[start:stop]), len(images), limit)
    torch.cat(answers)

A batch that failed must be gone before a smaller one is tried. An exception keeps its traceback,
the traceback its frames, and the frames their local variables, among them the layer's inputs and
outputs: a loop that retries inside its `except` block still holds the batch that did not fit, and
VGG-19 on a device of 7 GB then fails at smaller and smaller sizes, where 128 images would fit.
"""

import ctypes
import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import torch

GROW_AFTER = 20  # full batches in a row before a larger one is tried
OUT_OF_MEMORY_WORDS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "alloc_failed",
    "unable to find a valid cudnn algorithm",  # no memory for the workspace of any of them
)

M_TRIM_THRESHOLD = -1  # as <malloc.h> of glibc numbers them
M_MMAP_THRESHOLD = -3
NEVER_TRIM = 2**31 - 1
MAPPED_FROM = 2**30  # bytes; smaller blocks come from the heap

Result = TypeVar("Result")


class BatchLimit:
    """How many images may go into a forward pass.

    Attributes:
        most: largest batch that is ever tried.
        size: largest batch to use now; not always a power of two.

    Args:
        most: see the attribute; also the first size.
    """

    def __init__(self, most: int):
        self.most = max(1, most)
        self.size = self.most
        self._passes = 0  # full ones since the size changed
        self._wait = GROW_AFTER
        self._on_trial = False  # the size was doubled, and has not held for a whole wait yet

    def failed(self, number: int) -> None:
        """Use half of a batch of this many images, which did not fit.

        Where the size had just been doubled, the next attempt waits twice as long.

        Raises:
            MemoryError: it was a single image.
        """
        if number == 1:
            raise MemoryError("out of memory on a single image")
        if self._on_trial:
            self._wait *= 2
        self.size = number // 2
        self._passes = 0
        self._on_trial = False

    def succeeded(self, number: int) -> None:
        """Count a batch of this many images that fitted; from time to time, double the size.

        Smaller batches than the present size show nothing about a larger one and do not count.
        """
        if number < self.size or self.size == self.most:
            return
        self._passes += 1
        if self._passes < self._wait:
            return
        if self._on_trial:
            self._wait = GROW_AFTER
        self.size = min(2 * self.size, self.most)
        self._passes = 0
        self._on_trial = True


def in_chunks(run: Callable[[int, int], Result], count: int, limit: BatchLimit) -> list[Result]:
    """Run something on rows 0 to count, in chunks that fit into memory.

    All chunks but the last fill the limit's size of the moment, so that only the last one has to
    be padded by a caller who needs fixed shapes.

    Args:
        run: called with start and stop. What it allocates must not be referenced from elsewhere,
            or it stays allocated when the chunk fails. A chunk that fails is run again in parts.
        count: number of rows.
        limit: the batch size, kept from call to call.

    Returns:
        The result of every chunk, in order.

    Raises:
        MemoryError: a single row does not fit.
    """
    done: list[Result] = []
    start = 0
    while start < count:
        stop = min(start + limit.size, count)
        result = _attempt(run, start, stop)
        if not result:
            free_memory()
            limit.failed(stop - start)
            continue
        limit.succeeded(stop - start)
        done += result
        start = stop
    return done


def _attempt(run: Callable[[int, int], Result], start: int, stop: int) -> list[Result]:
    """Return the result in a list, which is empty where memory ran out."""
    try:
        return [run(start, stop)]
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    # Outside of the except block: here the error, its traceback and the failed batch are gone.
    return []


def free_memory() -> None:
    """Return the memory that nobody uses any more to the device."""
    gc.collect()  # an exception that a frame of its own traceback refers to
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def keep_freed_memory() -> None:
    """Have this process reuse memory that it has freed, in place of giving it back each time.

    Each layer's output is tens of megabytes. glibc takes such blocks from the system and returns
    them at once, and the system clears every page anew. Where the C library is another one, nothing
    changes.
    """
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, NEVER_TRIM)
        mallopt(M_MMAP_THRESHOLD, MAPPED_FROM)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether PyTorch ran out of memory; on the CPU only a RuntimeError's text says so."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return any(words in str(error).lower() for words in OUT_OF_MEMORY_WORDS)
