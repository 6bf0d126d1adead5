"""How the network is run while a search asks it: reduced precision, compiled, several images in one batch.

    search = in_bfloat16(module)                    # five times cheaper where the processor has bfloat16
    exact = compiled(module, example)               # a third cheaper on a CPU, after some 20 s of compiling
    together = SharedBatches(256).through(module)   # asked by several images' searches at once

All three are callables from pictures (B, 3, H, W) to logits (B, classes), like the module itself, and answer
what it answers: compiled and shared ones to 1e-5 in the probabilities, bfloat16 ones to about 1e-2, which is
why nothing that they say is written into a record before it is scored again in float32.
"""

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial

import numpy as np
import torch

from scoring.scorer import auto_batch_size, is_out_of_memory
from scoring.networks import Network, class_probabilities
from utils import UserError, one_line

Forward = Callable[[torch.Tensor], torch.Tensor]  # (B, 3, H, W) -> (B, classes)


# ---------------------------------------------------------------- precision


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """ "auto" is bfloat16 where the processor has it (CUDA from Ampere on, AMX, AVX512-bf16), else float32."""
    if name == "auto":
        name = "bfloat16" if has_bfloat16(device) else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def has_bfloat16(device: torch.device) -> bool:
    """Whether this processor multiplies in bfloat16 itself. Emulated, it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch of 2026 on
    return device.type == "cpu" and any(
        capabilities.get(name) for name in ("amx_bf16", "avx512_bf16")
    )


def in_bfloat16(module: torch.nn.Module, example: torch.Tensor) -> torch.nn.Module:
    """A copy of the network that computes in bfloat16 whatever pictures it is given. example: (B, 3, H, W).

    Raises UserError where it cannot (a network with float32 written into its code).
    """

    class InBfloat16(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.module = copy.deepcopy(module).to(torch.bfloat16)

        def forward(self, pictures):
            return self.module(pictures.to(torch.bfloat16))

    reduced = InBfloat16().eval().requires_grad_(False)
    try:
        with torch.inference_mode():
            reduced(example)
    except Exception as error:  # of whatever kind the user's code raises
        raise UserError(
            f"--precision bfloat16: the model cannot compute in it: {one_line(error)[:200]}"
        ) from error
    return reduced


# ---------------------------------------------------------------- compilation


class CannotCompile(Exception):
    """There is no compiler, or it fails on this network; str() is one line."""


def compiled(module: torch.nn.Module, example: torch.Tensor, tolerance: float = 1e-5) -> Forward:
    """The network compiled by TorchInductor, with frozen weights, for batches of the example's shape (B, 3, H, W).

    Fewer pictures are filled up to B, but for B / 2 and fewer, which go to the network as it is. PyTorch keeps what it
    compiled between runs (TORCHINDUCTOR_CACHE_DIR). Raises CannotCompile: no C++ compiler, a network that
    it fails on, or probabilities that differ from the network's own by more than the tolerance.
    """
    size = len(example)
    try:
        fast = torch.compile(module, dynamic=False, options={"freezing": True})
        with torch.no_grad():  # inference_mode's tensors would be compiled for a second time
            difference = class_probabilities(fast(example)) - class_probabilities(module(example))
    except Exception as error:  # TorchInductor's errors have no common kind
        raise CannotCompile(one_line(error)[:160]) from error
    if not difference.abs().max() <= tolerance:
        raise CannotCompile(f"compiled, its probabilities differ by {difference.abs().max():.1e}")

    @torch.no_grad()
    def forward(pictures: torch.Tensor) -> torch.Tensor:
        """The network on pictures (B, 3, H, W), in batches of the size that was compiled; a small rest as it is."""
        outputs = []
        for chunk in pictures.split(size):
            missing = size - len(chunk)
            if 2 * missing >= size:
                outputs.append(module(chunk))
            else:
                outputs.append(fast(torch.cat([chunk, example[:missing]]))[: len(chunk)])
        return torch.cat(outputs)

    return forward


# ---------------------------------------------------------------- several images at once


class SharedBatches:
    """Lets several threads ask one network at once, and runs their pictures as one batch.

    Each thread says that it takes part (`with shared.part():`) and asks shared.through(forward). A batch is run when all
    who take part wait for an answer: their searches advance in lock-step, and what is in a batch does not depend on
    timing. Batches are of one shape, filled up where needed, so that an answer does not depend on what is beside it.

    batch_size: pictures per forward pass; halved when memory runs out.
    """

    def __init__(self, batch_size: int):
        self.batch_size = batch_size
        self.turn = threading.Condition()
        self.parts, self.waiting, self.closed = 0, [], False

    @contextmanager
    def part(self):
        """Takes part from here to the end of the block."""
        with self.turn:
            self.parts += 1
        try:
            yield
        finally:
            with self.turn:
                self.parts -= 1
                self._run_if_all_wait()

    def through(self, forward: Forward) -> Forward:
        """The same network, asked together with the others."""

        def ask(pictures: torch.Tensor) -> torch.Tensor:
            """The network on pictures (B, 3, H, W), once all who share it have asked."""
            request = {"forward": forward, "pictures": pictures}
            with self.turn:
                if self.closed:
                    raise RuntimeError("closed")
                self.waiting.append(request)
                self._run_if_all_wait()
                self.turn.wait_for(lambda: "answer" in request)
            if isinstance(request["answer"], Exception):
                raise request["answer"]
            return request["answer"]

        return ask

    def close(self) -> None:
        """No further question is answered: each raises RuntimeError, so that the threads end."""
        with self.turn:
            self.closed = True

    def _run_if_all_wait(self) -> None:
        if not self.waiting or len(self.waiting) < self.parts:
            return
        requests, self.waiting = self.waiting, []
        for forward in {r["forward"]: None for r in requests}:
            same = [r for r in requests if r["forward"] is forward]
            try:
                answers = self._in_one_shape(forward, torch.cat([r["pictures"] for r in same]))
                answers = answers.split([len(r["pictures"]) for r in same])
            except Exception as error:  # all of them asked for it, and each is told
                answers = [error] * len(same)
            for request, answer in zip(same, answers):
                request["answer"] = answer
        self.turn.notify_all()

    @torch.no_grad()
    def _in_one_shape(self, forward: Forward, pictures: torch.Tensor) -> torch.Tensor:
        missing = -len(pictures) % self.batch_size
        full = torch.cat([pictures, pictures.new_zeros(missing, *pictures.shape[1:])])
        try:
            return torch.cat([forward(chunk) for chunk in full.split(self.batch_size)])[
                : len(pictures)
            ]
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or self.batch_size == 1:
                raise
        self.batch_size //= 2
        return self._in_one_shape(forward, pictures)


def in_turn(
    work: Callable, jobs: Sequence, at_once: int
) -> Iterator[tuple[object, Callable[[], object]]]:
    """(job, what waits for work(job) and returns its result), in order, at_once of them being worked on."""
    if at_once == 1:
        yield from ((job, partial(work, job)) for job in jobs)
        return
    with ThreadPoolExecutor(at_once) as pool:
        begun = {job: pool.submit(work, job) for job in jobs[:at_once]}
        for i, job in enumerate(jobs):
            yield job, begun.pop(job).result
            if i + at_once < len(jobs):
                begun[jobs[i + at_once]] = pool.submit(work, jobs[i + at_once])


# ---------------------------------------------------------------- the passes of one run


class Passes:
    """How this run asks its network: exact for what is written down, fast (or None) for what the search tries.

    alone: held by whoever calls the module itself or puts hooks on it, where several images advance at once.
    worth_compiling: measured to be so on a CPU only.
    """

    def __init__(self, network: Network, precision: str, batch_size: int | str, together: int = 1):
        self.network, self.compiled, self.worth_compiling = (
            network,
            False,
            network.device.type == "cpu",
        )
        self.example = network.prepare(np.zeros((*network.size, 3), np.uint8))[None]
        self.batch_size = auto_batch_size(self.example[0]) if batch_size == "auto" else batch_size
        reduced = choose_precision(precision, network.device) == torch.bfloat16
        self.exact: Forward = network.module
        self.fast: Forward | None = in_bfloat16(network.module, self.example) if reduced else None
        self.shared = SharedBatches(self.batch_size) if together > 1 else None
        self.alone = threading.Lock()
        if self.shared:
            self.exact, self.fast = (
                self.shared.through(self.exact),
                self.fast and self.shared.through(self.fast),
            )

    def part(self):
        """A context: one image takes part in the shared batches, if they are shared."""
        return self.shared.part() if self.shared else nullcontext()

    def close(self) -> None:
        """Ends what waits for shared batches."""
        if self.shared:
            self.shared.close()

    def compile(self) -> None:
        """From here on compiled passes. Raises CannotCompile, and then goes on as before."""
        self.compiled = True  # or tried: not a second time
        example = self.example.repeat(self.batch_size, 1, 1, 1)
        exact, fast = (
            compiled(self.network.module, example),
            self.fast and compiled(self.fast, example, tolerance=0.05),
        )
        self.exact, self.fast = exact, fast
