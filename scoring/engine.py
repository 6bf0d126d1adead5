"""The engine: it owns the network, and runs batches of masks on any device.

    engine = Engine(network, precision="auto")
    value = Batching(engine).run_one(steps)
    engine.exact                # float32: everything that is written into a record
    engine.reduced              # a lower precision, or None: what a search may use

exact and reduced are callables from images (B, 3, H, W) to logits (B, classes), like the module
itself. What is queued for the engine is masks (scoring/requests.py); the images that they stand for
are composed on the device when their batch runs.
"""

import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from scoring.batching import Part, rows_of
from scoring.compilation import CannotCompile, Forward, compile_forward
from scoring.cuda_graphs import GraphedBatches
from scoring.devices import check_device, ensure_float32
from scoring.memory import BatchLimit, is_out_of_memory, keep_freed_memory
from scoring.networks import Network, class_probabilities, confidences, use_ieee_float32
from scoring.openvino_forward import check_openvino, is_installed, openvino_forward
from scoring.patches import Tents, compose
from scoring.precision import PRECISIONS, has_bfloat16, in_precision
from scoring.requests import KINDS, Kind, Request
from scoring.speed import BATCHES, Speed, auto_batch_size, fastest_batch, times_as_fast
from utils import UserError, log, one_line

REDUCED_TOLERANCE = 0.05  # by which compiled reduced probabilities may differ from eager ones
KEPT_NOISES = 4  # iterations of I-GOS whose noise stays on the device
REDUCED_GAIN = 1.2  # reduced precision is used where it is so much faster than float32
OPENVINO_GAIN = 1.1  # OpenVINO is used where it is so much faster than PyTorch's reduced precision
CUDA_SHAPES = (16, 32, 64, 128, 256, 512)  # batch shapes at 224 x 224 pixels


@dataclass(frozen=True)
class Measured:
    """What was measured of a network on a CPU."""

    exact: Speed
    reduced: Speed | None  # None: not tried
    precision: str  # of the second


@dataclass
class BatchCounts:
    """How full the batches were."""

    batches: int = 0
    masks: int = 0  # that were asked for
    rows: int = 0  # that ran, padding included
    synchronisations: int = 0  # with the device

    @property
    def fill(self) -> float:
        """Share of the rows that were asked for."""
        return self.masks / self.rows if self.rows else 1.0


@dataclass(eq=False)
class Handle:
    """A batch that runs on the device."""

    values: torch.Tensor  # (rows, classes that are answered), or (rows, patches) for gradients
    classes: Sequence[int]  # how many are answered in each row that was asked for; 0: a gradient
    done: "torch.cuda.Event | None"


class Engine:
    """The network of one run, and how it is asked; a Device for scoring.batching.Batching.

    Attributes:
        network: the network.
        exact: images to logits in float32.
        reduced: the same in a lower precision; None where the search runs in float32.
        precision: of the search: "float32", "bfloat16" or "float16".
        backend: what runs reduced: "torch" or "openvino".
        limits: by kind of request, how many masks may go into a batch.
        depth: number of batches in flight.
        counts: of the batches, by kind.
        compiled: whether compile() was called.
        worth_compiling: whether compiling pays here; measured on a CPU only.
        worth_converting: whether OpenVINO is still to be tried.
        is_ieee: whether float32 is IEEE float32 on the device, after all switches were set.
        why_no_graphs: why batches cannot be captured as CUDA graphs, or None.
        measured: speeds by which batch sizes and precision were chosen, or None.

    Args:
        network: a network on its device.
        precision: "auto", "float32", "bfloat16" or "float16", of the searches.
        batch_size: images per forward pass, or "auto".
        backend: "torch"; "openvino": of the search, unless that is in another precision or cannot
            be converted, which the log then says; or "auto": use_openvino() may be called.

    Raises:
        UserError: the network cannot compute in that precision, the device gives other
            probabilities than the CPU, or there is no OpenVINO.
    """

    def __init__(
        self,
        network: Network,
        *,
        precision: str = "auto",
        batch_size: int | str = "auto",
        backend: str = "auto",
    ):
        if backend == "openvino":
            check_openvino(network.device)
        prepare_process(network.device)
        self.network = network
        self.device = network.device
        self.compiled = False
        self.worth_compiling = network.device.type == "cpu"
        self.depth = 2 if network.device.type == "cuda" else 1
        self.counts: dict[Kind, BatchCounts] = {kind: BatchCounts() for kind in KINDS}
        self.exact: Forward = network.module
        self._example = network.prepare(np.zeros((*network.size, 3), np.uint8))[None]
        self.is_ieee = self.ensure_float32()
        if network.device.type != "cpu":
            check_device(network.module, _test_images(network), network.device)
        reduced = self._reduced_module(precision)
        self.measured: Measured | None = None
        if network.device.type == "cpu" and "auto" in (precision, batch_size):
            self.measured = self._measure(reduced)
        if precision == "auto" and not self._pays():
            reduced = None
        self.reduced: Forward | None = reduced
        self.precision = "float32" if reduced is None else _name_of(reduced)
        self._for_gradients: torch.nn.Module = reduced or network.module
        self.limits = self._limits(batch_size)
        self.why_no_graphs: str | None = None
        self._graphs: GraphedBatches | None = None
        self._noises: deque[tuple[torch.Tensor, torch.Tensor]] = deque(maxlen=KEPT_NOISES)
        self.backend = "torch"
        self._gain: float | None = None  # how many times as fast OpenVINO is, if measured
        self.worth_converting = backend == "auto" and self._may_convert(precision)
        if backend == "openvino":
            self._convert(precision)

    @property
    def batch_size(self) -> int:
        """Images per forward pass in float32."""
        return self.limits["float32"].size

    def ensure_float32(self) -> bool:
        """Switch off whatever rounds float32, also what the network's own code switched on.

        Returns:
            Whether float32 is IEEE float32 now.
        """
        return ensure_float32(self.device, lambda: self.network.module(self._example))

    # What to run.

    def _reduced_module(self, precision: str) -> torch.nn.Module | None:
        """Return the network in the precision that is asked for, or that may pay."""
        module = self.network.module
        if precision == "float32":
            return None
        if precision != "auto":
            return in_precision(module, PRECISIONS[precision], self._example)
        names = ["bfloat16"] if has_bfloat16(self.device) else []
        if self.device.type == "cuda":
            names.insert(0, "float16")  # differs less from float32, but may overflow
        for name in names:
            try:
                return in_precision(module, PRECISIONS[name], self._example)
            except UserError:  # it was not asked for
                continue
        return None

    def _measure(self, reduced: torch.nn.Module | None) -> Measured:
        """Return the speeds of a network on this machine, measured once for each."""
        precision = "float32" if reduced is None else _name_of(reduced)
        known = _MEASURED.get(self.network.module)
        if known is not None and (reduced is None or known.precision == precision):
            return known
        exact = fastest_batch(self.exact, self._example)
        reduced_speed = None
        if reduced is not None:
            larger = [size for size in BATCHES if 2 * size >= exact.batch_size]
            reduced_speed = fastest_batch(reduced, self._example, batches=larger)
        measured = Measured(exact, reduced_speed, precision)
        _MEASURED[self.network.module] = measured
        return measured

    def _pays(self) -> bool:
        """Return whether the reduced precision is faster; on a GPU it is."""
        if self.measured is None or self.measured.reduced is None:
            return self.device.type == "cuda"
        reduced = self.measured.reduced.images_per_second
        return reduced >= REDUCED_GAIN * self.measured.exact.images_per_second

    def _limits(self, batch_size: int | str) -> dict[Kind, BatchLimit]:
        if batch_size != "auto":
            return {kind: BatchLimit(int(batch_size)) for kind in KINDS}
        if self.measured:
            exact = self.measured.exact.batch_size
            reduced = self.measured.reduced.batch_size if self.measured.reduced else exact
            gradient = reduced if self.reduced else exact
        else:
            exact = auto_batch_size(self._example[0])
            reduced = exact
            gradient = max(1, exact // 2)  # the layers' outputs are kept for the backward pass
        return {
            "float32": BatchLimit(exact),
            "reduced": BatchLimit(reduced),
            "gradient": BatchLimit(gradient),
        }

    def description(self) -> str:
        """Return the precision, batch size and speed of the search, for the log."""
        kind: Kind = "reduced" if self.reduced else "float32"
        by = " by OpenVINO" if self.backend == "openvino" else ""
        line = f"search in {self.precision}{by}, batches of {self.limits[kind].size}"
        if self.measured is None:
            return line
        speeds = [f"{self.measured.exact.images_per_second:.0f} images/s in float32"]
        if self.measured.reduced:
            reduced = self.measured.reduced
            speeds.append(f"{reduced.images_per_second:.0f} in {self.measured.precision}")
        if self._gain and self.backend == "openvino":
            speeds.append(f"{self._gain:.1f} times that by OpenVINO")
        return f"{line} ({', '.join(speeds)})"

    def compile(self) -> None:
        """Compile the passes.

        Raises:
            CannotCompile: the engine goes on as before and does not try again.
        """
        self.compiled = True
        exact = compile_forward(self.exact, self._repeated("float32"))
        if self.reduced and self.backend == "torch":  # OpenVINO compiles by itself
            example = self._repeated("reduced")
            self.reduced = compile_forward(self.reduced, example, tolerance=REDUCED_TOLERANCE)
        self.exact = exact

    # OpenVINO.

    def _may_convert(self, precision: str) -> bool:
        return self.device.type == "cpu" and precision in ("auto", "bfloat16") and is_installed()

    def _convert(self, precision: str) -> None:
        """Take OpenVINO as it was asked for, or say why not."""
        if not self._may_convert(precision):
            log(f"OpenVINO is not used: the search is in {precision}")
            return
        try:
            self.use_openvino(anyway=True)
        except CannotCompile as error:
            log(f"OpenVINO is not used, going on without ({error})")

    def use_openvino(self, *, anyway: bool = False) -> bool:
        """Have OpenVINO run the search from now on, where it is faster.

        It becomes what is called reduced, also where it computes in float32: exact stays PyTorch's.

        Args:
            anyway: also where it is not faster.

        Returns:
            Whether it does.

        Raises:
            CannotCompile: the engine goes on as before and does not try again.
        """
        self.worth_converting = False
        ours = self.reduced or self.exact
        precision = self.precision if self.reduced else _lowest(self.device)
        size = self.limits["reduced"].size
        images = _test_images(self.network).repeat(size, 1, 1, 1)[:size]
        theirs = openvino_forward(self.network.module, images, precision=precision)
        # In place of float32 it has to make up for the sets that are scored twice.
        least = OPENVINO_GAIN if self.reduced else REDUCED_GAIN
        if not anyway:
            self._gain = times_as_fast(theirs, ours, images)
            if self._gain < least:
                return False
        self.reduced = theirs
        self.precision = precision
        self.backend = "openvino"
        return True

    def _repeated(self, kind: Kind) -> torch.Tensor:
        return self._example.repeat(self.limits[kind].size, 1, 1, 1)

    def most_probable(self, image: np.ndarray, number: int) -> list[int]:
        """Return the indices of the most probable classes of an image (H, W, 3) uint8.

        Raises:
            FloatingPointError: the network returns NaN.
        """
        network = self.network
        with torch.inference_mode():
            logits = network.module(network.prepare(image)[None])
        probabilities = class_probabilities(logits)[0]
        if not probabilities.isfinite().all():
            raise FloatingPointError("the model returns NaN")
        return probabilities.topk(number).indices.tolist()

    # Batches.

    def shapes(self, kind: Kind) -> Sequence[int]:
        """Return the batch shapes that there are; none: a batch has any shape."""
        return CUDA_SHAPES if self.device.type == "cuda" else ()

    def launch(self, kind: Kind, parts: Sequence[Part]) -> Handle:
        """Start a batch; see scoring.batching.Device."""
        count = sum(map(len, parts))
        shape = rows_of(self, kind, count)
        counts = self.counts[kind]
        if kind == "gradient":
            values = self._gradients(parts)
            classes = [0] * count
            shape = count
        else:
            values = self._wanted(self._logits(kind, parts, shape), parts)
            classes = [1 + len(part.request.others) for part in parts for _ in range(len(part))]
        counts.batches += 1
        counts.masks += count
        counts.rows += shape
        counts.synchronisations += 1  # by wait()
        done = None
        if self.device.type == "cuda":
            # Queued behind the pass, so that a graph's next replay cannot overwrite the values.
            values = values.to("cpu", non_blocking=True)
            done = torch.cuda.Event()
            done.record()
        return Handle(values, classes, done)

    def wait(self, handle: Handle) -> list:
        """Wait for a batch and return one answer per mask; see scoring.requests.Kind."""
        if handle.done is not None:
            handle.done.synchronize()
        values = handle.values.cpu()
        if not any(handle.classes):
            return list(values)
        rows = zip(values.tolist(), handle.classes)
        return [row[0] if number == 1 else row[:number] for row, number in rows]

    def _logits(self, kind: Kind, parts: Sequence[Part], shape: int) -> torch.Tensor:
        """Return the logits of each mask, (shape, classes)."""
        if self.device.type == "cuda" and self.why_no_graphs is None:
            logits = self._graphed(kind, parts, shape)
            if logits is not None:
                return logits
        return self._eager(kind, parts, shape)

    def _graphed(self, kind: Kind, parts: Sequence[Part], shape: int) -> torch.Tensor | None:
        """Return the same from a captured graph; None where these masks cannot be graphed."""
        slots = [part.request.slot for part in parts for _ in range(len(part))]
        noisy = any(part.request.noise is not None for part in parts)
        if not isinstance(slots[0].basis, Tents):  # regions differ from image to image
            return None
        if self._graphs is None or self._graphs.basis is not slots[0].basis:
            forwards: dict[Kind, Forward] = {"float32": self.exact}
            forwards["reduced"] = self.reduced or self.exact
            self._graphs = GraphedBatches(slots[0].basis, forwards, slots[0])
        if noisy or not self._graphs.can_run(slots):
            return None
        masks = torch.cat([part.request.masks[part.start : part.stop] for part in parts])
        try:
            return self._graphs.run(kind, masks.pin_memory(), slots, shape=shape)
        except Exception as error:
            self._graphs.drop()
            if is_out_of_memory(error):
                raise
            self.why_no_graphs = one_line(error)  # a network that cannot be captured
            return None

    @torch.no_grad()
    def _eager(self, kind: Kind, parts: Sequence[Part], shape: int) -> torch.Tensor:
        dropped = parts[0].request.slot.dropped
        if dropped is not None:
            return dropped(torch.cat([self._masks(part) for part in parts]))
        images = [self._composed(part, self._masks(part)) for part in parts]
        missing = shape - sum(map(len, images))
        if missing:
            images.append(images[0].new_zeros(missing, *images[0].shape[1:]))
        forward = self.reduced if kind == "reduced" and self.reduced else self.exact
        return forward(images[0] if len(images) == 1 else torch.cat(images))

    def _wanted(self, logits: torch.Tensor, parts: Sequence[Part]) -> torch.Tensor:
        """Return the confidence in each row's classes, its own first; padding has none.

        Args:
            logits: (at least as many rows as are asked for, classes).
            parts: what is asked for.

        Returns:
            (rows, as many as the part with the most classes); what others lack is filled up with
            their own class.
        """
        most = max(1 + len(part.request.others) for part in parts)
        rows = []
        for part in parts:
            rows += [_classes_of(part.request, most)] * len(part)
        classes = self._on_device(torch.tensor(rows))
        return confidences(logits[: len(rows)], classes[..., 0], classes[..., 1])

    def _on_device(self, values: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the CPU on the device, without waiting for it."""
        if self.device.type == "cuda":
            values = values.pin_memory()
        return values.to(self.device, non_blocking=True)

    def _gradients(self, parts: Sequence[Part]) -> torch.Tensor:
        """Return the gradient of each mask's probability, (rows, patches)."""
        leaves = [self._masks(part).requires_grad_() for part in parts]
        images = torch.cat([self._composed(part, leaf) for part, leaf in zip(parts, leaves)])
        wanted = self._wanted(self._for_gradients(images), parts)[:, 0]
        return torch.cat(torch.autograd.grad(wanted.sum(), leaves))

    def _masks(self, part: Part) -> torch.Tensor:
        """Return a part's masks on the device."""
        return self._on_device(part.request.masks[part.start : part.stop])

    def _composed(self, part: Part, masks: torch.Tensor) -> torch.Tensor:
        """Return the images that a part's masks stand for, (rows, 3, H, W)."""
        slot = part.request.slot
        images = compose(slot.basis.weights(masks), slot.image, slot.baseline)
        noise = part.request.noise
        if noise is None:
            return images
        return images + self._kept_on_device(noise)[part.start : part.stop]

    def _kept_on_device(self, noise: torch.Tensor) -> torch.Tensor:
        """Return noise on the device; that of the last few iterations stays there."""
        if self.device.type == "cpu":
            return noise
        kept = next((there for here, there in self._noises if here is noise), None)
        if kept is None:
            kept = self._on_device(noise)
            self._noises.append((noise, kept))
        return kept


_MEASURED: "weakref.WeakKeyDictionary[torch.nn.Module, Measured]" = weakref.WeakKeyDictionary()


def prepare_process(device: torch.device) -> None:
    """Set what holds for the whole process: true float32, and memory that is used again."""
    use_ieee_float32()
    if device.type == "cpu":
        keep_freed_memory()


def _classes_of(request: Request, number: int) -> list[list[int]]:
    """Return the classes that a request wants, `number` pairs of a class and its rival."""
    slot = request.slot
    classes = [slot.category, *request.others]
    classes += [slot.category] * (number - len(classes))
    return [[category, slot.rival_of(category)] for category in classes]


def _test_images(network: Network) -> torch.Tensor:
    """Return four images of noise, (4, 3, H, W), by which a device is compared with the CPU."""
    noise = np.random.default_rng(0).integers(0, 256, (4, *network.size, 3), np.uint8)
    return torch.stack([network.prepare(image) for image in noise])


def _lowest(device: torch.device) -> str:
    return "bfloat16" if has_bfloat16(device) else "float32"


def _name_of(reduced: torch.nn.Module) -> str:
    return str(reduced.dtype).removeprefix("torch.")
