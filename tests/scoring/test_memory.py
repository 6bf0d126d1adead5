"""Batches that memory limits, on a simulated device; real networks, without values."""

import gc
import platform
import subprocess
import sys

import pytest
import torch
import torchvision
from allocator import GB, Device

from scoring.memory import GROW_AFTER, BatchLimit, free_memory, in_chunks, is_out_of_memory

IMAGES = 512
# The largest batch of 512, 256, .. that the device holds beside the weights, by architecture and
# memory in GB.
LARGEST = {
    ("resnet50", 2): 128,
    ("resnet50", 5): 256,
    ("resnet50", 7): 512,
    ("vgg19", 2): 32,
    ("vgg19", 5): 128,
    ("vgg19", 7): 128,
    ("vit_b_16", 2): 128,
    ("vit_b_16", 5): 512,
    ("vit_b_16", 7): 512,
}
CASES = [pytest.param(*case, id=f"{case[0]}-{case[1]}GB") for case in LARGEST]


class Job:
    """A network, an image, a baseline and 512 masks on a simulated device."""

    def __init__(self, device, architecture):
        self.network = device.build(getattr(torchvision.models, architecture))
        self.image = torch.zeros(3, 224, 224, device="cuda")
        self.baseline = torch.zeros(3, 224, 224, device="cuda")
        self.masks = torch.zeros(IMAGES, 1, 7, 7, device="cuda")

    def probabilities(self, start, stop):
        """Return the probabilities of some masks, (stop - start, 1000), on the CPU."""
        weights = torch.nn.functional.interpolate(self.masks[start:stop], size=(224, 224))
        images = torch.lerp(self.baseline, self.image, weights)
        return self.network(images).softmax(1).cpu()


def halving_within_the_except_block(run, count, limit):
    """The planted mistake: what failed is referenced until the smaller batch is through."""
    stop = min(limit.size, count)
    try:
        first = [run(0, stop)]
    except torch.cuda.OutOfMemoryError:
        limit.failed(stop)
        return halving_within_the_except_block(run, count, limit)
    rest = [run(start, min(start + stop, count)) for start in range(stop, count, stop)]
    return first + rest


# ---------------------------------------------------------------- networks on a simulated device


@pytest.mark.parametrize(("architecture", "memory"), CASES)
def test_all_images_are_answered(architecture, memory):
    with Device(memory * GB) as device:
        answers = in_chunks(Job(device, architecture).probabilities, IMAGES, BatchLimit(IMAGES))
        assert torch.cat(answers).shape == (IMAGES, 1000)


def peak(architecture, batch):
    """Return the bytes that a batch needs at once, with weights and inputs."""
    with Device(1000 * GB) as device:
        job = Job(device, architecture)
        job.probabilities(0, batch)
        return device.peak


@pytest.mark.parametrize(("architecture", "memory"), CASES)
def test_the_table_of_largest_batches_is_right(architecture, memory):
    largest = LARGEST[architecture, memory]
    assert peak(architecture, largest) <= memory * GB
    assert largest == IMAGES or peak(architecture, 2 * largest) > memory * GB


@pytest.mark.parametrize(("architecture", "memory"), CASES)
def test_the_largest_batch_that_fits_is_found(architecture, memory):
    limit = BatchLimit(IMAGES)
    with Device(memory * GB) as device:
        in_chunks(Job(device, architecture).probabilities, IMAGES, limit)
    assert limit.size == LARGEST[architecture, memory]


@pytest.mark.parametrize("architecture", ["resnet50", "vgg19", "vit_b_16"])
def test_a_failed_batch_leaves_nothing_behind(architecture):
    with Device(2 * GB) as device:
        job = Job(device, architecture)
        before = device.live
        live_at_each_batch = []

        def run(start, stop):
            live_at_each_batch.append(device.live)
            return job.probabilities(start, stop)

        in_chunks(run, IMAGES, BatchLimit(IMAGES))
        assert device.failures >= 2
        assert set(live_at_each_batch) == {before}
        assert device.live == before


def test_a_loop_that_keeps_the_failed_batch_fails():
    # Shows that the simulated device would catch it: the same network and memory as above.
    with Device(7 * GB) as device:
        job = Job(device, "vgg19")
        limit = BatchLimit(IMAGES)
        with pytest.raises(MemoryError):
            halving_within_the_except_block(job.probabilities, IMAGES, limit)
        assert limit.size < LARGEST["vgg19", 7]


def test_a_network_that_does_not_fit_is_an_error():
    with Device(0.58 * GB) as device:
        job = Job(device, "vgg19")  # weights of 0.575 GB
        with pytest.raises(MemoryError, match="^out of memory on a single image$"):
            in_chunks(job.probabilities, IMAGES, BatchLimit(IMAGES))


def test_batches_grow_back_when_there_is_memory_again():
    limit = BatchLimit(IMAGES)
    with Device(2 * GB) as device:
        job = Job(device, "resnet50")
        in_chunks(job.probabilities, IMAGES, limit)
        assert limit.size == 128
        device.limit = 7 * GB
        for _ in range(15):
            in_chunks(job.probabilities, IMAGES, limit)
    assert limit.size == IMAGES


def test_trying_to_grow_in_vain_gets_rare():
    limit = BatchLimit(IMAGES)
    with Device(5 * GB) as device:
        job = Job(device, "vgg19")
        for _ in range(100):  # 400 batches of 128
            in_chunks(job.probabilities, IMAGES, limit)
        # 512 and 256 at the start; then 256 again after 20, 40, 80 and 160 batches.
        assert device.failures == 6


# ---------------------------------------------------------------- the limit


def filled(limit, passes):
    for _ in range(passes):
        limit.succeeded(limit.size)
    return limit.size


@pytest.mark.parametrize(("failed", "then"), [(512, 256), (300, 150), (3, 1), (2, 1)])
def test_half_of_what_failed_is_tried(failed, then):
    limit = BatchLimit(512)
    limit.failed(failed)
    assert limit.size == then


def test_a_single_image_cannot_be_halved():
    with pytest.raises(MemoryError, match="out of memory on a single image"):
        BatchLimit(8).failed(1)


def test_the_size_doubles_after_enough_full_batches():
    limit = BatchLimit(512)
    limit.failed(512)
    limit.failed(256)
    assert filled(limit, GROW_AFTER - 1) == 128
    assert filled(limit, 1) == 256


def test_batches_that_are_not_full_do_not_count():
    limit = BatchLimit(512)
    limit.failed(512)
    for _ in range(10 * GROW_AFTER):
        limit.succeeded(255)
    assert limit.size == 256


def test_a_failure_starts_the_count_again():
    limit = BatchLimit(512)
    limit.failed(512)
    filled(limit, GROW_AFTER - 1)
    limit.failed(256)
    assert filled(limit, GROW_AFTER - 1) == 128


def test_the_size_never_exceeds_the_most():
    limit = BatchLimit(500)
    limit.failed(400)
    assert filled(limit, 10 * GROW_AFTER) == 500


def test_after_a_vain_attempt_the_wait_doubles():
    limit = BatchLimit(512)
    limit.failed(512)
    filled(limit, GROW_AFTER)
    limit.failed(512)
    assert filled(limit, 2 * GROW_AFTER - 1) == 256
    assert filled(limit, 1) == 512


def test_a_size_that_held_makes_the_wait_short_again():
    limit = BatchLimit(512)
    limit.failed(256)
    filled(limit, GROW_AFTER)
    limit.failed(256)  # in vain
    filled(limit, 2 * GROW_AFTER)
    assert limit.size == 256
    filled(limit, 2 * GROW_AFTER)  # it holds
    limit.failed(512)
    assert filled(limit, 2 * GROW_AFTER) == 512


# ---------------------------------------------------------------- the loop


def test_every_row_is_run_once_and_in_order():
    rows = in_chunks(lambda start, stop: list(range(start, stop)), 21, BatchLimit(8))
    assert rows == [list(range(8)), list(range(8, 16)), list(range(16, 21))]


def test_without_rows_nothing_is_run():
    assert in_chunks(pytest.fail, 0, BatchLimit(8)) == []


def test_what_fails_is_run_again_in_parts():
    asked = []

    def run(start, stop):
        asked.append((start, stop))
        if stop - start > 3:
            raise MemoryError
        return stop - start

    assert in_chunks(run, 7, BatchLimit(8)) == [3, 3, 1]
    assert asked == [(0, 7), (0, 3), (3, 6), (6, 7)]


def test_other_errors_are_raised():
    def run(start, stop):
        raise RuntimeError("a shape is wrong")

    with pytest.raises(RuntimeError, match="a shape is wrong"):
        in_chunks(run, 7, BatchLimit(8))


@pytest.mark.parametrize("has_mps", [False, True])
def test_the_cache_is_emptied_once_the_batch_is_gone(monkeypatch, has_mps):
    live_when_emptied = []
    with Device(5 * GB) as device:
        job = Job(device, "vgg19")
        before = device.live
        module = torch.mps if has_mps else torch.cuda
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: not has_mps)
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: not has_mps)
        monkeypatch.setattr(module, "empty_cache", lambda: live_when_emptied.append(device.live))
        in_chunks(job.probabilities, IMAGES, BatchLimit(IMAGES))
    assert live_when_emptied == [before, before]


def test_a_batch_in_a_cycle_of_references_is_freed():
    with Device(GB) as device:
        gc.disable()
        try:
            cycle = [torch.empty(1000, device="cuda")]
            cycle.append(cycle)
            del cycle
            assert device.live > 0
            free_memory()
            assert device.live == 0
        finally:
            gc.enable()


# ---------------------------------------------------------------- which errors mean it


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.cuda.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
        RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
    ],
)
def test_these_errors_mean_that_memory_ran_out(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: device-side assert triggered"), ValueError("no")]
)
def test_other_errors_do_not_mean_it(error):
    assert not is_out_of_memory(error)


FAULTS = """
import resource
import sys

import torch

from scoring.memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def faults_of(times):
    start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(16, 2**19)  # 32 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start

faults_of(20)
print(faults_of(20))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_used_again():
    def page_faults(what):
        command = [sys.executable, "-c", FAULTS, what]
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)

    assert page_faults("keep") < page_faults("give back") / 4
