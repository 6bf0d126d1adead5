"""benchmark.py --self-test: is this device right, does it survive a lack of memory, how fast is it?

    tested = self_test(network, images)
    print(tested.report())                      # one table to paste into an issue
    tested.passed                               # whether no line failed

Each check is a function that returns lines of the table, and fails its own line where it raises.
"""

import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from experiments.self_test_memory import check_memory
from experiments.self_test_speed import check_speed
from experiments.self_test_table import Line, SelfTest, failed
from running.image_case import ImageCase
from scoring.batching import Batching
from scoring.devices import (
    DEVICE_TOLERANCE,
    check_device,
    ensure_float32,
    float32_is_exact,
)
from scoring.engine import Engine
from scoring.fitting import load_fitted
from scoring.networks import Network
from scoring.patches import masks_of
from scoring.requests import Kind, Request, Steps

GRID = (7, 7)
IMAGES = 4
SETS = 24  # patch sets of each image that are scored in several ways
# Above this the search would doubt most of its answers.
REDUCED_TOLERANCE = 0.1
GB = 1e9


def self_test(
    network: Network,
    paths: Sequence[Path],
    *,
    precision: str = "auto",
    backend: str = "auto",
    seconds: float = 10.0,
) -> SelfTest:
    """Test a network on its device.

    Args:
        network: the network.
        paths: of images; the first four are used.
        precision: of the search.
        backend: likewise.
        seconds: for the throughput.
    """
    images = [load_fitted(path, network.fit) for path in paths[:IMAGES]]
    if len(images) == 1:
        images.append(np.ascontiguousarray(images[0][:, ::-1]))
    lines = machine_lines(network)
    lines += attempt("float32", lambda: check_float32(network))
    lines += attempt("answers of the device", lambda: check_answers(network, images))
    engines: list[Engine] = []

    def make_engine() -> list[Line]:
        engines.append(Engine(network, precision=precision, backend=backend))
        return [Line("engine", engines[0].description())]

    lines += attempt("engine", make_engine)
    if engines:
        engine = engines[0]
        cases = [case_of(network, image) for image in images]
        lines += attempt("answers of the engine", lambda: check_engine(engine, cases))
        lines += graphs_line(engine)
        lines += attempt("reduced precision", lambda: check_reduced(engine, cases))
        lines += attempt("lack of memory", lambda: check_memory(engine, cases[0]))
        lines += attempt("throughput", lambda: check_speed(engine, cases[0], seconds=seconds))
    return SelfTest(lines)


def attempt(name: str, check: Callable[[], list[Line]]) -> list[Line]:
    """Return a check's lines; where it raises, one line that failed."""
    try:
        return check()
    except Exception as error:  # a driver or a user's network fails in any way
        return [failed(name, error)]


# ---------------------------------------------------------------- the machine


def machine_lines(network: Network) -> list[Line]:
    """Return lines about the device and the software."""
    device = network.device
    lines = [
        Line("network", f"{network.name}, {network.size[0]} x {network.size[1]} pixels"),
        Line("device", f"{device}: {device_name(device)}"),
        Line("memory", memory_size(device)),
        Line("software", f"PyTorch {torch.__version__}, Python {platform.python_version()}"),
        Line("system", f"{platform.system()} {platform.release()}"),
    ]
    if device.type == "cuda":
        lines.append(Line("driver", f"{driver_version()}, CUDA {torch.version.cuda}"))
    else:
        lines.append(Line("threads", str(torch.get_num_threads())))
    return lines


def device_name(device: torch.device) -> str:
    """Return the name of a GPU, or of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory_size(device: torch.device) -> str:
    """Return the memory of a GPU, or of the machine."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_properties(device).total_memory / GB:.1f} GB"
    if sys.platform == "linux":
        kibibytes = int(Path("/proc/meminfo").read_text().split()[1])
        return f"{kibibytes * 1024 / GB:.1f} GB"
    return "unknown"


def driver_version() -> str:
    """Return the version of NVIDIA's driver."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return "unknown"
    query = [command, "--query-gpu=driver_version", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return answer.stdout.strip().partition("\n")[0] or "unknown"


# ---------------------------------------------------------------- right or wrong


def check_float32(network: Network) -> list[Line]:
    """Ask the device whether float32 is IEEE float32, before and after all switches are set."""
    example = network.prepare(np.zeros((*network.size, 3), np.uint8))[None]
    before = float32_is_exact(network.device)
    after = ensure_float32(network.device, lambda: network.module(example))
    found = f"before: {'IEEE' if before else 'rounded'}; after: {'IEEE' if after else 'rounded'}"
    return [Line("float32", found, passed=after)]


def check_answers(network: Network, images: Sequence[np.ndarray]) -> list[Line]:
    """Compare the device with the CPU, and images alone with a batch of them."""
    batch = torch.stack([network.prepare(image) for image in images])
    knows_the_cpu = check_device(network.module, batch, network.device)
    compared = "alone and in a batch"
    if network.device.type != "cpu":
        compared += ", and on the CPU" if knows_the_cpu else " (no copy of it runs on the CPU)"
    found = f"{len(images)} images {compared}: within {DEVICE_TOLERANCE:g}"
    return [Line("answers of the device", found, passed=True)]


def case_of(network: Network, image: np.ndarray) -> ImageCase:
    """Return an image with its most probable class."""
    with torch.no_grad():
        category = int(network.module(network.prepare(image)[None])[0].argmax())
    category = min(category, network.classes - 1)
    return ImageCase.of(network, image, category=category, baseline="black", grid=GRID)


def some_masks(case: ImageCase, number: int = SETS) -> torch.Tensor:
    """Return masks (number, patches) of random patch sets, from none to all of the patches."""
    generator = np.random.default_rng(0)
    sizes = np.linspace(0, case.num_patches, number).round().astype(int)
    sets = [
        tuple(sorted(generator.choice(case.num_patches, size, replace=False).tolist()))
        for size in sizes
    ]
    return masks_of(sets, case.num_patches)


def ask(case: ImageCase, kind: Kind, masks: torch.Tensor) -> Steps[torch.Tensor]:
    """Ask for the confidences of masks, (N,)."""
    answers = yield Request(case.slot, masks, kind=kind)
    return torch.tensor(answers)


def check_engine(engine: Engine, cases: Sequence[ImageCase]) -> list[Line]:
    """Compare the engine's batches with the network, one mask at a time."""
    batching = Batching(engine)
    largest = 0.0
    for case in cases:
        masks = some_masks(case)
        ours = batching.run_one(ask(case, "float32", masks))
        alone = case.probabilities(engine.network.module)
        with torch.no_grad():
            expected = torch.cat([alone(mask[None]) for mask in masks]).cpu()
        largest = max(largest, float((ours - expected).abs().max()))
    found = f"float32 batches against single masks: {largest:.1e} at most"
    return [Line("answers of the engine", found, passed=largest <= DEVICE_TOLERANCE)]


def graphs_line(engine: Engine) -> list[Line]:
    """Say whether CUDA graphs were captured for the batches so far; nothing elsewhere."""
    if engine.device.type != "cuda":
        return []
    reason = engine.why_no_graphs
    found = "batches are captured and replayed" if reason is None else f"none: {reason}"
    return [Line("CUDA graphs", found, passed=True if reason is None else None)]


def check_reduced(engine: Engine, cases: Sequence[ImageCase]) -> list[Line]:
    """Compare the reduced precision with float32."""
    if engine.reduced is None:
        return [Line("reduced precision", "none: the search runs in float32")]
    batching = Batching(engine)
    largest = 0.0
    for case in cases:
        masks = some_masks(case)
        exact = batching.run_one(ask(case, "float32", masks))
        reduced = batching.run_one(ask(case, "reduced", masks))
        largest = max(largest, float((exact - reduced).abs().nan_to_num(torch.inf).max()))
    found = f"{engine.precision} differs from float32 by {largest:.2g} at most"
    return [Line("reduced precision", found, passed=largest <= REDUCED_TOLERANCE)]
